"""What a framework's training image does with the hyperparameters `sagemaker_program` and `sagemaker_submit_directory`.

The contract is the SageMaker Training Toolkit's (github.com/aws/sagemaker-training-toolkit, ENVIRONMENT_VARIABLES.md): fetch
and unpack the code, meet its requirements.txt, set SM_*, and become `python <program> --<hyperparameter> <value> ...`.
Run as `python script_mode.py ML` with the folder that stands for /opt/ml.
"""

# ruff: noqa: T201 - what a container prints is its log

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

OWN = ("sagemaker_", "_tuning_objective_metric")  # hyperparameters that are the platform's, not the script's


def plain(value: str) -> Any:
    """A hyperparameter as the script means it: JSON where it is JSON, else the text."""
    try:
        return json.loads(value)
    except ValueError:
        return value


def text(value: Any) -> str:
    """A value as it stands on a command line or in a variable."""
    return value if isinstance(value, str) else json.dumps(value)


def variables(
    ml: Path, given: dict[str, Any], resources: dict[str, Any], channels: dict[str, Any]
) -> dict[str, Any]:
    """SM_* for hyperparameters `given`, the resource configuration and the channels; values of any JSON type."""
    users = {name: value for name, value in given.items() if not name.startswith(OWN)}
    arguments = [word for name, value in users.items() for word in (f"--{name}", text(value))]
    found: dict[str, Any] = {
        "SM_MODEL_DIR": str(ml / "model"),
        "SM_INPUT_DIR": str(ml / "input"),
        "SM_INPUT_CONFIG_DIR": str(ml / "input/config"),
        "SM_OUTPUT_DIR": str(ml / "output"),
        "SM_OUTPUT_DATA_DIR": str(ml / "output/data"),
        "SM_OUTPUT_INTERMEDIATE_DIR": str(ml / "output/intermediate"),
        "SM_CHANNELS": sorted(channels),
        "SM_HPS": users,
        "SM_USER_ARGS": arguments,
        "SM_USER_ENTRY_POINT": given["sagemaker_program"],
        "SM_MODULE_NAME": Path(given["sagemaker_program"]).stem,
        "SM_MODULE_DIR": given.get("sagemaker_submit_directory", str(ml / "code")),
        "SM_CURRENT_HOST": resources["current_host"],
        "SM_HOSTS": resources["hosts"],
        "SM_CURRENT_INSTANCE_TYPE": resources.get("current_instance_type", ""),
        "SM_NETWORK_INTERFACE_NAME": resources["network_interface_name"],
        "SM_NUM_CPUS": os.cpu_count() or 1,
        "SM_NUM_GPUS": 0,
        "SM_LOG_LEVEL": given.get("sagemaker_container_log_level", 20),
        "SM_RESOURCE_CONFIG": resources,
        "SM_INPUT_DATA_CONFIG": channels,
    }
    found |= {f"SM_CHANNEL_{name.upper()}": str(ml / "input/data" / name) for name in channels}
    found |= {f"SM_HP_{name.upper().replace('-', '_')}": value for name, value in users.items()}
    found["SM_TRAINING_ENV"] = {
        "channel_input_dirs": {name: str(ml / "input/data" / name) for name in channels},
        "current_host": resources["current_host"],
        "hosts": resources["hosts"],
        "hyperparameters": users,
        "job_name": os.environ.get("TRAINING_JOB_NAME", ""),
        "model_dir": str(ml / "model"),
        "output_data_dir": str(ml / "output/data"),
        "user_entry_point": given["sagemaker_program"],
    }
    return found


def fetch(source: str, code: Path) -> None:
    """Put the code of `sagemaker_submit_directory` (a tar.gz in S3, or a folder in the container) into `code`."""
    if not source.startswith("s3://"):
        return
    import boto3

    bucket, _, key = source.removeprefix("s3://").partition("/")
    packed = code / "sourcedir.tar.gz"
    boto3.client("s3").download_file(bucket, key, str(packed))
    with tarfile.open(packed) as archive:
        archive.extractall(code, filter="data")


def main() -> int:
    """Prepare, then become the user's script; returns only when the preparation failed."""
    ml = Path(sys.argv[1])
    config = ml / "input/config"
    raw = json.loads((config / "hyperparameters.json").read_text())
    given = {name: plain(value) for name, value in raw.items()}
    source = str(given.get("sagemaker_submit_directory", ml / "code"))
    code = ml / "code" if source.startswith("s3://") else Path(source)
    code.mkdir(parents=True, exist_ok=True)
    fetch(source, code)
    os.chdir(code)
    if Path("requirements.txt").exists():
        check = subprocess.run(
            [sys.executable, "-m", "pip", "install", "-r", "requirements.txt"], check=False
        )
        if check.returncode != 0:
            return check.returncode
    program = given["sagemaker_program"]
    if not Path(program).is_file():
        print(f"ERROR: {program} is not in {source}", file=sys.stderr)
        return 1
    resources = json.loads((config / "resourceconfig.json").read_text())
    channels = json.loads((config / "inputdataconfig.json").read_text())
    values = variables(ml, given, resources, channels)
    os.environ.update({name: text(value) for name, value in values.items()})
    os.environ["PYTHONPATH"] = os.pathsep.join([str(code), os.environ.get("PYTHONPATH", "")]).rstrip(
        os.pathsep
    )
    command = (
        ["/bin/sh", "-c", f'./{program} "$@"', program]
        if program.endswith(".sh")
        else [sys.executable, program]
    )
    command += values["SM_USER_ARGS"]
    print(f"Invoking script with the following command:\n\n{' '.join(command)}\n", flush=True)
    os.execv(command[0], command)


if __name__ == "__main__":
    sys.exit(main())
