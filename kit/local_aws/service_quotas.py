"""Service Quotas for SageMaker: what AWS gives by default, and what this account has. The values are data: quotas.json says which."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

from kit.local_aws.front import action
from kit.local_aws.protocol import AwsError
from kit.local_aws.store import Context

__all__ = ["default_quota", "default_quotas", "quota", "quotas", "services"]

SERVICE = "sagemaker"
PAGE = 100


@functools.cache
def _table() -> tuple[dict[str, Any], ...]:
    text = (Path(__file__).parent / "quotas.json").read_text(encoding="utf-8")
    return tuple(json.loads(text)["quotas"])


def _shown(ctx: Context, row: dict[str, Any], value: str) -> dict[str, Any]:
    return {
        "ServiceCode": SERVICE,
        "ServiceName": "Amazon SageMaker",
        "QuotaArn": f"arn:aws:servicequotas:{ctx.region}:{ctx.account}:{SERVICE}/{row['code']}",
        "QuotaCode": row["code"],
        "QuotaName": row["name"],
        "Value": float(row[value]),
        "Unit": "None",
        "Adjustable": True,
        "GlobalQuota": False,
        "QuotaAppliedAtLevel": "ACCOUNT",
    }


def _checked(code: str) -> None:
    if code != SERVICE:
        raise AwsError(
            "NoSuchResourceException", f"The local AWS knows the quotas of {SERVICE} only, not of {code}."
        )


def _page(ctx: Context, params: dict[str, Any], value: str) -> dict[str, Any]:
    _checked(params["ServiceCode"])
    rows = [row for row in _table() if params.get("QuotaCode", row["code"]) == row["code"]]
    token = params.get("NextToken") or "0"
    if not token.isdigit():
        raise AwsError("InvalidPaginationTokenException", "The pagination token is not valid.")
    start, size = int(token), params.get("MaxResults", PAGE)
    more = str(start + size) if len(rows) > start + size else None
    return {"Quotas": [_shown(ctx, row, value) for row in rows[start : start + size]], "NextToken": more}


def _one(ctx: Context, params: dict[str, Any], value: str) -> dict[str, Any]:
    _checked(params["ServiceCode"])
    row = next((row for row in _table() if row["code"] == params["QuotaCode"]), None)
    if row is None:
        raise AwsError(
            "NoSuchResourceException",
            "The request failed because the specified service quota does not exist.",
        )
    return {"Quota": _shown(ctx, row, value)}


@action("service-quotas", "ListServiceQuotas")
def quotas(ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
    """What this account has. Raises AwsError NoSuchResourceException for a service that is not known."""
    return _page(ctx, params, "granted")


@action("service-quotas", "GetServiceQuota")
def quota(ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
    """What this account has of one quota. Raises AwsError NoSuchResourceException."""
    return _one(ctx, params, "granted")


@action("service-quotas", "ListAWSDefaultServiceQuotas")
def default_quotas(ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
    """What AWS gives by default."""
    return _page(ctx, params, "default")


@action("service-quotas", "GetAWSDefaultServiceQuota")
def default_quota(ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
    """What AWS gives by default of one quota. Raises AwsError NoSuchResourceException."""
    return _one(ctx, params, "default")


@action("service-quotas", "ListServices")
def services(ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
    """The services whose quotas are known."""
    return {"Services": [{"ServiceCode": SERVICE, "ServiceName": "Amazon SageMaker"}]}
