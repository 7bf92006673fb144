# SPDX-License-Identifier: GPL-2.0-only
"""Two records compared with each other, and with no golden: what two kernels do differently."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from conformance.expectation import Difference, align
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

_UNTRACED: Final = (SKIP, ERROR, MISS)
_SIDES: Final = ("a", "b")
_REPEATS: Final = "the commonest transcript is the same, but some repeats gave another"


@dataclass(frozen=True, slots=True)
class _Changed:
    """A case that both kernels ran, with other transcripts."""

    case: CaseRecord
    transcripts: tuple[TranscriptRecord, TranscriptRecord]
    differences: tuple[Difference, ...]

    @property
    def changes(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(d.change for d in self.differences)) or (_REPEATS,)


def diff(a: Record, b: Record, color: bool, width: int = WIDTH) -> tuple[str, bool]:
    """Compare two records.

    Facts are told and judged by nobody: two kernels always have other ones. Cases that only one
    of the two traced do count, since nothing says that the other does the same.

    :returns: the report, and whether any case differs
    """
    paint = painter(color)
    pairs = _pairs(a, b)
    changed = [c for one, other in pairs if (c := _changed(one, other))]
    alone = _alone(a, b)
    parts = [_names(a, b), _facts(a.environment.facts, b.environment.facts)]
    parts += [_group(group, paint, width) for group in _grouped(changed)]
    parts += [
        [f"{paint(printable(head), YELLOW)}  ({plural(len(ids), 'case')})", *wrapped(ids, width)]
        for head, ids in alone.items()
    ]
    parts.append([_closing(len(pairs), len(changed), sum(map(len, alone.values())), paint)])
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
        (printable(name), *(fact(facts.get(name, "-")) for facts in (a, b)))
        for name in sorted(a.keys() | b.keys())
        if a.get(name) != b.get(name)
    ]
    widths = [max(map(len, column)) for column in list(zip(*rows, strict=True))[:2]]
    lines = [f"  {n:{widths[0]}}  {old:{widths[1]}} -> {new}" for n, old, new in rows]
    return ["facts that differ", *lines] if lines else []


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
    return _Changed(a, (one, other), differences)


def _commonest(case: CaseRecord) -> TranscriptRecord:
    nothing = TranscriptRecord(1, (), ())
    return max(case.transcripts, key=lambda transcript: transcript.count, default=nothing)


def _grouped(changed: Iterable[_Changed]) -> list[list[_Changed]]:
    """Group by equal changes, the largest group first."""
    groups: dict[tuple[str, ...], list[_Changed]] = {}
    for each in changed:
        groups.setdefault(each.changes, []).append(each)
    return sorted(groups.values(), key=lambda group: -len(group))


def _group(group: list[_Changed], paint: Paint, width: int) -> list[str]:
    """Show cases that differ equally: their names, and the lines of the first."""
    first = group[0]
    head = paint(one_line(headline(first.changes)), BOLD)
    lines = [f"{head}  ({plural(len(group), 'case')})"]
    lines += [f"  {each.case.id}" for each in group]
    positions = [0, 0]
    for difference in first.differences[:SHOWN]:
        pair = (difference.expected, difference.observed)
        lines += side_by_side(_SIDES, pair, difference.fields, paint, width)
        for index, side in enumerate(_SIDES):
            transcript, line = first.transcripts[index], pair[index]
            stop, positions[index] = raw_stop(transcript, line, positions[index])
            raw = raw_values(difference.fields, line, pair[1 - index], stop)
            lines += labelled(f"raw {side}", raw)
    return lines + and_more(len(first.differences) - SHOWN)


def _closing(common: int, changed: int, alone: int, paint: Paint) -> str:
    same = f"{plural(common, 'case')} in both: {common - changed} the same, {changed} not"
    only = f"; {alone} only in one" if alone else ""
    return paint(same + only, RED if changed or alone else GREEN)
