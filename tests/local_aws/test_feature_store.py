"""Feature groups through the SDK and boto3: what is read online, what lies offline, what is refused."""

from __future__ import annotations

import io
import re
import statistics
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pandas as pd
import pytest
from botocore.exceptions import ClientError
from lab import BUCKET, Lab

pytestmark = [
    pytest.mark.filterwarnings("ignore:sagemaker.* has been moved:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Importing from sagemaker.*:DeprecationWarning"),
]

START = 1_767_225_600.0  # 2026-01-01T00:00:00Z
HOUR = 3600.0


class Group:
    """A feature group and what tests do with it."""

    def __init__(self, lab: Lab, **params: Any) -> None:
        self.lab, self.name = lab, f"group-{uuid.uuid4().hex[:8]}"
        self.runtime = lab.client("sagemaker-featurestore-runtime")
        asked = {
            "FeatureGroupName": self.name,
            "RecordIdentifierFeatureName": "Id",
            "EventTimeFeatureName": "at",
            "FeatureDefinitions": [
                {"FeatureName": "Id", "FeatureType": "String"},
                {"FeatureName": "at", "FeatureType": "Fractional"},
                {"FeatureName": "visits", "FeatureType": "Integral"},
            ],
            "OnlineStoreConfig": {"EnableOnlineStore": True},
            "OfflineStoreConfig": {"S3StorageConfig": {"S3Uri": f"s3://{BUCKET}/features"}},
            "RoleArn": lab.role,
        }
        merged = {key: value for key, value in {**asked, **params}.items() if value is not None}
        lab.client("sagemaker").create_feature_group(**merged)
        self.described = lab.until(self.describe, "FeatureGroupStatus", "Created", "CreateFailed")

    def describe(self) -> dict[str, Any]:
        found: dict[str, Any] = self.lab.client("sagemaker").describe_feature_group(
            FeatureGroupName=self.name
        )
        return found

    def put(self, key: str, at: float | str, visits: Any = None, **more: Any) -> None:
        given = {"Id": key, "at": at, "visits": visits}
        self.runtime.put_record(
            FeatureGroupName=self.name,
            Record=[{"FeatureName": k, "ValueAsString": str(v)} for k, v in given.items() if v is not None],
            **more,
        )

    def get(self, key: str, **more: Any) -> dict[str, str]:
        found = self.runtime.get_record(FeatureGroupName=self.name, RecordIdentifierValueAsString=key, **more)
        return {one["FeatureName"]: one["ValueAsString"] for one in found.get("Record", [])}

    def delete(self, key: str, at: float, **more: Any) -> None:
        self.runtime.delete_record(
            FeatureGroupName=self.name, RecordIdentifierValueAsString=key, EventTime=str(at), **more
        )

    def rows(self, sql: str = 'SELECT * FROM "{table}"') -> pd.DataFrame:
        """What Athena answers, through the SDK; {table} is the group's."""
        from sagemaker.mlops.feature_store import create_athena_query

        query = create_athena_query(self.name, self.lab.sagemaker)
        query.run(sql.replace("{table}", query.table_name), output_location=f"s3://{BUCKET}/queries")
        query.wait()
        return query.as_dataframe()

    @property
    def folder(self) -> str:
        """The key prefix of the offline store."""
        uri = self.describe()["OfflineStoreConfig"]["S3StorageConfig"]["ResolvedOutputS3Uri"]
        return str(uri).removeprefix(f"s3://{BUCKET}/")


@pytest.fixture
def make(lab: Lab) -> Callable[..., Group]:
    return lambda **params: Group(lab, **params)


def test_a_group_is_made_listed_and_described(make: Callable[..., Group], lab: Lab) -> None:
    sagemaker = lab.client("sagemaker")
    group = make(Description="of a test", Tags=[{"Key": "team", "Value": "x"}])
    found = group.described
    assert found["FeatureGroupStatus"] == "Created"
    assert found["OfflineStoreStatus"] == {"Status": "Active"}
    arn = found["FeatureGroupArn"]
    assert arn == f"arn:aws:sagemaker:us-east-1:{lab.server.account}:feature-group/{group.name}"
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "team", "Value": "x"}]
    folder = f"features/{lab.server.account}/sagemaker/us-east-1/offline-store/{group.name}-\\d{{10}}/data"
    assert re.fullmatch(folder, group.folder)
    catalog = found["OfflineStoreConfig"]["DataCatalogConfig"]
    assert re.fullmatch(group.name.replace("-", "_") + r"_\d{10}", catalog["TableName"])
    assert (catalog["Catalog"], catalog["Database"]) == ("AwsDataCatalog", "sagemaker_featurestore")
    table = lab.client("glue").get_table(DatabaseName=catalog["Database"], Name=catalog["TableName"])["Table"]
    assert {one["Name"]: one["Type"] for one in table["StorageDescriptor"]["Columns"]} == {
        "id": "string",
        "at": "double",
        "visits": "bigint",
        "write_time": "timestamp",
        "api_invocation_time": "timestamp",
        "is_deleted": "boolean",
    }
    listed = sagemaker.list_feature_groups(NameContains=group.name, OfflineStoreStatusEquals="Active")
    assert [one["FeatureGroupName"] for one in listed["FeatureGroupSummaries"]] == [group.name]
    with pytest.raises(ClientError, match="Resource Already Exists: FeatureGroup with name") as caught:
        sagemaker.create_feature_group(
            FeatureGroupName=group.name,
            RecordIdentifierFeatureName="a",
            EventTimeFeatureName="b",
            FeatureDefinitions=[
                {"FeatureName": "a", "FeatureType": "String"},
                {"FeatureName": "b", "FeatureType": "String"},
            ],
            OnlineStoreConfig={"EnableOnlineStore": True},
        )
    assert caught.value.response["Error"]["Code"] == "ResourceInUse"


STRING = {"FeatureType": "String"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"RecordIdentifierFeatureName": "nope"}, "RecordIdentifierFeatureName nope must be one of"),
        ({"EventTimeFeatureName": "visits"}, "must be Fractional or String"),
        ({"OnlineStoreConfig": None, "OfflineStoreConfig": None}, "At least one of"),
        ({"RoleArn": None}, "RoleArn must be provided"),
        ({"FeatureDefinitions": [{"FeatureName": name, **STRING} for name in ("Id", "at", "ID")]}, "more than once"),
        ({"FeatureDefinitions": [{"FeatureName": name, **STRING} for name in ("Id", "at", "is_deleted")]}, "reserved"),
        ({"OnlineStoreConfig": {"EnableOnlineStore": True, "StorageType": "InMemory"}}, "not supported for the InMemory"),
        ({"OfflineStoreConfig": {"S3StorageConfig": {"S3Uri": "s3://x/y"}, "TableFormat": "Iceberg"}}, "not as Iceberg"),
    ],
)  # fmt: skip
def test_a_group_that_cannot_be_is_refused(
    make: Callable[..., Group], change: dict[str, Any], said: str
) -> None:
    with pytest.raises(ClientError, match=said) as caught:
        make(**change)
    assert caught.value.response["Error"]["Code"] == "ValidationException"


def test_a_group_whose_bucket_or_role_is_missing_fails_with_the_reason(
    make: Callable[..., Group], lab: Lab
) -> None:
    offline = {"S3StorageConfig": {"S3Uri": "s3://nowhere/x"}}
    found = make(OfflineStoreConfig=offline).described
    assert found["FeatureGroupStatus"] == "CreateFailed"
    assert "s3://nowhere/x" in found["FailureReason"]
    found = make(RoleArn=lab.role.replace("SageMakerRole", "Nobody")).described
    assert "Could not assume role" in found["FailureReason"]


def test_the_latest_record_by_event_time_is_read(make: Callable[..., Group]) -> None:
    group = make()
    assert group.get("a") == {}
    group.put("a", START, 1)
    group.put("a", START + 10, 2)
    group.put("a", START + 5, 3)  # older: it does not take the place of the newer one
    assert group.get("a") == {"Id": "a", "at": str(START + 10), "visits": "2"}
    group.put("a", START + 20)
    assert group.get("a") == {"Id": "a", "at": str(START + 20)}, "a record replaces all of the one before"
    assert group.get("a", FeatureNames=["at"]) == {"at": str(START + 20)}
    assert list(group.rows('SELECT id, visits FROM "{table}" ORDER BY at')["visits"].fillna(0)) == [
        1,
        3,
        2,
        0,
    ]


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({"at": START}, "The record has no value for Id"),
        ({"Id": "", "at": START}, "The record has no value for Id"),
        ({"Id": "a"}, "The record has no value for at"),
        ({"Id": "a", "at": "2026-01-01T00:00:00Z"}, "is not of the type Fractional"),
        ({"Id": "a", "at": START, "visits": "1.5"}, "Value 1.5 of feature visits is not of the type Integral"),
        ({"Id": "a", "at": START, "visits": str(2**63)}, "is not of the type Integral"),
        ({"Id": "a", "at": START, "other": "x"}, "does not have a feature named other"),
    ],
)  # fmt: skip
def test_a_record_that_is_not_valid_is_refused(group: Group, record: dict[str, Any], said: str) -> None:
    values = [{"FeatureName": k, "ValueAsString": str(v)} for k, v in record.items()]
    with pytest.raises(ClientError, match=said) as caught:
        group.runtime.put_record(FeatureGroupName=group.name, Record=values)
    assert caught.value.response["Error"]["Code"] == "ValidationError"
    assert "Validation Error: " in str(caught.value)
    assert group.get("a") == {}


@pytest.fixture
def group(make: Callable[..., Group]) -> Group:
    """A group with an online store only."""
    return make(OfflineStoreConfig=None)


def test_records_of_a_group_that_there_is_not_are_refused(group: Group) -> None:
    group.name = "nobody"
    said = "Resource Not Found: Amazon SageMaker can't find a FeatureGroup with name nobody"
    with pytest.raises(group.runtime.exceptions.ValidationError, match=said):
        group.put("a", START)
    with pytest.raises(group.runtime.exceptions.ResourceNotFound, match=said):
        group.get("a")


def test_an_event_time_as_text_has_the_form_that_is_documented(make: Callable[..., Group]) -> None:
    features = [{"FeatureName": name, "FeatureType": "String"} for name in ("Id", "at")]
    group = make(FeatureDefinitions=features)
    group.put("a", "2026-01-01T10:00:00Z")
    group.put("a", "2026-01-01T09:00:00.500Z")
    assert group.get("a")["at"] == "2026-01-01T10:00:00Z"
    for wrong in ("2026-01-01", "2026-01-01 10:00:00", "10", "2026-13-01T10:00:00Z"):
        with pytest.raises(ClientError, match="must be an ISO-8601 string"):
            group.put("a", wrong)
    assert list(group.rows('SELECT at FROM "{table}" ORDER BY 1')["at"]) == [
        "2026-01-01T09:00:00.500Z",
        "2026-01-01T10:00:00Z",
    ]


def test_a_soft_delete_hides_a_record_until_a_later_one_comes(make: Callable[..., Group]) -> None:
    group = make()
    group.put("a", START, 1)
    group.delete("a", START - 1)
    assert group.get("a")["visits"] == "1", "a delete that is older does nothing online"
    group.delete("a", START + 10)
    assert group.get("a") == {}
    group.put("a", START + 5, 2)
    assert group.get("a") == {}
    group.put("a", START + 20, 3)
    assert group.get("a")["visits"] == "3"
    rows = group.rows('SELECT at, visits, is_deleted FROM "{table}" ORDER BY at')
    assert list(rows["is_deleted"]) == [True, False, False, True, False]
    assert list(rows["visits"].fillna(-1)) == [-1, 1, 2, -1, 3]


def test_a_hard_delete_removes_a_record_and_is_refused_where_it_is_older(make: Callable[..., Group]) -> None:
    group = make()
    group.put("a", START, 1)
    with pytest.raises(group.runtime.exceptions.ValidationError, match="EventTime"):
        group.delete("a", START, DeletionMode="HardDelete")
    group.delete("a", START + 1, DeletionMode="HardDelete")
    assert group.get("a") == {}
    group.put("a", START - 100, 2)  # nothing is left that would be newer
    assert group.get("a")["visits"] == "2"
    assert int(group.rows('SELECT count(*) AS n FROM "{table}" WHERE is_deleted')["n"][0]) == 1


def test_records_of_several_groups_are_read_and_written_at_once(
    make: Callable[..., Group], group: Group
) -> None:
    other = make(OnlineStoreConfig=None)
    entries = [
        {
            "FeatureGroupName": name,
            "Record": [
                {"FeatureName": "Id", "ValueAsString": key},
                {"FeatureName": "at", "ValueAsString": at},
            ],
        }
        for name, key, at in ((group.name, "a", "1"), (group.name, "b", "x"), (other.name, "c", "1"))
    ]
    written = group.runtime.batch_write_record(Entries=entries)
    assert [one["Entry"]["Record"][0]["ValueAsString"] for one in written["Errors"]] == ["b"]
    assert written["UnprocessedEntries"] == []
    identifiers = [
        {"FeatureGroupName": group.name, "RecordIdentifiersValueAsString": ["a", "b", "z"], "FeatureNames": ["Id"]},
        {"FeatureGroupName": other.name, "RecordIdentifiersValueAsString": ["c"]},
        {"FeatureGroupName": "nobody", "RecordIdentifiersValueAsString": ["a"]},
    ]  # fmt: skip
    found = group.runtime.batch_get_record(Identifiers=identifiers)
    assert [one["Record"] for one in found["Records"]] == [[{"FeatureName": "Id", "ValueAsString": "a"}]]
    assert [(one["FeatureGroupName"], one["ErrorCode"]) for one in found["Errors"]] == [
        (other.name, "ValidationError"),
        ("nobody", "ResourceNotFound"),
    ]


def test_a_record_expires_after_its_time_to_live(make: Callable[..., Group]) -> None:
    life = {"Unit": "Days", "Value": 1}
    group = make(OfflineStoreConfig=None, OnlineStoreConfig={"EnableOnlineStore": True, "TtlDuration": life})
    moment = time.time()
    group.put("kept", moment)
    group.put("gone", moment - 2 * 86400)
    group.put("short", moment, TtlDuration={"Unit": "Hours", "Value": 1})
    group.put("over", moment - 7200, TtlDuration={"Unit": "Hours", "Value": 1})
    assert [bool(group.get(key)) for key in ("kept", "gone", "short", "over")] == [True, False, True, False]
    found = group.runtime.get_record(
        FeatureGroupName=group.name, RecordIdentifierValueAsString="short", ExpirationTimeResponse="Enabled"
    )
    expires = datetime.fromisoformat(found["ExpiresAt"]).timestamp()
    assert expires == pytest.approx(moment + 3600, abs=1)
    listed = group.runtime.list_records(FeatureGroupName=group.name, MaxResults=1)
    assert listed["RecordIdentifiers"] == ["kept"]
    rest = group.runtime.list_records(FeatureGroupName=group.name, NextToken=listed["NextToken"])
    assert rest["RecordIdentifiers"] == ["short"]


def test_a_record_goes_only_to_the_stores_that_it_is_for(make: Callable[..., Group]) -> None:
    group = make()
    group.put("online", START, TargetStores=["OnlineStore"])
    group.put("offline", START, TargetStores=["OfflineStore"])
    assert (bool(group.get("online")), bool(group.get("offline"))) == (True, False)
    assert list(group.rows('SELECT id FROM "{table}"')["id"]) == ["offline"]
    with pytest.raises(ClientError, match="does not have"):
        make(OfflineStoreConfig=None).put("a", START, TargetStores=["OfflineStore"])
    with pytest.raises(ClientError, match="Online store is not enabled"):
        make(OnlineStoreConfig=None).get("a")


def test_offline_records_are_parquet_in_the_hour_of_their_event(make: Callable[..., Group]) -> None:
    import pyarrow.parquet as pq

    group = make()
    for key, at in (("a", START), ("b", START + 60), ("c", START + HOUR)):
        group.put(key, at, 7)
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


def test_offline_records_come_to_s3_by_themselves(make: Callable[..., Group]) -> None:
    group = make()
    group.put("a", START, 1)
    deadline = time.monotonic() + 30
    while not group.lab.keys(group.folder) and time.monotonic() < deadline:
        time.sleep(0.1)  # nobody asks, and S3 tells of nothing: there is no event to wait for
    assert len(group.lab.keys(group.folder)) == 1


def test_an_offline_store_whose_bucket_is_gone_is_blocked_and_goes_on_when_it_is_back(
    make: Callable[..., Group], lab: Lab
) -> None:
    s3 = lab.client("s3")
    bucket = f"gone-{uuid.uuid4().hex[:8]}"
    s3.create_bucket(Bucket=bucket)
    lab.client("iam").put_role_policy(
        RoleName="SageMakerRole",
        PolicyName=bucket,
        PolicyDocument='{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}}',
    )
    group = make(OfflineStoreConfig={"S3StorageConfig": {"S3Uri": f"s3://{bucket}/x"}})
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


def test_features_are_added(make: Callable[..., Group], lab: Lab) -> None:
    group = make()
    group.put("a", START, 1)
    sagemaker = lab.client("sagemaker")
    added = [{"FeatureName": "Score", "FeatureType": "Fractional"}]
    sagemaker.update_feature_group(FeatureGroupName=group.name, FeatureAdditions=added)
    found = group.describe()
    assert [one["FeatureName"] for one in found["FeatureDefinitions"]] == ["Id", "at", "visits", "Score"]
    assert found["LastUpdateStatus"] == {"Status": "Successful"}
    with pytest.raises(ClientError, match="more than once"):
        sagemaker.update_feature_group(FeatureGroupName=group.name, FeatureAdditions=added)
    group.runtime.put_record(
        FeatureGroupName=found["FeatureGroupArn"],
        Record=[
            {"FeatureName": name, "ValueAsString": value}
            for name, value in (("Id", "b"), ("at", str(START)), ("Score", "0.5"))
        ],
    )
    rows = group.rows('SELECT id, score FROM "{table}" ORDER BY id')
    assert list(rows["score"].fillna(-1)) == [-1, 0.5]


def test_a_deleted_group_leaves_its_files_and_takes_its_records(make: Callable[..., Group], lab: Lab) -> None:
    group = make()
    group.put("a", START, 1)
    folder, table = group.folder, group.described["OfflineStoreConfig"]["DataCatalogConfig"]
    lab.client("sagemaker").delete_feature_group(FeatureGroupName=group.name)
    with pytest.raises(lab.client("sagemaker").exceptions.ResourceNotFound):
        group.describe()
    assert len(lab.keys(folder)) == 1
    assert lab.client("glue").get_table(DatabaseName=table["Database"], Name=table["TableName"])
    with pytest.raises(ClientError, match="Resource Not Found"):
        group.get("a")


def frame(rows: int) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "Id": [f"c{i}" for i in range(rows)],
            "at": [START + i % 3 * HOUR for i in range(rows)],
            "visits": range(rows),
            "plan": [None if i % 5 == 0 else 'gold, or "so"' for i in range(rows)],
        }
    )


def made(lab: Lab, data: pd.DataFrame) -> Any:
    """A group for a data frame, made with the SDK."""
    from sagemaker.mlops.feature_store import (
        FeatureGroup,
        OfflineStoreConfig,
        OnlineStoreConfig,
        S3StorageConfig,
        load_feature_definitions_from_dataframe,
    )

    group = FeatureGroup.create(
        feature_group_name=f"sdk-{uuid.uuid4().hex[:8]}",
        record_identifier_feature_name="Id",
        event_time_feature_name="at",
        feature_definitions=load_feature_definitions_from_dataframe(data),
        online_store_config=OnlineStoreConfig(enable_online_store=True),
        offline_store_config=OfflineStoreConfig(
            s3_storage_config=S3StorageConfig(s3_uri=f"s3://{BUCKET}/sdk")
        ),
        role_arn=lab.role,
    )
    group.wait_for_status("Created")
    return group


@pytest.mark.parametrize("how", [{"max_workers": 4}, {"use_batch_write_record": True, "max_workers": 2}])
def test_a_data_frame_is_ingested_by_several_workers(lab: Lab, how: dict[str, Any]) -> None:
    from sagemaker.mlops.feature_store import create_athena_query, ingest_dataframe

    data = frame(200)
    group = made(lab, data)
    manager = ingest_dataframe(feature_group_name=group.feature_group_name, data_frame=data, **how)
    assert manager.failed_rows == []
    runtime = lab.client("sagemaker-featurestore-runtime")
    found = runtime.get_record(
        FeatureGroupName=group.feature_group_name, RecordIdentifierValueAsString="c7", FeatureNames=["plan"]
    )
    assert found["Record"] == [{"FeatureName": "plan", "ValueAsString": 'gold, or "so"'}]
    query = create_athena_query(group.feature_group_name, lab.sagemaker)
    query.run(
        f'SELECT id, at, visits, plan FROM "{query.table_name}" ORDER BY visits', f"s3://{BUCKET}/queries"
    )
    query.wait()
    wanted = data.rename(columns=str.lower)
    pd.testing.assert_frame_equal(query.as_dataframe().fillna("none"), wanted.fillna("none"))


def test_a_row_that_cannot_be_ingested_is_named(lab: Lab) -> None:
    from sagemaker.mlops.feature_store import ingest_dataframe
    from sagemaker.mlops.feature_store.ingestion_manager_pandas import IngestionError

    data = frame(20)
    group = made(lab, data)
    data = data.astype({"visits": object})
    data.loc[11, "visits"] = "many"
    with pytest.raises(IngestionError) as caught:
        ingest_dataframe(feature_group_name=group.feature_group_name, data_frame=data, max_workers=3)
    assert caught.value.failed_rows == [11]


def test_a_point_in_time_join_sees_nothing_that_came_later(lab: Lab) -> None:
    from sagemaker.mlops.feature_store import ingest_dataframe
    from sagemaker.mlops.feature_store.dataset_builder import DatasetBuilder

    history = pd.DataFrame(
        {
            "Id": ["a", "a", "a", "b"],
            "at": [START, START + 10, START + 20, START + 15],
            "visits": [1, 2, 3, 9],
        }
    )
    group = made(lab, history)
    ingest_dataframe(feature_group_name=group.feature_group_name, data_frame=history)
    asked = pd.DataFrame(
        {"Id": ["a", "a", "b"], "at": [START + 12, START + 100, START + 1], "label": [0, 1, 0]}
    )

    def built(exact: bool) -> pd.DataFrame:
        builder = DatasetBuilder.create(
            base=asked,
            output_path=f"s3://{BUCKET}/datasets",
            session=lab.sagemaker,
            record_identifier_feature_name="Id",
            event_time_identifier_feature_name="at",
        ).with_feature_group(group, "Id", ["visits"])
        found, _ = (builder.point_in_time_accurate_join() if exact else builder).to_dataframe()
        return found

    exact = built(True)
    assert (exact["at"] >= exact["at"]).all()
    pairs = sorted(zip(exact["at"] - START, exact["visits.1"], strict=True))
    assert pairs == [(12, 1), (12, 2), (100, 1), (100, 2), (100, 3)]
    naive = sorted(zip(built(False)["at"] - START, built(False)["visits.1"], strict=True))
    assert (12, 3) in naive, "the naive join looks into the future"
    assert (1, 9) in naive


def test_a_dataset_of_a_group_has_the_latest_records_that_were_not_deleted(lab: Lab) -> None:
    from sagemaker.mlops.feature_store import ingest_dataframe
    from sagemaker.mlops.feature_store.dataset_builder import DatasetBuilder

    history = pd.DataFrame({"Id": ["a", "a", "b"], "at": [START, START + 10, START], "visits": [1, 2, 9]})
    group = made(lab, history)
    ingest_dataframe(feature_group_name=group.feature_group_name, data_frame=history)
    group.delete_record(record_identifier_value_as_string="b", event_time=str(START + 50))
    builder = DatasetBuilder.create(base=group, output_path=f"s3://{BUCKET}/datasets", session=lab.sagemaker)
    builder.with_number_of_recent_records_by_record_identifier(1)
    builder.as_of(datetime(2100, 1, 1))  # noqa: DTZ001 - the SDK writes it into the query as it is
    found, sql = builder.to_dataframe()
    assert found[["Id", "visits"]].to_numpy().tolist() == [["a", 2]]
    assert "to_timestamp" in sql


def test_reads_and_writes_are_quick(group: Group) -> None:
    """Median of 200 calls each, over HTTP; the bounds are ten times what an idle machine needs."""
    took: dict[str, list[float]] = {"put": [], "get": []}
    for i in range(200):
        began = time.perf_counter()
        group.put(f"k{i}", START, i)
        took["put"].append(time.perf_counter() - began)
        began = time.perf_counter()
        group.get(f"k{i}")
        took["get"].append(time.perf_counter() - began)
    assert statistics.median(took["put"]) < 0.02
    assert statistics.median(took["get"]) < 0.02
