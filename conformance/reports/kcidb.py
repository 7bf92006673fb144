# SPDX-License-Identifier: GPL-2.0-only
"""The report for KCIDB, where kernel CI systems pool results: its JSON, schema 5.3.

It is only written: sending it, and the token for that, are the CI system's affair. What KCIDB
asks and a record does not know is left out, as its schema wants it:

* A kernel is one checkout and one build, with ids from its release and version, so that all
  records of it meet. Where the CI system has reported the build itself, its id is given instead.
* A case is a test ``origax.FAMILY.NAME``. A known issue is a FAIL, explained by an incident of an
  issue; a case without a golden is DONE, which is a test that ran to no verdict.
* A test's start is its run's: a record does not say when a case began.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from conformance.errors import UsageError
from conformance.record import (
    ERROR,
    FAIL,
    KNOWN,
    MISS,
    NOGOLDEN,
    PASS,
    SKIP,
    UNSTABLE,
    CaseRecord,
    Record,
)
from conformance.reports import FAILING, about, again, describe, printable

VERSION: Final = {"major": 5, "minor": 3}
STATUS: Final[Mapping[str, str]] = {
    PASS: "PASS",
    FAIL: "FAIL",
    UNSTABLE: "FAIL",
    KNOWN: "FAIL",
    NOGOLDEN: "DONE",
    ERROR: "ERROR",
    MISS: "MISS",
    SKIP: "SKIP",
}
"""What each verdict is to KCIDB; the verdict itself stands in a test's `misc`."""

_EXCERPT: Final = 16384
"""Characters that KCIDB takes of a log."""

Json = dict[str, Any]


def report(records: Sequence[Record], origin: str, build: str | None = None) -> str:
    """Write records as one report for KCIDB.

    :param origin: the CI system, as KCIDB knows it
    :param build: the id of the tested build, which that or another CI system has reported
    :raises UsageError: `origin` or `build` is none, or the records are of several kernels for one
    """
    _check(origin, build, {_kernel(record) for record in records})
    checkouts, builds, issues = {}, {}, {}
    tests, incidents = [], []
    for record in records:
        build_id = build or _id(origin, *_kernel(record))
        if build is None:
            checkouts[build_id], builds[build_id] = _built(origin, build_id, record)
        for case in record.cases:
            tests.append(test := _test(origin, build_id, record, case))
            if case.verdict == KNOWN:
                issue = _issue(origin, case)
                issues[issue["id"]] = issue
                incidents.append(_incident(origin, issue["id"], test["id"]))
    lists = {
        "checkouts": [*checkouts.values()], "builds": [*builds.values()], "tests": tests,
        "issues": [*issues.values()], "incidents": incidents,
    }  # fmt: skip
    top = {"version": VERSION, **{name: each for name, each in lists.items() if each}}
    return json.dumps(top, indent=1, allow_nan=False) + "\n"


def _check(origin: str, build: str | None, kernels: set[tuple[str, ...]]) -> None:
    if re.fullmatch("[a-z0-9_]+", origin) is None:
        do = "give the name that KCIDB's maintainers agreed to, of the characters a-z, 0-9 and _"
        raise UsageError("this names no origin of KCIDB's", f"--origin {origin}", do)
    if build is None:
        return
    on = f"--build {build}"
    if re.fullmatch("[a-z0-9_]+:[^\0]*", build) is None:
        raise UsageError("this is no id of a build of KCIDB's", on, "give it as ORIGIN:ID")
    if len(kernels) > 1:
        what = f"the records are of {len(kernels)} kernels"
        raise UsageError(what, on, "report the records of that build alone")


def _kernel(record: Record) -> tuple[str, ...]:
    """Tell a kernel from others: by its release and its version, in which is when it was built.

    One that said neither, since it was lost, goes by the name of its environment.
    """
    known = (record.environment.facts.get("release"), record.environment.build.get("uname_v"))
    told = tuple(printable(str(each)) for each in known if each)
    return told or (printable(record.environment.name),)


def _built(origin: str, build_id: str, record: Record) -> tuple[Json, Json]:
    """Give the checkout and the build of a record's kernel, as far as the record knows them.

    A kernel that told its facts ran, so that both were sound.
    """
    facts = record.environment.facts
    told = {"origin": origin, "comment": " ".join(("Linux", *_kernel(record)))}
    checkout: Json = {"id": build_id, **told}
    build: Json = {"id": build_id, "checkout_id": build_id, **told}
    for name in ("x86_64", "i386"):
        if facts.get(name) is True:
            checkout["valid"] = True
            build |= {"architecture": name, "status": "PASS"}
    return checkout, build


def _test(origin: str, build_id: str, record: Record, case: CaseRecord) -> Json:
    name, host = record.environment.name, about(record)
    run = (record.boot_id, record.started, str(record.duration), name, *host.values())
    test: Json = {
        "id": _id(origin, case.id, *run),
        "origin": origin,
        "build_id": build_id,
        "environment": {
            "comment": printable(name), "misc": {**host, "boot_id": printable(record.boot_id)},
        },
        "path": f"origax.{case.id}",
        "status": STATUS[case.verdict],
        "start_time": record.started,
        "duration": case.duration,
        "misc": {"origax": printable(record.tool.version), **_found(case)},
    }  # fmt: skip
    if case.reason:
        test["comment"] = printable(case.reason)
    if case.verdict in FAILING:
        lines = map(printable, describe([case], command=again(record)))
        test["log_excerpt"] = "\n".join(lines)[:_EXCERPT]
    return test


def _found(case: CaseRecord) -> Json:
    """Give what the record knows of a case; the transcripts of one that is as expected are its
    golden's, and raw stops stay in the record.
    """
    found: Json = {
        "verdict": case.verdict, "abi": case.abi, "door": case.door, "variant": case.variant,
        "weak": case.weak, "repeats": case.repeats, "measured": dict(case.measured),
    }  # fmt: skip
    if case.verdict not in (PASS, SKIP):
        found |= {
            "differences": [asdict(difference) for difference in case.differences],
            "broken": case.broken, "breaks": case.breaks, "source": case.source,
            "transcripts": [{"count": t.count, "lines": t.lines} for t in case.transcripts],
        }  # fmt: skip
    return dict(_clean(found))


def _clean(found: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Escape every text of a JSON object, and leave out what is not known: KCIDB has no null."""
    for name, value in found.items():
        if value is not None:
            yield printable(name), _cleaned(value)


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, Mapping):
        return dict(_clean(value))
    if isinstance(value, (list, tuple)):
        return [_cleaned(each) for each in value]
    return value


def _issue(origin: str, case: CaseRecord) -> Json:
    """Give a known issue: its id comes from its text, so that it has one version alone."""
    reason = printable(case.reason)
    return {"id": _id(origin, "issue", reason), "version": 1, "origin": origin, "comment": reason}


def _incident(origin: str, issue_id: str, test_id: str) -> Json:
    return {
        "id": _id(origin, "incident", issue_id, test_id), "origin": origin,
        "issue_id": issue_id, "issue_version": 1, "test_id": test_id, "present": True,
    }  # fmt: skip


def _id(origin: str, name: str, *more: str) -> str:
    """Give an id: of a name for people, and a digest of all that makes it another than others."""
    digest = hashlib.sha256(json.dumps([name, *more]).encode()).hexdigest()[:16]
    return f"{origin}:{name}-{digest}"
