# SPDX-License-Identifier: GPL-2.0-only
"""The suite on every box of a fleet: connects to all at once, and hears what they say.

A box traces and judges; here one thread takes in each case as it comes. A box that cannot be
reached, refuses, hangs, or is lost under way costs its own cases that were still to come: they are
MISS, with the reason, so that every case has a verdict on every box.
"""

from __future__ import annotations

import contextlib
import json
import queue
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Protocol

from conformance import files, runner
from conformance import record as record_module
from conformance.cases import Case
from conformance.errors import OrigaxError
from conformance.fleet.boxes import Box
from conformance.fleet.link import LARGEST, Link, Supply
from conformance.kernels.inside import BEGIN, DONE, HELLO
from conformance.record import CaseRecord, EnvironmentRecord, OptionsRecord, Record, ToolRecord

TURN: Final = 0.1
"""Seconds between two looks at deadlines."""
MARGIN: Final = 15.0
"""Seconds that a box may be silent beyond all deadlines of its own."""
CLEANING: Final = 10.0
"""Seconds for a box to clean up before the connection is cut: then it does so by itself."""
AHEAD: Final = 256
"""Words of boxes that may wait to be taken in; then boxes wait."""
MOST: Final = 1 << 28
"""Bytes that one box may say in all, compressed: a whole run has two millions."""

WHOLE: Final = "whole"
LOST: Final = "lost"
ABSENT: Final = "absent"
STOPPED: Final = "stopped"


@dataclass(frozen=True, slots=True)
class Suite:
    """What all boxes are asked for.

    :ivar patience: seconds in which a box must have come up
    :ivar limit: seconds that it may take in all
    """

    cases: Sequence[Case]
    options: OptionsRecord
    patience: float
    limit: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one box.

    :ivar record: of the run, without transcripts of cases that are as expected
    :ivar state: `WHOLE`, `LOST` under way, `ABSENT` from the start, or `STOPPED` by the user
    :ivar reason: why it is not whole
    """

    box: Box
    record: Record
    host: str
    kernel: str
    state: str
    reason: str
    expected: int
    answered: int


class Watcher(Protocol):
    """Hears how the boxes are doing."""

    def begins(self, name: str, how: str) -> None:
        """Note that a box is connected to."""

    def hello(self, name: str, environment: str, cases: int) -> None:
        """Note that it is up."""

    def case(self, name: str, case: CaseRecord) -> None:
        """Note that one of its cases is judged."""

    def left(self, outcome: Outcome) -> None:
        """Note that it is done, or lost."""


@dataclass(slots=True)
class _Run:
    """One box and what it has said so far."""

    box: Box
    link: Link
    suite: Suite
    awaited: dict[str, Case]
    begun: float = field(default_factory=time.monotonic)
    heard: float = field(default_factory=time.monotonic)
    started: str = field(default_factory=lambda: datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
    about: Mapping[str, Any] = field(default_factory=dict)
    environment: EnvironmentRecord | None = None
    tool: ToolRecord | None = None
    boot_id: str = "unknown"
    cases: dict[str, CaseRecord] = field(default_factory=dict)
    texts: dict[str, bytes] = field(default_factory=dict)
    """The same as the box wrote them, compressed: a hundredth of what the stops would take."""
    said: int = 0
    busy: dict[str, None] = field(default_factory=dict)
    """Cases that have begun and have no answer."""
    told: str = ""
    """What it said of its own end."""
    lost: str = ""
    stopped: bool = False
    done: bool = False
    leaving: float = 0.0
    """When it was hung up on; 0 before."""
    duration: float = 0.0

    def take(self, item: object, watcher: Watcher) -> None:
        """Take in what the box says; whatever that is, it is no more than this box's own."""
        self.heard = time.monotonic()
        try:
            if item is None:
                self._hung_up()
            elif isinstance(item, bytes) and not self.leaving:
                self._hear(item, watcher)
            elif isinstance(item, dict):
                self._about(item)
        except (ArithmeticError, LookupError, TypeError, ValueError, RecursionError, zlib.error,
                record_module.MisfitError) as error:  # fmt: skip
            self.lose(f"it says what origax would not: {type(error).__name__}: {error}")

    def turn(self) -> None:
        """See whether it is late."""
        now = time.monotonic()
        options = self.suite.options
        silence = options.timeout * options.repeat + runner.GRACE + runner.STARTING + MARGIN
        if self.leaving:
            return
        if not self.environment:
            if now - self.begun > self.suite.patience:
                self.lose(f"it was not up within {self.suite.patience:.0f} s{self._words()}")
        elif now - self.heard > silence:
            self.lose(f"it said nothing for {silence:.0f} s{self._where()}")
        elif now - self.begun > self.suite.limit:
            self.lose(f"it took more than {self.suite.limit:.0f} s in all{self._where()}")

    def lose(self, why: str) -> None:
        """Give it up."""
        if not self.leaving:
            self.lost = why
            self._leave()

    def stop(self) -> None:
        """End it for the user, who does not want to wait."""
        if not self.leaving:
            self.stopped = True
            self._leave()

    @property
    def left(self) -> bool:
        """Whether it is gone, and so has cleaned up, or does not go."""
        late = bool(self.leaving) and time.monotonic() - self.leaving > CLEANING
        return bool(self.leaving) and (self.link.gone or late)

    def _leave(self) -> None:
        self.leaving = time.monotonic()
        self.duration = self.leaving - self.begun
        self.link.hang_up()

    def _hung_up(self) -> None:
        if self.done:
            self._leave()
        else:
            self.lose(self.told or f"the connection was lost{self._where()}{self._words()}")

    def _where(self) -> str:
        return f", in {' and '.join(self.busy)}" if self.busy else ""

    def _words(self) -> str:
        words = self.link.last_words()
        return f": {words}" if words else ""

    def _about(self, item: Mapping[str, Any]) -> None:
        if "failed" in item:
            self.told = str(item["failed"])
        elif "code" in item:
            words = str(item["words"]).strip().splitlines()
            self.told = words[-1] if words else f"its run ended with code {item['code']}"
        else:
            self.about = item

    def _hear(self, item: bytes, watcher: Watcher) -> None:
        self.said += len(item)
        if self.said > MOST:
            raise ValueError(f"more than {MOST >> 20} MiB")
        entry = json.loads(_text(item))
        said = entry.get("said")
        if said == HELLO:
            self._greet(entry)
            watcher.hello(self.box.name, entry["environment"]["name"], len(self.awaited))
        elif said == BEGIN:
            self.busy[self.awaited[entry["id"]].id] = None
        elif said == DONE:
            self.done = True
        elif not self.environment:
            raise ValueError("a case before what the box is")
        else:
            case = _checked(entry)
            del self.awaited[case.id]
            self.busy.pop(case.id, None)
            self.cases[case.id] = case
            self.texts[case.id] = item
            watcher.case(self.box.name, case)

    def _greet(self, entry: Mapping[str, Any]) -> None:
        about = record_module.shaped(EnvironmentRecord, entry["environment"])
        build = {**about.build, "box": self.box.name, "host": str(self.about["host"])}
        if self.box.boot:
            build["label"] = self.box.boot
        self.environment = replace(about, build=build)
        self.tool = record_module.shaped(ToolRecord, entry["tool"])
        self.boot_id = str(entry["boot_id"])

    def outcome(self) -> tuple[Outcome, str]:
        """Give what became of it, and its record as text, with all that the box said."""
        answered, reason = len(self.cases), self.lost
        if self.done and self.awaited:
            reason = "its origax has no such case"
        missed = [] if self.stopped else [
            runner.missed(case, f"the box gave no answer: {reason}")
            for case in self.awaited.values()
        ]  # fmt: skip
        known = self.environment or EnvironmentRecord(self.box.name, {}, {"box": self.box.name})
        made = Record(
            tool=self.tool or runner.tool(), environment=known, boot_id=self.boot_id,
            started=self.started, duration=round(self.duration, 3), options=self.suite.options,
            interrupted=self.stopped, cases=(*self.cases.values(), *missed),
        )  # fmt: skip
        state = STOPPED if self.stopped else WHOLE if not reason else LOST
        if not self.environment:
            state = STOPPED if self.stopped else ABSENT
        told = Outcome(
            self.box, made, str(self.about.get("host", self.box.host)),
            str(self.about.get("release", "")), state, reason, answered + len(self.awaited),
            answered,
        )  # fmt: skip
        texts = {case.id: record_module.member(case) for case in missed}
        for name, item in self.texts.items():
            texts[name] = _text(item).strip().replace("\r", "\n")
        return told, record_module.of_members(made, texts)


def _text(item: bytes) -> str:
    return zlib.decompressobj().decompress(item, LARGEST).decode()


def _checked(data: Any) -> CaseRecord:
    """Check a case that a box gave; of one that is as expected the stops are not kept at hand."""
    case = record_module.shaped(CaseRecord, {**data, "transcripts": []})
    if case.verdict in record_module.AS_EXPECTED:
        return case
    return record_module.shaped(CaseRecord, data)


def run(
    boxes: Sequence[Box], suite: Suite, supply: Supply, records: Path, watcher: Watcher
) -> None:
    """Run the suite on each box; the watcher hears what became of it, once its record is written.

    ^C ends the runs on all boxes; what they had said is written, as interrupted, before the
    interrupt goes on. Another ^C does not wait for that.

    :param records: directory that gets ``NAME.json`` of each
    :raises HarnessError: a record could not be written; after the others had their turn
    """
    inbox: queue.Queue[tuple[str, object]] = queue.Queue(AHEAD)
    runs: dict[str, _Run] = {}
    failed: list[OrigaxError] = []
    request = {"cases": [case.id for case in suite.cases], "options": asdict(suite.options)}
    with contextlib.ExitStack() as links:
        try:
            for box in boxes:
                watcher.begins(box.name, "this machine" if box.local else f"ssh {box.host}")
                link = links.enter_context(Link(box, request, supply, _ear(inbox, box.name)))
                runs[box.name] = _Run(box, link, suite, {case.id: case for case in suite.cases})
            while runs:
                _turn(runs, inbox, records, watcher, failed)
        except KeyboardInterrupt:
            for each in runs.values():
                each.stop()
            while runs:
                _turn(runs, inbox, records, watcher, failed)
            raise
    if failed:
        raise failed[0]


def _ear(inbox: queue.Queue[tuple[str, object]], name: str) -> Callable[[object], None]:
    return lambda item: inbox.put((name, item))


def _turn(
    runs: dict[str, _Run], inbox: queue.Queue[tuple[str, object]], records: Path,
    watcher: Watcher, failed: list[OrigaxError],
) -> None:  # fmt: skip
    """Hear boxes for a turn; those that have left are written, and no longer among `runs`."""
    until = time.monotonic() + TURN
    with contextlib.suppress(queue.Empty):
        while (rest := until - time.monotonic()) > 0:
            name, item = inbox.get(timeout=rest)
            if name in runs:
                runs[name].take(item, watcher)
    for name, each in list(runs.items()):
        each.turn()
        if each.left:
            each.link.kill()
            made, text = each.outcome()
            try:
                files.replace_all({records / f"{name}.json": text}, "the record", _PLACE)
            except OrigaxError as error:
                failed.append(error)
            watcher.left(made)
            del runs[name]


_PLACE: Final = "make room there, or give another directory with --records"
