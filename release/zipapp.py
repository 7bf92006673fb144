# SPDX-License-Identifier: GPL-2.0-only
"""origax.pyz: one file with the wheels of several Pythons, for a box without pip."""

from __future__ import annotations

import json
import tempfile
import time
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from conformance import unpacking, wheels

PYTHONS: Final = ((3, 11), (3, 12), (3, 13), (3, 14))
NO_WHEEL: Final = (((3, 14), "i686"),)
"""For these there is no wheel of cffi."""
HERE: Final = Path(__file__).parent
MODULES: Final = {
    "__main__.py": HERE / "first.py",
    "start.py": HERE / "start.py",
    "unpacking.py": Path(unpacking.__file__),
}
"""What is in it besides wheels, and out of which file."""
SHEBANG: Final = b"#!/usr/bin/env python3\n"


def write(path: Path, directory: Path, machines: Sequence[str], date: int) -> None:
    """Write it; it can be executed.

    :param directory: holds origax's own wheels
    :param date: of every file in it, in seconds since 1970
    :raises OrigaxError: a wheel cannot be had
    """
    with tempfile.TemporaryDirectory(prefix="origax-pyz-") as there:
        pack(path, _chosen(Path(there), directory, machines), date)


def pack(path: Path, chosen: Mapping[str, tuple[Path, ...]], date: int) -> None:
    """Pack wheels, and what unpacks them.

    :param chosen: which are for a Python, by ``3.11 x86_64`` and the like
    """
    table = {key: [each.name for each in paths] for key, paths in chosen.items()}
    files = {path.name: path for paths in chosen.values() for path in paths}
    with path.open("wb") as file:
        file.write(SHEBANG)
        with zipfile.ZipFile(file, "w") as archive:
            for name, module in MODULES.items():
                _add(archive, name, module.read_bytes(), date)
            _add(archive, "wheels.json", json.dumps(table, indent=1).encode(), date)
            for name in sorted(files):
                _add(archive, f"wheels/{name}", files[name].read_bytes(), date)
    path.chmod(0o755)


def _chosen(
    there: Path, directory: Path, machines: Sequence[str]
) -> Mapping[str, tuple[Path, ...]]:
    """Choose the wheels of each Python and machine, by the name that start.py gives them."""
    for own in directory.glob("origax-*.whl"):
        (there / own.name).symlink_to(own)
    chosen = {}
    for machine in machines:
        for python in PYTHONS:
            if (python, machine) not in NO_WHEEL:
                wheels.fetch(there, [python], machine)
                key = f"{python[0]}.{python[1]} {machine}"
                chosen[key] = wheels.choose(there, python, machine)
    return chosen


def _add(archive: zipfile.ZipFile, name: str, data: bytes, date: int) -> None:
    info = zipfile.ZipInfo(name, time.gmtime(date)[:6])
    info.external_attr = 0o100644 << 16
    info.compress_type = zipfile.ZIP_STORED if name.endswith(".whl") else zipfile.ZIP_DEFLATED
    archive.writestr(info, data)
