"""The Resource Groups Tagging API over everything that has tags: the store's resources and moto's.

Source: API_GetResources of the Resource Groups Tagging API Reference. Roles and users of IAM are not among its answers, as on AWS.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kit.local_aws.front import action
from kit.local_aws.protocol import AwsError
from kit.local_aws.store import Context

__all__ = ["resources"]

PAGE = 100
STORED = ("sagemaker", "cloudformation")
"""Services whose resources are in the store; what moto has of them is nobody's."""


@action("resourcegroupstaggingapi", "GetResources")
def resources(ctx: Context, params: Mapping[str, Any]) -> dict[str, Any]:
    """The resources that have all of the tags asked for, by ARN. Raises AwsError PaginationTokenExpiredException."""
    if params.get("ResourceARNList") and (params.get("TagFilters") or params.get("ResourceTypeFilters")):
        raise AwsError("InvalidParameterException", "ResourceARNList cannot be used with other filters.")
    rows = sorted((arn, tags) for arn, tags in _all(ctx) if _asked(arn, tags, params))
    token = params.get("PaginationToken") or "0"
    if not token.isdigit():
        raise AwsError("PaginationTokenExpiredException", "The pagination token is not valid.")
    start, size = int(token), params.get("ResourcesPerPage") or PAGE
    shown = [
        {"ResourceARN": arn, "Tags": [{"Key": k, "Value": v} for k, v in tags.items()]}
        for arn, tags in rows[start : start + size]
    ]
    return {
        "ResourceTagMappingList": shown,
        "PaginationToken": str(start + size) if len(rows) > start + size else "",
    }


def _all(ctx: Context) -> Iterator[tuple[str, dict[str, str]]]:
    from moto.core.resource_tagging import iter_taggable_backends

    for arn, tags in ctx.app.store.tagged().items():
        if tags and arn.split(":")[3:5] == [ctx.region, ctx.account]:
            yield arn, tags
    for backend in iter_taggable_backends(ctx.account, ctx.region):
        for one in backend.iter_tagged_resources():
            service = one.arn.split(":")[2]
            if one.tags and service not in STORED:
                yield one.arn, dict(one.tags)


def _asked(arn: str, tags: Mapping[str, str], params: Mapping[str, Any]) -> bool:
    if params.get("ResourceARNList"):
        return arn in params["ResourceARNList"]
    kinds = params.get("ResourceTypeFilters") or []
    service, path = arn.split(":")[2], arn.split(":", 5)[5]
    kind = f"{service}:{path.partition('/')[0].partition(':')[0]}"
    return (not kinds or service in kinds or kind in kinds) and all(
        wanted["Key"] in tags and (not wanted.get("Values") or tags[wanted["Key"]] in wanted["Values"])
        for wanted in params.get("TagFilters") or []
    )
