"""The way to moto, which answers everything that the local AWS has no handler for: S3, IAM, STS, CloudWatch, logs and the rest.

What moto does not implement becomes AWS's error form here, with a status that botocore does not retry.
"""

from __future__ import annotations

import contextlib
import functools
import io
import re
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

from kit.local_aws.keeper import READS
from kit.local_aws.protocol import AwsError
from kit.local_aws.wire import Call, Environ, Reply

__all__ = ["Gateway", "make_user", "not_implemented"]

AGAIN = 20  # times that a request which changes nothing is asked once more
ONE_BY_ONE = re.compile(r"kinesis:Put|logs:CreateLog|glue:CreateDatabase$")
"""Of two such requests at once moto loses one: both records get one number, the second group or database replaces the first."""
VIRTUAL_HOST = re.compile(r"^(?P<bucket>.+)\.s3[.-]")


def not_implemented(service: str, action: str) -> AwsError:
    """What the local AWS answers for an action that it does not have; botocore does not retry a 501."""
    return AwsError(
        "UnknownOperationException", f"The local AWS does not implement {service}:{action}.", status=501
    )


class Gateway:
    """moto's WSGI application behind locks: one request at a time per S3 bucket.

    moto checks a precondition and then writes, writes an object in steps that a reader can see, and walks over a bucket's keys while
    others add to them. With the lock a conditional put is atomic and a reader sees a whole object. Bodies are read before it is taken.
    """

    def __init__(self) -> None:
        self._application: Any = None
        self._making = threading.Lock()
        self._buckets: dict[str, threading.RLock] = {}

    def __call__(self, call: Call, environ: Environ, body: bytes, account: str) -> Reply:
        """moto's answer, for an account. Raises AwsError for what moto does not implement."""
        if call.request.path.startswith("/moto-api"):
            raise not_implemented("moto", "api")
        forwarded = {
            **environ,
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_X_MOTO_ACCOUNT_ID": account,
        }
        forwarded.pop("HTTP_TRANSFER_ENCODING", None)
        names = _buckets(call) if call.service == "s3" else []
        if ONE_BY_ONE.match(f"{call.service}:{call.action}"):
            names = [call.service]
        try:
            with self._locked(names):
                reply = self._ask(forwarded, body, AGAIN if READS.match(call.action) else 0)
        except NotImplementedError as error:
            raise not_implemented(call.service, call.action) from error
        if reply.status >= 400 and _is_page(reply.body):
            raise not_implemented(call.service, call.action)
        if reply.status == 404 and not reply.body and call.service != "s3":
            raise not_implemented(call.service, call.action)
        return reply

    def _ask(self, environ: Environ, body: bytes, again: int) -> Reply:
        """moto's answer; asked for so often again where another request changed what this one was reading."""
        try:
            return self._once({**environ, "wsgi.input": io.BytesIO(body)})
        except RuntimeError as error:
            if not again or "during iteration" not in str(error):
                raise
        return self._ask(environ, body, again - 1)

    def _once(self, environ: Environ) -> Reply:
        answered: list[tuple[int, list[tuple[str, str]]]] = []

        def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> None:
            answered.append((int(status.split()[0]), headers))

        chunks = self._moto()(environ, start_response)
        try:
            parts = list(chunks)
        finally:
            if hasattr(chunks, "close"):
                chunks.close()
        status, headers = answered[-1]
        return Reply(status, headers, parts[0] if len(parts) == 1 else b"".join(parts))

    def _moto(self) -> Any:
        with self._making:
            if self._application is None:
                self._application = _application()
            return self._application

    @contextlib.contextmanager
    def _locked(self, names: list[str]) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            for name in sorted(
                set(names)
            ):  # one order, so that two copies between two buckets cannot block each other
                with self._making:
                    lock = self._buckets.setdefault(name, threading.RLock())
                stack.enter_context(lock)
            yield


def _application() -> Any:
    """moto's application, which says of a service that it does not know that it is not implemented."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

    @functools.lru_cache(maxsize=4096)
    def backend_of(application: DomainDispatcherApplication, host: str | None) -> Any:
        # moto looks through its own folder for each request, which costs more than the request.
        return DomainDispatcherApplication.get_backend_for_host(application, host)

    class Application(DomainDispatcherApplication):
        def get_backend_for_host(self, host: str | None) -> Any:
            backend = backend_of(self, host)
            if backend is None and host is not None:
                raise NotImplementedError(host)
            return backend

    return Application(create_backend_app)


def make_user(account: str, name: str, key: str) -> None:
    """An administrator of the account with that access key id, so that clients that sign with it are somebody."""
    from moto.iam.models import iam_backends

    backend = iam_backends[account]["aws"]
    user = backend.create_user(region_name="us-east-1", user_name=name)
    backend.attach_user_policy("arn:aws:iam::aws:policy/AdministratorAccess", name)
    made = user.create_access_key("AKIA")
    made.access_key_id = key
    backend.access_keys[key] = made


def _is_page(body: bytes) -> bool:
    return body[:15].lower().startswith((b"<!doctype html", b"<html"))


def _buckets(call: Call) -> list[str]:
    """The buckets that an S3 request reads or writes: its own, and the one it copies from."""
    virtual = VIRTUAL_HOST.match(call.request.host)
    paths = [] if virtual else [call.request.path]
    if source := call.request.headers.get("x-amz-copy-source"):
        paths.append(unquote(source))
    named = [path.lstrip("/").partition("/")[0] for path in paths]
    return [name for name in (*named, virtual["bucket"] if virtual else "") if name]
