# SPDX-License-Identifier: GPL-2.0-only
"""What a fleet costs beyond its runs: ``python bench/fleet.py [PATTERN...]``.

Compares a fleet of boxes that are all this machine with as many `origax run` that a bare loop
starts, at the same time, on the same cases. Both do the same work on the same CPUs; what the fleet
takes longer, and has more in memory, is its own. Nothing here is a test: a busy machine shows
other figures, so processor time is told beside the wall's, and rounds alternate.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

TIME_BOUND = 1.2
MEMORY_BOUND = 20.0
SAMPLE = 2.0
"""Seconds between two looks at memory."""


@dataclass(frozen=True, slots=True)
class Measure:
    """One way, once: seconds by the wall and by the CPUs, of the slowest run itself, and MB."""

    wall: float
    cpu: float
    slowest: float
    memory: float
    """The most that all processes had at once; what they share is counted once."""
    own: float
    """Of it, what is no run's: the controller, and what watches the run on each box."""


def memory(word: str) -> tuple[float, float]:
    """Sum the proportional set sizes of processes that have a word in their environment, in MB."""
    total = own = 0
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if word.encode() in (path / "environ").read_bytes():
                size = int((path / "smaps_rollup").read_text().split("Pss:")[1].split()[0])
                command = (path / "cmdline").read_bytes()
                total += size
                own += size * (b"stdin.readline" in command or b"\0fleet\0run\0" in command)
        except (OSError, IndexError):
            continue
    return total / 1000, own / 1000


Start = Callable[[dict[str, str]], list[subprocess.Popen[bytes]]]


def measure(start: Start, records: Path) -> Measure:
    word = os.urandom(8).hex()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun, most, own = time.monotonic(), 0.0, 0.0
    running = start({**os.environ, "FLEET_BENCH": word})
    while any(each.poll() is None for each in running):
        total, part = memory(word)
        most, own = max(most, total), max(own, part)
        until = time.monotonic() + SAMPLE
        while time.monotonic() < until and any(each.poll() is None for each in running):
            time.sleep(0.02)
    wall = time.monotonic() - begun
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Measure(wall, cpu, slowest(records), most, own)


def slowest(records: Path) -> float:
    """Give the longest time that a run itself took, and remove the records."""
    longest = 0.0
    for path in records.glob("*.json"):
        made = json.loads(path.read_bytes())
        wrong = [c["id"] for c in made["cases"] if c["verdict"] not in ("PASS", "KNOWN", "SKIP")]
        if wrong:
            print(f"{path.name}, not as expected: {' '.join(wrong)}", file=sys.stderr)
        longest = max(longest, made["duration"])
        path.unlink()
    return longest


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("patterns", metavar="PATTERN", nargs="*", default=["restarts"])
    parser.add_argument("--boxes", metavar="N", type=int, default=50)
    parser.add_argument("--rounds", metavar="N", type=int, default=3)
    args = parser.parse_args()
    origax = [sys.executable, "-P", "-m", "conformance"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    limits = ["--timeout", "120"]
    with tempfile.TemporaryDirectory(prefix="origax-bench-") as name:
        place = Path(name)
        boxes = place / "boxes.toml"
        boxes.write_text("".join(
            f'[[box]]\nname = "box{n}"\nlocal = true\npython = "{sys.executable}"\n'
            for n in range(args.boxes)
        ))  # fmt: skip

        def loop(environ: dict[str, str]) -> list[subprocess.Popen[bytes]]:
            return [
                subprocess.Popen(
                    [*origax, "run", *limits, "--record", place / f"{n}.json", *args.patterns],
                    env=environ, **quiet,
                )
                for n in range(args.boxes)
            ]  # fmt: skip

        def fleet(environ: dict[str, str]) -> list[subprocess.Popen[bytes]]:
            command = [*origax, "fleet", "run", "--boxes", boxes, "--records", place, *limits,
                       "--patience", "3600", *args.patterns]  # fmt: skip
            return [subprocess.Popen(command, env=environ, **quiet)]

        fleet_of_one = [*origax, "fleet", "run", "--boxes", boxes, "--records", place,
                        "--box", "box0", "syscalls.pair"]  # fmt: skip
        subprocess.run(fleet_of_one, check=True, **quiet)  # has the wheels made
        times, cpus, sizes = [], [], []
        for _ in range(args.rounds):
            bare, ours = measure(loop, place), measure(fleet, place)
            times.append(ours.wall / bare.wall)
            cpus.append(ours.cpu / bare.cpu)
            sizes.append(ours.own / args.boxes)
            for way, each in (("loop", bare), ("fleet", ours)):
                print(f"{way:5} {each.wall:6.1f} s (slowest run {each.slowest:.1f} s), CPU "
                      f"{each.cpu:.1f} s, {each.memory:.0f} MB, {each.own:.0f} MB of it no run's",
                      flush=True)  # fmt: skip
    time_, cpu, size = map(statistics.median, (times, cpus, sizes))
    print(f"{args.boxes} boxes: time x {time_:.2f} (at most {TIME_BOUND}), CPU x {cpu:.2f}, "
          f"{size:.1f} MB a box (at most {MEMORY_BOUND:.0f})")  # fmt: skip
    return int(time_ > TIME_BOUND or size > MEMORY_BOUND)


if __name__ == "__main__":
    sys.exit(main())
