# SPDX-License-Identifier: GPL-2.0-only
"""boxes.toml, and the command that it becomes."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from conformance.errors import UsageError
from conformance.fleet import boxes, link

LAB = """
[[box]]
name = "epyc"
host = "epyc.lab"
labels = ["amd"]

[[box]]
name = "atom"
host = "10.1.2.3"
user = "ci"
port = 2222
jump = ["gate", "me@inner:23"]
ssh = ["-o", "ProxyCommand=nc %h %p"]
python = "/opt/my python/bin/python3"
sudo = true
labels = ["intel", "old"]
boot = "6.18.44-lab"

[[box]]
name = "here"
local = true
"""


def load(text: str, tmp_path: Path) -> tuple[boxes.Box, ...]:
    path = tmp_path / "boxes.toml"
    path.write_text(text)
    return boxes.load(path)


# Each word reaches ssh, and what ssh hands to the box's shell is quoted, word by word.
def test_command(tmp_path: Path) -> None:
    epyc, atom, here = load(LAB, tmp_path)
    assert link.command(epyc)[:-1] == ["ssh", "-T", "-o", "BatchMode=yes", "--", "epyc.lab"]
    assert link.command(atom)[:-1] == [
        "ssh", "-T", "-o", "ProxyCommand=nc %h %p", "-o", "BatchMode=yes", "-l", "ci",
        "-p", "2222", "-J", "gate,me@inner:23", "--", "10.1.2.3",
    ]  # fmt: skip
    python = ["-I", "-u", "-c", link.BOOTSTRAP]
    remote = ["sudo", "-n", "--", "/opt/my python/bin/python3", *python]
    assert shlex.split(link.command(atom)[-1]) == remote
    assert link.command(here) == ["python3", *python]
    assert (here.local, epyc.local) == (True, False)


# Names and labels choose; together they add up, and without any it is all.
def test_select(tmp_path: Path) -> None:
    lab = load(LAB, tmp_path)
    for names, labels, chosen in (
        ([], [], ["epyc", "atom", "here"]), (["here"], [], ["here"]), ([], ["old"], ["atom"]),
        (["here"], ["amd"], ["epyc", "here"]),
    ):  # fmt: skip
        assert [box.name for box in boxes.select(lab, names, labels)] == chosen
    with pytest.raises(UsageError, match="no box has that name") as error:
        boxes.select(lab, ["epic"], [])
    assert (error.value.on, error.value.do) == ("epic", "near it: epyc")
    with pytest.raises(UsageError, match="no box has that label"):
        boxes.select(lab, [], ["arm"])


# Whatever is wrong in the file is said with its place, and nothing can pass for an option of ssh.
@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "there is no box"),
        ("[boxes]", "there is no key 'boxes'"),
        ("[[box]]\nname = 'a'", "'host' is missing"),
        ("[[box]]\nhost = 'a'", "'name' is missing"),
        ("[[box]]\nname = '../a'\nhost = 'a'", "'name' is '../a'"),
        ("[[box]]\nname = 'a'\nhost = '-oProxyCommand=x'", "'host' is '-oProxyCommand=x'"),
        ("[[box]]\nname = 'a'\nhost = 'a'\nuser = '-x'", "'user' is '-x'"),
        ("[[box]]\nname = 'a'\nhost = 'a'\njump = ['a,b']", "'jump' is 'a,b'"),
        ("[[box]]\nname = 'a'\nhost = 'a'\njump = 'b'", "'jump' is missing or no list"),
        ("[[box]]\nname = 'a'\nhost = 'a'\nport = 0", "'port' is 0"),
        ("[[box]]\nname = 'a'\nhost = 'a'\nport = true", "'port' is True"),
        ("[[box]]\nname = 'a'\nhost = 'a'\nsudo = 'yes'", "'sudo' is 'yes'"),
        ("[[box]]\nname = 'a'\nhost = 'a'\nboot = 'x y'", "'boot' is 'x y'"),
        ("[[box]]\nname = 'a'\nhost = 'a'\nkernel = '6.1'", "there is no key 'kernel'"),
        ("[[box]]\nname = 'a'\nlocal = true\nport = 1", "a local box has no 'port'"),
        ("[[box]]\nname = 'a'\nlocal = true\n[[box]]\nname = 'a'\nhost = 'b'", "two boxes are"),
    ],
)
def test_wrong(text: str, what: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"boxes\.toml") as error:
        load(text, tmp_path)
    assert error.value.what.startswith(what)
