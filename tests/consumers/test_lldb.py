# SPDX-License-Identifier: GPL-2.0-only
"""lldb: the same as gdb; it shows no orig_ax to its user, but saves, clears and restores it."""

from __future__ import annotations

import pytest
from sleepers import CALLS, RESUMED, WOKEN, Sleeper, Tool, function, needs, sleeping

from conformance.cases.restarts import Call
from conformance.doors import Door

pytestmark = needs("lldb")

IN_CALL = {"read": "fffffe00", "nanosleep": "fffffdfc"}
"""-ERESTARTSYS and -ERESTART_RESTARTBLOCK, the lower half."""

by_call = pytest.mark.parametrize("call", CALLS, ids=lambda call: call.name)
by_door = pytest.mark.parametrize(
    "door", ["syscall64", "int80_64", "int80_32", "vdso"], indirect=True
)


def lldb(sleeper: Sleeper, *commands: str) -> Tool:
    """Run lldb's commands, attached to a program."""
    lines = (f"process attach -p {sleeper.pid}", *commands)
    return Tool("lldb", "-x", "-b", *(word for line in lines for word in ("-o", line)))


# A function that lldb has a sleeping program call does its work; after it, the program is in its
# own call again, and sees of all this nothing: while lldb stays, and when it leaves.
@pytest.mark.parametrize("leaving", ["process continue", "detach"], ids=["continue", "detach"])
@by_call
@by_door
def test_function(door: Door, call: Call, leaving: str) -> None:
    ax = "eax" if door.bits == 32 else "rax"
    with (
        sleeping(door, call) as sleeper,
        lldb(
            sleeper, "process handle SIGUSR2 -s false", f"register read {ax}",
            f"expression -- {function(door)}", f"register read {ax}", leaving,
        ) as tool,
    ):  # fmt: skip
        tool.until(f"(lldb) {leaving}")
        assert sleeper.asleep() == RESUMED[call.name], tool.transcript()
        sleeper.let_go()
        assert sleeper.outcome() == WOKEN[call.name], tool.transcript()
        in_call = rf"\b{ax} = 0x(ffffffff)?{IN_CALL[call.name]}$"
        tool.shows(in_call, r"^\(int\) \$0 = 0$", in_call)
