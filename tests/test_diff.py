# SPDX-License-Identifier: GPL-2.0-only
"""Two kernels compared without a golden."""

from __future__ import annotations

from dataclasses import replace

import pytest
import records

from conformance.errors import UsageError
from conformance.record import CaseRecord, Record, TranscriptRecord
from conformance.reports.diff import diff


def lines(a: Record, b: Record) -> list[str]:
    """Give the lines of a report that has to find a difference."""
    text, differs = diff(a, b, color=False)
    assert differs
    return text.splitlines()


# Two runs with the same transcripts do not differ, whatever their verdicts and durations.
def test_same() -> None:
    a = records.record(records.case(), records.case("a.skipped", "SKIP", reason="needs fred"))
    b = records.record(records.case(verdict="NOGOLDEN", duration=3.0), duration=1.0)
    text, differs = diff(a, b, color=False)
    assert not differs
    assert text.splitlines()[-1] == "1 case in both: 1 the same, 0 not"


# Other facts are told, each with both values, and are no difference by themselves.
def test_facts() -> None:
    a = records.record(records.case())
    facts: dict[str, bool | int | str] = {"release": "7.2.1", "x86_64": True, "fred": True}
    b = replace(a, environment=replace(a.environment, facts=facts))
    text, differs = diff(a, b, color=False)
    assert not differs
    assert text.split("\n\n")[1].splitlines() == [
        "facts that differ",
        "  family   25      -> -",
        "  fred     -       -> true",
        "  release  6.1.192 -> 7.2.1",
    ]


# A register that differs is shown in both lines, marked, and with both raw values.
def test_changed() -> None:
    report = lines(records.record(records.case()), records.record(records.leaking()))
    start = report.index("orig_ax: -1 -> 34/pause  (1 case)")
    assert report[start + 1] == "  interrupts.device"
    assert report[start + 2].startswith("  a         stop event STOP orig_ax=-1 ")
    assert report[start + 3].startswith("  b         stop event STOP orig_ax=34/pause ")
    assert report[start + 4].strip() == "^" * len("orig_ax=34/pause")
    assert "  raw a     orig_ax=-1 is 0xffffffffffffffff" in report
    assert "  raw b     orig_ax=34/pause is 0x22" in report
    assert report[-1] == "1 case in both: 0 the same, 1 not"


# Equal changes of several cases are one group, shown once.
def test_grouped() -> None:
    names = ("a.one", "a.two", "b.three")
    a = records.record(*map(records.case, names))
    b = records.record(*map(records.leaking, names))
    report = lines(a, b)
    start = report.index("orig_ax: -1 -> 34/pause  (3 cases)")
    assert report[start + 1 : start + 4] == [f"  {name}" for name in names]
    assert sum("^^^^" in line for line in report) == 1


# A stop that only one kernel has is told as such.
def test_lost_stop() -> None:
    fewer = TranscriptRecord(1, records.LINES[1:], records.stops()[1:])
    b = records.record(records.case(transcripts=(fewer,)))
    report = lines(records.record(records.case()), b)
    assert "  b         (no such line)" in report


# What one record lacks, or could not trace, is not taken for the same.
@pytest.mark.parametrize(
    ("other", "head"),
    [
        ((), "only in a; b: not run  (1 case)"),
        (
            (records.case(verdict="SKIP", reason="needs fred"),),
            "only in a; b: SKIP needs fred  (1 case)",
        ),
    ],
)
def test_alone(other: tuple[CaseRecord, ...], head: str) -> None:
    a, b = records.record(records.case()), records.record(*other)
    report = lines(a, b)
    assert report[report.index(head) + 1] == "  interrupts.device"
    assert report[-1] == "0 cases in both: 0 the same, 0 not; 1 only in one"
    assert lines(b, a)[-1] == report[-1]


# Repeats that part on one side only are a difference, though the commonest transcript is the same.
def test_unstable() -> None:
    parted = (
        records.transcript(records.LEAKED, count=3),
        records.transcript(count=7),
    )
    b = records.record(records.case(verdict="UNSTABLE", transcripts=parted))
    report = lines(records.record(records.case()), b)
    assert any("some repeats gave another  (1 case)" in line for line in report)


# A transcript that is none is a message, not a traceback.
def test_damaged_transcript() -> None:
    b = records.record(records.case(transcripts=(records.transcript("nonsense here"),)))
    with pytest.raises(UsageError, match="damaged"):
        diff(records.record(records.case()), b, color=False)


# Nothing of a kernel's text reaches the terminal raw.
def test_escaped() -> None:
    evil = "\x1b[2J\u202e"
    b = records.record(
        records.case(transcripts=(records.transcript(f"stop  x  a={evil}"),)),
        records.case("a.b", "ERROR", reason=evil),
    )
    a = records.record(records.case(), records.case("a.b"))
    a = replace(a, environment=replace(a.environment, facts={evil: evil}, name=evil))
    text, _ = diff(a, b, color=False)
    assert all(line.isascii() and line.isprintable() for line in text.split("\n"))
