# SPDX-License-Identifier: GPL-2.0-only
"""Compare origax with a bare C tracer that reads the same: ``python bench/run.py``.

Rounds of both alternate, in one process group; a ratio is the median of the rounds' own ratios.
Nothing here is a test: a busy machine shows other figures.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT))

from conformance.cases import Probe, all_cases  # noqa: E402
from conformance.facts import Device, block_device  # noqa: E402
from conformance.record import OptionsRecord  # noqa: E402
from conformance.runner import Planned, Runner, Slice  # noqa: E402
from conformance.tracing import frames  # noqa: E402
from conformance.tracing.frames import Cause, Frames, Kind  # noqa: E402
from conformance.tracing.snapshot import narrow  # noqa: E402
from conformance.tracing.tracee import Options, Task, Trace  # noqa: E402

STOPS = 4000
FRAMES = 1000
WARM = 100
BATCH = 50
"""Steps that are timed together: what other processes take meanwhile is in few batches."""
CALLS = 10000
"""System calls of the probe under strace: each is two stops."""
SOAK = 3
"""Seconds of a soak's slice: with all of it, its programs' launches and controls, too."""
STOP_BOUND = 1.3
FRAME_BOUND = 1.15
SOAK_BOUND = 1 / 0.9


@dataclass(frozen=True, slots=True)
class Row:
    """What was measured of one kind of stop, in microseconds; one number a round."""

    name: str
    bare: Sequence[float]
    ours: Sequence[float]
    bound: float

    @property
    def ratio(self) -> float:
        """Ours to the bare tracer's, round by round."""
        return statistics.median(b / a for a, b in zip(self.bare, self.ours, strict=True))


def compile_tracer(directory: Path) -> Path:
    """Compile the C tracer, with the snapshot that origax uses."""
    target = directory / "tracer"
    cc = os.environ.get("CC", "cc")
    sources = [HERE / "tracer.c", ROOT / "cprobes" / "snapshot.c"]
    include = f"-I{ROOT / 'cprobes'}"
    subprocess.run([cc, "-std=gnu11", "-O2", include, *sources, "-o", target], check=True)
    return target


def bare(command: Sequence[str | Path]) -> float:
    """Run the C tracer once; microseconds per stop, as it says."""
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout) / 1000


def timed(step: Callable[[], object], number: int) -> float:
    """Take steps, some first to warm up; microseconds per step, by the median batch."""
    for _ in range(WARM):
        step()
    spent = []
    for _ in range(number // BATCH):
        begun = time.perf_counter()
        for _ in range(BATCH):
            step()
        spent.append((time.perf_counter() - begun) * 1e6 / BATCH)
    return statistics.median(spent)


def our_stops(cpu: int) -> float:
    """Follow a getpid() loop by PTRACE_SYSCALL, as a case does."""
    probe = Probe(site="to_call_for_ever")
    with Trace(Options(timeout=60), (cpu,)) as trace, trace.launch(probe) as task:
        return timed(task.syscall, STOPS)


def our_frames(device: Device) -> float:
    """Catch frames of a disk's interrupt, as interrupts.device does."""
    fd = os.open(device.path, os.O_RDONLY | os.O_DIRECT | os.O_CLOEXEC)
    try:
        probe = Probe(site=frames.SITE)
        with Trace(Options(timeout=60), (device.cpu,)) as trace, trace.launch(probe) as task:
            return _frames(task, fd)
    finally:
        os.close(fd)


def _frames(task: Task, fd: int) -> float:
    cause = Cause(Kind.READ, fd=fd)
    with frames.urgent(cause), Frames(task, cause) as loop:
        return timed(loop.take, FRAMES)


def our_soak(path: str, runner: Runner) -> float:
    """Have a slice of a soak, as `origax soak` does."""
    case = next(case for case in all_cases() if case.id == f"interrupts.{path}")
    ((_, answer),) = runner.run([Planned(case, None, "")], slice_=Slice(SOAK, lambda news: None))
    return float(answer["duration"] * 1e6 / answer["measured"]["frames"])


def strace(tracer: Path, rounds: int) -> float | None:
    """Run the probe under strace -f, on one CPU; microseconds per stop, or nothing without it."""
    program = shutil.which("strace")
    if not program:
        return None
    command = [program, "-f", "-o", "/dev/null", str(tracer), "probe"]
    affinity = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(affinity)})
    try:
        costs = [
            _seconds([*command, str(CALLS)]) - _seconds([*command, "1"]) for _ in range(rounds)
        ]
    finally:
        os.sched_setaffinity(0, affinity)
    return statistics.median(costs) * 1e6 / (2 * CALLS)


def _seconds(command: Sequence[str]) -> float:
    begun = time.perf_counter()
    subprocess.run(command, check=True)
    return time.perf_counter() - begun


def measure(tracer: Path, rounds: int) -> list[Row]:
    """Alternate between the two tracers."""
    cpu = min(os.sched_getaffinity(0))
    device = block_device()
    more = ["narrow"] if narrow() else []
    pairs: dict[str, list[tuple[float, float]]] = {key: [] for key in _NAMES}
    for _ in range(rounds):
        pairs["stop"].append((bare([tracer, "stops", str(STOPS), str(cpu), *more]), our_stops(cpu)))
        if device:
            command = [tracer, "device", str(FRAMES), str(device.cpu), device.path, *more]
            pairs["frame"].append((bare(command), our_frames(device)))
    with Runner(OptionsRecord(1, 1, 60.0, 1, ())) as runner:
        for _ in range(rounds):
            command = [tracer, "soak", str(SOAK), str(cpu), *more]
            pairs["timer"].append((bare(command), our_soak("timer", runner)))
            if device:
                command = [tracer, "soak", str(SOAK), str(device.cpu), device.path, *more]
                pairs["device"].append((bare(command), our_soak("device", runner)))
    return [
        Row(_NAMES[key][0], *zip(*found, strict=True), _NAMES[key][1])
        for key, found in pairs.items()
        if found
    ]


_NAMES = {
    "stop": ("full stop", STOP_BOUND), "frame": ("device interrupt", FRAME_BOUND),
    "timer": ("soak, timer", SOAK_BOUND), "device": ("soak, device", SOAK_BOUND),
}  # fmt: skip


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9, help="of each tracer (default 9)")
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as directory:
        tracer = compile_tracer(Path(directory))
        rows = measure(tracer, rounds)
        beside = strace(tracer, rounds)
    print(f"microseconds per stop, median of {rounds} rounds")
    print(f"{'':18}{'C':>8}{'origax':>8}{'ratio':>8}{'at most':>9}")
    for row in rows:
        medians = statistics.median(row.bare), statistics.median(row.ours)
        print(f"{row.name:18}{medians[0]:8.1f}{medians[1]:8.1f}{row.ratio:8.2f}{row.bound:9.2f}")
    if len(rows) < len(_NAMES):
        print("device interrupt  no disk raises interrupts here: see `origax doctor`")
    print(f"strace -f         {beside:8.1f}" if beside else "strace -f         is not installed")


if __name__ == "__main__":
    main()
