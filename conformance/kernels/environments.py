# SPDX-License-Identifier: GPL-2.0-only
"""The environments that must be covered: expected/kernels.toml."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from conformance import tables
from conformance.errors import UsageError
from conformance.tables import Table

ARCHITECTURES: Final = ("amd64", "i386")
ROOTS: Final = ("host", "i386")
ALL: Final = "all"

_WORD: Final = re.compile(r"[a-z0-9][a-z0-9.+-]*")
"""Names, suites and packages: they become names of files, and words of apt's configuration."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """One kernel, and the machine that it is booted on."""

    name: str
    suite: str
    package: str
    arch: str
    """Debian's name for it, one of `ARCHITECTURES`."""
    root: str
    """The guest's file system, one of `ROOTS`: this machine's own, or the 32-bit Debian."""
    cpu: str
    """QEMU's CPU model with its properties, as ``-cpu`` takes it."""
    cmdline: tuple[str, ...]
    """Options for the kernel, each one word."""


def load(expected: Path) -> tuple[Kernel, ...]:
    """Read kernels.toml.

    :param expected: the directory of the golden files
    :returns: at least one kernel, in the file's order, each of another name
    :raises UsageError: the file is missing, or anything in it is garbled
    """
    path = expected / "kernels.toml"
    file = tables.parse(tables.read_text(path), path)
    file.only("kernel")
    kernels: dict[str, Kernel] = {}
    for table in file.tables("kernel"):
        kernel = _kernel(table)
        if kernel.name in kernels:
            raise table.wrong(f"two kernels are named {kernel.name!r}", "give each its own name")
        kernels[kernel.name] = kernel
    if not kernels:
        raise file.wrong("there is no kernel", "write each as [[kernel]]")
    return tuple(kernels.values())


def _kernel(table: Table) -> Kernel:
    table.only("name", "suite", "package", "arch", "root", "cpu", "cmdline")
    kernel = Kernel(
        name=_word(table, "name"),
        suite=_word(table, "suite"),
        package=_word(table, "package"),
        arch=_choice(table, "arch", ARCHITECTURES),
        root=_choice(table, "root", ROOTS),
        cpu=table.text("cpu"),
        cmdline=table.texts("cmdline") if "cmdline" in table.data else (),
    )
    for option in (kernel.cpu, *kernel.cmdline):
        if option.split() != [option]:
            raise table.wrong(f"{option!r} is not one word", "write it without white space")
    if kernel.name == ALL:
        raise table.wrong(f"{ALL!r} means every kernel", "give it another name")
    if (kernel.arch, kernel.root) == ("i386", "host"):
        raise table.wrong(
            "a 32-bit kernel cannot run this machine's programs", 'write root = "i386" there'
        )
    return kernel


def _word(table: Table, key: str) -> str:
    text = table.text(key)
    if not _WORD.fullmatch(text):
        raise table.wrong(
            f"{key!r} is {text!r}", "use small letters, digits, '.', '+' and '-', as Debian does"
        )
    return text


def _choice(table: Table, key: str, choices: Sequence[str]) -> str:
    text = table.text(key)
    if text not in choices:
        raise table.wrong(f"{key!r} is {text!r}", f"use {' or '.join(choices)}")
    return text


def select(kernels: Sequence[Kernel], names: Sequence[str]) -> tuple[Kernel, ...]:
    """Choose kernels by their names; all of them with none, or with ``all``.

    :returns: each once, in the order of `kernels`
    :raises UsageError: a name is no kernel's
    """
    known = [kernel.name for kernel in kernels]
    for name in names:
        if name not in (*known, ALL):
            near = difflib.get_close_matches(name, known, 3)
            hint = f"; near it: {', '.join(near)}" if near else ""
            raise UsageError(
                "no kernel has that name", name, f"see `origax kernels list` for the names{hint}"
            )
    chosen = set(names or [ALL])
    return tuple(kernel for kernel in kernels if chosen & {kernel.name, ALL})
