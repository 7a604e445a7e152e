"""The servers behind an endpoint: one HTTP server process for each container of each variant."""

from __future__ import annotations

import http.client
import queue
import random
import socket
import sys
import threading
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kit.local_aws import channels, logs
from kit.local_aws.channels import InputError
from kit.local_aws.containers import IMAGE, ML, Container, Ending, environment, scratch
from kit.local_aws.execution import Execution

if TYPE_CHECKING:
    from kit.local_aws.store import Context

__all__ = ["Answer", "Fleet", "Server", "Variant"]

STARTUP = 240.0  # seconds to the first ping, unless the variant says otherwise
INVOCATION = 60.0  # seconds an invocation may take, as on AWS
ENDING = 30.0  # seconds that a process may take from the close of its socket to its end
BACKLOG = 128


@dataclass(frozen=True)
class Answer:
    """What a container answered to an invocation."""

    status: int
    body: bytes
    content_type: str
    custom_attributes: str = ""


class Server:
    """One container of a model, serving. Raises InputError when its model data cannot be read."""

    def __init__(
        self, ctx: Context, role: str, definition: Mapping[str, Any], stream: logs.LogStream
    ) -> None:
        self.image = definition["Image"]
        self.seconds: float = INVOCATION
        self.container = Container(scratch(ctx.app, "model"))
        self._ending: Ending | None = None
        self._idle: queue.LifoQueue[http.client.HTTPConnection] = queue.LifoQueue()
        try:
            for folder in ("model", "input", "output"):
                (self.container.folder / folder).mkdir()
            self._load(ctx, role, definition)
            with socket.create_server(("127.0.0.1", 0), backlog=BACKLOG) as listener:
                self.port = listener.getsockname()[1]
                self.container.start(
                    [sys.executable, str(IMAGE / "serving.py"), ML, str(listener.fileno())],
                    environment(ctx.app, ctx.region, role, definition.get("Environment", {})),
                    listener=listener,
                )
        except BaseException:
            self.container.remove()
            raise
        self._log = threading.Thread(target=self._follow, args=(stream,), daemon=True)
        self._log.start()

    def _load(self, ctx: Context, role: str, definition: Mapping[str, Any]) -> None:
        aws = Execution(ctx.app, ctx.region, role) if role else ctx.app
        folder = self.container.folder / "model"
        source = definition.get("ModelDataSource", {}).get("S3DataSource", {})
        uri = definition.get("ModelDataUrl") or source.get("S3Uri")
        if not uri:
            return
        if source.get("CompressionType", "Gzip") == "None":
            channels.fetch(aws, ctx.region, uri, folder, channels.keys(aws, ctx.region, uri))
        else:
            channels.fetch_archive(aws, ctx.region, uri, folder)

    def _follow(self, stream: logs.LogStream) -> None:
        self._ending = self.container.follow(None, stream.put)

    def unready(self, seconds: float) -> str:
        """Why /ping was not answered with 200; empty if it was. The socket listens from the start, so that this waits for the answer."""
        try:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=seconds)
            connection.request("GET", "/ping")
            response = connection.getresponse()
            response.read()
        except TimeoutError:
            return f"There was no answer within {seconds:g} s."
        except (OSError, http.client.HTTPException):
            return f"Its log ends with: {self.last_words()}"
        self._idle.put(connection)
        return "" if response.status == 200 else f"The answer was {response.status}."

    def last_words(self) -> str:
        """The last error line of its log; the process has closed its socket, so that it has ended or is about to."""
        self._log.join(timeout=ENDING)
        return logs.error_line(self._ending.tail) if self._ending else "(it still runs)"

    def post(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        """The container's answer to an invocation; a server that is gone or too slow answers 500, as AWS reports it."""
        for fresh in (False, True):
            connection = self._connection(fresh)
            try:
                connection.request("POST", "/invocations", body, dict(headers))
                response = connection.getresponse()
                data = response.read()
            except TimeoutError:
                connection.close()
                said = "Your invocation timed out while waiting for a response from container primary."
                return Answer(500, said.encode(), "text/plain")
            except (OSError, http.client.HTTPException):
                connection.close()
                continue  # a kept connection may have been closed; a new one tells
            self._idle.put(connection)
            return Answer(
                response.status,
                data,
                response.getheader("Content-Type") or "application/octet-stream",
                response.getheader("X-Amzn-SageMaker-Custom-Attributes") or "",
            )
        return Answer(
            500, f"The model's server has ended. {self.last_words()}".strip().encode(), "text/plain"
        )

    def _connection(self, fresh: bool) -> http.client.HTTPConnection:
        if not fresh:
            try:
                kept = self._idle.get_nowait()
            except queue.Empty:
                pass
            else:
                if kept.sock:  # that of the first ping was more patient
                    kept.sock.settimeout(self.seconds)
                return kept
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=self.seconds)

    def stop(self) -> None:
        """End the process, and wait until it has."""
        self.container.kill()
        self._log.join()
        self.container.remove()
        while not self._idle.empty():
            self._idle.get().close()


@dataclass
class Variant:
    """A production variant in service: its servers in the order in which an invocation passes them, and its weight."""

    name: str
    config: Mapping[str, Any]
    role: str
    servers: list[Server]
    weight: float
    count: int  # of its instances, as far as they are told of
    stream: str  # the log stream of its (one) instance

    def invoke(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Pass the body through the containers; the first that does not answer 200 ends it."""
        answer = Answer(200, body, headers["Content-Type"])
        for server in self.servers:
            answer = server.post(answer.body, {**headers, "Content-Type": answer.content_type})
            if answer.status != 200:
                break
        return answer


@dataclass
class Fleet:
    """All variants of an endpoint, as the configuration of that name says, and how that says to capture."""

    config: str
    capture: Mapping[str, Any]
    variants: list[Variant] = field(default_factory=list)
    _busy: int = 0
    _changed: threading.Condition = field(default_factory=threading.Condition)

    @classmethod
    def start(
        cls,
        ctx: Context,
        endpoint: str,
        config: Mapping[str, Any],
        parts: Sequence[tuple[Mapping[str, Any], str, list[dict[str, Any]]]],
    ) -> Fleet:
        """Start every container of (variant, role, container definitions) and wait until all answer /ping.

        Raises InputError with AWS's reason when one does not; then nothing is left running.
        """
        fleet = cls(config["EndpointConfigName"], config.get("DataCaptureConfig", {}))
        try:
            for variant, role, definitions in parts:
                name = variant["VariantName"]
                stream_name = f"{name}/i-{uuid.uuid4().hex[:17]}"
                made = Variant(
                    name,
                    variant,
                    role,
                    [],
                    variant.get("InitialVariantWeight", 1.0),
                    variant["InitialInstanceCount"],
                    stream_name,
                )
                fleet.variants.append(made)
                stream = logs.LogStream(
                    ctx.app, ctx.region, f"/aws/sagemaker/Endpoints/{endpoint}", stream_name
                )
                for definition in definitions:
                    made.servers.append(Server(ctx, role, definition, stream))
            for variant_up in fleet.variants:
                seconds = variant_up.config.get("ContainerStartupHealthCheckTimeoutInSeconds", STARTUP)
                for server in variant_up.servers:
                    if why := server.unready(seconds):
                        raise InputError(
                            f"The primary container for production variant {variant_up.name} did not pass the ping health check."
                            f" Please check CloudWatch logs for this endpoint. {why}"
                        )
        except BaseException:
            fleet.stop()
            raise
        return fleet

    def pick(self, target: str | None) -> Variant | None:
        """The variant named, or one drawn by the weights; None if there is none of that name."""
        if target:
            return next((variant for variant in self.variants if variant.name == target), None)
        weights = [variant.weight for variant in self.variants]
        return random.choices(self.variants, weights)[0] if sum(weights) > 0 else self.variants[0]

    def enter(self) -> None:
        """One invocation more is under way."""
        with self._changed:
            self._busy += 1

    def leave(self) -> None:
        """One invocation less is under way."""
        with self._changed:
            self._busy -= 1
            self._changed.notify_all()

    def stop(self, drain: bool = False) -> None:
        """End every process; with `drain`, after the invocations that are under way."""
        if drain:
            with self._changed:
                self._changed.wait_for(lambda: self._busy == 0, timeout=INVOCATION)
        for variant in self.variants:
            for server in variant.servers:
                server.stop()
