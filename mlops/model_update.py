"""What O6 does with a model that has to be replaced: the delivery to train on, the pipeline that deploys, the monitor told, the time it took.

Modules of `sagemaker.mlops` are imported where they are used: they ask for a region as soon as they are imported.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kit.errors import RunbookError
from kit.table import database, identifier, table

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from sagemaker.core.workflow.pipeline_context import PipelineSession
    from sagemaker.mlops.workflow.pipeline import Pipeline

    from kit.network import Network
    from kit.plan import Data

DEPLOY = Path(__file__).resolve().parent / "jobs" / "deploy"
OPT = "/opt/ml/processing"
NUMBER = "row number"  # the column of a delivery that says where a row is in the raw table, from 1
LEAST = 100  # rows of the changed world that validation needs
TRAINED, VALIDATED = 0.45, 0.45  # shares of the changed world's rows; the rest is test's


# --- what to train on


@dataclass(frozen=True)
class Delivery:
    """Rows to train on: in order of time, all text, the changed world last; and their numbers in the raw table.

    newest: so many rows at the end are validation's and test's; shares: of all rows that go to train, validation and test.
    usual: numbers of the rows of the changed world that go to train.
    """

    rows: pd.DataFrame
    newest: int
    shares: tuple[float, float, float]
    usual: frozenset[int]

    @property
    def arguments(self) -> list[str]:
        """What the prepare job is told of the shares."""
        return ["--shares", ",".join(f"{share:.9f}" for share in self.shares)]


def delivery(folder: Path, data: Data, changed: pd.DataFrame, sent: set[int]) -> Delivery:
    """The raw table of a folder, as it is delivered when the labels of a changed world have come.

    A part of the changed world goes to train, the rest to validation and test, where no row is of an id that train has.

    Args:
        folder: with the raw table.
        data: the plan's block.
        changed: the rows of the changed world by their numbers (from 1), with the columns in which a change is planted; without
            columns where the world has changed by itself.
        sent: numbers of rows that are kept out of it, with all rows of their ids: the monitor is tried on them.

    Raises:
        RunbookError: too few rows are of the changed world.
    """
    import pandas as pd

    # Where nothing says when a row was, the order of the file is not to say it either.
    order = "" if data.in_time_order else f"hash({identifier(NUMBER)}), "
    if data.time:
        order = f"cast({identifier(data.time)} as varchar), "
    with database() as db:
        source = table(folder).sql
        names = [row[0] for row in db.execute(f"describe select * from {source}").fetchall()]
        said = ", ".join(f"cast({identifier(name)} as varchar) as {identifier(name)}" for name in names)
        whole: pd.DataFrame = db.execute(
            f"""select {said}, row_number() over () as {identifier(NUMBER)} from {source}
            order by {identifier(NUMBER)} in (select unnest(?)), {order}{identifier(NUMBER)}""",
            [sorted(changed.index)],
        ).df()
    nothing: Any = None
    whole = whole.astype(object).where(whole.notna(), nothing)
    whole = whole[~whole[names].duplicated()]  # the prepare job drops copies: the shares are of what is left
    kept = ~whole[NUMBER].isin(sent)
    if data.id:
        kept &= ~whole[data.id].isin(whole.loc[~kept, data.id].dropna())
    whole = whole[kept]
    late = whole[NUMBER].isin(changed.index)
    whole = pd.concat([whole[~late], altered(whole[late], changed, NUMBER)])
    newest = int(late.sum()) - round(TRAINED * int(late.sum()))
    validated = round(VALIDATED * int(late.sum()))
    if validated < LEAST:
        raise RunbookError(
            f"Only {late.sum()} rows are of the changed world: too few to train and to validate on.",
            "Wait until more labels have come, or give a longer table.",
        )
    head, tail = whole.iloc[:-newest], whole.iloc[-newest:]
    if data.id:
        head = head[~head[data.id].isin(tail[data.id].dropna())]
    rows = pd.concat([head, tail], ignore_index=True)
    shares = (len(head) / len(rows), validated / len(rows), (newest - validated) / len(rows))
    return Delivery(rows, newest, shares, frozenset(set(head[NUMBER]) & set(changed.index)))


def altered(rows: pd.DataFrame, changed: pd.DataFrame, number: str = "number") -> pd.DataFrame:
    """The rows as they are in the changed world. changed: as for `delivery`; number: the column with the rows' numbers."""
    return rows.assign(**{str(name): rows[number].map(values) for name, values in changed.items()})


def slipped(delivered: Delivery, target: str) -> pd.DataFrame:
    """The rows with a mistake that is planted: in all that train gets, the labels have slipped by half of the rows.

    By one row would do little to a table in which neighbours have the same label.
    """
    rows = delivered.rows.copy()
    last = len(rows) - delivered.newest
    labels = rows[target].to_numpy(copy=True)
    labels[:last] = [*labels[last // 2 : last], *labels[: last // 2]]
    return rows.assign(**{target: labels})


def put(s3: Any, rows: pd.DataFrame, prefix: str) -> str:
    """Puts rows below a prefix (s3://bucket/...), in a folder that is named by what they hold; its URI. `s3` is a client of boto3."""
    body = rows.drop(columns=NUMBER).to_parquet(index=False)
    bucket, _, folder = prefix.removeprefix("s3://").partition("/")
    name = hashlib.sha256(body).hexdigest()[:12]
    s3.put_object(Bucket=bucket, Key=f"{folder}/{name}/rows.parquet", Body=body)
    return f"{prefix}/{name}"


def in_order(data: Data) -> Data:
    """The plan's block for a delivery: it comes in order of time, finer than the column of times may say."""
    times = (data.time,) if data.time else ()
    return dataclasses.replace(data, time="", in_time_order=True, leave_out=(*data.leave_out, *times))


# --- the pipeline that deploys


def deployment(
    session: PipelineSession,
    name: str,
    *,
    prefix: str,
    code: str,
    role: str,
    instance_type: str,
    image: str,
    arguments: Sequence[str],
    network: Network,
    tags: Sequence[Mapping[str, str]],
) -> Pipeline:
    """The pipeline of one step that deploys the version `Package` with jobs/deploy. `session` puts its code into S3.

    prefix: S3 prefix for code and reports. code: what its code is called there. role: of the job. arguments: of its script, besides the version. network: where it runs.
    """
    from sagemaker.core import image_uris
    from sagemaker.core.processing import FrameworkProcessor
    from sagemaker.core.shapes import ProcessingOutput, ProcessingS3Output
    from sagemaker.core.workflow.execution_variables import ExecutionVariables
    from sagemaker.core.workflow.functions import Join
    from sagemaker.core.workflow.parameters import ParameterString
    from sagemaker.mlops.workflow.pipeline import Pipeline
    from sagemaker.mlops.workflow.steps import ProcessingStep

    package = ParameterString("Package")
    processor = FrameworkProcessor(
        image_uri=image_uris.retrieve(
            "sklearn", session.boto_region_name, version=image, instance_type=instance_type
        ),
        role=role,
        instance_type=instance_type,
        instance_count=1,
        max_runtime_in_seconds=3600,
        sagemaker_session=session,
        network_config=network.processing,
        code_location=f"{prefix}/code",
        tags=[dict(tag) for tag in tags],
    )
    place = Join(on="/", values=[prefix, "runs", ExecutionVariables.PIPELINE_EXECUTION_ID, "report"])
    report = ProcessingS3Output(s3_uri=place, local_path=f"{OPT}/report", s3_upload_mode="EndOfJob")
    step = processor.run(
        code="script.py",
        source_dir=str(DEPLOY),
        job_name=code,  # the code's place, not the job's name: that is the pipeline's
        outputs=[ProcessingOutput(output_name="report", s3_output=report)],
        arguments=["--package", package, *arguments],
        wait=False,
        logs=False,
    )
    return Pipeline(
        name=name,
        parameters=[package],
        steps=[ProcessingStep(name="Deploy", step_args=step)],
        sagemaker_session=session,
    )


# --- the monitor


def told(definition: str, places: Mapping[str, str]) -> str:
    """The definition of a pipeline whose processing steps take these inputs from these places, by the inputs' names.

    Raises:
        RunbookError: no step has an input of that name.
    """
    whole = json.loads(definition)
    left = set(places)
    for step in whole["Steps"]:
        for one in step["Arguments"].get("ProcessingInputs", []):
            if (name := one["InputName"]) in places:
                one["S3Input"]["S3Uri"] = places[name]
                left.discard(name)
    if left:
        raise RunbookError(
            f"The pipeline has no input {', '.join(sorted(left))}.", "Run M7 again: it makes the pipeline."
        )
    return json.dumps(whole)


def point(sm: Any, pipeline: str, places: Mapping[str, str]) -> None:
    """Has a pipeline take inputs from other places; it stays as it is where it does already. `sm` is a SageMaker client of boto3."""
    held = sm.describe_pipeline(PipelineName=pipeline)["PipelineDefinition"]
    if json.loads(changed := told(held, places)) != json.loads(held):
        sm.update_pipeline(PipelineName=pipeline, PipelineDefinition=changed)


# --- what happened, and how long it took


def started(sm: Any, pipeline: str, since: datetime) -> str:
    """The ARN of the first execution of a pipeline that began at or after a moment; "" if there is none yet."""
    found = sm.list_pipeline_executions(
        PipelineName=pipeline, CreatedAfter=since, SortBy="CreationTime", SortOrder="Ascending", MaxResults=1
    )["PipelineExecutionSummaries"]
    return str(found[0]["PipelineExecutionArn"]) if found else ""


def ended(sm: Any, execution: str) -> str:
    """How an execution ended; "" while it goes on."""
    status = str(sm.describe_pipeline_execution(PipelineExecutionArn=execution)["PipelineExecutionStatus"])
    return "" if status in ("Executing", "Stopping") else status


def output(sm: Any, job: str, name: str) -> str:
    """Where a processing job put one of its outputs."""
    made = sm.describe_processing_job(ProcessingJobName=job)["ProcessingOutputConfig"]["Outputs"]
    return str(next(one["S3Output"]["S3Uri"] for one in made if one["OutputName"] == name))


@dataclass(frozen=True)
class Span:
    """One stretch of the way from the alarm to the new model. who: "events", "pipeline", "person" or "endpoint"."""

    name: str
    began: datetime
    ended: datetime
    who: str
    note: str = ""

    @property
    def seconds(self) -> float:
        """How long it took."""
        return (self.ended - self.began).total_seconds()


COLOURS = {"events": "tab:gray", "pipeline": "tab:blue", "person": "tab:orange", "endpoint": "tab:green"}
MEANING = {
    "events": "an event on its way",
    "pipeline": "a job of a pipeline",
    "person": "a person decides",
    "endpoint": "the canary",
}


def chart(ax: Axes, spans: Sequence[Span]) -> str:
    """Draws a bar for each stretch over the time since the first began; returns the unit, seconds or minutes."""
    first = min(span.began for span in spans)
    whole = max((span.ended - first).total_seconds() for span in spans)
    unit, size = ("minutes", 60) if whole > 600 else ("seconds", 1)
    known = set()
    for row, span in enumerate(spans):
        left, width = (span.began - first).total_seconds() / size, span.seconds / size
        label = None if span.who in known else MEANING[span.who]
        ax.barh(row, max(width, 0.003 * whole / size), left=left, color=COLOURS[span.who], label=label)
        words = f" {width:.1f}{f', {span.note}' if span.note else ''}"
        ax.text(left + width, row, words, va="center", fontsize=9)
        known.add(span.who)
    ax.set_yticks(range(len(spans)), [span.name for span in spans])
    ax.set_xlim(0, 1.2 * whole / size)
    ax.invert_yaxis()
    ax.legend(loc="lower left", fontsize=9)
    return unit


def findings(cloudwatch: Any, alarm: str) -> list[float]:
    """What the metric of an alarm that rings from a threshold on had beyond it, in the minute that is not over yet.

    An alarm judges whole minutes: what is put in the same minute is one data point with what came before, and hidden by it.
    `cloudwatch` is a client of boto3.
    """
    (watched,) = cloudwatch.describe_alarms(AlarmNames=[alarm])["MetricAlarms"]
    begin = datetime.now(UTC).replace(second=0, microsecond=0)
    points = cloudwatch.get_metric_statistics(
        Namespace=watched["Namespace"],
        MetricName=watched["MetricName"],
        Dimensions=watched["Dimensions"],
        StartTime=begin,
        EndTime=begin + timedelta(minutes=1),
        Period=60,
        Statistics=["Maximum"],
    )["Datapoints"]
    return [point["Maximum"] for point in points if point["Maximum"] >= watched["Threshold"]]
