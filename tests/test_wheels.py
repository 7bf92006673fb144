# SPDX-License-Identifier: GPL-2.0-only
"""Wheels: which are chosen for a Python and a machine that are not ours."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import pytest

from conformance import wheels
from conformance.errors import HarnessError, UsageError

ORIGAX = "origax-0.1.0-cp311-abi3-manylinux_2_17_x86_64.manylinux2014_x86_64.whl"
CFFI_311 = "cffi-2.1.1-cp311-cp311-manylinux2014_x86_64.manylinux_2_17_x86_64.whl"
CFFI_313 = "cffi-2.1.1-cp313-cp313-manylinux2014_x86_64.manylinux_2_17_x86_64.whl"
PTRACE = "python_ptrace-0.9.9-py2.py3-none-any.whl"
LOT = (
    ORIGAX, ORIGAX.replace("x86_64", "i686"), CFFI_311, CFFI_311.replace("x86_64", "i686"),
    CFFI_313, CFFI_313.replace("2.1.1", "1.17.1"), PTRACE, "pycparser-3.0-py3-none-any.whl",
)  # fmt: skip


def lay(directory: Path, *names: str) -> Path:
    for name in names:
        (directory / name).touch()
    return directory


def chosen(directory: Path, python: tuple[int, int], machine: str) -> list[str]:
    return [path.name for path in wheels.choose(directory, python, machine)]


# For each Python and machine its own cffi is chosen, the newest, with the one abi3 origax for all;
# cffi's parser stays at home.
def test_choose(tmp_path: Path) -> None:
    lay(tmp_path, *LOT)
    assert chosen(tmp_path, (3, 11), "x86_64") == [ORIGAX, CFFI_311, PTRACE]
    assert chosen(tmp_path, (3, 13), "x86_64") == [ORIGAX, CFFI_313, PTRACE]
    i686 = [name.replace("x86_64", "i686") for name in (ORIGAX, CFFI_311)]
    assert chosen(tmp_path, (3, 11), "i686") == [*i686, PTRACE]


# Where a wheel is lacking, the error names it, the Python and the machine, and what to call.
def test_lacking(tmp_path: Path) -> None:
    lay(tmp_path, *LOT)
    with pytest.raises(UsageError) as caught:
        wheels.choose(tmp_path, (3, 14), "x86_64")
    assert caught.value.what == "no wheel of cffi for CPython 3.14 on x86_64 with glibc 2.17"
    assert "--python-version 3.14 --platform manylinux2014_x86_64 cffi" in caught.value.do
    with pytest.raises(UsageError, match="of origax, nor of cffi, nor of python-ptrace"):
        wheels.choose(tmp_path / "none", (3, 11), "i686")


# A wheel that asks for a newer glibc than the box's is not chosen; with a newer box it is. One that
# was built for its own machine alone is taken only where there is no other.
def test_glibc(tmp_path: Path) -> None:
    newer = "origax-0.1.0-cp311-abi3-manylinux_2_34_x86_64.whl"
    own = "origax-0.1.0-cp311-abi3-linux_x86_64.whl"
    lay(tmp_path, newer, CFFI_311, PTRACE)
    with pytest.raises(UsageError, match="no wheel of origax"):
        wheels.choose(tmp_path, (3, 11), "x86_64")
    assert wheels.choose(tmp_path, (3, 11), "x86_64", (2, 36))[0].name == newer
    lay(tmp_path, own)
    assert wheels.choose(tmp_path, (3, 11), "x86_64")[0].name == own
    assert wheels.choose(tmp_path, (3, 11), "x86_64", (2, 36))[0].name == newer


# A file whose name is not that of a wheel is named, not passed over.
def test_no_wheel(tmp_path: Path) -> None:
    lay(tmp_path, *LOT, "origax.whl")
    with pytest.raises(UsageError, match="that is no wheel") as caught:
        wheels.choose(tmp_path, (3, 11), "x86_64")
    assert caught.value.on == str(tmp_path / "origax.whl")


# What is there is not fetched again: pip is not even called.
def test_fetch_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wheels, "_pip", lambda *arguments: pytest.fail(f"pip {arguments}"))
    lay(tmp_path, *LOT)
    wheels.fetch(tmp_path, [(3, 11), (3, 13)], "x86_64")


# What is lacking is asked of pip for the other Python and machine; origax for a machine that is
# not ours cannot be built here, and the error says so.
def test_fetch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, ...]] = []
    monkeypatch.setattr(wheels, "_pip", lambda *arguments: asked.append(arguments))
    lay(tmp_path, ORIGAX, PTRACE)
    wheels.fetch(tmp_path, [(3, 12)], "x86_64")
    (call,) = asked
    assert call[0] == "download" and call[-1] == "cffi" and "3.12" in call
    assert "manylinux2014_x86_64" in call
    other = "i686" if wheels.machine() == "x86_64" else "x86_64"
    (tmp_path / ORIGAX).unlink()
    with pytest.raises(UsageError, match="none can be built here"):
        wheels.fetch(tmp_path, [(3, 12)], other)


# When pip fails, its last word is in the error, and the command is there to be run by hand.
def test_pip_fails(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match="pip failed: ") as caught:
        wheels._pip("download", "--no-index", "--dest", str(tmp_path), "no-such-distribution")
    assert "no-such-distribution" in caught.value.what and sys.executable in caught.value.on


# An unpacked wheel has its modules and its programs, which can be executed, and no manuals.
def test_unpack(tmp_path: Path) -> None:
    path = tmp_path / "some-1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        program = zipfile.ZipInfo("some/program")
        program.external_attr = 0o100755 << 16
        wheel.writestr(program, "#!/bin/sh\n")
        wheel.writestr("some/module.py", "")
        wheel.writestr("some-1.data/data/share/man/man1/some.1", "")
    wheels.unpack([path], tmp_path / "there")
    modes = {
        str(each.relative_to(tmp_path / "there")): each.stat().st_mode & 0o777
        for each in (tmp_path / "there").rglob("*") if each.is_file()
    }  # fmt: skip
    assert modes == {"some/program": 0o755, "some/module.py": 0o644}
