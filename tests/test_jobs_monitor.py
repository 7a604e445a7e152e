from __future__ import annotations

import base64
import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jobs
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jobs import CHURN, SPEND
from sklearn.metrics import ndcg_score, roc_auc_score

from kit import churn, data, plan

(prepare,) = jobs.load("data_engineering/jobs/prepare", "script")
(training,) = jobs.load("model_engineering/jobs/train", "script")
script, capture, drift, models, quality = jobs.load(
    "model_engineering/jobs/monitor", "script", "capture", "drift", "model", "quality"
)
BEGIN, END = "2026-01-01T10:00:00", "2026-01-01T11:00:00"


class Lab:
    """A model of the training job, its baseline, and months of captured requests, in folders as the job finds them."""

    def __init__(self, folder: Path, block: plan.Data, *more: str) -> None:
        self.folder, self.block = folder, block
        self.table = churn.generate(6000)
        text = self.table.astype(object).where(self.table.notna(), None)
        self.rows = [
            {k: None if v is None else str(v) for k, v in row.items()} for row in text.to_dict("records")
        ]
        (folder / "input").mkdir(parents=True)
        self.table.to_csv(folder / "input" / "table.csv", index=False)
        places = [
            f"--{n}={folder / n}" for n in ("input", "train", "validation", "test", "report", "message")
        ]
        assert prepare.main(["--plan", *data.arguments(block), *places]) == 0
        (folder / "made").mkdir()
        places = [
            f"--{k}={folder / v}"
            for k, v in {"train": "train", "validation": "validation", "schema": "report"}.items()
        ]
        places += [
            f"--{k}={folder / 'made' / v}"
            for k, v in {"model_dir": "model", "output_data_dir": "data"}.items()
        ]
        assert training.main([*places, f"--output_dir={folder / 'made'}", *more]) == 0
        (folder / "model").mkdir()
        shutil.make_archive(str(folder / "model" / "model"), "gztar", folder / "made" / "model")
        (folder / "rows").mkdir()
        early = [row for row in self.rows if row["month"] < "2025-08-01"][:2500]
        (folder / "rows" / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in early))
        assert self.run("--mode=baseline", "--promised=0.8") == 0

    def run(self, *more: str) -> int:
        places = [
            f"--{name}={self.folder / name}" for name in ("model", "rows", "baseline", "labels", "message")
        ]
        return int(script.main([*places, f"--report={self.folder / 'told'}", *more]))

    def month(self, name: str, most: int = 400, **changes: Any) -> list[dict[str, Any]]:
        return [{**row, **changes} for row in self.rows if row["month"].startswith(name)][:most]

    def sent(self, name: str, rows: list[dict[str, Any]], at: str = "2026-01-01T10:30:00Z") -> Path:
        """Captures requests of the rows and the model's answers, labels beside them; answers where."""
        place = self.folder / "capture" / name
        hour = place / "endpoint" / "AllTraffic" / at[:13].replace("-", "/").replace("T", "/")
        hour.mkdir(parents=True, exist_ok=True)
        model = self.model()
        lines, labels = [], []
        for start in range(0, len(rows), 100):
            some, request = rows[start : start + 100], f"{name}-{start}"
            body = "".join(json.dumps(row) + "\n" for row in some)
            lines.append(line(body, json.dumps({"predictions": model.answers(some)}), request, at))
            labels += [
                {"inference_id": request, "row": n, "label": row[self.block.target]}
                for n, row in enumerate(some)
            ]
        (hour / "a.jsonl").write_text("\n".join(lines))
        (self.folder / "labels").mkdir(exist_ok=True)
        (self.folder / "labels" / f"{name}.jsonl").write_text("\n".join(map(json.dumps, labels)))
        return place

    def model(self) -> Any:
        scratch = self.folder / "scratch"
        if not scratch.exists():
            scratch.mkdir()
            self.loaded = models.load(self.folder / "model", scratch)
        return self.loaded

    def watched(self, name: str, rows: list[dict[str, Any]], *more: str) -> dict[str, Any]:
        place = self.sent(name, rows)
        assert (
            self.run(f"--capture={place}", f"--begin={BEGIN}", f"--end={END}", f"--name={name}", *more) == 0
        )
        told: dict[str, Any] = json.loads((self.folder / "told" / "monitor.json").read_text())
        return told


def line(asked: str, answered: str, name: str = "r", at: str = "2026-01-01T10:30:00Z", **more: Any) -> str:
    data_ = {
        "endpointInput": {
            "observedContentType": "application/jsonlines",
            "data": asked,
            "encoding": "JSON",
            **more,
        },
        "endpointOutput": {"observedContentType": "application/json", "data": answered, "encoding": "JSON"},
    }
    about = {"eventId": "e", "inferenceId": name, "inferenceTime": at}
    return json.dumps({"captureData": data_, "eventMetadata": about, "eventVersion": "0"})


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return Lab(tmp_path_factory.mktemp("churn"), CHURN)


@pytest.fixture(scope="module")
def spend(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return Lab(tmp_path_factory.mktemp("spend"), SPEND)


def test_quiet_months_raise_nothing_and_the_drifted_month_names_what_was_planted(lab: Lab) -> None:
    drifted = {}
    for month in churn.MONTHS:
        drifted[month[:7]] = set(lab.watched(month[:7], lab.month(month[:7]))["drifted"])
    assert drifted.pop("2025-12") == set(churn.truths(6000).drifted)
    assert set().union(*drifted.values()) == set()


def test_quality_is_told_with_an_interval_and_worse_only_where_it_is_sure(lab: Lab) -> None:
    told = lab.watched("quality", lab.month("2025-11"))
    judged = told["quality"]
    assert judged["labelled"] == told["metrics"]["Rows"]
    assert judged["low"] < judged["value"] < judged["high"]
    assert told["metrics"]["QualityLoss"] == judged["loss"] == 0.0
    wrong = [{**row, "churned": str(1 - int(row["churned"]))} for row in lab.month("2025-11")]
    told = lab.watched("swapped", wrong)
    assert told["quality"]["value"] < 0.4
    assert told["metrics"]["QualityLoss"] > 0.1
    shutil.rmtree(lab.folder / "labels")
    place = lab.folder / "capture" / "swapped"
    assert lab.run(f"--capture={place}", f"--begin={BEGIN}", f"--end={END}") == 0
    told = json.loads((lab.folder / "told" / "monitor.json").read_text())
    assert (told["quality"]["labelled"], told["quality"]["loss"], "QualityLoss" in told["metrics"]) == (
        0,
        None,
        False,
    )
    assert "0 labels so far" in (lab.folder / "told" / "monitor.html").read_text()


def test_violations_say_what_is_wrong_with_the_data(lab: Lab) -> None:
    rows = lab.month("2025-10")
    for row in rows[:60]:
        row |= {"dropped_calls": "many", "late_payments": None, "contract": "three-year"}
    told = lab.watched("violations", rows)
    assert told["metrics"]["Violations"] == 3
    said = " ".join(told["violations"])
    assert "dropped_calls: 60 of 400 values are no numbers" in said
    assert "late_payments: 15.0% missing, 0.0% before" in said
    assert "contract: values that the baseline does not have, such as three-year" in said


def test_more_missing_values_are_a_violation_only_where_that_is_no_chance(lab: Lab) -> None:
    few, many = lab.month("2025-10")[:15], lab.month("2025-10")
    for row in few[:1] + many[:30]:
        row["late_payments"] = None
    assert lab.watched("few", few)["violations"] == []  # 6.7% of 15 rows
    [said] = lab.watched("many", many)["violations"]
    assert said.startswith("late_payments: 7.5% missing")


def test_what_moves_the_scores_is_told(lab: Lab) -> None:
    told = lab.watched("usual", lab.month("2025-11"))
    weights = told["weights"]
    assert sum(weights["then"].values()) == pytest.approx(1)
    assert max(weights["then"], key=weights["then"].get) == "contract"
    assert told["metrics"]["AttributionDrift"] < 0.01
    same = [{**row, "contract": "two-year", "tenure_months": "60"} for row in lab.month("2025-11")]
    assert lab.watched("same", same)["metrics"]["AttributionDrift"] > told["metrics"]["AttributionDrift"]


def test_regression_is_watched_by_its_error(spend: Lab) -> None:
    told = spend.watched("2025-11", spend.month("2025-11"))
    judged = told["quality"]
    assert (judged["metric"], told["drifted"]) == ("rmse", [])
    label = pd.Series([float(row["next_month_spend"]) for row in spend.month("2025-11")])
    assert judged["value"] < label.std()
    assert set(spend.watched("2025-12", spend.month("2025-12"))["drifted"]) == set(churn.truths(6000).drifted)


def test_a_model_without_attributions_is_watched_all_the_same(tmp_path: Path) -> None:
    plain = Lab(tmp_path / "plain", CHURN, "--algorithm=baseline")
    told = plain.watched("2025-11", plain.month("2025-11"))
    assert (told["weights"]["now"], "AttributionDrift" in told["metrics"]) == ({}, False)
    assert "none of LightGBM" in (plain.folder / "told" / "monitor.html").read_text()


def test_the_report_needs_nothing_else_and_escapes_what_callers_send(lab: Lab) -> None:
    rows = lab.month("2025-11")
    for row in rows[:100]:
        row["contract"] = "<script>alert(1)</script>"
    lab.watched("html", rows)
    html = (lab.folder / "told" / "monitor.html").read_text()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert "http" not in html
    assert "look at it" in html


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--begin=2026-01-01T10:00:00", "--end=2026-01-01T09:00:00"), "ends before it begins"),
        (("--begin=yesterday", "--end=now"), "is none"),
        (("--begin=2027-01-01T10:00:00", "--end=2027-01-01T11:00:00"), "No request was captured"),
    ],
)
def test_a_window_without_requests_fails_in_two_lines(
    lab: Lab, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    place = lab.sent("window", lab.month("2025-11", 10))
    assert lab.run(f"--capture={place}", *arguments) == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert (len(lines), said in lines[0]) == (2, True), lines


def test_requests_that_cannot_be_read_are_counted_and_the_rest_is_watched(lab: Lab) -> None:
    place = lab.sent("unread", lab.month("2025-11", 200))
    (file,) = place.rglob("*.jsonl")
    file.write_text(
        file.read_text() + "\n" + line("no json", "[]") + "\n" + line('{"a": 1}', '{"predictions": []}')
    )
    assert lab.run(f"--capture={place}", f"--begin={BEGIN}", f"--end={END}") == 0
    told = json.loads((lab.folder / "told" / "monitor.json").read_text())
    assert (told["metrics"]["Unread"], told["metrics"]["Rows"], len(told["unread"])) == (2, 200, 2)


def test_a_window_has_what_came_from_its_begin_to_before_its_end(tmp_path: Path) -> None:
    for at in (
        "2026-01-01T09:59:59Z",
        "2026-01-01T10:00:00Z",
        "2026-01-01T10:59:59Z",
        "2026-01-01T11:00:00Z",
    ):
        folder = tmp_path / at[:13].replace("-", "/").replace("T", "/")
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "x.jsonl").open("a") as file:
            file.write(line('{"a": 1}', '{"predictions": [{"prediction": 1}]}', at, at) + "\n")
    found = capture.exchanges(str(tmp_path), *capture.window(BEGIN, END, datetime.now(UTC)))
    assert [one.name for one in found] == ["2026-01-01T10:00:00Z", "2026-01-01T10:59:59Z"]
    last = capture.window("last", "now", datetime(2026, 1, 2, tzinfo=UTC))
    assert [f"{one:%d %H}" for one in last] == ["01 00", "02 00"]


def test_bodies_are_read_in_each_format() -> None:
    answer = '{"predictions": [{"prediction": 1}, {"prediction": 0}]}'
    rows = ({"a": "1", "b": "x"}, {"a": "2", "b": "y"})
    bodies = {
        "application/jsonlines": '{"a": "1", "b": "x"}\n{"a": "2", "b": "y"}\n',
        "application/json": '{"instances": [{"a": "1", "b": "x"}, {"a": "2", "b": "y"}]}',
        "text/csv": "a,b\n1,x\n2,y\n",
    }
    for kind, body in bodies.items():
        assert capture.exchange(line(body, answer, observedContentType=kind)).rows == rows
    packed = base64.b64encode(bodies["text/csv"].encode()).decode()
    assert (
        capture.exchange(
            line(packed, answer, observedContentType="text/csv; charset=utf-8", encoding="BASE64")
        ).rows
        == rows
    )
    lines = '{"prediction": 1}\n{"prediction": 0}\n'
    assert (
        len(capture.exchange(line(bodies["text/csv"], lines, observedContentType="text/csv")).predictions)
        == 2
    )


VALUES = st.lists(st.floats(-100, 100, allow_nan=False) | st.none(), min_size=5, max_size=80)


@settings(max_examples=60, deadline=None)
@given(VALUES, VALUES)
def test_shares_sum_to_one_and_an_index_is_zero_only_for_the_same(then: list[Any], now: list[Any]) -> None:
    old, new = pd.Series(then, dtype=float), pd.Series(now, dtype=float)
    bins = drift.bins_of(old, "number")
    assert drift.shares(old, "number", bins).sum() == pytest.approx(1)
    assert drift.shares(new, "number", bins).sum() == pytest.approx(1)
    index = drift.psi(drift.shares(old, "number", bins), drift.shares(new, "number", bins))
    assert index >= 0
    assert drift.psi(drift.shares(old, "number", bins), drift.shares(old, "number", bins)) == 0
    assert 0 <= drift.p_value(old, new, "number", bins) <= 1


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_corrects_as_its_definition_says(p: list[float]) -> None:
    corrected = drift.holm(p)
    order = sorted(range(len(p)), key=lambda at: p[at])
    for rank, at in enumerate(order):
        wanted = max(min(1.0, (len(p) - before) * p[order[before]]) for before in range(rank + 1))
        assert corrected[at] == pytest.approx(wanted)


def test_false_drift_is_rarer_than_alpha_over_many_quiet_tables() -> None:
    rng, false = np.random.default_rng(0), 0
    for _ in range(60):
        then = pd.DataFrame(
            {f"f{n}": rng.normal(size=1000) for n in range(8)} | {"c": rng.choice(list("abc"), 1000)}
        )
        now = pd.DataFrame(
            {f"f{n}": rng.normal(size=150) for n in range(8)} | {"c": rng.choice(list("abc"), 150)}
        )
        kinds = {name: "category" if name == "c" else "number" for name in then}
        false += any(one.drifted for one in drift.compared(then, now, kinds, 0.05, 0.0))
    assert false <= 8  # 3 are expected at 0.05 for each table of nine features


def test_measures_agree_with_scikit_learn() -> None:
    rng = np.random.default_rng(1)
    label, score = rng.integers(0, 2, 200), np.round(rng.random(200), 1)
    assert quality.auc(label, score) == pytest.approx(roc_auc_score(label, score))
    then = {f"f{n}": float(value) for n, value in enumerate(rng.random(8))}
    now = {name: float(value) for name, value in zip(then, rng.random(8), strict=True)}
    agree = ndcg_score([list(then.values())], [list(now.values())])
    assert drift.attribution_drift(then, now) == pytest.approx(1 - agree)
    assert drift.attribution_drift(then, then) == pytest.approx(0)


def test_the_metrics_of_a_run_come_to_cloudwatch(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[dict[str, Any]] = []

    class CloudWatch:
        def put_metric_data(self, **asked: Any) -> None:
            told.append(asked)

    monkeypatch.setattr("boto3.client", lambda service: CloudWatch())
    report = lab.watched("put", lab.month("2025-11"), "--endpoint=endpoint")
    assert {one["MetricName"]: one["Value"] for one in told[0]["MetricData"]} == {
        name: float(value) for name, value in report["metrics"].items()
    }
    assert told[0]["Namespace"] == "eba/monitor"
    assert told[0]["MetricData"][0]["Dimensions"] == [{"Name": "Endpoint", "Value": "endpoint"}]
