# SPDX-License-Identifier: GPL-2.0-only
"""A fleet of boxes that are this machine, most of which misbehave, each in a way of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from fleets import PAIR, UD, Silent, Traces, local, python, run_says, suite

from conformance import record, runner
from conformance.errors import HarnessError
from conformance.facts import Environment
from conformance.fleet import agent, link, run, supply
from conformance.fleet.boxes import Box
from conformance.fleet.run import ABSENT, LOST, STOPPED, WHOLE, Outcome

pytestmark = pytest.mark.xdist_group("fleet")

HELLO = "print(open('HELLO').read(), flush=True)"
BEGIN = f"print(json.dumps({{'said': 'begin', 'id': {PAIR!r}}}), flush=True)"

BAD: Mapping[str, tuple[str, str, str]] = {
    "chatty": ("print('Welcome!')", ABSENT, "what answers there is no Python"),
    "bare": ("sys.exit('python3: command not found')", ABSENT, "python3: command not found"),
    "arm": (
        "import os; o = os.uname(); os.uname = lambda: os.uname_result((*o[:4], 'aarch64'))",
        ABSENT, "its architecture is aarch64, and origax is for x86",
    ),
    "old": ("sys.version_info = (3, 9, 2)", ABSENT, "is Python 3.9, and origax needs 3.11"),
    "full": (
        "import tempfile\ndef full(**more): raise OSError(28, 'No space left on device')\n"
        "tempfile.mkdtemp = full", ABSENT, "No space left on device",
    ),
    "locked": ("", ABSENT, "another origax fleet is at it on this box"),
    "booted": ("", ABSENT, "and not what is labelled 9.9.9"),
    "untraced": (
        run_says("sys.exit('no permission to trace (on: x; do: y)')"),
        ABSENT, "no permission to trace (on: x; do: y)",
    ),
    "babbles": (run_says(HELLO, "print('no JSON')"), LOST, "it says what origax would not: JSON"),
    "lies": (
        run_says(HELLO, "print('{\"id\": \"no.such\"}')"),
        LOST, "it says what origax would not: MisfitError",
    ),
    "repeats": (
        run_says(HELLO, "print(json.dumps({'said': 'begin', 'id': 'no.such'}))"),
        LOST, "it says what origax would not: KeyError: 'no.such'",
    ),
    "bomb": (
        run_says(HELLO, "print('[' + ' ' * (1 << 25) + ']')"),
        LOST, "it says what origax would not: JSONDecodeError",
    ),
    "forgets": (run_says(HELLO, "print('{\"said\": \"done\"}')"), LOST, "no such case"),
}  # fmt: skip


LATE: Mapping[str, tuple[str, str, str]] = {
    "deaf": ("import time; time.sleep(600)", ABSENT, "it was not up within 8 s"),
    "hung": (run_says("time.sleep(600)"), ABSENT, "it was not up within 8 s"),
    "silent": (
        run_says(HELLO, BEGIN, "time.sleep(600)"), LOST, f"it said nothing for 3 s, in {PAIR}"
    ),
    "slow": (
        run_says(HELLO, "while True:", " time.sleep(0.5)", f" {BEGIN}"),
        LOST, f"it took more than 10 s in all, in {PAIR}",
    ),
}  # fmt: skip


class NoWheels(supply.Supply):
    """Checks boxes, and gives them nothing: their Python has it all."""

    def _choose(self, python: tuple[int, int], machine: str) -> tuple[Path, ...]:
        return ()


NO_WHEELS = NoWheels(Path("none"), {}, print)


@pytest.fixture(scope="module", autouse=True)
def traces(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traces]:
    """What boxes leave behind, told by a directory and a word that are theirs alone.

    Their lock has the word, too: these tests may run twice on a machine at the same time.
    """
    made = Traces(tmp_path_factory.mktemp("boxes"))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in made.environ.items():
            patch.setenv(name, value)
        patch.setattr(link, "LOCK", f"{link.LOCK}-{made.word}")
        yield made


def bad(ways: Mapping[str, tuple[str, str, str]], place: Path, known: Environment) -> list[Box]:
    """Give a box for each way to misbehave."""
    hello = {
        "said": "hello", "boot_id": "b", "tool": {"name": "x", "version": "1", "probes": "0" * 64},
        "environment": {"name": known.name, "facts": dict(known.facts), "build": {}},
    }  # fmt: skip
    (place / "hello").write_text(json.dumps(hello))
    return [
        local(
            name, python(place / name, prologue.replace("HELLO", str(place / "hello"))),
            boot="9.9.9" if name == "booted" else "",
        )
        for name, (prologue, _, _) in ways.items()
    ]  # fmt: skip


@pytest.fixture(scope="module")
def fleet(
    environment: Environment, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Mapping[str, Outcome], Path]:
    """A run on three sound boxes and all the bad ones; what became of each, and the records."""
    place = tmp_path_factory.mktemp("fleet")
    boxes = [local("one"), local("two"), local("three"), *bad(BAD, place, environment)]
    boxes.append(local("nowhere", place / "nowhere"))
    records = place / "records"
    records.mkdir()
    watcher = Silent()
    with socket.socket(socket.AF_UNIX) as lock:
        lock.bind(f"\0{link.LOCK}-locked")
        run.run(boxes, suite(), NO_WHEELS, records, watcher)
    return watcher.outcomes, records


# A sound box answers every case, whatever the others do; its record says which box it is.
@pytest.mark.parametrize("name", ["one", "two", "three"])
def test_sound(
    name: str, fleet: tuple[Mapping[str, Outcome], Path], environment: Environment
) -> None:
    outcome, records = fleet[0][name], fleet[1]
    assert (outcome.state, outcome.reason) == (WHOLE, "")
    assert (outcome.expected, outcome.answered) == (2, 2)
    made = record.read(records / f"{name}.json")
    assert [case.verdict for case in made.cases] == ["PASS", "PASS"]
    assert all(case.transcripts for case in made.cases)
    assert (records / f"{name}.json").read_text() == record.to_json(made)
    assert made.environment.name == environment.name
    assert made.environment.facts["release"] == environment.facts["release"]
    assert made.environment.build["box"] == name
    assert made.environment.build["host"] == os.uname().nodename
    assert made.boot_id == runner.boot_id()
    assert made.options.patterns == (PAIR, UD)


def check_lost(name: str, ways: Mapping[str, tuple[str, str, str]], told: Outcome) -> None:
    _, state, reason = ways[name]
    assert (told.state, reason in told.reason) == (state, True), told.reason
    assert (told.expected, told.answered) == (2, 0)
    assert [case.verdict for case in told.record.cases] == ["MISS", "MISS"]
    assert {case.reason for case in told.record.cases} == {
        f"the box gave no answer: {told.reason}"
    }


# A box that misbehaves costs its own cases, with the reason, and its record says the same.
@pytest.mark.parametrize("name", BAD)
def test_lost(name: str, fleet: tuple[Mapping[str, Outcome], Path]) -> None:
    outcomes, records = fleet
    check_lost(name, BAD, outcomes[name])
    assert record.read(records / f"{name}.json") == outcomes[name].record


# A Python that is not there is said to be so.
def test_nowhere(fleet: tuple[Mapping[str, Outcome], Path]) -> None:
    told = fleet[0]["nowhere"]
    assert (told.state, told.reason) == (ABSENT, f"{fleet[1].parent}/nowhere: No such file or "
                                         "directory")  # fmt: skip


# A box that is late in any way is given up, and the run on it ended.
def test_late(
    environment: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, name in ((runner, "GRACE"), (runner, "STARTING"), (run, "MARGIN")):
        monkeypatch.setattr(module, name, 0.0)
    monkeypatch.setattr(run, "CLEANING", 1.0)
    watcher = Silent()
    asked = suite(patience=8.0, limit=10.0, timeout=3.0)
    run.run(bad(LATE, tmp_path, environment), asked, NO_WHEELS, tmp_path, watcher)
    for name in LATE:
        check_lost(name, LATE, watcher.outcomes[name])


# After all of that, no process of a box is left, nor a file.
@pytest.mark.usefixtures("fleet")
def test_nothing_is_left(traces: Traces) -> None:
    assert traces.until_gone() == []


# If what watches a run is killed, the run goes with it, and the files with the next one there.
def test_killed(
    environment: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    traces = Traces(tmp_path / "box")
    traces.place.mkdir()
    monkeypatch.setenv("TMPDIR", str(traces.place))
    monkeypatch.setenv("FLEET_TEST", traces.word)
    watcher = Silent()
    says = run_says(HELLO, BEGIN, "time.sleep(0.5)", "os.kill(os.getppid(), 9)")
    boxes = bad({"dies": (says, "", "")}, tmp_path, environment)
    run.run(boxes, suite(), NO_WHEELS, tmp_path, watcher)
    told = watcher.outcomes["dies"]
    assert (told.state, told.reason) == (LOST, f"the connection was lost, in {PAIR}")
    (left,) = traces.until_gone(1.0)
    os.utime(left, (0, 0))
    run.run([local("one")], suite(), NO_WHEELS, tmp_path, watcher)
    assert traces.until_gone() == []


# What a run that was lost had answered before stays, as the box said it.
def test_answers_stay(environment: Environment, tmp_path: Path) -> None:
    case = runner.missed(suite().cases[1], "as an example")
    (tmp_path / "case").write_text(record.member(case).replace('\n', '\r'))
    answer = f"print(open('{tmp_path}/case', newline='').read(), flush=True)"
    says = run_says(HELLO, answer, "sys.exit('ouch')")
    watcher = Silent()
    boxes = bad({"frail": (says, "", "")}, tmp_path, environment)
    run.run(boxes, suite(), NO_WHEELS, tmp_path, watcher)
    told = watcher.outcomes["frail"]
    assert (told.state, told.reason, told.answered) == (LOST, "ouch", 1)
    reasons = {case.id: case.reason for case in record.read(tmp_path / "frail.json").cases}
    assert reasons == {UD: "as an example", PAIR: "the box gave no answer: ouch"}


# Where a record cannot be written, the run says so in the end, after all boxes had their turn.
def test_no_room(tmp_path: Path) -> None:
    watcher = Silent()
    with pytest.raises(HarnessError, match="the record could not be written"):
        run.run([local("one"), local("two")], suite(), NO_WHEELS, tmp_path / "missing", watcher)
    assert [told.state for told in watcher.outcomes.values()] == [WHOLE, WHOLE]


CONTROLLER = """
import os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from fleets import Silent, local, suite
from test_fleet import NO_WHEELS
from conformance import cli
from conformance.fleet import link, run
link.LOCK += os.environ["FLEET_TEST"]
cli._on_terminate()
class Watcher(Silent):
    def case(self, name, case):
        print("case", flush=True)
watcher = Watcher()
try:
    boxes = [local("one"), local("two")]
    run.run(boxes, suite(["restarts"]), NO_WHEELS, Path(sys.argv[2]), watcher)
finally:
    print(*(told.state for told in watcher.outcomes.values()))
"""


# However the controller ends, the boxes clean up; by ^C and SIGTERM it keeps what was answered.
@pytest.mark.parametrize("signo", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_interrupted(signo: signal.Signals, traces: Traces, tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-c", CONTROLLER, str(Path(__file__).parent), str(tmp_path)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:  # fmt: skip
        assert process.stdout
        assert process.stdout.readline() == "case\n"
        process.send_signal(signo)
        out, _ = process.communicate(timeout=60)
    if signo != signal.SIGKILL:
        assert out.splitlines()[-1] == f"{STOPPED} {STOPPED}"
        made = [record.read(tmp_path / f"{name}.json") for name in ("one", "two")]
        assert all(each.interrupted for each in made)
        assert any(each.cases for each in made)
        assert not any("MISS" in each.verdicts for each in made)
    assert traces.until_gone() == []


class Channel:
    """Gives what it was given, as an execnet channel would."""

    def __init__(self, *items: Any) -> None:
        self._items = list(items)

    def receive(self) -> Any:
        return self._items.pop(0)


# A wheel comes in chunks; its programs can be run, and of the wheel itself nothing is left.
def test_unpack(tmp_path: Path) -> None:
    import zipfile

    wheel = tmp_path / "wheel"
    with zipfile.ZipFile(wheel, "w") as archive:
        program = zipfile.ZipInfo("package/program")
        program.external_attr = 0o100755 << 16
        archive.writestr(program, b"#!/bin/sh\n")
        archive.writestr("package/text", b"text")
    data = wheel.read_bytes()
    wheel.unlink()
    agent.unpack(Channel(data[:50], data[50:], b""), 1, tmp_path)
    made = {path.name: os.access(path, os.X_OK) for path in (tmp_path / "site/package").iterdir()}
    assert made == {"program": True, "text": False}
    assert [path.name for path in tmp_path.iterdir()] == ["site"]


# A directory that a power cut left goes with the next run; one that is held, or new, stays.
def test_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    old, held, new = (tmp_path / f"{agent.PREFIX}{name}" for name in ("old", "held", "new"))
    for path in (old, held, new):
        path.mkdir()
        if path != new:
            os.utime(path, (0, 0))
    with agent.held(held), agent.folder() as place:
        assert sorted(tmp_path.iterdir()) == sorted([held, new, place])
        assert place.stat().st_mode & 0o777 == 0o700
    assert sorted(tmp_path.iterdir()) == [held, new]
