"""Athena: queries over the tables of the Glue catalogue, run by DuckDB in a process each; results lie in S3 as Athena leaves them."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from kit.local_aws import athena_ddl, athena_results, offline_store
from kit.local_aws.askers import asker
from kit.local_aws.athena_create import Creation
from kit.local_aws.athena_sql import QueryError, Statement, reason, statement, translated
from kit.local_aws.athena_tables import Catalogue
from kit.local_aws.athena_types import check_comparisons
from kit.local_aws.channels import InputError, check_bucket
from kit.local_aws.front import action
from kit.local_aws.objects import objects_of
from kit.local_aws.protocol import AwsError, now
from kit.local_aws.store import Record

if TYPE_CHECKING:
    from kit.local_aws.store import Context

__all__ = ["KIND"]

log = logging.getLogger(__name__)

KIND = "QueryExecution"
SECONDS = 1800.0  # how long a query may run, as on AWS; KIT_QUERY_SECONDS says otherwise
MEMORY = "1GB"  # of one query
AT_ONCE = 3  # queries that run; more wait in the queue
ENDED = ("SUCCEEDED", "FAILED", "CANCELLED")
CANCELLED = "Query cancelled by user"
LISTED = 50
ENFORCED = (
    "The Create Table As Select query failed because it was submitted with an 'external_location' property to an Athena Workgroup that"
    " enforces a centralized output location for all queries. Please remove the 'external_location' property and resubmit the query."
)


@dataclass
class Run:
    """A query while it runs: its process once it has one, and whether it was told to stop."""

    process: subprocess.Popen[str] | None = None
    stopped: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def stop(self) -> None:
        """Ends the query; one that has no process yet gets none."""
        with self.lock:
            self.stopped.set()
            if self.process is not None:
                self.process.kill()


_running: dict[str, Run] = {}
_slots = threading.BoundedSemaphore(AT_ONCE)


def invalid(message: str) -> AwsError:
    """Athena's refusal of a request."""
    return AwsError("InvalidRequestException", message, AthenaErrorCode="INVALID_INPUT")


@action("athena", "StartQueryExecution")
def start_query_execution(ctx: Context, params: dict[str, Any]) -> Record:
    """A query that begins; one that was asked for with the same token is not begun again."""
    token = params.get("ClientRequestToken")
    with ctx.app.store.lock:
        for row in ctx.app.store.rows(ctx, KIND) if token else ():
            if row["_token"] == token:
                if row["Query"] != params["QueryString"]:
                    raise invalid("Idempotent parameters do not match")
                return row
    group = _workgroup(ctx, params.get("WorkGroup", "primary"))
    settings = group.configuration
    results = {**params.get("ResultConfiguration", {})}
    own = settings.get("ResultConfiguration", {})
    if own.get("OutputLocation") and (settings.get("EnforceWorkGroupConfiguration") or "OutputLocation" not in results):  # fmt: skip
        results = {**results, **own}
    location = results.get("OutputLocation")
    if not location:
        raise invalid(
            "No output location provided. An output location is required either through the Workgroup result configuration"
            " setting or as an API input."
        )
    try:
        check_bucket(asker(ctx), ctx.region, location)
    except InputError:
        raise invalid(f"Unable to verify/create output bucket {location[5:].partition('/')[0]}") from None
    asked = statement(params["QueryString"], params.get("ExecutionParameters"))
    identifier = str(uuid.uuid4())
    suffix = "" if asked.verb == "CREATE TABLE AS SELECT" else ".csv" if asked.type == "DML" else ".txt"
    context = params.get("QueryExecutionContext", {})
    record = ctx.app.store.create(
        ctx,
        KIND,
        {"QueryExecutionId": identifier},
        QueryExecutionArn=f"arn:aws:athena:{ctx.region}:{ctx.account}:query-execution/{identifier}",
        Query=params["QueryString"],
        StatementType=asked.type,
        SubstatementType=asked.verb.replace(" ", "_"),
        WorkGroup=group.name,
        QueryExecutionContext={"Catalog": "awsdatacatalog", **context},
        ResultConfiguration={**results, "OutputLocation": f"{location.rstrip('/')}/{identifier}{suffix}"},
        ExecutionParameters=params.get("ExecutionParameters"),
        QueryStatus="QUEUED",
        _token=token,
        _base=location.rstrip("/"),
        _enforced=bool(settings.get("EnforceWorkGroupConfiguration")),
        _cutoff=settings.get("BytesScannedCutoffPerQuery"),
        _columns=[],
        _rows=0,
    )
    run = _running[identifier] = Run()
    ctx.app.background(f"athena/{identifier}", _execute, ctx, identifier, asked, run)
    return record


def _workgroup(ctx: Context, name: str) -> Any:
    group = ctx.app.backend("athena", ctx.region).work_groups.get(name)
    if group is None:
        raise invalid(f"WorkGroup {name} is not found.")
    if group.state != "ENABLED":
        raise invalid(f"WorkGroup {name} is disabled.")
    return group


def _execute(ctx: Context, identifier: str, asked: Statement, run: Run) -> None:
    """A query from the queue to its end."""
    began = now()
    scratch = Path(tempfile.mkdtemp(prefix="query-", dir=_folder(ctx)))
    try:
        with _slots:
            if run.stopped.is_set():
                return  # it was cancelled in the queue
            record = ctx.app.store.update(ctx, KIND, identifier, QueryStatus="RUNNING", _queued=_ms(began))
            changes = _ran(ctx, record, asked, run, scratch)
    except QueryError as error:
        changes = {"QueryStatus": "CANCELLED", "StateChangeReason": CANCELLED} if run.stopped.is_set() else _failure(error)  # fmt: skip
    except ClientError as error:  # of Glue, most likely: the one who asks may not
        changes = _failure(QueryError(error.response["Error"].get("Message", str(error))))
    except Exception as error:
        log.exception("query %s", identifier)
        changes = _failure(QueryError(f"GENERIC_INTERNAL_ERROR: {error}", 200, 1))
    finally:
        _running.pop(identifier, None)
        shutil.rmtree(scratch, ignore_errors=True)
    ctx.app.store.update(ctx, KIND, identifier, _completed=now(), _took=_ms(began), **changes)


def _ms(began: Any) -> int:
    return int((now() - began).total_seconds() * 1000)


def _folder(ctx: Context) -> Path:
    folder: Path = ctx.app.folder / "athena"
    folder.mkdir(exist_ok=True)
    return folder


def _failure(error: QueryError) -> Record:
    said = {
        "ErrorCategory": error.category,
        "ErrorType": error.kind,
        "Retryable": False,
        "ErrorMessage": error.message,
    }
    return {"QueryStatus": "FAILED", "StateChangeReason": error.message, "_error": said}


def _ran(ctx: Context, record: Record, asked: Statement, run: Run, scratch: Path) -> Record:
    """What the query leaves in its record, after its result is in S3. Raises QueryError."""
    catalogue = Catalogue(ctx)
    database = record["QueryExecutionContext"].get("Database", "default").lower()
    if asked.verb == "SELECT":
        answer = _asked(ctx, record, asked, database, catalogue, run, scratch)
    elif asked.verb == "CREATE TABLE AS SELECT":
        folder = f"{record['_base']}/tables/{record['_key']}"
        creation = Creation.of(asked, database, catalogue, folder)
        if record["_enforced"] and creation.location != f"{folder}/":
            raise QueryError(ENFORCED)
        answer = _asked(ctx, record, asked, database, catalogue, run, scratch, creation)
        creation.publish(ctx, scratch, answer["columns"])
        return {"QueryStatus": "SUCCEEDED", "_updated": answer["rows"], "_scanned": answer["scanned"]}
    else:
        lines = athena_ddl.done(asked, database, catalogue)
        columns = [[name, "string", 0, 0] for name in athena_ddl.COLUMNS.get(asked.verb, ())]
        (scratch / "result").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        answer = {"columns": columns, "rows": len(lines), "scanned": 0}
    athena_results.write(ctx, record, scratch / "result", answer["columns"])
    return {
        "QueryStatus": "SUCCEEDED",
        "_columns": answer["columns"],
        "_rows": answer["rows"],
        "_scanned": answer["scanned"],
    }


def _asked(
    ctx: Context,
    record: Record,
    asked: Statement,
    database: str,
    catalogue: Catalogue,
    run: Run,
    scratch: Path,
    creation: Creation | None = None,
) -> Record:
    """What the engine answers to a query. Raises QueryError."""
    tree = creation.query if creation else asked.tree
    sql, reads = translated(tree, asked.text, database)
    offline_store.flush(ctx.app)
    tables = [catalogue.table(read) for read in {(read.database, read.name): read for read in reads}.values()]
    mounted = [table.mounted(objects_of(ctx.app).path) for table in tables]
    types = {(one["database"], one["name"]): dict(one["columns"] + one["partitions"]) for one in mounted}
    check_comparisons(tree, types, database)
    scanned = sum(table.bytes() for table in tables)
    if record["_cutoff"] and scanned > record["_cutoff"]:
        raise QueryError("Bytes scanned limit was exceeded", 1000)
    catalogue.fetch(tables)
    objects = objects_of(ctx.app)
    job = {
        "sql": sql,
        "tables": mounted,
        "output": str(scratch / "result"),
        "scratch": str(scratch),
        "folders": [str(objects.folder), str(scratch)],
        "memory": MEMORY,
        "threads": 2,
        "copy": creation.copy(scratch) if creation else None,
    }
    answer = _engine(job, run, scratch)
    if error := answer.get("error"):
        raise reason(error["kind"], error["message"], asked.text)
    return {**answer, "scanned": scanned}


def _engine(job: Record, run: Run, scratch: Path) -> Record:
    """What a process of its own answers to the job; it is killed when the query is stopped, or takes too long."""
    with run.lock:
        if run.stopped.is_set():
            raise QueryError(CANCELLED)
        with (scratch / "said").open("w") as said:
            run.process = process = subprocess.Popen(
                [sys.executable, "-m", "kit.local_aws.athena_engine"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                cwd=scratch,
                text=True,
            )
    assert process.stdin is not None
    assert process.stdout is not None
    seconds = float(os.environ.get("KIT_QUERY_SECONDS", SECONDS))
    late = threading.Event()

    def expire() -> None:
        late.set()
        process.kill()

    timer = threading.Timer(seconds, expire)
    timer.start()
    try:
        process.stdin.write(json.dumps(job) + "\n")
        process.stdin.flush()
        line = process.stdout.readline()
    except BrokenPipeError:
        line = ""
    finally:
        timer.cancel()
        process.kill()
        process.wait()
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        process.stdout.close()
    if line:
        answer: Record = json.loads(line)
        return answer
    if late.is_set():
        raise QueryError(f"Query timeout: it ran for {seconds:g} seconds", 206, 1)
    if not run.stopped.is_set():
        log.warning(
            "the engine ended without an answer: %s", (scratch / "said").read_text(errors="replace")[-2000:]
        )
    raise QueryError("GENERIC_INTERNAL_ERROR: The query engine ended without an answer", 200, 1)


def _execution(record: Record) -> Record:
    """The record as Athena shows it."""
    took = record.get("_took", 0)
    return {
        **record,
        "Status": {
            "State": record["QueryStatus"],
            "StateChangeReason": record.get("StateChangeReason"),
            "SubmissionDateTime": record["CreationTime"],
            "CompletionDateTime": record.get("_completed"),
            "AthenaError": record.get("_error"),
        },
        "Statistics": {
            "EngineExecutionTimeInMillis": took,
            "TotalExecutionTimeInMillis": took,
            "QueryQueueTimeInMillis": record.get("_queued", 0),
            "DataScannedInBytes": record.get("_scanned", 0),
        },
        "ResultReuseConfiguration": {"ResultReuseByAgeConfiguration": {"Enabled": False}},
        "EngineVersion": {
            "SelectedEngineVersion": "AUTO",
            "EffectiveEngineVersion": "Athena engine version 3",
        },
    }


@action("athena", "GetQueryExecution")
def get_query_execution(ctx: Context, params: dict[str, Any]) -> Record:
    """A query as it is now."""
    return {"QueryExecution": _execution(ctx.app.store.get(ctx, KIND, params["QueryExecutionId"]))}


@action("athena", "BatchGetQueryExecution")
def batch_get_query_execution(ctx: Context, params: dict[str, Any]) -> Record:
    """Several queries; those that are not there are told apart."""
    found = {key: ctx.app.store.find(ctx, KIND, key) for key in params["QueryExecutionIds"]}
    return {
        "QueryExecutions": [_execution(record) for record in found.values() if record],
        "UnprocessedQueryExecutionIds": [
            {
                "QueryExecutionId": key,
                "ErrorCode": "INVALID_INPUT",
                "ErrorMessage": f"QueryExecution {key} was not found",
            }
            for key, record in found.items()
            if not record
        ],
    }


@action("athena", "ListQueryExecutions")
def list_query_executions(ctx: Context, params: dict[str, Any]) -> Record:
    """The ids of a workgroup's queries, the newest first."""
    group = _workgroup(ctx, params.get("WorkGroup", "primary")).name
    rows = [row["_key"] for row in ctx.app.store.rows(ctx, KIND) if row["WorkGroup"] == group]
    rows.reverse()
    begin = rows.index(params["NextToken"]) if params.get("NextToken") in rows else 0
    size = params.get("MaxResults") or LISTED
    more = {"NextToken": rows[begin + size]} if len(rows) > begin + size else {}
    return {"QueryExecutionIds": rows[begin : begin + size], **more}


@action("athena", "StopQueryExecution")
def stop_query_execution(ctx: Context, params: dict[str, Any]) -> None:
    """A query that runs is cancelled; one that ended stays as it is."""
    record = ctx.app.store.get(ctx, KIND, params["QueryExecutionId"])
    if run := _running.get(record["_key"]):
        run.stop()

    def cancelled(now_is: Record) -> Record:
        queued = now_is["QueryStatus"] == "QUEUED"
        return (
            {"QueryStatus": "CANCELLED", "StateChangeReason": CANCELLED, "_completed": now()}
            if queued
            else {}
        )

    ctx.app.store.update(ctx, KIND, record["_key"], cancelled)


@action("athena", "GetQueryResults")
def get_query_results(ctx: Context, params: dict[str, Any]) -> Record:
    """A page of a query's result."""
    record = ctx.app.store.get(ctx, KIND, params["QueryExecutionId"])
    state = record["QueryStatus"]
    if state not in ENDED:
        raise invalid(f"Query has not yet finished. Current state: {state}")
    if state != "SUCCEEDED":
        raise invalid(f"Query did not finish successfully. Final query state: {state}")
    return athena_results.read(ctx, record, params)
