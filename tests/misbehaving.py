# SPDX-License-Identifier: GPL-2.0-only
"""A worker whose cases go wrong, each in its own way; the tests of the runner start it."""

import itertools
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from unittest import mock

from conformance import worker
from conformance.cases import Probe, case
from conformance.tracing import requests
from conformance.tracing.tracee import Trace

SPIN = Probe(site="to_spin")
TURNS = itertools.count()
SEIZE = requests.seize


def late(pid: int, options: int) -> None:
    """Seize a program when it is dead, and nobody has waited for it."""
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    SEIZE(pid, options)


def twice(pid: int, options: int) -> None:
    """Seize a program that is traced already, which the kernel refuses."""
    SEIZE(pid, options)
    SEIZE(pid, options)


def seizing(how: Callable[[int, int], None]) -> AbstractContextManager[object]:
    """Have programs seized in another way."""
    return mock.patch.object(requests, "seize", how)


@case("misbehaving.hang", door="none", covers=[])
def hang(trace: Trace) -> None:
    """Wait for a stop that never comes."""
    with trace.launch(SPIN) as task:
        task.cont()


@case("misbehaving.deaf", door="none", covers=[])
def deaf(trace: Trace) -> None:
    """The same, of a program that blocks every signal."""
    with trace.launch(Probe(site="to_spin", blocked=range(1, 65))) as task:
        task.cont()


@case("misbehaving.endless_control", door="none", covers=[])
def endless_control(trace: Trace) -> None:
    """Wait for the end of a control that has none."""
    trace.control(SPIN)


@case("misbehaving.crash", door="none", covers=[])
def crash(trace: Trace) -> None:
    """A program that dies before its gate, under trace."""
    with trace.launch(Probe(site="to_spin", setup="crash", args=[1])) as task:
        task.cont()


@case("misbehaving.crash_unseized", door="none", covers=[])
def crash_unseized(trace: Trace) -> None:
    """A program that is dead before it could be seized."""
    with seizing(late), trace.launch(Probe(site="to_spin", setup="crash")) as task:
        task.cont()


@case("misbehaving.refuse_unseized", door="none", covers=[])
def refuse_unseized(trace: Trace) -> None:
    """A program whose setup fails before it could be seized."""
    with seizing(late), trace.launch(Probe(site="to_spin", setup="refuse")) as task:
        task.cont()


@case("misbehaving.forbidden", door="none", covers=[])
def forbidden(trace: Trace) -> None:
    """A program that is well, and that the kernel does not let us trace."""
    with seizing(twice), trace.launch(SPIN) as task:
        task.cont()


@case("misbehaving.refuse", door="none", covers=[])
def refuse(trace: Trace) -> None:
    """A program whose setup fails."""
    trace.control(Probe(site="to_spin", setup="refuse"))


@case("misbehaving.wild", door="none", covers=[])
def wild(trace: Trace) -> None:
    """A program that leaves processes behind."""
    with trace.launch(Probe(site="syscall", setup="wild", args=[20])) as task:
        task.finish()


@case("misbehaving.suicide", door="none", covers=[])
def suicide(trace: Trace) -> None:
    """The tracer itself dies."""
    with trace.launch(SPIN):
        os.kill(os.getpid(), signal.SIGKILL)


@case("misbehaving.stuck", door="none", covers=[])
def stuck(trace: Trace) -> None:
    """The tracer itself hangs, where no deadline of a wait can help."""
    with trace.launch(SPIN):
        time.sleep(3600)


@case("misbehaving.bug", door="none", covers=[])
def bug(trace: Trace) -> None:
    """A case with a bug."""
    raise KeyError("no such thing")


@case("misbehaving.halfway", door="none", covers=[])
def halfway(trace: Trace) -> None:
    """A case that breaks once it has told something."""
    trace.heading(ax=1)
    raise KeyError("no such thing")


@case("misbehaving.garbled", door="none", covers=[])
def garbled(trace: Trace) -> None:
    """A case that tells nothing by one of its words."""
    trace.heading(nothing="")


@case("misbehaving.moody", door="none", covers=[])
def moody(trace: Trace) -> None:
    """A case that is never the same."""
    trace.heading(turn=next(TURNS))


if __name__ == "__main__":
    sys.exit(worker.main(sys.argv[1:]))
