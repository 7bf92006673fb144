# SPDX-License-Identifier: GPL-2.0-only
"""A tracer's coming and going: what it finds, what it leaves, and what it runs meanwhile."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from conformance.cases import Handler, Probe, case, events, filters, restarts
from conformance.cases.restarts import (
    FIRST,
    NANOSLEEP,
    READ,
    SA_RESTART,
    SECOND,
    asleep,
    complete,
    making,
    send,
    sleeping,
    untraced,
)
from conformance.doors import CALLS
from conformance.strays import WALL
from conformance.tracing import program, requests
from conformance.tracing.snapshot import Stop
from conformance.tracing.tracee import Task, Trace

WAYS: Final = ("ATTACH", "SEIZE")
SLEEPS: Final = (READ, NANOSLEEP)
"""A call that is made again, and one with a restart block."""
VFORK: Final = restarts.Call("vfork", "vfork", "read_blocks")
WAITING: Final[Mapping[str, Any]] = {"site": "vfork_reads", "blocked": (signal.SIGCHLD,)}
"""A call that ends when its child has read a byte; SIGCHLD, which comes somewhat later, waits."""
STOP, GO_ON = send(signal.SIGSTOP), send(signal.SIGCONT)


def attach(task: Task, way: str) -> None:
    """PTRACE_ATTACH or PTRACE_SEIZE; no stop is taken."""
    if way == "ATTACH":
        requests.attach(task.pid)
    else:
        requests.seize(task.pid, requests.O_BASE)


def attached(task: Task, way: str) -> Stop:
    """Take the first stop of a task that was attached to; then one attached has the options, too.
    """
    stop = task.take()
    if way == "ATTACH" and not stop.ended:
        requests.set_options(task.pid, requests.O_BASE)
    return stop


# What is attached to: one that is stopped, one that signals wait for, one that cannot stop


@contextlib.contextmanager
def stopped(trace: Trace, probe: Probe, *signals: int) -> Iterator[Task]:
    """Yield a program that SIGSTOP stopped in its call, nobody tracing; then signals were sent."""
    with sleeping(trace, probe) as task:
        STOP(task)
        task.until("T")
        send(*signals)(task)
        yield task


@case("attach.stopped", door="syscall64", also=CALLS, covers=[44, 48, 134, 135])
def stopped_(trace: Trace) -> None:
    """Attach to a program that SIGSTOP stopped while it slept in a call. The first stop is that
    group-stop; behind it PTRACE_ATTACH has a SIGSTOP of its own, which is suppressed. Go on by
    PTRACE_SYSCALL, or by PTRACE_LISTEN until PTRACE_INTERRUPT and until SIGCONT; let the call go.
    """
    for call in SLEEPS:
        for way, then in (("ATTACH", "SYSCALL"), ("SEIZE", "SYSCALL"), ("SEIZE", "LISTEN")):
            trace.heading(call=call.name, by=way, then=then)
            with making(trace, call) as (probe, release), stopped(trace, probe) as task:
                attach(task, way)
                attached(task, way)
                if way == "ATTACH":
                    task.cont()
                if then == "LISTEN":
                    requests.listen(task.pid)
                    task.interrupt()
                    requests.listen(task.pid)
                    GO_ON(task)
                    task.take()
                    complete(task, release)
                else:
                    complete(task, GO_ON, release)
        with making(trace, call) as (probe, release):
            untraced(trace, probe, STOP, GO_ON, release)


@case("attach.left_stopped", door="syscall64", also=CALLS, covers=[46, 135, 136, 137])
def left_stopped(trace: Trace) -> None:
    """Attach to a program that SIGSTOP stopped in a call, and detach: from the group-stop with no
    signal or with SIGCONT, or from the delivery of the SIGSTOP that PTRACE_ATTACH sent, likewise.
    It is stopped again, in every way; SIGCONT ends that. Then let the call go.
    """
    for call in SLEEPS:
        for way, at in (("SEIZE", "group"), ("ATTACH", "group"), ("ATTACH", "signal")):
            for signo in (0, signal.SIGCONT):
                trace.heading(call=call.name, by=way, at=at)
                with making(trace, call) as (probe, release), stopped(trace, probe) as task:
                    attach(task, way)
                    attached(task, way)
                    if at == "signal":
                        task.cont()
                    task.detach(signo)
                    trace.tell(task, {"state": task.until("STZ")})
                    GO_ON(task)
                    asleep(task, "S")
                    release(task)
                    task.take()
        with making(trace, call) as (probe, release):
            untraced(trace, probe, STOP, GO_ON, release)


@case("attach.signalled", door="syscall64", also=CALLS, covers=[33, 34, 49, 135])
def signalled(trace: Trace) -> None:
    """Stop a program in a call, send it a signal, which waits, and attach. From the group-stop,
    PTRACE_CONT to the signal, which has a handler, with or without SA_RESTART, or is suppressed;
    PTRACE_ATTACH's SIGSTOP comes behind it, at the handler's first instruction. Let the call go.
    """
    ways = {"plain": Handler(FIRST), "SA_RESTART": Handler(FIRST, SA_RESTART), "suppressed": None}
    for name, handler in ways.items():
        handlers = (*([handler] if handler else []), Handler(SECOND))
        for way in WAYS:
            trace.heading(signal=name, by=way)
            with (
                making(trace, READ, handlers) as (probe, release),
                stopped(trace, probe, FIRST) as task,
            ):
                attach(task, way)
                attached(task, way)
                stop = task.cont()
                complete(task, release, signo=stop.signo if handler else 0,
                         suppress=(signal.SIGSTOP,))  # fmt: skip
        with making(trace, READ, handlers) as (probe, release):
            untraced(trace, probe, STOP, send(*([FIRST] if handler else [])), GO_ON, release)


@contextlib.contextmanager
def in_vfork(trace: Trace) -> Iterator[tuple[Task, restarts.Action]]:
    """Yield an untraced program that waits for its child, so cannot stop; and what ends that."""
    with (
        making(trace, VFORK, (Handler(FIRST),), **WAITING) as (probe, release),
        trace.adopt(probe, lambda task: until_waiting(trace, task)) as task,
    ):
        yield task, release


def until_waiting(trace: Trace, task: Task) -> None:
    """Wait until the program's child runs, and the program waits for it."""
    trace.wait_for(lambda: program.child() != 0)
    task.until("D")


@case("attach.stopping", door="syscall64", also=CALLS, covers=[44, 45, 58, 135])
def stopping(trace: Trace) -> None:
    """Send SIGSTOP, or SIGUSR1, which has a handler, to a program that waits in vfork() and can
    take neither; attach to it, by PTRACE_SEIZE with PTRACE_INTERRUPT behind it. Let its child go,
    and take each stop as the call returns: a SIGSTOP that was sent, and that of PTRACE_ATTACH, are
    one, and it is suppressed.
    """
    for signo in (signal.SIGSTOP, FIRST):
        for way in WAYS:
            trace.heading(signal=signal.Signals(signo).name, by=way)
            with in_vfork(trace) as (task, release):
                task.signal(signo)
                attach(task, way)
                if way == "SEIZE":
                    requests.interrupt(task.pid)
                again, _ = os.waitpid(task.pid, os.WNOHANG | WALL)
                trace.tell(task, {"waitpid": again, "state": task.state()})
                release(task)
                stop = task.look()
                task.born(stop)
                while not stop.ended:
                    stop = task.cont(0 if stop.signo == signal.SIGSTOP else stop.signo)

    def untraced(task: Task) -> None:
        until_waiting(trace, task)
        task.signal(FIRST)
        release(task)

    with making(trace, VFORK, (Handler(FIRST),), **WAITING) as (probe, release):
        trace.control(probe, untraced)


# What is left behind: nothing


def getppid(trace: Trace, site: str = "syscall") -> Probe:
    """A program that calls getppid()."""
    return Probe(site=site, regs=trace.door.call("getppid"))


def at_seccomp(_: Trace, task: Task) -> None:
    """Go to PTRACE_EVENT_SECCOMP."""
    task.cont()


def at_sysemu(_: Trace, task: Task) -> None:
    """Go to the stop of PTRACE_SYSEMU, where no call will be made."""
    task.take(requests.SYSEMU)


def at_stepped_call(_: Trace, task: Task) -> None:
    """Go through a call by PTRACE_SINGLESTEP, to the trap at its end."""
    task.syscall()
    task.step()


def at_step(_: Trace, task: Task) -> None:
    """Go to the stop of a single step, unseen: its code may differ in a guest."""
    task.run_to("nops")
    task.look(requests.SINGLESTEP)


def at_exec(_: Trace, task: Task) -> None:
    """Go to PTRACE_EVENT_EXEC, unseen: the new program's registers are no concern here."""
    task.look(requests.CONT)


def stops(trace: Trace) -> Mapping[str, tuple[Probe, int, Callable[[Trace, Task], None]]]:
    """A program, options, and the way to it, for every kind of stop that has no second task."""
    call, inherited = getppid(trace), events.stops(trace)
    return {
        "syscall-enter": (call, requests.O_BASE, events.at_enter),
        "syscall-exit": (call, requests.O_BASE, events.at_exit),
        **{name: inherited[name] for name in ("signal", "group", "STOP", "EXIT")},
        "EXEC": (events.executing(trace), events.EXECS, at_exec),
        "step": (Probe(site="nops"), requests.O_BASE, at_step),
        "stepped-call": (getppid(trace, "call_nops"), requests.O_BASE, at_stepped_call),
        "SYSEMU": (call, requests.O_BASE, at_sysemu),
        "SECCOMP": (filters.answered(trace, filters.TRACE), filters.TRACED, at_seccomp),
    }


def leave(trace: Trace, signo: int) -> None:
    """Detach from each kind of stop with that signal, and see the program's end."""
    for where, (probe, options, go) in stops(trace).items():
        trace.heading(stop=where)
        handled = replace(probe, handlers=[Handler(FIRST)])
        with trace.launch(handled, options) as task:
            go(trace, task)
            task.detach(signo)
            if where == "group":
                trace.tell(task, {"state": task.until("STZ")})
                GO_ON(task)
            task.take()
    trace.control(getppid(trace))


@case("attach.detached", door="syscall64", also=CALLS, covers=[1, 75, 95, 136, 137])
def detached(trace: Trace) -> None:
    """Detach from each kind of stop, with no signal: after PTRACE_SYSCALL, PTRACE_SINGLESTEP and
    PTRACE_SYSEMU, too. The program runs to its end, and nothing of its tracing is left to it.
    """
    leave(trace, 0)


@case("attach.parting_signal", door="syscall64", also=CALLS, covers=[84, 136, 137])
def parting_signal(trace: Trace) -> None:
    """Detach from each kind of stop with SIGUSR1, which has a handler: it is delivered from stops
    for a signal and from those of a call, and lost from all others.
    """
    leave(trace, FIRST)
