# SPDX-License-Identifier: GPL-2.0-only
"""ltrace: calls of a program that signals interrupt; it tells their entry from exit by orig_ax.

It traces none but dynamically linked programs, so these are the machine's own.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

from sleepers import Tool, asleep, needs

from conformance.doors import OWN

pytestmark = needs("ltrace")


def traced(tool: Tool) -> int:
    """Pid of the program that ltrace runs."""
    (pid,) = Path(f"/proc/{tool.pid}/task/{tool.pid}/children").read_text().split()
    return int(pid)


# Each half of a read() that a signal interrupts, and of the one that is made in its place, is taken
# for what it is: the first returns -ERESTARTSYS to the tracer, the second what the program gets.
def test_read() -> None:
    theirs, ours = os.pipe()
    with Tool("ltrace", "-L", "-S", "cat", stdin=theirs) as tool:
        os.close(theirs)
        tool.until("SYS_read(0")
        assert asleep(traced(tool), OWN) == "read", tool.transcript()
        os.kill(traced(tool), signal.SIGWINCH)
        tool.until("SYS_read(0", times=2)
        assert asleep(traced(tool), OWN) == "read", tool.transcript()
        os.write(ours, b"hello\n")
        os.close(ours)
        tool.shows(
            r"^SYS_read\(0", "= -512$", "^--- SIGWINCH ", r'^SYS_read\(0, "hello\\n", .* = 6$',
            r'^SYS_read\(0, "", .* = 0$', r"^SYS_exit_group\(0", r"^\+\+\+ exited \(status 0\)",
        )  # fmt: skip


# The same of a sleep, which restart_syscall() goes on with, until a signal ends the program.
def test_sleep() -> None:
    with Tool("ltrace", "-L", "-S", "sleep", "1000") as tool:
        tool.until("nanosleep")
        assert asleep(traced(tool), OWN) == "clock_nanosleep", tool.transcript()
        for times in (1, 2):
            os.kill(traced(tool), signal.SIGWINCH)
            tool.until("SYS_restart_syscall(", times)
            assert asleep(traced(tool), OWN) == "restart_syscall", tool.transcript()
        os.kill(traced(tool), signal.SIGTERM)
        again = [r"^SYS_restart_syscall\(.* = -516$", "^--- SIG"]
        tool.shows(
            r"^SYS_clock_nanosleep\(.* = -516$", "^--- SIGWINCH ", *again, *again,
            r"^\+\+\+ killed by SIGTERM",
        )  # fmt: skip
