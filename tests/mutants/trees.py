# SPDX-License-Identifier: GPL-2.0-only
"""Kernels with planted faults: sources of Debian's, edited and built in the user's cache.

For each kernel one directory there::

    6.1/source               which source this is: the archive it was unpacked from
        tree/                edited; what was built stays, so that one fault is built in seconds
        pristine/            files of it as they were, before they were edited
        build.log
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from conformance import cache as caches
from conformance.errors import HarnessError
from conformance.kernels import packages
from conformance.places import PACKAGE
from conformance.userland import FOLLOW
from mutants import faults
from mutants.faults import Fault

HERE: Final = Path(__file__).resolve().parent
BZIMAGE: Final = "arch/x86/boot/bzImage"
SELFTESTS: Final = "tools/testing/selftests"
PEERS: Final = ("x86", "ptrace", "seccomp")
NO_PEERS: Final = ("seccomp_benchmark", "Makefile", "config", "settings")
"""What stands among them and tests nothing."""
ADDED: Final = {"origax.h": "include/linux/origax.h", "origax.c": "kernel/origax.c"}
MAKEFILE: Final = "kernel/Makefile"


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel that is built with faults.

    :ivar suite: Debian's, whose newest linux-source it is
    :ivar arch: as the kernel's Makefile takes it
    :ivar configs: fragments over tinyconfig
    """

    name: str
    suite: str
    arch: str
    configs: tuple[Path, ...]


CONFIG: Final = PACKAGE / "kernels" / "origax.config"
KERNELS: Final = (
    Kernel("6.1", "bookworm", "x86_64", (CONFIG,)),
    Kernel("sid", "sid", "x86_64", (CONFIG,)),
    Kernel("6.1-i386", "bookworm", "i386", (CONFIG, HERE / "i386.config")),
)


@dataclass(frozen=True, slots=True)
class Tree:
    """A kernel's tree in the cache; :meth:`build` makes what is there true."""

    kernel: Kernel
    place: Path
    say: Callable[[str], None]

    @property
    def tree(self) -> Path:
        """The source, edited."""
        return self.place / "tree"

    def build(self, planted: Sequence[Fault]) -> Path:
        """Have the kernel with those faults; returns its bzImage.

        :raises OrigaxError: its source cannot be had, an edit finds no place, or it does not build
        """
        with caches.locked(self.place / "lock", self.say) as lock:
            self._unpack(lock)
            self._edit(planted)
            self._configure(lock)
            self.say(f"{self.kernel.name}: building ({self.place / 'build.log'})")
            flags = f"-include {self.tree / ADDED['origax.h']}"
            self._run(
                [*self._make(), f"-j{os.cpu_count()}", f"KCFLAGS={flags}", f"KAFLAGS={flags}",
                 "bzImage"],
                lock,
            )  # fmt: skip
        return self.tree / BZIMAGE

    def selftests(self) -> list[Path]:
        """Build the kernel's own tests of what origax is about; returns the programs.

        :raises HarnessError: they cannot be built
        """
        with caches.locked(self.place / "lock", self.say) as lock:
            self.say(f"{self.kernel.name}: building its selftests")
            self._run([*self._make(), "headers"], lock)
            includes = f"KHDR_INCLUDES=-isystem {self.tree / 'usr/include'}"
            for target in PEERS:
                self._run(["make", "-C", f"{SELFTESTS}/{target}", includes], lock)
        found = [path for target in PEERS for path in (self.tree / SELFTESTS / target).iterdir()]
        return sorted(
            path for path in found
            if path.is_file() and os.access(path, os.X_OK) and path.suffix == ""
            and path.name not in NO_PEERS
        )  # fmt: skip

    def _unpack(self, lock: int) -> None:
        source = packages.Source(self.kernel.name, self.kernel.suite)
        cache = packages.location(os.environ)
        archive = packages.fetch_source(source, cache, lambda text, done, of: None)
        known = self.place / "source"
        if self.tree.is_dir() and known.exists() and known.read_text() == str(archive):
            return
        self.say(f"{self.kernel.name}: unpacking {archive.name}")
        for old in ("tree", "pristine"):
            subprocess.run(["rm", "-rf", self.place / old], check=True)
        with caches.whole(self.tree) as part:
            part.mkdir(parents=True)
            self._run(["tar", "-xf", str(archive), "--strip-components=1", "-C", str(part)], lock)
        known.write_text(str(archive))

    def _edit(self, planted: Sequence[Fault]) -> None:
        """Have every file as the faults want it, and touch none that is so already."""
        texts: dict[str, str] = {}
        for name, edits in faults.files(planted, self.kernel.name).items():
            texts[name] = faults.apply(self._pristine(name), edits)
        makefile = self._pristine(MAKEFILE)
        texts[MAKEFILE] = f"{makefile.rstrip()}\nobj-y += origax.o\n"
        for name, place in ADDED.items():
            texts[place] = (HERE / name).read_text(encoding="utf-8")
        kept = self.place / "pristine"
        for path in filter(Path.is_file, kept.rglob("*")):
            texts.setdefault(str(path.relative_to(kept)), path.read_text(encoding="utf-8"))
        for name, text in texts.items():
            path = self.tree / name
            if not path.exists() or path.read_text(encoding="utf-8") != text:
                path.write_text(text, encoding="utf-8")

    def _pristine(self, name: str) -> str:
        kept = self.place / "pristine" / name
        if not kept.exists():
            try:
                text = (self.tree / name).read_text(encoding="utf-8")
            except FileNotFoundError:
                raise HarnessError(
                    f"there is no {name}", f"{self.kernel.name}'s source, which a fault edits",
                    "look where this source has it, and give the fault an edit for this kernel",
                ) from None  # fmt: skip
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_text(text, encoding="utf-8")
        return kept.read_text(encoding="utf-8")

    def _configure(self, lock: int) -> None:
        wanted = "".join(path.read_text(encoding="ascii") for path in self.kernel.configs)
        known = self.place / "configured"
        if known.exists() and known.read_text(encoding="ascii") == wanted:
            return
        self._run([*self._make(), "tinyconfig"], lock)
        merge = self.tree / "scripts/kconfig/merge_config.sh"
        configs = map(str, self.kernel.configs)
        self._run([str(merge), "-m", ".config", *configs], lock, ARCH=self.kernel.arch)
        self._run([*self._make(), "olddefconfig"], lock)
        known.write_text(wanted, encoding="ascii")

    def _make(self) -> list[str]:
        return ["make", f"ARCH={self.kernel.arch}"]

    def _run(self, command: Sequence[str], lock: int, **environ: str) -> None:
        """Run a program in the tree, which is not to outlive us; its words go to build.log.

        :raises HarnessError: it fails; quotes its first error
        """
        log = self.place / "build.log"
        cwd = self.tree if self.tree.is_dir() else self.place
        variables: Mapping[str, str] = {**os.environ, "LC_ALL": "C.UTF-8", **environ}
        with log.open("w+", encoding="utf-8", errors="replace") as file:
            done = subprocess.run(
                [*FOLLOW, *command], cwd=cwd, env=variables, stdin=subprocess.DEVNULL,
                stdout=file, stderr=subprocess.STDOUT, pass_fds=(lock,), check=False,
            )  # fmt: skip
            file.seek(0)
            lines = file.read().splitlines() if done.returncode else []
        if done.returncode:
            errors = [line for line in lines if "rror" in line] or lines[-1:] or ["nothing"]
            raise HarnessError(
                f"{command[0]} failed: {errors[0].strip()}", f"{self.kernel.name}, in {cwd}",
                f"see {log}; Debian's kernels need: apt-get install make gcc bc bison flex "
                "libelf-dev, and their tests gcc-multilib libcap-dev",
            )  # fmt: skip


def tree(kernel: Kernel, say: Callable[[str], None]) -> Tree:
    """Give a kernel's place in the user's cache."""
    return Tree(kernel, caches.directory(os.environ) / "mutants" / kernel.name, say)
