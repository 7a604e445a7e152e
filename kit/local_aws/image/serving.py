"""What a framework's inference image does: load the model by the user's functions, and answer /ping and /invocations.

The contract is that of the SageMaker scikit-learn container (github.com/aws/sagemaker-scikit-learn-container, serving.py, and the
SageMaker Inference Toolkit): `model_fn(model_dir)` is the user's; `input_fn(data, content_type)`, `predict_fn(data, model)` and
`output_fn(prediction, accept)` have defaults for npy, csv and json; `transform_fn(model, data, content_type, accept)` stands for
all three. Each may take the request's context as one more argument.
Run as `python serving.py ML DESCRIPTOR` with the folder that stands for /opt/ml and a listening socket.
"""

# ruff: noqa: T201 - what a container prints is its log

from __future__ import annotations

import importlib
import inspect
import io
import json
import os
import socket
import subprocess
import sys
import tarfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

JSON, CSV, NPY = "application/json", "text/csv", "application/x-npy"
TEXT = (JSON, CSV)


class Unsupported(Exception):
    """A content type that the function cannot read or write."""


@dataclass(frozen=True)
class Context:
    """What a function may ask about its request: headers by name, and the model's folder."""

    system_properties: dict[str, str]
    request: dict[str, str] = field(default_factory=dict)

    def get_request_header(self, idx: int, key: str) -> str | None:
        """The value of a request header, or None; `idx` is there for the toolkit's signature."""
        return self.request.get(key.lower())


def media(content_type: str) -> str:
    """A content type without its parameters."""
    return content_type.split(";")[0].strip().lower()


def default_model_fn(model_dir: str) -> Any:
    """There is no default: what a model is, only its author knows."""
    raise NotImplementedError(
        "Please provide a model_fn implementation: the inference script must define model_fn(model_dir)."
    )


def default_input_fn(data: str | bytes, content_type: str) -> Any:
    """An array from npy, csv (no header; one row gives one dimension) or json; text gives float32."""
    import numpy as np

    kind = media(content_type)
    if kind == NPY:
        return np.load(io.BytesIO(data if isinstance(data, bytes) else data.encode()), allow_pickle=True)
    words = data.decode() if isinstance(data, bytes) else data
    if kind == CSV:
        return np.genfromtxt(io.StringIO(words), delimiter=",").astype(np.float32)
    if kind == JSON:
        return np.array(json.loads(words)).astype(np.float32)
    raise Unsupported(content_type)


def default_predict_fn(data: Any, model: Any) -> Any:
    """The model's own `predict`."""
    return model.predict(data)


def default_output_fn(prediction: Any, accept: str) -> tuple[str | bytes, str]:
    """The prediction as json, csv or npy."""
    import numpy as np

    kind = media(accept)
    if kind == JSON:
        return json.dumps(prediction, default=lambda value: value.tolist()), accept
    if kind == CSV:
        written = io.StringIO()
        np.savetxt(written, prediction, delimiter=",", fmt="%s")
        return written.getvalue(), accept
    if kind == NPY:
        packed = io.BytesIO()
        np.save(packed, prediction)
        return packed.getvalue(), accept
    raise Unsupported(accept)


def call(function: Callable[..., Any], *arguments: Any, context: Context) -> Any:
    """Call with the context where the function takes one argument more."""
    takes = [
        p
        for p in inspect.signature(function).parameters.values()
        if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    return function(*arguments, context) if len(takes) > len(arguments) else function(*arguments)


def code_folder(ml: Path, program: str) -> Path:
    """Where the inference code is: with the model, else where SAGEMAKER_SUBMIT_DIRECTORY says (fetched when it is in S3)."""
    beside = ml / "model" / "code"
    named = os.environ.get("SAGEMAKER_SUBMIT_DIRECTORY", "").removeprefix("file://")
    if named.startswith("s3://"):
        import boto3

        target = ml / "code"
        target.mkdir(exist_ok=True)
        bucket, _, key = named.removeprefix("s3://").partition("/")
        packed = io.BytesIO(boto3.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read())
        with tarfile.open(fileobj=packed) as archive:
            archive.extractall(target, filter="data")
        return target
    if not (beside / program).is_file() and named and Path(named, program).is_file():
        return Path(named)
    return beside


class Model:
    """The user's model and functions."""

    def __init__(self, ml: Path) -> None:
        program = Path(os.environ.get("SAGEMAKER_PROGRAM") or "inference.py").name
        code = code_folder(ml, program)
        if (code / "requirements.txt").is_file():
            subprocess.run(
                [sys.executable, "-m", "pip", "install", "-r", str(code / "requirements.txt")], check=True
            )
        module = None
        if (code / program).is_file():
            sys.path.insert(0, str(code))
            os.chdir(code)
            module = importlib.import_module(Path(program).stem)
        elif os.environ.get("SAGEMAKER_PROGRAM"):
            raise FileNotFoundError(f"{program} is not in {code}")
        self.folder = str(ml / "model")
        self.input: Callable[..., Any] = getattr(module, "input_fn", default_input_fn)
        self.predict: Callable[..., Any] = getattr(module, "predict_fn", default_predict_fn)
        self.output: Callable[..., Any] = getattr(module, "output_fn", default_output_fn)
        self.transform: Callable[..., Any] | None = getattr(module, "transform_fn", None)
        load = getattr(module, "model_fn", default_model_fn)
        self.model = call(load, self.folder, context=Context({"model_dir": self.folder}))

    def answer(
        self, data: bytes, content_type: str, accept: str, headers: dict[str, str]
    ) -> tuple[int, bytes, str]:
        """(status, body, content type) for one invocation; what the functions raise becomes 415, 406 or 500."""
        context = Context({"model_dir": self.folder}, headers)
        try:
            given = data.decode() if media(content_type) in TEXT else data
            if self.transform:
                made = call(self.transform, self.model, given, content_type, accept, context=context)
            else:
                try:
                    read = call(self.input, given, content_type, context=context)
                except Unsupported:
                    return (
                        415,
                        f"Content type {content_type} is not supported by this model.".encode(),
                        "text/plain",
                    )
                predicted = call(self.predict, read, self.model, context=context)
                try:
                    made = call(self.output, predicted, accept, context=context)
                except Unsupported:
                    return 406, f"Accept {accept} is not supported by this model.".encode(), "text/plain"
            if hasattr(made, "get_data"):  # a Flask response, which is what the image's own output_fn returns
                return made.status_code, made.get_data(), made.mimetype
            body, kind = made if isinstance(made, tuple) else (made, accept)
            if not isinstance(body, str | bytes | bytearray):
                raise TypeError(f"output_fn must return text or bytes, got {type(body).__name__}")
            return 200, body.encode() if isinstance(body, str) else bytes(body), kind
        except Exception as problem:
            traceback.print_exc()
            sys.stderr.flush()
            return 500, "".join(traceback.format_exception_only(problem)).strip().encode(), "text/plain"


class Handler(BaseHTTPRequestHandler):
    """The container's three paths; `model` is set on the class before serving."""

    model: Model
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body leave in one packet
    disable_nagle_algorithm = True

    def reply(self, status: int, body: bytes, kind: str = "text/plain") -> None:
        """Send one whole answer."""
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        """/ping, and what batch transform asks first."""
        if self.path == "/ping":
            self.reply(200, b"")
        elif self.path == "/execution-parameters":
            known = {"MaxConcurrentTransforms": 1, "BatchStrategy": "MULTI_RECORD", "MaxPayloadInMB": 6}
            self.reply(200, json.dumps(known).encode(), JSON)
        else:
            self.reply(404, b"")

    def do_POST(self) -> None:
        """/invocations."""
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path != "/invocations":
            self.reply(404, b"")
            return
        accept = self.headers.get("Accept") or "*/*"
        if accept == "*/*":
            accept = os.environ.get("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT") or JSON
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.reply(*self.model.answer(data, self.headers.get("Content-Type") or JSON, accept, headers))

    def log_message(self, format: str, *args: Any) -> None:
        """Requests in the log, as the container's own web server has them; not the health checks."""
        if args and "/ping" not in str(args[0]):
            print(format % args, flush=True)


class Server(ThreadingHTTPServer):
    """An HTTP server on a socket that listens already."""

    daemon_threads = True

    def __init__(self, descriptor: int) -> None:
        super().__init__(("127.0.0.1", 0), Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = socket.socket(fileno=descriptor)


def main() -> None:
    """Load the model, then serve until killed; a model that cannot be loaded ends the process with its traceback."""
    started = time.monotonic()
    Handler.model = Model(Path(sys.argv[1]))
    print(f"model loaded in {time.monotonic() - started:.2f} s", flush=True)
    Server(int(sys.argv[2])).serve_forever()


if __name__ == "__main__":
    main()
