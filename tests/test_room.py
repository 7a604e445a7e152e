from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import re
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from jobs import load
from small_event import SmallEvent

from kit import plan as plans
from kit.plan import Plan

room, account = load("runbooks", "room", "account")
ROOT = Path(__file__).parents[1]
PLAN = plans.load(ROOT / "runbooks" / "plan.yml")


def by_what(findings: list[Any]) -> dict[str, Any]:
    return {finding.what: finding for finding in findings}


def plan_of(event: SmallEvent) -> Plan:
    return plans.load(event.root / "runbooks" / "plan.yml")


class Fake:
    """A session whose clients answer what they are told: for answers that the local AWS does not give."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers

    def client(self, _: str) -> Fake:
        return self

    def __getattr__(self, name: str) -> Any:
        answer = self.answers[name]

        def call(**_: Any) -> Any:
            if isinstance(answer, Exception):
                raise answer
            return answer

        return call

    def get_paginator(self, name: str) -> Any:
        pages = self.__getattr__(name)

        class Pages:
            def paginate(self, **_: Any) -> list[Any]:
                return [pages()]

        return Pages()


def refused(operation: str) -> ClientError:
    return ClientError({"Error": {"Code": "ExpiredToken", "Message": "It has expired"}}, operation)


# Verdicts


def finding(state: str, *hinders: str, area: str = "plan") -> Any:
    return room.Finding(area, "what", "got", "needed", state, "", hinders)


def test_only_what_must_be_fixed_stops_a_workstream() -> None:
    streams = ["a", "b"]
    assert room.verdicts([finding("ready"), finding("open")], streams) == {"a": "go", "b": "go"}
    assert room.verdicts([finding("fix", "a")], streams) == {"a": "no-go", "b": "go"}
    assert room.verdicts([finding("fix")], streams) == {"a": "no-go", "b": "no-go"}


def test_what_to_fix_is_named_by_area() -> None:
    found = [finding("fix", area="data"), finding("open", area="data"), finding("fix", area="AWS")]
    assert room.to_fix(found, "data") == ["what: got"]
    assert room.to_fix(found, "machine") == []


def test_the_picture_says_the_worst_of_each_area_in_words() -> None:
    from matplotlib.figure import Figure

    ax = Figure().subplots()
    found = [finding("ready", area=area) for area in room.AREAS[:-1]]
    found += [
        finding("open", "a", area="data"),
        finding("fix", "b", area="data"),
        finding("fix", "b", area="plan"),
    ]
    room.draw(ax, found, {"a": "Ann", "b": "Bo"})
    words = [text.get_text() for text in ax.texts]
    assert words == [
        *["ready"] * 5, "FIX", *["ready"] * 6, "ready, ask", "FIX", "not needed", "not needed",
    ]  # fmt: skip
    assert [label.get_text() for label in ax.get_xticklabels()] == ["Ann\nGO", "Bo\nNO-GO"]


# This machine


def test_a_machine_is_ready_or_what_lacks_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "not" / "there"
    assert {f.state for f in room.machine(missing, 0.001, 0.1)} == {"ready"}
    small = by_what(room.machine(missing, 1e9, 1e9))
    assert (small["free disk"].state, small["memory"].state, small["Python"].state) == ("fix", "fix", "ready")
    assert "KIT_HOME" in small["free disk"].fix


def test_every_package_that_this_repository_imports_is_at_its_locked_version() -> None:
    found = room.packages(PLAN, ROOT)
    assert [f for f in found if f.state != "ready"] == []
    assert {"boto3", "pandas", "scikit-learn", "sagemaker-core"} <= {f.what for f in found}


@pytest.fixture
def importing(small_event: SmallEvent) -> SmallEvent:
    """An event whose one runbook imports a package at its version, one at another, one that is not pinned or not there."""
    small_event.add("A", "import yaml, click, rich, nowhere.deep, json, kit, elsewhere\nfrom beside import x")
    (small_event.root / "mlops" / "beside.py").write_text("import jinja2\n")
    (small_event.root / "foundations").mkdir()
    (small_event.root / "foundations" / "elsewhere.py").touch()  # a module of another workstream
    here = importlib.metadata.version("pyyaml")
    (small_event.root / "requirements.lock").write_text(
        f"# made by hand\nPyYAML=={here}\nclick==0.1\njinja2==0.1 ; python_version < '3'\n"
    )
    return small_event


def test_a_package_at_another_version_not_pinned_or_not_there_is_to_fix(importing: SmallEvent) -> None:
    found = by_what(room.packages(plan_of(importing), importing.root))
    assert {name: f.state for name, f in found.items()} == {
        "pyyaml": "ready",
        "click": "fix",
        "rich": "fix",
        "nowhere": "fix",
        "jinja2": "fix",
    }
    assert found["click"].needed == "==0.1"
    assert found["click"].hinders == ("mlops",)
    assert found["nowhere"].got == "not installed"
    assert "make lock" in found["rich"].fix
    assert "make lock" in found["jinja2"].fix  # its only pin is for another Python


# The plan


def test_cards_without_a_runbook_in_the_frame_or_with_a_wrong_parameter_are_to_fix(
    small_event: SmallEvent,
) -> None:
    small_event.add("A")
    small_event.add("B")
    small_event.add("C")
    small_event.raw["subtasks"][1]["parameters"] = {"rowz": 5}
    small_event.save()
    (small_event.root / "mlops" / "c_test.ipynb").unlink()
    found = by_what(room.cards(plan_of(small_event), small_event.root))
    states = {what.partition(" ")[0]: f for what, f in found.items() if " · " in what}
    assert (states["A"].state, states["B"].state, states["C"].state) == ("ready", "fix", "fix")
    assert 'no parameter "rowz"' in states["B"].got
    assert 'Did you mean "rows"?' in states["B"].fix
    assert states["C"].hinders == ("mlops",)


def test_a_day_longer_than_the_working_hours_and_a_missing_lead_are_found(small_event: SmallEvent) -> None:
    small_event.add("A", minutes=400)
    small_event.add("B", minutes=100)
    small_event.raw["workstreams"][1]["lead"] = "Ann"
    small_event.save()
    found = by_what(room.cards(plan_of(small_event), small_event.root))
    assert found["longest day of MLOps"].state == "fix"
    assert found["longest day of MLOps"].needed == "at most 480"
    assert found["lead of MLOps"].state == "open"
    assert found["lead of Foundations"].state == "ready"


# AWS

REGIONS = {"Regions": [{"RegionName": "af-south-1", "OptInStatus": "not-opted-in"}]}


def test_another_account_or_a_region_that_is_not_enabled_is_to_fix() -> None:
    session = Fake(get_caller_identity={"Account": "1"}, describe_regions=REGIONS)
    found = by_what(account.identity(session, "2", "af-south-1"))
    assert (found["account"].state, found["region"].state) == ("fix", "fix")
    assert found["region"].got == "af-south-1, not-opted-in"
    assert by_what(account.identity(session, "1", "af-south-1"))["account"].state == "ready"


def test_credentials_that_have_expired_are_to_fix() -> None:
    (found,) = account.identity(Fake(get_caller_identity=refused("GetCallerIdentity")), "1", "us-east-1")
    assert (found.state, found.fix) == ("fix", "Log in again, then run this cell.")


def instance(type: str, count: int, *uses: str) -> Any:
    return account.Instance(PLAN["M1"], type, count, uses)


def test_quotas_are_held_against_the_most_that_a_runbook_asks_for() -> None:
    quota = {"QuotaName": "ml.m5.large for training job usage", "Value": 2.0}
    session = Fake(list_service_quotas={"Quotas": [quota]})
    needed = [instance("ml.m5.large", n, "training job usage") for n in (1, 3)]
    (found,) = account.quotas(session, needed)
    assert (found.got, found.needed, found.state, found.hinders) == ("2", "3", "fix", ("model_engineering",))
    assert [f.state for f in account.quotas(session, needed[:1])] == ["ready"]
    quota["Value"] = 0.0
    (none,) = account.quotas(session, needed[:1])
    assert (none.got, none.state) == ("0", "fix")


def test_a_quota_that_the_api_does_not_know_is_open() -> None:
    session = Fake(list_service_quotas={"Quotas": []})
    (found,) = account.quotas(session, [instance("ml.m9.large", 1, "endpoint usage")])
    assert (found.what, found.got, found.state) == ("ml.m9.large for endpoint usage", "not listed", "open")
    assert found.hinders == ("model_engineering",)


def test_quotas_that_nobody_answers_are_open() -> None:
    (found,) = account.quotas(Fake(list_service_quotas=refused("ListServiceQuotas")), [])
    assert (found.state, found.got) == ("open", "It has expired")


def test_instances_are_read_from_the_runbooks_parameters(small_event: SmallEvent) -> None:
    small_event.add(
        "A",
        "trainer = ModelTrainer()",
        parameters='instance_type: str = "ml.m5.large"  # type\ninstance_count: int = 2  # count\n',
    )
    small_event.raw["subtasks"][0]["parameters"] = {"instance_count": 3}
    small_event.save()
    (found,) = account.instances(plan_of(small_event), small_event.root)
    assert (found.type, found.count, found.uses) == ("ml.m5.large", 3, ("training job usage",))


def test_types_in_a_list_count_and_patterns_of_types_do_not(small_event: SmallEvent) -> None:
    lines = ['tried_types: list = ["ml.m5.large", "ml.c5.xlarge"]  # types', "tried_count: int = 2  # count"]
    lines += ['allowed: list = ["ml.t?.*", "ml.*.large", "system"]  # patterns']
    code = "tuner = HyperparameterTuner(); scorer = Transformer(model_name='m')"
    small_event.add("A", code, parameters="\n".join(lines) + "\n")
    found = list(account.instances(plan_of(small_event), small_event.root))
    assert [(one.type, one.count) for one in found] == [("ml.m5.large", 2), ("ml.c5.xlarge", 2)]
    assert {one.uses for one in found} == {("training job usage", "transform job usage")}


def test_the_local_aws_knows_each_quota_that_this_events_runbooks_need() -> None:
    """Also of jobs that a person moves to the type of another runbook."""
    table = json.loads((ROOT / "kit" / "local_aws" / "quotas.json").read_text(encoding="utf-8"))
    granted = {one["name"]: one["granted"] for one in table["quotas"]}
    needed = list(account.instances(PLAN, ROOT))
    types, uses = {one.type for one in needed}, {use for one in needed for use in one.uses}
    assert {"ml.m5.large", "ml.m5.xlarge"} <= types
    names = [f"{type} for {use}" for type in types for use in uses]
    assert not [name for name in names if granted.get(name, 0) < max(one.count for one in needed)]


def test_this_events_instances_have_a_price_and_a_use() -> None:
    import yaml

    prices = yaml.safe_load((ROOT / "runbooks" / "prices.yml").read_text())["usd_per_hour"]
    needed = list(account.instances(PLAN, ROOT))
    assert needed
    assert all(one.type in prices and one.uses for one in needed)


def test_the_cost_counts_jobs_endpoints_and_people() -> None:
    prices = {"ml.m5.large": 0.1, "ml.t3.medium": 0.05}
    needed = [
        instance("ml.m5.large", 2, "training job usage"),
        instance("ml.m5.large", 1, "endpoint usage"),
        instance("ml.p9.huge", 1),
    ]
    rows = account.cost(needed, prices, people=40, days=3, hours=6.0, endpoint_hours=10.0)
    assert [(row["hours"], row["USD"]) for row in rows] == [
        (3.0, 0.3),
        (10.0, 1.0),
        (1.5, None),
        (720.0, 36.0),
    ]


# The table


def with_data(event: SmallEvent, text: str, **block: Any) -> Plan:
    (event.root / "runbooks" / "t.csv").write_text(text)
    event.raw["data"] = {"source": "t.csv", "target": "y", **block}
    event.save()
    return plan_of(event)


def test_a_table_that_fits_is_ready_and_has_a_profile(small_event: SmallEvent, tmp_path: Path) -> None:
    made = with_data(small_event, "x,y\n" + "1,0\n" * 30 + "2,1\n" * 20)
    found, profile = room.table(made, tmp_path, 20)
    assert [f.state for f in found] == ["ready", "ready"]
    assert found[1].got == "20 rows, 40.0%"
    assert profile.rows == 50
    assert [f.state for f in room.table(made, tmp_path, 21)[0]] == ["ready", "fix"]


def test_a_table_that_does_not_fit_the_plan_is_to_fix_with_the_reason(
    small_event: SmallEvent, tmp_path: Path
) -> None:
    (found,), profile = room.table(with_data(small_event, "x,yy\n1,0\n"), tmp_path, 1)
    assert (found.state, profile) == ("fix", None)
    assert 'no column "y"' in found.got
    assert "yy" in found.fix


def test_a_regression_target_needs_different_values(small_event: SmallEvent, tmp_path: Path) -> None:
    rows = "x,y\n" + "".join(f"1,{n}\n" for n in range(25))
    found, _ = room.table(with_data(small_event, rows, problem="regression"), tmp_path, 1)
    assert [f.state for f in found] == ["ready", "ready"]
    few = re.sub(r",\d+", lambda m: f",{int(m[0][1:]) % 3}", rows)
    found, _ = room.table(with_data(small_event, few, problem="regression"), tmp_path, 1)
    assert (found[1].state, found[1].got) == ("fix", "3 different")


def test_findings_are_plain_data() -> None:
    assert dataclasses.asdict(finding("ready"))["state"] == "ready"
