# SPDX-License-Identifier: GPL-2.0-only
"""What runs in a guest whose kernel has planted faults: traces, with one fault awake at a time.

It is copied into the guest's folder and run there by itself. Answers as
`conformance.kernels.inside` does; before the answers of each fault comes ``said: fault``. First all
cases are traced with none awake. On a kernel that is new they are so one after another, and each
answer says which faults it reached: places at which the fault would have acted. A fault can change
nothing before it is reached, so only cases that reach it are traced with it awake.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from conformance import explore, facts, runner
from conformance.cases import Case, all_cases
from conformance.kernels.inside import ANSWERS, DONE, HELLO, REQUEST, Journal, fork, keep_in_memory
from conformance.model import Machine
from conformance.places import expected_directory
from conformance.record import OptionsRecord
from conformance.reports import exploration
from conformance.runner import Planned, Runner
from conformance.tracing import perf
from conformance.tracing.image import PROGRAMS

PARAMETERS = Path("/sys/module/origax/parameters")
AT_ONCE = 16
"""Cases between two looks at the clock."""
HANGING = 6
"""Cases without an answer after which a fault's others are not waited for."""
PATIENCE = 3
"""Times as long as with no fault awake another program may take, and so many seconds more."""
EXPLORE = "explore"
"""Stands among other programs for the suite's own random sequences."""
SEED = 1
FORK = multiprocessing.get_context("fork")
MARKED = 0x10000000
"""The bit of a personality on which faults act, too: see origax.c."""


def arm(fault: int) -> None:
    """Wake a fault; 0 for none."""
    (PARAMETERS / "fault").write_text(str(fault), encoding="ascii")


def reached() -> list[int]:
    """Give the faults that were reached since the last time."""
    path = PARAMETERS / "reached"
    found = [int(word) for word in path.read_text(encoding="ascii").split()]
    path.write_text("0", encoding="ascii")
    return found


class Guest:
    """The suite in this guest."""

    def __init__(self, request: Mapping[str, Any], journal: Journal, made: Runner) -> None:
        self.request = request
        self.journal = journal
        self.made = made
        self.spent: dict[str, float] = {}
        """Seconds that cases, and other programs, take with no fault awake."""
        self.environment = facts.collect(expected_directory(None))
        vocabulary = facts.vocabulary(expected_directory(None))
        cases = () if request["explore"] else all_cases()
        self.planned = [
            Planned(case, None, missing) for case in cases
            if not (missing := runner.missing(case, self.environment, vocabulary))
        ]  # fmt: skip
        self.programs = [*request["peers"], *([EXPLORE] if request["explore"] else [])]

    def greet(self) -> None:
        """Say what this guest is."""
        self.journal.write(
            said=HELLO, environment=asdict(self.environment), tool=asdict(runner.tool()),
            boot_id=runner.boot_id(),
        )  # fmt: skip

    def unharmed(self) -> None:
        """Trace every case with no fault awake."""
        self.journal.write(said="fault", number=0)
        for item, answer in self.made.run(self.planned):
            self.spent[item.case.id] = answer["duration"]
            self._answer(item.case, answer)

    def reaching(self) -> dict[str, list[int]]:
        """Trace every case with no fault awake, alone; returns which faults each reached."""
        found = {}
        reached()
        self.journal.write(said="fault", number=0)
        for item in self.planned:
            for _, answer in self.made.run([item]):
                found[item.case.id] = reached()
                self.spent[item.case.id] = answer["duration"]
                self._answer(item.case, answer, found[item.case.id])
        return found

    def harmed(self, fault: Mapping[str, Any], touched: Mapping[str, Sequence[int]]) -> None:
        """Trace the cases that a fault can harm, those that are to catch it first, with it awake.

        Of the others the quick ones come first, and once time is over no more are begun.
        """
        number, expected = fault["number"], {case.id for case in _known(fault["cases"])}
        hurt = sorted(
            (p for p in self.planned if number in touched.get(p.case.id, ())),
            key=lambda p: self.spent.get(p.case.id, 0),
        )
        first = [item for item in self.planned if item.case.id in expected]
        items = first + [item for item in hurt if item not in first]
        self.journal.write(said="fault", number=number, cases=len(items))
        until = time.monotonic() + self.request["seconds"]
        hanging = 0
        arm(number)
        try:
            for begin in range(0, len(items), AT_ONCE):
                late = begin >= len(first) and time.monotonic() > until
                if late or hanging >= HANGING:
                    break
                for item, answer in self.made.run(items[begin : begin + AT_ONCE]):
                    hanging += answer["verdict"] == "MISS"
                    self._answer(item.case, answer)
        finally:
            arm(0)

    def peers_unharmed(self) -> dict[str, list[int]]:
        """Run other programs twice with no fault awake; returns which faults each reached."""
        touched = {}
        for program in self.programs * 2:
            print(f"mutants: {Path(program).name}", flush=True)  # the console's last words, perhaps
            reached()
            self._peer(program, self.request["program"])
            touched[program] = reached()
        return touched

    def peers_harmed(self, number: int, touched: Mapping[str, Sequence[int]]) -> None:
        """Run those that reach a fault with it awake, on them and on all that they start."""
        arm(number)
        try:
            for program in self.programs:
                if number in touched[program] and self.spent[program] < self.request["program"]:
                    self._peer(program, PATIENCE * self.spent[program] + PATIENCE)
        finally:
            arm(0)

    def _peer(self, program: str, seconds: float) -> None:
        begun = time.monotonic()
        code, said = self._explored() if program == EXPLORE else _run(program, seconds)
        spent = time.monotonic() - begun
        self.spent.setdefault(program, spent)
        self.journal.write(
            said="peer", program=program, code=code, output=said, seconds=round(spent, 1)
        )

    def _explored(self) -> tuple[int, str]:
        """Explore in a process of its own, as `_run` runs a program; of it only tasks are harmed
        that it traces.
        """
        with tempfile.TemporaryFile() as output:
            process = FORK.Process(target=self._explore, args=(output,))
            process.start()
            process.join(PATIENCE * self.request["explore"] + explore.SHRINKING)
            code = -1 if process.exitcode is None else process.exitcode
            process.kill()
            process.join()
            output.seek(0)
            return code, output.read().decode()

    def _explore(self, output: IO[bytes]) -> None:
        known = self.environment
        doors, missing = explore.open_doors(known, ())
        cpus = tuple(sorted(os.sched_getaffinity(0)))
        explorer = explore.Explorer(Machine.of(known.facts), doors, cpus, shrinking=0)
        tally = explorer.explore(self.request["explore"], SEED)
        output.write(exploration.text(tally, missing, (), known.name).encode())
        output.flush()
        os._exit(1 if tally.difference or tally.hung else 0)

    def _answer(self, case: Case, answer: Mapping[str, Any], found: Iterable[int] = ()) -> None:
        # What a verdict needs; the rest would be half a gigabyte for all faults.
        lean = [{**each, "stops": []} for each in answer["transcripts"]]
        self.journal.write(
            said="answer", id=case.id, answer={**answer, "transcripts": lean}, reached=list(found)
        )


def _run(program: str, seconds: float) -> tuple[int, str]:
    """Run a program, marked; returns its exit code, -1 if it did not end, and what it printed."""
    libc = ctypes.CDLL(None)

    def mark() -> None:
        libc.personality(libc.personality(0xFFFFFFFF) | MARKED)

    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            [program], stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.DEVNULL,
            cwd=Path(program).parent, start_new_session=True, preexec_fn=mark,
        )  # fmt: skip
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            code = -1
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        output.seek(0)
        return code, output.read().decode(errors="replace")[-20000:]


def _known(patterns: Sequence[str]) -> Sequence[Case]:
    return runner.select(all_cases(), patterns) if patterns else ()


def main() -> int:
    """``python inside.py FOLDER``"""
    keep_in_memory(PROGRAMS, Path("/run/origax"))
    folder = Path(sys.argv[1])
    request = json.loads((folder / REQUEST).read_text(encoding="ascii"))
    options = OptionsRecord(**request["options"])
    with (folder / ANSWERS).open("ab", buffering=0) as file, perf.held():
        journal = Journal(file)
        with Runner(options, fork) as made:
            guest = Guest(request, journal, made)
            guest.greet()
            touched = request["reached"] or guest.reaching()
            if request["reached"] and request["unharmed"]:
                guest.unharmed()
            beside = guest.peers_unharmed()
            for fault in request["faults"]:
                guest.harmed(fault, touched)
                guest.peers_harmed(fault["number"], beside)
        journal.write(said=DONE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
