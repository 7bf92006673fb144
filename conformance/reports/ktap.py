# SPDX-License-Identifier: GPL-2.0-only
"""The reports for kernel CI: KTAP version 1, nested, and TAP version 13, flat.

Linux: Documentation/dev-tools/ktap.rst. Plans stand right below versions, since
tools/testing/kunit/kunit_parser.py looks for them nowhere else; and there is no line ``# Subtest``,
of which ktap.rst says nothing: with it, that reader ends a test where one within has its name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import count, groupby
from typing import Final

from conformance.record import AS_EXPECTED, ERROR, KNOWN, MISS, PASS, SKIP, CaseRecord, Record
from conformance.reports import FAILING, again, describe, names, one_line, printable, title
from conformance.reports.terminal import counts

_KTAP: Final = {SKIP: "SKIP", KNOWN: "XFAIL", ERROR: "ERROR", MISS: "TIMEOUT"}
_TAP13: Final = {SKIP: "SKIP", KNOWN: "TODO"}
_ENDS: Final = re.compile("(all partitions|not syncing|reboot):")
"""Where kunit_parser.py (KTAP_END) takes a kernel's console for ended, wherever it stands."""


def report(records: Sequence[Record]) -> str:
    """Write records as nested KTAP: environments, in each its families, in each its cases.

    A family is a level of its own since that is what readers fold and count; a case keeps its
    whole id, by which it is run again. A known issue is ``ok # XFAIL``, as kselftest.h has it.
    """
    lines = ["KTAP version 1", f"1..{len(records)}"]
    for number, (name, record) in enumerate(zip(names(records), records, strict=True), 1):
        lines += _environment(number, name, record)
    return "\n".join(lines) + "\n"


def tap13(records: Sequence[Record]) -> str:
    """Write records as one TAP version 13, which has no levels: `CASE`, or `ENVIRONMENT CASE`.

    It knows no directive but SKIP and TODO: a known issue is ``not ok # TODO``.
    """
    lines = ["TAP version 13", f"1..{sum(len(record.cases) for record in records)}"]
    numbers = count(1)
    for name, record in zip(names(records), records, strict=True):
        lines += _about(record)
        for case in record.cases:
            lines += _diagnostics(case, record)
            described = f"{name} {case.id}" if len(records) > 1 else case.id
            ok = case.verdict in AS_EXPECTED and case.verdict != KNOWN
            lines.append(_result(ok, next(numbers), described, _diagnosis(case, _TAP13)))
    return "\n".join(lines) + "\n"


def _environment(number: int, name: str, record: Record) -> Iterator[str]:
    families = [list(cases) for _, cases in groupby(record.cases, lambda case: case.family)]
    within = (
        line
        for index, cases in enumerate(families, 1)
        for line in _family(index, cases, record)
    )
    yield from _nested(len(families), within)
    yield from _about(record)
    yield _parent(number, name, record.cases)


def _family(number: int, cases: Sequence[CaseRecord], record: Record) -> Iterator[str]:
    within = (line for index, case in enumerate(cases, 1) for line in _case(index, case, record))
    yield from _nested(len(cases), within)
    yield _parent(number, cases[0].family, cases)


def _case(number: int, case: CaseRecord, record: Record) -> Iterator[str]:
    yield from _diagnostics(case, record)
    yield _result(case.verdict in AS_EXPECTED, number, case.id, _diagnosis(case, _KTAP))


def _nested(plan: int, lines: Iterable[str]) -> Iterator[str]:
    """Write the tests within a test; a test without any is a plain one."""
    if plan:
        yield from (f"  {line}" for line in ("KTAP version 1", f"1..{plan}", *lines))


def _parent(number: int, name: str, cases: Sequence[CaseRecord]) -> str:
    """Write what came of the tests within a test: skipped if all of them are, or there is none."""
    verdicts = [case.verdict for case in cases]
    ok = all(verdict in AS_EXPECTED for verdict in verdicts)
    skipped = all(verdict == SKIP for verdict in verdicts)
    return _result(ok, number, name, f"SKIP {counts(verdicts)}" if skipped else counts(verdicts))


def _result(ok: bool, number: int, name: str, diagnosis: str) -> str:
    # A # in a name would end it, and one in a reason could begin a directive of its own.
    line = f"{'ok' if ok else 'not ok'} {number} {name.replace('#', '_')}"
    reason = _harmless(diagnosis).replace("#", "\\#")
    return f"{line} # {reason}" if reason else line


def _diagnosis(case: CaseRecord, directives: dict[str, str]) -> str:
    if case.verdict == PASS:
        return ""
    return f"{directives.get(case.verdict, case.verdict)} {one_line(case.reason or title(case))}"


def _diagnostics(case: CaseRecord, record: Record) -> Iterator[str]:
    if case.verdict in FAILING:
        yield from map(_diagnostic, describe([case], command=again(record)))


def _about(record: Record) -> Iterator[str]:
    yield _diagnostic(f"{record.tool.name} {record.tool.version}")
    yield _diagnostic(f"environment {record.environment.name}, started {record.started}")
    if record.interrupted:
        yield _diagnostic("interrupted: not every case had its turn")


def _diagnostic(line: str) -> str:
    return f"# {_harmless(printable(line))}".rstrip()


def _harmless(text: str) -> str:
    return _ENDS.sub(r"\1\\:", text).rstrip()
