# SPDX-License-Identifier: GPL-2.0-only
"""Transitions between a baseline and records: every pair of verdicts has one name, or none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import records

from conformance import changes, cli, record
from conformance.record import VERDICTS, Record
from conformance.reports import changed

CASE = "interrupts.device"


def of(verdict: str | None, name: str = "linux-6.1.192.amd.tcg", **build: str) -> Record:
    """Give a record in which the case came to that verdict; in which it is not, for None."""
    cases = [records.case(CASE, verdict)] if verdict else []
    made = records.record(*cases)
    return replace(made, environment=replace(made.environment, name=name, build=build))


# What a cell was and what it is make its transition; what stays good, or skipped, has none.
@pytest.mark.parametrize(
    ("before", "after", "transition"),
    [
        ("PASS", "FAIL", "regression"),
        ("KNOWN", "MISS", "regression"),
        ("FAIL", "PASS", "fixed"),
        ("NOGOLDEN", "KNOWN", "fixed"),
        ("SKIP", "FAIL", "new failure"),
        (None, "UNSTABLE", "new failure"),
        ("FAIL", "ERROR", "still failing"),
        ("SKIP", "PASS", "new pass"),
        (None, "KNOWN", "new pass"),
        (None, "SKIP", "appeared"),
        ("PASS", None, "disappeared"),
        ("FAIL", "SKIP", "disappeared"),
        ("SKIP", None, "disappeared"),
        ("PASS", "KNOWN", None),
        ("SKIP", "SKIP", None),
    ],
)
def test_transition(before: str | None, after: str | None, transition: str | None) -> None:
    found = changes.changes([of(before)], [of(after)])
    assert [each.transition for each in found] == ([transition] if transition else [])


# Whatever the two verdicts are, a failure of now is never left out.
def test_every_failure_is_told() -> None:
    for before in (*VERDICTS, None):
        for after in VERDICTS:
            if after not in ("PASS", "KNOWN", "SKIP"):
                (change,) = changes.changes([of(before)], [of(after)])
                assert change.transition in ("regression", "new failure", "still failing")
                assert change.after is not None
                assert change.after.verdict == after


# A box that runs a newer kernel is compared with itself; of two records on each side, one that has
# no counterpart is new, and its counterpart is gone.
def test_places() -> None:
    before = [of("PASS", "linux-6.1.a", box="rack1"), of("PASS", "linux-6.12.b")]
    after = [of("FAIL", "linux-6.2.a", box="rack1"), of("PASS", "linux-6.13.b")]
    found = changes.changes(before, after)
    assert [(each.transition, each.place) for each in found] == [
        ("regression", "rack1"),
        ("new pass", "linux-6.13.b"),
        ("disappeared", "linux-6.12.b"),
    ]


# Of several records of one place the one that was begun last counts, in whatever order they are
# given: the terminal and the page tell of the same one.
def test_last_counts() -> None:
    old, new = of("PASS"), replace(of("FAIL"), started="2024-06-01T12:00:00Z")
    other = of("PASS", "elsewhere")
    for given in ([old, new, other], [new, old, other]):
        (change,) = changes.changes([of("PASS"), other], given)
        assert change.transition == "regression"
        assert changes.latest(given) == {"linux-6.1.192.amd.tcg": new, "elsewhere": other}


# One record against one is two kernels on a machine, though their environments differ in name.
def test_one_against_one() -> None:
    (change,) = changes.changes([of("PASS", "linux-6.1.a")], [of("FAIL", "linux-6.2.a")])
    assert (change.transition, change.place) == ("regression", "linux-6.2.a")


# Every transition has a meaning, which is told beside it.
def test_meanings() -> None:
    assert tuple(sorted(changes.MEANINGS)) == tuple(sorted(changes.TRANSITIONS))


# What changed stands under its word with how it fails now, place by place; a record that came out
# as before says so.
def test_told() -> None:
    skipped = records.case("a.skipped", "SKIP")
    before = records.record(records.case(), records.case("a.gone"), skipped)
    after = records.record(records.leaking(), skipped)
    text = changed.text(changes.changes([before], [after]), color=False)
    assert text.splitlines() == [
        "regression: it was as expected, and is not any more  (1 cell)",
        "  linux-6.1.192-debian.amd.tcg",
        "    orig_ax: -1 -> 34/pause",
        "      interrupts.device",
        "",
        "disappeared: it was there before, and is not judged any more  (1 cell)",
        "  linux-6.1.192-debian.amd.tcg",
        "      a.gone",
        "",
        "since the baseline: 1 regression, 1 disappeared",
    ]
    assert changed.text((), color=False) == "nothing changed since the baseline\n"


# A place that is new as a whole is counted by family, not named case by case.
def test_many_are_counted() -> None:
    ids = [f"traps.c{number}" for number in range(changed.NAMED)] + ["views.one"]
    new = replace(of(None, "b"), cases=tuple(map(records.case, ids)))
    found = changes.changes([of("PASS", "a")], [of("PASS", "a"), new])
    assert f"traps.* ({changed.NAMED})  views.* (1)" in changed.text(found, color=False)


# `origax report --baseline` tells it under the report, and -o writes both into a file, whole.
def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, new, out = (tmp_path / name for name in ("old.json", "new.json", "report"))
    record.write(old, of("PASS"))
    record.write(new, of("FAIL"))
    command = ["report", str(new), "--baseline", str(old)]
    assert cli.main(command) == 0
    printed = capsys.readouterr().out
    assert printed.endswith("since the baseline: 1 regression\n")
    assert cli.main([*command, "-o", str(out)]) == 0
    assert out.read_text() == printed
    assert cli.main([*command, "-o", str(tmp_path / "nowhere" / "report")]) == 3
    assert "the report could not be written" in capsys.readouterr().err
