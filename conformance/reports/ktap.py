# SPDX-License-Identifier: GPL-2.0-only
"""The report for kernel CI: KTAP version 1, or TAP version 13.

Linux: Documentation/dev-tools/ktap.rst. The plan stands right below the version, since
tools/testing/kunit/kunit_parser.py looks for it nowhere else.
"""

from __future__ import annotations

from conformance.record import ERROR, KNOWN, MISS, PASS, SKIP, CaseRecord, Record
from conformance.reports import FAILING, describe, guest_of, one_line, printable, title

_OK = (PASS, KNOWN, SKIP)


def report(record: Record, tap13: bool = False) -> str:
    """Write a record as KTAP.

    A known issue is ``ok # XFAIL``, as kselftest.h has it; TAP knows only ``not ok # TODO``.

    :param tap13: as TAP version 13, which has no directive but SKIP and TODO
    """
    lines = ["TAP version 13" if tap13 else "KTAP version 1", f"1..{len(record.cases)}"]
    lines.append(_diagnostic(f"{record.tool.name} {record.tool.version}"))
    lines.append(_diagnostic(f"environment {record.environment.name}, started {record.started}"))
    for number, case in enumerate(record.cases, 1):
        if case.verdict in FAILING:
            lines += [_diagnostic(line) for line in describe([case], guest=guest_of(record))]
        lines.append(_result(number, case, tap13))
    if record.interrupted:
        lines.append(_diagnostic("interrupted: not every case had its turn"))
    return "\n".join(lines) + "\n"


def _result(number: int, case: CaseRecord, tap13: bool) -> str:
    directives = {SKIP: "SKIP", KNOWN: "XFAIL", ERROR: "ERROR", MISS: "TIMEOUT"}
    if tap13:
        directives = {SKIP: "SKIP", KNOWN: "TODO"}
    ok = case.verdict in _OK and not (tap13 and case.verdict == KNOWN)
    line = f"{'ok' if ok else 'not ok'} {number} {case.id}"
    if case.verdict == PASS:
        return line
    # A # in the reason could begin a directive of its own.
    reason = one_line(case.reason or title(case)).replace("#", "\\#")
    return f"{line} # {directives.get(case.verdict, case.verdict)} {reason}".rstrip()


def _diagnostic(line: str) -> str:
    return f"# {printable(line)}".rstrip()
