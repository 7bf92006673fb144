# SPDX-License-Identifier: GPL-2.0-only
"""The report for people: progress while cases run, and what came of them."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import IO, Final, Self

from conformance.record import KNOWN, PASS, SKIP, VERDICTS, CaseRecord, Record
from conformance.reports import (
    BOLD,
    FAILING,
    GREEN,
    RED,
    WIDTH,
    YELLOW,
    Paint,
    again,
    describe,
    grouped,
    one_line,
    painter,
    plural,
    printable,
    title,
    wrapped,
)

_ERASE: Final = "\r\x1b[K"


def use_color(stream: IO[str], environ: Mapping[str, str]) -> bool:
    """Whether `stream` may get escape sequences: a terminal, not dumb, without NO_COLOR."""
    return stream.isatty() and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"


LISTED: Final = 10
"""Cases that fail alike, at most, that have a line each."""

MANY: Final = 4
"""Cases of one family and door that are named together where they are skipped alike."""


class StatusLine:
    """A line of a terminal that is written over and over. A context manager: it goes at the end.

    :param live: the stream may get escape sequences
    """

    def __init__(
        self, stream: IO[str], live: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stream = stream
        self._live = live
        self._clock = clock

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._status("")

    def _status(self, line: str) -> None:
        """Write it anew, as much as fits; nothing where that cannot be done."""
        if self._live:
            self._write(_ERASE + line[: shutil.get_terminal_size().columns - 1])

    def _tell(self, line: str) -> None:
        """Write a line that stays, above it."""
        self._write(f"{_ERASE if self._live else ''}{line}\n")

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


class Progress(StatusLine):
    """Says how far a run is.

    Where escape sequences are allowed, there is a status line; otherwise each failing case gets a
    line when it is done.
    """

    def __init__(
        self,
        stream: IO[str],
        total: int,
        live: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(stream, live, clock)
        self._total = total
        self._begun = clock()
        self._done = 0
        self._failing = 0

    def begin(self, case_id: str) -> None:
        """Note that a case begins."""
        self._draw(case_id)

    def end(self, case: CaseRecord) -> None:
        """Note that a case is done."""
        self._done += 1
        if case.verdict in FAILING:
            self._failing += 1
            if not self._live:
                self._tell(f"{case.verdict}  {case.id}: {one_line(title(case))}")
        self._draw(case.id)

    def _draw(self, case_id: str) -> None:
        digits = len(str(self._total))
        failing = f"{self._failing} failing  " if self._failing else ""
        spent = self._clock() - self._begun
        self._status(
            f"[{self._done:{digits}}/{self._total}] {failing}{printable(case_id)}  {spent:.1f} s"
        )


def summary(record: Record, color: bool, width: int = WIDTH) -> str:
    """Say what came of a run: what fails first, and how many of what last."""
    paint = painter(color)
    parts = [_group(group, paint, width, again(record)) for group in grouped(record.cases)]
    for verdict in (KNOWN, SKIP):
        parts += _by_reason(record.cases, verdict, paint, width)
    if record.soak and record.soak.paths:
        from conformance.reports import soak

        parts.append(list(soak.table(record.soak, record.duration)))
    return "\n".join(["\n".join([*part, ""]) for part in parts] + _closing(record, paint)) + "\n"


def _group(group: list[CaseRecord], paint: Paint, width: int, command: str) -> list[str]:
    first = group[0]
    head = f"{paint(first.verdict, RED)}  {paint(one_line(title(first)), BOLD)}"
    lines = [f"{head}  ({plural(len(group), 'case')})"]
    ids = [case.id for case in group]
    lines += [f"  {id_}" for id_ in ids] if len(ids) <= LISTED else wrapped(joined(ids), width)
    return lines + describe(group, paint, width, command)


def _by_reason(
    cases: Iterable[CaseRecord], verdict: str, paint: Paint, width: int
) -> list[list[str]]:
    """List the cases of one verdict under each of its reasons."""
    reasons: dict[str, list[str]] = {}
    for case in cases:
        if case.verdict == verdict:
            reasons.setdefault(one_line(case.reason), []).append(case.id)
    return [
        [
            f"{paint(verdict, YELLOW)}  {reason}  ({plural(len(ids), 'case')})",
            *wrapped(joined(ids), width),
        ]
        for reason, ids in reasons.items()
    ]


def joined(ids: Sequence[str]) -> list[str]:
    """Name many cases of one family and door by their pattern: ``traps.*.x32 (28)``."""
    ends = [(family, door) for family, *name, door in (id_.split(".") for id_ in ids) if name]
    told = []
    for id_ in ids:
        family, *name, door = id_.split(".")
        number = ends.count((family, door)) if name else 0
        told.append(f"{family}.*.{door} ({number})" if number >= MANY else id_)
    return list(dict.fromkeys(told))


def _closing(record: Record, paint: Paint) -> list[str]:
    lines = []
    weak = [case.weak for case in record.cases if case.weak]
    if weak:
        fields = plural(sum(weak), "weak field")
        where = plural(len(weak), "case")
        lines.append(f"{fields} in {where}: they may differ, as their goldens say")
    if record.interrupted:
        lines.append(paint("interrupted: not every case had its turn", YELLOW))
    verdicts = record.verdicts
    code = RED if set(FAILING).intersection(verdicts) else GREEN
    where = f"on {printable(record.environment.name)} in {record.duration:.1f} s"
    return [*lines, f"{paint(counts(verdicts), code)}  {where}"]


def counts(verdicts: Iterable[str]) -> str:
    """Count verdicts: ``112 cases: 100 pass, 2 known, 10 skip``."""
    given = list(verdicts)
    order = (PASS, KNOWN, *(v for v in VERDICTS if v not in (PASS, KNOWN, SKIP)), SKIP)
    tally = ", ".join(f"{given.count(v)} {v.lower()}" for v in order if v in given)
    return f"{plural(len(given), 'case')}: {tally or 'none ran'}"
