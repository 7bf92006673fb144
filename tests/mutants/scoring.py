# SPDX-License-Identifier: GPL-2.0-only
"""The score: boots a kernel with planted faults, wakes one after another, and says who saw it."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from conformance import expectation, facts, runner
from conformance import record as record_module
from conformance.cases import all_cases
from conformance.errors import HarnessError
from conformance.expectation import Expectation, KnownIssue
from conformance.facts import Environment, Fact
from conformance.kernels import packages, targets
from conformance.kernels.guest import CPUS, Boot, Guest, wait_for
from conformance.kernels.inside import ANSWER, DONE, HELLO
from conformance.record import CaseRecord, OptionsRecord
from mutants.faults import Fault

INSIDE: Final = Path(__file__).resolve().parent / "inside.py"
OPTIONS: Final = OptionsRecord(frames=20, repeat=1, timeout=10.0, jobs=CPUS, patterns=())
"""A case takes a second at most: one that hangs is not to cost much."""
SECONDS: Final = 6.0
"""After which no more of a fault's cases are begun, but for those that are to catch it."""
PROGRAM: Final = 60.0
"""Seconds that another program may take."""
COMING_UP: Final = 120.0
SILENT: Final = 90.0
"""Seconds without a word after which a guest is taken for lost."""
CONFORMING: Final = (record_module.PASS, record_module.KNOWN, record_module.SKIP)
LOST: Final = 3
"""Guests in a row that may be lost before the first of their faults is answered."""


@dataclass(slots=True)
class Outcome:
    """What came of one fault.

    :ivar failed: cases that did not conform, by id, with what each says
    :ivar silent: cases that gave no verdict: they hung, or the harness broke
    :ivar untried: how many were not begun, because time was over
    """

    fault: int
    failed: dict[str, str] = field(default_factory=dict)
    silent: dict[str, str] = field(default_factory=dict)
    untried: int = 0
    lost: str = ""
    cases: int = 0


@dataclass(frozen=True, slots=True)
class Peer:
    """What another program did: its exit code, -1 if it did not end, and what it printed."""

    code: int
    output: str
    seconds: float


@dataclass(slots=True)
class Score:
    """What came of all faults on one kernel.

    :ivar unharmed: the verdict of each case with no fault awake
    :ivar reached: the faults that each case reached then
    """

    unharmed: dict[str, CaseRecord] = field(default_factory=dict)
    reached: dict[str, list[int]] = field(default_factory=dict)
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    peers: dict[int, dict[str, list[Peer]]] = field(default_factory=dict)
    environment: Environment | None = None
    lost: str = ""

    @property
    def unsound(self) -> dict[str, CaseRecord]:
        """The cases that did not conform with no fault awake: they tell nothing of one."""
        return {
            name: case for name, case in self.unharmed.items() if case.verdict not in CONFORMING
        }

    def collateral(self, outcome: Outcome) -> list[str]:
        """Name the cases that failed though they had not reached the fault."""
        return [name for name in outcome.failed if outcome.fault not in self.reached.get(name, ())]


class Judge:
    """Judges what a guest says of cases, as `origax kernels run` would."""

    def __init__(self, expected: Path) -> None:
        self._vocabulary: Mapping[str, Fact] = facts.vocabulary(expected)
        self._cases = {case.id: case for case in all_cases()}
        self._known: Sequence[KnownIssue] = expectation.load_known(expected, self._vocabulary)
        self._expected = expected
        self._read: dict[str, Expectation | None] = {}

    def __call__(self, id: str, answer: Mapping[str, Any], environment: Environment) -> CaseRecord:  # noqa: A002
        if id not in self._read:
            self._read[id] = expectation.find(self._expected, id, self._vocabulary)
        planned = runner.Planned(self._cases[id], self._read[id], "")
        return runner.judge(planned, answer, environment, self._known)


def score(
    image: Path, chosen: Sequence[Fault], reached: Mapping[str, Sequence[int]], judge: Judge,
    among: Path, say: Callable[[str], None], peers: Sequence[str] = (), explore: float = 0,
) -> Score:  # fmt: skip
    """Wake each fault in guests of one kernel; a guest that is lost costs the fault it had.

    :param image: a bzImage, or the tree that has one
    :param reached: the faults that each case reaches, if that is known of this kernel
    :param among: directory for the guests' folders
    :param peers: other programs that are run beside the cases
    :param explore: seconds of random sequences, which then take the place of the cases
    :raises HarnessError: no guest comes up
    """
    boot = boot_of(image, among)
    made = Score(reached={name: list(numbers) for name, numbers in reached.items()})
    waiting = chosen
    lost = 0
    while True:
        left = _guest(boot, waiting, made, judge, among, say, peers, explore)
        if not left:
            return made
        lost = lost + 1 if len(left) == len(waiting) else 0
        if lost >= LOST or not (made.reached or made.peers):
            raise HarnessError(
                f"guests are lost: {made.lost}", str(image),
                "boot it by hand: origax kernels run PATH",
            )  # fmt: skip
        waiting = left[1:]


def boot_of(image: Path, among: Path) -> Boot:
    """Give how a kernel that was built here is booted."""
    (target,) = targets.resolve(
        [str(image)], (), packages.location(os.environ), among, lambda *_: None, hardware=False
    )
    return target.boot


def _guest(
    boot: Boot, waiting: Sequence[Fault], made: Score, judge: Judge, among: Path,
    say: Callable[[str], None], peers: Sequence[str], explore: float,
) -> Sequence[Fault]:  # fmt: skip
    """Boot one guest; returns the faults that have no answer because it was lost, its own first."""
    request = {
        "options": asdict(OPTIONS), "seconds": SECONDS, "reached": made.reached,
        "program": PROGRAM,
        "unharmed": not made.unharmed, "peers": list(peers), "explore": explore,
        "faults": [{"number": each.number, "cases": each.cases} for each in waiting],
    }  # fmt: skip
    now, new = 0, not made.reached
    with Guest(boot, request, among, INSIDE) as guest:
        for entry in entries(guest):
            said = entry["said"]
            if said == HELLO:
                about = entry["environment"]
                made.environment = Environment(about["name"], about["facts"], about["build"])
            elif said == "fault":
                now = entry["number"]
                made.outcomes[now] = Outcome(now, untried=entry.get("cases", 0))
                say(_progress(now, waiting))
            elif said == ANSWER and made.environment:
                _take(made, now, entry, judge(entry["id"], entry["answer"], made.environment))
            elif said == "peer":
                ran = made.peers.setdefault(now, {}).setdefault(entry["program"], [])
                ran.append(Peer(entry["code"], entry["output"], entry["seconds"]))
            elif said == DONE:
                return ()
        made.lost = guest.last_words()
        made.outcomes.setdefault(now, Outcome(now)).lost = made.lost
        if now == 0 and request["unharmed"]:
            # A part of the cases tells neither whether all conform nor what each reaches.
            made.unharmed.clear()
            if new:
                made.reached.clear()
    numbers = [each.number for each in waiting]
    return waiting[numbers.index(now) :] if now in numbers else waiting


def _progress(now: int, waiting: Sequence[Fault]) -> str:
    for place, each in enumerate(waiting, 1):
        if each.number == now:
            return f"{place}/{len(waiting)} {each.name}"
    return "no fault awake"


def entries(guest: Guest) -> Iterator[Mapping[str, Any]]:
    """Give what a guest says until it is done, gone, or silent for too long."""
    heard, patience = time.monotonic(), COMING_UP
    while True:
        wait_for([guest], 0.1)
        guest.listen()
        for entry in guest.answers():
            heard, patience = time.monotonic(), SILENT
            yield entry
        if guest.gone or time.monotonic() - heard > patience:
            return


def _take(made: Score, now: int, entry: Mapping[str, Any], case: CaseRecord) -> None:
    if now == 0:
        made.unharmed[case.id] = case
        made.reached.setdefault(case.id, list(entry["reached"]))
        return
    outcome = made.outcomes[now]
    outcome.cases += 1
    outcome.untried = max(0, outcome.untried - 1)
    if case.verdict in (record_module.FAIL, record_module.UNSTABLE):
        outcome.failed[case.id] = _shown(case)
    elif case.verdict not in (*CONFORMING, record_module.NOGOLDEN):
        outcome.silent[case.id] = case.reason


def _shown(case: CaseRecord) -> str:
    """Tell in a line what a case says of its failure."""
    for difference in case.differences:
        if difference.change:
            return f"line {difference.line}: {difference.change}"
    return "; ".join([*map(str, case.broken), case.reason]).strip("; ") or case.verdict


# What was reached is kept beside the kernel: it holds as long as neither changes.


def remember(path: Path, made: Score, key: str) -> None:
    """Keep which faults each case reaches."""
    with contextlib.suppress(OSError):  # then it is found out again
        path.write_text(json.dumps({"key": key, "reached": made.reached}), encoding="ascii")


def remembered(path: Path, key: str) -> dict[str, list[int]]:
    """Give which faults each case reaches; nothing where that is not known."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        known = json.loads(path.read_text(encoding="ascii"))
        if known["key"] == key:
            reached: dict[str, list[int]] = known["reached"]
            return reached
    return {}
