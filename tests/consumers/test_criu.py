# SPDX-License-Identifier: GPL-2.0-only
"""CRIU: programs that sleep in a call when they are dumped, and what they sleep in afterwards.

It dumps no program that shares memory with another, so these are the machine's own.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from sleepers import Tool, asleep, needs

from conformance.doors import OWN

CALLS = {
    ("perl", "-e", "sleep"): ("pause", "pause"),
    ("sleep", "1000"): ("clock_nanosleep", "clock_nanosleep"),
}
"""Programs, the call that each sleeps in, and the one after a dump: CRIU makes a restart block
EINTR, and the program then sleeps anew."""

pytestmark = needs("criu")
by_program = pytest.mark.parametrize("program", CALLS, ids=lambda program: program[0])


@functools.cache
def checked() -> str:
    """What is wrong between CRIU and this kernel, by ``criu check``; empty if nothing."""
    told = subprocess.run(
        ["criu", "check"], capture_output=True, text=True, check=False, timeout=60
    )
    return "" if told.returncode == 0 else (told.stdout + told.stderr).strip()


@pytest.fixture(autouse=True)
def _able() -> None:
    if wrong := checked():
        pytest.skip(f"criu check fails: {wrong.splitlines()[0]}")


@contextlib.contextmanager
def sleeping(program: tuple[str, ...]) -> Iterator[int]:
    """Run a program of which CRIU can dump all: alone in its session, with no descriptor of ours.

    What comes of it later is killed, too: nothing else has its pid meanwhile.
    """
    null = subprocess.DEVNULL
    with subprocess.Popen(
        program, stdin=null, stdout=null, stderr=null, cwd="/", start_new_session=True
    ) as process:
        try:
            assert asleep(process.pid, OWN) == CALLS[program][0]
            yield process.pid
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)


def criu(*command: str | Path | int) -> None:
    with Tool("criu", *command) as tool:
        tool.end()
        assert tool.status == 0, tool.transcript()


# A program that was dumped and goes on sleeps in its call again, and nothing but SIGKILL ends it.
@by_program
def test_leave_running(program: tuple[str, ...], tmp_path: Path) -> None:
    with sleeping(program) as pid:
        criu("dump", "--leave-running", "-t", pid, "-D", tmp_path)
        assert asleep(pid, OWN) == CALLS[program][1]


# The one that is restored from the dump sleeps in that call, too.
@by_program
def test_restore(program: tuple[str, ...], tmp_path: Path) -> None:
    with sleeping(program) as pid:
        criu("dump", "-t", pid, "-D", tmp_path)
        os.waitpid(pid, 0)
        criu("restore", "--restore-detached", "-D", tmp_path)
        assert asleep(pid, OWN) == CALLS[program][1]
