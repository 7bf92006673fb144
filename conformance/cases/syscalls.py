# SPDX-License-Identifier: GPL-2.0-only
"""System calls: what a tracer sees of one, and what it may change, at every door."""

from __future__ import annotations

import signal
from collections.abc import Iterable, Mapping
from dataclasses import replace

from conformance.abi import X32_BIT, Nr, Nr32
from conformance.cases import Handler, Probe, case
from conformance.doors import CALLS, IA32
from conformance.tracing.tracee import Task, Trace

SA_ONSTACK = 0x0800_0000
JUNK = 0xDEAD_BEEF << 32
BEYOND = 10000
HOLES = {"x86_64": 400, "ia32": 222}
"""A number inside the table that no call has: 387 to 423 are kept free on 64-bit x86."""
NEGATIVES = (-2, -512, -(1 << 31))
POKED = 777
FAST = ("sysenter", "syscall32")
"""The doors of __kernel_vsyscall: the kernel shows its landing pad, and finds ebp on the stack."""
NARROW = {
    name: 0xC0DE_0010 + number
    for number, name in enumerate(("bx", "cx", "dx", "si", "di", "bp"))
}  # fmt: skip
"""Registers whose upper halves are 0: 32-bit code need not keep more."""
ROUNDS = 20
"""Sleeps of one program; each may last until the next tick."""


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


def to_the_end(task: Task) -> None:
    """PTRACE_SYSCALL until the task is gone, passing every signal on."""
    stop = task.syscall()
    while not stop.ended:
        stop = task.syscall(stop.signo)


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


OF_X32 = (514, 547)
"""ioctl and pwritev2: the numbers from 512 to 547 are x32's alone."""
NOT_OF_X32 = 16
"""ioctl of 64-bit programs."""


@case("syscalls.x32_bit", door="syscall64", also=(*IA32, "x32"), covers=[12, 13])
def x32_bit(trace: Trace) -> None:
    """Follow numbers with the x32 bit: getpid's, two that only x32 has (ioctl, pwritev2), and one
    that it has not (64-bit ioctl); the same without the bit, where they would be x32's alone, and
    in an x32 program getpid.
    """
    own = trace.number("getpid")
    numbers = [X32_BIT | nr for nr in (own, *OF_X32, NOT_OF_X32)] + list(OF_X32)
    if own & X32_BIT:
        numbers.append(own & ~X32_BIT)
    follow(trace, ((f"{nr:#x}", call(nr)) for nr in numbers))


def write_at(trace: Trace, where: str, words: Mapping[str, int]) -> None:
    """Write registers at the enter stop of getpid(), or at its exit stop."""
    with trace.launch(getpid(trace)) as task:
        task.syscall()
        if where == "enter":
            task.poke(**words)
        task.syscall()
        if where == "exit":
            task.poke(**words)
        task.finish()


@case("syscalls.clobbers", door="syscall64", also=CALLS, covers=[19])
def clobbers(trace: Trace) -> None:
    """Write rcx and r11 at the enter stop of getpid(), and in another run at the exit stop; in a
    32-bit program, ecx.
    """
    written = {"enter": {"cx": 0x1111, "r11": 0x2222}, "exit": {"cx": 0x3333, "r11": 0x4444}}
    for where, words in written.items():
        if trace.door.bits == 32:
            del words["r11"]
        trace.heading(written=where)
        write_at(trace, where, words)
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
        to_the_end(task)
    trace.control(probe)


@case(
    "syscalls.page_end", door="syscall64", also=("int80_64", "int80_32", "x32"), covers=[1, 2, 19]
)  # fmt: skip
def page_end(trace: Trace) -> None:
    """Follow getpid() by an instruction that ends on the last byte of a page."""
    probe = Probe(site="to_page_end", regs={"ax": trace.number("getpid")})
    once(trace, probe)


@case("syscalls.int80_keeps", door="int80_64", covers=[14, 15])
def int80_keeps(trace: Trace) -> None:
    """Write r8 to r15, whole, at the enter stop of int $0x80, and in another run at its exit
    stop.
    """
    for where in ("nowhere", "enter", "exit"):
        trace.heading(written=where)
        words = {f"r{number}": JUNK | 0x1000 * number for number in range(8, 16)}
        write_at(trace, where, words)
    trace.control(getpid(trace))


@case("syscalls.int80_arguments", door="int80_64", covers=[3, 14, 125])
def int80_arguments(trace: Trace) -> None:
    """Follow futex(FUTEX_CMP_REQUEUE) by int $0x80, whose six arguments are all valid but for bits
    above bit 31, in each; then write one such argument at the enter stop.
    """
    probe = Probe(
        site="syscall", setup="requeue", args=[JUNK], regs={"ax": trace.number("futex")},
    )  # fmt: skip
    trace.heading(argument="own")
    once(trace, probe)
    trace.heading(argument="written")
    with trace.launch(probe) as task:
        task.syscall()
        task.poke(bp=JUNK | 0x52)
        task.syscall()
        task.finish()


@case("syscalls.number_narrow", door="int80_64", also=("int80_32", *FAST), covers=[5, 6, 39],
      needs=["tracer64"])  # fmt: skip
def number_narrow(trace: Trace) -> None:
    """As a 32-bit tracer, write the number at the enter stop of getpid(): getppid's, or -1; and
    for -1 a result besides.
    """
    for number, result in ((trace.number("getppid"), None), (-1, None), (-1, POKED), (-1, -1)):
        trace.heading(orig_ax=number, result="none" if result is None else result)
        with trace.launch(getpid(trace)) as task:
            task.syscall()
            task.narrow_poke(orig_ax=number)
            if result is not None:
                task.narrow_poke(ax=result)
            task.syscall()
            task.finish()
    trace.control(getpid(trace))


@case("syscalls.sixth_argument", door="syscall32", also=("sysenter",), covers=[3, 4, 16])
def sixth_argument(trace: Trace) -> None:
    """At the enter stop of a valid futex(FUTEX_CMP_REQUEUE) by the vDSO, write the sixth argument
    where the vDSO pushed it, and in another run into ebp.
    """
    probe = Probe(site="syscall", setup="requeue", regs={"ax": trace.number("futex")})
    for where in ("stack", "register"):
        trace.heading(written=where)
        with trace.launch(probe) as task:
            stop = task.syscall()
            if where == "stack":
                task.poke_stack(stop, 0x52)
            else:
                task.poke(bp=0x52)
            task.syscall()
            task.finish()
    trace.control(probe)


@case("syscalls.bad_stack", door="syscall32", also=("sysenter",), covers=[17, 18])
def bad_stack(trace: Trace) -> None:
    """Follow a program that enters by the vDSO's own instruction with no readable stack: nothing
    mapped there, or only the first two bytes. Its SIGSEGV goes to a handler on another stack.
    """
    for number, name in enumerate(("unmapped", "straddling")):
        trace.heading(stack=name)
        probe = Probe(
            site="bad_stack", setup="bad_stack", args=[number],
            regs={"ax": trace.number("getpid")},
            handlers=[Handler(signal.SIGSEGV, SA_ONSTACK)], skip=True,
        )  # fmt: skip
        with trace.launch(probe) as task:
            to_the_end(task)
        trace.control(probe)


def far(trace: Trace, probe: Probe) -> None:
    """Follow a program through code of the other width: a call and an exception there; and a
    signal sent at the call's exit stop, whose handler passes over the exception.
    """
    for sent in ("nothing", "SIGUSR1"):
        trace.heading(sent=sent)
        with trace.launch(probe) as task:
            task.syscall()
            task.syscall()
            if sent == "SIGUSR1":
                task.signal(signal.SIGUSR1)
            to_the_end(task)
    trace.control(probe)


def far_probe(trace: Trace, site: str, number: int) -> Probe:
    """A program that makes a call in code of the other width."""
    return Probe(
        site=site, regs={**NARROW, "ax": number},
        handlers=[Handler(signal.SIGILL), Handler(signal.SIGUSR1)],
        edits={"ip": trace.label("far_ud").end},
    )  # fmt: skip


@case("syscalls.far_32", door="int80_64", covers=[14, 22, 81, 112, 125])
def far_32(trace: Trace) -> None:
    """Follow a 64-bit program through 32-bit code: int $0x80 and an invalid opcode there, then
    back; and a signal at the call's exit stop, whose handler passes over the opcode.
    """
    far(trace, far_probe(trace, "far_32", trace.number("getpid")))


@case("syscalls.far_64", door="int80_32", needs=("x86_64",), covers=[1, 2, 22, 81, 112, 125])
def far_64(trace: Trace) -> None:
    """Follow a 32-bit program through 64-bit code: SYSCALL and an invalid opcode there, then
    back; and a signal at the call's exit stop, whose handler passes over the opcode.
    """
    far(trace, far_probe(trace, "far_64", Nr.getpid))


@case("syscalls.sysret_stack", door="int80_64", covers=[21])
def sysret_stack(trace: Trace) -> None:
    """A 64-bit program sleeps by SYSCALL while another computes on its CPU, and each time that it
    is back uses the stack in 32-bit code; once, with stops around the call, and often, without.
    """
    sleep_and_push(trace, Probe(site="sysret_stack", setup="busy", regs=NARROW, args=[ROUNDS]))


@case("syscalls.sysret_stack_32", door="syscall32", covers=[21])
def sysret_stack_32(trace: Trace) -> None:
    """The same by a 32-bit program, which uses the stack behind SYSCALL in its vDSO."""
    sleep_and_push(trace, Probe(site="sysret_stack_32", setup="busy", args=[ROUNDS]))


def sleep_and_push(trace: Trace, probe: Probe) -> None:
    """Let a program sleep and use its stack, once with stops and often without."""
    trace.heading(by="SYSCALL")
    with trace.launch(replace(probe, args=[1])) as task:
        task.syscall()
        task.syscall()
        task.finish()
    trace.heading(by="CONT")
    with trace.launch(probe) as task:
        task.finish()
    trace.control(probe)
