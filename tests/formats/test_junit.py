# SPDX-License-Identifier: GPL-2.0-only
"""JUnit's XML, by Jenkins' schema, and read by junitparser.

The schema is junit-10.xsd of Jenkins' xUnit plugin, beside this file; its license (MIT) is in it.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from conformance.record import ERROR, KNOWN, MISS, PASS, SKIP, Record
from conformance.reports import junit, names

etree = pytest.importorskip("lxml.etree", reason="needs lxml")
junitparser = pytest.importorskip("junitparser", reason="needs junitparser")

SCHEMA = Path(__file__).with_name("junit-10.xsd")


# A report is as the schema has it.
def test_schema(given: list[Record]) -> None:
    schema = etree.XMLSchema(etree.parse(SCHEMA))
    schema.assertValid(etree.fromstring(junit.report(given).encode("ascii")))


# junitparser counts as the record does, and by its own count, too, where it goes by elements.
def test_counts(given: list[Record], verdicts: Counter[str]) -> None:
    read = junitparser.JUnitXml.fromstring(junit.report(given).encode("ascii"))
    errors = verdicts[ERROR] + verdicts[MISS]
    failures = verdicts.total() - errors - sum(verdicts[each] for each in (PASS, KNOWN, SKIP))
    for _ in range(2):
        assert (read.tests, read.failures, read.errors) == (verdicts.total(), failures, errors)
        assert sum(suite.skipped for suite in read) == verdicts[SKIP]
        read.update_statistics()


# A suite is an environment, with its host, kernel, CPU and virt; a test is a case.
def test_suites(given: list[Record]) -> None:
    read = junitparser.JUnitXml.fromstring(junit.report(given).encode("ascii"))
    assert [suite.name for suite in read] == list(names(given))
    for suite, record in zip(read, given, strict=True):
        assert [case.name for case in suite] == [case.id for case in record.cases]
        told = {each.name for each in suite.properties()}
        facts = record.environment.facts
        assert told >= {"environment", *(name for name in ("virt", "x86_64") if name in facts)}
