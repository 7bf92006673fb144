# SPDX-License-Identifier: GPL-2.0-only
"""How far a fleet is, what became of each box, and the command itself."""

from __future__ import annotations

import io
import os
import textwrap
from pathlib import Path

import pytest
from fleets import local
from records import case, leaking, record

from conformance import cli, wheels
from conformance.errors import UsageError
from conformance.fleet import boxes
from conformance.fleet.boxes import Box
from conformance.fleet.run import LOST, WHOLE, Outcome
from conformance.fleet.supply import Supply, _stale
from conformance.record import Record
from conformance.reports import fleet

ONE = record(case("syscalls.pair"), leaking())
OTHER = record(case("syscalls.pair"), case("interrupts.device", "MISS", reason="gone\x1b[2J"))


def outcome(name: str, made: Record, state: str = WHOLE, reason: str = "") -> Outcome:
    answered = sum(each.verdict != "MISS" for each in made.cases)
    return Outcome(local(name), made, f"{name}.lab", "6.1", state, reason, 2, answered)


TOLD = [outcome("one", ONE), outcome("other", OTHER, LOST, "gone\x1b[2J\nby and by")]


# A line a box, and one of sums; whatever a box says is made printable, and stays on its line.
def test_table() -> None:
    assert fleet.table(TOLD, color=False) == (
        "box    host       kernel  state    cases  answered  missing  reason\n"
        "one    one.lab    6.1     whole        2         2        0\n"
        "other  other.lab  6.1     lost         2         1        1  gone\\x1b[2J by and by\n"
        "all                       1 whole      4         3        1\n"
    )
    assert "\x1b[31m" in fleet.table(TOLD, color=True)


# What failed of that which was answered is shown under its box; what is missing the table tells.
def test_failures() -> None:
    text = fleet.failures(TOLD, color=False)
    assert text.startswith("one:\n\nFAIL  ")
    assert "MISS" not in text
    assert "other:" not in text


# A line a box that begins, comes up, fails in a case and ends; where it can be, one of all above.
@pytest.mark.parametrize("live", [False, True])
def test_progress(live: bool) -> None:
    stream = io.StringIO()
    with fleet.Boxes(stream, live, lambda: 10.0) as watcher:
        for name in ("one", "other"):
            watcher.begins(name, f"ssh {name}.lab")
        watcher.hello("one", "linux-6.1.amd", 2)
        for each in ONE.cases:
            watcher.case("one", each)
        shown = stream.getvalue().rpartition("\r")[2]
        watcher.left(TOLD[0])
        watcher.left(TOLD[1])
    lines = [line.rpartition("\x1b[K")[2] for line in stream.getvalue().split("\n")]
    assert [line for line in lines if line] == [
        "one: connecting, ssh one.lab", "other: connecting, ssh other.lab",
        "one: linux-6.1.amd is up after 0 s",
        "one: FAIL  interrupts.device: orig_ax: -1 -> 34/pause",
        "one: whole; 2 cases: 1 pass, 1 fail in 9.8 s",
        "other: lost, gone\\x1b[2J\\nby and by; 2 cases: 1 pass, 1 miss in 9.8 s",
    ]  # fmt: skip
    assert live == (shown == "\x1b[K2 running  [2/2]  1 connecting  1 failing")
    assert list(watcher.outcomes) == ["one", "other"]


# The example that --help gives is one that can be read.
def test_help(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="0"):
        cli.main(["fleet", "run", "--help"])
    text = capsys.readouterr().out
    example = text[text.index("  [[box]]") : text.index("  origax fleet run")]
    path = tmp_path / "boxes.toml"
    path.write_text(textwrap.dedent(example))
    assert [box.name for box in boxes.load(path)] == ["epyc", "old-atom", "here"]


# Wrong usage ends before any box is connected to, and before wheels are made.
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--boxes", "none.toml"], "the file cannot be read"),
        (["--boxes", "BOXES", "--box", "there"], "no box has that name"),
        (["--boxes", "BOXES", "syscalls.pear"], "no case has that name"),
    ],
)
def test_usage(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "boxes.toml"
    path.write_text('[[box]]\nname = "here"\nlocal = true\n')
    words = [str(path) if word == "BOXES" else word for word in words]
    assert cli.main(["fleet", "run", "--records", str(tmp_path / "records"), *words]) == 2
    assert said in capsys.readouterr().err
    assert [each.name for each in tmp_path.iterdir()] == ["boxes.toml"]


# A box is refused for its own reasons; where wheels are lacking, each box of that kind hears it.
def test_supply(tmp_path: Path) -> None:
    made = Supply(tmp_path, os.environ, print)
    about = {"python": [3, 13], "machine": "x86_64", "bits": 64, "release": "6.1", "cmdline": []}
    for _ in range(2):
        with pytest.raises(UsageError, match=r"no wheel of origax.*3\.13 on x86_64"):
            made(local("one"), about)
    with pytest.raises(UsageError, match=r"on i686"):
        made(local("one"), {**about, "bits": 32})
    with pytest.raises(UsageError, match="not what is labelled next"):
        made(local("one", boot="next"), about)
    wanted = []
    for name in ("origax-1-cp311-abi3-linux_x86_64", "cffi-2-cp313-cp313-linux_x86_64",
                 "python_ptrace-1-py3-none-any"):  # fmt: skip
        wanted.append(tmp_path / f"{name}.whl")
        wanted[-1].touch()
    made = Supply(tmp_path, os.environ, print)
    assert sorted(made(local("one"), about)) == sorted(wanted)
    label: Box = local("one", boot="run=next")
    assert made(label, {**about, "cmdline": ["quiet", "run=next"]})


# A wheel that is older than the checkout is made anew; one of another's is not touched.
def test_stale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own, other = (tmp_path / f"{name}-1-py3-none-any.whl" for name in (wheels.OWN, "cffi"))
    for path in (own, other):
        path.touch()
    root = tmp_path / "checkout"
    (root / "conformance").mkdir(parents=True)
    (root / "pyproject.toml").touch()
    source = root / "conformance" / "x.py"
    source.touch()
    monkeypatch.setattr("conformance.fleet.supply.CHECKOUT", root)
    for path in (root / "pyproject.toml", source):
        os.utime(path, (1, 1))
    assert _stale(tmp_path) == []
    os.utime(own, (2, 2))
    os.utime(source, (3, 3))
    assert _stale(tmp_path) == [own]
    (root / "pyproject.toml").unlink()
    assert _stale(tmp_path) == []


