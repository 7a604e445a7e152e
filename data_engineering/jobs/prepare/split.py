"""Which row goes to train, validation and test. The rule that was used is told in words, with its numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

SPLITS = ("train", "validation", "test")
LEAST = 0.25
"""If fewer of a later split's rows than this belong to new ids, each id is given to one split beforehand."""


def cuts(times: np.ndarray, rows: np.ndarray, shares: Sequence[float]) -> tuple[float, float] | None:
    """The last time of train and of validation: the times at which the shares of rows are nearest to `shares`.

    `times` are the distinct times in order and `rows` the rows of each. Rows of one time stay together, and every split gets at
    least one time. None if there are fewer than three times.
    """
    if len(times) < 3:
        return None
    share = np.cumsum(rows) / np.sum(rows)
    first = int(np.argmin(np.abs(share[:-2] - shares[0])))
    second = first + 1 + int(np.argmin(np.abs(share[first + 1 : -1] - shares[0] - shares[1])))
    return float(times[first]), float(times[second])


def assign(
    db: Any, shares: Sequence[float], *, by_time: bool, by_id: bool, stratify: bool
) -> tuple[str, dict[str, Any]]:
    """Makes the table `final`: the rows of `typed` with their split (0, 1, 2). Returns the rule in words and its numbers.

    By time: train has the first rows, test the last; a time is never in two splits. By id as well: no id is in two splits; a
    later row of an id that an earlier split has is left out. By id alone: whole ids, at random. Neither: rows at random. What
    is random is the same in every run, and has the same share of positives in each split where `stratify` is set.
    """
    cut = None
    if by_time:
        groups = db.execute("select t, count(*) as rows from typed group by t order by t").fetchnumpy()
        cut = cuts(groups["t"], groups["rows"], shares)
    if cut is None:
        rule = _at_random(db, shares, by_id=by_id, stratify=stratify)
        _finish(db, "join random using (n)", "random.s", "true")
        return (f"there are fewer than three times, so {rule}" if by_time else rule), _numbers(db)
    split = f"case when t <= {cut[0]!r} then 0 when t <= {cut[1]!r} then 1 else 2 end"
    if not by_id:
        _finish(db, "", split, "true")
        return "by time: train has the first rows, test the last", {"cuts": list(cut), **_numbers(db)}
    db.execute(
        f"create table seen as select id, min({split}) as first from typed where id is not null group by id"
    )
    fresh = f"(id is null or seen.first = {split})"
    joined = "left join seen using (id)"
    share = db.execute(
        f"select count(case when {fresh} then 1 end) / count(*) from typed {joined} group by {split}"
    ).fetchall()
    if min(s for (s,) in share) >= LEAST:
        rule = "by time and id: train has the first rows, test the last; later rows of an id that an earlier split has are left out"
    else:
        _at_random(db, shares, by_id=True, stratify=stratify)
        joined, fresh = "join random using (n)", f"random.s = {split}"
        rule = "by time and id: most ids come at all times, so each id belongs to one split, and its rows outside that split's time are left out"
    _finish(db, joined, split, fresh)
    return rule, {"cuts": list(cut), **_numbers(db)}


def _at_random(db: Any, shares: Sequence[float], *, by_id: bool, stratify: bool) -> str:
    """Makes the table `random` (n, s): rows, or whole ids, in a random order cut at the shares."""
    unit = "coalesce(id, '#' || n)" if by_id else "n"
    # The number of an id's first row, not its least one: that would put ids of many rows first, into train.
    stratum = "max(y)" if stratify else "0"
    db.execute(
        f"""create table random as
        with units as (select {unit} as u, {stratum} as k, count(*) as rows, arg_min(r, n) as r from typed group by u),
        ranked as (select u, (sum(rows) over (partition by k order by r, u) - rows / 2) / sum(rows) over (partition by k) as p
            from units)
        select n, case when p <= {shares[0]!r} then 0 when p <= {shares[0] + shares[1]!r} then 1 else 2 end as s
        from typed join ranked on ranked.u = {unit}"""
    )
    what = "by id: whole ids at random" if by_id else "rows at random"
    return what + (", with the same share of positives in each split" if stratify else "")


def _finish(db: Any, joined: str, split: str, kept: str) -> None:
    db.execute(
        f"create table final as select typed.*, {split} as s from typed {joined} where {kept} order by n"
    )


def _numbers(db: Any) -> dict[str, Any]:
    """How many rows each split has, and of what; shared ids and times must be 0 where the rule keeps them apart."""
    found = {
        SPLITS[s]: {"rows": rows, "target_mean": float(f"{mean:.12g}"), "first": first, "last": last}
        for s, rows, mean, first, last in db.execute(
            "select s, count(*), avg(y), min(t), max(t) from final group by s order by s"
        ).fetchall()
    }
    total = db.execute("select count(*) from typed").fetchone()[0]
    shared = "select count(*) from (select 1 from final where {0} is not null group by {0} having count(distinct s) > 1)"
    return {
        "splits": found,
        "left_out": total - sum(f["rows"] for f in found.values()),
        "ids_in_two_splits": db.execute(shared.format("id")).fetchone()[0],
        "times_in_two_splits": db.execute(shared.format("t")).fetchone()[0],
    }
