# SPDX-License-Identifier: GPL-2.0-only
"""Who may answer a call in the kernel's place: seccomp, PTRACE_SYSEMU, syscall user dispatch."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from conformance.abi import WORD, number
from conformance.cases import Handler, Probe, case
from conformance.doors import CALLS
from conformance.tracing import requests
from conformance.tracing.snapshot import Stop
from conformance.tracing.tracee import Task, Trace

KILL_PROCESS: Final = 0x8000_0000
KILL_THREAD: Final = 0
TRAP: Final = 0x0003_0000
ERRNO: Final = 0x0005_0000
TRACE: Final = 0x7FF0_0000
LOG: Final = 0x7FFC_0000
ALLOW: Final = 0x7FFF_0000
"""Actions of seccomp filters (include/uapi/linux/seccomp.h); their data is added."""
DATA: Final = 0x123
MAX_ERRNO: Final = 4095
EPERM: Final = 1
TRACED: Final = requests.O_BASE | requests.O_TRACESECCOMP

CODES: Final = (512, 514, 516)
"""What asks for a restart that an interrupted call without SA_RESTART does not get."""
MINUS_ONE: Final = 0xFFFF_FFFF
"""Number -1, as a filter sees it."""
BEYOND: Final = 10000
POKED: Final = 777
SIGSYS: Final = Handler(signal.SIGSYS)


def answered(trace: Trace, answer: int, call: str = "getppid", **others: int) -> Probe:
    """A program that makes one call, where a filter answers getppid() so.

    :param others: what it answers to further calls, by name
    """
    rules = [trace.number("getppid"), answer]
    for name, other in others.items():
        rules += [trace.number(name), other]
    return Probe(site="syscall", setup="filter", regs=trace.door.call(call), args=rules)


def to_the_end(task: Task) -> None:
    """PTRACE_SYSCALL until the program leaves, passing every signal on; then PTRACE_CONT."""
    stop = task.syscall()
    while not stop.ended and stop.regs["orig_ax"] != task.trace.number("exit_group"):
        stop = task.syscall(stop.signo)
    go_on(task, stop)


def go_on(task: Task, stop: Stop) -> None:
    """PTRACE_CONT from that stop until the program is gone, passing every signal on."""
    while not stop.ended:
        stop = task.cont(stop.signo)


def follow_each(trace: Trace, what: str, ways: Mapping[str, Probe]) -> None:
    """Follow each program by PTRACE_SYSCALL until it leaves, and run its control.

    :param what: names in the transcript what the programs differ in
    """
    for name, probe in ways.items():
        trace.heading(**{what: name})
        with trace.launch(probe) as task:
            to_the_end(task)
        trace.control(probe)


# What a filter answers by itself


@case("filters.errno", door="syscall64", also=CALLS, covers=[2, 11, 67, 125])
def errno_(trace: Trace) -> None:
    """A filter answers getppid() with no error, with EPERM, with more than MAX_ERRNO, and with each
    code that would restart an interrupted call; follow it from its enter to its exit stop.
    """
    for code in (0, EPERM, MAX_ERRNO + 1, *CODES):
        trace.heading(errno=code)
        probe = answered(trace, ERRNO + code)
        with trace.launch(probe) as task:
            task.syscall()
            task.syscall()
            task.finish()
        trace.control(probe)


@case("filters.errno_signal", door="syscall64", also=CALLS, covers=[25, 34, 35, 67, 84])
def errno_signal(trace: Trace) -> None:
    """A filter answers getppid() with a code that restarts an interrupted call; at its exit stop,
    send a signal. With a handler, and with none, where the tracer suppresses the signal; not with
    ERESTART_RESTARTBLOCK there, for a program inherits its parent's last restart block.
    """
    ways = {"plain": ([Handler(signal.SIGUSR1)], CODES), "none": ([], CODES[:-1])}
    for name, (handlers, codes) in ways.items():
        for code in codes:
            trace.heading(handler=name, errno=code)
            probe = replace(answered(trace, ERRNO + code), handlers=handlers)
            with trace.launch(probe) as task:
                task.syscall()
                task.syscall()
                task.signal(signal.SIGUSR1)
                stop = task.syscall()
                if handlers:
                    go_on(task, stop)
                else:
                    to_the_end(task)
    trace.control(probe)


@case("filters.trap", door="syscall64", also=CALLS, covers=[11, 68, 83, 85])
def trap(trace: Trace) -> None:
    """A filter answers getppid() with SIGSYS, which has a handler, is suppressed by the tracer, is
    ignored or is blocked; follow the program to its end by PTRACE_SYSCALL.
    """
    probe = answered(trace, TRAP + DATA)
    ways = {
        "handled": replace(probe, handlers=[SIGSYS]),
        "ignored": replace(probe, handlers=[replace(SIGSYS, ignore=True)]),
        "blocked": replace(probe, handlers=[SIGSYS], blocked=[signal.SIGSYS]),
    }
    follow_each(trace, "sigsys", ways)
    trace.heading(sigsys="suppressed")
    with trace.launch(ways["handled"]) as task:
        for _ in range(3):
            task.syscall()
        task.finish()
    trace.control(ways["handled"])


@case("filters.kill", door="syscall64", also=CALLS, covers=[62, 69])
def kill(trace: Trace) -> None:
    """A filter kills the program for getppid(), or the thread, which is its last; follow it from
    the enter stop to PTRACE_EVENT_EXIT and to its end. SIGSYS has a handler, which must not run.
    """
    for name, answer in (("process", KILL_PROCESS), ("thread", KILL_THREAD)):
        trace.heading(kill=name)
        probe = replace(answered(trace, answer), handlers=[SIGSYS])
        with trace.launch(probe, TRACED | requests.O_TRACEEXIT) as task:
            task.syscall()
            task.finish()
        trace.control(probe)


@case("filters.log", door="syscall64", also=CALLS, covers=[2, 64, 67])
def log(trace: Trace) -> None:
    """A filter has the kernel log getppid(), which runs; follow the program to its end, once with
    another number written at the enter stop, and once by PTRACE_CONT, with events of filters asked
    for: there is none.
    """
    probe = answered(trace, LOG + DATA)
    follow_each(trace, "call", {"logged": probe})
    trace.heading(call="rewritten")
    with trace.launch(answered(trace, LOG + DATA, "getpid"), TRACED) as task:
        task.syscall()
        task.poke(orig_ax=trace.number("getppid"))
        to_the_end(task)
    trace.heading(then="CONT")
    with trace.launch(probe, TRACED) as task:
        task.finish()


# What the tracer answers at the event that a filter asks for


def tell(trace: Trace, change: Mapping[str, int]) -> None:
    """Begin a part of the transcript with what the tracer is going to write."""
    if change:
        trace.heading(**{name: number(word & WORD) for name, word in change.items()})
    else:
        trace.heading(orig_ax="kept")


@case("filters.trace", door="syscall64", also=CALLS, covers=[2, 64, 65, 66, 72])
def trace_(trace: Trace) -> None:
    """A filter has the tracer see getppid(); at PTRACE_EVENT_SECCOMP, write nothing, or another
    number: one that runs, one that the filter answers with EPERM, its own once more, -1, another
    negative one, or one beyond the table; and with those that run nothing, a result.
    """
    getpid, denied, own = (trace.number(name) for name in ("getpid", "poll", "getppid"))
    changes: tuple[Mapping[str, int], ...] = (
        {}, {"orig_ax": getpid}, {"orig_ax": denied}, {"orig_ax": denied, "ax": POKED},
        {"orig_ax": own}, {"orig_ax": -1}, {"orig_ax": -1, "ax": POKED},
        {"orig_ax": -2, "ax": POKED}, {"orig_ax": BEYOND, "ax": POKED},
    )  # fmt: skip
    probe = answered(trace, TRACE + DATA, poll=ERRNO + EPERM)
    for change in changes:
        tell(trace, change)
        with trace.launch(probe, TRACED) as task:
            task.syscall()
            task.syscall()
            if change:
                task.poke(**change)
            task.syscall()
            task.finish()
    trace.control(probe)


@case("filters.trace_alone", door="syscall64", also=CALLS, covers=[64, 66])
def trace_alone(trace: Trace) -> None:
    """PTRACE_CONT to PTRACE_EVENT_SECCOMP, with no enter stop before it, and from there; write
    nothing, another number, or -1 with a result. In another run, PTRACE_SYSCALL from there.
    """
    probe = answered(trace, TRACE + DATA)
    changes: tuple[Mapping[str, int], ...] = (
        {}, {"orig_ax": trace.number("getpid")}, {"orig_ax": -1, "ax": POKED},
    )  # fmt: skip
    for change in changes:
        tell(trace, change)
        with trace.launch(probe, TRACED) as task:
            stop = task.cont()
            if change and not stop.ended:
                task.poke(**change)
            go_on(task, stop)
    trace.heading(then="SYSCALL")
    with trace.launch(probe, TRACED) as task:
        stop = task.cont()
        go_on(task, stop if stop.ended else task.syscall())
    trace.control(probe)


@case("filters.rewritten_before", door="syscall64", also=CALLS, covers=[5, 6, 65, 67, 72])
def rewritten_before(trace: Trace) -> None:
    """At the enter stop, write the number of a call that a filter answers otherwise: the filter
    judges what was written, and -1 and a result with it. Follow the program by PTRACE_SYSCALL.
    """
    getpid, own = trace.number("getpid"), trace.number("getppid")
    deny = answered(trace, ERRNO + EPERM)
    to_denied = replace(deny, regs=trace.door.call("getpid"))
    deny_none = replace(deny, args=[MINUS_ONE, ERRNO + EPERM])
    see = answered(trace, TRACE + DATA, "getpid")
    runs: tuple[tuple[str, Probe, Mapping[str, int]], ...] = (
        ("denied", to_denied, {"orig_ax": own}),
        ("denied", to_denied, {"orig_ax": own, "ax": POKED}),
        ("allowed", deny, {"orig_ax": getpid}),
        ("allowed", deny, {"orig_ax": -1, "ax": POKED}),
        ("denied", deny_none, {"orig_ax": -1, "ax": POKED}),
        ("seen", see, {"orig_ax": own}),
    )
    for judged, probe, change in runs:
        trace.heading(judged=judged, **{name: number(word & WORD) for name, word in change.items()})
        with trace.launch(probe, TRACED) as task:
            task.syscall()
            task.poke(**change)
            task.syscall()
            if judged == "seen":
                task.syscall()
            task.finish()
    trace.control(deny)


AND_ABOVE: Final = 1 << 32
"""In a rule's number: and all above it."""


@case("filters.number_above", door="syscall64", also=CALLS, covers=[6, 13, 65, 72])
def number_above(trace: Trace) -> None:
    """A filter answers every number from the x32 bit up with EPERM, as one does that knows of no
    x32; numbers are unsigned to it. At the enter stop, write -1, or in a 64-bit register the lower
    half of it, or -2, with a result each: they are denied. Where the filter lets -1 pass first, -1
    skips the call.
    """
    # The calls of x32 have that bit themselves.
    above = 1 << (31 if trace.door.abi == "x32" else 30) | AND_ABOVE
    lower = (MINUS_ONE,) if trace.door.bits == 64 else ()
    ways = {"-1": [], "others": [MINUS_ONE, ALLOW]}
    for name, first in ways.items():
        probe = replace(getppid(trace), setup="filter", args=[*first, above, ERRNO + EPERM])
        for nr in (-1, *lower, -2):
            trace.heading(denied=name, orig_ax=number(nr & WORD), ax=POKED)
            with trace.launch(probe) as task:
                task.syscall()
                task.poke(orig_ax=nr, ax=POKED)
                task.syscall()
                task.finish()
        trace.control(replace(probe, regs={"ax": -1}))


# What the tracer may switch off, and read


@case("filters.suspended", door="syscall64", also=CALLS, covers=[71], needs=["suspend_seccomp"])
def suspended(trace: Trace) -> None:
    """PTRACE_O_SUSPEND_SECCOMP: no filter is asked of getppid(), whatever it would answer. Ask for
    that from the start, or at the enter stop; or end it there, and the filter is asked.
    """
    answers = {
        "EPERM": ERRNO + EPERM, "SIGSYS": TRAP + DATA, "event": TRACE + DATA, "kill": KILL_PROCESS,
    }  # fmt: skip
    off = TRACED | requests.O_SUSPEND_SECCOMP
    for name, answer in answers.items():
        trace.heading(filter=name)
        with trace.launch(answered(trace, answer), off) as task:
            task.syscall()
            task.syscall()
            task.finish()
    denied = answered(trace, answers["EPERM"])
    for name, before, after in (("begins", TRACED, off), ("ends", off, TRACED)):
        trace.heading(enter=name)
        with trace.launch(denied, before) as task:
            task.syscall()
            requests.set_options(task.pid, after)
            task.syscall()
            task.finish()
    trace.control(denied)


@case("filters.read_back", door="syscall64", also=CALLS, covers=[71], needs=["suspend_seccomp"])
def read_back(trace: Trace) -> None:
    """Read the program's filter, its length and its flags, by PTRACE_SECCOMP_GET_FILTER and
    PTRACE_SECCOMP_GET_METADATA, at its enter stop; likewise a second one, which is not there; and
    that of a program without any.
    """
    for name, probe in (("one", answered(trace, ERRNO + EPERM)), ("none", getppid(trace))):
        trace.heading(filter=name)
        with trace.launch(probe) as task:
            task.syscall()
            for index in (0, 1):
                tell_filter(trace, task, index)
            task.finish()
    trace.control(answered(trace, ERRNO + EPERM))


def tell_filter(trace: Trace, task: Task, index: int) -> None:
    """Read a filter, and its metadata, in three sizes of the buffer."""
    try:
        code = ",".join(requests.get_filter(task.pid, index))
    except requests.PtraceError as error:
        code = requests.name_of(error)
    trace.add_read("filter", index=str(index), code=code)
    for size in (0, 8, 32):
        try:
            told, flags = map(str, requests.get_filter_metadata(task.pid, index, size))
        except requests.PtraceError as error:
            told, flags = requests.name_of(error), "none"
        trace.add_read("metadata", index=str(index), size=str(size), told=told, flags=flags)


# PTRACE_SYSEMU


def getppid(trace: Trace, site: str = "syscall") -> Probe:
    """A program that calls getppid(), where no filter is."""
    return Probe(site=site, regs=trace.door.call("getppid"))


def emulated(
    trace: Trace, probe: Probe, change: Mapping[str, int], request: int, more: int = 0
) -> None:
    """PTRACE_SYSEMU to a program's call; write registers there; then another request.

    :param more: how many stops to take by it behind the first
    """
    with trace.launch(probe) as task:
        task.take(requests.SYSEMU)
        if change:
            task.poke(**change)
        if request != requests.CONT:
            for _ in range(1 + more):
                task.take(request)
        if request == requests.SYSEMU:
            task.kill()
        else:
            task.finish()


@case("filters.sysemu", door="syscall64", also=CALLS, covers=[1, 75, 76])
def sysemu(trace: Trace) -> None:
    """PTRACE_SYSEMU to the one stop of getppid(); write no result, one, or one that reads as a
    restart; go on by PTRACE_SYSEMU, to the stop of exit_group(), by PTRACE_SYSCALL or PTRACE_CONT.
    """
    ways = {
        "SYSEMU": requests.SYSEMU, "SYSCALL": requests.SYSCALL, "CONT": requests.CONT,
    }  # fmt: skip
    for name, request in ways.items():
        for result in (None, POKED, -CODES[0]):
            trace.heading(then=name, result="none" if result is None else result)
            change = {} if result is None else {"ax": result}
            emulated(trace, getppid(trace), change, request)
    trace.control(getppid(trace))


@case("filters.sysemu_number", door="syscall64", also=CALLS, covers=[6, 7, 75, 76, 77])
def sysemu_number(trace: Trace) -> None:
    """PTRACE_SYSEMU to calls of numbers that do not exist, and to getppid(), where another number
    is written: none of them runs. Write a result, too; PTRACE_SYSCALL to the exit stop.
    """
    for nr in (BEYOND, -1, -2):
        trace.heading(program=nr)
        probe = Probe(site="syscall", regs={"ax": nr})
        emulated(trace, probe, {"ax": POKED}, requests.SYSCALL)
        trace.control(probe)
    for nr in (trace.number("getpid"), -1, -2, BEYOND):
        trace.heading(tracer=number(nr & WORD))
        emulated(trace, getppid(trace), {"orig_ax": nr, "ax": POKED}, requests.SYSCALL)
    trace.control(getppid(trace))


@case("filters.sysemu_filter", door="syscall64", also=CALLS, covers=[68, 75, 79])
def sysemu_filter(trace: Trace) -> None:
    """PTRACE_SYSEMU to getppid(), which a filter answers with EPERM, SIGSYS or the tracer's event:
    no filter is asked. Write a result; PTRACE_SYSCALL to the exit stop.
    """
    answers = {"EPERM": ERRNO + EPERM, "SIGSYS": TRAP + DATA, "event": TRACE + DATA}
    for name, answer in answers.items():
        trace.heading(filter=name)
        probe = replace(answered(trace, answer), handlers=[SIGSYS])
        emulated(trace, probe, {"ax": POKED}, requests.SYSCALL)
    trace.control(answered(trace, ERRNO + EPERM))


@case("filters.sysemu_step", door="syscall64", also=CALLS, covers=[75, 78, 95])
def sysemu_step(trace: Trace) -> None:
    """PTRACE_SYSEMU to getppid(), write a result, and step from there: by PTRACE_SINGLESTEP, which
    ends as the call exits, or by PTRACE_SYSEMU_SINGLESTEP, behind the next instruction.
    """
    probe = getppid(trace, "call_nops")
    ways = {"SINGLESTEP": requests.SINGLESTEP, "SYSEMU_SINGLESTEP": requests.SYSEMU_SINGLESTEP}
    for name, request in ways.items():
        trace.heading(then=name)
        emulated(trace, probe, {"ax": POKED}, request, more=1)
    trace.control(probe)


# Syscall user dispatch


def dispatched(trace: Trace, everywhere: bool = False, answer: int = -1) -> Probe:
    """A program whose getppid() is caught, with a handler for SIGSYS.

    :param everywhere: calls are let through from all addresses
    :param answer: what a filter answers to it; none if negative
    """
    rules = () if answer < 0 else (trace.number("getppid"), answer)
    return Probe(
        site="dispatched", setup="dispatch", regs=trace.door.call("getppid"),
        args=(everywhere, *rules), handlers=[SIGSYS],
    )  # fmt: skip


DISPATCH: Final = ("syscall_user_dispatch",)


@case("filters.dispatch", door="syscall64", also=CALLS, covers=[11, 73, 83, 85], needs=DISPATCH)
def dispatch(trace: Trace) -> None:
    """Syscall user dispatch catches getppid(), under PTRACE_SYSCALL, PTRACE_SYSEMU, or a filter
    that answers EPERM; or it lets calls through from everywhere. Follow the program to its end.
    """
    ways = {
        "caught": dispatched(trace), "filtered": dispatched(trace, answer=ERRNO + EPERM),
        "through": dispatched(trace, everywhere=True),
    }  # fmt: skip
    follow_each(trace, "call", ways)
    trace.heading(call="emulated")
    with trace.launch(dispatched(trace)) as task:
        task.take(requests.SYSEMU)
        task.finish()
    trace.control(dispatched(trace))


@case("filters.dispatch_number", door="syscall64", also=CALLS, covers=[73], needs=DISPATCH)
def dispatch_number(trace: Trace) -> None:
    """Syscall user dispatch catches calls of number -1, of one beyond the table, and of each that,
    rolled back into ax, reads as a code for a restart; pass SIGSYS on to its handler.
    """
    numbers = (-1, BEYOND, *(-code for code in CODES))
    ways = {str(nr): replace(dispatched(trace), regs={"ax": nr}) for nr in numbers}
    follow_each(trace, "number", ways)


@case("filters.dispatch_selector", door="syscall64", also=CALLS, covers=[62, 73, 90],
      needs=DISPATCH)  # fmt: skip
def dispatch_selector(trace: Trace) -> None:
    """The selector of syscall user dispatch holds a byte that means nothing, or is no longer
    mapped: getppid() kills the program, by SIGSYS or SIGSEGV, whose handlers must not run. Follow
    it to PTRACE_EVENT_EXIT and to its end.
    """
    handlers = [SIGSYS, Handler(signal.SIGSEGV)]
    ways = {
        "byte": replace(dispatched(trace), site="misdispatched", handlers=handlers),
        "unmapped": Probe(
            site="unselected", setup="dispatch", regs=trace.door.call("munmap"), args=[2],
            handlers=handlers,
        ),
    }  # fmt: skip
    for name, probe in ways.items():
        trace.heading(selector=name)
        with trace.launch(probe, requests.O_BASE | requests.O_TRACEEXIT) as task:
            stop = task.syscall()
            while not stop.ended:
                stop = task.syscall(stop.signo)
        trace.control(probe)
