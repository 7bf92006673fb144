# SPDX-License-Identifier: GPL-2.0-only
"""How far the boxes of a fleet are, and what became of each."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import IO

from conformance.fleet.run import WHOLE, Outcome
from conformance.record import MISS
from conformance.reports import BOLD, FAILING, RED, aligned, one_line, painter, printable
from conformance.reports.kernels import Guests
from conformance.reports.terminal import counts, summary


class Boxes(Guests):
    """Says how far the boxes are, and keeps what became of each, by name.

    One status line tells of all that run: there may be many.
    """

    def __init__(
        self, stream: IO[str], live: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(stream, live, clock)
        self.outcomes: dict[str, Outcome] = {}

    def note(self, text: str) -> None:
        """Note whatever else takes its time."""
        self._note(text)

    def begins(self, name: str, how: str) -> None:
        """Note that a box is connected to."""
        self._begun[name] = self._clock()
        self._running[name] = (0, 0, 0)
        self._note(f"{name}: connecting, {how}")

    def left(self, outcome: Outcome) -> None:
        """Note that it is done, or lost."""
        name = outcome.box.name
        self._running.pop(name, None)
        self.outcomes[name] = outcome
        told = f"{outcome.state}, {outcome.reason}" if outcome.reason else outcome.state
        seconds = f"{outcome.record.duration:.1f} s"
        self._note(f"{name}: {told}; {counts(outcome.record.verdicts)} in {seconds}")

    def _draw(self) -> None:
        running = self._running.values()
        total, done, failing = (sum(each[at] for each in running) for at in range(3))
        waiting = sum(not each[0] for each in running)
        parts = [f"{len(running)} running  [{done}/{total}]"]
        parts += [f"{waiting} connecting"] if waiting else []
        parts += [f"{failing} failing"] if failing else []
        self._status("  ".join(parts) if running else "")


def failures(outcomes: Sequence[Outcome], color: bool) -> str:
    """Show what failed of that which was answered, box by box; the table has the rest."""
    told = []
    for each in outcomes:
        answered = tuple(case for case in each.record.cases if case.verdict != MISS)
        if any(case.verdict in FAILING for case in answered):
            shown = replace(each.record, cases=answered)
            told.append(f"{printable(each.box.name)}:\n\n{summary(shown, color)}\n")
    return "".join(told)


HEAD = ("box", "host", "kernel", "state", "cases", "answered", "missing", "reason")
_NUMBERS = (4, 5, 6)
"""Columns of it that are numbers."""


def table(outcomes: Sequence[Outcome], color: bool) -> str:
    """Say of each box what it was asked for and what it answered: the sums must agree."""
    paint = painter(color)
    rows: list[tuple[str, ...]] = [
        (each.box.name, each.host, each.kernel, each.state, str(each.expected), str(each.answered),
         str(each.expected - each.answered), each.reason)
        for each in outcomes
    ]  # fmt: skip
    total = [sum(int(row[at]) for row in rows) for at in _NUMBERS]
    rows.append(("all", "", "", f"{sum(each.state == WHOLE for each in outcomes)} whole",
                 *map(str, total), ""))  # fmt: skip
    cells = [[printable(one_line(cell)) for cell in row] for row in (HEAD, *rows)]
    marks = [BOLD, *("" if each.state == WHOLE else RED for each in outcomes), BOLD]
    return "".join(
        f"{paint(line, code) if code else line}\n"
        for line, code in zip(aligned(cells, _NUMBERS), marks, strict=True)
    )
