"""What D6 keeps in a feature store and asks of it, on made-up tables and, for rights, on a real local AWS."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from string import Template
from typing import Any

import boto3
import numpy as np
import pandas as pd
import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st
from jobs import load

from kit.errors import DataError, KitError
from kit.local_aws import process

(store,) = load("data_engineering", "feature_store")
ROOT = Path(__file__).parents[1]
LOADED = 1_800_000_000.0
SCHEMA = {
    "row_number": "row_number",
    "id": "who",
    "time": "when",
    "target": "y",
    "features": [{"name": "Spend (EUR)", "indicator": "spend missing"}, {"name": "kind", "kind": "category"}],
}


def table(**columns: Any) -> pd.DataFrame:
    """Rows of two ids over three months, and one id with a single row; `columns` replace what is there."""
    rows = pd.DataFrame(
        {
            "row_number": range(1, 7),
            "who": ["a", "b", "a", "b", "a", "c"],
            "when": pd.to_datetime(["2025-01-01", "2025-01-01", "2025-02-01", "2025-02-01", "2025-03-01", "2025-03-01"]),
            "y": [0, 0, 0, 1, 1, 0],
            "Spend (EUR)": [1.0, 2.0, 3.0, np.nan, 5.0, 6.0],
            "spend missing": [0, 0, 0, 1, 0, 0],
            "kind": ["new", "old", "new", "old", "NA", "new"],
        }
    )  # fmt: skip
    return rows.assign(**columns)


def made(rows: pd.DataFrame | None = None, *, in_order: bool = False, limit: int = 100, **schema: Any) -> Any:
    rows = table() if rows is None else rows
    return store.records(rows, SCHEMA | schema, in_time_order=in_order, loaded=LOADED, limit=limit)


# Records and labels


def test_each_row_is_a_record_and_each_later_row_of_an_id_asks() -> None:
    found = made()
    assert list(found.frame) == ["record_id", "event_time", "spend_eur", "spend_missing", "kind"]
    assert found.features == {"Spend (EUR)": "spend_eur", "spend missing": "spend_missing", "kind": "kind"}
    assert len(found.frame) == 6
    march = pd.Timestamp("2025-03-01", tz="UTC").timestamp()
    asked = found.events.set_index(["record_id", "asked_at"])["target"].to_dict()
    february = pd.Timestamp("2025-02-01", tz="UTC").timestamp()
    assert asked == {("a", february - 1): 0, ("a", march - 1): 1, ("b", february - 1): 1}
    assert found.said == ("record id: who", "event time: when")
    assert "y" not in found.frame.columns


def test_without_an_id_each_row_is_loaded_twice_and_that_is_said() -> None:
    found = made(id="", time="")
    assert any(line.startswith("NO ID COLUMN") for line in found.said)
    assert any(line.startswith("NO TIME COLUMN") for line in found.said)
    assert any(line.startswith("NO ID HAS A SECOND RECORD") for line in found.said)
    assert sorted(found.frame["event_time"].unique()) == [LOADED, LOADED + 86_400]
    assert len(found.frame) == 12
    assert found.events["asked_at"].between(LOADED, LOADED + 86_400, inclusive="neither").all()
    assert found.events["target"].to_list() == table()["y"].to_list()


def test_rows_in_order_without_a_time_are_a_second_apart() -> None:
    found = made(time="", in_order=True)
    of_a = found.frame.loc[found.frame["record_id"] == "a", "event_time"]
    assert of_a.to_list() == [LOADED - 5, LOADED - 3, LOADED - 1]
    of_two = found.events.loc[found.events["record_id"] == "a", "asked_at"]
    assert of_two.to_list() == [LOADED - 4, LOADED - 2]


@pytest.mark.parametrize(
    ("times", "expected", "word"),
    [
        ([1, 1, 2, 2, 3, 3], 86_400.0, "days"),
        ([20250101, 20250101, 20250201, 20250201, 20250301, 20250301], 100.0, "seconds"),
        ([-2, -2, 0, 0, 1, 1], 2 * 86_400.0, "days"),
    ],
)
def test_numbers_for_times_keep_their_order(times: list[int], expected: float, word: str) -> None:
    found = made(table(when=times))
    of_a = found.frame.loc[found.frame["record_id"] == "a", "event_time"].to_list()
    assert of_a[1] - of_a[0] == expected
    assert min(of_a) >= 0
    assert any(word in line for line in found.said)


def test_rows_that_cannot_be_kept_are_counted() -> None:
    rows = table(synthetic=[False] * 5 + [True])
    rows.loc[0, "when"] = pd.NaT
    rows.loc[3, "when"] = rows.loc[1, "when"]
    found = made(rows, synthetic="synthetic")
    assert [line for line in found.said if line.startswith("LEFT OUT")] == [
        "LEFT OUT: 1 rows that are synthetic",
        "LEFT OUT: 1 rows without a time",
        "LEFT OUT: 1 rows whose id and time another one has",
    ]
    (of_b,) = found.frame.loc[found.frame["record_id"] == "b", "spend_missing"]
    assert of_b == 1, "the last of two rows stays"
    with pytest.raises(DataError, match="No row has a time in when"):
        made(table(when="sometime"))


def test_a_large_table_is_thinned_by_whole_ids() -> None:
    rows = pd.concat(
        [table(who=[f"{one}{n}" for one in table()["who"]]) for n in range(200)], ignore_index=True
    )
    found = made(rows, limit=300)
    assert 150 < len(found.frame) < 500
    sizes = found.frame.groupby("record_id").size()
    assert set(sizes) == {1, 2, 3}
    assert found.frame["record_id"].equals(made(rows, limit=300).frame["record_id"])


@given(st.lists(st.text(max_size=80), unique=True, max_size=30))
def test_names_are_such_that_a_group_and_a_catalogue_take_them(columns: list[str]) -> None:
    found = store.names(columns)
    assert list(found) == columns
    assert len(set(found.values())) == len(columns)
    import re

    for name in found.values():
        assert re.fullmatch(r"[a-z0-9](_?[a-z0-9]){0,63}", name), name
        assert name not in store.RESERVED


# The joins


def test_the_join_takes_the_latest_record_that_was_there() -> None:
    found = made()
    point = store.joined(found)
    assert point["spend_eur"].to_list() == [1.0, 3.0, 2.0]
    assert (point["event_time"] <= point["asked_at"]).all()


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 20)), min_size=1, max_size=30, unique=True),
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 20)), min_size=1, max_size=10),
)
def test_the_join_is_that_of_a_loop(held: list[tuple[str, int]], asked: list[tuple[str, int]]) -> None:
    frame = pd.DataFrame(
        {
            "record_id": [i for i, _ in held],
            "event_time": [float(t) for _, t in held],
            "x": [t * 10.0 for _, t in held],
        }
    )
    events = pd.DataFrame({"event_id": range(len(asked)), "record_id": [i for i, _ in asked]})
    events = events.assign(asked_at=[float(t) for _, t in asked], target=0.0)
    point = store.joined(store.Records(frame, events, {"x": "x"}, ()))
    expected = {}
    for number, (one, moment) in enumerate(asked):
        before = [t for i, t in held if i == one and t <= moment]
        if before:
            expected[number] = max(before) * 10.0
    assert point.set_index("event_id")["x"].to_dict() == expected


def test_joins_that_differ_are_counted() -> None:
    one = store.joined(made())
    assert store.differing(one, one) == 0
    assert store.differing(one.assign(spend_eur=one["spend_eur"] * (1 + 1e-15)), one) == 0
    assert store.differing(one.assign(kind=["new", "other", "old"]), one) == 1
    assert store.differing(one.assign(spend_eur=[1.0, np.nan, 2.0]), one) == 1
    assert store.differing(one.assign(event_time=one["event_time"] + 1), one) == 3
    assert store.differing(one.iloc[1:], one) == 3


def leaky(count: int, problem: str) -> tuple[Any, pd.DataFrame, pd.DataFrame]:
    """Records whose later value gives the answer away, and the two joins."""
    rng = np.random.default_rng(0)
    weak, chance = rng.normal(size=count), rng.normal(size=count)
    y = weak + chance if problem == "regression" else (weak + chance > 0).astype(int)
    rows = pd.DataFrame({"who": [f"i{n}" for n in range(count)] * 2, "when": [1] * count + [2] * count})
    rows = rows.assign(row_number=range(2 * count), y=[*y, *y], kind="a", **{"spend missing": 0})
    rows["Spend (EUR)"] = [*weak, *(weak + chance)]
    found = made(rows, limit=10 * count)
    latest = found.frame.sort_values("event_time").drop_duplicates("record_id", keep="last")
    return found, store.joined(found), found.events.merge(latest, on="record_id").sort_values("event_id")


@pytest.mark.parametrize("problem", ["classification", "regression"])
def test_a_model_of_values_from_the_future_is_flattered(problem: str) -> None:
    found, point, naive = leaky(400, problem)
    scores = store.flattery(found, point, naive, classify=problem == "classification", folds=4, seed=0)
    assert len(scores) == 4
    mean = scores.mean()
    assert mean["promised"] > 0.98 > mean["point_in_time"] + 0.1
    assert mean["kept"] <= mean["point_in_time"] + 0.02


def test_where_the_values_are_the_same_nothing_is_flattered() -> None:
    found, point, _ = leaky(400, "classification")
    scores = store.flattery(found, point, point, classify=True, folds=4, seed=0)
    assert (scores["promised"] == scores["point_in_time"]).all()
    assert (scores["kept"] == scores["point_in_time"]).all()


def test_too_few_labels_are_not_scored() -> None:
    found, point, naive = leaky(40, "classification")
    assert store.flattery(found, point, naive, classify=True, folds=5, seed=0).empty
    same = store.Records(found.frame, found.events.assign(target=1.0), found.features, ())
    assert store.flattery(same, point, naive, classify=True, folds=2, seed=0).empty


# Waiting and cost


def test_waiting_ends_when_it_is_there_or_too_late() -> None:
    answers = iter([False, False, True])
    assert store.seconds_until(lambda: next(answers), 0.001, 5) < 5
    with pytest.raises(KitError, match="Nothing came in 0 seconds"):
        store.seconds_until(lambda: False, 0.001, 0.0)


def test_the_cost_counts_units_and_gigabytes() -> None:
    prices = {"usd_per_million_writes": 1.0, "usd_per_million_reads": 0.5, "usd_per_gb_online": 2.0, "usd_per_gb_offline": 0.1}  # fmt: skip
    cost = store.monthly_cost(prices, writes=3e6, reads=2e6, kilobytes=4.5, ids=1e6, files_gb=20)
    assert cost == {"writes": 15.0, "reads": 2.0, "online store": 9.0, "offline store": 2.0}


def test_this_events_prices_have_what_the_cost_asks_for() -> None:
    import yaml

    prices = yaml.safe_load((ROOT / "runbooks" / "prices.yml").read_text(encoding="utf-8"))
    cost = store.monthly_cost(prices["feature_store"], writes=1e6, reads=1e6, kilobytes=1, ids=1, files_gb=1)
    assert all(value > 0 for value in cost.values())
    assert prices["source"]
    assert prices["as_of"]


# What the data engineer of F1 may do


@pytest.fixture(scope="module")
def engineer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """(the account, a session's clients by name and role) of an account with F1's bucket, data engineer and execution role."""
    folder = tmp_path_factory.mktemp("aws")
    server = process.up(folder)
    bucket = f"eba-{server.account}-us-east-1"
    names = {"partition": "aws", "region": "us-east-1", "account": server.account, "bucket": bucket}
    root = boto3.Session("AKIATEST", "secret", region_name="us-east-1")
    iam = root.client("iam", endpoint_url=server.url)
    root.client("s3", endpoint_url=server.url).create_bucket(Bucket=bucket)
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
    status = store.seconds_until(
        lambda: sagemaker.describe_feature_group(FeatureGroupName=name)["FeatureGroupStatus"] == "Created",
        0.02,
        20,
    )
    assert status < 20
    for one, moment, x in (("a", 100.0, 1.0), ("a", 200.0, 2.0), ("b", 100.0, 3.0)):
        entry = {"FeatureGroupName": name, "Record": record(one, moment, x)}
        assert not runtime.batch_write_record(Entries=[entry])["Errors"]
    read = runtime.get_record(FeatureGroupName=name, RecordIdentifierValueAsString="a")["Record"]
    assert {v["FeatureName"]: v["ValueAsString"] for v in read}["x"] == "2.0"
    s3.get_bucket_encryption(Bucket=bucket)

    events = pd.DataFrame(
        {"event_id": [0, 1], "record_id": ["a", "b"], "asked_at": [150.0, 50.0], "target": [1.0, 0.0]}
    )
    body = io.BytesIO()
    events.to_parquet(body, index=False)
    s3.put_object(Bucket=bucket, Key="eba/d6/labels/labels.parquet", Body=body.getvalue())
    where = store.database(glue, "eba_features", [{"Key": "eba:card", "Value": "D6"}])
    assert store.database(glue, "eba_features", []) == where
    for _ in range(2):
        labels = store.label_table(glue, where, "labels", f"s3://{bucket}/eba/d6/labels")
    for _ in range(2):
        store.workgroup(athena, "eba-features", [{"Key": "eba:card", "Value": "D6"}])
    table = sagemaker.describe_feature_group(FeatureGroupName=name)["OfflineStoreConfig"]["DataCatalogConfig"]
    sql = f'select e.event_id, r.x from {labels} e join "{table["Database"]}"."{table["TableName"]}" r '
    sql += "on r.record_id = e.record_id and r.event_time <= e.asked_at"
    assert asked(athena, sql, bucket, "eba-features") == [["event_id", "x"], ["0", "1.0"]]
    with pytest.raises(ClientError, match="AccessDenied"):
        asked(athena, sql, bucket, "primary")
    with pytest.raises(ClientError, match="AccessDenied"):
        sagemaker.create_feature_group(**group_of(engineer, "payments"))

    gone = store.removed(engineer, name, 0.02)
    assert gone[0] == f"the group {name}"
    assert gone[1].startswith("the table eba_d6_features_")
    assert gone[2] == "1 files", "both event times are of one hour"
    assert store.removed(engineer, name, 0.02) == []
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

    store.seconds_until(lambda: state()["State"] in ("SUCCEEDED", "FAILED"), 0.05, 60)
    assert state()["State"] == "SUCCEEDED", state()
    rows = athena.get_query_results(QueryExecutionId=query)["ResultSet"]["Rows"]
    return [[value["VarCharValue"] for value in row["Data"]] for row in rows]
