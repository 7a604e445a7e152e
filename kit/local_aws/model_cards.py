"""Model cards: a document about a model, kept in versions.

What is written is held against the sections of AWS's model card schema (SageMaker Developer Guide, model-cards, "Model
card JSON schema"), not against every rule of it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from kit.local_aws.front import action
from kit.local_aws.kinds import kind_of
from kit.local_aws.protocol import AwsError, now, operation
from kit.local_aws.store import Record, page

if TYPE_CHECKING:
    from kit.local_aws.store import Context

__all__ = ["SECTIONS"]

KIND = "ModelCard"
SECTIONS = frozenset(
    (
        "model_overview",
        "model_package_details",
        "intended_uses",
        "business_details",
        "training_details",
        "evaluation_details",
        "additional_information",
    )
)
RISKS = ("High", "Medium", "Low", "Unknown")


def _checked(content: str) -> None:
    """Raises ValidationException for content that the schema does not allow."""
    try:
        card = json.loads(content)
    except ValueError as error:
        raise AwsError("ValidationException", f"Content is not valid JSON: {error}") from None
    if not isinstance(card, dict):
        raise AwsError("ValidationException", "Content is not a JSON object.")
    if unknown := sorted(set(card) - SECTIONS):
        raise AwsError("ValidationException", f"Content has sections that the schema has not: {unknown}")
    for name, section in card.items():
        if not isinstance(section, list if name == "evaluation_details" else dict):
            raise AwsError("ValidationException", f"Content: {name} is not what the schema says.")
    risk = card.get("intended_uses", {}).get("risk_rating", "Unknown")
    if risk not in RISKS:
        raise AwsError("ValidationException", f"Content: risk_rating {risk!r} is none of {list(RISKS)}.")


def _version(record: Record) -> Record:
    """What a version keeps of its card."""
    kept = ("ModelCardName", "ModelCardArn", "ModelCardStatus", "ModelCardVersion", "Content")
    return {
        **{name: record[name] for name in (*kept, "LastModifiedTime")},
        "CreationTime": record["_written"],
        "_arn": f"{record['_arn']}/{record['ModelCardVersion']:06}",
    }


def _all_versions(record: Record) -> list[Record]:
    """Every version of a card, the first one first."""
    return [*record["_past"], _version(record)]


@action("sagemaker", "CreateModelCard")
def create_model_card(ctx: Context, params: dict[str, Any]) -> Record:
    """A card in its first version."""
    _checked(params["Content"])
    return ctx.app.store.create(
        ctx, KIND, params, ModelCardVersion=1, CreatedBy={}, LastModifiedBy={}, _written=now(), _past=[]
    )


@action("sagemaker", "UpdateModelCard")
def update_model_card(ctx: Context, params: dict[str, Any]) -> Record:
    """New content is a new version ("to have an immutable record of model changes"); a new status is not."""
    if "Content" in params and "ModelCardStatus" in params:
        raise AwsError(
            "ValidationException",
            "You cannot update both model card content and model card status in a single call.",
        )
    if "Content" in params:
        _checked(params["Content"])

    def change(record: Record) -> Record:
        if "Content" not in params:
            return {"ModelCardStatus": params.get("ModelCardStatus", record["ModelCardStatus"])}
        if record["ModelCardStatus"] == "Archived":
            raise AwsError("ConflictException", f"Model card {record['_arn']} is archived.")
        return {
            "Content": params["Content"],
            "ModelCardVersion": record["ModelCardVersion"] + 1,
            "_written": now(),
            "_past": _all_versions(record),
        }

    return ctx.app.store.update(ctx, KIND, params["ModelCardName"], change)


@action("sagemaker", "DescribeModelCard")
def describe_model_card(ctx: Context, params: dict[str, Any]) -> Record:
    """The latest version, or the one that is asked for."""
    record = ctx.app.store.get(ctx, KIND, params["ModelCardName"])
    wanted = params.get("ModelCardVersion", record["ModelCardVersion"])
    for version in _all_versions(record):
        if version["ModelCardVersion"] == wanted:
            return {**record, **version, "CreationTime": record["CreationTime"]}
    raise kind_of(KIND).not_found(f"{record['_arn']} version {wanted}", record["_key"])


@action("sagemaker", "ListModelCards")
def list_model_cards(ctx: Context, params: dict[str, Any]) -> Record:
    """The cards, each in its latest version."""
    return ctx.app.store.listing(ctx, KIND, params, "ListModelCards")


@action("sagemaker", "ListModelCardVersions")
def list_model_card_versions(ctx: Context, params: dict[str, Any]) -> Record:
    """The versions of a card."""
    versions = _all_versions(ctx.app.store.get(ctx, KIND, params["ModelCardName"]))
    status, after, before = (
        params.get(name) for name in ("ModelCardStatus", "CreationTimeAfter", "CreationTimeBefore")
    )
    rows = [
        row
        for row in versions
        if status in (None, row["ModelCardStatus"])
        and (after is None or row["CreationTime"] >= after)
        and (before is None or row["CreationTime"] <= before)
    ]
    return page(operation("sagemaker", "ListModelCardVersions"), rows, {"SortBy": "Version", **params})


@action("sagemaker", "DeleteModelCard")
def delete_model_card(ctx: Context, params: dict[str, Any]) -> None:
    """The card and all its versions are gone."""
    ctx.app.store.delete(ctx, KIND, params["ModelCardName"])
