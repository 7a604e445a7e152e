"""The front: one WSGI application that answers AWS's APIs, from its own handlers or through moto.

A handler is a function with `@action("sagemaker", "CreateTrainingJob")`. It gets parameters that the service's model found valid, and
what it returns is cut to the output's shape and written in the service's protocol.
"""

from __future__ import annotations

import gzip
import importlib
import json
import logging
import os
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from kit.local_aws import authorization, client, events, guard, rules, wire
from kit.local_aws.asks import Place
from kit.local_aws.callers import SERVICE_KEY, caller
from kit.local_aws.gateway import Gateway, not_implemented
from kit.local_aws.handlers import AFTER, BEFORE, LOCAL, Handler, action, after, before, handler_of, local
from kit.local_aws.inside import Inside
from kit.local_aws.keeper import Keeper
from kit.local_aws.protocol import AwsError, missing, now, shaped
from kit.local_aws.state import State
from kit.local_aws.store import Context, Store
from kit.local_aws.targets import Courier
from kit.local_aws.trail import Seen, Trail
from kit.local_aws.wire import Call, Environ, Reply

__all__ = ["App", "Context", "Handler", "action", "after", "before", "handler_of", "local"]

log = logging.getLogger("kit.local_aws")

# The modules that register handlers, in the order in which they are loaded.
MODULES = (
    "sessions",
    "buckets",
    "users",
    "metric_data",
    "alarms",
    "metric_filters",
    "schedules",
    "cloudtrail",
    "config",
    "guardduty",
    "securityhub",
    "service_quotas",
    "analyzer",
    "identity_center",
    "account_assignments",
    "last_accessed",
    "identity",
    "training",
    "tuning",
    "transform",
    "pipelines",
    "pipeline_runs",
    "cloudformation",
    "processing",
    "models",
    "hosting",
    "invocation",
    "scaling",
    "registry",
    "lineage",
    "model_cards",
    "feature_store",
    "feature_records",
    "athena",
    "streams",
    "tagging",
    "control",
)
# Services that the local AWS answers alone: what has no handler here is not asked of moto, which would invent an answer.
OWN = (
    "sagemaker",
    "sagemaker-runtime",
    "sagemaker-featurestore-runtime",
    "sagemaker-metrics",
    "cloudformation",
)
# Required by the model, and yet left out by AWS: a version of a model package has no name (aws/sagemaker-python-sdk issue 5606).
# A page of a feature group's definitions has no token where it is the last one.
LEFT_OUT = {("DescribeModelPackage", "ModelPackageName"), ("DescribeFeatureGroup", "NextToken")}
SEEN = 20  # how many ARNs an answer names at most
CALLS = 1000  # how many of the last calls are kept


class App:
    """The local AWS of one state folder: `store` holds the records, `folder` the files of jobs, `url` is where it answers."""

    def __init__(self, folder: Path, account: str) -> None:
        self.folder, self.account, self.url = folder, account, ""
        self.started = now()
        self.store = Store()
        self.trail = Trail()
        self.stopping = threading.Event()
        guard.take_over()
        self.courier = Courier()
        self.keeper = Keeper(self, None)
        events.take_over(self)
        self._gateway = Gateway()
        self._calls: deque[dict[str, Any]] = deque(maxlen=CALLS)
        self._counts: Counter[str] = Counter()
        self._clients: dict[tuple[str, str], Any] = {}
        self._session: Any = None
        self._making = threading.Lock()
        self._threads: dict[str, threading.Thread] = {}
        self._at_stop: list[Callable[[], None]] = []
        self._lock = threading.Lock()
        for name in MODULES:
            importlib.import_module(f"kit.local_aws.{name}")

    def keep(self, state: State) -> bool:
        """Have everything outlive the server from now on; whether there was something that did."""
        self.keeper = Keeper(self, state)
        found = self.keeper.restore()
        self.store.journal = self.keeper.journal
        return found

    # What handlers use

    def client(self, service: str, region: str) -> Any:
        """A boto3 client that asks this same server as one of AWS's services; made once, safe in threads."""
        keys = {"AccessKeyId": SERVICE_KEY, "SecretAccessKey": "local"}
        with self._lock:
            held = self._clients.get((service, region))
        if held is None:
            held = self.client_of(keys, service, region)
            with self._lock:
                self._clients[service, region] = held
        return held

    def client_of(self, keys: Mapping[str, str], service: str, region: str) -> Any:
        """A boto3 client that asks this same server as whoever has these keys (the `Credentials` of an answer of STS)."""
        from boto3.session import Session

        with self._making:
            self._session = self._session or Session()
            made = self._session.client(
                service,
                region,
                endpoint_url=self.url,
                aws_access_key_id=keys["AccessKeyId"],
                aws_secret_access_key=keys["SecretAccessKey"],
                aws_session_token=keys.get("SessionToken"),
            )
        made._endpoint.http_session = Inside(self)
        return made

    def backend(self, service: str, region: str = "aws") -> Any:
        """moto's state of a service ("iam"; global services have the region "aws")."""
        from moto.backends import get_backend

        return get_backend(service)[self.account][region]  # type: ignore[call-overload]

    def changed(self) -> None:
        """Wakes whoever waits for any change."""
        self.store.changed()

    def background(self, key: str, function: Callable[..., Any], *args: Any) -> threading.Thread:
        """Runs the function in a thread of that name; what it raises goes to server.log."""

        def run() -> None:
            try:
                function(*args)
            except Exception:
                log.exception("background %s failed", key)
            finally:
                with self._lock:
                    if self._threads.get(key) is threading.current_thread():
                        del self._threads[key]
                self.store.look()  # perhaps nothing is under way any more

        thread = threading.Thread(target=run, name=key, daemon=True)
        with self._lock:
            self._threads[key] = thread
        thread.start()
        return thread

    def at_stop(self, function: Callable[[], None]) -> None:
        """Has the function called when the server ends, the last one registered first."""
        self._at_stop.append(function)

    def stop(self) -> None:
        """Ends what the handlers started and wakes whoever waits."""
        self.stopping.set()
        for function in reversed(self._at_stop):
            try:
                function()
            except Exception:
                log.exception("could not stop %s", function)
        self.changed()

    # The WSGI application

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """The answer to one HTTP request; whatever happens, it has AWS's form."""
        began = time.perf_counter()
        body = _body(environ)
        call: Call | None = None
        try:
            if _from_a_page(environ):
                raise AwsError("AccessDenied", "The local AWS does not answer web pages.", status=403)
            if environ["PATH_INFO"].startswith("/_local/"):
                reply = self._local(environ["PATH_INFO"].removeprefix("/_local/"), body)
            else:
                call = wire.identify(environ, body)
                reply = self._answer(call, environ, body)
        except AwsError as error:
            reply = wire.encode_error(call, error)
        except Exception as error:
            log.exception("%s failed", f"{call.service}:{call.action}" if call else environ["PATH_INFO"])
            # AWS answers 500 here; botocore would send the same request four more times, and it would fail the same way.
            text = f"The local AWS failed at this request: {error!r}. Its log has the traceback."
            reply = wire.encode_error(call, AwsError("InternalFailure", text, status=501))
        if call is not None:
            self._note(call, reply.status, began)
        return _respond(environ, start_response, reply)

    def _answer(self, call: Call, environ: Environ, body: bytes) -> Reply:
        """The answer to a call of an action; the call is noted, whatever became of it."""
        handler = handler_of(call.service, call.action) if call.operation is not None else None
        params, wrong = _read(call, body)
        who = caller(call.principal, self.account)
        ctx = Context(self, who.account if who else self.account, call.region, call.principal)
        asks = authorization.asks(call.service, call.action, params, Place(ctx.account, call.region))
        code = message = ""
        try:
            if call.service in OWN and handler is None:
                raise not_implemented(call.service, call.action)
            guard.check(self.store, call, who, asks, params)
            refuses, completes = (held.get((call.service, call.action)) for held in (BEFORE, AFTER))
            if wrong is not None and (handler or refuses or completes):
                raise wrong
            if wrong is None:
                rules.check(call.service, call.action, params)
            if refuses:
                refuses(ctx, params)
            with self.keeper.call(call.service, call.action, params):
                if handler is None:
                    reply = self._gateway(call, environ, body, ctx.account)
                else:
                    reply = self._handled(handler, ctx, call, params)
                if reply.status >= 400:
                    code, message = wire.failure(reply)
                elif completes:
                    completes(ctx, params)
        except AwsError as error:
            code, message = error.code, error.message
            reply = wire.encode_error(call, error)
        agent = call.request.headers.get("User-Agent", "")
        seen = Seen(call.service, call.action, call.region, who, params, asks, code, message, agent)
        self.trail.add(seen)
        events.called(seen)
        return reply

    def _handled(self, handler: Handler, ctx: Context, call: Call, params: dict[str, Any]) -> Reply:
        from moto.iam.models import mark_account_as_visited

        version = self.store.version
        mark_account_as_visited(ctx.account, call.principal, call.service, call.region)
        try:
            reply = self._act(handler, ctx, call, params)
        except AwsError as error:
            reply = wire.encode_error(call, error)
        # What a client that sleeps next waits for (client.py): these resources, or with none of them any change.
        told = ",".join(sorted(ctx.seen)) if len(ctx.seen) <= SEEN else ""
        reply.headers.append(("x-local-seen", f"{version} {told}"))
        return reply

    def _act(self, handler: Handler, ctx: Context, call: Call, params: dict[str, Any]) -> Reply:
        assert call.operation is not None
        shape = call.operation.output_shape
        answer = shaped(shape, dict(handler(ctx, params) or {}))
        if lacking := [name for name in missing(shape, answer) if (call.action, name) not in LEFT_OUT]:
            log.error("the answer to %s:%s lacks %s", call.service, call.action, ", ".join(lacking))
        return wire.encode(call, answer)

    def _note(self, call: Call, status: int, began: float) -> None:
        took = round((time.perf_counter() - began) * 1000, 1)
        self._counts[call.service] += 1
        self._calls.append({"service": call.service, "action": call.action, "status": status, "ms": took})

    # What the kit itself asks

    def _local(self, what: str, body: bytes) -> Reply:
        if what == "wait":
            return _json(self._wait(**json.loads(body or b"{}")))
        if what == "status":
            return _json(self.status())
        if what == "calls":
            return _json({"calls": list(self._calls)})
        if what in LOCAL:
            return _json(LOCAL[what](self, **json.loads(body or b"{}")))
        return _json({"message": f"There is no /_local/{what}."}, 404)

    def _wait(
        self,
        timeout: float = 0,
        since: int | None = None,
        arns: Iterable[str] = (),
        patient: bool = True,
    ) -> dict[str, Any]:
        """Answers when a resource changed, after `timeout` seconds, or (not `patient`) when nothing is under way that could change it."""
        since = self.store.version if since is None else since
        watched = tuple(arns)

        def idle() -> bool:
            return self.stopping.is_set() or not (patient or self.store.moving(watched) or self._threads)

        changed = self.store.wait(since, watched, timeout, idle)
        return {"changed": changed, "version": self.store.version}

    def status(self) -> dict[str, Any]:
        """Who this is and what it does now: account, jobs that run, endpoints in service, calls per service."""
        kinds = ("TrainingJob", "ProcessingJob", "TransformJob", "HyperParameterTuningJob")
        return {
            "url": self.url,
            "pid": os.getpid(),
            "account": self.account,
            "folder": str(self.folder),
            "started": self.started.isoformat(),
            "jobs": sum(self.store.count(kind, f"{kind}Status", "InProgress", "Stopping") for kind in kinds),
            "endpoints": self.store.count("Endpoint", "EndpointStatus", "InService", "Updating"),
            "services": dict(self._counts),
            "threads": sorted(self._threads),
        }


def _read(call: Call, body: bytes) -> tuple[dict[str, Any], AwsError | None]:
    """The call's parameters; those in its path and what is wrong where they are not valid."""
    try:
        return wire.decode(call, body), None
    except AwsError as error:
        return dict(call.uri), error


def _from_a_page(environ: Environ) -> bool:
    """Whether a browser sent this for a web page, which must not reach what can start processes on this machine.

    Browsers name the page's origin when they send anything but a plain GET; a page that has its own name point at this machine
    cannot hide that name.
    """
    host = environ.get("HTTP_HOST", "").partition(":")[0]
    return "HTTP_ORIGIN" in environ or not f".{host}".endswith(client.OWN_HOSTS)


def _body(environ: Environ) -> bytes:
    """The whole request body; read in any case, or the connection's next request would begin with it.

    What botocore has packed, as it does with many metrics, is unpacked; an object of S3 stays as it is.
    """
    length = int(environ.get("CONTENT_LENGTH") or 0)
    if environ.get("wsgi.input_terminated"):
        body = bytes(environ["wsgi.input"].read())
    else:
        body = bytes(environ["wsgi.input"].read(length)) if length else b""
    signed = environ.get("HTTP_AUTHORIZATION", "")
    if environ.get("HTTP_CONTENT_ENCODING") == "gzip" and signed and "/s3/aws4_request" not in signed:
        del environ["HTTP_CONTENT_ENCODING"]
        return gzip.decompress(body)
    return body


def _json(value: Mapping[str, Any], status: int = 200) -> Reply:
    return Reply(status, [("Content-Type", "application/json")], json.dumps(value).encode())


def _respond(environ: Environ, start_response: Callable[..., Any], reply: Reply) -> list[bytes]:
    from werkzeug.http import HTTP_STATUS_CODES

    headers = reply.headers
    if environ["REQUEST_METHOD"] != "HEAD":  # there the length is the object's, which is not sent
        dropped = ("content-length", "transfer-encoding")
        headers = [(k, v) for k, v in headers if k.lower() not in dropped]
        if reply.status not in (204, 304):
            headers.append(("Content-Length", str(len(reply.body))))
    start_response(f"{reply.status} {HTTP_STATUS_CODES.get(reply.status, 'Unknown')}", headers)
    return [] if environ["REQUEST_METHOD"] == "HEAD" or reply.status in (204, 304) else [reply.body]
