"""The framework of O3: the pipeline that is built, the stack that it comes from, how it is released, and its workflow."""

from __future__ import annotations

import json
import os
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from botocore.exceptions import ClientError
from jobs import CHURN, ROOT, SPEND, load

from kit import data
from kit.local_aws import client, process
from kit.local_aws.pipeline_definition import Definition, parse
from kit.network import Network

pytestmark = [  # the SDK's own
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Running within a PipelineSession:UserWarning"),
    pytest.mark.filterwarnings("ignore:Implicitly cleaning up:ResourceWarning"),
]
REGION, BUCKET, PREFIX = "us-east-1", "eba-test", "s3://eba-test/eba/o3"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
    ],
}
executions, release = load("mlops", "executions", "release")


@pytest.fixture(scope="module")
def training_pipeline() -> Any:
    """The module that builds the pipeline; it takes the SDK along, which takes seconds and warns of itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return load("mlops", "training_pipeline")[0]


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The variables of a process that talks to an account with a bucket and a role of jobs."""
    from boto3.session import Session

    server = process.up(tmp_path_factory.mktemp("state") / "aws")
    given = client.environment(server.url, server.account, REGION)
    boto = Session(given["AWS_ACCESS_KEY_ID"], given["AWS_SECRET_ACCESS_KEY"], region_name=REGION)
    boto.client("s3", endpoint_url=server.url).create_bucket(Bucket=BUCKET)
    iam = boto.client("iam", endpoint_url=server.url)
    iam.create_role(RoleName="EbaJobs", AssumeRolePolicyDocument=json.dumps(TRUST))
    iam.attach_role_policy(RoleName="EbaJobs", PolicyArn="arn:aws:iam::aws:policy/AmazonSageMakerFullAccess")
    yield {**given, "ROLE": f"arn:aws:iam::{server.account}:role/EbaJobs"}
    process.down(server.folder)
    log = (server.folder / "server.log").read_text(encoding="utf-8")
    assert [line for line in log.splitlines() if " ERROR " in line] == [], log


@pytest.fixture
def boto(account: dict[str, str]) -> Any:
    """A boto3 session of the account, as a notebook has it."""
    from boto3.session import Session

    os.environ |= account
    client.install(account["AWS_ENDPOINT_URL"])
    return Session(region_name=REGION)


@pytest.fixture
def settings(account: dict[str, str], training_pipeline: Any) -> Any:
    return training_pipeline.Settings(
        name="eba-framework",
        plan=data.arguments(CHURN),
        problem="classification",
        prefix=PREFIX,
        role=account["ROLE"],
        group="eba-models",
        least=0.7,
        gain=0.0,
        tags=[{"Key": "eba:event", "Value": "test"}],
    )


@pytest.fixture
def build(boto: Any, training_pipeline: Any) -> Callable[[Any], str]:
    """Gives the definition of a pipeline with these settings."""
    from sagemaker.core.workflow.pipeline_context import PipelineSession

    def built(settings: Any) -> str:
        session = PipelineSession(boto_session=boto, default_bucket=BUCKET, default_bucket_prefix="eba/sdk")
        return str(training_pipeline.built(session, settings).definition())

    return built


def waits(definition: Definition) -> dict[str, set[str]]:
    return {name: set(step.uses) for name, step in definition.steps.items()}


def test_the_pipeline_leads_from_raw_rows_to_a_version(definition: str) -> None:
    found = parse(definition)
    assert waits(found) == {
        "Prepare": set(),
        "Features": {"Prepare"},
        "Train": {"Features"},
        "TrainBaseline": {"Features"},
        "Evaluate": {"Prepare", "Train", "TrainBaseline"},
        "Gate": {"Evaluate"},
        "Register": {"Train", "Evaluate"},
        "NotGoodEnough": set(),
    }
    assert (found.steps["Register"].within, found.steps["Register"].branch) == ("Gate", True)
    assert (found.steps["NotGoodEnough"].within, found.steps["NotGoodEnough"].branch) == (
        "Gate",
        False,
    )
    assert {name: one.get("DefaultValue") for name, one in found.parameters.items()} == {
        "Data": None,
        "InstanceType": "ml.m5.xlarge",
        "Least": 0.7,
        "Gain": 0.0,
        "Seed": 0,
    }
    jobs = [step for step in found.steps.values() if step.type in ("Processing", "Training")]
    assert all(step.cache == {"Enabled": True, "ExpireAfter": "P30D"} and step.retries for step in jobs)
    assert all(step.arguments["Tags"] == [{"Key": "eba:event", "Value": "test"}] for step in jobs)


def test_the_same_code_and_settings_make_the_same_definition(
    build: Callable[[Any], str], settings: Any, definition: str
) -> None:
    assert build(settings) == definition
    assert len(definition.encode()) < 100_000  # the SDK sends longer ones another way


def test_every_job_of_a_plan_with_subnets_is_inside_them(build: Callable[[Any], str], settings: Any) -> None:
    network = Network(("subnet-0a", "subnet-0b"), ("sg-0c",))
    found = parse(build(replace(settings, network=network)))
    wanted = network.model["VpcConfig"]
    for step in found.steps.values():
        if step.type == "Processing":
            assert step.arguments["NetworkConfig"]["VpcConfig"] == wanted
        if step.type == "Training":
            assert step.arguments["VpcConfig"] == wanted


def test_a_regression_is_gated_by_how_much_it_explains_and_by_its_error(
    build: Callable[[Any], str], settings: Any
) -> None:
    changed = replace(settings, plan=data.arguments(SPEND), problem="regression", least=0.3)
    first, second = parse(build(changed)).steps["Gate"].arguments["Conditions"]
    assert first["LeftValue"]["Std:JsonGet"]["Path"] == "models.candidate.metrics.r2.value"
    assert (first["Type"], second["Type"]) == ("GreaterThanOrEqualTo", "LessThanOrEqualTo")


def test_a_release_may_give_the_prepare_job_more_arguments(
    build: Callable[[Any], str], settings: Any
) -> None:
    definition = parse(build(replace(settings, preparing=("--shares", "0.8,0.1,0.1"))))
    given = definition.steps["Prepare"].arguments["AppSpecification"]["ContainerArguments"]
    assert given[-2:] == ["--shares", "0.8,0.1,0.1"]


def test_a_champion_takes_the_place_of_the_baseline(build: Callable[[Any], str], settings: Any) -> None:
    definition = parse(build(replace(settings, champion=True)))
    assert "TrainBaseline" not in definition.steps
    inputs = {
        one["InputName"]: one["S3Input"]["S3Uri"]
        for one in definition.steps["Evaluate"].arguments["ProcessingInputs"]
    }
    assert inputs["input-models-reference"] == {"Get": "Parameters.Champion"}
    whole = {"Std:Join": {"On": "", "Values": [{"Get": "Parameters.Data"}, "/"]}}
    assert inputs["input-raw"] == whole  # of which the champion's rows are taken as they came


@pytest.mark.parametrize("problem", ["classification", "regression"])
def test_the_gate_asks_for_what_the_evaluation_says_first(problem: str, training_pipeline: Any) -> None:
    import numpy as np

    (metrics,) = load("model_engineering/jobs/evaluate", "metrics")
    _, compared = training_pipeline.GATED[problem]
    target = np.array([0.0, 1.0, 0.0, 1.0])
    told = metrics.Rows(target, np.array([0.1, 0.8, 0.4, 0.7]), problem, 0.5).metrics()
    assert metrics.MAIN[problem] == compared == next(iter(told))
    assert training_pipeline.GATED[problem][0] in told


def test_other_code_is_put_elsewhere(tmp_path: Path, training_pipeline: Any) -> None:
    (tmp_path / "script.py").write_text("print(1)")
    before = training_pipeline.digest(tmp_path)
    (tmp_path / "notes.md").write_text("no code")
    assert training_pipeline.digest(tmp_path) == before
    (tmp_path / "script.py").write_text("print(2)")
    assert training_pipeline.digest(tmp_path) != before


@pytest.fixture(scope="module")
def definitions() -> dict[str, str]:
    """Definitions that were built before: each takes seconds."""
    return {}


@pytest.fixture
def definition(build: Callable[[Any], str], settings: Any, definitions: dict[str, str]) -> str:
    """The definition of the settings."""
    if "" not in definitions:
        definitions[""] = build(settings)
    return definitions[""]


@pytest.fixture
def stack(boto: Any, settings: Any, definition: str) -> Iterator[Callable[..., Any]]:
    """Releases a pipeline as a stack of its own; it is removed at the end."""
    name = f"eba-{os.getpid()}"
    changed = replace(settings, name=name)
    place = release.put(boto.client("s3"), definition, PREFIX)

    def applied(**more: str) -> Any:
        parameters = {**release.parameters(changed, place, "s3://eba-test/raw"), **more}
        tags = [{"Key": "eba:event", "Value": "test"}]
        return release.apply(boto.client("cloudformation"), name, parameters, tags, delay=1)

    yield applied
    release.remove(boto.client("cloudformation"), name, delay=1)


def test_a_release_makes_changes_and_leaves_alone(stack: Callable[..., Any], boto: Any) -> None:
    first = stack()
    assert first.did == "created"
    name = first.outputs["Pipeline"]
    described = boto.client("sagemaker").describe_pipeline(PipelineName=name)
    assert described["RoleArn"] == first.outputs["Role"]
    rule = boto.client("events").describe_rule(Name=f"{name}-schedule")
    assert (rule["State"], rule["ScheduleExpression"]) == ("DISABLED", "cron(0 6 1 * ? *)")
    [target] = boto.client("events").list_targets_by_rule(Rule=f"{name}-schedule")["Targets"]
    assert target["Arn"] == described["PipelineArn"]
    assert stack().did == "unchanged"
    assert stack(ScheduleState="ENABLED").did == "updated"
    assert boto.client("events").describe_rule(Name=f"{name}-schedule")["State"] == "ENABLED"


def test_the_pipelines_role_may_do_its_steps_and_no_more(
    stack: Callable[..., Any], boto: Any, account: dict[str, str]
) -> None:
    role = stack().outputs["Role"]
    number, ours = role.split(":")[4], "arn:aws:sagemaker:us-east-1"

    def may(action: str, resource: str, **context: str) -> bool:
        entries = [
            {"ContextKeyName": key, "ContextKeyValues": [value], "ContextKeyType": "string"}
            for key, value in {"iam:PassedToService": "sagemaker.amazonaws.com", **context}.items()
        ]
        (found,) = boto.client("iam").simulate_principal_policy(
            PolicySourceArn=role, ActionNames=[action], ResourceArns=[resource], ContextEntries=entries
        )["EvaluationResults"]
        return bool(found["EvalDecision"] == "allowed")

    assert may("sagemaker:CreateProcessingJob", f"{ours}:{number}:processing-job/pipelines-a-prepare")
    assert may("sagemaker:CreateModelPackage", f"{ours}:{number}:model-package/eba-models/1")
    assert may("iam:PassRole", account["ROLE"])
    assert may("s3:GetObject", "arn:aws:s3:::eba-test/eba/o3/runs/a/Evaluate/report/evaluation.json")
    assert not may("sagemaker:CreateProcessingJob", f"{ours}:{number}:processing-job/other")
    assert not may("sagemaker:CreateModelPackage", f"{ours}:{number}:model-package/payments/1")
    assert not may("sagemaker:UpdateModelPackage", f"{ours}:{number}:model-package/eba-models/1")
    assert not may("sagemaker:CreateEndpoint", f"{ours}:{number}:endpoint/eba-endpoint")
    assert not may("iam:PassRole", f"arn:aws:iam::{number}:role/Admin")
    assert not may("s3:GetObject", "arn:aws:s3:::eba-test/eba/d1/raw/rows.parquet")
    assert not may("s3:PutObject", "arn:aws:s3:::eba-test/eba/o3/runs/a")


def test_the_key_of_a_bucket_is_the_one_it_encrypts_with(boto: Any) -> None:
    s3, kms = boto.client("s3"), boto.client("kms")
    assert release.encryption_key(s3, BUCKET) == ""
    key = kms.create_key()["KeyMetadata"]["Arn"]
    use = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}
    rules = {"Rules": [{"ApplyServerSideEncryptionByDefault": use}]}
    s3.put_bucket_encryption(Bucket=BUCKET, ServerSideEncryptionConfiguration=rules)
    assert release.encryption_key(s3, BUCKET) == key
    s3.delete_bucket_encryption(Bucket=BUCKET)


def test_a_release_that_is_refused_says_why_and_can_be_repeated(
    boto: Any, settings: Any, definition: str
) -> None:
    cloudformation, name = boto.client("cloudformation"), f"eba-no-{os.getpid()}"
    wanted = replace(settings, name=name)
    place = release.put(boto.client("s3"), definition, PREFIX)
    parameters = release.parameters(wanted, place, "s3://eba-test/raw")
    broken = {**parameters, "DefinitionKey": "eba/o3/definitions/none.json"}
    with pytest.raises(release.ReleaseError, match=r"was not created: Pipeline: .*none\.json"):
        release.apply(cloudformation, name, broken, delay=1)
    assert release.apply(cloudformation, name, parameters, delay=1).did == "created"
    with pytest.raises(release.ReleaseError, match=r"was not updated: Pipeline: .*none\.json"):
        release.apply(cloudformation, name, broken, delay=1)
    with pytest.raises(release.ReleaseError, match="begins with eba- and has lower-case letters"):
        release.apply(cloudformation, name, {**parameters, "PipelineName": "Framework"}, delay=1)
    release.remove(cloudformation, name, delay=1)
    with pytest.raises(ClientError, match="does not exist"):
        boto.client("sagemaker").describe_pipeline(PipelineName=name)


def test_an_execution_is_a_table_and_a_picture(boto: Any, account: dict[str, str]) -> None:
    import matplotlib.pyplot as plt

    sm, name = boto.client("sagemaker"), f"eba-chart-{os.getpid()}"
    job: dict[str, Any] = {
        "AppSpecification": {
            "ImageUri": "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.4-2",
            "ContainerEntrypoint": ["python3", "-c", "pass"],
        },
        "ProcessingResources": {
            "ClusterConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1}
        },
        "RoleArn": account["ROLE"],
    }
    cache = {"Enabled": True, "ExpireAfter": "P1D"}
    steps = [
        {"Name": "Work", "Type": "Processing", "Arguments": job, "CacheConfig": cache},
        {"Name": "Stop", "Type": "Fail", "Arguments": {"ErrorMessage": "no"}, "DependsOn": ["Work"]},
    ]
    text = json.dumps({"Version": "2020-12-01", "Steps": steps})
    sm.create_pipeline(PipelineName=name, RoleArn=account["ROLE"], PipelineDefinition=text)
    seen = []
    for _ in range(2):
        arn = sm.start_pipeline_execution(PipelineName=name)["PipelineExecutionArn"]
        while (
            sm.describe_pipeline_execution(PipelineExecutionArn=arn)["PipelineExecutionStatus"] == "Executing"
        ):
            client.ask(account["AWS_ENDPOINT_URL"], "wait", {"timeout": 0.2})
        seen.append(executions.steps(sm, arn))
    first, again = seen
    assert [(one.name, one.state, one.reason) for one in first] == [
        ("Work", "Succeeded", ""),
        ("Stop", "Failed", "no"),
    ]
    assert (first[0].cached, again[0].cached) == (False, True)
    assert first[0].job == again[0].job != ""
    assert first[0].seconds >= first[0].job_seconds > 0
    fig, ax = plt.subplots()
    executions.chart(ax, again, "again", 10.0)
    said = [text.get_text() for text in ax.texts]
    assert said[0] == f" saved {first[0].job_seconds:.1f} s"
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["from the cache", "failed"]
    plt.close(fig)


# The workflow

WORKFLOW = yaml.safe_load((ROOT / "mlops" / "framework" / "ci.yml").read_text(encoding="utf-8"))


def test_a_pull_request_is_tested_and_only_a_merge_releases() -> None:
    on = WORKFLOW[True]  # YAML's word for "on"
    assert on["pull_request"]["paths"] == on["push"]["paths"]
    assert on["push"]["branches"] == ["main"]
    jobs = WORKFLOW["jobs"]
    assert "if" not in jobs["test"]
    assert jobs["release"]["needs"] == "test"
    assert jobs["release"]["if"] == "github.event_name == 'push'"
    assert all(job["timeout-minutes"] for job in jobs.values())


def test_the_workflow_releases_by_role_and_stores_no_key() -> None:
    text = (ROOT / "mlops" / "framework" / "ci.yml").read_text(encoding="utf-8")
    assert "secrets." not in text
    assert "aws-access-key" not in text
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert "permissions" not in WORKFLOW["jobs"]["test"]
    assert WORKFLOW["jobs"]["release"]["permissions"] == {"contents": "read", "id-token": "write"}
    (role,) = [
        step["with"]
        for step in WORKFLOW["jobs"]["release"]["steps"]
        if step.get("uses", "").startswith("aws-actions/configure-aws-credentials@")
    ]
    assert set(role) == {"role-to-assume", "aws-region"}


def test_what_the_workflow_runs_is_there() -> None:
    steps = [step for job in WORKFLOW["jobs"].values() for step in job["steps"]]
    assert all(re.fullmatch(r"[\w-]+/[\w-]+@v\d+", step["uses"]) for step in steps if "uses" in step)
    named = {path for step in steps for path in re.findall(r"[\w/]+\.(?:py|lock)\b", step.get("run", ""))}
    assert {"mlops/release.py", "tests/test_framework.py", "requirements.lock"} <= named
    assert [path for path in sorted(named) if not (ROOT / path).is_file()] == []
    watched = [path.removesuffix("/**") for path in WORKFLOW[True]["push"]["paths"]]
    assert [path for path in watched if not (ROOT / path).exists()] == []
    flags = re.findall(
        r"--[\w-]+", next(step["run"] for step in steps if "release.py" in step.get("run", ""))
    )
    known = (ROOT / "mlops" / "release.py").read_text(encoding="utf-8")
    assert [flag for flag in flags if f'"{flag}"' not in known] == []
