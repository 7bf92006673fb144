# SPDX-License-Identifier: GPL-2.0-only
"""What user space may rely on, behaviour by behaviour: all that the cases and goldens say of it.

Cases that differ by their door alone are one `Subject`. Each is told in full under one of the
behaviours that it covers, so that every behaviour has some, and named under the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from conformance import coverage, excerpt, expectation
from conformance.cases import Case
from conformance.coverage import Coverage, Row
from conformance.doors import DOORS, OF_ABI
from conformance.errors import UsageError
from conformance.excerpt import Excerpt, Plain
from conformance.expectation import Expectation, Transcript
from conformance.facts import Change, Fact, Value

T = TypeVar("T")

PLAIN: Final = "syscalls.pair"
"""The case of one plain call, whose exit stop is what is usual at a door."""
EVERYWHERE: Final = 9
"""A reason that so many subjects have is told once for all of them."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A case, at all its doors.

    :ivar name: ``family.name``
    :ivar wanted: the expectations, by the ids of the cases
    """

    name: str
    cases: tuple[Case, ...]
    wanted: Mapping[str, Expectation]

    @property
    def family(self) -> str:
        """The part of the name before the dot."""
        return self.cases[0].family

    @property
    def covers(self) -> tuple[int, ...]:
        """The behaviours that it shows."""
        return self.cases[0].covers

    @property
    def intents(self) -> Mapping[str, tuple[Case, ...]]:
        """What it says, and the cases that say so."""
        told: dict[str, tuple[Case, ...]] = {}
        for case in self.cases:
            intent = self.wanted[case.id].intent
            told[intent] = (*told.get(intent, ()), case)
        return told

    @property
    def source(self) -> tuple[str, ...]:
        """The places in the kernel."""
        return _once(each for case in self.cases for each in self.wanted[case.id].source)

    @property
    def breaks(self) -> tuple[str, ...]:
        """Who relies on it."""
        return _once(each for case in self.cases for each in self.wanted[case.id].breaks)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why variants are not as the first of their file, which is that of the usual machine."""
        return _once(
            each.why for case in self.cases for each in self.wanted[case.id].variants[1:]
            if each.why
        )  # fmt: skip

    @property
    def weak(self) -> tuple[tuple[str, str], ...]:
        """Fields that may differ, and why."""
        return _once(
            item for case in self.cases for each in self.wanted[case.id].variants
            for item in each.weak.items()
        )  # fmt: skip

    @property
    def asked(self) -> tuple[str, ...]:
        """The facts that decide what it shows, and whether it can."""
        decide = (
            name for case in self.cases for each in self.wanted[case.id].variants
            for name in sorted(expectation.asked(each.when))
        )  # fmt: skip
        return _once((*decide, *(name for case in self.cases for name in case.needs)))


@dataclass(frozen=True, slots=True)
class Entry:
    """A behaviour.

    :ivar told: the subjects that are told here
    :ivar named: further ones, which are told elsewhere
    :ivar reasons: of variants, and only of those told here
    :ivar weak: fields that may differ, likewise
    :ivar example: one of them, and a part of what it shows
    """

    covered: Coverage
    told: tuple[Subject, ...]
    named: tuple[Subject, ...]
    changes: tuple[Change, ...]
    reasons: tuple[str, ...]
    weak: tuple[tuple[str, str], ...]
    example: tuple[Subject, Excerpt] | None

    @property
    def row(self) -> Row:
        """The behaviour's row in the table."""
        return self.covered.row

    @property
    def breaks(self) -> tuple[str, ...]:
        """Who relies on it, the most cases first."""
        subjects = (*self.told, *self.named)
        counts = Counter(name for subject in subjects for name in subject.breaks)
        return tuple(name for name, _ in counts.most_common())


@dataclass(frozen=True, slots=True)
class Contract:
    """All of it.

    :ivar home: the number of the behaviour where each subject is told, by name
    :ivar plain: what is usual at each door
    :ivar ways: the places in the kernel that a plain call comes through, by door
    :ivar reasons: what holds for many subjects, and for how many
    :ivar weak: likewise
    :ivar changes: every change of the kernel, with the behaviours where it shows
    """

    entries: tuple[Entry, ...]
    home: Mapping[str, int]
    plain: Plain
    ways: Mapping[str, tuple[str, ...]]
    reasons: Mapping[str, int]
    weak: Mapping[tuple[str, str], int]
    changes: Mapping[Change, tuple[int, ...]]


def gather(
    rows: Sequence[Row], cases: Sequence[Case], wanted: Mapping[str, Expectation],
    changes: Sequence[Change], vocabulary: Mapping[str, Fact],
) -> Contract:  # fmt: skip
    """Put the contract together.

    :param wanted: the expectations of the cases that have one, by id
    :raises UsageError: no case of a plain call is among them
    """
    subjects = _subjects(cases, wanted)
    if PLAIN not in subjects:
        raise UsageError("there is no case of a plain call", PLAIN, "give all expectations")
    every = tuple(subjects.values())
    kin = {row.number: _kin(every, row, rows) for row in rows}
    maker = _Maker(tuple(rows), every, tuple(changes), newest(vocabulary), kin)
    return maker.contract(subjects[PLAIN])


def _kin(subjects: Sequence[Subject], row: Row, rows: Sequence[Row]) -> Counter[str]:
    """Count the subjects that show behaviours of a row's group, by their families."""
    group = {each.number for each in rows if each.group == row.group}
    return Counter(subject.family for subject in subjects if group.intersection(subject.covers))


def newest(vocabulary: Mapping[str, Fact]) -> Mapping[str, Value]:
    """Give the facts of the machine that tables show: a processor with neither emulator nor
    hypervisor nor FRED, the newest 64-bit kernel without page table isolation, a 64-bit tracer."""
    has = ("x86_64", "tracer64", "ia32", "x32", "sysenter", "intel", "xsaves")
    plain: dict[type, Value] = {bool: False, int: 0, str: "none"}
    facts = {name: plain[fact.kind] for name, fact in vocabulary.items()}
    facts |= {name: True for name, fact in vocabulary.items() if fact.group == "kernel changes"}
    return facts | dict.fromkeys(has, True) | {"vsyscall": "xonly"}


def golden(wanted: Expectation, facts: Mapping[str, Value]) -> Transcript:
    """Give the transcript that fits these facts, or the first, if they are of no machine."""
    chosen = wanted.choose(facts) or next(iter(wanted.variants), None)
    return chosen.transcript if chosen else ()


def _subjects(
    cases: Iterable[Case], wanted: Mapping[str, Expectation]
) -> dict[str, Subject]:
    parts: dict[str, list[Case]] = {}
    for case in cases:
        if case.id in wanted and case.covers:
            parts.setdefault(".".join(case.id.split(".")[:2]), []).append(case)
    order = [*(("none", abi) for abi in OF_ABI), *((d.name, d.abi) for d in DOORS.values())]
    subjects = {}
    for name, each in parts.items():
        each.sort(key=lambda case: order.index((case.door, case.abi)))
        subjects[name] = Subject(name, tuple(each), {case.id: wanted[case.id] for case in each})
    return subjects


def _place(case: Case) -> str:
    return case.abi if case.door == "none" else case.door


@dataclass(frozen=True, slots=True)
class _Maker:
    rows: tuple[Row, ...]
    every: tuple[Subject, ...]
    changes: tuple[Change, ...]
    facts: Mapping[str, Value]
    kin: Mapping[int, Mapping[str, int]]
    """For each behaviour the number of subjects of each family that show some of its group."""

    def contract(self, call: Subject) -> Contract:
        home, plain = self.homes(), self.plain(call)
        atoms = _atoms({each for subject in self.every for each in subject.reasons})
        reasons = _common(_once(a for r in s.reasons for a in atoms[r]) for s in self.every)
        weak = _common(subject.weak for subject in self.every)
        widely = _common(subject.asked for subject in self.every)
        cases = [case for subject in self.every for case in subject.cases]
        seen: set[object] = set()
        entries = tuple(
            self.entry(covered, home, plain, (reasons, weak, widely), seen)
            for covered in coverage.count(self.rows, cases)
        )
        where = {
            change: _once(home[s.name] for s in self.every if change.name in s.asked)
            for change in self.changes
        }
        ways = {case.door: call.wanted[case.id].source for case in call.cases}
        return Contract(entries, home, plain, ways, reasons, weak, where)

    def homes(self) -> Mapping[str, int]:
        """Choose where each subject is told: where few others show the same, with most of its
        family, and few are told yet. The plain call is told first of all."""
        shown = Counter(number for subject in self.every for number in subject.covers)
        told: Counter[int] = Counter()
        home: dict[str, int] = {}

        def price(subject: Subject, number: int) -> tuple[float, int]:
            kin = self.kin[number][subject.family]
            return (told[number] + 1) * shown[number] / kin**3, number

        for subject in sorted(self.every, key=self.plainness):
            cheapest = min(price(subject, number) for number in subject.covers)[1]
            number = min(subject.covers) if subject.name == PLAIN else cheapest
            home[subject.name] = number
            told[number] += 1
        return home

    def plain(self, call: Subject) -> Plain:
        """Take the exit stop of the plain call at each door."""
        found = {}
        for case in call.cases:
            lines = golden(call.wanted[case.id], self.facts)
            found[case.door] = next(line for line in lines if line.kind == "syscall-exit")
        return found

    def entry(
        self, covered: Coverage, home: Mapping[str, int], plain: Plain, common: _Common,
        seen: set[object],
    ) -> Entry:  # fmt: skip
        number = covered.row.number
        kin = self.kin[number]
        every = sorted(
            (subject for subject in self.every if number in subject.covers),
            key=lambda s: (s.name != PLAIN, -kin[s.family], self.plainness(s)),
        )
        own = [subject for subject in every if home[subject.name] == number]
        told = own or every[:1]
        reasons = _once(_without(each, common[0]) for s in told for each in s.reasons)
        asked = {name for subject in told for name in subject.asked}
        return Entry(
            covered, tuple(told), tuple(s for s in every if s not in told),
            tuple(c for c in self.changes if c.name in asked and c.name not in common[2]),
            tuple(filter(None, reasons)),
            _once(item for s in told for item in s.weak if item not in common[1]),
            self.example(told, plain, seen),
        )  # fmt: skip

    def plainness(self, subject: Subject) -> tuple[bool, bool, int, int, str]:
        """Give what sorts subjects: those with a second tracer last, the shortest first, and
        those that show fewest things."""
        lines = golden(subject.wanted[subject.cases[0].id], self.facts)
        other_tracer = any(line.head == "run" and "tracer" in line.fields for line in lines)
        return (
            subject.name != PLAIN, other_tracer, len(lines), len(subject.covers), subject.name
        )  # fmt: skip

    def example(
        self, told: Sequence[Subject], plain: Plain, seen: set[object]
    ) -> tuple[Subject, Excerpt] | None:
        """Choose the first subject that shows what no table has shown."""
        for subject in told:
            shown = {
                _place(case): (case, golden(subject.wanted[case.id], self.facts))
                for case in subject.cases
            }
            cut = excerpt.excerpt(shown, plain, seen)
            if cut:
                return subject, cut
        return None


_Common = tuple[Mapping[str, int], Mapping[tuple[str, str], int], Mapping[str, int]]


def _common(parts: Iterable[Iterable[T]]) -> Mapping[T, int]:
    """Give what so many say that it is told once, the most first, with their number."""
    counts = Counter(item for part in parts for item in part)
    return {item: n for item, n in counts.most_common() if n >= EVERYWHERE}


def _atoms(reasons: Iterable[str]) -> Mapping[str, tuple[str, ...]]:
    """Take each reason apart into those others that are joined in it, and what is left."""
    atoms: dict[str, tuple[str, ...]] = {}
    for reason in sorted(reasons, key=lambda reason: (len(reason), reason)):
        single = _once(each for parts in atoms.values() for each in parts)
        parts = tuple(each for each in single if _without(reason, [each]) != reason)
        rest = _without(reason, parts)
        atoms[reason] = (*parts, rest) if rest else parts
    return atoms


def _without(reason: str, known: Iterable[str]) -> str:
    """Take out of a reason what others say; what is left is its own."""
    for each in sorted(known, key=lambda text: (-len(text), text)):
        for told in (each, each[0].lower() + each[1:]):
            if reason == told:
                return ""
            for clause in (f"; and {told}", f"; {told}"):
                head, _, tail = reason.partition(clause)
                if not tail or tail.startswith(";"):
                    reason = head + tail
            reason = reason.removeprefix(f"{told}; and ")
            rest = reason.removeprefix(f"{told}; ")
            if rest[:1].isupper():  # otherwise it goes on with what was said
                reason = rest
    return reason


def _once(items: Iterable[T]) -> tuple[T, ...]:
    return tuple(dict.fromkeys(items))
