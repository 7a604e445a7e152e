"""The groups of features that M4 adds to the features job."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import jobs
import numpy as np
import pandas as pd
import pytest

from kit import data, plan

(prepare,) = jobs.load("data_engineering/jobs/prepare", "script")
script, deep, judge, transformer = jobs.load(
    "data_engineering/jobs/features", "script", "deep", "judge", "transformer"
)

PARTS = ("train", "validation", "test")
BLOCK = plan.Data(target="y", id="who", time="day")


class Made(NamedTuple):
    report: dict[str, Any]
    recipe: dict[str, Any]
    before: dict[str, pd.DataFrame]
    after: dict[str, pd.DataFrame]

    @property
    def steps(self) -> dict[str, dict[str, Any]]:
        return {step["step"]: step for step in self.report["steps"]}

    def specs(self, group: str) -> list[dict[str, Any]]:
        return [spec for spec in self.recipe["features"] if spec["group"] == group]


def table(rows: int = 6000, seed: int = 0) -> pd.DataFrame:
    """Four rows an id, a day apart. What counts: two categories together (neither alone), and a fall since the row before."""
    rng = np.random.default_rng(seed)
    who, nth = np.arange(rows) // 4, np.arange(rows) % 4
    level = rng.normal(size=rows // 4)[who]
    use = level + rng.normal(size=rows)
    fall = np.where(nth > 0, use - np.roll(use, 1), 0.0)
    one, other = (np.array(["p", "q"])[rng.integers(0, 2, rows)] for _ in range(2))
    town = rng.integers(0, 90, rows)
    odds = 1.2 * (np.where(one == other, 1.0, -1.0)) - 1.5 * fall + 0.1 * level
    return pd.DataFrame(
        {
            "who": [f"w{n}" for n in who],
            "day": pd.Timestamp("2025-01-01") + pd.to_timedelta(who % 50 * 5 + nth, unit="D"),
            "use": use.round(6),
            "other_number": rng.normal(size=rows).round(4),
            "one": one,
            "other": other,
            "town": [f"town {n}" for n in town],
            "y": (rng.random(rows) < 1 / (1 + np.exp(-odds))).astype(int),
        }
    )


def made(folder: Path, rows: pd.DataFrame, *more: str, block: plan.Data = BLOCK) -> Made:
    (folder / "input").mkdir(parents=True)
    rows.to_csv(folder / "input" / "table.csv", index=False)
    places = [f"--{n}={folder / n}" for n in ("input", *PARTS, "report", "message")]
    assert prepare.main(["--plan", *data.arguments(block), *places]) == 0
    new = folder / "new"
    places = [f"--{n}={folder / n}" for n in PARTS] + [f"--features-{n}={new / n}" for n in PARTS]
    places += [f"--schema={folder / 'report'}", f"--report={new / 'report'}"]
    assert script.main([*places, f"--transformer={new / 'transformer'}", *more]) == 0
    report = json.loads((new / "report" / "report.json").read_text("utf-8"))
    parts = [{n: pd.read_parquet(at / n) for n in PARTS} for at in (folder, new)]
    return Made(report, transformer.load(new / "transformer"), *parts)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Made:
    more = ["--model=boosting", "--groups", "folded", "crosses", "windows", "control"]
    return made(tmp_path_factory.mktemp("deep") / "data", table(), *more)


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Made:
    more = ["--select=no", "--start", "folded", "crosses", "windows"]
    return made(tmp_path_factory.mktemp("start") / "data", table(2000), *more)


def test_a_group_that_the_strong_model_cannot_find_itself_earns_its_place(found: Made) -> None:
    windows = found.steps["windows"]
    assert windows["kept"]
    assert windows["low"] > 0.01
    assert {spec["formula"] for spec in found.specs("windows")} == {"window"}


def test_a_group_that_brings_nothing_goes(found: Made) -> None:
    assert not found.steps["folded"]["kept"]
    assert found.specs("folded") == []


def test_random_numbers_gain_nothing_and_never_stay(found: Made) -> None:
    control = found.steps["control"]
    assert control["gains"] is False
    assert control["low"] <= 0
    assert len(control["columns"]) == deep.CONTROLS
    assert found.specs("control") == []


def test_a_control_that_gains_is_told_and_does_not_stay_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = script.trial._step
    monkeypatch.setattr(script.trial, "_step", lambda *given: (kept(*given)[0], True))
    result = made(tmp_path / "data", table(1200), "--groups", "control")
    assert result.steps["control"]["gains"] is True
    assert not result.steps["control"]["kept"]
    assert result.specs("control") == []


def test_two_categories_that_count_only_together_are_found_by_a_linear_model(tmp_path: Path) -> None:
    more = ["--model=linear", "--groups", "crosses"]
    rows, block = table(4000).drop(columns=["who", "day"]), plan.Data(target="y")
    result = made(tmp_path / "data", rows, *more, "--select=no", block=block)
    assert "noise out" not in result.steps
    assert result.steps["crosses"]["kept"]
    alone = made(tmp_path / "selected", rows, *more, block=block)  # neither says anything without the other
    assert alone.steps["crosses"]["columns"] == []
    assert "one__with__other" in [spec["name"] for spec in result.specs("crosses")]


def test_groups_to_start_with_are_in_and_not_judged(everything: Made) -> None:
    assert everything.report["start"] == ["folded", "crosses", "windows"]
    assert not {"folded", "crosses", "windows"} & set(everything.steps)
    assert {spec["group"] for spec in everything.recipe["features"]} >= {"folded", "crosses", "windows"}


def own_units(spec: dict[str, Any], values: pd.Series) -> np.ndarray:
    """A feature before it was scaled, where it was not cut."""
    return values.to_numpy() * spec["scale"] + spec["center"]


def test_a_row_of_train_has_the_mean_of_other_folds_and_a_later_row_that_of_all(everything: Made) -> None:
    (spec,) = [s for s in everything.specs("folded") if s["sources"] == ["town"]]
    for part in ("train", "test"):
        town = everything.before[part]["town"]
        got = own_units(spec, everything.after[part][spec["name"]])
        means = dict(zip(spec["of"], spec["means"], strict=True))
        full = town.map(means).fillna(spec["otherwise"]).clip(spec["low"], spec["high"])
        same = np.isclose(got, full)
        assert same.all() if part == "test" else same.mean() < 0.2


def test_no_answer_of_an_ids_rows_is_in_the_rows_own_means(everything: Made) -> None:
    train = everything.before["train"]
    (spec,) = [s for s in everything.specs("folded") if s["sources"] == ["town"]]
    got = own_units(spec, everything.after["train"][spec["name"]])
    assert len(spec["held"]) == deep.FOLDS
    overall = [otherwise for _, otherwise in spec["held"]]
    told = {
        (t, at): m
        for at, (means, _) in enumerate(spec["held"])
        for t, m in zip(spec["of"], means, strict=True)
    }
    for who, rows in list(train.groupby("who").groups.items())[:20]:
        fits = []
        for at in range(deep.FOLDS):
            wanted = [told.get((t, at), overall[at]) for t in train.loc[rows, "town"]]
            fits.append(np.allclose(got[rows], np.clip(wanted, spec["low"], spec["high"])))
        assert any(fits), who
    y, town = train["y"].to_numpy(), train["town"].to_numpy()
    naive = pd.Series(y).groupby(town).transform("mean")
    assert np.corrcoef(naive, y)[0, 1] > 0.15  # its own answers make it look good
    assert np.corrcoef(got, y)[0, 1] < 0.05


def test_windows_are_the_change_since_earlier_rows_of_the_id_in_every_split(everything: Made) -> None:
    for spec in everything.specs("windows"):
        name, who, order = spec["sources"]
        for part in PARTS:
            rows = everything.before[part]
            got = own_units(spec, everything.after[part][spec["name"]])
            for at in range(0, len(rows), 37):
                row = rows.iloc[at]
                earlier = rows[(rows[who] == row[who]) & (rows[order] < row[order])].sort_values(order)
                last = earlier[name].tail(spec["rows"])
                change = row[name] - last.mean() if len(last) else 0.0
                assert got[at] == pytest.approx(np.clip(change, spec["low"], spec["high"]), abs=1e-9)


def test_rows_at_hand_give_the_same_windows_as_the_job(everything: Made) -> None:
    rows = everything.before["test"].sample(frac=1, random_state=0)
    again = transformer.apply(rows.reset_index(drop=True), everything.recipe)
    for spec in everything.recipe["features"]:
        if "categories" not in spec:
            wanted = everything.after["test"][spec["name"]].loc[rows.index].to_numpy()
            np.testing.assert_allclose(again[spec["name"]], wanted, atol=1e-9)


def test_rows_without_id_have_no_earlier_rows_and_rows_without_the_column_are_refused(
    everything: Made,
) -> None:
    (spec, *_) = everything.specs("windows")
    rows = everything.before["test"].head(30).assign(who=None)
    assert (transformer.window(rows, spec, {}) == 0).all()
    with pytest.raises(transformer.BadRows, match="The rows lack who"):
        transformer.window(rows.drop(columns="who"), spec, {})


def test_a_pair_that_train_hardly_has_gets_the_overall_mean(everything: Made) -> None:
    spec = next(s for s in everything.specs("crosses") if "town" in s["sources"] and not s["cuts"])
    rows = everything.before["test"].head(5).assign(town="(other)", one="(other)", other="(missing)")
    np.testing.assert_allclose(transformer.cross(rows, spec, {}), spec["otherwise"])
    assert len(spec["of"]) < 90 * 2


def test_a_table_without_id_has_no_windows(tmp_path: Path) -> None:
    rows = table(1500).drop(columns=["who", "day"])
    result = made(tmp_path / "data", rows, "--groups", "windows", "folded", block=plan.Data(target="y"))
    assert result.steps["windows"]["why"] == "not tried: the plan names no id, or no order in time"


def test_the_strong_model_takes_categories_as_such_and_does_not_depend_on_chance() -> None:
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 30, 3000)
    y = (rng.random(3000) < rng.random(30)[codes]).astype(float)
    x = np.column_stack([codes, rng.normal(size=3000)]).astype(float)
    fitted, held = x[:2000], x[2000:]
    given = (fitted, held, y[:2000], np.ones(2000), y[2000:], "classification boosting")
    assert judge.score(*given, [0]) == judge.score(*given, [0]) > 0.7
    numbers = judge.score(
        fitted, held, x[:2000, 0] + x[:2000, 1], np.ones(2000), held.sum(axis=1), "regression boosting"
    )
    assert numbers > 0.9
