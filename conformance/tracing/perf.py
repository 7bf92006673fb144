# SPDX-License-Identifier: GPL-2.0-only
"""What perf samples of a task: its registers (PERF_SAMPLE_REGS_USER) while it runs user code, as it
stops, and with its system calls, at the tracepoints raw_syscalls:sys_enter and sys_exit.
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
_ATTR: Final = struct.Struct("=IIQQQQQIIQQQQIi")
"""struct perf_event_attr up to sample_stack_user, with what aligns it (PERF_ATTR_SIZE_VER3)."""
_SOFTWARE, _TRACEPOINT = 1, 2
_CONTEXT_SWITCHES: Final = 3
_RAW, _REGS = 1 << 10, 1 << 12
"""PERF_TYPE_SOFTWARE and TRACEPOINT; PERF_COUNT_SW_CONTEXT_SWITCHES; PERF_SAMPLE_RAW and
PERF_SAMPLE_REGS_USER."""
_PAGES: Final = 4


def _attr(kind: int, config: int, period: int, sample: int, registers: int) -> bytes:
    """Make a struct perf_event_attr, of which nothing is excluded."""
    attr: bytes = _ATTR.pack(
        kind, _ATTR.size, config, period, sample, 0, 0, 0, 0, 0, 0, 0, registers, 0, 0
    )
    return attr


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
_COMMON: Final = 8
"""Bytes of a tracepoint's record before its own fields."""


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


class _Ring:
    """The samples of one event of a task, which come until it is closed."""

    def __init__(self, attr: bytes, pid: int, what: str) -> None:
        """Open it, and let it sample.

        :raises HarnessError: the kernel refused
        """
        self._tail = 0
        fd = lib.origax_event(attr, pid)
        if fd < 0:
            raise HarnessError(
                f"no {what}: {os.strerror(-fd)}", f"perf_event_open of pid {pid}",
                "see kernel.perf_event_paranoid, and any seccomp filter around this process",
            )  # fmt: skip
        self._fd = fd
        try:
            self._ring = mmap.mmap(fd, (1 + _PAGES) * mmap.PAGESIZE)
        except OSError:
            os.close(fd)
            raise

    def __enter__(self) -> _Ring:
        return self

    def __exit__(self, *_: object) -> None:
        self._ring.close()
        os.close(self._fd)

    def take(self) -> Iterator[bytes]:
        """Read the samples since the last time, from behind their headers."""
        (head,) = struct.unpack_from("=Q", self._ring, _HEAD_AT)
        (start,) = struct.unpack_from("=Q", self._ring, _DATA_AT)
        while self._tail < head:
            at = start + self._tail
            kind, _, size = struct.unpack_from("=IHH", self._ring, at)
            if kind == SAMPLE:
                yield self._ring[at + 8 : at + size]
            self._tail += size


GENERAL: Final = ("ax", "bx", "cx", "dx", "si", "di", "bp", "sp", "ip", "flags", "cs", "ss")
WIDE: Final = ("r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15")
_WIDE_AT: Final = 16
"""As `REGISTERS`, the first twelve, and those from bit 16 on that 32-bit programs have not."""


class Switches:
    """All general registers of one task, whenever it leaves its CPU: as it does in each stop."""

    def __init__(self, pid: int, bits: int) -> None:
        """Begin.

        :param bits: of the task's code; its further registers are sampled only with 64
        :raises HarnessError: the kernel refused
        """
        self._names = GENERAL if bits == 32 else GENERAL + WIDE
        mask = (1 << len(GENERAL)) - 1
        mask |= 0 if bits == 32 else (1 << len(WIDE)) - 1 << _WIDE_AT
        attr = _attr(_SOFTWARE, _CONTEXT_SWITCHES, 1, _REGS, mask)
        self._ring = _Ring(attr, pid, "counter of context switches")

    def __enter__(self) -> Switches:
        return self

    def __exit__(self, *error: object) -> None:
        self._ring.__exit__(*error)

    def last(self) -> tuple[str, Mapping[str, int]]:
        """Give the newest sample: of `ABIS`, and the registers in 64 bits.

        :raises HarnessError: there is none since the last time
        """
        *_, sample = (b"", *self._ring.take())
        if not sample:
            raise HarnessError(
                "a task stopped and was not seen to leave its CPU", "perf's context switches",
                "see whether the kernel lost samples",
            )  # fmt: skip
        abi, *words = struct.unpack(f"={1 + len(self._names)}Q", sample)
        return ABIS.get(abi, str(abi)), dict(zip(self._names, words, strict=True))


class Calls:
    """Both tracepoints, for the calls of one task."""

    def __init__(self, pid: int) -> None:
        """Open them, which only who may read tracefs can.

        :raises HarnessError: the kernel refused
        """
        registers = sum(1 << bit for bit in SHOWN.values())
        self._open = contextlib.ExitStack()
        self._rings: dict[str, _Ring] = {}
        for name in CALLS:
            config = int(tracepoint(name).read_text(encoding="ascii"))
            attr = _attr(_TRACEPOINT, config, 1, _RAW | _REGS, registers)
            ring = _Ring(attr, pid, f"tracepoint raw_syscalls:{name}")
            self._rings[name] = self._open.enter_context(ring)

    def __enter__(self) -> Calls:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def take(self) -> Iterator[Sampled]:
        """Read what came since the last time: calls that began, then those that ended."""
        for name, ring in self._rings.items():
            for record in ring.take():
                yield self.sampled(name, record)

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
