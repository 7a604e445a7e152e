from __future__ import annotations

import csv
import datetime as dt
import gzip
import json
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit import data, plan, table
from kit.errors import DataError

PLAIN = plan.Data(target="y")


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def make_plan(file: Path, **changes: object) -> plan.Plan:
    block = {"target": "y", **changes}
    event = {"name": "Test", "dates": [dt.date(2026, 12, 1)]}
    return plan.read({"event": event, "workstreams": [], "subtasks": [], "data": block}, file)


def refused(path: Path, block: plan.Data = PLAIN) -> DataError:
    with pytest.raises(DataError) as caught:
        data.profile(path, block)
    assert caught.value.message
    assert caught.value.hint
    assert "\n" not in caught.value.message
    assert "\n" not in caught.value.hint
    return caught.value


# --- where the table is


def test_the_generated_table_is_written_once(tmp_path: Path) -> None:
    made = data.source(make_plan(tmp_path / "plan.yml", rows=60), tmp_path / "home")
    assert made == tmp_path / "home" / "data" / "churn-60.csv"
    first = made.stat().st_mtime_ns
    assert data.source(make_plan(tmp_path / "plan.yml", rows=60), tmp_path / "home") == made
    assert made.stat().st_mtime_ns == first
    assert [p.name for p in made.parent.iterdir()] == ["churn-60.csv"]
    frame = pd.read_csv(made, dtype={"app_logins": "Int64"}).astype(object)
    expected = data.generate(60).astype(object)
    assert (
        frame.where(frame.notna(), None).values.tolist()
        == expected.where(expected.notna(), None).values.tolist()
    )


def test_too_few_rows_are_refused_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="At least 40"):
        data.source(make_plan(tmp_path / "plan.yml", rows=3), tmp_path)


def test_a_relative_source_counts_from_the_plan(tmp_path: Path) -> None:
    mine = write(tmp_path / "mine.csv", "a,y\n1,0\n")
    assert data.source(make_plan(tmp_path / "plan.yml", source="mine.csv"), tmp_path / "home") == mine


def test_a_source_that_is_not_there_is_named_with_the_nearest_file(tmp_path: Path) -> None:
    write(tmp_path / "customers.csv", "a,y\n1,0\n")
    with pytest.raises(DataError, match=r"customer\.csv does not exist\.\nDid you mean \"customers\.csv\"\?"):
        data.source(make_plan(tmp_path / "plan.yml", source="customer.csv"), tmp_path)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    write(tmp_path / "data", "a file where the folder should be")
    with pytest.raises(DataError, match="KIT_HOME"):
        data.source(make_plan(tmp_path / "plan.yml", rows=60), tmp_path)


def test_the_plans_block_reaches_a_job_whole_in_short_pieces() -> None:
    block = plan.Data(target="y", missing={"*": ("unknown",), "ünï": tuple(f"word {n}" for n in range(99))})
    pieces = data.arguments(block)
    assert max(map(len, pieces)) <= 256
    assert len(pieces) > 3
    read = json.loads("".join(pieces))
    assert read["missing"]["ünï"] == list(block.missing["ünï"])
    assert read["in_time_order"] is False


def test_no_piece_of_the_plans_block_can_be_taken_for_an_option() -> None:
    block = plan.Data(target="y", missing={"*": tuple("-" * n for n in range(1, 60))})
    pieces = data.arguments(block)
    assert len(pieces) > 3
    assert not [p for p in pieces if p.startswith("-")]
    assert json.loads("".join(pieces))["missing"]["*"] == list(block.missing["*"])


# --- what is in it


def test_the_generated_table_is_profiled(tmp_path: Path) -> None:
    block = plan.load().data
    found = data.profile(data.source(make_plan(tmp_path / "plan.yml", rows=2000), tmp_path), block)
    frame, planted = data.generate(2000), data.truths(2000)
    assert found.rows == 2000
    assert found.names == list(frame.columns)
    assert found.table.delimiter == ","
    assert found.positive_share == planted.positive_share
    assert found["month"].kind == "date"
    assert (found["month"].low, found["month"].high) == ("2025-01-01", "2025-12-01")
    assert found["tenure_months"].kind == "number"
    assert found["payment_method"].missing == round(planted.missing["payment_method"] * 2000)
    assert found["data_gb"].missing == round(planted.missing["data_gb"] * 2000)
    assert found["customer_id"].distinct == frame.customer_id.nunique()
    assert found["contract"].kind == "text"


@pytest.mark.parametrize(
    ("days", "kind", "read_as"),
    [
        (["2026-01-31", "31.12.2026"], "date", ""),
        (["31/01/2026", "01/02/2026"], "date", "day/month"),
        (["01/31/2026", "01/02/2026 12:30"], "date", "month/day"),
        (["01/02/2026", "03/04/2026"], "date", data.BOTH),
        (["01/31/2026", "31/01/2026"], "text", ""),
        (["01/02/26", "26-02-01"], "text", ""),
    ],
)
def test_it_is_said_how_dates_are_read(tmp_path: Path, days: list[str], kind: str, read_as: str) -> None:
    file = write(tmp_path / "t.csv", "day,y\n" + "".join(f"{day},{n}\n" for n, day in enumerate(days)))
    found = data.profile(file, PLAIN)["day"]
    assert (found.kind, found.read_as) == (kind, read_as)


def test_times_that_are_read_in_no_one_way_are_refused(tmp_path: Path) -> None:
    rows = "".join(f"{day},{n % 2}\n" for n, day in enumerate(["01/31/2026", "31/01/2026"] * 10))
    error = refused(write(tmp_path / "t.csv", "day,y\n" + rows), plan.Data(target="y", time="day"))
    assert "10 rows of day hold no time" in error.message


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|", "^"])
def test_any_delimiter_is_found(tmp_path: Path, delimiter: str) -> None:
    rows = [["a b", "when", "y"], ['say "hi", you', "12:30", "0"], ["x;y|z\tw^v", "13:10", "1"]]
    path = tmp_path / "t.csv"
    with path.open("w", newline="", encoding="utf-8") as out:
        csv.writer(out, delimiter=delimiter).writerows(rows)
    found = data.profile(path, PLAIN)
    assert found.table.delimiter == delimiter
    assert found.names == ["a b", "when", "y"]
    assert found.rows == 2


cells = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\x00\r"), max_size=12)


@given(body=st.lists(st.tuples(cells, cells), min_size=1, max_size=20), delimiter=st.sampled_from(",;\t|"))
@settings(max_examples=40, deadline=None)
def test_whatever_the_csv_module_writes_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, body: list[tuple[str, str]], delimiter: str
) -> None:
    path = tmp_path_factory.mktemp("csv") / "t.csv"
    with path.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out, delimiter=delimiter, quoting=csv.QUOTE_ALL)
        writer.writerows(
            [("a", "b", "y"), *((a, b, str(n % 2)) for n, (a, b) in enumerate([*body, ("", "")]))]
        )
    if len(body) % 2 == 0:
        body = [*body, ("", "")]
    found = table.table(path)
    with table.database() as db:
        read = db.execute(f"select a, b from {found.sql}").fetchall()
    assert [(a or "", b or "") for a, b in read][: len(body)] == body


def test_a_byte_order_mark_windows_lines_and_blank_lines_are_no_trouble(tmp_path: Path) -> None:
    found = data.profile(write(tmp_path / "t.csv", b"\xef\xbb\xbfa,y\r\n1,0\r\n\r\n2,1\r\n"), PLAIN)
    assert (found.rows, found.names, found.table.encoding) == (2, ["a", "y"], "utf-8-sig")


def test_a_character_cut_by_the_first_read_is_no_error(tmp_path: Path) -> None:
    text = "a,y\n" + "é" * 40_000 + ",0\n😀,1\n"
    assert data.profile(write(tmp_path / "t.csv", text), PLAIN).rows == 2
    assert data.profile(write(tmp_path / "u.csv", "b" + text), plan.Data(target="y")).rows == 2


def test_gzip_parquet_and_folders_are_read(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [1.5, None, 3.0], "y": [True, False, True]})
    zipped = tmp_path / "t.csv.gz"
    zipped.write_bytes(gzip.compress(b"a,y\n1,0\n2,1\n"))
    assert data.profile(zipped, PLAIN).rows == 2
    frame.to_parquet(tmp_path / "t.parquet")
    found = data.profile(tmp_path / "t.parquet", plan.Data(target="y", positive="true"))
    assert (found.rows, found.positive, found["a"].missing, found["a"].high) == (3, 2, 1, "3")
    folder = tmp_path / "raw" / "month=2026-01"
    folder.mkdir(parents=True)
    write(folder / "1.csv", "a,y\n1,0\n")
    write(folder / "2.csv", "a,y\n1,1\n")
    write(tmp_path / "raw" / "_manifest.csv", "whatever")
    write(tmp_path / "raw" / "notes.md", "whatever")
    both = data.profile(tmp_path / "raw", PLAIN)
    assert (both.rows, len(both.table.files), both["a"].distinct) == (2, 2, 1)


def test_a_name_with_a_quote_or_an_emoji_is_a_name(tmp_path: Path) -> None:
    found = data.profile(write(tmp_path / "t.csv", "a\"b;it's 😀;y\n1;2;0\n3;4;1\n"), PLAIN)
    assert found.names == ['a"b', "it's 😀", "y"]


def test_regression_reads_a_target_of_numbers(tmp_path: Path) -> None:
    block = plan.Data(target="y", problem="regression")
    found = data.profile(write(tmp_path / "t.csv", "a,y\n1,0.5\n2,1e3\n"), block)
    assert (found.positive, found.positive_share, found["y"].high) == (None, None, "1000")


# --- what is refused


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    assert "does not exist" in refused(tmp_path / "no.csv").message


@pytest.mark.parametrize("text", ["", "  \n\n"])
def test_an_empty_file_is_refused(tmp_path: Path, text: str) -> None:
    assert "is empty" in refused(write(tmp_path / "t.csv", text)).message


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    assert "no CSV or Parquet" in refused(tmp_path).message


def test_a_header_without_rows_is_refused(tmp_path: Path) -> None:
    assert refused(write(tmp_path / "t.csv", "a,y\n")).message == "t.csv has a header and no rows."


def test_one_column_is_refused_with_what_was_seen(tmp_path: Path) -> None:
    error = refused(write(tmp_path / "t.csv", "a/y\n1/0\n2/1\n"))
    assert error.message == 't.csv has one column, "a/y": no delimiter was found.'


def test_latin_1_is_refused_with_the_line(tmp_path: Path) -> None:
    error = refused(write(tmp_path / "t.csv", "a,y\n1,0\nJosé,1\n".encode("latin-1")))
    assert error.message == "t.csv is not UTF-8: line 3 has the byte 0xe9."
    assert "iconv" in error.hint


def test_latin_1_far_into_the_file_is_refused_with_the_line(tmp_path: Path) -> None:
    text = b"a,y\n" + b"abcdefgh,0\n" * 20_000 + "José,1\n".encode("latin-1")
    assert (
        refused(write(tmp_path / "t.csv", text)).message == "t.csv is not UTF-8: line 20002 has other bytes."
    )


def test_utf_16_is_refused(tmp_path: Path) -> None:
    assert "UTF-16" in refused(write(tmp_path / "t.csv", "a,y\n1,0\n".encode("utf-16"))).message


@pytest.mark.parametrize(("line", "width"), [("4,5", 2), ("4,5,6,7", 4)])
def test_ragged_rows_are_refused_with_the_line(tmp_path: Path, line: str, width: int) -> None:
    error = refused(write(tmp_path / "t.csv", f"a,b,y\n1,2,0\n{line}\n6,7,1\n8,9,1\n"))
    assert error.message == f"t.csv, line 3: {width} values where the header has 3."


def test_a_quote_that_is_never_closed_is_refused_with_the_line(tmp_path: Path) -> None:
    error = refused(write(tmp_path / "t.csv", 'a,b,y\n1,2,0\n3,"4,1\n5,6,0\n'))
    assert error.message == "t.csv, line 3: a quote is opened and never closed."


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    assert 'two columns called "A"' in refused(write(tmp_path / "t.csv", "a,A,y\n1,2,0\n")).message


def test_files_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "1.csv", "a,y\n1,0\n")
    write(tmp_path / "2.csv", "b,y\n1,0\n")
    assert refused(tmp_path).message == "2.csv has other columns than 1.csv: a, b."
    write(tmp_path / "3.parquet", "x")
    assert "both CSV and Parquet" in refused(tmp_path).message


def test_what_only_calls_itself_parquet_or_gzip_is_refused(tmp_path: Path) -> None:
    assert "t.parquet cannot be read" in refused(write(tmp_path / "t.parquet", "a,y\n1,0\n")).message
    assert "cannot be read" in refused(write(tmp_path / "t.csv.gz", "a,y\n1,0\n")).message


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("target", "wy"),
        ("id", "idd"),
        ("time", "wen"),
        ("sensitive", ("agee",)),
        ("leave_out", ("agee",)),
        ("missing", {"agee": ("?",)}),
    ],
)
def test_a_column_that_does_not_exist_is_refused_with_the_nearest(
    tmp_path: Path, key: str, value: object
) -> None:
    path = write(tmp_path / "t.csv", "id,when,age,why\n1,2026-01-01,3,0\n2,2026-01-02,4,1\n")
    error = refused(path, plan.Data(**{"target": "why", key: value}))  # type: ignore[arg-type]
    assert error.message.startswith(f"plan.yml › data › {key}: t.csv has no column ")
    assert error.hint.startswith("Did you mean ")


def test_a_target_with_holes_is_refused_with_how_many_and_where(tmp_path: Path) -> None:
    block = plan.Data(target="y", missing={"*": ("?",)})
    error = refused(write(tmp_path / "t.csv", "a,y\n1,0\n2,\n3,?\n4,1\n"), block)
    assert error.message == "t.csv: 2 of 4 rows have no y (the first is row 2)."


def test_a_target_of_one_class_is_refused(tmp_path: Path) -> None:
    assert refused(write(tmp_path / "t.csv", "a,y\n1,0\n2,0\n")).message == "t.csv: y is 0 in every row."


def test_a_positive_label_that_never_occurs_is_refused_with_those_that_do(tmp_path: Path) -> None:
    error = refused(write(tmp_path / "t.csv", "a,y\n1,yes\n2,no\n"))
    assert error.message == 'plan.yml › data › positive: y is never "1"; it is no, yes.'


def test_a_positive_label_is_the_same_as_a_number(tmp_path: Path) -> None:
    assert data.profile(write(tmp_path / "t.csv", "a,y\n1,1.0\n2,0.0\n"), PLAIN).positive == 1


def test_a_regression_target_of_words_is_refused(tmp_path: Path) -> None:
    block = plan.Data(target="y", problem="regression")
    assert "y is no number" in refused(write(tmp_path / "t.csv", "a,y\n1,few\n2,many\n"), block).message


def test_a_time_column_without_times_is_refused(tmp_path: Path) -> None:
    block = plan.Data(target="y", time="a")
    text = "a,y\nmay,0\n01/02/2026,1\njune,1\n"
    said = refused(write(tmp_path / "t.csv", text), block).message
    assert '2 rows of a hold no time, such as "june"' in said


@pytest.mark.parametrize(
    "value", ["2026-12-01", "2026-12-01 10:30:00", "01.12.2026", "2026-12", "13/12/2026", "20261201"]
)
def test_times_are_read_in_the_usual_forms(tmp_path: Path, value: str) -> None:
    block = plan.Data(target="y", time="t")
    assert data.profile(write(tmp_path / "t.csv", f"t,y\n{value},0\n{value},1\n"), block)["t"].kind != "text"
