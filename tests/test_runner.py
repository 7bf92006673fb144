# SPDX-License-Identifier: GPL-2.0-only
"""The runner: plans, outlives whatever a case does, and leaves nothing behind."""

import functools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import misbehaving
import pytest
from processes import descendants, until_gone

from conformance import record, runner
from conformance.cases import Case, all_cases
from conformance.cases import _registry as registry
from conformance.errors import UsageError
from conformance.expectation import Expectation, Variant
from conformance.facts import Environment, Fact
from conformance.record import CaseRecord
from conformance.runner import Planned
from conformance.tracing import program
from conformance.transcript import parse

CASES = {name: case for name, case in registry.items() if name.startswith("misbehaving.")}
for _name in CASES:
    del registry[_name]


def working(marker: str) -> bool:
    """Whether a marked process is a worker."""
    commands = [Path("/proc", line.split()[0], "cmdline") for line in descendants(marker)]
    return any(b"conformance.worker" in path.read_bytes() for path in commands if path.exists())


def run(
    names: list[str], environment: Environment, monkeypatch: pytest.MonkeyPatch, repeat: int = 1,
    timeout: float = 20.0, wanted: Expectation | None = None,
) -> list[CaseRecord]:
    """Run misbehaving cases, and see that no process is left afterwards."""
    marker = f"ORIGAX_TEST={os.urandom(8).hex()}"
    monkeypatch.setenv(*marker.split("="))
    options = record.OptionsRecord(frames=10, repeat=repeat, timeout=timeout, jobs=1, patterns=())
    monkeypatch.setattr(runner, "STARTING", 1.0)
    planned = [Planned(CASES[f"misbehaving.{name}"], wanted, "") for name in names]
    start = functools.partial(runner.spawn, program=[misbehaving.__file__])
    with runner.Runner(options, start) as made:
        seen = [runner.judge(*answered, environment, ()) for answered in made.run(planned)]
    assert not [line for line in descendants(marker) if not line.startswith(f"{os.getpid()} ")]
    return seen


# A case that hangs, blocks every signal, dies early, fails its setup or has a bug costs that case.
@pytest.mark.parametrize(
    ("name", "verdict", "reason"),
    [
        ("hang", "MISS", "no answer within 0.3 s"),
        ("deaf", "MISS", "no answer within 0.3 s"),
        ("endless_control", "MISS", "no answer within 0.3 s"),
        ("crash", "ERROR", "a program stopped by signal SIGSEGV before its gate"),
        ("crash_unseized", "ERROR", "a program ended (killed SIGSEGV) before its gate"),
        ("refuse_unseized", "ERROR", "setup failed: Operation not permitted"),
        ("forbidden", "ERROR", "no permission to trace: PTRACE_SEIZE: Operation not permitted"),
        ("refuse", "ERROR", "Operation not permitted"),
        ("suicide", "ERROR", "the worker died (signal 9)"),
        ("stuck", "MISS", "the worker itself gave no answer"),
        ("bug", "ERROR", "KeyError: 'no such thing'"),
        ("garbled", "ERROR", "the field 'nothing=' is empty"),
        ("wild", "ERROR", "left 20 processes behind"),
    ],
)
def test_misbehaviour(
    name: str, verdict: str, reason: str, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Time is short only for what never answers: under load, all else may need it.
    timeout = 0.3 if verdict == "MISS" else 20.0
    if name == "stuck":
        monkeypatch.setattr(runner, "GRACE", 1.0)
    (seen,) = run([name], environment, monkeypatch, timeout=timeout)
    assert (seen.verdict, reason in seen.reason) == (verdict, True), seen.reason


# After a case that killed the worker, the next one has a new worker and its own verdict.
def test_goes_on(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = run(["suicide", "bug"], environment, monkeypatch)
    assert [case.verdict for case in seen] == ["ERROR", "ERROR"]
    assert "KeyError" in seen[1].reason


# A case that broke is FAIL if what it told before is not as expected; else it tells nothing.
@pytest.mark.parametrize(("ax", "verdict"), [("1", "ERROR"), ("2", "FAIL")])
def test_cut_short(
    ax: str, verdict: str, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    golden = parse(f"run  ax={ax}\nrun  ax=3")
    variant = Variant("base", "x86_64 or i386", "kernel-source", golden, "", {}, "", {})
    wanted = Expectation("a.b", Path("a/b.toml"), "i", ("s",), (), {}, (variant,), {})
    (seen,) = run(["halfway"], environment, monkeypatch, wanted=wanted)
    assert (seen.verdict, len(seen.differences)) == (verdict, int(verdict == "FAIL"))
    assert seen.reason.startswith("ax: 2 -> 1; then KeyError" if seen.differences else "KeyError")


# A transcript names the tracer by its pid: a worker whose pid is a number of goldens is not used.
def test_pid_of_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    options = record.OptionsRecord(frames=10, repeat=1, timeout=20.0, jobs=1, patterns=())
    tried: list[runner.Process] = []

    def start(cpus: Sequence[int]) -> runner.Process:
        tried.append(runner.spawn(cpus))
        return tried[-1]

    monkeypatch.setattr(program, "looks_like_a_number", lambda pid: len(tried) < 3)
    planned = Planned(next(case for case in all_cases() if case.id == "syscalls.pair"), None, "")
    with runner.Runner(options, start) as made:
        ((_, answer),) = made.run([planned])
    assert (answer["verdict"], len(tried)) == (None, 3)
    assert [each.wait() for each in tried[:2]] == [-signal.SIGKILL] * 2


# Repeats that differ are UNSTABLE, and the record keeps each transcript with its count.
def test_unstable(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    (seen,) = run(["moody"], environment, monkeypatch, repeat=3)
    assert seen.verdict == "UNSTABLE"
    assert [(t.count, len(t.lines)) for t in seen.transcripts] == [(1, 1)] * 3


# A pattern is an id, a family or a shell pattern; one that fits nothing is an error with hints.
def test_select() -> None:
    cases = all_cases()
    assert [case.id for case in runner.select(cases, ["syscalls.pair"])] == ["syscalls.pair"]
    assert {case.family for case in runner.select(cases, ["syscalls"])} == {"syscalls"}
    assert len(runner.select(cases, ["syscalls.p*"])) > 1
    with pytest.raises(UsageError, match=r"syscalls\.pair"):
        runner.select(cases, ["syscalls.pear"])


# A missing need is the reason of a SKIP, with what would give it.
def test_missing(environment: Environment, vocabulary: Mapping[str, Fact]) -> None:
    case = Case("family.name", "x86_64", "none", (), ("fred",), None, lambda trace: None)
    lacking = Environment(environment.name, {**environment.facts, "fred": False}, {})
    assert vocabulary["fred"].lack in runner.missing(case, lacking, vocabulary)
    having = Environment(environment.name, {**environment.facts, "fred": True}, {})
    assert runner.missing(case, having, vocabulary) == ""


# Every need that a case states is a boolean fact, which says what would give it.
def test_needs(vocabulary: Mapping[str, Fact]) -> None:
    for case in all_cases():
        for need in case.needs:
            assert vocabulary[need].kind is bool, case.id
            assert vocabulary[need].lack, need


@pytest.fixture
def started(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], Path, str]]:
    """`origax run` as a user starts it, with its record's path and a marker of its processes."""
    path = tmp_path / "record.json"
    marker = f"ORIGAX_TEST={os.urandom(8).hex()}"
    command = [sys.executable, "-P", "-m", "conformance", "run", "--repeat", "50"]
    command += ["--record", str(path)]
    name, _, word = marker.partition("=")
    path_of_modules = os.pathsep.join(filter(None, sys.path))
    process = subprocess.Popen(
        command, env=os.environ | {name: word, "PYTHONPATH": path_of_modules},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        # A shell's background jobs, and so these tests there, ignore SIGINT.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    while process.poll() is None and not working(marker):
        time.sleep(0.01)
    yield process, path, marker
    process.kill()
    process.wait()
    if process.stdout:
        process.stdout.close()


# Killed at any moment of its worker's life, the runner leaves no process behind.
@pytest.mark.parametrize("moment", [0.0, 0.05, 0.3, 0.7])
def test_killed(moment: float, started: tuple[subprocess.Popen[str], Path, str]) -> None:
    process, _, marker = started
    time.sleep(moment)
    assert process.poll() is None, process.communicate()
    process.kill()
    process.wait()
    assert until_gone(marker) == []


# ^C and SIGTERM end a run early: what was done is recorded, and nothing is left behind.
@pytest.mark.parametrize("signo", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(
    signo: signal.Signals, started: tuple[subprocess.Popen[str], Path, str]
) -> None:
    process, path, marker = started
    time.sleep(0.5)
    process.send_signal(signo)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + signo, out
    assert "Traceback" not in out
    assert until_gone(marker) == []
    assert json.loads(path.read_text())["interrupted"] is True
