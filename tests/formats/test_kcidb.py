# SPDX-License-Identifier: GPL-2.0-only
"""KCIDB's JSON, by kcidb-io's own schema. That brings GPLv3+ code, and is for tests alone."""

from __future__ import annotations

import json
from collections import Counter

import pytest
import records

from conformance.record import KNOWN, Record
from conformance.reports import kcidb

schema = pytest.importorskip("kcidb_io.schema", reason="needs kcidb-io")


# A report is valid as schema 5.3, and as the newest that there is; everything hangs together.
def test_schema(given: list[Record]) -> None:
    data = json.loads(kcidb.report(given, "ci"))
    assert schema.V5_3.is_valid_exactly(data)
    assert schema.LATEST.is_valid(data)
    kinds = filter(None, schema.V5_3.graph)
    known = {kind: {each["id"] for each in data.get(kind, ())} for kind in kinds}
    assert {each["checkout_id"] for each in data.get("builds", ())} <= known["checkouts"]
    assert {each["build_id"] for each in data.get("tests", ())} <= known["builds"]
    for incident in data.get("incidents", ()):
        assert incident["test_id"] in known["tests"]
        assert incident["issue_id"] in known["issues"]


# So is one of a build that the CI system has reported.
def test_build() -> None:
    data = json.loads(kcidb.report([records.mixed()], "ci", "their:build"))
    assert schema.V5_3.is_valid_exactly(data)


# KCIDB counts as the record does.
def test_counts(given: list[Record], verdicts: Counter[str]) -> None:
    data = json.loads(kcidb.report(given, "ci"))
    status: Counter[str] = Counter()
    for verdict, count in verdicts.items():
        status[kcidb.STATUS[verdict]] += count
    assert Counter(test["status"] for test in data.get("tests", ())) == status
    assert len(data.get("incidents", ())) == verdicts[KNOWN]


# What is reported twice is the same to KCIDB, object by object, and counts once.
def test_twice(given: list[Record]) -> None:
    once, twice = (
        schema.V5_3.dedup(json.loads(kcidb.report(each, "ci"))) for each in (given, given * 2)
    )
    assert twice == once
