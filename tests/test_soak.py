# SPDX-License-Identifier: GPL-2.0-only
"""The soak: what it counts, what it keeps, and how it tells a frame that is not as expected."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import records
from jsonschema import Draft202012Validator
from processes import descendants, until_gone

from conformance import cli, expectation, record, runner, soak
from conformance.cases import Probe, all_cases, interrupts
from conformance.cases.interrupts import Tally
from conformance.errors import HarnessError, UsageError
from conformance.facts import Environment, Fact
from conformance.rendering import render
from conformance.reports import terminal
from conformance.reports.soak import Status, table
from conformance.soak import Curve, Soak, Stop
from conformance.tracing import frames, requests
from conformance.tracing.frames import Batches, Cause, Kind
from conformance.tracing.tracee import Options, Pace, Seen, Trace

WIDE = sys.maxsize > 1 << 32
TIMER = "timer" if WIDE else "timer.ia32"
SCHEMA = Draft202012Validator(
    json.loads(Path(record.__file__).with_name("record.schema.json").read_text())
)


# --- frames in batches ---


@pytest.fixture
def loop() -> Iterator[Batches]:
    """Frames of a program that spins."""
    cause = Cause(Kind.SLEEP, 100_000)
    probe = Probe(site=frames.SITE, regs={"ax": -513})
    with (
        Trace(Options(), tuple(sorted(os.sched_getaffinity(0)))) as trace,
        trace.launch(probe) as task,
        frames.urgent(cause),
        Batches(task, cause) as made,
    ):
        yield made


def give(loop: Batches, bx: int) -> None:
    """Have the next frame show a word in bx."""
    requests.write_register(loop._task.pid, "bx", bx)
    loop.take()


def kept(loop: Batches) -> list[tuple[int, str]]:
    """End the frames; gives the stops of their trace: how often each, and its line."""
    loop._keep()
    seen = [event for event in loop._task.trace.events if isinstance(event, Seen)]
    loop._batch.kinds = 0
    return [(event.stop.count, str(render([event])[0])) for event in seen]


# Frames of two kinds that take turns are two stops, each with its count.
def test_kinds(loop: Batches) -> None:
    loop.take()
    for turn in range(20):
        give(loop, 5 + turn % 2)
    assert loop.taken == 21
    (first, own), (fives, five), (sixes, six) = kept(loop)
    assert (first, fives, sixes) == (1, 10, 10)
    assert "regs=own" in own and "regs=bx:5" in five and "regs=bx:6" in six


# Where every frame is of another kind, the first ones are kept, and the others only counted.
def test_many_kinds(loop: Batches) -> None:
    for turn in range(40):
        give(loop, 1000 + turn)
    assert (loop.taken, loop.further) == (40, 24)
    assert [count for count, _ in kept(loop)] == [1] * 16


# A batch ends when its time is over, or at a frame of a new kind, which is news once.
def test_batch(loop: Batches) -> None:
    loop.take_for(5.0)
    assert loop.taken == 1
    assert len(loop.news()) == 1
    loop.take_for(0.05)
    assert loop.taken > 2
    assert loop.news() == []


# A program that dies ends the frames, and its end is in the transcript.
def test_death(loop: Batches) -> None:
    loop.take()
    os.kill(loop._task.pid, signal.SIGKILL)
    loop.take_for(1.0)
    assert loop.ended
    assert kept(loop)[-1] == (1, "exit  killed SIGKILL")
    loop.ended = False


# Frames without the interrupts that they are to be in are an error, whether these are counted over
# all frames or one by one; a program that is still to come when time is over gives one frame.
@pytest.mark.parametrize(("arrived", "alone"), [(0, None), (1 << 30, 0), (1 << 30, 1)])
def test_nothing_arrives(
    arrived: int, alone: int | None, loop: Batches, monkeypatch: pytest.MonkeyPatch
) -> None:
    def take(loop: frames.Frames) -> int | None:
        loop.take()
        return alone

    monkeypatch.setattr(interrupts.Arrivals, "of", lambda self, row: (arrived, 0))
    heard: list[int] = []
    pace = Pace(0.0, lambda: True, lambda row, cpu, number, new: heard.append(number))
    tally = Tally("LOC", loop._task.trace.cpu, frames=100)
    with contextlib.nullcontext() if alone else pytest.raises(HarnessError, match="only 0 inter"):
        interrupts.soak(loop, take, pace, tally)
    assert (loop.taken, heard, tally.frames) == (1, [101], 101)


# --- what comes of slices ---


@pytest.fixture
def path(expected: Path, vocabulary: Mapping[str, Fact], environment: Environment) -> soak.Path:
    """The path of the local timer, with its golden."""
    chosen = soak.select(all_cases(), [TIMER])
    (planned,) = runner.plan(chosen, environment, vocabulary, expected)
    return soak.Path(replace(planned, missing=""), environment, ())


def answer(path: soak.Path, count: int = 100, **changes: Any) -> dict[str, Any]:
    """Give what a worker answers where all frames are as expected."""
    wanted = path.planned.expectation
    variant = wanted.choose(path._environment.facts) if wanted else None
    lines = [str(line) for line in variant.transcript] if variant else []
    stops = [raw(line, count) for line in lines if line.startswith(("stop", "exit"))]
    return {
        **runner.untraced("", ""), "verdict": None, "repeats": 1, "duration": 1.0,
        "transcripts": [{"count": 1, "lines": lines, "stops": stops}],
        "measured": {"frames": 5 * count, "interrupts": 5 * count, "row": "LOC", "cpu": 0,
                     "unproven": 1},
    } | changes  # fmt: skip


def raw(line: str, count: int, orig_ax: int = (1 << 64) - 1) -> dict[str, Any]:
    """Give the raw stop of a line."""
    if line.startswith("exit"):
        return {"who": "tracee", "kind": "killed SIGKILL", "count": 1}
    regs = {"orig_ax": hex(orig_ax), "r15": "0x0"}
    return {"who": "tracee", "kind": "event STOP", "count": count, "regs": regs}


def leak(answer: dict[str, Any], number: int, count: int = 1) -> dict[str, Any]:
    """Put a frame more into an answer, in the second program: orig_ax is a number in it."""
    transcript = answer["transcripts"][0]
    at = [i for i, line in enumerate(transcript["lines"]) if line.startswith("stop")][1]
    line = transcript["lines"][at].replace("orig_ax=-1", f"orig_ax={number}")
    transcript["lines"].insert(at + 1, line)
    transcript["stops"].insert(3, raw(line, count, number))
    return answer


def made(path: soak.Path) -> record.CaseRecord:
    """Give the record of a path that had its turns."""
    case = path.record()
    assert case
    return case


# Frames of all slices add up to one transcript, and pass.
def test_healthy(path: soak.Path) -> None:
    for turn in range(3):
        news = {"row": "LOC", "cpu": 0, "frames": 500, "new": []}
        assert not path.news(news, float(turn))
        assert not path.add(answer(path), float(turn))
    case, counted = made(path), path.counted(3.0)
    assert (case.verdict, case.reason, case.repeats) == ("PASS", "", 3)
    assert case.transcripts[0].lines == tuple(answer(path)["transcripts"][0]["lines"])
    assert case.transcripts[0].stops[0]["count"] == 300
    assert case.measured["interrupts"] == 1500 and case.measured["slices"] == 3
    assert counted and counted.values == {"-1": 1500} and counted.frames[-1] == 1500
    assert (counted.interrupts, counted.unproven, counted.further) == (1500, 3, 0)


# One frame of many that leaks is told at once, and then with how often and when first; the golden's
# line stands beside it, whatever else its program gave.
def test_leak(path: soak.Path) -> None:
    path.add(answer(path), 1.0)
    leaking = leak(answer(path), 34)
    line = next(each for each in leaking["transcripts"][0]["lines"] if "orig_ax=34" in each)
    wanted = answer(path)["transcripts"][0]["lines"]
    heading = [each for each in wanted if each.startswith("run")][1]
    news = {"row": "LOC", "cpu": 0, "frames": 200, "new": [heading, line]}
    assert path.news(news, 7.25) == ["orig_ax: -1 -> 34"]
    assert path.news(news, 7.5) == path.add(leaking, 8.0) == []
    case, counted = made(path), path.counted(9.0)
    assert case.verdict == "FAIL"
    assert case.reason == "orig_ax: -1 -> 34: in 1 of 1,001 frames, first after 7.2 s"
    (difference,) = case.differences
    assert (difference.fields, difference.observed) == (("orig_ax",), line)
    assert difference.expected in wanted
    assert case.broken
    assert counted and counted.values == {"-1": 1000, "34": 1}
    assert [(each.frames, each.first) for each in counted.lines if each.line == line] == [(1, 7.25)]


# A control that differs fails the path, too, though no frame does.
def test_control(path: soak.Path) -> None:
    other = answer(path)
    lines = other["transcripts"][0]["lines"]
    lines[lines.index("control  exited 0")] = "control  exited 1"
    path.add(answer(path), 1.0)
    assert path.add(other, 2.0) == ["kind: exited 0 -> exited 1"]
    assert made(path).verdict == "FAIL"


# However long a soak is, and however many kinds of frames there are, no more of it is kept.
def test_bounds(path: soak.Path) -> None:
    sizes = []
    for number in range(3000):
        news = {"row": "LOC", "cpu": 0, "frames": 9, "new": [f"stop  x  orig_ax={number}"]}
        path.news(news, number / 10)
        path.add(leak(answer(path, 1), number, 2), number / 10)
        if number in (999, 2999):
            case, counted = made(path), path.counted(number / 10)
            sizes.append([len(case.differences), len(case.transcripts[0].lines)])
            assert counted and len(counted.lines) <= 5 * soak.KINDS
            assert len(counted.values) <= 5 * soak.KINDS
            assert len(counted.seconds) == len(counted.frames) <= soak.POINTS
            assert list(counted.seconds) == sorted(set(counted.seconds))
            assert sum(counted.values.values()) + counted.further == counted.frames[-1]
            assert counted.frames[-1] == 7 * (number + 1)
    assert sizes[0] == sizes[1]


# Frames that nobody could judge are no pass.
def test_further(path: soak.Path) -> None:
    measured = {**answer(path)["measured"], "further": 7}
    path.add(answer(path, measured=measured), 1.0)
    case = made(path)
    assert (case.verdict, case.reason) == (
        "UNSTABLE", "7 of 507 frames are of more kinds than are kept"
    )  # fmt: skip


# A slice that was cut short costs the path its pass; what it had seen is judged none the less.
@pytest.mark.parametrize("leaks", [False, True])
def test_cut(path: soak.Path, leaks: bool) -> None:
    cut = answer(path, verdict="MISS", reason="no answer within 10 s")
    if leaks:
        leak(cut, 34)
    transcript = cut["transcripts"][0]
    end = [i for i, line in enumerate(transcript["lines"]) if line.startswith("run")][2]
    transcript |= {"lines": transcript["lines"][:end], "stops": transcript["stops"][: 4 + leaks]}
    path.add(cut, 1.0)
    assert made(path).verdict == ("FAIL" if leaks else "MISS")
    path.add(answer(path), 2.0)
    case = made(path)
    assert case.verdict == ("FAIL" if leaks else "MISS")
    assert case.reason.startswith(
        "orig_ax: -1 -> 34: in 1 of 701 frames" if leaks
        else "in 1 of 2 slices: no answer within 10 s"
    )  # fmt: skip
    assert len([line for line in case.transcripts[0].lines if line.startswith("run")]) == 5


# What a slice told of itself before its worker died is judged by nothing that came of others.
def test_died(path: soak.Path) -> None:
    headings = [each for each in answer(path)["transcripts"][0]["lines"] if each.startswith("run")]
    for heading in headings[:3]:
        path.news({"row": "LOC", "cpu": 0, "frames": 7, "new": [heading, "stop  x"]}, 0.5)
    path.add(runner.untraced("MISS", "the worker itself gave no answer"), 1.0)
    cut = answer(path, verdict="MISS", reason="no answer within 10 s")
    transcript = cut["transcripts"][0]
    transcript |= {"lines": transcript["lines"][:2], "stops": transcript["stops"][:1]}
    assert path.add(cut, 2.0) == []
    assert made(path).verdict == "MISS"
    assert made(path).transcripts[0].lines == tuple(transcript["lines"])


# A curve has its last point, keeps its bound, and never falls.
def test_curve() -> None:
    curve = Curve()
    for number in range(100_000):
        curve.add(number / 100, number)
    points = curve.points(1000.0, 100_000)
    assert soak.POINTS / 4 < len(points) <= soak.POINTS
    assert points[0] == (0.0, 0) and points[-1] == (1000.0, 100_000)
    assert list(points) == sorted(points)


# --- turns ---


class Workers:
    """What stands for the runner: every slice ends as it is told to."""

    def __init__(self, answers: Mapping[str, Sequence[dict[str, Any]]]) -> None:
        self.left = {name: list(each) for name, each in answers.items()}
        self.turns: list[str] = []

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None: ...

    def run(
        self, planned: Sequence[runner.Planned], slice_: runner.Slice
    ) -> Iterator[tuple[runner.Planned, runner.Answer]]:
        (item,) = planned
        self.turns.append(item.case.id)
        time.sleep(slice_.seconds / 100)
        yield item, self.left[item.case.id].pop(0)


class Nobody:
    """Watches, and keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def stands(self, seconds: float, paths: Sequence[soak.Standing]) -> None: ...

    def differs(self, seconds: float, case: str, change: str) -> None:
        self.told.append(change)

    def breaks(self, seconds: float, case: str, reason: str) -> None:
        self.told.append(reason)


# A path whose slices break in a row gets no more turns; with none left, the soak is over.
def test_broken(path: soak.Path, environment: Environment) -> None:
    item = path.planned
    other = replace(item, case=replace(item.case, id="interrupts.device"))
    died = runner.untraced("ERROR", "the worker died (signal 9)", 0.1)
    workers = Workers(
        {item.case.id: [died] * 9, "interrupts.device": [answer(path), died, died, died]}
    )
    watcher = Nobody()
    options = record.OptionsRecord(1, 1, 10.0, 1, ())
    of: Any = lambda options: workers  # noqa: E731
    done = Soak([item, other], environment, (), options, watcher, Stop(), of).run(60.0)
    assert [workers.turns.count(name) for name in workers.left] == [3, 4]
    assert {case.id: case.verdict for case in done.cases} == {
        item.case.id: "ERROR", "interrupts.device": "ERROR",
    }  # fmt: skip
    assert done.cases[0].reason == "in 3 of 4 slices: the worker died (signal 9)"
    assert watcher.told == ["the worker died (signal 9)"] * 6


# Paths are chosen by name, id or pattern; without one they are those of the 64-bit program.
def test_select() -> None:
    def names(*patterns: str) -> list[str]:
        chosen = soak.select(all_cases(), patterns)
        return [case.id.removeprefix("interrupts.") for case in chosen]

    assert names("timer") == names("interrupts.timer") == ["timer"]
    assert names("timer*") == ["timer", "timer.ia32", "timer.x32"]
    assert sorted(names()) == sorted(soak.PATHS)
    assert len(names("interrupts.*")) == 3 * len(soak.PATHS)
    with pytest.raises(UsageError, match="choose of device, timer"):
        names("moved")


# --- the command ---


def command(
    *arguments: str, capsys: pytest.CaptureFixture[str], file: Path
) -> tuple[int, str, str, record.Record]:
    """Soak the timer's path; gives the exit code, both outputs and the record."""
    before = signal.getsignal(signal.SIGINT)
    code = cli.main([*arguments, "soak", TIMER, "--minutes", "0.012", "--record", str(file)])
    assert signal.getsignal(signal.SIGINT) is before
    out, err = capsys.readouterr()
    SCHEMA.validate(json.loads(file.read_text()))
    return code, out, err, record.read(file)


@pytest.fixture
def timer(environment: Environment) -> None:
    """Skip where the local timer's path cannot be taken."""
    width = "x86_64" if WIDE else "ia32"
    if not (environment.facts["local_timer"] and environment.facts[width]):
        pytest.skip("no local timer's interrupt here")


# A short soak passes, its record is one by the schema, and every frame is in it.
@pytest.mark.usefixtures("timer")
def test_soak(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, out, err, done = command(capsys=capsys, file=tmp_path / "r.json")
    (case,) = done.cases
    assert (code, case.verdict, err) == (0, "PASS", ""), out
    assert done.soak
    (counted,) = done.soak.paths
    assert (counted.case, counted.row, list(counted.values)) == (case.id, "LOC", ["-1"])
    assert counted.frames[-1] == sum(counted.values.values()) == case.measured["frames"] > 10
    assert counted.interrupts >= counted.frames[-1] / 10
    assert f"{counted.frames[-1]:,} frames" in out


# What a golden does not have fails, told at once and at the end, and exits 1.
@pytest.mark.usefixtures("timer")
def test_differs(capsys: pytest.CaptureFixture[str], tmp_path: Path, expected: Path) -> None:
    other = tmp_path / "expected"
    other.mkdir()
    for each in expected.iterdir():
        if each.name != "interrupts":
            (other / each.name).symlink_to(each)
    (other / "interrupts").mkdir()
    for golden in (expected / "interrupts").iterdir():
        text = golden.read_text().replace("orig_ax=-1 ax=4660", "orig_ax=34/pause ax=4660")
        (other / "interrupts" / golden.name).write_text(text)
    code, out, err, done = command(
        "--expected", str(other), capsys=capsys, file=tmp_path / "r.json"
    )
    (case,) = done.cases
    assert (code, case.verdict) == (1, "FAIL")
    assert err.startswith(f"DIFFERS  {case.id} after ")
    assert err.count("\n") == 1 and "orig_ax: 34/pause -> -1" in err
    assert "orig_ax: 34/pause -> -1: in" in out and f"origax soak {case.id}" in out


# ^C and SIGTERM end a soak early: what was seen is recorded, and nothing is left behind.
@pytest.mark.usefixtures("timer")
@pytest.mark.parametrize("signo", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(signo: signal.Signals, tmp_path: Path) -> None:
    file, marker = tmp_path / "r.json", f"ORIGAX_TEST={os.urandom(8).hex()}"
    name, _, word = marker.partition("=")
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", "from conformance.reports import soak; soak.EVERY = 0.1\n"
         "import sys; from conformance import cli; sys.exit(cli.main())",
         "soak", TIMER, "--minutes", "10", "--record", str(file)],
        env=os.environ | {name: word, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        # A shell's background jobs, and so these tests there, ignore SIGINT.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    with process:
        try:
            assert process.stderr
            assert "LOC" in process.stderr.readline()
            process.send_signal(signo)
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 128 + signo, err
    assert "Traceback" not in err
    assert "interrupted" in out
    assert until_gone(marker) == descendants(marker) == []
    done = record.read(file)
    assert done.interrupted and done.soak and done.soak.paths[0].frames[-1] > 0
    assert done.cases[0].verdict == "PASS"


# --- the report ---

STANDING = soak.Standing("interrupts.timer", "LOC", 1234567, 0)


# On a terminal, one line says how far it is; what differs stays above it.
def test_live() -> None:
    stream = io.StringIO()
    with Status(stream, 90.0, True) as status:
        status.stands(61.0, [STANDING, soak.Standing("interrupts.device", "", 0, 0)])
        status.differs(61.5, "interrupts.timer", "orig_ax: -1 -> \x1b")
        status.stands(62.0, [replace(STANDING, odd=1)])
    first, told, second, last = stream.getvalue().split("\r\x1b[K")[1:]
    assert first == "[1:01/1:30]  20,239/s  timer LOC 1,234,567"
    assert told == "DIFFERS  interrupts.timer after 61.5 s: orig_ax: -1 -> \\x1b\n"
    assert "1 unexpected" in second and last == ""


# Elsewhere there is a line every so often.
def test_plain() -> None:
    stream = io.StringIO()
    with Status(stream, 90.0, False) as status:
        for second in range(1, 26):
            status.stands(float(second), [STANDING])
        status.breaks(25.0, "interrupts.timer", "no answer")
    *lines, broken = stream.getvalue().splitlines()
    assert [line[:11] for line in lines] == ["[0:10/1:30]", "[0:20/1:30]"]
    assert broken == "BROKEN  interrupts.timer after 25.0 s: no answer"


# The table has each path's counts, the rarest value of orig_ax first; nothing there harms a screen.
def test_table() -> None:
    done = records.soaked()
    assert done.soak
    head, healthy, leaky, last = table(done.soak, 60.0)
    assert healthy.split() == ["timer", "LOC", "0", "160,002", "161,000", "-1"]
    assert leaky.endswith("34 in 2, -1 in 160,000")
    assert last == "320,004 frames, 5,333 a second"
    assert len(head.split()) == 6
    odd = replace(done.soak.paths[1], row="\x1b", values={"\x1b": 1, **dict.fromkeys("abcde", 2)})
    text = terminal.summary(replace(done, soak=record.SoakRecord((odd,))), color=False)
    assert "2 more values" in text and "\x1b" not in text
    assert "origax soak interrupts.device" in text


# Only the second ^C is an exception.
def test_stop() -> None:
    with contextlib.suppress(KeyboardInterrupt), Stop() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.signo == signal.SIGTERM
        os.kill(os.getpid(), signal.SIGINT)
        pytest.fail("it went on")


# What is known to fail there is known in a soak, too, and a golden that is not there is missed.
def test_verdicts(path: soak.Path, environment: Environment) -> None:
    leaking = leak(answer(path), 34)
    transcript = leaking["transcripts"][0]
    del transcript["lines"][transcript["lines"].index(
        next(line for line in transcript["lines"] if "orig_ax=34" in line)) - 1]
    del transcript["stops"][2]
    seen = expectation.parse_transcript("\n".join(transcript["lines"]))
    issue = expectation.KnownIssue(path.planned.case.id, "x86_64 or i386", "why", "then", seen)
    known = soak.Path(path.planned, environment, [issue])
    known.add(leaking, 1.0)
    assert made(known).verdict == "KNOWN"
    missing = soak.Path(replace(path.planned, expectation=None), environment, ())
    missing.add(answer(path), 1.0)
    assert made(missing).verdict == "NOGOLDEN"
