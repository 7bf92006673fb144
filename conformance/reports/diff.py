# SPDX-License-Identifier: GPL-2.0-only
"""Two records compared with each other: what two kernels do differently, and why.

No golden is needed to see a difference. Where both kernels are as their goldens say, the goldens
also tell which fact makes it.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from conformance import expectation
from conformance.expectation import Difference, align
from conformance.explanation import Explanation, Side, explain
from conformance.facts import Change, Version, changes, vocabulary
from conformance.record import ERROR, MISS, SKIP, CaseRecord, Record, TranscriptRecord
from conformance.reports import (
    BOLD,
    GREEN,
    RED,
    SHOWN,
    WIDTH,
    YELLOW,
    Paint,
    and_more,
    consumer,
    fact,
    headline,
    labelled,
    one_line,
    painter,
    parsed,
    plural,
    printable,
    raw_stop,
    raw_values,
    side_by_side,
    wrapped,
)
from conformance.reports.terminal import joined

_UNTRACED: Final = (SKIP, ERROR, MISS)
_SIDES: Final = ("a", "b")
_VALUE: Final = 30
"""Characters of a fact's value that are shown; the command line of a kernel is long."""
_OTHER: Final = ""
_FIELDS: Final = (
    *("missing", "extra", "kind", "orig_ax", "ax", "ip", "cs", "ss"),
    *(_OTHER, "flags", "regs", "views"),
)
"""Differences from the gravest on: a stop that is not there, what decides what runs next, the rest.

What is not named stands at `_OTHER`."""
_FAMILIES: Final = (
    *("syscalls", "filters", "vsyscall", "interrupts", "traps", "vm86", "steps", "restarts"),
    *("signals", "events", "attach", "views", "consumers", _OTHER),
)
"""The families, from the ways into the kernel to who looks at them."""
_REPEATS: Final = "the commonest transcript is the same, but some repeats gave another"


@dataclass(frozen=True, slots=True)
class _Changed:
    """A case that both kernels ran, with other transcripts."""

    case: CaseRecord
    verdicts: tuple[str, str]
    transcripts: tuple[TranscriptRecord, TranscriptRecord]
    differences: tuple[Difference, ...]
    explanation: Explanation | None

    @property
    def changes(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(d.change for d in self.differences)) or (_REPEATS,)


def diff(
    a: Record, b: Record, expected: Path, color: bool, width: int = WIDTH
) -> tuple[str, bool]:
    """Compare two records.

    Facts are told and judged by nobody: two kernels always have other ones. Cases that only one
    of the two traced do count, since nothing says that the other does the same.

    :param expected: the directory of the golden files, which explain
    :returns: the report, and whether any case differs
    :raises UsageError: a golden of a case that differs is garbled, or a record's transcript is
    """
    paint = painter(color)
    pairs = _pairs(a, b)
    changed = _explained(a, b, [c for pair in pairs if (c := _changed(*pair))], expected)
    alone = _alone(a, b)
    parts = [_names(a, b), _facts(a.environment.facts, b.environment.facts)]
    parts += _sections(changed, a, b, expected, paint, width)
    parts += [
        [f"{paint(printable(head), YELLOW)}  ({plural(len(ids), 'case')})",
         *wrapped(joined(ids), width)]
        for head, ids in alone.items()
    ]
    parts.append(_closing(len(pairs), changed, sum(map(len, alone.values())), paint))
    text = "\n\n".join("\n".join(part) for part in parts if part) + "\n"
    return text, bool(changed or alone)


def _names(a: Record, b: Record) -> list[str]:
    return [
        f"{side}  {printable(record.environment.name)}, {printable(record.started)}"
        for side, record in zip(_SIDES, (a, b), strict=True)
    ]


def _facts(a: Mapping[str, object], b: Mapping[str, object]) -> list[str]:
    """List the facts that differ; ``-`` stands for one that a record does not have."""
    rows = [
        (printable(name), *(_cut(fact(facts.get(name, "-"))) for facts in (a, b)))
        for name in sorted(a.keys() | b.keys())
        if a.get(name) != b.get(name)
    ]
    widths = [max(map(len, column)) for column in list(zip(*rows, strict=True))[:2]]
    lines = [f"  {n:{widths[0]}}  {old:{widths[1]}} -> {new}" for n, old, new in rows]
    return ["facts that differ", *lines] if lines else []


def _cut(text: str) -> str:
    return text if len(text) <= _VALUE else f"{text[: _VALUE - 3]}..."


def _pairs(a: Record, b: Record) -> list[tuple[CaseRecord, CaseRecord]]:
    """Give the cases that both traced to their end."""
    others = {case.id: case for case in b.cases if case.verdict not in _UNTRACED}
    return [
        (case, others[case.id])
        for case in a.cases
        if case.id in others and case.verdict not in _UNTRACED
    ]


def _alone(a: Record, b: Record) -> dict[str, list[str]]:
    """Give the ids of the cases that just one traced, by what became of them in the other."""
    alone: dict[str, list[str]] = {}
    for side, mine, theirs in (("a", a, b), ("b", b, a)):
        others = {case.id: case for case in theirs.cases}
        for case in mine.cases:
            other = others.get(case.id)
            if case.verdict not in _UNTRACED and (not other or other.verdict in _UNTRACED):
                why = f"{other.verdict} {one_line(other.reason)}" if other else "not run"
                head = f"only in {side}; {'b' if side == 'a' else 'a'}: {why}"
                alone.setdefault(head, []).append(case.id)
    return alone


def _changed(a: CaseRecord, b: CaseRecord) -> _Changed | None:
    """Compare the commonest transcripts of one case, if not all are the same on both sides."""
    if {t.lines for t in a.transcripts} == {t.lines for t in b.transcripts}:
        return None
    one, other = (_commonest(case) for case in (a, b))
    differences = align(parsed(one.lines), parsed(other.lines))
    return _Changed(b, (a.verdict, b.verdict), (one, other), differences, None)


def _commonest(case: CaseRecord) -> TranscriptRecord:
    nothing = TranscriptRecord(1, (), ())
    return max(case.transcripts, key=lambda transcript: transcript.count, default=nothing)


# Why.


def _explained(
    a: Record, b: Record, changed: Iterable[_Changed], expected: Path
) -> list[_Changed]:
    """Find what explains each difference, in the order in which a reader wants them."""
    words = vocabulary(expected)
    known = expectation.load_known(expected, words)
    facts = (a.environment.facts, b.environment.facts)
    steady = [{case.id for case in r.cases if len(case.transcripts) == 1} for r in (a, b)]
    found = []
    for each in sorted(changed, key=_gravity):
        case_id = each.case.id
        wanted = expectation.find(expected, case_id, words)
        if wanted and case_id in steady[0] & steady[1]:
            sides = [
                Side(values, parsed(transcript.lines))
                for values, transcript in zip(facts, each.transcripts, strict=True)
            ]
            each = replace(each, explanation=explain(wanted, known, sides[0], sides[1]))
        found.append(each)
    return found


def _gravity(changed: _Changed) -> tuple[int, int, str]:
    """Order by what hits user space hardest, and then by how the kernel is entered."""
    names = {name for difference in changed.differences for name in difference.fields}
    rank = min((_rank(_FIELDS, name) for name in names), default=len(_FIELDS))
    return rank, _rank(_FAMILIES, changed.case.family), changed.case.id


def _rank(order: Sequence[str], name: str) -> int:
    return order.index(name if name in order else _OTHER)


def _sections(
    changed: Sequence[_Changed],
    a: Record,
    b: Record,
    expected: Path,
    paint: Paint,
    width: int,
) -> Iterator[list[str]]:
    """Write what nothing explains, then what each fact does, then the weak fields."""
    unexplained = [each for each in changed if each.explanation is None]
    if unexplained:
        yield _heading("explained by no fact", unexplained, paint, RED)
        yield from (_group(group, paint, width, SHOWN) for group in _grouped(unexplained))
    causes: dict[Explanation, list[_Changed]] = {}
    for each in changed:
        if each.explanation and each.explanation.facts:
            causes.setdefault(each.explanation, []).append(each)
    known = {change.name: change for change in changes(expected)}
    for cause in sorted(causes, key=lambda cause: _age(cause, known)):
        heads = " or ".join(" with ".join(names) for names in cause.facts)
        told = _heading(f"explained by {heads}", causes[cause], paint, GREEN)
        yield told + _why(cause, known, a, b, width)
        yield from (_group(group, paint, width, 1) for group in _grouped(causes[cause]))
    weak = [each for each in changed if each.explanation and not each.explanation.facts]
    if weak:
        yield _heading("weak fields: one golden fits both", weak, paint, YELLOW)
        yield [line for group in _by_weak(weak, width) for line in group]


def _heading(text: str, cases: Sequence[_Changed], paint: Paint, code: str) -> list[str]:
    return [paint(f"== {text}  ({plural(len(cases), 'case')})", code)]


def _age(cause: Explanation, known: Mapping[str, Change]) -> tuple[bool, list[Version], str]:
    """Put the kernel's changes first, from the oldest, and then what is the machine's."""
    names = [name for each in cause.facts for name in each]
    ages = [known[name].since for name in names if name in known]
    return not ages, ages, " ".join(names)


def _why(
    cause: Explanation, known: Mapping[str, Change], a: Record, b: Record, width: int
) -> list[str]:
    """Say of each fact its two values, and of a change of the kernel its commit."""
    lines = []
    for name in dict.fromkeys(name for names in cause.facts for name in names):
        old, new = (fact(record.environment.facts[name]) for record in (a, b))
        lines.append(f"   {name}: {old} -> {new}")
        if name in known:
            change = known[name]
            releases = ", ".join(f"v{release}" for release in (change.since, *change.backports))
            text = f'commit {change.commit} ("{change.subject.strip()}") (in {releases})'
            for paragraph in (text, " ".join(change.observable.split())):
                lines += [f"      {row}" for row in textwrap.wrap(paragraph, width - 6)]
    return list(map(printable, lines))


def _by_weak(changed: Iterable[_Changed], width: int) -> Iterator[list[str]]:
    """Name the cases under the weak fields in which they differ."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for each in changed:
        fields = each.explanation.weak if each.explanation else ()
        groups.setdefault(fields, []).append(each.case.id)
    for fields, ids in groups.items():
        yield [f"{printable(', '.join(fields))}  ({plural(len(ids), 'case')})",
               *wrapped(joined(ids), width)]


# What.


def _grouped(changed: Iterable[_Changed]) -> list[list[_Changed]]:
    """Group by equal changes; each group stands where its first case does."""
    groups: dict[tuple[str, ...], list[_Changed]] = {}
    for each in changed:
        groups.setdefault(each.changes, []).append(each)
    return list(groups.values())


def _group(group: list[_Changed], paint: Paint, width: int, shown: int) -> list[str]:
    """Show cases that differ equally: their names, and the lines of the first."""
    first = group[0]
    head = paint(one_line(headline(first.changes)), BOLD)
    lines = [f"{head}  ({plural(len(group), 'case')})"]
    lines += wrapped(joined([each.case.id for each in group]), width)
    positions = [0, 0]
    for difference in first.differences[:shown]:
        pair = (difference.expected, difference.observed)
        lines += side_by_side(_SIDES, pair, difference.fields, paint, width)
        for index, side in enumerate(_SIDES):
            transcript, line = first.transcripts[index], pair[index]
            stop, positions[index] = raw_stop(transcript, line, positions[index])
            raw = raw_values(difference.fields, line, pair[1 - index], stop)
            lines += labelled(f"raw {side}", raw)
    lines += and_more(len(first.differences) - shown)
    if not first.explanation:
        breaks = dict.fromkeys(name for each in group for name in each.case.breaks)
        lines += labelled("verdict", ["a {}, b {}".format(*first.verdicts)])
        lines += labelled("breaks", map(consumer, breaks))
    return lines


def _closing(common: int, changed: Sequence[_Changed], alone: int, paint: Paint) -> list[str]:
    lines = []
    if changed:
        causes = [each.explanation for each in changed]
        weak = sum(cause is not None and not cause.facts for cause in causes)
        explained = len(causes) - weak - causes.count(None)
        told = f"{explained} explained, {weak} in weak fields, {causes.count(None)} unexplained"
        lines.append(paint(told, RED if None in causes else GREEN))
    same = f"{plural(common, 'case')} in both: {common - len(changed)} the same, {len(changed)} not"
    only = f"; {alone} only in one" if alone else ""
    return [*lines, paint(same + only, RED if changed or alone else GREEN)]
