"""The events of the table: what happened to whom and when, in the order in which it arrives, and what each period's count must be.

A column that counts (calls, logins) becomes so many events spread over the row's period; without such columns each row is an event.
All that looks drawn comes from MD5 sums of the rows, so the same table gives the same events.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from collection import moment, positive

from kit import churn, data, plan
from kit.errors import DataError, UsageError, did_you_mean
from kit.table import database, identifier, literal

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = [
    "PERIODS",
    "ROW",
    "Source",
    "arrivals",
    "as_records",
    "column",
    "compared",
    "draw",
    "happened",
    "source",
]

PERIODS = {"%Y-%m-%d": "day", "%Y-%m": "month", "%Y": "year"}
"""The periods that events are counted by, as `strftime` writes them, and their words in SQL."""
ROW = "observation"
"""The kind of an event that stands for a whole row."""
START, DAYS = "2000-01-01", 20
"""Without a time column the table's first row lies at this date, and its last so many days later."""
MOST = 10_000
"""A column that counts more than this in one row counts no events."""


@dataclass(frozen=True)
class Source:
    """What the events of a table are made of.

    `rows` is SQL for the table's rows as hash, place (in order, from 1), entity, at (a time or NULL), value and the counted
    columns; `told` says in words what stands for what.
    """

    rows: str
    period: str
    counted: tuple[str, ...]
    copies: bool
    told: tuple[str, ...]

    @property
    def unit(self) -> str:
        """The period as a word of SQL: day, month or year."""
        return PERIODS[self.period]

    @property
    def kinds(self) -> tuple[str, ...]:
        """What an event can be."""
        return self.counted or (ROW,)


def column(kind: str) -> str:
    """The name of the column that counts the events of a kind, as every catalogue takes it: `Support calls` -> support_calls."""
    name = re.sub(r"[^a-z0-9]+", "_", kind.lower()).strip("_")
    return name if name[:1].isalpha() else f"n_{name}"


def source(found: data.Profile, block: plan.Data, period: str, counted: Sequence[str] = ()) -> Source:
    """What the events of the table are made of.

    Args:
        found: the table.
        block: the plan's data block. Without an id each row is an entity of its own; without a time column that holds dates,
            the place in the order of the file (or of the time column's numbers) stands for the time, and a day is the period.
        period: one of PERIODS.
        counted: columns that count events; for the generated table, those that it is known to have.

    Raises:
        UsageError: there is no such period.
        DataError: a counted column does not exist or does not count.
    """
    if period not in PERIODS:
        raise UsageError(f'There is no period "{period}".', did_you_mean(period, PERIODS))
    counted = tuple(counted) or (() if block.source else churn.ACTIVITIES)
    for name in counted:
        _counts(found[name], name)
    entity, who = _who(found, block)
    place, when, period, told_when = _when(found, block, period)
    value = f"cast({positive(block)} as double)"
    if block.problem == "regression":
        value = f"coalesce(try_cast({identifier(block.target)} as double), 0)"
    counts = "".join(f", {_count(name)} as {identifier(name)}" for name in counted)
    names = ", ".join(identifier(name) for name in found.names)
    rows = f"""(select hash, place, {entity} as entity, {when} as moment, {"1.0" if counted else value} as value{counts}
        from (select *, md5(cast(({names}) as varchar)) as hash, {place} as place from {found.table.sql}))"""
    told = (who, told_when, f"what: {', '.join(counted) if counted else 'each row is an event'}")
    return Source(rows, period, counted, not block.id, told)


def _counts(found: data.Column, name: str) -> None:
    """Raises DataError if the column is no count of events."""
    if found.kind != "number" or float(found.low) < 0 or float(found.high) > MOST:
        raise DataError(
            f"{name} counts no events: it is a {found.kind} from {found.low} to {found.high}.",
            f"Name columns of whole numbers from 0 to {MOST:,}.",
        )


def _count(name: str) -> str:
    return f"cast(coalesce(floor(try_cast({identifier(name)} as double)), 0) as bigint)"


def _who(found: data.Profile, block: plan.Data) -> tuple[str, str]:
    """SQL for the entity of a row, and what it is in words."""
    if not block.id:
        return "'row ' || place", "who: the plan names no id, so each row is an entity of its own"
    without = found[block.id].missing
    told = f"; {without:,} rows without one are entities of their own" if without else ""
    text = f"nullif(trim(cast({identifier(block.id)} as varchar)), '')"
    return f"coalesce({text}, 'row ' || place)", f"who: {block.id}{told}"


def _when(found: data.Profile, block: plan.Data, period: str) -> tuple[str, str, str, str]:
    """SQL for the place of a row in the order and for its time; the period; what the time is in words."""
    place = "row_number() over ()"
    if block.time and found[block.time].kind == "date":
        at = f"date_trunc('millisecond', {moment(found[block.time])})"
        told = f" as {found[block.time].read_as}" if found[block.time].read_as else ""
        return place, f"case when isfinite({at}) then {at} end", period, f"when: {block.time}{told}"
    told = "the plan names no time: the place in the file"
    if block.time:
        place = f"row_number() over (order by try_cast({identifier(block.time)} as double), md5(cast({identifier(block.time)} as varchar)))"
        told = f"{block.time} holds no dates: the order of its numbers"
    at = f"{literal(START)}::timestamp + to_milliseconds(cast({DAYS * 86_400_000} * (place - 1) // {found.rows} as bigint))"
    return place, at, "%Y-%m-%d", f"when: {told} stands for the time, a twentieth of the rows is a day"


def _taken(of: Source, limit: int) -> str:
    """SQL for the rows of about as many entities as have `limit` events; exact copies of a row that has an id are one row."""
    each = " + ".join(identifier(name) for name in of.counted) or "1"
    with database() as db:
        total = db.execute(f"select sum({each}) from {of.rows}").fetchone()[0] or 1
    rows = f"select * from {of.rows} where {_drawn('entity')} < {min(1.0, limit / total)}"
    return rows if of.copies else f"select distinct on (hash) * from ({rows}) order by hash, place"


def _drawn(text: str) -> str:
    """SQL: a number from 0 up to 1 that looks drawn at random and is always the same for the text."""
    return f"(('0x' || substr(md5({text}), 1, 8))::ubigint / 4294967296.0)"


def happened(of: Source, limit: int = 10_000) -> tuple[pd.DataFrame, pd.DataFrame, int]:
    """The events of about as many entities as have `limit` of them, all of these entities' events; and what counts must say.

    Returns:
        events: id, entity, kind, time, value, in the order of time.
        truth: entity, period, events, value and a count of each kind, summed from the rows and not from the events.
        undated: the rows of these entities whose time cannot be read; they make no event.

    Raises:
        DataError: there is no event.
    """
    taken = _taken(of, limit)
    start = f"date_trunc('{of.unit}', moment)"
    room = f"epoch_ms({start} + interval 1 {of.unit}) - epoch_ms(moment)"
    spread = (
        f"moment + to_milliseconds(cast(floor({_drawn('key')} * ({room})) as bigint))"
        if of.counted
        else "moment"
    )
    pieces = " union all ".join(
        f"select hash, entity, moment, value, {literal(name)} as kind, unnest(range({identifier(name)})) as nth from rows"
        for name in of.counted
    )
    pieces = pieces or f"select hash, entity, moment, value, '{ROW}' as kind, 0 as nth from rows"
    count = {name: f"cast(sum({identifier(name)}) as bigint)" for name in of.counted} or {ROW: "count(*)"}
    counts = ", ".join(f"{sql} as {column(kind)}" for kind, sql in count.items())
    every = " + ".join(column(kind) for kind in of.kinds)
    with database() as db:
        db.execute(f"create temp table taken as {taken}")
        undated = db.execute("select count(*) from taken where moment is null").fetchone()[0]
        db.execute("create temp view rows as select * from taken where moment is not null")
        events: pd.DataFrame = db.execute(
            f"""select md5(key) as id, entity, kind, {spread} as time, value
            from (select *, concat_ws(' ', hash, entity, kind, nth) as key from ({pieces})) order by time, id"""
        ).df()
        truth: pd.DataFrame = db.execute(
            f"""select * exclude (summed), {every} as events, {"cast(" + every + " as double)" if of.counted else "summed"} as value
            from (select entity, strftime({start}, {literal(of.period)}) as period, {counts}, sum(value) as summed
                  from rows group by 1, 2) where {every} > 0 order by entity, period"""
        ).df()
    if events.empty:
        raise DataError(
            f"There is no event: of the rows that were taken, {undated:,} have no time and the others count nothing.",
            "Take more `events`, or mend the time column.",
        )
    return events, truth, int(undated)


def arrivals(events: pd.DataFrame, unit: str, duplicates: float = 0.03, late: float = 0.05) -> pd.DataFrame:
    """The events as they arrive: most within two hours, a share `late` half to one and a half periods behind, a share `duplicates` twice.

    Adds `sent` (the time by the sender's clock) and `number` (the order of sending, from 1), and is in that order.
    """
    import numpy as np
    import pandas as pd

    drawn = [[int(id[at : at + 8], 16) / 2**32 for at in (0, 8, 16, 24)] for id in events["id"]]
    soon, whether, again, much = np.array(drawn).T
    long = {"day": 1, "month": 30, "year": 365}[unit] * 86_400_000
    delay = (-np.log1p(-soon) * 1_200_000 + (whether < late) * long * (0.5 + much)).astype("int64")
    time = events["time"].to_numpy().astype("datetime64[ms]")
    first = events.assign(time=time, sent=time + delay.astype("timedelta64[ms]"))
    copies = first[again < duplicates]
    wait = (60_000 + 21_600_000 * much[again < duplicates]).astype("int64").astype("timedelta64[ms]")
    both = pd.concat([first, copies.assign(sent=copies["sent"].to_numpy() + wait)], ignore_index=True)
    both = both.sort_values(["sent", "id"], kind="stable", ignore_index=True)
    return both.assign(number=range(1, len(both) + 1))


def compared(truth: pd.DataFrame, counted: pd.DataFrame) -> dict[str, int]:
    """How a count by entity and period compares with the truth, by the columns that both have.

    Returns:
        events: how many the count has; rows: of an entity and a period; off: rows that differ, are missing or too many.
    """
    keys = ["entity", "period"]
    columns = [name for name in truth.columns if name not in keys and name in counted.columns]
    both = truth.merge(counted, on=keys, how="outer", suffixes=("", " counted"), indicator=True)
    same = both["_merge"] == "both"
    for name in columns:
        same &= (both[name].astype(float) - both[f"{name} counted"].astype(float)).abs() < 1e-6
    return {"events": int(counted["events"].sum()), "rows": len(counted), "off": int((~same).sum())}


def draw(ax: Axes, frame: pd.DataFrame, unit: str, patience: float) -> None:
    """Events by arrival (x) and time (y), with the watermark, which follows the latest by `patience` hours.

    Those that came after their period was closed are red. `frame`: time, sent, late; in the order of sent.
    """
    import pandas as pd

    for late, colour, label in (
        (False, "steelblue", "in time"),
        (True, "darkred", f"after its {unit} was closed"),
    ):
        part = frame["late"] == late
        named = f"{label}: {part.sum():,}"
        ax.scatter(frame.loc[part, "sent"], frame.loc[part, "time"], s=9, color=colour, label=named)
    watermark = frame["time"].cummax() - pd.Timedelta(hours=patience)
    ax.plot(
        frame["sent"],
        watermark,
        color="black",
        linewidth=1,
        label=f"watermark, {patience:g} hours behind the latest",
    )
    ax.grid(axis="y", alpha=0.3)
    ax.legend(loc="upper left")


def as_records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Arrivals as records of JSON: times as text to the millisecond, UTC, such as 2025-01-31 09:00:00.250."""
    told = frame.assign(
        **{name: frame[name].dt.strftime("%Y-%m-%d %H:%M:%S.%f").str[:-3] for name in ("time", "sent")}
    )
    return [{str(name): value for name, value in record.items()} for record in told.to_dict("records")]
