# SPDX-License-Identifier: GPL-2.0-only
"""Planted faults: each edit finds its place, or says that it has moved; and the score."""

import contextlib
import fnmatch
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import records
from mutants import faults, peers, scoring, soaking, table
from mutants.faults import Edit, Fault

from conformance import record
from conformance.cases import all_cases
from conformance.errors import HarnessError, UsageError

SOURCE = """\
int one(void)
{
	return 1;
}

int two(void)
{
	return 2;
	return 1;
}
"""


def edit(way: str, anchor: str, text: str, within: str = "") -> Edit:
    return Edit("here", "file.c", within, anchor, way, text, ())


# Lines go before and after the line of an anchor, and words in an anchor's place.
def test_apply() -> None:
    made = faults.apply(
        SOURCE,
        [
            edit("after", "return 2;", "\n\ttwice();\n"),
            edit("after", "return 2;", "\n\tthrice();\n"),
            edit("before", "int two", "\n/* one line */\n"),
            edit("instead", "1", "3", within="int one"),
        ],
    )
    assert made == SOURCE.replace("return 1;", "return 3;", 1).replace(
        "int two", "/* one line */\nint two"
    ).replace("return 2;\n", "return 2;\n\ttwice();\n\tthrice();\n")


# An anchor that a newer source has no more, or twice, is an error that names file and edit.
@pytest.mark.parametrize(
    ("made", "what"),
    [
        (edit("after", "return 3;", "x"), "'return 3;' stands there no more"),
        (edit("after", "return 1;", "x"), "'return 1;' stands there 2 times"),
        (edit("after", "return 2;", "x", within="int one"), "stands there no more"),
        (edit("after", "return", "x", within="int three"), "'int three' stands there no more"),
    ],
)
def test_moved(made: Edit, what: str) -> None:
    with pytest.raises(UsageError, match=what) as raised:
        faults.apply(SOURCE, [made])
    assert "file.c" in raised.value.what
    assert raised.value.on == "here"


# Two edits of the same words are refused.
def test_overlap() -> None:
    with pytest.raises(UsageError, match="overlaps"):
        faults.apply(SOURCE, [edit("instead", "return 2", "a"), edit("instead", "2;", "b")])


PLANTED = faults.load()


# The faults that are there can be read, are enough, and fill every kernel's share.
def test_enough() -> None:
    by_kernel = {name: [f for f in PLANTED if name in f.kernels] for name in faults.KERNELS}
    assert len(by_kernel["6.1"]) >= 60
    assert len(by_kernel["sid"]) >= 60
    assert len(by_kernel["6.1-i386"]) >= 15


# A fault is guarded by its own number in each edit that does something, and by no other.
@pytest.mark.parametrize("fault", PLANTED, ids=lambda fault: fault.name)
def test_guarded(fault: Fault) -> None:
    for each in fault.edits:
        numbers = re.findall(r"ORIGAX(?:_OF|_JUMP)?[ (]*(\d+)", each.text)
        assert set(numbers) <= {str(fault.number)}
    assert any("ORIGAX" in each.text for each in fault.edits)


# Whoever is to catch a fault is a case; only a fault that nobody could see names none.
@pytest.mark.parametrize("fault", PLANTED, ids=lambda fault: fault.name)
def test_cases(fault: Fault) -> None:
    ids = [case.id for case in all_cases()]
    assert fault.cases or fault.equivalent
    for pattern in fault.cases:
        assert any(fnmatch.fnmatchcase(name, pattern) for name in ids), pattern


# A fault that is too rare for a run is as it says if that misses it, and a soak finds it.
@pytest.mark.parametrize(
    ("run", "leaks", "good"),
    [(["PASS"], True, True), (["PASS", "FAIL"], True, False), (["PASS"], False, False)],
)
def test_rare(run: list[str], leaks: bool, good: bool) -> None:
    assert any(each.rare for each in PLANTED)
    soaked = records.soaked()
    if not leaks:
        soaked = replace(soaked, cases=soaked.cases[1:])
    made = soaking.found(run, json.loads(record.to_json(soaked)))
    assert (made.good, made.seconds) == (good, 37.25 if leaks else 60.5)


FAULT = Fault("leak", 7, "room", "sees", ("gdb",), ("traps.int3", "steps.*"), ("6.1",), "", ())


# What is named counts as caught, what others see is said to be theirs, and nothing is a miss.
@pytest.mark.parametrize(
    ("failed", "verdict"),
    [
        ({"traps.int3": "orig_ax"}, table.CAUGHT),
        ({"steps.over": "orig_ax", "views.all": "ax"}, table.CAUGHT),
        ({"views.all": "ax"}, table.ELSEWHERE),
        ({}, table.MISSED),
    ],
)
def test_verdict(failed: dict[str, str], verdict: str) -> None:
    score = scoring.Score(outcomes={7: scoring.Outcome(7, failed)})
    (row,) = table.rows("6.1", [FAULT], score)
    assert row.verdict == verdict
    assert row.failed == len(failed)


# A case that failed without having reached the fault is collateral; a hang alone is no catch.
def test_collateral() -> None:
    outcome = scoring.Outcome(7, {"traps.int3": "x", "views.all": "y"}, {"views.core": "hung"})
    score = scoring.Score(outcomes={7: outcome}, reached={"traps.int3": [7], "views.all": [8]})
    (row,) = table.rows("6.1", [FAULT], score)
    assert row.collateral == ("views.all",)
    assert "views.core: hung" in row.why


# Of a guest that is lost with no fault awake nothing is kept: the next one traces all cases again,
# and where it is not known what each reaches, there is no score.
@pytest.mark.parametrize("known", [True, False])
def test_lost_unharmed(known: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    hello = {"said": "hello", "environment": {"name": "n", "facts": {}, "build": {}}}
    part = {"said": "answer", "id": "views.all", "answer": {}, "reached": [7]}
    begins = {"said": "fault", "number": 0}
    awake = {"said": "fault", "number": 7, "cases": 1}
    guests = [[hello, begins, part], [hello, begins, part, awake, part, {"said": "done"}]]
    asked = []

    @contextlib.contextmanager
    def guest(boot: object, request: dict[str, Any], *_: object) -> Iterator[Any]:
        asked.append((dict(request["reached"]), request["unharmed"]))
        yield SimpleNamespace(last_words=lambda: "lost")

    monkeypatch.setattr(scoring, "Guest", guest)
    monkeypatch.setattr(scoring, "entries", lambda made: guests.pop(0))
    monkeypatch.setattr(scoring, "boot_of", lambda image, among: None)
    judged = cast("scoring.Judge", lambda name, *_: records.case(name, "PASS"))
    reached = {"views.all": [7], "traps.int3": [7]} if known else {}

    def score() -> scoring.Score:
        return scoring.score(Path("b"), [FAULT], reached, judged, Path(), lambda text: None)

    if known:
        score()
        assert asked == [(reached, True)] * 2
    else:
        with pytest.raises(HarnessError, match="guests are lost"):
            score()


# Another program sees a fault if it ends otherwise, or fails at more, than twice without one; one
# that is not the same twice, or does not end, sees nothing.
@pytest.mark.parametrize(
    ("before", "now", "seen"),
    [
        ([(0, ""), (0, "")], (0, "[OK]\tall"), []),
        ([(0, ""), (0, "")], (1, ""), ["sigreturn_64"]),
        ([(1, "[FAIL]\tat 7"), (1, "[FAIL]\tat 8")], (1, "[FAIL]\tat 9"), []),
        ([(1, "[FAIL]\tone"), (1, "[FAIL]\tone")], (1, "[FAIL]\tother"), ["sigreturn_64"]),
        ([(0, ""), (1, "")], (1, ""), []),
        ([(-1, ""), (-1, "")], (0, ""), []),
    ],
)
def test_peers(
    before: list[tuple[int, str]], now: tuple[int, str], seen: list[str]
) -> None:
    program = "sigreturn_64"
    ran = {program: [scoring.Peer(code, output, 0.1) for code, output in before]}
    score = scoring.Score(peers={0: ran, 7: {program: [scoring.Peer(*now, 0.1)]}})
    assert peers.caught(score, FAULT) == seen
    rows = table.rows("6.1", [FAULT], score)
    assert peers.text(score, [FAULT], rows).split()[-4:] == ["all", "1", "0", str(len(seen))]


# A case that failed with no fault awake catches none, and is told.
def test_unsound() -> None:
    outcome = scoring.Outcome(7, {"traps.int3": "x"})
    before = {"traps.int3": records.case("traps.int3", "FAIL", reason="always")}
    score = scoring.Score(outcomes={7: outcome}, unharmed=before)
    (row,) = table.rows("6.1", [FAULT], score)
    assert row.verdict == table.MISSED
    assert table.unharmed(score) == ["traps.int3: FAIL: always"]


# The score that is kept is read as it was written, and what has become worse is told.
def test_kept(tmp_path: Path) -> None:
    good = table.Row("6.1", "leak", table.CAUGHT, ("traps.int3",), 1, 5, (), "")
    path = tmp_path / "score.toml"
    table.write([good], {"6.1": "6.1.1"}, path)
    assert table.read(path) == ({"6.1": "6.1.1"}, [good])
    missed = table.Row("6.1", "leak", table.MISSED, (), 0, 5, (), "")
    assert table.worse([missed], [good]) == ["6.1: leak was caught, and is missed"]
    assert not table.worse([good], [missed])
