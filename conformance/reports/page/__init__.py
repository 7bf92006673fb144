# SPDX-License-Identifier: GPL-2.0-only
"""The report as a page: one file of HTML, which asks nothing of any network.

All that it says stands in the HTML, and can be read without JavaScript; the script opens, filters
and moves. A policy in the page lets run just the style sheet and the script that it came with, so
that nothing of a record could run even if it were markup, which :mod:`.markup` does not let it be.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from conformance.changes import Change
from conformance.places import PACKAGE
from conformance.record import MISS, SKIP, VERDICTS, Record
from conformance.reports import FAILING, plural
from conformance.reports.page import cases, changed, environments, matrix, soak
from conformance.reports.page.gathering import Column, Gathered, gather, numbers
from conformance.reports.page.markup import Html, join, link, tag

_HERE: Final = PACKAGE / "reports" / "page"


def page(
    records: Sequence[Record], expected: Path, changes: Sequence[Change] | None = None
) -> str:
    """Write records as a page.

    :param records: one or more, of any environments; of cells that passed no raw stops are needed
    :param expected: the directory of the golden files
    :param changes: since a baseline; None where there is none
    :returns: HTML in ASCII, the same for the same records
    :raises UsageError: a golden is garbled
    """
    gathered = gather(records, expected)
    style, script = (_own(name) for name in ("page.css", "page.js"))
    head = tag(
        "head", tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_policy(style, script)),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", f"origax: {_verdict(gathered)}"), tag("style", style),
    )  # fmt: skip
    body = tag("body", _body(gathered, changes), tag("script", script))
    return f'<!DOCTYPE html>\n<html lang="en">\n{head}\n{body}\n</html>\n'


def _own(name: str) -> Html:
    return Html((_HERE / name).read_text(encoding="ascii"))


def _policy(style: str, script: str) -> str:
    """Allow the page's own style sheet and script, by their hashes, and nothing else."""
    hashes = [
        base64.b64encode(hashlib.sha256(text.encode("ascii")).digest()).decode("ascii")
        for text in (style, script)
    ]
    return (
        f"default-src 'none'; style-src 'sha256-{hashes[0]}'; script-src 'sha256-{hashes[1]}'; "
        "base-uri 'none'; form-action 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    )


def _body(gathered: Gathered, changes: Sequence[Change] | None) -> Html:
    columns = gathered.columns
    since = Html("") if changes is None else changed.changed(changes, columns)
    sections: Mapping[str, tuple[str, Html]] = {
        "since": ("Since the baseline", since),
        "matrix": ("Cases by environments", join([_filters(gathered), matrix.matrix(gathered)])),
        "differences": ("Not as expected", cases.differences(gathered)),
        "soak": ("Soak", soak.soaks(columns)),
        "environments": ("Environments", join([
            environments.environments(columns), environments.facts(columns)])),
        "skipped": ("Skipped", cases.skipped(gathered)),
        "known": (f"Known issues ({len(gathered.known)})", environments.known(gathered)),
        "consumers": ("Who relies on it", cases.consumers(gathered)),
        "changes": ("Changes of the kernel behind the variants", environments.changes(gathered)),
    }  # fmt: skip
    shown = [
        tag("section", tag("h2", title), inside, id=name)
        for name, (title, inside) in sections.items()
        if inside
    ]
    top = [tag("h1", "origax"), tag("p", _verdict(gathered), class_="verdict"), _tally(gathered)]
    menu = tag("nav", join([link(name, title) for name, (title, inside) in sections.items()
                            if inside], "  "))  # fmt: skip
    every = tag("section", tag("h2", "Every case"), _bar(), cases.cases(gathered),
                tag("p", tag("small", _RAW)), id="cases")  # fmt: skip
    main = tag("main", join(shown, "\n"), every)
    return join([tag("header", join(top), menu), main, _footer(columns)], "\n")


_RAW: Final = "The raw values of cells that are as expected are in their records, and not here."


def _footer(columns: Sequence[Column]) -> Html:
    """Say which origax wrote the records, with which probes."""
    tools: dict[str, list[Column]] = {}
    for column in columns:
        tool = column.record.tool
        told = f"{tool.name} {tool.version}, probes {tool.probes[:12]}"
        tools.setdefault(told, []).append(column)
    written = [f"{told}: records {numbers(mine)}" for told, mine in tools.items()]
    return tag("footer", tag("small", "; ".join(written)))


def _verdict(gathered: Gathered) -> str:
    """Say in one sentence what came of it all."""
    lost = sum(column.lost for column in gathered.columns)
    head = f"{plural(len(gathered.outcomes), 'case')} on " + plural(
        len(gathered.columns), "environment"
    )
    cells = [cell for group in gathered.alike.values() for cell in group]
    judged = {verdict for column in gathered.columns for verdict in column.record.verdicts}
    told = "all as expected" if judged - {SKIP, MISS} else "nothing was judged"
    if cells:
        bad = plural(len({case.id for _, case in cells}), "case")
        where = len({column.number for column, _ in cells})
        kinds = plural(len(gathered.alike), "difference")
        told = (
            f"{bad} not as expected on {where} of them, "
            f"{plural(len(cells), 'cell')} with {kinds}"
        )
    return f"{head}: {told}" + (f"; {plural(lost, 'machine')} lost." if lost else ".")


def _tally(gathered: Gathered) -> Html:
    given = [verdict for column in gathered.columns for verdict in column.record.verdicts]
    told = [
        f"{given.count(verdict)} {verdict.lower()}"
        for verdict in sorted(VERDICTS, key=lambda verdict: verdict not in FAILING)
        if verdict in given
    ]
    return tag("p", f"{plural(len(given), 'cell')}: {', '.join(told)}", class_="tally")


def _filters(gathered: Gathered) -> Html:
    """Write the filters, which the script shows: without it they could do nothing."""
    families = dict.fromkeys(case_id.partition(".")[0] for case_id in gathered.outcomes)
    options = [tag("option", "every family", value=""), *(tag("option", f) for f in families)]
    return tag(
        "form",
        tag("label", tag("input", type="checkbox", name="failing"), " failing only"),
        tag("label", "case ", tag("input", type="search", name="case", size=18)),
        tag("label", "environment ", tag("input", type="search", name="env", size=18)),
        tag("label", "family ", tag("select", join(options), name="family")),
        tag("output", name="count"),
        tag("small", "arrows move in the table, Enter opens a cell, Escape closes it"),
        id="filters", hidden=True,
    )  # fmt: skip


def _bar() -> Html:
    """Write what closes an opened case, which the script shows."""
    return tag("p", tag("button", "close", type="button", id="close"), id="bar", hidden=True)
