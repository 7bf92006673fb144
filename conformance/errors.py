# SPDX-License-Identifier: GPL-2.0-only
"""Errors that a user sees: what happened, on what, and what to do."""

from __future__ import annotations

from typing import ClassVar


class OrigaxError(Exception):
    """Something that ends the command; printed as three parts, never as a traceback."""

    exit_code: ClassVar[int] = 3

    def __init__(self, what: str, on: str, do: str) -> None:
        super().__init__(what, on, do)
        self.what = what
        self.on = on
        self.do = do

    def __str__(self) -> str:
        return f"{self.what}\n  on: {self.on}\n  do: {self.do}"


class UsageError(OrigaxError):
    """The command line, or a file that the user wrote, is wrong (exit code 2)."""

    exit_code: ClassVar[int] = 2


class HarnessError(OrigaxError):
    """The harness, a probe or the machine failed; says nothing of the kernel (exit code 3)."""
