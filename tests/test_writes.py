# SPDX-License-Identifier: GPL-2.0-only
"""The matrix of writes, held against the model of the ABI in every cell of which it speaks."""

from __future__ import annotations

import functools
import json
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from conformance import expectation, model, transcript
from conformance.cases import Case, all_cases, writes
from conformance.doors import CALLS, DOORS, Door
from conformance.explore import REQUESTS, numbers
from conformance.facts import vocabulary
from conformance.model import ASLEEP, Machine, Model, Place, Program, Seen, Signal, Where
from conformance.places import expected_directory
from conformance.tracing import requests

PID, PARENT = 0x5A5A_0001, 0x5A5A_0002
CASES = [case for case in all_cases() if case.family == "writes"]
SPOKEN = ("orig_ax", "ax", "both", "ip")
"""Registers whose cells the model speaks of: of ip, of the call made again."""
ENVIRONMENTS = [
    path.stem for path in sorted((expected_directory(None) / "evidence").glob("*.json"))
]


# Whatever number is written does no harm, in the arguments of the call that it is written over.
@pytest.mark.parametrize("door", ["syscall64", *CALLS])
def test_harmless(door: str) -> None:
    known = {word & model.LOW for word in numbers(DOORS[door], "getppid")}
    assert {word & model.LOW for word in writes.words(DOORS[door]).values()} <= known


class Played:
    """A cell played on the model, as `writes.Player` plays it in a program."""

    def __init__(self, machine: Machine, door: Door, kind: str) -> None:
        how = writes.KINDS[kind]
        self.model = Model(machine, Program(
            door, door.number(how.call), model.READ if how.sleeps else None,
            {signal.SIGUSR1: Signal(flags=model.SA_RESTART)}, PID, PARENT,
        ))  # fmt: skip
        self.signo = how.signo
        self.slept = False
        self._reach(kind)

    def _reach(self, kind: str) -> None:
        """A group-stop shows and does what any other stop amid the call does."""
        if kind in ("event", "group", "signal"):
            self.model.resume(requests.CONT)
            if kind == "signal":
                self.model.send(signal.SIGUSR1)
            else:
                self.model.interrupt()
        else:
            self.model.resume(requests.SYSCALL)
            if kind != "enter":
                self.model.resume(requests.SYSCALL if kind == "exit" else requests.SINGLESTEP)

    def write(self, words: Mapping[str, int]) -> None:
        for name, word in words.items():
            if name == "ip":
                self.model.rewind()
            else:
                self.model.write(name, word)

    def go_on(self, request: int) -> Seen:
        """The next stop; the program goes on to its end, or to where it never will come there."""
        self.model.resume(request, self.signo)
        self.slept, first = self.model.now.kind == ASLEEP, self._awake()
        seen = first
        while not (seen.ended or self.model.landed is not None or seen.kind == "signal SIGILL"):
            self.model.resume(requests.CONT)
            seen = self._awake()
        return first

    def _awake(self) -> Seen:
        return self.model.release() if self.model.now.kind == ASLEEP else self.model.now


def place(door: Door, at: Place) -> str:
    """Name a place as the goldens do."""
    label, size = {
        Where.CALL: ("writes", 2), Where.HANDLER: ("handler", 0), Where.RETURN: ("restorer", 7),
        Where.LEAVE: ("leave", 2), Where.BEYOND: ("writes", 3),
    }[at.where]  # fmt: skip
    if door.by_vdso and at.where in (Where.CALL, Where.LEAVE, Where.BEYOND):
        label, size = "landing_pad", size - 2 if at.where is Where.BEYOND else 0
    offset = size + at.offset
    return f"{label}{offset:+}" if offset else label


def word(value: int, bits: int) -> int | str:
    return {PID: "$pid", PARENT: "$tracer"}.get(value, value & bits)


def told(
    played: Played, first: Seen, door: Door, request: str, bits: int, own: int
) -> dict[str, Any]:
    """What a cell shows."""
    ended = first.ended or request == "DETACH"
    then = "end" if ended else first.kind.replace(" ", "-")
    shown: dict[str, Any] = {"then": ",".join([*["asleep"] * played.slept, then])}
    if not ended:
        shown["orig_ax"] = first.orig_ax & own
        shown["ax"] = word(first.ax, bits)
        shown["ip"] = place(door, first.place)
    if played.model.frames:
        shown["frame"] = [(word(f.ax, bits), place(door, f.place)) for f in played.model.frames]
    landed = played.model.landed
    shown["landed"] = "never" if landed is None else word(landed, bits)
    return shown


def golden(line: transcript.Line, bits: int, own: int) -> dict[str, Any]:
    """The same of a golden's line."""

    def number(text: str, mask: int) -> int | str:
        value = transcript.value(text)
        return value & mask if isinstance(value, int) else value

    shown: dict[str, Any] = dict(line.fields)
    for name, mask in (("orig_ax", own), ("ax", bits), ("landed", bits)):
        if name in shown:
            shown[name] = number(shown[name], mask)
    if "frame" in shown:
        pairs = [each.split("@") for each in shown["frame"].split(",")]
        shown["frame"] = [(number(ax, bits), ip) for ax, ip in pairs]
    return shown


def written(what: str, name: str, door: Door) -> dict[str, int]:
    """What a cell writes."""
    if what == "ip":
        return {"orig_ax": -1, "ax": door.number("getppid"), "ip": 0}
    value = writes.words(door)[name]
    return {"orig_ax": value, "ax": value} if what == "both" else {what: value}


@functools.cache
def goldens() -> dict[str, expectation.Expectation | None]:
    expected = expected_directory(None)
    known = vocabulary(expected)
    return {case.id: expectation.find(expected, case.id, known) for case in CASES}


def cells(case: Case, facts: Mapping[str, Any]) -> Iterator[transcript.Line]:
    """The cells of which the model speaks: a 32-bit tracer writes less on a 64-bit kernel."""
    expected = goldens()[case.id]
    variant = expected.choose(facts) if expected else None
    if variant and all(facts[need] for need in case.needs):
        for line in variant.transcript:
            if line.words and line.words[0] in SPOKEN and line.words[1] not in ("past", "nowhere"):
                yield line


# In each cell of orig_ax and ax, and where a call is made again by ip, every kernel that confirmed
# the goldens shows what the model says.
@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_cells(name: str, expected: Path) -> None:
    facts = json.loads((expected / "evidence" / f"{name}.json").read_text())["facts"]
    machine, spoken = Machine.of(facts), 0
    for case in CASES:
        door, kind = case.way, case.id.split(".")[1]
        own = machine.word
        bits = model.LOW if door.bits == 32 else own
        for line in cells(case, facts):
            what, value, request = line.words
            played = Played(machine, door, kind)
            played.write(written(what, value, door))
            first = played.go_on(REQUESTS[request])
            seen = told(played, first, door, request, bits, own)
            assert seen == golden(line, bits, own), f"{case.id}: {line}"
            spoken += 1
    if not facts["fred"]:
        doors = sum(all(facts[need] for need in case.needs) for case in CASES)
        assert spoken == doors * len(REQUESTS) * (3 * len(writes.words(DOORS["syscall64"])) + 1)
