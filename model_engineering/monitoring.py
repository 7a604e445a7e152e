"""What M7 sends to an endpoint and looks at: raw rows by period, traffic in a window of its own, a planted change, its pictures."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kit.errors import RunbookError
from kit.table import database, identifier, table

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from kit.plan import Data

BEFORE = "rows before"  # how many earlier rows there are of a row's id: some models count them
PARTS = 4  # of the rows, where no column says when they were observed
MANY = 100  # rows of one request


def rows(folder: Path, schema: Mapping[str, Any], data: Data) -> pd.DataFrame:
    """The raw table as requests hold it, with `number` (of the row, from 1), `period` and `label`; values are text or None.

    Raises:
        RunbookError: the table lacks a column that the model asks for.
    """
    asked = [one["column"] for one in schema["request"] if one["column"] != BEFORE]
    earlier = "0"
    if schema["id"] and schema["time"]:
        earlier = (
            f"rank() over (partition by {identifier(schema['id'])} order by {identifier(schema['time'])}) - 1"
        )
    said = ", ".join(f"cast({identifier(name)} as varchar) as {identifier(name)}" for name in asked)
    when = f"cast({identifier(data.time)} as varchar)" if data.time else "''"
    with database() as db:
        found: pd.DataFrame = db.execute(
            f"""select {said}, row_number() over () as number, {earlier} as {identifier(BEFORE)}, {when} as period,
                cast({identifier(data.target)} as varchar) as label from {table(folder).sql} order by number"""
        ).df()
    none: Any = None
    found = found.astype(object).where(found.notna(), none)
    if BEFORE not in [one["column"] for one in schema["request"]]:
        return found.drop(columns=BEFORE)
    return found.assign(**{BEFORE: found[BEFORE].astype(float)})


def periods(
    raw: pd.DataFrame, trained: set[int], quiet: int, most: int, seed: int
) -> dict[str, pd.DataFrame]:
    """Rows that the model was not trained on, up to `most` a period: `quiet` periods and the last one, in order of time.

    Without times, or with too few of them, the rows are dealt into parts at random: then no period is a later one.

    Raises:
        RunbookError: there are too few such rows.
    """
    import pandas as pd

    left = raw[~raw["number"].isin(trained)]
    left = left[left["label"].notna()]
    months = left["period"].map(lambda text: str(text or "")[:7])
    sizes = months[months != ""].value_counts().sort_index()
    usable = [str(name) for name, size in sizes.items() if size >= MANY][-(quiet + 1) :]
    if len(usable) < 2:
        dealt = left.sample(frac=1, random_state=seed).reset_index(drop=True)
        months = pd.Series([f"part {1 + at % (quiet + 1)}" for at in range(len(dealt))])
        left, usable = dealt, sorted(set(months))
    found = {str(name): left[(months == name).to_numpy()] for name in usable}
    if any(len(part) < MANY for part in found.values()):
        raise RunbookError(
            f"Only {len(left)} rows were not trained on: too few for {quiet + 1} periods of {MANY}.",
            "Give a longer table, or fewer quiet periods.",
        )
    return {name: part.sample(min(most, len(part)), random_state=seed) for name, part in found.items()}


def planted(part: pd.DataFrame, schema: Mapping[str, Any], columns: Sequence[str]) -> pd.DataFrame:
    """The rows with a change that is known: numbers moved up by the width of their middle 80 in 100, categories all the most frequent one."""
    import pandas as pd

    kinds = {one["column"]: one["kind"] for one in schema["request"]}
    made = part.copy()
    for name in columns:
        if kinds[name] == "number":
            values = pd.to_numeric(part[name], errors="coerce")
            wide = values.quantile(0.9) - values.quantile(0.1) or values.max() - values.min() or 1.0
            made[name] = part[name].where(values.isna(), (values + wide).astype(str))
        else:
            made[name] = part[name].value_counts().index[0]
    return made


def send(
    part: pd.DataFrame, columns: Sequence[str], invoke: Callable[..., Any], stem: str
) -> tuple[datetime, datetime, list[dict[str, Any]]]:
    """Sends the rows to an endpoint in requests of 100, in a window of whole seconds in which nothing else is sent from here.

    Returns the window's begin and end, and what labels go with: {"inference_id", "row", "label"}.
    """
    begin = _next_second()
    labels = []
    for at in range(0, len(part), MANY):
        some, name = part.iloc[at : at + MANY], f"{stem}-{at // MANY}"
        body = "".join(json.dumps(row) + "\n" for row in some[list(columns)].to_dict("records"))
        invoke(body, name)
        labels += [
            {"inference_id": name, "row": row, "label": label} for row, label in enumerate(some["label"])
        ]
    return begin, _next_second(), labels


def _next_second() -> datetime:
    """The next whole second, once it has begun: data capture writes times without their fractions."""
    end = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=1)
    time.sleep(max(0.0, (end - datetime.now(UTC)).total_seconds()))  # it may have begun meanwhile
    return end


def wait_for(look: Callable[[], Any], what: str, poll: float, seconds: float = 1800) -> Any:
    """What `look` finds, as soon as it is something; it is asked every `poll` seconds.

    Raises:
        RunbookError: nothing came within `seconds`.
    """
    end = time.monotonic() + seconds
    while not (found := look()):
        if time.monotonic() > end:
            raise RunbookError(
                f"{what}: nothing came within {seconds:g} seconds.",
                "AWS may be slow: run the cell again, later.",
            )
        time.sleep(poll)
    return found


def rang(cloudwatch: Any, names: Sequence[str], since: datetime) -> list[tuple[datetime, str]]:
    """When which of the alarms went into ALARM since then, in order of time."""
    found = []
    for name in names:
        pages = cloudwatch.get_paginator("describe_alarm_history").paginate(
            AlarmName=name, HistoryItemType="StateUpdate", StartDate=since
        )
        items = [one for page in pages for one in page["AlarmHistoryItems"]]
        found += [(one["Timestamp"], name) for one in items if one["HistorySummary"].endswith(" to ALARM")]
    return sorted(found)


def draw(
    axes: Sequence[Axes], reports: Mapping[str, Mapping[str, Any]], features: Sequence[str], limit: float
) -> str:
    """Drift of some features by period against its limit; the quality of each period with its interval, and what was promised.

    Returns the measure of quality.
    """
    names = list(reports)
    places = range(len(names))
    for feature in features:
        values = [next(f["psi"] for f in reports[name]["features"] if f["name"] == feature) for name in names]
        axes[0].plot(places, values, marker="o", label=feature)
    axes[0].axhline(limit, color="black", linestyle="--", label=f"limit {limit:g}")
    axes[0].legend(fontsize="small")
    known = [at for at in places if reports[names[at]]["quality"]["value"] is not None]
    told = [reports[names[at]]["quality"] for at in known]
    if told:
        values = [one["value"] for one in told]
        reach = [[one["value"] - one["low"] for one in told], [one["high"] - one["value"] for one in told]]
        axes[1].errorbar(known, values, yerr=reach, fmt="o", capsize=4, label="95% interval")
        if told[0]["promised"] is not None:
            axes[1].axhline(
                told[0]["promised"], color="tab:gray", linestyle="--", label="promised by validation"
            )
        axes[1].legend(fontsize="small")
    for ax in axes:
        ax.set_xticks(places, names)
        ax.margins(x=0.1)
    return told[0]["metric"].upper() if told else "quality"
