# SPDX-License-Identifier: GPL-2.0-only
"""What perf and tracepoints say of a program: its registers at each kind of stop, and with calls
that a tracer or a filter changes.

Part of the family `views`.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping

from conformance.abi import WORD, call, flags, number, result
from conformance.cases import Handler, Probe, case
from conformance.cases.filters import (
    DATA,
    EPERM,
    ERRNO,
    POKED,
    TRACE,
    TRACED,
    answered,
    getppid,
)  # fmt: skip
from conformance.cases.views import CHILDREN, INT3, SPIN, at_spin, executing, fork, forked, getpid
from conformance.doors import CALLS
from conformance.tracing import perf, requests
from conformance.tracing.snapshot import Stop
from conformance.tracing.tracee import Task, Trace


def tell(trace: Trace, task: Task, calls: perf.Calls) -> None:
    """Tell what the tracepoints said since the last time."""
    door = trace.door
    for sampled in calls.take():
        words = [word & WORD for word in sampled.words]
        told: dict[str, int | str | Mapping[str, int]] = {
            "event": sampled.event, "nr": call(sampled.nr & WORD, door.numbers),
        }  # fmt: skip
        if sampled.event == perf.CALLS[0]:
            told["args"] = dict(zip(door.arguments, words, strict=True))
        else:
            told["ret"] = trace.pids.get(words[0]) or result(words[0])
        regs = sampled.regs
        told |= {
            "abi": sampled.abi, "ax": trace.pids.get(regs["ax"]) or result(regs["ax"]),
            "ip": regs["ip"], "sp": {"sp": regs["sp"]}, "flags": flags(regs["flags"]),
            "cs": hex(regs["cs"]), "ss": hex(regs["ss"]),
        }  # fmt: skip
        trace.add_read("perf", task.who, **told)


def watched(
    trace: Trace, probe: Probe, request: int = requests.SYSCALL,
    enter: Mapping[str, int] | None = None, leave: Mapping[str, int] | None = None,
) -> None:  # fmt: skip
    """Follow one call from its enter to its exit stop, and read the tracepoints at each.

    :param request: to the enter stop
    :param enter: registers to write there
    :param leave: registers to write at the exit stop
    """
    with trace.launch(probe) as task, perf.Calls(task.pid) as calls:
        for take, change in ((request, enter), (requests.SYSCALL, leave)):
            task.take(take)
            tell(trace, task, calls)
            if change:
                task.poke(**change)
        task.finish()


@case("views.call_events", door="syscall64", also=CALLS, covers=[5, 6, 67, 75, 132],
      needs=["syscall_events", "x86_64"])  # fmt: skip
def call_events(trace: Trace) -> None:
    """Watch getppid() at the tracepoints raw_syscalls:sys_enter and raw_syscalls:sys_exit, with the
    user's registers as perf samples them there: untouched; with another number, or -1 and a result,
    written at the enter stop; with a result written at the exit stop; denied by a filter; and at
    PTRACE_SYSEMU.
    """
    probe = getppid(trace)
    changes: tuple[Mapping[str, int], ...] = (
        {}, {"orig_ax": trace.number("getpid")}, {"orig_ax": -1, "ax": POKED},
    )  # fmt: skip
    for change in changes:
        what = {name: number(word & WORD) for name, word in change.items()}
        trace.heading(**what or {"orig_ax": "kept"})
        watched(trace, probe, enter=change)
    trace.heading(exit="ax")
    watched(trace, probe, leave={"ax": POKED})
    trace.heading(filter="EPERM")
    watched(trace, answered(trace, ERRNO + EPERM))
    trace.heading(then="SYSEMU")
    watched(trace, probe, requests.SYSEMU, enter={"ax": POKED})
    trace.control(probe)


def compare(trace: Trace, task: Task, stop: Stop, switches: perf.Switches) -> None:
    """Tell the registers that perf had as the task went into that stop: those that are not as the
    stop shows them; and the flags, which show the tracer's TF, and cs and ss in all their bits.
    """
    abi, regs = switches.last()
    mask = (1 << 8 * requests.WORD_SIZE) - 1
    other = [name for name in regs if regs[name] & mask != stop.regs[name] and name != "flags"]
    trace.add_read(
        "perf", task.who, abi=abi, regs=",".join(other) or "same", flags=flags(regs["flags"]),
        cs=hex(regs["cs"]), ss=hex(regs["ss"]),
    )  # fmt: skip


@case("views.user_registers", door="syscall64", also=CALLS, covers=[22, 100, 109],
      needs=["perf_switches", "x86_64"])  # fmt: skip
def user_registers(trace: Trace) -> None:
    """Compare the registers that perf samples as a program leaves the CPU in a stop, with those of
    the stop: at the enter of getpid(), a step over it; at the signal that interrupts pause(), and
    around the return from its handler; at an int3, PTRACE_INTERRUPT, SIGSTOP and its group-stop, a
    filter's event, a fork's, an exec's, and the exit's.
    """
    pause = Probe(
        site="syscall", regs=trace.door.call("pause"), handlers=[Handler(signal.SIGUSR1)]
    )
    trace.heading(at="getpid")
    with trace.launch(getpid(trace)) as task, switches(trace, task) as seen:
        for request in (requests.SYSCALL, requests.SINGLESTEP):
            compare(trace, task, task.take(request), seen)
        task.finish()
    trace.heading(at="pause")
    with trace.launch(pause) as task, switches(trace, task) as seen:
        task.resume()
        task.until_asleep()
        task.signal(signal.SIGUSR1)
        stop = task.take()
        compare(trace, task, stop, seen)
        for _ in range(2):
            stop = task.syscall(stop.signo)
            compare(trace, task, stop, seen)
        task.finish()
    trace.heading(at="int3")
    with trace.launch(INT3) as task, switches(trace, task) as seen:
        compare(trace, task, task.cont(), seen)
    trace.heading(at="spin")
    with trace.launch(SPIN) as task, switches(trace, task) as seen:
        compare(trace, task, at_spin(trace, task), seen)
        task.signal(signal.SIGSTOP)
        for signo in (0, signal.SIGSTOP):
            compare(trace, task, task.cont(signo), seen)
    at_events(trace)
    trace.control(getpid(trace))


def at_events(trace: Trace) -> None:
    """Compare those of the stops at events."""
    trace.heading(at="filter")
    with trace.launch(answered(trace, TRACE + DATA), TRACED) as task, switches(trace, task) as seen:
        compare(trace, task, task.cont(), seen)
    trace.heading(at="fork")
    with trace.launch(fork(trace), CHILDREN) as task, switches(trace, task) as seen:
        _, stop = forked(trace, task)
        compare(trace, task, stop, seen)
    trace.heading(at="exec")
    with executing(trace, trace.door.abi) as probe:
        options = requests.O_BASE | requests.O_TRACEEXEC | requests.O_TRACEEXIT
        with trace.launch(probe, options) as task, switches(trace, task) as seen:
            for request in (requests.CONT, requests.SYSCALL, requests.CONT):
                compare(trace, task, task.take(request), seen)
            task.finish()


def switches(trace: Trace, task: Task) -> perf.Switches:
    """Have perf sample a program of the case's door as it leaves the CPU."""
    return perf.Switches(task.pid, trace.door.bits)
