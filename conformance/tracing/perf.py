# SPDX-License-Identifier: GPL-2.0-only
"""Registers as perf samples them: PERF_SAMPLE_REGS_USER, of a task that runs."""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from conformance._native import lib
from conformance.errors import HarnessError

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
