# SPDX-License-Identifier: GPL-2.0-only
"""A listener answers a call in the kernel's place (SECCOMP_RET_USER_NOTIF), beside a tracer.

Listener and tracer are one process here: the tracer lets the program run on, it sleeps in its call,
and the listener is told of it.
"""

from __future__ import annotations

import errno
import signal
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from conformance.abi import ARGUMENTS, ARGUMENTS_32, AUDIT_ARCH_I386, WORD, call, number, result
from conformance.cases import Handler, Probe, case
from conformance.cases.filters import CODES, POKED
from conformance.cases.restarts import Action, complete, doze, interrupt
from conformance.doors import CALLS
from conformance.tracing.listener import CONTINUE, Listener
from conformance.tracing.tracee import Task, Trace

USER_NOTIF: Final = 0x7FC0_0000
"""The filter's action (include/uapi/linux/seccomp.h)."""
NEW_LISTENER: Final = 1 << 3
WAIT_KILLABLE: Final = 1 << 5
"""SECCOMP_FILTER_FLAG_NEW_LISTENER, and SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV."""
WIDE: Final = 1 << 32 | POKED
USER: Final = signal.SIGUSR1
NEEDS: Final = ("pidfd_getfd",)


def notified(trace: Trace, call: str = "getppid", flags: int = 0, alone: bool = False) -> Probe:
    """A program that makes one call, where a listener is told of getppid().

    :param flags: further ones of the filter
    :param alone: nobody listens: the program closes the descriptor
    """
    return Probe(
        site="syscall", setup="notify", regs=trace.door.call(call),
        args=(NEW_LISTENER | flags, alone, trace.number("getppid"), USER_NOTIF),
    )  # fmt: skip


class Supervisor:
    """A listener whose doings join the transcript.

    :ivar told: the last call that it was told of
    """

    def __init__(self, task: Task) -> None:
        self.task = task
        self.listener = Listener(task.pid)
        self.told = 0

    def __enter__(self) -> Supervisor:
        return self

    def __exit__(self, *_: object) -> None:
        self.listener.__exit__()

    def receive(self, task: Task) -> None:
        """Be told of a call, if one waits; at an action of :func:`follow`, or at any time."""
        trace = task.trace
        told = self.listener.receive()
        if told is None:
            trace.add_read("listener", pending="none")
            return
        self.told = told.id
        names = ARGUMENTS_32 if told.arch == AUDIT_ARCH_I386 else ARGUMENTS
        trace.add_read(
            "listener", nr=call(told.nr & WORD, trace.door.numbers), arch=hex(told.arch),
            args=dict(zip(names, told.args, strict=True)), ip=told.ip, pid=told.pid,
        )  # fmt: skip

    def answer(self, val: int = 0, error: int = 0, flags: int = 0) -> None:
        """Answer that call; and tell it, and what the kernel said."""
        refused = self.listener.answer(self.told, val, error, flags)
        high, low = divmod(val, 1 << 32)
        self.task.trace.add_poke(
            "NOTIF_SEND", val=number(low), high=number(high),
            error=result(error & WORD), flags=str(flags), refused=refused,
        )  # fmt: skip

    def serve(self, task: Task) -> None:
        """Be told of a call, and answer it with a value."""
        self.receive(task)
        self.answer(val=POKED)


ANSWERS: Final[Mapping[str, Mapping[str, int]]] = {
    "value": {"val": POKED}, "wide": {"val": WIDE}, "error": {"error": -errno.EPERM},
    "restart": {"error": -CODES[0]}, "CONTINUE": {"flags": CONTINUE},
}  # fmt: skip


def served_alone(
    trace: Trace, probe: Probe, answer: Mapping[str, int], first: Action = lambda task: None
) -> None:
    """Run the control of a program, whose one call a listener answers.

    :param first: done when the listener has been told of the call
    """

    def stimulus(task: Task) -> None:
        task.until_asleep()
        with Listener(task.pid) as listener:
            told = listener.receive()
            first(task)
            if told:
                listener.answer(told.id, **answer)

    trace.control(probe, stimulus)


@case("filters.notify", door="syscall64", also=CALLS, covers=[2, 65, 70, 125, 129], needs=NEEDS)
def notify(trace: Trace) -> None:
    """A filter has a listener answer getppid(): with a value, one beyond 32 bits, EPERM, a code
    that restarts an interrupted call, or leave to run it. Nobody is told at the enter stop. In
    another run nobody listens.
    """
    probe = notified(trace)
    for name, answer in ANSWERS.items():
        trace.heading(answer=name)
        with trace.launch(probe) as task, Supervisor(task) as supervisor:
            task.syscall()
            supervisor.receive(task)
            doze(task)
            supervisor.receive(task)
            supervisor.answer(**answer)
            task.take()
            task.finish()
        served_alone(trace, probe, answer)
    trace.heading(answer="nobody")
    probe = notified(trace, alone=True)
    with trace.launch(probe) as task:
        task.syscall()
        task.syscall()
        task.finish()
    trace.control(probe)


@case("filters.notify_rewritten", door="syscall64", also=CALLS, covers=[5, 65, 70], needs=NEEDS)
def notify_rewritten(trace: Trace) -> None:
    """At the enter stop, write the number of getppid(), of which a listener is told: it lets the
    call run; or write another into getppid(), and the listener is told of nothing.
    """
    with_getpid = notified(trace, "getpid")
    trace.heading(written="getppid")
    with trace.launch(with_getpid) as task, Supervisor(task) as supervisor:
        task.syscall()
        task.poke(orig_ax=trace.number("getppid"))
        doze(task)
        supervisor.receive(task)
        supervisor.answer(flags=CONTINUE)
        task.take()
        task.finish()
    trace.heading(written="getpid")
    with trace.launch(notified(trace)) as task, Supervisor(task) as supervisor:
        task.syscall()
        task.poke(orig_ax=trace.number("getpid"))
        task.syscall()
        supervisor.receive(task)
        task.finish()
    trace.control(with_getpid)


WAYS: Final[Mapping[str, Handler]] = {
    "plain": Handler(USER), "SA_RESTART": Handler(USER, 0x1000_0000),
}  # fmt: skip


def disturbed(trace: Trace, probe: Probe, before: str, *, suppress: bool = False) -> None:
    """Send a signal to a program that waits for its listener, and follow it to its end.

    :param before: ``told``, or ``answered``: then the listener answers what is gone, too
    """
    with trace.launch(probe) as task, Supervisor(task) as supervisor:

        def disturb(task: Task) -> None:
            if before == "answered":
                supervisor.receive(task)
            task.signal(USER)

        def again(task: Task) -> None:
            if before == "answered":
                supervisor.answer(val=POKED)
            supervisor.serve(task)

        complete(task, disturb, again, suppress=[USER] if suppress else ())


@case("filters.notify_signal", door="syscall64", also=CALLS, covers=[29, 33, 34, 35, 36, 70, 84],
      needs=NEEDS)  # fmt: skip
def notify_signal(trace: Trace) -> None:
    """Send a signal to a program that waits for its listener's answer, before the listener is told
    of the call, or answers it: with a handler, with one that restarts the call, or suppressed by
    the tracer. The call made again is another notification, and the old one is gone.
    """
    for name, handler in WAYS.items():
        for before in ("told", "answered"):
            trace.heading(handler=name, before=before)
            disturbed(trace, replace(notified(trace), handlers=[handler]), before)
    trace.heading(handler="none", before="answered")
    disturbed(trace, notified(trace), "answered", suppress=True)

    def stimulus(task: Task) -> None:
        task.until_asleep()
        with Listener(task.pid) as listener:
            listener.receive()
            task.signal(USER)
            trace.wait_for(listener.pending)
            told = listener.receive()
            if told:
                listener.answer(told.id, val=POKED)

    trace.control(replace(notified(trace), handlers=[WAYS["SA_RESTART"]]), stimulus)


@case("filters.notify_interrupt", door="syscall64", also=CALLS, covers=[45, 70], needs=NEEDS)
def notify_interrupt(trace: Trace) -> None:
    """PTRACE_INTERRUPT a program that waits for its listener's answer, before the listener is told
    of the call, and after: the call is made again.
    """
    for before in ("told", "answered"):
        trace.heading(before=before)
        with trace.launch(notified(trace)) as task, Supervisor(task) as supervisor:

            def disturb(task: Task, before: str = before, by: Supervisor = supervisor) -> None:
                if before == "answered":
                    by.receive(task)
                interrupt(task)

            complete(task, disturb, supervisor.serve)
    served_alone(trace, notified(trace), ANSWERS["value"])


@case("filters.notify_killable", door="syscall64", also=CALLS, covers=[70, 84],
      needs=(*NEEDS, "notify_killable"))  # fmt: skip
def notify_killable(trace: Trace) -> None:
    """Where the filter asks that only death disturbs a call of which the listener was told, send a
    signal before it is told, after, or PTRACE_INTERRUPT after: that then waits for the answer.
    """
    probe = replace(notified(trace, flags=WAIT_KILLABLE), handlers=[WAYS["plain"]])

    def disturb(task: Task) -> None:
        task.signal(USER)

    trace.heading(signal="before")
    disturbed(trace, probe, "told")
    for name, action in (("after", disturb), ("INTERRUPT", interrupt)):
        trace.heading(signal=name)
        with trace.launch(probe) as task, Supervisor(task) as supervisor:

            def disturb_told(
                task: Task, action: Action = action, by: Supervisor = supervisor
            ) -> None:
                by.receive(task)
                action(task)
                task.until("DtZX")
                by.answer(val=POKED)

            complete(task, disturb_told)

    def disturb_alone(task: Task) -> None:
        task.signal(USER)
        task.until("DZX")

    served_alone(trace, probe, ANSWERS["value"], disturb_alone)
