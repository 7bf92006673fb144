# SPDX-License-Identifier: GPL-2.0-only
"""Core files: where a dying program leaves one, and the registers in it.

Only their headers and notes are read, with every length checked: they are data.
"""

from __future__ import annotations

import contextlib
import glob
import os
import re
import struct
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from conformance.abi import REGISTERS
from conformance.errors import HarnessError

ENOUGH: Final = 1 << 20
"""Bytes of a core file that hold its headers and notes, and few more."""
NT_PRSTATUS: Final = 1
PT_NOTE: Final = 4
_EHDR: Final = struct.Struct("<16xHHIQQQIHHHHHH")
_PHDR: Final = struct.Struct("<IIQQQQQQ")
_NHDR: Final = struct.Struct("<III")
_REGS: Final = struct.Struct("<27Q")
_SIGNO_AT, _PID_AT, _REGS_AT, PRSTATUS_SIZE = 12, 32, 112, 336
"""Of struct elf_prstatus of 64-bit x86: pr_cursig, pr_pid, pr_reg, and all of it."""


@dataclass(frozen=True, slots=True)
class Prstatus:
    """The NT_PRSTATUS note of a task (fs/binfmt_elf.c fill_prstatus)."""

    size: int
    signo: int
    pid: int
    regs: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Directory:
    """A private directory into which programs dump, for the setup `core`."""

    path: Path
    fd: int

    def take(self, pid: int) -> tuple[Prstatus, ...]:
        """Find the core file of a process, read the notes of its tasks, and remove it.

        :raises HarnessError: there is none, or it is no core file
        """
        pattern = core_pattern()
        # fs/coredump.c format_corename; what the specifiers say is not known to us.
        globbed = re.sub(r"(%.)+", "*", glob.escape(pattern.lstrip("/"))).rstrip("*") + "*"
        root = Path("/") if pattern.startswith("/") else self.path
        for path in sorted(root.glob(globbed)):
            with contextlib.suppress(OSError, struct.error, ValueError):
                with path.open("rb") as file:
                    found = notes(file.read(ENOUGH))
                if any(note.pid == pid for note in found):
                    path.unlink()
                    return found
        raise HarnessError(
            "a program died by a signal that dumps core, and left no core file",
            f"pid {pid}, core_pattern {pattern!r}",
            "see whether the directory is full, and whether LSMs or quotas stop core dumps",
        )


def core_pattern() -> str:
    """How the kernel names core files (core(5))."""
    return Path("/proc/sys/kernel/core_pattern").read_text(encoding="utf-8").rstrip("\n")


@contextlib.contextmanager
def directory() -> Iterator[Directory]:
    """Make a directory for core files, and remove it and all that is in it."""
    with tempfile.TemporaryDirectory(prefix="origax-") as name:
        fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY)
        os.set_inheritable(fd, True)
        try:
            yield Directory(Path(name), fd)
        finally:
            os.close(fd)


def notes(image: bytes) -> tuple[Prstatus, ...]:
    """Read every NT_PRSTATUS note of an ELF core file, in its order.

    :raises ValueError: it is no ELF file
    :raises struct.error: it ends too early
    """
    if image[:4] != b"\x7fELF":
        raise ValueError("no ELF file")
    _, _, _, _, phoff, _, _, _, phentsize, phnum, *_ = _EHDR.unpack_from(image)
    found: list[Prstatus] = []
    for number in range(phnum):
        kind, _, offset, _, _, size, _, _ = _PHDR.unpack_from(image, phoff + number * phentsize)
        if kind == PT_NOTE:
            found.extend(_prstatus(image[offset : offset + size]))
    return tuple(found)


def _prstatus(segment: bytes) -> Iterator[Prstatus]:
    at = 0
    while at + _NHDR.size <= len(segment):
        name_size, size, kind = _NHDR.unpack_from(segment, at)
        data = at + _NHDR.size + (name_size + 3 & ~3)
        if kind == NT_PRSTATUS and size == PRSTATUS_SIZE:
            (signo,) = struct.unpack_from("<h", segment, data + _SIGNO_AT)
            (pid,) = struct.unpack_from("<i", segment, data + _PID_AT)
            regs = _REGS.unpack_from(segment, data + _REGS_AT)
            yield Prstatus(size, signo, pid, dict(zip(REGISTERS, regs, strict=True)))
        at = data + (size + 3 & ~3)
