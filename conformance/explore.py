# SPDX-License-Identifier: GPL-2.0-only
"""Random sequences of what programs and tracers do, driven on the kernel and on the model at once.

A sequence is a program that makes one call by one door, and what its tracer does at each stop.
Hypothesis generates them, and shrinks one on which kernel and model differ. Whatever number comes
to run by them does no harm: see `numbers` and `Turn`.
"""

from __future__ import annotations

import contextlib
import fnmatch
import importlib.util
import itertools
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Protocol

from conformance import abi
from conformance.abi import X32_BIT
from conformance.cases import Handler, Probe
from conformance.doors import CALLS, DOORS, Door
from conformance.errors import HarnessError, OrigaxError, UsageError
from conformance.facts import Environment
from conformance.model import (
    ASLEEP,
    HOLES,
    LOW,
    NANOSLEEP,
    PAUSE,
    READ,
    SA_RESTART,
    Machine,
    Model,
    Place,
    Program,
    Seen,
    Signal,
    UnspokenError,
    Where,
)
from conformance.strays import sweep
from conformance.tracing import program, requests
from conformance.tracing.snapshot import Missed
from conformance.tracing.tracee import Options, Task, Trace

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

FIRST, SECOND, UNHEEDED = signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH
"""Signals: one of the sequence's choice, one with a plain handler, one ignored by default."""
DISPOSITIONS: Final[Mapping[str, Signal | None]] = {
    "SIG_DFL": None, "SIG_IGN": Signal(ignored=True), "handler": Signal(),
    "SA_RESTART": Signal(flags=SA_RESTART),
}  # fmt: skip
REQUESTS: Final[Mapping[str, int]] = {
    "SYSCALL": requests.SYSCALL, "CONT": requests.CONT, "SINGLESTEP": requests.SINGLESTEP,
    "SYSEMU": requests.SYSEMU, "DETACH": requests.DETACH,
}  # fmt: skip
OFTEN: Final = (*["SYSCALL"] * 6, *["CONT", "SINGLESTEP", "SYSEMU", "DETACH"] * 2)
"""Requests as often as they are made: DETACH ends what can be seen, and SYSCALL shows the most."""
SLEEPERS: Final = {sleeper.call: sleeper for sleeper in (PAUSE, NANOSLEEP, READ)}
SETUPS: Final = {"read": "read_blocks", "nanosleep": "nanosleep_blocks"}
RESULTS: Final = (777, 0, -4, -512, -513, -514, -516, -512 & LOW)
"""Written into ax; the last is an error in the low half alone."""
PID, PARENT = 0x5A5A_0001, 0x5A5A_0002
"""Stand for the pids of a program and its tracer, which are others each time."""
UNKNOWN: Final = (Where.BEYOND, Where.HANDLER, Where.LEAVE)
"""What instructions follow there is no matter of the model's: nothing is stepped there."""

DEADLINE: Final = 3.0
"""Seconds that one sequence may take."""
SHRINKING: Final = 20.0
"""Seconds that shrinking may take, if nothing else is said."""
REPLAYS: Final = 5
"""Times that a difference is tried once more when it is found and shrunk."""
ROUND: Final = 500
"""Sequences of one seed; the next ones have the next seed."""
TURNS: Final = 8
"""What the tracer does of its own, at most."""
ENOUGH: Final = 100
"""Stops of one sequence, at most: beyond it, a kernel goes round in circles."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What the tracer does at a stop; or, where the program sleeps instead, what wakes it.

    It writes only while the program is at its own call, where its arguments are. A result goes into
    ax only behind the call, where it cannot be taken for a number; ``again`` moves ip back to the
    call, together with a number.

    :ivar send: a signal to send besides, or 0
    :ivar passed: a signal that stopped the program is passed on; where that is not so, at a system
        call's stop the signal to send is given to the request instead
    """

    request: str = "SYSCALL"
    orig_ax: int | None = None
    ax: int | None = None
    again: int | None = None
    send: int = 0
    passed: bool = True
    wake: str = SECOND.name


@dataclass(frozen=True, slots=True)
class Sequence:
    """A program and its tracer's turns; when they are over, it is followed to its end.

    :ivar call: for which its arguments are right
    :ivar first: disposition of the first signal
    :ivar begin: the request by which it leaves its gate
    """

    door: str
    call: str
    ax: int
    first: str
    begin: str
    turns: tuple[Turn, ...]

    @property
    def signals(self) -> dict[int, Signal]:
        """Dispositions that are not the default."""
        first = DISPOSITIONS[self.first]
        how: dict[int, Signal] = {SECOND: Signal()}
        return how | {FIRST: first} if first else how


def numbers(door: Door, call: str) -> tuple[int, ...]:
    """Numbers that are harmless at a door, in a program whose arguments are right for that call."""
    names = dict.fromkeys((call, "getpid", "getppid", "pause", "restart_syscall"))
    known = [door.number(name) for name in names]
    bit = X32_BIT if door.name == "x32" else 0
    hole = HOLES["ia32" if door.numbers is abi.Nr32 else "x86_64"][0] | bit
    absent = (10000 | bit, hole, -1, -2, -512, -(1 << 31))
    odd = (LOW, known[1] ^ X32_BIT, known[0] | 1 << 32, known[1] | 0xDEAD_BEEF << 32)
    return (*known, *absent, *(odd if door.bits == 64 else odd[:2]))


# --- two parties that play a sequence ---


class Party(Protocol):
    """The kernel or the model: something that a tracer can drive."""

    def resume(self, request: int, signo: int = 0) -> Seen:
        """Resume by a request, and see what comes next."""

    def write(self, name: str, word: int) -> None:
        """Write orig_ax or ax."""

    def rewind(self) -> None:
        """Write ip: back to the call."""

    def send(self, signo: int) -> Seen:
        """Send a signal; what is seen then, if the program slept."""

    def interrupt(self) -> Seen:
        """PTRACE_INTERRUPT a program that sleeps."""

    def release(self) -> Seen:
        """Write a byte into the program's pipe."""

    def told(self) -> list[str]:
        """What the program itself saw."""


@dataclass(frozen=True, slots=True)
class Line:
    """What was done, and what was seen then."""

    done: str
    seen: str


def play(sequence: Sequence, party: Party) -> Iterator[Line]:
    """Play a sequence; gives a line for each thing that is seen."""
    tell = _Teller(DOORS[sequence.door])
    seen = party.resume(REQUESTS[sequence.begin])
    traced = sequence.begin != "DETACH"
    yield Line(f"gate {sequence.begin}", tell.seen(seen))
    for turn in itertools.islice(itertools.chain(sequence.turns, itertools.repeat(Turn())), ENOUGH):
        if seen.ended:
            break
        if seen.kind == ASLEEP:
            done, seen = _wake(party, turn.wake if traced else SECOND.name)
        else:
            done, seen = _turn(party, turn, seen, tell)
            traced = not done.endswith("DETACH")
        yield Line(done, tell.seen(seen))
    for text in party.told():
        yield Line("", text)


def _wake(party: Party, wake: str) -> tuple[str, Seen]:
    if wake == "byte":
        return wake, party.release()
    if wake == "interrupt":
        return "INTERRUPT", party.interrupt()
    return wake, party.send(signal.Signals[wake])


def _turn(party: Party, turn: Turn, seen: Seen, tell: _Teller) -> tuple[str, Seen]:
    """Take a turn at a stop, leaving out what would do harm there; what was done, and seen."""
    done: list[str] = []
    if seen.place.where is Where.CALL:
        done += _write(party, turn, seen, tell)
    kind, _, name = seen.kind.partition(" ")
    signo, sent = 0, turn.send
    if kind == "signal" and name != "SIGTRAP" and turn.passed:
        signo = signal.Signals[name]
        done.append(f"pass {name}")
    elif kind.startswith("syscall") and sent and not turn.passed:
        signo, sent = sent, 0
        done.append(f"inject {signal.Signals(signo).name}")
    if sent:
        party.send(sent)
        done.append(signal.Signals(sent).name)
    request = turn.request
    if request == "SINGLESTEP" and seen.place.where in UNKNOWN:
        request = "SYSCALL"
    return " ".join([*done, request]), party.resume(REQUESTS[request], signo)


def _write(party: Party, turn: Turn, seen: Seen, tell: _Teller) -> Iterator[str]:
    behind = seen.place.offset == 0
    if turn.orig_ax is not None:
        party.write("orig_ax", turn.orig_ax)
        yield f"orig_ax={tell.call(turn.orig_ax)}"
    if turn.again is not None and behind and seen.kind != "syscall-enter":
        party.write("ax", turn.again)
        party.rewind()
        yield f"ax={tell.call(turn.again)} ip-=2"
    elif turn.ax is not None and behind:
        party.write("ax", turn.ax)
        yield f"ax={tell.result(turn.ax)}"


class _Teller:
    """Writes what is seen as text."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def call(self, word: int) -> str:
        return abi.call(word & abi.WORD, self._door.numbers)

    def result(self, word: int) -> str:
        names = {PID: "$pid", PARENT: "$tracer"}
        return names.get(word) or abi.result(word & abi.WORD, 64 if word >> 32 else self._door.bits)

    def place(self, place: Place) -> str:
        shared = self._door.by_vdso and place.where in (Where.CALL, Where.LEAVE)
        text = "landing_pad" if shared else place.where.value
        return f"{text}{place.offset:+}" if place.offset else text

    def seen(self, seen: Seen) -> str:
        if seen.ended or seen.kind == ASLEEP:
            return seen.kind
        return (
            f"stop  {seen.kind}  orig_ax={self.call(seen.orig_ax)} ax={self.result(seen.ax)} "
            f"ip={self.place(seen.place)}"
        )

    def frame(self, signo: int, ax: int, place: Place) -> str:
        name = signal.Signals(signo).name
        return f"handler {name}  ax={self.result(ax)} ip={self.place(place)}"

    def landed(self, ax: int | None) -> str:
        return "never got beyond its call" if ax is None else f"landed  ax={self.result(ax)}"


class Modelled(Model):
    """The model as a party."""

    def __init__(self, machine: Machine, sequence: Sequence) -> None:
        door = DOORS[sequence.door]
        own = SLEEPERS.get(sequence.call)
        super().__init__(
            machine, Program(door, sequence.ax, own, sequence.signals, PID, PARENT)
        )

    def told(self) -> list[str]:
        """What the program itself saw."""
        tell = _Teller(self.program.door)
        frames = [tell.frame(each.signo, each.ax, each.place) for each in self.frames]
        return [*frames, tell.landed(self.landed)]


class Kernel:
    """A program in this kernel as a party.

    :param keep: what is done and seen joins the transcript
    """

    def __init__(
        self, trace: Trace, task: Task, probe: Probe, writer: int, keep: bool = False
    ) -> None:
        self._trace = trace
        self._keep = keep
        self._task = task
        self._probe = probe
        self._writer = writer
        self._anchors = _anchors(trace)
        self._ip = 0

    def resume(self, request: int, signo: int = 0) -> Seen:
        """Resume by a request, and see what comes next."""
        if request != requests.DETACH:
            self._task.resume(request, signo)
        elif self._keep:
            self._task.detach(signo)
        else:
            self._trace.hand.detach(self._task.pid, signo)
        return self._next()

    def write(self, name: str, word: int) -> None:
        """PTRACE_POKEUSER."""
        if self._keep:
            self._task.poke(**{name: word})
        else:
            self._trace.hand.write_register(self._task.pid, name, word)

    def rewind(self) -> None:
        """Write ip."""
        self.write("ip", self._ip - program.INT80_SIZE)

    def send(self, signo: int) -> Seen:
        """Send a signal; what is seen then, if the program slept."""
        self._task.signal(signo)
        return self._next() if self._asleep else Seen("stopped")

    def interrupt(self) -> Seen:
        """PTRACE_INTERRUPT."""
        self._task.hand.interrupt(self._task.pid)
        return self._next()

    def release(self) -> Seen:
        """Write a byte into the program's pipe."""
        os.write(self._writer, b"!")
        return self._next()

    def told(self) -> list[str]:
        """What the program itself saw."""
        tell = _Teller(self._trace.door)
        report = program.report(self._probe, self._trace.door.bits, "probe", None)
        frames = [
            tell.frame(each.signo, self._pid(each.regs["ax"]), self._place(each.regs["ip"]))
            for each in report.frames
        ]
        return [*frames, tell.landed(self._pid(report.out["ax"]) if report.landed else None)]

    def _next(self) -> Seen:
        self._asleep = self._task.until("StZX") == "S"
        if self._asleep:
            return Seen(ASLEEP)
        stop = self._task.take() if self._keep else self._task.look()
        if stop.ended:
            return Seen(stop.kind)
        regs = stop.regs
        self._ip = regs["ip"]
        ax = regs["ax"] & (1 << self._trace.door.bits) - 1
        return Seen(stop.kind, regs["orig_ax"], self._pid(ax), self._place(self._ip))

    def _pid(self, word: int) -> int:
        return {self._task.pid: PID, os.getpid(): PARENT}.get(word, word)

    def _place(self, ip: int) -> Place:
        """Where an ip is. All calls by the vDSO come back at one place, that of the exit too."""
        for where, anchor in self._anchors.items():
            if where is Where.CALL and anchor == self._trace.landing_pad and program.landed():
                where = Where.LEAVE
            if -4 <= ip - anchor <= 0 and (ip - anchor) % 2 == 0:
                return Place(where, ip - anchor)
        return Place(Where.BEYOND)


def _anchors(trace: Trace) -> dict[Where, int]:
    """Addresses behind a program's instructions, as `Place` counts from them."""
    return {
        Where.CALL: trace.landing_pad or trace.label("syscall").end,
        Where.HANDLER: trace.label("handler").start,
        Where.RETURN: trace.label("restorer").end,
        Where.LEAVE: trace.label("leave").end,
    }


@contextlib.contextmanager
def programmed(sequence: Sequence) -> Iterator[tuple[Probe, int]]:
    """Yield a sequence's program, and the end of its pipe to write a byte into."""
    reader, writer = os.pipe()
    os.set_inheritable(reader, True)
    try:
        yield Probe(
            site="syscall", setup=SETUPS.get(sequence.call), args=(reader,),
            regs={"ax": sequence.ax},
            handlers=[
                Handler(signo, how.flags, how.ignored)
                for signo, how in sequence.signals.items()
            ],
        ), writer  # fmt: skip
    finally:
        os.close(reader)
        os.close(writer)


def conduct(sequence: Sequence, cpus: tuple[int, ...]) -> list[Line]:
    """Play a sequence in this kernel.

    :raises Missed: it was not over within DEADLINE
    """
    options = Options(timeout=DEADLINE)
    with (
        programmed(sequence) as (probe, writer),
        Trace(options, cpus, DOORS[sequence.door]) as trace, trace.launch(probe) as task,
    ):  # fmt: skip
        return list(play(sequence, Kernel(trace, task, probe, writer)))


# --- generating, comparing, shrinking ---


@dataclass(frozen=True, slots=True)
class Difference:
    """A sequence on which they differ: what both say until then, and what each says next.

    :ivar again: how many of REPLAYS showed a difference once more
    """

    sequence: Sequence
    agreed: tuple[Line, ...]
    expected: Line | None
    observed: Line | None
    again: int = 0


def compare(
    sequence: Sequence, expected: Iterable[Line], observed: Iterable[Line]
) -> Difference | None:
    """Find the first line in which the model and the kernel differ."""
    agreed: list[Line] = []
    for one, other in itertools.zip_longest(expected, observed):
        if one != other:
            return Difference(sequence, tuple(agreed), one, other)
        agreed.append(one)
    return None


@dataclass(slots=True)
class Tally:
    """What an exploration came to.

    :ivar agreed: how many sequences agree, by door
    :ivar unspoken: how many the model says nothing of
    :ivar hung: those that were not over within DEADLINE
    :ivar seed: of the last round, in which the difference was found if there is one
    """

    seed: int = 0
    agreed: Counter[str] = field(default_factory=Counter)
    unspoken: int = 0
    hung: list[Sequence] = field(default_factory=list)
    difference: Difference | None = None
    seconds: float = 0.0
    interrupted: bool = False


class _Differs(Exception):
    """What Hypothesis shrinks."""


class _Over(BaseException):
    """Time is up, or the harness broke: Hypothesis lets it through, as ^C."""


def strategy(doors: tuple[str, ...]) -> SearchStrategy[Sequence]:
    """Every sequence at those doors, the simplest first."""
    from hypothesis import strategies as st

    def turn(request: str, deeds: list[dict[str, int]], passed: bool, wake: str) -> Turn:
        done = {name: word for deed in deeds for name, word in deed.items()}
        return Turn(request, passed=passed, wake=wake, **done)

    def of(door: str, call: str) -> SearchStrategy[Sequence]:
        known = numbers(DOORS[door], call)
        words = [word for word in known if -word not in abi.RESTARTS]
        restart = DOORS[door].number("restart_syscall")
        deeds = st.sampled_from([
            *({"orig_ax": word} for word in (*known, *[-1, LOW] * 4)),
            *({"ax": word} for word in RESULTS),
            *({"again": word} for word in (*words, *[known[0], restart] * 4)),
            *({"send": signo} for signo in (FIRST, SECOND, UNHEEDED) * 4),
        ])  # fmt: skip
        turns = st.builds(
            turn, st.sampled_from(OFTEN), st.lists(deeds, max_size=2),
            st.sampled_from((True, False)),
            st.sampled_from((SECOND.name, FIRST.name, UNHEEDED.name, "byte", "interrupt")),
        )  # fmt: skip
        return st.builds(
            Sequence, st.just(door), st.just(call),
            st.sampled_from((*[known[0]] * len(known), *known)),  # half of them its own
            st.sampled_from(list(DISPOSITIONS)),
            st.sampled_from([name for name in OFTEN if name != "SINGLESTEP"]),
            st.lists(turns, max_size=TURNS).map(tuple),
        )  # fmt: skip

    made = [of(door, call) for door in doors for call in ("getpid", *SLEEPERS)]
    return st.sampled_from(made).flatmap(lambda each: each)  # one_of() would flatten them


class Explorer:
    """Explores doors of one machine until the time is up or a difference is found.

    :param cpus: the first is that of tracer and programs
    :param kernel: plays a sequence in the kernel, on those CPUs
    :param shrinking: seconds that shrinking a difference may take; 0 leaves it as it was found
    """

    def __init__(
        self, machine: Machine, doors: tuple[str, ...], cpus: tuple[int, ...],
        model: Callable[[Machine, Sequence], Party] = Modelled,
        kernel: Callable[[Sequence, tuple[int, ...]], Iterable[Line]] = conduct,
        shrinking: float = SHRINKING,
    ) -> None:  # fmt: skip
        self._machine = machine
        self._doors = doors
        self._cpus = cpus
        self._model = model
        self._kernel = kernel
        self._shrinking = shrinking
        self._until = 0.0
        self._broken: OrigaxError | None = None
        self.tally = Tally()

    def explore(self, seconds: float, seed: int) -> Tally:
        """Play sequences of that seed and the next ones; ^C ends it early.

        :raises HarnessError: Hypothesis is not there, or a program could not be launched
        """
        _require_hypothesis()
        sequences = strategy(self._doors)
        begun = time.monotonic()
        self._until = begun + seconds
        affinity = os.sched_getaffinity(0)
        os.sched_setaffinity(0, self._cpus[:1])  # once, and not for each sequence there and back
        try:
            self._rounds(sequences, seed)
        except KeyboardInterrupt:
            self.tally.interrupted = True
        finally:
            os.sched_setaffinity(0, affinity)
            sweep()
        if self._broken:
            raise self._broken
        self.tally.seconds = time.monotonic() - begun
        return self.tally

    def _rounds(self, sequences: SearchStrategy[Sequence], seed: int) -> None:
        """Play rounds until the time is up, or a difference is as small as it gets."""
        import hypothesis
        from hypothesis import HealthCheck, Phase

        quiet = hypothesis.settings(
            max_examples=ROUND, deadline=None, database=None, report_multiple_bugs=False,
            phases=(Phase.generate, Phase.shrink), suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        try:
            for self.tally.seed in itertools.count(seed):
                hypothesis.seed(self.tally.seed)(quiet(hypothesis.given(sequences)(self._try)))()
        except (_Over, _Differs, hypothesis.errors.Flaky):
            pass
        if self.tally.difference:
            self.tally.difference = self._replayed(self.tally.difference)

    def _try(self, sequence: Sequence) -> None:
        """Play one sequence.

        :raises _Differs: kernel and model differ
        """
        if time.monotonic() > self._until:
            raise _Over
        difference = self._played(sequence)
        if difference:
            if self.tally.difference is None:
                self._until = time.monotonic() + self._shrinking
            self.tally.difference = difference
            raise _Differs

    def _played(self, sequence: Sequence) -> Difference | None:
        """Play a sequence on both; counts what came of it until there is a difference."""
        counts = self.tally.difference is None
        try:
            expected = list(play(sequence, self._model(self._machine, sequence)))
            difference = compare(sequence, expected, self._kernel(sequence, self._cpus))
        except UnspokenError:
            self.tally.unspoken += counts
            return None
        except Missed:
            if counts:
                self.tally.hung.append(sequence)
            return None
        except OrigaxError as error:
            self._broken = error
            raise _Over from None
        self.tally.agreed[sequence.door] += counts and not difference
        return difference

    def _replayed(self, difference: Difference) -> Difference:
        again = sum(self._played(difference.sequence) is not None for _ in range(REPLAYS))
        return replace(difference, again=again)


def _require_hypothesis() -> None:
    if importlib.util.find_spec("hypothesis") is None:
        raise HarnessError(
            "sequences cannot be generated: Hypothesis is not there", "import hypothesis",
            "install it: pip install 'origax[explore]', or in a clone pip install '.[explore]'",
        )  # fmt: skip


def open_doors(
    environment: Environment, patterns: tuple[str, ...]
) -> tuple[tuple[str, ...], dict[str, str]]:
    """Choose doors by pattern: those that can be taken here, and what the others need.

    The model's tracer has the kernel's own width: a 32-bit one sees less on a 64-bit kernel.

    :raises UsageError: a pattern fits no door
    """
    names = ("syscall64", *CALLS)
    for pattern in patterns:
        if not fnmatch.filter(names, pattern):
            raise UsageError("no door has that name", pattern, f"choose of {', '.join(names)}")
    width = ("tracer64",) if environment.facts["x86_64"] else ()
    chosen = {
        name: " and ".join(
            need for need in dict.fromkeys((*DOORS[name].needs, *width))
            if not environment.facts[need]
        )
        for name in names
        if not patterns or any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
    }
    there = tuple(name for name, lacks in chosen.items() if not lacks)
    return there, {name: lacks for name, lacks in chosen.items() if lacks}
