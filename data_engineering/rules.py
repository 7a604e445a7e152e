"""Weak labels: rules of one column each that tell the answer better than chance, found on some rows and held against others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from collection import positive

from kit import data, plan
from kit.errors import DataError
from kit.table import database, identifier

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "ANSWER",
    "ROW",
    "Rule",
    "answers",
    "found",
    "kappa",
    "labellers",
    "planted",
    "queue",
    "sample",
    "sheets",
    "votes",
]

ROW, ANSWER = "row of the source", "answer of the source"
LETTERS = 100
"""Characters of a value that rules and labellers see."""
QUANTILES = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)
VALUES = 20
"""The most frequent values of a column of words that a rule may name."""
SHARES = (0.01, 0.99)
"""A rule that says "yes" of fewer rows, or of more, says nothing."""
CHANCE = 0.05
"""The best of many rules agrees so far with anything, by chance."""


@dataclass(frozen=True)
class Rule:
    """Says "yes" of the rows in which a column is `at least`, `below`, `is` or `is not` a value, or of which a condition `holds`.

    `kappa`: how far it agrees with the answers that it was found on.
    """

    column: str
    how: str
    value: Any = None
    kappa: float = 0.0

    def __str__(self) -> str:
        value = f"{self.value:g}" if isinstance(self.value, float) else str(self.value)
        return self.column if self.how == "holds" else f"{self.column} {self.how} {value}"

    def says(self, frame: pd.DataFrame) -> Any:
        """An array of truth values, one for each row of a `sample`; what is missing is not a yes."""
        import pandas as pd

        values = frame[self.column]
        if self.how == "holds":
            return values.to_numpy(dtype=bool)
        if self.how in ("is", "is not"):
            return ((values == self.value) == (self.how == "is")).to_numpy(
                dtype=bool
            ) & values.notna().to_numpy()
        numbers = pd.to_numeric(values, errors="coerce").to_numpy(dtype=float)
        return numbers >= self.value if self.how == "at least" else numbers < self.value


def answers(profile: data.Profile, block: plan.Data) -> tuple[str, str, str]:
    """The two answers, the "no" first, and SQL that is true for "yes". Of a target of numbers the half from the median on is "yes"."""
    if block.problem == "regression":
        value = f"try_cast({identifier(block.target)} as double)"
        with database() as db:
            middle = db.execute(f"select median({value}) from {profile.table.sql}").fetchone()[0]
        return f"below {middle:g}", f"{middle:g} or more", f"{value} >= {middle!r}"
    others = [value for value in profile.target if not _same(value, block.positive)]
    no = others[0] if profile[block.target].distinct == 2 else f"not {block.positive}"
    return no, block.positive, positive(block)


def _same(value: str, other: str) -> bool:
    try:
        return value == other or float(value) == float(other)
    except ValueError:
        return False


def sample(
    profile: data.Profile, yes: str, own: Sequence[str] = (), most: int = 20_000
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two samples of about `most` rows each, or half of the table, drawn from all over it, without a row in common.

    Both have the table's columns as text of up to 100 characters, ROW (from 1), ANSWER (truth values), and for each condition
    of `own` (SQL over the source's columns) a column of truth values that is named by the condition.

    Raises:
        DataError: a condition cannot be evaluated.
    """
    import duckdb

    row, share = identifier(ROW), min(1.0, 2 * most / profile.rows)
    drawn = f"('0x' || substr(md5(cast({row} as varchar)), {{}}, 8))::ubigint / 4294967296.0"
    names = [identifier(name) for name in profile.names]
    text = ", ".join(f"left(cast({name} as varchar), {LETTERS}) as {name}" for name in names)
    conditions = "".join(f", coalesce(({condition}), false) as {identifier(condition)}" for condition in own)
    query = f"""select {text}, {row}, {drawn.format(9)} < 0.5 as "first half", coalesce({yes}, false) as {identifier(ANSWER)}{conditions}
        from (select *, row_number() over () as {row} from {profile.table.sql}) where {drawn.format(1)} < {share} order by {row}"""
    with database() as db:
        try:
            frame: pd.DataFrame = db.execute(query).df()
        except duckdb.Error as error:
            if not own:
                raise
            raise DataError(
                f"The rules cannot be evaluated: {str(error).splitlines()[0]}",
                f"Write them as SQL; columns of a CSV are text. There are {', '.join(profile.names)}.",
            ) from None
    first = frame.pop("first half")
    return frame[first].reset_index(drop=True), frame[~first].reset_index(drop=True)


def kappa(says: Any, answer: Any) -> float:
    """Cohen's kappa (see `labelling.cohen`) of two arrays of truth values; 0 where chance alone would agree always."""
    both, first, second = (says == answer).mean(), says.mean(), answer.mean()
    chance = first * second + (1 - first) * (1 - second)
    return float((both - chance) / (1 - chance)) if chance < 1 else 0.0


def found(frame: pd.DataFrame, profile: data.Profile, block: plan.Data, count: int = 3) -> list[Rule]:
    """The best rule of each column, and of these the best `count`; empty if no column tells the answer better than chance."""
    answer, best = frame[ANSWER].to_numpy(dtype=bool), []
    for column in profile.columns:
        if column.name in (block.target, block.id, block.time):
            continue
        rules = []
        for rule in _candidates(frame, column):
            says = rule.says(frame)
            if SHARES[0] <= says.mean() <= SHARES[1]:
                rules.append(Rule(rule.column, rule.how, rule.value, kappa(says, answer)))
        best += sorted(rules, key=lambda rule: -rule.kappa)[:1]
    return [rule for rule in sorted(best, key=lambda rule: -rule.kappa)[:count] if rule.kappa > CHANCE]


def _candidates(frame: pd.DataFrame, column: data.Column) -> Iterator[Rule]:
    import pandas as pd

    if column.kind == "number":
        numbers = pd.to_numeric(frame[column.name], errors="coerce")
        limits = sorted({float(numbers.quantile(share)) for share in QUANTILES} | {float(numbers.max())})
        pairs: list[tuple[str, Any]] = [(how, limit) for limit in limits for how in ("at least", "below")]
        if limits[0] == float(numbers.min()):  # most often a 0, which the share of the others says more about
            above = numbers[numbers > limits[0]].min()
            pairs += [("at least", float(above)), ("below", float(above))] if above == above else []
    else:
        values = frame[column.name].value_counts().index[:VALUES]
        pairs = [(how, value) for value in values for how in ("is", "is not")]
    return (Rule(column.name, how, value) for how, value in pairs)


def votes(rules: Sequence[Rule], frame: pd.DataFrame) -> Any:
    """What the rules say together, an array of truth values: each has the weight of its kappa, and one without has a little."""
    return sum(max(rule.kappa, 0.01) * (2.0 * rule.says(frame) - 1) for rule in rules) > 0


def planted(block: plan.Data, frame: pd.DataFrame) -> Any:
    """The true answers of a sample of the generated table, an array of truth values; None where nobody knows them."""
    if block.source or block.problem != "classification":
        return None
    wrong = data.truths(block.rows).wrong_labels
    if not {block.id, block.time} <= set(wrong.columns):
        return None
    keys = [block.id, block.time]
    known = frame[keys].merge(wrong[keys].drop_duplicates(), on=keys, how="left", indicator=True)
    return frame[ANSWER].to_numpy(dtype=bool) ^ (known["_merge"] == "both").to_numpy()


def queue(frame: pd.DataFrame, doubtful: Any, count: int) -> pd.DataFrame:
    """`count` rows to label, the doubtful ones (truth values, a row each) first and half of them at most, the rest from all over."""
    import numpy as np

    def spread(part: pd.DataFrame, most: int) -> pd.DataFrame:
        return (
            part.iloc[np.unique(np.linspace(0, len(part) - 1, min(most, len(part)), dtype=int))]
            if len(part)
            else part
        )

    first = spread(frame[doubtful], count // 2)
    rest = spread(frame.drop(first.index), count - len(first))
    return frame.loc[[*first.index, *rest.index]]


def sheets(frame: pd.DataFrame, hidden: Sequence[str]) -> dict[int, dict[str, str]]:
    """What a labeller sees of each row, by its number: the values that are there, as text, without the `hidden` columns."""
    shown = [name for name in frame.columns if name not in (ROW, ANSWER, *hidden)]
    return {
        int(row[ROW]): {name: str(row[name]) for name in shown if isinstance(row[name], str)}
        for row in frame.to_dict("records")
    }


def labellers(
    chosen: Sequence[Rule], frame: pd.DataFrame, block: plan.Data, classes: tuple[str, str]
) -> dict[str, dict[int, str]]:
    """What "recorded" (the table), "rules" (where there are any) and, for the generated table, "planted truth" say of a sample, by row number."""
    said = {"recorded": frame[ANSWER].to_numpy(dtype=bool)}
    if chosen:
        said["rules"] = votes(chosen, frame)
    if (true := planted(block, frame)) is not None:
        said["planted truth"] = true
    rows = [int(row) for row in frame[ROW]]
    return {
        who: {row: classes[bool(yes)] for row, yes in zip(rows, of, strict=True)} for who, of in said.items()
    }
