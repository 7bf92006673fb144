# SPDX-License-Identifier: GPL-2.0-only
"""Signals: what their handlers are given, what the tracer may make of them, and the way back."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import replace
from signal import SIGKILL, SIGSEGV, SIGTRAP, SIGUSR1, SIGUSR2, SIGWINCH, Signals
from typing import Final

from conformance.abi import Nr
from conformance.cases import Handler, Probe, case
from conformance.tracing import frames, program, requests
from conformance.tracing.snapshot import Stop
from conformance.tracing.tracee import Task, Trace

SA_ONSTACK: Final = 0x0800_0000
SA_RESTART: Final = 0x1000_0000
SA_RESETHAND: Final = 0x8000_0000
PLAIN: Final = 0
SI_QUEUE: Final = -1
CODES: Final = (-512, -513, -514, -516)
"""Every code that would restart a system call."""
ARITHMETIC: Final = 0xCD5
"""CF, PF, AF, ZF, SF, DF and OF."""
AC: Final = 0x40000
EVERY_FLAG: Final = 0x3F7ED7
"""Every flag there is, but TF."""
LOW: Final = 0x8000
"""Where nobody may map anything (vm.mmap_min_addr)."""
UNMAPPED: Final = 16
CODE_AS_STACK: Final = 0x33 | 0x33 << 48
"""Segments of 64-bit code, with a stack segment that no stack can have."""

SPINNING: Final = Probe(site="to_spin", regs={"ax": 0x1234}, handlers=[Handler(SIGUSR1)], skip=True)
"""Loops in user code until SIGUSR1; the handler returns to the site's end."""
TO_ONESELF: Final = Probe(
    site="syscall", setup="to_oneself", regs={"ax": Nr.tgkill}, args=[SIGUSR1],
    handlers=[Handler(SIGUSR1)],
)  # fmt: skip
"""Sends itself SIGUSR1, by a system call that is then done."""


def pending(*signals: int, handlers: list[Handler]) -> Probe:
    """A program that unblocks what is pending; a negative signal is for the whole process."""
    return Probe(
        site="syscall", setup="pending", regs={"ax": Nr.rt_sigprocmask}, args=signals,
        handlers=handlers,
    )  # fmt: skip


def until_spinning(task: Task) -> None:
    """Wait until the program is in its loop, and nowhere before it. If it was there already, have
    it go once more through the way in: it is in user code.
    """
    if program.board().spinning:
        frames.prove(task.trace)
    else:
        task.trace.wait_for(lambda: bool(program.board().spinning))


def sending(*signals: int) -> Callable[[Task], None]:
    """Send one or two signals into the loop, the second once the handler has returned."""

    def stimulus(task: Task) -> None:
        for count, signo in enumerate(signals):
            frames.handled(task.trace, count)
            until_spinning(task)
            task.signal(signo)

    return stimulus


def strike(task: Task, signo: int = 0) -> Stop:
    """Resume the program with a signal, and send it SIGUSR1 once it loops (again)."""
    task.resume(signo=signo)
    until_spinning(task)
    task.signal(SIGUSR1)
    return task.take()


def to_the_end(task: Task) -> None:
    """PTRACE_SYSCALL until the task is gone, passing every signal on."""
    stop = task.syscall()
    while not stop.ended:
        stop = task.syscall(stop.signo)


def replace_siginfo(task: Task, signo: int, code: int) -> None:
    """Write number and code of a stop's siginfo (PTRACE_SETSIGINFO); told in the transcript."""
    raw = requests.getsiginfo(task.pid)
    requests.setsiginfo(task.pid, struct.pack("=iii", signo, 0, code) + raw[12:])
    name = "SI_QUEUE" if code == SI_QUEUE else str(code)
    task.trace.add_poke("", task.who, signo=Signals(signo).name, code=name)


@case("signals.user_code", door="none", covers=[83, 85])
def user_code(trace: Trace) -> None:
    """Send SIGUSR1 into a loop of user code, with each value of ax; pass it on to a handler, or
    suppress it: then the loop must have gone on in user code before PTRACE_INTERRUPT.
    """
    for value in (0x1234, *CODES):
        for name, flags in (("plain", PLAIN), ("SA_RESTART", SA_RESTART)):
            probe = replace(SPINNING, regs={"ax": value}, handlers=[Handler(SIGUSR1, flags)])
            trace.heading(ax=value, handler=name)
            with trace.launch(probe) as task:
                strike(task)
                task.cont(SIGUSR1)
            trace.control(probe, sending(SIGUSR1))
        trace.heading(ax=value, handler="suppressed")
        with trace.launch(replace(SPINNING, regs={"ax": value})) as task:
            strike(task)
            task.resume()
            until_spinning(task)
            task.interrupt()
            task.kill()


@case("signals.in_syscall", door="syscall64", covers=[28, 83, 85, 86])
def in_syscall(trace: Trace) -> None:
    """Follow a program that sends itself SIGUSR1, through the call, the signal and the return
    from its handler.
    """
    with trace.launch(TO_ONESELF) as task:
        to_the_end(task)
    trace.control(TO_ONESELF)


@case("signals.sigcontext", door="none", covers=[85, 86])
def sigcontext(trace: Trace) -> None:
    """Send SIGUSR1 into a loop of user code with its flags set, follow the handler's return, and
    send it once more; the second handler ends the program.
    """
    for name, flags in (("arithmetic", ARITHMETIC), ("AC", AC)):
        probe = replace(SPINNING, regs={"flags": 0x202 | flags}, skip=False, quit_after=2)
        trace.heading(flags=name)
        with trace.launch(probe) as task:
            strike(task)
            task.syscall(SIGUSR1)
            task.syscall()
            strike(task)
            task.cont(SIGUSR1)
        trace.control(probe, sending(SIGUSR1, SIGUSR1))


@case("signals.sigreturn_codes", door="syscall64", covers=[86])
def sigreturn_codes(trace: Trace) -> None:
    """Have a handler put a restart code into the saved ax, and follow its return: with nothing
    else pending, and with a second signal that is delivered on this very return, to a handler,
    to the default of ignoring it, or suppressed by the tracer.
    """
    for code in CODES:
        for second, flags in (("none", PLAIN), ("handler", PLAIN), ("SA_RESTART", SA_RESTART),
                              ("ignored", SA_RESETHAND), ("suppressed", PLAIN)):  # fmt: skip
            more = () if second == "none" else (-SIGWINCH,)
            probe = replace(
                pending(SIGWINCH, *more, handlers=[Handler(SIGWINCH, flags)]), edits={"ax": code}
            )
            trace.heading(ax=code, second=second)
            with trace.launch(probe) as task:
                task.cont()
                task.syscall(SIGWINCH)
                task.syscall()
                stop = task.cont()
                if not stop.ended:
                    task.cont(0 if second == "suppressed" else stop.signo)
            if second != "suppressed":
                trace.control(probe)


@case("signals.sigreturn_flags", door="syscall64", covers=[86, 108])
def sigreturn_flags(trace: Trace) -> None:
    """Have a handler write every flag but TF into sigcontext, and none; follow its return."""
    for name, flags in (("every", EVERY_FLAG), ("none", 0)):
        probe = replace(TO_ONESELF, edits={"flags": flags})
        trace.heading(flags=name)
        with trace.launch(probe) as task:
            task.cont()
            task.syscall(SIGUSR1)
            task.syscall()
            task.finish()
        trace.control(probe)


@case("signals.nested", door="syscall64", covers=[49, 86])
def nested(trace: Trace) -> None:
    """Unblock two signals at once: the second interrupts the first one's handler before its
    first instruction. Follow both handlers' returns.
    """
    probe = pending(SIGUSR1, SIGUSR2, handlers=[Handler(SIGUSR1), Handler(SIGUSR2)])
    with trace.launch(probe) as task:
        to_the_end(task)
    trace.control(probe)


@case("signals.altstack", door="syscall64", covers=[86])
def altstack(trace: Trace) -> None:
    """Unblock a signal with SA_ONSTACK, and one without it; then two at once, both with it, one
    with it, or the other.
    """
    first, second = Handler(SIGUSR1), Handler(SIGUSR2)
    for name, handlers in (
        ("one", [replace(first, flags=SA_ONSTACK)]),
        ("both", [replace(first, flags=SA_ONSTACK), replace(second, flags=SA_ONSTACK)]),
        ("first", [replace(first, flags=SA_ONSTACK), second]),
        ("second", [first, replace(second, flags=SA_ONSTACK)]),
    ):
        probe = pending(*(handler.signo for handler in handlers), handlers=handlers)
        trace.heading(onstack=name)
        with trace.launch(probe) as task:
            stop = task.cont()
            while not stop.ended:
                stop = task.syscall(stop.signo)
        trace.control(probe)


@case("signals.sent_at_stops", door="syscall64", covers=[84])
def sent_at_stops(trace: Trace) -> None:
    """Send SIGUSR1 to a program in the enter stop of getpid(), and in the exit stop; and SIGUSR2
    to one in the stop of SIGUSR1.
    """
    probe = Probe(
        site="syscall", regs={"ax": Nr.getpid}, handlers=[Handler(SIGUSR1), Handler(SIGUSR2)]
    )
    for where in ("enter", "exit", "signal"):
        trace.heading(sent=where)
        with trace.launch(probe) as task:
            task.syscall()
            if where != "exit":
                task.signal(SIGUSR1)
            task.syscall()
            if where == "exit":
                task.signal(SIGUSR1)
            task.syscall()
            if where == "signal":
                task.signal(SIGUSR2)
            stop = task.cont(SIGUSR1)
            if not stop.ended:
                task.cont(stop.signo)
    trace.control(probe)


@case("signals.injected", door="syscall64", covers=[84])
def injected(trace: Trace) -> None:
    """Resume by PTRACE_SYSCALL with SIGUSR1 from the enter stop of getpid(), and from the exit
    stop: the kernel sends it. Resume with it from the stops of PTRACE_INTERRUPT and of
    PTRACE_O_TRACECLONE: nothing comes of it.
    """
    probe = Probe(site="syscall", regs={"ax": Nr.getpid}, handlers=[Handler(SIGUSR1)])
    for where in ("enter", "exit"):
        trace.heading(at=where)
        with trace.launch(probe) as task:
            task.syscall()
            task.syscall(SIGUSR1 if where == "enter" else 0)
            stop = task.syscall(SIGUSR1 if where == "exit" else 0)
            task.cont(stop.signo)
        trace.control(probe)
    trace.heading(at="INTERRUPT")
    with trace.launch(SPINNING) as task:
        task.resume()
        until_spinning(task)
        task.interrupt()
        task.resume(signo=SIGUSR1)
        until_spinning(task)
        task.interrupt()
        task.kill()
    trace.heading(at="CLONE")
    clone = Probe(
        site="to_clone", regs={"ax": Nr.clone, "di": 0, "si": 0, "dx": 0, "r10": 0, "r8": 0},
        handlers=[Handler(SIGUSR1)],
    )  # fmt: skip
    with trace.launch(clone, requests.O_BASE | requests.O_TRACECLONE) as task:
        stop = task.look(requests.CONT)
        child = trace.child(stop.message, "child")
        trace.add_stop(stop)
        child.look()
        child.kill()
        task.cont(SIGUSR1)
    trace.control(clone)


@case("signals.changed", door="none", covers=[84, 89])
def changed(trace: Trace) -> None:
    """Send SIGUSR1 into a loop of user code, and make of it another signal, another siginfo
    (PTRACE_SETSIGINFO), or both; siginfo of a signal other than the one resumed with; SIGKILL.
    """
    probe = replace(SPINNING, handlers=[Handler(SIGUSR1), Handler(SIGUSR2)])
    for name, described, resumed in (
        ("number", None, SIGUSR2), ("siginfo", SIGUSR1, SIGUSR1), ("both", SIGUSR2, SIGUSR2),
        ("mismatch", SIGUSR2, SIGUSR1), ("SIGKILL", None, SIGKILL),
    ):  # fmt: skip
        trace.heading(changed=name, resumed=resumed.name)
        with trace.launch(probe) as task:
            strike(task)
            if described:
                replace_siginfo(task, described, SI_QUEUE)
            task.cont(resumed)
    trace.control(probe, sending(SIGUSR1))


@case("signals.changed_to_blocked", door="none", covers=[84, 89])
def changed_to_blocked(trace: Trace) -> None:
    """Send SIGUSR1 into a loop of user code, and make of it SIGUSR2, which the program blocks: it
    is pending then. See the loop go on, and let it out by PTRACE_SETSIGMASK.
    """
    probe = replace(SPINNING, handlers=[Handler(SIGUSR1), Handler(SIGUSR2)], blocked=[SIGUSR2])
    with trace.launch(probe) as task:
        strike(task)
        task.resume(signo=SIGUSR2)
        until_spinning(task)
        task.interrupt()
        task.block()
        task.cont()
        task.cont(SIGUSR2)
    trace.control(probe, sending(SIGUSR1))


@case("signals.resethand", door="none", covers=[91])
def resethand(trace: Trace) -> None:
    """Send SIGUSR1, whose handler has SA_RESETHAND, until the program dies of it: a signal that
    the tracer suppresses does not use the handler up.
    """
    probe = replace(SPINNING, handlers=[Handler(SIGUSR1, SA_RESETHAND)], skip=False)
    for suppress in (0, 1):
        trace.heading(suppressed=suppress)
        with trace.launch(probe) as task:
            strike(task)
            if suppress:
                task.resume()
                until_spinning(task)
                task.signal(SIGUSR1)
                task.take()
            strike(task, SIGUSR1)
            task.cont(SIGUSR1)
    trace.control(probe, sending(SIGUSR1, SIGUSR1))


@case("signals.forced", door="none", covers=[90, 91])
def forced(trace: Trace) -> None:
    """Take an exception whose signal the program blocks or ignores, and has a handler for: pass
    it on; suppress the first one, and pass on what comes.
    """
    for site, signo, regs in (("to_int3", SIGTRAP, {}), ("to_load", SIGSEGV, {"bx": UNMAPPED})):
        for how in ("blocked", "ignored"):
            probe = Probe(
                site=site, setup="no_core", regs={"ax": -513, **regs},
                handlers=[Handler(signo, ignore=how == "ignored")],
                blocked=[signo] if how == "blocked" else [],
            )  # fmt: skip
            for suppress in (0, 1):
                trace.heading(signal=signo.name, program=how, suppressed=suppress)
                with trace.launch(probe) as task:
                    if suppress:
                        task.cont()
                    task.finish()
            trace.control(probe)


@case("signals.bad_stack", door="syscall64", covers=[90, 92])
def bad_stack(trace: Trace) -> None:
    """Have a program send itself SIGUSR1 with a stack pointer where no frame can be written: the
    kernel makes SIGSEGV of it, for which there is no handler, or one on the alternate stack.
    """
    for name, handlers in (("none", []), ("alternate", [Handler(SIGSEGV, SA_ONSTACK)])):
        probe = replace(
            TO_ONESELF, site="to_call_astray", regs={"ax": Nr.tgkill, "bx": LOW},
            handlers=[Handler(SIGUSR1), *handlers],
        )  # fmt: skip
        trace.heading(handler=name)
        with trace.launch(probe) as task:
            task.finish()
        trace.control(probe)


@case("signals.bad_frame", door="syscall64", covers=[86, 92])
def bad_frame(trace: Trace) -> None:
    """Follow rt_sigreturn() with a stack pointer where no frame can be read."""
    probe = Probe(
        site="to_call_astray", setup="no_core", regs={"ax": Nr.rt_sigreturn, "bx": LOW},
        handlers=[Handler(SIGSEGV, SA_ONSTACK)],
    )  # fmt: skip
    with trace.launch(probe) as task:
        task.syscall()
        task.syscall()
        task.finish()
    trace.control(probe)


@case("signals.bad_iret", door="syscall64", covers=[86, 92])
def bad_iret(trace: Trace) -> None:
    """Have a handler write a stack segment into sigcontext that no stack can have, and follow its
    return: IRET itself fails, as if the program had. The second handler ends the program.
    """
    for value in (0x1234, *CODES):
        probe = replace(
            SPINNING, regs={"ax": value}, handlers=[Handler(SIGUSR1), Handler(SIGSEGV)],
            skip=False, edits={"segments": CODE_AS_STACK}, quit_after=2,
        )  # fmt: skip
        trace.heading(ax=value)
        with trace.launch(probe) as task:
            strike(task)
            task.syscall(SIGUSR1)
            task.syscall()
            task.cont()
            task.cont(SIGSEGV)
        trace.control(probe, sending(SIGUSR1))
