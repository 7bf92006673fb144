# SPDX-License-Identifier: GPL-2.0-only
"""Releases: the zipapp that begins by itself, archives that are of no user and no time, refusals.

``tox -e packages`` builds the whole, twice, and runs it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from conformance.errors import HarnessError, UsageError
from conformance.wheels import machine

ROOT = Path(__file__).parents[1]
HERE = f"{sys.version_info[0]}.{sys.version_info[1]} {machine()}"
DATE = 1_700_000_000
CLI = """\
import os, signal, stat, sys, time
from pathlib import Path

def main(arguments):
    place = Path(__file__).parents[1]
    print(place, oct(stat.S_IMODE(place.stat().st_mode)), *arguments, flush=True)
    if arguments == ["wait"]:
        time.sleep(60)
    return 7
"""
"""Stands for origax's command line."""


@pytest.fixture(scope="module")
def release() -> Iterator[None]:
    sys.path.insert(0, str(ROOT))
    yield
    sys.path.remove(str(ROOT))


def pyz(path: Path, key: str = HERE) -> Path:
    """Make a zipapp as a release does, with a small wheel in it."""
    from release import zipapp

    wheel = path.parent / "origax-1-py3-none-any.whl"
    if not wheel.exists():
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr("conformance/__init__.py", "")
            archive.writestr("conformance/cli.py", CLI)
    zipapp.pack(path, {key: (wheel,)}, DATE)
    return path


def begin(
    path: Path, *arguments: str, before: tuple[str, ...] = (), **environ: str
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*before, sys.executable, str(path), *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **environ},
    )  # fmt: skip


# The zipapp runs origax out of a directory that is the user's alone, gives its exit code, and
# leaves nothing.
def test_run(release: None, tmp_path: Path) -> None:
    process = begin(pyz(tmp_path / "o.pyz"), "run", "x", TMPDIR=str(tmp_path))
    said, errors = process.communicate(timeout=30)
    place, mode, *arguments = said.split()
    assert (process.returncode, errors) == (7, "")
    assert Path(place).parent == tmp_path and mode == "0o700" and arguments == ["run", "x"]
    assert not list(tmp_path.glob("origax-*/"))


# Whatever signal ends it, its directory goes, and the exit code says which; ^C is for origax to
# make one of, and here is left to Python.
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, -2)]
)
def test_signals(release: None, tmp_path: Path, number: signal.Signals, code: int) -> None:
    heard = ("env", "--default-signal=HUP,INT,TERM")  # the tests may run under nohup, too
    with begin(pyz(tmp_path / "o.pyz"), "wait", before=heard, TMPDIR=str(tmp_path)) as process:
        assert process.stdout
        place = Path(process.stdout.readline().split()[0])
        assert place.is_dir()
        process.send_signal(number)
        assert process.wait(30) == code
    assert not place.exists()


# Under nohup it goes on through a hangup.
def test_nohup(release: None, tmp_path: Path) -> None:
    ignoring = ("sh", "-c", 'trap "" HUP; exec "$@"', "sh")
    made = pyz(tmp_path / "o.pyz")
    with begin(made, "wait", before=ignoring, TMPDIR=str(tmp_path)) as process:
        assert process.stdout and process.stdout.readline()
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 143


# For a Python of which it has no wheels it says so in three parts, with those that it has.
def test_no_wheels(release: None, tmp_path: Path) -> None:
    process = begin(pyz(tmp_path / "o.pyz", "3.99 x86_64"))
    _, errors = process.communicate(timeout=30)
    what, on, do = errors.splitlines()
    assert process.returncode == 3
    assert what == "origax: this file has nothing for that Python" and HERE in on
    assert "3.99 x86_64" in do


# The first file in it is one that Python 2 and 3 of any age can read: it has no syntax of later
# ones, and imports nothing before it has looked at the version.
def test_first() -> None:
    source = (ROOT / "release/first.py").read_text()
    assert "\nimport" not in source.partition("sys.version_info <")[0].replace("import sys", "", 1)
    for word in ('f"', "->", ":=", "print"):
        assert word not in source
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.version_info = (3, 6)\n{source}"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 3
    assert [line.split(":")[0] for line in done.stderr.splitlines()] == ["origax", "  on", "  do"]


# Made twice, with another umask, the zipapp has the same bytes, and one time for all files.
def test_zipapp_same(release: None, tmp_path: Path) -> None:
    one = pyz(tmp_path / "one.pyz").read_bytes()
    before = os.umask(0o077)
    try:
        again = pyz(tmp_path / "again.pyz")
    finally:
        os.umask(before)
    with zipfile.ZipFile(again) as archive:
        assert json.loads(archive.read("wheels.json")) == {HERE: ["origax-1-py3-none-any.whl"]}
        assert {each.date_time for each in archive.infolist()} == {(2023, 11, 14, 22, 13, 20)}
    assert again.read_bytes() == one and again.stat().st_mode & 0o777 == 0o755


# An archive of the source is packed again in order, of no user, with two modes and one time.
def test_sdist_same(release: None, tmp_path: Path) -> None:
    from release import building

    made = []
    for name, umask in (("one", 0o022), ("other", 0o077)):
        directory = tmp_path / name
        directory.mkdir()
        for file, mode in (("b", 0o664), ("a", 0o700)):
            (directory / file).write_text(file)
            (directory / file).chmod(mode & ~umask)
        with tarfile.open(directory / "made.tar.gz", "w:gz") as tar:
            for file in ("b", "a") if umask == 0o022 else ("a", "b"):
                tar.add(directory / file, f"origax/{file}")
        building.repack(directory / "made.tar.gz", DATE)
        made.append((directory / "made.tar.gz").read_bytes())
    assert made[0] == made[1]
    with tarfile.open(tmp_path / "one/made.tar.gz") as tar:
        assert [(each.name, each.mode, each.uid, each.uname, each.mtime) for each in tar] == [
            ("origax/a", 0o755, 0, "", DATE), ("origax/b", 0o644, 0, "", DATE),
        ]  # fmt: skip


# What is not committed is not released; and a directory with something else in it is not emptied.
def test_refusals(release: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from release import building

    monkeypatch.setattr(building.version, "asked", lambda _: "0123+changes")
    with pytest.raises(UsageError, match="a release is of a commit") as caught:
        building.release(tmp_path / "new", ["x86_64"])
    assert caught.value.on == "0123+changes" and not (tmp_path / "new").exists()
    monkeypatch.setattr(building.version, "asked", lambda _: "0123")
    (tmp_path / "letter").touch()
    with pytest.raises(UsageError, match="no earlier release"):
        building.release(tmp_path, ["x86_64"])
    assert (tmp_path / "letter").exists()


# A step that fails is named with its last lines.
def test_step_fails(release: None) -> None:
    from release import building

    with pytest.raises(HarnessError, match="failed: why") as caught:
        building.must(["sh", "-c", "echo first; echo why >&2; exit 5"], "see")
    assert "first\n\nwhy" in caught.value.do or "first\nwhy" in caught.value.do
