# SPDX-License-Identifier: GPL-2.0-only
"""Exploring: what is generated, and that a difference is found, shrunk and told."""

from __future__ import annotations

import importlib.util
import itertools
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from conformance import explore
from conformance.doors import CALLS, DOORS, OWN
from conformance.errors import HarnessError, UsageError
from conformance.explore import Explorer, Line, Modelled, Sequence, Turn, play
from conformance.facts import Environment
from conformance.model import ERESTARTNOINTR, Life, Machine, Place, Where
from conformance.reports import exploration
from conformance.tracing.snapshot import Missed

MACHINE = Machine()
ALL = ("syscall64", *CALLS)
DOOR = OWN.name
PROBABLE = 20.0
"""Seconds in which a fault is found, many times over."""
PAUSE = Sequence("syscall64", "pause", 34, "handler", "SYSCALL", (Turn(wake="SIGUSR1"),) * 9)


def sound(sequence: Sequence, cpus: tuple[int, ...]) -> Iterator[Line]:
    """A kernel that does what the model says."""
    return play(sequence, Modelled(MACHINE, sequence))


class Handled(Modelled):
    """Handlers never end a call: it is always made again."""

    def _handle(self, signo: int, code: int) -> Life:
        return super()._handle(signo, ERESTARTNOINTR if code else 0)


class Called(Modelled):
    """orig_ax does not matter: what is no call is restarted, too."""

    def _code(self) -> int:
        self.orig_ax, saved = 0, self.orig_ax
        code = super()._code()
        self.orig_ax = saved
        return code


class Forward(Modelled):
    """A call that is to be made again is not: ip stays."""

    def _restart(self, number: int) -> None:
        super()._restart(number)
        self.place = Place(self.place.where)


def explorer(
    model: type[Modelled] = Modelled,
    kernel: Callable[..., Iterator[Line]] = sound, doors: tuple[str, ...] = (DOOR,),
) -> Explorer:  # fmt: skip
    return Explorer(MACHINE, doors, tuple(sorted(os.sched_getaffinity(0))), model, kernel)


# A wrong rule of the model is found, and shrunk to a program that fits on a screen.
@pytest.mark.parametrize("wrong", [Handled, Called, Forward])
def test_wrong_model(wrong: type[Modelled]) -> None:
    difference = explorer(wrong).explore(PROBABLE, 1).difference
    assert difference
    assert len(difference.agreed) < 12
    assert difference.again == explore.REPLAYS


# Without shrinking, the first difference is the one that is told, and nothing is played but it.
def test_unshrunk() -> None:
    played: list[Sequence] = []

    def kernel(sequence: Sequence, cpus: tuple[int, ...]) -> Iterator[Line]:
        played.append(sequence)
        return sound(sequence, cpus)

    cpus = tuple(sorted(os.sched_getaffinity(0)))
    tally = Explorer(MACHINE, (DOOR,), cpus, Handled, kernel, shrinking=0).explore(PROBABLE, 1)
    assert tally.difference
    first = played[tally.agreed.total() + tally.unspoken :]
    assert first == [tally.difference.sequence] * (1 + explore.REPLAYS)


# On this kernel itself a wrong model is found, and the right one agrees.
def test_kernel(environment: Environment) -> None:
    there, missing = explore.open_doors(environment, (DOOR,))
    if not there:
        pytest.skip(f"needs {missing[DOOR]}")
    machine, cpus = Machine.of(environment.facts), tuple(sorted(os.sched_getaffinity(0)))
    right = Explorer(machine, (DOOR,), cpus).explore(2, 5)
    assert right.difference is None
    assert right.agreed[DOOR]
    wrong = Explorer(machine, (DOOR,), cpus, Handled).explore(PROBABLE, 5)
    assert wrong.difference
    assert wrong.difference.observed


# A sequence is told so that it can be kept: read as Python, it is the same.
def test_literal() -> None:
    turns = (Turn(), Turn("CONT", orig_ax=-2, passed=False), Turn(send=signal.SIGUSR1))
    sequence = Sequence("int80_32", "read", 3, "SIG_IGN", "SYSCALL", turns)
    text = exploration.literal(sequence)
    assert eval(text, {"Sequence": Sequence, "Turn": Turn, "signal": signal}) == sequence
    assert text.count("Turn()") == 1


# The same seed makes the same sequences, and another makes others.
def test_seed() -> None:
    def first(seed: int) -> list[Sequence]:
        seen: list[Sequence] = []

        def kernel(sequence: Sequence, cpus: tuple[int, ...]) -> Iterator[Line]:
            seen.append(sequence)
            if len(seen) == 100:
                raise KeyboardInterrupt
            return sound(sequence, cpus)

        explorer(kernel=kernel).explore(PROBABLE, seed)
        return seen

    assert first(3) == first(3)
    assert first(3) != first(4)


# What ^C leaves is told; so is a program that hangs, which costs its own sequence alone.
def test_hung_and_interrupted() -> None:
    turn = itertools.count()

    def kernel(sequence: Sequence, cpus: tuple[int, ...]) -> Iterator[Line]:
        at = next(turn)
        if at == 3:
            raise Missed
        if at == 10:
            raise KeyboardInterrupt
        return sound(sequence, cpus)

    tally = explorer(kernel=kernel).explore(PROBABLE, 1)
    assert tally.interrupted
    assert len(tally.hung) == 1
    assert tally.agreed.total() == 9
    text = exploration.text(tally, {"x32": "x32"}, (), "here")
    assert "HUNG" in text
    assert "left out: needs x32" in text
    assert "9 sequences agree" in text
    assert "interrupted" in text


# A harness that breaks ends the exploration with its own error, and is no difference.
def test_broken() -> None:
    def kernel(sequence: Sequence, cpus: tuple[int, ...]) -> Iterator[Line]:
        raise HarnessError("it broke", "on this", "do that")

    with pytest.raises(HarnessError, match="it broke"):
        explorer(kernel=kernel).explore(PROBABLE, 1)


# Whatever number comes to run does no harm: it is of a known call, of none, or beyond the table.
@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("call", ["getpid", *explore.SLEEPERS])
@pytest.mark.parametrize("x32", [False, True])
def test_harmless(name: str, call: str, x32: bool) -> None:
    door = DOORS[name]
    harmless = {None, "hole", "getpid", "getppid", "pause", "restart_syscall", call}
    sequence = replace(PAUSE, door=name)
    model = Modelled(Machine(x32=x32), sequence)
    wide = name in ("syscall64", "x32")
    for number in explore.numbers(door, call):
        low = (number & 0xFFFFFFFF ^ 1 << 31) - (1 << 31)
        assert model._name(low, wide) in harmless


# A tracer writes only where the program is at its own call.
def test_writes() -> None:
    written: list[Where] = []

    class Watched(Modelled):
        def write(self, name: str, word: int) -> None:
            written.append(self.place.where)
            super().write(name, word)

    turns = (Turn(orig_ax=-1, ax=777, wake="SIGUSR1"),) * 12
    lines = list(play(replace(PAUSE, turns=turns), Watched(MACHINE, PAUSE)))
    assert set(written) == {Where.CALL}
    assert any("ip=exit_group" in line.seen for line in lines)


# A difference is told as a transcript, with what each says next and the command that shows it.
def test_report() -> None:
    def kernel(sequence: Sequence, cpus: tuple[int, ...]) -> Iterator[Line]:
        return play(sequence, Handled(MACHINE, sequence))

    tally = explorer(kernel=kernel).explore(PROBABLE, 12)
    text = exploration.text(tally, {}, (DOOR,), "here")
    assert "DIFFERS" in text
    assert "  expected  handler SIG" in text or "  expected  stop" in text
    assert "  observed  " in text
    assert f"in {explore.REPLAYS} of {explore.REPLAYS} more tries" in text
    assert f"origax explore --seed {tally.seed} {DOOR}" in text


# Doors are chosen by pattern; those that cannot be taken here are named with what they need.
def test_doors(environment: Environment) -> None:
    facts = {**environment.facts, "x32": False, "x86_64": True, "tracer64": True}
    some = replace(environment, facts=facts)
    there, missing = explore.open_doors(some, ("syscall64", "x*"))
    assert there == ("syscall64",)
    assert missing == {"x32": "x32"}
    narrow = replace(some, facts={**facts, "tracer64": False})
    assert explore.open_doors(narrow, ("int80_32",)) == ((), {"int80_32": "tracer64"})
    with pytest.raises(UsageError, match="no door"):
        explore.open_doors(environment, ("door",))


# Without Hypothesis the error says what to install.
def test_no_hypothesis(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(HarnessError, match="pip install"):
        explorer().explore(1, 1)
