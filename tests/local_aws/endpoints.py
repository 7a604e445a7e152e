"""Models, configurations and endpoints for tests, and what their answers look like."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psutil
from hearing import soon
from lab import IMAGE, Lab

ECHO = """
def model_fn(model_dir): return open(model_dir + "/word").read()
def input_fn(data, content_type): return data
def predict_fn(data, model): return f"{model}:{data}"
def output_fn(prediction, accept): return prediction, "text/plain"
"""


def unique(name: str) -> str:
    return f"{name}-{uuid.uuid4().hex[:8]}"


def create_model(lab: Lab, files: dict[str, str | bytes], **container: Any) -> str:
    """The name of a new model whose archive holds the files."""
    name = unique("model")
    uri = lab.put_archive(f"{name}/model.tar.gz", files)
    lab.client("sagemaker").create_model(
        ModelName=name,
        PrimaryContainer={"Image": IMAGE, "ModelDataUrl": uri, **container},
        ExecutionRoleArn=lab.role,
    )
    return name


def create_config(
    lab: Lab, instances: int = 1, capture: dict[str, Any] | None = None, **weights_of: tuple[str, float]
) -> str:
    """The name of a new endpoint configuration: variant=(model, weight)."""
    name = unique("config")
    lab.client("sagemaker").create_endpoint_config(
        EndpointConfigName=name,
        ProductionVariants=[
            {
                "VariantName": variant,
                "ModelName": model,
                "InitialInstanceCount": instances,
                "InstanceType": "ml.m5.large",
                "InitialVariantWeight": weight,
            }
            for variant, (model, weight) in weights_of.items()
        ],
        **({"DataCaptureConfig": capture} if capture else {}),
    )
    return name


def create_endpoint(lab: Lab, config: str) -> dict[str, Any]:
    """A new endpoint, once it is in service or failed."""
    name = unique("endpoint")
    lab.client("sagemaker").create_endpoint(EndpointName=name, EndpointConfigName=config)
    return lab.endpoint(name)


def serve(lab: Lab, files: dict[str, str | bytes], **container: Any) -> str:
    """The name of a new endpoint in service."""
    made = create_endpoint(lab, create_config(lab, All=(create_model(lab, files, **container), 1)))
    assert made["EndpointStatus"] == "InService", made.get("FailureReason")
    return str(made["EndpointName"])


def echo(word: str) -> dict[str, str | bytes]:
    return {"word": word, "code/inference.py": ECHO}


def invoke(lab: Lab, name: str, body: str | bytes, **more: Any) -> tuple[bytes, dict[str, Any]]:
    answer = lab.client("sagemaker-runtime").invoke_endpoint(EndpointName=name, Body=body, **more)
    return answer["Body"].read(), answer


def processes(lab: Lab) -> list[psutil.Process]:
    return psutil.Process(lab.server.pid).children(recursive=True)


def gone(pids: Iterable[int]) -> bool:
    """Whether these processes end in time."""
    return bool(soon(lambda: not any(map(_running, pids))))


def _running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


# An echo that is not loaded before a file is there.
GATED = """
import os, time
def model_fn(model_dir):
    while not os.path.exists(open(model_dir + "/gate").read()):
        time.sleep(0.01)
    return open(model_dir + "/word").read()
"""


def gated(word: str, gate: Path) -> dict[str, str | bytes]:
    """A model that comes up once the file is there, so that nobody misses the time before."""
    return {"word": word, "gate": str(gate), "code/inference.py": ECHO + GATED}


# An echo that takes its time over "slow", and that breaks at "broken"; "bad" gets status 400.
MOODY = """
import time
from werkzeug.wrappers import Response
def model_fn(model_dir): return open(model_dir + "/word").read()
def input_fn(data, content_type): return data if isinstance(data, str) else data.decode("latin-1")
def predict_fn(data, model):
    if data == "slow":
        time.sleep(0.2)
    if data == "broken":
        raise RuntimeError("broken")
    return f"{model}:{data}"
def output_fn(prediction, accept):
    return Response("bad", status=400) if prediction.endswith(":bad") else (prediction, accept)
"""


def moody(word: str) -> dict[str, str | bytes]:
    return {"word": word, "code/inference.py": MOODY}
