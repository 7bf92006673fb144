# SPDX-License-Identifier: GPL-2.0-only
"""A tracee's memory, by each interface that the kernel has for it: one word at a time."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Mapping
from typing import Final

from conformance.tracing import requests

_libc: Final = ctypes.CDLL(None, use_errno=True)


class _Iovec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


def _read_file(pid: int, address: int) -> int:
    fd = os.open(f"/proc/{pid}/mem", os.O_RDONLY)
    try:
        return int.from_bytes(os.pread(fd, 8, address), "little")
    finally:
        os.close(fd)


def _write_file(pid: int, address: int, word: int) -> None:
    fd = os.open(f"/proc/{pid}/mem", os.O_WRONLY)
    try:
        os.pwrite(fd, word.to_bytes(8, "little"), address)
    finally:
        os.close(fd)


def _transfer(call: str, pid: int, address: int, word: int) -> int:
    ours = ctypes.c_uint64(word)
    local = _Iovec(ctypes.addressof(ours), 8)
    remote = _Iovec(address, 8)
    moved = getattr(_libc, call)(pid, ctypes.byref(local), 1, ctypes.byref(remote), 1, 0)
    if moved < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return ours.value


def _read_vm(pid: int, address: int) -> int:
    return _transfer("process_vm_readv", pid, address, 0)


def _write_vm(pid: int, address: int, word: int) -> None:
    _transfer("process_vm_writev", pid, address, word)


MEMORY: Final[
    Mapping[str, tuple[Callable[[int, int], int], Callable[[int, int, int], None]]]
] = {
    "ptrace": (requests.peektext, requests.poketext),
    "mem": (_read_file, _write_file),
    "process_vm": (_read_vm, _write_vm),
}
"""How to read, and to write, 8 bytes: PTRACE_PEEKTEXT and POKETEXT, /proc/PID/mem, and
process_vm_readv(2) and writev(2). The first raises PtraceError, the others OSError."""
