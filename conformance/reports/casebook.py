# SPDX-License-Identifier: GPL-2.0-only
"""One case, explained: what it is about, how it is driven, what is expected and on what ground."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

from conformance.cases import Case
from conformance.coverage import Row
from conformance.expectation import Expectation, Variant
from conformance.facts import Environment
from conformance.reports import consumer


def text(
    case: Case, rows: Sequence[Row], wanted: Expectation | None, environment: Environment,
    confirmed: Sequence[str] = (),
) -> str:  # fmt: skip
    """Explain a case; its variants with the one that fits this environment marked.

    :param rows: the behaviours that it covers
    :param confirmed: the environments of evidence that confirmed it
    """
    lines = [case.id, ""]
    if wanted:
        lines += [*textwrap.wrap(wanted.intent, 96), ""]
    lines += ["How the tracer drives it:", *_indent(case.doc.splitlines()), ""]
    lines += _facts(case, rows)
    if wanted is None:
        lines += ["", "It has no expectation yet."]
    else:
        lines += _expectation(wanted, environment)
        lines += ["", "Confirmed on:", *_indent(confirmed or ["no environment yet"])]
    return "\n".join(lines) + "\n"


def _indent(lines: Iterable[str]) -> list[str]:
    return [f"  {line}" for line in lines]


def _facts(case: Case, rows: Sequence[Row]) -> list[str]:
    lines = [f"abi {case.abi}, door {case.door}"]
    if case.needs:
        lines.append(f"needs {', '.join(case.needs)}")
    return [*lines, "", "Behaviours:", *_indent(f"{row.number:3}  {row.name}" for row in rows)]


def _expectation(wanted: Expectation, environment: Environment) -> list[str]:
    lines = ["", "By the kernel's source:", *_indent(wanted.source)]
    if wanted.breaks:
        lines += ["", "Who breaks:", *_indent(consumer(name) for name in wanted.breaks)]
    lines += ["", "Invariants:"]
    lines += _indent(f"{name}: {rule}" for name, rule in wanted.invariants.items())
    chosen = wanted.choose(environment.facts)
    for variant in wanted.variants:
        lines += _variant(variant, variant is chosen)
    if chosen is None:
        lines += ["", f"No variant fits {environment.name}: the verdict here is NOGOLDEN."]
    return lines


def _variant(variant: Variant, here: bool) -> list[str]:
    mark = " (this environment)" if here else ""
    lines = ["", f"Variant {variant.name}{mark}: when {variant.when}; basis {variant.basis}"]
    if variant.why:
        lines += _indent([variant.why])
    lines += _indent(f"weak {field}: {reason}" for field, reason in variant.weak.items())
    return lines + _indent(str(line) for line in variant.transcript)
