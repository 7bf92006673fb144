# SPDX-License-Identifier: GPL-2.0-only
"""The supervisor's side of SECCOMP_RET_USER_NOTIF: it learns of a call, and answers it."""

from __future__ import annotations

import ctypes
import fcntl
import os
import select
import struct
from dataclasses import dataclass
from typing import Final

from conformance.abi import error_name
from conformance.errors import HarnessError
from conformance.tracing.program import board

CONTINUE: Final = 1
"""SECCOMP_USER_NOTIF_FLAG_CONTINUE: the kernel is to carry the call out itself."""
RECV: Final = 0xC050_2100
SEND: Final = 0xC018_2101
"""SECCOMP_IOCTL_NOTIF_RECV and SECCOMP_IOCTL_NOTIF_SEND (include/uapi/linux/seccomp.h)."""
PIDFD_GETFD: Final = 438
"""arch/x86/entry/syscalls/, in every table."""
_NOTIF: Final = struct.Struct("=QIIiIQ6Q")
_RESPONSE: Final = struct.Struct("=QqiI")


@dataclass(frozen=True, slots=True)
class Notification:
    """struct seccomp_notif: who calls what; the number is signed, as in struct seccomp_data."""

    id: int
    pid: int
    nr: int
    arch: int
    ip: int
    args: tuple[int, ...]


class Listener:
    """The descriptor that the setup ``notify`` of a program has got, taken over from it."""

    def __init__(self, pid: int) -> None:
        """Take it by pidfd_getfd(2).

        :raises HarnessError: the kernel refused
        """
        theirs = os.pidfd_open(pid)
        try:
            libc = ctypes.CDLL(None, use_errno=True)
            self._fd = libc.syscall(PIDFD_GETFD, theirs, ctypes.c_int(board().result[0]), 0)
        finally:
            os.close(theirs)
        if self._fd < 0:
            raise HarnessError(
                f"pidfd_getfd: {os.strerror(ctypes.get_errno())}", f"the listener of pid {pid}",
                "see any seccomp filter or container around this process",
            )  # fmt: skip

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    def pending(self) -> bool:
        """Whether a call waits of which nobody has been told (seccomp_notify_poll)."""
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        return any(events & select.POLLIN for _, events in poll.poll(0))

    def receive(self) -> Notification | None:
        """Learn of the oldest such call; None if there is none."""
        if not self.pending():
            return None
        told = fcntl.ioctl(self._fd, RECV, bytes(_NOTIF.size))
        id_, pid, _, nr, arch, ip, *args = _NOTIF.unpack(told)
        return Notification(id_, pid, nr, arch, ip, tuple(args))

    def answer(self, id_: int, val: int = 0, error: int = 0, flags: int = 0) -> str:
        """Answer a call; the name of the error with which the kernel refuses that, or ``none``."""
        try:
            fcntl.ioctl(self._fd, SEND, _RESPONSE.pack(id_, val, error, flags))
        except OSError as refused:
            return error_name(refused.errno or 0) or str(refused.errno)
        return "none"
