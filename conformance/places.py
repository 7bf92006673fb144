# SPDX-License-Identifier: GPL-2.0-only
"""Where the expectations are: in a checkout, in an installed package, or where the user says."""

from __future__ import annotations

from pathlib import Path

from conformance.errors import UsageError

PACKAGE = Path(__file__).resolve().parent
CHECKOUT = PACKAGE.parent


def expected_directory(given: str | None) -> Path:
    """Find the directory of the golden files.

    :param given: what the user named (``--expected`` or ORIGAX_EXPECTED), if anything
    :raises UsageError: there is none
    """
    candidates = [Path(given)] if given else [CHECKOUT / "expected", PACKAGE / "expected"]
    for path in candidates:
        if (path / "facts.toml").is_file():
            return path
    raise UsageError(
        "there are no expectations (no facts.toml)", " or ".join(map(str, candidates)),
        "give the directory `expected` of a checkout with --expected, or reinstall origax",
    )  # fmt: skip


def writable(expected: Path) -> Path:
    """Make sure that goldens may be edited there.

    :raises UsageError: they are those of an installed package
    """
    if expected == PACKAGE / "expected":
        raise UsageError(
            "the goldens of an installed origax are not for editing", str(expected),
            "give the directory `expected` of a checkout with --expected",
        )  # fmt: skip
    return expected
