# SPDX-License-Identifier: GPL-2.0-only
"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from conformance.errors import HarnessError

_NEW: Final = 0o666
"""The mode of a file that was not there, less the umask."""


def replace_all(texts: Mapping[Path, str], what: str, do: str) -> None:
    """Replace files: every text is whole on the disk before the first takes its place.

    A link stays one, a file keeps its mode, and nothing is left beside it.

    :param what: what one of them is, for the message: ``a golden``
    :param do: what to do where one cannot be written
    :raises HarnessError: one could not be written; each file is as it was, or whole and new
    """
    prepared: dict[Path, Path] = {}
    done: list[str] = []
    path = Path()
    try:
        for path, text in texts.items():
            target = Path(os.path.realpath(path))
            temporary = target.with_name(f".{target.name[:200]}.{os.urandom(4).hex()}.tmp")
            prepared[temporary] = target
            _write_new(temporary, text, _mode(target))
        for temporary, target in prepared.items():
            temporary.replace(target)
            done.append(str(target))
    except OSError as error:
        raise HarnessError(
            f"{what} could not be written: {error.strerror}",
            str(path) if not done else f"{target}; already replaced: {', '.join(done)}",
            do,
        ) from error
    finally:
        for temporary in prepared:
            with contextlib.suppress(OSError):
                temporary.unlink()


def _mode(path: Path) -> int | None:
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        return None


def _write_new(path: Path, text: str, mode: int | None) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _NEW)
    with open(descriptor, "w", encoding="utf-8", newline="") as file:
        if mode is not None:
            os.fchmod(file.fileno(), mode)
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
