# SPDX-License-Identifier: GPL-2.0-only
"""Planted faults as data, in faults/ROOM.toml: what each edits, what is seen, who is to see it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from conformance import tables
from conformance.errors import UsageError
from conformance.tables import Table

HERE: Final = Path(__file__).resolve().parent / "faults"
KERNELS: Final = ("6.1", "sid", "6.1-i386")
WAYS: Final = ("after", "before", "instead")
NUMBERS: Final = range(1, 256)
"""What origax.c has room for; 0 is none."""


@dataclass(frozen=True, slots=True)
class Edit:
    """One change of one file.

    :ivar within: a text that stands once in the file: the anchor is looked for from there to the
        next line that begins with ``}``; empty for the whole file
    :ivar anchor: a text that stands once there
    :ivar way: where `text` goes, one of `WAYS`: on lines of its own, or in the anchor's place
    :ivar kernels: those whose source is so; all that the fault is for, if empty
    """

    where: str
    file: str
    within: str
    anchor: str
    way: str
    text: str
    kernels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault.

    :ivar number: what arms it
    :ivar sees: what user space sees of it
    :ivar cases: ids, or patterns, of the cases of which one at least is to catch it
    :ivar equivalent: why no observation could ever show it; otherwise empty
    :ivar rare: why no run can be expected to show it, but a soak; otherwise empty
    """

    name: str
    number: int
    room: str
    sees: str
    breaks: tuple[str, ...]
    cases: tuple[str, ...]
    kernels: tuple[str, ...]
    equivalent: str
    edits: tuple[Edit, ...]
    rare: str = ""

    def edits_for(self, kernel: str) -> tuple[Edit, ...]:
        """Give the edits of one kernel's source."""
        return tuple(edit for edit in self.edits if kernel in (edit.kernels or self.kernels))


def load(directory: Path = HERE) -> tuple[Fault, ...]:
    """Read all rooms.

    :returns: faults in the order of their numbers
    :raises UsageError: something in them is garbled, or two have one name or number
    """
    faults: dict[int, Fault] = {}
    for path in sorted(directory.glob("*.toml")):
        file = tables.parse(tables.read_text(path), path)
        file.only("fault")
        for table in file.tables("fault"):
            fault = _fault(table, path.stem)
            for other in faults.values():
                if fault.number == other.number or fault.name == other.name:
                    raise table.wrong(
                        f"{fault.number}, {fault.name}, is like {other.number}, {other.name}",
                        "give each its own name and number",
                    )
            faults[fault.number] = fault
    return tuple(faults[number] for number in sorted(faults))


def _fault(table: Table, room: str) -> Fault:
    table.only(
        "name", "number", "sees", "breaks", "cases", "kernels", "equivalent", "rare",
        "edit",
    )  # fmt: skip
    number = table.data.get("number")
    if not isinstance(number, int) or number not in NUMBERS:
        raise table.wrong("'number' is none", f"use one from 1 to {NUMBERS[-1]}")
    name = table.text("name")
    if not re.fullmatch("[a-z0-9_]+", name):
        raise table.wrong(f"the name is {name!r}", "use small letters, digits and _")
    kernels = _kernels(table)
    edits = tuple(_edit(each) for each in table.tables("edit"))
    for kernel in kernels:
        if not any(kernel in (edit.kernels or kernels) for edit in edits):
            raise table.wrong(f"{name} edits nothing of {kernel}", "add an [[fault.edit]]")
    return Fault(
        name, number, room, table.text("sees"), table.texts("breaks"), table.texts("cases"),
        kernels, table.text("equivalent", ""), edits, table.text("rare", ""),
    )  # fmt: skip


def _edit(table: Table) -> Edit:
    table.only("file", "within", "text", "kernels", *WAYS)
    ways = [way for way in WAYS if way in table.data]
    if len(ways) != 1:
        raise table.wrong("there must be one anchor", f"write one of {', '.join(WAYS)}")
    return Edit(
        table.where, table.text("file"), table.text("within", ""), table.text(ways[0]), ways[0],
        table.text("text"), _kernels(table) if "kernels" in table.data else (),
    )  # fmt: skip


def _kernels(table: Table) -> tuple[str, ...]:
    kernels = table.texts("kernels")
    if not kernels or not set(kernels) <= set(KERNELS):
        raise table.wrong(f"'kernels' is {list(kernels)}", f"use {', '.join(KERNELS)}")
    return kernels


def files(faults: Iterable[Fault], kernel: str) -> Mapping[str, tuple[Edit, ...]]:
    """Give all edits of one kernel's source, by file."""
    found: dict[str, tuple[Edit, ...]] = {}
    for fault in faults:
        for edit in fault.edits_for(kernel) if kernel in fault.kernels else ():
            found[edit.file] = (*found.get(edit.file, ()), edit)
    return found


def apply(text: str, edits: Sequence[Edit]) -> str:
    """Make edits of one file's text; each is placed in the text as it was.

    :raises UsageError: an anchor stands there not once, or two edits are at one place
    """
    placed = sorted(((*_span(text, edit), edit) for edit in edits), key=lambda place: place[0])
    edge = len(text)
    for begin, end, edit in reversed(placed):  # so that places before it stay where they are
        if end > edge:
            raise _astray(edit, "overlaps the place of another edit")
        edge = begin
        new = edit.text.strip("\n")
        text = text[:begin] + (new if edit.way == "instead" else f"{new}\n") + text[end:]
    return text


def _span(text: str, edit: Edit) -> tuple[int, int]:
    """Give the characters that an edit replaces: none where it inserts."""
    start, end = 0, len(text)
    if edit.within:
        start = _once(text, edit.within, edit)
        closing = re.compile(r"^\}", re.MULTILINE).search(text, start)
        end = closing.end() if closing else end
    at = start + _once(text[start:end], edit.anchor, edit)
    if edit.way == "instead":
        return at, at + len(edit.anchor)
    if edit.way == "before":
        line = text.rfind("\n", 0, at) + 1
    else:
        line = text.index("\n", at + len(edit.anchor) - 1) + 1
    return line, line


def _once(text: str, part: str, edit: Edit) -> int:
    count = text.count(part)
    if count != 1:
        shown = part.strip().splitlines()[0]
        raise _astray(edit, f"{shown!r} stands there {count} times" if count else
                      f"{shown!r} stands there no more")  # fmt: skip
    return text.index(part)


def _astray(edit: Edit, what: str) -> UsageError:
    return UsageError(
        f"{edit.file}: {what}", edit.where,
        "look where this source has moved it, and give it an edit of its own for this kernel",
    )  # fmt: skip
