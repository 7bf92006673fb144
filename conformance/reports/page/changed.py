# SPDX-License-Identifier: GPL-2.0-only
"""What a page says of the changes since a baseline: each transition, and how it fails now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from conformance.changes import (
    MEANINGS,
    NEW_FAILURE,
    REGRESSION,
    STILL_FAILING,
    TRANSITIONS,
    Change,
    place,
)
from conformance.reports import one_line, plural, title
from conformance.reports.matrix import MARKS
from conformance.reports.page.gathering import Column
from conformance.reports.page.markup import Html, join, tag
from conformance.reports.page.matrix import cells, mark

_BAD: Final = (REGRESSION, NEW_FAILURE, STILL_FAILING)


def changed(changes: Sequence[Change], columns: Sequence[Column]) -> Html:
    """Write the cells that did not stay as they were, the gravest transition first."""
    if not changes:
        return tag("p", "Nothing changed since the baseline.")
    # Of several records of one place the last counts, as it does for what compared them.
    at = {place(c.record): c for c in sorted(columns, key=lambda c: c.record.started)}
    parts = []
    for transition in TRANSITIONS:
        mine = [each for each in changes if each.transition == transition]
        if mine:
            size = f"{plural(len(mine), 'cell')}: {MEANINGS[transition]}"
            head = tag("h3", transition, " ", tag("small", size),
                       class_="worse" if transition in _BAD else None)  # fmt: skip
            parts.append(join([head, *_groups(mine, at)]))
    return join(parts, "\n")


def _groups(changes: Iterable[Change], at: Mapping[str, Column]) -> Iterable[Html]:
    groups: dict[tuple[str, str, str], dict[str, list[Column | str]]] = {}
    for each in changes:
        how = one_line(title(each.after)) if each.transition in _BAD and each.after else ""
        was, now = (MARKS[case.verdict] if case else " " for case in (each.before, each.after))
        where = groups.setdefault((was, now, how), {}).setdefault(each.case_id, [])
        where.append(at.get(each.place, each.place) if each.after else each.place)
    for (was, now, how), listed in groups.items():
        yield tag("p", mark(was), " to ", mark(now), " ", tag("code", how) if how else "")
        yield cells(listed)
