# SPDX-License-Identifier: GPL-2.0-only
"""The worker: what it makes of what was seen."""

import os
from types import SimpleNamespace

import pytest

from conformance import worker
from conformance.transcript import parse


# A flag without a meaning is left out if this CPU has it in our own code, and is shown otherwise.
@pytest.mark.parametrize(
    ("seen", "own", "told"),
    [
        ("IF+0x40000000", 0x4000_0202, "IF"), ("0x40000000", 0x4000_0202, "0"),
        ("IF+0x40000000", 0x202, "IF+0x40000000"), ("IF+0xc0000000", 0x4000_0202, "IF+0x80000000"),
        ("IF+ZF", 0x246, "IF+ZF"),
    ],
)  # fmt: skip
def test_a_stuck_flag(seen: str, own: int, told: str) -> None:
    (line,) = parse(f"control  landed  ax=1 flags={seen} regs=own found={seen}")
    assert worker.without(line, own).fields == {**line.fields, "flags": told, "found": told}


# Our own flags are those of every CPU that is named, and the affinity is afterwards what it was.
def test_own_flags(monkeypatch: pytest.MonkeyPatch) -> None:
    before = os.sched_getaffinity(0)
    cpus = sorted(before)[:2]
    seen = []

    def flags() -> int:
        (cpu,) = os.sched_getaffinity(0)
        seen.append(cpu)
        return 0x202 | (cpu == cpus[-1]) << 30

    assert worker.own_flags(cpus) & 0x202 == 0x202 and not worker.own_flags(cpus) >> 22
    monkeypatch.setattr(worker, "lib", SimpleNamespace(origax_flags=flags))
    assert worker.own_flags(cpus) == 0x4000_0202
    assert (seen, os.sched_getaffinity(0)) == (cpus, before)
