# SPDX-License-Identifier: GPL-2.0-only
"""The wheels that origax needs at run time, chosen for a Python and a machine that are not ours.

A box without pip, or without a compiler, gets them as files. Of cffi only ``_cffi_backend`` is
used there, which needs nothing; its parser (pycparser) is for builds.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from conformance import userland
from conformance.errors import HarnessError, UsageError
from conformance.places import CHECKOUT
from conformance.unpacking import machine as machine
from conformance.unpacking import unpack as unpack

OWN: Final = "origax"
OTHERS: Final = ("cffi", "python-ptrace")
NEEDED: Final = (OWN, *OTHERS)
"""The distributions that a run takes, by their normal names."""

MACHINES: Final = ("x86_64", "i686")
GLIBC: Final = (2, 17)
"""What cffi's own wheels ask for; no Python 3.11 runs on less."""
_LEGACY: Final = {(2, 17): "manylinux2014", (2, 12): "manylinux2010", (2, 5): "manylinux1"}


def choose(
    directory: Path, python: tuple[int, int], machine: str, glibc: tuple[int, int] = GLIBC
) -> tuple[Path, ...]:
    """Choose the wheels of NEEDED, in its order, that fit a Python; of several the newest.

    :param directory: where they lie
    :param python: CPython's version, such as (3, 11)
    :param machine: of MACHINES
    :param glibc: the oldest that they must run with; a wheel of no manylinux tag, which was built
        on some machine for itself, is taken where nothing better is there
    :raises UsageError: one is lacking
    """
    tags, found = _tags(python, machine, glibc), _found(directory)
    chosen = {}
    for name in NEEDED:
        fitting = [
            (version, -min(ranks), path)
            for version, has, path in found.get(name, ())
            if (ranks := [tags[tag] for tag in has if tag in tags])
        ]
        if fitting:
            chosen[name] = max(fitting)[2]
    if lacking := [name for name in NEEDED if name not in chosen]:
        raise UsageError(
            f"no wheel of {', nor of '.join(lacking)} for CPython {_dotted(python)} on {machine} "
            f"with glibc {_dotted(glibc)}",
            f"the wheels in {directory}: {', '.join(_names(directory)) or 'none'}",
            _how(lacking, python, machine),
        )
    return tuple(chosen[name] for name in NEEDED)


def _how(lacking: Iterable[str], python: tuple[int, int], machine: str) -> str:
    """Say how to get wheels."""
    ways = []
    for name in lacking:
        if name == OWN:
            ways.append("build it in a checkout with: tox -e packages")
        else:
            ways.append(
                f"pip download --no-deps --only-binary :all: --python-version {_dotted(python)} "
                f"--platform manylinux2014_{machine} {name}"
            )
    return "; ".join([*ways, "and put them there"])


def _names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.glob("*.whl"))


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


def _packaging() -> Any:
    try:
        import packaging.tags
        import packaging.utils
    except ImportError:
        raise UsageError(
            "wheels are chosen with packaging, which is not installed", "import packaging",
            "pip install 'origax[wheels]'",
        ) from None  # fmt: skip
    return packaging


def _platforms(machine: str, glibc: tuple[int, int]) -> Iterator[str]:
    """List platform tags, best first, as the manylinux specification (PEP 600) orders them."""
    for minor in range(glibc[1], 4, -1):
        yield f"manylinux_{glibc[0]}_{minor}_{machine}"
        if (glibc[0], minor) in _LEGACY:
            yield f"{_LEGACY[glibc[0], minor]}_{machine}"
    yield f"linux_{machine}"


def _tags(python: tuple[int, int], machine: str, glibc: tuple[int, int]) -> Mapping[Any, int]:
    """Rank the tags that a Python takes: the lowest is the best."""
    tags, platforms = _packaging().tags, tuple(_platforms(machine, glibc))
    interpreter = f"cp{python[0]}{python[1]}"
    ordered = [
        *tags.cpython_tags(python, abis=[interpreter], platforms=platforms),
        *tags.compatible_tags(python, interpreter, platforms),
    ]
    return {tag: rank for rank, tag in enumerate(ordered)}


def _found(directory: Path) -> Mapping[str, list[tuple[Any, frozenset[Any], Path]]]:
    """List the wheels of a directory by distribution: version, tags and path."""
    utils = _packaging().utils
    found: dict[str, list[tuple[Any, frozenset[Any], Path]]] = {}
    for path in sorted(directory.glob("*.whl")):
        try:
            name, version, _, tags = utils.parse_wheel_filename(path.name)
        except utils.InvalidWheelFilename as error:
            do = "remove it, or give it its name back"
            raise UsageError(f"that is no wheel: {error}", str(path), do) from None
        found.setdefault(name, []).append((version, tags, path))
    return found


def fetch(directory: Path, pythons: Iterable[tuple[int, int]], machine: str) -> None:
    """Get what a directory lacks of the wheels for some Pythons on a machine.

    pip does it, with its own settings. A wheel of origax that is there is taken as it is;
    otherwise it is built of this checkout, for this machine alone.

    :param directory: made if it is not there
    :param pythons: CPython's versions, such as (3, 11)
    :param machine: of MACHINES
    :raises UsageError: origax's own wheel is lacking, and cannot be built here
    :raises HarnessError: pip failed
    """
    directory.mkdir(parents=True, exist_ok=True)
    for python in pythons:
        tags = _tags(python, machine, GLIBC)
        there = {
            name for name, wheels in _found(directory).items()
            if any(not has.isdisjoint(tags) for _, has, _ in wheels)
        }  # fmt: skip
        if OWN not in there:
            _build(directory, python, machine)
        if lacking := [name for name in OTHERS if name not in there]:
            _download(directory, lacking, python, machine)


def _download(
    directory: Path, names: Iterable[str], python: tuple[int, int], machine: str
) -> None:
    platforms = [text for each in _platforms(machine, GLIBC) for text in ("--platform", each)]
    _pip(
        "download", "--no-deps", "--only-binary", ":all:", "--implementation", "cp",
        "--python-version", _dotted(python), *platforms, "--dest", str(directory), *names,
    )  # fmt: skip


def _build(directory: Path, python: tuple[int, int], machine_: str) -> None:
    if machine_ != machine() or not (CHECKOUT / "pyproject.toml").is_file():
        raise UsageError(
            f"no wheel of {OWN} for CPython {_dotted(python)} on {machine_}, and none can be built "
            "here", str(directory), f"put it there; {_how([OWN], python, machine_)}",
        )  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="origax-") as there:
        source = Path(there, "source")
        userland.copy(CHECKOUT, source)  # what a build leaves behind is not for the checkout
        _pip("wheel", "--no-deps", "--wheel-dir", str(directory), str(source))


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-P", "-m", "pip", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        errors = re.findall(r"^ *(?:ERROR: |origax: )?(.+)", done.stderr, re.MULTILINE)
        raise HarnessError(
            f"pip failed: {errors[-1] if errors else f'exit code {done.returncode}'}",
            " ".join(command), "run it by hand, and see what it says",
        )  # fmt: skip
