# SPDX-License-Identifier: GPL-2.0-only
"""`origax doctor`: all facts with their probes, and the price of each that is missing."""

from __future__ import annotations

import json
from dataclasses import dataclass

from conformance.facts import Environment, Fact
from conformance.reports import WIDTH, doctor

VOCABULARY = {
    fact.name: fact
    for fact in (
        Fact("release", str, "uname -r.", "", "kernel"),
        Fact("cmdline", str, "/proc/cmdline.", "", "kernel"),
        Fact("root", bool, "The effective user is 0.", "run as root", "permissions"),
        Fact("x32", bool, "A program runs.", "boot with syscall.x32=y", "ABI doors"),
        Fact(
            "some_change", bool, "By version: commit 1.\nSeen only in JSON.", "", "kernel changes"
        ),
    )
}
ENVIRONMENT = Environment(
    "linux-6.1.192-debian.amd.tcg",
    {
        "release": "6.1.0-51-amd64", "cmdline": "quiet " * 40, "root": True, "x32": False,
        "some_change": False,
    },
    {"uname_v": "#1 SMP \x1b[2J", "hypervisor": ""},
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """As much of a case as the doctor looks at."""

    id: str
    needs: tuple[str, ...] = ()


CASES = (
    Case("syscalls.pair"),
    Case("views.x32", ("x32",)),
    Case("events.x32_exec", ("x32", "root")),
    Case("restarts.later", ("some_change",)),
)


def rows(text: str) -> list[list[str]]:
    """The words of each line."""
    return [line.split() for line in text.splitlines()]


# Every fact stands under its group's heading, with its value and its probe beside it.
def test_facts_are_shown() -> None:
    text = doctor.text(ENVIRONMENT, VOCABULARY, CASES)
    assert text.splitlines()[0] == "linux-6.1.192-debian.amd.tcg"
    assert ["release", "6.1.0-51-amd64", "uname", "-r."] in rows(text)
    assert ["root", "true", "The", "effective", "user", "is", "0."] in rows(text)
    headings = [
        line for line in text.splitlines() if line in {f.group for f in VOCABULARY.values()}
    ]
    assert headings == ["kernel", "permissions", "ABI doors", "kernel changes"]


# Long values and probes fold, and no line is wider than the reports are.
def test_lines_fold() -> None:
    text = doctor.text(ENVIRONMENT, VOCABULARY, CASES)
    assert max(map(len, text.splitlines())) <= WIDTH
    assert text.count("quiet") == 40
    assert text.endswith("\n")
    assert not text.endswith("\n\n")


# The values of one group begin in one column, and so do their probes.
def test_columns_are_aligned() -> None:
    facts = (Fact("a", bool, "Short.", "", "g"), Fact("longer", str, "Long.", "", "g"))
    environment = Environment("linux-6.1.amd.kvm", {"a": True, "longer": "medium"}, {})
    text = doctor.text(environment, {fact.name: fact for fact in facts}, ())
    assert "  a       true    Short.\n  longer  medium  Long.\n" in text


# Each missing need says how many cases it costs, which, and what would give it.
def test_costs_are_shown() -> None:
    text = doctor.text(ENVIRONMENT, VOCABULARY, CASES)
    costs = text[text.index("What is missing costs 3 of 4 cases") :]
    assert "  x32  2 cases\n    to have it: boot with syscall.x32=y\n" in costs
    assert "    cases: events.x32_exec views.x32\n" in costs
    assert "  some_change  1 case\n    to have it: nothing gives it\n" in costs
    assert "root  " not in costs


# A machine that lacks nothing is told so.
def test_nothing_missing() -> None:
    text = doctor.text(ENVIRONMENT, VOCABULARY, CASES[:1])
    assert text.endswith("Nothing is missing: 1 case can run here\n")


# A need that is no fact is shown as a mistake of the case.
def test_unknown_need() -> None:
    (lost,) = doctor.missing(ENVIRONMENT, VOCABULARY, [Case("a.b", ("warp",))])
    assert lost == doctor.Missing(
        "warp", "correct the case's needs: there is no such fact", ("a.b",)
    )


# Plain text has no escape sequences, whatever the machine says; colour is asked for.
def test_colour() -> None:
    plain = doctor.text(ENVIRONMENT, VOCABULARY, CASES)
    assert plain.isascii()
    assert "\x1b" not in plain
    assert "\x1b[" in doctor.text(ENVIRONMENT, VOCABULARY, CASES, color=True)


# JSON holds every fact, also what a change does, and every missing need.
def test_data() -> None:
    data = json.loads(json.dumps(doctor.data(ENVIRONMENT, VOCABULARY, CASES)))
    assert data["environment"] == ENVIRONMENT.name
    assert data["build"] == ENVIRONMENT.build
    assert {fact["name"]: fact["value"] for fact in data["facts"]} == ENVIRONMENT.facts
    assert data["facts"][-1]["doc"].endswith("\nSeen only in JSON.")
    assert [fact["kind"] for fact in data["facts"]] == ["str", "str", "bool", "bool", "bool"]
    assert data["cases"] == len(CASES)
    assert data["missing"][0] == {
        "fact": "x32",
        "lack": "boot with syscall.x32=y",
        "cases": ["events.x32_exec", "views.x32"],
    }
