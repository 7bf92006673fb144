# SPDX-License-Identifier: GPL-2.0-only
"""Sequences of requests by which programs that people use change what another does, as each of
them makes them: to deny a call, to translate it, to be its kernel, to step over a breakpoint, to
freeze it and to thaw it.

Part of the family `consumers`.
"""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from conformance.abi import WORD
from conformance.cases import Handler, case
from conformance.cases.attach import INT3 as INT3_CODE
from conformance.cases.attach import WAYS, attach, code, instruction
from conformance.cases.filters import DATA, EPERM, POKED, TRACE, TRACED, answered, getppid
from conformance.cases.restarts import (
    FIRST,
    IGNORED,
    INT3,
    LOCK_PI,
    NANOSLEEP,
    PAUSE,
    READ,
    SA_RESTART,
    SECOND,
    Call,
    asleep,
    at_exit,
    at_signal,
    complete,
    follow,
    interrupted,
    making,
    released,
    send,
    sleeping,
    untraced,
)
from conformance.doors import CALLS as DOORS
from conformance.tracing import requests
from conformance.tracing.snapshot import Stop
from conformance.tracing.tracee import Task, Trace

# --- a call that the tracer denies ---

NO_CALL: Final = 0xBADCA11
"""A number beyond every table."""


def beyond_then_result(trace: Trace, task: Task) -> None:
    """Have it be no call at all; the error is written at its exit (sydbox)."""
    task.syscall()
    task.poke(orig_ax=NO_CALL)
    task.syscall()
    task.poke(ax=-EPERM)


def result_twice(trace: Trace, task: Task) -> None:
    """Have it be no call at all, and write its result both at the enter and the exit (proot)."""
    task.syscall()
    task.poke(orig_ax=-1, ax=POKED)
    task.syscall()
    task.poke(ax=POKED)


def step_over_and_replay(trace: Trace, task: Task) -> None:
    """Cancel it and step behind it; then have it made as if for the first time (DetTrace)."""
    task.syscall()
    task.poke(orig_ax=-1, ax=-1)
    stop = task.step()
    task.poke(ax=trace.number("getppid"), ip=stop.regs["ip"] - 2)
    task.syscall()
    task.syscall()


def step_from_the_filter(trace: Trace, task: Task) -> None:
    """Cancel it at the event of a filter, step behind it, and write its result (Reverie)."""
    task.cont()
    task.poke(orig_ax=-1)
    task.step()
    task.poke(ax=POKED)


DENIALS: Final[Mapping[str, Callable[[Trace, Task], None]]] = {
    "sydbox": beyond_then_result, "proot": result_twice, "DetTrace": step_over_and_replay,
    "Reverie": step_from_the_filter,
}  # fmt: skip


@case("consumers.denied", door="syscall64", also=DOORS, covers=[2, 6, 7, 66, 95, 96])
def denied(trace: Trace) -> None:
    """Deny getppid() as programs do: by a number beyond the table, with an error at the exit stop;
    by -1, with a result at both stops; by -1 and one step from the enter stop, and then make it
    again; by -1 at PTRACE_EVENT_SECCOMP, one step, and a result.
    """
    for name, deny in DENIALS.items():
        trace.heading(by=name)
        probe = getppid(trace, "call_nops")
        if name == "Reverie":
            probe = replace(answered(trace, TRACE + DATA), site="call_nops")
        with trace.launch(probe, TRACED) as task:
            deny(trace, task)
            task.finish()
    trace.control(getppid(trace, "call_nops"))


@case("consumers.translated", door="syscall64", also=DOORS, covers=[4, 5, 34, 35, 36])
def translated(trace: Trace) -> None:
    """Translate a read() as proot does: at its enter stop write another call's number, pause's, and
    another size; at its exit stop, which says that it was interrupted, put both back. Suppress the
    signal, so that the read() itself is made, and let it go; or have it handled.
    """
    size = trace.door.arguments[2]
    for name, handlers in (("suppressed", ()), ("SA_RESTART", (Handler(FIRST, SA_RESTART),))):
        trace.heading(signal=name)
        with (
            making(trace, READ, (*handlers, Handler(SECOND))) as (probe, release),
            trace.launch(probe) as task,
        ):
            own = task.syscall().regs
            task.poke(orig_ax=trace.number("pause"), **{size: POKED})
            follow(task, deque([send(FIRST)]), until=at_exit)
            task.poke(orig_ax=own["orig_ax"], **{size: own[size]})
            stop = follow(task, deque(), until=at_signal)
            complete(task, release, signo=stop.signo if handlers else 0)
    released(trace, READ)


# --- a tracer that is the program's kernel ---


def answer(task: Task, stop: Stop, result: int) -> None:
    """End an emulated call: all registers, with its result, and no call any more."""
    task.put_back(stop, ax=result, orig_ax=-1)


def restart(task: Task, stop: Stop) -> None:
    """Have the program make its call again, and answer that."""
    task.put_back(stop, ax=stop.regs["orig_ax"], ip=stop.regs["ip"] - 2, orig_ax=-1)
    answer(task, task.take(requests.SYSEMU), POKED)


def handle(task: Task, stop: Stop) -> None:
    """Have the program run a function, a handler of a signal, whose call is answered, too; then end
    the first call.
    """
    at = task.trace.label("called").start
    task.put_back(stop, ip=at, orig_ax=-1)
    answer(task, task.take(requests.SYSEMU), POKED)
    task.take(requests.SYSEMU)
    answer(task, stop, -EPERM)


@case("consumers.emulated", door="syscall64", also=DOORS, covers=[38, 52, 75])
def emulated(trace: Trace) -> None:
    """Be the kernel of a program, as UML and gVisor are: from stop to stop by PTRACE_SYSEMU, each
    answered by PTRACE_SETREGS of all registers, with orig_ax = -1. Answer getppid(), or have it
    made again first, or run a function before, which makes a call and traps.
    """
    ways: Mapping[str, Callable[[Task, Stop], None]] = {
        "answered": lambda task, stop: answer(task, stop, POKED),
        "restarted": restart,
        "handled": handle,
    }
    for name, way in ways.items():
        trace.heading(call=name)
        with trace.launch(getppid(trace)) as task:
            way(task, task.take(requests.SYSEMU))
            task.take(requests.SYSEMU)
    trace.control(getppid(trace))


# --- a breakpoint on the instruction that makes a call ---

NOP: Final = b"\x90"


@case("consumers.stepped_over", door="syscall64", also=("int80_64", "int80_32", "x32"),
      covers=[38, 87, 94, 95])  # fmt: skip
def stepped_over(trace: Trace) -> None:
    """Meet an int3 in place of the instruction that makes a call, and step over it with orig_ax =
    -1 beside each new ip: in place, with the instruction put back; or out of line, as gdb does,
    where a nop follows the copy.
    """
    probe = getppid(trace)
    at, elsewhere = trace.label("syscall").start, trace.label("nops").start
    for name in ("in-place", "displaced"):
        trace.heading(step=name)
        with trace.launch(probe) as task:
            byte = task.poke_code("syscall", INT3)
            task.cont()
            if name == "displaced":
                with code(task, elsewhere, instruction(trace) + NOP):
                    task.poke(ip=elsewhere, orig_ax=-1)
                    task.step()
                task.poke(ip=at + 2, orig_ax=-1)
            else:
                task.poke_code("syscall", byte)
                task.poke(ip=at, orig_ax=-1)
                task.step()
            task.finish()
    trace.control(probe)


# --- a program that is frozen, and thawed ---

FROZEN: Final = (READ, LOCK_PI, PAUSE, NANOSLEEP)
FROZEN_BY_ALL: Final = (READ, NANOSLEEP)
"""Calls that sleep: one for each code, and one that is made again and one that is not."""

@case("consumers.checkpointed", door="syscall64", also=DOORS, covers=[32, 45, 46, 52, 142])
def checkpointed(trace: Trace) -> None:
    """Freeze a program that sleeps in a call, as CRIU does: PTRACE_SEIZE, PTRACE_INTERRUPT, read
    the registers, and take the restart back in them; run code of its own with orig_ax = -1, up to
    an int3; write what was made of the registers, and detach. Then thaw it in a new program: write
    those registers there, too, and detach; not by the vDSO, for its stack is not copied. CRIU
    clears IF, which no tracer can. At further doors, read() and nanosleep() alone.
    """
    call_of_its_own = instruction(trace) + INT3_CODE
    for call in FROZEN if trace.door.name == "syscall64" else FROZEN_BY_ALL:
        trace.heading(call=call.name)
        with making(trace, call) as (probe, release):
            with sleeping(trace, probe) as task:
                requests.seize(task.pid, requests.O_BASE)
                saved = task.interrupt()
                at = trace.label("nops").start
                with code(task, at, call_of_its_own):
                    own = trace.number("getpid")
                    task.put_back(saved, ax=own, ip=at, orig_ax=-1, flags=0)
                    task.cont()
                leave(task, saved, call, release)
            if not trace.door.by_vdso:
                trace.heading(call=call.name, by="another")
                with trace.launch(probe) as task:
                    task.run_to("syscall")
                    leave(task, saved, call, release)
        released(trace, call)


def leave(task: Task, saved: Stop, call: Call, release: Callable[[Task], object]) -> None:
    """Write registers that were saved in a call, as CRIU thaws them, and detach: the call is made
    from its start, or is EINTR where only the kernel could go on with it. Let it go.
    """
    if call is NANOSLEEP:
        task.put_back(saved, ax=-4)
    else:
        task.put_back(saved, ax=saved.regs["orig_ax"], ip=saved.regs["ip"] - 2)
    task.detach()
    if asleep(task):
        release(task)
    task.take()


# --- what is not made again, for nobody asks for it ---

EPOLL_WAIT: Final = Call("epoll_wait", "epoll_wait", "epoll_blocks")


@case("consumers.epoll_wait", door="syscall64", also=DOORS, covers=[44, 45])
def epoll_wait(trace: Trace) -> None:
    """Interrupt epoll_wait(), which the kernel never makes again: by PTRACE_ATTACH, by
    PTRACE_INTERRUPT, or by a signal that is ignored by default, which does that only to a traced
    program. Untraced, send it that signal, and then stop and continue it.
    """
    for way in WAYS:
        trace.heading(by=way)
        with making(trace, EPOLL_WAIT) as (probe, _), sleeping(trace, probe) as task:
            attach(task, way)
            if way == "SEIZE":
                requests.interrupt(task.pid)
            task.take()
            requests.set_options(task.pid, requests.O_BASE)
            complete(task)
    trace.heading(by="signal")
    with making(trace, EPOLL_WAIT) as (probe, _), trace.launch(probe) as task:
        interrupted(task, IGNORED)
        complete(task)
    with making(trace, EPOLL_WAIT) as (probe, release):
        untraced(trace, probe, send(IGNORED), release)
    with making(trace, EPOLL_WAIT) as (probe, _):
        untraced(trace, probe, send(signal.SIGSTOP), send(signal.SIGCONT))


# --- registers of 32 bits that a tracer has widened ---


@case("consumers.sign_extended", door="int80_32", also=("sysenter", "syscall32"),
      covers=[43, 92, 117], needs=["tracer64"])  # fmt: skip
def sign_extended(trace: Trace) -> None:
    """At the signal-delivery-stop of a 32-bit program's read(), write back all registers with ax
    sign-extended, as rr does, and in another run sp as if it had been, too. The signal has a
    handler with SA_RESTART, whose frame then has nowhere to go.
    """
    handlers = (Handler(FIRST, SA_RESTART), Handler(SECOND))
    for name, upper in (("ax", 0), ("sp", WORD << 32 & WORD)):
        trace.heading(upper=name)
        with making(trace, READ, handlers) as (probe, release), trace.launch(probe) as task:
            saved = interrupted(task)
            task.put_back(saved)
            if upper:
                stack = saved.regs["sp"] | upper
                trace.pids[stack] = "$stack"
                requests.write_register(task.pid, "sp", stack)
                trace.add_poke("", task.who, sp="sign-extended")
            complete(task, release, signo=FIRST)
    released(trace, READ)
