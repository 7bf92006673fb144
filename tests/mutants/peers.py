# SPDX-License-Identifier: GPL-2.0-only
"""What the kernel's own tests say of the same faults, in the same kernel."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from mutants.faults import Fault
from mutants.scoring import Peer, Score
from mutants.table import Row


def sound(score: Score) -> dict[str, Peer]:
    """Give the programs that did the same, and failed at nothing new, twice with no fault awake."""
    twice = score.peers.get(0, {})
    return {
        name: ran[0] for name, ran in twice.items()
        if len(ran) > 1 and len({(each.code, failures(each)) for each in ran}) == 1
        and ran[0].code >= 0
    }  # fmt: skip


def failures(peer: Peer) -> tuple[str, ...]:
    """Give the lines in which a test of the kernel's says that something failed."""
    return tuple(
        re.sub("0x[0-9a-f]+|[0-9]+", "N", line).strip() for line in peer.output.splitlines()
        if line.startswith(("[FAIL]", "not ok", "# not ok"))
    )  # fmt: skip


def caught(score: Score, fault: Fault) -> list[str]:
    """Name the programs that end otherwise, or fail at more, with a fault awake."""
    found = []
    for name, before in sound(score).items():
        for now in score.peers.get(fault.number, {}).get(name, ()):
            if now.code != before.code or set(failures(now)) - set(failures(before)):
                found.append(Path(name).name)
    return found


def text(
    score: Score, planted: Sequence[Fault], rows: Sequence[Row] = (), column: str = "selftests"
) -> str:
    """Tell which programs can be relied on, which fault each saw, and how many, room by room.

    :param rows: what the suite made of the same faults, in the same boots, if it was run
    :param column: what the programs are
    """
    lines = [f"  {Path(name).name:28} exit {ran[0].code:3}, {ran[0].seconds} s" +
             ("" if name in sound(score) else "  not the same twice, or hangs: left out")
             for name, ran in score.peers.get(0, {}).items()]  # fmt: skip
    seen = {each.name: caught(score, each) for each in planted}
    lines += [f"  {each.name:34} {', '.join(seen[each.name]) or _why(score, each)}"
              for each in planted]  # fmt: skip
    good = {row.fault for row in rows if row.good}
    counted: dict[str, Callable[[str], bool]] = {
        "faults": lambda name: True, **({"origax": good.__contains__} if rows else {}),
        column: lambda name: bool(seen[name]),
    }
    lines.append("  " + " " * 12 + "".join(f"{head:>11}" for head in counted))
    for room in [*sorted({each.room for each in planted}), ""]:
        names = [each.name for each in planted if room in (each.room, "")]
        counts = [sum(map(test, names)) for test in counted.values()]
        lines.append(f"  {room or 'all':12}" + "".join(f"{count:11}" for count in counts))
    return "\n".join(lines) + "\n"


def _why(score: Score, fault: Fault) -> str:
    """Say why no program saw a fault."""
    if fault.number in score.peers:
        return "-"
    outcome = score.outcomes.get(fault.number)
    return "- (guest lost)" if outcome is None or outcome.lost else "- (not reached)"
