# SPDX-License-Identifier: GPL-2.0-only
"""What a box is given, by what it says of itself: the wheels for its Python, or the refusal."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from conformance import cache, wheels
from conformance.errors import OrigaxError, UsageError
from conformance.fleet.boxes import Box
from conformance.places import CHECKOUT

OLDEST: Final = (3, 11)
SOURCES: Final = ("conformance", "cprobes", "expected", "pyproject.toml", "setup.py")


class Supply:
    """A directory of wheels, filled as boxes ask; called by many threads.

    :ivar directory: of the user's own, or ours in the cache
    """

    def __init__(
        self, given: Path | None, environ: Mapping[str, str], say: Callable[[str], None]
    ) -> None:
        self.directory = given or cache.directory(environ) / "wheels"
        self._own = given is None
        self._say = say
        self._lock = threading.Lock()
        self._chosen: dict[tuple[tuple[int, int], str], tuple[Path, ...] | OrigaxError] = {}

    def prepare(self) -> None:
        """Have the wheels for this machine's own Python: most boxes need the same.

        Our own directory gets a wheel of this checkout anew if that has changed.

        :raises OrigaxError: they cannot be had
        """
        if self._own:
            with self._locked():
                for wheel in _stale(self.directory):
                    wheel.unlink()
        self._choose(sys.version_info[:2], wheels.machine())

    def __call__(self, box: Box, about: Mapping[str, Any]) -> tuple[Path, ...]:
        """Give the wheels for a box.

        :param about: what `conformance.fleet.agent` says first
        :raises OrigaxError: the box will not do, or there are none for it
        """
        python, machine = tuple(map(int, about["python"])), str(about["machine"])
        if machine == "x86_64" and about["bits"] == 32:
            machine = "i686"
        if machine not in wheels.MACHINES:
            raise UsageError(
                f"its architecture is {machine}, and origax is for x86", box.name,
                "leave it out of the fleet",
            )  # fmt: skip
        if python < OLDEST:
            raise UsageError(
                f"its {box.python} is Python {'.'.join(map(str, python))}, and origax needs 3.11",
                box.name, 'name a newer one with python = "..." in boxes.toml',
            )  # fmt: skip
        if box.boot and box.boot not in (about["release"], *about["cmdline"]):
            raise UsageError(
                f"it has booted {about['release']}, and not what is labelled {box.boot}", box.name,
                "boot that, or correct boot = there",
            )  # fmt: skip
        return self._choose((python[0], python[1]), machine)

    def _choose(self, python: tuple[int, int], machine: str) -> tuple[Path, ...]:
        key = (python, machine)
        with self._lock:
            if key not in self._chosen:
                try:
                    self._chosen[key] = self._get(python, machine)
                except OrigaxError as error:
                    self._chosen[key] = error
            chosen = self._chosen[key]
        if isinstance(chosen, OrigaxError):
            raise chosen
        return chosen

    def _get(self, python: tuple[int, int], machine: str) -> tuple[Path, ...]:
        try:
            return wheels.choose(self.directory, python, machine)
        except UsageError:
            if not self._own:
                raise
        self._say(f"getting wheels for Python {python[0]}.{python[1]} on {machine}")
        with self._locked():
            wheels.fetch(self.directory, [python], machine)
        return wheels.choose(self.directory, python, machine)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with cache.locked(self.directory.with_suffix(".lock"), self._say):
            yield


def _stale(directory: Path) -> list[Path]:
    """List our wheels that are older than the checkout they were built of."""
    if not (CHECKOUT / "pyproject.toml").is_file():
        return []
    roots = [CHECKOUT / name for name in SOURCES]
    files = [path for root in roots for path in (root, *root.rglob("*")) if _is_source(path)]
    newest = max(path.stat().st_mtime for path in files)
    return [p for p in directory.glob(f"{wheels.OWN}-*.whl") if p.stat().st_mtime < newest]


def _is_source(path: Path) -> bool:
    return path.suffix in (".py", ".toml", ".json", ".c", ".h", ".S") and path.is_file()
