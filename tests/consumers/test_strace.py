# SPDX-License-Identifier: GPL-2.0-only
"""strace: what it shows of calls of every width, and what becomes of results that it injects."""

from __future__ import annotations

import errno
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest
from sleepers import WOKEN, Outcome, Sleeper, Tool, needs, sleeping

from conformance.cases.restarts import IGNORED, NANOSLEEP, READ
from conformance.doors import Door
from conformance.facts import Environment
from conformance.tracing.image import executable

pytestmark = needs("strace")

by_door = pytest.mark.parametrize(
    "door", ["syscall64", "int80_64", "int80_32", "vdso", "x32"], indirect=True
)
MODES: Mapping[str, str] = {"x86_64": "64 bit", "ia32": "32 bit", "x32": "x32"}


def strace(sleeper: Sleeper, *options: str) -> Tool:
    return Tool("strace", *options, "-f", "-p", sleeper.pid)


# An interrupted read() is shown to be made again, with its own name and arguments, and in the table
# of the door that it is made by.
@by_door
def test_read(door: Door) -> None:
    with sleeping(door, READ) as sleeper, strace(sleeper) as tool:
        tool.until("read(")
        assert sleeper.asleep() == "read", tool.transcript()
        sleeper.task.signal(IGNORED)
        tool.until("read(", times=2)
        assert sleeper.asleep() == "read", tool.transcript()
        sleeper.let_go()
        assert sleeper.outcome() == WOKEN["read"], tool.transcript()
        call = r"^read\(\d+, "
        tool.shows(
            call + r"0x[0-9a-f]+, 1\) += \? ERESTARTSYS ", "^--- SIGWINCH ",
            call + r'"!", 1\) += 1$', r"^exit_group\(0\)", r"^\+\+\+ exited with 0 \+\+\+$",
        )  # fmt: skip
        assert (door.name != "syscall64") == ("runs in" in tool.said), tool.transcript()


# An interrupted nanosleep() is shown to be gone on with, by restart_syscall(), as often as it is
# interrupted; only the signal that the program handles ends it.
@by_door
def test_nanosleep(door: Door) -> None:
    shown = "restart_syscall(<... resuming interrupted"
    with sleeping(door, NANOSLEEP) as sleeper, strace(sleeper) as tool:
        for times in (1, 2):
            tool.until(shown, times)
            assert sleeper.asleep() == "restart_syscall", tool.transcript()
            sleeper.task.signal(IGNORED)
        tool.until(shown, times=3)
        assert sleeper.asleep() == "restart_syscall", tool.transcript()
        sleeper.let_go()
        assert sleeper.outcome() == WOKEN["nanosleep"], tool.transcript()
        again = "^" + re.escape(shown) + r" .* = \? ERESTART_RESTARTBLOCK "
        tool.shows(
            again, "^--- SIGWINCH ", again, "^--- SIGWINCH ", again, "^--- SIGUSR2 ",
            r"^rt_sigreturn\(.* = -1 EINTR ", r"^exit_group\(0\)", "exited with 0",
        )  # fmt: skip


# What strace injects is what the program gets, and nothing else of it is changed: an error, a
# result, also while another call is made in its place, a signal.
@pytest.mark.parametrize(
    ("what", "outcome", "shown"),
    [
        ("error=EPERM", Outcome(-errno.EPERM), r"= -1 EPERM .*\(INJECTED\)$"),
        ("retval=321", Outcome(321), r"= 321 \(INJECTED\)$"),
        ("retval=321:syscall=getppid", Outcome(321), r"= 321 \(INJECTED\)$"),
        ("signal=SIGUSR2", Outcome(-errno.EINTR, handled=1), r"= \? ERESTARTSYS "),
    ],
    ids=["error", "retval", "syscall", "signal"],
)
@by_door
def test_inject(door: Door, what: str, outcome: Outcome, shown: str) -> None:
    with sleeping(door, READ) as sleeper, strace(sleeper, "-e", f"inject=read:{what}") as tool:
        assert sleeper.outcome() == outcome, tool.transcript()
        tool.shows(rf"^read\(.* {shown}", "^exit_group", "exited with 0")


# The same in the call that goes on with another, whose number the kernel chose.
@by_door
def test_inject_restart(door: Door) -> None:
    with (
        sleeping(door, NANOSLEEP) as sleeper,
        strace(sleeper, "-e", "inject=restart_syscall:error=EBADF") as tool,
    ):
        assert sleeper.outcome() == Outcome(-errno.EBADF), tool.transcript()
        tool.shows(
            r"^restart_syscall\(<\.\.\. resuming interrupted .* = -1 EBADF .*\(INJECTED\)$",
            "^exit_group", "exited with 0",
        )  # fmt: skip


def widths(environment: Environment) -> list[str]:
    return ["x86_64"] * bool(environment.facts["x86_64"]) + [
        width for width in ("ia32", "x32") if environment.facts[width]
    ]


# Through execve() from each width to each, strace follows the program's width: each call has the
# name of its own table, and the exit status is the program's.
def test_exec(environment: Environment) -> None:
    known = widths(environment)
    chain = [width for first in known for second in known for width in (first, second)]
    programs = [*(executable("relay", width) for width in chain), executable("true", chain[-1])]
    with Tool("strace", "-f", *programs) as tool:
        tool.end()
        assert tool.status == 42, tool.transcript()
        tool.shows(
            *(rf'^execve\("{re.escape(str(path))}", .* = 0$' for path in programs),
            r"^exit\(42\)", r"^\+\+\+ exited with 42 \+\+\+$",
        )  # fmt: skip
        changes = [MODES[b] for a, b in zip(["x86_64", *chain], chain, strict=False) if a != b]
        assert re.findall(r"runs in (.*) mode", tool.said) == changes, tool.transcript()


# Children of every width that a shell makes are followed, and their calls are of their own tables.
def test_fork(environment: Environment) -> None:
    known = widths(environment)
    lines = "; ".join(f'"${number}"' for number, _ in enumerate(known, 1))
    programs = [executable("true", width) for width in known]
    shell = Path(shutil.which("sh") or "/bin/sh")
    with Tool("strace", "-f", shell, "-c", f"{lines}; exit 7", "sh", *programs) as tool:
        tool.end()
        assert tool.status == 7, tool.transcript()
        for path in programs:
            tool.shows(
                rf'^\[pid +\d+\] execve\("{re.escape(str(path))}", ', r"^\[pid +\d+\] exit\(42\b",
                r"^\[pid +\d+\] \+\+\+ exited with 42 \+\+\+$",
                "^--- SIGCHLD .*si_status=42", r"^\+\+\+ exited with 7 \+\+\+$",
            )  # fmt: skip
