# SPDX-License-Identifier: GPL-2.0-only
"""What runs a guest's code: tried once, and remembered."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from conformance.kernels import accelerator, guest
from conformance.kernels.accelerator import Accelerator
from conformance.kernels.guest import Boot


def never() -> str:
    raise AssertionError("it was tried again")


@pytest.fixture
def device(tmp_path: Path) -> Path:
    path = tmp_path / "kvm"
    path.touch()
    return path


# Without the device nothing is tried, nor remembered: it may come.
def test_no_device(tmp_path: Path) -> None:
    chosen = accelerator.choose(tmp_path / "cache", tmp_path / "kvm", never)
    assert chosen.name == "tcg"
    assert "not there" in chosen.why
    assert not (tmp_path / "cache").exists()


# What the trial showed is remembered, with its reason, and a machine is tried once.
@pytest.mark.parametrize(
    ("wrong", "name", "why"),
    [
        ("", "kvm", "a kernel booted with it"),
        ("QEMU ended", "tcg", "KVM is there, and boots no kernel: QEMU ended"),
    ],
)
def test_tried_once(wrong: str, name: str, why: str, tmp_path: Path, device: Path) -> None:
    chosen = accelerator.choose(tmp_path / "cache", device, lambda: wrong)
    assert chosen == Accelerator(name, why)
    assert accelerator.choose(tmp_path / "cache", device, never) == chosen


# Another kernel or processor is another machine, and a garbled memory is none: both are tried.
def test_tried_again(tmp_path: Path, device: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[None] = []

    def works() -> str:
        tried.append(None)
        return ""

    accelerator.choose(tmp_path, device, works)
    monkeypatch.setattr(accelerator, "machine", lambda: "another")
    accelerator.choose(tmp_path, device, works)
    (tmp_path / accelerator.MEMORY).write_text('{"machine": "another"}')
    accelerator.choose(tmp_path, device, works)
    (tmp_path / accelerator.MEMORY).write_text("{")
    accelerator.choose(tmp_path, device, works)
    assert len(tried) == 4


# Where nothing can be remembered, the choice stands all the same.
def test_no_memory(tmp_path: Path, device: Path) -> None:
    (tmp_path / "cache").touch()
    assert accelerator.choose(tmp_path / "cache", device, lambda: "").name == "kvm"


# This machine's processor stands for one of its own vendor, or of none in particular.
def test_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accelerator, "fields", lambda text: {"vendor_id": "AuthenticAMD"})
    assert accelerator.fits("max,smap=off,vendor=AuthenticAMD")
    assert accelerator.fits("max")
    assert not accelerator.fits("max,vendor=GenuineIntel")


# KVM works where origax says in the guest that it is up; a guest that ends before says why not.
@pytest.mark.parametrize(
    ("script", "wrong"),
    [
        ("from conformance.kernels import inside; inside.trace(pathlib.Path(sys.argv[1]))", ""),
        ("print('failed to set MSR')", "QEMU ended; the console's last lines: failed to set MSR"),
    ],
)
def test_try_kvm(
    script: str, wrong: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def command(boot: Boot, folder: Path, program: Path | None) -> list[str]:
        return [sys.executable, "-P", "-c", f"import pathlib, sys; {script}", str(folder)]

    monkeypatch.setattr(guest, "_command", command)
    boot = Boot(Path("vmlinuz"), Path("/"), sys.executable, None, None, "host", (), kvm=True)
    assert accelerator.try_kvm(boot, tmp_path) == wrong
    assert not list(tmp_path.iterdir())
