"""model_engineering/registry.py and processing.py, against the local AWS."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jobs
import pytest
from boto3.session import Session

from kit.errors import KitError
from kit.local_aws import client as local_client
from kit.local_aws import process

registry, processing = jobs.load("model_engineering", "registry", "processing")


@pytest.fixture(scope="module")
def boto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Any]]:
    server = process.up(tmp_path_factory.mktemp("state") / "aws")
    session = Session(local_client.KEY, "local", region_name="us-east-1")
    yield lambda service: session.client(service, endpoint_url=server.url)
    process.down(server.folder)


def test_a_version_waits_for_approval_with_what_it_takes_to_judge_it(boto: Callable[[str], Any]) -> None:
    sm = boto("sagemaker")
    for _ in range(2):  # the second time it is there
        registry.grouped(sm, "models", [{"Key": "eba:card", "Value": "M2"}])
    assert len(sm.list_model_package_groups()["ModelPackageGroupSummaryList"]) == 1
    boto("s3").create_bucket(Bucket="models-bucket")
    boto("s3").put_object(Bucket="models-bucket", Key="model.tar.gz", Body=b"archive")
    arn = registry.registered(
        sm,
        "models",
        image="683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.4-2-cpu-py3",
        model="s3://models-bucket/model.tar.gz",
        description="x" * 2000,
        quality="s3://models-bucket/quality.json",
        details={"metric": "auc", "long": "y" * 500},
    )
    version = sm.describe_model_package(ModelPackageName=arn)
    assert version["ModelApprovalStatus"] == "PendingManualApproval"
    assert version["CustomerMetadataProperties"] == {"metric": "auc", "long": "y" * 256}
    assert len(version["ModelPackageDescription"]) == 1024
    (container,) = version["InferenceSpecification"]["Containers"]
    assert container["Environment"]["SAGEMAKER_PROGRAM"] == "inference.py"
    assert version["ModelMetrics"]["ModelQuality"]["Statistics"]["S3Uri"].endswith("quality.json")


def test_a_checksum_of_data_follows_what_lies_there(boto: Callable[[str], Any]) -> None:
    s3 = boto("s3")
    s3.create_bucket(Bucket="data-bucket")

    def now() -> str:
        return str(registry.data_digest(s3, "s3://data-bucket/eba/train"))

    empty = now()
    s3.put_object(Bucket="data-bucket", Key="eba/train/a.parquet", Body=b"one")
    first = now()
    s3.put_object(Bucket="data-bucket", Key="eba/test/a.parquet", Body=b"elsewhere")
    assert now() == first != empty
    s3.put_object(Bucket="data-bucket", Key="eba/train/a.parquet", Body=b"two")
    assert now() != first


def test_a_checksum_of_code_follows_names_and_content(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text("print(1)")
    first = registry.code_digest(tmp_path)
    (tmp_path / "notes.md").write_text("no code")
    (tmp_path / "__pycache__").mkdir()
    assert registry.code_digest(tmp_path) == first
    (tmp_path / "script.py").rename(tmp_path / "other.py")
    assert registry.code_digest(tmp_path) != first


def test_an_archive_has_its_files_at_the_top(tmp_path: Path) -> None:
    (tmp_path / "model" / "code").mkdir(parents=True)
    (tmp_path / "model" / "code" / "inference.py").write_text("x")
    (tmp_path / "model" / "model.txt").write_text("y")
    checksum = registry.packed(tmp_path / "model", tmp_path / "model.tar.gz")
    with tarfile.open(tmp_path / "model.tar.gz") as archive:
        assert sorted(archive.getnames()) == ["code", "code/inference.py", "model.txt"]
    assert checksum == hashlib.sha256((tmp_path / "model.tar.gz").read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("told", "said", "hint"),
    [
        ({"ExitMessage": "No rows.\nGive rows."}, "did not complete: No rows.", "Give rows."),
        ({"FailureReason": "ResourceLimitExceeded"}, "ResourceLimitExceeded", "Read its log in CloudWatch."),
        ({}, "it was stopped", "Read its log in CloudWatch."),
    ],
)
def test_a_job_that_did_not_complete_says_why(
    monkeypatch: pytest.MonkeyPatch, told: dict[str, str], said: str, hint: str
) -> None:
    import sagemaker.core.processing as sdk

    asked: dict[str, Any] = {}
    ended = SimpleNamespace(processing_job_name="eba-m2-evaluate-1", wait=lambda poll: None)
    made = SimpleNamespace(latest_job=ended, run=lambda **given: asked.update(given))
    monkeypatch.setattr(sdk, "FrameworkProcessor", lambda **_: made)
    client = SimpleNamespace(
        describe_processing_job=lambda ProcessingJobName: {"ProcessingJobStatus": "Failed", **told}
    )
    rb = SimpleNamespace(region="us-east-1", role="arn:aws:iam::123456789012:role/r", tags=[], poll=1)
    rb.sagemaker, rb.session = None, SimpleNamespace(client=lambda _: client)
    rb.network = SimpleNamespace(processing=None)
    rb.name = lambda stem: f"eba-m2-{stem}-1"
    with pytest.raises(KitError) as failed:
        processing.run(
            rb,
            Path("jobs/tune_data"),
            {"models/M1": "s3://b/m"},
            {"report": "s3://b/r"},
            ["--seed", "0"],
            image="1.4-2-py312",
            instance_type="ml.m5.large",
        )
    assert said in str(failed.value)
    assert failed.value.hint == hint
    (given,) = asked["inputs"]
    assert (given.input_name, given.s3_input.local_path) == (
        "models-M1",
        "/opt/ml/processing/input/models/M1",
    )
    assert asked["job_name"] == "eba-m2-tune-data-1"
