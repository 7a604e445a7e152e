"""SageMaker Pipelines: the actions on pipelines and their versions; those on executions are in `pipeline_runs`.

Not here: aliases of versions, callback steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from kit.local_aws import jobs, pipeline_execution
from kit.local_aws.askers import asker
from kit.local_aws.front import action
from kit.local_aws.pipeline_definition import parse
from kit.local_aws.protocol import AwsError, now, operation
from kit.local_aws.store import Record, page

if TYPE_CHECKING:
    from kit.local_aws.store import Context

__all__ = ["DONE", "KIND", "executions_of", "made_between", "named", "unsupported", "version_of"]

KIND, EXECUTION = "Pipeline", pipeline_execution.KIND
DONE = ("Succeeded", "Failed", "Stopped", "CompletedWithFailures")
SIZE = 1_048_576  # characters of a definition


def named(given: str) -> str:
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


def unsupported(params: Mapping[str, Any], *members: str) -> None:
    """Refuses a request that has one of these members."""
    for member in members:
        if params.get(member):
            raise jobs.refuse(f"does not implement {member}.")


@action("sagemaker", "CreatePipeline")
def create_pipeline(ctx: Context, params: dict[str, Any]) -> Record:
    """A pipeline in its first version; the same request once more is the same pipeline."""
    unsupported(params, "PipelineVersionAliases")
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
    unsupported(params, "PipelineVersionAliases")
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
    unsupported(params, "PipelineVersionAlias")
    record = ctx.app.store.get(ctx, KIND, named(params["PipelineName"]))
    return {**record, "PipelineDefinition": version_of(record, params)["_definition"]}


def version_of(record: Record, params: Mapping[str, Any]) -> Record:
    """The version of a pipeline that a request names, or the latest."""
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
        if row["PipelineName"].lower().startswith(prefix) and made_between(row, params)
    ]
    return page(operation("sagemaker", "ListPipelines"), rows, asked)


def made_between(row: Record, params: Mapping[str, Any]) -> bool:
    """Whether it was made in the time that a request to list names."""
    after, before = params.get("CreatedAfter"), params.get("CreatedBefore")
    return (after is None or row["CreationTime"] >= after) and (
        before is None or row["CreationTime"] <= before
    )


@action("sagemaker", "ListPipelineVersions")
def list_pipeline_versions(ctx: Context, params: dict[str, Any]) -> Record:
    """The versions of a pipeline."""
    record = ctx.app.store.get(ctx, KIND, named(params["PipelineName"]))
    last = {row["_version"]: row["_arn"] for row in executions_of(ctx, record)}
    rows = [
        {
            **version,
            "PipelineArn": record["_arn"],
            "LastExecutionPipelineExecutionArn": last.get(version["PipelineVersionId"]),
            "_arn": f"{version['PipelineVersionId']:09}",
        }
        for version in record["_versions"]
        if made_between(version, params)
    ]
    return page(operation("sagemaker", "ListPipelineVersions"), rows, params)


@action("sagemaker", "DeletePipeline")
def delete_pipeline(ctx: Context, params: dict[str, Any]) -> Record:
    """Forget a pipeline and its executions; not while one of them runs."""
    record = ctx.app.store.get(ctx, KIND, params["PipelineName"])
    executions = executions_of(ctx, record)
    if running := [row["_arn"] for row in executions if row["PipelineExecutionStatus"] not in DONE]:
        raise AwsError(
            "ConflictException",
            f"Pipeline '{record['_arn']}' cannot be deleted while it is executed: {', '.join(running)}",
        )
    for row in executions:
        ctx.app.store.delete(ctx, EXECUTION, row["_arn"])
    return ctx.app.store.delete(ctx, KIND, params["PipelineName"])


def executions_of(ctx: Context, pipeline: Record) -> list[Record]:
    """The executions of a pipeline."""
    return [row for row in ctx.app.store.rows(ctx, EXECUTION) if row["PipelineArn"] == pipeline["_arn"]]
