# SPDX-License-Identifier: GPL-2.0-only
"""What a page says of a soak: frames over time, and what orig_ax held in all of them."""

from __future__ import annotations

from collections.abc import Sequence

from conformance.record import SoakPath, SoakRecord
from conformance.reports import one_line, plural
from conformance.reports.page import plot
from conformance.reports.page.gathering import Column
from conformance.reports.page.markup import Html, join, tag


def soaks(columns: Sequence[Column]) -> Html:
    """Plot every soak among the records."""
    found = [(column, column.record.soak) for column in columns]
    return join(_soak(column, soak) for column, soak in found if soak)


def _soak(column: Column, soak: SoakRecord) -> Html:
    curves = [plot.Curve(path.case, path.seconds, path.frames) for path in soak.paths]
    frames = sum(path.frames[-1] for path in soak.paths if path.frames)
    head = tag("h3", column.name, " ", tag("small", f"{frames:,} frames".replace(",", " ")))
    return join([head, plot.curves(curves), *map(_path, soak.paths)])


def _path(path: SoakPath) -> Html:
    told = f"row {path.row}, CPU {path.cpu}, {plural(path.interrupts, 'interrupt')}"
    unproven = f", {path.unproven} stops not counted" if path.unproven else ""
    head = tag("h4", tag("code", path.case), " ", tag("small", told, unproven))
    return join([head, plot.histogram(path.values), *_lines(path)])


def _lines(path: SoakPath) -> Sequence[Html]:
    """List the lines that its frames gave, each with its count, the rarest first."""
    ranked = sorted(path.lines, key=lambda line: (line.frames, line.line))
    items = [
        tag("li", tag("code", one_line(each.line)), " ",
            tag("small", f"{plural(each.frames, 'frame')}, the first after {each.first:.1f} s"))
        for each in ranked
    ]  # fmt: skip
    more = f"{plural(path.further, 'frame')} of further kinds, which were not kept"
    return [tag("ul", join(items)) if items else Html(""),
            tag("p", more) if path.further else Html("")]  # fmt: skip
