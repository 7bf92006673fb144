# SPDX-License-Identifier: GPL-2.0-only
"""Guests, with a process of this machine in the place of each."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from conformance import expectation, record, runner
from conformance.cases import all_cases
from conformance.facts import Environment, Fact
from conformance.kernels import guest, run
from conformance.kernels.guest import Boot
from conformance.kernels.run import Suite, Target
from conformance.record import OptionsRecord, Record

PAIR, UD = (
    ("syscalls.pair", "traps.ud")
    if sys.maxsize > 1 << 32
    else ("syscalls.pair.int80_32", "traps.ud.ia32")
)
PATTERNS = (PAIR, UD)

HONEST = """
import pathlib, sys
from conformance.kernels import inside
inside.trace(pathlib.Path(sys.argv[1]))
"""
PANIC = "print('Kernel panic - not syncing: no root'); print('Rebooting'); sys.exit(0)"
STALE = "print('[    0.98] Oops: int3: 0000 [#1] SMP NOPTI'); sys.exit(0)"
SILENT = "print('up to here'); time.sleep(600)"
STUCK = """
open(sys.argv[1] + "/answers", "w").write(json.dumps({hello}) + "\\n" + json.dumps(
    {{"said": "begin", "id": "{case}"}}) + "\\n{{half an an")
time.sleep(600)
"""


class Nobody:
    """Watches, and forgets."""

    def begins(self, name: str, how: str) -> None: ...
    def hello(self, name: str, environment: str, cases: int) -> None: ...
    def case(self, name: str, case: record.CaseRecord) -> None: ...
    def ends(self, name: str, record: Record) -> None: ...


@pytest.fixture
def suite(vocabulary: Mapping[str, Fact], expected: Path) -> Suite:
    options = OptionsRecord(frames=10, repeat=1, timeout=20.0, jobs=1, patterns=PATTERNS)
    cases = runner.select(all_cases(), PATTERNS)
    wanted = {case.id: expectation.find(expected, case.id, vocabulary) for case in cases}
    return Suite(cases, wanted, vocabulary, (), options, 60.0)


def target(name: str) -> Target:
    boot = Boot(Path(name), Path("/"), sys.executable, None, None, "max", (), kvm=False)
    return Target(name, boot, {"guest": name, "accelerator": "none", "accelerator_why": "a test"})


def conduct(
    scripts: Mapping[str, str], suite: Suite, records: Path, monkeypatch: pytest.MonkeyPatch,
    jobs: int = 2,
) -> dict[str, Record]:  # fmt: skip
    """Run the suite in processes that do what each script says; by name."""

    def command(boot: Boot, folder: Path, program: Path | None) -> list[str]:
        script = f"import json, sys, time\n{scripts[boot.image.name]}"
        return [sys.executable, "-P", "-u", "-c", script, str(folder)]

    monkeypatch.setattr(guest, "_command", command)
    made = run.run([target(name) for name in scripts], suite, records, jobs, Nobody())
    return {one.environment.build["guest"]: one for one in made}


def verdicts(made: Record) -> Sequence[str]:
    return [case.verdict for case in made.cases]


# What a guest traced is judged here, by its own facts; the record tells what ran it.
def test_answers_are_judged(
    suite: Suite, tmp_path: Path, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = conduct({"honest": HONEST}, suite, tmp_path, monkeypatch)["honest"]
    assert verdicts(made) == ["PASS", "PASS"]
    assert made.environment.name == environment.name
    assert made.environment.facts["release"] == environment.facts["release"]
    assert made.environment.build["accelerator"] == "none"
    assert record.read(tmp_path / "honest.json") == made


# A guest that panics, or says nothing, costs its own cases: MISS with the reason, and no more.
@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (PANIC, "it ended early, and never came up; Kernel panic - not syncing: no root; "
                "the console's last lines: Kernel panic - not syncing: no root | Rebooting"),
        (SILENT, "and never came up; the console's last lines: up to here"),
        ("print('\\x1b[2J', flush=True); import os; os.kill(os.getpid(), 9)", "it ended early"),
    ],
)  # fmt: skip
def test_lost(
    script: str, reason: str, suite: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "MARGIN", 0.0)
    impatient = Suite(**{**_members(suite), "patience": 5.0})
    scripts = {"lost": script, "honest": HONEST}
    made = conduct(scripts, impatient, tmp_path, monkeypatch, jobs=1)
    assert verdicts(made["lost"]) == ["MISS", "MISS"]
    assert all(case.reason.startswith("the guest was lost: ") for case in made["lost"].cases)
    assert all(reason in case.reason for case in made["lost"].cases)
    assert verdicts(made["honest"]) == ["PASS", "PASS"]
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == ["honest.json", "lost.console", "lost.json"]


# A guest that dies of TCG's stale int3 before it is up is booted once more, which its record says;
# one that does so again, one under KVM, or one that was up, is lost.
@pytest.mark.parametrize(
    ("first", "second", "kvm", "boots", "verdict"),
    [
        (STALE, HONEST, False, 2, "PASS"), (STALE, STALE, False, 2, "MISS"),
        (STALE, HONEST, True, 1, "MISS"), (PANIC, HONEST, False, 1, "MISS"),
        ("{hello}\n" + STALE, HONEST, False, 1, "MISS"),
    ],
)  # fmt: skip
def test_booted_once_more(
    first: str, second: str, kvm: bool, boots: int, verdict: str, suite: Suite, tmp_path: Path,
    environment: Environment, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    about = {"name": environment.name, "facts": dict(environment.facts), "build": {}}
    tool = {"name": "origax", "version": "1", "probes": "0" * 64}
    hello = {"said": "hello", "environment": about, "tool": tool, "boot_id": "b"}
    says = f"open(sys.argv[1] + '/answers', 'w').write(json.dumps({hello}) + chr(10))"
    scripts = [first.replace("{hello}", says), second]

    def command(boot: Boot, folder: Path, program: Path | None) -> list[str]:
        script = f"import json, sys, time\n{scripts.pop(0)}"
        return [sys.executable, "-P", "-u", "-c", script, str(folder)]

    monkeypatch.setattr(guest, "_command", command)
    one = target("sid")
    chosen = replace(one, boot=replace(one.boot, kvm=kvm))
    (made,) = run.run([chosen], suite, tmp_path, 1, Nobody())
    assert (2 - len(scripts), set(verdicts(made))) == (boots, {verdict})
    assert ("booted_again" in made.environment.build) == (boots == 2)


def _members(suite: Suite) -> dict[str, object]:
    return {name: getattr(suite, name) for name in Suite.__slots__}


# A guest that hangs in a case is told by that case, and half an answer is none.
def test_hangs_in_a_case(
    suite: Suite, tmp_path: Path, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "MARGIN", 0.0)
    monkeypatch.setattr(runner, "GRACE", 0.5)
    monkeypatch.setattr(runner, "STARTING", 0.5)
    options = OptionsRecord(frames=10, repeat=1, timeout=1.0, jobs=1, patterns=PATTERNS)
    about = {"name": environment.name, "facts": dict(environment.facts), "build": {}}
    tool = {"name": "origax", "version": "1", "probes": "0" * 64}
    hello = {"said": "hello", "environment": about, "tool": tool, "boot_id": "b"}
    hasty = Suite(**{**_members(suite), "options": options})
    scripts = {"stuck": STUCK.format(hello=hello, case=UD)}
    made = conduct(scripts, hasty, tmp_path, monkeypatch)["stuck"]
    assert verdicts(made) == ["MISS", "MISS"]
    assert f"s, in {UD};" in made.cases[0].reason
    assert made.environment.name == environment.name


# No process and no folder of a guest outlives ^C, and what it had said is kept.
def test_interrupted(suite: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Impatient(Nobody):
        def case(self, name: str, case: record.CaseRecord) -> None:
            raise KeyboardInterrupt

    def command(boot: Boot, folder: Path, program: Path | None) -> list[str]:
        script = f"import subprocess\nsubprocess.Popen(['sleep', '600'])\n{HONEST}"
        return [sys.executable, "-P", "-c", script, str(folder)]

    monkeypatch.setattr(guest, "_command", command)
    with pytest.raises(KeyboardInterrupt):
        list(run.run([target("one")], suite, tmp_path, 1, Impatient()))
    made = record.read(tmp_path / "one.json")
    assert made.interrupted
    assert verdicts(made) == ["PASS"]
    assert [path.name for path in tmp_path.iterdir()] == ["one.json"]


# A process that QEMU left in the guest's session is gone when the guest is closed.
def test_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A line is one write: two programs share the console.
    script = "import os, time\nos.fork()\nos.write(1, b'%d\\n' % os.getpid())\ntime.sleep(600)"
    monkeypatch.setattr(guest, "_command", lambda *_: [sys.executable, "-c", script])
    with guest.Guest(target("x").boot, {}, tmp_path) as made:
        while made.console.count(b"\n") < 2:
            guest.wait_for([made], 1.0)
            made.listen()
        pids = [int(line) for line in made.console.split()]
    deadline = time.monotonic() + 5
    while any(map(_alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not any(map(_alive, pids))
    assert not list(tmp_path.iterdir())


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, signal.SIG_DFL)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


# Where no folder can be made for one guest, the run says so in the end, and which to change.
def test_no_room(suite: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(record.HarnessError, match="a guest's folder could not be made"):
        conduct({"honest": HONEST}, suite, tmp_path / "missing", monkeypatch)
