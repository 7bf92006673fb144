# SPDX-License-Identifier: GPL-2.0-only
"""The score as a table: in the terminal, and kept in score.toml."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from conformance import tables
from conformance.files import replace_all
from mutants.faults import Fault
from mutants.scoring import Outcome, Score

PATH: Final = Path(__file__).resolve().parent / "score.toml"
NAMED: Final = 4
"""Cases that are named of those that caught a fault; the rest are counted."""
CAUGHT: Final = "caught"
ELSEWHERE: Final = "caught by others"
MISSED: Final = "missed"
EQUIVALENT: Final = "equivalent"
LOST: Final = "guest lost"
_HEAD: Final = """\
# SPDX-License-Identifier: GPL-2.0-only
#
# What caught each planted fault, on each kernel: written by `tox -e mutants -- --update`.
#
# caught   cases that failed, those that the fault names first; at most {named}
# failed   how many failed in all
# ran      how many reach the fault, and were traced with it awake
"""


@dataclass(frozen=True, slots=True)
class Row:
    """What came of one fault on one kernel."""

    kernel: str
    fault: str
    verdict: str
    caught: tuple[str, ...]
    failed: int
    ran: int
    collateral: tuple[str, ...]
    says: str
    why: str = ""

    @property
    def good(self) -> bool:
        """Whether it is caught, or nobody could."""
        return self.verdict in (CAUGHT, ELSEWHERE, EQUIVALENT)


def rows(kernel: str, planted: Sequence[Fault], score: Score) -> list[Row]:
    """Judge each fault by what came of it."""
    return [_row(kernel, each, score.outcomes.get(each.number), score) for each in planted]


def _row(kernel: str, fault: Fault, outcome: Outcome | None, score: Score) -> Row:
    if outcome is None:
        return Row(kernel, fault.name, LOST, (), 0, 0, (), "", score.lost or "no guest came to it")
    failed = sorted(outcome.failed.keys() - score.unsound.keys())
    named = [name for name in failed if any(fnmatch.fnmatchcase(name, p) for p in fault.cases)]
    caught = (*named, *(name for name in failed if name not in named))
    verdict = CAUGHT if named else ELSEWHERE if caught else MISSED
    if not caught and fault.equivalent:
        verdict = EQUIVALENT
    elif not caught and outcome.lost:
        verdict = LOST
    silent = [f"{name}: {reason}" for name, reason in sorted(outcome.silent.items())]
    why = outcome.lost or "; ".join(silent[:2])
    if outcome.untried:
        why = "; ".join(filter(None, [why, f"{outcome.untried} not tried, for want of time"]))
    return Row(
        kernel, fault.name, verdict, caught[:NAMED], len(caught), outcome.cases,
        tuple(score.collateral(outcome)), outcome.failed[caught[0]] if caught else "", why,
    )  # fmt: skip


def unharmed(score: Score) -> list[str]:
    """Name what did not conform with no fault awake."""
    return [f"{case.id}: {case.verdict}: {case.reason}" for case in score.unsound.values()]


def text(made: Iterable[Row], loud: bool) -> str:
    """Write a line for each fault, and below it what its first case said, or what went wrong."""
    lines = []
    for row in made:
        names = ", ".join(row.caught)
        more = f" and {row.failed - len(row.caught)} more" if row.failed > len(row.caught) else ""
        lines.append(f"{row.kernel:9} {row.fault:34} {row.verdict:16} "
                     f"{row.failed:3}/{row.ran:<3} {names}{more}")  # fmt: skip
        if row.says and loud:
            lines.append(f"{'':10}{row.says[:150]}")
        if row.collateral:
            lines.append(f"{'':10}collateral: {', '.join(row.collateral)}")
        if row.why and (loud or not row.good):
            lines.append(f"{'':10}{row.why[:300]}")
    return "\n".join(lines) + "\n"


def summary(made: Sequence[Row]) -> str:
    """Count, kernel by kernel."""
    lines = []
    for kernel in dict.fromkeys(row.kernel for row in made):
        of = [row for row in made if row.kernel == kernel]
        counts = {verdict: sum(row.verdict == verdict for row in of)
                  for verdict in (CAUGHT, ELSEWHERE, MISSED, LOST, EQUIVALENT)}  # fmt: skip
        told = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
        lines.append(f"{kernel}: {len(of)} faults: {told}")
    return "\n".join(lines)


def write(made: Iterable[Row], releases: dict[str, str], path: Path = PATH) -> None:
    """Keep the score; rows of kernels that were not scored stay."""
    known, before = read(path) if path.exists() else ({}, [])
    kept = [*(row for row in before if row.kernel not in releases), *made]
    parts = [_HEAD.format(named=NAMED)]
    for name, release in sorted((known | releases).items()):
        parts.append(f'[[kernel]]\nname = "{name}"\nrelease = "{release}"\n')
    for row in kept:
        names = ", ".join(f'"{name}"' for name in row.caught)
        parts.append(
            f'[[score]]\nkernel = "{row.kernel}"\nfault = "{row.fault}"\n'
            f'verdict = "{row.verdict}"\ncaught = [{names}]\nfailed = {row.failed}\n'
            f"ran = {row.ran}\n"
        )
    replace_all({path: "\n".join(parts)}, "the score", "make room there")


def read(path: Path = PATH) -> tuple[dict[str, str], list[Row]]:
    """Read the score: releases by kernel, and rows."""
    file = tables.parse(tables.read_text(path), path)
    releases = {each.text("name"): each.text("release") for each in file.tables("kernel")}
    found = []
    for each in file.tables("score"):
        counts = {key: value for key in ("failed", "ran")
                  if isinstance(value := each.data.get(key), int)}  # fmt: skip
        found.append(
            Row(each.text("kernel"), each.text("fault"), each.text("verdict"),
                each.texts("caught"), counts["failed"], counts["ran"], (), "")
        )  # fmt: skip
    return releases, found


def worse(made: Sequence[Row], kept: Sequence[Row]) -> list[str]:
    """Say what was caught by the cases that are to catch it, and is no longer so."""
    before = {(row.kernel, row.fault): row.verdict for row in kept}
    order = [CAUGHT, EQUIVALENT, ELSEWHERE, MISSED, LOST]
    return [
        f"{row.kernel}: {row.fault} was {was}, and is {row.verdict}" for row in made
        if (was := before.get((row.kernel, row.fault)))
        and order.index(row.verdict) > order.index(was)
    ]  # fmt: skip
