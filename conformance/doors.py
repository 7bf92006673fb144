# SPDX-License-Identifier: GPL-2.0-only
"""Doors: the instructions by which a program enters the kernel, and what each means for a case.

One drive function serves a case at every door: what differs stands here, and in the image of the
probes that is built for the door (``cprobes/build.py`` IMAGES).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from conformance.abi import ARGUMENTS, ARGUMENTS_32, Nr, Nr32, NrX32


@dataclass(frozen=True, slots=True)
class Door:
    """One way into the kernel.

    :ivar abi: of the programs that take it: x86_64, ia32 or x32
    :ivar image: of the probes, by its name in ``cprobes/build.py``
    :ivar arguments: registers of a call's arguments, first to sixth
    :ivar numbers: the table of system calls that it leads to
    :ivar needs: facts without which no program can take it, or this tracer not follow
    """

    name: str
    abi: str
    image: str
    arguments: tuple[str, ...]
    numbers: type[IntEnum]
    needs: tuple[str, ...]

    @property
    def by_vdso(self) -> bool:
        """Whether a call is one of __kernel_vsyscall, which is made again by int $0x80."""
        return self.image == "vdso_32"

    @property
    def bits(self) -> int:
        """Width of the program's registers."""
        return 32 if self.abi == "ia32" else 64

    def number(self, call: str) -> int:
        """Give a system call's number by its name."""
        return int(self.numbers[call])

    def call(self, call: str, *arguments: int) -> dict[str, int]:
        """Give the registers of a call: its number, and its first arguments."""
        registers = dict(zip(self.arguments, arguments, strict=False))
        return {"ax": self.number(call), **registers}


_64: Final = ("x86_64", "tracer64")

DOORS: Final[Mapping[str, Door]] = {
    door.name: door
    for door in (
        Door("syscall64", "x86_64", "x86_64", ARGUMENTS, Nr, _64),
        Door("int80_64", "x86_64", "int80_64", ARGUMENTS_32, Nr32, (*_64, "ia32")),
        Door("int80_32", "ia32", "int80_32", ARGUMENTS_32, Nr32, ("ia32",)),
        Door("sysenter", "ia32", "vdso_32", ARGUMENTS_32, Nr32, ("ia32", "sysenter")),
        Door("syscall32", "ia32", "vdso_32", ARGUMENTS_32, Nr32, ("ia32", "syscall32")),
        Door("x32", "x32", "x32", ARGUMENTS, NrX32, (*_64, "x32")),
        Door("vsyscall", "x86_64", "x86_64", ARGUMENTS, Nr, _64),
    )
}
"""Every door, by name. A case whose door is ``none`` (a trap, an interrupt) has that of its ABI."""

OF_ABI: Final[Mapping[str, Door]] = {
    "x86_64": DOORS["syscall64"], "ia32": DOORS["int80_32"], "x32": DOORS["x32"],
}  # fmt: skip
"""The door by which a program of that ABI makes its own system calls."""

OWN: Final = OF_ABI["x86_64" if sys.maxsize > 1 << 32 else "ia32"]
"""That of programs of the tracer's own width."""

CALLS: Final = ("int80_64", "int80_32", "sysenter", "syscall32", "x32")
"""Every further door of a case that makes system calls."""
IA32: Final = ("int80_64", "int80_32", "sysenter", "syscall32")
"""Those of them that lead to the 32-bit table."""
ABIS: Final = ("ia32", "x32")
"""Every further ABI of a case that makes none."""
