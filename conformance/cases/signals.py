# SPDX-License-Identifier: GPL-2.0-only
"""Signals: what their handlers are given, what the tracer may make of them, and the way back."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from signal import SIGILL, SIGKILL, SIGSEGV, SIGTRAP, SIGUSR1, SIGUSR2, SIGWINCH, Signals
from typing import Final

from conformance.cases import Handler, Probe, case
from conformance.doors import ABIS, CALLS
from conformance.facts import kernel_facts, sources
from conformance.tracing import frames, program, requests
from conformance.tracing.snapshot import Stop
from conformance.tracing.tracee import Task, Trace

SA_ONSTACK: Final = 0x0800_0000
SA_RESTART: Final = 0x1000_0000
SA_RESETHAND: Final = 0x8000_0000
PLAIN: Final = 0
SI_QUEUE: Final = -1
RETURNS: Final = ("int80_32", "x32")
"""Further doors of what comes after the call: a door more would show nothing more of it."""
WITHOUT_STACK: Final = ("int80_64", "int80_32", "x32")
"""Further doors of calls that need no stack, as the vDSO does."""
CODES: Final = (-512, -513, -514, -516)
"""Every code that would restart a system call."""
ARITHMETIC: Final = 0xCD5
"""CF, PF, AF, ZF, SF, DF and OF."""
AC: Final = 0x40000
SELECTORS: Final = (0, 1, 2, 3, 0x28, 0xFFFB)
EVERY_FLAG: Final = 0x3F7ED7
"""Every flag there is, but TF."""
LOW: Final = 0x8000
"""Where nobody may map anything (vm.mmap_min_addr)."""
UNMAPPED: Final = 16
RT_SIGNAL: Final = 40
"""One above 32."""
CODE_AS_STACK: Final[Mapping[int, Mapping[str, int]]] = {
    64: {"segments": 0x33 | 0x33 << 48}, 32: {"ss": 0x33},
}  # fmt: skip
"""By width, what makes a stack segment of sigcontext one that no stack can have."""

SPINNING: Final = Probe(site="to_spin", regs={"ax": 0x1234}, handlers=[Handler(SIGUSR1)], skip=True)
"""Loops in user code until SIGUSR1; the handler returns to the site's end."""
HANDLER: Final = Handler(SIGUSR1)
OLD: Final = Handler(SIGUSR1, old=True)
KINDS: Final = (("rt", HANDLER), ("old", OLD))
"""Handlers of 32-bit programs by their frames: with SA_SIGINFO, and without."""
FAST: Final = ("sysenter", "syscall32")
"""The doors of __kernel_vsyscall."""
DATA_SEGMENTS: Final = ("ds", "es", "fs", "gs")
NO_SELECTORS: Final = ("fs", "gs")
"""Names that a 64-bit frame keeps for what it no longer holds."""
JUNK_64: Final = 0x30 | 0xF00D << 16 | 0xFEED << 32 | 0x28 << 48
"""cs, gs, fs and ss of a 64-bit frame: those of 64-bit code with RPL 0, and junk between."""
BAD_SELECTORS: Final = (
    ("cs", "null", 0), ("cs", "kernel", 0x08), ("cs", "data", 0x2B), ("cs", "beyond", 0xFFFB),
    ("ss", "null", 0), ("ss", "kernel", 0x18), ("ss", "code", 0x23), ("ss", "beyond", 0xFFFB),
)  # fmt: skip
"""Selectors that no 32-bit code can have, by their kinds (arch/x86/include/asm/segment.h)."""


def junk() -> dict[str, int]:
    """Give the selectors of this kernel's 32-bit code with RPL 0, and something above them."""
    wide = kernel_facts(sources())["x86_64"]
    code, data = (0x20, 0x28) if wide else (0x70, 0x78)
    return {
        "cs": 0xDEAD_0000 | code, "ss": 0xBEEF_0000 | data,
        "fs": 0xFEED_0000 | code, "gs": 0xF00D_0000 | code,
    }  # fmt: skip


def to_oneself(trace: Trace, handler: Handler = HANDLER) -> Probe:
    """A program that sends itself SIGUSR1, by a system call that is then done."""
    return Probe(
        site="syscall", setup="to_oneself", regs={"ax": trace.number("tgkill")}, args=[SIGUSR1],
        handlers=[handler],
    )  # fmt: skip


def pending(trace: Trace, *signals: int, handlers: list[Handler]) -> Probe:
    """A program that unblocks what is pending; a negative signal is for the whole process."""
    return Probe(
        site="syscall", setup="pending", regs={"ax": trace.number("rt_sigprocmask")}, args=signals,
        handlers=handlers,
    )  # fmt: skip


def astray(trace: Trace, call: str) -> Probe:
    """A program that makes a call with a stack pointer where there is no memory."""
    spare = "bx" if trace.door.arguments[0] != "bx" else "bp"
    return Probe(site="to_call_astray", regs={"ax": trace.number(call), spare: LOW})


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


def to_the_end(task: Task, *show: str) -> None:
    """PTRACE_SYSCALL until the task is gone, passing every signal on.

    :param show: further fields of its stops
    """
    stop = task.take(requests.SYSCALL, show=show)
    while not stop.ended:
        stop = task.take(requests.SYSCALL, stop.signo, show)


def replace_siginfo(task: Task, signo: int, code: int) -> None:
    """Write number and code of a stop's siginfo (PTRACE_SETSIGINFO); told in the transcript."""
    raw = requests.getsiginfo(task.pid)
    requests.setsiginfo(task.pid, struct.pack("=iii", signo, 0, code) + raw[12:])
    name = "SI_QUEUE" if code == SI_QUEUE else str(code)
    task.trace.add_poke("", task.who, signo=Signals(signo).name, code=name)


@case("signals.user_code", door="none", also=ABIS, covers=[83, 85])
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


@case("signals.in_syscall", door="syscall64", also=CALLS, covers=[28, 83, 85, 86])
def in_syscall(trace: Trace) -> None:
    """Follow a program that sends itself SIGUSR1, through the call, the signal and the return
    from its handler.
    """
    probe = to_oneself(trace)
    with trace.launch(probe) as task:
        to_the_end(task)
    trace.control(probe)


@case("signals.ways_back", door="int80_32", also=["sysenter", "syscall32"], covers=[28, 85, 86])
def ways_back(trace: Trace) -> None:
    """Follow a program that sends itself SIGUSR1 through each way back from a 32-bit handler: with
    SA_SIGINFO (rt_sigreturn) and without (sigreturn), by the program's code (SA_RESTORER) and by
    the vDSO's. It blocks a signal of either half of the mask, which the two frames keep apart.
    """
    for frame, old in (("rt", False), ("old", True)):
        for by, by_vdso in (("restorer", False), ("vdso", True)):
            probe = replace(
                to_oneself(trace, Handler(SIGUSR1, old=old, by_vdso=by_vdso)),
                blocked=[SIGUSR2, RT_SIGNAL], show=["mask"],
            )  # fmt: skip
            trace.heading(frame=frame, by=by)
            with trace.launch(probe) as task:
                to_the_end(task, "mask")
            trace.control(probe)


@case("signals.no_restorer", door="none", also=["x32"], covers=[90])
def no_restorer(trace: Trace) -> None:
    """Send SIGUSR1, whose handler has no SA_RESTORER, into a loop of 64-bit code: there is no other
    way back, and the kernel makes SIGSEGV of it.
    """
    probe = replace(SPINNING, handlers=[Handler(SIGUSR1, by_vdso=True)])
    with trace.launch(probe) as task:
        strike(task)
        task.cont(SIGUSR1)
        task.cont(SIGSEGV)
    trace.control(probe, sending(SIGUSR1))


@case("signals.sigcontext", door="none", also=ABIS, covers=[85, 86])
def sigcontext(trace: Trace) -> None:
    """Send SIGUSR1 into a loop of user code with its flags set, follow the handler's return, and
    send it once more; the second handler ends the program.
    """
    there_and_back(trace, Handler(SIGUSR1))


@case("signals.old_sigcontext", door="none", abi="ia32", covers=[85, 86])
def old_sigcontext(trace: Trace) -> None:
    """The same with a handler without SA_SIGINFO, which a 32-bit program's kernel gives another
    frame.
    """
    there_and_back(trace, Handler(SIGUSR1, old=True))


def there_and_back(trace: Trace, handler: Handler) -> None:
    """Into a handler with the program's flags set, back, and into it again."""
    for name, flags in (("arithmetic", ARITHMETIC), ("AC", AC)):
        probe = replace(
            SPINNING, regs={"flags": 0x202 | flags}, handlers=[handler], skip=False, quit_after=2
        )
        trace.heading(flags=name)
        with trace.launch(probe) as task:
            strike(task)
            task.syscall(SIGUSR1)
            task.syscall()
            strike(task)
            task.cont(SIGUSR1)
        trace.control(probe, sending(SIGUSR1, SIGUSR1))


@case("signals.sigreturn_codes", door="syscall64", also=RETURNS, covers=[86])
def sigreturn_codes(trace: Trace) -> None:
    """Have a handler put a restart code into the saved ax, and follow its return: with nothing
    else pending, and with a second signal that is delivered on this very return, to a handler,
    to the default of ignoring it, or suppressed by the tracer.
    """
    return_codes(trace, old=False)


@case("signals.old_sigreturn_codes", door="int80_32", covers=[86])
def old_sigreturn_codes(trace: Trace) -> None:
    """The same with a handler without SA_SIGINFO: it returns by sigreturn(), which has a table's
    entry and code of its own.
    """
    return_codes(trace, old=True)


def return_codes(trace: Trace, old: bool) -> None:
    """Return from a handler with each restart code in ax, and a second signal pending or not."""
    for code in CODES:
        for second, flags in (("none", PLAIN), ("handler", PLAIN), ("SA_RESTART", SA_RESTART),
                              ("ignored", SA_RESETHAND), ("suppressed", PLAIN)):  # fmt: skip
            more = () if second == "none" else (-SIGWINCH,)
            probe = replace(
                pending(trace, SIGWINCH, *more, handlers=[Handler(SIGWINCH, flags, old=old)]),
                edits={"ax": code},
            )  # fmt: skip
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


@case("signals.sigreturn_flags", door="syscall64", also=RETURNS, covers=[86, 108])
def sigreturn_flags(trace: Trace) -> None:
    """Have a handler write every flag but TF into sigcontext, and none; follow its return."""
    for name, flags in (("every", EVERY_FLAG), ("none", 0)):
        probe = replace(to_oneself(trace), edits={"flags": flags})
        trace.heading(flags=name)
        with trace.launch(probe) as task:
            task.cont()
            task.syscall(SIGUSR1)
            task.syscall()
            task.finish()
        trace.control(probe)


@case("signals.segments", door="int80_32", covers=[86, 118])
def segments(trace: Trace) -> None:
    """Have a 32-bit handler write selectors into es, fs and gs of sigcontext: each null one, one of
    the kernel's privilege, one that no table has; follow its return by either call.
    """
    for selector in SELECTORS:
        for frame, old in (("rt", False), ("old", True)):
            probe = replace(
                to_oneself(trace, Handler(SIGUSR1, old=old)),
                edits=dict.fromkeys(("es", "fs", "gs"), selector),
            )
            trace.heading(selector=f"{selector:x}", frame=frame)
            with trace.launch(probe) as task:
                task.cont()
                task.syscall(SIGUSR1)
                task.syscall()
                task.finish()
            trace.control(probe)


@case("signals.nested", door="syscall64", also=RETURNS, covers=[49, 86])
def nested(trace: Trace) -> None:
    """Unblock two signals at once: the second interrupts the first one's handler before its
    first instruction. Follow both handlers' returns.
    """
    probe = pending(trace, SIGUSR1, SIGUSR2, handlers=[Handler(SIGUSR1), Handler(SIGUSR2)])
    with trace.launch(probe) as task:
        to_the_end(task)
    trace.control(probe)


@case("signals.altstack", door="syscall64", also=RETURNS, covers=[86])
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
        probe = pending(trace, *(handler.signo for handler in handlers), handlers=handlers)
        trace.heading(onstack=name)
        with trace.launch(probe) as task:
            stop = task.cont()
            while not stop.ended:
                stop = task.syscall(stop.signo)
        trace.control(probe)


@case("signals.sent_at_stops", door="syscall64", also=CALLS, covers=[84])
def sent_at_stops(trace: Trace) -> None:
    """Send SIGUSR1 to a program in the enter stop of getpid(), and in the exit stop; and SIGUSR2
    to one in the stop of SIGUSR1.
    """
    probe = Probe(
        site="syscall", regs={"ax": trace.number("getpid")},
        handlers=[Handler(SIGUSR1), Handler(SIGUSR2)],
    )  # fmt: skip
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


@case("signals.injected", door="syscall64", also=CALLS, covers=[84])
def injected(trace: Trace) -> None:
    """Resume by PTRACE_SYSCALL with SIGUSR1 from the enter stop of getpid(), and from the exit
    stop: the kernel sends it. Resume with it from the stops of PTRACE_INTERRUPT and of
    PTRACE_O_TRACECLONE: nothing comes of it.
    """
    probe = Probe(site="syscall", regs={"ax": trace.number("getpid")}, handlers=[Handler(SIGUSR1)])
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
        site="to_clone", regs=trace.door.call("clone", 0, 0, 0, 0, 0),
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


@case("signals.changed", door="none", also=ABIS, covers=[84, 89])
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


@case("signals.changed_to_blocked", door="none", also=ABIS, covers=[84, 89])
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


@case("signals.resethand", door="none", also=ABIS, covers=[91])
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


@case("signals.forced", door="none", also=ABIS, covers=[90, 91])
def forced(trace: Trace) -> None:
    """Take an exception whose signal the program blocks or ignores, and has a handler for: pass
    it on; suppress the first one, and pass on what comes.
    """
    for site, signo, regs in (("to_int3", SIGTRAP, {}), ("to_load", SIGSEGV, {"bx": UNMAPPED})):
        for how in ("blocked", "ignored"):
            probe = Probe(
                site=site, regs={"ax": -513, **regs},
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


@case("signals.bad_stack", door="syscall64", also=WITHOUT_STACK, covers=[90, 92])
def bad_stack(trace: Trace) -> None:
    """Have a program send itself SIGUSR1 with a stack pointer where no frame can be written: the
    kernel makes SIGSEGV of it, for which there is no handler, or one on the alternate stack.
    """
    for name, handlers in (("none", []), ("alternate", [Handler(SIGSEGV, SA_ONSTACK)])):
        probe = replace(
            astray(trace, "tgkill"), setup="to_oneself", args=[SIGUSR1],
            handlers=[Handler(SIGUSR1), *handlers],
        )  # fmt: skip
        trace.heading(handler=name)
        with trace.launch(probe) as task:
            task.finish()
        trace.control(probe)


@case("signals.bad_frame", door="syscall64", also=WITHOUT_STACK, covers=[86, 92])
def bad_frame(trace: Trace) -> None:
    """Follow rt_sigreturn() with a stack pointer where no frame can be read."""
    follow_bad_frame(trace, "rt_sigreturn")


def follow_bad_frame(trace: Trace, call: str) -> None:
    """Follow a return from no handler, with a stack pointer where no frame can be read."""
    probe = replace(astray(trace, call), handlers=[Handler(SIGSEGV, SA_ONSTACK)])
    with trace.launch(probe) as task:
        task.syscall()
        task.syscall()
        task.finish()
    trace.control(probe)


@case("signals.bad_old_frame", door="int80_32", also=["int80_64"], covers=[86, 92])
def bad_old_frame(trace: Trace) -> None:
    """Follow sigreturn(), the older of the two, with a stack pointer where no frame can be read."""
    follow_bad_frame(trace, "sigreturn")


@case("signals.bad_iret", door="syscall64", also=RETURNS, covers=[86, 92])
def bad_iret(trace: Trace) -> None:
    """Have a handler write a stack segment into sigcontext that no stack can have, and follow its
    return: IRET itself fails, as if the program had. The second handler ends the program.
    """
    for value in (0x1234, *CODES):
        probe = replace(
            SPINNING, regs={"ax": value}, handlers=[Handler(SIGUSR1), Handler(SIGSEGV)],
            skip=False, edits=CODE_AS_STACK[trace.door.bits], quit_after=2,
        )  # fmt: skip
        trace.heading(ax=value)
        with trace.launch(probe) as task:
            strike(task)
            task.syscall(SIGUSR1)
            task.syscall()
            task.cont()
            task.cont(SIGSEGV)
        trace.control(probe, sending(SIGUSR1))


# --- what is in the frames of 32-bit programs alone ---


def follow_return(task: Task, signo: int = SIGUSR1) -> None:
    """From the stop of a signal, pass it on, and take its handler's return: enter and exit."""
    task.syscall(signo)
    task.syscall()


def waking(task: Task) -> None:
    """Send SIGUSR1 to a sleeping program, and wait until it was handled."""
    task.until_asleep()
    task.signal(SIGUSR1)
    frames.handled(task.trace, 1)


@case("signals.old_nested", door="int80_32", covers=[49, 86])
def old_nested(trace: Trace) -> None:
    """Unblock two signals at once, whose handlers' frames are of different kinds: the second
    interrupts the first one's handler before its first instruction. Follow both returns.
    """
    for name, handlers in (
        ("old", [OLD, Handler(SIGUSR2)]), ("rt", [HANDLER, replace(OLD, signo=SIGUSR2)]),
    ):  # fmt: skip
        probe = pending(trace, SIGUSR1, SIGUSR2, handlers=handlers)
        trace.heading(first=name)
        with trace.launch(probe) as task:
            to_the_end(task)
        trace.control(probe)


@case("signals.old_interrupted", door="int80_32", also=FAST, covers=[33, 34, 85, 86])
def old_interrupted(trace: Trace) -> None:
    """Send SIGUSR1 to a program that sleeps in read(), to a handler without SA_SIGINFO, with and
    without SA_RESTART; follow its return.
    """
    for name, flags in (("plain", PLAIN), ("SA_RESTART", SA_RESTART)):
        probe = Probe(
            site="syscall", setup="pipe", regs={"ax": trace.number("read")},
            handlers=[replace(OLD, flags=flags)],
        )  # fmt: skip
        trace.heading(handler=name)
        with trace.launch(probe) as task:
            task.resume()
            task.until_asleep()
            task.signal(SIGUSR1)
            task.take()
            follow_return(task)
            task.syscall()
            task.kill()
        trace.control(probe, waking, ends=flags == PLAIN)


@case("signals.frame_selectors", door="int80_32", also=FAST, covers=[22, 85, 86])
def frame_selectors(trace: Trace) -> None:
    """Send SIGUSR1 into a loop of user code, and have a program send it itself by a call, to a
    handler of either kind, which writes selectors with RPL 0 and junk above them; follow its
    return, and into the loop send it once more.
    """
    for kind, handler in KINDS:
        by_interrupt_and_call(trace, kind, handler, junk(), DATA_SEGMENTS)


def by_interrupt_and_call(
    trace: Trace, kind: str, handler: Handler, edits: Mapping[str, int], show: Sequence[str]
) -> None:
    """Into a handler and back, twice from a loop of user code, and once out of a call."""
    probe = replace(SPINNING, handlers=[handler], skip=False, edits=edits, quit_after=2, show=show)
    trace.heading(frame=kind, entry="interrupt")
    with trace.launch(probe) as task:
        strike(task)
        follow_return(task)
        strike(task)
        task.cont(SIGUSR1)
    trace.control(probe, sending(SIGUSR1, SIGUSR1))
    probe = replace(to_oneself(trace, handler), edits=edits, show=show)
    trace.heading(frame=kind, entry="call")
    with trace.launch(probe) as task:
        task.cont()
        follow_return(task)
        task.finish()
    trace.control(probe)


@case("signals.frame_selectors_64", door="syscall64", also=["int80_64", "x32"], covers=[85, 86])
def frame_selectors_64(trace: Trace) -> None:
    """Send SIGUSR1 into a loop of 64-bit code, have a program send it itself by a call, and have
    one run into INT3. Their handlers write selectors with RPL 0 into cs and ss, and junk where fs
    and gs have their names; follow their return, and into the loop send it once more.
    """
    edits = {"segments": JUNK_64}
    by_interrupt_and_call(trace, "rt", HANDLER, edits, NO_SELECTORS)
    probe = Probe(
        site="to_int3", handlers=[replace(HANDLER, signo=SIGTRAP)], edits=edits, show=NO_SELECTORS
    )
    trace.heading(frame="rt", entry="exception")
    with trace.launch(probe) as task:
        task.cont()
        follow_return(task, SIGTRAP)
        task.finish()
    trace.control(probe)


@case("signals.bad_selectors", door="int80_32", covers=[22, 86, 92, 119])
def bad_selectors(trace: Trace) -> None:
    """Have a handler write a cs or ss that no code can have, and follow its return: IRET itself
    fails. The second handler ends the program.
    """
    for kind, handler in KINDS:
        for register, what, selector in BAD_SELECTORS:
            probe = replace(
                SPINNING, handlers=[handler, replace(handler, signo=SIGSEGV)], skip=False,
                edits={register: selector}, quit_after=2,
            )  # fmt: skip
            trace.heading(frame=kind, register=register, selector=what)
            with trace.launch(probe) as task:
                strike(task)
                follow_return(task)
                task.finish()
            trace.control(probe, sending(SIGUSR1))


@case("signals.to_64", door="int80_32", needs=("x86_64",), covers=[22, 81, 86, 112])
def to_64(trace: Trace) -> None:
    """Have a handler of a 32-bit program write cs of 64-bit code, and where there is some; follow
    its return to there, and to the invalid opcode's handler, whose frame is again a 32-bit one.
    """
    for kind, handler in KINDS:
        probe = replace(
            SPINNING, handlers=[handler, replace(handler, signo=SIGILL)], skip=False,
            edits={"cs": 0x33, "ip": trace.label("far_ud").start}, quit_after=2,
        )  # fmt: skip
        trace.heading(frame=kind)
        with trace.launch(probe) as task:
            strike(task)
            follow_return(task)
            task.finish()
        trace.control(probe, sending(SIGUSR1))
