# SPDX-License-Identifier: GPL-2.0-only
"""What changed since a baseline, for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Final

from conformance.changes import FIXED, MEANINGS, NEW_PASS, TRANSITIONS, WORSE, Change
from conformance.reports import BOLD, GREEN, RED, YELLOW, one_line, painter, plural, title, wrapped
from conformance.reports.terminal import joined

_GOOD: Final = (FIXED, NEW_PASS)
NAMED: Final = 40
"""Cases, at most, that are named one by one."""


def text(changes: Sequence[Change], color: bool) -> str:
    """Tell the transitions, the gravest first; what fails now, with how it fails."""
    paint = painter(color)
    if not changes:
        return "nothing changed since the baseline\n"
    lines: list[str] = []
    for transition in TRANSITIONS:
        mine = [each for each in changes if each.transition == transition]
        if mine:
            code = RED if transition in WORSE else GREEN if transition in _GOOD else YELLOW
            head = f"{paint(transition, code)}: {MEANINGS[transition]}  "
            lines += [f"{head}({plural(len(mine), 'cell')})", *_told(mine), ""]
    counts = (f"{n} {t}" for t in TRANSITIONS if (n := _count(changes, t)))
    return "\n".join([*lines, paint(f"since the baseline: {', '.join(counts)}", BOLD), ""])


def _count(changes: Sequence[Change], transition: str) -> int:
    return sum(each.transition == transition for each in changes)


def _told(changes: Sequence[Change]) -> Iterator[str]:
    """Name the cells place by place; those that fail now under how they fail."""
    for where, of_place in groupby(changes, key=lambda each: each.place):
        groups: dict[str, list[str]] = {}
        for each in of_place:
            fails = each.transition in WORSE and each.after
            how = one_line(title(each.after)) if fails and each.after else ""
            groups.setdefault(how, []).append(each.case_id)
        yield f"  {one_line(where)}"
        for how, ids in groups.items():
            yield from [f"    {how}"] if how else []
            named = joined(ids) if len(ids) <= NAMED else _families(ids)
            yield from (f"    {line}" for line in wrapped(named, 96))


def _families(ids: Sequence[str]) -> Iterator[str]:
    """Count the cases of each family: a whole place is new, or gone."""
    for family, members in groupby(ids, key=lambda case_id: case_id.partition(".")[0]):
        yield f"{family}.* ({len(list(members))})"
