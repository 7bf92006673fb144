# SPDX-License-Identifier: GPL-2.0-only
"""The matrix of a page: rows are cases, columns are environments, a letter a cell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Final

from conformance.record import PASS
from conformance.reports import FAILING, plural
from conformance.reports.matrix import MARKS, Joined, joined
from conformance.reports.page.gathering import OTHER, Column, Gathered, numbers
from conformance.reports.page.markup import Html, join, link, tag

CLASSES: Final[Mapping[str, str]] = {".": "p", "-": "s", " ": "n"}
"""Classes of the marks that are no letters; a letter is its own."""
QUIET: Final = f".-{OTHER} "
"""Marks of cells that are as they should be, or were not judged: only the others are links."""

_FAILING: Final = frozenset(MARKS[verdict] for verdict in FAILING)
_CELLS: Final = {mark: Html(f"<td class={CLASSES.get(mark, mark)}>{mark}") for mark in "-v"} | {
    ".": Html("<td>."),
    " ": Html("<td>"),
}
"""The cells of which there are thousands. HTML lets a cell's end go without saying."""


def mark(letter: str) -> Html:
    """Write a mark by itself, in its colour."""
    return tag("b", letter, class_=f"mark {CLASSES.get(letter, letter)}")


def anchor(case_id: str, column: Column) -> str:
    """Name a cell in links: ``CASE@ENVIRONMENT``."""
    return f"{case_id}@{column.name}"


_LISTED: Final = 24
"""Cases of one list that are shown at once; the others are to be opened."""


def cells(where: Mapping[str, Sequence[Column]]) -> Html:
    """List cells that fail by their case, each by the number of its environment and a link."""
    return folded([
        join([link(case_id, case_id), " on ",
              join([link(anchor(case_id, each), str(each.number)) for each in columns], ", ")])
        for case_id, columns in where.items()
    ])  # fmt: skip


def folded(items: Sequence[Html]) -> Html:
    """List what may be many: the first at once, the others to be opened."""
    told = [tag("li", item) for item in items]
    shown = tag("ul", join(told[:_LISTED]), class_="cells")
    if told[_LISTED:]:
        rest = tag("summary", plural(len(told) - _LISTED, "more case"))
        rest = tag("details", rest, tag("ul", join(told[_LISTED:]), class_="cells"))
        shown = join([shown, rest])
    return shown


def matrix(gathered: Gathered) -> Html:
    """Write the legend and the table."""
    firsts = [fold[0] for fold in gathered.folds]
    rows = {
        case_id: tuple(marks[column.number - 1] for column in firsts)
        for case_id, marks in gathered.marks.items()
    }
    bodies = [
        tag("tbody", join(_rows(each, rows, firsts)), class_=_class(each, firsts), data_f=family)
        for family, group in groupby(joined(rows), key=lambda each: each.ids[0].partition(".")[0])
        for each in group
    ]
    table = tag("table", _head(gathered.folds), join(bodies, "\n"), id="grid", tabindex=0,
                aria_label="matrix")  # fmt: skip
    return join([_legend(rows), tag("div", table, class_="scroll")])


def _legend(rows: Mapping[str, Sequence[str]]) -> Html:
    shown = {letter for row in rows.values() for letter in row}
    words = {"." if v == PASS else MARKS[v]: v.lower() for v in MARKS}
    words[OTHER] = "pass, by another variant than most here"
    told = [join([mark(m), f" {word}"]) for m, word in words.items() if m in shown]
    blank = ["(blank) not in the record"] if " " in shown else []
    return tag("p", join([*told, *blank], "   "), class_="legend")


def _head(folds: Sequence[Sequence[Column]]) -> Html:
    names, numbered = [Html("<th>")], [tag("th", "cases", scope="col")]
    for fold in folds:
        label = fold[0].name.removeprefix("linux-")
        number = tag("small", f"{len(fold)} equal: ") if len(fold) > 1 else ""
        told = tag("span", number, link(f"@{fold[0].name}", label))
        names.append(tag("th", told, title=", ".join(column.name for column in fold)))
        own = " ".join(str(column.number) for column in fold)
        numbered.append(tag("th", numbers(fold), scope="col", data_e=own))
    return tag("thead", tag("tr", join(names), class_="names"), tag("tr", join(numbered)))


def _class(each: Joined, columns: Sequence[Column]) -> str | None:
    """Tell rows that fold, and those that fail elsewhere than where the machine was lost."""
    bad = any(
        letter in _FAILING and not column.lost
        for letter, column in zip(each.row, columns, strict=True)
    )
    return " ".join(["fold"] * (len(each.ids) > 1) + ["bad"] * bad) or None


def _rows(
    each: Joined, rows: Mapping[str, Sequence[str]], columns: Sequence[Column]
) -> Iterator[Html]:
    """Write a case's row; of cases that are equal first one for all, which opens the others."""
    if len(each.ids) > 1:
        head = tag("label", tag("input", type="checkbox"), each.label)
        yield Html(f"<tr class=all><th>{head}{_cells(each.row)}")
    for case_id in each.ids:
        head = tag("th", link(case_id, case_id), scope="row")
        yield Html(f"\n<tr>{head}{_cells(rows[case_id], case_id, columns)}")


def _cells(row: Sequence[str], case_id: str = "", columns: Sequence[Column] = ()) -> str:
    if not case_id:
        return "".join(_CELLS.get(m) or f"<td class={m}>{m}" for m in row)
    return "".join(
        _CELLS.get(m) or f"<td class={m}>{m if column.lost else link(anchor(case_id, column), m)}"
        for m, column in zip(row, columns, strict=True)
    )
