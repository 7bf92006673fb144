# SPDX-License-Identifier: GPL-2.0-only
"""The soak: the interrupt cases over and over, in slices that take turns.

A slice is a whole case, whose frames a loop in C takes for some seconds; its transcript is judged
by the case's golden, as ever. As frames come in no order that means something, each is judged as
if all of its program had been like it. What is kept of them does not grow with their number, nor
with that of their kinds.
"""

from __future__ import annotations

import fnmatch
import math
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final, Protocol, Self

from conformance import expectation, runner
from conformance import record as record_module
from conformance.abi import signed
from conformance.cases import Case
from conformance.cases.interrupts import PATHS
from conformance.errors import UsageError
from conformance.expectation import KnownIssue
from conformance.facts import Environment
from conformance.record import (
    CaseRecord,
    EnvironmentRecord,
    OptionsRecord,
    RawStop,
    Record,
    SoakLine,
    SoakPath,
    SoakRecord,
    TranscriptRecord,
)
from conformance.runner import Answer, Planned, Runner, Slice
from conformance.transcript import Line, parse

FAMILY: Final = "interrupts"
SLICE: Final = 3.0
"""Seconds of frames for each path in its turn."""
SHORTEST: Final = 0.05
"""Seconds of a slice, at least."""
OVER: Final = 1.0
"""Seconds at the end that are not worth another round."""
BROKEN: Final = 3
"""Slices in a row that do not come to their end; then a path gets no more turns."""
KINDS: Final = 16
"""Kinds of frames that are kept of one program, and as many of what comes after its frames."""
FIRSTS: Final = 32
"""Lines of one program whose first moment is kept."""
TOLD: Final = 5
"""Differences that the reason of a verdict tells; the record has them all."""
POINTS: Final = 200
"""Points of a path's curve."""
GRAVEST: Final = (record_module.FAIL, record_module.ERROR, record_module.MISS,
                  record_module.NOGOLDEN, record_module.KNOWN, record_module.PASS)  # fmt: skip
"""Verdicts of one kind of frame, and of what came after."""
COUNTED: Final = ("frames", "interrupts", "others", "unproven", "further", "alone",
                  "interrupts_alone")  # fmt: skip
"""What adds up over slices; the rest is as in the last of them."""


def select(cases: Sequence[Case], patterns: Sequence[str]) -> tuple[Case, ...]:
    """Choose paths by name, case id, or shell pattern of either; without one, the 64-bit program's.

    :raises UsageError: a pattern fits no path
    """
    paths = [case for case in cases if case.family == FAMILY and _name(case).split(".")[0] in PATHS]
    for pattern in patterns:
        if not any(_fits(case, pattern) for case in paths):
            names = ", ".join(PATHS)
            raise UsageError(
                "no path has that name", pattern,
                f"choose of {names}, with .ia32 or .x32 for programs of another width",
            )  # fmt: skip
    if not patterns:
        return tuple(case for case in paths if _name(case) in PATHS)
    return tuple(case for case in paths if any(_fits(case, pattern) for pattern in patterns))


def _name(case: Case) -> str:
    return case.id.partition(".")[2]


def _fits(case: Case, pattern: str) -> bool:
    return any(fnmatch.fnmatchcase(text, pattern) for text in (case.id, _name(case)))


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a path is.

    :ivar row: of /proc/interrupts; empty before its first frames
    :ivar odd: in how many ways something was not as expected
    """

    case: str
    row: str
    frames: int
    odd: int


class Watcher(Protocol):
    """Hears how a soak is doing."""

    def stands(self, seconds: float, paths: Sequence[Standing]) -> None:
        """Note how far it is."""

    def differs(self, seconds: float, case: str, change: str) -> None:
        """Note that a path gave a line that is not as expected, for the first time."""

    def breaks(self, seconds: float, case: str, reason: str) -> None:
        """Note that a slice did not come to its end."""


class Stop:
    """Has ^C and SIGTERM end a soak with what it saw; the second one, at once. A context manager.

    :ivar signo: the signal that came; 0 for none
    """

    def __init__(self) -> None:
        self.signo = 0

    def __call__(self, signo: int, _: object) -> None:
        """Handle a signal."""
        if self.signo:
            raise KeyboardInterrupt
        self.signo = signo

    def __enter__(self) -> Self:
        self._before = {each: signal.signal(each, self) for each in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for signo, handler in self._before.items():
            signal.signal(signo, handler)


class Curve:
    """How a number grew: some points of it, however many were given."""

    def __init__(self) -> None:
        self._points: list[tuple[float, int]] = []
        self._step = 0.0

    def add(self, seconds: float, number: int) -> None:
        """Note a point, unless the last one is near; numbers do not fall."""
        if self._points and seconds - self._points[-1][0] < self._step:
            return
        self._points.append((seconds, number))
        if len(self._points) == POINTS:
            self._points = self._points[::2]
            self._step = 2 * self._step or 2 * seconds / POINTS

    def points(self, seconds: float, number: int) -> tuple[tuple[float, int], ...]:
        """Give them, and the last one for certain."""
        before = (point for point in self._points if point[0] < seconds and point[1] <= number)
        return (*before, (seconds, number))


@dataclass(slots=True)
class Block:
    """What the programs with one heading gave: each kind of frame, and what came after them.

    :ivar first: when a line was seen first, in seconds of the soak
    """

    frames: dict[str, dict[str, Any]] = field(default_factory=dict)
    rests: dict[tuple[str, ...], tuple[RawStop, ...]] = field(default_factory=dict)
    first: dict[str, float] = field(default_factory=dict)

    def meet(self, line: str, seconds: float) -> bool:
        """Know that a line was seen; returns whether it is a new one, and not one of too many."""
        new = line not in self.first and len(self.first) < FIRSTS
        if new:
            self.first[line] = seconds
        return new

    def pieces(self, kind: object = None) -> tuple[list[str], list[RawStop]]:
        """Give lines and stops of a program that gave, where there is a choice, that kind."""
        frame = kind if kind in self.frames else next(iter(self.frames), None)
        rest = kind if kind in self.rests else next(iter(self.rests), ())
        lines = [*(line for line in self.frames if line == frame), *rest]
        stops = [*(self.frames[line] for line in self.frames if line == frame)]
        return lines, [*stops, *self.rests.get(rest, ())]


@dataclass(slots=True)
class Part:
    """The part of a transcript that belongs to one program."""

    heading: str
    frames: list[tuple[str, RawStop]] = field(default_factory=list)
    rest: list[str] = field(default_factory=list)
    stops: list[RawStop] = field(default_factory=list)


def parts(lines: Iterable[str], stops: Iterable[RawStop]) -> list[Part]:
    """Take a transcript apart, at its headings."""
    found: list[Part] = []
    raw = iter(stops)
    for line in lines:
        if line.startswith("run"):
            found.append(Part(line))
        elif line.startswith("stop"):
            found[-1].frames.append((line, next(raw)))
        else:
            found[-1].rest.append(line)
            if line.startswith("exit"):
                found[-1].stops.append(next(raw))
    return found


class Kinds:
    """All kinds of frames of a path, and how many frames there were of each.

    :ivar further: frames of more kinds than are kept
    """

    def __init__(self) -> None:
        self.blocks: dict[str, Block] = {}
        self.values: dict[str, int] = {}
        self.frames = self.further = 0

    def take(self, part: Part, seconds: float, whole: bool) -> None:
        """Take in what a program gave.

        :param whole: it came to its end
        """
        block = self.blocks.setdefault(part.heading, Block())
        for line, stop in part.frames:
            count = stop.get("count", 1)
            if line not in block.frames and len(block.frames) == KINDS:
                self.leave(count)
                continue
            block.meet(line, seconds)
            kept = block.frames.setdefault(line, {**stop, "count": 0})
            kept["count"] += count
            value = _value(stop)
            self.values[value] = self.values.get(value, 0) + count
            self.frames += count
        if whole and len(block.rests) < KINDS:
            block.rests.setdefault(tuple(part.rest), tuple(part.stops))

    def leave(self, count: int) -> None:
        """Count frames that are not kept."""
        self.frames += count
        self.further += count

    def transcript(self, heading: str, kind: object) -> dict[str, Any]:
        """Give the transcript of a slice whose program of that heading gave nothing but a kind."""
        lines: list[str] = []
        stops: list[RawStop] = []
        for head, block in self.blocks.items():
            more = block.pieces(kind if head == heading else None)
            lines += [head, *more[0]] if more[0] else []
            stops += more[1]
        return {"count": 1, "lines": lines, "stops": stops}

    def all(self, slices: int) -> TranscriptRecord:
        """Give all that was seen as one transcript: every kind of frame is a line."""
        lines: list[str] = []
        stops: list[RawStop] = []
        for heading, block in self.blocks.items():
            lines += [heading, *block.frames] if block.frames or block.rests else []
            stops += block.frames.values()
            for rest, raw in block.rests.items():
                lines += rest
                stops += raw
        return TranscriptRecord(slices, tuple(lines), tuple(stops))

    def lines(self, seconds: float) -> Mapping[str, SoakLine]:
        """Give the lines of frames, with how many there were of each.

        :param seconds: now, for those of which it is not known when they were seen first
        """
        found: dict[str, SoakLine] = {}
        for block in self.blocks.values():
            for line, stop in block.frames.items():
                first = round(block.first.get(line, seconds), 3)
                before = found.get(line, SoakLine(line, 0, first))
                count = before.frames + int(stop["count"])
                found[line] = SoakLine(line, count, min(first, before.first))
        return found


class Path:
    """One path: what all its slices gave.

    :ivar in_a_row: the last slices that did not come to their end
    """

    def __init__(
        self, planned: Planned, environment: Environment, known: Sequence[KnownIssue]
    ) -> None:
        self.planned = planned
        self.in_a_row = 0
        self._environment = environment
        self._known = known
        self._golden = _golden(planned, environment, known)
        self._kinds = Kinds()
        self._judged: dict[tuple[str, object], CaseRecord] = {}
        self._told: set[str] = set()
        self._curve = Curve()
        self._measured: dict[str, int | float | str] = {}
        self._probes: Mapping[str, str] = {}
        self._troubles: dict[tuple[str, str], int] = {}
        self._slices = self._now = 0
        self._whole = False
        self._duration = 0.0
        self._row, self._cpu = "", 0

    @property
    def standing(self) -> Standing:
        """How far it is."""
        frames = self._kinds.frames + self._now
        return Standing(self.planned.case.id, self._row, frames, len(self._told))

    def begin(self, seconds: float) -> None:
        """Know that a slice begins."""
        self._curve.add(seconds, self._kinds.frames)

    def news(self, news: Answer, seconds: float) -> list[str]:
        """Know how far a slice is; gives each new way in which something is not as expected."""
        self._row, self._cpu, self._now = news["row"], news["cpu"], news["frames"]
        self._curve.add(seconds, self._kinds.frames + self._now)
        heading, *new = news["new"] or [""]
        block = self._kinds.blocks.setdefault(heading, Block()) if new else Block()
        met = [line for line in new if block.meet(line, seconds)]
        return self._tell(change for line in met for change in self._changes(heading, line))

    def _changes(self, heading: str, line: str) -> Iterator[str]:
        """Say in what a line differs from those that its program may give, if it does."""
        (seen,) = parse(line)
        found = [expectation.align(wanted, (seen,)) for wanted in self._golden.get(heading, ())]
        if found and all(found):
            yield found[0][-1].change

    def _tell(self, changes: Iterable[str]) -> list[str]:
        new = [change for change in dict.fromkeys(changes) if change not in self._told]
        self._told.update(new)
        return new

    def add(self, answer: Answer, seconds: float) -> list[str]:
        """Take in what a slice gave, whole or cut short; gives the same as :meth:`news`."""
        whole = not answer["verdict"]
        self._slices += 1
        self._whole |= whole
        self._now = 0
        self._duration += answer["duration"]
        self._probes = answer["probes"] or self._probes
        self._measure(answer["measured"])
        self.in_a_row = 0 if whole else self.in_a_row + 1
        trouble = (answer["verdict"], answer["reason"])
        if not whole and (trouble in self._troubles or len(self._troubles) < KINDS):
            self._troubles[trouble] = self._troubles.get(trouble, 0) + 1
        for transcript in answer["transcripts"]:
            found = parts(transcript["lines"], transcript["stops"])
            for part in found:
                self._kinds.take(part, seconds, whole or part is not found[-1])
        new = self._judge(answer)
        return self._tell(difference.change for case in new for difference in case.differences)

    def _measure(self, measured: Mapping[str, int | float | str]) -> None:
        for name, value in measured.items():
            adds = name in COUNTED and isinstance(value, int)
            self._measured[name] = int(self._measured.get(name, 0)) + int(value) if adds else value
        self._kinds.leave(int(measured.get("further", 0)))

    def _judge(self, answer: Answer) -> list[CaseRecord]:
        """Judge every kind of frame, and of what came after, that is new."""
        new = []
        cut = {"verdict": None, "reason": ""} if self._whole else {}
        for heading, block in self._kinds.blocks.items():
            for kind in (*block.frames, *block.rests):
                if (heading, kind) in self._judged:
                    continue
                made = {**answer, **cut, "transcripts": [self._kinds.transcript(heading, kind)]}
                case = runner.judge(self.planned, made, self._environment, self._known)
                if self._whole or case.verdict == record_module.FAIL:
                    self._judged[heading, kind] = case
                    new.append(case)
        return new

    def counted(self, seconds: float) -> SoakPath | None:
        """Give what was counted; nothing if there was no frame."""
        if not self._row:
            return None
        points = self._curve.points(round(seconds, 3), self._kinds.frames)
        return SoakPath(
            self.planned.case.id, self._row, self._cpu,
            tuple(round(moment, 3) for moment, _ in points), tuple(number for _, number in points),
            int(self._measured.get("interrupts", 0)), self._kinds.values,
            int(self._measured.get("unproven", 0)), tuple(self._kinds.lines(seconds).values()),
            self._kinds.further,
        )  # fmt: skip

    def record(self) -> CaseRecord | None:
        """Give the case's record; nothing if it had no turn."""
        planned = self.planned
        if planned.missing:
            skipped = runner.untraced(record_module.SKIP, planned.missing)
            return runner.judge(planned, skipped, self._environment, self._known)
        if not self._slices:
            return None
        untraced = runner.untraced(record_module.MISS, "no slice gave anything", self._duration)
        none = runner.judge(planned, untraced, self._environment, self._known)
        verdict, reason, told = self._verdict()
        differences = {(d.line, d.observed): d for case in told for d in case.differences}
        return replace(
            told[0] if told else none, verdict=verdict, reason=reason, repeats=self._slices,
            transcripts=(self._kinds.all(self._slices),) if self._kinds.frames else (),
            differences=tuple(sorted(differences.values(), key=lambda each: each.line)),
            broken=tuple(dict.fromkeys(text for case in told for text in case.broken)),
            probes=self._probes, duration=round(self._duration, 6),
            measured={**self._measured, **self._caught(), "slices": self._slices},
        )  # fmt: skip

    def _caught(self) -> Mapping[str, float]:
        frames, interrupts = (int(self._measured.get(name, 0)) for name in COUNTED[:2])
        return {"caught": round(min(frames, interrupts) / interrupts, 4)} if interrupts else {}

    def _verdict(self) -> tuple[str, str, Sequence[CaseRecord]]:
        """Give the gravest verdict, its reason, and the judged kinds that it comes from."""
        judged = sorted(self._judged.values(), key=lambda case: GRAVEST.index(case.verdict))
        worst = judged[0].verdict if judged else record_module.MISS
        if worst == record_module.FAIL:
            found = [case for case in judged if case.verdict == worst]
            return worst, self._differing() or found[0].reason, found
        if self._troubles and worst != record_module.ERROR:
            return *self._trouble(), judged
        if further := self._kinds.further:
            of = f"{further} of {self._kinds.frames} frames"
            return record_module.UNSTABLE, f"{of} are of more kinds than are kept", judged
        return worst, judged[0].reason if judged else "no slice gave anything", judged

    def _trouble(self) -> tuple[str, str]:
        """Give the verdict of the first slice that was cut short, and why."""
        (verdict, reason), count = next(iter(self._troubles.items()))
        every = sum(self._troubles.values())
        of = f"in {every} of {self._slices} slices: " if self._slices > 1 else ""
        also = f" (so in {count})" if count < every else ""
        return verdict, f"{of}{reason}{also}"

    def _differing(self) -> str:
        """Say of each difference in how many frames it was seen, and when first."""
        told: dict[str, tuple[int, float]] = {}
        for (heading, kind), case in self._judged.items():
            block = self._kinds.blocks[heading]
            for difference in case.differences:
                line = difference.observed
                frames, first = told.get(difference.change, (0, math.inf))
                if line is not None and line == kind:
                    frames += block.frames[line]["count"]
                    first = min(first, block.first.get(line, math.inf))
                told[difference.change] = frames, first
        return "; ".join(self._often(change, *told[change]) for change in list(told)[:TOLD]) + (
            f"; and {len(told) - TOLD} more" if len(told) > TOLD else ""
        )

    def _often(self, change: str, frames: int, first: float) -> str:
        often = f": in {frames:,} of {self._kinds.frames:,} frames" if frames else ""
        return f"{change}{often}" + (f", first after {first:.1f} s" if first < math.inf else "")


def _value(stop: RawStop) -> str:
    """Give orig_ax as a signed number."""
    word: str = stop["regs"]["orig_ax"]
    return str(signed(int(word, 16), 64 if "r15" in stop["regs"] else 32))


def _golden(
    planned: Planned, environment: Environment, known: Sequence[KnownIssue]
) -> Mapping[str, Sequence[tuple[Line]]]:
    """Give the stops that may be seen, each alone, by the heading that they stand below."""
    wanted = planned.expectation
    issue = expectation.known_here(known, planned.case.id, environment.facts)
    golden: dict[str, list[tuple[Line]]] = {}
    heading = ""
    for each in (wanted and wanted.choose(environment.facts), issue):
        for line in each.transcript if each else ():
            heading = str(line) if line.head == "run" else heading
            if line.head == "stop":
                golden.setdefault(heading, []).append((line,))
    return golden


class Soak:
    """A soak of some paths."""

    def __init__(
        self, planned: Sequence[Planned], environment: Environment, known: Sequence[KnownIssue],
        options: OptionsRecord, watcher: Watcher, stop: Stop,
        runner_of: Callable[[OptionsRecord], Runner] = Runner,
    ) -> None:  # fmt: skip
        self._paths = [Path(item, environment, known) for item in planned]
        self._environment = environment
        self._options = options
        self._watcher = watcher
        self._stop = stop
        self._runner_of = runner_of

    def run(self, seconds: float) -> Record:
        """Soak for so long; ^C and SIGTERM end it early, and the record says so."""
        started = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        self._begun = time.monotonic()
        interrupted = False
        with self._runner_of(self._options) as made:
            try:
                self._rounds(made, seconds)
            except KeyboardInterrupt:
                interrupted = True
        spent = self._now()
        counted = (path.counted(spent) for path in self._paths)
        cases = (path.record() for path in self._paths)
        return Record(
            tool=runner.tool(),
            environment=EnvironmentRecord(
                self._environment.name, self._environment.facts, self._environment.build
            ),
            boot_id=runner.boot_id(), started=started, duration=round(spent, 3),
            options=self._options, interrupted=interrupted or bool(self._stop.signo),
            cases=tuple(case for case in cases if case),
            soak=SoakRecord(tuple(path for path in counted if path)),
        )  # fmt: skip

    def _now(self) -> float:
        return time.monotonic() - self._begun

    def _rounds(self, made: Runner, seconds: float) -> None:
        """Give every path its turn until the time is over, but each one turn at least."""
        left = seconds
        turns = [path for path in self._paths if not path.planned.missing]
        while turns:
            length = max(SHORTEST, min(SLICE, left / len(turns)))
            for path in turns:
                if self._stop.signo:
                    return
                self._turn(made, path, length)
            left = seconds - self._now()
            if left < OVER:
                return
            turns = [path for path in turns if path.in_a_row < BROKEN]

    def _turn(self, made: Runner, path: Path, length: float) -> None:
        def hears(news: Answer) -> None:
            for change in path.news(news, self._now()):
                self._watcher.differs(self._now(), path.planned.case.id, change)
            self._stands()
            if self._stop.signo:
                made.hurry()

        path.begin(self._now())
        for _, answer in made.run([path.planned], slice_=Slice(length, hears)):
            for change in path.add(answer, self._now()):
                self._watcher.differs(self._now(), path.planned.case.id, change)
            if answer["verdict"]:
                self._watcher.breaks(self._now(), path.planned.case.id, answer["reason"])
        self._stands()

    def _stands(self) -> None:
        self._watcher.stands(self._now(), [path.standing for path in self._paths])
