# SPDX-License-Identifier: GPL-2.0-only
"""Soaks of kernels in which one fault is awake that is too rare for a run."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from conformance.kernels.guest import Guest
from conformance.record import FAIL, PASS, OptionsRecord
from mutants import scoring
from mutants.faults import Fault

INSIDE: Final = Path(__file__).resolve().parent / "soaked.py"
OPTIONS: Final = OptionsRecord(frames=200, repeat=1, timeout=30.0, jobs=1, patterns=())
"""A run as a user starts it."""


@dataclass(frozen=True, slots=True)
class Found:
    """What came of one fault: the verdicts of a run and of a soak, and when this saw it."""

    run: str
    soak: str
    seconds: float
    reason: str

    @property
    def good(self) -> bool:
        """Whether the fault is as rare as it says, and was found."""
        return (self.run, self.soak) == (PASS, FAIL)


def found(run: Sequence[str], record: Mapping[str, Any]) -> Found:
    """Judge by the verdicts of a run, and by a soak's record as it is written."""
    failed = [case for case in record["cases"] if case["verdict"] == FAIL]
    observed = {each["observed"] for case in failed for each in case["differences"]}
    lines = [line for path in record["soak"]["paths"] for line in path["lines"]]
    first = [line["first"] for line in lines if line["line"] in observed]
    return Found(
        next((verdict for verdict in run if verdict != PASS), PASS), FAIL if failed else PASS,
        min(first, default=record["duration"]), "; ".join(case["reason"] for case in failed),
    )  # fmt: skip


def soak(kernel: str, image: Path, chosen: Sequence[Fault], minutes: float) -> list[str]:
    """Soak with each fault awake, printing what came of it; returns what is not as it should be."""
    faults = [{"number": each.number, "cases": each.cases} for each in chosen]
    request = {"options": asdict(OPTIONS), "minutes": minutes, "faults": faults}
    wrong = {each.number: f"{kernel}: {each.name}: the guest was lost" for each in chosen}
    names = {each.number: each.name for each in chosen}
    with tempfile.TemporaryDirectory(prefix="mutants-") as among:
        boot = scoring.boot_of(image, Path(among))
        with Guest(boot, request, Path(among), INSIDE) as guest:
            for entry in scoring.entries(guest):
                if entry["said"] != "soak":
                    continue
                number = entry["number"]
                made = found(entry["run"], entry["record"])
                told = (
                    f"{kernel}: {names[number]}: a run says {made.run}, a soak {made.soak} after "
                    f"{made.seconds:.1f} s: {made.reason}"
                )
                print(told, flush=True)
                if made.good:
                    del wrong[number]
                else:
                    wrong[number] = told
    return list(wrong.values())
