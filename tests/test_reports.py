# SPDX-License-Identifier: GPL-2.0-only
"""The reports: complete, readable by the tools they are for, and safe from what a kernel says."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import records

from conformance import cli, reports
from conformance.errors import UsageError
from conformance.record import (
    DifferenceRecord,
    EnvironmentRecord,
    Record,
    SoakRecord,
    TranscriptRecord,
    write,
)
from conformance.reports import junit, kcidb, ktap, terminal

RESULT = re.compile(r"(ok|not ok) ([0-9]+) ([^#]*?)( # (?:([A-Z]+) )?.*)?")
"""A result line of Documentation/dev-tools/ktap.rst."""


class Terminal(io.StringIO):
    """A stream that takes itself for a terminal."""

    def isatty(self) -> bool:
        return True


# Whatever the kernel wrote, a report is ASCII, and has no control character but line ends.
@pytest.mark.parametrize(
    "report",
    [
        lambda record: terminal.summary(record, color=False),
        lambda record: ktap.report([record]),
        lambda record: ktap.tap13([record]),
        lambda record: junit.report([record]),
        lambda record: kcidb.report([record], "ci"),
    ],
)
def test_kernel_text_is_escaped(report: Callable[[Record], str]) -> None:
    text = report(records.hostile())
    assert text.isascii()
    assert all(line.isprintable() for line in text.split("\n"))


# Escapes keep what can be read and show what cannot.
def test_printable() -> None:
    assert reports.printable("ax=-513 # fine") == "ax=-513 # fine"
    assert reports.printable("\x1b[31m\n\u202e") == r"\x1b[31m\n\u202e"


# The two lines stand field under field, and exactly the fields that differ are marked.
def test_side_by_side() -> None:
    lines = ("stop  signal SIGUSR1  orig_ax=-1 ax=0", "stop  signal SIGUSR1  orig_ax=34/pause ax=0")
    assert reports.side_by_side(("expected", "observed"), lines, ["orig_ax"]) == [
        "  expected  stop signal SIGUSR1 orig_ax=-1       ax=0",
        "  observed  stop signal SIGUSR1 orig_ax=34/pause ax=0",
        "                                ^^^^^^^^^^^^^^^^",
    ]


# Other words are marked as one; a field that one line lacks leaves its place empty.
def test_side_by_side_kind_and_gaps() -> None:
    lines = ("stop  event EXEC  msg=$pid ax=0", "stop  event EXIT  ax=0 code=1")
    assert reports.side_by_side(("a", "b"), lines, ["kind", "msg", "code"]) == [
        "  a         stop event EXEC msg=$pid ax=0",
        "  b         stop event EXIT          ax=0 code=1",
        "            ^^^^^^^^^^^^^^^ ^^^^^^^^      ^^^^^^",
    ]


# Lines too long for the width fold at the same field, and each part has its own marks.
def test_side_by_side_folds() -> None:
    lines = ("stop  aaaa=1111111111 bbbb=2222222222", "stop  aaaa=1111111111 bbbb=3")
    rows = reports.side_by_side(("a", "b"), lines, ["bbbb"], width=36)
    assert rows == [
        "  a         stop aaaa=1111111111",
        "  b         stop aaaa=1111111111",
        "            bbbb=2222222222",
        "            bbbb=3",
        "            ^^^^^^^^^^^^^^^",
    ]


# A line that only one side has is told from an empty one.
def test_side_by_side_without_a_line() -> None:
    rows = reports.side_by_side(("expected", "observed"), ("exit  killed SIGKILL", None), [])
    assert rows == ["  expected  exit killed SIGKILL", "  observed  (no such line)"]


# Colour changes nothing but colour: the widths are those of the plain text.
def test_color_keeps_the_layout() -> None:
    record = records.mixed()
    colored = terminal.summary(record, color=True)
    assert "\x1b[" in colored
    assert re.sub(r"\x1b\[[0-9]*m", "", colored) == terminal.summary(record, color=False)


# A failing group shows all that a reader needs: lines, marks, raw value, who, where, and again.
def test_summary_of_a_failure() -> None:
    cases = (records.leaking("interrupts.timer", breaks=("rr",)), records.leaking())
    lines = terminal.summary(records.record(*cases), color=False).splitlines()
    assert lines[:3] == [
        "FAIL  orig_ax: -1 -> 34/pause  (2 cases)",
        "  interrupts.device",
        "  interrupts.timer",
    ]
    expected, observed, marks = lines[4:7]
    assert marks.strip() == "^" * len("orig_ax=34/pause")
    assert observed[marks.index("^") :].startswith("orig_ax=34/pause ")
    assert expected[marks.index("^") :].startswith("orig_ax=-1 ")
    text = "\n".join(lines)
    for wanted in (
        "  raw       orig_ax=34/pause is 0x22",
        "  broken    not_a_syscall: every stop: orig_ax == -1",
        "  breaks    gdb: ",
        "            CRIU: ",
        "            rr: ",
        "  source    arch/x86/entry/entry_64.S idtentry_body",
        "  again     origax run interrupts.device",
    ):
        assert wanted in text


# Cases that differ otherwise are not put together, and the larger group comes first.
def test_groups() -> None:
    other = DifferenceRecord(1, None, "exit  killed SIGSEGV", ("extra",), "extra: exit")
    cases = (
        records.leaking("a.first", differences=(other,)),
        records.leaking("b.second"),
        records.leaking("c.third"),
        records.case("d.broken", "ERROR", reason="the worker died"),
        records.case("e.fine"),
    )
    groups = reports.grouped(cases)
    assert [[case.id for case in group] for group in groups] == [
        ["b.second", "c.third"],
        ["a.first"],
        ["d.broken"],
    ]


# A change that fills a screen is cut in the headline: the lines below show it whole.
def test_long_change() -> None:
    difference = DifferenceRecord(1, records.LINES[0], None, ("missing",), "missing: " + "x" * 500)
    assert len(reports.title(records.leaking(differences=(difference,)))) == 80


# A case with many differences shows the first ones and counts the others.
def test_many_differences() -> None:
    case = records.leaking(differences=(records.LEAK,) * 8)
    text = "\n".join(reports.describe([case]))
    assert text.count("expected") == reports.SHOWN
    assert "and 3 more lines" in text


# The raw value is that of the very stop: equal lines are told apart by their order.
def test_raw_value_of_the_right_stop() -> None:
    raw = [{"who": "tracee", "kind": "x", "regs": {"cx": f"0x{n}", "ax": "0x0"}} for n in range(3)]
    lines = ("stop  x  regs=own", "stop  x  regs=cx:7", "control  result", "stop  x  regs=cx:7")
    transcript = TranscriptRecord(1, lines, tuple(raw))
    one, position = reports.raw_stop(transcript, lines[1])
    two, _ = reports.raw_stop(transcript, lines[1], position)
    assert (one, two) == (raw[1], raw[2])
    assert list(reports.raw_values(["regs"], lines[1], lines[0], one)) == ["cx is 0x1"]
    assert list(reports.raw_values(["regs"], lines[0], lines[1], one)) == ["cx is 0x1"]


# A line without a stop, or a record with fewer stops than lines, has no raw value to show.
def test_no_raw_value() -> None:
    assert reports.raw_stop(records.transcript(), records.LINES[2]) == (None, 3)
    assert reports.raw_stop(records.transcript(), "stop  elsewhere") == (None, 0)
    assert reports.raw_stop(None, records.LINES[0]) == (None, 0)
    fewer = TranscriptRecord(1, records.LINES, ())
    assert reports.raw_stop(fewer, records.LINES[0]) == (None, 1)


# An unstable case shows where its repeats part, and how often each came.
def test_unstable() -> None:
    text = terminal.summary(records.mixed(), color=False)
    assert "  7 times   stop event STOP orig_ax=-1 " in text
    assert "  3 times   stop event STOP orig_ax=34/pause " in text


# A reason that says more than the differences is shown; one that only counts them is not.
def test_reason_beside_differences() -> None:
    for reason, shown in (
        (records.LEAK.change, False),
        (f"{records.LEAK.change}, and 2 more", False),
        (f"{records.LEAK.change}; nor is it the known issue: TCG", True),
    ):
        text = "\n".join(reports.describe([records.leaking(reason=reason)]))
        assert ("reason" in text) is shown


# What failed in a guest is run again in that guest, whichever report says so.
@pytest.mark.parametrize("report", [lambda r: terminal.summary(r, color=False),
                                    lambda r: ktap.report([r]), lambda r: junit.report([r]),
                                    lambda r: kcidb.report([r], "ci")])  # fmt: skip
def test_again(report: Callable[[Record], str]) -> None:
    here = records.record(records.leaking())
    soaked = replace(here, soak=SoakRecord(()))
    there = replace(here, environment=replace(here.environment, build={"guest": "6.1-686"}))
    name = here.cases[0].id
    assert f"origax run {name}" in report(here)
    assert f"origax kernels run 6.1-686 --case {name}" in report(there)
    assert f"origax soak {name}" in report(soaked)


# Skipped and known cases are listed by reason; weak fields and verdicts are counted last.
def test_summary_counts() -> None:
    cases = [records.case(f"a.c{number}", "SKIP", reason="needs fred") for number in range(3)]
    record = records.record(
        *cases,
        records.case("b.known", "KNOWN", reason="TCG"),
        records.case("b.fine", weak=2),
        interrupted=True,
    )
    assert terminal.summary(record, color=False).splitlines() == [
        "KNOWN  TCG  (1 case)",
        "  b.known",
        "",
        "SKIP  needs fred  (3 cases)",
        "  a.c0  a.c1  a.c2",
        "",
        "2 weak fields in 1 case: they may differ, as their goldens say",
        "interrupted: not every case had its turn",
        "5 cases: 1 pass, 1 known, 3 skip  on linux-6.1.192-debian.amd.tcg in 9.8 s",
    ]


# Many cases of one family and door that are skipped alike are told by their pattern; few, by name.
def test_many_are_one_pattern() -> None:
    many = [f"a.c{number}.x32" for number in range(terminal.MANY)]
    assert terminal.joined([*many, "a.d.sysenter", "a.plain", "b.c.x32"]) == [
        f"a.*.x32 ({terminal.MANY})", "a.d.sysenter", "a.plain", "b.c.x32",
    ]  # fmt: skip


# Few cases that fail alike have a line each; many share lines, so that the reason stays in sight.
def test_many_failing_alike() -> None:
    for number, lines in ((terminal.LISTED, terminal.LISTED), (terminal.LISTED + 1, 1)):
        cases = [records.case(f"a.c{n}", "ERROR", reason="no image") for n in range(number)]
        text = terminal.summary(records.record(*cases), color=False)
        assert len([line for line in text.splitlines() if line.startswith("  a.c")]) == lines


# A run without a failure, and one without a case, is one line.
def test_summary_of_nothing() -> None:
    assert terminal.summary(records.record(records.case()), color=False) == (
        "1 case: 1 pass  on linux-6.1.192-debian.amd.tcg in 9.8 s\n"
    )
    assert terminal.summary(records.record(), color=False).startswith("0 cases: none ran")


# Programs are known in any spelling, and one that is not known is named all the same.
def test_consumers() -> None:
    assert reports.consumer("CRIU").startswith("CRIU: ")
    assert reports.consumer("Chromium sandbox").startswith("Chromium sandbox: ")
    assert reports.consumer("glibc >= 2.41").startswith("glibc >= 2.41: ")
    assert reports.consumer("frobtrace") == "frobtrace"


# Colour is for terminals only, and not for dumb ones, nor where NO_COLOR is set.
def test_use_color() -> None:
    assert terminal.use_color(Terminal(), {"TERM": "xterm"})
    assert terminal.use_color(Terminal(), {"TERM": "xterm", "NO_COLOR": ""})
    assert not terminal.use_color(Terminal(), {"TERM": "xterm", "NO_COLOR": "1"})
    assert not terminal.use_color(Terminal(), {"TERM": "dumb"})
    assert not terminal.use_color(io.StringIO(), {"TERM": "xterm"})


# On a terminal, one line is written over and over, and is gone at the end.
def test_live_progress() -> None:
    stream, times = io.StringIO(), iter((0.0, 1.0, 3.1, 4.0))
    with terminal.Progress(stream, 112, True, lambda: next(times)) as progress:
        progress.begin("interrupts.device")
        progress.end(records.leaking())
        progress.begin("interrupts.timer")
    *states, last = stream.getvalue().split("\r\x1b[K")[1:]
    assert states == [
        "[  0/112] interrupts.device  1.0 s",
        "[  1/112] 1 failing  interrupts.device  3.1 s",
        "[  1/112] 1 failing  interrupts.timer  4.0 s",
    ]
    assert last == ""


# Elsewhere, nothing is written but one line for a case that fails.
def test_plain_progress() -> None:
    stream = io.StringIO()
    with terminal.Progress(stream, 2, False) as progress:
        progress.begin("a.fine")
        progress.end(records.case("a.fine"))
        progress.end(records.leaking(differences=(), reason=records.HOSTILE))
    (line,) = stream.getvalue().splitlines()
    assert line.startswith("FAIL  interrupts.device: ")
    assert "\x1b" not in line


Told = dict[str, tuple[bool, str | None]]
"""By name, whether a test is ok, and its directive."""


def parse_ktap(text: str) -> list[Told]:
    """Read KTAP by the rules of ktap.rst; gives the tests of each level, the topmost first."""
    levels: list[Told] = []
    _level(text.splitlines(), "", levels)
    return levels


def _level(lines: list[str], indent: str, levels: list[Told]) -> None:
    depth = len(indent) // 2
    if depth == len(levels):
        levels.append({})
    assert lines.pop(0) in (f"{indent}KTAP version 1", f"{indent}TAP version 13")
    planned = int(lines.pop(0).removeprefix(f"{indent}1.."))
    done = 0
    while done < planned:
        if lines[0].startswith(f"{indent}  "):
            _level(lines, f"{indent}  ", levels)
        line = lines.pop(0).removeprefix(indent)
        if not line.startswith("#"):
            done += 1
            match = RESULT.fullmatch(line)
            assert match, line
            assert int(match[2]) == done
            levels[depth][match[3]] = (match[1] == "ok", match[5])
    while lines and not indent:
        assert lines.pop(0).startswith("#")


# Each verdict is what kernel CI knows: known issues are XFAIL, lost answers TIMEOUT.
def test_ktap() -> None:
    environments, families, cases = parse_ktap(ktap.report([records.mixed()]))
    assert environments == {"linux-6.1.192-debian.amd.tcg": (False, None)}
    assert families["syscalls"] == families["traps"] == (True, None)
    assert families["interrupts"] == (False, None)
    assert cases == {
        "syscalls.enter_exit": (True, None),
        "interrupts.device": (False, "FAIL"),
        "interrupts.timer": (False, "FAIL"),
        "traps.icebp": (True, "XFAIL"),
        "interrupts.nmi": (True, "SKIP"),
        "signals.nested": (False, "NOGOLDEN"),
        "steps.block": (False, "UNSTABLE"),
        "events.exec": (False, "ERROR"),
        "events.fork": (False, "TIMEOUT"),
    }


# What is skipped as a whole, or has no case at all, is skipped, and no pass.
def test_ktap_skips() -> None:
    skipped = records.record(records.case("a.b", "SKIP", reason="needs fred"))
    levels = parse_ktap(ktap.report([skipped, records.record()]))
    first, second = levels[0].values()
    assert first == second == levels[1]["a"] == (True, "SKIP")


# TAP 13 has TODO for what is known to fail, and that stands behind a not ok.
def test_tap13() -> None:
    (results,) = parse_ktap(ktap.tap13([records.mixed()]))
    assert len(results) == 9
    assert results["traps.icebp"] == (False, "TODO")
    assert results["interrupts.nmi"] == (True, "SKIP")


# Several records are one TAP, in which each case is named with its environment.
def test_tap13_of_many() -> None:
    (results,) = parse_ktap(ktap.tap13([records.mixed(), records.lost()]))
    assert len(results) == 11
    assert results["6.1 interrupts.device"] == (False, "MISS")
    assert results["linux-6.1.192-debian.amd.tcg interrupts.nmi"] == (True, "SKIP")


# The differing lines stand as diagnostics right before the result that they belong to.
def test_ktap_diagnostics() -> None:
    record = records.record(records.case("interrupts.a"), records.leaking())
    lines = [line.strip() for line in ktap.report([record]).splitlines()]
    first = lines.index("ok 1 interrupts.a") + 1
    last = lines.index("not ok 2 interrupts.device # FAIL orig_ax: -1 -> 34/pause")
    assert all(line.startswith("# ") for line in lines[first:last])
    assert any("^^^^" in line for line in lines[first:last])
    assert any("origax run interrupts.device" in line for line in lines[first:last])


# A reason cannot make a skip of a failure, nor a result line of its own.
@pytest.mark.parametrize("report", [ktap.report, ktap.tap13])
def test_ktap_cannot_be_forged(report: Callable[[list[Record]], str]) -> None:
    text = report([records.hostile()])
    assert len(parse_ktap(text)[-1]) == len(records.hostile().cases)
    told = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    (skipped,) = (line for line in told if " # SKIP" in line)
    assert " a.skip # SKIP" in skipped


# Records of one environment are told apart: by box, guest or host, and by a number after all.
def test_names() -> None:
    def at(**build: str) -> Record:
        return records.record(environment=EnvironmentRecord("linux", {}, build))

    given = [at(), at(host="a", box="one"), at(host="b"), at(host="b"), records.lost()]
    assert reports.names(given) == ("linux", "linux@one", "linux@b", "linux@b/2", "6.1")
    assert reports.names(given[1:2]) == ("linux",)


# One suite an environment, with counts that add up, and every case in it.
def test_junit() -> None:
    root = ET.fromstring(junit.report([records.mixed(), records.lost()]))
    suites = {suite.get("name"): suite for suite in root}
    assert {name: suite.get("tests") for name, suite in suites.items()} == {
        "linux-6.1.192-debian.amd.tcg": "9",
        "6.1": "2",
    }
    assert suites["6.1"].get("hostname") == "6.1"
    counted = {"tests": 11, "failures": 4, "errors": 4, "skipped": 1}
    for name, tag in zip(counted, ("testcase", "failure", "error", "skipped"), strict=True):
        assert sum(int(suite.get(name, "")) for suite in root) == counted[name]
        assert len(list(root.iter(tag))) == counted[name]


# A skip gives its reason, a failure its lines, and a known issue passes and is named.
def test_junit_outcomes() -> None:
    root = ET.fromstring(junit.report([records.mixed()]))
    cases = {case.get("name"): case for case in root.iter("testcase")}
    skipped = cases["interrupts.nmi"].find("skipped")
    failure = cases["interrupts.device"].find("failure")
    assert skipped is not None
    assert skipped.get("message") == "needs pmu: a machine with a cycles counter"
    assert failure is not None
    assert failure.get("type") == "FAIL"
    assert "^^^^" in (failure.text or "")
    assert [child.tag for child in cases["traps.icebp"]] == ["system-out"]
    assert list(cases["syscalls.enter_exit"]) == []


# The facts of the machine travel with every suite, for who searches results by them.
def test_junit_properties() -> None:
    root = ET.fromstring(junit.report([records.mixed()]))
    properties = {p.get("name"): p.get("value") for p in root[0].iter("property")}
    assert properties["environment"] == "linux-6.1.192-debian.amd.tcg"
    assert properties["kernel"] == "6.1.192"
    assert properties["x86_64"] == "true"


# Each verdict is one that KCIDB has, and a known issue is a failure with its explanation.
def test_kcidb() -> None:
    data = json.loads(kcidb.report([records.mixed()], "ci"))
    status = {test["path"]: test["status"] for test in data["tests"]}
    assert status == {
        "origax.syscalls.enter_exit": "PASS",
        "origax.interrupts.device": "FAIL",
        "origax.interrupts.timer": "FAIL",
        "origax.traps.icebp": "FAIL",
        "origax.interrupts.nmi": "SKIP",
        "origax.signals.nested": "DONE",
        "origax.steps.block": "FAIL",
        "origax.events.exec": "ERROR",
        "origax.events.fork": "MISS",
    }
    (incident,) = data["incidents"]
    (issue,) = data["issues"]
    (known,) = (test for test in data["tests"] if test["misc"]["verdict"] == "KNOWN")
    assert (incident["test_id"], incident["issue_id"]) == (known["id"], issue["id"])
    assert issue["comment"] == "QEMU takes icebp for an undefined opcode"


# Reports of one kernel meet in one build, whoever makes them; each run of a case is its own test.
def test_kcidb_ids() -> None:
    early, late = records.mixed(), replace(records.mixed(), started="2024-05-02T12:00:00Z")
    alone, again, both = (
        json.loads(kcidb.report(given, "ci")) for given in ([early], [early], [early, late])
    )
    assert alone == again
    assert alone["builds"] == both["builds"]
    assert alone["tests"] == both["tests"][:9]
    assert len({test["id"] for test in both["tests"]}) == 18
    assert all(test["id"].startswith("ci:") for test in both["tests"])


# A build that the CI system reported is referred to, and no other is told.
def test_kcidb_build() -> None:
    data = json.loads(kcidb.report([records.mixed()], "ci", "their:build"))
    assert {test["build_id"] for test in data["tests"]} == {"their:build"}
    assert not data.keys() & {"builds", "checkouts"}


# What is no origin, no build, or a build of several kernels, is refused.
@pytest.mark.parametrize(
    ("origin", "build"), [("My CI", None), ("", None), ("ci", "build"), ("ci", "ci:build")]
)
def test_kcidb_refuses(origin: str, build: str | None) -> None:
    with pytest.raises(UsageError):
        kcidb.report([records.mixed(), records.lost()], origin, build)


# The command writes each format of all its records, and hands on what is KCIDB's.
@pytest.mark.parametrize("form", ["ktap", "tap13", "junit", "kcidb"])
def test_command(form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [tmp_path / name for name in ("a", "b")]
    for path, each in zip(paths, (records.mixed(), records.lost()), strict=True):
        write(path, each)
    more = ["--origin", "ours"] if form == "kcidb" else []
    assert cli.main(["report", "--format", form, *more, *map(str, paths)]) == 0
    text = capsys.readouterr().out
    assert "linux-6.1.192-debian.amd.tcg" in text
    assert text.count("reboot") == 2
    assert text.count('"origin": "ours"') == (17 if form == "kcidb" else 0)
