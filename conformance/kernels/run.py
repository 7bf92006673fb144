# SPDX-License-Identifier: GPL-2.0-only
"""The suite on many kernels: boots a guest for each, and judges what it says, as it says it.

A guest traces and this process judges, in one thread for all guests. A guest that hangs, panics or
vanishes costs its own cases that were still to come: they are MISS, with the reason.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Protocol

from conformance import record as record_module
from conformance import runner
from conformance.cases import Case
from conformance.errors import OrigaxError
from conformance.expectation import Expectation, KnownIssue
from conformance.facts import Environment, Fact
from conformance.kernels.guest import Boot, Guest, wait_for
from conformance.kernels.inside import ANSWER, BEGIN, DONE, HELLO
from conformance.record import CaseRecord, EnvironmentRecord, OptionsRecord, Record, ToolRecord

TURN: Final = 0.1
"""Seconds between two looks at what the guests have said."""
MARGIN: Final = 15.0
"""Seconds that a guest may be silent beyond all deadlines of its own."""
GUEST_MEMORY: Final = 1536 << 20
"""Bytes that this machine should have free for each guest."""
STALE: Final = b"int3: 0000 [#"
"""What a kernel says of an int3 that is not its own."""
WHY_AGAIN: Final = "QEMU ran an int3 that the kernel had taken back while it booted"
"""A race of TCG before QEMU 8.1, with kernels that patch themselves (deba78709ae8, "accel/tcg:
Always lock pages before translation"): it says nothing of the kernel, of which no case has run."""


@dataclass(frozen=True, slots=True)
class Target:
    """One kernel to run the suite on.

    :ivar name: of the environment in kernels.toml, or made from a path
    :ivar build: details for the record's ``build``: the accelerator, and why that one
    """

    name: str
    boot: Boot
    build: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Suite:
    """What all guests are asked for, and judged by.

    :ivar expectations: of each case by its id, read once for all guests
    :ivar patience: seconds in which a guest must have come up
    """

    cases: Sequence[Case]
    expectations: Mapping[str, Expectation | None]
    vocabulary: Mapping[str, Fact]
    known: Sequence[KnownIssue]
    options: OptionsRecord
    patience: float


class Watcher(Protocol):
    """Hears how the guests are doing."""

    def begins(self, name: str, how: str) -> None:
        """Note that a guest is booted."""

    def hello(self, name: str, environment: str, cases: int) -> None:
        """Note that it is up."""

    def case(self, name: str, case: CaseRecord) -> None:
        """Note that one of its cases is judged."""

    def ends(self, name: str, record: Record) -> None:
        """Note that it is done, or lost."""


@dataclass(slots=True)
class _Run:
    """One guest and what it has said so far."""

    target: Target
    guest: Guest
    suite: Suite
    again: bool
    begun: float = field(default_factory=time.monotonic)
    started: str = field(default_factory=lambda: datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
    environment: Environment | None = None
    tool: ToolRecord | None = None
    boot_id: str = "unknown"
    planned: dict[str, runner.Planned] = field(default_factory=dict)
    cases: dict[str, CaseRecord] = field(default_factory=dict)
    busy: dict[str, None] = field(default_factory=dict)
    """Cases that have begun and have no answer."""
    heard: float = field(default_factory=time.monotonic)
    done: bool = False
    lost: str = ""
    duration: float = 0.0

    def turn(self, watcher: Watcher) -> None:
        """Take in what is new; afterwards it may be done, or lost."""
        self.guest.listen()
        for entry in self.guest.answers():
            self.heard = time.monotonic()
            self._take(entry, watcher)
        silent = time.monotonic() - self.heard
        if self.done or (silent <= self._patience() and not self.guest.gone):
            return
        why = "it ended early" if self.guest.gone else f"it said nothing for {silent:.0f} s"
        if self.busy:
            why += f", in {' and '.join(self.busy)}"
        elif not self.environment:
            why += ", and never came up"
        self.lost = f"the guest was lost: {why}; {self.guest.last_words()}"

    @property
    def stale(self) -> bool:
        """Whether an emulator's fault ended it before it was up, for the first time."""
        never_up = bool(self.lost) and not self.environment and not self.target.boot.kvm
        return never_up and not self.again and STALE in self.guest.console

    def _patience(self) -> float:
        if not self.environment:
            return self.suite.patience
        options = self.suite.options
        return options.timeout * options.repeat + runner.GRACE + runner.STARTING + MARGIN

    def _take(self, entry: Mapping[str, Any], watcher: Watcher) -> None:
        said = entry["said"]
        if said == HELLO:
            self._greet(entry)
            watcher.hello(self.target.name, entry["environment"]["name"], len(self.planned))
        elif said == BEGIN:
            self.busy[entry["id"]] = None
        elif said == ANSWER and self.environment:
            self.busy.pop(entry["id"], None)
            item = self.planned[entry["id"]]
            case = runner.judge(item, entry["answer"], self.environment, self.suite.known)
            self.cases[case.id] = case
            watcher.case(self.target.name, case)
        elif said == DONE:
            self.done = True

    def _greet(self, entry: Mapping[str, Any]) -> None:
        about = entry["environment"]
        self.environment = Environment(
            about["name"], about["facts"], {**about["build"], **self.target.build, **self._told()}
        )
        self.tool = ToolRecord(**entry["tool"])
        self.boot_id = entry["boot_id"]
        for case in self.suite.cases:
            missing = runner.missing(case, self.environment, self.suite.vocabulary)
            wanted = self.suite.expectations[case.id]
            self.planned[case.id] = runner.Planned(case, wanted, missing)

    def end(self) -> None:
        """End the guest, and the run's time."""
        self.duration = time.monotonic() - self.begun
        self.guest.close()

    def _told(self) -> Mapping[str, str]:
        return {"booted_again": WHY_AGAIN} if self.again else {}

    def record(self, interrupted: bool = False) -> Record:
        """Give what is known; cases without an answer are MISS, unless the user ended the run."""
        cases = list(self.cases.values())
        if self.lost:
            missing = [case for case in self.suite.cases if case.id not in self.cases]
            cases += [runner.missed(case, self.lost) for case in missing]
        build = {**self.target.build, **self._told()}
        known = self.environment or Environment(self.target.name, {}, build)
        return Record(
            tool=self.tool or runner.tool(),
            environment=EnvironmentRecord(known.name, known.facts, known.build),
            boot_id=self.boot_id, started=self.started,
            duration=round(self.duration or time.monotonic() - self.begun, 3),
            options=self.suite.options, interrupted=interrupted, cases=tuple(cases),
        )  # fmt: skip


def room(jobs: int) -> int:
    """Give how many guests may run at once here: each needs two CPUs, and memory."""
    text = Path("/proc/meminfo").read_text(encoding="ascii")
    free = next(int(line.split()[1]) for line in text.splitlines() if "MemAvailable" in line)
    cpus = len(os.sched_getaffinity(0)) // 2
    return max(1, min(jobs, cpus, free * 1024 // GUEST_MEMORY))


def run(
    targets: Sequence[Target], suite: Suite, records: Path, jobs: int, watcher: Watcher
) -> Iterator[Record]:
    """Run the suite on each kernel, giving each record as it is made, and written.

    A guest that an emulator's fault ended before it was up is booted once more, and its record says
    so. A record that cannot be written is an error after the others had their turn. ^C ends the
    guests; what they had said is written, as interrupted.

    :param records: directory that gets ``NAME.json`` of each, and ``NAME.console``, what the
        console said, of one that was lost
    :raises HarnessError: a record could not be written, or a guest's folder could not be made
    """
    waiting = [(target, "") for target in targets]
    running: list[_Run] = []
    ended: list[_Run] = []
    failed: list[OrigaxError] = []
    with contextlib.ExitStack() as guests:
        try:
            while waiting or running or ended:
                while waiting and len(running) < jobs:
                    target, again = waiting.pop(0)
                    watcher.begins(target.name, target.build["accelerator"] + again)
                    try:
                        booted = Guest(target.boot, asdict(suite.options), records)
                        guest = guests.enter_context(booted)
                    except OrigaxError as error:
                        failed.append(error)
                        continue
                    running.append(_Run(target, guest, suite, bool(again)))
                # Only now, while the next one boots: a record takes seconds to write.
                while ended:
                    made = _finish(ended[0], records, watcher, failed)
                    del ended[0]
                    yield made
                wait_for([each.guest for each in running], TURN)
                for each in list(running):
                    each.turn(watcher)
                    if each.done or each.lost:
                        running.remove(each)
                        each.end()
                        if each.stale:
                            waiting.insert(0, (each.target, f", once more: {WHY_AGAIN}"))
                        else:
                            ended.append(each)
        except KeyboardInterrupt:
            for each in ended:
                _write(each.target.name, each.record(), records, failed)
            for each in running:
                _write(each.target.name, each.record(interrupted=True), records, failed)
            raise
    if failed:
        raise failed[0]


def _finish(
    run: _Run, records: Path, watcher: Watcher, failed: list[OrigaxError]
) -> Record:
    made = run.record()
    _write(run.target.name, made, records, failed)
    console = records / f"{run.target.name}.console"
    with contextlib.suppress(OSError):  # the record has the last lines
        console.unlink(missing_ok=True)
        if run.lost:
            console.write_bytes(run.guest.console)
    watcher.ends(run.target.name, made)
    return made


def _write(name: str, record: Record, records: Path, failed: list[OrigaxError]) -> None:
    try:
        record_module.write(records / f"{name}.json", record)
    except OrigaxError as error:
        failed.append(error)
