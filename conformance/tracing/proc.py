# SPDX-License-Identifier: GPL-2.0-only
"""What /proc tells of a task's registers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Blocked:
    """One reading of /proc/PID/syscall (lib/syscall.c, fs/proc/base.c proc_pid_syscall).

    :ivar nr: as the kernel prints it, a signed 32-bit number; negative: in no system call
    :ivar arguments: six, or none at all where nr is negative
    """

    nr: int
    arguments: tuple[int, ...]
    sp: int
    ip: int


def blocked_in(pid: int) -> Blocked | None:
    """Read /proc/PID/syscall; None: the task is ``running``."""
    nr, *words = Path(f"/proc/{pid}/syscall").read_text(encoding="ascii").split()
    if nr == "running":
        return None
    *arguments, sp, ip = (int(word, 16) for word in words)
    return Blocked(int(nr), tuple(arguments), sp, ip)
