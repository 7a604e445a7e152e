"""SageMaker Pipelines: the actions on pipelines, their versions and their executions.

Not here: selective execution, aliases of versions, callback steps.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from kit.local_aws import jobs, pipeline_execution
from kit.local_aws.askers import asker
from kit.local_aws.front import action
from kit.local_aws.pipeline_definition import Definition, parse
from kit.local_aws.pipeline_execution import scope_of
from kit.local_aws.pipeline_values import Unresolved, resolve, typed
from kit.local_aws.protocol import AwsError, now, operation
from kit.local_aws.store import Record, page

if TYPE_CHECKING:
    from kit.local_aws.store import Context

__all__ = ["start_pipeline_execution"]

KIND, EXECUTION = "Pipeline", pipeline_execution.KIND
DONE = ("Succeeded", "Failed", "Stopped", "CompletedWithFailures")
SIZE = 1_048_576  # characters of a definition


def _name(given: str) -> str:
    """A pipeline's name, from its name or its ARN."""
    return given.rpartition(":pipeline/")[2]


def _definition(ctx: Context, params: Mapping[str, Any]) -> str:
    """The text of a request's definition, read from S3 with the rights of who asks. Raises ValidationException for one that could not run."""
    text, place = params.get("PipelineDefinition"), params.get("PipelineDefinitionS3Location")
    if (text is None) == (place is None):
        raise AwsError(
            "ValidationException",
            "Exactly one of PipelineDefinition and PipelineDefinitionS3Location must be given.",
        )
    if place:
        version = {"VersionId": place["VersionId"]} if place.get("VersionId") else {}
        try:
            found = (
                asker(ctx)
                .client("s3", ctx.region)
                .get_object(Bucket=place["Bucket"], Key=place["ObjectKey"], **version)
            )
        except ClientError as error:
            where = f"s3://{place['Bucket']}/{place['ObjectKey']}"
            raise AwsError(
                "ValidationException", f"Unable to read the pipeline definition at {where}: {error}"
            ) from None
        text = found["Body"].read().decode()
    assert text is not None
    if len(text) > SIZE:
        raise AwsError(
            "ValidationException", f"The pipeline definition has more than {SIZE} characters: {len(text)}"
        )
    parse(text)
    return str(text)


def _unsupported(params: Mapping[str, Any], *members: str) -> None:
    for member in members:
        if params.get(member):
            raise jobs.refuse(f"does not implement {member}.")


# Pipelines


@action("sagemaker", "CreatePipeline")
def create_pipeline(ctx: Context, params: dict[str, Any]) -> Record:
    """A pipeline in its first version; the same request once more is the same pipeline."""
    _unsupported(params, "PipelineVersionAliases")
    store, token = ctx.app.store, params["ClientRequestToken"]
    held = store.find(ctx, KIND, params["PipelineName"])
    if held and held["_token"] == token:
        return held
    jobs.check_role(ctx, params["RoleArn"])
    text = _definition(ctx, params)
    kept = {
        name: value
        for name, value in params.items()
        if name not in ("PipelineDefinitionS3Location", "ClientRequestToken")
    }
    kept.setdefault("PipelineDisplayName", params["PipelineName"])
    first = {"PipelineVersionId": 1, "CreationTime": now(), "_definition": text}
    return store.create(
        ctx,
        KIND,
        {**kept, "PipelineDefinition": text},
        PipelineStatus="Active",
        CreatedBy={},
        LastModifiedBy={},
        _token=token,
        _versions=[first],
    )


@action("sagemaker", "UpdatePipeline")
def update_pipeline(ctx: Context, params: dict[str, Any]) -> Record:
    """Change a pipeline; another definition is another version."""
    _unsupported(params, "PipelineVersionAliases")
    ctx.app.store.get(ctx, KIND, params["PipelineName"])
    changes = {name: value for name, value in params.items() if name != "PipelineName"}
    if params.get("RoleArn"):
        jobs.check_role(ctx, params["RoleArn"])
    if changes.get("PipelineDefinition") or changes.pop("PipelineDefinitionS3Location", None):
        changes["PipelineDefinition"] = _definition(ctx, params)

    def change(record: Record) -> Record:
        text = changes.get("PipelineDefinition", record["PipelineDefinition"])
        versions = record["_versions"]
        if text != versions[-1]["_definition"]:
            number = versions[-1]["PipelineVersionId"] + 1
            versions = [
                *versions,
                {"PipelineVersionId": number, "CreationTime": now(), "_definition": text},
            ]
        return {**changes, "_versions": versions}

    record = ctx.app.store.update(ctx, KIND, params["PipelineName"], change)
    return {**record, "PipelineVersionId": record["_versions"][-1]["PipelineVersionId"]}


@action("sagemaker", "DescribePipeline")
def describe_pipeline(ctx: Context, params: dict[str, Any]) -> Record:
    """The pipeline, with the definition of its latest version or of the one that is asked for."""
    _unsupported(params, "PipelineVersionAlias")
    record = ctx.app.store.get(ctx, KIND, _name(params["PipelineName"]))
    return {**record, "PipelineDefinition": _version(record, params)["_definition"]}


def _version(record: Record, params: Mapping[str, Any]) -> Record:
    wanted = params.get("PipelineVersionId", record["_versions"][-1]["PipelineVersionId"])
    for version in record["_versions"]:
        if version["PipelineVersionId"] == wanted:
            return dict(version)
    raise AwsError("ResourceNotFound", f"Pipeline '{record['_arn']}' has no version {wanted}.")


@action("sagemaker", "ListPipelines")
def list_pipelines(ctx: Context, params: dict[str, Any]) -> Record:
    """The pipelines, with the time of their last execution."""
    if params.get("ManagedBy") == "AWS":
        return {"PipelineSummaries": []}
    asked = {k: v for k, v in params.items() if k not in ("PipelineNamePrefix", "ManagedBy")}
    prefix = params.get("PipelineNamePrefix", "").lower()
    rows = [
        {**row, "LastExecutionTime": row.get("LastRunTime")}
        for row in ctx.app.store.rows(ctx, KIND)
        if row["PipelineName"].lower().startswith(prefix) and _made_between(row, params)
    ]
    return page(operation("sagemaker", "ListPipelines"), rows, asked)


def _made_between(row: Record, params: Mapping[str, Any]) -> bool:
    after, before = params.get("CreatedAfter"), params.get("CreatedBefore")
    return (after is None or row["CreationTime"] >= after) and (
        before is None or row["CreationTime"] <= before
    )


@action("sagemaker", "ListPipelineVersions")
def list_pipeline_versions(ctx: Context, params: dict[str, Any]) -> Record:
    """The versions of a pipeline."""
    record = ctx.app.store.get(ctx, KIND, _name(params["PipelineName"]))
    last = {row["_version"]: row["_arn"] for row in _executions(ctx, record)}
    rows = [
        {
            **version,
            "PipelineArn": record["_arn"],
            "LastExecutionPipelineExecutionArn": last.get(version["PipelineVersionId"]),
            "_arn": f"{version['PipelineVersionId']:09}",
        }
        for version in record["_versions"]
        if _made_between(version, params)
    ]
    return page(operation("sagemaker", "ListPipelineVersions"), rows, params)


@action("sagemaker", "DeletePipeline")
def delete_pipeline(ctx: Context, params: dict[str, Any]) -> Record:
    """Forget a pipeline and its executions; not while one of them runs."""
    record = ctx.app.store.get(ctx, KIND, params["PipelineName"])
    executions = _executions(ctx, record)
    if running := [row["_arn"] for row in executions if row["PipelineExecutionStatus"] not in DONE]:
        raise AwsError(
            "ConflictException",
            f"Pipeline '{record['_arn']}' cannot be deleted while it is executed: {', '.join(running)}",
        )
    for row in executions:
        ctx.app.store.delete(ctx, EXECUTION, row["_arn"])
    return ctx.app.store.delete(ctx, KIND, params["PipelineName"])


def _executions(ctx: Context, pipeline: Record) -> list[Record]:
    return [row for row in ctx.app.store.rows(ctx, EXECUTION) if row["PipelineArn"] == pipeline["_arn"]]


# Executions


@action("sagemaker", "StartPipelineExecution")
def start_pipeline_execution(ctx: Context, params: dict[str, Any]) -> Record:
    """Begin an execution; the same request once more is the same execution."""
    _unsupported(params, "SelectiveExecutionConfig", "PipelineVersionAlias", "MlflowExperimentName")
    store, token = ctx.app.store, params["ClientRequestToken"]
    pipeline = store.get(ctx, KIND, _name(params["PipelineName"]))
    for row in _executions(ctx, pipeline):
        if row["_token"] == token:
            return row
    role = str(params.get("RoleArn") or pipeline["RoleArn"])
    jobs.check_role(ctx, role)
    version = _version(pipeline, params)
    definition = parse(version["_definition"])
    moment = now()
    record = {
        "PipelineExecutionArn": f"{pipeline['_arn']}/execution/{uuid.uuid4().hex[:12]}",
        "PipelineArn": pipeline["_arn"],
        "PipelineExecutionDisplayName": params.get("PipelineExecutionDisplayName")
        or f"execution-{int(moment.timestamp() * 1000)}",
        "PipelineExecutionDescription": params.get("PipelineExecutionDescription"),
        "PipelineExecutionStatus": "Executing",
        "ParallelismConfiguration": params.get("ParallelismConfiguration")
        or pipeline.get("ParallelismConfiguration"),
        "PipelineVersionId": version["PipelineVersionId"],
        "StartTime": moment,
        "RoleArn": params.get("RoleArn"),
        "CreatedBy": {},
        "LastModifiedBy": {},
        "_pipeline": pipeline["PipelineName"],
        "_role": role,
        "_token": token,
        "_version": version["PipelineVersionId"],
        "_definition": version["_definition"],
        "_values": _values(definition, params.get("PipelineParameters", [])),
        "_given": {one["Name"]: one["Value"] for one in params.get("PipelineParameters", [])},
        "_steps": {},
        "_outputs": {},
        "_skipped": [],
    }
    record["_arn"] = record["PipelineExecutionArn"]
    record["PipelineExperimentConfig"] = _experiment(ctx, record, definition)
    made = store.create(ctx, EXECUTION, record)
    store.update(ctx, KIND, pipeline["PipelineName"], LastRunTime=moment)
    pipeline_execution.told(ctx, made)
    pipeline_execution.go_on(ctx, made["_arn"])
    return made


def _values(definition: Definition, given: list[dict[str, str]]) -> dict[str, Any]:
    """The typed values of all parameters. Raises ValidationException for unknown, wrong and missing ones."""
    values: dict[str, Any] = {}
    for one in given:
        parameter = definition.parameters.get(one["Name"])
        if parameter is None:
            raise AwsError(
                "ValidationException",
                f"Unknown parameter '{one['Name']}': the pipeline has {', '.join(definition.parameters) or 'none'}.",
            )
        try:
            values[one["Name"]] = typed(parameter, one["Value"])
        except ValueError as error:
            raise AwsError("ValidationException", f"Parameter '{one['Name']}': {error}.") from None
    for name, parameter in definition.parameters.items():
        if name not in values:
            if parameter.get("DefaultValue") is None:
                raise AwsError(
                    "ValidationException", f"Parameter '{name}' has no default value and none was given."
                )
            values[name] = typed(parameter, parameter["DefaultValue"])
    return values


def _experiment(ctx: Context, record: Record, definition: Definition) -> dict[str, str] | None:
    """The experiment and trial of an execution, made where they are not there. None where the pipeline wants none."""
    if not definition.experiment:
        return None
    try:
        found = resolve(definition.experiment, scope_of(record, definition))
    except Unresolved as error:
        raise AwsError("ValidationException", f"PipelineExperimentConfig: {error}") from None
    sagemaker = ctx.app.client("sagemaker", ctx.region)
    if not ctx.app.store.find(ctx, "Experiment", found["ExperimentName"]):
        sagemaker.create_experiment(ExperimentName=found["ExperimentName"])
    if found.get("TrialName") and not ctx.app.store.find(ctx, "Trial", found["TrialName"]):
        sagemaker.create_trial(TrialName=found["TrialName"], ExperimentName=found["ExperimentName"])
    return dict(found)


@action("sagemaker", "DescribePipelineExecution")
def describe_pipeline_execution(ctx: Context, params: dict[str, Any]) -> Record:
    """What became of an execution so far."""
    return ctx.app.store.get(ctx, EXECUTION, params["PipelineExecutionArn"])


@action("sagemaker", "DescribePipelineDefinitionForExecution")
def describe_definition(ctx: Context, params: dict[str, Any]) -> Record:
    """The definition that an execution runs."""
    record = ctx.app.store.get(ctx, EXECUTION, params["PipelineExecutionArn"])
    return {"PipelineDefinition": record["_definition"], "CreationTime": record["CreationTime"]}


@action("sagemaker", "ListPipelineExecutions")
def list_pipeline_executions(ctx: Context, params: dict[str, Any]) -> Record:
    """The executions of a pipeline."""
    _unsupported(params, "PipelineVersionAlias")
    pipeline = ctx.app.store.get(ctx, KIND, _name(params["PipelineName"]))
    rows = [row for row in _executions(ctx, pipeline) if _made_between(row, params)]
    return page(operation("sagemaker", "ListPipelineExecutions"), rows, params)


@action("sagemaker", "ListPipelineExecutionSteps")
def list_steps(ctx: Context, params: dict[str, Any]) -> Record:
    """The steps that were begun."""
    if not params.get("PipelineExecutionArn"):
        raise AwsError("ValidationException", "PipelineExecutionArn must be given.")
    record = ctx.app.store.get(ctx, EXECUTION, params["PipelineExecutionArn"])
    rows = [
        {**step, "CreationTime": step["StartTime"], "_arn": f"{number:06}"}
        for number, step in enumerate(record["_steps"].values())
    ]
    return page(operation("sagemaker", "ListPipelineExecutionSteps"), rows, params)


@action("sagemaker", "ListPipelineParametersForExecution")
def list_parameters(ctx: Context, params: dict[str, Any]) -> Record:
    """The values of an execution's parameters, as text."""
    record = ctx.app.store.get(ctx, EXECUTION, params["PipelineExecutionArn"])
    rows = [
        {"Name": name, "Value": _said(record, name, value), "_arn": f"{number:06}"}
        for number, (name, value) in enumerate(record["_values"].items())
    ]
    shape = operation("sagemaker", "ListPipelineParametersForExecution")
    return page(shape, rows, {"SortOrder": "Ascending", **params})


def _said(record: Record, name: str, value: Any) -> str:
    text = {True: "true", False: "false"}.get(value, str(value)) if isinstance(value, bool) else str(value)
    return str(record["_given"].get(name, text))


@action("sagemaker", "UpdatePipelineExecution")
def update_pipeline_execution(ctx: Context, params: dict[str, Any]) -> Record:
    """Change how an execution is called, or how many of its steps run at a time from now on."""
    changes = {name: value for name, value in params.items() if name != "PipelineExecutionArn"}
    record = ctx.app.store.update(ctx, EXECUTION, params["PipelineExecutionArn"], **changes)
    ctx.app.changed()
    return record


@action("sagemaker", "StopPipelineExecution")
def stop_pipeline_execution(ctx: Context, params: dict[str, Any]) -> Record:
    """Ask an execution to end: its jobs are stopped, and no step begins any more."""

    def stopping(record: Record) -> Record:
        status = record["PipelineExecutionStatus"]
        if status in DONE:
            raise AwsError(
                "ValidationException", f"Pipeline execution with ARN '{record['_arn']}' is {status}."
            )
        return {} if status == "Stopping" else {"PipelineExecutionStatus": "Stopping"}

    record = ctx.app.store.update(ctx, EXECUTION, params["PipelineExecutionArn"], stopping)
    pipeline_execution.told(ctx, record, "Executing")
    return record


@action("sagemaker", "RetryPipelineExecution")
def retry_pipeline_execution(ctx: Context, params: dict[str, Any]) -> Record:
    """Run again what failed or was stopped, and what could not begin for it; what succeeded stays as it is."""
    before = ""

    def again(record: Record) -> Record:
        nonlocal before
        before = record["PipelineExecutionStatus"]
        if before not in ("Failed", "Stopped"):
            raise AwsError(
                "ValidationException",
                f"Only executions that failed or were stopped can be retried; '{record['_arn']}' is {before}.",
            )
        steps = {name: step for name, step in record["_steps"].items() if step["StepStatus"] == "Succeeded"}
        parallel = params.get("ParallelismConfiguration") or record.get("ParallelismConfiguration")
        return {
            "PipelineExecutionStatus": "Executing",
            "ParallelismConfiguration": parallel,
            "FailureReason": None,
            "PipelineExecutionFailureReason": None,
            "_steps": steps,
            "_skipped": [],
            "_ended": None,
        }

    record = ctx.app.store.update(ctx, EXECUTION, params["PipelineExecutionArn"], again)
    pipeline_execution.told(ctx, record, before)
    pipeline_execution.go_on(ctx, record["_arn"])
    return record
