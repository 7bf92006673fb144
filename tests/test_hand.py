# SPDX-License-Identifier: GPL-2.0-only
"""The 32-bit tracer: its wire format, and what becomes of it when something goes wrong."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conformance._native import ffi, lib

from conformance.abi import REGISTERS, REGISTERS_32, Nr32
from conformance.cases import Probe
from conformance.doors import DOORS
from conformance.errors import HarnessError
from conformance.facts import Environment
from conformance.tracing import hand, requests, snapshot
from conformance.tracing.hand import ANSWER_SIZE, ORDER_SIZE, Remote
from conformance.tracing.snapshot import Missed
from conformance.tracing.tracee import Options, Trace

PAUSE = Probe(site="syscall", regs={"ax": Nr32.pause})


@pytest.fixture(autouse=True)
def _ia32(environment: Environment) -> None:
    if not environment.facts["ia32"]:
        pytest.skip("this kernel runs no 32-bit programs")


@pytest.fixture
def remote() -> Iterator[Remote]:
    made = Remote("ia32", time.monotonic() + 5)
    yield made
    made.close()


class Told(Remote):
    """A tracer whose answers a test gives."""

    def __init__(self, answer: bytes) -> None:
        self._socket, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._deadline, self._serial, self.pid = time.monotonic() + 0.2, 0, 4711
        if answer:
            self.theirs.send(answer)

    def close(self) -> None:
        self._socket.close()
        self.theirs.close()


def answered(serial: int, size: int = 0) -> bytes:
    answer = ffi.new("struct origax_answer *")
    answer.serial, answer.size = serial, size
    return bytes(ffi.buffer(answer))


# Both sides have the same idea of the two structures.
def test_sizes() -> None:
    assert (ORDER_SIZE, ANSWER_SIZE) == (608, 2584)


# An answer that is too short, too long, of another order, or lies about its length is an error.
@pytest.mark.parametrize(
    ("answer", "what"),
    [
        (answered(1)[:100], "gave 100 bytes"),
        (answered(1) + b"x", f"gave {ANSWER_SIZE + 1} bytes"),
        (b"\xff" * ANSWER_SIZE, "gave answer 4294967295 to order 1"),
        (answered(7), "gave answer 7 to order 1"),
        (answered(1, 577), "gave 577 bytes in 576"),
    ],
)
def test_garbage(answer: bytes, what: str) -> None:
    told = Told(answer)
    with pytest.raises(HarnessError, match=what):
        told.ptrace(requests.INTERRUPT, 1)
    told.close()


# No answer before the deadline is a missed one.
def test_silence() -> None:
    told = Told(b"")
    with pytest.raises(Missed):
        told.ptrace(requests.INTERRUPT, 1)
    told.close()


# One that dies is an error, whether before an order or while it carries one out.
def test_death(remote: Remote) -> None:
    os.kill(remote.pid, signal.SIGKILL)
    os.waitid(os.P_PID, remote.pid, os.WEXITED | os.WNOWAIT)
    with pytest.raises(HarnessError, match="32-bit tracer"):
        remote.interrupt(1)


def test_death_within() -> None:
    told = Told(b"")
    told.theirs.close()
    with pytest.raises(HarnessError, match="32-bit tracer"):
        told.interrupt(1)
    told.close()


# What is no order is refused; what has another length than one ends it.
def test_no_order(remote: Remote) -> None:
    assert remote.order(99, 1).result == -22
    order = ffi.new("struct origax_order *")
    order.serial, order.what, order.size = 2, lib.ORIGAX_BYTES, 577
    remote._serial = 2
    remote._socket.send(ffi.buffer(order))
    assert remote._answer(remote._socket.recv(ANSWER_SIZE + 1)).result == -22
    remote._socket.send(b"garbage")
    assert os.waitid(os.P_PID, remote.pid, os.WEXITED | os.WNOWAIT)


# Nor is one given that has more bytes than an order can have.
def test_too_long(remote: Remote) -> None:
    with pytest.raises(ValueError, match="577 bytes"):
        remote.setregset(1, bytes(577))


# The kernel's refusal has its errno.
def test_refused(remote: Remote) -> None:
    with pytest.raises(requests.PtraceError) as error:
        remote.interrupt(os.getpid())
    assert requests.name_of(error.value) == "ESRCH"
    with pytest.raises(ChildProcessError):
        remote.take(os.getpid(), 0, 0)


# Its views are those of a 32-bit tracer, and it writes what it is told to.
def test_hand() -> None:
    door = DOORS["int80_32"]
    with Trace(Options(), (0,), door) as trace, trace.launch(PAUSE, hand="ia32") as task:
        stop = task.syscall()
        assert (stop.bits, stop.regs["orig_ax"], stop.differs) == (32, Nr32.pause, {})
        task.poke(orig_ax=-1, ax=5)
        assert task.glance().regs["orig_ax"] == 0xFFFF_FFFF
        told = task.hand.getregset(task.pid, 68)
        assert task.hand.setregset(task.pid, told) == len(told) == 68
        task.put_back(stop)
        assert task.glance().regs == stop.regs
        task.detach()
        task.until("S")


# Each register of each of its views is compared, whatever the width of the program.
@pytest.mark.parametrize("door", ["int80_32", "int80_64"])
def test_views(door: str) -> None:
    if door == "int80_64" and requests.BITS == 32:
        pytest.skip("needs a tracer of 64-bit code")
    with Trace(Options(), (0,), DOORS[door]) as trace, trace.launch(PAUSE, hand="ia32") as task:
        stop = task.syscall()
        raw = task.hand.again(task.pid, stop.status)
    size = 4 if door == "int80_32" else 8
    for at, name in enumerate(REGISTERS_32):
        assert told(raw, "narrow_user", 4 * at) == {"narrow_user": {name}}
        layout = REGISTERS_32 if size == 4 else REGISTERS
        assert told(raw, "regset", size * layout.index(name)) == {"regset": {name}}


def told(raw: bytes, member: str, at: int) -> dict[str, set[str]]:
    """What differs when the lowest bit of a word of a view is another."""
    place = int(ffi.offsetof("struct origax_stop", member)) + at
    word = int.from_bytes(raw[place : place + 4], "little") ^ 1
    lie = raw[:place] + word.to_bytes(4, "little") + raw[place + 4 :]
    differs = snapshot.decode(lie, task_pid(raw), "tracee").differs
    return {view: set(fields) for view, fields in differs.items()}


def task_pid(raw: bytes) -> int:
    return int.from_bytes(raw[:4], "little")


# A tracee that does not stop is missed, and nobody is left.
def test_missed() -> None:
    door = DOORS["int80_32"]
    with (
        pytest.raises(Missed), Trace(Options(timeout=0.3), (0,), door) as trace,
        trace.launch(PAUSE, hand="ia32") as task,
    ):  # fmt: skip
        pid, tracer = task.pid, task.hand.pid
        task.cont()
    for gone in (pid, tracer):
        with pytest.raises(ProcessLookupError):
            os.kill(gone, 0)


SCRIPT = """
import sys, time
from conformance.cases import Probe
from conformance.doors import DOORS
from conformance.tracing.tracee import Options, Trace
with Trace(Options(), (0,), DOORS["int80_32"]) as trace:
    with trace.launch(Probe(site="syscall", regs={"ax": 29}), hand="ia32") as task:
        task.syscall()
        print(task.pid, task.hand.pid, flush=True)
        task.cont() if sys.argv[1] == "waiting" else time.sleep(60)
"""


# Killed at once, a worker leaves neither the tracer nor its tracee behind.
@pytest.mark.parametrize("state", ["waiting", "idle"])
def test_killed(state: str) -> None:
    command = [sys.executable, "-P", "-c", SCRIPT, state]
    path = os.pathsep.join(filter(None, sys.path))
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": path}
    ) as worker:
        assert worker.stdout
        pids = list(map(int, worker.stdout.readline().split()))
        worker.kill()
    deadline = time.monotonic() + 5
    while any(alive(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(pids) == 2
    assert not any(alive(pid) for pid in pids)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


# A tracer that was not built is told of with what to do.
def test_not_built(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(hand, "PROGRAMS", tmp_path)
    with pytest.raises(HarnessError, match="could not be started"):
        Remote("ia32", 0)
