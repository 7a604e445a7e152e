"""What makes a process talk to the local AWS: its variables, a hook below boto3, and a clock for the SDK's waits.

Nothing here changes what a notebook or a job writes: the same boto3 and SageMaker calls go to AWS where this is not installed.
"""

from __future__ import annotations

import importlib.abc
import importlib.util
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from kit.errors import LocalAwsError

__all__ = ["ask", "environment", "install", "settings"]

AWS_DOMAINS = (".amazonaws.com", ".amazonaws.com.cn", ".api.aws", ".aws.dev", ".on.aws")
LOOPBACK = ("127.0.0.1", "localhost", "::1")
OWN_HOSTS = (*AWS_DOMAINS, *(f".{name}" for name in LOOPBACK))  # what a request for the local AWS may name
KEY = "AKIALOCALAWSBUILDER0"  # who works at the event, as far as the local AWS is concerned
ALIAS = "rehearsal"  # what the account is called; on AWS an account's alias is its own
SHORT = 0.2  # seconds; shorter sleeps are slept
PREPARED = (
    "botocore.session",
    "botocore.waiter",
)  # modules of botocore that are changed when they are imported
IDLE = 0.02  # seconds that a sleep takes at least when there is nothing to wait for

SDK_CONFIG = """\
# Read by the SageMaker SDK: it must not report its use to the outside.
SchemaVersion: '1.0'
SageMaker:
  PythonSDK:
    Modules:
      TelemetryOptOut: true
"""


def settings(folder: Path) -> dict[str, Path]:
    """Where the configuration files of clients lie in a state folder: `sdk`, `config` and `credentials`; the server writes them."""
    return {
        "sdk": folder / "sagemaker.yaml",
        "config": folder / "aws-config",
        "credentials": folder / "aws-credentials",
    }


def ask(url: str, path: str, body: Mapping[str, Any] | None = None, timeout: float = 10.0) -> dict[str, Any]:
    """What the local AWS answers at `/_local/<path>`; a GET without a body, else a POST. Raises OSError if it does not answer."""
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=timeout)
    try:
        data = None if body is None else json.dumps(body).encode()
        connection.request("GET" if body is None else "POST", f"/_local/{path}", data)
        answer: dict[str, Any] = json.loads(connection.getresponse().read())
        return answer
    except (HTTPException, ValueError) as error:
        raise OSError(f"{url} is not a local AWS: {error}") from error
    finally:
        connection.close()


def environment(url: str, account: str, region: str) -> dict[str, str]:
    """The variables of a process that talks to the local AWS at `url`; no profile or proxy of this machine gets in the way.

    Raises LocalAwsError if no local AWS with that account answers at `url`.
    """
    try:
        status = ask(url, "status")
    except OSError as error:
        raise LocalAwsError(
            f"No local AWS answers at {url}: {error}", "Start it with `kit local up`."
        ) from None
    if status.get("account") != account:
        raise LocalAwsError(
            f"The local AWS at {url} has the account {status.get('account')}, not {account}.",
            "It was restarted, and its state is a new one: run again what makes your resources.",
        )
    files = settings(Path(status["folder"]))
    direct = ",".join(
        filter(None, [os.environ.get("NO_PROXY") or os.environ.get("no_proxy"), "127.0.0.1,localhost"])
    )
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "false",
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_SESSION_TOKEN": "",
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_PROFILE": "default",
        "AWS_DEFAULT_PROFILE": "default",
        "AWS_CONFIG_FILE": str(files["config"]),
        "AWS_SHARED_CREDENTIALS_FILE": str(files["credentials"]),
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_USE_FIPS_ENDPOINT": "false",
        "AWS_USE_DUALSTACK_ENDPOINT": "false",
        "SAGEMAKER_USER_CONFIG_OVERRIDE": str(files["sdk"]),
        "NO_PROXY": direct,
        "no_proxy": direct,
    }


class _Seen(threading.local):
    """What this thread last heard of the local AWS: the version of its state, and the ARNs that the answer told of."""

    version = -1
    arns: tuple[str, ...] = ()


_seen = _Seen()
_url = ""  # where requests go; one per process


def install(url: str) -> None:
    """Every botocore request of this process goes to `url` from now on, and the SDK's waits end when something happens there.

    Holds for clients that exist already. A request to a host that is neither AWS's nor this machine raises LocalAwsError.
    """
    global _url
    first, _url = not _url, url
    if first:
        _redirect()
        for module in list(sys.modules.values()):
            _prepare(module)
        sys.meta_path.insert(0, _Finder())


def _redirect() -> None:
    from botocore.httpsession import URLLib3Session

    send: Callable[..., Any] = URLLib3Session.send

    def send_locally(self: Any, request: Any) -> Any:
        _address(request)
        response = send(self, request)
        if told := response.headers.get("x-local-seen"):
            version, _, arns = told.partition(" ")
            _seen.version, _seen.arns = int(version), tuple(filter(None, arns.split(",")))
        return response

    URLLib3Session.send = send_locally  # type: ignore[method-assign]


def _in_the_clear(request: Any, **_: Any) -> None:
    """Says of a request that it would have gone to AWS unencrypted: policies can refuse that (aws:SecureTransport)."""
    request.headers["X-Forwarded-Proto"] = "http"


def _address(request: Any) -> None:
    """Sends the request to the local AWS, with the Host that it was meant for."""
    parts, local = urlsplit(request.url), urlsplit(_url)
    host = parts.hostname or ""
    if parts.netloc.endswith(f".{local.netloc}") or f".{host}".endswith(AWS_DOMAINS):
        if parts.scheme == "http" and not parts.netloc.endswith(local.netloc):
            _in_the_clear(request)
        request.headers["Host"] = parts.netloc
        request.url = urlunsplit((local.scheme, local.netloc, parts.path, parts.query, ""))
    elif host not in LOOPBACK:
        raise LocalAwsError(
            f"A request to {host} was stopped: this process talks to the local AWS, and nothing leaves the machine.",
            "Use target = aws to reach AWS, or leave out what asks that host.",
        )


def _watch_plain(session: Any) -> None:
    """Clients that are made without TLS say so in their requests, although all requests to the local AWS go without it."""
    create: Callable[..., Any] = session.create_client

    def create_client(self: Any, *args: Any, **named: Any) -> Any:
        made = create(self, *args, **named)
        if not (args[3] if len(args) > 3 else named.get("use_ssl", True)):
            made.meta.events.register("before-send", _in_the_clear)
        return made

    session.create_client = create_client


class _Clock:
    """`time` as the SDK's wait loops see it: a sleep ends when something happens, and the loop that slept sees the clock jump.

    Only the function that slept sees that; whatever makes names or timestamps sees the true time.
    """

    def __init__(self, patient: bool) -> None:
        self._patient = (
            patient  # a waiter that counts its attempts: it must not be sent round when nothing can happen
        )
        self._local = threading.local()

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)

    def _skipped(self) -> dict[CodeType, float]:
        held: dict[CodeType, float] = self._local.__dict__.setdefault("skipped", {})
        return held

    def time(self) -> float:
        """Seconds since 1970, and what this function skipped."""
        return time.time() + self._skipped().get(sys._getframe(1).f_code, 0.0)

    def monotonic(self) -> float:
        """Seconds of a clock that only grows, and what this function skipped."""
        return time.monotonic() + self._skipped().get(sys._getframe(1).f_code, 0.0)

    def sleep(self, seconds: float) -> None:
        """Waits until a resource that this thread asked about changes, at most so many seconds."""
        if seconds < SHORT:
            time.sleep(seconds)
            return
        began = time.monotonic()
        _wait(seconds, self._patient)
        code, skipped = sys._getframe(1).f_code, self._skipped()
        skipped[code] = skipped.get(code, 0.0) + max(0.0, seconds - (time.monotonic() - began))


def _wait(seconds: float, patient: bool) -> None:
    asked: dict[str, Any] = {"timeout": seconds, "patient": patient, "arns": _seen.arns}
    if _seen.version >= 0:
        asked["since"] = _seen.version
    try:
        told = ask(_url, "wait", asked, timeout=seconds + 10)
    except OSError:
        time.sleep(min(seconds, 1.0))  # the next call will say that there is no server
        return
    if not _seen.arns:
        _seen.version = told["version"]
    if not told["changed"]:
        time.sleep(IDLE)


class _JsonSchema:
    """`jsonschema` as the SDK sees it: a schema is checked once, not at each look at the SDK's settings (a hundred for a pipeline)."""

    def __init__(self, jsonschema: Any) -> None:
        self._jsonschema = jsonschema
        # By the id of a schema, which is kept so that the id stays its own.
        self._known: dict[int, tuple[Any, Any]] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._jsonschema, name)

    def validate(self, instance: Any, schema: Any) -> None:
        """Raises jsonschema's ValidationError where the instance does not fit the schema, as `jsonschema.validate` does."""
        if id(schema) not in self._known:
            validator = self._jsonschema.validators.validator_for(schema)
            validator.check_schema(schema)
            self._known[id(schema)] = schema, validator(schema)
        _, known = self._known[id(schema)]
        if error := self._jsonschema.exceptions.best_match(known.iter_errors(instance)):
            raise error


def _prepare(module: ModuleType | None) -> None:
    """Changes what an imported module has to do otherwise here; it is called once for each."""
    name = getattr(module, "__name__", "")
    if name == "botocore.session":
        _watch_plain(module.Session)  # type: ignore[union-attr]
    if (name == "botocore.waiter" or name.startswith("sagemaker.")) and getattr(module, "time", None) is time:
        module.time = _Clock(patient=name == "botocore.waiter")  # type: ignore[union-attr]
    if name.startswith("sagemaker.core.config") and (found := getattr(module, "jsonschema", None)):
        module.jsonschema = _JsonSchema(found)  # type: ignore[union-attr]


class _Finder(importlib.abc.MetaPathFinder):
    """Prepares the modules that are imported later."""

    def __init__(self) -> None:
        self._busy = threading.local()

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> Any:
        """The spec that the other finders find, with a loader that sets the clock after the module ran."""
        if name not in PREPARED and not name.startswith("sagemaker."):
            return None
        if name in self._busy.__dict__:
            return None
        self._busy.__dict__[name] = True
        try:
            spec = importlib.util.find_spec(name)
        finally:
            del self._busy.__dict__[name]
        loader = getattr(spec, "loader", None)
        run = getattr(loader, "exec_module", None)
        if run is not None:

            def exec_module(module: ModuleType) -> None:
                run(module)
                _prepare(module)

            loader.exec_module = exec_module  # type: ignore[union-attr]
        return spec
