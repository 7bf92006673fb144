# SPDX-License-Identifier: GPL-2.0-only
"""The vsyscall page: calls of the kernel's that are no system calls to a tracer."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Final

from conformance.abi import RESTARTS, Nr
from conformance.cases import Handler, Probe, case
from conformance.cases.filters import DATA, ERRNO, KILL_PROCESS, KILL_THREAD, TRACE, TRACED, TRAP
from conformance.cases.notify import ANSWERS, NEEDS, NEW_LISTENER, USER_NOTIF, Supervisor
from conformance.cases.restarts import Action, asleep, interrupt, send
from conformance.tracing import requests
from conformance.tracing.listener import Listener
from conformance.tracing.snapshot import Stop
from conformance.tracing.tracee import Task, Trace

PAGE: Final = 0xFFFF_FFFF_FF60_0000
ENTRIES: Final = {Nr.gettimeofday: PAGE, Nr.time: PAGE + 0x400, Nr.getcpu: PAGE + 0x800}
"""The functions of the page, by the number that seccomp is shown."""
NO_ENTRIES: Final = (PAGE + 1, PAGE + 0x404, PAGE + 0xC00, PAGE + 0xFFF)
UNMAPPED: Final = 16
KERNEL: Final = 0xFFFF_FFFF_8100_0000
NON_CANONICAL: Final = 1 << 63

TO_THE_END: Final = TRACED | requests.O_TRACEEXIT

SA_ONSTACK: Final = 0x0800_0000
SA_RESTART: Final = 0x1000_0000
SEGV: Final = Handler(signal.SIGSEGV)
"""Skips what faulted; with vsyscall=none that is each call."""
STEPS: Final = 3


def call(nr: Nr = Nr.getcpu, **registers: int) -> Probe:
    """A program that calls an entry of the page, by default with NULL for every pointer.

    All of them then return 0, but for time(), which returns the time.
    """
    regs = {"ax": 0x1234, "bx": ENTRIES[nr], "di": 0, "si": 0} | registers
    return Probe(site="to_vsyscall", regs=regs, handlers=[SEGV], skip=True, quit_after=8)


def filtered(answer: int, nr: Nr = Nr.getcpu, *handlers: Handler) -> Probe:
    """The same where seccomp answers that call so."""
    probe = replace(call(nr), setup="filter", args=[nr, answer])
    return replace(probe, handlers=[SEGV, *handlers])


def value(nr: Nr, answer: int = 0) -> Probe:
    """A program that calls an entry for what it writes and returns, of which 0 is left if right."""
    return Probe(
        site="to_vsyscall_value", setup="vsyscall_value", regs={"bx": ENTRIES[nr]},
        args=[nr, answer], handlers=[SEGV], skip=True, quit_after=8, results=["written"],
    )  # fmt: skip


def go_on(task: Task, stop: Stop) -> None:
    """PTRACE_CONT from that stop until the task is gone, passing on every signal but SIGTRAP."""
    while not stop.ended:
        stop = task.cont(stop.signo if stop.signo != signal.SIGTRAP else 0)


def pass_on(trace: Trace, probe: Probe) -> None:
    """Pass every signal on to the program's handlers; likewise with nobody tracing."""
    with trace.launch(probe) as task:
        task.finish()
    trace.control(probe)


# The call


@case("vsyscall.call", door="vsyscall", covers=[11, 74])
def call_(trace: Trace) -> None:
    """Call each entry of the page for what it writes and returns, under PTRACE_SYSCALL: the first
    call that it stops at is exit_group().
    """
    for nr in ENTRIES:
        trace.heading(entry=nr.name)
        probe = value(nr)
        with trace.launch(probe) as task:
            go_on(task, task.syscall())
        trace.control(probe)


@case("vsyscall.sysemu", door="vsyscall", covers=[74, 75, 79])
def sysemu(trace: Trace) -> None:
    """Call getcpu() under PTRACE_SYSEMU, with no filter and with one that answers EPERM: the first
    call that PTRACE_SYSEMU holds up is exit_group().
    """
    for name, answer in (("none", 0), ("EPERM", ERRNO + 1)):
        trace.heading(filter=name)
        probe = filtered(answer) if answer else call()
        with trace.launch(probe) as task:
            stop = task.take(requests.SYSEMU)
            if stop.signo:
                task.take(requests.SYSEMU, stop.signo)
            task.kill()
        trace.control(probe)


@case("vsyscall.step", door="vsyscall", covers=[74, 88, 93])
def step(trace: Trace) -> None:
    """PTRACE_SINGLESTEP from the call into the page and on. In another run, send a signal while
    ip is in the page, whose handler returns there.
    """
    probe = call()
    trace.heading(on="step")
    with trace.launch(probe) as task:
        task.run_to("vsyscall")
        for _ in range(STEPS):
            task.step(show=("dr6",))
        task.finish()
    trace.heading(on="SIGUSR1")
    caught = replace(probe, handlers=[Handler(signal.SIGUSR1), SEGV], skip=False, quit_after=2)
    with trace.launch(caught) as task:
        task.run_to("vsyscall")
        task.step(show=("dr6",))
        task.signal(signal.SIGUSR1)
        task.finish()
    trace.control(probe)


@case("vsyscall.own_tf", door="vsyscall", covers=[74, 100])
def own_tf(trace: Trace) -> None:
    """Call getcpu() with TF set by the program itself; pass each SIGTRAP on to its handler."""
    probe = replace(
        call(), site="to_vsyscall_own_tf", handlers=[Handler(signal.SIGTRAP), SEGV], skip=False,
        quit_after=6,
    )  # fmt: skip
    pass_on(trace, probe)


@case("vsyscall.breakpoint", door="vsyscall", covers=[74, 104, 105, 108])
def breakpoint_(trace: Trace) -> None:
    """Set an instruction breakpoint in the page, where the call comes back, and one instruction
    behind that; PTRACE_CONT.
    """
    back = trace.image.labels["vsyscall_back"].start
    probe = call()
    for where in (PAGE + 0x800, back, back + 1):
        trace.heading(at=trace.image.place(where) or "page")
        with trace.launch(probe) as task:
            task.poke_debug(dr0=where, dr7=1)
            go_on(task, task.cont())
    trace.control(probe)


# What is no call, and what faults


@case("vsyscall.no_entry", door="vsyscall", covers=[11, 74, 81])
def no_entry(trace: Trace) -> None:
    """Call the page where it has no entry, with each code in ax that would restart a system call;
    pass SIGSEGV on.
    """
    for address in NO_ENTRIES:
        trace.heading(offset=f"+{address - PAGE:#x}")
        pass_on(trace, call(bx=address))
    for code in RESTARTS:
        trace.heading(ax=-code)
        probe = call(bx=PAGE + 0xC00, ax=-code)
        with trace.launch(probe) as task:
            task.cont()
            task.finish()
        trace.control(probe)


@case("vsyscall.bad_pointer", door="vsyscall", covers=[11, 74, 81])
def bad_pointer(trace: Trace) -> None:
    """Hand each entry a pointer where nothing is mapped, to the kernel, and not canonical, once for
    each pointer that it takes; pass SIGSEGV on.
    """
    for nr in ENTRIES:
        for register in ("di", "si") if nr != Nr.time else ("di",):
            for pointer in (UNMAPPED, KERNEL, NON_CANONICAL):
                trace.heading(entry=nr.name, **{register: hex(pointer)})
                pass_on(trace, call(nr, **{register: pointer}))


@case("vsyscall.bad_stack", door="vsyscall", covers=[11, 74, 81])
def bad_stack(trace: Trace) -> None:
    """Jump to an entry with a stack pointer from which nothing can be read; pass SIGSEGV on, to the
    alternate stack.
    """
    for pointer in (UNMAPPED, KERNEL, NON_CANONICAL):
        trace.heading(sp=hex(pointer))
        probe = replace(
            call(bp=pointer), site="to_vsyscall_no_stack",
            handlers=[Handler(signal.SIGSEGV, SA_ONSTACK)],
        )  # fmt: skip
        pass_on(trace, probe)


@case("vsyscall.access", door="none", covers=[11, 74, 81])
def access(trace: Trace) -> None:
    """Read the page, and write to it; pass SIGSEGV on. The tracer reads it by PTRACE_PEEKTEXT."""
    for site in ("to_load", "to_store"):
        trace.heading(site=site)
        probe = replace(call(bx=PAGE), site=site)
        with trace.launch(probe) as task:
            error = requests.error_of(partial(requests.peektext, task.pid, PAGE))
            trace.add_read("PEEKTEXT", error=error or "none")
            task.finish()
        trace.control(probe)


# Seccomp


@case("vsyscall.errno", door="vsyscall", covers=[67, 74])
def errno_(trace: Trace) -> None:
    """A filter answers each entry with an error, and getcpu() with each code that would restart a
    system call; under PTRACE_SYSCALL, which does not stop there.
    """
    for nr, code in [*((nr, 1) for nr in ENTRIES), *((Nr.getcpu, code) for code in RESTARTS)]:
        trace.heading(entry=nr.name, errno=code)
        probe = filtered(ERRNO + code, nr)
        with trace.launch(probe) as task:
            go_on(task, task.syscall())
        trace.control(probe)


@case("vsyscall.trap", door="vsyscall", covers=[68, 74])
def trap(trace: Trace) -> None:
    """A filter answers each entry with SIGSYS; pass it on to its handler."""
    for nr in ENTRIES:
        trace.heading(entry=nr.name)
        pass_on(trace, filtered(TRAP + DATA, nr, Handler(signal.SIGSYS)))


@case("vsyscall.kill", door="vsyscall", covers=[69, 74])
def kill(trace: Trace) -> None:
    """A filter kills the program for its call, or the thread, which is its last; follow it to its
    end. SIGSYS has a handler, which must not run.
    """
    for name, answer in (("process", KILL_PROCESS), ("thread", KILL_THREAD)):
        trace.heading(kill=name)
        probe = filtered(answer, Nr.getcpu, Handler(signal.SIGSYS))
        with trace.launch(probe, TO_THE_END) as task:
            task.finish()
        trace.control(probe)


@case("vsyscall.trace", door="vsyscall", covers=[64, 74])
def trace_(trace: Trace) -> None:
    """A filter has the tracer see each entry: PTRACE_EVENT_SECCOMP, and with PTRACE_SYSCALL from
    there no exit stop. With nobody tracing, the call fails.
    """
    for nr in ENTRIES:
        trace.heading(entry=nr.name)
        probe = value(nr, TRACE + DATA)
        with trace.launch(probe, TRACED) as task:
            stop = task.syscall()
            go_on(task, stop if stop.signo else task.syscall())
        trace.control(filtered(TRACE + DATA, nr))


@case("vsyscall.signal", door="vsyscall", covers=[66, 74, 83])
def signal_(trace: Trace) -> None:
    """Send a signal at PTRACE_EVENT_SECCOMP, so that it arrives behind the emulated call; there,
    let the call be, or skip it with each result that would restart a system call. With a handler,
    one for SA_RESTART, and with none, where the tracer suppresses the signal.
    """
    ways = (Handler(signal.SIGUSR1), Handler(signal.SIGUSR1, SA_RESTART), None)
    for name, handler in zip(("plain", "SA_RESTART", "none"), ways, strict=True):
        for code in (0, *RESTARTS):
            trace.heading(handler=name, result=-code)
            handlers = [handler] if handler else []
            probe = filtered(TRACE, Nr.getcpu, *handlers)
            with trace.launch(probe, TRACED) as task:
                stop = task.cont()
                if not stop.signo:
                    task.signal(signal.SIGUSR1)
                    if code:
                        task.poke(orig_ax=-1, ax=-code)
                    stop = task.cont()
                    if handler is None:
                        stop = task.cont()
                go_on(task, stop)
    trace.control(probe)


@case("vsyscall.changed", door="vsyscall", covers=[65, 66, 74])
def changed(trace: Trace) -> None:
    """Write registers at PTRACE_EVENT_SECCOMP: a result, a number that is none, a pointer, and then
    what may not be changed, the number and ip; follow the program to its end.
    """
    entry = ENTRIES[Nr.getcpu]
    changes: tuple[dict[str, int], ...] = (
        {"ax": 77}, {"orig_ax": -1}, {"orig_ax": -1, "ax": 77}, {"orig_ax": 0xFFFF_FFFF, "ax": 77},
        {"orig_ax": -2, "ax": 77}, {"di": UNMAPPED}, {"di": KERNEL},
        {"orig_ax": Nr.getpid}, {"orig_ax": Nr.time}, {"orig_ax": 1 << 32 | Nr.getcpu},
        {"ip": entry + 1}, {"orig_ax": -1, "ip": entry + 1},
    )  # fmt: skip
    for pokes in changes:
        shown = {name: hex(word) if word > 0xFFFF else word for name, word in pokes.items()}
        trace.heading(**shown)
        probe = filtered(TRACE, Nr.getcpu, Handler(signal.SIGSYS))
        with trace.launch(probe, TO_THE_END) as task:
            stop = task.cont()
            if not stop.signo:
                task.poke(**pokes)
            go_on(task, stop)
    trace.control(probe)


# A listener, which the program waits for while the kernel emulates the call


def notified(*handlers: Handler, alone: bool = False) -> Probe:
    """A program that calls getcpu(), of which a listener is told; or nobody, who listens."""
    args = (NEW_LISTENER, alone, Nr.getcpu, USER_NOTIF)
    return replace(call(), setup="notify", args=args, handlers=[SEGV, *handlers])


def waiting(task: Task) -> bool:
    """Resume a program, and wait until it waits for its listener; with vsyscall=none it faults."""
    task.resume(requests.SYSCALL)
    return asleep(task)


def served_alone(trace: Trace, probe: Probe, answer: Mapping[str, int]) -> None:
    """Run the control of a program whose call a listener answers."""

    def stimulus(task: Task) -> None:
        task.until_ready()
        if asleep(task):
            with Listener(task.pid) as listener:
                told = listener.receive()
                if told:
                    listener.answer(told.id, **answer)

    trace.control(probe, stimulus)


@case("vsyscall.notify", door="vsyscall", covers=[70, 74], needs=NEEDS)
def notify(trace: Trace) -> None:
    """A filter has a listener answer getcpu(): with a value, with EPERM, or leave to run it. In
    another run nobody listens.
    """
    for name in ("value", "error", "CONTINUE"):
        trace.heading(answer=name)
        probe = notified()
        with trace.launch(probe) as task, Supervisor(task) as supervisor:
            if waiting(task):
                supervisor.receive(task)
                supervisor.answer(**ANSWERS[name])
            go_on(task, task.take())
        served_alone(trace, probe, ANSWERS[name])
    trace.heading(answer="nobody")
    pass_on(trace, notified(alone=True))


@case("vsyscall.notify_disturbed", door="vsyscall", covers=[70, 74], needs=NEEDS)
def notify_disturbed(trace: Trace) -> None:
    """Disturb the program while it waits for its listener: by a signal, with a handler, with one
    for SA_RESTART, or suppressed, and by PTRACE_INTERRUPT.
    """
    user = send(signal.SIGUSR1)
    ways: Mapping[str, tuple[Handler | None, Action]] = {
        "plain": (Handler(signal.SIGUSR1), user),
        "SA_RESTART": (Handler(signal.SIGUSR1, SA_RESTART), user),
        "suppressed": (None, user), "INTERRUPT": (None, interrupt),
    }  # fmt: skip
    for name, (handler, disturb) in ways.items():
        trace.heading(by=name)
        probe = notified(*[handler] if handler else [])
        with trace.launch(probe) as task, Supervisor(task):
            if waiting(task):
                disturb(task)
            stop = task.take()
            go_on(task, task.cont() if stop.signo == signal.SIGUSR1 and not handler else stop)
    trace.control(
        notified(Handler(signal.SIGUSR1, SA_RESTART)), lambda task: disturbed_alone(task, user)
    )


def disturbed_alone(task: Task, disturb: Action) -> None:
    """Disturb a program that waits for its listener, with nobody tracing."""
    task.until_ready()
    if asleep(task):
        disturb(task)
