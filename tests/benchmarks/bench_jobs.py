"""A training job on the local AWS beside the same script run by hand; and what else people wait for, each by the real SDK.

The rounds are interleaved. "create to end" is the job alone, from CreateTrainingJob to its last status; "ModelTrainer.train" has the
SDK's upload of the code and its waiting on top. Prints medians and their ratio to the script by hand.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import io
import logging
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "local_aws"))

from lab import BUCKET, IMAGE, JOBS, Lab

from kit.local_aws import process
from kit.local_aws.containers import binds_ml

INVOCATIONS = 300


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args(argv).rounds
    versions = ", ".join(
        f"{name} {importlib.metadata.version(name)}" for name in ("sagemaker", "moto", "scikit-learn")
    )
    bound = "bound" if binds_ml() else "replaced"
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}, {versions}")
    print(f"/opt/ml is {bound}; {rounds} rounds")
    with tempfile.TemporaryDirectory(prefix="kit-bench-") as folder:
        lab = Lab(process.up(Path(folder) / "aws"))
        try:
            with lab.current():
                logging.disable()
                measure(lab, rounds, Path(folder))
        finally:
            process.down(Path(folder) / "aws")


def measure(lab: Lab, rounds: int, folder: Path) -> None:
    lab.put("data/train/table.csv", (JOBS / "table.csv").read_bytes())
    ways: dict[str, Callable[[], float]] = {
        "script by hand": lambda: timed(lambda: by_hand(folder)),
        "job, create to end": lambda: job_alone(lab),
        "ModelTrainer.train": lambda: timed(lambda: model_trainer(lab)),
        "ScriptProcessor.run": lambda: timed(lambda: script_processor(lab)),
    }
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for work in ways.values():
        work()  # caches are warm in every way
    for _ in range(rounds):
        for way, work in ways.items():
            seconds[way].append(work())
    medians = {way: statistics.median(took) for way, took in seconds.items()}
    for way, took in medians.items():
        spread = f"{min(seconds[way]):.2f} to {max(seconds[way]):.2f}"
        print(f"{way:20} {took:.2f} s ({spread}), {took / medians['script by hand']:.2f} times the script")
    deploy(lab)


def timed(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def by_hand(folder: Path) -> None:
    """The job's command as one would type it, with the threads that a job gets."""
    (folder / "model").mkdir(exist_ok=True)
    threads = str(max(1, min(4, (os.cpu_count() or 1) // 2)))
    subprocess.run(
        [sys.executable, "train.py", "--c", "0.5", "--train", ".", "--model-dir", str(folder / "model")],
        cwd=JOBS,
        env={**os.environ, "OMP_NUM_THREADS": threads},
        stdout=subprocess.DEVNULL,
        check=True,
    )


def job_alone(lab: Lab) -> float:
    """Seconds of one job that ModelTrainer's request makes, without the SDK's share."""
    from sagemaker.core.training.configs import InputData

    trainer = model_trainer_of(lab)
    request = trainer._create_training_job_args(
        input_data_config=[InputData(channel_name="train", data_source=f"s3://{BUCKET}/data/train")],
        boto3=True,
    )
    request = {name: value for name, value in request.items() if value is not None}
    began = time.perf_counter()
    lab.client("sagemaker").create_training_job(**request)
    job = lab.training(request["TrainingJobName"])
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    return time.perf_counter() - began


def model_trainer_of(lab: Lab) -> Any:
    from sagemaker.core.training.configs import Compute, OutputDataConfig, SourceCode
    from sagemaker.train import ModelTrainer

    return ModelTrainer(
        training_image=IMAGE,
        source_code=SourceCode(source_dir=str(JOBS), entry_script="train.py"),
        role=lab.role,
        sagemaker_session=lab.sagemaker,
        compute=Compute(instance_type="ml.m5.large", instance_count=1),
        base_job_name=f"bench-{time.monotonic_ns()}",
        hyperparameters={"c": 0.5},
        output_data_config=OutputDataConfig(s3_output_path=f"s3://{BUCKET}/out"),
    )


def model_trainer(lab: Lab) -> None:
    from sagemaker.core.training.configs import InputData

    model_trainer_of(lab).train(
        input_data_config=[InputData(channel_name="train", data_source=f"s3://{BUCKET}/data/train")],
        logs=False,
    )


def script_processor(lab: Lab) -> None:
    from sagemaker.core.processing import ScriptProcessor
    from sagemaker.core.shapes import ProcessingInput, ProcessingS3Input

    source = ProcessingS3Input(
        s3_uri=f"s3://{BUCKET}/data/train",
        local_path="/opt/ml/processing/input/data",
        s3_data_type="S3Prefix",
        s3_input_mode="File",
    )
    ScriptProcessor(
        role=lab.role,
        image_uri=IMAGE,
        command=["python3"],
        instance_count=1,
        instance_type="ml.m5.large",
        base_job_name=f"bench-{time.monotonic_ns()}",
        sagemaker_session=lab.sagemaker,
    ).run(
        code=str(JOBS / "split.py"),
        inputs=[ProcessingInput(input_name="data", s3_input=source)],
        outputs=[],
        arguments=["--input", "/opt/ml/processing/input/data", "--output", "/opt/ml/processing/out"],
        logs=False,
    )


def deploy(lab: Lab) -> None:
    """ModelBuilder's build and deploy, and the latency of an invocation of two rows."""
    import joblib
    import numpy as np
    from sagemaker.core.training.configs import SourceCode
    from sagemaker.serve import ModelBuilder
    from sklearn.linear_model import LogisticRegression

    rows = np.random.default_rng(0).normal(size=(100, 4))
    packed = io.BytesIO()
    joblib.dump(LogisticRegression().fit(rows, rows[:, 0] > 0), packed)
    builder = ModelBuilder(
        image_uri=IMAGE,
        s3_model_data_url=lab.put_archive("bench/model.tar.gz", {"model.joblib": packed.getvalue()}),
        source_code=SourceCode(source_dir=str(JOBS), entry_script="inference.py"),
        role_arn=lab.role,
        instance_type="ml.m5.large",
        sagemaker_session=lab.sagemaker,
    )
    build = timed(builder.build)
    up = timed(lambda: builder.deploy(endpoint_name="bench", initial_instance_count=1, wait=False))
    up += timed(lambda: lab.endpoint("bench"))
    runtime = lab.client("sagemaker-runtime")
    body = b"1,2,3,4\n-1,0,0,0\n"
    took = sorted(
        timed(lambda: runtime.invoke_endpoint(EndpointName="bench", Body=body, ContentType="text/csv"))
        for _ in range(INVOCATIONS)
    )
    print(f"ModelBuilder.build {build:.2f} s, deploy to InService {up:.2f} s")
    print(f"invoke p50 {took[len(took) // 2] * 1000:.1f} ms, p99 {took[int(len(took) * 0.99)] * 1000:.1f} ms")
    lab.client("sagemaker").delete_endpoint(EndpointName="bench")


if __name__ == "__main__":
    main()
