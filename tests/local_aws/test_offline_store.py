"""What of a feature group lies in S3."""

from __future__ import annotations

import io
import re
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime

from feature_groups import HOUR, START, WARNINGS, Group
from lab import BUCKET, Lab

pytestmark = WARNINGS


def record(key: str, at: float, visits: int = 7) -> list[dict[str, str]]:
    given = {"Id": key, "at": at, "visits": visits}
    return [{"FeatureName": name, "ValueAsString": str(value)} for name, value in given.items()]


def test_offline_records_are_parquet_in_the_hour_of_their_event(make_group: Callable[..., Group]) -> None:
    import pyarrow.parquet as pq

    group = make_group()
    # In one request: between two of a slow machine the first ones may already be written, each hour in two files.
    entries = [
        {"FeatureGroupName": group.name, "Record": record(key, at)}
        for key, at in (("a", START), ("b", START + 60), ("c", START + HOUR))
    ]
    assert group.runtime.batch_write_record(Entries=entries)["Errors"] == []
    assert int(group.rows('SELECT count(*) AS n FROM "{table}"')["n"][0]) == 3
    keys = sorted(key.removeprefix(group.folder + "/") for key in group.lab.keys(group.folder))
    assert [key.rpartition("/")[0] for key in keys] == [
        "year=2026/month=01/day=01/hour=00",
        "year=2026/month=01/day=01/hour=01",
    ]
    assert re.fullmatch(r"20260101T000100Z_[A-Za-z0-9]{16}\.parquet", keys[0].rpartition("/")[2])
    table = pq.read_table(
        io.BytesIO(group.lab.get(f"s3://{BUCKET}/{group.folder}/{keys[0]}")), partitioning=None
    )
    assert table.column_names == ["id", "at", "visits", "write_time", "api_invocation_time", "is_deleted"]
    rows = table.to_pylist()
    assert [row["id"] for row in rows] == ["a", "b"]
    assert rows[0]["api_invocation_time"] <= rows[0]["write_time"]
    assert rows[0]["write_time"].replace(tzinfo=UTC) <= datetime.now(UTC)
    by_hour = group.rows(
        "SELECT hour, count(*) AS n FROM \"{table}\" WHERE year = '2026' GROUP BY 1 ORDER BY 1"
    )
    assert list(by_hour["n"]) == [2, 1]


def test_offline_records_come_to_s3_by_themselves(make_group: Callable[..., Group]) -> None:
    group = make_group()
    group.put("a", START, 1)
    deadline = time.monotonic() + 120
    while not group.lab.keys(group.folder) and time.monotonic() < deadline:
        time.sleep(0.1)  # nobody asks, and S3 tells of nothing: there is no event to wait for
    assert len(group.lab.keys(group.folder)) == 1


def test_an_offline_store_whose_bucket_is_gone_is_blocked_and_goes_on_when_it_is_back(
    make_group: Callable[..., Group], lab: Lab
) -> None:
    s3 = lab.client("s3")
    bucket = f"gone-{uuid.uuid4().hex[:8]}"
    s3.create_bucket(Bucket=bucket)
    lab.client("iam").put_role_policy(
        RoleName="SageMakerRole",
        PolicyName=bucket,
        PolicyDocument='{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}}',
    )
    group = make_group(OfflineStoreConfig={"S3StorageConfig": {"S3Uri": f"s3://{bucket}/x"}})
    s3.delete_bucket(Bucket=bucket)
    group.put("a", START, 1)
    athena = lab.client("athena")
    where = {"OutputLocation": f"s3://{BUCKET}/queries/"}
    asked = athena.start_query_execution(QueryString="SELECT 1", ResultConfiguration=where)[
        "QueryExecutionId"
    ]
    lab.until(
        lambda: athena.get_query_execution(QueryExecutionId=asked)["QueryExecution"]["Status"],
        "State",
        "SUCCEEDED",
    )
    status = group.describe()["OfflineStoreStatus"]
    assert status["Status"] == "Blocked"
    assert "NoSuchBucket" in status["BlockedReason"]
    assert group.get("a")["visits"] == "1"
    s3.create_bucket(Bucket=bucket)
    assert list(group.rows('SELECT visits FROM "{table}"')["visits"]) == [1]
    assert group.describe()["OfflineStoreStatus"] == {"Status": "Active"}
