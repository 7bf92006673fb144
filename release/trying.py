# SPDX-License-Identifier: GPL-2.0-only
"""Trying a release where there is Python, and neither pip, nor a compiler, nor a network."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from conformance import cache, userland, wheels
from conformance.errors import HarnessError
from release.building import must, pinned, say

VENV: Final = "venv"
PYTHONS: Final = {"bookworm": (3, 11), "trixie": (3, 13)}
"""Releases of Debian, and the Python of each."""
PLACES: Final = (VENV, *PYTHONS)
PACKAGES: Final = ("python3", "python3-venv")
"""What is in such a Debian besides the least; only a virtual environment of it has a pip."""
LACKING: Final = ("gcc", "cc", "pip", "pip3")
ZIPAPP: Final = "origax.pyz"
Inside = Callable[[Sequence[str]], list[str]]
"""Turns a command into one that runs it in a place."""


def attempt(place: str, output: Path) -> None:
    """Run every case by the installed wheel and by origax.pyz; both must conform, and do alike.

    :param place: of PLACES
    :param output: what was built
    :raises OrigaxError: it does not run there, or something fails
    """
    if place == VENV:
        environ = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
        with tempfile.TemporaryDirectory(prefix="origax-try-") as there:
            _attempt(place, output, Path(there), Path(there), list, environ)
        return
    root = _root(place)

    def inside(command: Sequence[str]) -> list[str]:
        return [*userland.FOLLOW, "chroot", str(root), *command]

    _attempt(place, output, root / "tmp", Path("/tmp"), inside, userland.INSIDE)


def _root(release: str) -> Path:
    """Give a Debian of this process's, which has nothing of LACKING."""
    userland.require_root()
    root = cache.directory(os.environ) / f"bare-{release}"
    userland.leave_mounts()
    userland.once(
        root, lambda path, lock: userland.bootstrap(path, lock, "amd64", release, PACKAGES)
    )
    path = ":".join(f"{root}{part}" for part in userland.PATH.split(":"))
    if there := [name for name in LACKING if shutil.which(name, path=path)]:
        raise HarnessError(f"it has {', '.join(there)}", str(root), "delete it, to have a new one")
    userland.furnish(root)
    return root


def _attempt(
    place: str, output: Path, outer: Path, inner: Path, inside: Inside, environ: Mapping[str, str]
) -> None:
    """Try in a place.

    :param outer: a directory of its as it is called out here
    :param inner: and as it is called there
    """
    python = sys.version_info[:2] if place == VENV else PYTHONS[place]
    lot, machine = outer / "wheels", wheels.machine()
    shutil.copytree(output, lot)
    with pinned():
        wheels.fetch(lot, [python], machine)
    chosen = [str(inner / "wheels" / path.name) for path in wheels.choose(lot, python, machine)]
    interpreter = sys.executable if place == VENV else "python3"
    pip = (str(inner / "venv/bin/pip"), "install", "-q", "--no-index", "--no-deps", *chosen)
    for command in ((interpreter, "-m", "venv", str(inner / "venv")), pip):
        must(inside(command), "see what it says", env=environ)
    ways = {
        "wheel": (str(inner / "venv/bin/origax"),),
        ZIPAPP: (interpreter, str(inner / "wheels" / ZIPAPP)),
    }
    told = {}
    for name, origax in ways.items():
        record = f"{name}.json"
        run = (*origax, "run", "--timeout", "60", "--record", str(inner / record))
        must(inside(run), "see what it says", env=environ)
        told[name] = _tally(outer / record)
        say(f"{place}, {name}: {told[name]}")
    if len(set(told.values())) > 1:
        raise HarnessError("the wheel and the zipapp see different things", place, "run both again")


def _tally(record: Path) -> str:
    """Count the verdicts of a record, as a run's last line does."""
    cases = json.loads(record.read_text(encoding="utf-8"))["cases"]
    counts = Counter(case["verdict"] for case in cases)
    return ", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items()))
