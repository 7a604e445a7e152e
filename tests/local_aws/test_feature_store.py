"""Feature groups through the SDK and boto3: what is read online, what lies offline, what is refused."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pandas as pd
import pytest
from botocore.exceptions import ClientError
from feature_groups import HOUR, START, WARNINGS, Group
from lab import BUCKET, Lab

pytestmark = WARNINGS


def test_a_group_is_made_listed_and_described(make_group: Callable[..., Group], lab: Lab) -> None:
    sagemaker = lab.client("sagemaker")
    group = make_group(Description="of a test", Tags=[{"Key": "team", "Value": "x"}])
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
    make_group: Callable[..., Group], change: dict[str, Any], said: str
) -> None:
    with pytest.raises(ClientError, match=said) as caught:
        make_group(**change)
    assert caught.value.response["Error"]["Code"] == "ValidationException"


def test_a_group_whose_bucket_or_role_is_missing_fails_with_the_reason(
    make_group: Callable[..., Group], lab: Lab
) -> None:
    offline = {"S3StorageConfig": {"S3Uri": "s3://nowhere/x"}}
    found = make_group(OfflineStoreConfig=offline).described
    assert found["FeatureGroupStatus"] == "CreateFailed"
    assert "s3://nowhere/x" in found["FailureReason"]
    found = make_group(RoleArn=lab.role.replace("SageMakerRole", "Nobody")).described
    assert "Could not assume role" in found["FailureReason"]


def test_features_are_added(make_group: Callable[..., Group], lab: Lab) -> None:
    group = make_group()
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


def test_a_deleted_group_leaves_its_files_and_takes_its_records(
    make_group: Callable[..., Group], lab: Lab
) -> None:
    group = make_group()
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
