# SPDX-License-Identifier: GPL-2.0-only
"""System calls that are interrupted while they sleep, and what becomes of them."""

from __future__ import annotations

import contextlib
import os
import signal
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from conformance.cases import Handler, Probe, case
from conformance.doors import CALLS as DOORS
from conformance.tracing import requests
from conformance.tracing.snapshot import Stop
from conformance.tracing.tracee import Task, Trace

SA_RESTART: Final = 0x10000000
TIMER_ABSTIME: Final = 1
AN_HOUR: Final = 3_600_000
"""Milliseconds: no call ends by itself."""
INT3: Final = 0xCC

IGNORED, FIRST, SECOND = signal.SIGWINCH, signal.SIGUSR1, signal.SIGUSR2
"""A signal whose default is to be ignored, and two whose default is death."""

Action = Callable[[Task], object]
"""What the tracer's side does while the program sleeps."""


@dataclass(frozen=True, slots=True)
class Call:
    """A system call that sleeps until it is let go.

    :param system_call: its name in the door's table of numbers
    :param setup: the preparation in C that gives it its arguments
    :param args: those of the preparation, after the pipe that each of them has
    :param byte: a byte in the pipe lets it go; otherwise only a signal does
    """

    name: str
    system_call: str
    setup: str | None = None
    args: tuple[int, ...] = ()
    byte: bool = True


READ = Call("read", "read", "read_blocks")
LOCK_PI = Call("futex_lock_pi", "futex", "lock_pi_blocks")
PAUSE = Call("pause", "pause", byte=False)
NANOSLEEP = Call("nanosleep", "nanosleep", "nanosleep_blocks", byte=False)
POLL = Call("poll", "poll", "poll_blocks", (AN_HOUR,))
CALLS: Final = (READ, LOCK_PI, PAUSE, NANOSLEEP, POLL)
"""One for ERESTARTSYS, ERESTARTNOINTR and ERESTARTNOHAND each, and two with a restart block."""
CODES: Final = (READ, LOCK_PI, PAUSE, NANOSLEEP)
"""One for each of the four codes."""

PLAIN: Final = ("int80_32", "x32")
"""One further door for each ABI, where what the kernel adds to it is the same at the others: the
structures of a call's arguments, the frame of a signal."""


def signals(*numbers: int) -> int:
    """A mask of signals."""
    return sum(1 << number - 1 for number in numbers)


def send(*numbers: int) -> Action:
    """Send signals to the program."""

    def action(task: Task) -> None:
        for number in numbers:
            task.signal(number)

    return action


def interrupt(task: Task) -> None:
    """PTRACE_INTERRUPT, its stop still to be taken."""
    requests.interrupt(task.pid)


def kill(task: Task) -> None:
    """End a program that would sleep on."""
    os.kill(task.pid, signal.SIGKILL)


@contextlib.contextmanager
def making(
    trace: Trace, call: Call, handlers: Sequence[Handler] = (Handler(SECOND),), **more: Any
) -> Iterator[tuple[Probe, Action]]:
    """Yield a program that makes a call, and what lets the call go."""
    reader, writer = os.pipe()
    os.set_inheritable(reader, True)
    probe = Probe(
        setup=call.setup, args=(reader, *call.args), handlers=handlers,
        **{"site": "syscall", "regs": {"ax": trace.number(call.system_call)}} | more,
    )  # fmt: skip
    release: Action = send(SECOND)
    if call.byte:
        release = lambda task: os.write(writer, b"!")  # noqa: E731
    try:
        yield probe, release
    finally:
        os.close(reader)
        os.close(writer)


def asleep(task: Task, states: str = "S") -> bool:
    """Wait until a program that was let run sleeps (True), or has stopped or ended."""
    return task.until("STtZX") in states


def doze(task: Task, request: int = requests.SYSCALL) -> None:
    """Resume a program that is about to sleep, and wait until it does."""
    task.resume(request)
    asleep(task)


def follow(
    task: Task, todo: deque[Action], signo: int = 0, *,
    suppress: Sequence[int] = (), until: Callable[[Stop], bool] = lambda stop: False,
    show: tuple[str, ...] = (),
) -> Stop:  # fmt: skip
    """PTRACE_SYSCALL from stop to stop, passing signals on, to the end or a stop of one's choice.

    Each time that the program sleeps, the next thing is done; when none is left, it is killed.
    """
    while True:
        task.resume(requests.SYSCALL, signo)
        if asleep(task):
            (todo.popleft() if todo else kill)(task)
        stop = task.take(show=show)
        if stop.ended or until(stop):
            return stop
        signo = 0 if stop.signo in suppress else stop.signo


def complete(
    task: Task, *todo: Action, signo: int = 0, suppress: Sequence[int] = ()
) -> None:
    """Follow the program until what it last slept in has returned, and let it run to its end."""
    left = deque(todo)
    stop = follow(task, left, signo, suppress=suppress,
                  until=lambda stop: at_exit(stop) and not left)  # fmt: skip
    if not stop.ended:
        task.finish()


def at_signal(stop: Stop) -> bool:
    """Whether this is a signal-delivery-stop."""
    return stop.kind.startswith("signal")


def at_exit(stop: Stop) -> bool:
    """Whether this is a syscall-exit-stop."""
    return stop.kind == "syscall-exit"


def interrupted(task: Task, signo: int = FIRST) -> Stop:
    """Let the program sleep in its call and send it a signal: on to the signal-delivery-stop."""
    return follow(task, deque([send(signo)]), until=at_signal)


def untraced(trace: Trace, probe: Probe, *actions: Action) -> None:
    """Run the control: each thing is done when the program sleeps or is stopped."""

    def stimulus(task: Task) -> None:
        task.until_ready()
        for action in actions:
            if asleep(task, "ST"):
                action(task)

    trace.control(probe, stimulus)


def released(trace: Trace, call: Call, **more: Any) -> None:
    """Run the control of a program that is only let go."""
    with making(trace, call, **more) as (probe, release):
        untraced(trace, probe, release)


# --- one signal, and every disposition ---


@dataclass(frozen=True, slots=True)
class Disposition:
    """A signal, what the program has for it, and whether the tracer passes it on."""

    signo: int
    handlers: tuple[Handler, ...] = ()
    passed: bool = True


DISPOSITIONS: Final[Mapping[str, Disposition]] = {
    "default": Disposition(IGNORED),
    "SIG_IGN": Disposition(FIRST, (Handler(FIRST, ignore=True),)),
    "suppressed": Disposition(FIRST, passed=False),
    "handler": Disposition(FIRST, (Handler(FIRST),)),
    "SA_RESTART": Disposition(FIRST, (Handler(FIRST, SA_RESTART),)),
}


def dispose(trace: Trace, call: Call, **heading: object) -> None:
    """Interrupt a call by one signal of each disposition; do the same untraced."""
    for name, how in DISPOSITIONS.items():
        trace.heading(**heading, signal=name)
        handlers = (*how.handlers, Handler(SECOND))
        sent = [send(how.signo)]
        with making(trace, call, handlers) as (probe, release), trace.launch(probe) as task:
            suppress = () if how.passed else (how.signo,)
            complete(task, *sent, release, suppress=suppress)
        with making(trace, call, handlers) as (probe, release):
            untraced(trace, probe, *(sent if how.passed else ()), release)


@case("restarts.read", door="syscall64", also=DOORS, covers=[29, 33, 34, 35, 36])
def read(trace: Trace) -> None:
    """Interrupt a read() of an empty pipe by a signal: ignored by default, ignored on purpose,
    suppressed, handled, and handled with SA_RESTART. Write a byte once it sleeps again.
    """
    dispose(trace, READ)


@case("restarts.futex_lock_pi", door="syscall64", also=DOORS, covers=[31, 33, 34, 35, 36])
def futex_lock_pi(trace: Trace) -> None:
    """Interrupt futex(FUTEX_LOCK_PI) by a signal of each disposition; have the lock's owner, a
    helper process, unlock it once the program sleeps again.
    """
    dispose(trace, LOCK_PI)


@case("restarts.pause", door="syscall64", also=DOORS, covers=[30, 34, 35, 36])
def pause(trace: Trace) -> None:
    """Interrupt pause() by a signal of each disposition, and end it by another that is handled."""
    dispose(trace, PAUSE)


@case("restarts.nanosleep", door="syscall64", also=DOORS, covers=[32, 34, 35, 36])
def nanosleep(trace: Trace) -> None:
    """Interrupt nanosleep() by a signal of each disposition, and end it by another that is
    handled: the second interrupts restart_syscall().
    """
    dispose(trace, NANOSLEEP)


@case("restarts.poll", door="syscall64", also=DOORS, covers=[32, 34, 35, 36])
def poll(trace: Trace) -> None:
    """Interrupt poll() of an empty pipe by a signal of each disposition, with a timeout and with
    none; write a byte once it sleeps again.
    """
    for timeout in (AN_HOUR, -1):
        dispose(trace, Call("poll", "poll", "poll_blocks", (timeout,)),
                timeout="none" if timeout < 0 else "hour")  # fmt: skip


@case("restarts.clock_nanosleep", door="syscall64", also=PLAIN, covers=[30, 32, 34, 35, 36])
def clock_nanosleep(trace: Trace) -> None:
    """Interrupt clock_nanosleep() by a signal of each disposition: a relative one has a restart
    block, an absolute one is made again.
    """
    for name, flags in (("relative", 0), ("absolute", TIMER_ABSTIME)):
        call = Call("clock_nanosleep", "clock_nanosleep", "clock_nanosleep_blocks", (flags,),
                    byte=False)  # fmt: skip
        dispose(trace, call, time=name)


@case("restarts.futex_wait", door="syscall64", also=PLAIN, covers=[29, 32, 33, 34, 35, 36])
def futex_wait(trace: Trace) -> None:
    """Interrupt futex(FUTEX_WAIT) by a signal of each disposition: with a timeout it has a restart
    block, without one it is made again. Have a helper process wake it once it sleeps again.
    """
    for timeout in (0, 1):
        dispose(trace, Call("futex_wait", "futex", "futex_wait_blocks", (timeout,)),
                timeout="hour" if timeout else "none")  # fmt: skip


def made(stop: Stop, number: int) -> bool:
    """Whether this is the exit of a call of that number, clone(), that made a child."""
    return at_exit(stop) and stop.regs["orig_ax"] == number and 0 < stop.regs["ax"] < 1 << 22


@case("restarts.clone", door="syscall64", also=PLAIN, covers=[31, 35])
def clone(trace: Trace) -> None:
    """Send a signal at the enter stop of clone(), of each disposition. Then PTRACE_SYSCALL to the
    exit of the call that succeeds; the program waits for its children, and finds just one.
    """
    registers = trace.door.call("clone", 0, 0, 0, 0, 0)
    for name, how in DISPOSITIONS.items():
        trace.heading(signal=name)
        probe = Probe(site="to_clone", regs=registers, handlers=how.handlers)
        with trace.launch(probe) as task:
            task.syscall()
            task.signal(how.signo)
            stop = task.syscall()
            while not (stop.ended or made(stop, registers["ax"])):
                stop = task.look(requests.SYSCALL, stop.signo if how.passed else 0)
                if made(stop, registers["ax"]):
                    trace.pids[stop.regs["ax"]] = "$child"
                trace.add_stop(stop)
            task.finish()
        trace.control(probe)


@case("restarts.twice", door="syscall64", also=DOORS, covers=[35, 36])
def twice(trace: Trace) -> None:
    """Interrupt each call twice by a signal that is ignored by default: the second signal finds it
    made again, or finds restart_syscall(). Do the same untraced.
    """
    for call in CALLS:
        trace.heading(call=call.name)
        sent = send(IGNORED)
        with making(trace, call) as (probe, release), trace.launch(probe) as task:
            complete(task, sent, sent, release)
        with making(trace, call) as (probe, release):
            untraced(trace, probe, sent, sent, release)


@case("restarts.two_signals", door="syscall64", also=PLAIN, covers=[33, 34, 49])
def two_signals(trace: Trace) -> None:
    """Interrupt a call by SIGUSR1, and send SIGUSR2 at the exit stop: both have handlers, with and
    without SA_RESTART. Untraced, both are sent while it is stopped.
    """
    for call in (READ, PAUSE, NANOSLEEP):
        for first in (0, SA_RESTART):
            for second in (0, SA_RESTART):
                trace.heading(call=call.name, SIGUSR1="SA_RESTART" if first else "plain",
                              SIGUSR2="SA_RESTART" if second else "plain")  # fmt: skip
                both(trace, call, (Handler(FIRST, first), Handler(SECOND, second)))


def both(trace: Trace, call: Call, handlers: tuple[Handler, Handler]) -> None:
    """Interrupt a call by two signals, of which the second comes before the first's delivery."""
    with making(trace, call, handlers) as (probe, release), trace.launch(probe) as task:
        follow(task, deque([send(FIRST)]), until=at_exit)
        task.signal(SECOND)
        complete(task, release)
    with making(trace, call, handlers) as (probe, release):
        stop, go_on = send(signal.SIGSTOP), send(signal.SIGCONT)
        untraced(trace, probe, stop, send(FIRST, SECOND), go_on, release)


# --- the tracer prevents the restart, or puts it off ---


Treatment = Callable[[Task, Stop], object]
"""What the tracer does at the signal-delivery-stop of a call that was interrupted."""


@dataclass(frozen=True, slots=True)
class Part:
    """How much of codes by dispositions a case drives.

    :param dispositions: names of `DISPOSITIONS`
    :param hand: of `Trace.launch`
    """

    calls: Sequence[Call] = CALLS
    dispositions: Sequence[str] = tuple(DISPOSITIONS)
    hand: str = ""


ALL: Final = Part()


def treat(trace: Trace, part: Part, call: Call, treatment: Treatment, **heading: object) -> None:
    """Interrupt a call by one signal of each disposition, and do something at its stop."""
    for name in part.dispositions:
        how = DISPOSITIONS[name]
        trace.heading(call=call.name, **heading, signal=name)
        program = making(trace, call, (*how.handlers, Handler(SECOND)))
        with program as (probe, release), trace.launch(probe, hand=part.hand) as task:
            treatment(task, interrupted(task, how.signo))
            complete(task, release, signo=how.signo if how.passed else 0)


def prevent(trace: Trace, number: int, part: Part = ALL) -> None:
    """Write an orig_ax at the signal-delivery-stop of each call, for each disposition."""
    for call in part.calls:
        treat(trace, part, call, lambda task, _: task.poke(orig_ax=number))
        released(trace, call)


@case("restarts.prevented", door="syscall64", also=DOORS, covers=[38])
def prevented(trace: Trace) -> None:
    """At the signal-delivery-stop, write orig_ax = -1: the kernel then does not know any longer
    that it came from a call. Go on with a signal of each disposition.
    """
    prevent(trace, -1)


@case("restarts.prevented_low", door="syscall64", also=DOORS, covers=[38, 39])
def prevented_low(trace: Trace) -> None:
    """At the signal-delivery-stop, write orig_ax = 0xffffffff, -1 in the low half alone. Go on with
    a signal of each disposition.
    """
    prevent(trace, 0xFFFF_FFFF)


@case("restarts.other_number", door="syscall64", also=DOORS, covers=[36, 38])
def other_number(trace: Trace) -> None:
    """At the signal-delivery-stop of a read(), write another orig_ax: that of getpid(), that of
    read() with junk above bit 31, and -1 in the low half alone. At that of a nanosleep(), getpid's.
    """
    getpid = trace.number("getpid")
    for call, number in (
        (READ, getpid), (READ, 1 << 32 | trace.number("read")), (READ, 0xFFFFFFFF),
        (NANOSLEEP, getpid),
    ):  # fmt: skip
        rewrite(trace, call, number)


@case("restarts.other_negative", door="syscall64", also=DOORS, covers=[38])
def other_negative(trace: Trace) -> None:
    """At the signal-delivery-stop of a read(), write a negative orig_ax that is not -1."""
    for number in (-2, -512):
        rewrite(trace, READ, number)


def rewrite(trace: Trace, call: Call, number: int) -> None:
    """Interrupt a call and write its number at the signal-delivery-stop; suppress the signal."""
    trace.heading(call=call.name, orig_ax=f"{number:#x}")
    with making(trace, call) as (probe, release), trace.launch(probe) as task:
        interrupted(task)
        task.poke(orig_ax=number)
        complete(task, release)
    released(trace, call)


def call_function(task: Task, saved: Stop, function: str) -> None:
    """Have the program call another function as a debugger does, from a stop, and restore it."""
    task.poke(orig_ax=-1, ip=task.trace.label(function).start)
    task.cont()
    task.put_back(saved)


def call_functions(trace: Trace, part: Part = ALL) -> None:
    """Have the program call a function at the stop of each call, for each disposition."""
    for call in part.calls:
        treat(trace, part, call, lambda task, saved: call_function(task, saved, "called"))
        released(trace, call)


@case("restarts.inferior_call", door="syscall64", also=DOORS, covers=[38, 41])
def inferior_call(trace: Trace) -> None:
    """At the signal-delivery-stop, save all registers; write orig_ax = -1 and ip = a function that
    makes a call of its own and ends at an int3. Restore all registers there, orig_ax too, and
    resume with a signal of each disposition: it decides about the call that was interrupted.
    """
    call_functions(trace)


@case("restarts.inferior_call_interrupt", door="syscall64", also=PLAIN, covers=[38, 41, 45])
def inferior_call_interrupt(trace: Trace) -> None:
    """PTRACE_INTERRUPT the sleeping program. At that stop, save all registers; write orig_ax = -1,
    and ip = a function that makes a call of its own and ends at an int3. Restore all registers.
    """
    for call in CALLS:
        trace.heading(call=call.name)
        with making(trace, call) as (probe, release), trace.launch(probe) as task:
            doze(task, requests.CONT)
            call_function(task, task.interrupt(), "called")
            complete(task, release)
        released(trace, call)


@case("restarts.inferior_call_fault", door="syscall64", also=PLAIN, covers=[41, 42])
def inferior_call_fault(trace: Trace) -> None:
    """At the signal-delivery-stop, save all registers; write orig_ax = -1 and ip = a function that
    makes a call of its own and ends by hlt. Suppress that SIGSEGV, and restore all registers.
    """
    for call in CALLS:
        trace.heading(call=call.name)
        with making(trace, call) as (probe, release), trace.launch(probe) as task:
            call_function(task, interrupted(task), "called_badly")
            complete(task, release)
        released(trace, call)


def restart_by_hand(trace: Trace, part: Part = ALL) -> None:
    """Do the kernel's work at the stop of each call, for each disposition."""
    for call in part.calls:
        block = call in (NANOSLEEP, POLL)
        number = trace.number("restart_syscall" if block else call.system_call)
        for ax in (number, -4) if block else (number,):

            def by_hand(task: Task, stop: Stop, ax: int = ax) -> None:
                task.poke(ax=ax, ip=stop.regs["ip"] - 2 * (ax >= 0), orig_ax=-1)

            treat(trace, part, call, by_hand, ax=ax)
        released(trace, call)


@case("restarts.checkpointer", door="syscall64", also=DOORS, covers=[36, 52])
def checkpointer(trace: Trace) -> None:
    """At the signal-delivery-stop, do by hand what the kernel would do after it: ax = the number
    (restart_syscall's with a restart block), ip back by 2; and orig_ax = -1. Go on with a signal of
    each disposition. Also what CRIU does where there is a restart block: ax = -EINTR.
    """
    restart_by_hand(trace)


@case("restarts.poked_result", door="syscall64", also=DOORS, covers=[25, 36])
def poked_result(trace: Trace) -> None:
    """At the exit stop of getpid(), which slept nowhere, write ax = each of the four codes: with no
    signal pending, with one that is then suppressed, and with one that is then handled.
    """
    probe = Probe(site="syscall", regs={"ax": trace.number("getpid")}, handlers=(Handler(FIRST),))
    for code in (-512, -513, -514, -516):
        for pending in ("none", "suppressed", "handler"):
            trace.heading(ax=code, signal=pending)
            with trace.launch(probe) as task:
                task.syscall()
                task.syscall()
                task.poke(ax=code)
                signo = 0
                if pending != "none":
                    task.signal(FIRST)
                    stop = task.syscall()
                    signo = stop.signo if pending == "handler" else 0
                complete(task, signo=signo)
    trace.control(probe)


@case("restarts.result_replaced", door="syscall64", also=PLAIN, covers=[25, 50])
def result_replaced(trace: Trace) -> None:
    """At the exit stop that shows an -ERESTART code, write ax = 5 instead; then let the signal
    that is pending be handled.
    """
    for call in CALLS:
        trace.heading(call=call.name)
        with making(trace, call, (Handler(FIRST),)) as (probe, _), trace.launch(probe) as task:
            follow(task, deque([send(FIRST)]), until=at_exit)
            task.poke(ax=5)
            complete(task)
        released(trace, call)


# --- decided at one stop, and read at the next ---


@case("restarts.written_before", door="syscall64", also=DOORS, covers=[36, 38, 49, 50])
def written_before(trace: Trace) -> None:
    """Write at one stop what counts only behind the next, which shows it: at the exit stop, or at
    the stop of a first signal, which is suppressed. Written is orig_ax = -1; the same, and the
    number again at the next stop; or another code into ax. The signal of the next stop is
    suppressed, or handled with SA_RESTART.
    """
    for call in CODES:
        code = {"ax": -514 if call in (READ, LOCK_PI) else -513}
        none, number = {"orig_ax": -1}, {"orig_ax": trace.number(call.system_call)}
        for at, what, first, then in (
            ("exit", "none", none, {}), ("exit", "none,number", none, number),
            ("exit", "code", code, {}), ("signal", "none", none, {}),
        ):  # fmt: skip
            for name, flags in (("suppressed", 0), ("SA_RESTART", SA_RESTART)):
                trace.heading(call=call.name, at=at, written=what, signal=name)
                program = making(trace, call, (Handler(SECOND, flags),))
                with program as (probe, release), trace.launch(probe) as task:
                    if at == "exit":
                        follow(task, deque([send(SECOND)]), until=at_exit)
                    else:
                        follow(task, deque([send(FIRST, SECOND)]), until=at_signal)
                    task.poke(**first)
                    task.syscall()
                    if then:
                        task.poke(**then)
                    complete(task, release, signo=SECOND if flags else 0)
        released(trace, call)


# --- a call in the handler that interrupts a call ---

NESTED: Final[Mapping[str, tuple[int, tuple[Handler, ...]]]] = {
    "SA_RESTART": (0, (Handler(IGNORED, SA_RESTART),)),
    "handler": (SA_RESTART, (Handler(IGNORED),)),
    "default": (SA_RESTART, ()),
    "function": (SA_RESTART, ()),
}
"""What becomes of the inner call, with the flags of the handler that makes it, and its own signal's
disposition."""


@case("restarts.nested", door="syscall64", also=DOORS, covers=[32, 33, 34, 35, 36, 41, 49])
def nested(trace: Trace) -> None:
    """Interrupt a call by SIGUSR1, whose handler makes the same call; interrupt that by SIGWINCH,
    ignored by default or handled; or suppress it, and call a function there as a debugger does.
    Let each of them go. Of outer and inner handler, one or both have SA_RESTART.
    """
    for call in CODES:
        for inner, (flags, handlers) in NESTED.items():
            outer = Handler(FIRST, flags, calls=True)
            trace.heading(call=call.name, outer="SA_RESTART" if flags else "handler", inner=inner)
            nest(trace, call, (outer, *handlers, Handler(SECOND)), inner == "function")


def nest(trace: Trace, call: Call, handlers: tuple[Handler, ...], function: bool) -> None:
    """Interrupt a call and the one that its handler makes; do the same untraced."""
    program = partial(making, trace, call, handlers, results=("inner",))
    with program() as (probe, release), trace.launch(probe) as task:
        interrupted(task)
        stop = follow(task, deque([send(IGNORED)]), FIRST, until=at_signal)
        if function:
            call_function(task, stop, "called")
        complete(task, release, release, signo=0 if function else IGNORED)
    if not function:
        with program() as (probe, release):
            untraced(trace, probe, send(FIRST), send(IGNORED), release, release)


# --- stops that are no signal of the program's ---


@contextlib.contextmanager
def with_work(
    trace: Trace, call: Call, **more: Any
) -> Iterator[tuple[Probe, Action, Action]]:
    """Yield a program that makes a call, what makes work for it meanwhile, and what lets it go.

    The work is that of an io_uring of its own, which waits for another pipe to become readable.
    """
    reader, writer = os.pipe()
    os.set_inheritable(reader, True)
    setup = f"{call.setup}_with_work" if call.setup else "with_work"
    args = (*(call.args or (0,)), reader)
    work: Action = lambda task: os.write(writer, b"!")  # noqa: E731
    try:
        with making(trace, replace(call, setup=setup, args=args), **more) as (probe, release):
            yield probe, work, release
    finally:
        os.close(reader)
        os.close(writer)


@case("restarts.task_work", door="syscall64", also=DOORS, covers=[31, 32, 35, 36, 38, 50],
      needs=["io_uring"])  # fmt: skip
def task_work(trace: Trace) -> None:
    """Have work queued for the program while it sleeps, by an io_uring that it has set up: its
    call ends with a code as by a signal (TIF_NOTIFY_SIGNAL), and there is none. Let it be made
    again; or at that exit stop write orig_ax = -1, or send a signal that is handled.
    """
    for call in CALLS:
        for then in ("nothing", "orig_ax", "signal"):
            trace.heading(call=call.name, then=then)
            program = with_work(trace, call, handlers=(Handler(FIRST), Handler(SECOND)))
            with program as (probe, work, release), trace.launch(probe) as task:
                follow(task, deque([work]), until=at_exit)
                if then == "orig_ax":
                    task.poke(orig_ax=-1)
                elif then == "signal":
                    task.signal(FIRST)
                complete(task, release)
        with with_work(trace, call) as (probe, work, release):
            untraced(trace, probe, work, release)


@case("restarts.retracted", door="syscall64", also=PLAIN, covers=[50])
def retracted(trace: Trace) -> None:
    """At the exit stop that shows an -ERESTART code, block the signal by PTRACE_SETSIGMASK: no
    signal-delivery-stop follows. Unblock it at the exit stop of the call that returns.
    """
    for call in CALLS:
        if call.byte:
            trace.heading(call=call.name)
            handlers = (Handler(FIRST),)
            with making(trace, call, handlers) as (probe, release), trace.launch(probe) as task:
                follow(task, deque([send(FIRST)]), until=at_exit)
                task.block(FIRST)
                follow(task, deque([release]), until=at_exit)
                task.block()
                task.finish()
            released(trace, call)


@case("restarts.interrupt", door="syscall64", also=DOORS, covers=[45, 50])
def interrupted_by_tracer(trace: Trace) -> None:
    """PTRACE_INTERRUPT the program while it sleeps: resumed by PTRACE_CONT it stops for that alone;
    resumed by PTRACE_SYSCALL the exit stop is the stop that was asked for, and no other follows.
    """
    for call in CALLS:
        for name, request in (("CONT", requests.CONT), ("SYSCALL", requests.SYSCALL)):
            trace.heading(call=call.name, resumed=name)
            with making(trace, call) as (probe, release), trace.launch(probe) as task:
                doze(task, request)
                if request == requests.SYSCALL:
                    task.take()
                    doze(task, request)
                task.interrupt()
                complete(task, release)
        released(trace, call)


@case("restarts.group_stop", door="syscall64", also=DOORS, covers=[48, 134])
def group_stop(trace: Trace) -> None:
    """Interrupt each call by SIGSTOP, into the group-stop; leave it by PTRACE_SYSCALL and send
    SIGCONT to the call that goes on, or PTRACE_LISTEN there until SIGCONT. Untraced, stop and
    continue it.
    """
    stop, go_on = send(signal.SIGSTOP), send(signal.SIGCONT)
    for call in CALLS:
        for way in ("SYSCALL", "LISTEN"):
            trace.heading(call=call.name, left=way)
            with making(trace, call) as (probe, release), trace.launch(probe) as task:
                follow(task, deque([stop]), until=in_group_stop)
                if way == "LISTEN":
                    requests.listen(task.pid)
                    go_on(task)
                    task.take()
                    complete(task, release)
                else:
                    complete(task, go_on, release)
        with making(trace, call) as (probe, release):
            untraced(trace, probe, stop, go_on, release)


def in_group_stop(stop: Stop) -> bool:
    """Whether this is a group-stop."""
    return stop.kind.startswith("group")


@case("restarts.attach", door="syscall64", also=DOORS, covers=[44, 45])
def attach(trace: Trace) -> None:
    """Attach to the sleeping program: by PTRACE_ATTACH, whose SIGSTOP is suppressed, and by
    PTRACE_SEIZE and PTRACE_INTERRUPT.
    """
    for call in CALLS:
        for way in ("ATTACH", "SEIZE"):
            trace.heading(call=call.name, by=way)
            with making(trace, call) as (probe, release), sleeping(trace, probe) as task:
                if way == "ATTACH":
                    requests.attach(task.pid)
                    task.take()
                    requests.set_options(task.pid, requests.O_BASE)
                else:
                    requests.seize(task.pid, requests.O_BASE)
                    task.interrupt()
                complete(task, release)
        released(trace, call)


@contextlib.contextmanager
def sleeping(trace: Trace, probe: Probe) -> Iterator[Task]:
    """Yield a program that sleeps in its call with nobody tracing."""

    def until(task: Task) -> None:
        task.until_ready()
        asleep(task)

    with trace.adopt(probe, until) as task:
        yield task


@case("restarts.detach", door="syscall64", also=DOORS, covers=[46, 136])
def detach(trace: Trace) -> None:
    """Detach from the program that sleeps: at the exit stop that its signal or the tracer's
    PTRACE_INTERRUPT leads to, at the signal-delivery-stop, and at the interrupt's own stop; without
    a signal. Then let the call go.
    """
    for call in CALLS:
        for where in ("exit", "signal", "interrupt"):
            trace.heading(call=call.name, at=where)
            with making(trace, call) as (probe, release), trace.launch(probe) as task:
                if where == "interrupt":
                    doze(task, requests.CONT)
                    task.interrupt()
                elif where == "signal":
                    interrupted(task)
                else:
                    follow(task, deque([interrupt]), until=at_exit)
                task.detach()
                asleep(task)
                release(task)
                task.take()
        released(trace, call)


@case("restarts.detach_with_signal", door="syscall64", also=PLAIN, covers=[33, 34, 46, 136])
def detach_with_signal(trace: Trace) -> None:
    """Detach at the signal-delivery-stop with the signal, handled with SA_RESTART; then let go a
    call that was made again. Untraced, send the same signal.
    """
    handlers = (Handler(FIRST, SA_RESTART), Handler(SECOND))
    for call in CALLS:
        trace.heading(call=call.name)
        with making(trace, call, handlers) as (probe, release), trace.launch(probe) as task:
            interrupted(task)
            task.detach(FIRST)
            if asleep(task):
                release(task)
            task.take()
        with making(trace, call, handlers) as (probe, release):
            untraced(trace, probe, send(FIRST), release)


# --- stepping ---


@case("restarts.stepped", door="syscall64", also=DOORS, covers=[35, 51, 95])
def stepped(trace: Trace) -> None:
    """PTRACE_SINGLESTEP from the signal-delivery-stop, the signal suppressed: one step is the whole
    call that is made again, until it is let go.
    """
    for call in CALLS:
        trace.heading(call=call.name)
        with making(trace, call) as (probe, release), trace.launch(probe) as task:
            interrupted(task)
            doze(task, requests.SINGLESTEP)
            release(task)
            task.take()
            task.finish()
        released(trace, call)


@case("restarts.interrupted_step", door="syscall64", also=DOORS, covers=[35, 51, 95])
def interrupted_step(trace: Trace) -> None:
    """PTRACE_SINGLESTEP from the enter stop, and a signal while the program sleeps: it traps after
    the instruction, then shows the signal, which is suppressed. Step on, and let the call go.
    """
    for call in CALLS:
        trace.heading(call=call.name)
        with making(trace, call) as (probe, release), trace.launch(probe) as task:
            task.syscall()
            doze(task, requests.SINGLESTEP)
            task.signal(FIRST)
            task.take()
            task.step()
            doze(task, requests.SINGLESTEP)
            release(task)
            task.take()
            task.finish()
        released(trace, call)


@case("restarts.step_into_handler", door="syscall64", also=DOORS, covers=[33, 34, 51, 97])
def step_into_handler(trace: Trace) -> None:
    """PTRACE_SINGLESTEP from the signal-delivery-stop with the signal, handled with SA_RESTART: the
    step ends at the handler's first instruction. Then PTRACE_SYSCALL. Untraced, send the signal.
    """
    handlers = (Handler(FIRST, SA_RESTART), Handler(SECOND))
    for call in CALLS:
        trace.heading(call=call.name)
        with making(trace, call, handlers) as (probe, release), trace.launch(probe) as task:
            interrupted(task)
            task.step(FIRST)
            complete(task, release)
        with making(trace, call, handlers) as (probe, release):
            untraced(trace, probe, send(FIRST), release)


# --- the restart block ---


@case("restarts.block_disarmed", door="syscall64", also=DOORS, covers=[32, 53])
def block_disarmed(trace: Trace) -> None:
    """Have the program make a call, and then restart_syscall() itself. The call is nanosleep() that
    a handler interrupts, getpid(), or nanosleep() whose restart the tracer prevents at the
    signal-delivery-stop: then there is a restart block still, and restart_syscall() sleeps on.
    """
    both_calls: dict[str, Any] = {"site": "call_and_restart"}
    handlers = (Handler(FIRST), Handler(SECOND))
    trace.heading(call="nanosleep", signal="handler")
    sleeping_first = partial(making, trace, NANOSLEEP, handlers, **both_calls)
    with sleeping_first() as (probe, _), trace.launch(probe) as task:
        follow(task, deque([send(FIRST)]))
    with sleeping_first() as (probe, _):
        untraced(trace, probe, send(FIRST))
    trace.heading(call="getpid", signal="none")
    probe = Probe(site="call_and_restart", regs={"ax": trace.number("getpid")})
    with trace.launch(probe) as task:
        follow(task, deque())
    trace.control(probe)
    trace.heading(call="nanosleep", signal="suppressed")
    with sleeping_first() as (probe, release), trace.launch(probe) as task:
        interrupted(task)
        task.poke(orig_ax=-1)
        follow(task, deque([release]))
    released(trace, NANOSLEEP, **both_calls)


@case("restarts.late_signal", door="syscall64", also=DOORS, covers=[49, 53])
def late_signal(trace: Trace) -> None:
    """Put an int3 in place of the instruction by which the call is made again, suppress the signal
    that interrupted it, and so stop after the kernel has decided to restart and before the program
    does. Put the instruction back, and only now send a signal that is handled without SA_RESTART.
    """
    again = "landing_pad-2" if trace.door.by_vdso else "syscall"
    for call in CALLS:
        trace.heading(call=call.name)
        with making(trace, call) as (probe, release), trace.launch(probe) as task:
            interrupted(task, FIRST)
            byte = task.poke_code(again, INT3)
            task.cont()
            task.poke_code(again, byte)
            task.poke(ip=trace.address(again))
            task.signal(SECOND)
            complete(task, release)
        released(trace, call)


# --- calls with a signal mask of their own ---

MASKED: Final = (
    Call("ppoll", "ppoll", "ppoll_blocks", (signals(FIRST),)),
    Call("pselect6", "pselect6", "pselect_blocks", (signals(FIRST),)),
    Call("rt_sigsuspend", "rt_sigsuspend", "sigsuspend_blocks", (signals(FIRST),), byte=False),
)  # fmt: skip
"""They block SIGUSR1 while they sleep, in programs that block SIGUSR2 otherwise."""


@case("restarts.mask_handler", door="syscall64", also=PLAIN, covers=[34, 47])
def mask_handler(trace: Trace) -> None:
    """Interrupt a call that sleeps with a signal mask of its own, by a signal that only this mask
    lets through; it has a handler. Read the mask at every stop.
    """
    for call in MASKED:
        trace.heading(call=call.name)
        masked: dict[str, Any] = {"blocked": (SECOND,), "show": ("mask",)}
        with making(trace, call, **masked) as (probe, _), trace.launch(probe) as task:
            follow(task, deque([send(SECOND)]), show=("mask",))
        with making(trace, call, **masked) as (probe, _):
            untraced(trace, probe, send(SECOND))


@case("restarts.mask_restart", door="syscall64", also=PLAIN, covers=[35, 47])
def mask_restart(trace: Trace) -> None:
    """Interrupt a call that sleeps with a signal mask of its own, by a signal that is ignored by
    default. Then let it go, or for rt_sigsuspend() send the signal that has a handler. Read the
    mask at every stop.
    """
    for call in MASKED:
        trace.heading(call=call.name)
        masked: dict[str, Any] = {"blocked": (SECOND,), "show": ("mask",)}
        with making(trace, call, **masked) as (probe, release), trace.launch(probe) as task:
            follow(task, deque([send(IGNORED), release]), show=("mask",))
        with making(trace, call, **masked) as (probe, release):
            untraced(trace, probe, send(IGNORED), release)


@case("restarts.mask_late_signal", door="syscall64", also=PLAIN, covers=[34, 47, 49])
def mask_late_signal(trace: Trace) -> None:
    """Have a signal wait that the call's own mask blocks and the program's does not; interrupt the
    call by one that is ignored by default. With the restart the program's mask comes back, and the
    signal's handler runs between the two. Untraced, a stop and a SIGCONT interrupt it.
    """
    handlers = (Handler(FIRST), Handler(SECOND))
    for call in MASKED:
        trace.heading(call=call.name)
        shown: dict[str, Any] = {"show": ("mask",)}
        masked = partial(making, trace, call, handlers, **shown)
        with masked() as (probe, release), trace.launch(probe) as task:
            follow(task, deque([send(FIRST, IGNORED), release]), **shown)
        with masked() as (probe, release):
            stop, go_on = send(FIRST, signal.SIGSTOP), send(signal.SIGCONT)
            untraced(trace, probe, stop, go_on, release)
