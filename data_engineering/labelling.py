"""Labels by rules and by people, how far labellers agree, and their labels as SageMaker Ground Truth writes them."""

from __future__ import annotations

import html
import itertools
import json
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from kit.errors import DataError, UsageError, did_you_mean

__all__ = ["LABEL", "Form", "agreement", "cohen", "fleiss", "lines", "problems", "settled"]

LABEL = "label"
"""The attribute of a manifest's line that counts; each labeller has one of its own beside it."""
TYPE = "groundtruth/text-classification"
LINE = 100_000
"""Characters of a manifest's line, at most (SageMaker Ground Truth quotas)."""

Labels = Mapping[int, str]
"""The labels that somebody gave, by the row's number in the source, from 1."""


# How far labellers agree


def cohen(first: Sequence[Hashable], second: Sequence[Hashable]) -> float:
    """How far two labellers agree beyond chance, from -1 to 1; not a number where chance alone would agree always, or without labels.

    Source: J. Cohen, "A coefficient of agreement for nominal scales", Educational and Psychological Measurement 20 (1960).

    Raises:
        ValueError: they did not label the same things.
    """
    if len(first) != len(second):
        raise ValueError(f"{len(first)} labels and {len(second)}.")
    if not first:
        return float("nan")
    count = len(first)
    same = sum(a == b for a, b in zip(first, second, strict=True))
    of_first, of_second = Counter(first), Counter(second)
    chance = sum(times * of_second[label] for label, times in of_first.items())  # of count * count
    if chance == count * count:
        return float("nan")
    return (same * count - chance) / (count * count - chance)


def fleiss(ratings: Sequence[Sequence[Hashable]]) -> float:
    """How far several labellers agree beyond chance, at most 1; each rating has the labels that one thing got, as many for each.

    Not a number where chance alone would agree always, or without ratings.
    Source: J. L. Fleiss, "Measuring nominal scale agreement among many raters", Psychological Bulletin 76 (1971).

    Raises:
        ValueError: fewer than two labels, or not as many for each thing.
    """
    if not ratings:
        return float("nan")
    each = len(ratings[0])
    if each < 2 or any(len(one) != each for one in ratings):
        raise ValueError("Each thing needs the same number of labels, and two at least.")
    counts = [Counter(one) for one in ratings]
    seen = sum(sum(n * (n - 1) for n in one.values()) for one in counts) / (len(ratings) * each * (each - 1))
    shares = Counter(label for one in ratings for label in one)
    if len(shares) == 1:
        return float("nan")
    chance = sum((n / (len(ratings) * each)) ** 2 for n in shares.values())
    return (seen - chance) / (1 - chance)


def agreement(labels: Mapping[str, Labels]) -> list[dict[str, Any]]:
    """Each two labellers (Cohen), and all together where they are more (Fleiss), over the rows that they all labelled.

    Returns:
        who, rows, same (the share on which they agree), kappa.
    """
    groups = list(itertools.combinations(labels, 2))
    told = []
    for group in groups if len(labels) < 3 else [*groups, tuple(labels)]:
        rows = sorted(set.intersection(*(set(labels[who]) for who in group)))
        ratings = [[labels[who][row] for who in group] for row in rows]
        same = sum(len(set(one)) == 1 for one in ratings) / len(rows) if rows else float("nan")
        kappa = (
            fleiss(ratings) if len(group) > 2 else cohen(*(zip(*ratings, strict=True) if rows else ((), ())))
        )
        told.append({"who": " · ".join(group), "rows": len(rows), "same": same, "kappa": kappa})
    return told


# A person


@dataclass
class Form:
    """Rows that a person labels: by buttons (`show`), or by a call (`answer`); what is known already is in `answers`.

    Attributes:
        rows: what the labeller sees of each row, by number.
        classes: the labels that there are.
        labeller: the word by which the labels are kept; no name of a person is needed.
        answers: the labels, by row number.
        keep: called with all answers after each change.
    """

    rows: Mapping[int, Mapping[str, Any]]
    classes: Sequence[str]
    labeller: str
    answers: dict[int, str] = field(default_factory=dict)
    keep: Callable[[Mapping[int, str]], object] = lambda answers: None

    @property
    def left(self) -> list[int]:
        """The rows without a label, in order."""
        return [row for row in self.rows if row not in self.answers]

    def answer(self, row: int, label: str) -> None:
        """Label a row, again if need be.

        Raises:
            UsageError: there is no such row to label, or no such label.
        """
        if row not in self.rows:
            raise UsageError(
                f"Row {row} is not among those to label.",
                f"These begin with {', '.join(str(one) for one in list(self.rows)[:5])}.",
            )
        if label not in self.classes:
            raise UsageError(f'There is no label "{label}".', did_you_mean(label, self.classes))
        self.answers[row] = label
        self.keep(self.answers)

    def show(self) -> Any:
        """The form as a widget: one row at a time, a button for each label, one to come back to the row later, one to take back."""
        import ipywidgets

        sheet, told = ipywidgets.HTML(), ipywidgets.HTML()
        order, done = self.left, list[int]()
        buttons = [ipywidgets.Button(description=name[:40], tooltip=name) for name in self.classes]
        later = ipywidgets.Button(description="Later", tooltip="Ask me again at the end")
        back = ipywidgets.Button(description="Take back", tooltip="Label the row before again")

        def look() -> None:
            sheet.value = self._sheet(order[0]) if order else "<p>Every row has a label. Thank you.</p>"
            told.value = (
                f"{html.escape(self.labeller)}: {len(self.rows) - len(self.left)} of {len(self.rows)}"
            )
            back.disabled = not done
            for button in (*buttons, later):
                button.disabled = not order

        def choose(label: str) -> None:
            self.answer(order[0], label)
            done.append(order.pop(0))
            look()

        def put_off(_: object) -> None:
            order.append(order.pop(0))
            look()

        def take_back(_: object) -> None:
            order.insert(0, done.pop())
            del self.answers[order[0]]
            self.keep(self.answers)
            look()

        for button, name in zip(buttons, self.classes, strict=True):
            button.on_click(lambda _, name=name: choose(name))
        later.on_click(put_off)
        back.on_click(take_back)
        look()
        return ipywidgets.VBox([told, ipywidgets.HBox([*buttons, later, back]), sheet])

    def _sheet(self, row: int) -> str:
        cells = "".join(
            f"<tr><th style='text-align:left'>{html.escape(str(name))}</th><td>{html.escape(str(value))}</td></tr>"
            for name, value in self.rows[row].items()
        )
        return f"<p>Row {row:,}</p><table>{cells}</table>"


# What they say, settled and written down


def settled(
    row: int, labels: Mapping[str, Labels], people: Iterable[str], otherwise: str
) -> tuple[str, str, float]:
    """The label of a row, who gave it, and the share of all its labellers who say the same.

    What most people say counts (of a tie, what the first said); a row that no person labelled has the label of `otherwise`.

    Raises:
        DataError: nobody labelled it.
    """
    given = {who: of[row] for who, of in labels.items() if row in of}
    said = [given[who] for who in people if who in given]
    by = next((who for who in people if who in given), otherwise)
    if by not in given:
        raise DataError(f"Row {row} has no label.", f"Label it, or see what became of {otherwise}.")
    label = Counter(said).most_common(1)[0][0] if said else given[by]
    by = next(who for who in (*people, otherwise) if given.get(who) == label)
    return label, by, sum(one == label for one in given.values()) / len(given)


def lines(
    sheets: Mapping[int, Mapping[str, Any]],
    labels: Mapping[str, Labels],
    people: Sequence[str],
    otherwise: str,
    classes: Sequence[str],
    now: datetime | None = None,
) -> list[str]:
    """An augmented manifest: a line of JSON for each row, with what was seen, the settled label, and the label of each labeller.

    Source of the form: SageMaker AI Developer Guide, "Augmented manifest files" and "Label Ground Truth output data".
    `human-annotated` is "yes" only for what one of `people` said; `job-name` says who gave the label.

    Raises:
        DataError: a row has no label, or its line is too long.
        UsageError: a labeller has a name that a line uses for something else.
    """
    if taken := sorted({_word(who) for who in labels} & {LABEL, "source"}):
        raise UsageError(
            f'A labeller cannot be called "{taken[0]}".', "Call the table's own labels recorded."
        )
    made = (now or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%S.%f")

    def attribute(name: str, label: str, by: str, confidence: float) -> dict[str, Any]:
        told = {"class-name": label, "confidence": round(confidence, 4), "type": TYPE}
        told |= {"human-annotated": "yes" if by in people else "no", "creation-date": made}
        return {
            name: classes.index(label),
            f"{name}-metadata": told | {"job-name": f"labeling-job/{_word(by)}"},
        }

    written = []
    for row, sheet in sheets.items():
        label, by, share = settled(row, labels, people, otherwise)
        line: dict[str, Any] = {"source": json.dumps({"row": row, **sheet}, ensure_ascii=False)}
        line |= attribute(LABEL, label, by, share)
        for who, of in labels.items():
            if row in of:
                line |= attribute(_word(who), of[row], who, 1.0)
        written.append(json.dumps(line, ensure_ascii=False))
        if len(written[-1]) > LINE:
            raise DataError(f"Row {row} makes a line of {len(written[-1]):,} characters.", "Show less of it.")
    return written


def _word(who: str) -> str:
    """`labeller 1` as a manifest can hold it: labeller-1."""
    return "-".join(who.lower().split())


def problems(line: str, classes: Sequence[str], labellers: Iterable[str], people: Iterable[str]) -> list[str]:
    """What is wrong with a line of an augmented manifest; none is well.

    Each label has its metadata, is one of the classes, says which labeller gave it, and claims a person only where one labelled.
    """
    known, human = {_word(who) for who in labellers}, {_word(who) for who in people}
    found = json.loads(line)
    wrong = [] if isinstance(found.get("source"), str) else ["no source"]
    wrong += [] if LABEL in found else [f"no {LABEL}"]
    for name in found:
        if name == "source" or name.endswith("-metadata"):
            continue
        told = found.get(f"{name}-metadata", {})
        by = told.get("job-name", "").removeprefix("labeling-job/")
        if by not in known or (name != LABEL and by != name):
            wrong.append(f"{name}: nobody says who gave it")
        if not 0 <= found[name] < len(classes) or classes[found[name]] != told.get("class-name"):
            wrong.append(f"{name}: {found[name]} is not {told.get('class-name')}")
        if told.get("human-annotated") != ("yes" if by in human else "no"):
            wrong.append(f"{name}: human-annotated is {told.get('human-annotated')}")
    return wrong


# Where people's labels are kept


@dataclass(frozen=True)
class Book:
    """The answers of people in S3, an object for each labeller below the prefix. `tags`: URL-encoded, for each object."""

    s3: Any
    bucket: str
    prefix: str
    tags: str = ""

    def people(self, rows: Iterable[int]) -> dict[str, dict[int, str]]:
        """The labels of each labeller who gave any of these rows one."""
        found, asked = {}, set(rows)
        pages = self.s3.get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket, Prefix=f"{self.prefix}/"
        )
        for key in [item["Key"] for page in pages for item in page.get("Contents", [])]:
            told = json.loads(self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read())
            given = {int(row): label for row, label in told["answers"].items() if int(row) in asked}
            if given:
                found[told["labeller"]] = given
        return found

    def form(
        self,
        sheets: Mapping[int, Mapping[str, Any]],
        classes: Sequence[str],
        labeller: str,
        reserved: Iterable[str] = (),
    ) -> Form:
        """A form that goes on where the labeller ended, and keeps each answer here.

        Raises:
            UsageError: the labeller has no name, or one that stands for something else.
        """
        if not _word(labeller) or _word(labeller) in map(_word, (LABEL, "source", *reserved)):
            raise UsageError(
                f'"{labeller}" is no labeller.', 'Use a word for a person, such as "labeller 1".'
            )

        def keep(answers: Mapping[int, str]) -> None:
            told = {"labeller": labeller, "answers": answers}
            where = {"Bucket": self.bucket, "Key": f"{self.prefix}/{_word(labeller)}.json"}
            body = json.dumps(told, ensure_ascii=False).encode()
            self.s3.put_object(**where, Body=body, Tagging=self.tags)

        known = {
            row: label for row, label in self.people(sheets).get(labeller, {}).items() if label in classes
        }
        return Form(sheets, classes, labeller, known, keep)
