# SPDX-License-Identifier: GPL-2.0-only
"""The suite in a 32-bit Debian on this 64-bit kernel: ``python -m conformance.userland``.

The Debian is built once, into the user's cache, and never changed afterwards. A run sees it
read-only, with a tmpfs for its /tmp, in a mount namespace of its own: whatever way the run ends,
its mounts and files end with it. Python packages are fetched from outside and installed from
files, so that nothing inside needs a network.
"""

from __future__ import annotations

import argparse
import ctypes
import errno
import hashlib
import os
import re
import shlex
import shutil
import signal
import struct
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from conformance import cache
from conformance.errors import HarnessError, OrigaxError, UsageError
from conformance.places import CHECKOUT

RELEASE: Final = "bookworm"
"""Its Python is the oldest that origax takes."""

PACKAGES: Final = ("busybox-static", "gcc", "libc6-dev", "python3-dev", "python3-venv")
"""What builds and runs origax; and busybox, by which a native 32-bit kernel boots such a root."""
KEYRING: Final = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
NOT_SOURCE: Final = (".*", "build", "dist", "*.egg-info", "__pycache__", "*.so", "_programs")
"""What a checkout holds besides its source: above all 64-bit builds, which nobody must load."""

FOLLOW: Final = ("setpriv", "--pdeathsig", "INT")
"""Begins the command of each child that may take long: it is not to outlive us."""

CLONE_NEWNS: Final = 0x00020000
MS_REC: Final = 0x4000
MS_PRIVATE: Final = 0x40000
PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PYTHON: Final = "/tmp/venv/bin/python"
"""The interpreter inside that has origax."""
INSIDE: Final = {"PATH": PATH, "HOME": "/tmp", "LC_ALL": "C.UTF-8"}


def location(environ: Mapping[str, str]) -> Path:
    """Give the root's place in the cache: other packages are another root (delete the old one)."""
    recipe = hashlib.sha256(" ".join(PACKAGES).encode()).hexdigest()
    return cache.directory(environ) / f"i386-{RELEASE}-{recipe[:8]}"


# May this machine do it at all?


def require_root() -> None:
    """Make sure that we may mount and chroot.

    :raises HarnessError: we may not
    """
    if os.geteuid():
        raise HarnessError(
            "no permission to mount and to chroot", f"the 32-bit userland, as user {os.geteuid()}",
            "run as root: sudo tox -e i386",
        )  # fmt: skip


def require_ia32() -> None:
    """Make sure that the kernel runs 32-bit programs, by running the smallest.

    :raises HarnessError: it does not
    """
    code = b"\x31\xdb\x8d\x43\x01\xcd\x80"  # xor %ebx,%ebx; lea 1(%ebx),%eax; int $0x80: exit(0)
    base, head = 0x08048000, 52 + 32
    size = head + len(code)
    elf = struct.pack("<4s4B8x", b"\x7fELF", 1, 1, 1, 0)
    elf += struct.pack("<2H5I6H", 2, 3, 1, base + head, 52, 0, 0, 52, 32, 1, 40, 0, 0)
    elf += struct.pack("<8I", 1, 0, base, base, size, size, 5, 0x1000)
    program = os.memfd_create("ia32")
    try:
        os.write(program, elf + code)
        subprocess.run([f"/proc/self/fd/{program}"], pass_fds=(program,), check=False)
    except OSError as error:
        # Any other error says nothing of 32-bit programs; debootstrap will tell.
        if error.errno == errno.ENOEXEC:
            raise HarnessError(
                "this kernel runs no 32-bit programs", os.uname().release,
                "boot one with CONFIG_IA32_EMULATION, and without ia32_emulation=0",
            ) from None  # fmt: skip
    finally:
        os.close(program)


def require_tools() -> None:
    """Make sure that a root can be built.

    :raises HarnessError: a package is missing
    """
    lacking = [] if shutil.which("debootstrap", path=PATH) else ["debootstrap"]
    lacking += [] if KEYRING.exists() else ["debian-archive-keyring"]
    if lacking:
        raise HarnessError(
            f"no {' and no '.join(lacking)}", "building a Debian, once",
            f"on Debian: apt-get install {' '.join(lacking)}",
        )  # fmt: skip


# Building the root


def apt_sites(label: str = "Debian") -> str:
    """Ask apt which mirrors of Debian it uses: one URI a line.

    :param label: what the archive's Release calls itself: Debian, or Debian-Security
    """
    only = ("Origin: Debian", f"Label: {label}", "Component: main")
    try:
        done = subprocess.run(
            ["apt-get", "indextargets", "--format", "$(SITE)", *only],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    except FileNotFoundError:
        return ""
    return done.stdout


def mirror(sites: str) -> str:
    """Choose the first that debootstrap can use.

    :param sites: what :func:`apt_sites` gives
    :raises HarnessError: there is none
    """
    for site in sites.split():
        listed = site.removeprefix("mirror+file:")
        # Debian's cloud images name a file that lists the mirrors, best first.
        for uri in [site] if listed == site else _text(Path(listed)).split():
            if uri.startswith(("http:", "https:", "file:")):
                return uri
    raise HarnessError(
        "apt names no mirror of Debian", "apt-get indextargets",
        "on Debian: apt-get update, with a source of Debian's own; elsewhere this cannot run",
    )  # fmt: skip


def _text(path: Path) -> str:
    """Read what may not be there."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""


def debootstrap(target: Path, lock: int) -> None:
    """Build the root of the 32-bit userland.

    :param target: a directory that is not there yet
    :param lock: held by debootstrap's children too, should they outlive us
    :raises HarnessError: a tool is missing, there is no mirror, or debootstrap failed
    """
    bootstrap(target, lock, "i386", RELEASE, PACKAGES)


def bootstrap(
    target: Path, lock: int, architecture: str, release: str, packages: Sequence[str]
) -> None:
    """Build a Debian's root; parameters and errors are those of :func:`debootstrap`."""
    require_tools()
    command = [
        *FOLLOW, "debootstrap", f"--arch={architecture}", "--variant=minbase", "--force-check-gpg",
        f"--keyring={KEYRING}", f"--include={','.join(packages)}",
        release, str(target), mirror(apt_sites()),
    ]  # fmt: skip
    log = target.with_suffix(".log")
    say(f"building a Debian {release} for {architecture}, once: a minute or two ({log})")
    with log.open("w") as output:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, pass_fds=(lock,),
            env={**os.environ, "PATH": PATH}, check=False,
        )  # fmt: skip
    if done.returncode:
        last = (_text(log).splitlines() or ["no message"])[-1]
        raise HarnessError(f"debootstrap failed: {last}", shlex.join(command), f"read {log}")


def once(root: Path, build: Callable[[Path, int], None]) -> None:
    """Build a root unless it is there; it gets its name when it is whole.

    :param build: fills the directory that it is given; its second argument is the lock's descriptor
    """
    if root.is_dir():
        return
    with cache.locked(root.with_suffix(".lock"), say) as lock:
        if root.is_dir():  # somebody else has built it while we waited
            return
        with cache.whole(root) as part:
            build(part, lock)


# One run in it


def leave_mounts() -> None:
    """Move this process into a mount namespace of its own, from which nothing propagates.

    :raises HarnessError: the kernel does not let us
    """
    libc = ctypes.CDLL(None, use_errno=True)

    def call(name: str, *arguments: object) -> None:
        if getattr(libc, name)(*arguments):
            raise HarnessError(
                f"no mount namespace of our own: {os.strerror(ctypes.get_errno())}", f"{name}(2)",
                "run with CAP_SYS_ADMIN: in a container, a privileged one",
            )  # fmt: skip

    call("unshare", CLONE_NEWNS)
    # In a chroot "/" need not be a mount: setns(2) goes to the namespace's own root, and we return.
    root, here = (os.open(name, os.O_PATH | os.O_DIRECTORY) for name in ("/", "."))
    with Path("/proc/self/ns/mnt").open() as namespace:
        call("setns", namespace.fileno(), CLONE_NEWNS)
    call("mount", None, b"/", None, ctypes.c_ulong(MS_REC | MS_PRIVATE), None)
    os.fchdir(root)
    os.chroot(".")
    os.fchdir(here)
    os.close(root)
    os.close(here)


def mount(*arguments: str | Path) -> None:
    """Call mount(8).

    :raises HarnessError: it fails
    """
    must(["mount", *map(str, arguments)], "see what mount says above")


def furnish(root: Path) -> None:
    """Mount what a run needs; only this process and its children see it.

    :param root: made read-only but for /tmp, which is a new tmpfs
    """
    mount("--bind", "-o", "ro", root, root)
    mount("-t", "tmpfs", "-o", "mode=1777", "tmpfs", root / "tmp")
    for name in ("proc", "sys", "dev"):
        mount("--rbind", f"/{name}", root / name)


def requirements(pyproject: Path) -> list[str]:
    """List what building, running and testing origax takes, as pyproject.toml has it.

    :raises UsageError: this is no checkout
    """
    try:
        tables = tomllib.loads(pyproject.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(
            "no source to build in the 32-bit userland", str(error), "run it in a checkout"
        ) from None
    project = tables["project"]

    def extra(name: str) -> Iterator[str]:
        for requirement in project["optional-dependencies"][name]:
            own = re.fullmatch(rf"{project['name']}\[([\w, ]+)\]", requirement)
            for part in own[1].split(",") if own else ():
                yield from extra(part.strip())
            if not own:
                yield requirement

    return [*tables["build-system"]["requires"], *project["dependencies"], *extra("test")]


def fetch(root: Path, wanted: Sequence[str], wheels: Path) -> None:
    """Download wheels for the root's Python, with this machine's network and settings of pip.

    That Python runs pip, but out here, by the root's own loader: certificates, indexes and local
    packages are where the settings say, and versions, tags and markers are those of the Python
    inside. (The machine's own Python would judge the markers by itself, whatever
    ``--python-version`` says.)

    :raises HarnessError: pip fails
    """
    (pip,) = root.glob("usr/share/python-wheels/pip-*.whl")
    libraries = root / "usr/lib/i386-linux-gnu"
    loader = [str(libraries / "ld-linux.so.2"), "--library-path", str(libraries)]
    must(
        [
            *FOLLOW, *loader, str(root / "usr/bin/python3"), str(pip / "pip"), "download",
            "--quiet", "--only-binary", ":all:", "--dest", str(wheels), *wanted,
        ],
        "see what pip says above: a package without a wheel for i686 cannot be had",
        {**os.environ, "PYTHONHOME": str(root / "usr")},
    )  # fmt: skip


def must(command: Sequence[str], do: str, environ: Mapping[str, str] | None = None) -> None:
    """Run a step without which there is no result.

    :param do: what the user can do when it fails
    :raises HarnessError: it fails
    """
    done = subprocess.run(command, env=environ, check=False)
    if done.returncode:
        raise HarnessError(
            f"a step of the 32-bit userland failed ({done.returncode})", shlex.join(command), do
        )


def inside(root: Path, *command: str) -> list[str]:
    """Give the command that runs one in the root, in the copy of the source."""
    return [*FOLLOW, "chroot", str(root), "env", "--chdir=/tmp/source", *command]


def copy(source: Path, target: Path) -> None:
    """Copy a checkout without what was built in it."""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns(*NOT_SOURCE), symlinks=True)


def install(root: Path, source: Path) -> None:
    """Install origax with its tests' needs into a virtual environment inside, /tmp/venv.

    :raises HarnessError: it cannot be built
    """
    fetch(root, requirements(source / "pyproject.toml"), root / "tmp/wheels")
    copy(source, root / "tmp/source")
    must(inside(root, "python3", "-m", "venv", "/tmp/venv"), "see what Python says above", INSIDE)
    pip = ("/tmp/venv/bin/pip", "install", "--quiet", "--no-index", "--find-links", "/tmp/wheels")
    must(inside(root, *pip, "/tmp/source[test]"), "see what the build says above", INSIDE)


def prepared() -> Path:
    """Give a root in which this checkout is installed; it is this process's, and ends with it.

    :raises OrigaxError: it cannot be had here
    """
    root = location(os.environ)
    require_root()
    require_ia32()
    leave_mounts()
    once(root, debootstrap)
    furnish(root)
    install(root, CHECKOUT)
    return root


def suite(root: Path, record: Path | None, pytest: Sequence[str]) -> int:
    """Run every case and the tests; returns the first exit code that is not 0.

    :param record: gets the record of the cases
    :param pytest: arguments for pytest
    """
    # Goldens are not updated in CI, and a test may ask for the reason.
    environ = INSIDE | {name: os.environ[name] for name in ("CI", "TERM") if name in os.environ}
    kept = root / "tmp/record.json"
    cases = subprocess.run(
        inside(root, "/tmp/venv/bin/origax", "run", "--record", "/tmp/record.json"),
        env=environ, check=False,
    )  # fmt: skip
    if record and kept.exists():
        shutil.copyfile(kept, record)
    tests = subprocess.run(inside(root, "/tmp/venv/bin/pytest", *pytest), env=environ, check=False)
    code = cases.returncode or tests.returncode
    return 128 - code if code < 0 else code


def say(text: str) -> None:
    """Tell the user, beside the output of what runs."""
    print(f"origax: {text}", file=sys.stderr, flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the suite in the 32-bit userland; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m conformance.userland", description=__doc__)
    parser.add_argument("--record", type=Path, metavar="FILE", help="keep the record there")
    parser.add_argument("pytest", nargs="*", help="arguments for pytest, after --")
    args = parser.parse_args(argv)
    try:
        return suite(prepared(), args.record, args.pytest)
    except OrigaxError as error:
        say(str(error))
        return error.exit_code


if __name__ == "__main__":
    # ^C ends us on the spot: the children get it too, and FOLLOW ends those that do not.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(main())
