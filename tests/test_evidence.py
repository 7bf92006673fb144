# SPDX-License-Identifier: GPL-2.0-only
"""Evidence: what a record confirms is written small and stable, and nothing else is."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import records

from conformance import cli, evidence, expectation, record
from conformance.errors import UsageError
from conformance.facts import PASSING, VOCABULARY
from conformance.record import CaseRecord, Record

GOLDEN = '''
intent = "Nothing leaks."
source = ["arch/x86/entry/entry_64.S idtentry_body"]
breaks = []

[weak]
ax = "any value will do"

[[variant]]
name = "base"
when = "x86_64"
basis = "kernel-source"
transcript = """
stop  signal SIGTRAP  orig_ax=-1 ax=*
exit  exited 0
"""
'''
SEEN = ("stop  signal SIGTRAP  orig_ax=-1 ax=7", "exit  exited 0")


@pytest.fixture
def expected(tmp_path: Path) -> Path:
    """Give expectations of two cases that are alike."""
    (tmp_path / "facts.toml").write_text("")
    (tmp_path / "traps").mkdir()
    for name in ("one", "two"):
        (tmp_path / "traps" / f"{name}.toml").write_text(GOLDEN)
    return tmp_path


def case(name: str = "traps.one", verdict: str = "PASS", ax: int = 7, **more: Any) -> CaseRecord:
    lines = (SEEN[0].replace("7", str(ax)), SEEN[1])
    found = {"transcripts": (records.transcript(*lines, count=10),)} if verdict != "SKIP" else {}
    return records.case(name, verdict, **(found | more))


def made(*cases: CaseRecord, name: str = "linux-6.1.amd.tcg", **more: Any) -> Record:
    sample = records.record(*(cases or (case(),)), **more)
    facts = {"x86_64": True, "virt": "tcg", "cmdline": "root=/dev/sda1", "device_irq": 36}
    environment = replace(sample.environment, name=name, facts=facts)
    return replace(sample, environment=environment)


def refused(expected: Path, *given: Record, **environ: str) -> UsageError:
    """See records refused and everything left as it was."""
    before = {path: path.read_bytes() for path in expected.rglob("*") if path.is_file()}
    with pytest.raises(UsageError) as caught:
        evidence.write(given, expected, environ)
    assert {path: path.read_bytes() for path in before} == before
    assert sorted(path for path in expected.rglob("*") if path.is_file()) == sorted(before)
    assert caught.value.on and caught.value.do
    return caught.value


# What is written is read back: the facts, the probes, and each case that passed, by its golden.
def test_round_trip(expected: Path) -> None:
    given = made(case(), case("traps.two", "SKIP"))
    path = expected / "evidence" / "linux-6.1.amd.tcg.json"
    text = evidence.write([given], expected, {})
    assert text == f"wrote {path}: 1 case confirmed, 0 as known issues\n"
    [found] = evidence.read(expected)
    assert (found.environment, found.facts) == (path.stem, {"x86_64": True, "virt": "tcg"})
    assert (found.repeats, found.probes, found.tool) == (1, {"spin": records.SHA}, given.tool)
    [(name, confirmed)] = found.cases.items()
    assert (name, confirmed.agreed, confirmed.known) == ("traps.one", 10, False)
    assert confirmed.probes == ("spin",)


# Two runs of one environment give equal text but for what differs, one line a case.
def test_stable_text(expected: Path) -> None:
    texts = []
    for ax in (7, 8):
        given = made(case(ax=ax), case("traps.two"), duration=float(ax))
        evidence.write([given], expected, {})
        texts.append((expected / "evidence" / "linux-6.1.amd.tcg.json").read_text())
    assert texts[0] == texts[1]
    assert sum(line.startswith('  "traps.') for line in texts[0].splitlines()) == 2
    assert list(json.loads(texts[0])) == sorted(json.loads(texts[0]))


# Nothing of one machine is in it: every fact that is left out is a fact, and is not there.
def test_no_machine(expected: Path) -> None:
    evidence.write([made()], expected, {})
    text = (expected / "evidence" / "linux-6.1.amd.tcg.json").read_text()
    assert PASSING.keys() <= VOCABULARY.keys()
    assert "sda1" not in text and "device_irq" not in text


# An interrupted run, a case that did not pass, or CI writes nothing, and the cases are named.
def test_refusals(expected: Path) -> None:
    assert "interrupted" in refused(expected, made(interrupted=True)).what
    assert "CI" in refused(expected, made(), CI="true").what
    for verdict in ("FAIL", "NOGOLDEN", "UNSTABLE", "ERROR", "MISS"):
        error = refused(expected, made(), made(case(verdict=verdict), name="other"))
        assert f"1 case of the record did not pass: traps.one ({verdict})" in error.what
    many = [case(f"traps.c{number}", "FAIL") for number in range(9)]
    assert "traps.c4 (FAIL) and 4 more" in refused(expected, made(*many)).what


# A pass by a golden that changed since, or in some repeats only, confirms nothing of today.
def test_not_by_todays_golden(expected: Path) -> None:
    stale = case(transcripts=(records.transcript(SEEN[0].replace("-1", "5"), SEEN[1]),))
    assert "traps.one (FAIL by the golden of today)" in refused(expected, made(stale)).what
    gone = refused(expected, made(case("traps.three")))
    assert "traps.three (NOGOLDEN by the golden of today)" in gone.what
    parted = case(transcripts=(records.transcript(*SEEN), records.transcript(SEEN[1])))
    assert "traps.one (its repeats part)" in refused(expected, made(parted)).what


# Two records of one environment, or of two whose names give one file, are refused.
def test_one_record_an_environment(expected: Path) -> None:
    assert "one environment" in refused(expected, made(), made()).what
    assert "one environment" in refused(expected, made(name="a b"), made(name="a/b")).what
    evidence.write([made(name="a b")], expected, {})
    assert "a b has that file already" in refused(expected, made(name="a/b")).what


# A run of chosen cases takes no evidence away; a whole run without a case does.
def test_no_loss(expected: Path) -> None:
    evidence.write([made(case(), case("traps.two"))], expected, {})
    chosen = replace(made().options, patterns=("traps.one",))
    error = refused(expected, made(options=chosen))
    assert "lacks 1 case of the evidence: traps.two" in error.what
    evidence.write([made()], expected, {})
    assert list(evidence.read(expected)[0].cases) == ["traps.one"]


# Whatever an environment is called, its file stands in its directory and is ASCII.
@pytest.mark.parametrize("name", ["../../etc/passwd", ".hidden", "\x1b[2J\u202e", "x" * 900, "..."])
def test_hostile_name(expected: Path, name: str) -> None:
    text = evidence.write([made(name=name)], expected, {})
    [path] = (expected / "evidence").iterdir()
    assert path.suffix == ".json" and not path.name.startswith(".") and path.name.isascii()
    assert text.isascii() and text.rstrip("\n").isprintable()
    assert evidence.read(expected)[0].cases.keys() == {"traps.one"}


# Evidence whose values are of other types than said is refused with the place.
def test_garbled(expected: Path) -> None:
    evidence.write([made()], expected, {})
    [path] = (expected / "evidence").iterdir()
    path.write_text(path.read_text().replace('"agreed": 10', '"agreed": "ten"'))
    with pytest.raises(UsageError, match=r"cases.*traps.one.*agreed") as caught:
        evidence.read(expected)
    assert caught.value.on == str(path)


# Who confirmed a case is told: by which kind of golden, and whether it is the one of today.
def test_told(expected: Path) -> None:
    def told() -> list[str]:
        wanted = expectation.load(expected, "traps.one", VOCABULARY)
        known = expectation.load_known(expected, VOCABULARY)
        return evidence.told(evidence.read(expected), wanted, known)

    assert told() == []
    evidence.write([made(), made(name="linux-6.2.amd.tcg")], expected, {})
    assert told() == ["linux-6.1.amd.tcg", "linux-6.2.amd.tcg"]
    path = expected / "traps" / "one.toml"
    path.write_text(GOLDEN.replace("orig_ax=-1", "orig_ax=5"))
    assert told()[0] == "linux-6.1.amd.tcg, by a golden that has changed since"
    (expected / "known_issues.toml").write_text(
        '[[issue]]\ncase = "traps.one"\nwhen = "virt == \'tcg\'"\nreason = "so"\nuntil = "then"\n'
        f'transcript = """\n{SEEN[0]}\n{SEEN[1]}\n"""\n'
    )
    evidence.write([made(case(verdict="KNOWN"))], expected, {})
    assert told()[0] == "linux-6.1.amd.tcg, as a known issue"
    path.write_text(GOLDEN.replace("x86_64", "x86_64 and smap"))
    (expected / "known_issues.toml").unlink()
    assert "changed since" in told()[1]


# The command writes it, except in CI.
def test_commands(
    expected: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.delenv("CI", raising=False)
    path = tmp_path / "record.json"
    record.write(path, made())
    assert cli.main(["--expected", str(expected), "update", "--evidence", str(path)]) == 0
    assert "1 case confirmed" in capsys.readouterr().out
    monkeypatch.setenv("CI", "true")
    assert cli.main(["--expected", str(expected), "update", "--evidence", str(path)]) == 2
