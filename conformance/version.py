# SPDX-License-Identifier: GPL-2.0-only
"""Which origax this is: its commit, the digest of its probes, and what compiled them.

What is built outside of a checkout carries its commit in a file of the package, STAMP, which
setup.py writes; a checkout asks git.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Final

from conformance import VERSION
from conformance.errors import OrigaxError
from conformance.places import CHECKOUT, PACKAGE

STAMP: Final = "conformance/_commit"
"""Below a source tree, or what is installed of it: the commit, and CHANGES if there were some."""
CHANGES: Final = "+changes"
"""Follows the commit of a checkout in which something else stands than was committed."""
_ELSEWHERE: Final = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")


def stamped(root: Path = CHECKOUT) -> str:
    """Read the commit that was written down when this was built; empty if none was."""
    try:
        return (root / STAMP).read_text(encoding="ascii").strip()
    except OSError:
        return ""


def asked(checkout: Path = CHECKOUT) -> str:
    """Ask git for a checkout's commit; empty if it is none, or git is not there or refuses."""
    if not (checkout / ".git").exists():  # git would look in the directories above
        return ""
    environ = {name: text for name, text in os.environ.items() if name not in _ELSEWHERE}
    command = ["git", "--no-optional-locks", "status", "--porcelain=v2", "--branch"]
    try:
        done = subprocess.run(
            command, cwd=checkout, env=environ, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    lines = done.stdout.splitlines()
    (oid,) = (line.split()[2] for line in lines if line.startswith("# branch.oid "))
    return oid + (CHANGES if any(not line.startswith("#") for line in lines) else "")


def commit() -> str:
    """Name the commit that this origax is of, 40 hex digits, with CHANGES if there are some."""
    return stamped() or asked() or "unknown"


def public() -> str:
    """Give the version as PEP 440 has it, with the commit, if it was written down, behind a plus.

    A record says it. git is not asked: in a guest without KVM it takes seconds.
    """
    oid, plus, _ = stamped().partition(CHANGES)
    return f"{VERSION}+g{oid[:12]}{'.changes' if plus else ''}" if oid else VERSION


def text() -> str:
    """Say all of it in one line; what is not there is said, too."""
    from conformance import record

    parts = [f"commit {commit()}", f"record {record.VERSION}", *_probes()]
    return f"origax {VERSION} ({', '.join(parts)})"


def _probes() -> list[str]:
    from conformance.tracing import image

    try:
        parts = [f"probes sha256:{image.tool_digest()}"]
    except OrigaxError:
        return ["probes unreadable"]
    try:
        compiler = (PACKAGE / "_programs" / "compiler").read_text(encoding="utf-8").strip()
    except OSError:
        return ["probes not built"]
    return [*parts, f"by {compiler}"]
