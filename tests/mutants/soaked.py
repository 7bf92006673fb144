# SPDX-License-Identifier: GPL-2.0-only
"""What runs in a guest for a soak: a run of the cases that a fault is named for, then the soak.

It is copied into the guest's folder and run there by itself. It answers as `inside.py` does, with
one object a fault, and says so now and then how far it is.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from conformance import expectation, facts, record, runner, soak
from conformance.cases import all_cases
from conformance.kernels.inside import (
    ANSWERS,
    DONE,
    HELLO,
    REQUEST,
    Journal,
    fork,
    keep_in_memory,
)
from conformance.places import expected_directory
from conformance.runner import Runner
from conformance.tracing.image import PROGRAMS

FAULT = Path("/sys/module/origax/parameters/fault")
EVERY = 10.0
"""Seconds between two words of a soak."""


class Watcher:
    """Says now and then that a soak goes on."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.due = 0.0

    def stands(self, seconds: float, paths: Sequence[soak.Standing]) -> None:
        """Note how far it is."""
        if seconds > self.due:
            self.due = seconds + EVERY
            self.journal.write(said="stands", paths=[asdict(path) for path in paths])

    def differs(self, seconds: float, case: str, change: str) -> None:
        """The record tells."""

    def breaks(self, seconds: float, case: str, reason: str) -> None:
        """The record tells."""


def main() -> int:
    """``python soaked.py FOLDER``"""
    keep_in_memory(PROGRAMS, Path("/run/origax"))
    folder = Path(sys.argv[1])
    request = json.loads((folder / REQUEST).read_text(encoding="ascii"))
    options = record.OptionsRecord(**request["options"])
    expected = expected_directory(None)
    vocabulary, environment = facts.vocabulary(expected), facts.collect(expected)
    known = expectation.load_known(expected, vocabulary)

    def plan(patterns: Sequence[str]) -> tuple[runner.Planned, ...]:
        chosen = soak.select(all_cases(), patterns)
        return runner.plan(chosen, environment, vocabulary, expected)

    with (folder / ANSWERS).open("ab", buffering=0) as file:
        journal = Journal(file)
        journal.write(said=HELLO)
        for fault in request["faults"]:
            FAULT.write_text(str(fault["number"]), encoding="ascii")
            with Runner(options, fork) as made:
                run = [
                    runner.judge(item, answer, environment, known).verdict
                    for item, answer in made.run(plan(fault["cases"]))
                ]
            soaking = soak.Soak(
                plan(()), environment, known, options, Watcher(journal), soak.Stop(),
                lambda options: Runner(options, fork),
            )
            done = soaking.run(60 * request["minutes"])
            journal.write(
                said="soak", number=fault["number"], run=run,
                record=json.loads(record.to_json(done)),
            )
        journal.write(said=DONE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
