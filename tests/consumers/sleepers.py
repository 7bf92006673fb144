# SPDX-License-Identifier: GPL-2.0-only
"""Programs to debug and to trace, and the tools that do it: what both saw."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import selectors
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final

import pytest

from conformance.cases.restarts import NANOSLEEP, READ, Action, Call, making
from conformance.doors import Door
from conformance.tracing import program
from conformance.tracing.hand import Local
from conformance.tracing.image import image
from conformance.tracing.proc import blocked_in
from conformance.tracing.snapshot import Missed
from conformance.tracing.tracee import Options, Task, Trace

PATIENCE: Final = 60.0
"""Seconds until a tool or a program is given up."""
LAST_WORDS: Final = 1.0
"""Seconds in which a tool may end by itself once its test has failed."""
LEFT_BY_SYSCALL: Final = frozenset({"cx", "r11"})
"""Registers that the instruction SYSCALL itself overwrites in 64-bit code."""
CALLS: Final = (READ, NANOSLEEP)
"""One that is made again, and one that is gone on with, by a restart block."""

RESUMED: Final = {READ.name: "read", NANOSLEEP.name: "restart_syscall"}
"""The call that a program is in when it has gone on."""


def function(door: Door) -> str:
    """An expression in C: a function that every program has, which makes a system call and gives 0.

    The vDSO knows the time of CLOCK_PROCESS_CPUTIME_ID, which is 2, by the kernel alone. It goes to
    a stack that these programs do not use.
    """
    unused = image(door.image).stacks[1].start
    return f"((int (*)(int, void *)) __vdso_clock_gettime)(2, (void *) {unused:#x})"


def needs(tool: str) -> pytest.MarkDecorator:
    """Skip a module where a tool is not installed."""
    return pytest.mark.skipif(
        shutil.which(tool) is None, reason=f"{tool} is not installed: apt install {tool}"
    )


class Tool:
    """A tool at work, its output and its errors in one transcript. It is killed at the end."""

    def __init__(self, *command: str | Path | int, stdin: int = subprocess.DEVNULL) -> None:
        self.command = list(map(str, command))
        self.said = ""
        self._process = subprocess.Popen(
            self.command, stdin=stdin, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, env=os.environ | {"LC_ALL": "C", "DEBUGINFOD_URLS": ""},
        )  # fmt: skip
        self._deadline = time.monotonic() + PATIENCE

    @property
    def pid(self) -> int:
        return self._process.pid

    def until(self, text: str, times: int = 1) -> None:
        """Wait until it has said something so many times."""
        while self.said.count(text) < times:
            assert self._hear(), f"never said {times} times: {text!r}\n{self}"

    def end(self) -> None:
        """Wait for its end."""
        while self._hear():
            pass

    def shows(self, *patterns: str) -> None:
        """Wait for its end; its lines match those patterns, in that order, others between them."""
        self.end()
        lines = iter(self.said.splitlines())
        for pattern in patterns:
            found = any(re.search(pattern, line) for line in lines)
            assert found, f"no line, or none in its place, matches {pattern!r}\n{self}"

    def transcript(self) -> str:
        """Give what it said, whether it is about to end or never would: for a failure."""
        self._deadline = min(self._deadline, time.monotonic() + LAST_WORDS)
        with contextlib.suppress(AssertionError):
            self.end()
        return str(self)

    def __str__(self) -> str:
        return f"$ {shlex.join(self.command)}\n{self.said}"

    @property
    def status(self) -> int:
        """Its exit status, once it has ended."""
        return self._process.wait(max(0.0, self._deadline - time.monotonic()))

    def _hear(self) -> bool:
        """Hear some more; False when all is said."""
        assert self._process.stdout
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            left = self._deadline - time.monotonic()
            assert left > 0 and selector.select(left), f"hangs\n{self}"
        heard = os.read(self._process.stdout.fileno(), 65536)
        self.said += heard.decode(errors="backslashreplace")
        return bool(heard)

    def __enter__(self) -> Tool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:  # fmt: skip
        self._process.kill()
        self._process.wait()
        assert self._process.stdout
        self._process.stdout.close()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a program saw of its call.

    :ivar result: of the call, as the program has it in ax, signed
    :ivar handled: signals that its handler was given
    :ivar changed: registers besides ax that are not as they were before the call
    """

    result: int
    handled: int = 0
    changed: frozenset[str] = frozenset()
    ending: str = "exited 0"


WOKEN: Final = {
    READ.name: Outcome(1),
    NANOSLEEP.name: Outcome(-errno.EINTR, handled=1),
}
"""What a program sees of a call that is let go, by a byte or a signal, and that nobody disturbs."""


class Anyone(Local):
    """A tracer that nobody knows yet: Yama's PR_SET_PTRACER_ANY."""

    pid = -1


def asleep(pid: int, door: Door) -> str:
    """Wait until a program sleeps; the name of the call that the kernel says it is in.

    One that does not, but stays stopped or ends, is in none.
    """
    deadline = time.monotonic() + PATIENCE
    while (state := _state(pid)) not in "SZX" and time.monotonic() < deadline:
        time.sleep(program.POLL)
    blocked = blocked_in(pid) if state == "S" else None
    if blocked is None:
        return f"none, in state {state}"
    return {int(number): number.name for number in door.numbers}.get(blocked.nr, str(blocked.nr))


def _state(pid: int) -> str:
    """Its letter in /proc/PID/stat; X when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(") ")[2][0]
    except OSError:
        return "X"


class Sleeper:
    """A program asleep in a call."""

    def __init__(self, trace: Trace, task: Task, release: Action) -> None:
        self.door = trace.door
        self.task = task
        self.pid = task.pid
        self._release = release

    def asleep(self) -> str:
        """Wait until the program sleeps; the name of the call that the kernel says it is in."""
        return asleep(self.pid, self.door)

    def let_go(self) -> None:
        """Let it go as nobody but its own waker does."""
        self._release(self.task)

    def outcome(self) -> Outcome:
        """Wait for its end, which the tool may be the first to hear of; what it saw."""
        try:
            ending = self.task.look().kind
        except Missed:
            ending = "never ended"
        return self._saw(ending)

    def _saw(self, ending: str) -> Outcome:
        board = program.board()
        before, after = program.registers(board.in_), program.registers(board.out)
        width = self.door.bits
        ax = after["ax"] & (1 << width) - 1
        names = {name for name in program.PATTERNED if before[name] != after[name]} - {"ax"}
        if self.door.name in ("syscall64", "x32"):
            names -= LEFT_BY_SYSCALL
        return Outcome(
            ax - (ax >> width - 1 << width), int(board.frames), frozenset(names),
            ending if board.landed else f"{ending}, not behind its call",
        )  # fmt: skip


@contextlib.contextmanager
def sleeping(door: Door, call: Call) -> Iterator[Sleeper]:
    """Launch a program that sleeps in a call by a door, for anyone to trace; kill it at the end."""
    cpus = tuple(os.sched_getaffinity(0))
    with Trace(Options(timeout=PATIENCE), cpus, door) as trace, making(trace, call) as making_it:
        probe, release = making_it
        trace.hand = Anyone()
        with trace.adopt(probe, Task.until_asleep) as task:
            yield Sleeper(trace, task, release)
