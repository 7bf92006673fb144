# SPDX-License-Identifier: GPL-2.0-only
"""Two kernels compared: what differs is shown without a golden, and explained by one."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import records

from conformance import cli, record
from conformance.errors import UsageError
from conformance.record import CaseRecord, Record, TranscriptRecord
from conformance.reports.diff import diff

FACTS = """
[old_change]
commit = "aaaaaaaaaaaa"
subject = "x86/entry: Do the first thing"
since = "5.8-rc1"
observable = "The first thing is seen."

[new_change]
commit = "bbbbbbbbbbbb"
subject = "x86/entry: Do the second thing"
since = "6.9"
backports = ["6.1.93"]
observable = "The second thing is seen."
"""

MINUS, NUMBER = "stop  event STOP  orig_ax=-1 ax=*", "stop  event STOP  orig_ax=34 ax=*"
SIDE = {"x86_64": True, "old_change": False, "new_change": False, "amd": True, "intel": False}


def golden(expected: Path, case_id: str, **variants: str) -> None:
    """Write the golden of a case: a condition for each of its two transcripts."""
    text = 'intent = "i"\nsource = ["s"]\nbreaks = ["gdb"]\nweak.ax = "any"\n'
    for name, when in variants.items():
        line = {"minus": MINUS, "number": NUMBER}[name]
        text += f'[[variant]]\nname = "{name}"\nwhen = "{when}"\nbasis = "observed"\n'
        text += f'transcript = """\n{line}\n"""\n'
    family, _, name = case_id.partition(".")
    (expected / family).mkdir(exist_ok=True)
    (expected / family / f"{name}.toml").write_text(text)


def side(cases: dict[str, str], **facts: bool | str) -> Record:
    """Give a record of cases that each showed one line."""
    traced = (
        records.case(name, transcripts=(records.transcript(line.replace("*", "7")),))
        for name, line in cases.items()
    )
    sample = records.record(*traced)
    return replace(sample, environment=replace(sample.environment, facts={**SIDE, **facts}))


def headings(report: list[str]) -> list[str]:
    return [line.removeprefix("== ") for line in report if line.startswith("== ")]


@pytest.fixture
def expected(tmp_path: Path) -> Path:
    """Give goldens of nothing, and two changes of the kernel."""
    (tmp_path / "facts.toml").write_text(FACTS)
    return tmp_path


def lines(expected: Path, a: Record, b: Record) -> list[str]:
    """Give the lines of a report that has to find a difference."""
    text, differs = diff(a, b, expected, color=False)
    assert differs
    return text.splitlines()


# Two runs with the same transcripts do not differ, whatever their verdicts and durations.
def test_same(expected: Path) -> None:
    a = records.record(records.case(), records.case("a.skipped", "SKIP", reason="needs fred"))
    b = records.record(records.case(verdict="NOGOLDEN", duration=3.0), duration=1.0)
    text, differs = diff(a, b, expected, color=False)
    assert not differs
    assert text.splitlines()[-1] == "1 case in both: 1 the same, 0 not"


# Other facts are told, each with both values, and are no difference by themselves.
def test_facts(expected: Path) -> None:
    a = records.record(records.case())
    facts: dict[str, bool | int | str] = {"release": "7.2.1", "x86_64": True, "fred": True}
    b = replace(a, environment=replace(a.environment, facts=facts))
    text, differs = diff(a, b, expected, color=False)
    assert not differs
    assert text.split("\n\n")[1].splitlines() == [
        "facts that differ",
        "  family   25      -> -",
        "  fred     -       -> true",
        "  release  6.1.192 -> 7.2.1",
    ]


# A register that differs is shown in both lines, marked, and with both raw values.
def test_changed(expected: Path) -> None:
    report = lines(expected, records.record(records.case()), records.record(records.leaking()))
    start = report.index("orig_ax: -1 -> 34/pause  (1 case)")
    assert report[start + 1] == "  interrupts.device"
    assert report[start + 2].startswith("  a         stop event STOP orig_ax=-1 ")
    assert report[start + 3].startswith("  b         stop event STOP orig_ax=34/pause ")
    assert report[start + 4].strip() == "^" * len("orig_ax=34/pause")
    assert "  raw a     orig_ax=-1 is 0xffffffffffffffff" in report
    assert "  raw b     orig_ax=34/pause is 0x22" in report
    assert report[-1] == "1 case in both: 0 the same, 1 not"


# Equal changes of several cases are one group, shown once.
def test_grouped(expected: Path) -> None:
    names = ("a.one", "a.two", "b.three")
    a = records.record(*map(records.case, names))
    b = records.record(*map(records.leaking, names))
    report = lines(expected, a, b)
    start = report.index("orig_ax: -1 -> 34/pause  (3 cases)")
    assert report[start + 1] == "  a.one  a.two  b.three"
    assert sum("^^^^" in line for line in report) == 1


# A stop that only one kernel has is told as such.
def test_lost_stop(expected: Path) -> None:
    fewer = TranscriptRecord(1, records.LINES[1:], records.stops()[1:])
    b = records.record(records.case(transcripts=(fewer,)))
    report = lines(expected, records.record(records.case()), b)
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
def test_alone(expected: Path, other: tuple[CaseRecord, ...], head: str) -> None:
    a, b = records.record(records.case()), records.record(*other)
    report = lines(expected, a, b)
    assert report[report.index(head) + 1] == "  interrupts.device"
    assert report[-1] == "0 cases in both: 0 the same, 0 not; 1 only in one"
    assert lines(expected, b, a)[-1] == report[-1]


# Repeats that part on one side only are a difference, though the commonest transcript is the same.
def test_unstable(expected: Path) -> None:
    parted = (
        records.transcript(records.LEAKED, count=3),
        records.transcript(count=7),
    )
    b = records.record(records.case(verdict="UNSTABLE", transcripts=parted))
    report = lines(expected, records.record(records.case()), b)
    assert any("some repeats gave another  (1 case)" in line for line in report)


# A transcript that is none is a message, not a traceback.
def test_damaged_transcript(expected: Path) -> None:
    b = records.record(records.case(transcripts=(records.transcript("nonsense here"),)))
    with pytest.raises(UsageError, match="damaged"):
        diff(records.record(records.case()), b, expected, color=False)


# Nothing of a kernel's text reaches the terminal raw.
def test_escaped(expected: Path) -> None:
    evil = "\x1b[2J\u202e"
    b = records.record(
        records.case(transcripts=(records.transcript(f"stop  x  a={evil}"),)),
        records.case("a.b", "ERROR", reason=evil),
    )
    a = records.record(records.case(), records.case("a.b"))
    a = replace(a, environment=replace(a.environment, facts={evil: evil}, name=evil))
    text, _ = diff(a, b, expected, color=False)
    assert all(line.isascii() and line.isprintable() for line in text.split("\n"))


# A difference that a kernel's change makes is explained by it alone, with commit and versions,
# whichever of the two kernels has it; the exit code is that of a difference all the same.
@pytest.mark.parametrize("reverse", [False, True])
def test_explained_by_a_change(expected: Path, reverse: bool) -> None:
    golden(expected, "traps.one", minus="new_change", number="not new_change")
    a = side({"traps.one": NUMBER})
    b = side({"traps.one": MINUS}, new_change=True, old_change=True)
    report = lines(expected, b, a) if reverse else lines(expected, a, b)
    assert headings(report) == ["explained by new_change  (1 case)"]
    start = report.index("== explained by new_change  (1 case)")
    values = "true -> false" if reverse else "false -> true"
    assert report[start + 1 : start + 5] == [
        f"   new_change: {values}",
        '      commit bbbbbbbbbbbb ("x86/entry: Do the second thing") (in v6.9, v6.1.93)',
        "      The second thing is seen.",
        "",
    ]
    assert report[-2] == "1 explained, 0 in weak fields, 0 unexplained"


# Facts that only together choose the other golden are named together, and such that each would
# do are named as alternatives; what differs beside them is not named.
@pytest.mark.parametrize(
    ("when", "heading"),
    [
        ("old_change and new_change", "new_change with old_change"),
        ("old_change or new_change", "new_change or old_change"),
        ("new_change or (old_change and not amd)", "new_change"),
    ],
)
def test_smallest_sets(expected: Path, when: str, heading: str) -> None:
    golden(expected, "traps.one", minus=when, number=f"not ({when})")
    a = side({"traps.one": NUMBER})
    b = side({"traps.one": MINUS}, new_change=True, old_change=True, amd=False, intel=True)
    assert headings(lines(expected, a, b)) == [f"explained by {heading}  (1 case)"]


# Facts that exclude each other change places together: half of it is no machine.
def test_contradicting_facts(expected: Path) -> None:
    golden(expected, "traps.one", minus="intel", number="amd")
    a, b = side({"traps.one": NUMBER}), side({"traps.one": MINUS}, amd=False, intel=True)
    assert headings(lines(expected, a, b)) == ["explained by amd with intel  (1 case)"]


# A kernel that is not as its golden says is not explained, though facts and goldens differ; nor
# is one without a golden, without a fact that its golden needs, or whose repeats part.
def test_unexplained(expected: Path) -> None:
    golden(expected, "traps.one", minus="new_change", number="not new_change")
    good, other = side({"traps.one": NUMBER}), NUMBER.replace("34", "35")
    wrong = side({"traps.one": other}, new_change=True)
    bare = side({"traps.one": MINUS})
    facts = {name: value for name, value in SIDE.items() if name != "new_change"}
    bare = replace(bare, environment=replace(bare.environment, facts=facts))
    right = side({"traps.one": MINUS}, new_change=True)
    parts = (*right.cases[0].transcripts, records.transcript(NUMBER))
    parted = replace(right, cases=(replace(right.cases[0], transcripts=parts),))
    for b in (wrong, bare, parted):
        report = lines(expected, good, b)
        assert headings(report) == ["explained by no fact  (1 case)"]
        assert report[-2] == "0 explained, 0 in weak fields, 1 unexplained"
        assert any(line.startswith("  breaks    gdb: ") for line in report)
    (expected / "traps" / "one.toml").unlink()
    assert headings(lines(expected, good, right)) == ["explained by no fact  (1 case)"]


# What a known issue says of a machine explains a difference by the facts of its condition.
def test_known_issue(expected: Path) -> None:
    golden(expected, "traps.one", minus="x86_64")
    (expected / "known_issues.toml").write_text(
        '[[issue]]\ncase = "traps.one"\nwhen = "virt == \'tcg\'"\nreason = "r"\nuntil = "u"\n'
        f'transcript = """\n{NUMBER.replace("*", "7")}\n"""\n'
    )
    a, b = side({"traps.one": MINUS}, virt="kvm"), side({"traps.one": NUMBER}, virt="tcg")
    assert headings(lines(expected, a, b)) == ["explained by virt  (1 case)"]


# Where one golden fits both, the fields that differ are named as weak.
def test_weak_fields(expected: Path) -> None:
    golden(expected, "traps.one", minus="x86_64")
    a, b = side({"traps.one": MINUS}), side({"traps.one": MINUS.replace("*", "8")})
    report = lines(expected, a, b)
    [heading] = headings(report)
    assert heading == "weak fields: one golden fits both  (1 case)"
    assert report[report.index(f"== {heading}") + 2 :][:2] == ["ax  (1 case)", "  traps.one"]


# What nothing explains stands first, then the kernel's changes by age, then the machine, then
# weak fields, and last what one did not run.
def test_order(expected: Path) -> None:
    golden(expected, "a.new", minus="new_change", number="not new_change")
    golden(expected, "b.old", minus="old_change", number="not old_change")
    golden(expected, "c.cpu", minus="intel", number="not intel")
    golden(expected, "d.weak", minus="x86_64")
    names = dict.fromkeys(("a.new", "b.old", "c.cpu", "e.bad"), NUMBER)
    a = side({**names, "d.weak": MINUS, "f.alone": MINUS})
    after = dict.fromkeys(names, MINUS) | {"d.weak": MINUS.replace("*", "8")}
    b = side(after, new_change=True, old_change=True, amd=False, intel=True)
    report = lines(expected, a, b)
    assert [heading.partition("  (")[0] for heading in headings(report)] == [
        "explained by no fact", "explained by old_change", "explained by new_change",
        "explained by intel", "weak fields: one golden fits both",
    ]  # fmt: skip
    assert report.index("only in a; b: not run  (1 case)") > report.index("  d.weak")


# Inside a section the gravest change stands first whatever its family, and then the way in.
def test_gravity(expected: Path) -> None:
    before = "stop  syscall-enter  orig_ax=1 ax=2 ip=3 flags=IF regs=own"
    after = {
        "views.c": before.replace("orig_ax=1", "orig_ax=-1"),
        "traps.b": before.replace("ax=2", "ax=4"),
        "syscalls.f": before.replace("own", "cx:5"),
        "syscalls.e": before.replace("IF", "IF+TF"),
        "syscalls.d": before.replace("ip=3", "ip=5"),
        "consumers.g": before.replace("orig_ax=1", "orig_ax=-2"),
    }
    report = lines(expected, side(dict.fromkeys(after, before)), side(after))
    found = [line.strip() for line in report if re.fullmatch(r"  [a-z]+\.[a-z]", line)]
    assert found == ["views.c", "consumers.g", "traps.b", "syscalls.d", "syscalls.e", "syscalls.f"]


# The command explains by the goldens it is told, and exits as documented.
def test_command(expected: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    golden(expected, "traps.one", minus="new_change", number="not new_change")
    paths = [str(tmp_path / name) for name in ("a.json", "b.json")]
    record.write(Path(paths[0]), side({"traps.one": NUMBER}))
    record.write(Path(paths[1]), side({"traps.one": MINUS}, new_change=True))
    assert cli.main(["--expected", str(expected), "diff", *paths]) == 1
    assert "explained by new_change" in capsys.readouterr().out
    assert cli.main(["--expected", str(expected), "diff", paths[0], paths[0]]) == 0
