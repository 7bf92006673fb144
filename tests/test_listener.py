# SPDX-License-Identifier: GPL-2.0-only
"""The supervisor's side of a filter's notifications."""

import errno
import os
import signal

import pytest

from conformance.cases.notify import notified
from conformance.doors import OWN
from conformance.tracing.listener import CONTINUE, Listener
from conformance.tracing.tracee import Options, Trace


@pytest.fixture
def trace() -> Trace:
    return Trace(Options(), tuple(sorted(os.sched_getaffinity(0))))


# A call that waits is told once, and answered once; before, there is nothing to be told.
def test_told_once(trace: Trace) -> None:
    with trace, trace.launch(notified(trace)) as task, Listener(task.pid) as listener:
        assert listener.receive() is None
        task.resume()
        task.until("S")
        told = listener.receive()
        assert told is not None
        assert (told.pid, told.nr) == (task.pid, OWN.number("getppid"))
        assert listener.receive() is None
        assert listener.answer(told.id, error=-errno.EPERM, flags=CONTINUE) == "EINVAL"
        assert listener.answer(told.id, val=777) == "none"
        assert task.take().kind == "exited 0"


# One that a signal has ended cannot be answered any more.
def test_gone(trace: Trace) -> None:
    with trace, trace.launch(notified(trace)) as task, Listener(task.pid) as listener:
        task.resume()
        task.until("S")
        told = listener.receive()
        assert told is not None
        task.signal(signal.SIGUSR1)
        task.take()
        assert listener.answer(told.id, val=777) == "ENOENT"
