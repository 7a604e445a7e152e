"""SageMaker Pipelines: the actions on executions.

Not here: selective execution, aliases of versions.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from kit.local_aws import jobs, pipeline_execution
from kit.local_aws.front import action
from kit.local_aws.pipeline_definition import Definition, parse
from kit.local_aws.pipeline_execution import scope_of
from kit.local_aws.pipeline_values import Unresolved, resolve, typed
from kit.local_aws.pipelines import DONE, KIND, executions_of, made_between, named, unsupported, version_of
from kit.local_aws.protocol import AwsError, now, operation
from kit.local_aws.store import Record, page

if TYPE_CHECKING:
    from kit.local_aws.store import Context

__all__ = ["start_pipeline_execution"]

EXECUTION = pipeline_execution.KIND


@action("sagemaker", "StartPipelineExecution")
def start_pipeline_execution(ctx: Context, params: dict[str, Any]) -> Record:
    """Begin an execution; the same request once more is the same execution."""
    unsupported(params, "SelectiveExecutionConfig", "PipelineVersionAlias", "MlflowExperimentName")
    store, token = ctx.app.store, params["ClientRequestToken"]
    pipeline = store.get(ctx, KIND, named(params["PipelineName"]))
    for row in executions_of(ctx, pipeline):
        if row["_token"] == token:
            return row
    role = str(params.get("RoleArn") or pipeline["RoleArn"])
    jobs.check_role(ctx, role)
    version = version_of(pipeline, params)
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
    store.update(ctx, KIND, pipeline["PipelineName"], LastRunTime=made["CreationTime"])
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
    unsupported(params, "PipelineVersionAlias")
    pipeline = ctx.app.store.get(ctx, KIND, named(params["PipelineName"]))
    rows = [row for row in executions_of(ctx, pipeline) if made_between(row, params)]
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
