"""The model update of O6: what is delivered, what deploys on approval and with which rights, what the monitor is told, how long it took."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from jobs import CHURN, SPEND, load
from words import BUCKET, GROUP, answer, boto_fixture, endpoint_fixture, role, sm_fixture, version  # noqa: F401 - some are fixtures

from kit import churn, plan
from kit.errors import RunbookError
from kit.network import Network

pytestmark = [  # the SDK's own
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Running within a PipelineSession:UserWarning"),
    pytest.mark.filterwarnings("ignore:Implicitly cleaning up:ResourceWarning"),
]
update, release = load("mlops", "model_update", "release")


# What is delivered


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("raw")
    churn.generate(6000).to_parquet(made / "part.parquet", index=False)
    return made


@pytest.fixture(scope="module")
def last_month(folder: Path) -> pd.DataFrame:
    """The rows of the changed world by number, as M7 and O6 know it of the generated table."""
    month = pd.read_parquet(folder)["month"]
    return pd.DataFrame(index=(month[month == month.max()].index + 1).to_list())


def test_a_delivery_is_in_order_of_time_and_keeps_what_was_sent_and_its_ids_out(
    folder: Path, last_month: pd.DataFrame
) -> None:
    table = pd.read_parquet(folder)
    sent = set(last_month.index[:100])
    made = update.delivery(folder, CHURN, last_month, sent)
    rows = made.rows
    assert rows["month"].is_monotonic_increasing
    assert not set(rows[update.NUMBER]) & sent
    assert not set(rows["customer_id"]) & set(table["customer_id"].iloc[[n - 1 for n in sent]])
    judged = rows.tail(made.newest)
    assert set(judged[update.NUMBER]) <= set(last_month.index)
    assert not set(judged["customer_id"]) & set(rows["customer_id"].iloc[: -made.newest])
    assert made.usual == set(rows[update.NUMBER].iloc[: -made.newest]) & set(last_month.index)
    assert len(made.usual) == pytest.approx(0.45 * (len(made.usual) + made.newest), rel=0.1)
    first = rows.iloc[0]
    assert table.iloc[first[update.NUMBER] - 1]["customer_id"] == first["customer_id"]


def test_the_prepare_job_judges_by_the_changed_world_only(
    folder: Path, last_month: pd.DataFrame, tmp_path: Path
) -> None:
    from kit import data

    (prepare,) = load("data_engineering/jobs/prepare", "script")
    made = update.delivery(folder, CHURN, last_month, set())
    (tmp_path / "input").mkdir()
    made.rows.drop(columns=update.NUMBER).to_parquet(tmp_path / "input" / "rows.parquet", index=False)
    parts = ("input", "train", "validation", "test", "report")
    places = [f"--{name}={tmp_path / name}" for name in parts]
    block = data.arguments(update.in_order(CHURN))
    assert prepare.main(["--plan", *block, *made.arguments, *places]) == 0
    validation = pd.read_parquet(tmp_path / "validation")["row_number"]
    numbers = made.rows[update.NUMBER].iloc[validation - 1]
    assert len(numbers) == round(made.shares[1] * len(made.rows))
    assert set(numbers) <= set(last_month.index) - made.usual


def test_where_a_change_is_planted_the_delivery_has_it(folder: Path) -> None:
    numbers = list(range(5001, 6001))
    planted = pd.DataFrame({"data_gb": [str(n) for n in numbers]}, index=numbers)
    ordered = plan.Data(target="churned", in_time_order=True)
    made = update.delivery(folder, ordered, planted, set())
    late = made.rows[made.rows[update.NUMBER] > 5000]
    assert (late["data_gb"] == late[update.NUMBER].astype(str)).all()
    assert made.rows[update.NUMBER].is_monotonic_increasing  # no column of times: as the rows come
    assert not set(made.rows.loc[made.rows[update.NUMBER] <= 5000, "data_gb"]) & set(planted["data_gb"])


def test_without_times_and_order_the_order_of_the_file_says_nothing(folder: Path) -> None:
    planted = pd.DataFrame(index=range(5001, 6001))
    made, again = (update.delivery(folder, plan.Data(target="churned"), planted, set()) for _ in range(2))
    late = made.rows[update.NUMBER] > 5000
    assert made.rows.equals(again.rows)
    assert late.is_monotonic_increasing  # the changed world is last
    for numbers in (made.rows.loc[late, update.NUMBER], made.rows.loc[~late, update.NUMBER]):
        assert abs(np.corrcoef(numbers.astype(float), range(len(numbers)))[0, 1]) < 0.1


def test_too_few_rows_of_the_changed_world_are_told(folder: Path) -> None:
    with pytest.raises(RunbookError, match=r"Only 14\d rows are of the changed world"):
        update.delivery(folder, CHURN, pd.DataFrame(index=range(5851, 6001)), set())


def test_slipped_labels_are_those_of_other_rows_in_train_only(folder: Path, last_month: pd.DataFrame) -> None:
    made = update.delivery(folder, CHURN, last_month, set())
    bad = update.slipped(made, "churned")
    train = len(bad) - made.newest
    half = train // 2
    assert bad["churned"].iloc[train - half : train].to_list() == made.rows["churned"].iloc[:half].to_list()
    assert bad["churned"].iloc[train:].equals(made.rows["churned"].iloc[train:])
    assert bad["churned"].value_counts().equals(made.rows["churned"].value_counts())
    assert bad.drop(columns="churned").equals(made.rows.drop(columns="churned"))


def test_the_plan_of_a_delivery_reads_time_from_the_order() -> None:
    block = update.in_order(SPEND)
    assert (block.time, block.in_time_order, block.leave_out[-1]) == ("", True, "month")
    assert update.in_order(plan.Data(target="y")).leave_out == ()


def test_the_same_rows_have_the_same_place_and_others_another(boto: Any) -> None:
    s3 = boto.client("s3")
    rows = pd.DataFrame({update.NUMBER: [1, 2], "x": ["a", "b"]})
    first = update.put(s3, rows, f"s3://{BUCKET}/eba/o6/delivery")
    assert update.put(s3, rows, f"s3://{BUCKET}/eba/o6/delivery") == first
    assert update.put(s3, rows.iloc[::-1], f"s3://{BUCKET}/eba/o6/delivery") != first
    key = first.removeprefix(f"s3://{BUCKET}/") + "/rows.parquet"
    s3.download_file(BUCKET, key, "/dev/null")


# What deploys


@pytest.fixture
def deploys(boto: Any, sm: Any, endpoint: str) -> Callable[[], tuple[str, str]]:
    """Makes the roles of framework/update.yml and the pipeline; returns its name and the ARN of its job's role."""

    def make() -> tuple[str, str]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from sagemaker.core.workflow.pipeline_context import PipelineSession

            given = {"Bucket": BUCKET, "Prefix": "eba/o6", "Endpoint": endpoint, "Stem": "eba-o6-update"}
            given |= {"Group": GROUP, "ModelRole": role(boto)}
            template = release.FOLDER / "update.yml"
            stack = release.apply(
                boto.client("cloudformation"), f"{endpoint}-roles", given, template=template, delay=1
            )
            session = PipelineSession(boto_session=boto, default_bucket=BUCKET)
            arguments = ["--endpoint", endpoint, "--role", role(boto), "--alarm", f"{endpoint}-broken"]
            pipeline = update.deployment(
                session,
                f"{endpoint}-deploy",
                prefix=f"s3://{BUCKET}/eba/o6",
                code="deploy",
                role=stack.outputs["JobRole"],
                instance_type="ml.t3.medium",
                image="1.4-2-py312",
                arguments=[*arguments, "--canary-seconds", "60", "--poll", "0.2"],
                network=Network(("subnet-0a",), ("sg-0c",)),
                tags=[{"Key": "eba:card", "Value": "O6"}],
            )
            pipeline.upsert(role_arn=stack.outputs["PipelineRole"])
        return f"{endpoint}-deploy", stack.outputs["JobRole"]

    return make


def waited(look: Callable[[], Any], seconds: float = 240) -> Any:
    end = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < end, "nothing came"
        time.sleep(0.1)
    return found


def test_approval_starts_the_pipeline_whose_job_may_deploy(
    boto: Any,
    sm: Any,
    endpoint: str,
    deploys: Callable[[], tuple[str, str]],
) -> None:
    name, _ = deploys()
    events, iam = boto.client("events"), boto.client("iam")
    account = boto.client("sts").get_caller_identity()["Account"]
    trust = {"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "sts:AssumeRole"}
    starter = iam.create_role(
        RoleName="Starter",
        AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}),
    )["Role"]["Arn"]
    arn = f"arn:aws:sagemaker:us-east-1:{account}:pipeline/{name}"
    may = {"Effect": "Allow", "Action": "sagemaker:StartPipelineExecution", "Resource": arn}
    document = json.dumps({"Version": "2012-10-17", "Statement": [may]})
    iam.put_role_policy(RoleName="Starter", PolicyName="start", PolicyDocument=document)
    pattern = {
        "source": ["aws.sagemaker"],
        "detail-type": ["SageMaker Model Package State Change"],
        "detail": {"ModelPackageGroupName": [GROUP], "ModelApprovalStatus": ["Approved"]},
    }
    events.put_rule(Name=name, EventPattern=json.dumps(pattern))
    given = {"PipelineParameterList": [{"Name": "Package", "Value": "$.detail.ModelPackageArn"}]}
    one = {"Id": "pipeline", "Arn": arn, "RoleArn": starter, "SageMakerPipelineParameters": given}
    assert events.put_targets(Rule=name, Targets=[one])["FailedEntryCount"] == 0
    since = datetime.now(UTC)
    package = version(boto, "new", "PendingManualApproval")
    assert update.started(sm, name, since) == ""
    sm.update_model_package(ModelPackageArn=package, ModelApprovalStatus="Approved")
    execution = waited(lambda: update.started(sm, name, since))
    status = waited(lambda: update.ended(sm, execution))
    steps = sm.list_pipeline_execution_steps(PipelineExecutionArn=execution)["PipelineExecutionSteps"]
    assert (status, steps[0].get("FailureReason")) == ("Succeeded", None)
    assert answer(boto, endpoint) == "new"
    job = steps[0]["Metadata"]["ProcessingJob"]["Arn"].rpartition("/")[2]
    place = update.output(sm, job, "report")
    assert place == f"s3://{BUCKET}/eba/o6/runs/{execution.rpartition('/')[2]}/report"
    key = f"{place.removeprefix(f's3://{BUCKET}/')}/deployment.json"
    told = json.loads(boto.client("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read())
    assert (told["did"], told["package"]) == ("deployed", package)
    assert update.started(sm, name, datetime.now(UTC)) == ""  # none since then
    events.remove_targets(Rule=name, Ids=["pipeline"])
    events.delete_rule(Name=name)


def test_the_job_may_change_one_endpoint_and_nothing_else(
    boto: Any,
    endpoint: str,
    deploys: Callable[[], tuple[str, str]],
) -> None:
    _, job = deploys()
    ours = f"arn:aws:sagemaker:us-east-1:{job.split(':')[4]}"

    def may(action: str, *resources: str, **context: str) -> bool:
        entries = [
            {"ContextKeyName": key, "ContextKeyValues": [value], "ContextKeyType": "string"}
            for key, value in {"iam:PassedToService": "sagemaker.amazonaws.com", **context}.items()
        ]
        found = boto.client("iam").simulate_principal_policy(
            PolicySourceArn=job, ActionNames=[action], ResourceArns=list(resources), ContextEntries=entries
        )["EvaluationResults"]
        return all(one["EvalDecision"] == "allowed" for one in found)

    assert may(
        "sagemaker:UpdateEndpoint", f"{ours}:endpoint/{endpoint}", f"{ours}:endpoint-config/eba-o6-update-1"
    )
    assert may("sagemaker:CreateModel", f"{ours}:model/eba-o6-update-model-1")
    assert may("iam:PassRole", role(boto))
    assert not may("sagemaker:UpdateEndpoint", f"{ours}:endpoint/eba-other")
    assert not may("sagemaker:DeleteEndpoint", f"{ours}:endpoint/{endpoint}")
    assert not may("sagemaker:CreateModel", f"{ours}:model/other")
    assert not may("sagemaker:UpdateModelPackage", f"{ours}:model-package/{GROUP}/1")
    assert not may("iam:PassRole", job)
    assert not may("s3:GetObject", f"arn:aws:s3:::{BUCKET}/eba/d1/raw/rows.parquet")
    assert not may("s3:PutObject", f"arn:aws:s3:::{BUCKET}/eba/o6/code/script.py")


# What the monitor is told

DEFINITION = {
    "Version": "2020-12-01",
    "Steps": [
        {
            "Name": "Watch",
            "Type": "Processing",
            "Arguments": {
                "ProcessingInputs": [
                    {"InputName": name, "S3Input": {"S3Uri": f"s3://b/{name}", "LocalPath": f"/opt/{name}"}}
                    for name in ("model", "baseline", "labels")
                ]
            },
        }
    ],
}


def test_a_pipeline_takes_its_inputs_from_other_places_and_keeps_the_rest() -> None:
    changed = json.loads(
        update.told(json.dumps(DEFINITION), {"model": "s3://b/new", "baseline": "s3://b/now"})
    )
    inputs = changed["Steps"][0]["Arguments"]["ProcessingInputs"]
    assert [one["S3Input"]["S3Uri"] for one in inputs] == ["s3://b/new", "s3://b/now", "s3://b/labels"]
    for one in inputs:
        one["S3Input"]["S3Uri"] = f"s3://b/{one['InputName']}"
    assert changed == DEFINITION
    with pytest.raises(RunbookError, match="no input usual"):
        update.told(json.dumps(DEFINITION), {"usual": "s3://b/x"})


def test_a_pipeline_is_changed_only_where_it_has_to_be(boto: Any, sm: Any) -> None:
    job = {
        "AppSpecification": {
            "ImageUri": "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1"
        },
        "ProcessingResources": {
            "ClusterConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1}
        },
        "RoleArn": role(boto),
    }
    whole = json.loads(json.dumps(DEFINITION))
    whole["Steps"][0]["Arguments"] |= job
    for one in whole["Steps"][0]["Arguments"]["ProcessingInputs"]:
        one["S3Input"] |= {"S3DataType": "S3Prefix", "S3InputMode": "File"}
    sm.create_pipeline(PipelineName="watching", RoleArn=role(boto), PipelineDefinition=json.dumps(whole))
    changes = []
    sm.meta.events.register("after-call.sagemaker.UpdatePipeline", lambda **given: changes.append(given))
    for _ in range(2):
        update.point(sm, "watching", {"baseline": "s3://b/now"})
    assert len(changes) == 1
    held = json.loads(sm.describe_pipeline(PipelineName="watching")["PipelineDefinition"])
    assert held["Steps"][0]["Arguments"]["ProcessingInputs"][1]["S3Input"]["S3Uri"] == "s3://b/now"


def test_a_finding_of_this_minute_is_seen(boto: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    now = datetime.now(UTC)

    class Standing(datetime):
        """A clock that stands still: the minute does not end in the middle of the test."""

        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return now

    monkeypatch.setattr(update, "datetime", Standing)
    cloudwatch = boto.client("cloudwatch")
    where = {"Namespace": "eba/monitor", "MetricName": "DriftedFeatures"}
    dimensions = [{"Name": "Endpoint", "Value": "e"}]
    cloudwatch.put_metric_alarm(
        AlarmName="drift",
        **where,
        Dimensions=dimensions,
        Statistic="Maximum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanOrEqualToThreshold",
    )

    def found(*values: tuple[float, timedelta]) -> list[float]:
        for value, ago in values:
            datum = {"MetricName": where["MetricName"], "Dimensions": dimensions, "Value": value}
            at = now.replace(second=0) - ago
            cloudwatch.put_metric_data(Namespace=where["Namespace"], MetricData=[{**datum, "Timestamp": at}])
        return list(update.findings(cloudwatch, "drift"))

    assert found((3.0, timedelta(minutes=1))) == []
    assert found((0.0, timedelta())) == []
    assert found((2.0, timedelta())) == [2.0]


# How long it took

START = datetime(2026, 12, 3, 9, tzinfo=UTC)


def spans(scale: float) -> list[Any]:
    def at(seconds: float) -> datetime:
        return START + timedelta(seconds=scale * seconds)

    return [
        update.Span("alarm to retraining", at(0), at(1), "events"),
        update.Span("train", at(1), at(5), "pipeline", "cache"),
        update.Span("approval", at(5), at(15), "person"),
        update.Span("evaluate", at(5), at(6), "pipeline"),
    ]


@pytest.mark.parametrize(("scale", "unit", "longest"), [(1, "seconds", 10), (120, "minutes", 20)])
def test_the_way_is_drawn_to_scale_in_the_unit_that_fits(scale: float, unit: str, longest: float) -> None:
    fig, ax = plt.subplots()
    assert update.chart(ax, spans(scale)) == unit
    widths = [bar.get_width() for bar in ax.patches]
    assert max(widths) == pytest.approx(longest)
    assert widths[2] / widths[1] == pytest.approx(2.5)
    assert [label.get_text() for label in ax.get_yticklabels()][:2] == ["alarm to retraining", "train"]
    texts = [text.get_text() for text in ax.texts]
    assert texts[1].endswith(", cache")
    assert len(ax.get_legend().get_texts()) == 3  # one for each kind, not for each bar
    plt.close(fig)
