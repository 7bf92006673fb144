# SPDX-License-Identifier: GPL-2.0-only
"""Core files: what is read in them, and what becomes of files that are none."""

import contextlib
import os
import struct
from pathlib import Path

import pytest

from conformance.abi import REGISTERS, REGISTERS_32
from conformance.errors import HarnessError
from conformance.tracing import core

PID = 4711


def prstatus(pid: int = PID, first: int = 100) -> bytes:
    note = bytearray(336)
    struct.pack_into("<h", note, 12, 11)
    struct.pack_into("<i", note, 32, pid)
    struct.pack_into("<27Q", note, 112, *range(first, first + 27))
    return struct.pack("<III8s", 5, len(note), core.NT_PRSTATUS, b"CORE") + note


def elf(*segments: tuple[int, bytes]) -> bytes:
    """A core file of those program headers, by type and content."""
    head = struct.pack("<5s11xHHIQQQIHHHHHH", b"\x7fELF\x02", 4, 62, 1, 0, 64, 0, 0, 64, 56,
                       len(segments), 0, 0, 0)  # fmt: skip
    at = 64 + 56 * len(segments)
    table, body = b"", b""
    for kind, content in segments:
        table += struct.pack("<IIQQQQQQ", kind, 0, at + len(body), 0, 0, len(content), 0, 0)
        body += content
    return head + table + body


# The notes of all tasks are read, whatever stands between them.
def test_notes() -> None:
    other = struct.pack("<III8s5s3x", 5, 5, 3, b"CORE", b"other")
    image = elf((1, b"x" * 30), (core.PT_NOTE, prstatus() + other + prstatus(PID + 1, 500)))
    first, second = core.notes(image)
    assert (first.signo, first.pid, first.size) == (11, PID, 336)
    assert first.regs == dict(zip(REGISTERS, range(100, 127), strict=True))
    assert (second.pid, second.regs["r15"]) == (PID + 1, 500)


# A 32-bit program's file and note have the layout of 32-bit code.
def test_notes_32() -> None:
    note = bytearray(144)
    struct.pack_into("<h", note, 12, 5)
    struct.pack_into("<i", note, 24, PID)
    struct.pack_into("<17I", note, 72, *range(100, 117))
    segment = struct.pack("<III8s", 5, len(note), core.NT_PRSTATUS, b"CORE") + note
    head = struct.pack("<5s11xHHIIIIIHHHHHH", b"\x7fELF\x01", 4, 3, 1, 0, 52, 0, 0, 52, 32, 1,
                       0, 0, 0)  # fmt: skip
    table = struct.pack("<8I", core.PT_NOTE, 84, 0, 0, len(segment), 0, 0, 0)
    (found,) = core.notes(head + table + segment)
    assert (found.bits, found.signo, found.pid, found.size) == (32, 5, PID, 144)
    assert found.regs == dict(zip(REGISTERS_32, range(100, 117), strict=True))


# No length in the file is trusted.
@pytest.mark.parametrize("end", [3, 20, 63, 70, 130, 300])
def test_cut_short(end: int) -> None:
    image = elf((core.PT_NOTE, prstatus()))[:end]
    with contextlib.suppress(struct.error, ValueError):
        assert core.notes(image) == ()


@pytest.mark.parametrize("size", [0xFFFF_FFFF, 0x7FFF_FFFF, 337])
def test_lying_size(size: int) -> None:
    note = bytearray(prstatus())
    struct.pack_into("<I", note, 4, size)
    assert core.notes(elf((core.PT_NOTE, bytes(note)))) == ()


# The file is found by the process that it is of, by whatever name core_pattern makes, and goes.
@pytest.mark.parametrize("pattern", ["core", "core.%p", "%e-%t.core", "core%%%P"])
def test_take(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pattern: str) -> None:
    monkeypatch.setattr(core, "core_pattern", lambda: pattern)
    (tmp_path / "core.1").write_bytes(b"\x7fELF")
    name = {"core": "core.4711", "core.%p": "core.4711", "%e-%t.core": "python-1.core"}
    mine = tmp_path / name.get(pattern, "core%4711")
    mine.write_bytes(elf((core.PT_NOTE, prstatus())))
    (found,) = core.Directory(tmp_path, -1).take(PID)
    assert found.pid == PID
    assert not mine.exists()
    assert (tmp_path / "core.1").exists()


def test_take_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core, "core_pattern", lambda: f"{tmp_path}/core-%p")
    (tmp_path / "core-4711").write_bytes(elf((core.PT_NOTE, prstatus())))
    assert core.Directory(tmp_path / "elsewhere", -1).take(PID)


def test_take_nothing(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match="left no core file"):
        core.Directory(tmp_path, -1).take(PID)


# Nothing is left of the directory.
def test_directory() -> None:
    with core.directory() as made:
        (made.path / "core").touch()
        assert os.stat("core", dir_fd=made.fd).st_size == 0
    assert not made.path.exists()
