# SPDX-License-Identifier: GPL-2.0-only
"""`origax doctor`: every fact of this machine, and what each missing one costs."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final, Protocol

from conformance.facts import Environment, Fact, Value
from conformance.reports import BOLD, GREEN, WIDTH, YELLOW, Paint, fact, painter, plural, printable

_VALUE: Final = 20
"""Columns of the value; a longer one gets lines of its own."""
_UNKNOWN: Final = "correct the case's needs: there is no such fact"


class Needy(Protocol):
    """What the doctor asks of a case."""

    @property
    def id(self) -> str:
        """``FAMILY.NAME``."""

    @property
    def needs(self) -> tuple[str, ...]:
        """Names of boolean facts."""


@dataclass(frozen=True, slots=True)
class Missing:
    """A need that this machine does not meet.

    :ivar lack: what would give it
    :ivar cases: ids of the cases that are skipped for it
    """

    fact: str
    lack: str
    cases: tuple[str, ...]


def missing(
    environment: Environment, vocabulary: Mapping[str, Fact], cases: Sequence[Needy]
) -> tuple[Missing, ...]:
    """Find the needs that are not met, the costliest first."""
    costs: dict[str, list[str]] = {}
    for case in cases:
        for need in case.needs:
            if not environment.facts.get(need):
                costs.setdefault(need, []).append(case.id)
    found = [
        Missing(
            need,
            (vocabulary[need].lack or "nothing gives it") if need in vocabulary else _UNKNOWN,
            tuple(sorted(ids)),
        )
        for need, ids in costs.items()
    ]
    return tuple(sorted(found, key=lambda lost: (-len(lost.cases), lost.fact)))


def data(
    environment: Environment, vocabulary: Mapping[str, Fact], cases: Sequence[Needy]
) -> dict[str, Any]:
    """Give everything that :func:`text` says, for JSON."""
    return {
        "environment": environment.name,
        "build": dict(environment.build),
        "facts": [
            {
                "name": known.name,
                "value": environment.facts[known.name],
                "kind": known.kind.__name__,
                "group": known.group,
                "doc": known.doc,
                "lack": known.lack,
            }
            for known in vocabulary.values()
        ],
        "cases": len(cases),
        "missing": [
            {"fact": lost.fact, "lack": lost.lack, "cases": list(lost.cases)}
            for lost in missing(environment, vocabulary, cases)
        ],
    }


def text(
    environment: Environment,
    vocabulary: Mapping[str, Fact],
    cases: Sequence[Needy],
    color: bool = False,
) -> str:
    """Write every fact with its value and its probe, then what the missing ones cost."""
    paint = painter(color)
    lines = [paint(printable(environment.name), BOLD)]
    lines += _build(environment.build)
    for group, members in groupby(vocabulary.values(), key=lambda known: known.group):
        lines += ["", paint(group, BOLD), *_table(list(members), environment.facts, paint)]
    lost = missing(environment, vocabulary, cases)
    return "\n".join([*lines, "", *_costs(lost, len(cases), paint)]) + "\n"


def _build(build: Mapping[str, str]) -> Iterator[str]:
    width = max(map(len, build), default=0)
    for name, value in build.items():
        yield f"  {name:{width}}  {printable(value) or '-'}"


def _table(members: Sequence[Fact], facts: Mapping[str, Value], paint: Paint) -> Iterator[str]:
    shown = {known.name: fact(facts[known.name]) or "-" for known in members}
    name_width = max(map(len, shown))
    value_width = max(len(value) for value in shown.values() if len(value) <= _VALUE)
    for known in members:
        yield from _row(known, shown[known.name], name_width, value_width, paint)


def _row(known: Fact, value: str, name_width: int, value_width: int, paint: Paint) -> Iterator[str]:
    """Write one fact: name, value and probe, folded in columns of their own.

    A second line of `doc` says what a kernel change does; that is for JSON.
    """
    long = len(value) > value_width
    margin = name_width + 4 + (0 if long else value_width + 2)
    doc = textwrap.wrap(known.doc.partition("\n")[0], WIDTH - margin, break_on_hyphens=False)
    painted = {"true": GREEN, "false": YELLOW}.get(value if known.kind is bool else "")
    head = f"  {known.name:{name_width}}  "
    if long:
        first, *rest = textwrap.wrap(value, WIDTH - margin, break_on_hyphens=False)
        yield head + first
        yield from (" " * margin + line for line in (*rest, *doc))
        return
    cell = paint(value, painted) if painted else value
    first, *rest = doc or [""]
    yield (head + cell + " " * (value_width - len(value) + 2) + first).rstrip()
    yield from (" " * margin + line for line in rest)


def _costs(lost: Sequence[Missing], total: int, paint: Paint) -> Iterator[str]:
    if not lost:
        yield paint(f"Nothing is missing: {plural(total, 'case')} can run here", GREEN)
        return
    ids = {case for need in lost for case in need.cases}
    yield paint(f"What is missing costs {len(ids)} of {plural(total, 'case')}", BOLD)
    for need in lost:
        yield f"  {paint(need.fact, YELLOW)}  {plural(len(need.cases), 'case')}"
        for line in (f"to have it: {need.lack}", "cases: " + " ".join(need.cases)):
            yield from textwrap.wrap(
                line, WIDTH, initial_indent=" " * 4, subsequent_indent=" " * 6,
                break_long_words=False, break_on_hyphens=False,
            )  # fmt: skip
