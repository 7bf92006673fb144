# SPDX-License-Identifier: GPL-2.0-only
"""Behaviours by doors: how many cases each has, and why some have none."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from conformance.coverage import OPEN, PLACES, Coverage
from conformance.reports import BOLD, GREEN, RED, WIDTH, YELLOW, Paint, painter, plural, wrapped

_MARKS: Final[Mapping[str, str]] = {
    "-": "does not exist there",
    ".": "none, nor is one asked for",
    "o": "none yet, for a reason",
    "x": "none can be, for a reason",
    "!": "none, and no reason",
}
"""What stands where there is no case."""
_COLORS: Final = {"o": YELLOW, "x": YELLOW, "!": RED}


def table(
    shown: Sequence[Coverage], color: bool, *, reasons: bool = False, width: int = WIDTH
) -> str:
    """Write a line a row: its number, its name, and its cases at each door and in each ABI.

    :param reasons: below each row write why cases are missing
    """
    paint = painter(color)
    marks = [[_mark(covered, place) for place in PLACES] for covered in shown]
    cell = max([2, *(len(mark) for row in marks for mark in row)]) + 1
    beside = max(len(head) for head in _heads(0, cell))
    left = min(max((len(_label(each)) for each in shown), default=0), width - beside)
    lines = [*_legend(marks, width), "", *(paint(line, BOLD) for line in _heads(left, cell))]
    for covered, row in zip(shown, marks, strict=True):
        label = _label(covered)
        label = label if len(label) <= left else f"{label[: left - 3]}..."
        cells = (" " * (cell - len(m)) + paint(m, _COLORS[m]) if m in _COLORS else f"{m:>{cell}}"
                 for m in row)  # fmt: skip
        lines.append(f"{label:{left}}{''.join(cells)}")
        lines += _reasons(covered, width) if reasons else ()
    return "\n".join(lines) + "\n\n" if shown else ""


def rows(shown: Sequence[Coverage], color: bool, width: int = WIDTH) -> str:
    """Write the cases of each row by their names, door by door, and the reasons for none."""
    paint = painter(color)
    return "".join("\n".join(_row(covered, paint, width)) + "\n\n" for covered in shown)


def closing(
    every: Sequence[Coverage], wrong: Sequence[str], color: bool, width: int = WIDTH
) -> str:
    """Write what is wrong, and the totals on the last line."""
    paint = painter(color)
    unexplained = sum(bool(covered.unexplained) for covered in every)
    missing = sum(bool(covered.missing) for covered in every)
    lines = [paint(line, RED) for each in wrong for line in _folded("", each, width)]
    total = (
        f"{plural(len(every), 'behaviour')}: {len(every) - missing} covered, "
        f"{missing - unexplained} with a reason, {unexplained} with neither"
    )
    return "\n".join([*lines, paint(total, RED if wrong else GREEN)]) + "\n"


def _label(covered: Coverage) -> str:
    return f"{covered.row.number:>3}  {covered.row.name}"


def _mark(covered: Coverage, place: str) -> str:
    """Give the number of cases, or what stands where there is none."""
    number = len(covered.at(place))
    if number:
        return str(number)
    if place in covered.missing:
        reason = covered.row.reason(place)
        return "!" if reason is None else "o" if reason.startswith(OPEN) else "x"
    return "." if covered.row.exists(place) else "-"


def _legend(marks: Sequence[Sequence[str]], width: int) -> Iterator[str]:
    shown = {mark for row in marks for mark in row}
    return wrapped([f"{mark} {text}" for mark, text in _MARKS.items() if mark in shown], width)


def _heads(left: int, cell: int) -> Iterator[str]:
    """Name the columns, each on a line of its own, so that they may be narrow."""
    for index, place in enumerate(PLACES):
        bars = "|".rjust(cell) * index
        yield f"{' ' * left}{bars}{' ' * (cell - 1)}{place}"


def _reasons(covered: Coverage, width: int) -> Iterator[str]:
    """Write each reason once, behind the places that it is of."""
    for reason in dict.fromkeys(map(covered.row.reason, covered.missing)):
        places = [place for place in covered.missing if covered.row.reason(place) == reason]
        if reason is not None:
            yield from _folded("     ", f"{', '.join(places)}: {reason}", width)


def _row(covered: Coverage, paint: Paint, width: int) -> Iterator[str]:
    row = covered.row
    yield paint(f"{row.number}  {row.name}", BOLD)
    for place in PLACES:
        ids = [c.id for c in covered.cases if place == (c.abi if c.door == "none" else c.door)]
        if ids:
            yield from _folded(f"  {place:9}  ", "  ".join(ids), width)
        if place in covered.missing:
            reason = row.reason(place)
            told = paint(reason, YELLOW) if reason else paint("no case, and no reason", RED)
            yield from _folded(f"  {place:9}  ", told, width)


def _folded(head: str, text: str, width: int) -> list[str]:
    return textwrap.wrap(
        head + text, width, subsequent_indent=" " * (len(head) or 4), break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip
