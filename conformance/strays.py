# SPDX-License-Identifier: GPL-2.0-only
"""Strays: processes that a case left behind, found and ended."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Final

WALL: Final = 0x40000000
"""__WALL of waitpid(2): children of every kind, threads' and clones' included."""


def children() -> list[int]:
    """Pids of this process's children, dead ones that wait included."""
    pids: list[int] = []
    for thread in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):
            pids += map(int, (thread / "children").read_text().split())
    return pids


def sweep(spare: Sequence[int] = ()) -> int:
    """Kill and reap whatever a case left behind; returns how many processes that were.

    Being the subreaper, this process is the parent of every orphan among its descendants.
    """
    swept = 0
    while strays := [pid for pid in children() if pid not in spare]:
        for pid in strays:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        for pid in strays:
            with contextlib.suppress(OSError):
                os.waitpid(pid, WALL)
                swept += 1
    return swept
