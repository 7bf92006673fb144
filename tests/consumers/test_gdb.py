# SPDX-License-Identifier: GPL-2.0-only
"""gdb: functions called while a program sleeps in a call, and what becomes of the call."""

from __future__ import annotations

import pytest
from sleepers import (
    CALLS,
    RESUMED,
    WOKEN,
    Outcome,
    Sleeper,
    Tool,
    function,
    needs,
    sleeping,
)

from conformance.cases.restarts import NANOSLEEP, READ, Call
from conformance.doors import Door

pytestmark = needs("gdb")

RESTART = {READ.name: -512, NANOSLEEP.name: -516}
"""-ERESTARTSYS and -ERESTART_RESTARTBLOCK: what is in ax at a stop in the call."""

by_call = pytest.mark.parametrize("call", CALLS, ids=lambda call: call.name)
by_door = pytest.mark.parametrize(
    "door", ["syscall64", "int80_64", "int80_32", "vdso"], indirect=True
)


def gdb(sleeper: Sleeper, *commands: str) -> Tool:
    """Run gdb's commands, attached to a program. Its registers are named by the program's width."""
    named = [
        line.replace("$orig_ax", "$orig_eax").replace("$ax", "$eax") if sleeper.door.bits == 32
        else line.replace("$orig_ax", "$orig_rax").replace("$ax", "$rax")
        for line in ("handle SIGUSR2 nostop", f"attach {sleeper.pid}", *commands)
    ]  # fmt: skip
    return Tool("gdb", "-nx", "-q", "-batch", *(word for line in named for word in ("-ex", line)))


def registers(when: str) -> str:
    return f'printf "{when}: orig_ax %ld, ax %ld\\n", (long) $orig_ax, (long) $ax'


def gave(door: Door) -> str:
    return f'printf "gave %d\\n", {function(door)}'


# A function that gdb has a sleeping program call does its work, with no call in flight meanwhile;
# after it, the program is in its own call again, and sees of all this nothing.
@by_call
@by_door
def test_function(door: Door, call: Call) -> None:
    in_call = f"orig_ax {door.number(call.system_call)}, ax {RESTART[call.name]}$"
    with (
        sleeping(door, call) as sleeper,
        gdb(
            sleeper, registers("before"), gave(door), registers("between"),
            "break __vdso_clock_gettime", gave(door), registers("within"), "finish",
            registers("after"), "delete", "echo ready\\n", "continue",
        ) as tool,
    ):  # fmt: skip
        tool.until("ready\n")
        assert sleeper.asleep() == RESUMED[call.name], tool.transcript()
        sleeper.let_go()
        assert sleeper.outcome() == WOKEN[call.name], tool.transcript()
        tool.shows(
            f"^before: {in_call}", "^gave 0$", f"^between: {in_call}",
            "stopped while in a function called from GDB", "^within: orig_ax -1, ",
            f"^after: {in_call}", r"\[Inferior 1 \(process \d+\) exited normally\]",
        )  # fmt: skip


# The same when gdb leaves the program: nobody is there to make good what went wrong.
@by_call
@by_door
def test_detach(door: Door, call: Call) -> None:
    with (
        sleeping(door, call) as sleeper,
        gdb(sleeper, gave(door), "detach") as tool,
    ):
        tool.shows("^gave 0$", r"\[Inferior 1 \(process \d+\) detached\]")
        assert sleeper.asleep() == RESUMED[call.name], tool.transcript()
        sleeper.let_go()
        assert sleeper.outcome() == WOKEN[call.name], tool.transcript()


# Who writes -1 into orig_ax, as gdb does when it moves a program elsewhere, keeps the kernel from
# making the call again: the program gets what was in ax.
@by_call
@by_door
def test_minus_one(door: Door, call: Call) -> None:
    with sleeping(door, call) as sleeper, gdb(sleeper, "set $orig_ax = -1", "detach") as tool:
        tool.end()
        assert sleeper.outcome() == Outcome(RESTART[call.name]), tool.transcript()


# A jump out of a call goes where gdb says: were the call made again, ip would be moved to the ud2
# before that place, and ax overwritten.
@by_call
@by_door
def test_jump(door: Door, call: Call) -> None:
    with sleeping(door, call) as sleeper, gdb(sleeper, "jump *(long) &origax_leave") as tool:
        assert sleeper.outcome().ending == "exited 0, not behind its call", tool.transcript()
        tool.shows(r"\[Inferior 1 \(process \d+\) exited normally\]")


# gdb's catchpoints tell the entry from the exit of the call that the program goes on with, and know
# its name. For what int $0x80 calls from 64-bit code they have no table: that door is left out.
@by_call
@pytest.mark.parametrize("door", ["syscall64", "int80_32", "vdso"], indirect=True)
def test_catch(door: Door, call: Call) -> None:
    with (
        sleeping(door, call) as sleeper,
        gdb(sleeper, "catch syscall", "continue", "echo ready\\n", "continue", "delete",
            "continue") as tool,
    ):  # fmt: skip
        tool.until("ready\n")
        assert sleeper.asleep() == RESUMED[call.name], tool.transcript()
        sleeper.let_go()
        assert sleeper.outcome() == WOKEN[call.name], tool.transcript()
        name = RESUMED[call.name]
        tool.shows(
            rf"\(call to syscall '?{name}'?\)", rf"\(returned from syscall '?{name}'?\)",
            "exited normally",
        )  # fmt: skip
