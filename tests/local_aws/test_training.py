"""Training jobs through the SDK and boto3: what the script saw, what came out, and why it failed."""

from __future__ import annotations

import io
import json
import time
import uuid
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import psutil
import pytest
from botocore.exceptions import ClientError
from hearing import heard, hearing_queue
from lab import BUCKET, IMAGE, JOBS, Lab, opened

pytestmark = [  # the SDK's own
    pytest.mark.filterwarnings("ignore:sagemaker.* has been moved:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Importing from sagemaker.*:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Implicitly cleaning up:ResourceWarning"),
]
SECONDARY = ["Starting", "Downloading", "Training", "Uploading", "Completed"]


def unique(name: str) -> str:
    return f"{name}-{uuid.uuid4().hex[:8]}"


def submit(lab: Lab, script: str, channels: dict[str, str] | None = None, **more: Any) -> str:
    """The name of a new training job that runs this script."""
    name = more.pop("TrainingJobName", unique("job"))
    channels = {"code": lab.put(f"{name}/code/job.py", script).rsplit("/", 1)[0], **(channels or {})}
    algorithm = {
        "TrainingImage": IMAGE,
        "TrainingInputMode": "File",
        "ContainerEntrypoint": ["python3", "/opt/ml/input/data/code/job.py"],
        **more.pop("AlgorithmSpecification", {}),
    }
    algorithm = {member: value for member, value in algorithm.items() if value is not None}
    request = {
        "TrainingJobName": name,
        "AlgorithmSpecification": algorithm,
        "RoleArn": lab.role,
        "InputDataConfig": [
            {
                "ChannelName": channel,
                "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": uri}},
            }
            for channel, uri in channels.items()
        ],
        "OutputDataConfig": {"S3OutputPath": f"s3://{BUCKET}/out"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": 120},
        **more,
    }
    lab.client("sagemaker").create_training_job(**request)
    return name


def printed(lab: Lab, name: str) -> list[str]:
    return lab.log("/aws/sagemaker/TrainingJobs", f"{name}/algo-1-")


def trainer(lab: Lab, entry: str = "train.py", source: Path = JOBS, **more: Any) -> Any:
    from sagemaker.core.training.configs import Compute, OutputDataConfig, SourceCode
    from sagemaker.train import ModelTrainer

    requirements = more.pop("requirements", None)
    return ModelTrainer(
        training_image=IMAGE,
        source_code=SourceCode(source_dir=str(source), entry_script=entry, requirements=requirements),
        role=lab.role,
        sagemaker_session=lab.sagemaker,
        compute=Compute(instance_type="ml.m5.large", instance_count=1),
        base_job_name=unique("sdk"),
        output_data_config=OutputDataConfig(s3_output_path=f"s3://{BUCKET}/out"),
        **more,
    )


def test_model_trainer_trains_a_model_that_predicts(either: Lab) -> None:
    from sagemaker.core.training.configs import InputData, MetricDefinition

    lab = either
    lab.put("data/train/table.csv", (JOBS / "table.csv").read_bytes())
    work = trainer(lab, hyperparameters={"c": 0.5}).with_metric_definitions(
        [MetricDefinition(name="validation:auc", regex=r"validation:auc=([0-9.]+);")]
    )
    work.train(input_data_config=[InputData(channel_name="train", data_source=f"s3://{BUCKET}/data/train")])
    job = lab.training(work._latest_training_job.training_job_name)

    assert job["TrainingJobStatus"] == "Completed"
    assert [t["Status"] for t in job["SecondaryStatusTransitions"]] == SECONDARY
    assert all(
        t["EndTime"] >= t["StartTime"] and t["StatusMessage"] for t in job["SecondaryStatusTransitions"]
    )
    assert job["BillableTimeInSeconds"] == job["TrainingTimeInSeconds"] >= 1

    model_uri = job["ModelArtifacts"]["S3ModelArtifacts"]
    assert model_uri == f"s3://{BUCKET}/out/{job['TrainingJobName']}/output/model.tar.gz"
    model = joblib.load(io.BytesIO(lab.archive(model_uri)["model.joblib"]))
    assert model.C == 0.5
    table = np.genfromtxt(JOBS / "table.csv", delimiter=",", skip_header=1)
    assert model.score(table[:, :-1], table[:, -1]) > 0.8
    made = json.loads(lab.archive(model_uri.replace("model.tar.gz", "output.tar.gz"))["metrics.json"])

    [final] = job["FinalMetricDataList"]
    assert final["MetricName"] == "validation:auc"
    assert final["Value"] == pytest.approx(made["auc"], abs=1e-6)
    watched = lab.client("cloudwatch").get_metric_statistics(
        Namespace="/aws/sagemaker/TrainingJobs",
        MetricName="validation:auc",
        Dimensions=[{"Name": "TrainingJobName", "Value": job["TrainingJobName"]}],
        StartTime=time.time() - 600,
        EndTime=time.time() + 60,
        Period=3600,
        Statistics=["SampleCount", "Maximum"],
    )["Datapoints"]
    assert [(point["SampleCount"], round(point["Maximum"], 6)) for point in watched] == [
        (3, round(max(final["Value"], point_max(lab, job["TrainingJobName"])), 6)) for point in watched
    ]
    assert "Training Container Execution Completed" in printed(lab, job["TrainingJobName"])


def point_max(lab: Lab, name: str) -> float:
    """The largest value that the script printed."""
    lines = [line for line in printed(lab, name) if "validation:auc=" in line]
    return max(float(line.split("=")[-1].rstrip(";")) for line in lines)


PROBE = """
import json, os
from pathlib import Path
ml = Path(__file__).parents[3]
config = {file.stem: json.loads(file.read_text()) for file in (ml / "input/config").glob("*.json")}
files = sorted(str(file.relative_to(ml)) for file in (ml / "input/data").rglob("*") if file.is_file())
(ml / "model" / "seen.json").write_text(json.dumps({"config": config, "files": files, "env": dict(os.environ)}))
"""


def seen(lab: Lab, name: str) -> Any:
    """What PROBE saw."""
    job = lab.training(name)
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    return json.loads(lab.archive(job["ModelArtifacts"]["S3ModelArtifacts"])["seen.json"])


def test_the_container_has_its_channels_and_configuration(either: Lab) -> None:
    lab = either
    for key in ("a.csv", "deep/b.csv"):
        lab.put(f"probe/table/{key}", "1")
    lab.put("probe/table_of_another", "1")
    name = submit(
        lab,
        PROBE,
        {"table": f"s3://{BUCKET}/probe/table/", "one": f"s3://{BUCKET}/probe/table/a.csv"},
        HyperParameters={"depth": "3", "name": '"x"'},
        Environment={"GREETING": "hello", "WHERE": "/opt/ml/model"},
    )
    found = seen(lab, name)
    assert found["files"] == [
        "input/data/code/job.py",
        "input/data/one/a.csv",
        "input/data/table/a.csv",
        "input/data/table/deep/b.csv",
    ]
    config = found["config"]
    assert config["hyperparameters"] == {"depth": "3", "name": '"x"'}
    assert (config["resourceconfig"]["current_host"], config["resourceconfig"]["hosts"]) == (
        "algo-1",
        ["algo-1"],
    )
    assert config["inputdataconfig"]["table"] == {
        "TrainingInputMode": "File",
        "S3DistributionType": "FullyReplicated",
        "RecordWrapperType": "None",
    }
    assert found["env"]["GREETING"] == "hello"
    assert found["env"]["WHERE"].endswith("/model")
    assert found["env"]["TRAINING_JOB_NAME"] == name


def test_a_job_inherits_neither_secrets_nor_settings_of_the_kit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("KIT_HOME", "KIT_USER", "MY_TOKEN", "PYTHONSTARTUP", "HTTPS_PROXY"):
        monkeypatch.setenv(variable, "leaked")
    with opened(tmp_path / "aws", "bind") as lab, lab.current():
        variables = seen(lab, submit(lab, PROBE))["env"]
    assert "leaked" not in variables.values()
    assert not [name for name in variables if name.startswith(("KIT_", "MOTO_"))]
    assert variables["HOME"].startswith(str(tmp_path))
    assert 1 <= int(variables["OMP_NUM_THREADS"]) <= 4


def test_a_job_calls_aws_as_its_role_and_nothing_leaves_the_machine(lab: Lab) -> None:
    script = (
        "import boto3, botocore.session\n"
        "print('I am', boto3.client('sts').get_caller_identity()['Arn'])\n"
        f"print('found', boto3.client('s3').list_objects_v2(Bucket='{BUCKET}', MaxKeys=1)['KeyCount'])\n"
        "from botocore.awsrequest import AWSRequest\n"
        "try: botocore.httpsession.URLLib3Session().send(AWSRequest('GET', 'https://example.com/').prepare())\n"
        "except Exception as error: print('stopped', type(error).__name__)\n"
    )
    name = submit(lab, script)
    assert lab.training(name)["TrainingJobStatus"] == "Completed"
    lines = printed(lab, name)
    assert lines[0].startswith("I am arn:aws:sts::")
    assert "assumed-role/SageMakerRole/SageMaker" in lines[0]
    assert lines[1:3] == ["found 1", "stopped LocalAwsError"]


def test_script_mode_runs_the_program_with_its_hyperparameters(either: Lab) -> None:
    lab = either
    files = {"train.py": (JOBS / "train.py").read_text(), "requirements.txt": "scikit-learn>1\n# yes\n"}
    uri = lab.put_archive(f"{unique('script')}/sourcedir.tar.gz", files)
    lab.put("data/train/table.csv", (JOBS / "table.csv").read_bytes())
    name = unique("script")
    lab.client("sagemaker").create_training_job(
        TrainingJobName=name,
        AlgorithmSpecification={"TrainingImage": IMAGE, "TrainingInputMode": "File"},
        HyperParameters={
            "sagemaker_program": '"train.py"',
            "sagemaker_submit_directory": json.dumps(uri),
            "c": "0.25",
        },
        RoleArn=lab.role,
        InputDataConfig=[
            {
                "ChannelName": "train",
                "DataSource": {
                    "S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/data/train"}
                },
            }
        ],
        OutputDataConfig={"S3OutputPath": f"s3://{BUCKET}/out/"},
        ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        StoppingCondition={"MaxRuntimeInSeconds": 120},
    )
    job = lab.training(name)
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    files_made = lab.archive(job["ModelArtifacts"]["S3ModelArtifacts"])
    assert joblib.load(io.BytesIO(files_made["model.joblib"])).C == 0.25
    assert "Requirement already satisfied: scikit-learn>1" in printed(lab, name)


def test_the_failure_reason_is_the_scripts_own_error(either: Lab, tmp_path: Path) -> None:
    from sagemaker.core.utils.exceptions import FailedStatusError

    (tmp_path / "bad.py").write_text("print('on')\nraise ValueError('column \"age\" is missing')\n")
    work = trainer(either, "bad.py", tmp_path)
    with pytest.raises(FailedStatusError, match='ValueError: column "age" is missing'):
        work.train()
    job = either.training(work._latest_training_job.training_job_name)
    assert job["FailureReason"].startswith('AlgorithmError: ValueError: column "age" is missing')
    assert job["FailureReason"].endswith("exit code: 1")
    assert job["SecondaryStatus"] == "Failed"
    assert 'ValueError: column "age" is missing' in printed(either, job["TrainingJobName"])


@pytest.mark.parametrize(
    ("script", "code", "said"),
    [
        ("import sys; sys.exit('the table is empty')", 1, "the table is empty"),
        ("import sys; sys.exit(3)", 3, "Please check the logs"),
        ("import os; print('x'); os.kill(os.getpid(), 9)", 137, "x"),
        (
            "try: 1/0\nexcept Exception as e: raise RuntimeError('no split') from e",
            1,
            "RuntimeError: no split",
        ),
        ("def broken(:", 1, "SyntaxError"),
        ("import no_such_library", 1, "No module named 'no_such_library'"),
    ],
)
def test_a_script_that_fails_fails_its_job(lab: Lab, script: str, code: int, said: str) -> None:
    job = lab.training(submit(lab, script))
    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("AlgorithmError: ")
    assert said in job["FailureReason"]
    assert job["FailureReason"].endswith(f", exit code: {code}")


def test_the_failure_file_tells_the_reason(lab: Lab) -> None:
    script = "open('/opt/ml/output/failure', 'w').write('The plan names no target.'); raise SystemExit(2)"
    script = script.replace("'/opt/ml/output/failure'", "__file__.split('/input/')[0] + '/output/failure'")
    job = lab.training(submit(lab, script))
    assert job["FailureReason"] == "AlgorithmError: The plan names no target., exit code: 2"


def test_code_that_spells_opt_ml_works_or_is_told_why_not(either: Lab) -> None:
    from kit.local_aws.containers import binds_ml

    name = submit(either, "import os; open('/opt/' + 'ml/model/m', 'w').write('x')")
    job = either.training(name)
    replaced = "Error" in job.get("FailureReason", "")
    if not replaced:
        assert binds_ml()
        assert either.archive(job["ModelArtifacts"]["S3ModelArtifacts"]) == {"m": b"x"}
    else:
        assert "take paths from SM_* variables or from arguments" in job["FailureReason"]


def test_a_channel_without_objects_fails_the_job_as_a_client_error(lab: Lab) -> None:
    job = lab.training(submit(lab, PROBE, {"train": f"s3://{BUCKET}/nothing/here"}))
    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith(
        f'ClientError: No S3 objects found under S3 URL "s3://{BUCKET}/nothing/here" given in input data source.'
    )
    assert "TrainingStartTime" not in job


def test_a_bucket_that_does_not_exist_fails_the_job_before_it_runs(lab: Lab) -> None:
    job = lab.training(submit(lab, PROBE, OutputDataConfig={"S3OutputPath": "s3://no-such-bucket-here/out"}))
    assert job["FailureReason"].startswith("ClientError: The bucket of the output path")
    job = lab.training(submit(lab, PROBE, {"train": "s3://no-such-bucket-here/x"}))
    assert job["FailureReason"].startswith("ClientError: The specified bucket does not exist")


def test_a_job_that_writes_no_model_completes_and_its_model_cannot_be_created(lab: Lab) -> None:
    name = submit(lab, "print('nothing to keep')")
    job = lab.training(name)
    assert job["TrainingJobStatus"] == "Completed"
    assert lab.keys(f"out/{name}/") == []
    assert printed(lab, name)[-1].startswith("No model was written to /opt/ml/model")
    uri = job["ModelArtifacts"]["S3ModelArtifacts"]
    with pytest.raises(ClientError, match="Could not find model data at") as refused:
        lab.client("sagemaker").create_model(
            ModelName=unique("m"),
            PrimaryContainer={"Image": IMAGE, "ModelDataUrl": uri},
            ExecutionRoleArn=lab.role,
        )
    assert refused.value.response["Error"]["Code"] == "ValidationException"


def test_a_job_that_hangs_is_stopped_when_its_time_is_up_and_keeps_what_it_saved(lab: Lab) -> None:
    script = PROBE + "\nimport time; print('saved', flush=True); time.sleep(300)"
    name = submit(lab, script, StoppingCondition={"MaxRuntimeInSeconds": 5})
    job = lab.training(name)
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")
    assert "FailureReason" not in job
    assert set(lab.archive(job["ModelArtifacts"]["S3ModelArtifacts"])) == {"seen.json"}
    assert 5 <= job["TrainingTimeInSeconds"] <= 60


def test_a_running_job_can_be_stopped_and_a_stopped_one_cannot(lab: Lab) -> None:
    sagemaker = lab.client("sagemaker")
    name = submit(lab, "import time; print('on', flush=True); time.sleep(300)")
    lab.until(lambda: sagemaker.describe_training_job(TrainingJobName=name), "SecondaryStatus", "Training")
    sagemaker.stop_training_job(TrainingJobName=name)
    job = lab.training(name)
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "Stopped")
    assert "Stopping" in [t["Status"] for t in job["SecondaryStatusTransitions"]]
    with pytest.raises(ClientError, match="training job is in status Stopped"):
        sagemaker.stop_training_job(TrainingJobName=name)
    with pytest.raises(ClientError, match="Requested resource not found"):
        sagemaker.stop_training_job(TrainingJobName="no-such-job")


def test_a_job_stopped_at_once_never_runs(lab: Lab) -> None:
    name = submit(lab, "import time; time.sleep(300)")
    lab.client("sagemaker").stop_training_job(TrainingJobName=name)
    assert lab.training(name)["TrainingJobStatus"] == "Stopped"


def test_checkpoints_come_down_and_go_up(either: Lab) -> None:
    lab = either
    script = (
        "from pathlib import Path\nfolder = Path(__file__).parents[3] / 'checkpoints'\n"
        "step = len(list(folder.iterdir()))\n(folder / f'step{step}').write_text(str(step))\n"
    )
    where = f"s3://{BUCKET}/{unique('checkpoints')}"
    for _ in range(3):
        job = lab.training(submit(lab, script, CheckpointConfig={"S3Uri": where}))
        assert job["TrainingJobStatus"] == "Completed"
    prefix = where.removeprefix(f"s3://{BUCKET}/")
    assert lab.keys(prefix) == [f"{prefix}/step{n}" for n in range(3)]


def test_requirements_are_checked_and_a_wrong_one_is_named(either: Lab, tmp_path: Path) -> None:
    from sagemaker.core.utils.exceptions import FailedStatusError

    (tmp_path / "go.py").write_text("print('never')\n")
    (tmp_path / "requirements.txt").write_text("pandas<2\nno-such-package==1.0\nnumpy\n")
    work = trainer(either, "go.py", tmp_path, requirements="requirements.txt")
    with pytest.raises(FailedStatusError) as failed:
        work.train()
    assert "requirements.txt wants pandas<2 (found 2." in str(failed.value)
    assert "no-such-package==1.0 (not installed)" in str(failed.value)
    assert "never" not in printed(either, work._latest_training_job.training_job_name)


def test_a_change_of_state_is_an_event_on_the_default_bus(lab: Lab) -> None:
    events, queues = lab.client("events"), lab.client("sqs")
    queue, arn = hearing_queue(queues, unique("q"))
    rule, name = unique("rule"), unique("job")
    pattern = {
        "source": ["aws.sagemaker"],
        "detail-type": ["SageMaker Training Job State Change"],
        "detail": {"TrainingJobName": [name]},
    }
    events.put_rule(Name=rule, EventPattern=json.dumps(pattern))
    events.put_targets(Rule=rule, Targets=[{"Id": "1", "Arn": arn}])
    submit(lab, "raise ValueError('no')", TrainingJobName=name)
    job = lab.training(name)
    mine = heard(queues, queue, 2)
    assert [event["detail"]["TrainingJobStatus"] for event in mine] == ["InProgress", "Failed"]
    assert mine[1]["resources"] == [job["TrainingJobArn"]]
    assert mine[1]["detail"]["FailureReason"] == job["FailureReason"]
    assert not [member for member in mine[1]["detail"] if member.startswith("_")]
    events.remove_targets(Rule=rule, Ids=["1"])


@pytest.mark.parametrize(
    ("changes", "code", "said"),
    [
        ({"ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 2, "VolumeSizeInGB": 1}}, "ResourceLimitExceeded", "trains on one host"),
        ({"RoleArn": "arn:aws:iam::{account}:role/nobody"}, "ValidationException", "Could not assume role"),
        ({"EnableManagedSpotTraining": True}, "ValidationException", "Invalid MaxWaitTimeInSeconds. It must be present"),
        (
            {"EnableManagedSpotTraining": True, "StoppingCondition": {"MaxRuntimeInSeconds": 100, "MaxWaitTimeInSeconds": 50}},
            "ValidationException",
            "greater than or equal to",
        ),
        ({"AlgorithmSpecification": {"TrainingInputMode": "Pipe"}}, "ValidationException", "no Pipe mode"),
        ({"AlgorithmSpecification": {"ContainerEntrypoint": None}}, "ValidationException", "runs scripts, not images"),
        ({"CheckpointConfig": {"S3Uri": "s3://b/c", "LocalPath": "/tmp/c"}}, "ValidationException", "below /opt/ml only"),
        (
            {"AlgorithmSpecification": {"MetricDefinitions": [{"Name": "auc", "Regex": "auc=([0-9"}]}},
            "ValidationException",
            "Invalid regular expression for metric auc",
        ),
        ({"TrainingJobName": "not_valid"}, "ValidationException", "regular expression"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_refused_at_once(
    lab: Lab, changes: dict[str, Any], code: str, said: str
) -> None:
    if "RoleArn" in changes:
        changes = {"RoleArn": changes["RoleArn"].replace("{account}", lab.server.account)}
    with pytest.raises(ClientError) as refused:
        submit(lab, PROBE, **changes)
    assert refused.value.response["Error"]["Code"] == code
    assert said in refused.value.response["Error"]["Message"]


def test_jobs_are_listed_and_a_name_is_taken_once(lab: Lab) -> None:
    sagemaker = lab.client("sagemaker")
    name = submit(lab, "print(1)")
    with pytest.raises(ClientError) as refused:
        submit(lab, "print(1)", TrainingJobName=name)
    assert refused.value.response["Error"]["Code"] == "ResourceInUse"
    lab.training(name)
    failed = submit(lab, "raise SystemExit(1)")
    lab.training(failed)
    listed = sagemaker.list_training_jobs(
        StatusEquals="Failed", SortBy="CreationTime", SortOrder="Descending"
    )
    assert listed["TrainingJobSummaries"][0]["TrainingJobName"] == failed
    assert name not in [job["TrainingJobName"] for job in listed["TrainingJobSummaries"]]
    found = sagemaker.list_training_jobs(NameContains=name)["TrainingJobSummaries"]
    assert [job["TrainingJobStatus"] for job in found] == ["Completed"]
    sagemaker.delete_training_job(TrainingJobName=name)
    with pytest.raises(ClientError, match="Requested resource not found"):
        sagemaker.describe_training_job(TrainingJobName=name)


def test_jobs_run_beside_each_other(either: Lab) -> None:
    names = [submit(either, PROBE + f"\nprint('I am {n}')") for n in range(6)]
    for n, name in enumerate(names):
        assert seen(either, name)["env"]["TRAINING_JOB_NAME"] == name
        assert f"I am {n}" in printed(either, name)


def test_a_job_leaves_no_folder_and_no_process(lab: Lab) -> None:
    name = submit(lab, "import subprocess; subprocess.Popen(['sleep', '300'], start_new_session=True)")
    assert lab.training(name)["TrainingJobStatus"] == "Completed"
    jobs = lab.server.folder / "jobs" / str(lab.server.pid)
    for _ in range(1200):
        if not any(name in str(folder) for folder in jobs.iterdir()):
            break
        time.sleep(0.05)
    assert not [folder for folder in jobs.iterdir() if name in str(folder)]
    commands = [" ".join(p.info["cmdline"] or []) for p in psutil.process_iter(["cmdline"])]
    assert not [line for line in commands if name in line]


@pytest.mark.parametrize("mode", ["bind", "replace"])
def test_a_job_ends_with_its_server_even_when_that_is_killed(tmp_path: Path, mode: str) -> None:
    from kit.local_aws import process

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KIT_OPT_ML", mode)
        lab = Lab(process.up(tmp_path / "aws"))
    with lab.current():
        script = (
            "import subprocess, time\n"
            "subprocess.Popen(['sleep', '299']); subprocess.Popen(['sleep', '298'], start_new_session=True)\n"
            "print('on', flush=True); time.sleep(300)"
        )
        name = submit(lab, script)
        lab.training(name, "InProgress")
        server = psutil.Process(lab.server.pid)
        deadline = time.monotonic() + 60
        while len(family := server.children(recursive=True)) < 4 and time.monotonic() < deadline:
            time.sleep(0.05)
    assert len(family) >= 4
    server.kill()
    _, alive = psutil.wait_procs(family, timeout=60)
    assert not [p for p in alive if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
    process.down(tmp_path / "aws")


OTHER = "import boto3; boto3.client('s3').get_object(Bucket='payroll', Key='2026.csv')"


def test_a_job_that_reads_what_its_role_may_not_fails_and_its_log_says_so(lab: Lab) -> None:
    lab.client("s3").create_bucket(Bucket="payroll")
    lab.client("s3").put_object(Bucket="payroll", Key="2026.csv", Body=b"secret")
    name = submit(lab, OTHER)
    job = lab.training(name)
    assert job["TrainingJobStatus"] == "Failed"
    assert "AccessDenied" in job["FailureReason"]
    assert (
        "assumed-role/SageMakerRole/SageMaker is not authorized to perform: s3:GetObject"
        in job["FailureReason"]
    )
    assert any("AccessDenied" in line for line in lab.log("/aws/sagemaker/TrainingJobs", name))


def test_a_channel_or_an_output_that_the_role_may_not_have_fails_the_job(lab: Lab) -> None:
    lab.client("s3").create_bucket(Bucket="closed")
    lab.client("s3").put_object(Bucket="closed", Key="data/x", Body=b"x")
    channel = {
        "ChannelName": "train",
        "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://closed/data/"}},
    }
    job = lab.training(submit(lab, "print(1)", InputDataConfig=[channel]))
    assert job["TrainingJobStatus"] == "Failed"
    assert "Data download failed" in job["FailureReason"]
    assert "s3:GetObject" in job["FailureReason"]
    writes = "open(__file__.split('/input/')[0] + '/model/m', 'w').write('m')"
    job = lab.training(submit(lab, writes, OutputDataConfig={"S3OutputPath": "s3://closed/out"}))
    assert "s3:PutObject" in job["FailureReason"]
    assert lab.client("s3").list_objects_v2(Bucket="closed")["KeyCount"] == 1
