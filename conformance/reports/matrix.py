# SPDX-License-Identifier: GPL-2.0-only
"""Many records in one table: a row a case, a column an environment, a character a verdict."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from conformance.record import (
    ERROR,
    FAIL,
    KNOWN,
    MISS,
    NOGOLDEN,
    PASS,
    SKIP,
    UNSTABLE,
    CaseRecord,
    Record,
)
from conformance.reports import (
    BOLD,
    FAILING,
    GREEN,
    RED,
    WIDTH,
    YELLOW,
    Paint,
    fact,
    painter,
    plural,
    printable,
    wrapped,
)
from conformance.reports.terminal import MANY, counts

MARKS: Final[Mapping[str, str]] = {
    PASS: ".",
    KNOWN: "k",
    SKIP: "-",
    FAIL: "F",
    NOGOLDEN: "N",
    UNSTABLE: "U",
    ERROR: "E",
    MISS: "M",
}
"""A character for each verdict; a case that a record does not have is a blank."""

_COLORS: Final = {"k": YELLOW, "-": YELLOW} | {MARKS[verdict]: RED for verdict in FAILING}
_DEVICES: Final = ("interrupts.device", "interrupts.device.ia32")
_SHORTEST: Final = 16
"""Columns that a name keeps, however many verdicts stand beside it."""

Row = tuple[str, ...]
"""The marks of one case, one an environment."""


@dataclass(frozen=True, slots=True)
class _Column:
    """Environments that are equal in every case."""

    number: int
    records: tuple[Record, ...]


def matrix(records: Sequence[Record], color: bool, width: int = WIDTH) -> str:
    """Write cases by environments.

    Environments that are equal in every case share a number and a column; cases of one family and
    door that are equal on every environment share a row.

    :param records: one or more, of any environments, in the order in which they are to stand
    """
    paint = painter(color)
    marks = [{case.id: MARKS[case.verdict] for case in record.cases} for record in records]
    ids = sorted(set().union(*marks))
    columns, shown = _columns(records, marks, ids)
    rows = {case_id: tuple(column.get(case_id, " ") for column in shown) for case_id in ids}
    parts = [
        [*_environments(columns, paint, width), *_interrupted(columns, paint)],
        [*_legend(rows, width), *_table(rows, columns, paint, width)],
        _closing(records, len(ids), columns, paint, width),
    ]
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def _columns(
    records: Sequence[Record], marks: Sequence[Mapping[str, str]], ids: Sequence[str]
) -> tuple[list[_Column], list[Mapping[str, str]]]:
    """Join the environments that are equal in every case; gives each column with its marks."""
    groups: dict[Row, list[int]] = {}
    for index, mine in enumerate(marks):
        groups.setdefault(tuple(mine.get(case_id, " ") for case_id in ids), []).append(index)
    columns = [
        _Column(number, tuple(records[index] for index in group))
        for number, group in enumerate(groups.values(), 1)
    ]
    return columns, [marks[group[0]] for group in groups.values()]


# Which environments.


def _environments(columns: Sequence[_Column], paint: Paint, width: int) -> Iterator[str]:
    """List every environment, and beside each how many cases came to which verdict."""
    given = {case.verdict for column in columns for r in column.records for case in r.cases}
    verdicts = [verdict for verdict in MARKS if verdict in given]
    head = ["", "environment", "kernel", "virt", "CPU", "device", *(MARKS[v] for v in verdicts)]
    cells = [
        [str(column.number), *_about(record), *_tally(record, verdicts)]
        for column in columns
        for record in column.records
    ]
    widths = [max(map(len, texts)) for texts in zip(head, *cells, strict=True)]
    rest = sum(widths) - widths[1] + 2 * (len(widths) - 1)
    widths[1] = min(widths[1], max(_SHORTEST, width - rest))
    yield paint(_aligned(head, widths), BOLD)
    yield from (_aligned(texts, widths) for texts in cells)


def _about(record: Record) -> list[str]:
    """Name an environment, its kernel, virtualisation and CPU, and its device interrupts caught."""
    facts = record.environment.facts
    vendor = next((name for name in ("intel", "amd") if facts.get(name) is True), "other")
    measured = (case.measured for case in record.cases if case.id in _DEVICES)
    frames = fact(next((each["frames"] for each in measured if "frames" in each), "-"))
    texts = (fact(facts.get("release", "-")), fact(facts.get("virt", "-")), vendor, frames)
    return [printable(record.environment.name), *(_cut(text, 24) for text in texts)]


def _tally(record: Record, verdicts: Sequence[str]) -> list[str]:
    given = record.verdicts
    return [str(given.count(verdict)) for verdict in verdicts]


def _aligned(texts: Sequence[str], widths: Sequence[int]) -> str:
    """Put texts in columns: words to the left, the numbers to the right."""
    cells = [
        f"{_cut(text, size):<{size}}" if 1 <= index <= 4 else f"{text:>{size}}"
        for index, (text, size) in enumerate(zip(texts, widths, strict=True))
    ]
    return "  ".join(cells).rstrip()


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 3]}..."


def _interrupted(columns: Sequence[_Column], paint: Paint) -> Iterator[str]:
    for column in columns:
        for record in column.records:
            if record.interrupted:
                name = _cut(printable(record.environment.name), 60)
                yield paint(f"{name} was interrupted: not every case had its turn", YELLOW)


# Which cases.


def _legend(rows: Mapping[str, Row], width: int) -> Iterator[str]:
    shown = {mark for row in rows.values() for mark in row}
    words = [f"{mark} {verdict.lower()}" for verdict, mark in MARKS.items() if mark in shown]
    return wrapped([*words, *(["(blank) not in the record"] if " " in shown else [])], width)


def _table(
    rows: Mapping[str, Row], columns: Sequence[_Column], paint: Paint, width: int
) -> Iterator[str]:
    """Write the rows; where not all columns fit beside the names, block below block."""
    told = [(each.label, each.row) for each in joined(rows)]
    cell = len(str(len(columns))) + 1
    left = min(max((len(label) for label, _ in told), default=0), width // 2)
    fitting = max(1, (width - left) // cell)
    for start in range(0, len(columns), fitting):
        numbers = [str(column.number) for column in columns[start : start + fitting]]
        head = "".join(f"{number:>{cell}}" for number in numbers)
        yield ""
        yield paint(" " * left + head, BOLD)
        for label, row in told:
            marks = row[start : start + fitting]
            cells = (" " * (cell - 1) + paint(mark, _COLORS.get(mark, GREEN)) for mark in marks)
            yield f"{_cut(label, left):{left}}{''.join(cells)}".rstrip()


@dataclass(frozen=True, slots=True)
class Joined:
    """Cases of one family that are equal on every environment, and stand in one row."""

    label: str
    ids: tuple[str, ...]
    row: Row


def joined(rows: Mapping[str, Row]) -> Iterator[Joined]:
    """Name cases that are equal everywhere by the family, or by their family and door.

    ``traps`` are all of that family; ``traps.*.x32`` those at that door, and ``traps.*`` those at
    none, but for what is named below: then the number says how many of them that are.

    :param rows: the marks of each case, by its id, in order
    """
    for family, ids in _by_family(rows):
        alike = {rows[case_id] for case_id in ids}
        if len(alike) == 1 and len(ids) > 1:
            yield Joined(f"{family} ({len(ids)})", tuple(ids), alike.pop())
            continue
        doors: dict[str, list[str]] = {}
        for case_id in ids:
            doors.setdefault(_door(case_id), []).append(case_id)
        for door, members in sorted(doors.items()):
            yield from _of_door(f"{family}.*{door}", {m: rows[m] for m in members})


def _by_family(rows: Mapping[str, Row]) -> Iterator[tuple[str, list[str]]]:
    for family, ids in groupby(rows, key=lambda case_id: case_id.partition(".")[0]):
        yield printable(family), list(ids)


def _door(case_id: str) -> str:
    """Give what stands behind FAMILY.NAME: ``.x32``, or nothing."""
    return "".join(f".{part}" for part in case_id.split(".")[2:])


def _of_door(pattern: str, rows: Mapping[str, Row]) -> Iterator[Joined]:
    """Put the commonest row first, for all that have it, and the others by name below."""
    alike = list(rows.values())
    commonest = max(alike, key=alike.count)
    same = tuple(case_id for case_id, row in rows.items() if row == commonest)
    many = len(same)
    if many >= MANY:
        number = f"{many}" if many == len(rows) else f"{many} of {len(rows)}"
        yield Joined(f"{pattern} ({number})", same, commonest)
    for case_id, row in rows.items():
        if many < MANY or row != commonest:
            label = f"  {case_id}" if many >= MANY else case_id
            yield Joined(label, (case_id,), row)


# What it comes to.


def _closing(
    records: Sequence[Record], cases: int, columns: Sequence[_Column], paint: Paint, width: int
) -> list[str]:
    verdicts = [verdict for record in records for verdict in record.verdicts]
    bad = [column for column in columns if any(map(_failing, column.records[0].cases))]
    environments = plural(len(records), "environment")
    tally = counts(verdicts).partition(": ")[2]
    head = f"{plural(cases, 'case')} on {environments}: {tally}"
    if bad:
        number = sum(len(column.records) for column in bad)
        numbers = ", ".join(str(column.number) for column in bad)
        told = textwrap.wrap(f"{number} of {environments} not as expected: {numbers}", width)
        return [head, *(paint(line, RED) for line in told)]
    if not {PASS, KNOWN}.intersection(verdicts):
        return [head, paint("nothing was judged", YELLOW)]
    return [head, paint("all as expected", GREEN)]


def _failing(case: CaseRecord) -> bool:
    return case.verdict in FAILING
