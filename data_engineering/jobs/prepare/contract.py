"""The data contract: what each column promises, held against every row in batches. DuckDB reads, pandera judges."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import table
from table import BadInput, number

BATCH = 100_000
"""Rows that are judged at once: what is in memory does not grow with the table."""
EXAMPLES = 20
"""Rows that are named for each broken rule; all are counted."""
RULES = ("kind", "unreadable", "missing", "low", "high", "one_of", "matches", "longest")


def read(file: Path) -> dict[str, dict[str, Any]]:
    """The rules of each column: {"columns": {name: {rule: value}}} as JSON.

    kind ("number", "date", "text") with unreadable (the share of rows that may be another), missing (the share of rows that may be
    empty), low and high (numbers), one_of (texts), matches (a regular expression for all of the text), longest (characters).

    Raises:
        BadInput: the file cannot be read, or has a rule that is not known.
    """
    try:
        columns: dict[str, dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))["columns"]
        unknown = [(name, rule) for name, rules in columns.items() for rule in rules if rule not in RULES]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(
            f"The contract {file} cannot be read: {error!r}.", "Give the rules of each column."
        ) from None
    if unknown:
        raise BadInput(
            f'The contract has a rule "{unknown[0][1]}" for {unknown[0][0]}.', f"Rules: {', '.join(RULES)}."
        )
    return columns


def breaks(
    db: Any, names: Sequence[str], contract: Mapping[str, Mapping[str, Any]], batch: int = BATCH
) -> list[dict[str, Any]]:
    """What in `raw` is not as promised: column, rule, rows, allowed (rows), broken, examples ({row, value}, the first ones)."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for name, rule in [
        *((n, "is in the table") for n in contract if n not in names),
        *((n, "is in the contract") for n in names if n not in contract),
    ]:
        found[name, rule] = {"column": name, "rule": rule, "rows": 0, "examples": [], "allowed": 0}
    places = {n: at for at, n in enumerate(names) if n in contract}
    wanted, schema, told = _schema(db, places, contract)
    if wanted:
        _judge(db, wanted, schema, told, found, batch)
    rows = db.execute("select count(*) from raw").fetchone()[0]
    for entry in found.values():
        share = entry.pop("share", 0.0)
        entry["allowed"] = int(share * rows)
        entry["broken"] = not entry["examples"] or entry["rows"] > entry["allowed"]
    return sorted(found.values(), key=lambda e: (not e["broken"], e["column"], e["rule"]))


def _schema(
    db: Any, places: Mapping[str, int], contract: Mapping[str, Mapping[str, Any]]
) -> tuple[list[str], Any, dict[str, tuple[str, dict[str, float]]]]:
    """SQL of what is judged, the pandera schema, and for each judged column its name and the share allowed by rule."""
    import pandera.pandas as pa

    wanted: list[str] = []
    columns: dict[str, Any] = {}
    told: dict[str, tuple[str, dict[str, float]]] = {}
    for name, at in places.items():
        rules, text = contract[name], f"c{at}"
        checks = []
        if "one_of" in rules:
            allowed = [str(v) for v in rules["one_of"]]
            checks.append(pa.Check.isin(allowed, error=f"is one of {', '.join(allowed)[:80]}"))
        if "matches" in rules:
            checks.append(pa.Check.str_matches(f"(?:{rules['matches']})$", error=f"is {rules['matches']}"))
        if "longest" in rules:
            most = rules["longest"]
            checks.append(pa.Check.str_length(max_value=most, error=f"has at most {most} characters"))
        if checks or "missing" in rules:
            wanted.append(text)
            columns[text] = pa.Column(object, checks, nullable="missing" not in rules)
            told[text] = name, {"is there": float(rules.get("missing", 0))}
        if rules.get("kind") in ("number", "date"):
            kind = rules["kind"]
            value = number(text) if kind == "number" else _date(db, text)
            wanted.append(f"case when {text} is not null and ({value}) is null then {text} end as k{at}")
            rule = f"reads as a {kind}"
            columns[f"k{at}"] = pa.Column(object, pa.Check(lambda s: s.isna(), error=rule), nullable=True)
            told[f"k{at}"] = name, {rule: float(rules.get("unreadable", 0))}
        ends = [pa.Check.ge(rules["low"], error=f"is at least {rules['low']}")] if "low" in rules else []
        ends += [pa.Check.le(rules["high"], error=f"is at most {rules['high']}")] if "high" in rules else []
        if ends:
            wanted.append(f"{number(text)} as x{at}")
            columns[f"x{at}"] = pa.Column(float, ends, nullable=True)
            told[f"x{at}"] = name, {}
    return wanted, pa.DataFrameSchema(columns), told


def _date(db: Any, column: str) -> str:
    """SQL that reads a column of dates, as `table.time_key` does, or NULL."""
    return table.time_key(db, column, "date")[0]


def _judge(
    db: Any,
    wanted: Sequence[str],
    schema: Any,
    told: Mapping[str, tuple[str, dict[str, float]]],
    found: dict[tuple[str, str], dict[str, Any]],
    batch: int,
) -> None:
    """Adds to `found` what pandera finds, batch by batch in the order of the rows."""
    import pandera.errors

    rows = db.execute("select count(*) from raw").fetchone()[0]
    texts = [w.rsplit(" as ", 1)[-1] for w in wanted if not w.rsplit(" as ", 1)[-1].startswith("x")]
    for start in range(0, rows, batch):
        query = f"select n, {', '.join(wanted)} from raw where n > {start} and n <= {start + batch}"
        frame = db.execute(query).df().set_index("n").sort_index()
        frame[texts] = frame[texts].astype(object)
        try:
            schema.validate(frame, lazy=True)
        except pandera.errors.SchemaErrors as error:
            cases = error.failure_cases
            for (column, check), part in cases.groupby(["column", "check"], sort=False):
                name, shares = told[column]
                rule = "is there" if check == "not_nullable" else check
                empty: dict[str, Any] = {"column": name, "rule": rule, "rows": 0, "examples": []}
                entry = found.setdefault((name, rule), {**empty, "share": shares.get(rule, 0.0)})
                entry["rows"] += len(part)
                for row, value in zip(part["index"], part["failure_case"], strict=True):
                    if len(entry["examples"]) == EXAMPLES:
                        break
                    shown = "" if rule == "is there" else str(value)[:60]
                    entry["examples"].append({"row": int(row), "value": shown})


def refuse(found: Sequence[Mapping[str, Any]]) -> None:
    """Raises BadInput with the rows and the reasons, if something is broken; the log has every example, one a line."""
    broken = [entry for entry in found if entry["broken"]]
    if not broken:
        return
    told = []
    for entry in broken:
        for example in entry["examples"]:
            print(
                f"contract row={example['row']} column={entry['column']} rule={entry['rule']} value={example['value']!r}"
            )
        first = ", ".join(f'row {e["row"]} "{e["value"]}"' for e in entry["examples"][:3])
        rows = f" ({entry['rows']:,} rows: {first})" if first else ""
        told.append(f"{entry['column']}: not so that it {entry['rule']}{rows}")
    raise BadInput(
        f"The table breaks the contract. {'; '.join(told)}"[:800],
        "Mend these rows where they come from, or change the contract if it is wrong. The log names more rows.",
    )
