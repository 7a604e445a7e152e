"""A feature group at the local SageMaker, and what tests do with it."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from lab import BUCKET, Lab

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["HOUR", "START", "WARNINGS", "Group", "make_group", "online_group"]

START = 1_767_225_600.0  # 2026-01-01T00:00:00Z
HOUR = 3600.0
WARNINGS = [
    pytest.mark.filterwarnings("ignore:sagemaker.* has been moved:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Importing from sagemaker.*:DeprecationWarning"),
]


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
def make_group(lab: Lab) -> Callable[..., Group]:
    return lambda **params: Group(lab, **params)


@pytest.fixture
def online_group(make_group: Callable[..., Group]) -> Group:
    """A group with an online store only."""
    return make_group(OfflineStoreConfig=None)
