# SPDX-License-Identifier: GPL-2.0-only
"""What a page shows, gathered from records and goldens: columns, and what came of each case."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Final

from conformance import expectation, facts
from conformance.errors import UsageError
from conformance.expectation import Expectation, KnownIssue, Variant
from conformance.record import PASS, SKIP, CaseRecord, Record
from conformance.reports import FAILING, alike
from conformance.reports.matrix import MARKS
from conformance.reports.page.pairing import Pairs, paired

OTHER: Final = "v"
"""The mark of a case that passed by another variant than it did on most environments."""

_VENDORS: Final = ("amd", "intel")


@dataclass(frozen=True, slots=True)
class Column:
    """One record's environment: its number on the page, and a name that no other has there."""

    number: int
    name: str
    record: Record

    @property
    def facts(self) -> Mapping[str, facts.Value]:
        """Those of its environment; none where the machine was lost."""
        return self.record.environment.facts

    @property
    def lost(self) -> bool:
        """Whether nothing was heard of the machine: all its cases are MISS, for one reason."""
        return not self.facts


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a case on one environment or several, alike on all of them.

    :ivar cases: the case's record on each column
    :ivar golden: the variant that judged it, where the goldens here still say the same
    :ivar pairs: its lines beside those that were seen
    """

    verdict: str
    mark: str
    columns: tuple[Column, ...]
    cases: tuple[CaseRecord, ...]
    golden: Variant | None
    pairs: Pairs

    @property
    def case(self) -> CaseRecord:
        """The first of the records, which speaks for all."""
        return self.cases[0]


@dataclass(frozen=True, slots=True)
class Skipped:
    """How many cases were skipped for one reason, and where; `name` is for links."""

    name: str
    cases: int
    columns: tuple[Column, ...]


@dataclass(frozen=True, slots=True)
class Gathered:
    """All that a page shows.

    :ivar columns: the environments, by kernel, CPU and virtualisation
    :ivar outcomes: of each case, by its id; the commonest first
    :ivar marks: a character for each case, column by column, a blank where it was not run
    :ivar folds: neighbouring columns that are equal in every case
    :ivar alike: cells that fail alike, in the order of `FAILING`, and the largest group first;
        without those of machines that were lost
    :ivar skipped: by the reason, the commonest first
    """

    columns: tuple[Column, ...]
    outcomes: Mapping[str, tuple[Outcome, ...]]
    marks: Mapping[str, str]
    folds: tuple[tuple[Column, ...], ...]
    alike: Mapping[tuple[str, ...], tuple[tuple[Column, CaseRecord], ...]]
    skipped: Mapping[str, Skipped]
    goldens: Mapping[str, Expectation]
    known: tuple[KnownIssue, ...]
    changes: Mapping[str, facts.Change]


def gather(records: Sequence[Record], expected: Path) -> Gathered:
    """Put the cases of all records beside each other.

    :param expected: the directory of the golden files
    :raises UsageError: a golden is garbled, or a transcript of a record is
    """
    columns = _columns(records)
    words = facts.vocabulary(expected)
    ids = sorted({case.id for record in records for case in record.cases})
    found = {case_id: expectation.find(expected, case_id, words) for case_id in ids}
    goldens = {case_id: wanted for case_id, wanted in found.items() if wanted}
    by_id: dict[str, list[tuple[Column, CaseRecord]]] = {case_id: [] for case_id in ids}
    for column in columns:
        for case in column.record.cases:
            by_id[case.id].append((column, case))
    outcomes = {
        case_id: _outcomes(cells, goldens.get(case_id)) for case_id, cells in by_id.items()
    }
    marks = {case_id: _row(each, len(columns)) for case_id, each in outcomes.items()}
    return Gathered(
        columns, outcomes, marks, _folds(columns, marks), _alike(by_id.values()),
        _skipped(by_id.values()), goldens, expectation.load_known(expected, words),
        {change.name: change for change in facts.changes(expected)},
    )  # fmt: skip


# Environments.


def _columns(records: Sequence[Record]) -> tuple[Column, ...]:
    """Order environments by kernel, CPU and virtualisation; those that were lost come last."""
    ordered = sorted(records, key=_order)
    names = _names(ordered)
    return tuple(
        Column(number, name, record)
        for number, (name, record) in enumerate(zip(names, ordered, strict=True), 1)
    )


def _order(record: Record) -> tuple[bool, tuple[int, ...], str, str, str, str]:
    known = record.environment.facts
    version = record.environment.build.get("version") or str(known.get("release", ""))
    try:
        kernel: tuple[int, ...] = facts.Version.parse(version)
    except ValueError:
        kernel = ()
    name = record.environment.name
    return (
        not known, kernel, str(known.get("release", "")), vendor(record),
        str(known.get("virt", "")), name,
    )  # fmt: skip


def vendor(record: Record) -> str:
    """Name the maker of an environment's CPU, as facts do; empty where nothing is known."""
    known = record.environment.facts
    return next((n for n in _VENDORS if known.get(n) is True), "other" if known else "")


def _names(records: Sequence[Record]) -> list[str]:
    """Give each a name of its own: with its box, host and label, and last with a number."""
    names = [record.environment.name for record in records]
    for key in ("box", "label", "host"):
        counted = Counter(names)
        names = [
            f"{name}:{record.environment.build[key]}"
            if counted[name] > 1 and key in record.environment.build else name
            for name, record in zip(names, records, strict=True)
        ]  # fmt: skip
    seen: Counter[str] = Counter()
    unique = []
    for name in names:
        seen[name] += 1
        unique.append(name if seen[name] == 1 else f"{name}:{seen[name]}")
    return unique


def _folds(
    columns: Sequence[Column], marks: Mapping[str, str]
) -> tuple[tuple[Column, ...], ...]:
    """Join neighbours that are equal in every case."""

    def told(column: Column) -> tuple[str, ...]:
        return tuple(row[column.number - 1] for row in marks.values())

    return tuple(tuple(group) for _, group in groupby(columns, key=told))


# Cases.


def _outcomes(
    cells: Sequence[tuple[Column, CaseRecord]], wanted: Expectation | None
) -> tuple[Outcome, ...]:
    """Join environments on which the same came of a case; the commonest comes first."""
    groups: dict[object, list[tuple[Column, CaseRecord]]] = {}
    for column, case in cells:
        groups.setdefault(_key(case), []).append((column, case))
    passed = Counter(case.variant for _, case in cells if case.verdict == PASS)
    usual = max(passed, key=lambda name: (passed[name], name == "base"), default=None)
    outcomes = [
        Outcome(
            case.verdict, _mark(case, usual),
            tuple(column for column, _ in group), tuple(case for _, case in group),
            *_golden(wanted, [case for _, case in group]),
        )
        for group in groups.values()
        for case in (group[0][1],)
    ]  # fmt: skip
    return tuple(sorted(outcomes, key=lambda each: (each.mark not in ".v", -len(each.columns))))


def _key(case: CaseRecord) -> object:
    """Give what must be equal of two records of a case to be shown as one.

    Of those that passed, that is the variant: they differ in nothing but weak fields.
    """
    if case.verdict == PASS:
        return case.verdict, case.variant
    seen = tuple((transcript.count, transcript.lines) for transcript in case.transcripts)
    return case.verdict, case.variant, case.reason, case.broken, case.differences, seen


def _mark(case: CaseRecord, usual: str | None) -> str:
    return OTHER if case.verdict == PASS and case.variant != usual else MARKS[case.verdict]


def _row(outcomes: Iterable[Outcome], columns: int) -> str:
    marks = [" "] * columns
    for outcome in outcomes:
        for column in outcome.columns:
            marks[column.number - 1] = outcome.mark
    return "".join(marks)


def _golden(
    wanted: Expectation | None, cases: Sequence[CaseRecord]
) -> tuple[Variant | None, Pairs]:
    """Give the variant that judged these, if it still says what it then said; and of those that did
    not pass its lines beside those of the first."""
    name = cases[0].variant
    found = next((each for each in wanted.variants if each.name == name), None) if wanted else None
    told = {t.lines: case.differences for case in cases for t in case.transcripts[:1]}
    if not found or not told:
        return found, ()
    every = [paired(found.transcript, lines, d) for lines, d in told.items()]
    if None in every:
        return None, ()
    return found, () if cases[0].verdict == PASS else every[0] or ()


def _skipped(rows: Iterable[Sequence[tuple[Column, CaseRecord]]]) -> dict[str, Skipped]:
    reasons: dict[str, list[tuple[Column, CaseRecord]]] = {}
    for cells in rows:
        for column, case in cells:
            if case.verdict == SKIP:
                reasons.setdefault(case.reason, []).append((column, case))
    ranked = sorted(reasons.items(), key=lambda each: -len(each[1]))
    return {
        reason: Skipped(
            f"skip-{number}", len({case.id for _, case in cells}),
            tuple({column.number: column for column, _ in cells}.values()),
        )
        for number, (reason, cells) in enumerate(ranked, 1)
    }  # fmt: skip


def _alike(
    rows: Iterable[Sequence[tuple[Column, CaseRecord]]],
) -> dict[tuple[str, ...], tuple[tuple[Column, CaseRecord], ...]]:
    groups: dict[tuple[str, ...], list[tuple[Column, CaseRecord]]] = {}
    for cells in rows:
        for column, case in cells:
            if case.verdict in FAILING and not column.lost:
                groups.setdefault(alike(case), []).append((column, case))
    order = {verdict: rank for rank, verdict in enumerate(FAILING)}
    ranked = sorted(groups.items(), key=lambda each: (order[each[0][0]], -len(each[1])))
    return {key: tuple(cells) for key, cells in ranked}


def applies(issue: KnownIssue, column: Column) -> bool:
    """Whether a known issue is one of this environment; not where its facts do not say."""
    try:
        return expectation.holds(issue.when, column.facts)
    except UsageError:
        return False


def numbers(columns: Iterable[Column]) -> str:
    """Name environments by their numbers: ``1-4, 7``."""
    runs: list[list[int]] = []
    for number in sorted(column.number for column in columns):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(
        f"{run[0]}-{run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs
    )
