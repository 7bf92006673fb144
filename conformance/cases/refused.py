# SPDX-License-Identifier: GPL-2.0-only
"""Requests that no kernel grants, at every kind of stop: what each is refused with, and that the
program is none the worse.

Part of the family `views`.
"""

from __future__ import annotations

import random
import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from conformance.cases import Handler, Probe, case
from conformance.tracing import requests
from conformance.tracing.requests import WORD_SIZE
from conformance.tracing.tracee import Task, Trace

TRIES: Final = 15
"""Requests of one kind at one stop."""
TOP: Final = 1 << 8 * WORD_SIZE
"""Above the tracer's largest word."""
USER_BYTES: Final = {8: 928, 4: 288}[WORD_SIZE]
"""At least sizeof(struct user) (arch/x86/include/asm/user_64.h, user_32.h)."""
REGS_BYTES: Final = WORD_SIZE * {8: 27, 4: 17}[WORD_SIZE]
"""What of it are registers. Behind them, among the debug registers, a 64-bit kernel takes any
offset from a 32-bit tracer (arch/x86/kernel/ptrace.c getreg32, putreg32)."""
NSIG: Final = 64


Draw = Callable[[random.Random], int]
Request = Callable[[int, int, int, int], str]
"""Number, pid, and two arguments; returns the error."""


@dataclass(frozen=True, slots=True)
class Kind:
    """Requests of one kind, each with arguments drawn anew.

    :ivar of: what is wrong with them
    """

    names: tuple[str, ...]
    of: str
    addr: Draw
    data: Draw


def drawn(*bounds: int) -> Draw:
    """Draw from a range."""
    return lambda draw: draw.randrange(*bounds)


def named(name: str) -> Draw:
    """Draw the number of a request, which is one."""
    number: int = getattr(requests, name)
    return drawn(number, number + 1)


def crooked(draw: random.Random) -> int:
    """Draw an offset among the registers of struct user that is not that of a word."""
    return draw.randrange(0, REGS_BYTES, WORD_SIZE) + draw.randrange(1, WORD_SIZE)


ANY: Final = drawn(TOP)
NONE: Final = drawn(1)
PAGE_ZERO: Final = drawn(1, 4096)
"""Where neither the tracer nor the program has memory."""
KERNEL: Final = drawn(TOP - (1 << 24), TOP - 4096)
BEYOND: Final = drawn(USER_BYTES, TOP, WORD_SIZE)
NO_SIGNAL: Final = drawn(NSIG + 1, TOP)
UNKNOWN: Final = drawn(1 << 30, 1 << 31)

KINDS: Final = (
    Kind(("PEEKUSER", "POKEUSER"), "no_word", crooked, ANY),
    Kind(("PEEKUSER", "POKEUSER"), "beyond", BEYOND, ANY),
    Kind(("PEEKTEXT", "POKETEXT"), "page_zero", PAGE_ZERO, ANY),
    Kind(("GETREGS", "SETREGS", "GETFPREGS", "SETFPREGS", "SETSIGINFO"), "page_zero", NONE,
         PAGE_ZERO),
    Kind(("GETREGSET", "SETREGSET"), "page_zero", drawn(1, 2), PAGE_ZERO),
    Kind(("GETSIGMASK", "SETSIGMASK"), "page_zero", drawn(8, 9), PAGE_ZERO),
    Kind(("GETSIGMASK", "SETSIGMASK"), "size", drawn(9, TOP), NONE),
    Kind(("PEEKSIGINFO",), "page_zero", PAGE_ZERO, NONE),
    Kind(("SETOPTIONS",), "bits", NONE, UNKNOWN),
    Kind(("CONT", "SYSCALL", "SYSEMU", "SINGLESTEP", "DETACH"), "signal", ANY, NO_SIGNAL),
    Kind(("SEIZE",), "address", drawn(1, TOP), NONE),
    Kind(("SEIZE", "ATTACH"), "again", NONE, NONE),
)  # fmt: skip
WIDE_KINDS: Final = (
    Kind(("PEEKTEXT", "POKETEXT"), "kernel", KERNEL, ANY),
    Kind(("GETREGS", "SETREGS", "GETFPREGS", "SETFPREGS", "SETSIGINFO"), "kernel", NONE, KERNEL),
    Kind(("GETREGSET", "SETREGSET"), "kernel", drawn(1, 2), KERNEL),
    Kind(("GETSIGMASK", "SETSIGMASK"), "kernel", drawn(8, 9), KERNEL),
    Kind(("PEEKSIGINFO",), "kernel", KERNEL, NONE),
)
"""Of a 64-bit tracer alone: the top of a 32-bit one's memory is its own."""
REGSETS: Final = (
    ("type", drawn(0x1000, 1 << 31), drawn(0, 4096, 8)),
    ("size", drawn(1, 2), drawn(1, 4096, 2)),
)
"""Types and sizes of register sets: no such type; no multiple of a register's size."""


def barrage(trace: Trace, task: Task) -> None:
    """Make all those requests, and tell what each kind was refused with; then read the stop again.

    The seed is the same each time, so that a failure can be had again.
    """
    draw = random.Random(144)

    def volley(name: str, of: str, ask: Request, number: Draw, addr: Draw, data: Draw) -> None:
        errors = {ask(number(draw), task.pid, addr(draw), data(draw)) for _ in range(TRIES)}
        trace.add_read("refused", request=name, of=of, errors=",".join(sorted(errors)))

    for kind in KINDS + (WIDE_KINDS if trace.door.abi == "x86_64" else ()):
        for name in kind.names:
            volley(name, kind.of, requests.refusal, named(name), kind.addr, kind.data)
    volley("unknown", "number", requests.refusal, drawn(0x5000, 0x8000), ANY, ANY)
    for of, note, size in REGSETS:
        for name in ("GETREGSET", "SETREGSET"):
            volley(name, of, requests.regset_refusal, named(name), note, size)
    task.again()


@case("views.refused", door="syscall64", also=["int80_32"], covers=[111, 116, 144])
def refused(trace: Trace) -> None:
    """At the enter and the exit stop of getpid(), at a signal's delivery, at the stop that
    PTRACE_INTERRUPT brings, and at PTRACE_EVENT_EXIT, make hundreds of requests that nobody can be
    granted, by the seed of a generator: offsets, addresses, sizes, types, signals and bits that
    there are not. After each volley read the stop again.
    """
    probe = Probe(
        site="syscall", regs=trace.door.call("getpid"), handlers=[Handler(signal.SIGUSR1)]
    )
    with trace.launch(probe, requests.O_BASE | requests.O_TRACEEXIT) as task:
        task.syscall()
        barrage(trace, task)
        task.syscall()
        barrage(trace, task)
        task.signal(signal.SIGUSR1)
        requests.interrupt(task.pid)
        for _ in range(2):
            task.cont()
            barrage(trace, task)
        stop = task.cont(signal.SIGUSR1)
        barrage(trace, task)
        if not stop.ended:
            task.finish()
    trace.control(probe)
