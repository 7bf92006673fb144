# SPDX-License-Identifier: GPL-2.0-only
"""The comparison of a stop's views: a real stop, in which each view is made to lie in turn."""

import signal
import struct
from collections.abc import Iterator, Mapping

import pytest
from conformance._native import ffi

from conformance.abi import AUDIT_ARCH_I386, AUDIT_ARCH_X86_64, REGISTERS_32, Nr
from conformance.cases import Probe
from conformance.cases.filters import TRACE
from conformance.doors import OWN
from conformance.facts import Environment
from conformance.tracing import requests, snapshot
from conformance.tracing.snapshot import Siginfo, Stop, decode
from conformance.tracing.tracee import Options, Task, Trace

FILTERED = Probe(
    site="syscall", setup="filter", regs=OWN.call("getppid"),
    args=[OWN.number("getppid"), TRACE + 0x123],
)  # fmt: skip
WIDE = requests.BITS == 64
"""Whether this tracer is a 64-bit one; otherwise what it reads itself is what is narrow."""
REGS, USER, WORDS = (
    ("regs", "user", (27, 60, 105)) if WIDE else ("narrow", "narrow_user", (17, 40, 62))
)
"""What PTRACE_GETREGS and PEEKUSER fill, and words of struct user that are no registers."""
ARCH = AUDIT_ARCH_X86_64 if WIDE else AUDIT_ARCH_I386
PID_AT = 16 if WIDE else 12
"""Of siginfo_t, what is behind its three numbers."""
Raw = tuple[bytes, int]


def read(task: Task, stop: Stop) -> Raw:
    return snapshot.again(task.pid, stop.status), task.pid


@pytest.fixture(scope="module")
def stops() -> Iterator[Mapping[str, Raw]]:
    """Stops of every kind that PTRACE_GET_SYSCALL_INFO tells apart, as they were read."""
    snapshot.narrow()
    with Trace(Options(), (0,)) as trace:
        seen = {}
        with trace.launch(FILTERED, requests.O_BASE | requests.O_TRACESECCOMP) as task:
            for kind in ("enter", "seccomp", "exit"):
                seen[kind] = read(task, task.syscall())
            task.signal(signal.SIGUSR1)
            seen["signal"] = read(task, task.cont())
        yield seen


def lie(raw: bytes, member: str, at: int, size: int = 8) -> bytes:
    """Change the lowest bit of a number in struct origax_stop."""
    place = int(ffi.offsetof("struct origax_stop", member)) + at
    word = int.from_bytes(raw[place : place + size], "little") ^ 1
    return raw[:place] + word.to_bytes(size, "little") + raw[place + size :]


def differs(stop: Raw, member: str, at: int = 0, size: int = 8) -> Mapping[str, set[str]]:
    raw, pid = stop
    told = decode(lie(raw, member, at, size), pid, "tracee").differs
    return {view: set(fields) for view, fields in told.items()}


# What the kernel said is at one with itself.
@pytest.mark.parametrize("kind", ["enter", "seccomp", "exit", "signal"])
def test_agree(stops: Mapping[str, Raw], kind: str) -> None:
    raw, pid = stops[kind]
    assert not decode(raw, pid, "tracee").differs


# Each register of each view is compared.
@pytest.mark.parametrize("view", ["regset", USER])
@pytest.mark.parametrize("name", requests.LAYOUT)
def test_registers(stops: Mapping[str, Raw], view: str, name: str) -> None:
    at = requests.WORD_SIZE * requests.LAYOUT.index(name)
    assert differs(stops["signal"], view, at, requests.WORD_SIZE) == {view: {name}}


# Where the kernel has 32-bit tracers, so is each register that they see, as they see it.
@pytest.mark.skipif(not WIDE, reason="a 32-bit tracer has no other view")
@pytest.mark.parametrize("view", ["narrow", "narrow_user"])
@pytest.mark.parametrize("name", REGISTERS_32)
def test_narrow(
    stops: Mapping[str, Raw], environment: Environment, view: str, name: str
) -> None:
    if not environment.facts["ia32"]:
        pytest.skip("the kernel runs no 32-bit programs")
    at = 4 * REGISTERS_32.index(name)
    assert differs(stops["signal"], view, at, 4) == {view: {name}}
    assert differs(stops["signal"], f"err_{view}", size=4)[view] == {"error"}


# And each debug register.
@pytest.mark.skipif(not WIDE, reason="a 32-bit tracer has no other view")
@pytest.mark.parametrize("number", [0, 3, 6, 7])
def test_narrow_debug(stops: Mapping[str, Raw], environment: Environment, number: int) -> None:
    if not environment.facts["ia32"]:
        pytest.skip("the kernel runs no 32-bit programs")
    at = (snapshot.DEBUG_REGISTERS_32 + number) * 4
    assert differs(stops["signal"], "narrow_user", at, 4) == {"narrow_user": {f"dr{number}"}}


# The words of struct user that are no registers are 0.
@pytest.mark.parametrize("word", WORDS)
def test_other_words(stops: Mapping[str, Raw], word: int) -> None:
    at = requests.WORD_SIZE * word
    assert differs(stops["signal"], USER, at, requests.WORD_SIZE) == {USER: {f"word{word}"}}


INFO = {"pad": 1, "ip": 8, "sp": 16, "nr": 24,
        **{name: 32 + 8 * at for at, name in enumerate(OWN.arguments)}}  # fmt: skip


# So is each member of struct ptrace_syscall_info, where the stop has it.
@pytest.mark.parametrize(
    ("kind", "name"),
    [
        *(("enter", name) for name in INFO), *(("seccomp", name) for name in INFO),
        *((kind, name) for kind in ("exit", "signal") for name in ("pad", "ip", "sp")),
    ],
)  # fmt: skip
def test_info(stops: Mapping[str, Raw], kind: str, name: str) -> None:
    assert differs(stops[kind], "info", INFO[name], 4) == {"info": {name}}


# What it says of the call's arch is a field of the stop.
@pytest.mark.parametrize("kind", ["enter", "seccomp", "exit", "signal"])
def test_arch(stops: Mapping[str, Raw], kind: str) -> None:
    raw, pid = stops[kind]
    assert decode(raw, pid, "tracee").arch == ("x86_64" if WIDE else "i386")
    assert decode(lie(raw, "info", 4, 4), pid, "tracee").arch == hex(ARCH ^ 1)


@pytest.mark.parametrize(
    ("kind", "name", "at"),
    [("seccomp", "ret_data", 80), ("exit", "rval", 24), ("exit", "is_error", 32)],
)
def test_result(stops: Mapping[str, Raw], kind: str, name: str, at: int) -> None:
    assert differs(stops[kind], "info", at) == {"info": {name}}


@pytest.mark.parametrize("kind", ["enter", "seccomp", "exit", "signal"])
def test_sizes(stops: Mapping[str, Raw], kind: str) -> None:
    assert differs(stops[kind], "info_size", size=4) == {"info": {"size"}}
    told = differs(stops[kind], "regset_size", size=4)
    assert told.keys() == {"regset"}
    assert "size" in told["regset"]


# A stop of ptrace's own says in its siginfo which it is, and whose.
def test_siginfo(stops: Mapping[str, Raw]) -> None:
    assert differs(stops["enter"], "siginfo", 0, 4) == {"siginfo": {"signo"}}
    assert differs(stops["enter"], "siginfo", 8, 4)["siginfo"] == {"code"}
    assert differs(stops["enter"], "siginfo", PID_AT, 4) == {"siginfo": {"pid"}}
    assert differs(stops["signal"], "siginfo", 0, 4) == {"siginfo": {"signo"}}
    assert not differs(stops["signal"], "siginfo", PID_AT, 4)


def test_message(stops: Mapping[str, Raw]) -> None:
    assert differs(stops["enter"], "message") == {"message": {"value"}}
    assert differs(stops["seccomp"], "message") == {"info": {"ret_data"}}


# The siginfo of SIGSYS holds the call: its address, its number and its ABI.
def test_sigsys() -> None:
    raw = struct.pack("=iiiiQiI", signal.SIGSYS, 0x123, 1, 0, 0x1000, Nr.getcpu, 0xC000_003E)
    info = Siginfo.parse(raw.ljust(128, b"\0"))
    assert (info.code, info.addr, info.sysno, info.arch) == (1, 0x1000, Nr.getcpu, 0xC000_003E)


# A request that fails is no agreement.
@pytest.mark.parametrize("view", [REGS, "regset", USER, "info", "siginfo", "message"])
def test_errors(stops: Mapping[str, Raw], view: str) -> None:
    assert differs(stops["exit"], f"err_{view}", size=4) == {view: {"error"}}
