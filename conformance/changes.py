# SPDX-License-Identifier: GPL-2.0-only
"""What changed between two sets of records: each cell's transition, in KernelCI's seven words.

A cell is one case at one place. A place is where a record comes from, whatever kernel ran there
that day: a box of a fleet, a guest of ``kernels run``, otherwise the environment.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from conformance.record import AS_EXPECTED, SKIP, CaseRecord, Record

REGRESSION: Final = "regression"
FIXED: Final = "fixed"
NEW_FAILURE: Final = "new failure"
STILL_FAILING: Final = "still failing"
NEW_PASS: Final = "new pass"
APPEARED: Final = "appeared"
DISAPPEARED: Final = "disappeared"
TRANSITIONS: Final = (
    REGRESSION, NEW_FAILURE, STILL_FAILING, FIXED, NEW_PASS, APPEARED, DISAPPEARED,
)  # fmt: skip
"""In the order in which a reader wants them."""

WORSE: Final = (REGRESSION, NEW_FAILURE, STILL_FAILING)
"""Those of cells that fail now."""

MEANINGS: Final[Mapping[str, str]] = {
    REGRESSION: "it was as expected, and is not any more",
    NEW_FAILURE: "it was not judged before, and is not as expected",
    STILL_FAILING: "it was not as expected, and is not now",
    FIXED: "it was not as expected, and is now",
    NEW_PASS: "it was not judged before, and is as expected",
    APPEARED: "it was not there before, and is skipped",
    DISAPPEARED: "it was there before, and is not judged any more",
}


@dataclass(frozen=True, slots=True)
class Change:
    """The transition of one cell.

    :ivar transition: of TRANSITIONS
    :ivar place: where both records come from
    :ivar before: what became of the case in the baseline; None where it was not there
    :ivar after: what became of it now; likewise
    """

    transition: str
    place: str
    case_id: str
    before: CaseRecord | None
    after: CaseRecord | None


def place(record: Record) -> str:
    """Name where a record comes from: the same in the next round, with another kernel."""
    build = record.environment.build
    names = (build.get(key, "") for key in ("box", "label", "guest"))
    return " ".join(filter(None, names)) or record.environment.name


def latest(records: Sequence[Record]) -> dict[str, Record]:
    """Give the record of each place that was begun last, in the order in which places are given."""
    found: dict[str, Record] = {}
    for record in records:
        kept = found.setdefault(place(record), record)
        if record.started >= kept.started:
            found[place(record)] = record
    return found


def changes(baseline: Sequence[Record], records: Sequence[Record]) -> tuple[Change, ...]:
    """Compare records with those of a baseline, cell by cell.

    A single record is compared with a single one wherever they come from: that is two kernels on
    one machine. Of several records of one place, the one that was begun last counts.

    :returns: the cells that did not stay as they were, the gravest transition first
    """
    before, after = latest(baseline), latest(records)
    if len(before) == len(after) == 1:
        before = dict(zip(after, before.values(), strict=True))
    found = (
        change
        for name in dict.fromkeys((*after, *before))
        for change in _of_place(name, before.get(name), after.get(name))
    )
    return tuple(sorted(found, key=lambda each: TRANSITIONS.index(each.transition)))


def _of_place(name: str, before: Record | None, after: Record | None) -> Iterator[Change]:
    old, new = _cases(before), _cases(after)
    for case_id in sorted(old.keys() | new.keys()):
        transition = _transition(old.get(case_id), new.get(case_id))
        if transition:
            yield Change(transition, name, case_id, old.get(case_id), new.get(case_id))


def _cases(record: Record | None) -> Mapping[str, CaseRecord]:
    return {case.id: case for case in record.cases} if record else {}


def _transition(before: CaseRecord | None, after: CaseRecord | None) -> str | None:
    was, fails = _judged(before), _judged(after)
    if fails is None:
        gone = was is not None or (before is not None and after is None)
        return DISAPPEARED if gone else APPEARED if before is None else None
    if was is None:
        return NEW_FAILURE if fails else NEW_PASS
    if was:
        return STILL_FAILING if fails else FIXED
    return REGRESSION if fails else None


def _judged(case: CaseRecord | None) -> bool | None:
    """Whether a case fails; None where nothing was judged."""
    if case is None or case.verdict == SKIP:
        return None
    return case.verdict not in AS_EXPECTED
