"""Tables as people bring them: CSV with any delimiter, or Parquet, one file or a folder, as an SQL table of bounded memory."""

from __future__ import annotations

import csv
import gzip
import io
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kit.errors import DataError

__all__ = ["Table", "database", "identifier", "literal", "table", "unreadable"]

DELIMITERS = ",;\t|:^~"
MEMORY = "1GB"
"""What a query may hold in memory, whatever the size of the table; the rest goes to a temporary folder."""


@dataclass(frozen=True)
class Table:
    """Where a table is and how it is written. `sql` reads it in DuckDB; a CSV's columns are all text there."""

    path: Path
    files: tuple[Path, ...]
    format: str
    delimiter: str
    encoding: str
    sql: str

    @property
    def bytes(self) -> int:
        """The size of its files."""
        return sum(f.stat().st_size for f in self.files)


def table(path: Path) -> Table:
    """The table at `path`: a CSV (any delimiter, UTF-8, may be gzipped), a Parquet file, or a folder of either.

    Raises:
        DataError: it is missing, empty, of one column, not UTF-8, or its files do not belong together.
    """
    files, format = _files(path)
    if format == "parquet":
        listed = ", ".join(literal(str(f)) for f in files)
        return Table(path, tuple(files), format, "", "", f"read_parquet([{listed}], union_by_name = true)")
    names, delimiter, encoding = _header(files)
    return Table(path, tuple(files), format, delimiter, encoding, _csv(files, names, delimiter))


def _files(path: Path) -> tuple[list[Path], str]:
    """The files of the table and their format. Names that begin with "." or "_" are bookkeeping, not data."""
    if not path.exists():
        raise DataError(f"{path} does not exist.", "Correct `source` in plan.yml › data.")
    files = [path]
    if path.is_dir():
        inside = (p for p in path.rglob("*") if p.is_file())
        files = sorted(
            p for p in inside if not any(part[0] in "._" for part in p.relative_to(path).parts) and _format(p)
        )
    files = [f for f in files if f.stat().st_size]
    if not files:
        what = "has no CSV or Parquet file in it" if path.is_dir() else "is empty"
        raise DataError(f"{path} {what}.", "Export the table again, or correct `source` in plan.yml › data.")
    formats = {_format(f) or "csv" for f in files}
    if len(formats) > 1:
        raise DataError(f"{path} holds both CSV and Parquet files.", "Leave the files of one format in it.")
    return files, formats.pop()


def _format(path: Path) -> str:
    name = path.name.lower().removesuffix(".gz")
    if name.endswith((".parquet", ".pq")):
        return "parquet"
    return "csv" if name.endswith((".csv", ".tsv", ".txt", ".psv")) else ""


def _header(files: Sequence[Path]) -> tuple[list[str], str, str]:
    """Names, delimiter and encoding of CSV files, which must all begin alike."""
    heads = [_head(f) for f in files]
    names, delimiter, encoding = heads[0]
    for file, (other, _, _) in zip(files, heads, strict=True):
        if other != names:
            odd = sorted(set(other) ^ set(names)) or other
            raise DataError(
                f"{file.name} has other columns than {files[0].name}: {', '.join(odd[:5])}.",
                "Give all files of the folder the same header.",
            )
    return names, delimiter, encoding


def _head(file: Path) -> tuple[list[str], str, str]:
    """Names, delimiter and encoding as the first 64 kB of a CSV show them."""
    try:
        with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as stream:
            start = stream.read(1 << 16)
    except (OSError, EOFError) as error:
        raise DataError(
            f"{file} cannot be read: {error}.", "Check its permissions, or export it again."
        ) from None
    if start[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise _not_utf8(file, "it is UTF-16")
    encoding = "utf-8-sig" if start.startswith(b"\xef\xbb\xbf") else "utf-8"
    try:
        text = start.decode(encoding)
    except UnicodeDecodeError as error:
        if error.start < len(start) - 3 or len(start) < 1 << 16:  # else a character cut in two by the 64 kB
            line = start[: error.start].count(b"\n") + 1
            raise _not_utf8(file, f"line {line} has the byte 0x{start[error.start]:02x}") from None
        text = start[: error.start].decode(encoding)
    if not text.strip():
        raise DataError(
            f"{file} is empty.", "Export the table again, or correct `source` in plan.yml › data."
        )
    delimiter = _delimiter(text)
    if not delimiter:
        first = text.strip().splitlines()[0][:60]
        raise DataError(
            f'{file.name} has one column, "{first}": no delimiter was found.',
            'Separate the columns by "," ";" tab or "|", the same in every row.',
        )
    names = [n.strip() for n in next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))]
    names = [n or f"column{at}" for at, n in enumerate(names)]
    for at, name in enumerate(names):
        if name.lower() in (n.lower() for n in names[:at]):
            raise DataError(f'{file.name} has two columns called "{name}".', "Rename one of them.")
    return names, delimiter, encoding


def _delimiter(text: str) -> str:
    """The delimiter by which most rows are as wide as the header, and then the widest; "" if there is none."""
    best, found = (0.0, 1), ""
    for candidate in DELIMITERS:
        rows = [r for r in csv.reader(io.StringIO(text, newline=""), delimiter=candidate) if r][:101]
        body = rows[1:-1] or rows[1:]  # the last may be cut
        if len(rows[0]) < 2:
            continue
        alike = sum(len(r) == len(rows[0]) for r in body) / len(body) if body else 1.0
        if (alike, len(rows[0])) > best:
            best, found = (alike, len(rows[0])), candidate
    return found


def _not_utf8(file: Path, why: str) -> DataError:
    return DataError(
        f"{file.name} is not UTF-8: {why}.",
        "Save it as UTF-8; for example: iconv -f latin1 -t utf-8 OLD > NEW.",
    )


def unreadable(path: Path, error: str) -> DataError:
    """DuckDB's error as ours: which file, which line, what to do."""
    named = re.search(r"file = (.+)", error)
    file = Path(named[1].strip()) if named else path
    at = re.search(r"on Line: (\d+)", error)
    line = f"line {at[1]}" if at else "a line"
    if widths := re.search(r"Expected Number of Columns: (\d+) Found: (\d+)", error):
        return DataError(
            f"{file.name}, {line}: {widths[2]} values where the header has {widths[1]}.",
            "Put quotes around values that hold the delimiter, or mend the line.",
        )
    if "unicode" in error or "utf-8" in error:
        return _not_utf8(file, f"{line} has other bytes")
    if "unterminated quote" in error:
        return DataError(
            f"{file.name}, {line}: a quote is opened and never closed.", "Close it, or double it."
        )
    return DataError(f"{file.name} cannot be read: {error.splitlines()[0][:200]}", "Export the table again.")


@contextmanager
def database() -> Iterator[Any]:
    """DuckDB that holds at most `MEMORY` and spills the rest."""
    import duckdb

    with tempfile.TemporaryDirectory(prefix="kit-") as folder:
        db = duckdb.connect(
            config={
                "memory_limit": MEMORY,
                "temp_directory": folder,
                "threads": min(4, os.cpu_count() or 1),
                "autoinstall_known_extensions": False,
            }
        )
        try:
            yield db
        finally:
            db.close()


def literal(value: str) -> str:
    """A value as an SQL literal."""
    return "'" + value.replace("'", "''") + "'"


def identifier(column: str) -> str:
    """A column's name as SQL."""
    return '"' + column.replace('"', '""') + '"'


def _csv(files: Sequence[Path], names: Sequence[str], delimiter: str) -> str:
    """The CSV files as an SQL table of text; DuckDB may guess nothing."""
    columns = ", ".join(f"{literal(n)}: 'VARCHAR'" for n in names)
    return (
        f"read_csv([{', '.join(literal(str(f)) for f in files)}], auto_detect = false, header = true, "
        f"delim = {literal(delimiter)}, quote = '\"', escape = '\"', columns = {{{columns}}})"
    )
