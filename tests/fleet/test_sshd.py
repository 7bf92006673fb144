# SPDX-License-Identifier: GPL-2.0-only
"""A fleet by ssh: boxes that are killed, stopped, or full while the suite runs on them."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import sshds
from fleets import Silent, suite

from conformance import record, runner
from conformance.fleet import run
from conformance.fleet.run import ABSENT, LOST, STOPPED, WHOLE, Outcome
from conformance.fleet.supply import Supply
from conformance.record import CaseRecord
from conformance.reports import fleet as report

ASKED = "ORIGAX_SSHD" in os.environ
LACKING = sshds.lacking() if ASKED else "not asked for: tox -e fleet"
pytestmark = [pytest.mark.skipif(bool(LACKING), reason=LACKING), pytest.mark.xdist_group("fleet")]

SIZES = {"sound": "64m", "killed": "64m", "stopped": "64m", "full": "2m"}
"""The wheels alone are more than the last has room for."""


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="origax-test-", dir="/var/tmp") as name:
        yield Path(name)


@pytest.fixture(scope="module")
def lab(place: Path) -> Iterator[dict[str, sshds.Sshd]]:
    with sshds.boxes(place, SIZES) as made:
        yield made


@pytest.fixture(scope="module")
def supply() -> Supply:
    made = Supply(None, os.environ, print)
    made.prepare()
    return made


class Saboteur(Silent):
    """Kills one box's sshd, and stops all of another, once they have answered some cases."""

    def __init__(self, lab: dict[str, sshds.Sshd]) -> None:
        super().__init__()
        self._lab = lab
        self._heard = dict.fromkeys(lab, 0)

    def case(self, name: str, case: CaseRecord) -> None:
        self._heard[name] += 1
        if self._heard[name] == 5:
            if name == "killed":
                self._lab[name].signal(signal.SIGKILL, "sshd")
            elif name == "stopped":
                self._lab[name].signal(signal.SIGSTOP)


@pytest.fixture(scope="module")
def outcomes(
    lab: dict[str, sshds.Sshd], supply: Supply, place: Path
) -> dict[str, Outcome]:
    """One run on all four."""
    watcher = Saboteur(lab)
    with pytest.MonkeyPatch.context() as patch:
        for module, name in ((runner, "GRACE"), (runner, "STARTING"), (run, "MARGIN")):
            patch.setattr(module, name, 0.0)
        boxes = [each.box for each in lab.values()]
        run.run(boxes, suite(["restarts"], timeout=15.0), supply, place, watcher)
    print(report.table([watcher.outcomes[name] for name in SIZES], color=False))
    return watcher.outcomes


# The sound box is whole, and its record names it by its own host name.
def test_sound(outcomes: dict[str, Outcome], place: Path) -> None:
    told = outcomes["sound"]
    assert (told.state, told.reason, told.host) == (WHOLE, "", "sound")
    made = record.read(place / "sound.json")
    assert made.environment.build["host"] == "sound"
    assert "PASS" in made.verdicts
    assert "MISS" not in made.verdicts


# Each other box has a reason and a verdict for every case: of some its own, the rest MISS.
@pytest.mark.parametrize(
    ("name", "state", "reason"),
    [
        ("killed", LOST, "the connection was lost"), ("stopped", LOST, "it said nothing for 15 s"),
        ("full", ABSENT, "No space left on device"),
    ],
)  # fmt: skip
def test_lost(
    name: str, state: str, reason: str, outcomes: dict[str, Outcome], place: Path
) -> None:
    told = outcomes[name]
    assert (told.state, reason in told.reason) == (state, True), told.reason
    made = record.read(place / f"{name}.json")
    assert len(made.cases) == told.expected == outcomes["sound"].expected
    assert made.verdicts.count("MISS") == told.expected - told.answered
    assert (told.answered >= 5) == (state == LOST)


# The table says who answered what, and why not; its sums agree.
def test_table(outcomes: dict[str, Outcome]) -> None:
    lines = report.table([outcomes[name] for name in SIZES], color=False).splitlines()
    assert [line.split()[0] for line in lines] == ["box", *SIZES, "all"]
    assert lines[4].endswith("No space left on device")
    expected, answered, missing = map(int, lines[-1].split()[-3:])
    assert expected == answered + missing == 4 * outcomes["sound"].expected


# No process and no file of the run is left on any of them: on the stopped one, once it goes on.
def test_nothing_is_left(lab: dict[str, sshds.Sshd], outcomes: dict[str, Outcome]) -> None:
    assert outcomes
    assert lab["stopped"].left()
    lab["stopped"].signal(signal.SIGCONT)
    deadline = time.monotonic() + 20
    while any(box.left() for box in lab.values()) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert {name: box.left() for name, box in lab.items()} == {name: [] for name in lab}


# A disk that fills up under way costs no answer: what is yet to be written goes to /var/tmp, where
# Python's tempfile looks next, and goes from there, too.
def test_filling(lab: dict[str, sshds.Sshd], supply: Supply, place: Path) -> None:
    filler = Path(f"/proc/{lab['sound'].pid}/root/tmp/filler")

    class Filling(Silent):
        def case(self, name: str, case: CaseRecord) -> None:
            if not filler.exists():
                with filler.open("wb", buffering=0) as file, pytest.raises(OSError, match="space"):
                    while file.write(bytes(1 << 20)):
                        pass

    watcher = Filling()
    try:
        asked = suite(["signals", "views.core"])
        run.run([lab["sound"].box], asked, supply, place, watcher)
    finally:
        filler.unlink()
    told = watcher.outcomes["sound"]
    assert (told.state, told.answered) == (WHOLE, told.expected)
    assert set(told.record.verdicts) <= {"PASS", "KNOWN", "SKIP"}
    assert lab["sound"].left() == []


# On a box runs one fleet at a time, whoever asks: by sudo, too.
def test_locked(lab: dict[str, sshds.Sshd], supply: Supply, place: Path) -> None:
    box = lab["sound"].box
    watcher = Silent()
    both = [replace(box, name="first", sudo=bool(shutil.which("sudo"))), replace(box, name="other")]
    run.run(both, suite(["signals"]), supply, place, watcher)
    told = sorted((each.state, each.reason) for each in watcher.outcomes.values())
    assert told == [(ABSENT, "another origax fleet is at it on this box"), (WHOLE, "")]
    assert lab["sound"].left() == []


# When ^C has ended a run, it is gone from the box before the command is.
def test_interrupted(lab: dict[str, sshds.Sshd], supply: Supply, place: Path) -> None:
    class Impatient(Silent):
        def case(self, name: str, case: CaseRecord) -> None:
            raise KeyboardInterrupt

    watcher = Impatient()
    with pytest.raises(KeyboardInterrupt):
        run.run([lab["sound"].box], suite(["signals"]), supply, place, watcher)
    assert watcher.outcomes["sound"].state == STOPPED
    assert lab["sound"].left() == []


# What ssh says is the reason: a host key that is not the known one, and a user who may not.
@pytest.mark.parametrize(
    ("option", "reason"),
    [
        ("UserKnownHostsFile=/dev/null", "Host key verification failed."),
        ("IdentityFile=none", "Permission denied (publickey)."),
    ],
)
def test_refused(
    option: str, reason: str, lab: dict[str, sshds.Sshd], supply: Supply, place: Path
) -> None:
    box = lab["sound"].box
    known = ("-F", "none", "-o", "IdentityAgent=none", "-o", f"UserKnownHostsFile={place}/known")
    words = known if option.startswith("Identity") else box.ssh
    watcher = Silent()
    refused = replace(box, ssh=("-o", option, *words))
    run.run([refused], suite(), supply, place, watcher)
    assert (watcher.outcomes["sound"].state, reason in watcher.outcomes["sound"].reason) == (
        ABSENT, True,
    ), watcher.outcomes["sound"].reason  # fmt: skip
