# SPDX-License-Identifier: GPL-2.0-only
"""What the tests of fleets share: a suite, boxes that are this machine, and one who watches."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from conformance import runner
from conformance.cases import all_cases
from conformance.fleet.boxes import Box
from conformance.fleet.run import Outcome, Suite
from conformance.record import CaseRecord, OptionsRecord

PAIR, UD = (
    ("syscalls.pair", "traps.ud")
    if sys.maxsize > 1 << 32
    else ("syscalls.pair.int80_32", "traps.ud.ia32")
)


class Silent:
    """Watches, and keeps what became of each box."""

    def __init__(self) -> None:
        self.outcomes: dict[str, Outcome] = {}

    def begins(self, name: str, how: str) -> None: ...
    def hello(self, name: str, environment: str, cases: int) -> None: ...
    def case(self, name: str, case: CaseRecord) -> None: ...

    def left(self, outcome: Outcome) -> None:
        self.outcomes[outcome.box.name] = outcome


@dataclass(frozen=True, slots=True)
class Traces:
    """What boxes that are this machine may leave: processes with a word, files in a directory."""

    place: Path
    word: str = field(default_factory=lambda: os.urandom(8).hex())

    @property
    def environ(self) -> Mapping[str, str]:
        """What has to be in the environment of boxes."""
        return {"FLEET_TEST": self.word, "TMPDIR": str(self.place)}

    def found(self) -> list[str]:
        """List what is there now."""
        found = [str(path) for path in self.place.iterdir()]
        for path in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                state = (path / "stat").read_text().rpartition(")")[2].split()[0]
                if self.word.encode() in (path / "environ").read_bytes() and state != "Z":
                    found.append(f"{path.name} {(path / 'cmdline').read_bytes()!r}")
        return [each for each in found if not each.startswith(f"{os.getpid()} ")]

    def until_gone(self, seconds: float = 20.0) -> list[str]:
        """Wait for it to go; list what does not."""
        deadline = time.monotonic() + seconds
        while self.found() and time.monotonic() < deadline:
            time.sleep(0.05)
        return self.found()


def suite(
    patterns: Iterable[str] = (PAIR, UD), patience: float = 60.0, limit: float = 600.0,
    timeout: float = 20.0,
) -> Suite:  # fmt: skip
    given = tuple(patterns)
    options = OptionsRecord(frames=10, repeat=1, timeout=timeout, jobs=1, patterns=given)
    return Suite(runner.select(all_cases(), given), options, patience, limit)


def local(name: str, python: str | Path = sys.executable, boot: str = "") -> Box:
    """Give a box that is this machine; its Python has origax, or does what a script says."""
    return Box(name, "", "", 0, (), (), str(python), sudo=False, boot=boot, labels=())


def python(path: Path, prologue: str) -> Path:
    """Write a Python that does something else first, and is then what execnet wants."""
    path.write_text(
        f"#!{sys.executable} -Iu\nimport sys\n{prologue}\nexec(eval(sys.stdin.readline()))\n"
    )
    path.chmod(0o755)
    return path


def run_says(*lines: str) -> str:
    """Give a prologue by which the run on the box is a Python program of these lines."""
    program = "\n".join(["import json, os, sys, time", "asked = json.load(sys.stdin)", *lines])
    return (
        "import subprocess\nreal = subprocess.Popen\n"
        f"subprocess.Popen = lambda words, **more: real([words[0], '-c', {program!r}], **more)"
    )
