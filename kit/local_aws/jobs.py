"""What training and processing jobs have in common: their containers while they run, stopping, failing, cleaning up."""

from __future__ import annotations

import json
import logging
import re
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kit.local_aws.channels import InputError
from kit.local_aws.containers import ML, Container, scratch
from kit.local_aws.execution import Execution
from kit.local_aws.front import action
from kit.local_aws.kinds import kind_of, plural
from kit.local_aws.protocol import AwsError
from kit.local_aws.store import Record

if TYPE_CHECKING:
    from kit.local_aws.store import Context

__all__ = ["Job", "begin", "check_local_path", "check_role", "readable", "refuse", "running", "write_json"]

log = logging.getLogger(__name__)

DAY = 86_400  # seconds a job may run when it does not say; AWS's own default


class Job:
    """A job while it runs: its containers by host, and whether it was asked to stop."""

    def __init__(self, ctx: Context, kind: str, name: str) -> None:
        self.ctx, self.kind, self.name = ctx, kind, name
        self.stopping = False
        self.containers: list[Container] = []
        self._roles: dict[str, Execution] = {}
        self._lock = threading.Lock()

    def container(self) -> Container:
        """One more container, with a new folder."""
        return self.hold(Container(scratch(self.ctx.app, self.name)))

    def hold(self, made: Container) -> Container:
        """Have a container end and be removed with the job."""
        with self._lock:
            self.containers.append(made)
            if self.stopping:
                made.stop()
        return made

    def as_role(self, arn: str) -> Execution:
        """The session of the job's execution role, that fetches its inputs and puts its outputs."""
        with self._lock:
            if arn not in self._roles:
                self._roles[arn] = Execution(self.ctx.app, self.ctx.region, arn)
            return self._roles[arn]

    def stop(self) -> None:
        """Ask every container to end; those that come later do not start."""
        with self._lock:
            self.stopping = True
            for container in self.containers:
                container.stop()


_running: dict[tuple[int, str, str, str, str], Job] = {}


def _key(ctx: Context, kind: str, name: str) -> tuple[int, str, str, str, str]:
    return (id(ctx.app), ctx.account, ctx.region, kind, name)


def running(ctx: Context, kind: str, name: str) -> Job | None:
    """The job while it runs."""
    return _running.get(_key(ctx, kind, name))


def begin(
    ctx: Context, kind: str, name: str, work: Callable[[Job], None], failed: Callable[[Job, str], None]
) -> None:
    """Do a job's work in the background; when it raises, `failed` is told the reason. Its containers are removed in any case."""
    key = _key(ctx, kind, name)
    job = _running[key] = Job(ctx, kind, name)

    def run() -> None:
        try:
            work(job)
        except InputError as problem:
            failed(job, f"ClientError: {problem}")
        except Exception as problem:
            log.exception("%s %s", kind, name)
            failed(job, f"InternalServerError: {type(problem).__name__}: {problem}")
        finally:
            if _running.get(key) is job:  # and not the next one of its name
                del _running[key]
            for container in job.containers:
                container.remove()

    ctx.app.background(f"{kind}/{ctx.account}/{ctx.region}/{name}", run)


def readable(kind: str) -> None:
    """Let the store answer the Describe and List actions of a kind whose creation is handled elsewhere."""

    def describe(ctx: Context, params: dict[str, Any]) -> Record:
        return ctx.app.store.get(ctx, kind, kind_of(kind).key_of(params))

    def listing(ctx: Context, params: dict[str, Any]) -> Record:
        return ctx.app.store.listing(ctx, kind, params, f"List{plural(kind)}")

    action("sagemaker", f"Describe{kind}")(describe)
    action("sagemaker", f"List{plural(kind)}")(listing)


def refuse(message: str) -> AwsError:
    """The error for what AWS would do and the local AWS does not."""
    return AwsError("ValidationException", f"The local AWS {message}")


def check_role(ctx: Context, arn: str) -> None:
    """Raise AWS's ValidationException unless the role is there and trusts SageMaker."""
    name = arn.rsplit("/", 1)[-1]
    try:
        role = ctx.app.client("iam", ctx.region).get_role(RoleName=name)["Role"]
        trusted = role["Arn"] == arn and "sagemaker.amazonaws.com" in json.dumps(
            role["AssumeRolePolicyDocument"]
        )
    except ctx.app.client("iam", ctx.region).exceptions.NoSuchEntityException:
        trusted = False
    if not trusted:
        raise AwsError(
            "ValidationException",
            f"Could not assume role {arn}. Please ensure that the role exists and allows principal"
            " 'sagemaker.amazonaws.com' to assume the role.",
        )


def check_local_path(path: str) -> None:
    """Raise unless the path of a container is one that the local AWS can give it."""
    parts = Path(path).parts
    if parts[:3] != ("/", "opt", "ml") or ".." in parts:
        raise refuse(f"mounts folders below {ML} only, not {path}.")


def write_json(file: Path, value: Mapping[str, Any]) -> None:
    """Write a configuration file of the container contract; times become ISO 8601."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(value, default=lambda moment: re.sub(r"\+00:00$", "Z", moment.isoformat())))
