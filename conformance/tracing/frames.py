# SPDX-License-Identifier: GPL-2.0-only
"""Frames: stops of a spinning program, each inside the frame of one interrupt.

How an interrupt is made to arrive, and why the stop is in its frame, stands in
``cprobes/frames.c``. The program enters site ``to_spin``.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import IntEnum
from pathlib import Path
from typing import Any, Final, Self

from conformance._native import ffi, lib
from conformance.errors import HarnessError
from conformance.facts import read_interrupts
from conformance.tracing import program, snapshot
from conformance.tracing.snapshot import Missed
from conformance.tracing.tracee import Event, Heading, Seen, Task, Trace

SITE: Final = "to_spin"

INTERRUPTS: Final = Path("/proc/interrupts")

_STOP: Final = "struct origax_stop *"


def entry(trace: Trace) -> int:
    """Address of the site, whose first instructions say on the board that the loop is reached."""
    return trace.label(SITE).start


class Kind(IntEnum):
    """What makes the kernel stop the program (enum origax_cause)."""

    SIGNAL = lib.ORIGAX_SIGNAL
    READ = lib.ORIGAX_READ
    SLEEP = lib.ORIGAX_SLEEP
    WATCH = lib.ORIGAX_WATCH
    BUSY = lib.ORIGAX_BUSY
    CALL = lib.ORIGAX_CALL


@dataclass(frozen=True, slots=True)
class Cause:
    """What makes the kernel stop the program, each time.

    :param nanoseconds: of a SLEEP or of being BUSY
    :param seed: not 0: each time pseudo-random nanoseconds below that
    :param fd: file of a READ, opened with O_DIRECT
    :param prove: the program must have been in its loop since the last stop; otherwise once
    """

    kind: Kind
    nanoseconds: int = 0
    seed: int = 0
    fd: int = -1
    prove: bool = True

    def loop(self, task: Task) -> Any:
        """Give the C side's struct origax_loop."""
        return ffi.new(
            "struct origax_loop *",
            {"pid": task.pid, "fd": self.fd, "cause": self.kind, "prove": self.prove,
             "entry": entry(task.trace), "nanoseconds": self.nanoseconds, "random": self.seed},
        )  # fmt: skip


def checked(result: int) -> int:
    """Give what a function of the C side returned.

    :raises Missed: the deadline is past
    :raises OSError: it returned another -errno
    """
    if result == -errno.ETIME:
        raise Missed
    if result < 0:
        raise OSError(-result, os.strerror(-result))
    return result


class Frames:
    """Takes frames of one program: equal ones in a row are one stop with a count.

    A context manager, at whose end the last stop joins the transcript.
    """

    def __init__(self, task: Task, cause: Cause) -> None:
        self.taken = 0
        self.ended = False
        self._task = task
        self._loop = cause.loop(task)
        self._stop, self._last = ffi.new(_STOP), ffi.new(_STOP)
        self._count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._keep()

    @property
    def unproven(self) -> int:
        """Stops passed over, because the program had not come back to its loop."""
        return int(self._loop.unproven)

    @property
    def provoked(self) -> int:
        """Times that the cause was made to happen: once for each stop."""
        return self.taken + self.unproven

    def take(self) -> None:
        """Take one frame."""
        if not self._equal():
            self._keep()
            self._stop, self._last = self._last, self._stop
        self._count += 1
        self.taken += 1
        if os.WIFSTOPPED(self._last.status):
            self._task.trace.settle(self._task.pid, ffi.buffer(self._last))
        else:
            self.ended = True

    def go(self) -> None:
        """Resume the program, and wait for what is to come before its stop: the next frame."""
        checked(int(lib.origax_go(self._loop)))

    def _equal(self) -> bool:
        """Take a frame in C; true if it is the last one over again."""
        last = self._last if self._count else ffi.NULL
        return bool(self._call(lib.origax_frame, last, self._stop))

    def _call(self, function: Callable[..., int], *arguments: object) -> int:
        """Call the C side until it is not interrupted by a signal of ours."""
        result = int(function(self._loop, *arguments))
        while result == -errno.EINTR:
            result = int(function(self._loop, *arguments))
        return checked(result)

    def _keep(self) -> None:
        if self._count:
            self._add(self._last, self._count)
            self._count = 0

    def _add(self, raw: Any, count: int) -> None:
        """Add a struct origax_stop to the transcript, as so many stops."""
        stop = snapshot.decode(bytes(ffi.buffer(raw)), self._task.pid, self._task.who)
        self._task.trace.add_stop(replace(stop, count=count))
        if stop.ended:
            self._task.trace.bury(self._task.pid)


class Batches(Frames):
    """Takes frames by a loop in C: equal ones are one stop with a count, whenever they come.

    The second reader reads those that come here: the first of each kind, and the last of a batch.
    """

    def __init__(self, task: Task, cause: Cause) -> None:
        super().__init__(task, cause)
        self._batch = ffi.new("struct origax_batch *")
        self._new: list[Seen] = []

    @property
    def further(self) -> int:
        """Frames of more kinds than are kept: the transcript does not have them."""
        return int(self._batch.further)

    def take(self) -> None:
        """Take one frame."""
        self.take_for(0)

    def take_for(self, seconds: float) -> None:
        """Take frames, one at least, until the time is over, or one is of a new kind."""
        self._batch.until = time.monotonic_ns() + int(seconds * 1e9)
        new = self._call(lib.origax_frames, self._batch)
        self.taken = int(self._batch.frames)
        self.ended = not os.WIFSTOPPED(self._batch.at.status)
        raw = bytes(ffi.buffer(ffi.addressof(self._batch, "at")))
        if not self.ended:
            self._task.trace.settle(self._task.pid, raw)
        if new:
            stop = snapshot.decode(raw, self._task.pid, self._task.who)
            self._new.append(Seen(stop, self._task.trace.context()))

    def news(self) -> list[Event]:
        """Give the first of each new kind since this was last asked, below their heading."""
        new, self._new = self._new, []
        headings = [each for each in self._task.trace.events if isinstance(each, Heading)]
        return [*headings[-1:], *new] if new else []

    def _keep(self) -> None:
        for kind in range(self._batch.kinds):
            self._add(ffi.addressof(self._batch, "stop", kind), int(self._batch.count[kind]))
        if self.ended:
            self._add(ffi.addressof(self._batch, "at"), 1)


class Arrivals:
    """Counts, in /proc/interrupts, what arrived at one CPU since it was made."""

    def __init__(self, cpu: int) -> None:
        self._cpu = cpu
        self._before = self._read()

    def _read(self) -> dict[str, int]:
        return {
            row: counts[self._cpu]
            for row, counts in read_interrupts().items()
            if len(counts) > self._cpu
        }

    def of(self, row: str) -> tuple[int, int]:
        """Give the interrupts of a row, and those of all the others together.

        :raises HarnessError: there is no such row
        """
        now = self._read()
        if row not in now or row not in self._before:
            raise HarnessError(
                f"the interrupts of row {row} cannot be counted", "/proc/interrupts",
                "unmask /proc/interrupts, if this is a container",
            )  # fmt: skip
        moved = {name: count - self._before.get(name, 0) for name, count in now.items()}
        return moved[row], sum(moved.values()) - moved[row]


def arrivals(row: str) -> dict[int, int]:
    """Count the interrupts of one row that ever arrived, by CPU; quicker than of all rows."""
    text = INTERRUPTS.read_bytes()
    cpus = [int(column[3:]) for column in text.partition(b"\n")[0].split()]
    counts = re.findall(rb"^ *%s:(.*)" % row.encode(), text, re.MULTILINE)[0].split()
    return dict(zip(cpus, map(int, counts[: len(cpus)]), strict=True))


def arrived(row: str, cpu: int) -> int:
    """Count the interrupts of one row that ever arrived at a CPU."""
    return arrivals(row)[cpu]


@contextlib.contextmanager
def urgent(cause: Cause) -> Iterator[bool]:
    """Have a tracer whose waking is to preempt the program do so at once; false if it only may.

    One that computes while it waits must not: it would keep a program, or somebody else's
    tracer, from what they do. Launch no program meanwhile: it would inherit this.
    """
    if cause.kind not in (Kind.READ, Kind.SLEEP):
        yield False
        return
    result = lib.origax_urgent()
    try:
        yield result > 0
    finally:
        lib.origax_patient()


def prove(trace: Trace) -> None:
    """Wait until the program is, once more, in its loop.

    :raises Missed: it was not before the deadline
    """
    lib.origax_ask(entry(trace))
    trace.wait_for(lambda: bool(program.board().spinning))


def handled(trace: Trace, number: int) -> None:
    """Wait until the program has handled that many signals.

    :raises Missed: it had not before the deadline
    """
    trace.wait_for(lambda: bool(program.board().frames >= number))


def provoke(task: Task, cause: Cause) -> None:
    """Make the interrupt arrive once, and stop nothing."""
    checked(int(lib.origax_provoke(cause.loop(task))))


def clock(pid: int, nanoseconds: int) -> int:
    """Have the kernel send SIGIO to a task for every so long that it runs user code.

    Returns a file descriptor; close it to end this.

    :raises OSError: perf_event_open or O_ASYNC was refused
    """
    return checked(int(lib.origax_clock(pid, nanoseconds)))
