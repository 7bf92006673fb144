# SPDX-License-Identifier: GPL-2.0-only
"""TAP version 13, read by tap.py."""

from __future__ import annotations

from collections import Counter

import pytest

from conformance.record import KNOWN, PASS, SKIP, Record
from conformance.reports import ktap

parser = pytest.importorskip("tap.parser", reason="needs tap.py")


# tap.py takes each line for what it is meant to be, and counts as the record does.
def test_counts(given: list[Record], verdicts: Counter[str]) -> None:
    version, plan, *lines = parser.Parser().parse_text(ktap.tap13(given))
    results = [line for line in lines if line.category == "test"]
    assert version.version == 13
    assert plan.expected_tests == len(results) == verdicts.total()
    assert {line.category for line in lines} <= {"test", "diagnostic"}
    assert [result.number for result in results] == list(range(1, len(results) + 1))
    assert sum(result.skip for result in results) == verdicts[SKIP]
    assert sum(result.todo for result in results) == verdicts[KNOWN]
    assert sum(result.ok for result in results) == verdicts[PASS] + verdicts[SKIP]


# Each result is of one case, whatever its environment is called.
def test_names(given: list[Record]) -> None:
    lines = parser.Parser().parse_text(ktap.tap13(given))
    told = [line.description.split()[-1] for line in lines if line.category == "test"]
    assert told == [case.id for record in given for case in record.cases]
