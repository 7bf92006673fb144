# SPDX-License-Identifier: GPL-2.0-only
"""Processes that carry a marker in their environment: what the tests of runs and soaks look for."""

import time
from pathlib import Path


def descendants(marker: str) -> list[str]:
    """Command lines of living processes that carry a marker in their environment."""
    found = []
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            environ = (directory / "environ").read_bytes()
            state = (directory / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if marker.encode() in environ and state != "Z":
            found.append(f"{directory.name} {state}")
    return found


def until_gone(marker: str) -> list[str]:
    """Wait up to a second for the marked processes to go; returns those that have not."""
    deadline = time.monotonic() + 1
    while descendants(marker) and time.monotonic() < deadline:
        time.sleep(0.01)
    return descendants(marker)
