# SPDX-License-Identifier: GPL-2.0-only
"""What tracepoints say of a call that a tracer or a filter changes, and perf's registers there.

Part of the family `views`.
"""

from __future__ import annotations

from collections.abc import Mapping

from conformance.abi import WORD, call, flags, number, result
from conformance.cases import Probe, case
from conformance.cases.filters import EPERM, ERRNO, POKED, answered, getppid
from conformance.doors import CALLS
from conformance.tracing import perf, requests
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
