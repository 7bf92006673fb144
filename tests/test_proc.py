# SPDX-License-Identifier: GPL-2.0-only
"""What is read of /proc/PID/syscall."""

from pathlib import Path

import pytest

from conformance.doors import OWN
from conformance.tracing import proc
from conformance.tracing.proc import Blocked

ARGUMENTS = (1, 2, 3, 4, 5, (1 << 64) - 1)


# Each of the forms that fs/proc/base.c prints.
@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("running\n", None),
        ("-1 0x7ffc0010 0x401000\n", Blocked(-1, (), 0x7FFC0010, 0x401000)),
        ("-2147483648 0x0 0x0\n", Blocked(-(1 << 31), (), 0, 0)),
        (
            "0 0x1 0x2 0x3 0x4 0x5 0xffffffffffffffff 0x7ffc0010 0x401000\n",
            Blocked(0, ARGUMENTS, 0x7FFC0010, 0x401000),
        ),
    ],
)
def test_blocked_in(monkeypatch: pytest.MonkeyPatch, text: str, told: Blocked | None) -> None:
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: text)
    assert proc.blocked_in(1) == told


# This process itself is in the call that reads the file.
def test_own() -> None:
    seen = proc.blocked_in("self")  # type: ignore[arg-type]
    assert seen is not None
    assert seen.nr == OWN.number("read")
