# SPDX-License-Identifier: GPL-2.0-only
"""Doors: their tables, and the cases that are driven at several of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from signal import SIGSEGV

import pytest

from conformance import abi, cases, facts
from conformance.cases import all_cases, case
from conformance.doors import ABIS, CALLS, DOORS, OF_ABI
from conformance.rendering import render
from conformance.tracing.program import Context, Frame, Report
from conformance.tracing.tracee import Told, Trace

SUFFIXES = {*CALLS, *ABIS}


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, cases.Case]]:
    made: dict[str, cases.Case] = {}
    monkeypatch.setattr(cases, "_registry", made)
    yield made


def drive(trace: Trace) -> None:
    """Nothing."""


# One function is a case at each of its doors, with that door's ABI and needs.
def test_also(registry: dict[str, cases.Case]) -> None:
    case("a.call", door="syscall64", covers=[1], needs=["root"], also=("int80_32", "x32"))(drive)
    case("a.trap", door="none", covers=[1], also=("ia32",))(drive)
    seen = {name: (made.abi, made.door, made.way.name) for name, made in registry.items()}
    assert seen == {
        "a.call": ("x86_64", "syscall64", "syscall64"),
        "a.call.int80_32": ("ia32", "int80_32", "int80_32"),
        "a.call.x32": ("x32", "x32", "x32"),
        "a.trap": ("x86_64", "none", "syscall64"),
        "a.trap.ia32": ("ia32", "none", "int80_32"),
    }
    assert registry["a.call.int80_32"].needs == ("ia32", "root")
    assert registry["a.trap"].needs == ("x86_64", "tracer64")


# A door's name is taken once.
def test_taken(registry: dict[str, cases.Case]) -> None:
    case("a.b", door="int80_32", covers=[1])(drive)
    with pytest.raises(ValueError, match=r"a\.b"):
        case("a.b", door="syscall64", covers=[1])(drive)


# What a case at a further door needs is a fact, and stands in its id.
@pytest.mark.parametrize("made", all_cases(), ids=lambda made: str(made.id))
def test_ids(made: cases.Case, expected: Path) -> None:
    assert set(made.needs) <= facts.vocabulary(expected).keys()
    *_, last = made.id.split(".")
    if last in SUFFIXES:
        assert last in (made.door, made.abi)
    assert made.way.abi == made.abi


# The tables are those of the kernel: each call has its number, and the name beside it.
def test_numbers() -> None:
    assert DOORS["syscall64"].number("getpid") == 39
    assert DOORS["int80_64"].number("getpid") == DOORS["sysenter"].number("getpid") == 20
    assert DOORS["x32"].number("getpid") == 0x4000_0027
    assert DOORS["x32"].number("execve") == 0x4000_0208
    assert DOORS["int80_32"].call("kill", 7, 9) == {"ax": 37, "bx": 7, "cx": 9}
    assert abi.call(20, abi.Nr32) == "20/getpid"
    assert abi.call(0x4000_0208, abi.NrX32) == "0x40000208/execve"
    assert abi.call(0xFFFF_FFFF, abi.Nr32, 32) == "-1"
    assert abi.result(0xFFFF_FFDA, 32) == "-38/ENOSYS"
    assert abi.result(0xFFFF_FFDA) == "0xffffffda"


# Every call that 64-bit programs make by name is there for each other table, too.
def test_tables() -> None:
    alone = {"sigreturn", "brk", "vm86", "vm86old"}
    assert set(abi.Nr32.__members__) ^ set(abi.Nr.__members__) <= alone
    assert set(abi.NrX32.__members__) == set(abi.Nr.__members__)
    assert {door.numbers for door in OF_ABI.values()} == {abi.Nr, abi.Nr32, abi.NrX32}


# Places in the vDSO are counted from the landing pad: what precedes it differs between kernels.
@pytest.mark.parametrize("nops", [0, 3])
def test_landing_pad(nops: int) -> None:
    entry = 0xF7F0_0000
    pad = entry + nops + 9
    context = Context({}, {}, None, vdso=(entry, pad))
    places = [context.place(at) for at in (entry, pad - 6, pad - 2, pad, pad + 3)]
    assert places == ["vdso", "landing_pad-6", "landing_pad-2", "landing_pad", "landing_pad+3"]
    assert Context({}, {}, None).place(pad) is None


# Places in the vDSO have names: its landing pad, and behind each way back from a handler.
def test_places() -> None:
    context = Context({}, {}, None, vdso=(0x1000, 0x1010), pads={0x1120: "sigreturn_pad"})
    assert context.place(0x1010) == "landing_pad"
    assert context.place(0x1120) == "sigreturn_pad"
    assert context.place(0x1121) is None


# A frame without siginfo has no code to tell, but what the processor said of a fault.
def test_old_frame() -> None:
    regs = dict.fromkeys(abi.REGISTERS, 0) | {"cs": 0x23, "ss": 0x2B}
    frame = Frame(SIGSEGV, 0, 0, 0, 0, regs, 13, 0x30, 0, 0, 0, 0, old=True)
    report = Report("probe", 32, (frame,), False, {}, (), None)
    (line,) = render([Told(report, Context(regs, {}, None))])
    assert line.words == ("signal", "SIGSEGV")
    assert list(line.fields)[:3] == ["frame", "trap", "err"]
    assert line.fields["frame"] == "old" and "code" not in line.fields


# What stands above a selector in a 32-bit frame is told with it, where a case asks for it.
def test_selectors_of_a_frame() -> None:
    regs = dict.fromkeys(abi.REGISTERS, 0) | {"cs": 0xDEAD_0023, "gs": 0xF00D_0023}
    frame = Frame(SIGSEGV, 0, 0, 0, 0, regs, 13, 0, 0, 0, 0, 0, old=True)
    report = Report("probe", 32, (frame,), False, {}, (), None, shown=("gs",))
    (line,) = render([Told(report, Context(regs, {}, None))])
    assert (line.fields["cs"], line.fields["gs"]) == ("dead0023", "f00d0023")
    assert "fs" not in line.fields
