# SPDX-License-Identifier: GPL-2.0-only
"""The kernels that must be covered, how far one is fetched, and how far the guests are."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import IO, Any, Final

from conformance.kernels.environments import Kernel
from conformance.kernels.packages import Image
from conformance.record import CaseRecord, Record
from conformance.reports import FAILING, one_line, printable, title
from conformance.reports.terminal import StatusLine, counts

Kept = Mapping[Kernel, Image | None]
"""Each kernel, and what the cache has of it."""

NOT_FETCHED: Final = "not fetched"


def text(kept: Kept) -> str:
    """Write a table, one line a kernel."""
    rows = [
        (kernel.name, kernel.suite, kernel.package, image.version if image else NOT_FETCHED,
         " ".join((kernel.cpu, *kernel.cmdline)))
        for kernel, image in kept.items()
    ]  # fmt: skip
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "".join(
        "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        + "\n"
        for row in rows
    )


def data(kept: Kept) -> list[dict[str, Any]]:
    """Give the same for JSON, with `version`, `release` and `vmlinuz` null where not fetched."""
    return [
        {
            "name": kernel.name,
            "suite": kernel.suite,
            "package": kernel.package,
            "arch": kernel.arch,
            "root": kernel.root,
            "cpu": kernel.cpu,
            "cmdline": list(kernel.cmdline),
            "version": image.version if image else None,
            "release": image.release if image else None,
            "vmlinuz": str(image.vmlinuz) if image else None,
        }
        for kernel, image in kept.items()
    ]


class Meter(StatusLine):
    """Says how far a fetch is; a `packages.Progress`.

    Each step gets a line. Where escape sequences are allowed, a download has one that is written
    over and over; otherwise it is told when it begins.
    """

    def __init__(
        self, stream: IO[str], live: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(stream, live, clock)
        self._step = ""
        self._begun = (0.0, 0)

    def __call__(self, step: str, done: int, total: int) -> None:
        """Report a step: bytes here of bytes in all, 0 of 0 where that is not known."""
        new = step != self._step
        if new:
            self._step = step
            self._begun = (self._clock(), done)
        if not self._live:
            if new:
                self._tell(f"{step}{f', {_size(total)}' if total else ''}")
        elif total:
            self._status(f"{step}, {self._amount(done, total)}")
        else:
            self._tell(step)

    def _amount(self, done: int, total: int) -> str:
        begun, before = self._begun
        seconds = self._clock() - begun
        speed = f", {_size(int((done - before) / seconds))}/s" if seconds > 0.1 else ""
        return f"{_size(done)} of {_size(total)} ({done * 100 // total}%{speed})"


def _size(number: int) -> str:
    """Write a number of bytes as apt does, in thousands."""
    return f"{number / 1e6:.1f} MB" if number >= 1e6 else f"{number / 1e3:.0f} kB"


class Guests(StatusLine):
    """Says how far the guests of a run are.

    Where escape sequences are allowed, one status line tells of those that run; a line is written
    for each that comes up or ends.
    """

    def __init__(
        self, stream: IO[str], live: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(stream, live, clock)
        self._begun: dict[str, float] = {}
        self._running: dict[str, tuple[int, int, int]] = {}
        """Of each guest: how many cases there are, are done, and fail; none before it is up."""

    def begins(self, name: str, how: str) -> None:
        """Note that a guest is booted."""
        self._begun[name] = self._clock()
        self._running[name] = (0, 0, 0)
        self._note(f"{name}: booting, by {how}")

    def hello(self, name: str, environment: str, cases: int) -> None:
        """Note that it is up."""
        self._running[name] = (cases, 0, 0)
        self._note(f"{name}: {environment} is up after {self._spent(name)}")

    def case(self, name: str, case: CaseRecord) -> None:
        """Note that one of its cases is judged."""
        total, done, failing = self._running[name]
        fails = case.verdict in FAILING
        self._running[name] = (total, done + 1, failing + fails)
        if fails:
            self._note(f"{name}: {case.verdict}  {case.id}: {one_line(title(case))}")
        self._draw()

    def ends(self, name: str, record: Record) -> None:
        """Note that it is done, or lost."""
        del self._running[name]
        self._note(f"{name}: {counts(record.verdicts)} in {record.duration:.1f} s")

    def _note(self, text: str) -> None:
        self._tell(printable(text))
        self._draw()

    def _draw(self) -> None:
        parts = []
        for name, (total, done, failing) in self._running.items():
            failed = f" {failing} failing" if failing else ""
            how_far = f"[{done}/{total}]{failed}" if total else "booting"
            parts.append(f"{name} {how_far} {self._spent(name)}")
        self._status("  ".join(parts))

    def _spent(self, name: str) -> str:
        return f"{self._clock() - self._begun[name]:.0f} s"
