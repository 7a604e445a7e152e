"""The raw zone: how the table is cut, what S3 gives back of it, and how it looks over time."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import duckdb
import pandas as pd
import pytest
from boto3.s3.transfer import TransferConfig
from jobs import CHURN, SPEND, load

from kit import churn, data, plan
from kit.local_aws import process

(collection,) = load("data_engineering", "collection")
OWN = plan.Data(source="own.csv", target="bought", positive="yes", time="when")


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("data") / "churn.csv"
    churn.generate(2_000).to_csv(file, index=False)
    return file


def cut(file: Path, block: plan.Data, folder: Path, rows_per_object: int = 900) -> Any:
    found = data.profile(file, block)
    layout = collection.Layout.of(found, block, "%Y-%m", rows_per_object)
    return layout, collection.cut(found, layout, folder)


def parts(files: dict[Path, Any]) -> dict[str, int]:
    return {file.parent.name.split("=")[1]: item["rows"] for file, item in files.items()}


def as_sent(files: dict[Path, Any]) -> list[Path]:
    """The files in folders that have the names of the raw zone's."""
    return [
        file.parent.rename(file.parent.with_name(file.parent.name.split("=")[1])) / file.name
        for file in files
    ]


def own(folder: Path, times: list[str]) -> Path:
    file = folder / "own.csv"
    rows = "".join(f"{time},{'yes' if n % 2 else 'no'}\n" for n, time in enumerate(times))
    file.write_text("when,bought\n" + rows, encoding="utf-8")
    return file


def test_a_month_is_an_object_and_the_same_bytes_every_time(generated: Path, tmp_path: Path) -> None:
    layout, files = cut(generated, CHURN, tmp_path / "one")
    _, again = cut(generated, CHURN, tmp_path / "two")
    assert layout.by_time
    assert list(parts(files)) == [f"2025-{month:02}" for month in range(1, 13)]
    assert [item["sha256"] for item in files.values()] == [item["sha256"] for item in again.values()]
    assert sum(item["rows"] for item in files.values()) == 2_000
    assert all(collection.digest(file) == item["sha256"] for file, item in files.items())
    listed = [str(file) for file in files]
    back = duckdb.execute("select * from read_parquet($1, hive_partitioning = false)", [listed]).df()
    assert list(back.columns) == list(pd.read_csv(generated, nrows=1).columns), "nothing is added"


def test_without_a_time_rows_lie_as_in_the_file(generated: Path, tmp_path: Path) -> None:
    layout, files = cut(generated, dataclasses.replace(CHURN, time=""), tmp_path / "one")
    assert not layout.by_time
    assert parts(files) == {"00000": 900, "00001": 900, "00002": 200}


def test_dates_in_three_formats_lie_together_and_what_is_none_apart(tmp_path: Path) -> None:
    times = ["2026-01-05", "20.01.2026", "02/28/2026"] * 40 + ["soon"]
    _, files = cut(own(tmp_path, times), OWN, tmp_path / "one")
    assert parts(files) == {"2026-01": 80, "2026-02": 40, "undated": 1}


@pytest.mark.parametrize("form", ["%d/%m/%Y", "%m/%d/%Y", "%d/%m/%Y %H:%M", "%m/%d/%Y %H:%M:%S"])
def test_a_column_of_dates_with_slashes_is_read_in_one_way(tmp_path: Path, form: str) -> None:
    days = pd.date_range("2026-01-01", "2026-03-31 18:00", freq="6h")
    _, files = cut(own(tmp_path, list(days.strftime(form))), OWN, tmp_path / "one")
    assert parts(files) == {"2026-01": 4 * 31, "2026-02": 4 * 28, "2026-03": 4 * 31}


@pytest.mark.parametrize(("count", "by_time"), [(12, True), (401, False)])
def test_few_numbers_are_periods_and_many_are_not(tmp_path: Path, count: int, by_time: bool) -> None:
    layout, files = cut(own(tmp_path, [str(n % count) for n in range(802)]), OWN, tmp_path / "one")
    assert layout.by_time is by_time
    assert len(files) == (12 if by_time else 1)


def test_rows_and_answers_are_told_by_part(generated: Path, tmp_path: Path) -> None:
    frame = pd.read_csv(generated)
    for block, answer in ((CHURN, frame["churned"]), (SPEND, frame["next_month_spend"])):
        layout, files = cut(generated, block, tmp_path / block.target)
        told = collection.over_time(as_sent(files), block, layout, 2_000)
        wanted = answer.groupby(frame["month"].str[:7]).agg(["size", "mean"])
        assert told["part"].tolist() == wanted.index.tolist()
        assert told["rows"].tolist() == wanted["size"].tolist()
        assert told["answer"].tolist() == pytest.approx(wanted["mean"].tolist())


def test_without_a_time_the_file_is_told_in_twentieths(generated: Path, tmp_path: Path) -> None:
    block = dataclasses.replace(CHURN, time="")
    layout, files = cut(generated, block, tmp_path / "one")
    told = collection.over_time(list(files), block, layout, 2_000)
    assert told["part"].tolist() == [f"{n:02}" for n in range(1, 21)]
    assert told["rows"].tolist() == [100] * 20


def test_positive_labels_are_compared_as_numbers_too() -> None:
    block = plan.Data(source="own.csv", target="y", positive="1")
    sql = f"select {collection.positive(block)} from (values ('1'), ('1.0'), ('0'), (null), ('x')) t(y)"
    assert [row[0] for row in duckdb.execute(sql).fetchall()] == [True, True, False, False, False]


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("aws")
    server = process.up(folder)
    client = boto3.Session("AKIATEST", "secret", region_name="us-east-1").client(
        "s3", endpoint_url=server.url
    )
    client.create_bucket(Bucket="zone")
    yield client
    process.down(folder)


def test_what_s3_has_is_fetched_with_its_checksums(s3: Any, tmp_path: Path) -> None:
    for key in ("raw/a/1.parquet", "raw/b/2.parquet", "other/3.parquet"):
        s3.put_object(Bucket="zone", Key=key, Body=key.encode())
    received, heads = collection.fetched(s3, "zone", "raw/", tmp_path / "f", TransferConfig())
    assert {(key, size) for key, size, _ in received} == {("raw/a/1.parquet", 15), ("raw/b/2.parquet", 15)}
    assert all(
        collection.digest(tmp_path / "f" / key.removeprefix("raw/")) == sha for key, _, sha in received
    )
    assert [head["ServerSideEncryption"] for head in heads] == ["AES256"] * 2
    assert collection.fetched(s3, "zone", "none/", tmp_path / "g", TransferConfig()) == (set(), [])
