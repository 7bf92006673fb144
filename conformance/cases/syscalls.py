# SPDX-License-Identifier: GPL-2.0-only
"""System calls by the SYSCALL instruction from 64-bit code."""

from __future__ import annotations

from conformance.abi import Nr
from conformance.cases import Probe, case
from conformance.tracing.tracee import Trace

GETPID = Probe(site="syscall", regs={"ax": Nr.getpid})


@case("syscalls.pair", door="syscall64", covers=[1, 2, 26, 125])
def pair(trace: Trace) -> None:
    """PTRACE_SYSCALL to the enter and the exit of getpid(), then on to the end."""
    with trace.launch(GETPID) as task:
        task.syscall()
        task.syscall()
        task.finish()
    trace.control(GETPID)
