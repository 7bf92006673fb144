# SPDX-License-Identifier: GPL-2.0-only
"""The list of kernels, and how far a fetch is, as a user sees them."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from records import case, record

from conformance import cli
from conformance.kernels.environments import Kernel
from conformance.kernels.packages import Image
from conformance.reports import kernels

ONE = Kernel("6.1", "bookworm", "linux-image-amd64", "amd64", "host", "max,smap=off", ())
OTHER = Kernel("sid-x", "sid", "linux-image-amd64", "amd64", "host", "max", ("quiet", "vdso=0"))
IMAGE = Image(Path("/k/vmlinuz"), "6.1.0-50-amd64", "6.1.176-1", Path("/k/modules"))


# A line a kernel: what it is, what is there of it, and the machine that it is for.
def test_text() -> None:
    assert kernels.text({ONE: IMAGE, OTHER: None}).splitlines() == [
        "6.1    bookworm  linux-image-amd64  6.1.176-1    max,smap=off",
        "sid-x  sid       linux-image-amd64  not fetched  max quiet vdso=0",
    ]


# The command lists every kernel of the file, also where nothing is fetched, and makes no cache.
def test_list(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert cli.main(["kernels", "list", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["version"] for row in rows} == {None}
    assert cli.main(["kernels", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [row["name"] for row in rows]
    assert not (tmp_path / "cache").exists()


# A kernel that does not exist is wrong usage, before anything is fetched.
def test_fetch_unknown(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["kernels", "fetch", "6.12-x33"]) == 2
    assert "near it: 6.12-x32" in capsys.readouterr().err


def shown(live: bool) -> str:
    """Report a download of three seconds, half of which was there, between two other steps."""
    stream = io.StringIO()
    now = [10.0]
    with kernels.Meter(stream, live, lambda: now[0]) as meter:
        meter("lists", 0, 0)
        meter("kernel", 40_000_000, 80_000_000)
        now[0] += 2
        meter("kernel", 60_000_000, 80_000_000)
        meter("unpacking", 0, 0)
    return stream.getvalue()


# A terminal sees how much is here and how fast it comes; the line goes when the step is over.
def test_meter_live() -> None:
    assert shown(True).split("\r\033[K") == [
        "",
        "lists\n",
        "kernel, 40.0 MB of 80.0 MB (50%)",
        "kernel, 60.0 MB of 80.0 MB (75%, 10.0 MB/s)",
        "unpacking\n",
        "",
    ]


# A log gets one line a step, with the size, and no escape sequence.
def test_meter_plain() -> None:
    assert shown(False) == "lists\nkernel, 80.0 MB\nunpacking\n"


def followed(live: bool) -> str:
    """Follow a guest that comes up, answers twice, once badly, and ends."""
    stream = io.StringIO()
    clock = iter([0.0, *([1.0] * 20)])
    with kernels.Guests(stream, live, lambda: next(clock)) as watcher:
        watcher.begins("6.1", "tcg")
        watcher.hello("6.1", "linux-6.1.amd.tcg", 2)
        watcher.case("6.1", case())
        watcher.case("6.1", case("interrupts.timer", "MISS", reason="no \x1b[2J answer"))
        watcher.ends("6.1", record(case(), case("interrupts.timer", "MISS", reason="no answer")))
    return stream.getvalue()


# Without a terminal each guest gets a line when it boots, is up, fails a case, and ends.
def test_guests_plainly() -> None:
    lines = followed(live=False).splitlines()
    assert lines[0] == "6.1: booting, by tcg"
    assert lines[1] == "6.1: linux-6.1.amd.tcg is up after 1 s"
    assert lines[2].startswith("6.1: MISS  interrupts.timer: no ")
    assert lines[3].startswith("6.1: 2 cases: 1 pass, 1 miss in ")
    assert "\x1b" not in "".join(lines)


# On a terminal one line tells how far each guest is, and it is gone at the end.
def test_guests_live() -> None:
    text = followed(live=True)
    assert "6.1 booting 1 s" in text
    assert "6.1 [1/2] 1 s" in text
    assert "6.1 [2/2] 1 failing 1 s" in text
    assert text.endswith("\r\x1b[K")
