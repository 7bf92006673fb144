# SPDX-License-Identifier: GPL-2.0-only
"""The report for CI servers: JUnit's XML, one testsuite an environment.

A known issue passes, with the issue in its system-out: a CI that has no word for an expected
failure must not turn red by it.
"""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree as ET

from conformance.record import ERROR, KNOWN, MISS, SKIP, CaseRecord, Record
from conformance.reports import (
    FAILING,
    about,
    again,
    describe,
    fact,
    names,
    one_line,
    printable,
    title,
)

_ELEMENTS = {SKIP: "skipped", ERROR: "error", MISS: "error"} | {
    verdict: "failure" for verdict in FAILING if verdict not in (ERROR, MISS)
}
_COUNTERS = {"failure": "failures", "error": "errors", "skipped": "skipped"}


def report(records: Sequence[Record]) -> str:
    """Write records as JUnit's XML, in ASCII, as Jenkins' junit-10.xsd has it."""
    cases = [case for record in records for case in record.cases]
    totals = _totals(cases)
    del totals["skipped"]  # which that schema has for a suite alone
    root = ET.Element("testsuites", {"name": "origax", **totals})
    for number, (name, record) in enumerate(zip(names(records), records, strict=True)):
        root.append(_suite(str(number), name, record))
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _suite(number: str, name: str, record: Record) -> ET.Element:
    told = about(record)
    host = {"hostname": told["host"]} if "host" in told else {}
    # The usual schema wants a time without fraction and zone.
    place = {"id": number, "package": "origax", "timestamp": record.started[:19], **host}
    suite = ET.Element("testsuite", {"name": name, **place, **_totals(record.cases)})
    properties = ET.SubElement(suite, "properties")
    for key, value in sorted(_properties(record).items()):
        ET.SubElement(properties, "property", {"name": printable(key), "value": value})
    suite.extend(_case(case, again(record)) for case in record.cases)
    return suite


def _properties(record: Record) -> dict[str, str]:
    """Give the facts of the machine and of the run; `about` goes before a fact of that name."""
    facts = {name: fact(value) for name, value in record.environment.facts.items()}
    run = {
        "environment": printable(record.environment.name),
        "boot_id": printable(record.boot_id),
        "interrupted": fact(record.interrupted),
        "origax": f"{printable(record.tool.version)}, probes {record.tool.probes}",
    }
    return {**facts, **about(record), **run}


def _totals(cases: Sequence[CaseRecord]) -> dict[str, str]:
    elements = [_ELEMENTS.get(case.verdict) for case in cases]
    totals = {name: str(elements.count(element)) for element, name in _COUNTERS.items()}
    return {"tests": str(len(cases)), **totals, "time": _seconds(sum(c.duration for c in cases))}


def _case(case: CaseRecord, command: str) -> ET.Element:
    attributes = {"classname": f"origax.{case.family}", "name": case.id}
    element = ET.Element("testcase", attributes | {"time": _seconds(case.duration)})
    if case.verdict in _ELEMENTS:
        message = {"message": one_line(title(case))}
        kind = {} if case.verdict == SKIP else {"type": case.verdict}
        outcome = ET.SubElement(element, _ELEMENTS[case.verdict], message | kind)
        if case.verdict in FAILING:
            told = map(printable, describe([case], command=command))
            outcome.text = "\n".join(["", *told, ""])
    elif case.verdict == KNOWN:
        ET.SubElement(element, "system-out").text = f"known issue: {one_line(case.reason)}"
    return element


def _seconds(value: float) -> str:
    return f"{value:.3f}"
