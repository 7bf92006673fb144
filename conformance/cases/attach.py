# SPDX-License-Identifier: GPL-2.0-only
"""A tracer's coming and going: what it finds, what it leaves, and what it runs meanwhile."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import signal
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from conformance import abi
from conformance.abi import error_name
from conformance.cases import Handler, Probe, case, events, filters, restarts
from conformance.cases.restarts import (
    FIRST,
    NANOSLEEP,
    READ,
    SA_RESTART,
    SECOND,
    asleep,
    complete,
    doze,
    making,
    released,
    send,
    sleeping,
    untraced,
)
from conformance.doors import CALLS, DOORS
from conformance.strays import WALL
from conformance.tracing import program, requests
from conformance.tracing.hand import LOCAL
from conformance.tracing.snapshot import Stop
from conformance.tracing.tracee import Task, Trace

WAYS: Final = ("ATTACH", "SEIZE")
SLEEPS: Final = (READ, NANOSLEEP)
"""A call that is made again, and one with a restart block."""
VFORK: Final = restarts.Call("vfork", "vfork", "read_blocks")
WAITING: Final[Mapping[str, Any]] = {"site": "vfork_reads", "blocked": (signal.SIGCHLD,)}
"""A call that ends when its child has read a byte; SIGCHLD, which comes somewhat later, waits."""
READ_EXEC: Final = replace(READ, setup="read_heir")
SYSCALL, INT80, INT3 = b"\x0f\x05", b"\xcd\x80", b"\xcc"
"""Code that a tracer writes into a program."""
STOP, GO_ON = send(signal.SIGSTOP), send(signal.SIGCONT)


def attach(task: Task, way: str) -> None:
    """PTRACE_ATTACH or PTRACE_SEIZE; no stop is taken."""
    if way == "ATTACH":
        requests.attach(task.pid)
    else:
        requests.seize(task.pid, requests.O_BASE)


def take_over(task: Task, way: str) -> Stop:
    """Attach, and take the first stop; only then can a task get its options by PTRACE_ATTACH."""
    attach(task, way)
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
                take_over(task, way)
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


@case("attach.stopped_threads", door="syscall64", also=events.CODES, covers=[44, 48, 134])
def stopped_threads(trace: Trace) -> None:
    """Send SIGSTOP to a program of two threads, of which one sleeps and the other is at its first
    stop: the first that takes it stops both, each with a stop of its own. PTRACE_LISTEN one, send
    SIGCONT, and resume both: each is told, and one of them takes the signal. Kill them.
    """
    probe = Probe(
        site="clone_exec", setup="heir", regs=trace.door.call("clone", events.THREAD),
        text=events.true(trace.door.abi),
    )  # fmt: skip
    with trace.launch(probe, events.BIRTHS) as task:
        thread = events.bear(trace, task)
        thread.take()
        task.syscall()
        doze(task, requests.CONT)
        os.kill(task.pid, signal.SIGSTOP)
        task.cont(task.take().signo)
        thread.cont()
        requests.listen(task.pid)
        os.kill(task.pid, signal.SIGCONT)
        task.take()
        task.cont()
        thread.cont()
        thread.kill()
        task.take()
    trace.control(probe)


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
                    take_over(task, way)
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
                take_over(task, way)
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


def at_nop(_: Trace, task: Task) -> None:
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
        "step": (Probe(site="nops"), requests.O_BASE, at_nop),
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


NEW_TASKS: Final[Mapping[str, int]] = {
    "FORK": signal.SIGCHLD, "CLONE": 0, "VFORK": events.CLONE_VFORK | events.CLONE_VM,
    "VFORK_DONE": events.CLONE_VFORK | events.CLONE_VM, "child": signal.SIGCHLD,
}  # fmt: skip
"""Stops of a birth: the events of the parent, and the child's first one; and flags of clone()."""


def leave_birth(trace: Trace, where: str, probe: Probe, signo: int) -> None:
    """Detach from one of two tasks at that stop, and see the ends of both."""
    with trace.launch(probe, events.VFORKS) as task:
        child = events.bear(trace, task)
        if where == "child":
            child.take()
            child.detach(signo)
            child.until_dead()
            task.syscall()
            task.finish()
            return
        if where == "VFORK_DONE":
            task.resume()
            events.live(child)
            task.take()
        task.detach(signo)
        if where != "VFORK_DONE":
            events.live(child)
        task.take()


@case("attach.detached_birth", door="syscall64", also=events.CODES, covers=[58, 136])
def detached_birth(trace: Trace) -> None:
    """Detach a task from the event of each kind of birth, where its child stays traced, or the
    child from its first stop, where its parent does; with no signal, and with SIGUSR1, which has a
    handler and is lost.
    """
    for where, flags in NEW_TASKS.items():
        for signo in (0, FIRST):
            trace.heading(stop=where)
            probe = replace(events.clone(trace, flags), handlers=[Handler(FIRST)])
            leave_birth(trace, where, probe, signo)
        trace.control(probe)


# What is run meanwhile: a call that a tracer has the program make


def instruction(trace: Trace) -> bytes:
    """Code of the door's way in; where that is the vDSO, of the int $0x80 in there."""
    return SYSCALL if trace.door.image in ("x86_64", "x32") else INT80


@contextlib.contextmanager
def code(task: Task, at: int, written: bytes) -> Iterator[None]:
    """Have other code at an address of the program meanwhile."""
    size = requests.WORD_SIZE
    old = requests.peektext(task.pid, at).to_bytes(8, "little")[:size]
    requests.poketext(task.pid, at, int.from_bytes(written + old[len(written) :], "little"))
    yield
    requests.poketext(task.pid, at, int.from_bytes(old, "little"))


def by_trap(task: Task) -> None:
    """Run the call by PTRACE_CONT, to the int3 behind it."""
    task.cont()


def by_step(task: Task) -> None:
    """Run the call by PTRACE_SINGLESTEP."""
    task.step()


def by_stops(task: Task) -> None:
    """Run the call by PTRACE_SYSCALL, to its exit stop."""
    task.syscall()
    task.syscall()


def by_stops_and_interrupt(task: Task) -> None:
    """The same, and on to the stop of a PTRACE_INTERRUPT before any further instruction."""
    by_stops(task)
    requests.interrupt(task.pid)
    task.cont()


def inject(
    trace: Trace, call: restarts.Call, run: Callable[[Task], None], written: bytes, number: int
) -> None:
    """Have a program that sleeps in a call make another: save registers, write code and have ip
    point there, run it, and put code and registers back. Then let the call go.
    """
    at = trace.label("nops").start
    with making(trace, call) as (probe, release), trace.launch(probe) as task:
        doze(task, requests.CONT)
        saved = task.interrupt()
        with code(task, at, written + INT3):
            task.poke(orig_ax=-1, ax=number, ip=at)
            run(task)
        task.put_back(saved)
        complete(task, release)


@case("attach.injected", door="syscall64", also=CALLS, covers=[38, 41, 45, 53, 142])
def injected(trace: Trace) -> None:
    """PTRACE_INTERRUPT a program that sleeps in a call, and have it make getpid() by code
    that is written elsewhere: up to an int3, by one step, or by PTRACE_SYSCALL and to one more
    PTRACE_INTERRUPT. Restore code and registers at that stop: the first call goes on. Let it go.
    """
    ways = {"CONT": by_trap, "SINGLESTEP": by_step, "SYSCALL": by_stops_and_interrupt}
    for call in restarts.CALLS:
        for name, run in ways.items():
            trace.heading(call=call.name, by=name)
            inject(trace, call, run, instruction(trace), trace.number("getpid"))
        released(trace, call)


@case("attach.restored_at_exit", door="syscall64", also=CALLS, covers=[25, 41, 142])
def restored_at_exit(trace: Trace) -> None:
    """The same, but restore the registers at the exit stop of the call that was injected, where no
    signal is: nothing makes the first call again, and the program finds its code.
    """
    for call in restarts.CALLS:
        trace.heading(call=call.name)
        inject(trace, call, by_stops, instruction(trace), trace.number("getpid"))
        released(trace, call)


@case("attach.injected_int80", door="syscall64", also=["x32"], covers=[38, 41, 53, 142],
      needs=["ia32"])  # fmt: skip
def injected_int80(trace: Trace) -> None:
    """Have a 64-bit program that sleeps in a call make getpid() by int $0x80, up to an int3, or by
    one step: then registers are restored while the 32-bit call still is the last one.
    """
    for call in restarts.CALLS:
        for name, run in {"CONT": by_trap, "SINGLESTEP": by_step}.items():
            trace.heading(call=call.name, by=name)
            inject(trace, call, run, INT80, DOORS["int80_64"].number("getpid"))
        released(trace, call)


# The end of a tracer that did not detach


SEIZED: Final = {
    "EXITKILL": requests.O_BASE, "none": requests.O_BASE & ~requests.O_EXITKILL,
}  # fmt: skip
"""Options with which what is traced dies with its tracer, or lives on."""


def die(trace: Trace, task: Task) -> None:
    """Kill the tracer; this process waits for its task from now on."""
    task.hand.close()
    trace.hand = task.hand = LOCAL


def at_sleep(task: Task) -> None:
    """Go to where the call sleeps; there is no stop."""
    doze(task, requests.CONT)


def at_delivery(task: Task) -> None:
    """Go to the delivery of a signal to the sleeping program, which has a handler for it."""
    at_sleep(task)
    task.signal(FIRST)
    task.take()


def at_group_stop(task: Task) -> None:
    """Go to a group-stop of the sleeping program."""
    at_sleep(task)
    STOP(task)
    task.cont(task.take().signo)


def at_interrupt(task: Task) -> None:
    """Go to the stop of PTRACE_INTERRUPT of the sleeping program."""
    at_sleep(task)
    task.interrupt()


IN_A_SLEEP: Final = {
    "sleep": at_sleep, "signal": at_delivery, "group": at_group_stop, "STOP": at_interrupt,
}  # fmt: skip
IN_A_CALL: Final = ("syscall-enter", "syscall-exit", "SYSEMU", "stepped-call")


@case("attach.tracer_died", door="int80_32", covers=[46, 75, 95, 136, 138])
def tracer_died(trace: Trace) -> None:
    """Kill the tracer of a program that sleeps in read(), or is in a stop there, or in one of a
    call that does not sleep; with PTRACE_O_EXITKILL, and without. If it lives, let the call go.
    """
    for option, options in SEIZED.items():
        for where in IN_A_CALL:
            trace.heading(option=option, at=where)
            probe, _, go = stops(trace)[where]
            with trace.launch(probe, options, hand="ia32") as task:
                go(trace, task)
                die(trace, task)
                end(trace, task)
        for where, go_there in IN_A_SLEEP.items():
            trace.heading(option=option, at=where)
            with (
                making(trace, READ, (Handler(FIRST),)) as (probe, release),
                trace.launch(probe, options, hand="ia32") as task,
            ):
                go_there(task)
                die(trace, task)
                end(trace, task, release)
    trace.control(getppid(trace))


def end(trace: Trace, task: Task, release: restarts.Action = GO_ON) -> None:
    """Take the end of a program whose tracer has died; continue it and let it go if it lives."""
    state = task.until("STZX")
    trace.tell(task, {"state": state})
    if state == "T":
        GO_ON(task)
        state = task.until("SZX")
    if state == "S":
        release(task)
    task.take()


def apart(trace: Trace, act: Callable[[], object]) -> None:
    """Do something in another thread of this process, and wait until that is gone."""

    def body() -> int:
        act()
        return threading.get_native_id()

    with ThreadPoolExecutor(1) as pool:
        tid = pool.submit(body).result()
    trace.wait_for(lambda: not Path(f"/proc/self/task/{tid}").exists())


def trace_and_die(trace: Trace, task: Task, options: int, stop: bool) -> None:
    """Have a thread of this process trace a program, stop it or not, and end."""

    def body() -> None:
        requests.seize(task.pid, options)
        if stop:
            requests.interrupt(task.pid)
            trace.wait_for(lambda: os.waitpid(task.pid, os.WNOHANG | WALL)[0] == task.pid)

    apart(trace, body)


@case("attach.thread_died", door="syscall64", also=events.CODES, covers=[46, 138])
def thread_died(trace: Trace) -> None:
    """Let a thread of this process trace a program that sleeps in a call, stop it or not, and end,
    with PTRACE_O_EXITKILL and without: the other threads are no tracers. If it lives, let the call
    go.
    """
    for call in SLEEPS:
        for option, options in SEIZED.items():
            for stop in (False, True):
                trace.heading(call=call.name, option=option, at="STOP" if stop else "sleep")
                with making(trace, call) as (probe, release), sleeping(trace, probe) as task:
                    trace_and_die(trace, task, options, stop)
                    end(trace, task, release)
        released(trace, call)


# Who may not attach


def attaching(pid: int) -> Mapping[str, Callable[[], object]]:
    """The two requests that attach, by name."""
    return {
        "ATTACH": lambda: requests.attach(pid),
        "SEIZE": lambda: requests.seize(pid, requests.O_BASE),
    }


@case("attach.refused", door="syscall64", covers=[135, 140])
def refused(trace: Trace) -> None:
    """Attach to a program that is traced already, asleep or stopped; to one that is a zombie, or
    gone; and to this process itself. Seize one with an option that there is none of. Make requests
    that need another stop, or PTRACE_SEIZE, or a signal or an option that exists. Those that live
    run on.
    """
    trace.heading(task="traced")
    with making(trace, READ) as (probe, release), trace.launch(probe) as task:
        refuse_more(task)
        complete(task, release)
    trace.heading(task="attached")
    with making(trace, READ) as (probe, release), sleeping(trace, probe) as task:
        events.ask(task, SEIZE=lambda: requests.seize(task.pid, NO_OPTION))
        take_over(task, "ATTACH")
        events.ask(task, INTERRUPT=lambda: requests.interrupt(task.pid),
                   LISTEN=lambda: requests.listen(task.pid))  # fmt: skip
        complete(task, release)
    trace.heading(task="zombie")
    with making(trace, READ) as (probe, _), sleeping(trace, probe) as task:
        requested = attaching(task.pid)
        os.kill(task.pid, signal.SIGKILL)
        task.until_dead()
        events.ask(task, **requested)
        task.take()
        events.ask(task, **requested)
    released(trace, READ)


NO_OPTION: Final = 1 << 30
NO_SIGNAL: Final = 65


def refuse_more(task: Task) -> None:
    """Ask for what a tracer cannot have, of a program at its gate, asleep, and at a signal."""
    events.ask(task, **attaching(task.pid))
    doze(task, requests.CONT)
    events.ask(task, **attaching(task.pid))
    events.ask(task, **{f"{name}_self": ask for name, ask in attaching(os.getpid()).items()})
    task.signal(FIRST)
    task.take()
    events.ask(
        task, LISTEN=lambda: requests.listen(task.pid),
        DETACH=lambda: requests.detach(task.pid, NO_SIGNAL),
        CONT=lambda: requests.resume(task.pid, requests.CONT, NO_SIGNAL),
        SETOPTIONS=lambda: requests.set_options(task.pid, NO_OPTION),
    )  # fmt: skip


CAPABILITIES: Final = 0x2008_0522
"""_LINUX_CAPABILITY_VERSION_3: two words each of effective, permitted and inheritable ones."""


def give_up_power() -> None:
    """Have this thread do without any capability in effect, like an unprivileged user's.

    It keeps those that are permitted, and so has no fewer than the programs of its process.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    head = (ctypes.c_uint32 * 2)(CAPABILITIES, 0)
    sets = (ctypes.c_uint32 * 6)()
    failed = libc.capget(head, sets)
    sets[0] = sets[3] = 0
    if failed or libc.capset(head, sets):
        raise OSError(ctypes.get_errno(), "capset")


@case("attach.undumpable", door="syscall64", also=events.CODES, covers=[140])
def undumpable(trace: Trace) -> None:
    """Attach, with no effective capability, to a program that sleeps in read(), once it has made
    itself undumpable, or has not; the tracer is a thread that ends. Then let the call go.
    """
    for name, call in (("0", replace(READ, setup="undumpable_read")), ("1", READ)):
        trace.heading(dumpable=name)
        with making(trace, call) as (probe, release), sleeping(trace, probe) as task:
            apart(trace, partial(seize_without_power, task))
            release(task)
            task.take()
        released(trace, call)


def seize_without_power(task: Task) -> None:
    """Tell what the kernel answers to PTRACE_SEIZE by a thread without capabilities."""
    give_up_power()
    events.ask(task, SEIZE=lambda: requests.seize(task.pid, 0))


USERS: Final[Mapping[str, int]] = {
    "other": 1 | 8, "effective": 2 | 8, "was": 4, "was_dumpable": 4 | 8,
}  # fmt: skip
"""Whose a program of root's is, for setup nobodys_read: another user's, by its effective id alone,
or root's again; that has left it undumpable, or it is dumpable again, as the others are."""


@case("attach.other_user", door="syscall64", also=events.CODES, covers=[140],
      needs=["nobody", "ptrace_any"])  # fmt: skip
def other_user(trace: Trace) -> None:
    """Attach, as root and with no effective capability, to a program that sleeps in read(), once it
    is another user's, by all ids or by one, or is root's again; then with CAP_SYS_PTRACE to that of
    another user. The tracer is a thread that ends. Let the call go.
    """
    for name, how in USERS.items():
        trace.heading(user=name)
        call = replace(READ, setup="nobodys_read")
        with (
            making(trace, call) as (probe, release),
            sleeping(trace, replace(probe, args=[*probe.args, how])) as task,
        ):
            apart(trace, partial(seize_without_power, task))
            if name == "other":
                apart(trace, lambda: events.ask(
                    task, SEIZE_capable=lambda: requests.seize(task.pid, 0)))
            release(task)
            task.take()
    released(trace, READ)


# A tracer that a filter refuses a request, as containers did


NO_NEW_PRIVS: Final = 38
SET_MODE_FILTER: Final = 2
SET_SECCOMP: Final = 22
PTRACE_CALL: Final = 101 if requests.BITS == 64 else 26


def refuse(request: int) -> None:
    """Have seccomp answer that ptrace request of this thread's with EPERM, as long as it lives."""
    load, equal, give = 0x20, 0x15, 0x06
    instructions = (
        (load, 0, 0, 0), (equal, 0, 3, PTRACE_CALL), (load, 0, 0, 16), (equal, 0, 1, request),
        (give, 0, 0, filters.ERRNO | errno.EPERM), (give, 0, 0, filters.ALLOW),
    )  # fmt: skip
    code = b"".join(struct.pack("=HBBI", *each) for each in instructions)
    buffer = ctypes.create_string_buffer(code, len(code))
    program_ = struct.pack("@HP", len(instructions), ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(
        SET_SECCOMP, SET_MODE_FILTER, ctypes.c_char_p(program_)
    ):
        raise OSError(ctypes.get_errno(), "prctl")


def tell_apart(trace: Trace, task: Task) -> None:
    """Add to the transcript what tells a call's table and its width without the request.

    They are cs, the number, the length of the register set, and the instruction behind which the
    program is.
    """
    bits = requests.BITS
    words = {
        name: requests.peekuser(task.pid, requests.LAYOUT.index(name) * bits // 8) & (1 << bits) - 1
        for name in ("cs", "orig_ax", "ax", "ip")
    }
    code = requests.peektext(task.pid, words["ip"] - 2).to_bytes(8, "little")[:2]
    refused = requests.error_of(lambda: requests.get_syscall_info(task.pid, 88))
    trace.add_read(
        "stop", GET_SYSCALL_INFO=refused or "0", cs=hex(words["cs"]), code=code.hex(),
        regset=len(requests.getregset(task.pid, 1024)),
        orig_ax=abi.call(words["orig_ax"], trace.door.numbers, bits),
        ax=abi.result(words["ax"], bits),
    )  # fmt: skip


def without_info(trace: Trace, task: Task, release: restarts.Action) -> None:
    """Trace a program that sleeps in a call, to that call's end; tell each of its stops apart."""

    def stop(request: Callable[[], None]) -> None:
        request()
        trace.wait_for(lambda: os.waitpid(task.pid, os.WNOHANG | WALL)[0] == task.pid)

    refuse(requests.GET_SYSCALL_INFO)
    requests.seize(task.pid, requests.O_BASE)
    stop(lambda: requests.interrupt(task.pid))
    stop(lambda: requests.resume(task.pid, requests.SYSCALL))
    tell_apart(trace, task)
    release(task)
    stop(lambda: requests.resume(task.pid, requests.SYSCALL))
    tell_apart(trace, task)
    requests.detach(task.pid)


@case("attach.without_info", door="syscall64", also=CALLS, covers=[127])
def without_info_(trace: Trace) -> None:
    """A filter refuses PTRACE_GET_SYSCALL_INFO to the tracer, a thread that ends: follow read()
    from its enter stop to its exit stop by what else there is.
    """
    with making(trace, READ) as (probe, release), sleeping(trace, probe) as task:
        apart(trace, partial(without_info, trace, task, release))
        task.take()
    released(trace, READ)


# Who waits


WNOTHREAD: Final = 0x2000_0000


def wait(task: Task, options: int) -> Callable[[], str]:
    """Look, without taking it, what waitid() would give of a task: by its signal, or none."""

    def look() -> str:
        found = os.waitid(os.P_PID, task.pid, os.WSTOPPED | os.WNOHANG | os.WNOWAIT | options)
        return signal.Signals(found.si_status).name if found else "none"

    return look


def told(task: Task, **looks: Callable[[], str]) -> None:
    """Add to the transcript what waits gave, or the errors that they ended with."""
    answers: dict[str, int | str] = {}
    for name, look in looks.items():
        try:
            answers[name] = look()
        except OSError as error:
            answers[name] = error_name(error.errno or 0) or str(error.errno)
    task.trace.tell(task, answers)


@case("attach.waited", door="syscall64", covers=[139])
def waited(trace: Trace) -> None:
    """Wait for a program that sleeps, and for its signal-delivery-stop, with WNOWAIT: twice, by
    another thread of this process, and by one that asks for its own children and tracees alone; the
    latter asks for registers, too. Then take the stop, and wait again.
    """
    with making(trace, READ) as (probe, release), trace.launch(probe) as task:
        look, own = wait(task, WALL), wait(task, WALL | WNOTHREAD)
        doze(task, requests.CONT)
        told(task, asleep=look)
        task.signal(FIRST)
        task.until("t")
        told(task, first=look, second=look, own=own)
        apart(trace, lambda: told(task, thread=look, thread_own=own))
        apart(trace, lambda: events.ask(task, GETREGS=lambda: requests.getregs(task.pid)))
        task.take()
        told(task, taken=look)
        complete(task, release)
    released(trace, READ)


# What is attached to executes another program


@case("attach.exec", door="syscall64", also=CALLS, covers=[54, 143])
def exec_(trace: Trace) -> None:
    """Attach to a program that sleeps in read() and then executes another, by PTRACE_ATTACH or
    PTRACE_SEIZE, with PTRACE_O_TRACEEXEC or without; PTRACE_CONT, and let the call go. Only one
    attached, without the option, gets a SIGTRAP; it is suppressed.
    """
    path = events.true(trace.door.abi)
    executes: Mapping[str, Any] = {"site": "read_exec", "text": path}
    for way in WAYS:
        for name, options in (("none", requests.O_BASE), ("TRACEEXEC", events.EXECS)):
            trace.heading(by=way, option=name)
            with (
                making(trace, READ_EXEC, **executes) as (probe, release),
                sleeping(trace, probe) as task,
            ):
                attach(task, way)
                if way == "SEIZE":
                    requests.interrupt(task.pid)
                task.take()
                requests.set_options(task.pid, options)
                doze(task, requests.CONT)
                release(task)
                stop = task.look()
                if not stop.ended:
                    trace.executed(stop)
                trace.add_stop(stop)
                if not stop.ended:
                    task.finish()
    released(trace, READ_EXEC, **executes)


def waits_to_seize(tid: int) -> bool:
    """Whether a thread of this process sleeps in PTRACE_SEIZE."""
    words = Path(f"/proc/self/task/{tid}/syscall").read_text("ascii").split()
    return words[1:2] == [hex(requests.SEIZE)]


@case("attach.exec_under_way", door="syscall64", also=events.CODES, covers=[57, 143])
def exec_under_way(trace: Trace) -> None:
    """Have a thread execute a program, which waits for the leader in PTRACE_EVENT_EXIT; meanwhile
    PTRACE_SEIZE the thread, from another of the tracer's: it waits, too. Resume the leader.
    """
    probe = Probe(
        site="clone_exec", setup="heir", regs=trace.door.call("clone", events.THREAD),
        text=events.true(trace.door.abi),
    )  # fmt: skip
    options = events.BIRTHS | events.EXECS | events.EXITS
    with trace.launch(probe, options) as task, ThreadPoolExecutor(1) as pool:
        heir = events.bear(trace, task)
        heir.take()
        task.syscall()
        task.syscall()
        doze(task)
        heir.syscall()
        heir.resume()
        task.take()
        tid = pool.submit(threading.get_native_id).result()
        answer = pool.submit(requests.error_of, attaching(heir.pid)["SEIZE"])
        trace.wait_for(lambda: waits_to_seize(tid))
        task.resume()
        trace.executed(task.look())
        trace.tell(task, {"SEIZE": answer.result() or "0"})
        task.finish()
        trace.bury(heir.pid)
    trace.control(probe)
