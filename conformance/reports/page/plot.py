# SPDX-License-Identifier: GPL-2.0-only
"""Plots of a soak, as SVG that stands in the page: its colours come from the page's style sheet."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from conformance.reports import plural
from conformance.reports.page.markup import Html, join, tag

_WIDTH: Final = 780
_HEIGHT: Final = 220
_LEFT: Final = 70
_RIGHT: Final = 250
_TOP: Final = 12
_BOTTOM: Final = 28
_APART: Final = 14
"""Units between the names of two curves, at least."""
_COLORS: Final = 7
"""How many curves differ by colour: ``k0`` to ``k6`` of the style sheet."""
_BAR: Final = 360
_SHORTEST: Final = 24
"""Units that the bar of even one frame of a million is long."""
_ROW: Final = 22


@dataclass(frozen=True, slots=True)
class Curve:
    """Frames over time, cumulated: as many `seconds` as `frames`."""

    name: str
    seconds: Sequence[float]
    frames: Sequence[float]


def curves(paths: Sequence[Curve]) -> Html:
    """Plot frames over seconds, a line a path, with its name at its end."""
    drawn = [path for path in paths if path.seconds]
    until = max((path.seconds[-1] for path in drawn), default=0) or 1
    most = max((max(path.frames) for path in drawn), default=0) or 1
    across = (_WIDTH - _LEFT - _RIGHT) / until
    up = (_HEIGHT - _TOP - _BOTTOM) / most
    ends = [_HEIGHT - _BOTTOM - path.frames[-1] * up for path in drawn]
    parts = [*_axes(until, most)]
    for index, (path, at) in enumerate(zip(drawn, _apart(ends), strict=True)):
        points = " ".join(
            f"{_LEFT + x * across:.1f},{_HEIGHT - _BOTTOM - y * up:.1f}"
            for x, y in zip(path.seconds, path.frames, strict=True)
        )
        color = f"k{index % _COLORS}"
        parts.append(tag("polyline", points=points, class_=color))
        name = f"{path.name} {_short(path.frames[-1])}"
        parts.append(_text(_WIDTH - _RIGHT + 6, at + 4, name, class_=color))
    return _svg(_HEIGHT, "frames over seconds, by path", parts)


def _axes(until: float, most: float) -> Iterable[Html]:
    floor, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
    for part in (0.0, 0.5, 1.0):
        y = floor - part * (floor - _TOP)
        x = _LEFT + part * (right - _LEFT)
        yield tag("line", x1=_LEFT, x2=right, y1=f"{y:.1f}", y2=f"{y:.1f}", class_="axis")
        yield _text(_LEFT - 6, y + 4, _short(part * most), text_anchor="end")
        yield _text(x, _HEIGHT - 10, f"{part * until:.3g} s", text_anchor="middle")


def _apart(ends: Sequence[float]) -> list[float]:
    """Move the places of names down until none covers another."""
    placed: dict[int, float] = {}
    last = -math.inf
    for index in sorted(range(len(ends)), key=lambda index: ends[index]):
        last = placed[index] = max(ends[index], last + _APART)
    over = max(0.0, last - (_HEIGHT - 4))
    return [placed[index] - over for index in range(len(ends))]


def _short(number: float) -> str:
    for unit, word in ((1e6, "M"), (1e3, "k")):
        if number >= unit:
            return f"{number / unit:.3g}{word}"
    return f"{number:.3g}"


def histogram(values: Mapping[str, int], expected: str = "-1") -> Html:
    """Draw how many frames had which orig_ax: bars on a logarithmic scale, the unexpected first.

    Whatever is not `expected` has a bar that is seen, in red, and a mark in words, even if it is
    one of a million.
    """
    order = sorted(values, key=lambda value: (value == expected, -values[value], value))
    most = math.log10(max(values.values(), default=1) + 1) or 1
    parts = []
    for row, value in enumerate(order):
        count = values[value]
        wrong = value != expected
        length = max(_SHORTEST, math.log10(count + 1) / most * _BAR) if count else 0
        y, color = row * _ROW, "wrong" if wrong else "right"
        parts.append(_text(_LEFT + 20, y + 15, value, text_anchor="end", class_=color))
        parts.append(
            tag("rect", x=_LEFT + 28, y=y + 3, width=f"{length:.1f}", height=16, class_=color)
        )
        told = f"{count:,}".replace(",", " ")
        told = f"{plural(count, 'frame').replace(str(count), told)}{' UNEXPECTED' if wrong else ''}"
        parts.append(_text(_LEFT + 36 + length, y + 15, told, class_=color))
    return _svg(_ROW * len(order) + 4, "frames by orig_ax, on a logarithmic scale", parts)


def _text(x: float, y: float, text: str, **attributes: str) -> Html:
    return tag("text", text, x=f"{x:.1f}", y=f"{y:.1f}", **attributes)


def _svg(height: int, label: str, parts: Iterable[Html]) -> Html:
    box = f"0 0 {_WIDTH} {height}"
    return tag("svg", join(parts), viewBox=box, width=_WIDTH, height=height, role="img",
               aria_label=label)  # fmt: skip
