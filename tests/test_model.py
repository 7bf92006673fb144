# SPDX-License-Identifier: GPL-2.0-only
"""The model against the goldens: the cases are driven on it instead of on a kernel."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from conformance import expectation, explore, model, transcript
from conformance.cases import Case, Probe, all_cases, restarts
from conformance.doors import Door
from conformance.facts import vocabulary
from conformance.model import Machine, Model, Place, Seen, Sleeper, UnspokenError, Where
from conformance.places import expected_directory
from conformance.tracing import requests

CASES = [
    case for case in all_cases()
    if case.family in ("syscalls", "restarts", "sequences") or case.id.startswith("filters.sysemu")
]  # fmt: skip
ENVIRONMENTS = {
    "linux-5.10.262-debian.amd.tcg": 143,
    "linux-6.1.176-debian.amd.tcg": 143,
    "linux-7.2.13-debian.amd.tcg.emulate.x32": 179,
    "linux-5.10.223-debian-i386.amd.tcg": 69,
    "linux-6.1.176-debian-i386.amd.tcg": 69,
}
"""Kernels that confirmed the goldens, and of how many each the model speaks."""
PID, PARENT, CODE = 0x5A5A_0001, 0x5A5A_0002, 0x40_0000
SIGNALS = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH)
INERT = ("cx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15")
"""Registers that no call here reads."""


def sleeper(probe: Probe) -> Sleeper | None:
    """What a probe's preparation makes right arguments for."""
    more = probe.args[1] if len(probe.args) > 1 else 0
    known = {
        None: None,
        "read_blocks": model.READ,
        "nanosleep_blocks": model.NANOSLEEP,
        "poll_blocks": model.POLL,
        "lock_pi_blocks": Sleeper("futex", model.ERESTARTNOINTR, 0),
        "futex_wait_blocks": Sleeper(
            "futex", model.ERESTART_RESTARTBLOCK if more else model.ERESTARTSYS, 0
        ),
        "clock_nanosleep_blocks": Sleeper(
            "clock_nanosleep",
            model.ERESTARTNOHAND if more else model.ERESTART_RESTARTBLOCK,
        ),
    }
    if probe.site != "syscall" or probe.setup not in known:
        raise UnspokenError(f"{probe.site} {probe.setup}")
    return known[probe.setup]


class Task:
    """What cases need of a task, done by the model; ``lines`` is what was seen."""

    pid = PID

    def __init__(self, machine: Machine, door: Door, probe: Probe, lines: list[Any]) -> None:
        signals = {each.signo: model.Signal(each.ignore, each.flags) for each in probe.handlers}
        others = (each.old or each.by_vdso or each.calls for each in probe.handlers)
        if any(others) or probe.blocked:
            raise UnspokenError("another kind of handler")
        if "ax" not in probe.regs:
            raise UnspokenError("a site that makes calls of its own")
        self.program = model.Program(
            door, probe.regs["ax"], sleeper(probe), signals, PID, PARENT
        )
        self.model = Model(machine, self.program)
        self.lines = lines
        self.setup = probe.setup

    def take(self, request: int = 0, signo: int = 0, show: tuple[str, ...] = ()) -> Any:
        if request:
            self.model.resume(request, signo)
        seen = self.model.now
        if seen.kind == model.ASLEEP or show:
            raise UnspokenError("a program asleep, or another field")
        self.lines.append(seen)
        name = seen.kind.removeprefix("signal ")
        signo = signal.Signals[name] if name != seen.kind else 0
        regs = {"orig_ax": seen.orig_ax, "ax": seen.ax, "ip": CODE}
        return SimpleNamespace(kind=seen.kind, ended=seen.ended, regs=regs, signo=signo)

    def syscall(self, signo: int = 0) -> Any:
        return self.take(requests.SYSCALL, signo)

    def cont(self, signo: int = 0) -> Any:
        return self.take(requests.CONT, signo)

    def step(self, signo: int = 0, show: tuple[str, ...] = ()) -> Any:
        return self.take(requests.SINGLESTEP, signo, show)

    def resume(self, request: int, signo: int = 0) -> None:
        self.model.resume(request, signo)

    def finish(self) -> None:
        stop = self.cont()
        while not stop.ended:
            stop = self.cont(stop.signo)

    def kill(self) -> None:
        self.model.now = Seen("killed SIGKILL")
        self.take()

    def detach(self, signo: int = 0) -> None:
        self.model.resume(requests.DETACH, signo)

    def interrupt(self) -> Any:
        self.model.interrupt()
        return self.take()

    def signal(self, signo: int) -> None:
        if signo not in SIGNALS:
            raise UnspokenError("a stop of the whole group")
        self.model.send(signo)

    def until(self, states: str) -> str:
        if self.model.now.ended:
            return "Z"
        return "S" if self.model.now.kind == model.ASLEEP else "t"

    def poke(self, **registers: int) -> None:
        for name, word in registers.items():
            if name == "ip" and word == CODE - 2:
                self.model.rewind()
            elif name in ("orig_ax", "ax"):
                self.model.write(name, word)
            elif not ((name == "ip" and word == CODE) or (name in INERT and not self.setup)):
                raise UnspokenError(f"{name} written")

    def __getattr__(self, name: str) -> Any:
        raise UnspokenError(name)


class Trace:
    """What cases need of a trace."""

    def __init__(self, machine: Machine, door: Door) -> None:
        self.machine = machine
        self.door = door
        self.task: Task | None = None
        self.lines: list[Any] = []

    def number(self, call: str) -> int:
        return self.door.number(call)

    def heading(self, **_: object) -> None:
        self.lines.append("run")

    @contextlib.contextmanager
    def launch(
        self, probe: Probe, options: int = requests.O_BASE, hand: str = ""
    ) -> Iterator[Task]:
        if options != requests.O_BASE or hand:
            raise UnspokenError("events, or another tracer")
        self.task = Task(self.machine, self.door, probe, self.lines)
        yield self.task
        self.lines += self.task.model.frames
        self.lines += [self.task.model.landed] if self.task.model.landed is not None else []

    def control(self, *_: object, **__: object) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        raise UnspokenError(name)


def place(door: Door, at: Place) -> str:
    """Name a place as the goldens do."""
    label, size = {
        Where.CALL: ("syscall", 2), Where.HANDLER: ("handler", 0), Where.RETURN: ("restorer", 7),
        Where.LEAVE: ("leave", 2),
    }[at.where]  # fmt: skip
    if door.by_vdso and at.where in (Where.CALL, Where.LEAVE):
        label, size = "landing_pad", 0
    offset = size + at.offset
    return f"{label}{offset:+}" if offset else label


def ax(word: int, mask: int) -> int | str:
    return {PID: "$pid", PARENT: "$tracer"}.get(word, word & mask)


def told(line: Any, door: Door, mask: int) -> tuple[Any, ...]:
    """Write one line of the model's as `golden` writes one of a golden's."""
    if line == "run":
        return ("run",)
    if isinstance(line, int):
        return ("landed", ax(line, mask))
    if isinstance(line, model.Frame):
        name = signal.Signals(line.signo).name
        return (f"signal {name}", ax(line.ax, mask), place(door, line.place))
    if line.ended:
        return (line.kind,)
    return (line.kind, line.orig_ax, ax(line.ax, mask), place(door, line.place))


def golden(line: transcript.Line, mask: int, word: int) -> tuple[Any, ...]:
    """What a golden's line says of the kind, orig_ax, ax and ip."""
    if line.head == "run":
        return ("run",)
    said: list[Any] = [line.kind]
    for name, bits in (("orig_ax", word), ("ax", mask)):
        if name in line.fields:
            value = transcript.value(line.fields[name])
            said.append(value & bits if isinstance(value, int) else value)
    return (*said, *([line.fields["ip"]] if "ip" in line.fields else []))


class Played:
    """A party of `explore.play`, as a kept sequence needs it: the task's model."""

    def __init__(self, trace: Trace, task: Task, *_: object, keep: bool) -> None:
        self.task = task

    def resume(self, request: int, signo: int = 0) -> Seen:
        return self._seen(self.task.model.resume(request, signo))

    def write(self, name: str, word: int) -> None:
        self.task.model.write(name, word)

    def rewind(self) -> None:
        self.task.model.rewind()

    def send(self, signo: int) -> Seen:
        asleep = self.task.model.now.kind == model.ASLEEP
        seen = self.task.model.send(signo)
        return self._seen(seen) if asleep else seen

    def interrupt(self) -> Seen:
        return self._seen(self.task.model.interrupt())

    def release(self) -> Seen:
        return self._seen(self.task.model.release())

    def told(self) -> list[str]:
        return []  # the trace tells it

    def _seen(self, seen: Seen) -> Seen:
        self.task.lines += [seen] if seen.kind != model.ASLEEP else []
        return seen


class Driven:
    """The trace that is driven now: what cases do besides its methods reaches its model."""

    trace: Trace

    @property
    def model(self) -> Model:
        assert self.trace.task
        return self.trace.task.model

    def kill(self, pid: int, signo: int) -> None:
        self.model.now = Seen("killed SIGKILL")

    def write(self, fd: int, data: bytes) -> None:
        self.model.release()

    def interrupt(self, pid: int) -> None:
        self.model.interrupt()

    def lines(self, case: Case, facts: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Drive a case on the model; what is seen."""
        self.trace = Trace(Machine.of(facts), case.way)
        case.drive(self.trace)  # type: ignore[arg-type]
        mask = masks(case, facts)[0]
        return [told(line, case.way, mask) for line in self.trace.lines]


def masks(case: Case, facts: Mapping[str, Any]) -> tuple[int, int]:
    """All bits of the program's registers, and of the kernel's."""
    word = Machine.of(facts).word
    return model.LOW if case.way.bits == 32 else word, word


@pytest.fixture
def driven(monkeypatch: pytest.MonkeyPatch) -> Driven:
    made = Driven()
    real = {name: getattr(os, name) for name in ("pipe", "set_inheritable", "close")}
    outside = SimpleNamespace(**real, kill=made.kill, write=made.write)
    monkeypatch.setattr(restarts, "os", outside)
    monkeypatch.setattr(requests, "interrupt", made.interrupt)
    monkeypatch.setattr(explore, "Kernel", Played)
    return made


@functools.cache
def goldens() -> dict[str, expectation.Expectation | None]:
    expected = expected_directory(None)
    known = vocabulary(expected)
    return {case.id: expectation.find(expected, case.id, known) for case in CASES}


# On each kernel that confirmed the goldens, the model sees at every stop what they say, and it
# speaks of as many of them as stand above.
@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_goldens(name: str, expected: Path, driven: Driven) -> None:
    evidence = json.loads((expected / "evidence" / f"{name}.json").read_text())
    facts, spoken, silent = evidence["facts"], 0, {}
    for case in CASES:
        wanted_of = goldens()[case.id]
        variant = wanted_of.choose(facts) if wanted_of else None
        if variant is None or not all(facts.get(need) for need in case.needs):
            continue
        try:
            seen = driven.lines(case, facts)
        except UnspokenError as error:
            silent[case.id] = str(error)
            continue
        wanted = [
            golden(line, *masks(case, facts)) for line in variant.transcript
            if line.head in ("run", "stop", "exit", "probe")
        ]  # fmt: skip
        assert seen == wanted, case.id
        spoken += 1
    assert spoken >= ENVIRONMENTS[name], silent
