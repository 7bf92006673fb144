# SPDX-License-Identifier: GPL-2.0-only
"""The user's cache: where it is, one builder at a time, and nothing in it under its name by half.

What is there was costly to get, and is the same for every run: a 32-bit Debian, kernels.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path


def directory(environ: Mapping[str, str]) -> Path:
    """Give origax's part of the cache, as XDG's base directories have it; it may not be there."""
    return Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "origax"


@contextmanager
def locked(path: Path, say: Callable[[str], None]) -> Iterator[int]:
    """Hold a lock, which ends with this process and with each child that inherits it.

    :param path: the lock's file, made with its directory
    :param say: told when we have to wait
    :returns: the descriptor, for children that must not outlive it
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another that is under way, or about to end ({path})")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock.fileno()


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Give the place to make a directory in; it gets its name when it is whole, and on the disk.

    :param path: its name in the end; the caller holds a lock on it, and nothing is there
    """
    part = path.with_name(f"{path.name}.part")
    if part.exists():  # left by one that was killed: the lock says that nobody is at it
        shutil.rmtree(part)
    yield part
    os.sync()  # the name must not reach the disk before what it names
    part.rename(path)
