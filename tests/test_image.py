# SPDX-License-Identifier: GPL-2.0-only
"""Images of the probes: what they say of themselves, and what they have in common."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from conformance.doors import DOORS
from conformance.errors import HarnessError
from conformance.tracing import image as image_module
from conformance.tracing.image import PROGRAMS, Image, elf, executable, image, notes, width

NAMES = sorted({door.image for door in DOORS.values()})


@pytest.fixture(params=NAMES)
def built(request: pytest.FixtureRequest) -> Image:
    if not (PROGRAMS / request.param).exists():
        pytest.skip("the compiler has no such width")
    return image(request.param)


# Every door's image is of the width that the door says, and has the sites that all have.
def test_width(built: Image) -> None:
    assert {door.bits for door in DOORS.values() if door.image == built.name} == {built.bits}
    assert {"syscall", "to_spin", "to_page_end"} <= built.labels.keys()
    assert {"requeue", "pipe"} <= built.setups.keys()


# Each place in an image has the name of the innermost label around it, and what is outside none.
def test_places(built: Image) -> None:
    site, spin = built.labels["to_spin"], built.labels["spin"]
    assert built.place(site.start) == "to_spin"
    assert built.place(spin.start) == "spin"
    assert built.place(site.end) == f"spin+{spin.end - spin.start}"
    assert built.place(built.board) is None
    assert built.place(0) is None


# 64-bit programs lie above 4 GiB, where one who cuts an address off is seen; all others below.
def test_addresses(built: Image) -> None:
    addresses = [label.start for label in built.labels.values()]
    addresses += [built.board, *(stack.stop for stack in built.stacks)]
    high = built.name == "x86_64"
    assert all((address > 1 << 32) == high for address in addresses)


# A file that is no image, or not all of one, is an error with its name, and no traceback.
@pytest.mark.parametrize("cut", [0, 3, 40, 200])
def test_garbage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: int) -> None:
    (tmp_path / "broken").write_bytes((PROGRAMS / "x86_64").read_bytes()[:cut])
    monkeypatch.setattr(image_module, "PROGRAMS", tmp_path)
    for name in ("broken", "missing"):
        with pytest.raises(HarnessError, match="the probes cannot be read"):
            image(name)


# The width of a program that was executed is told by its path; no other file has one.
def test_executed() -> None:
    assert [width(executable("true", each)) for each in ("x86_64", "ia32")] == ["x86_64", "ia32"]
    assert width(executable("relay", "x32")) == "x32"
    assert not width(PROGRAMS / "x86_64")
    assert not width(Path("/bin/true_ia32"))


# The headers of both widths are read; notes are taken apart by their sizes.
def test_elf() -> None:
    assert elf(PROGRAMS / "true_x86_64").bits == 64
    assert elf(PROGRAMS / "true_x86_64").entry
    if (PROGRAMS / "true_ia32").exists():
        assert elf(PROGRAMS / "true_ia32").bits == 32
    packed = struct.pack("<III8s5s3x", 7, 5, 1, b"origax", b"hello")
    assert list(notes(packed * 2)) == [(1, b"hello")] * 2
    assert list(notes(packed[:10])) == []
