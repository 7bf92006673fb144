# SPDX-License-Identifier: GPL-2.0-only
"""Completion, in the shells themselves: a line is typed at a terminal of theirs, and a TAB."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from conformance import cli, completion, manual

TREE = manual.read(cli.parser())
WAIT = 20.0
ORIGAX = """\
#!/bin/sh
case $1 in
list) printf '%s\\n' 'interrupts.device        x86_64  none' 'interrupts.ipi.ia32  ia32  none' \\
	'writes.enter  x86_64  syscall64' ;;
kernels) printf '%s\\n' '6.12    trixie' '6.12-x32  trixie' ;;
esac
"""
"""Stands for origax, which the completion asks for names."""
SETUP = {
    "bash": (
        ("bash", "--norc", "--noprofile", "-i"),
        "bind 'set enable-bracketed-paste off'; bind 'set bell-style none'; . ./origax.bash",
    ),
    "zsh": (
        ("zsh", "-f", "-i"),
        "unsetopt zle_bracketed_paste prompt_cr list_beep beep; bindkey -e; fpath=($PWD $fpath); "
        "autoload -Uz compinit; compinit -u -D",
    ),
}


class Shell:
    """A shell at a pseudo-terminal."""

    def __init__(self, name: str, directory: Path) -> None:
        command, setup = SETUP[name]
        self.master, slave = pty.openpty()
        environ = {"PATH": f"{directory}:{os.environ['PATH']}", "TERM": "dumb", "PS1": "",
                   "HOME": str(directory), "LC_ALL": "C.UTF-8", "COLUMNS": "500"}  # fmt: skip
        self.process = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, cwd=directory, env=environ,
            start_new_session=True,
        )  # fmt: skip
        os.close(slave)
        self.type(f"stty -echo cols 500 2>/dev/null; {setup}; echo rea''dy\n")
        self.until(r"ready\r?\n")

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def until(self, pattern: str) -> re.Match[str]:
        seen, end = "", time.monotonic() + WAIT
        while not (found := re.search(pattern, seen)):
            ready, _, _ = select.select([self.master], [], [], max(0, end - time.monotonic()))
            assert ready, f"no {pattern!r} within {WAIT} s, but {seen!r}"
            seen += os.read(self.master, 65536).decode(errors="replace")
        return found

    def completed(self, line: str) -> str:
        """Type a line and a TAB; then have it said what stands there now."""
        self.type(f"{line}\t")
        # To its beginning and to its end: the shell takes no key before it has completed.
        self.type("\x01printf '<<%s>>\\n' \"\x05\"\n")
        return self.until(r"<<(origax[^>]*)>>\r?\n")[1].rstrip()  # zsh takes the space back

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.master)


@pytest.fixture(params=sorted(SETUP))
def shell(request: pytest.FixtureRequest, tmp_path: Path) -> Shell:
    if not shutil.which(request.param):
        pytest.skip(f"{request.param} is not installed")
    (tmp_path / "origax").write_text(ORIGAX)
    (tmp_path / "origax").chmod(0o755)
    (tmp_path / "record.json").touch()
    (tmp_path / "origax.bash").write_text(completion.bash(TREE))
    (tmp_path / "_origax").write_text(completion.zsh(TREE))
    made = Shell(request.param, tmp_path)
    request.addfinalizer(made.end)
    return made


# Commands, options, their values, cases, kernels, doors and files are completed where they belong.
def test_completed(shell: Shell) -> None:
    lines = {
        "origax exp": "origax explore",
        "origax kernels f": "origax kernels fetch",
        "origax run --rec": "origax run --record",
        "origax run --record rec": "origax run --record record.json",
        "origax run --bisect wri": "origax run --bisect writes",
        "origax run interrupts.d": "origax run interrupts.device",
        "origax report --format jun": "origax report --format junit",
        "origax report rec": "origax report record.json",
        "origax kernels run 6.12-": "origax kernels run 6.12-x32",
        "origax explore sysent": "origax explore sysenter",
    }
    assert {line: shell.completed(line) for line in lines} == lines


# Where anything may stand, nothing is made up.
def test_nothing(shell: Shell) -> None:
    assert shell.completed("origax run --repeat i") == "origax run --repeat i"
    assert shell.completed("origax doctor i") == "origax doctor i"


# In bash a value may follow its option behind an equals sign, too.
def test_equals(shell: Shell) -> None:
    if shell.process.args[0] == "bash":  # type: ignore[index]
        assert shell.completed("origax report --format=jun") == "origax report --format=junit"
