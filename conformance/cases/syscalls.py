# SPDX-License-Identifier: GPL-2.0-only
"""System calls: what a tracer sees of one, and what it may change, at every door."""

from __future__ import annotations

import signal
from collections.abc import Iterable

from conformance.abi import X32_BIT, Nr32
from conformance.cases import Handler, Probe, case
from conformance.doors import CALLS
from conformance.tracing.tracee import Trace

JUNK = 0xDEAD_BEEF << 32
BEYOND = 10000
HOLES = {"x86_64": 400, "ia32": 222}
"""A number inside the table that no call has: 387 to 423 are kept free on 64-bit x86."""
NEGATIVES = (-2, -512, -(1 << 31))
POKED = 777


def call(number: int) -> Probe:
    """A program that makes one system call of that number."""
    return Probe(site="syscall", regs={"ax": number})


def hole(trace: Trace) -> int:
    """A number inside the door's table that no call has."""
    if trace.door.numbers is Nr32:
        return HOLES["ia32"]
    return HOLES["x86_64"] | (X32_BIT if trace.door.name == "x32" else 0)


def getpid(trace: Trace) -> Probe:
    """A program that calls getpid()."""
    return call(trace.number("getpid"))


def once(trace: Trace, probe: Probe) -> None:
    """Take a program through its one call, untouched, and run its control."""
    with trace.launch(probe) as task:
        task.syscall()
        task.syscall()
        task.finish()
    trace.control(probe)


def follow(trace: Trace, probes: Iterable[tuple[str, Probe]]) -> None:
    """Take each program through its one call, under a heading."""
    for heading, probe in probes:
        trace.heading(ax=heading)
        once(trace, probe)


@case("syscalls.pair", door="syscall64", also=CALLS, covers=[1, 2, 26, 125])
def pair(trace: Trace) -> None:
    """PTRACE_SYSCALL to the enter and the exit of getpid(), then on to the end."""
    once(trace, getpid(trace))


@case("syscalls.parity", door="syscall64", also=CALLS, covers=[27, 28])
def parity(trace: Trace) -> None:
    """Leave getpid() unseen from its enter stop by PTRACE_CONT, to a signal sent meanwhile; then
    PTRACE_SYSCALL: the next stop is an enter stop again, that of exit_group(), which never exits.
    """
    with trace.launch(getpid(trace)) as task:
        task.syscall()
        task.signal(signal.SIGWINCH)
        task.cont()
        task.syscall()
        task.syscall()
    trace.control(getpid(trace))


@case("syscalls.arguments", door="syscall64", also=CALLS, covers=[3, 125])
def arguments(trace: Trace) -> None:
    """Follow futex(FUTEX_CMP_REQUEUE), whose six arguments are all in use and all valid."""
    probe = Probe(site="syscall", setup="requeue", regs={"ax": trace.number("futex")})
    once(trace, probe)


@case("syscalls.argument_rewritten", door="syscall64", also=CALLS, covers=[3, 4])
def argument_rewritten(trace: Trace) -> None:
    """At the enter stop of a valid futex(FUTEX_CMP_REQUEUE), write one argument: once each."""
    probe = Probe(site="syscall", setup="requeue", regs={"ax": trace.number("futex")})
    for register, word in zip(trace.door.arguments, (1, 99, -1, -1, 1, 0x52), strict=True):
        trace.heading(argument=register)
        with trace.launch(probe) as task:
            task.syscall()
            task.poke(**{register: word})
            task.syscall()
            task.finish()
    trace.control(probe)


@case("syscalls.number_rewritten", door="syscall64", also=CALLS, covers=[5, 125])
def number_rewritten(trace: Trace) -> None:
    """At the enter stop of getpid(), write orig_ax = getppid; also with junk above bit 31."""
    for number in (trace.number("getppid"), JUNK | trace.number("getppid")):
        trace.heading(orig_ax=f"{number:#x}")
        with trace.launch(getpid(trace)) as task:
            task.syscall()
            task.poke(orig_ax=number)
            task.syscall()
            task.finish()
    trace.control(getpid(trace))


@case("syscalls.skipped", door="syscall64", also=CALLS, covers=[6])
def skipped(trace: Trace) -> None:
    """Write orig_ax = -1 at the enter stop; and a result there, at the exit stop, or nowhere."""
    for where in ("nowhere", "enter", "exit"):
        trace.heading(result=where)
        with trace.launch(getpid(trace)) as task:
            task.syscall()
            task.poke(orig_ax=-1)
            if where == "enter":
                task.poke(ax=POKED)
            task.syscall()
            if where == "exit":
                task.poke(ax=POKED)
            task.finish()
    trace.control(getpid(trace))


def poke_invalid(trace: Trace, number: int) -> None:
    """Rewrite getpid() to an invalid number and poke a result; likewise a program's own."""
    trace.heading(invalid="tracer", orig_ax=number)
    with trace.launch(getpid(trace)) as task:
        task.syscall()
        task.poke(orig_ax=number, ax=POKED)
        task.syscall()
        task.finish()
    trace.heading(invalid="program", orig_ax=number)
    with trace.launch(call(number)) as task:
        task.syscall()
        task.poke(ax=POKED)
        task.syscall()
        task.finish()
    trace.control(call(number))


@case("syscalls.poked_beyond", door="syscall64", also=CALLS, covers=[7, 9])
def poked_beyond(trace: Trace) -> None:
    """At the enter stop of a call whose number lies beyond the table, write ax."""
    poke_invalid(trace, BEYOND)


@case("syscalls.poked_hole", door="syscall64", also=CALLS, covers=[8])
def poked_hole(trace: Trace) -> None:
    """At the enter stop of a call whose number is an empty slot inside the table, write ax."""
    poke_invalid(trace, hole(trace))


@case("syscalls.poked_minus_one", door="syscall64", also=CALLS, covers=[6, 7])
def poked_minus_one(trace: Trace) -> None:
    """At the enter stop of a call of number -1, write ax: the one number that keeps it."""
    poke_invalid(trace, -1)


@case("syscalls.poked_negative", door="syscall64", also=CALLS, covers=[7])
def poked_negative(trace: Trace) -> None:
    """At the enter stop of a call of another negative number, write ax."""
    for number in NEGATIVES:
        poke_invalid(trace, number)


@case("syscalls.invalid", door="syscall64", also=CALLS, covers=[8, 9, 11])
def invalid(trace: Trace) -> None:
    """Follow calls of numbers that do not exist, touching nothing."""
    follow(trace, ((str(nr), call(nr)) for nr in (BEYOND, hole(trace), -1, *NEGATIVES)))


@case("syscalls.junk", door="syscall64", also=("int80_64", "x32"), covers=[10, 11, 129])
def junk(trace: Trace) -> None:
    """Follow calls with bits set above bit 31 of rax; they dispatch by the lower half."""
    number = trace.number("getpid")
    words = (JUNK | number, 1 << 32 | number, JUNK | 0xFFFFFFFF)
    follow(trace, ((f"{word:#x}", call(word)) for word in words))


@case("syscalls.x32_bit", door="syscall64", covers=[12, 13])
def x32_bit(trace: Trace) -> None:
    """Follow numbers with the x32 bit: getpid's, and one that only x32 has (ioctl, 514)."""
    follow(
        trace,
        ((f"{nr:#x}", call(nr)) for nr in (X32_BIT | trace.number("getpid"), X32_BIT | 514, 514)),
    )


@case("syscalls.clobbers", door="syscall64", covers=[19])
def clobbers(trace: Trace) -> None:
    """Write rcx and r11 at the enter stop of getpid(), and in another run at the exit stop."""
    for where in ("enter", "exit"):
        trace.heading(written=where)
        with trace.launch(getpid(trace)) as task:
            task.syscall()
            if where == "enter":
                task.poke(cx=0x1111, r11=0x2222)
            task.syscall()
            if where == "exit":
                task.poke(cx=0x3333, r11=0x4444)
            task.finish()
    trace.control(getpid(trace))


@case("syscalls.flags", door="syscall64", also=CALLS, covers=[20])
def flags(trace: Trace) -> None:
    """Follow getpid() with CF, DF, NT or AC set by the program."""
    for name, bit in (("CF", 0x1), ("DF", 0x400), ("NT", 0x4000), ("AC", 0x40000)):
        trace.heading(flag=name)
        probe = Probe(site="syscall", regs={"ax": trace.number("getpid"), "flags": 0x202 | bit})
        once(trace, probe)


@case("syscalls.trap_flag", door="syscall64", also=CALLS, covers=[20, 94])
def trap_flag(trace: Trace) -> None:
    """Follow getpid() under the program's own TF; pass each SIGTRAP on to its handler."""
    probe = Probe(
        site="tf_syscall", regs={"ax": trace.number("getpid")}, handlers=[Handler(signal.SIGTRAP)],
    )  # fmt: skip
    with trace.launch(probe) as task:
        stop = task.syscall()
        while not stop.ended:
            stop = task.syscall(stop.signo)
    trace.control(probe)


@case("syscalls.page_end", door="syscall64", covers=[1, 2, 19])
def page_end(trace: Trace) -> None:
    """Follow getpid() by a SYSCALL that ends on the last byte of a page."""
    probe = Probe(site="to_page_end", regs={"ax": trace.number("getpid")})
    once(trace, probe)
