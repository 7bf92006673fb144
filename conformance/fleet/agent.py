# SPDX-License-Identifier: GPL-2.0-only
"""What runs on a box, sent there as text: unpacks the wheels, runs the suite, and cleans up.

It needs Python and its standard library alone. It ends with the connection: whoever held the other
side and however that ended, here its end is read, and then processes go first, files last.

It says, in this order: what the box is; one compressed line after the other of what the run says;
how that ended. When it hangs up, nothing is left.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

PREFIX = "origax-fleet-"
STALE = 60
"""Seconds after which a directory that nobody holds was left by a box that lost its power."""
PATIENCE = 3
"""Seconds for the run to end by itself."""
TAIL = 4096
"""Bytes that are kept of what the run says on its standard error."""
SUBREAPER = 36
"""PR_SET_CHILD_SUBREAPER of prctl(2): orphans among the run's processes become ours."""
WALL = 0x40000000
"""__WALL of waitpid(2)."""


def serve(channel: Any) -> None:
    """Do what the other side asks for, once."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # execnet's way to hurry us, when we clean up
    ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)
    about = os.uname()
    channel.send({
        "python": list(sys.version_info[:2]), "bits": ctypes.sizeof(ctypes.c_void_p) * 8,
        "machine": about.machine, "release": about.release, "host": about.nodename,
        "cmdline": Path("/proc/cmdline").read_text(errors="replace").split(),
    })  # fmt: skip
    request = channel.receive()
    try:
        with alone(request["lock"]), folder() as place:
            unpack(channel, request["wheels"], place)
            channel.send(run(channel, request["run"], place))
    except EOFError:
        raise
    except Exception as error:  # noqa: BLE001 whatever it is, it is the other side's to read
        told = getattr(error, "strerror", None) or str(error) or type(error).__name__
        channel.send({"failed": told})


@contextlib.contextmanager
def alone(name: str) -> Iterator[None]:
    """Hold the box's lock: a socket in the abstract namespace, which ends with this process."""
    with socket.socket(socket.AF_UNIX) as lock:
        try:
            lock.bind("\0" + name)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise OSError("another origax fleet is at it on this box") from None
            raise
        yield


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """Make a directory for all that the run needs; it goes, with what power cuts left of others."""
    for old in Path(tempfile.gettempdir()).glob(PREFIX + "*"):
        with contextlib.suppress(OSError):
            about = old.lstat()
            if about.st_uid == os.geteuid() and about.st_mtime < time.time() - STALE:
                with held(old):
                    shutil.rmtree(old)
    place = Path(tempfile.mkdtemp(prefix=PREFIX))
    try:
        with held(place):
            yield place
    finally:
        shutil.rmtree(place)


@contextlib.contextmanager
def held(place: Path) -> Iterator[None]:
    """Lock a directory, if nobody else does."""
    opened = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(opened)


def unpack(channel: Any, wheels: int, place: Path) -> None:
    """Take wheels, each in chunks up to an empty one, and unpack them."""
    for _ in range(wheels):
        wheel = place / "wheel"
        with wheel.open("wb") as file:
            while chunk := channel.receive():
                file.write(chunk)
        with zipfile.ZipFile(wheel) as archive:
            for member in archive.infolist():
                made = archive.extract(member, place / "site")
                if member.external_attr >> 16 & 0o100:
                    Path(made).chmod(0o755)
        wheel.unlink()


def run(channel: Any, request: dict[str, Any], place: Path) -> dict[str, Any]:
    """Run the suite, and send on what it says; ended at once if the other side is gone."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "ORIGAX_"))}
    child = subprocess.Popen(
        [sys.executable, "-P", "-m", "conformance.fleet.inside", str(os.getpid())],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=place,
        env={**environ, "PYTHONPATH": str(place / "site"), "TMPDIR": str(place)},
        start_new_session=True,
    )  # fmt: skip
    words = bytearray()
    reader = threading.Thread(target=keep, args=(child.stderr, words), daemon=True)
    try:
        reader.start()
        channel.setcallback(lambda _: end(child), endmarker=None)
        if child.stdin:
            with contextlib.suppress(BrokenPipeError), child.stdin:
                child.stdin.write(json.dumps(request).encode())
        for line in child.stdout or ():
            channel.send(zlib.compress(line, 1))
    finally:
        end(child)
        sweep()
    reader.join(PATIENCE)
    return {"code": child.returncode, "words": words.decode("ascii", "replace")}


def keep(stream: IO[bytes], words: bytearray) -> None:
    """Keep the end of what a stream says."""
    with stream:
        while chunk := os.read(stream.fileno(), TAIL):
            words += chunk
            del words[:-TAIL]


def end(child: subprocess.Popen[bytes]) -> None:
    """End the run, by force if need be."""
    child.terminate()
    try:
        child.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def sweep() -> None:
    """End whatever the run left: being the subreaper, we are the parent of it all."""
    while strays := children():
        for pid in strays:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, WALL)


def children() -> list[int]:
    """Pids of this process's children."""
    pids: list[str] = []
    for thread in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):
            pids += (thread / "children").read_text().split()
    return [int(pid) for pid in pids]


if __name__ == "__channelexec__":
    serve(globals()["channel"])  # which execnet puts there
