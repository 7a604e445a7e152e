"""Agreement between labellers against its definition, the form by call and by button, and the manifest that is written."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jobs import load
from sklearn.metrics import cohen_kappa_score

from kit.errors import DataError, UsageError
from kit.local_aws import process

(labelling,) = load("data_engineering", "labelling")
CLASSES = ("no", "yes")
SHEETS = {1: {"age": "40"}, 5: {"age": "41", "note": "<b>😀</b>"}, 9: {"age": "42"}}
answers = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abc")), min_size=1, max_size=40)

# Agreement


@given(answers)
def test_cohens_kappa_is_that_of_scikit_learn(pairs: list[tuple[str, str]]) -> None:
    first, second = zip(*pairs, strict=True)
    got = labelling.cohen(first, second)
    if len({*first, *second}) == 1:
        assert math.isnan(got), "chance alone would agree always"
    else:
        assert got == pytest.approx(cohen_kappa_score(first, second), abs=1e-9)
        assert got == pytest.approx(labelling.cohen(second, first))
        assert -1 - 1e-9 <= got <= 1 + 1e-9


def test_kappa_says_one_for_the_same_and_zero_for_chance() -> None:
    assert labelling.cohen("yynn", "yynn") == 1
    assert labelling.cohen("yynn", "ynyn") == 0
    assert labelling.cohen("yynn", "nnyy") == -1
    assert math.isnan(labelling.cohen("", ""))
    with pytest.raises(ValueError, match="2 labels and 1"):
        labelling.cohen("yn", "y")


def by_definition(ratings: list[list[str]]) -> float:
    """Fleiss' kappa as the share of pairs of labellers who agree on a thing, beyond that of two labels drawn from all."""
    pairs = [pair for one in ratings for pair in itertools.permutations(one, 2)]
    seen = sum(a == b for a, b in pairs) / len(pairs)
    every = [label for one in ratings for label in one]
    chance = sum(every.count(label) ** 2 for label in set(every)) / len(every) ** 2
    return (seen - chance) / (1 - chance)


@given(st.integers(2, 5).flatmap(lambda n: st.lists(st.lists(st.sampled_from("abc"), min_size=n, max_size=n), min_size=1, max_size=20)))  # fmt: skip
def test_fleiss_kappa_is_its_definition(ratings: list[list[str]]) -> None:
    got = labelling.fleiss(ratings)
    if len({label for one in ratings for label in one}) == 1:
        assert math.isnan(got)
    else:
        assert got == pytest.approx(by_definition(ratings), abs=1e-9)
        assert got <= 1 + 1e-9


def test_fleiss_kappa_of_his_own_example() -> None:
    # Fleiss 1971 as reproduced widely: 10 subjects, 14 raters, 5 categories, kappa 0.210
    counts = [
        (0, 0, 0, 0, 14), (0, 2, 6, 4, 2), (0, 0, 3, 5, 6), (0, 3, 9, 2, 0), (2, 2, 8, 1, 1),
        (7, 7, 0, 0, 0), (3, 2, 6, 3, 0), (2, 5, 3, 2, 2), (6, 5, 2, 1, 0), (0, 2, 2, 3, 7),
    ]  # fmt: skip
    ratings = [[k for k, n in enumerate(row) for _ in range(n)] for row in counts]
    assert labelling.fleiss(ratings) == pytest.approx(0.210, abs=0.0005)


def test_things_with_other_numbers_of_labels_are_refused() -> None:
    with pytest.raises(ValueError, match="same number"):
        labelling.fleiss([["a", "b"], ["a"]])
    with pytest.raises(ValueError, match="two at least"):
        labelling.fleiss([["a"]])
    assert math.isnan(labelling.fleiss([]))


def test_labellers_are_compared_over_the_rows_that_they_share() -> None:
    labels = {
        "rules": {1: "no", 5: "yes", 9: "no"},
        "labeller 1": {5: "yes", 9: "yes"},
        "labeller 2": {9: "no"},
    }
    told = {one["who"]: one for one in labelling.agreement(labels)}
    assert {who: one["rows"] for who, one in told.items()} == {
        "rules · labeller 1": 2,
        "rules · labeller 2": 1,
        "labeller 1 · labeller 2": 1,
        "rules · labeller 1 · labeller 2": 1,
    }
    assert told["rules · labeller 1"]["same"] == 0.5
    (only,) = labelling.agreement({"rules": {1: "no"}, "labeller 1": {5: "yes"}})
    assert only["rows"] == 0
    assert math.isnan(only["kappa"])
    assert labelling.agreement({"rules": {1: "no"}}) == []


# The form


def test_a_call_labels_a_row_and_keeps_it() -> None:
    kept: list[dict[int, str]] = []
    form = labelling.Form(SHEETS, CLASSES, "labeller 1", keep=lambda answers: kept.append(dict(answers)))
    form.answer(5, "yes")
    form.answer(5, "no")
    assert form.left == [1, 9]
    assert kept == [{5: "yes"}, {5: "no"}]


def test_a_row_or_a_label_that_there_is_not_is_refused() -> None:
    form = labelling.Form(SHEETS, CLASSES, "labeller 1")
    with pytest.raises(UsageError, match="Row 2 is not among those"):
        form.answer(2, "yes")
    with pytest.raises(UsageError, match='no label "yse"') as caught:
        form.answer(1, "yse")
    assert "yes" in caught.value.hint
    assert form.answers == {}


def test_buttons_label_put_off_and_take_back() -> None:
    form = labelling.Form(SHEETS, CLASSES, "labeller 1", {1: "no"})
    told, row, sheet = form.show().children
    no, yes, later, back = row.children
    assert (no.description, yes.description) == CLASSES
    assert "Row 5" in sheet.value, "what has a label is not asked again"
    assert "&lt;b&gt;😀" in sheet.value, "a value is text, never markup"
    assert back.disabled
    later.click()
    assert "Row 9" in sheet.value
    yes.click()
    assert form.answers == {1: "no", 9: "yes"}
    back.click()
    assert form.answers == {1: "no"}
    no.click()
    no.click()
    assert form.answers == {1: "no", 9: "no", 5: "no"}
    assert no.disabled
    assert "3 of 3" in told.value


# The manifest

LABELS = {"recorded": {1: "no", 5: "no", 9: "yes"}, "rules": {1: "no", 5: "yes"}}


def test_a_line_says_label_and_labeller_and_claims_no_person() -> None:
    lines = [json.loads(line) for line in labelling.lines(SHEETS, LABELS, [], "recorded", CLASSES)]
    assert [line["label"] for line in lines] == [0, 0, 1]
    assert json.loads(lines[1]["source"]) == {"row": 5, **SHEETS[5]}
    told = lines[1]["label-metadata"]
    assert (told["class-name"], told["confidence"], told["human-annotated"]) == ("no", 0.5, "no")
    assert told["job-name"] == "labeling-job/recorded"
    assert told["type"] == "groundtruth/text-classification"
    assert lines[1]["rules-metadata"]["class-name"] == "yes"
    assert "rules" not in lines[2], "the rules said nothing of it"


def test_what_most_people_say_counts_and_is_marked_as_a_persons() -> None:
    people = {"labeller 1": {5: "yes"}, "labeller 2": {5: "no"}, "labeller 3": {5: "yes"}}
    line = json.loads(labelling.lines(SHEETS, LABELS | people, list(people), "recorded", CLASSES)[1])
    assert (line["label"], line["label-metadata"]["human-annotated"]) == (1, "yes")
    assert line["label-metadata"]["job-name"] == "labeling-job/labeller-1"
    assert line["label-metadata"]["confidence"] == 0.6
    assert line["labeller-2-metadata"]["human-annotated"] == "yes"
    assert line["rules-metadata"]["human-annotated"] == "no"


@pytest.mark.parametrize("who", ["source", "Label"])
def test_a_labeller_cannot_have_the_name_of_a_part_of_the_line(who: str) -> None:
    with pytest.raises(UsageError, match=f'"{who.lower()}"'):
        labelling.lines(SHEETS, LABELS | {who: {1: "no"}}, [], "recorded", CLASSES)


def test_a_row_that_nobody_labelled_and_a_line_that_is_too_long_are_refused() -> None:
    with pytest.raises(DataError, match="Row 9 has no label"):
        labelling.lines(SHEETS, {"rules": LABELS["rules"]}, [], "rules", CLASSES)
    with pytest.raises(DataError, match="Row 1 makes a line of"):
        labelling.lines({1: {"note": "x" * 100_000}}, LABELS, [], "recorded", CLASSES)


def test_a_good_line_has_no_problem_and_each_lie_is_found() -> None:
    people = {"labeller 1": {1: "yes"}}
    line = json.loads(labelling.lines(SHEETS, LABELS | people, list(people), "recorded", CLASSES)[0])

    def wrong(**changes: Any) -> list[str]:
        changed = {name: value for name, value in (line | changes).items() if value is not None}
        return labelling.problems(json.dumps(changed), CLASSES, [*LABELS, *people], people)

    def told(name: str, **changes: Any) -> dict[str, Any]:
        return {f"{name}-metadata": line[f"{name}-metadata"] | changes}

    assert wrong() == []
    assert wrong(source=None) == ["no source"]
    assert wrong(source=0) == ["no source"]
    assert wrong(label=None, **{"label-metadata": None}) == ["no label"]
    assert wrong(label=0) == ["label: 0 is not yes"]
    assert wrong(label=7) == ["label: 7 is not yes"]
    assert wrong(**{"rules-metadata": None})[0] == "rules: nobody says who gave it"
    assert wrong(**told("rules", **{"human-annotated": "yes"})) == ["rules: human-annotated is yes"]
    assert wrong(**told("label", **{"job-name": "labeling-job/eve"}))[0] == "label: nobody says who gave it"
    assert wrong(**told("rules", **{"job-name": "labeling-job/recorded"}))[0].startswith("rules: nobody")


# Where answers are kept


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("aws")
    server = process.up(folder)
    client = boto3.Session("AKIATEST", "secret", region_name="us-east-1").client(
        "s3", endpoint_url=server.url
    )
    client.create_bucket(Bucket="labels")
    yield client
    process.down(folder)


def test_a_labeller_goes_on_where_they_ended_and_others_see_it(s3: Any) -> None:
    book = labelling.Book(s3, "labels", "eba/people", "eba%3Acard=D1")
    book.form(SHEETS, CLASSES, "labeller 1").answer(5, "yes")
    book.form(SHEETS, CLASSES, "labeller 2").answer(9, "no")
    assert book.form(SHEETS, CLASSES, "labeller 1").left == [1, 9]
    assert book.people(SHEETS) == {"labeller 1": {5: "yes"}, "labeller 2": {9: "no"}}
    assert book.people([1, 9]) == {"labeller 2": {9: "no"}}, "rows that are not asked for"
    assert labelling.Book(s3, "labels", "eba/others").people(SHEETS) == {}
    (tag,) = s3.get_object_tagging(Bucket="labels", Key="eba/people/labeller-1.json")["TagSet"]
    assert tag == {"Key": "eba:card", "Value": "D1"}


@pytest.mark.parametrize("who", ["", " ", "rules", "Planted  truth", "source", "label"])
def test_nobody_labels_in_the_name_of_a_rule_or_of_nobody(s3: Any, who: str) -> None:
    book = labelling.Book(s3, "labels", "eba/none")
    with pytest.raises(UsageError, match="is no labeller"):
        book.form(SHEETS, CLASSES, who, reserved=["rules", "planted truth"])


def test_nothing_of_the_form_is_imported_before_it_is_shown() -> None:
    import subprocess
    import sys

    folder = Path(__file__).parents[1] / "data_engineering"
    code = "import sys, labelling; sys.exit('ipywidgets' in sys.modules or 'pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=folder, check=False).returncode == 0
