# SPDX-License-Identifier: GPL-2.0-only
"""Virtual-8086 mode: a call after which another program runs in the same task, until it ends."""

from __future__ import annotations

from signal import SIGTRAP, SIGUSR1
from typing import Final

from conformance._native import lib
from conformance.cases import Handler, Probe, case
from conformance.tracing import program
from conformance.tracing.tracee import Task, Trace

NEEDS: Final = ("vm86",)
PLAIN: Final = 0x1234
VALUES: Final = (PLAIN, -513)
"""What ax holds in that mode: a plain number, and a code that would restart a system call."""
LOOP: Final = 0
INT80: Final = 16
HLT: Final = 32
INT3: Final = 48
"""Where, in cprobes/int80_32/vm86.c, the code of each begins."""
ENDS: Final = {
    "vm86old": {"int80": INT80, "hlt": HLT},
    "vm86": {"int80": INT80, "hlt": HLT, "int3": INT3},
}  # fmt: skip
"""By call, what ends it."""


def entering(
    trace: Trace, begin: int, ax: int = PLAIN, call: str = "vm86old", handler: int = SIGUSR1
) -> Probe:
    """A program that enters that mode, at that code and with that ax."""
    return Probe(
        site="syscall", setup="vm86", regs={"ax": trace.number(call)},
        args=[int(call == "vm86"), begin, ax], handlers=[Handler(handler)],
    )  # fmt: skip


def until_looping(task: Task) -> None:
    """Wait until the program is in its loop, in that mode. If it was there already, have it go
    once more through the way in: it is no longer in the kernel.
    """
    if program.board().spinning:
        lib.origax_ask(LOOP)
    task.trace.wait_for(lambda: bool(program.board().spinning))


def signalling(task: Task) -> None:
    """Send SIGUSR1 into the loop."""
    until_looping(task)
    task.signal(SIGUSR1)


@case("vm86.calls", door="int80_32", needs=NEEDS, covers=[23])
def calls(trace: Trace) -> None:
    """Follow vm86old() and vm86() into a program of that mode which makes int $0x80, HLT or (as
    vm86() alone has it) INT3: whatever stops it ends the call, and is no call of its own.
    """
    for call, ends in ENDS.items():
        for end, begin in ends.items():
            probe = entering(trace, begin, call=call)
            trace.heading(call=call, ends=end)
            with trace.launch(probe) as task:
                stop = task.syscall()
                while not stop.ended:
                    stop = task.syscall(stop.signo)
            trace.control(probe)


@case("vm86.interrupted", door="int80_32", needs=NEEDS, covers=[23, 80, 83])
def interrupted(trace: Trace) -> None:
    """Stop a loop in that mode by PTRACE_INTERRUPT, and by a signal that is suppressed, and see it
    go on; pass the signal on to its handler, which ends the call. ax would restart one.
    """
    for ax in VALUES:
        probe = entering(trace, LOOP, ax)
        for how in ("INTERRUPT", "suppressed"):
            trace.heading(ax=ax, stop=how)
            with trace.launch(probe) as task:
                task.resume()
                if how == "INTERRUPT":
                    until_looping(task)
                    task.interrupt()
                else:
                    signalling(task)
                    task.take()
                task.resume()
                until_looping(task)
                task.interrupt()
                task.kill()
        trace.heading(ax=ax, stop="handled")
        with trace.launch(probe) as task:
            task.resume()
            signalling(task)
            task.take()
            task.cont(SIGUSR1)
        trace.control(probe, signalling)


@case("vm86.exception", door="int80_32", needs=NEEDS, covers=[23, 81])
def exception(trace: Trace) -> None:
    """Run INT3 in that mode, for which vm86old() has no end: pass SIGTRAP on to its handler;
    suppress it, and see the program go on to HLT.
    """
    probe = entering(trace, INT3, handler=SIGTRAP)
    for how in ("handled", "suppressed"):
        trace.heading(signal=how)
        with trace.launch(probe) as task:
            stop = task.cont()
            task.cont(stop.signo if how == "handled" else 0)
    trace.control(probe)
