# SPDX-License-Identifier: GPL-2.0-only
"""The report for CI servers: JUnit's XML, one testsuite a family.

A known issue passes, with the issue in its system-out: a CI that has no word for an expected
failure must not turn red by it.
"""

from __future__ import annotations

from xml.etree import ElementTree as ET

from conformance.record import ERROR, KNOWN, MISS, SKIP, CaseRecord, Record
from conformance.reports import FAILING, describe, fact, guest_of, one_line, printable, title

_ELEMENTS = {SKIP: "skipped", ERROR: "error", MISS: "error"} | {
    verdict: "failure" for verdict in FAILING if verdict not in (ERROR, MISS)
}
_COUNTERS = {"failure": "failures", "error": "errors", "skipped": "skipped"}


def report(record: Record) -> str:
    """Write a record as JUnit's XML, in ASCII."""
    root = ET.Element("testsuites", {"name": "origax", **_totals(record.cases)})
    for family in sorted({case.family for case in record.cases}):
        cases = tuple(case for case in record.cases if case.family == family)
        root.append(_suite(record, family, cases))
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _suite(record: Record, family: str, cases: tuple[CaseRecord, ...]) -> ET.Element:
    # The usual schema wants a time without fraction and zone.
    attributes = {"name": f"origax.{family}", "timestamp": record.started[:19], **_totals(cases)}
    suite = ET.Element("testsuite", attributes)
    properties = ET.SubElement(suite, "properties")
    facts = {"environment": record.environment.name, **record.environment.facts}
    for name, value in sorted(facts.items()):
        ET.SubElement(properties, "property", {"name": printable(name), "value": fact(value)})
    suite.extend(_case(case, guest_of(record)) for case in cases)
    return suite


def _totals(cases: tuple[CaseRecord, ...]) -> dict[str, str]:
    elements = [_ELEMENTS.get(case.verdict) for case in cases]
    totals = {name: str(elements.count(element)) for element, name in _COUNTERS.items()}
    return {"tests": str(len(cases)), **totals, "time": _seconds(sum(c.duration for c in cases))}


def _case(case: CaseRecord, guest: str) -> ET.Element:
    attributes = {"classname": f"origax.{case.family}", "name": case.id}
    element = ET.Element("testcase", attributes | {"time": _seconds(case.duration)})
    if case.verdict in _ELEMENTS:
        message = {"message": one_line(title(case))}
        kind = {} if case.verdict == SKIP else {"type": case.verdict}
        outcome = ET.SubElement(element, _ELEMENTS[case.verdict], message | kind)
        if case.verdict in FAILING:
            outcome.text = "\n".join(["", *map(printable, describe([case], guest=guest)), ""])
    elif case.verdict == KNOWN:
        ET.SubElement(element, "system-out").text = f"known issue: {one_line(case.reason)}"
    return element


def _seconds(value: float) -> str:
    return f"{value:.3f}"
