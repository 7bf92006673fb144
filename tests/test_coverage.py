# SPDX-License-Identifier: GPL-2.0-only
"""The table of behaviours: what of it must have a case at the doors of 32-bit programs."""

from __future__ import annotations

import pytest

from conformance.cases import Case, all_cases

INT80_64 = (14, 15)
"""int $0x80 from 64-bit code: number and table, and r8 to r15."""
FAST = (16, 17, 18)
"""The sixth argument from the stack, a bad stack for it, and the landing pad as ip."""
VSYSCALL = (74,)
IA32 = (7, 9, 20, 22, 23, 24, 36, 37, 39, 40, 41, 42, 43, 54, 55, 85, 86, 94, 104, 105, 112, 115,
        117, 119, 125, 129, 130, 131)  # fmt: skip
"""Widths in restarts, in exec, in frames, steps, debug registers, and in what tracers read; and
virtual-8086 mode."""
X32 = (13, 32, 36, 54, 55, 86)
"""Bit 30 in numbers: of -1, of restart_syscall(), and at exec and sigreturn."""


def covered(by: str) -> set[int]:
    """Rows that cases cover whose door or ABI is that."""

    def fits(case: Case) -> bool:
        return by in (case.door, case.abi)

    return {row for case in all_cases() if fits(case) for row in case.covers}


# Each row that concerns 32-bit programs, x32 or the vsyscall page has a case of that door or ABI.
@pytest.mark.parametrize(
    ("by", "rows"),
    [
        ("int80_64", INT80_64), ("sysenter", FAST), ("syscall32", FAST), ("vsyscall", VSYSCALL),
        ("ia32", IA32), ("x32", X32),
    ],
)  # fmt: skip
def test_rows(by: str, rows: tuple[int, ...]) -> None:
    assert set(rows) <= covered(by)


# Where two doors lead to one table, a case at one of the vDSO's is one at the other, too.
def test_both_fast_doors() -> None:
    ids = {case.id for case in all_cases()}
    fast = {name.removesuffix(".syscall32") for name in ids if name.endswith(".syscall32")}
    assert {name for name in ids if name.endswith(".sysenter")} == {
        f"{name}.sysenter" for name in fast
    } | {
        f"{case.id}.sysenter" for case in all_cases()
        if case.door == "syscall32" and not case.id.endswith(".syscall32")
    }  # fmt: skip
