"""Processing jobs through the SDK and boto3: inputs, outputs, hosts, failures."""

from __future__ import annotations

import io
import json
import uuid
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from botocore.exceptions import ClientError
from lab import BUCKET, IMAGE, JOBS, Lab

pytestmark = [  # the SDK's own
    pytest.mark.filterwarnings("ignore:sagemaker.* has been moved:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Importing from sagemaker.*:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Implicitly cleaning up:ResourceWarning"),
]
GROUP = "/aws/sagemaker/ProcessingJobs"
INPUT, OUTPUT = "/opt/ml/processing/input/data", "/opt/ml/processing/output"


def unique(name: str) -> str:
    return f"{name}-{uuid.uuid4().hex[:8]}"


def s3_input(name: str, uri: str, path: str, **more: Any) -> dict[str, Any]:
    return {
        "InputName": name,
        "S3Input": {
            "S3Uri": uri,
            "LocalPath": path,
            "S3DataType": "S3Prefix",
            "S3InputMode": "File",
            **more,
        },
    }


def submit(
    lab: Lab,
    script: str,
    inputs: list[dict[str, Any]] | None = None,
    outputs: dict[str, str] | None = None,
    hosts: int = 1,
    mode: str = "EndOfJob",
    **more: Any,
) -> str:
    """The name of a new processing job that runs this script; outputs are {path in the container: URI}."""
    name = more.pop("ProcessingJobName", unique("job"))
    code = lab.put(f"{name}/code/job.py", script).rsplit("/", 1)[0]
    made = [
        {
            "OutputName": f"o{n}",
            "S3Output": {"S3Uri": uri, "LocalPath": path, "S3UploadMode": mode},
        }
        for n, (path, uri) in enumerate((outputs or {}).items())
    ]
    request = {
        "ProcessingJobName": name,
        "ProcessingInputs": [s3_input("code", code, "/opt/ml/processing/input/code"), *(inputs or [])],
        "ProcessingOutputConfig": {"Outputs": made},
        "ProcessingResources": {
            "ClusterConfig": {"InstanceCount": hosts, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1}
        },
        "AppSpecification": {
            "ImageUri": IMAGE,
            "ContainerEntrypoint": ["python3", "/opt/ml/processing/input/code/job.py"],
            **more.pop("AppSpecification", {}),
        },
        "RoleArn": lab.role,
        "StoppingCondition": {"MaxRuntimeInSeconds": 120},
        **more,
    }
    if not made:
        del request["ProcessingOutputConfig"]
    lab.client("sagemaker").create_processing_job(**request)
    return name


def processor(lab: Lab, kind: str, **more: Any) -> Any:
    from sagemaker.core import processing

    return getattr(processing, kind)(
        role=lab.role,
        image_uri=IMAGE,
        command=["python3"],
        instance_count=1,
        instance_type="ml.m5.large",
        base_job_name=unique("sdk"),
        sagemaker_session=lab.sagemaker,
        env={"GREETING": "hello"},
        **more,
    )


def shapes(lab: Lab, prefix: str) -> tuple[list[Any], list[Any]]:
    """The inputs and outputs of a job in the SDK's words."""
    from sagemaker.core.shapes import (
        ProcessingInput,
        ProcessingOutput,
        ProcessingS3Input,
        ProcessingS3Output,
    )

    uri = lab.put(f"{prefix}/in/table.csv", (JOBS / "table.csv").read_bytes())
    source = ProcessingS3Input(
        s3_uri=uri.rsplit("/", 1)[0], local_path=INPUT, s3_data_type="S3Prefix", s3_input_mode="File"
    )
    target = ProcessingS3Output(
        s3_uri=f"s3://{BUCKET}/{prefix}/out", local_path=OUTPUT, s3_upload_mode="EndOfJob"
    )
    return [ProcessingInput(input_name="data", s3_input=source)], [
        ProcessingOutput(output_name="split", s3_output=target)
    ]


def check_split(lab: Lab, prefix: str, job: dict[str, Any]) -> None:
    assert job["ProcessingJobStatus"] == "Completed", job.get("FailureReason")
    assert job["ProcessingEndTime"] >= job["ProcessingStartTime"]
    assert lab.keys(f"{prefix}/out") == [f"{prefix}/out/test/part.csv", f"{prefix}/out/train/part.csv"]
    parts = [pd.read_csv(io.BytesIO(lab.get(f"s3://{BUCKET}/{key}"))) for key in lab.keys(f"{prefix}/out")]
    assert [len(part) for part in parts] == [50, 150]
    whole = pd.concat(reversed(parts), ignore_index=True)
    pd.testing.assert_frame_equal(whole, pd.read_csv(JOBS / "table.csv"))
    said = json.loads(lab.log(GROUP, f"{job['ProcessingJobName']}/algo-1-")[-1])
    assert said == {"rows": 200, "greeting": "hello"}


def test_script_processor_splits_a_table(either: Lab) -> None:
    prefix = unique("script")
    inputs, outputs = shapes(either, prefix)
    work = processor(either, "ScriptProcessor")
    work.run(
        code=str(JOBS / "split.py"),
        inputs=inputs,
        outputs=outputs,
        arguments=["--share", "0.75", "--input", INPUT, "--output", OUTPUT],
    )
    check_split(either, prefix, either.processing(work.latest_job.processing_job_name))


def test_framework_processor_brings_its_folder_and_requirements(either: Lab, tmp_path: Path) -> None:
    prefix = unique("framework")
    inputs, outputs = shapes(either, prefix)
    source = tmp_path / "jobs"
    source.mkdir()
    (source / "split.py").write_text((JOBS / "split.py").read_text())
    (source / "requirements.txt").write_text("pandas>=2\n")
    work = processor(either, "FrameworkProcessor")
    work.run(
        code="split.py",
        source_dir=str(source),
        inputs=inputs,
        outputs=outputs,
        arguments=["--share", "0.75", "--input", INPUT, "--output", OUTPUT],
    )
    job = either.processing(work.latest_job.processing_job_name)
    check_split(either, prefix, job)
    assert "Requirement already satisfied: pandas>=2" in either.log(GROUP, job["ProcessingJobName"])


def test_a_requirement_that_is_not_met_fails_the_job_by_name(either: Lab, tmp_path: Path) -> None:
    source = tmp_path / "jobs"
    source.mkdir()
    (source / "go.py").write_text("print('never')\n")
    (source / "requirements.txt").write_text("scikit-learn==0.24.0\n")
    work = processor(either, "FrameworkProcessor")
    # The SDK (3.27) cannot raise this failure itself when it waits: it looks for its exception in botocore.
    work.run(code="go.py", source_dir=str(source), inputs=[], outputs=[], wait=False)
    job = either.processing(work.latest_job.processing_job_name)
    assert job["FailureReason"].startswith(
        "AlgorithmError: ERROR: requirements.txt wants scikit-learn==0.24.0 (found 1."
    )


def test_the_containers_configuration_describes_the_job(either: Lab) -> None:
    script = (
        "import json, os\nfrom pathlib import Path\n"
        "ml = Path(__file__).parents[3]\nout = ml / 'processing/out'\n"
        "config = {f.stem: json.loads(f.read_text()) for f in (ml / 'config').glob('*.json')}\n"
        "(out / 'seen.json').write_text(json.dumps({'config': config, 'name': os.environ['PROCESSING_JOB_NAME'], 'cwd': os.getcwd()}))\n"
    )
    uri = f"s3://{BUCKET}/{unique('seen')}"
    name = submit(either, script, outputs={"/opt/ml/processing/out": uri})
    job = either.processing(name)
    assert job["ProcessingJobStatus"] == "Completed", job.get("FailureReason")
    found = json.loads(either.get(f"{uri}/seen.json"))
    assert found["name"] == name
    assert found["config"]["resourceconfig"]["hosts"] == ["algo-1"]
    described = found["config"]["processingjobconfig"]
    assert described["ProcessingJobArn"] == job["ProcessingJobArn"]
    assert described["ProcessingOutputConfig"]["Outputs"][0]["S3Output"]["S3Uri"] == uri
    assert not [member for member in described if member.startswith("_")]


SHARE = """
import json, sys
from pathlib import Path
ml = Path(__file__).parents[3]
me = json.loads((ml / "config/resourceconfig.json").read_text())
files = {name: sorted(f.name for f in (ml / "processing/input" / name).iterdir()) for name in ("shards", "all")}
(ml / "processing/out" / f"{me['current_host']}.json").write_text(json.dumps({"hosts": me["hosts"], **files}))
"""


def test_three_hosts_share_the_keys_and_write_to_one_prefix(either: Lab) -> None:
    lab = either
    prefix = unique("hosts")
    for n in range(7):
        lab.put(f"{prefix}/in/{n}.csv", "x")
    inputs = [
        s3_input(
            "shards",
            f"s3://{BUCKET}/{prefix}/in/",
            "/opt/ml/processing/input/shards",
            S3DataDistributionType="ShardedByS3Key",
        ),
        s3_input("all", f"s3://{BUCKET}/{prefix}/in/", "/opt/ml/processing/input/all"),
    ]
    name = submit(lab, SHARE, inputs, {"/opt/ml/processing/out": f"s3://{BUCKET}/{prefix}/out"}, hosts=3)
    assert lab.processing(name)["ProcessingJobStatus"] == "Completed"
    hosts = ["algo-1", "algo-2", "algo-3"]
    found = [json.loads(lab.get(f"s3://{BUCKET}/{prefix}/out/{host}.json")) for host in hosts]
    assert [host["hosts"] for host in found] == [hosts] * 3
    assert [host["shards"] for host in found] == [
        ["0.csv", "3.csv", "6.csv"],
        ["1.csv", "4.csv"],
        ["2.csv", "5.csv"],
    ]
    assert all(len(host["all"]) == 7 for host in found)
    streams = lab.client("logs").describe_log_streams(logGroupName=GROUP, logStreamNamePrefix=name)
    assert sorted(s["logStreamName"].split("/")[1][:6] for s in streams["logStreams"]) == hosts


def test_one_host_that_fails_ends_the_others_and_tells_why(lab: Lab) -> None:
    script = (
        "import json, time\nfrom pathlib import Path\n"
        "me = json.loads((Path(__file__).parents[3] / 'config/resourceconfig.json').read_text())['current_host']\n"
        "if me == 'algo-2': raise ValueError('shard 2 is empty')\ntime.sleep(300)\n"
    )
    uri = f"s3://{BUCKET}/{unique('none')}"
    job = lab.processing(submit(lab, script, outputs={"/opt/ml/processing/out": uri}, hosts=2))
    assert job["ProcessingJobStatus"] == "Failed"
    assert job["FailureReason"] == "AlgorithmError: ValueError: shard 2 is empty, exit code: 1"


def test_a_failed_job_uploads_only_what_it_would_have_uploaded_on_the_way(lab: Lab) -> None:
    script = (
        "import os, sys\nfrom pathlib import Path\nml = Path(__file__).parents[3]\n"
        "(ml / 'processing/out/half.txt').write_text('half')\n"
        "(ml / 'output/message').write_text('Row 7 has no target.')\nsys.exit(4)\n"
    )
    for mode, kept in (("EndOfJob", 0), ("Continuous", 1)):
        prefix = unique("half")
        name = submit(lab, script, outputs={"/opt/ml/processing/out": f"s3://{BUCKET}/{prefix}"}, mode=mode)
        job = lab.processing(name)
        assert job["ProcessingJobStatus"] == "Failed"
        assert job["ExitMessage"] == "Row 7 has no target."
        assert job["FailureReason"].endswith("exit code: 4")
        assert len(lab.keys(prefix)) == kept


def test_a_hanging_job_is_stopped_when_its_time_is_up(lab: Lab) -> None:
    name = submit(lab, "import time; time.sleep(300)", StoppingCondition={"MaxRuntimeInSeconds": 1})
    job = lab.processing(name)
    assert job["ProcessingJobStatus"] == "Stopped"
    assert job["ExitMessage"] == "The job was stopped: its MaxRuntimeInSeconds of 1 were over."


def test_a_running_job_can_be_stopped_and_a_stopped_one_cannot(lab: Lab) -> None:
    sagemaker = lab.client("sagemaker")
    name = submit(lab, "import time; print('on', flush=True); time.sleep(300)")
    sagemaker.stop_processing_job(ProcessingJobName=name)
    assert lab.processing(name)["ProcessingJobStatus"] == "Stopped"
    with pytest.raises(ClientError, match="processing job is in status Stopped"):
        sagemaker.stop_processing_job(ProcessingJobName=name)
    with pytest.raises(ClientError, match="Could not find requested job with name: no-such-job"):
        sagemaker.describe_processing_job(ProcessingJobName="no-such-job")


def test_an_input_without_objects_is_a_client_error(lab: Lab) -> None:
    missing = s3_input("data", f"s3://{BUCKET}/nothing", INPUT)
    job = lab.processing(submit(lab, "print(1)", [missing]))
    assert job["FailureReason"].startswith("ClientError: No S3 objects found under S3 URL")
    assert "ProcessingStartTime" not in job


def test_an_empty_output_is_no_error(lab: Lab) -> None:
    prefix = unique("empty")
    name = submit(lab, "print(1)", outputs={"/opt/ml/processing/out": f"s3://{BUCKET}/{prefix}"})
    assert lab.processing(name)["ProcessingJobStatus"] == "Completed"
    assert lab.keys(prefix) == []


@pytest.mark.parametrize(
    ("changes", "code", "said"),
    [
        ({"hosts": 9}, "ResourceLimitExceeded", "is 8 Instances"),
        ({"RoleArn": "arn:aws:iam::{account}:role/nobody"}, "ValidationException", "Could not assume"),
        ({"outputs": {"/tmp/out": f"s3://{BUCKET}/x"}}, "ValidationException", "below /opt/ml only"),
        (
            {"inputs": [s3_input("d", f"s3://{BUCKET}/x", INPUT, S3InputMode="Pipe")]},
            "ValidationException",
            "no Pipe mode",
        ),
        (
            {"inputs": [s3_input("d", f"s3://{BUCKET}/x", INPUT, S3DataType="ManifestFile")]},
            "ValidationException",
            "S3Prefix inputs only",
        ),
    ],
)
def test_what_cannot_be_done_is_refused_at_once(
    lab: Lab, changes: dict[str, Any], code: str, said: str
) -> None:
    if "RoleArn" in changes:
        changes = {"RoleArn": changes["RoleArn"].replace("{account}", lab.server.account)}
    with pytest.raises(ClientError) as refused:
        submit(lab, "print(1)", **changes)
    assert refused.value.response["Error"]["Code"] == code
    assert said in refused.value.response["Error"]["Message"]


def test_jobs_are_listed_and_deleted(lab: Lab) -> None:
    sagemaker = lab.client("sagemaker")
    name = submit(lab, "print(1)")
    lab.processing(name)
    [found] = sagemaker.list_processing_jobs(NameContains=name)["ProcessingJobSummaries"]
    assert found["ProcessingJobStatus"] == "Completed"
    sagemaker.delete_processing_job(ProcessingJobName=name)
    assert sagemaker.list_processing_jobs(NameContains=name)["ProcessingJobSummaries"] == []
