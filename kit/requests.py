"""What a runbook asks of AWS, kept request by request where `KIT_REQUESTS` names a folder; off otherwise.

`make golden` makes the files of tests/golden of it; with target = aws it shows which rights a runbook needs.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from boto3.session import Session as BotoSession

__all__ = ["CUT", "FOLDER", "keep"]

FOLDER = "KIT_REQUESTS"
"""The environment variable that names the folder."""

CUT = "(data)"
"""Stands for data: the body of an object, of a record, of a request to an endpoint."""

_lock = threading.Lock()
_file: Path | None = None
_session: BotoSession | None = None


def keep(card: str, session: BotoSession) -> None:
    """Append each request of this process to `<folder>/<card>.jsonl` from here on, where the environment names a folder.

    A line is `{"service", "action", "params", "own", "code"}`: botocore's names, the parameters without data, whether
    it was signed with the keys of `session`, and the error that it was answered with ("" for none). Of the sessions that
    there are already only `session` is heard.
    """
    global _file, _session
    folder = os.environ.get(FOLDER, "")
    if not folder:
        return
    if _file is None:
        from botocore import handlers

        for event, handler in (
            ("before-parameter-build.*.*", _note),
            ("before-call.*.*", _read),
            ("after-call.*.*", _write),
        ):
            handlers.BUILTIN_HANDLERS.append((event, handler))
            session.events.register(event, handler)
    _file, _session = Path(folder) / f"{card}.jsonl", session
    _file.parent.mkdir(parents=True, exist_ok=True)


def _note(params: Mapping[str, Any], context: dict[str, Any], **_: Any) -> None:
    context["kit_asked"] = params


def _read(model: Any, request_signer: Any, context: dict[str, Any], **_: Any) -> None:
    """Take the parameters down before they are sent: a body can be read once."""
    assert _session is not None
    signer, own = request_signer._credentials, _session.get_credentials()
    context["kit_request"] = {
        "service": model.service_model.service_name,
        "action": model.name,
        "params": _plain(context.get("kit_asked", {})),
        "own": bool(signer and own and signer.access_key == own.access_key),
    }


def _write(parsed: Mapping[str, Any], context: Mapping[str, Any], **_: Any) -> None:
    code = str(parsed.get("Error", {}).get("Code", ""))
    line = json.dumps({**context["kit_request"], "code": code}) + "\n"
    with _lock:
        assert _file is not None
        with _file.open("a", encoding="utf-8") as file:
            file.write(line)


def _plain(value: Any) -> Any:
    """The value as JSON has it: times in ISO 8601, data cut."""
    if isinstance(value, Mapping):
        return {str(name): _plain(held) for name, held in value.items()}
    if isinstance(value, list | tuple | set):
        return [_plain(held) for held in value]
    if isinstance(value, datetime):
        moment = value if value.tzinfo else value.replace(tzinfo=UTC)
        return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if isinstance(value, date):
        return value.isoformat()
    return value if value is None or isinstance(value, bool | int | float | str) else CUT
