# SPDX-License-Identifier: GPL-2.0-only
"""The table of behaviours, ``expected/behaviours.toml``, and what the cases cover of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from conformance import tables
from conformance.cases import Case
from conformance.doors import DOORS, OF_ABI
from conformance.errors import UsageError
from conformance.tables import Table

ANY: Final = "any"
"""The place of a behaviour for which neither door nor ABI matters: every case is there."""
PLACES: Final = (ANY, *(door for door in DOORS if door not in OF_ABI), *OF_ABI)
"""Where a case can be: any, at a door, or in programs of an ABI; x32 is both a door and an ABI."""
SETS: Final[Mapping[str, tuple[str, ...]]] = {
    "calls": tuple(door for door in DOORS if door != "vsyscall"),
    "abis": tuple(OF_ABI),
}
"""Words for several places."""

OPEN: Final = "no case yet: "
"""How the reason begins why there is no case, though there could be one."""
NEVER: Final = "no case can be: "
"""How the reason begins why there can be none."""


@dataclass(frozen=True, slots=True)
class Group:
    """Behaviours that belong together: what they have in common.

    :ivar about: introduces them to a reader
    """

    name: str
    about: str


@dataclass(frozen=True, slots=True)
class Row:
    """One behaviour.

    :ivar places: where it exists, and so must have a case
    :ivar why: reasons why there is none, by a place or a word for several
    """

    number: int
    name: str
    group: Group
    places: tuple[str, ...]
    why: Mapping[str, str]

    def reason(self, place: str) -> str | None:
        """Give the reason why it may have no case there."""
        told = (text for word, text in self.why.items() if place in _meant(word))
        return next(told, None)

    def exists(self, place: str) -> bool:
        """Whether it exists at that place: for a door, also if it does in the door's ABI."""
        return any(place == own or ANY in (place, own) or _within(place, own) or _within(own, place)
                   for own in self.places)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Coverage:
    """A behaviour, and the cases that cover it, by id."""

    row: Row
    cases: tuple[Case, ...]

    def at(self, place: str) -> tuple[Case, ...]:
        """Give the cases at that place."""
        return tuple(case for case in self.cases if place in (ANY, case.door, case.abi))

    @property
    def missing(self) -> tuple[str, ...]:
        """The places that must have a case, and have none."""
        return tuple(place for place in self.row.places if not self.at(place))

    @property
    def unexplained(self) -> tuple[str, ...]:
        """Those of them for which no reason is given."""
        return tuple(place for place in self.missing if self.row.reason(place) is None)


def read(expected: Path) -> tuple[Row, ...]:
    """Read behaviours.toml.

    :param expected: the directory of the golden files
    :returns: the rows, by number, from 1 on
    :raises UsageError: the file is missing, or anything in it is garbled
    """
    path = expected / "behaviours.toml"
    file = tables.parse(tables.read_text(path), path)
    for number, key in enumerate(file.data, 1):
        if key != str(number):
            raise file.wrong(
                f"[{key}] stands where [{number}] must", "number the tables from 1 on, in order"
            )
    rows: list[Row] = []
    for number, key in enumerate(file.data, 1):
        rows.append(_row(number, _table(file, key), rows[-1].group if rows else None))
    return tuple(rows)


def count(rows: Sequence[Row], cases: Sequence[Case]) -> tuple[Coverage, ...]:
    """Find the cases of each row."""
    return tuple(
        Coverage(row, tuple(case for case in cases if row.number in case.covers)) for row in rows
    )


def select(rows: Sequence[Row], numbers: Sequence[int]) -> tuple[Row, ...]:
    """Choose rows by their numbers; all if there are none.

    :raises UsageError: there is no such row
    """
    known = {row.number: row for row in rows}
    for number in numbers:
        if number not in known:
            do = f"give a number from 1 to {len(rows)}"
            raise UsageError("there is no such behaviour", f"--row {number}", do)
    return tuple(known[number] for number in dict.fromkeys(numbers)) or tuple(rows)


def wrong(rows: Sequence[Row], cases: Sequence[Case]) -> Iterator[str]:
    """Tell what does not hold between the table and the cases: nothing, if both are sound."""
    for covered in count(rows, cases):
        yield from _wrong(covered)
    for case in cases:
        for number in sorted(set(case.covers) - {row.number for row in rows}):
            yield f"row {number}: {case.id} covers it, but the table has no such behaviour"


def _wrong(covered: Coverage) -> Iterator[str]:
    row = covered.row
    if covered.unexplained:
        yield f"row {row.number}: no case and no reason at {', '.join(covered.unexplained)}"
    for word in row.why:
        if not set(_meant(word)).intersection(covered.missing):
            yield f"row {row.number}: why.{word} must go: no case is missing there"
    for case in covered.cases:
        place = case.abi if case.door == "none" else case.door
        if not row.exists(place):
            yield f"row {row.number}: {case.id} covers it at {place}, where it does not exist"


def _meant(word: str) -> tuple[str, ...]:
    return SETS.get(word, (word,))


def _within(door: str, abi: str) -> bool:
    return door in DOORS and abi in OF_ABI and DOORS[door].abi == abi


def _table(file: Table, key: str) -> Table:
    data = file.data[key]
    if not isinstance(data, dict):
        raise file.wrong(f"{key!r} is no table", f"write it as [{key}]")
    return Table(f"{file.where}, [{key}]", data)


def _row(number: int, table: Table, before: Group | None) -> Row:
    """Read a row.

    :param before: the group of the row before it
    """
    table.only("group", "about", "name", "doors", "why")
    group = before
    if group is None or {"group", "about"}.intersection(table.data):
        group = Group(table.text("group"), table.text("about").strip())
    words = table.texts("doors") if "doors" in table.data else ("calls",)
    places = {place for word in words for place in _meant(word)}
    _known(table, "doors", words)
    if not places:
        raise table.wrong("'doors' is empty", "name a door, or leave the key out: calls")
    why = table.table("why")
    _known(table, "why", tuple(why))
    for word, text in why.items():
        if not places.issuperset(_meant(word)):
            raise table.wrong(f"why.{word} is not of its doors", "name one of them, or several")
        if not text.startswith((OPEN, NEVER)):
            raise table.wrong(
                f"why.{word} does not say of which kind it is",
                f'begin it with "{OPEN}" or "{NEVER}"',
            )
    return Row(number, table.text("name"), group, tuple(p for p in PLACES if p in places), why)


def _known(table: Table, key: str, words: Sequence[str]) -> None:
    for word in words:
        if word not in (*SETS, *PLACES):
            every = ", ".join((*SETS, *PLACES))
            raise table.wrong(f"{key!r} names {word!r}, which is no door", f"use only {every}")
