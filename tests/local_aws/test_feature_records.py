"""Records of feature groups: what is read after what was put and deleted, and what is refused."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError
from feature_groups import START, WARNINGS, Group

pytestmark = WARNINGS


def test_the_latest_record_by_event_time_is_read(make_group: Callable[..., Group]) -> None:
    group = make_group()
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
def test_a_record_that_is_not_valid_is_refused(
    online_group: Group, record: dict[str, Any], said: str
) -> None:
    values = [{"FeatureName": k, "ValueAsString": str(v)} for k, v in record.items()]
    with pytest.raises(ClientError, match=said) as caught:
        online_group.runtime.put_record(FeatureGroupName=online_group.name, Record=values)
    assert caught.value.response["Error"]["Code"] == "ValidationError"
    assert "Validation Error: " in str(caught.value)
    assert online_group.get("a") == {}


def test_records_of_a_group_that_there_is_not_are_refused(online_group: Group) -> None:
    online_group.name = "nobody"
    said = "Resource Not Found: Amazon SageMaker can't find a FeatureGroup with name nobody"
    with pytest.raises(online_group.runtime.exceptions.ValidationError, match=said):
        online_group.put("a", START)
    with pytest.raises(online_group.runtime.exceptions.ResourceNotFound, match=said):
        online_group.get("a")


def test_an_event_time_as_text_has_the_form_that_is_documented(make_group: Callable[..., Group]) -> None:
    features = [{"FeatureName": name, "FeatureType": "String"} for name in ("Id", "at")]
    group = make_group(FeatureDefinitions=features)
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


def test_a_soft_delete_hides_a_record_until_a_later_one_comes(make_group: Callable[..., Group]) -> None:
    group = make_group()
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


def test_a_hard_delete_removes_a_record_and_is_refused_where_it_is_older(
    make_group: Callable[..., Group],
) -> None:
    group = make_group()
    group.put("a", START, 1)
    with pytest.raises(group.runtime.exceptions.ValidationError, match="EventTime"):
        group.delete("a", START, DeletionMode="HardDelete")
    group.delete("a", START + 1, DeletionMode="HardDelete")
    assert group.get("a") == {}
    group.put("a", START - 100, 2)  # nothing is left that would be newer
    assert group.get("a")["visits"] == "2"
    assert int(group.rows('SELECT count(*) AS n FROM "{table}" WHERE is_deleted')["n"][0]) == 1


def test_records_of_several_groups_are_read_and_written_at_once(
    make_group: Callable[..., Group], online_group: Group
) -> None:
    other = make_group(OnlineStoreConfig=None)
    entries = [
        {
            "FeatureGroupName": name,
            "Record": [
                {"FeatureName": "Id", "ValueAsString": key},
                {"FeatureName": "at", "ValueAsString": at},
            ],
        }
        for name, key, at in (
            (online_group.name, "a", "1"),
            (online_group.name, "b", "x"),
            (other.name, "c", "1"),
        )
    ]
    written = online_group.runtime.batch_write_record(Entries=entries)
    assert [one["Entry"]["Record"][0]["ValueAsString"] for one in written["Errors"]] == ["b"]
    assert written["UnprocessedEntries"] == []
    identifiers = [
        {"FeatureGroupName": online_group.name, "RecordIdentifiersValueAsString": ["a", "b", "z"], "FeatureNames": ["Id"]},
        {"FeatureGroupName": other.name, "RecordIdentifiersValueAsString": ["c"]},
        {"FeatureGroupName": "nobody", "RecordIdentifiersValueAsString": ["a"]},
    ]  # fmt: skip
    found = online_group.runtime.batch_get_record(Identifiers=identifiers)
    assert [one["Record"] for one in found["Records"]] == [[{"FeatureName": "Id", "ValueAsString": "a"}]]
    assert [(one["FeatureGroupName"], one["ErrorCode"]) for one in found["Errors"]] == [
        (other.name, "ValidationError"),
        ("nobody", "ResourceNotFound"),
    ]


def test_a_record_expires_after_its_time_to_live(make_group: Callable[..., Group]) -> None:
    life = {"Unit": "Days", "Value": 1}
    group = make_group(
        OfflineStoreConfig=None, OnlineStoreConfig={"EnableOnlineStore": True, "TtlDuration": life}
    )
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


def test_a_record_goes_only_to_the_stores_that_it_is_for(make_group: Callable[..., Group]) -> None:
    group = make_group()
    group.put("online", START, TargetStores=["OnlineStore"])
    group.put("offline", START, TargetStores=["OfflineStore"])
    assert (bool(group.get("online")), bool(group.get("offline"))) == (True, False)
    assert list(group.rows('SELECT id FROM "{table}"')["id"]) == ["offline"]
    with pytest.raises(ClientError, match="does not have"):
        make_group(OfflineStoreConfig=None).put("a", START, TargetStores=["OfflineStore"])
    with pytest.raises(ClientError, match="Online store is not enabled"):
        make_group(OnlineStoreConfig=None).get("a")


def test_reads_and_writes_are_quick(online_group: Group) -> None:
    """Median of 200 calls each, over HTTP, beside that of a call that only tells of the group: they take as long, and may ten times that."""
    took: dict[str, list[float]] = {"put": [], "get": [], "describe": []}
    for i in range(200):
        began = time.perf_counter()
        online_group.put(f"k{i}", START, i)
        took["put"].append(time.perf_counter() - began)
        began = time.perf_counter()
        online_group.get(f"k{i}")
        took["get"].append(time.perf_counter() - began)
        began = time.perf_counter()
        online_group.describe()
        took["describe"].append(time.perf_counter() - began)
    usual = statistics.median(took["describe"])
    assert statistics.median(took["put"]) < 10 * usual
    assert statistics.median(took["get"]) < 10 * usual
