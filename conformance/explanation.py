# SPDX-License-Identifier: GPL-2.0-only
"""Why two kernels differ in a case: by the goldens of both, the fewest facts that tell them apart.

A golden's `when` says which facts its transcript depends on. Where both kernels are as their
goldens say, and these are two, the facts of one kernel are exchanged for those of the other until
they choose the other's golden: what had to be exchanged is the explanation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

from conformance import expectation
from conformance.errors import UsageError
from conformance.expectation import Expectation, KnownIssue, Transcript, align
from conformance.record import KNOWN, PASS

if TYPE_CHECKING:
    from conformance.facts import Value


@dataclass(frozen=True, slots=True)
class Side:
    """What one kernel showed of a case, and its facts."""

    facts: Mapping[str, Value]
    seen: Transcript


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a case differs.

    :ivar facts: the smallest sets of facts each of which explains it; empty: weak fields
    :ivar weak: the weak fields that differ, where one golden fits both
    """

    facts: tuple[tuple[str, ...], ...]
    weak: tuple[str, ...] = ()


def explain(
    wanted: Expectation, known: Sequence[KnownIssue], a: Side, b: Side
) -> Explanation | None:
    """Explain why two transcripts of a case differ; None where the goldens do not."""
    issues = [issue for issue in known if issue.case == wanted.case_id]
    one, other = (_fitting(wanted, issues, side) for side in (a, b))
    if one is None or other is None:
        return None
    if not align(one, b.seen) and not align(other, a.seen):
        fields = (name for each in align(a.seen, b.seen) for name in each.fields)
        return Explanation((), tuple(dict.fromkeys(fields)))
    both = a.facts.keys() & b.facts.keys()
    asked = _asked(wanted, issues)
    candidates = [name for name in asked if name in both and a.facts[name] != b.facts[name]]
    for size in range(1, len(candidates) + 1):
        sets = tuple(
            names
            for names in combinations(candidates, size)
            if _golden(wanted, issues, {**a.facts, **{n: b.facts[n] for n in names}}) == other
        )
        if sets:
            return Explanation(sets)
    return None


def _fitting(
    wanted: Expectation, issues: Sequence[KnownIssue], side: Side
) -> Transcript | None:
    """Give the golden of a side; None where it has none, or is not as that says."""
    golden = _golden(wanted, issues, side.facts)
    if golden is None:
        return None
    issue = expectation.known_here(issues, wanted.case_id, side.facts)
    verdict = expectation.judge(wanted, side.facts, side.seen, issue).verdict
    return golden if verdict in (PASS, KNOWN) else None


def _golden(
    wanted: Expectation, issues: Sequence[KnownIssue], facts: Mapping[str, Value]
) -> Transcript | None:
    """Give what the files say where these facts hold; None where that is nothing or two things.

    Facts of two machines may contradict each other, and an old record may lack one.
    """
    try:
        golden = expectation.known_here(issues, wanted.case_id, facts) or wanted.choose(facts)
    except UsageError:
        return None
    return golden.transcript if golden else None


def _asked(wanted: Expectation, issues: Iterable[KnownIssue]) -> list[str]:
    """Name the facts on which the golden of a case depends."""
    conditions = [*(each.when for each in wanted.variants), *(each.when for each in issues)]
    return sorted({name for when in conditions for name in expectation.asked(when)})
