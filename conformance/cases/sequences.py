# SPDX-License-Identifier: GPL-2.0-only
"""Sequences that `origax explore` made up, and that are worth keeping."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import Final

from conformance import explore
from conformance.cases import case
from conformance.cases.restarts import SECOND, send, untraced
from conformance.explore import Sequence, Turn
from conformance.tracing.tracee import Trace


@dataclass(frozen=True, slots=True)
class Kept:
    """A sequence with what it shows."""

    covers: tuple[int, ...]
    doc: str
    sequence: Sequence


KEPT: Final = {
    "deadly_detach": Kept(
        (136,),
        "Detach with a deadly signal at the enter stop of exit_group(): which of them ends it?",
        Sequence("syscall64", "getpid", 39, "SIG_DFL", "SYSCALL", (
            Turn(), Turn(), Turn("DETACH", send=signal.SIGUSR1, passed=False),
        )),
    ),
    "negative_twice": Kept(
        (38, 40),
        "At the exit stop of an interrupted pause() write -2 into orig_ax; let its handler run.",
        Sequence("syscall64", "pause", 34, "SIG_DFL", "SYSCALL", (
            Turn(), Turn(), Turn(orig_ax=-2),
        )),
    ),
}  # fmt: skip


def keep(name: str, kept: Kept) -> None:
    """Register a sequence as a case of that name."""

    def drive(trace: Trace) -> None:
        with explore.programmed(kept.sequence) as (probe, writer):
            with trace.launch(probe) as task:
                kernel = explore.Kernel(trace, task, probe, writer, keep=True)
                list(explore.play(kept.sequence, kernel))
            untraced(trace, probe, send(SECOND))

    drive.__doc__ = kept.doc
    case(f"sequences.{name}", door=kept.sequence.door, covers=kept.covers)(drive)


for _name, _kept in KEPT.items():
    keep(_name, _kept)
