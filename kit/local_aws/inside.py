"""The server's own calls to itself, without a socket: half the time of a small request, and no second copy of a large one."""

from __future__ import annotations

import io
import sys
import weakref
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from botocore.awsrequest import AWSResponse

if TYPE_CHECKING:
    from kit.local_aws.front import App

__all__ = ["Inside"]


class _Body(io.BytesIO):
    """An answer's body as botocore reads it from urllib3."""

    def stream(self, amt: int = 65536, decode_content: bool | None = None) -> Iterator[bytes]:
        """Its content in pieces."""
        while piece := self.read(amt):
            yield piece


def _bytes(body: Any) -> bytes:
    """A request's body, whatever botocore holds it as."""
    if body is None or isinstance(body, str):
        return (body or "").encode()
    return bytes(body) if isinstance(body, bytes | bytearray) else bytes(body.read())


class Inside:
    """Stands where a botocore client has its HTTP session, and asks the application itself."""

    def __init__(self, app: App) -> None:
        self._app = weakref.ref(app)

    def send(self, request: Any) -> AWSResponse:
        """The application's answer to a prepared request."""
        app = self._app()
        assert app is not None
        parts = urlsplit(request.url)
        content = _bytes(request.body)
        path = request.url[len(parts.scheme) + 3 + len(parts.netloc) :] or "/"
        environ: dict[str, Any] = {
            "REQUEST_METHOD": request.method,
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote(parts.path or "/", "latin-1"),
            "QUERY_STRING": parts.query,
            "RAW_URI": path,
            "REQUEST_URI": path,
            "SERVER_NAME": parts.hostname,
            "SERVER_PORT": str(parts.port or 80),
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "127.0.0.1",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": parts.scheme,
            "wsgi.input": io.BytesIO(content),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }
        for name, value in request.headers.items():
            key = name.upper().replace("-", "_")
            said = value.decode() if isinstance(value, bytes) else str(value)
            environ[key if key == "CONTENT_TYPE" else f"HTTP_{key}"] = said
        environ.pop("HTTP_TRANSFER_ENCODING", None)
        environ |= {"HTTP_HOST": parts.netloc, "CONTENT_LENGTH": str(len(content))}
        answered: list[tuple[int, list[tuple[str, str]]]] = []

        def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> None:
            answered.append((int(status.split()[0]), headers))

        raw = _Body(b"".join(app(environ, start_response)))
        status, headers = answered[-1]
        return AWSResponse(request.url, status, dict(headers), raw)

    def close(self) -> None:
        """Nothing is open."""
