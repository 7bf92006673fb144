# SPDX-License-Identifier: GPL-2.0-only
"""What to boot, by name or by path."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from conformance import userland
from conformance.errors import UsageError
from conformance.kernels import accelerator, packages, targets
from conformance.kernels.accelerator import Accelerator
from conformance.kernels.environments import Kernel
from conformance.kernels.packages import Image
from conformance.kernels.run import Target

HOST = Kernel("6.1", "s", "p", "amd64", "host", "max,vendor=AuthenticAMD", ("quiet",))
INTEL = Kernel("6.1-intel", "s", "p", "amd64", "host", "max,vendor=GenuineIntel", ())
NATIVE = Kernel("6.1-686", "s", "p", "i386", "i386", "max,vendor=AuthenticAMD", ())
IMAGE = Image(Path("/k/vmlinuz"), "6.1.0-50", "6.1.176-1", Path("/k/modules"))


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An AMD machine with KVM, where every kernel is fetched, and the 32-bit Debian there."""
    monkeypatch.setattr(packages, "cached", lambda kernel, cache: IMAGE)
    monkeypatch.setattr(userland, "prepared", lambda: tmp_path / "debian")
    monkeypatch.setattr(accelerator, "fits", lambda model: "Intel" not in model)
    kvm = Accelerator("kvm", "a kernel booted with it")
    monkeypatch.setattr(accelerator, "choose", lambda cache, device, trial: kvm)


def resolve(*names: str, hardware: bool = True, records: Path = Path("/records")) -> list[Target]:
    def silent(step: str, done: int, total: int) -> None: ...

    kernels = (HOST, INTEL, NATIVE)
    return targets.resolve(names, kernels, Path("/cache"), records, silent, hardware)


def bzimage(path: Path, wide: bool) -> Path:
    """Make what begins like a kernel of that width."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(targets.XLOADFLAGS) + bytes([0x3F if wide else 0x3E]) + bytes(64))
    return path


# A kernel of the file is booted as that says: its options, and this machine's root and Python.
def test_named() -> None:
    (target,) = resolve("6.1", hardware=False)
    assert (target.boot.image, target.boot.root) == (IMAGE.vmlinuz, Path("/"))
    assert (target.boot.python, target.boot.busybox) == (sys.executable, None)
    assert (target.boot.cpu, target.boot.cmdline) == (HOST.cpu, HOST.cmdline)
    assert not target.boot.kvm
    assert target.build["accelerator"] == "tcg"


# KVM runs what this machine's processor can stand for, as that processor; TCG the rest, and why.
def test_accelerated() -> None:
    own, other = resolve("6.1", "6.1-intel")
    assert (own.boot.kvm, own.boot.cpu, own.build["accelerator"]) == (True, "host", "kvm")
    assert (other.boot.kvm, other.boot.cpu) == (False, INTEL.cpu)
    assert "another vendor" in other.build["accelerator_why"]


# A 32-bit kernel has the 32-bit Debian as its root, with the Python, busybox and modules for it.
def test_native(tmp_path: Path) -> None:
    _, _, native = resolve("all")
    assert native.boot.root == tmp_path / "debian"
    assert native.boot.python == userland.PYTHON
    assert native.boot.busybox == tmp_path / "debian/bin/busybox"
    assert native.boot.modules == IMAGE.modules


# A build tree and an image are known by their paths, and their width by the image's head.
@pytest.mark.parametrize("wide", [True, False])
def test_built(wide: bool, tmp_path: Path) -> None:
    bzimage(tmp_path / "my linux" / targets.BUILT, wide)
    (tree,) = resolve(str(tmp_path / "my linux"))
    assert (tree.name, tree.boot.image) == ("my-linux", tmp_path / "my linux")
    assert (tree.boot.root == Path("/")) is wide
    (image,) = resolve(str(bzimage(tmp_path / "bzImage", wide)))
    assert (image.name, image.boot.image) == ("bzImage", tmp_path / "bzImage")


# What is no kernel is refused, with what to give instead.
@pytest.mark.parametrize("name", ["no/such/kernel", "6.11"])
def test_unknown(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        resolve(name)
    assert "origax kernels list" in caught.value.do


# Two kernels whose records would have one name are refused before anything is booted.
def test_one_name(tmp_path: Path) -> None:
    for place in ("a", "b"):
        bzimage(tmp_path / place / "bzImage", True)
    with pytest.raises(UsageError, match="one record"):
        resolve(str(tmp_path / "a/bzImage"), str(tmp_path / "b/bzImage"))


# Environments of one kernel have it checked once: every byte of it is read for that.
def test_checked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[str] = []

    def cached(kernel: Kernel, cache: Path) -> Image:
        checked.append(kernel.name)
        return IMAGE

    monkeypatch.setattr(packages, "cached", cached)
    assert len(resolve("all")) == 3
    assert checked == ["6.1", "6.1-686"]
