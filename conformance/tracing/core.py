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

from conformance.abi import REGISTERS, REGISTERS_32
from conformance.errors import HarnessError
from conformance.tracing import image
from conformance.tracing.image import PT_NOTE, parsed

ENOUGH: Final = 1 << 20
"""Bytes of a core file that hold its headers and notes, and few more."""
NT_PRSTATUS: Final = 1
SIGNO_AT: Final = 12
"""pr_cursig in struct elf_prstatus of every ABI."""
LAYOUTS: Final = {336: (32, 112, 64), 144: (24, 72, 32), 296: (24, 72, 64)}
"""By the size of struct elf_prstatus, which is the ABI's (x86_64, ia32, x32): where pr_pid and
pr_reg are, and how many bits a register has (fs/binfmt_elf.c, include/linux/elfcore-compat.h)."""


@dataclass(frozen=True, slots=True)
class Prstatus:
    """The NT_PRSTATUS note of a task (fs/binfmt_elf.c fill_prstatus)."""

    size: int
    signo: int
    pid: int
    regs: Mapping[str, int]
    bits: int


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


def notes(file: bytes) -> tuple[Prstatus, ...]:
    """Read every NT_PRSTATUS note of an ELF core file of either width, in its order.

    :raises struct.error: it is no ELF file, or ends too early
    """
    found: list[Prstatus] = []
    for segment in parsed(file).segments:
        if segment.kind == PT_NOTE:
            found.extend(
                _prstatus(note) for kind, note in image.notes(segment.data)
                if kind == NT_PRSTATUS and len(note) in LAYOUTS
            )  # fmt: skip
    return tuple(found)


def _prstatus(note: bytes) -> Prstatus:
    pid_at, regs_at, bits = LAYOUTS[len(note)]
    names, letter = (REGISTERS, "Q") if bits == 64 else (REGISTERS_32, "I")
    (signo,) = struct.unpack_from("<h", note, SIGNO_AT)
    (pid,) = struct.unpack_from("<i", note, pid_at)
    regs = struct.unpack_from(f"<{len(names)}{letter}", note, regs_at)
    return Prstatus(len(note), signo, pid, dict(zip(names, regs, strict=True)), bits)
