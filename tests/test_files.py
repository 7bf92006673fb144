# SPDX-License-Identifier: GPL-2.0-only
"""Files that are written whole or not at all: what the records and the goldens do not show."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from conformance import files


# A new file gets the mode that the umask leaves it, and one that is there keeps its own.
def test_modes(tmp_path: Path) -> None:
    new, old = tmp_path / "new", tmp_path / "old"
    old.write_text("old")
    old.chmod(0o604)
    umask = os.umask(0o027)
    try:
        files.replace_all({new: "a\n", old: "b\r\n"}, "a file", "make room")
    finally:
        os.umask(umask)
    assert [path.stat().st_mode & 0o777 for path in (new, old)] == [0o640, 0o604]
    assert [path.read_bytes() for path in (new, old)] == [b"a\n", b"b\r\n"]
    assert sorted(tmp_path.iterdir()) == [new, old]


# ^C in the middle leaves every file as it was, and none beside it.
def test_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("old")
    calls: list[int] = []

    def interrupt(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        files.replace_all({one: "new", two: "new"}, "a file", "make room")
    assert list(tmp_path.iterdir()) == [one]
    assert one.read_text() == "old"
