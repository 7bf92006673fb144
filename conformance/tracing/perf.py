# SPDX-License-Identifier: GPL-2.0-only
"""What perf samples of a task: its registers (PERF_SAMPLE_REGS_USER) while it runs user code, and
with its system calls, at the tracepoints raw_syscalls:sys_enter and raw_syscalls:sys_exit.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from conformance._native import lib
from conformance.errors import HarnessError
from conformance.facts import tracepoint

REGISTERS: Final = {"cs": 10, "ss": 11}
"""Bits of sample_regs_user (arch/x86/include/uapi/asm/perf_regs.h)."""
ABIS: Final = {0: "none", 1: "32", 2: "64"}
PERIOD: Final = 100_000
"""Nanoseconds of the task's CPU time between two samples."""
NEVER: Final = 1 << 60
"""Nanoseconds: 36 years."""
SAMPLE: Final = 9
"""PERF_RECORD_SAMPLE."""
_HEAD_AT, _DATA_AT = 1024, 1040
"""Of struct perf_event_mmap_page: data_head, and data_offset."""


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Keep a counter of this process open that never fires, if the kernel grants one.

    The kernel patches its scheduler when the first counter of a task comes, and some time after the
    last one has gone (kernel/events/core.c account_event, perf_sched_events). While one is held, it
    does not: QEMU's TCG, with two processors, at times runs into the int3 of a patch under way
    after it was taken back, and the kernel dies of it.
    """
    fd = lib.origax_sampler(os.getpid(), NEVER, 1 << REGISTERS["cs"])
    try:
        yield
    finally:
        if fd >= 0:
            os.close(fd)


@contextlib.contextmanager
def _mapped(pid: int) -> Iterator[mmap.mmap]:
    """Have the kernel sample the registers of a task while it is in user code."""
    fd = lib.origax_sampler(pid, PERIOD, sum(1 << bit for bit in REGISTERS.values()))
    if fd < 0:
        raise HarnessError(
            f"no performance counter: {os.strerror(-fd)}", f"the software CPU clock of pid {pid}",
            "see kernel.perf_event_paranoid, and RLIMIT_MEMLOCK",
        )  # fmt: skip
    try:
        with mmap.mmap(fd, 2 * mmap.PAGESIZE) as ring:
            yield ring
    finally:
        os.close(fd)


def sample(pid: int, wait_for: Callable[[Callable[[], bool]], None]) -> Mapping[str, str]:
    """Take one sample of a running task: the ABI of its code, and cs and ss in 64 bits."""
    with _mapped(pid) as ring:

        def head() -> int:
            return int(struct.unpack_from("=Q", ring, _HEAD_AT)[0])

        wait_for(lambda: head() > 0)
        (start,) = struct.unpack_from("=Q", ring, _DATA_AT)
        kind, _, _ = struct.unpack_from("=IHH", ring, start)
        if kind != SAMPLE:
            return {"record": str(kind)}
        abi, *words = struct.unpack_from(f"={1 + len(REGISTERS)}Q", ring, start + 8)
        names = dict(zip(REGISTERS, words, strict=True))
        return {"abi": ABIS.get(abi, str(abi))} | {name: hex(word) for name, word in names.items()}


CALLS: Final = ("sys_enter", "sys_exit")
SHOWN: Final = {"ax": 0, "sp": 7, "ip": 8, "flags": 9, "cs": 10, "ss": 11}
"""As `REGISTERS`, those sampled with a call; in the order of their bits."""
_TRACEPOINT: Final = 2
_RAW_AND_REGS: Final = 1 << 10 | 1 << 12
"""PERF_TYPE_TRACEPOINT; PERF_SAMPLE_RAW and PERF_SAMPLE_REGS_USER."""
_ATTR: Final = struct.Struct("=IIQQQQQIIQQQQIi")
"""struct perf_event_attr up to sample_stack_user, with what aligns it (PERF_ATTR_SIZE_VER3)."""
_COMMON: Final = 8
"""Bytes of a tracepoint's record before its own fields."""
_PAGES: Final = 4


@dataclass(frozen=True, slots=True)
class Sampled:
    """A system call as a tracepoint told it, and the user's registers beside it.

    :ivar event: of `CALLS`
    :ivar nr: struct trace_event_raw_sys_enter's ``id``, a signed ``long``
    :ivar words: six arguments, or one result
    :ivar abi: of `ABIS`; of the code that calls
    """

    event: str
    nr: int
    words: tuple[int, ...]
    abi: str
    regs: Mapping[str, int]


class Calls:
    """Both tracepoints, for the calls of one task."""

    def __init__(self, pid: int) -> None:
        """Open them, which only who may read tracefs can.

        :raises HarnessError: the kernel refused
        """
        self._open = contextlib.ExitStack()
        self._rings = {name: self._ring(name, pid) for name in CALLS}

    def __enter__(self) -> Calls:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def _ring(self, name: str, pid: int) -> tuple[mmap.mmap, list[int]]:
        registers = sum(1 << bit for bit in SHOWN.values())
        attr = _ATTR.pack(
            _TRACEPOINT, _ATTR.size, int(tracepoint(name).read_text(encoding="ascii")), 1,
            _RAW_AND_REGS, 0, 0, 0, 0, 0, 0, 0, registers, 0, 0,
        )  # fmt: skip
        fd = lib.origax_event(attr, pid)
        if fd < 0:
            raise HarnessError(
                f"no tracepoint: {os.strerror(-fd)}", f"raw_syscalls:{name} of pid {pid}",
                "see kernel.perf_event_paranoid, and any seccomp filter around this process",
            )  # fmt: skip
        self._open.callback(os.close, fd)
        ring = self._open.enter_context(mmap.mmap(fd, (1 + _PAGES) * mmap.PAGESIZE))
        return ring, [0]

    def take(self) -> Iterator[Sampled]:
        """Read what came since the last time: calls that began, then those that ended."""
        for name, (ring, tail) in self._rings.items():
            (head,) = struct.unpack_from("=Q", ring, _HEAD_AT)
            (start,) = struct.unpack_from("=Q", ring, _DATA_AT)
            while tail[0] < head:
                at = start + tail[0]
                kind, _, size = struct.unpack_from("=IHH", ring, at)
                if kind == SAMPLE:
                    yield self.sampled(name, ring[at + 8 : at + size])
                tail[0] += size

    @staticmethod
    def sampled(name: str, record: bytes) -> Sampled:
        """Take a sample apart, from behind its header."""
        (size,) = struct.unpack_from("=I", record)
        count = 7 if name == CALLS[0] else 2
        # The kernel's own longs; what aligns the record is less than half of them.
        word = "q" if size - _COMMON >= 8 * count else "i"
        nr, *words = struct.unpack_from(f"={count}{word}", record, 4 + _COMMON)
        abi, *regs = struct.unpack_from(f"={1 + len(SHOWN)}Q", record, 4 + size)
        return Sampled(
            name, nr, tuple(words), ABIS.get(abi, str(abi)), dict(zip(SHOWN, regs, strict=True))
        )
