"""The sources of key figures (mlops/kpi_sources.py), asked of an account in which things have happened."""

from __future__ import annotations

import datetime as dt
import json
import time
from pathlib import Path
from typing import Any

import endpoints
import pytest
from jobs import load
from lab import IMAGE, Lab

from kit import board, journal, plan

kpis, sources = load("mlops", "kpis", "kpi_sources")
ROOT = Path(__file__).parents[2]
PLAN = plan.load(ROOT / "runbooks" / "plan.yml")
USD = {"ml.m5.large": 0.115}


class Session:
    """What the sources take for a boto3 session: it gives clients of the lab."""

    def __init__(self, lab: Lab) -> None:
        self.client = lab.client


def collected(lab: Lab, events: list[journal.Event] | None = None) -> dict[str, Any]:
    now = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=1)
    shown = board.fold(PLAN, events or [], now=now)
    return dict(sources.collected(Session(lab), shown, USD, now, 24))


def test_facts_are_json_and_an_empty_account_has_cards_only(lab: Lab) -> None:
    facts = collected(lab)
    assert json.loads(json.dumps(facts)) == facts
    assert set(facts["cards"]) == {card.id for card in PLAN.cards}
    assert facts["refused"] == {}


def test_versions_tell_when_they_were_made_and_approved(lab: Lab) -> None:
    sm = lab.client("sagemaker")
    group = endpoints.unique("group")
    sm.create_model_package_group(ModelPackageGroupName=group)
    model = lab.put_archive(f"{group}/model.tar.gz", endpoints.echo("hi"))
    containers = {"Containers": [{"Image": IMAGE, "ModelDataUrl": model}]}
    types = {"SupportedContentTypes": ["text/csv"], "SupportedResponseMIMETypes": ["text/csv"]}
    arn = sm.create_model_package(
        ModelPackageGroupName=group,
        ModelApprovalStatus="PendingManualApproval",
        InferenceSpecification={**containers, **types},
    )["ModelPackageArn"]
    before = next(v for v in collected(lab)["versions"] if v["version"] == f"{group}/1")
    time.sleep(0.01)  # the clock has to move between the two
    sm.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Approved")
    after = next(v for v in collected(lab)["versions"] if v["version"] == f"{group}/1")
    assert (before["status"], after["status"]) == ("PendingManualApproval", "Approved")
    assert (before["made"], before["in_window"]) == (after["made"], True)
    assert after["changed"] > before["changed"]


def test_an_endpoint_tells_its_calls_its_cost_and_its_deployment(lab: Lab) -> None:
    name = endpoints.serve(lab, endpoints.echo("hi"))
    for _ in range(3):
        endpoints.invoke(lab, name, "a", ContentType="text/plain")
    deadline = time.monotonic() + 60
    while not (
        told := [t for t in collected(lab)["traffic"] if t["endpoint"] == name and t["invocations"] == 3]
    ):
        assert time.monotonic() < deadline, "CloudWatch has no invocations"
        time.sleep(0.2)
    assert told[0]["errors"] == 0
    assert 0 < told[0]["p99_ms"] < 10_000
    facts = collected(lab)
    (variant,) = [e for e in facts["endpoints"] if e["endpoint"] == name]
    assert (variant["instances"], variant["usd_per_hour"], variant["failed"]) == (1, 0.115, False)
    assert [d["call"] for d in facts["deployments"] if d["endpoint"] == name] == ["CreateEndpoint"]
    assert kpis.MEASURES["share_without_error"](facts, "")[0] == 100
    assert kpis.MEASURES["endpoint_cost"](facts, "")[0] >= 0.115 * 730


def test_an_alarm_tells_how_long_it_was_on(lab: Lab) -> None:
    cloudwatch = lab.client("cloudwatch")
    name = endpoints.unique("alarm")
    cloudwatch.put_metric_alarm(
        AlarmName=name,
        Namespace="test",
        MetricName=name,
        Statistic="Maximum",
        Period=43_200,  # at the end of each the alarm is judged by the data, of which there are none
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanThreshold",
    )
    for state in ("ALARM", "OK"):
        cloudwatch.set_alarm_state(AlarmName=name, StateValue=state, StateReason="test")
    (alarm,) = [a for a in collected(lab)["alarms"] if a["name"] == name]
    assert alarm["state"] == "OK"
    assert [c["to"] for c in sorted(alarm["changes"], key=lambda c: c["at"])][-2:] == ["ALARM", "OK"]
    assert 0 <= kpis.MEASURES["time_to_restore"]({"alarms": [alarm]}, "")[0] < 0.1


def test_a_source_that_refuses_is_named_and_the_others_answer(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any) -> Any:
        lab.client("sagemaker").list_monitoring_schedules()

    monkeypatch.setattr(sources, "versions", refused)
    facts = collected(lab)
    assert "ListMonitoringSchedules" in facts["refused"]["versions"]
    with pytest.raises(kpis.Missing, match="refuses"):
        kpis.MEASURES["waiting"](facts, "")
    assert facts["cards"]
