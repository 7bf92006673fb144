# SPDX-License-Identifier: GPL-2.0-only
"""The boxes of a fleet: boxes.toml, in words that a person writes and ssh understands."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from conformance import tables
from conformance.errors import UsageError
from conformance.tables import Table

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""Names become names of files, and of sockets."""
_HOST: Final = re.compile(r"[A-Za-z0-9_:%\[][A-Za-z0-9_.:%@\[\]-]*")
"""What ssh takes for a host, a user or a jump host, and never for an option."""


@dataclass(frozen=True, slots=True)
class Box:
    """One machine, and how it is reached: by ssh, or this one itself."""

    name: str
    host: str
    """As ssh knows it, from ~/.ssh/config, too; empty for this machine."""
    user: str
    port: int
    """0: as ssh has it."""
    jump: tuple[str, ...]
    ssh: tuple[str, ...]
    """Further words for ssh, such as ``-o`` and ``IdentityFile=KEY``."""
    python: str
    sudo: bool
    boot: str
    """Its release, or a word of its command line, without which its kernel is the wrong one."""
    labels: tuple[str, ...]

    @property
    def local(self) -> bool:
        """Whether it is this machine."""
        return not self.host


def load(path: Path) -> tuple[Box, ...]:
    """Read boxes.toml.

    :returns: at least one box, in the file's order, each of another name
    :raises UsageError: the file is missing, or anything in it is garbled
    """
    file = tables.parse(tables.read_text(path), path)
    file.only("box")
    boxes: dict[str, Box] = {}
    for table in file.tables("box"):
        box = _box(table)
        if box.name in boxes:
            raise table.wrong(f"two boxes are named {box.name!r}", "give each its own name")
        boxes[box.name] = box
    if not boxes:
        raise file.wrong("there is no box", "write each as [[box]]")
    return tuple(boxes.values())


_OF_SSH: Final = ("host", "user", "port", "jump", "ssh")


def _box(table: Table) -> Box:
    table.only("name", "local", *_OF_SSH, "python", "sudo", "boot", "labels")
    local = _flag(table, "local")
    if local and (more := [key for key in _OF_SSH if key in table.data]):
        raise table.wrong(
            f"a local box has no {more[0]!r}", "leave it out, or leave out local = true"
        )
    box = Box(
        name=_fitting(table, "name", _NAME, table.text("name")),
        host="" if local else _fitting(table, "host", _HOST, table.text("host")),
        user=_fitting(table, "user", _HOST, table.text("user")) if "user" in table.data else "",
        port=_port(table),
        jump=tuple(_fitting(table, "jump", _HOST, each) for each in _texts(table, "jump")),
        ssh=_texts(table, "ssh"),
        python=table.text("python", "python3"),
        sudo=_flag(table, "sudo"),
        boot=table.text("boot") if "boot" in table.data else "",
        labels=_texts(table, "labels"),
    )
    if box.boot.split() != [box.boot] and box.boot:
        raise table.wrong(f"'boot' is {box.boot!r}", "write one word, without white space")
    return box


def _texts(table: Table, key: str) -> tuple[str, ...]:
    return table.texts(key) if key in table.data else ()


def _fitting(table: Table, key: str, pattern: re.Pattern[str], text: str) -> str:
    if not pattern.fullmatch(text):
        raise table.wrong(
            f"{key!r} is {text!r}", "use letters, digits, '.', '_' and '-', and begin with none of "
            "the last two"
        )  # fmt: skip
    return text


def _flag(table: Table, key: str) -> bool:
    flag = table.data.get(key, False)
    if not isinstance(flag, bool):
        raise table.wrong(f"{key!r} is {flag!r}", f"write {key} = true, or leave it out")
    return flag


def _port(table: Table) -> int:
    port = table.data.get("port", 0)
    if type(port) is not int or not 0 <= port < 65536 or ("port" in table.data and not port):
        raise table.wrong(f"'port' is {port!r}", "write a number from 1 to 65535")
    return port


def select(
    boxes: Sequence[Box], names: Collection[str], labels: Collection[str]
) -> tuple[Box, ...]:
    """Choose boxes that have one of the names, or one of the labels; all of them without any.

    :raises UsageError: a name is no box's, or a label
    """
    for what, given, known in (
        ("box has that name", names, {box.name for box in boxes}),
        ("box has that label", labels, {label for box in boxes for label in box.labels}),
    ):
        for word in given:
            if word not in known:
                near = difflib.get_close_matches(word, known, 3) or sorted(known)[:3]
                raise UsageError(f"no {what}", word, f"near it: {', '.join(near) or 'none'}")
    return tuple(
        box for box in boxes
        if not (names or labels) or box.name in names or set(labels).intersection(box.labels)
    )  # fmt: skip
