# SPDX-License-Identifier: GPL-2.0-only
"""What to boot: environments of kernels.toml by name, or kernels that somebody built, by path."""

from __future__ import annotations

import compileall
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from conformance import userland
from conformance.errors import UsageError
from conformance.kernels import accelerator, environments, packages
from conformance.kernels.accelerator import KVM, TCG, Accelerator
from conformance.kernels.environments import ALL, Kernel
from conformance.kernels.guest import Boot
from conformance.kernels.packages import Image
from conformance.kernels.run import Target
from conformance.places import PACKAGE

BUILT: Final = "arch/x86/boot/bzImage"
"""Where a build tree has its image; arch/x86_64/boot has a link to it."""
MODEL: Final = "max,smap=off"
"""QEMU's processor for a kernel given by its path; see kernels.toml for smap=off."""
FOREIGN: Final = Accelerator(TCG, "the processor is of another vendor than this machine's")
XLOADFLAGS: Final = 0x236
"""Offset in a bzImage; bit 0 (XLF_KERNEL_64) says 64-bit (Documentation/arch/x86/boot.rst)."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A kernel to boot, and on what."""

    name: str
    image: Path
    modules: Path | None
    native32: bool
    cpu: str
    cmdline: tuple[str, ...]
    version: str


def resolve(
    names: Sequence[str], kernels: Sequence[Kernel], cache: Path, records: Path,
    progress: packages.Progress, hardware: bool,
) -> list[Target]:  # fmt: skip
    """Find, and fetch where need be, what the user named, and how each is booted.

    :param names: of kernels.toml, ``all``, or paths of bzImages and build trees
    :param records: where guests have their folders
    :param hardware: KVM may be used
    :raises OrigaxError: there is no such thing, or it cannot be had
    """
    known = {kernel.name for kernel in kernels}
    wanted: list[_Wanted] = []
    images: dict[tuple[str, str, str], Image] = {}
    """By suite, architecture and package: several environments have one kernel, checked once."""
    for name in names:
        if name in known or name == ALL or not _is_path(name):
            chosen = environments.select(kernels, [name])
            wanted += [_packaged(kernel, images, cache, progress) for kernel in chosen]
        else:
            wanted.append(_built(Path(name)))
    roots = {native32: _root(native32) for native32 in dict.fromkeys(w.native32 for w in wanted)}
    boots = [(w, _boot(w, *roots[w.native32])) for w in wanted]
    found = _accelerator(boots, cache, records) if hardware else Accelerator(TCG, "asked for")
    return _named([_target(w, boot, found) for w, boot in boots])


def _is_path(name: str) -> bool:
    return "/" in name or Path(name).exists()


def _packaged(
    kernel: Kernel, images: dict[tuple[str, str, str], Image], cache: Path,
    progress: packages.Progress,
) -> _Wanted:  # fmt: skip
    key = (kernel.suite, kernel.arch, kernel.package)
    if key not in images:
        images[key] = packages.cached(kernel, cache) or packages.fetch(kernel, cache, progress)
    image = images[key]
    native32 = kernel.root == "i386"
    return _Wanted(
        kernel.name, image.vmlinuz, image.modules, native32, kernel.cpu, kernel.cmdline,
        image.version,
    )  # fmt: skip


def _built(path: Path) -> _Wanted:
    """Take a bzImage, or a build tree.

    :raises UsageError: it is neither
    """
    image = path / BUILT if path.is_dir() else path
    try:
        with image.open("rb") as file:
            file.seek(XLOADFLAGS)
            flags = file.read(1)
    except OSError as error:
        raise UsageError(
            f"there is no kernel to boot: {error.strerror}", str(image),
            "give a bzImage or a build tree that has one (make bzImage), or a name of "
            "`origax kernels list`",
        ) from None  # fmt: skip
    name = re.sub(r"[^A-Za-z0-9.+-]+", "-", path.resolve().name).strip("-.") or "kernel"
    native32 = not (flags and flags[0] & 1)
    return _Wanted(name, path.resolve(), None, native32, MODEL, (), "built")


def _root(native32: bool) -> tuple[Path, str, Path | None]:
    """Give a guest's root, the Python in it, and its busybox if it needs that for its start."""
    if native32:
        root = userland.prepared()
        return root, userland.PYTHON, root / "bin/busybox"
    # A guest cannot write: what is not compiled before, it compiles anew each time.
    compileall.compile_dir(PACKAGE, quiet=2)
    return Path("/"), sys.executable, None


def _boot(wanted: _Wanted, root: Path, python: str, busybox: Path | None) -> Boot:
    return Boot(
        wanted.image, root, python, busybox, wanted.modules, wanted.cpu, wanted.cmdline, kvm=False
    )


def _accelerator(
    boots: Sequence[tuple[_Wanted, Boot]], cache: Path, records: Path
) -> Accelerator:
    """Choose KVM or TCG, trying it with the first kernel that KVM could run."""
    fitting = [boot for wanted, boot in boots if accelerator.fits(wanted.cpu)]
    if not fitting:
        return FOREIGN
    trial = _with_kvm(fitting[0])
    return accelerator.choose(
        cache, accelerator.DEVICE, lambda: accelerator.try_kvm(trial, records)
    )


def _with_kvm(boot: Boot) -> Boot:
    return replace(boot, cpu="host", kvm=True)


def _target(wanted: _Wanted, boot: Boot, found: Accelerator) -> Target:
    """Decide for one kernel: a processor of another vendor is emulated whatever KVM can do."""
    if found.name == KVM and not accelerator.fits(wanted.cpu):
        found = FOREIGN
    if found.name == KVM:
        boot = _with_kvm(boot)
    build = {
        "guest": wanted.name, "guest_version": wanted.version, "guest_cpu": boot.cpu,
        "accelerator": found.name, "accelerator_why": found.why,
    }  # fmt: skip
    return Target(wanted.name, boot, build)


def _named(targets: Sequence[Target]) -> list[Target]:
    """Refuse two of one name: their records would be one file.

    :raises UsageError: there are such
    """
    names = [target.name for target in targets]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(
                "two of the kernels would have one record", name,
                "give each once, or run them apart with another --records each",
            )  # fmt: skip
    return list(targets)
