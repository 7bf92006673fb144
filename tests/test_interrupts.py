# SPDX-License-Identifier: GPL-2.0-only
"""Frames: equal ones are counted, another one is seen, and what did not arrive is told."""

from __future__ import annotations

import os
import signal
import struct
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from conformance._native import ffi, lib

from conformance import expectation
from conformance.abi import REGISTERS, WORD
from conformance.cases import Probe, interrupts
from conformance.cases.interrupts import Course, Tally
from conformance.doors import DOORS
from conformance.errors import HarnessError
from conformance.expectation import Judgement
from conformance.facts import Environment, Fact
from conformance.rendering import render
from conformance.tracing import frames, program, requests
from conformance.tracing.frames import Arrivals, Cause, Frames, Kind
from conformance.tracing.image import PROGRAMS, elf, image
from conformance.tracing.tracee import Options, Seen, Task, Trace

PID = 1
EVENT_STOP = 128 << 16 | signal.SIGTRAP << 8 | 0x7F
CS = "33" if requests.BITS == 64 else "23"

AX = -513
SPINNER = Probe(site=frames.SITE, regs={"ax": AX})
BY_SLEEP = Cause(Kind.SLEEP, 100_000)


@pytest.fixture
def trace() -> Iterator[Trace]:
    with Trace(Options(), tuple(sorted(os.sched_getaffinity(0)))) as made:
        yield made


IMAGE = image("x86_64")


def stop(**changed: int) -> Any:
    """A stop of the spinning program by PTRACE_INTERRUPT, every view agreeing; or nearly so."""
    spin = IMAGE.labels["spin"].start
    regs = program.own() | {"orig_ax": -1, "ip": spin, "ax": AX, "flags": 0x202} | changed
    words = {name: word & WORD for name, word in regs.items()}
    made = ffi.new(
        "struct origax_stop *",
        {"status": EVENT_STOP, "regset_size": 216, "info_size": 24, "bits": 64},
    )
    code = signal.SIGTRAP | 128 << 8
    made.siginfo = struct.pack("=iiiii", signal.SIGTRAP, 0, code, 0, PID).ljust(128, b"\0")
    made.regs = made.regset = words
    for index, name in enumerate(REGISTERS):
        made.user[index] = words[name]
    made.info[0] = 0xC000003E << 32  # op and arch of struct ptrace_syscall_info
    made.info[1], made.info[2] = words["ip"], words["sp"]
    return made


def fake(monkeypatch: pytest.MonkeyPatch, trace: Trace, stops: Sequence[Any]) -> Frames:
    """Frames that are not traced but given, in a program whose launch is only written down."""
    left = iter(stops)

    def frame(_loop: object, last: Any, into: Any) -> int:
        ffi.memmove(into, next(left), ffi.sizeof("struct origax_stop"))
        return int(last != ffi.NULL and bytes(ffi.buffer(last)) == bytes(ffi.buffer(into)))

    monkeypatch.setattr(frames, "lib", SimpleNamespace(origax_frame=frame))
    monkeypatch.setattr(trace, "settle", lambda pid, raw: None)
    monkeypatch.setattr(trace, "_program", DOORS["syscall64"])
    trace.own = program.own() | {"ax": AX & WORD}
    return Frames(Task(trace, PID, "tracee"), BY_SLEEP)


@pytest.fixture
def board() -> None:
    """A board as the launch of the spinning program, and the program itself, write it."""
    pinned = program.board()
    program._write(pinned, SPINNER, IMAGE, 0, True)
    pinned.in_.cs, pinned.in_.ss = 0x33, 0x2B


def taken(trace: Trace) -> list[tuple[int, str]]:
    """The stops of a trace: how often each, and its line."""
    seen = [event for event in trace.events if isinstance(event, Seen)]
    return [(event.stop.count, str(render([event])[0])) for event in seen]


# Frames that are equal in every byte are one line, and are counted.
def test_equal_frames(monkeypatch: pytest.MonkeyPatch, trace: Trace, board: None) -> None:
    with fake(monkeypatch, trace, [stop()] * 7) as loop:
        for _ in range(7):
            loop.take()
    ((count, line),) = taken(trace)
    assert count == loop.taken == 7
    assert line == (
        "stop  event STOP  orig_ax=-1 ax=-513/ERESTARTNOINTR ip=spin cs=33 ss=2b flags=IF "
        "regs=own views=agree"
    )


# One frame in which a register, or one view of it, leaks is a line of its own.
@pytest.mark.parametrize("leak", [{"orig_ax": 34}, {"ax": 34}, {"r11": 0}, {"flags": 0x246}])
def test_one_leak(
    monkeypatch: pytest.MonkeyPatch, trace: Trace, board: None, leak: dict[str, int]
) -> None:
    stops = [*[stop()] * 3, stop(**leak), *[stop()] * 2]
    with fake(monkeypatch, trace, stops) as loop:
        for _ in stops:
            loop.take()
    assert [count for count, _ in taken(trace)] == [3, 1, 2]
    lines = [line for _, line in taken(trace)]
    assert lines[0] == lines[2] != lines[1]


# A frame that leaks in one view only is not equal to the others, either.
def test_leak_in_one_view(monkeypatch: pytest.MonkeyPatch, trace: Trace, board: None) -> None:
    other = stop()
    other.user[REGISTERS.index("orig_ax")] = 34
    with fake(monkeypatch, trace, [stop(), other]) as loop:
        loop.take()
        loop.take()
    assert "views=user.orig_ax:0x22" in taken(trace)[1][1]


# The golden calls the leak by its field, and by the invariant that it breaks.
def test_leak_is_judged(
    monkeypatch: pytest.MonkeyPatch, trace: Trace, board: None, expected: Path,
    vocabulary: Mapping[str, Fact], environment: Environment,
) -> None:  # fmt: skip
    golden = expectation.load(expected, "interrupts.device", vocabulary)
    with fake(monkeypatch, trace, [stop(), stop(orig_ax=34)]) as loop:
        loop.take()
        loop.take()
    leaked = render(trace.events)[1]
    base = golden.variants[0].transcript
    at = next(i for i, line in enumerate(base) if line.fields.get("ax") == leaked.fields["ax"])
    judged: Judgement = expectation.judge(
        golden, environment.facts, (*base[:at], leaked, *base[at + 1 :])
    )
    assert judged.verdict == "FAIL"
    assert [each.change for each in judged.differences] == ["orig_ax: -1 -> 34/pause"]
    assert judged.broken


# A program that the kernel takes to be in a system call is caught at it: the number that is put
# into orig_ax at one stop is in ax at the next, and ip went back by 2, into the padding.
def test_live_leak(trace: Trace) -> None:
    with trace.launch(SPINNER) as task, frames.urgent(BY_SLEEP), Frames(task, BY_SLEEP) as loop:
        loop.take()
        requests.write_register(task.pid, "orig_ax", 34)
        loop.take()
    before, after = taken(trace)
    assert "orig_ax=-1 ax=-513/ERESTARTNOINTR ip=spin " in before[1]
    assert "orig_ax=-1 ax=34 ip=spin " in after[1]


# No frame counts before the program is in its loop: the first stop is none of its launch.
def test_first_frame(trace: Trace) -> None:
    hurried = Cause(Kind.SLEEP, 0, prove=False)
    for _ in range(20):
        with trace.launch(SPINNER) as task, frames.urgent(hurried), Frames(task, hurried) as loop:
            loop.take()
    assert {line for _, line in taken(trace)} == {
        f"stop  event STOP  orig_ax=-1 ax=-513/ERESTARTNOINTR ip=spin cs={CS} ss=2b flags=IF "
        "regs=own views=agree"
    }


# A program that dies in its loop ends the frames, and is told.
def test_death(trace: Trace) -> None:
    with trace.launch(SPINNER) as task, Frames(task, BY_SLEEP) as loop:
        loop.take()
        os.kill(task.pid, signal.SIGKILL)
        loop.take()
        assert loop.ended
    assert [line for _, line in taken(trace)][-1] == "exit  killed SIGKILL"


# Stops without the interrupts they are to be in are an error, and never a pass.
def test_nothing_arrives(monkeypatch: pytest.MonkeyPatch, trace: Trace) -> None:
    monkeypatch.setattr(Arrivals, "of", lambda self, row: (1, 0))
    tally = Tally("LOC", trace.cpu)
    with pytest.raises(HarnessError) as error:
        interrupts.catch(trace, SPINNER, BY_SLEEP, tally)
    assert "only 10 interrupts of row LOC" in error.value.what


# A row that /proc/interrupts does not show is an error, too.
def test_no_such_row() -> None:
    with pytest.raises(HarnessError):
        Arrivals(0).of("no such row")


# Interrupts are counted on the CPU that is asked about, others apart.
def test_arrivals(monkeypatch: pytest.MonkeyPatch) -> None:
    readings = iter([{"36": (1, 10), "LOC": (5, 7)}, {"36": (9, 13), "LOC": (8, 9)}])
    monkeypatch.setattr(frames, "read_interrupts", lambda: next(readings))
    assert Arrivals(1).of("36") == (3, 2)


# One row is counted as the whole table is, also where a CPU is offline.
def test_arrived(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    table = tmp_path / "interrupts"
    table.write_text("     CPU0   CPU2\n 36:  1  2  x-edge  disk\nRES:  3  4   Rescheduling\n")
    monkeypatch.setattr(frames, "INTERRUPTS", table)
    assert frames.arrived("RES", 0) == 3
    assert frames.arrived("RES", 2) == 4
    assert frames.arrived("36", 2) == 2


# After the loop the tracer is scheduled as it was before.
def test_urgent_is_undone() -> None:
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    with frames.urgent(BY_SLEEP) as fifo:
        assert fifo == (os.sched_getscheduler(0) == os.SCHED_FIFO)
    assert (os.sched_getscheduler(0), os.sched_getparam(0)) == before


# A tracer that computes while it waits stays an ordinary process.
def test_not_urgent() -> None:
    before = os.sched_getscheduler(0)
    for kind in (Kind.WATCH, Kind.BUSY, Kind.CALL, Kind.SIGNAL):
        with frames.urgent(Cause(kind)) as fifo:
            assert not fifo
            assert os.sched_getscheduler(0) == before


# The two bytes before the loop are NOPs: a kernel that moves ip back by 2 does not crash it.
@pytest.mark.parametrize("name", ["x86_64", "int80_64", "int80_32", "vdso_32", "x32"])
def test_padding(name: str) -> None:
    if not (PROGRAMS / name).exists():
        pytest.skip("the compiler has no such width")
    spin = image(name).labels["spin"].start
    assert elf(PROGRAMS / name).at(spin - 2, 2) == b"\x90\x90"


# The causes of frames have the numbers of the C side.
def test_causes() -> None:
    assert lib.ORIGAX_READ == Kind.READ


class Interrupt:
    """A disk's interrupt, its files, and a loop of requests that raise it.

    :param sticks: after so many moves its vector is released no more
    """

    def __init__(self, place: Path, sticks: int = 1000) -> None:
        self.ended = False
        self.provoked = 0
        self.cpu = 0
        self.sticks = sticks
        self.wanted = place / "smp_affinity_list"
        self.effective = place / "effective_affinity_list"
        self.table = place / "interrupts"
        self.counts = [0, 0]
        self.wanted.write_text("0-1\n")
        self.tell()

    def tell(self) -> None:
        self.effective.write_text(f"{self.cpu}\n")
        counts = " ".join(map(str, self.counts))
        self.table.write_text(f"   CPU0  CPU1\n125: 7 7 x\n 25: {counts} x-edge  disk\n")

    def take(self) -> None:
        self.provoked += 1
        self.counts[self.cpu] += 1
        wanted = self.wanted.read_text().strip()
        if wanted in ("0", "1") and int(wanted) != self.cpu and self.sticks:
            self.cpu, self.sticks = int(wanted), self.sticks - 1
        self.tell()


def course(interrupt: Interrupt, monkeypatch: pytest.MonkeyPatch) -> tuple[Course, list[int]]:
    """A course of that interrupt, and the CPUs on which tracer and program go on."""
    went: list[int] = []
    monkeypatch.setattr(interrupts, "affinity", lambda irq: interrupt.wanted)
    monkeypatch.setattr(interrupts, "PATIENCE", 0.05)
    monkeypatch.setattr(frames, "INTERRUPTS", interrupt.table)
    monkeypatch.setattr(os, "sched_setaffinity", lambda pid, cpus: went.extend(cpus))
    trace: Any = SimpleNamespace(cpu=0)
    trace.move = lambda cpu: setattr(trace, "cpu", cpu)
    return Course(trace, cast(Task, SimpleNamespace(pid=PID)), cast(Frames, interrupt), "25"), went


# An interrupt that can be moved is followed, and counted where it is and over all.
def test_course(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, went = course(Interrupt(tmp_path), monkeypatch)
    assert [made.move(cpu) and made.arrives() for cpu in (1, 0, 1)] == [True] * 3
    assert went == [1, 0, 1]
    assert made.interrupts() == 3 * (1 + interrupts.THERE)


# One whose old vector is kept goes nowhere again, and the program stays where it is.
def test_course_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, went = course(Interrupt(tmp_path, sticks=1), monkeypatch)
    assert [made.move(1), made.arrives(), made.move(0)] == [True, True, False]
    assert went == [1]


# Interrupts elsewhere are not taken for those of this CPU.
def test_course_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupt = Interrupt(tmp_path)
    made, _ = course(interrupt, monkeypatch)
    assert made.move(1)
    interrupt.cpu = 0
    assert not made.arrives()


# Whatever becomes of a case, the affinity is in the end what it was.
def test_affinity_is_put_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupt = Interrupt(tmp_path)
    monkeypatch.setattr(interrupts, "affinity", lambda irq: interrupt.wanted)
    with pytest.raises(KeyError), interrupts.put_back(25):
        interrupt.wanted.write_text("1")
        raise KeyError
    assert interrupt.wanted.read_text() == "0-1\n"
