# SPDX-License-Identifier: GPL-2.0-only
"""Which origax this is: the commit written down, or git's; and what the command says of it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from conformance import VERSION, cli, version
from conformance.tracing import image

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def git(directory: Path, *arguments: str) -> str:
    name = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    command = ["git", *name, *arguments]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    try:
        git(tmp_path, "init", "-q")
    except FileNotFoundError:
        pytest.skip("git is not installed")
    (tmp_path / "file").write_text("one\n")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-qm", "one")
    return tmp_path


def stamp(root: Path, text: str) -> None:
    path = root / version.STAMP
    path.parent.mkdir()
    path.write_text(f"{text}\n")


# In a checkout git names the commit; what was changed or added since is said.
def test_checkout(checkout: Path) -> None:
    commit = git(checkout, "rev-parse", "HEAD")
    assert version.asked(checkout) == commit
    (checkout / "file").write_text("two\n")
    assert version.asked(checkout) == f"{commit}+changes"
    git(checkout, "checkout", "-q", "file")
    (checkout / "new").touch()
    assert version.asked(checkout) == f"{commit}+changes"


# A hook of another repository has variables of git's that name that repository: it is not ours.
def test_hook(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = version.asked(checkout)
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    assert version.asked(checkout) == commit != ""


# Below somebody else's repository, or without git, nothing is made up.
def test_no_checkout(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (checkout / "below").mkdir()
    assert version.asked(checkout / "below") == ""
    monkeypatch.setenv("PATH", "/nowhere")
    assert version.asked(checkout) == ""


# A commit that was written down at the build is said, and in a record's version shortened.
def test_stamped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert version.stamped(tmp_path) == ""
    stamp(tmp_path, COMMIT)
    assert version.stamped(tmp_path) == COMMIT
    monkeypatch.setattr(version, "stamped", lambda: f"{COMMIT}+changes")
    assert version.commit() == f"{COMMIT}+changes"
    assert version.public() == f"{VERSION}+g0123456789ab.changes"


# A record's version is the bare one where no commit was written down.
def test_public(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(version, "stamped", lambda: "")
    assert version.public() == VERSION


# `origax --version` says it all in one line: version, commit, record version, probes, compiler.
def test_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["--version"])
    assert caught.value.code == 0
    said = re.fullmatch(
        rf"origax {re.escape(VERSION)} \(commit ([0-9a-f]{{40}}(\+changes)?|unknown), record 1, "
        r"probes sha256:([0-9a-f]{64}), by .+\)\n",
        capsys.readouterr().out,
    )
    assert said and said[3] == image.tool_digest()


# Where nothing was compiled, it says so instead of failing.
def test_not_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image, "PROGRAMS", tmp_path)
    monkeypatch.setattr(version, "PACKAGE", tmp_path)
    assert version.text().endswith("record 1, probes not built)")
