# SPDX-License-Identifier: GPL-2.0-only
"""What debuggers, recorders and checkpointers do to a program, across widths.

They stop a program in a call, have it do something else, and put back what they saved. What they
saved may have lost its upper halves on the way, or have been 32 bits wide from the start.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Final

from conformance.abi import REGISTERS_32
from conformance.cases import Handler, Probe, case
from conformance.cases.restarts import (
    CALLS,
    FIRST,
    NANOSLEEP,
    POLL,
    READ,
    SA_RESTART,
    SECOND,
    complete,
    interrupted,
    making,
    released,
)
from conformance.cases.signals import sending, strike, until_spinning
from conformance.doors import ABIS
from conformance.doors import CALLS as DOORS
from conformance.tracing import requests
from conformance.tracing.snapshot import Stop
from conformance.tracing.tracee import Task, Trace

NEEDS: Final = ("tracer64", "ia32")
"""A tracer of 64 bits, that can make requests of 32."""
POKED: Final = 777


def low(word: int) -> int:
    """Give the lower half of a register, the upper one clear."""
    return word & 0xFFFF_FFFF


# --- -1 of 32 bits ---


@case("consumers.minus_one", door="syscall64", also=DOORS, covers=[6, 38, 39, 114], needs=NEEDS)
def minus_one(trace: Trace) -> None:
    """Write orig_ax = 0x00000000ffffffff by a 64-bit tracer, as gdb does to a 32-bit program, and
    -1 by a 32-bit one: at the signal-delivery-stop of a call that is interrupted, whose signal is
    suppressed, and at the enter stop of getpid(), with a result. Read it back.
    """
    getpid = Probe(site="syscall", regs={"ax": trace.number("getpid")})
    for tracer in (64, 32):
        for call in (READ, NANOSLEEP):
            trace.heading(tracer=tracer, at="signal", call=call.name)
            with making(trace, call) as (probe, _), trace.launch(probe) as task:
                interrupted(task)
                deny(task, tracer)
                complete(task)
        trace.heading(tracer=tracer, at="enter", call="getpid")
        with trace.launch(getpid) as task:
            task.syscall()
            deny(task, tracer)
            task.poke(ax=POKED)
            task.syscall()
            task.finish()
    for call in (READ, NANOSLEEP):
        released(trace, call)
    trace.control(getpid)


def deny(task: Task, tracer: int) -> None:
    """Write orig_ax = -1 in 32 bits, by a tracer of that width, and read it back."""
    if tracer == 64:
        task.poke(orig_ax=low(-1))
    else:
        task.narrow_poke(orig_ax=-1)
    task.again()


# --- an -ERESTART code that has lost its upper half ---


@case("consumers.zero_extended", door="syscall64", also=DOORS, covers=[25, 40], needs=NEEDS)
def zero_extended(trace: Trace) -> None:
    """At the signal-delivery-stop of each call, write ax = its code without the upper half.
    Suppress the signal, or have it handled with SA_RESTART.
    """
    for call in CALLS:
        for name, restarting in (("suppressed", ()), ("SA_RESTART", (Handler(FIRST, SA_RESTART),))):
            trace.heading(call=call.name, signal=name)
            handlers = (*restarting, Handler(SECOND))
            with making(trace, call, handlers) as (probe, release), trace.launch(probe) as task:
                stop = interrupted(task)
                task.poke(ax=low(stop.regs["ax"]))
                complete(task, release, signo=FIRST if restarting else 0)
        released(trace, call)


@case("consumers.call_function", door="syscall64", also=DOORS, covers=[37, 39, 40, 41, 43],
      needs=NEEDS)  # fmt: skip
def call_function(trace: Trace) -> None:
    """Have the program call a function while it is in a call, as a debugger does, and put all
    registers back: with ax sign-extended, as gdb takes care to do to a 32-bit program, and without
    its upper half. To a 32-bit program, also register by register, by a 32-bit tracer.
    """
    for call in (READ, NANOSLEEP, POLL):
        for name in ("sign-extended", "zero-extended", *(["32-bit"] * (trace.door.bits == 32))):
            trace.heading(call=call.name, ax=name)
            with making(trace, call) as (probe, release), trace.launch(probe) as task:
                saved = called(trace, task)
                if name == "32-bit":
                    task.narrow_put_back(saved)
                else:
                    task.put_back(saved)
                    if name == "zero-extended":
                        task.poke(ax=low(saved.regs["ax"]))
                complete(task, release)
        released(trace, call)


def called(trace: Trace, task: Task) -> Stop:
    """Interrupt a call by a signal and have the program call a function from that stop, up to the
    int3 that ends it. Returns the stop in the call.
    """
    saved = interrupted(task)
    run_function(task)
    return saved


def run_function(task: Task) -> None:
    """Have the program call a function from the stop that it is in, up to the int3 that ends it."""
    task.poke(orig_ax=low(-1), ip=task.trace.label("called").start)
    task.cont()


# --- what a 32-bit tracer's writing of orig_eax means ---

Write = Callable[[Task, Stop], object]


def by_regset(task: Task, saved: Stop) -> None:
    """Write all registers by PTRACE_SETREGSET, in the layout of the program; ax zero-extended."""
    regs = {**saved.regs, "ax": low(saved.regs["ax"])}
    if task.trace.door.bits == 32:
        data = struct.pack("=17I", *(low(regs[name]) for name in REGISTERS_32))
    else:
        data = requests.packed(regs)
    requests.setregset(task.pid, data)
    task.trace.add_poke("SETREGSET", task.who, regs="saved", ax=regs["ax"])


def mixed(task: Task, saved: Stop) -> None:
    """Write the number by a 32-bit tracer, and only then ax by a 64-bit one."""
    task.narrow_poke(orig_ax=saved.regs["orig_ax"])
    task.poke(ax=low(saved.regs["ax"]))


def minus_one_first(task: Task, saved: Stop) -> None:
    """Write -1 by a 32-bit tracer, and then the number by a 64-bit one; ax by the former."""
    task.narrow_poke(ax=saved.regs["ax"], orig_ax=-1)
    task.poke(orig_ax=saved.regs["orig_ax"])


def before_the_function(task: Task, saved: Stop) -> None:
    """Write the number by a 32-bit tracer, but then have the program call its function again."""
    task.narrow_poke(orig_ax=saved.regs["orig_ax"])
    run_function(task)
    task.put_back(saved)
    task.poke(ax=low(saved.regs["ax"]))


WRITES: Final[Mapping[str, Write]] = {
    "sign-extended": lambda task, saved: task.poke(
        ax=saved.regs["ax"], orig_ax=saved.regs["orig_ax"]
    ),
    "zero-extended": lambda task, saved: task.poke(
        ax=low(saved.regs["ax"]), orig_ax=saved.regs["orig_ax"]
    ),
    "32-bit": lambda task, saved: task.narrow_poke(
        ax=saved.regs["ax"], orig_ax=saved.regs["orig_ax"]
    ),
    "32-bit-ax": lambda task, saved: task.narrow_poke(ax=saved.regs["ax"]),
    "minus-one-first": minus_one_first,
    "mixed": mixed,
    "before-the-function": before_the_function,
    "regset": by_regset,
}
"""Ways to write ax and orig_ax, outside any call, as they were in one."""
TELLING: Final = ("zero-extended", "32-bit", "regset")
"""Those that tell whether a restart block is found by the number of its own width."""


@case("consumers.regs_poked", door="syscall64", also=DOORS, covers=[37, 40, 41, 43], needs=NEEDS)
def regs_poked(trace: Trace) -> None:
    """Have the program call a function while it is in a call, and put all registers back; then
    write ax and orig_ax once more: by a 64-bit tracer with and without the upper half of ax, by a
    32-bit tracer, by that ax alone, by that -1 before the other writes the number, by that the
    number before the other writes ax without its upper half, and likewise before the function is
    called once more; and all by PTRACE_SETREGSET, which is in the program's width.
    """
    for call, names in ((READ, WRITES), (NANOSLEEP, TELLING)):
        for name in names:
            trace.heading(call=call.name, written=name)
            with making(trace, call) as (probe, release), trace.launch(probe) as task:
                saved = called(trace, task)
                task.put_back(saved)
                WRITES[name](task, saved)
                complete(task, release)
        released(trace, call)


def number_by(tracer: int, ax: int | None = None) -> Callable[[Task], object]:
    """Write the number of getpid() as orig_ax by a tracer of that width; and ax by a 64-bit one."""

    def write(task: Task) -> None:
        number = task.trace.number("getpid")
        if tracer == 64:
            task.poke(orig_ax=number)
        else:
            task.narrow_poke(orig_ax=number)
        if ax is not None:
            task.poke(ax=ax)

    return write


NUMBERS: Final[Mapping[str, Callable[[Task], object]]] = {
    "nothing": lambda task: None,
    "64-bit": number_by(64),
    "64-bit-and-ax": number_by(64, -512),
    "32-bit": number_by(32),
    "32-bit-and-junk": number_by(32, 0x5EED_0000_FFFF_FE00),
}
"""What is written to a program that computes."""


@case("consumers.computing", door="none", also=ABIS, covers=[39, 40, 43, 83], needs=NEEDS)
def computing(trace: Trace) -> None:
    """Send a signal into a loop of user code that has 0xfffffe00 in ax. At its delivery, write the
    number of getpid() as orig_ax by a 64-bit tracer, with and without ax = -512, or by a 32-bit
    one, with and without junk in the upper half of ax; or nothing. Have the signal handled with
    SA_RESTART, or suppress it, and PTRACE_INTERRUPT the loop.
    """
    handlers = (Handler(FIRST, SA_RESTART),)
    probe = Probe(site="to_spin", regs={"ax": low(-512)}, handlers=handlers, skip=True)
    for name, write in NUMBERS.items():
        trace.heading(written=name, signal="handled")
        with trace.launch(probe) as task:
            strike(task)
            write(task)
            task.cont(FIRST)
        trace.heading(written=name, signal="suppressed")
        with trace.launch(probe) as task:
            strike(task)
            write(task)
            task.resume()
            until_spinning(task)
            task.interrupt()
            task.kill()
    trace.control(probe, sending(FIRST))


# --- out of a call, and into it again ---


@case("consumers.run_out", door="syscall64", also=DOORS, covers=[5, 36, 52])
def run_out(trace: Trace) -> None:
    """Take a program out of a call before it sleeps, as rr does: at the enter stop write the number
    of gettid(), and at the exit stop ax = the call's own, ip before its instruction, and
    orig_ax = -1. It is made from its start, and let go once it sleeps.
    """
    for call in CALLS:
        trace.heading(call=call.name)
        with making(trace, call) as (probe, release), trace.launch(probe) as task:
            task.syscall()
            task.poke(orig_ax=trace.number("gettid"))
            stop = task.syscall()
            task.poke(ax=trace.number(call.system_call), ip=stop.regs["ip"] - 2, orig_ax=-1)
            complete(task, release)
        released(trace, call)
