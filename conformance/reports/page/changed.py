# SPDX-License-Identifier: GPL-2.0-only
"""What a page says of the changes since a baseline: each transition, and how it fails now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from conformance.changes import MEANINGS, TRANSITIONS, WORSE, Change, latest
from conformance.reports import one_line, plural, title
from conformance.reports.matrix import MARKS
from conformance.reports.page.gathering import Column, numbers
from conformance.reports.page.markup import Html, join, link, tag
from conformance.reports.page.matrix import cells, folded, mark


def changed(changes: Sequence[Change], columns: Sequence[Column]) -> Html:
    """Write the cells that did not stay as they were, the gravest transition first."""
    if not changes:
        return tag("p", "Nothing changed since the baseline.")
    by_record = {id(column.record): column for column in columns}
    compared = latest([column.record for column in columns])
    at = {name: by_record[id(record)] for name, record in compared.items()}
    parts = []
    for transition in TRANSITIONS:
        mine = [each for each in changes if each.transition == transition]
        if mine:
            size = f"{plural(len(mine), 'cell')}: {MEANINGS[transition]}"
            head = tag("h3", transition, " ", tag("small", size),
                       class_="worse" if transition in WORSE else None)  # fmt: skip
            parts.append(join([head, *_groups(mine, at)]))
    return join(parts, "\n")


def _groups(changes: Iterable[Change], at: Mapping[str, Column]) -> Iterator[Html]:
    """Put cells together that went the same way; where a whole place is gone, just say so."""
    gone: Counter[str] = Counter()
    groups: dict[tuple[str, str, str], dict[str, list[Column]]] = {}
    for each in changes:
        column = at.get(each.place)
        if column is None or column.lost:
            gone[each.place] += 1
            continue
        how = one_line(title(each.after)) if each.transition in WORSE and each.after else ""
        was, now = (MARKS[case.verdict] if case else " " for case in (each.before, each.after))
        groups.setdefault((was, now, how), {}).setdefault(each.case_id, []).append(column)
    for (was, now, how), where in groups.items():
        yield tag("p", mark(was), " to ", mark(now), " ", tag("code", how) if how else "")
        ordered = {case_id: sorted(columns, key=_number) for case_id, columns in where.items()}
        yield cells(ordered) if how else folded([_told(*each, now) for each in ordered.items()])
    for name, count in gone.items():
        what = "was lost" if name in at else "has no record any more"
        yield tag("p", tag("code", name), f" {what}: {plural(count, 'cell')}")


def _told(case_id: str, columns: Sequence[Column], now: str) -> Html:
    """Name cells that do not fail: only those that do have a place of their own on the page."""
    return join([case_id if now == " " else link(case_id, case_id), f" on {numbers(columns)}"])


def _number(column: Column) -> int:
    return column.number
