"""What the serving script makes of the user's functions, without a server around it."""

from __future__ import annotations

import importlib
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest

from kit.local_aws.containers import IMAGE

SCRIPT = """
from werkzeug.wrappers import Response

def model_fn(model_dir): return None
def input_fn(data, content_type): return data
def predict_fn(data, model): return data
def output_fn(prediction, accept): return Response('{"error": "no rows"}', status=400, mimetype="application/json")
"""


@pytest.fixture
def serving(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(IMAGE))
    module = importlib.import_module("serving")
    yield module
    del sys.modules["serving"]


def test_a_response_of_output_fn_keeps_its_status_body_and_type(
    serving: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in SageMaker's scikit-learn image, whose own output_fn returns a Flask response: so a script can answer 400."""
    name = f"inference_{uuid.uuid4().hex}"
    (tmp_path / "model" / "code").mkdir(parents=True)
    (tmp_path / "model" / "code" / f"{name}.py").write_text(SCRIPT)
    monkeypatch.setenv("SAGEMAKER_PROGRAM", f"{name}.py")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    model = serving.Model(tmp_path)
    assert model.answer(b"", "text/csv", "*/*", {}) == (400, b'{"error": "no rows"}', "application/json")
