# SPDX-License-Identifier: GPL-2.0-only
"""Building what is released of a commit, the same bytes each time.

They depend on the commit, on the compiler and the Python that build it, and on requirements.txt;
not on when, where and by whom.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

from conformance import userland, version, wheels
from conformance.errors import HarnessError, UsageError
from conformance.places import CHECKOUT
from release import zipapp

REQUIREMENTS: Final = CHECKOUT / "release/requirements.txt"
SUMS: Final = "SHA256SUMS"
SHARE: Final = {
    "share/man/man1/origax.1": "origax.1",
    "share/bash-completion/completions/origax": "origax.bash",
    "share/zsh/site-functions/_origax": "_origax",
}
"""What a wheel has for other programs, and its name beside the wheel: for who installs none."""


def say(text: str) -> None:
    """Tell the user what is under way."""
    print(f"release: {text}", file=sys.stderr, flush=True)


def must(command: Sequence[str], do: str, **more: Any) -> str:
    """Run a step without which there is no release; returns its output.

    :param do: what the user can do when it fails
    :raises HarnessError: it fails
    """
    done = subprocess.run(command, capture_output=True, text=True, check=False, **more)
    if done.returncode:
        lines = f"{done.stdout}\n{done.stderr}".strip().splitlines() or ["no message"]
        raise HarnessError(
            f"a step of the release failed: {lines[-1]}",
            " ".join(command), f"{do}; its last lines:\n{chr(10).join(lines[-15:])}",
        )  # fmt: skip
    return str(done.stdout)


def release(output: Path, machines: Sequence[str]) -> None:
    """Build everything of the commit that is checked out into a directory, which is emptied.

    :param machines: whose wheels, of wheels.MACHINES
    :raises OrigaxError: something is not committed, or a step failed
    """
    commit = version.asked(CHECKOUT)
    if not commit or commit.endswith(version.CHANGES):
        raise UsageError(
            "a release is of a commit, and this is none", commit or str(CHECKOUT),
            "commit what has changed, in a clone of the repository",
        )  # fmt: skip
    os.umask(0o022)
    output = _emptied(output)
    with tempfile.TemporaryDirectory(prefix="origax-release-") as there, pinned():
        source = Path(there, "source")
        date = _export(commit, source)
        environ = _environ(date)
        say(f"the source of {commit}")
        sdist = _sdist(source, output, environ, date)
        shutil.unpack_archive(sdist, there)
        unpacked = Path(there, sdist.name.removesuffix(".tar.gz"))
        for machine in machines:
            say(f"the wheel for {machine}")
            ours = machine == wheels.machine()
            build = partial(_build, "wheel") if ours else _userland_wheel
            _repair(build(unpacked, Path(there, machine), environ), output, machine, environ)
        say("origax.pyz")
        zipapp.write(output / "origax.pyz", output, machines, date)
    _beside(output)
    sums = [f"{_digest(path)}  {path.name}\n" for path in sorted(output.iterdir())]
    (output / SUMS).write_text("".join(sums), encoding="ascii")


def _emptied(output: Path) -> Path:
    """Give the directory, new or empty.

    :raises UsageError: there is something in it that is no earlier release
    """
    if output.exists() and any(output.iterdir()) and not (output / SUMS).exists():
        on = f"{output}, which has no {SUMS}"
        raise UsageError("that is no earlier release", on, "name another directory, or empty it")
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    return output.resolve()


def _export(commit: str, source: Path) -> int:
    """Write the files of a commit, and its name; returns its date."""
    git, archive = ("git", "-C", str(CHECKOUT)), source.with_suffix(".tar")
    export = ("-c", "tar.umask=0022", "archive", "-o", str(archive), commit)
    must([*git, *export], "see what git says")
    shutil.unpack_archive(archive, source)
    (source / version.STAMP).write_text(f"{commit}\n", encoding="ascii")
    return int(must([*git, "show", "-s", "--format=%ct", commit], "see what git says"))


@contextmanager
def pinned() -> Iterator[None]:
    """Have pip take the versions of requirements.txt, whoever calls it."""
    before = os.environ.get("PIP_CONSTRAINT")
    with tempfile.TemporaryDirectory(prefix="origax-pinned-") as there:
        # A copy: pip takes no path with a blank in it.
        os.environ["PIP_CONSTRAINT"] = str(shutil.copy(REQUIREMENTS, there))
        try:
            yield
        finally:
            del os.environ["PIP_CONSTRAINT"]
            os.environ.update({"PIP_CONSTRAINT": before} if before else {})


def _environ(date: int) -> Mapping[str, str]:
    """Give the environment of every step: what a user sets for compilers is left out."""
    kept = {name: text for name, text in os.environ.items()
            if name not in ("CFLAGS", "CPPFLAGS", "LDFLAGS", "CC", "PYTHONPATH")}  # fmt: skip
    return {
        **kept, "SOURCE_DATE_EPOCH": str(date), "LC_ALL": "C.UTF-8", "TZ": "UTC",
        "PYTHONHASHSEED": "0",
    }  # fmt: skip


def _build(kind: str, source: Path, output: Path, environ: Mapping[str, str]) -> Path:
    """Have the build backend make one file, by the tools that are installed here."""
    command = [sys.executable, "-P", "-m", "build", "--no-isolation", f"--{kind}"]
    must(
        [*command, "--outdir", str(output), str(source)],
        f"pip install -r {REQUIREMENTS}, or see what the build says", env=environ,
    )  # fmt: skip
    (made,) = output.iterdir()
    return made


def _sdist(source: Path, output: Path, environ: Mapping[str, str], date: int) -> Path:
    made = _build("sdist", source, output, environ)
    repack(made, date)
    return made


def repack(made: Path, date: int) -> None:
    """Pack a source's archive again, so that its bytes follow from its files' alone."""
    with tarfile.open(made) as tar:
        files = {each.name: tar.extractfile(each) for each in tar if each.isfile()}
        modes = {each.name: each.mode for each in tar}
        contents = {name: file.read() for name, file in files.items() if file}
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name in sorted(contents):
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(contents[name]), date
            info.mode = 0o755 if modes[name] & 0o100 else 0o644
            tar.addfile(info, io.BytesIO(contents[name]))
    made.write_bytes(gzip.compress(raw.getvalue(), 9, mtime=date))


def _userland_wheel(source: Path, output: Path, environ: Mapping[str, str]) -> Path:
    """Build in the 32-bit Debian, whose mounts are this process's and end with it.

    :raises HarnessError: it cannot be had here
    """
    root = userland.location(os.environ)
    userland.require_root()
    userland.require_ia32()
    userland.leave_mounts()
    userland.once(root, userland.debootstrap)
    userland.furnish(root)
    tools = tomllib.loads((source / "pyproject.toml").read_text())["build-system"]["requires"]
    userland.fetch(root, tools, root / "tmp/wheels")
    userland.copy(source, root / "tmp/source")
    names = ("SOURCE_DATE_EPOCH", "TZ", "PYTHONHASHSEED")
    inside = {**userland.INSIDE, **{name: environ[name] for name in names}}
    for command in (
        ("python3", "-m", "venv", "/tmp/venv"),
        ("/tmp/venv/bin/pip", "install", "-q", "--no-index", "-f", "/tmp/wheels", "-U", *tools),
        ("/tmp/venv/bin/pip", "wheel", "-q", "--no-index", "--no-deps", "--no-build-isolation",
         "-w", "/tmp/made", "/tmp/source"),
    ):  # fmt: skip
        must(userland.inside(root, *command), "see what it says", env=inside)
    output.mkdir(parents=True)
    (made,) = (root / "tmp/made").iterdir()
    return Path(shutil.copy(made, output))


def _repair(wheel: Path, output: Path, machine: str, environ: Mapping[str, str]) -> None:
    """Give a wheel its manylinux tag, or fail if it needs a newer C library than that says.

    :raises HarnessError: it does; or a program was touched, whose code is known by its digest
    """
    made, platform = wheel.parent / "repaired", f"manylinux_2_17_{machine}"
    command = [sys.executable, "-P", "-m", "auditwheel", "repair"]
    must([*command, "-w", str(made), str(wheel)], "see what it says", env=environ)
    (repaired,) = made.iterdir()
    if platform not in repaired.name:
        raise HarnessError(
            f"the extension needs a newer C library than {platform}", repaired.name,
            "see which symbols are too new, and ask the kernel instead: auditwheel show",
        )  # fmt: skip
    if _programs(wheel) != _programs(repaired):
        what = "auditwheel changed the probes' programs"
        raise HarnessError(what, repaired.name, "do without stripping, and without patching")
    shutil.copy(repaired, output)


def _programs(wheel: Path) -> Mapping[str, tuple[int, bytes]]:
    """Give the programs of a wheel, each with its mode."""
    with zipfile.ZipFile(wheel) as file:
        return {
            each.filename: (each.external_attr >> 16 & 0o777, file.read(each))
            for each in file.infolist()
            if each.filename.startswith("conformance/_programs/") and not each.is_dir()
        }


def _beside(output: Path) -> None:
    """Lay beside the wheels what one of them has for other programs."""
    with zipfile.ZipFile(min(output.glob("origax-*.whl"))) as wheel:
        for member in wheel.namelist():
            for tail, name in SHARE.items():
                if member.endswith(f".data/data/{tail}"):
                    (output / name).write_bytes(wheel.read(member))


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def compare(output: Path, machines: Sequence[str]) -> None:
    """Build again, of a clone elsewhere, as another user has it; every byte must be the same.

    :param output: what was built before
    :raises HarnessError: something differs
    """
    say("all of it once more, elsewhere")
    with _elsewhere() as clone:
        for command in (
            ("git", "clone", "-q", "--no-hardlinks", str(CHECKOUT), str(clone)),
            ("git", "-C", str(clone), "checkout", "-q", version.asked(CHECKOUT)),
        ):
            must(command, "see what git says")
        chosen = [text for machine in machines for text in ("--machine", machine)]
        must(
            [sys.executable, "-m", "release", "--output", "made", *chosen], "see what it says",
            cwd=clone, umask=0o077, env={**os.environ, "TZ": "Asia/Tokyo", "LC_ALL": "C"},
        )  # fmt: skip
        one, other = ({path.name: _digest(path) for path in directory.iterdir()}
                      for directory in (output, clone / "made"))  # fmt: skip
    if differ := sorted({name for name, _ in one.items() ^ other.items()}):
        raise HarnessError(
            "the same commit made other bytes elsewhere", ", ".join(differ),
            "build both again with -o, and compare them with diffoscope",
        )  # fmt: skip
    say(f"{len(one)} files, the same both times")


@contextmanager
def _elsewhere() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="origax-again-") as there:
        yield Path(there, "another clone")
