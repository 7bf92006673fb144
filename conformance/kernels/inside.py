# SPDX-License-Identifier: GPL-2.0-only
"""What runs in a guest: traces the cases, and leaves every answer in the folder it was given.

``python -m conformance.kernels.inside FOLDER`` reads ``request.json`` there and appends to
``answers``, one JSON object a line: first what the guest is (`HELLO`), then each case as it begins
(`BEGIN`) and as it is answered (`ANSWER`), last that it is done (`DONE`). Whatever becomes of the
guest, what it had said stays. It judges nothing: the goldens are read where they are read faster.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from io import FileIO
from pathlib import Path
from typing import IO, Any, Final

from conformance import facts, runner, worker
from conformance.cases import Case, all_cases
from conformance.errors import HarnessError, OrigaxError
from conformance.places import expected_directory
from conformance.record import OptionsRecord
from conformance.tracing import perf
from conformance.tracing.image import PROGRAMS

REQUEST: Final = "request.json"
ANSWERS: Final = "answers"
HELLO: Final = "hello"
BEGIN: Final = "begin"
ANSWER: Final = "answer"
DONE: Final = "done"


class Journal:
    """The answers, written so that each is whole, or not there."""

    def __init__(self, file: FileIO) -> None:
        self._file = file

    def write(self, **entry: Any) -> None:
        """Append one object.

        :raises HarnessError: there is no room
        """
        try:
            rest = json.dumps(entry).encode() + b"\n"
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            raise HarnessError(
                f"the answers cannot be written: {error.strerror}", "the folder of the guest's run",
                "make room where the records go",
            ) from None  # fmt: skip


@dataclass(slots=True)
class Forked:
    """A worker that is a copy of this process."""

    pid: int
    stdin: IO[bytes] | None
    stdout: IO[bytes] | None

    def kill(self) -> None:
        """Send it SIGKILL."""
        os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> int:
        """Reap it; returns its exit code, or minus the signal that ended it."""
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def fork(cpus: Sequence[int]) -> Forked:
    """Start a worker as a copy of this process: emulated, a new Python takes seconds."""
    parent = os.getpid()
    requests, answers = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.setsid()
            os.dup2(requests[0], 0)
            os.dup2(answers[1], 1)
            os.closerange(3, max(*requests, *answers) + 1)
            code = worker.main([str(parent), *map(str, cpus)])
        finally:
            os._exit(code)
    os.close(requests[0])
    os.close(answers[1])
    return Forked(pid, os.fdopen(requests[1], "wb"), os.fdopen(answers[0], "rb", buffering=0))


def trace(folder: Path) -> None:
    """Trace what the request asks for.

    :raises OrigaxError: nothing can be traced here, or an answer cannot be written
    """
    request: Mapping[str, Any] = json.loads((folder / REQUEST).read_text(encoding="ascii"))
    options = OptionsRecord(**request)
    expected = expected_directory(None)
    environment = facts.collect(expected)
    runner.require_tracing(environment)
    vocabulary = facts.vocabulary(expected)
    planned = [
        runner.Planned(case, None, runner.missing(case, environment, vocabulary))
        for case in runner.select(all_cases(), options.patterns)
    ]
    with (folder / ANSWERS).open("ab", buffering=0) as file:
        journal = Journal(file)
        journal.write(
            said=HELLO, environment=asdict(environment), tool=asdict(runner.tool()),
            boot_id=runner.boot_id(),
        )  # fmt: skip

        def begins(case: Case) -> None:
            journal.write(said=BEGIN, id=case.id)

        with runner.Runner(options, fork) as made:
            for item, answer in made.run(planned, begins):
                journal.write(said=ANSWER, id=item.case.id, answer=answer)
        journal.write(said=DONE)


def keep_in_memory(programs: Path, memory: Path) -> None:
    """Put the probes' images into memory: a launch out of the guest's root costs four times that.

    :param programs: their directory, onto which the copy is mounted, in this guest alone
    :param memory: a new directory on a tmpfs
    :raises HarnessError: they cannot be
    """
    shutil.copytree(programs, memory)
    done = subprocess.run(
        ["mount", "--bind", memory, programs], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise HarnessError(
            f"the probes cannot be put into memory: {done.stderr.strip()}", str(programs),
            "see the guest's console",
        )  # fmt: skip


def mount_tracefs() -> None:
    """Mount what the ids of tracepoints are read from; without it, the fact says so."""
    command = ["mount", "-t", "tracefs", "tracefs", "/sys/kernel/tracing"]
    subprocess.run(command, capture_output=True, check=False)


def main() -> int:
    """Trace; returns an exit code, though nobody outside can rely on hearing of it."""
    try:
        keep_in_memory(PROGRAMS, Path("/run/origax"))
        mount_tracefs()
        with perf.held():  # before the facts, which try counters
            trace(Path(sys.argv[1]))
    except OrigaxError as error:
        print(f"origax: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
