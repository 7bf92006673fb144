# SPDX-License-Identifier: GPL-2.0-only
"""Cases by environments: every verdict is there to be read, and what is equal is said once."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import records

from conformance import cli, record
from conformance.record import VERDICTS, CaseRecord, Record
from conformance.reports.matrix import MARKS, matrix


def made(*cases: CaseRecord, name: str = "linux-6.1.amd.tcg", **facts: bool | int | str) -> Record:
    sample = records.record(*cases)
    values = {"release": "6.1.0-51-amd64", "virt": "tcg", "amd": True, "intel": False, **facts}
    return replace(sample, environment=replace(sample.environment, name=name, facts=values))


def cases(verdicts: str, pattern: str = "traps.c{}") -> list[CaseRecord]:
    """Give a case for each mark, numbered."""
    names = {mark: verdict for verdict, mark in MARKS.items()}
    return [records.case(pattern.format(n), names[mark]) for n, mark in enumerate(verdicts)]


def grid(text: str) -> list[str]:
    """Give the lines of the table, without its head."""
    return text.split("\n\n")[2].splitlines()[1:]


# Every verdict has a mark of its own, which the legend tells, and a case not run is a blank.
def test_marks() -> None:
    assert MARKS.keys() == set(VERDICTS)
    assert len(set(MARKS.values())) == len(VERDICTS) and all(len(m) == 1 for m in MARKS.values())
    one = made(*(records.case(f"a.{verdict.lower()}", verdict) for verdict in VERDICTS))
    text = matrix([one, made(records.case("a.pass"))], color=False)
    for verdict, mark in MARKS.items():
        assert re.search(rf"^a\.{verdict.lower()} +{re.escape(mark)}", text, re.MULTILINE)
        assert f"{mark} {verdict.lower()}" in text
    assert "(blank) not in the record" in text and max(map(len, text.splitlines())) <= 100


# An environment is named with kernel, virtualisation, CPU, device interrupts and its counts.
def test_environments() -> None:
    one = made(records.case(), records.case("a.b", "SKIP"))
    text = matrix([one, made(records.case("a.b"), intel=True, amd=False, name="x")], color=False)
    assert text.splitlines()[:3] == [
        "   environment        kernel          virt  CPU    device  .  -",
        "1  linux-6.1.amd.tcg  6.1.0-51-amd64  tcg   amd       200  1  1",
        "2  x                  6.1.0-51-amd64  tcg   intel       -  1  0",
    ]


# Environments that are equal in every case share a number and a column, in order of the first.
def test_equal_environments() -> None:
    text = matrix([made(*cases(marks)) for marks in ("..", ".k", "..")], color=False)
    assert [line[0] for line in text.splitlines()[1:4]] == ["1", "1", "2"]
    assert grid(text) == ["traps.c0 . .", "traps.c1 . k"]


# A family that is equal everywhere is one row; else those of one door, less what is named below.
@pytest.mark.parametrize(
    ("given", "rows"),
    [
        (cases(".....") + cases(".....", "traps.c{}.x32"), ["traps (10) ."]),
        (
            cases(".....") + cases("-----", "traps.c{}.x32"),
            ["traps.* (5)     .", "traps.*.x32 (5) -"],
        ),
        (cases("..F.."), ["traps.* (4 of 5) .", "  traps.c2       F"]),
        (cases(".F."), ["traps.c0 .", "traps.c1 F", "traps.c2 ."]),
    ],
)  # fmt: skip
def test_equal_cases(given: list[CaseRecord], rows: list[str]) -> None:
    assert grid(matrix([made(*given)], color=False)) == rows


# No line is wider than asked: long names are cut, and columns that do not fit stand below.
@pytest.mark.parametrize("width", [80, 100])
def test_width(width: int) -> None:
    verdicts = [f"{n:06b}".replace("0", ".").replace("1", "F") for n in range(40)]
    many = [made(*cases(each), name="linux-" + "x" * 90) for each in verdicts]
    text = matrix(many, color=False, width=width)
    assert max(map(len, text.splitlines())) <= width
    heads = [line.split() for line in text.splitlines() if re.fullmatch(r"[ 0-9]+", line)]
    assert [number for head in heads for number in head] == [str(n) for n in range(1, 41)]


# Colour changes nothing but colour.
def test_color() -> None:
    colored = matrix([records.mixed()], color=True)
    assert "\x1b[" in colored
    assert re.sub(r"\x1b\[[0-9]*m", "", colored) == matrix([records.mixed()], color=False)


# What it comes to stands last, and an interrupted run is told.
def test_closing() -> None:
    text = matrix([made(*cases("..")), made(*cases(".F")), made(*cases(".k"))], color=False)
    assert text.splitlines()[-2:] == [
        "2 cases on 3 environments: 4 pass, 1 known, 1 fail",
        "1 of 3 environments not as expected: 2",
    ]
    assert matrix([made(*cases(".k-"))], color=False).endswith("\nall as expected\n")
    assert matrix([made(*cases("--"))], color=False).endswith("\nnothing was judged\n")
    assert "was interrupted" in matrix([replace(made(), interrupted=True)], color=False)


# Nothing of a kernel's text reaches the terminal raw, nor breaks the table.
def test_escaped() -> None:
    evil = "\x1b[2J\u202e\n"
    device = records.case(measured={"frames": evil})
    text = matrix([made(device, name=evil, release=evil, virt=evil)], color=False)
    assert all(line.isascii() and line.isprintable() for line in text.split("\n"))


# `origax report` takes many records for this and for people; the exit code is that of all verdicts
# together.
def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [str(tmp_path / name) for name in ("a", "b")]
    for path, marks in zip(paths, ("..", ".F"), strict=True):
        record.write(Path(path), made(*cases(marks)))
    assert cli.main(["report", "--format", "matrix", *paths]) == 1
    assert cli.main(["report", "--format", "matrix", paths[0]]) == 0
    assert cli.main(["report", *paths]) == 0
    assert capsys.readouterr().out.count("2 cases: ") == 2
