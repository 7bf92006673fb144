# SPDX-License-Identifier: GPL-2.0-only
"""What origax.pyz does: unpack the wheels that fit this Python into a directory of its own, run
origax there, and remove it.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import sys
import tempfile
import zipfile
from pathlib import Path

from unpacking import machine, unpack

ENDS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)


def fail(what: str, on: str, do: str) -> None:
    """End with an error in three parts."""
    print(f"origax: {what}\n  on: {on}\n  do: {do}", file=sys.stderr)
    sys.exit(3)


def on_end(handler: object) -> None:
    """Handle the signals that end us, but for those that somebody has us ignore, as nohup does."""
    for number in ENDS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)  # type: ignore[arg-type]


def terminate(number: int, _frame: object) -> None:
    """End by a signal, with what is to be removed."""
    sys.exit(128 + number)


def fitting(archive: zipfile.ZipFile) -> list[str]:
    """List the wheels that fit this Python."""
    table = json.loads(archive.read("wheels.json").decode())
    here = f"{sys.version_info[0]}.{sys.version_info[1]} {machine()}"
    if sys.implementation.name != "cpython" or here not in table:
        fail(
            "this file has nothing for that Python",
            f"{sys.executable} ({sys.implementation.name} {here})",
            f"run it with one of these: {', '.join(table)}; or build origax of its source there",
        )
    return list(table[here])


def run(target: str) -> int:
    """Run origax as it is in a directory; returns its exit code."""
    sys.path[0] = target  # instead of this file; workers get the path from there
    sys.argv[0] = "origax"
    from conformance import cli

    return cli.main(sys.argv[1:])


def main() -> int:
    """Unpack, run, remove."""
    on_end(terminate)
    with zipfile.ZipFile(sys.path[0]) as archive:
        wheels = [io.BytesIO(archive.read(f"wheels/{name}")) for name in fitting(archive)]
    place = tempfile.gettempdir()
    if os.statvfs(place).f_flag & os.ST_NOEXEC:
        do = "name a directory without that: TMPDIR=DIR"
        fail("programs in it cannot be executed: it is mounted noexec", place, do)
    target = tempfile.mkdtemp(prefix="origax-")
    try:
        unpack(wheels, Path(target))
        if signal.getsignal(signal.SIGINT) is terminate:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        return run(target)
    finally:
        on_end(signal.SIG_IGN)
        shutil.rmtree(target, ignore_errors=True)

