# SPDX-License-Identifier: GPL-2.0-only
"""The table of behaviours: each has its cases, or a reason; and the command that counts them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from conformance import cli, coverage
from conformance.cases import Case, all_cases
from conformance.coverage import Coverage, Row
from conformance.errors import UsageError
from conformance.reports import coverage as report

TABLE = """\
[1]
group = "calls"
about = "What calls show."
name = "seen at every door"

[2]
name = "of 64-bit int $0x80 alone"
doors = ["int80_64"]

[3]
name = "of every ABI"
doors = ["abis"]
why.x32 = "no case yet: it is new"

[4]
group = "others"
about = "What no call shows."
name = "of no door"
doors = ["any", "vsyscall"]
why.vsyscall = "no case can be: the page has no register"
"""


def drive(trace: object) -> None:
    """Never run: these cases are counted only."""


def made(case_id: str, door: str, abi: str, *covers: int) -> Case:
    return Case(case_id, abi, door, covers, (), None, drive)


SOUND = (
    *(
        made(f"a.pair.{door}", door, "ia32" if door in ("int80_32", "sysenter", "syscall32")
             else "x32" if door == "x32" else "x86_64", 1)
        for door in ("syscall64", "int80_64", "int80_32", "sysenter", "syscall32", "x32")
    ),
    made("a.keeps", "int80_64", "x86_64", 2, 4), made("a.trap", "none", "x86_64", 3),
    made("a.far", "sysenter", "ia32", 3),
)  # fmt: skip
"""Cases by which all of that table is covered or has its reason."""


def read(directory: Path, text: str = TABLE) -> tuple[Row, ...]:
    (directory / "behaviours.toml").write_text(text)
    return coverage.read(directory)


def counted(directory: Path, *cases: Case, text: str = TABLE) -> tuple[Coverage, ...]:
    return coverage.count(read(directory, text), cases)


# The project's own table and cases are sound: each row has a case, or a reason why not, at each of
# its doors; no reason has outlived its need; and no case covers what the table does not have.
def test_own_table(expected: Path) -> None:
    assert list(coverage.wrong(coverage.read(expected), all_cases())) == []


# Names fit their column, and no two rows have the same one.
def test_own_names(expected: Path) -> None:
    names = [row.name for row in coverage.read(expected)]
    assert len(set(names)) == len(names)
    assert max(map(len, names)) <= 63


# Where two doors lead to one table, a case at one of the vDSO's is one at the other, too; but what
# SYSRET alone does is not seen behind SYSENTER.
def test_both_fast_doors() -> None:
    ids = {case.id for case in all_cases()}
    fast = {name.removesuffix(".syscall32") for name in ids if name.endswith(".syscall32")}
    assert {name for name in ids if name.endswith(".sysenter")} == {
        f"{name}.sysenter" for name in fast
    } | {
        f"{case.id}.sysenter" for case in all_cases()
        if case.door == "syscall32" and not case.id.endswith(".syscall32")
        and case.id != "syscalls.sysret_stack_32"
    }  # fmt: skip


# Doors left out are all those of calls; the words for several places mean each of them.
def test_places(tmp_path: Path) -> None:
    one, two, three, four = read(tmp_path)
    assert set(one.places) == {"syscall64", "int80_64", "int80_32", "sysenter", "syscall32", "x32"}
    assert two.places == ("int80_64",)
    assert three.places == ("x86_64", "ia32", "x32")
    assert four.places == ("any", "vsyscall")


# A group goes on until the next begins.
def test_groups(tmp_path: Path) -> None:
    assert [row.group.name for row in read(tmp_path)] == ["calls", "calls", "calls", "others"]


# A case counts at its door, in its ABI and anywhere; a reason is for where none is.
def test_count(tmp_path: Path) -> None:
    one, two, three, four = counted(tmp_path, *SOUND)
    assert [one.missing, two.missing, three.missing, four.missing] == [(), (), ("x32",),
                                                                      ("vsyscall",)]  # fmt: skip
    assert [each.unexplained for each in (one, two, three, four)] == [(), (), (), ()]
    assert [case.id for case in three.at("ia32")] == ["a.far"]
    assert [case.id for case in four.at("any")] == ["a.keeps"]


# Whatever does not hold between table and cases is told, one line each, and nothing else.
@pytest.mark.parametrize(
    ("old", "new", "case", "told"),
    [
        ("", "", None, []),
        ('why.x32 = "no case yet: it is new"\n', "", None, ["row 3: no case and no reason at x32"]),
        (
            "", "", made("b.x", "x32", "x32", 3),
            ["row 3: why.x32 must go: no case is missing there"],
        ),
        ("", "", made("b.x", "x32", "x32", 5), ["row 5: b.x covers it, but the table has no such "
                                                "behaviour"]),
        ("", "", made("b.x", "x32", "x32", 2), ["row 2: b.x covers it at x32, where it does not "
                                                "exist"]),
        ("", "", made("b.trap", "none", "ia32", 2), ["row 2: b.trap covers it at ia32, where it "
                                                     "does not exist"]),
        ("", "", made("b.trap", "none", "x86_64", 2), []),
        (
            'why.x32 = "no case yet: it is new"', 'why.abis = "no case yet: it is new"',
            made("b.x", "x32", "x32", 3), ["row 3: why.abis must go: no case is missing there"],
        ),
        ('why.x32 = "no case yet: it is new"', 'why.abis = "no case yet: it is new"', None, []),
    ],
)  # fmt: skip
def test_wrong(tmp_path: Path, old: str, new: str, case: Case | None, told: list[str]) -> None:
    rows = read(tmp_path, TABLE.replace(old, new) if old else TABLE)
    assert list(coverage.wrong(rows, (*SOUND, case) if case else SOUND)) == told


# Each mistake in the table is refused, and the error says where, what, and what to do.
@pytest.mark.parametrize(
    ("old", "new", "where", "what"),
    [
        ('name = "of every ABI"', "", ", [3]", "'name' is missing"),
        ('doors = ["abis"]', 'doors = "abis"', ", [3]", "'doors' is missing or no list"),
        ('doors = ["abis"]', "doors = []", ", [3]", "'doors' is empty"),
        ('doors = ["abis"]', 'doors = ["int81"]', ", [3]", "'doors' names 'int81'"),
        ("why.x32", "why.x33", ", [3]", "'why' names 'x33'"),
        ("why.x32", "why.vsyscall", ", [3]", "why.vsyscall is not of its doors"),
        ("why.x32", "why.calls", ", [3]", "why.calls is not of its doors"),
        ("why.x32", "why", ", [3]", "'why' is no table"),
        ("no case yet: ", "some day ", ", [3]", "why.x32 does not say of which kind"),
        ("why.x32", "reason", ", [3]", "there is no key 'reason'"),
        ('group = "calls"', "", ", [1]", "'group' is missing"),
        ('about = "What no call shows."', "", ", [4]", "'about' is missing"),
        ("[3]", "[5]", "", "[5] stands where [3] must"),
        ("[3]", "[x]", "", "[x] stands where [3] must"),
        ("[3]", "[[3]]", "", "'3' is no table"),
        ("[3]", "[2]", "", "the file is not TOML"),
    ],
)
def test_mistakes(tmp_path: Path, old: str, new: str, where: str, what: str) -> None:
    assert old in TABLE
    with pytest.raises(UsageError) as caught:
        read(tmp_path, TABLE.replace(old, new, 1))
    assert caught.value.what.startswith(what)
    assert caught.value.on == f"{tmp_path}/behaviours.toml{where}"
    assert caught.value.do


# A line a row: a number where there are cases, and otherwise a mark that the legend tells.
def test_table(tmp_path: Path) -> None:
    text = report.table(counted(tmp_path, *SOUND[1:]), color=False)
    legend, heads, _ = text.split("\n\n")
    assert [line.split()[-1] for line in heads.splitlines()[:10]] == list(coverage.PLACES)
    assert [line.split()[-10:] for line in heads.splitlines()[10:]] == [
        ["5", "!", "1", "1", "1", "1", "-", "1", "3", "1"],
        ["1", "-", "1", "-", "-", "-", "-", "1", "-", "-"],
        ["2", ".", ".", ".", "1", ".", ".", "1", "1", "o"],
        ["1", ".", "1", ".", ".", ".", "x", "1", ".", "."],
    ]
    for mark in "-.ox!":
        assert re.search(rf"^.*  {re.escape(mark)} [a-z]", legend, re.MULTILINE)


# Each head stands above its column: its first letter is where the last digit is.
def test_heads(tmp_path: Path) -> None:
    text = report.table(counted(tmp_path, *SOUND), color=False).split("\n\n")[1]
    *heads, first = text.splitlines()[:11]
    columns = [line.index(place) for line, place in zip(heads, coverage.PLACES, strict=True)]
    assert [first[column] for column in columns] == first.split()[-10:]


# Reasons stand below their rows, equal ones once, if they are asked for.
def test_reasons(tmp_path: Path) -> None:
    shown = counted(tmp_path, *SOUND, text=TABLE.replace("why.x32", "why.abis"))
    lines = report.table(shown[2:], color=False, reasons=True).splitlines()
    assert "     x32: no case yet: it is new" in lines
    assert "     vsyscall: no case can be: the page has no register" in lines
    assert "no case" not in report.table(shown[2:], color=False)


# No line is wider than asked: a long name is cut.
@pytest.mark.parametrize("width", [60, 100])
def test_width(tmp_path: Path, width: int) -> None:
    text = TABLE.replace("it is new", "it is new " * 30).replace("of every ABI", "of every " * 30)
    shown = counted(tmp_path, *SOUND, text=text)
    parts = (
        report.table(shown, color=False, reasons=True, width=width),
        report.closing(shown, ["row 3: " + "something " * 30], color=False, width=width),
    )
    assert max(len(line) for part in parts for line in part.splitlines()) <= width
    assert re.search(r"^  3  of every.*\.\.\. +2 ", parts[0], re.MULTILINE)


# A row's cases stand at the door where each is, once, and where one is missing, why.
def test_row(tmp_path: Path) -> None:
    shown = counted(tmp_path, *SOUND)
    assert report.rows(shown[2:3], color=False).splitlines() == [
        "3  of every ABI",
        "  sysenter   a.far",
        "  x86_64     a.trap",
        "  x32        no case yet: it is new",
        "",
    ]


# The last line is the sum: every row is in one of three kinds, of which one fails.
def test_closing(tmp_path: Path) -> None:
    sound = report.closing(counted(tmp_path, *SOUND), [], color=False)
    assert sound == "4 behaviours: 2 covered, 2 with a reason, 0 with neither\n"
    broken = report.closing(counted(tmp_path, *SOUND[1:]), ["row 1: wrong"], color=False)
    assert broken.splitlines() == [
        "row 1: wrong", "4 behaviours: 1 covered, 2 with a reason, 1 with neither"
    ]  # fmt: skip


# The command counts the project's own cases, and exits 0 since the table is sound.
def test_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["coverage"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum(bool(re.match(r" {0,2}[0-9]+  ", line)) for line in lines) == int(
        lines[-1].split()[0]
    )
    assert lines[-1].endswith(" 0 with neither")


# Chosen rows are those alone, in the order asked for, with the names of their cases.
def test_command_rows(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["coverage", "--row", "16", "15"]) == 0
    out = capsys.readouterr().out
    assert re.findall(r"^([0-9]+)  ", out, re.MULTILINE) == ["16", "15"]
    assert "syscalls.sixth_argument.sysenter\n" in out and "syscalls.int80_keeps\n" in out


# Rows that lack nothing are left out if only the others are asked for.
def test_command_uncovered(expected: Path, capsys: pytest.CaptureFixture[str]) -> None:
    every = coverage.count(coverage.read(expected), all_cases())
    assert cli.main(["coverage", "--uncovered"]) == 0
    shown = re.findall(r"^ {0,2}([0-9]+)  ", capsys.readouterr().out, re.MULTILINE)
    assert shown == [str(each.row.number) for each in every if each.missing]


# With a table that lacks rows, the command says which, and exits 1.
def test_command_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "facts.toml").touch()
    read(tmp_path)
    assert cli.main(["--expected", str(tmp_path), "coverage", "--row", "1"]) == 1
    assert "row 16: syscalls.sixth_argument covers it, but" in capsys.readouterr().out


# A row that does not exist is wrong usage.
def test_command_unknown(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["coverage", "--row", "0"]) == 2
    assert "on: --row 0" in capsys.readouterr().err


# `origax show` tells the behaviours of a case by their names.
def test_show(expected: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["show", "restarts.read"]) == 0
    (case,) = (each for each in all_cases() if each.id == "restarts.read")
    told = capsys.readouterr().out
    for row in coverage.select(coverage.read(expected), case.covers):
        assert f"{row.number:3}  {row.name}\n" in told
