"""What SageMaker tells EventBridge: one event on the default bus for every change of state."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kit.local_aws.store import Context

__all__ = ["state_changed"]

DETAIL_BYTES = 200_000  # PutEvents takes 256 KB with everything around it


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return int(value.timestamp() * 1000)  # SageMaker's events hold times in milliseconds
    raise TypeError(f"{type(value).__name__} cannot be told to EventBridge")


def state_changed(ctx: Context, what: str, arn: str, record: Mapping[str, Any]) -> None:
    """Put "SageMaker {what} State Change" with the record's public members on the default bus."""
    detail = json.dumps(
        {k: v for k, v in record.items() if not k.startswith("_") and v is not None}, default=_plain
    )
    if len(detail) > DETAIL_BYTES:
        return
    entry = {
        "Source": "aws.sagemaker",
        "DetailType": f"SageMaker {what} State Change",
        "Resources": [arn],
        "Detail": detail,
    }
    ctx.app.client("events", ctx.region).put_events(Entries=[entry])
