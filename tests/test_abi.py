# SPDX-License-Identifier: GPL-2.0-only
"""Numbers of the ABI, and how they are written."""

from __future__ import annotations

import pytest

from conformance import abi


@pytest.mark.parametrize(
    ("word", "text"),
    [
        (0xFFFF0FF0, "0"),
        (0xFFFF4FF0, "BS"),
        (0xFFFF4FF5, "B0+B2+BS"),
        (0xFFFE07F0, "BLD+RTM"),
        (0xFFFF0FF0 | 1 << 32, "0x100000000"),
    ],
)
def test_dr6_is_written_by_the_conditions_that_hold(word: int, text: str) -> None:
    """Bits that are clear when their condition holds are named when they are clear."""
    assert abi.dr6(word) == text


@pytest.mark.parametrize(
    ("word", "text"),
    [(0x202, "IF"), (0x302, "TF+IF"), (0x10202, "IF+RF"), (0x2, "0"), (1 << 32, "0x100000000")],
)
def test_flags_are_written_by_name(word: int, text: str) -> None:
    """The bit that is always set is left out, one without a name is not."""
    assert abi.flags(word) == text
