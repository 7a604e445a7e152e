"""Files that readers never see half written."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from kit import files


def test_a_file_is_replaced_whole_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    for content in ("text é", b"\xff\x00", "later"):
        assert files.replace(tmp_path / "new" / "a[1].md", content) == tmp_path / "new" / "a[1].md"
        kept = (tmp_path / "new" / "a[1].md").read_bytes()
        assert kept == (content if isinstance(content, bytes) else content.encode())
    assert [f.name for f in (tmp_path / "new").iterdir()] == ["a[1].md"]


def test_what_a_killed_process_left_is_removed_once_nobody_can_be_writing_it(tmp_path: Path) -> None:
    for name in (".a[1].md.1.old", ".a[1].md.2.new", ".b.md.3.old"):
        (tmp_path / name).write_text("half")
        if name.endswith("old"):
            os.utime(tmp_path / name, (time.time() - files.FORGOTTEN - 60,) * 2)
    files.replace(tmp_path / "a[1].md", "whole")
    assert sorted(f.name for f in tmp_path.iterdir()) == [".a[1].md.2.new", ".b.md.3.old", "a[1].md"]


def test_a_place_that_cannot_be_written_keeps_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "in the way").write_text("x")
    with pytest.raises(IsADirectoryError):
        files.replace(tmp_path / "folder", "text")
    assert [f.name for f in tmp_path.iterdir()] == ["folder"]
