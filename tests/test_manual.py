# SPDX-License-Identifier: GPL-2.0-only
"""The manual page, by the readers of such pages; and what it says beyond argparse."""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from conformance import cli, manual, record
from conformance.places import PACKAGE

TREE = manual.read(cli.parser())
PAGE = manual.page(TREE, "2026-01-31")


def read(*command: str) -> str:
    if not shutil.which(command[0]):
        pytest.skip(f"{command[0]} is not installed")
    done = subprocess.run(command, input=PAGE, capture_output=True, text=True, check=False)
    return f"{done.stdout}{done.stderr}"


# mandoc finds nothing to say against the page, nor does groff with all its warnings.
@pytest.mark.parametrize(
    "command", [("mandoc", "-T", "lint"), ("groff", "-man", "-ww", "-z", "-Tutf8")]
)
def test_lint(command: tuple[str, ...]) -> None:
    assert read(*command) == ""


# As a reader sees it, the page has every command, every option and every line of every epilog.
def test_whole() -> None:
    shown = re.sub(r".\x08", "", read("mandoc", "-T", "ascii", "-O", "width=200"))
    text = " ".join(shown.split())
    assert "ORIGAX(1)" in text and "2026-01-31" in text
    for command in TREE.walk():
        assert " ".join(command.path) in text
        for argument in (*command.options, *command.places):
            assert f"{', '.join(argument.flags)} {argument.value}".strip() in text
            assert " ".join(argument.help.replace("`", "").split()) in text
        for line in f"{command.summary}\n{command.epilog}".splitlines():
            forms = (" ".join(form.split()) for form in (line, line.replace("`", "")))
            assert any(form in text for form in forms)


# What roff would take for its own is set as it stands: leading dots and quotes, backslashes,
# backquotes in a line that is kept, and a value that must be one of several.
def test_roff() -> None:
    parser = argparse.ArgumentParser(
        prog="tried", description="'quoted' \\fBnot bold\\fR. .so tried\n\n.TH  kept `as` is",
        formatter_class=argparse.RawDescriptionHelpFormatter, add_help=False,
    )  # fmt: skip
    parser.add_argument("--of", choices=("one", "two"))
    tree = manual.read(parser, ("tried",))
    command = ["mandoc", "-T", "ascii", "-O", "width=200"]
    if not shutil.which("mandoc"):
        pytest.skip("mandoc is not installed")
    page = manual.page(tree, "2026-01-31")
    shown = subprocess.run(command, input=page, capture_output=True, text=True, check=True).stdout
    plain = re.sub(r".\x08", "", shown)
    assert "'quoted' \\fBnot bold\\fR. .so tried" in plain
    assert ".TH  kept `as` is" in plain
    assert re.search(r"--of \{one,two\}\n +one of one, two", plain)


# The page's exit codes are those of the record and of the command line, and no others.
def test_status() -> None:
    told = {int(code) for codes, _ in manual.STATUS for code in codes.split(",")}
    assert told == {
        record.CONFORMS, record.MISMATCH, cli.USAGE, record.HARNESS, record.ALL_SKIPPED,
        record.NO_GOLDEN, record.CANNOT_BISECT, 130, 143, 141,
    }  # fmt: skip


# Each variable that the page names is one that the code reads, and it names origax's own ones all.
def test_environment() -> None:
    source = "".join(path.read_text() for path in sorted(PACKAGE.rglob("*.py"))
                     if path != Path(manual.__file__))  # fmt: skip
    named = {name for name, _ in manual.ENVIRONMENT}
    assert all(f'"{name}"' in source for name in named)
    assert set(re.findall(r"\"(ORIGAX_[A-Z]+)\"", source)) <= named
