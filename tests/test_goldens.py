# SPDX-License-Identifier: GPL-2.0-only
"""The golden files themselves: complete, keeping their own promises, and able to fail."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from conformance import expectation
from conformance.cases import Case, all_cases
from conformance.expectation import Expectation, Transcript, Variant
from conformance.facts import Environment, Fact
from conformance.tracing import program
from conformance.transcript import Line

ROWS = range(1, 145)
PID_MAX_LIMIT = 1 << 22
CASES = [pytest.param(case, id=case.id) for case in all_cases()]


@pytest.fixture
def golden(case: Case, expected: Path, vocabulary: Mapping[str, Fact]) -> Expectation:
    return expectation.load(expected, case.id, vocabulary)


# Every case is driven in a way that is told, covers rows of the table, and has a golden by source.
@pytest.mark.parametrize("case", CASES)
def test_complete(case: Case, golden: Expectation) -> None:
    assert case.doc
    assert case.covers
    assert set(case.covers) <= set(ROWS)
    assert golden.variants
    assert golden.invariants


# Every golden has a control: the same program with nobody tracing.
@pytest.mark.parametrize("case", CASES)
def test_control(case: Case, golden: Expectation) -> None:
    for variant in golden.variants:
        assert [line for line in variant.transcript if line.head == "control"], variant.name


# No golden breaks an invariant of its own.
@pytest.mark.parametrize("case", CASES)
def test_invariants(case: Case, golden: Expectation) -> None:
    for variant in golden.variants:
        assert expectation.broken(golden.invariants, variant.transcript) == ()


# Every number of a golden that could be a pid is one that no program gets for its pid.
@pytest.mark.parametrize("case", CASES)
def test_no_number_is_a_pid(case: Case, golden: Expectation) -> None:
    text = " ".join(str(line) for variant in golden.variants for line in variant.transcript)
    for found in re.findall(r"(?<![\w.+-])(0x[0-9a-f]+|\d+)(?![\w/])", text):
        number = int(found, 0)
        assert number >= PID_MAX_LIMIT or program.looks_like_a_number(number) or not number


# No expectation file is without a case.
def test_no_strays(expected: Path) -> None:
    assert expectation.strays(expected, [case.id for case in all_cases()]) == ()


def edits(transcript: Transcript) -> Iterator[tuple[str, Transcript]]:
    """Each kind of field once, of each head, with another value in one line."""
    done = set()
    for index, line in enumerate(transcript):
        for name, text in line.fields.items():
            if (line.head, name) not in done and not expectation.is_weak(text):
                done.add((line.head, name))
                other = Line(line.head, line.words, {**line.fields, name: "0x5eed"})
                yield name, (*transcript[:index], other, *transcript[index + 1 :])


def plain(transcript: Transcript) -> Transcript:
    """What a machine may have shown: the first of alternatives."""
    return tuple(
        replace(line, fields={name: text.split("|")[0] for name, text in line.fields.items()})
        for line in transcript
    )


# One value edited in a golden, whichever: the case fails, and the difference names that field.
@pytest.mark.parametrize("case", CASES)
def test_every_field_counts(case: Case, golden: Expectation, environment: Environment) -> None:
    def always(variant: Variant, transcript: Transcript) -> Expectation:
        return replace(golden, variants=(replace(variant, when="True", transcript=transcript),))

    for variant in golden.variants:
        for name, edited in edits(variant.transcript):
            judged = expectation.judge(
                always(variant, edited), environment.facts, plain(variant.transcript)
            )
            assert judged.verdict == "FAIL"
            assert [each.fields for each in judged.differences] == [(name,)]
