# SPDX-License-Identifier: GPL-2.0-only
"""What a case shows, as a table: stops of its goldens, with what is equal at several doors once.

Doors differ in ways that say nothing about a case: numbers, selectors, what the instruction itself
takes from registers. Those are told once, by the goldens of one plain call, and a table has only
what is otherwise.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from conformance.cases import Case
from conformance.doors import OF_ABI
from conformance.transcript import Line

COLUMNS: Final = ("orig_ax", "ax", "ip", "regs")
"""What every table has; further fields stand behind them."""
ROWS: Final = 5
"""Rows that a table may have."""
FRESH: Final = 2
"""Rows that a table must have that no other has shown."""
KEPT: Final = "kept"
"""All registers are the program's, but for what a call at that door takes anyway."""

_PLAIN: Final = {"flags": "IF", "views": "agree"}
"""Fields that say nothing where they are so."""
_ENDINGS: Final = ("exit", "probe", "control")
"""Who tells that a program exited, which most do."""
_LEAVING: Final = "leave"
"""The label of the call by which a probe ends itself."""
_PLACES: Final = {
    "syscall+2": "behind", "landing_pad": "behind", "syscall": "on", "landing_pad-2": "on",
}  # fmt: skip
"""What ip means, of the door's instruction or of the landing pad that calls by the vDSO have."""
_SPEAKERS: Final = {"probe": "program", "control": "untraced"}


@dataclass(frozen=True, slots=True)
class Cells:
    """One row, without its doors.

    :ivar new: it tells what the row before has not
    """

    what: str
    fields: Mapping[str, str]
    new: bool = True


@dataclass(frozen=True, slots=True)
class Section:
    """The rows below one heading, each with the doors where it is so; no doors: all of them.

    :ivar before: what comes before the rows, and other tables have shown
    """

    heading: str
    before: tuple[str, ...]
    rows: tuple[tuple[Cells, tuple[str, ...]], ...]


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A part of what a case shows.

    :ivar doors: where it is so; the others have other stops, or other rows and there was no room
    :ivar left_out: sections and rows that had no room
    """

    sections: tuple[Section, ...]
    doors: tuple[str, ...]
    left_out: int


Shown = Mapping[str, tuple[Case, Sequence[Line]]]
"""A case and its golden at each door, or in each ABI."""
Plain = Mapping[str, Line]
"""The exit stop of a plain call at each door: what is usual there."""


def excerpt(shown: Shown, plain: Plain, seen: set[object]) -> Excerpt | None:
    """Choose what to show: what other tables have not shown yet; None if that is too little.

    It is of all doors with the same stops if there is room, otherwise of those where every row is
    as at the first.

    :param shown: by the names of doors, the most usual first
    :param seen: the rows of the tables so far; those of this one are added
    """
    parts = {door: _sections(case, lines, plain) for door, (case, lines) in shown.items()}
    first = next(iter(parts))
    alike = {d: each for d, each in parts.items() if _skeleton(each) == _skeleton(parts[first])}
    folded = _distinct(_fold(alike))
    if any(len(section.rows) > ROWS for section in folded[:1]):
        alike = {d: each for d, each in alike.items() if _keys(each) == _keys(parts[first])}
        folded = _distinct(_fold(alike))
    rows = sum(len(section.rows) for section in folded)
    short = [_short(section, seen) for section in folded]
    fresh = [len(_fresh(section, seen)) for section in short]
    if max(fresh, default=0) < FRESH:
        return None
    chosen = _cut(short[fresh.index(max(fresh)) :])
    seen.update(row for section in chosen for row in _fresh(section, seen))
    told = sum(len(section.rows) + len(section.before) for section in chosen)
    return Excerpt(tuple(chosen), tuple(alike), rows - told)


def _short(section: Section, seen: set[object]) -> Section:
    """Only name the rows that a section begins with, if they are known, and cut the last ones."""
    known = [cells.what for cells, at in
             itertools.takewhile(lambda row: not row[1] and _key(row[0]) in seen, section.rows)]
    known = known if len(known) > 1 else []
    rest = section.rows[len(known):]
    return Section(section.heading, tuple(known), rest[: ROWS - bool(known)])


def _fresh(section: Section, seen: set[object]) -> set[object]:
    """Give the rows that no table has shown."""
    return {_key(cells) for cells, _ in section.rows} - seen


def _cut(sections: Sequence[Section]) -> list[Section]:
    """Keep what there is room for, of one section at least."""
    chosen: list[Section] = []
    room = ROWS
    for section in sections:
        room -= len(section.rows) + bool(section.before) + bool(section.heading)
        if room < 0 and chosen:
            break
        chosen.append(section)
    return chosen


def _distinct(sections: Iterable[Section]) -> list[Section]:
    """Leave out sections whose rows have stood already: what they are about changes nothing."""
    seen: dict[object, Section] = {}
    for section in sections:
        key = tuple((cells.what, tuple(cells.fields.items()), at) for cells, at in section.rows)
        if key in seen and section.heading:
            other = seen[key]
            seen[key] = replace(other, heading=f"{other.heading}; {section.heading}")
        elif section.rows:
            seen.setdefault(key, section)
    return list(seen.values())


def _fold(parts: Mapping[str, Sequence[tuple[str, Sequence[Cells]]]]) -> Iterator[Section]:
    """Put the rows of several doors under each other, equal ones once."""
    for sections in zip(*parts.values(), strict=True):
        headings = dict.fromkeys(heading for heading, _ in sections)
        rows: list[tuple[Cells, tuple[str, ...]]] = []
        for cells in zip(*(each for _, each in sections), strict=True):
            if not any(cell.new for cell in cells):
                continue
            where: dict[object, list[str]] = {}
            for door, cell in zip(parts, cells, strict=True):
                where.setdefault(_key(cell), []).append(door)
            by_key = {_key(cell): cell for cell in cells}
            rows += [
                (by_key[key], tuple(doors) if len(where) > 1 else ())
                for key, doors in where.items()
            ]
        yield Section(" | ".join(headings), (), tuple(rows))


def _key(cells: Cells) -> object:
    return cells.what, tuple(cells.fields.items())


def _keys(sections: Sequence[tuple[str, Sequence[Cells]]]) -> object:
    return [[_key(cells) for cells in rows] for _, rows in sections]


def _skeleton(sections: Sequence[tuple[str, Sequence[Cells]]]) -> object:
    return [[cells.what for cells in rows] for _, rows in sections]


def _sections(
    case: Case, lines: Sequence[Line], plain: Plain
) -> list[tuple[str, list[Cells]]]:
    """Part a transcript at its headings; what the program finds traced and untraced is one row."""
    sections: list[tuple[str, list[Line]]] = [("", [])]
    for line in lines:
        if line.head == "run":
            sections.append((" ".join(f"{k}={v}" for k, v in line.fields.items()), []))
        elif not _silent(line):
            sections[-1][1].append(line)
    usual = _Usual(plain.get(case.door, plain[OF_ABI[case.abi].name]), case.door in plain)
    return [(heading, _rows(part, usual)) for heading, part in sections if part]


def _silent(line: Line) -> bool:
    ended = line.head in _ENDINGS and line.words[:1] == ("exited",)
    return ended or line.fields.get("ip", "").startswith(_LEAVING)


def _rows(lines: Sequence[Line], usual: _Usual) -> list[Cells]:
    told = [(line.head, _cells(line, usual)) for line in lines]
    own = [cells.fields for head, cells in told if head == "probe"]
    same = own == [cells.fields for head, cells in told if head == "control"]
    told = [(head, cells) for head, cells in told if not (same and head == "control")]
    last = next((cells.fields for head, cells in reversed(told) if head == "stop"), None)
    return [
        replace(cells, new=False) if last and same and _no_more(cells, last) else cells
        for _, cells in told
    ]


def _no_more(cells: Cells, last: Mapping[str, str]) -> bool:
    """Whether the program, as it goes on, finds what the last stop has shown."""
    return cells.what == "program landed" and cells.fields.items() <= last.items()


def _cells(line: Line, usual: _Usual) -> Cells:
    speaker = _SPEAKERS.get(line.head, "" if line.head == "stop" else line.head)
    what = " ".join(filter(None, (speaker, line.kind)))
    fields = dict(line.fields)
    if "views" in fields and usual.call and fields.get("orig_ax") != "-1":
        fields.setdefault("arch", "x86_64")
    return Cells(
        what,
        {
            name: usual.value(name, text, "views" in fields and fields.get("orig_ax") != "-1")
            for name, text in fields.items()
            if text != _PLAIN.get(name) and (line.head == "poke" or not usual.has(name, text))
        },
    )


@dataclass(frozen=True, slots=True)
class _Usual:
    """What is usual where a case is: at its door, or in programs of its ABI.

    :ivar call: it is at a door, whose instruction takes registers
    """

    line: Line
    call: bool

    def has(self, name: str, text: str) -> bool:
        """Whether a field is as ever, and need not be told."""
        default = "x86_64" if name == "arch" else None
        return name in ("cs", "ss", "arch") and text == self.line.fields.get(name, default)

    def value(self, name: str, text: str, call: bool) -> str:
        """Write a value so that it is the same at all doors, if it means the same.

        :param call: it is of a stop within a call, not outside, or what the program itself found
        """
        _, slash, word = text.partition("/")
        if name in ("orig_ax", "syscall") and slash:
            return word
        if name == "ax" and slash:
            return f"-{word}"
        if name == "ip":
            return _PLACES.get(text, text)
        return self._registers(text, call) if name == "regs" else text

    def _registers(self, text: str, call: bool) -> str:
        """Leave out what a door always takes, or say that a call has not even taken that."""
        taken = self.line.fields["regs"].split(",") if self.call else ["own"]
        if text == "own":
            return text if call and taken != ["own"] else KEPT
        return ",".join(each for each in text.split(",") if each not in taken) or KEPT
