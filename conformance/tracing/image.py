# SPDX-License-Identifier: GPL-2.0-only
"""Images: the executables that hold the probes, and the places in them that have a name.

An image says in an ELF note where its tables are (struct origax_image of ``cprobes/board.h``).
The file is read with every length checked by `struct`; what is wrong in it is a `HarnessError`.
"""

from __future__ import annotations

import bisect
import functools
import hashlib
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from conformance.errors import HarnessError

PROGRAMS: Final = Path(__file__).parents[1] / "_programs"
ENTRY_SIZE: Final = 64
"""Bytes from a freestanding program's entry on in which addresses are made symbolic."""
PT_LOAD, PT_NOTE = 1, 4
_TABLES: Final = struct.Struct("<8Q")
_LABEL: Final = struct.Struct("<4Q")
_SETUP: Final = struct.Struct("<2Q")


@dataclass(frozen=True, slots=True)
class Label:
    """A named place in probe code."""

    name: str
    start: int
    end: int
    index: int
    is_site: bool


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of an ELF file that is loaded or is a note, and where."""

    kind: int
    address: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Elf:
    """What an executable's headers say."""

    bits: int
    entry: int
    segments: tuple[Segment, ...]

    def at(self, address: int, size: int) -> bytes:
        """Give bytes of the loaded file.

        :raises struct.error: they are not in the file
        """
        for each in self.segments:
            start = address - each.address
            if each.kind == PT_LOAD and 0 <= start <= len(each.data) - size:
                return each.data[start : start + size]
        raise struct.error(f"nothing at {address:#x}")

    def text(self, address: int) -> str:
        """Give a string of the loaded file."""
        for each in self.segments:
            if each.kind == PT_LOAD and 0 <= address - each.address < len(each.data):
                return each.data[address - each.address :].partition(b"\0")[0].decode()
        raise struct.error(f"no text at {address:#x}")


def elf(path: Path) -> Elf:
    """Read the headers and segments of an ELF executable of either width.

    :raises OSError: it cannot be read
    :raises struct.error: it is none
    """
    return parsed(path.read_bytes())


def parsed(file: bytes) -> Elf:
    """Take an ELF file of either width apart.

    :raises struct.error: it is none, or ends too early
    """
    if file[:5] not in (b"\x7fELF\x01", b"\x7fELF\x02"):
        raise struct.error("no ELF file")
    wide = file[4] == 2
    # e_entry, e_phoff; e_phentsize, e_phnum
    entry, phoff = struct.unpack_from("<QQ" if wide else "<II", file, 24)
    size, count = struct.unpack_from("<HH", file, 54 if wide else 42)
    segments = []
    for at in range(phoff, phoff + size * count, size):
        if wide:
            kind, _, offset, address, _, length = struct.unpack_from("<IIQQQQ", file, at)
        else:
            kind, offset, address, _, length = struct.unpack_from("<IIIII", file, at)
        segments.append(Segment(kind, address, file[offset : offset + length]))
    return Elf(64 if wide else 32, entry, tuple(segments))


def notes(segment: bytes) -> Iterator[tuple[int, bytes]]:
    """Take a PT_NOTE segment apart: the type and the description of each note that is whole."""
    head = struct.Struct("<III")
    at = 0
    while at + head.size <= len(segment):
        name_size, size, kind = head.unpack_from(segment, at)
        data = at + head.size + (name_size + 3 & ~3)
        if data + size > len(segment):
            return
        yield kind, segment[data : data + size]
        at = data + (size + 3 & ~3)


@dataclass(frozen=True, slots=True)
class Image:
    """An executable with all probes, for one door.

    :ivar bits: of its registers: 32 for ia32, 64 for x86_64 and x32
    :ivar labels: every label, by name
    :ivar setups: number of each preparation, by name
    :ivar board: address of the board in its programs
    :ivar stacks: the site's stack, and the alternate signal stack
    """

    name: str
    path: Path
    bits: int
    labels: Mapping[str, Label]
    setups: Mapping[str, int]
    board: int
    stacks: tuple[range, range]
    digests: Mapping[str, str]
    starts: tuple[int, ...]
    ordered: tuple[Label, ...]

    def place(self, address: int) -> str | None:
        """Name an address in probe code: ``spin``, ``syscall+2``; None elsewhere.

        The innermost label that holds it is taken; a site's end belongs to it.
        """
        for at in range(bisect.bisect_right(self.starts, address) - 1, -1, -1):
            label = self.ordered[at]
            if address <= label.end:
                return _offset(label.name, address - label.start)
            if label.is_site:
                return None
        return None


def _offset(name: str, offset: int) -> str:
    return f"{name}+{offset}" if offset else name


@functools.cache
def image(name: str) -> Image:
    """Read an image of the probes.

    :raises HarnessError: it was not built, or is none
    """
    path = PROGRAMS / name
    try:
        return _image(name, path, elf(path))
    except (OSError, ValueError, struct.error) as error:
        raise HarnessError(
            f"the probes cannot be read: {error}", str(path),
            "build origax again with a C compiler of that width: pip install -e .",
        ) from None  # fmt: skip


def _image(name: str, path: Path, file: Elf) -> Image:
    (note,) = (
        data for each in file.segments if each.kind == PT_NOTE for _, data in notes(each.data)
    )
    labels_at, labels_end, setups_at, setups_end, board, *stacks, size = _TABLES.unpack(note)
    table = file.at(labels_at, labels_end - labels_at)
    labels = [
        Label(file.text(text), start, end, index, bool(is_site))
        for index, (text, start, end, is_site) in enumerate(_LABEL.iter_unpack(table))
    ]
    table = file.at(setups_at, setups_end - setups_at)
    setups = {file.text(text): i for i, (text, _) in enumerate(_SETUP.iter_unpack(table))}
    ordered = sorted(labels, key=lambda label: (label.start, not label.is_site))
    return Image(
        name, path, 32 if file.bits == 32 and name != "x32" else 64, _named(labels), setups, board,
        (range(stacks[0], stacks[0] + size), range(stacks[1], stacks[1] + size)),
        {
            label.name: hashlib.sha256(file.at(label.start, label.end - label.start)).hexdigest()
            for label in labels if label.is_site
        },
        tuple(label.start for label in ordered), tuple(ordered),
    )  # fmt: skip


def _named(labels: list[Label]) -> dict[str, Label]:
    named = {label.name: label for label in labels}
    if len(named) < len(labels):
        twice = sorted({label.name for label in labels if named[label.name] is not label})
        raise ValueError(f"two places are named {', '.join(twice)}")
    return named


def executable(name: str, width: str = "x86_64") -> Path:
    """Path of a freestanding program, by the name of its source (``true``) and its width."""
    return PROGRAMS / f"{name}_{width}"


def width(path: Path) -> str:
    """Width of the freestanding program at that path; empty for any other file."""
    name, _, width = path.name.partition("_")
    known = width in ("x86_64", "ia32", "x32")
    return width if known and path == executable(name, width) else ""


@functools.cache
def _entries() -> frozenset[int]:
    """Entry points of the freestanding programs that others execute."""
    return frozenset(
        elf(path).entry for name in ("true", "relay") for path in PROGRAMS.glob(f"{name}_*")
    )


def entry_place(address: int) -> str | None:
    """Name an address in a freestanding program: ``entry``, and what follows; None elsewhere."""
    for entry in _entries():
        if entry <= address < entry + ENTRY_SIZE:
            return _offset("entry", address - entry)
    return None


def digest(site: str) -> str:
    """SHA-256 of a site's machine code, by ``image/site``."""
    name, _, label = site.partition("/")
    return image(name).digests[label]


def digests() -> dict[str, str]:
    """SHA-256 of every site's machine code, by ``image/site``, in all images that were built."""
    from conformance.doors import DOORS

    names = dict.fromkeys(door.image for door in DOORS.values())
    return {
        f"{name}/{site}": digest
        for name in names
        if (PROGRAMS / name).exists()
        for site, digest in image(name).digests.items()
    }


def tool_digest() -> str:
    """SHA-256 over the machine code of all sites."""
    whole = "".join(f"{name}={digest}\n" for name, digest in sorted(digests().items()))
    return hashlib.sha256(whole.encode()).hexdigest()
