# SPDX-License-Identifier: GPL-2.0-only
"""The runner: plans cases, has workers trace them, judges what they saw."""

from __future__ import annotations

import contextlib
import difflib
import fnmatch
import json
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Final, Protocol

from conformance import expectation, facts, version
from conformance import record as record_module
from conformance.cases import Case
from conformance.errors import HarnessError, UsageError
from conformance.expectation import Expectation, KnownIssue
from conformance.facts import VOCABULARY, Environment, Fact
from conformance.record import (
    CaseRecord,
    DifferenceRecord,
    EnvironmentRecord,
    OptionsRecord,
    Record,
    ToolRecord,
    TranscriptRecord,
)
from conformance.strays import sweep
from conformance.transcript import parse

Answer = Mapping[str, Any]
"""What a worker says of a case, as ``conformance.worker`` writes it."""

GRACE: Final = 5.0
"""Seconds that a worker has beyond its case's own deadlines before it is killed."""
STARTING: Final = 30.0
"""Seconds more for its first case: an emulated machine takes that long to start Python."""


@dataclass(frozen=True, slots=True)
class Slice:
    """A part of a soak: a case takes frames for so many seconds, and its news are heard."""

    seconds: float
    hears: Callable[[Answer], None]


@dataclass(frozen=True, slots=True)
class Planned:
    """A case, what is expected of it here, and why it cannot run (empty: it can)."""

    case: Case
    expectation: Expectation | None
    missing: str


def select(cases: Sequence[Case], patterns: Sequence[str]) -> tuple[Case, ...]:
    """Choose cases by id, family, or shell pattern; all of them without one.

    :raises UsageError: a pattern fits no case
    """
    for pattern in patterns:
        if not any(_fits(case, pattern) for case in cases):
            names = [case.id for case in cases] + [case.family for case in cases]
            near = difflib.get_close_matches(pattern, names, 3)
            hint = f"; near it: {', '.join(dict.fromkeys(near))}" if near else ""
            raise UsageError(
                "no case has that name", pattern, f"see `origax list` for the names{hint}"
            )
    return tuple(
        case for case in cases if not patterns or any(_fits(case, p) for p in patterns)
    )


def _fits(case: Case, pattern: str) -> bool:
    return case.family == pattern or fnmatch.fnmatchcase(case.id, pattern)


def plan(
    cases: Sequence[Case], environment: Environment, vocabulary: Mapping[str, Fact],
    expected: Path,
) -> tuple[Planned, ...]:  # fmt: skip
    """Read what is expected of each case, and see what it needs and the machine lacks.

    :raises UsageError: an expectation file is wrong
    """
    return tuple(
        Planned(
            case, expectation.find(expected, case.id, vocabulary),
            missing(case, environment, vocabulary),
        )
        for case in cases
    )  # fmt: skip


def prepare(
    cases: Sequence[Case], expected: Path
) -> tuple[tuple[Planned, ...], Environment, tuple[KnownIssue, ...]]:
    """Find this machine's facts, and plan cases for it; gives its known issues with the plan.

    :raises UsageError: an expectation file is wrong
    :raises HarnessError: nothing can be traced here
    """
    vocabulary = facts.vocabulary(expected)
    known = expectation.load_known(expected, vocabulary)
    environment = facts.collect(expected)
    require_tracing(environment)
    return plan(cases, environment, vocabulary, expected), environment, known


def require_tracing(environment: Environment) -> None:
    """Refuse to begin where nothing can be traced.

    :raises HarnessError: PTRACE_SEIZE of an own child is refused
    """
    if not environment.facts["tracing_allowed"]:
        raise HarnessError(
            "no permission to trace: PTRACE_SEIZE of an own child is refused", environment.name,
            VOCABULARY["tracing_allowed"].lack,
        )  # fmt: skip


def missing(case: Case, environment: Environment, vocabulary: Mapping[str, Fact]) -> str:
    """Say which need of a case is not met here, and what would meet it."""
    lacking = [need for need in case.needs if not environment.facts[need]]
    return "; ".join(f"needs {need}: {vocabulary[need].lack}" for need in lacking)


def judge(
    planned: Planned, answer: Answer, environment: Environment, known: Sequence[KnownIssue],
) -> CaseRecord:  # fmt: skip
    """Turn what a worker answered into a case's record."""
    transcripts = tuple(
        TranscriptRecord(t["count"], tuple(t["lines"]), tuple(t["stops"]))
        for t in answer["transcripts"]
    )
    case, wanted = planned.case, planned.expectation
    record = CaseRecord(
        id=case.id, abi=case.abi, door=case.door, verdict=answer["verdict"] or record_module.ERROR,
        reason=answer["reason"], variant=None, weak=0, repeats=answer["repeats"],
        transcripts=transcripts, differences=(), broken=(),
        breaks=wanted.breaks if wanted else (), source=wanted.source if wanted else (),
        probes=answer["probes"], measured=answer["measured"], duration=answer["duration"],
    )  # fmt: skip
    if len(transcripts) > 1 and not answer["verdict"]:
        counts = " and ".join(str(t.count) for t in transcripts)
        reason = f"{answer['repeats']} repeats gave {len(transcripts)} transcripts ({counts} times)"
        return replace(record, verdict=record_module.UNSTABLE, reason=reason)
    try:
        seen = [parse("\n".join(each.lines)) for each in transcripts]
    except ValueError as error:  # a case's own word would not be read by anybody
        reason = f"the transcript is garbled: {error}"
        return replace(record, verdict=record_module.ERROR, reason=reason)
    known_issue = expectation.known_here(known, case.id, environment.facts)
    if not answer["verdict"]:
        judged = expectation.judge(wanted, environment.facts, seen[0], known_issue)
    elif wanted and seen and (
        # What was seen already differs: that is why the case did not come to its end, perhaps.
        cut := expectation.judge_beginning(wanted, environment.facts, seen[-1], known_issue)
    ):
        judged = replace(cut, reason=f"{cut.reason}; then {answer['reason']}")
    else:
        return record
    return replace(
        record, verdict=judged.verdict, reason=judged.reason, variant=judged.variant,
        weak=judged.weak, broken=judged.broken,
        differences=tuple(
            DifferenceRecord(d.line, d.expected, d.observed, d.fields, d.change)
            for d in judged.differences
        ),
    )  # fmt: skip


def untraced(verdict: str, reason: str, duration: float = 0.0) -> Answer:
    """Give an answer in the place of a worker's, for a case that was not traced."""
    return {"verdict": verdict, "reason": reason, "repeats": 0, "transcripts": [],
            "measured": {}, "probes": {}, "duration": duration}  # fmt: skip


def missed(case: Case, reason: str) -> CaseRecord:
    """Give the record of a case that got no answer, from a machine that nothing is known of."""
    nowhere = Environment("", {}, {})
    return judge(Planned(case, None, ""), untraced(record_module.MISS, reason), nowhere, ())


class Process(Protocol):
    """What the runner needs of a worker's process: the part of `subprocess.Popen`."""

    pid: int
    stdin: IO[bytes] | None
    stdout: IO[bytes] | None

    def kill(self) -> None:
        """Send it SIGKILL."""

    def wait(self) -> int:
        """Reap it; returns its exit code, or minus the signal that ended it."""


WORKER: Final = ("-P", "-m", "conformance.worker")


def spawn(cpus: Sequence[int], program: Sequence[str] = WORKER) -> Process:
    """Start a worker in a Python of its own.

    :raises HarnessError: it could not be started
    """
    command = [sys.executable, *program, str(os.getpid()), *map(str, cpus)]
    try:
        return subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )  # fmt: skip
    except OSError as error:
        raise HarnessError(
            f"a worker could not be started: {error.strerror}", " ".join(command),
            "raise RLIMIT_NPROC or free memory",
        ) from None  # fmt: skip


class _Worker:
    """One worker process and the case that it has."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.planned: Planned | None = None
        self.slice: Slice | None = None
        self.fresh = True
        self.begun = 0.0
        self.buffer = b""

    def give(
        self, planned: Planned, options: OptionsRecord, slice_: Slice | None = None
    ) -> None:
        self.planned = planned
        self.slice = slice_
        self.begun = time.monotonic()
        self.deadline = self.begun + options.timeout * options.repeat + GRACE
        if self.fresh:
            self.deadline += STARTING
            self.fresh = False
        request = {"id": planned.case.id, "repeat": options.repeat, "frames": options.frames,
                   "timeout": options.timeout}  # fmt: skip
        if slice_:
            request["seconds"] = slice_.seconds
            self.deadline += slice_.seconds
        stream = self._stream(self.process.stdin)
        with contextlib.suppress(BrokenPipeError):  # it died: its end of output says so
            stream.write(json.dumps(request).encode() + b"\n")
            stream.flush()

    def answer(self) -> Answer | None:
        """Read what has come; the answer, once it is whole."""
        chunk = os.read(self.fileno(), 1 << 20)
        if not chunk:
            code = self.process.wait()
            return untraced("ERROR", f"the worker died ({_how(code)})", self.spent())
        *lines, self.buffer = (self.buffer + chunk).split(b"\n")
        answer: Answer | None = None
        for line in lines:
            said: Answer = json.loads(line)
            if "news" not in said:
                answer = said
            elif self.slice:
                self.slice.hears(said["news"])
        return answer

    def spent(self) -> float:
        return round(time.monotonic() - self.begun, 6)

    def fileno(self) -> int:
        return self._stream(self.process.stdout).fileno()

    def dismiss(self) -> None:
        """Give it no more to do: it ends once it has answered."""
        with contextlib.suppress(OSError):
            self._stream(self.process.stdin).close()

    def close(self) -> None:
        """Kill it: its tracees go with it."""
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(OSError):
                self._stream(stream).close()

    @staticmethod
    def _stream(stream: IO[bytes] | None) -> IO[bytes]:
        if stream is None:
            raise HarnessError("a worker has no pipe", "subprocess", "report this")
        return stream


def _how(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"


class Runner:
    """Traces planned cases in worker processes; a context manager, so that none is left."""

    def __init__(
        self, options: OptionsRecord, start: Callable[[Sequence[int]], Process] = spawn
    ) -> None:
        """Prepare to trace; workers start when they are needed.

        :param start: starts a worker that has those CPUs, the first of which is its own
        """
        self.options = options
        self._start = start
        self._workers: list[_Worker] = []
        self._cpus = sorted(os.sched_getaffinity(0))
        self._started = 0

    def __enter__(self) -> Runner:
        from conformance._native import lib

        lib.origax_subreaper()
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.close()
        self._workers.clear()
        sweep()

    def hurry(self) -> None:
        """Have the slices under way be over soon: their answers are whole. No case is run after."""
        for worker in self._workers:
            worker.dismiss()

    def run(
        self, planned: Sequence[Planned], begins: Callable[[Case], None] = lambda case: None,
        slice_: Slice | None = None,
    ) -> Iterator[tuple[Planned, Answer]]:  # fmt: skip
        """Trace cases, giving what was seen of each as it is done.

        :param slice_: how each takes frames for a soak
        """
        waiting = []
        for item in planned:
            if item.missing:
                yield item, untraced(record_module.SKIP, item.missing)
            else:
                waiting.append(item)
        with selectors.DefaultSelector() as selector:
            while waiting or selector.get_map():
                self._hand_out(waiting, selector, begins, slice_)
                for worker, answer in self._collect(selector):
                    done, worker.planned = worker.planned, None
                    if done is not None:
                        yield done, answer

    def _hand_out(
        self, waiting: list[Planned], selector: selectors.BaseSelector,
        begins: Callable[[Case], None], slice_: Slice | None,
    ) -> None:  # fmt: skip
        while waiting and len(selector.get_map()) < self.options.jobs:
            busy = {w.planned.case.group for w in self._workers if w.planned} - {None}
            item = next((w for w in waiting if w.case.group not in busy), None)
            if item is None:
                return
            waiting.remove(item)
            worker = self._idle_worker()
            begins(item.case)
            worker.give(item, self.options, slice_)
            selector.register(worker, selectors.EVENT_READ)

    def _idle_worker(self) -> _Worker:
        for worker in self._workers:
            if worker.planned is None:
                return worker
        worker = self._begin()
        self._started += 1
        self._workers.append(worker)
        return worker

    def _begin(self) -> _Worker:
        """Start a worker whose pid is not taken for another number in a transcript."""
        from conformance.tracing import program

        turn = self._started % len(self._cpus)
        while True:
            process = self._start(self._cpus[turn:] + self._cpus[:turn])
            worker = _Worker(process)
            if not program.looks_like_a_number(process.pid):
                return worker
            worker.close()
            program.use_up_small_pids()

    def _collect(
        self, selector: selectors.BaseSelector
    ) -> Iterator[tuple[_Worker, Answer]]:
        """Wait for an answer or a deadline, whichever is first."""
        busy = [w for w in self._workers if w.planned]
        if not busy:
            return
        patience = max(0.0, min(w.deadline for w in busy) - time.monotonic())
        ready = [key.fileobj for key, _ in selector.select(patience)]
        for worker in busy:
            answer = None
            if worker in ready:
                answer = worker.answer()
                if answer and not answer["repeats"]:
                    self._drop(worker)
            elif time.monotonic() >= worker.deadline:
                answer = untraced("MISS", "the worker itself gave no answer", worker.spent())
                self._drop(worker)
            if answer:
                selector.unregister(worker)
                yield worker, answer

    def _drop(self, worker: _Worker) -> None:
        worker.close()
        self._workers.remove(worker)
        sweep([w.process.pid for w in self._workers])


def conduct(
    planned: Sequence[Planned], environment: Environment, known: Sequence[KnownIssue],
    options: OptionsRecord, begins: Callable[[str], None], ends: Callable[[CaseRecord], None],
) -> Record:  # fmt: skip
    """Run planned cases to a record; ^C and SIGTERM end it early, and it says so."""
    started = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    clock = time.monotonic()
    done: list[CaseRecord] = []
    interrupted = False
    with Runner(options) as runner:
        try:
            for item, answer in runner.run(planned, lambda case: begins(case.id)):
                case = judge(item, answer, environment, known)
                done.append(case)
                ends(case)
        except KeyboardInterrupt:
            interrupted = True
    return Record(
        tool=tool(),
        environment=EnvironmentRecord(environment.name, environment.facts, environment.build),
        boot_id=boot_id(), started=started, duration=round(time.monotonic() - clock, 3),
        options=options, interrupted=interrupted,
        cases=tuple(sorted(done, key=lambda case: case.id)),
    )  # fmt: skip


def tool() -> ToolRecord:
    """Say which origax this is."""
    from conformance.tracing import image

    return ToolRecord("origax", version.public(), image.tool_digest())


def boot_id() -> str:
    """Name this boot of this kernel."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
