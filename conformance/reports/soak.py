# SPDX-License-Identifier: GPL-2.0-only
"""The report of a soak: how far it is, and what was counted on each path."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import IO, Final

from conformance.record import SoakPath, SoakRecord
from conformance.reports import aligned, one_line, printable
from conformance.reports.terminal import StatusLine
from conformance.soak import Standing

EVERY: Final = 10.0
"""Seconds between two lines where there is no terminal."""
VALUES: Final = 4
"""Values of orig_ax that are shown of a path: the rarest tell most."""


class Status(StatusLine):
    """Says how far a soak is, and tells at once what is not as expected.

    Where escape sequences are allowed, one line is written over and over; otherwise there is a line
    every so often.

    :param seconds: how long the soak is to be
    """

    def __init__(
        self, stream: IO[str], seconds: float, live: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        super().__init__(stream, live, clock)
        self._length = seconds
        self._due = EVERY

    def stands(self, seconds: float, paths: Sequence[Standing]) -> None:
        """Note how far it is."""
        line = self._line(seconds, paths)
        if not self._live and seconds >= self._due:
            self._due = seconds + EVERY
            self._tell(line)
        self._status(line)

    def differs(self, seconds: float, case: str, change: str) -> None:
        """Note that a path gave a line that is not as expected, for the first time."""
        self._tell(f"DIFFERS  {case} after {seconds:.1f} s: {one_line(change)}")

    def breaks(self, seconds: float, case: str, reason: str) -> None:
        """Note that a slice did not come to its end."""
        self._tell(f"BROKEN  {case} after {seconds:.1f} s: {one_line(reason)}")

    def _line(self, seconds: float, paths: Sequence[Standing]) -> str:
        frames = sum(path.frames for path in paths)
        odd = sum(path.odd for path in paths)
        parts = [
            f"[{_clock(seconds)}/{_clock(self._length)}]",
            f"{frames / seconds if seconds else 0:,.0f}/s",
            *([f"{odd} unexpected"] if odd else []),
            *(
                f"{path.case.partition('.')[2]} {printable(path.row)} {path.frames:,}"
                for path in paths if path.row
            ),
        ]  # fmt: skip
        return "  ".join(parts)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02}"


def table(soak: SoakRecord, seconds: float) -> Iterator[str]:
    """Write what was counted, one line a path."""
    rows: list[tuple[str, ...]] = [("path", "row", "CPU", "frames", "interrupts", "orig_ax")]
    rows += [
        (path.case.partition(".")[2], printable(path.row), str(path.cpu), f"{_frames(path):,}",
         f"{path.interrupts:,}", _values(path))
        for path in soak.paths
    ]  # fmt: skip
    yield from aligned(rows, _NUMBERS)
    every = sum(map(_frames, soak.paths))
    yield f"{every:,} frames, {every / seconds if seconds else 0:,.0f} a second"


_NUMBERS: Final = (2, 3, 4)
"""Columns of the table that are numbers."""


def _frames(path: SoakPath) -> int:
    return path.frames[-1] if path.frames else 0


def _values(path: SoakPath) -> str:
    """Say which values orig_ax had, and how often: just the one, if there is one."""
    if len(path.values) == 1 and not path.further:
        return printable(*path.values)
    rarest = sorted(path.values.items(), key=lambda item: (item[1], item[0]))
    told = [f"{printable(value)} in {count:,}" for value, count in rarest[:VALUES]]
    if len(rarest) > VALUES:
        told.append(f"{len(rarest) - VALUES} more values")
    return ", ".join(told + ([f"{path.further:,} not kept"] if path.further else []))
