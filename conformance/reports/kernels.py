# SPDX-License-Identifier: GPL-2.0-only
"""The kernels that must be covered, how far one is fetched, and how far the guests are."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from typing import IO, Any, Final, Self

from conformance.kernels.environments import Kernel
from conformance.kernels.packages import Image
from conformance.record import CaseRecord, Record
from conformance.reports import FAILING, one_line, printable, title
from conformance.reports.terminal import counts

Kept = Mapping[Kernel, Image | None]
"""Each kernel, and what the cache has of it."""

NOT_FETCHED: Final = "not fetched"
_ERASE: Final = "\r\033[K"


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


class Meter:
    """Says how far a fetch is; a `packages.Progress`.

    Each step gets a line. Where escape sequences are allowed, a download has one that is written
    over and over; otherwise it is told when it begins. A context manager: it goes at the end.
    """

    def __init__(
        self, stream: IO[str], live: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stream = stream
        self._live = live
        self._clock = clock
        self._step = ""
        self._begun = (0.0, 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._write(_ERASE)

    def __call__(self, step: str, done: int, total: int) -> None:
        """Report a step: bytes here of bytes in all, 0 of 0 where that is not known."""
        new = step != self._step
        if new:
            self._step = step
            self._begun = (self._clock(), done)
        if not self._live:
            if new:
                self._write(f"{step}{f', {_size(total)}' if total else ''}\n")
        elif total:
            self._write(f"{_ERASE}{step}, {self._amount(done, total)}")
        else:
            self._write(f"{_ERASE}{step}\n")

    def _amount(self, done: int, total: int) -> str:
        begun, before = self._begun
        seconds = self._clock() - begun
        speed = f", {_size(int((done - before) / seconds))}/s" if seconds > 0.1 else ""
        return f"{_size(done)} of {_size(total)} ({done * 100 // total}%{speed})"

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


def _size(number: int) -> str:
    """Write a number of bytes as apt does, in thousands."""
    return f"{number / 1e6:.1f} MB" if number >= 1e6 else f"{number / 1e3:.0f} kB"


class Guests:
    """Says how far the guests of a run are.

    Where escape sequences are allowed, one status line tells of those that run; a line is written
    for each that comes up or ends. A context manager: the status line goes at the end.
    """

    def __init__(
        self, stream: IO[str], live: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stream = stream
        self._live = live
        self._clock = clock
        self._begun: dict[str, float] = {}
        self._running: dict[str, tuple[int, int, int]] = {}
        """Of each guest: how many cases there are, are done, and fail; none before it is up."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._write(_ERASE)

    def begins(self, name: str, how: str) -> None:
        """Note that a guest is booted."""
        self._begun[name] = self._clock()
        self._running[name] = (0, 0, 0)
        self._tell(f"{name}: booting, by {how}")

    def hello(self, name: str, environment: str, cases: int) -> None:
        """Note that it is up."""
        self._running[name] = (cases, 0, 0)
        self._tell(f"{name}: {environment} is up after {self._spent(name)}")

    def case(self, name: str, case: CaseRecord) -> None:
        """Note that one of its cases is judged."""
        total, done, failing = self._running[name]
        fails = case.verdict in FAILING
        self._running[name] = (total, done + 1, failing + fails)
        if fails:
            self._tell(f"{name}: {case.verdict}  {case.id}: {one_line(title(case))}")
        self._draw()

    def ends(self, name: str, record: Record) -> None:
        """Note that it is done, or lost."""
        del self._running[name]
        self._tell(f"{name}: {counts(record.verdicts)} in {record.duration:.1f} s")

    def _tell(self, text: str) -> None:
        self._write(f"{_ERASE if self._live else ''}{printable(text)}\n")
        self._draw()

    def _draw(self) -> None:
        if not self._live:
            return
        parts = []
        for name, (total, done, failing) in self._running.items():
            failed = f" {failing} failing" if failing else ""
            how_far = f"[{done}/{total}]{failed}" if total else "booting"
            parts.append(f"{name} {how_far} {self._spent(name)}")
        line = "  ".join(parts)
        self._write(_ERASE + line[: shutil.get_terminal_size().columns - 1])

    def _spent(self, name: str) -> str:
        return f"{self._clock() - self._begun[name]:.0f} s"

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()
