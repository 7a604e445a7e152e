"""A feature group in the account, on a real local AWS and with the rights that F1 gives a data engineer."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from string import Template
from typing import Any

import boto3
import pandas as pd
import pytest
from botocore.exceptions import ClientError
from jobs import load

from kit.errors import KitError
from kit.local_aws import process

groups, catalogue = load("data_engineering", "feature_group", "catalogue")
ROOT = Path(__file__).parents[1]


def test_waiting_ends_when_it_is_there_or_too_late() -> None:
    answers = iter([False, False, True])
    assert groups.seconds_until(lambda: next(answers), 0.001, 60) < 60
    with pytest.raises(KitError, match="Nothing came in 0 seconds"):
        groups.seconds_until(lambda: False, 0.001, 0.0)


class Busy:
    """A runtime that leaves every second id for the next call, and cannot read the id `bad`."""

    def batch_get_record(self, Identifiers: list[dict[str, Any]]) -> dict[str, Any]:
        (asked,) = Identifiers
        ids = asked["RecordIdentifiersValueAsString"]
        assert len(ids) <= 100
        done, left = ids[::2], ids[1::2]
        value = {"FeatureName": "x", "ValueAsString": "1"}
        return {
            "Records": [{"RecordIdentifierValueAsString": one, "Record": [value]} for one in done],
            "Errors": [{"ErrorMessage": "no such group"}] if "bad" in ids else [],
            "UnprocessedIdentifiers": [{**asked, "RecordIdentifiersValueAsString": left}] if left else [],
        }


def test_ids_that_the_service_left_are_asked_for_again() -> None:
    ids = [f"i{n}" for n in range(250)]
    assert sorted(groups.online(Busy(), "g", ids)) == sorted(ids)
    with pytest.raises(KitError, match="g: no such group"):
        groups.online(Busy(), "g", ["bad"])


# What the data engineer of F1 may do


@pytest.fixture(scope="module")
def engineer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """(the account, a session's clients by name and role) of an account with F1's data engineer and execution role, and F2's bucket."""
    folder = tmp_path_factory.mktemp("aws")
    server = process.up(folder)
    bucket = f"eba-{server.account}-us-east-1"
    names = {"partition": "aws", "region": "us-east-1", "account": server.account, "bucket": bucket}
    root = boto3.Session("AKIATEST", "secret", region_name="us-east-1")
    iam = root.client("iam", endpoint_url=server.url)
    s3, kms = (root.client(name, endpoint_url=server.url) for name in ("s3", "kms"))
    s3.create_bucket(Bucket=bucket)
    policies = ROOT / "foundations" / "policies"

    def draft(name: str) -> str:
        return Template((policies / f"{name}.json").read_text(encoding="utf-8")).substitute(names)

    for role, trust, files in (
        ("EbaDataEngineer", "trust-persona", ("builder", "data-engineer")),
        ("EbaDataScientistExecution", "trust-execution", ("execution-role",)),
    ):
        iam.create_role(RoleName=role, AssumeRolePolicyDocument=draft(trust))
        for name in files:
            iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=draft(name))
    names["key"] = kms.create_key(Policy=draft("guardrails/key"))["KeyMetadata"]["Arn"]
    kms.create_alias(AliasName="alias/eba", TargetKeyId=names["key"])
    default = {
        "ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": names["key"]}
    }
    s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [default]})
    s3.put_bucket_policy(Bucket=bucket, Policy=draft("guardrails/bucket"))
    iam.create_user(UserName="ann")
    allow = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    wide = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
    iam.put_user_policy(UserName="ann", PolicyName="all", PolicyDocument=wide)
    key = iam.create_access_key(UserName="ann")["AccessKey"]
    ann = boto3.Session(key["AccessKeyId"], key["SecretAccessKey"], region_name="us-east-1")
    taken = ann.client("sts", endpoint_url=server.url).assume_role(
        RoleArn=f"arn:aws:iam::{server.account}:role/EbaDataEngineer", RoleSessionName="d6"
    )["Credentials"]
    mine = boto3.Session(
        taken["AccessKeyId"], taken["SecretAccessKey"], taken["SessionToken"], region_name="us-east-1"
    )

    class Session:
        account = server.account

        def client(self, name: str) -> Any:
            return mine.client(name, endpoint_url=server.url)

    yield Session()
    process.down(folder)


def group_of(session: Any, name: str) -> dict[str, Any]:
    features = {"record_id": "String", "event_time": "Fractional", "x": "Fractional"}
    return {
        "FeatureGroupName": name,
        "RecordIdentifierFeatureName": "record_id",
        "EventTimeFeatureName": "event_time",
        "FeatureDefinitions": [{"FeatureName": n, "FeatureType": t} for n, t in features.items()],
        "OnlineStoreConfig": {"EnableOnlineStore": True},
        "OfflineStoreConfig": {"S3StorageConfig": {"S3Uri": f"s3://eba-{session.account}-us-east-1/eba/d6/offline"}},
        "RoleArn": f"arn:aws:iam::{session.account}:role/EbaDataScientistExecution",
        "Tags": [{"Key": "eba:card", "Value": "D6"}],
    }  # fmt: skip


def record(one: str, moment: float, x: float) -> list[dict[str, str]]:
    values = {"record_id": one, "event_time": str(moment), "x": str(x)}
    return [{"FeatureName": name, "ValueAsString": value} for name, value in values.items()]


def test_the_data_engineer_may_do_all_that_the_runbook_does_and_no_more(engineer: Any) -> None:
    """Every call of D6, signed with the keys of F1's role; then the group, its table and its files are gone."""
    sagemaker, runtime, s3, glue, athena = (
        engineer.client(n) for n in ("sagemaker", "sagemaker-featurestore-runtime", "s3", "glue", "athena")
    )
    bucket, name = f"eba-{engineer.account}-us-east-1", "eba-d6-features"
    sagemaker.create_feature_group(**group_of(engineer, name))
    status = groups.seconds_until(
        lambda: sagemaker.describe_feature_group(FeatureGroupName=name)["FeatureGroupStatus"] == "Created",
        0.02,
        120,
    )
    assert status < 120
    for one, moment, x in (("a", 100.0, 1.0), ("a", 200.0, 2.0), ("b", 100.0, 3.0)):
        entry = {"FeatureGroupName": name, "Record": record(one, moment, x)}
        assert not runtime.batch_write_record(Entries=[entry])["Errors"]
    read = runtime.get_record(FeatureGroupName=name, RecordIdentifierValueAsString="a")["Record"]
    assert {v["FeatureName"]: v["ValueAsString"] for v in read}["x"] == "2.0"
    assert groups.online(runtime, name, ["a", "nobody"]) == {
        "a": {v["FeatureName"]: v["ValueAsString"] for v in read}
    }
    s3.get_bucket_encryption(Bucket=bucket)

    events = pd.DataFrame(
        {"event_id": [0, 1], "record_id": ["a", "b"], "asked_at": [150.0, 50.0], "target": [1.0, 0.0]}
    )
    body = io.BytesIO()
    events.to_parquet(body, index=False)
    s3.put_object(Bucket=bucket, Key="eba/d6/labels/labels.parquet", Body=body.getvalue())
    columns = {"event_id": "bigint", "record_id": "string", "asked_at": "double", "target": "double"}
    labels = catalogue.stored("labels", f"s3://{bucket}/eba/d6/labels", columns.items(), "parquet")
    tags = [{"Key": "eba:card", "Value": "D6"}]
    for _ in range(2):
        catalogue.database(glue, "eba_features", "labels", tags)
        catalogue.table(glue, "eba_features", labels)
        catalogue.workgroup(athena, "eba-features", f"s3://{bucket}/eba/d6/athena", tags)
    table = sagemaker.describe_feature_group(FeatureGroupName=name)["OfflineStoreConfig"]["DataCatalogConfig"]
    sql = f'select e.event_id, r.x from eba_features.labels e join "{table["Database"]}"."{table["TableName"]}" r '
    sql += "on r.record_id = e.record_id and r.event_time <= e.asked_at"
    assert asked(athena, sql, bucket, "eba-features") == [["event_id", "x"], ["0", "1.0"]]
    with pytest.raises(ClientError, match="AccessDenied"):
        asked(athena, sql, bucket, "primary")
    with pytest.raises(ClientError, match="AccessDenied"):
        sagemaker.create_feature_group(**group_of(engineer, "payments"))

    keys = [one["Key"] for one in s3.list_objects_v2(Bucket=bucket, Prefix="eba/d6/offline/")["Contents"]]
    assert len({key.rpartition("/")[0] for key in keys}) == 1, "both event times are of one hour"
    gone = groups.removed(engineer, name, 0.02)
    assert gone[0] == f"the group {name}"
    assert gone[1].startswith("the table eba_d6_features_")
    assert gone[2] == f"{len(keys)} files", "one, unless there was a pause between two records"
    assert groups.removed(engineer, name, 0.02) == []
    left = s3.list_objects_v2(Bucket=bucket, Prefix="eba/d6/offline/").get("Contents", [])
    assert left == []


def asked(athena: Any, sql: str, bucket: str, group: str) -> list[list[str]]:
    """The rows that Athena answers, the names of the columns first."""
    query = athena.start_query_execution(
        QueryString=sql,
        WorkGroup=group,
        ResultConfiguration={"OutputLocation": f"s3://{bucket}/eba/d6/athena"},
    )["QueryExecutionId"]

    def state() -> dict[str, Any]:
        found: dict[str, Any] = athena.get_query_execution(QueryExecutionId=query)["QueryExecution"]["Status"]
        return found

    groups.seconds_until(lambda: state()["State"] in ("SUCCEEDED", "FAILED"), 0.05, 240)
    assert state()["State"] == "SUCCEEDED", state()
    rows = athena.get_query_results(QueryExecutionId=query)["ResultSet"]["Rows"]
    return [[value["VarCharValue"] for value in row["Data"]] for row in rows]
