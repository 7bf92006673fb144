# SPDX-License-Identifier: GPL-2.0-only
"""The 32-bit userland: what can be shown of it without building one."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from conformance import userland
from conformance.errors import HarnessError, UsageError

PYPROJECT = """\
[build-system]
requires = ["setuptools>=77"]
[project]
name = "origax"
dependencies = ["cffi>=1.15"]
[project.optional-dependencies]
update = ["tomlkit"]
explore = ["hypothesis"]
test = ["origax[explore, update]", "pytest>=8"]
lint = ["origax[test]", "ruff"]
"""


def whole(path: Path, _lock: int) -> None:
    """Build a root in two steps, as far apart as another builder needs to see the first."""
    path.mkdir()
    time.sleep(0.05)
    (path / "python3").touch()


# Of apt's sites the first that debootstrap can read is taken; a compact disc is not one.
def test_mirror_is_apts() -> None:
    sites = "cdrom:[Debian]/\nhttp://mirror.example/debian\nhttp://other.example/debian\n"
    assert userland.mirror(sites) == "http://mirror.example/debian"


# Where apt has a list of mirrors, as on Debian's cloud images, the first of the list is taken.
def test_mirror_from_a_list(tmp_path: Path) -> None:
    listed = tmp_path / "mirrors.list"
    listed.write_text(
        "# ours\nhttps://near.example/debian\tpriority:1\nhttps://far.example/debian\n"
    )
    assert userland.mirror(f"mirror+file:{listed}\n") == "https://near.example/debian"


# Without a mirror, whether apt has none or is not there, the error says how to get one.
def test_no_mirror(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert userland.apt_sites() == ""
    with pytest.raises(HarnessError) as caught:
        userland.mirror(userland.apt_sites() + f"mirror+file:{tmp_path}/none")
    assert "apt-get update" in caught.value.do


# Without debootstrap the error has three parts, and names the package and nothing that is there.
def test_no_debootstrap(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(userland, "PATH", str(tmp_path))
    monkeypatch.setattr(userland, "KEYRING", tmp_path)
    with pytest.raises(HarnessError) as caught:
        userland.require_tools()
    assert str(caught.value).splitlines() == [
        "no debootstrap",
        "  on: building a Debian, once",
        "  do: on Debian: apt-get install debootstrap",
    ]


# A user who may not mount is told so in three parts, with exit code 3, before anything is done.
def test_not_root(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert userland.main([]) == 3
    what, on, do = capsys.readouterr().err.splitlines()
    assert what == "origax: no permission to mount and to chroot"
    assert on.startswith("  on: ")
    assert do == "  do: run as root: sudo tox -e i386"
    assert not (tmp_path / "cache").exists()


# A kernel that refuses 32-bit programs is told from other failures, and the error names its option.
def test_no_ia32(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(code: int) -> None:
        def run(*_args: object, **_options: object) -> None:
            raise OSError(code, os.strerror(code))

        monkeypatch.setattr(subprocess, "run", run)

    refuse(errno.ENOEXEC)
    with pytest.raises(HarnessError) as caught:
        userland.require_ia32()
    assert "CONFIG_IA32_EMULATION" in caught.value.do
    assert "ia32_emulation=0" in caught.value.do
    refuse(errno.EACCES)
    userland.require_ia32()


# A build that fails leaves no root; the next one clears what it left, and is whole.
def test_interrupted_build(tmp_path: Path) -> None:
    root = tmp_path / "cache" / "root"

    def half(path: Path, _lock: int) -> None:
        path.mkdir()
        (path / "half").touch()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        userland.once(root, half)
    assert not root.exists()
    userland.once(root, whole)
    assert [path.name for path in root.iterdir()] == ["python3"]


# A build that is killed, and so cleans up nothing, leaves nothing under the root's name.
def test_killed_build(tmp_path: Path) -> None:
    root = tmp_path / "root"
    script = (
        "import os, pathlib, sys\n"
        "from conformance import userland\n"
        "userland.once(pathlib.Path(sys.argv[1]),"
        " lambda path, lock: (path.mkdir(), os.kill(os.getpid(), 9)))\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(root)], check=False)
    assert done.returncode == -9
    assert not root.exists()
    userland.once(root, whole)
    assert (root / "python3").exists()


# Of two builders at once one builds, and the other waits for it and takes what is there.
def test_two_builders(tmp_path: Path) -> None:
    root = tmp_path / "root"
    built = []

    def build(path: Path, lock: int) -> None:
        built.append(path)
        whole(path, lock)

    builders = [threading.Thread(target=userland.once, args=(root, build)) for _ in range(2)]
    for builder in builders:
        builder.start()
    for builder in builders:
        builder.join()
    assert len(built) == 1
    assert (root / "python3").exists()


# Another list of packages is another root, so that none is used that lacks something.
def test_location_follows_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    place = userland.location({"XDG_CACHE_HOME": "/cache"})
    assert place.parent == Path("/cache/origax")
    monkeypatch.setattr(userland, "PACKAGES", (*userland.PACKAGES, "strace"))
    assert userland.location({"XDG_CACHE_HOME": "/cache"}) != place


# Fetched is what building, running and testing take, an extra's extras included, and no more.
def test_requirements(tmp_path: Path) -> None:
    pyproject = tmp_path / "pyproject.toml"
    pyproject.write_text(PYPROJECT)
    wanted = ["setuptools>=77", "cffi>=1.15", "hypothesis", "tomlkit", "pytest>=8"]
    assert userland.requirements(pyproject) == wanted
    with pytest.raises(UsageError, match="no source"):
        userland.requirements(tmp_path / "none.toml")


# The source is copied without its 64-bit builds, which a 32-bit Python would find and not load.
def test_copy_leaves_builds(tmp_path: Path) -> None:
    source = tmp_path / "checkout"
    kept = ["cprobes/build.py", "expected/facts.toml", "setup.py"]
    left = ["build/x.o", "conformance/_native.abi3.so", "conformance/_programs/true", ".git/HEAD"]
    for name in kept + left:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).touch()
    userland.copy(source, tmp_path / "copy")
    copied = (path for path in (tmp_path / "copy").rglob("*") if path.is_file())
    assert sorted(str(path.relative_to(tmp_path / "copy")) for path in copied) == kept
