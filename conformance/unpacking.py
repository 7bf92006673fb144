# SPDX-License-Identifier: GPL-2.0-only
"""Wheels, unpacked as pip would do it, where there is no pip.

origax.pyz carries this file beside its own beginning, and reads it before it knows which Python it
is: nothing here is imported from origax.
"""

from __future__ import annotations

import os
import struct
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO


def machine() -> str:
    """Name the machine whose programs this Python loads: ``x86_64`` or ``i686`` on x86."""
    name = os.uname().machine
    return "i686" if struct.calcsize("P") == 4 and name == "x86_64" else name


def unpack(wheels: Iterable[Path | IO[bytes]], target: Path) -> None:
    """Unpack wheels into a directory for ``sys.path``, what is executed with its mode.

    Scripts and manuals of theirs are left out: such a place has no ``bin``.
    """
    for each in wheels:
        with zipfile.ZipFile(each) as wheel:
            for member in wheel.infolist():
                if ".data/" not in member.filename:
                    program = member.external_attr >> 16 & 0o100 or member.is_dir()
                    Path(wheel.extract(member, target)).chmod(0o755 if program else 0o644)
