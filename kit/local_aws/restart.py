"""What becomes of what ran when the server ended: jobs have failed, endpoints serve again, pipelines and deliveries go on."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from kit.local_aws import hosting, pipeline_execution, processing, streams, training, transform, tuning
from kit.local_aws.jobs import Job
from kit.local_aws.protocol import now
from kit.local_aws.store import MOVING, Context, Record

if TYPE_CHECKING:
    from kit.local_aws.front import App

__all__ = ["resume"]

REASON = "InternalServerError: The local AWS ended while this ran. Start it again."
ENDED: dict[str, Callable[[Job, str], None]] = {
    "TrainingJob": training.failed,
    "ProcessingJob": processing.failed,
    "TransformJob": transform.failed,
    "HyperParameterTuningJob": tuning.failed,
}
STATUS = {"QueryExecution": "QueryStatus"}  # where it is not named after the kind
FAILED: dict[str, Record] = {
    "FeatureGroup": {"FeatureGroupStatus": "CreateFailed", "FailureReason": REASON},
    "QueryExecution": {"QueryStatus": "FAILED", "StateChangeReason": REASON},
}
log = logging.getLogger(__name__)


def resume(app: App) -> None:
    """Take up what an earlier server of this state left: first what ended with it, then what goes on."""
    going: list[tuple[Context, Record]] = []
    for account, region, record in app.store.everything():
        ctx, kind = Context(app, account, region), record["_kind"]
        status = record.get(STATUS.get(kind, f"{kind}Status"))
        try:
            if kind == "Endpoint":
                going += [(ctx, record)] if status != "Failed" else []
            elif status not in MOVING:
                continue
            elif kind == "PipelineExecution":
                going.append((ctx, record))
            elif kind in ENDED:
                ENDED[kind](Job(ctx, kind, record["_key"]), REASON)
            elif kind in FAILED:
                completed: Record = {"_completed": now()} if kind == "QueryExecution" else {}
                app.store.update(ctx, kind, record["_key"], None, **FAILED[kind], **completed)
        except Exception:
            log.exception("%s could not be taken up", record["_arn"])
    for ctx, record in going:
        if record["_kind"] == "Endpoint":
            hosting.resume(ctx, record["_key"])
        else:
            pipeline_execution.go_on(ctx, record["_arn"])
    streams.resume(app)
