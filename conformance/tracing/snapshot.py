# SPDX-License-Identifier: GPL-2.0-only
"""One ptrace stop, read through every view in one C call, and once more by python-ptrace."""

from __future__ import annotations

import errno
import functools
import os
import signal
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from conformance._native import ffi, lib
from conformance.abi import (
    ARGUMENTS,
    ARGUMENTS_32,
    AUDIT_ARCH_I386,
    AUDIT_ARCH_X86_64,
    REGISTERS,
    REGISTERS_32,
    WORD,
    error_name,
    signed,
)
from conformance.errors import HarnessError
from conformance.facts import executes
from conformance.tracing import requests
from conformance.tracing.image import executable

EVENTS: Final = {1: "FORK", 2: "VFORK", 3: "CLONE", 4: "EXEC", 5: "VFORK_DONE", 6: "EXIT",
                 7: "SECCOMP", 128: "STOP"}  # fmt: skip
SYSCALL_STOP: Final = signal.SIGTRAP | 0x80
ARCHES: Final = {AUDIT_ARCH_X86_64: "x86_64", AUDIT_ARCH_I386: "i386"}
FAULTS: Final = frozenset({"SIGSEGV", "SIGBUS", "SIGILL", "SIGFPE", "SIGTRAP"})
DEBUG_REGISTERS: Final = 106
"""Word of struct user at which u_debugreg begins (offset 848)."""
DEBUG_REGISTERS_32: Final = 63
"""The same of a 32-bit tracer's struct user (offset 252)."""
LOW: Final = 0xFFFF_FFFF
"""What a 32-bit tracer sees of a register."""
USER_CS: Final = 0x33
"""__USER_CS: the selector of 64-bit code, by which the kernel knows it (user_64bit_mode)."""

DEBUG_NAMES: Final = ("dr0", "dr1", "dr2", "dr3", "dr4", "dr5", "dr6", "dr7")

OPS: Final = {0: "NONE", 1: "ENTRY", 2: "EXIT", 3: "SECCOMP"}


class Missed(Exception):
    """No answer before the deadline."""


class ReadersDiffer(HarnessError):
    """The C side and python-ptrace read different registers at one stop."""


@dataclass(frozen=True, slots=True)
class Siginfo:
    """The part of siginfo that every signal has, and the sender or address behind it.

    ``sysno`` and ``arch`` are SIGSYS's; its address is that of the call (si_call_addr).
    """

    signo: int
    code: int
    addr: int
    pid: int
    sysno: int = 0
    arch: int = 0

    @classmethod
    def parse(cls, raw: bytes, bits: int = 64) -> Siginfo:
        """Read siginfo_t; what lies behind si_code is read as an address and as a pid."""
        signo, _, code = struct.unpack_from("=iii", raw)
        at = 16 if bits == 64 else 12
        (addr,) = struct.unpack_from("=Q" if bits == 64 else "=I", raw, at)
        (pid,) = struct.unpack_from("=i", raw, at)
        sysno, arch = struct.unpack_from("=iI", raw, at + bits // 8)
        return cls(signo, code, addr, pid, sysno, arch)


@dataclass(frozen=True, slots=True)
class Reading:
    """What the views of a stop say.

    ``regs`` are those of PTRACE_GETREGS as unsigned numbers of so many ``bits``: 64, or 32 of a
    32-bit tracer, who sees fewer; ``differs`` names, by view, what another view says instead.
    ``arch`` is that of the system call, as PTRACE_GET_SYSCALL_INFO tells it.
    """

    regs: Mapping[str, int] = field(default_factory=dict)
    differs: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    siginfo: Siginfo | None = None
    message: int = 0
    debug: tuple[int, ...] = ()
    op: str = "NONE"
    bits: int = 64
    arch: str = "x86_64"


@dataclass(frozen=True, slots=True)
class Stop:
    """What stopped a task, and its registers; or how it ended.

    ``source`` is what was read, as bytes of struct origax_stop: they are taken apart only when
    somebody asks, which is after the tracee went on. ``count`` equal stops in a row may be kept as
    one. ``mask`` are the blocked signals, bit 0 for signal 1, read only where ``shown`` asks for
    them.
    """

    who: str
    pid: int
    kind: str
    status: int
    source: bytes | Reading = Reading()
    count: int = 1
    shown: tuple[str, ...] = ()
    mask: int = 0

    @property
    def reading(self) -> Reading:
        """What the views say."""
        if isinstance(self.source, Reading):
            return self.source
        return _reading(self.source, self.pid, self.kind, self.status)

    @property
    def regs(self) -> Mapping[str, int]:
        """Registers by PTRACE_GETREGS."""
        return self.reading.regs

    @property
    def differs(self) -> Mapping[str, Mapping[str, str]]:
        """What other views say instead."""
        return self.reading.differs

    @property
    def siginfo(self) -> Siginfo | None:
        """PTRACE_GETSIGINFO; None where the kernel has none."""
        return self.reading.siginfo

    @property
    def message(self) -> int:
        """PTRACE_GETEVENTMSG."""
        return self.reading.message

    @property
    def debug(self) -> tuple[int, ...]:
        """The debug registers 0 to 7, by PTRACE_PEEKUSER."""
        return self.reading.debug

    @property
    def op(self) -> str:
        """The op of PTRACE_GET_SYSCALL_INFO."""
        return self.reading.op

    @property
    def arch(self) -> str:
        """The arch of PTRACE_GET_SYSCALL_INFO: ``x86_64``, ``i386``."""
        return self.reading.arch

    @property
    def bits(self) -> int:
        """How many bits of each register the tracer sees."""
        return self.reading.bits

    @property
    def ended(self) -> bool:
        """Whether the task is gone."""
        return self.kind.startswith(("exited", "killed"))

    @property
    def signo(self) -> int:
        """The signal of a signal-delivery-stop, to resume with; otherwise 0."""
        return (self.status >> 8) & 0x7F if self.kind.startswith("signal") else 0

    def to_json(self) -> dict[str, Any]:
        """Write the stop as the record keeps it: nothing symbolic."""
        data: dict[str, Any] = {
            "who": self.who, "kind": self.kind, "status": self.status, "count": self.count,
        }  # fmt: skip
        reading = self.reading
        if not self.ended:
            data["regs"] = {name: hex(value) for name, value in reading.regs.items()}
            data["differs"] = {view: dict(values) for view, values in reading.differs.items()}
            data["message"] = reading.message
            data["debug"] = [hex(word) for word in reading.debug]
            data["info"] = {"op": reading.op, "arch": reading.arch}
        if siginfo := reading.siginfo:
            data["siginfo"] = {
                "signo": siginfo.signo, "code": siginfo.code, "addr": hex(siginfo.addr),
            }  # fmt: skip
            if siginfo.signo == signal.SIGSYS:
                data["siginfo"] |= {"syscall": siginfo.sysno, "arch": hex(siginfo.arch)}
        return data


def debug_offset(name: str) -> int:
    """Offset of a debug register in struct user of the tracer's width."""
    first = DEBUG_REGISTERS if requests.BITS == 64 else DEBUG_REGISTERS_32
    return (first + DEBUG_NAMES.index(name)) * requests.WORD_SIZE


@functools.lru_cache(maxsize=128)
def signal_name(signo: int) -> str:
    """Name a signal: ``SIGUSR1``, ``SIGRT3``."""
    try:
        return signal.Signals(signo).name
    except ValueError:
        return f"SIGRT{signo - 32}"


def take(pid: int, request: int = 0, signo: int = 0) -> bytes:
    """Resume (unless 0), wait for the task's next stop or end, and read it: one C call.

    Returns struct origax_stop as bytes.

    :raises Missed: the deadline passed first
    :raises OSError: the kernel refused the request or the wait
    """
    stop = ffi.new("struct origax_stop *")
    _awaited(
        pid, lambda asked: int(lib.origax_take(pid, asked, signo if asked else 0, stop)), request
    )
    return bytes(ffi.buffer(stop))


def skip(pid: int, request: int = 0, signo: int = 0) -> int:
    """Like `take`, but read nothing: returns the status of waitpid."""
    return _awaited(
        pid, lambda asked: int(lib.origax_pass(pid, asked, signo if asked else 0)), request
    )


def _awaited(pid: int, call: Callable[[int], int], request: int) -> int:
    """Make a call that waits, again without a request when a signal for us came first."""
    result = call(request)
    while result == -errno.EINTR:
        result = call(0)
    if result == -errno.ETIME:
        raise Missed(pid)
    if result < 0:
        raise OSError(-result, os.strerror(-result))
    return result


_HEAD: Final = struct.Struct("=10i4I")
_WORD: Final = struct.Struct("=Q")
_REGS: Final = struct.Struct("=27Q")
_REGS_32: Final = struct.Struct("=17I")
_USER: Final = struct.Struct("=114Q")
_USER_32: Final = struct.Struct("=71I")
_INFO: Final = struct.Struct("=IIQQ8Q")
_DEBUG: Final = struct.Struct("=8Q")
_DEBUG_32: Final = struct.Struct("=8I")
(
    _STATUS_AT, _REGS_AT, _REGSET_AT, _USER_AT, _INFO_AT, _SIGINFO_AT, _MESSAGE_AT, _NARROW_AT,
    _NARROW_USER_AT,
) = (
    int(ffi.offsetof("struct origax_stop", name))
    for name in ("status", "regs", "regset", "user", "info", "siginfo", "message", "narrow",
                 "narrow_user")
)  # fmt: skip
_DEBUG_AT: Final = _USER_AT + 8 * DEBUG_REGISTERS
_DEBUG_32_AT: Final = _NARROW_USER_AT + 4 * DEBUG_REGISTERS_32
_NOTHING: Final = bytes(_DEBUG_AT - _USER_AT - _REGS.size)
"""What struct user has between its registers and its debug registers."""
_OWN_REGS: Final = (
    slice(_REGS_AT, _REGS_AT + _REGS.size)
    if requests.BITS == 64
    else slice(_NARROW_AT, _NARROW_AT + _REGS_32.size)
)
"""What PTRACE_GETREGS gave to a tracer of this width."""
_BRIEF: Final = struct.Struct(
    f"={_STATUS_AT}xi{_INFO_AT - _STATUS_AT - 4}xB{_MESSAGE_AT - _INFO_AT - 1}xQ"
)
"""What tells the kind of a stop: status, op and message."""


def narrow() -> bool:
    """Read every stop from now on as a 32-bit tracer sees it, too, if the kernel has such.

    It has if it runs 32-bit programs: elsewhere the instruction for it would be a fault.
    """
    if not executes(executable("true", "ia32"))[0]:
        return False
    return int(lib.origax_narrow()) == 0


def again(pid: int, status: int) -> bytes:
    """Read a stopped task once more: the registers may have been written meanwhile."""
    stop = ffi.new("struct origax_stop *")
    lib.origax_read(pid, status, stop)
    return bytes(ffi.buffer(stop))


def second_reader(raw: bytes, pid: int) -> None:
    """Read the same stop by python-ptrace's binding, and compare.

    :raises ReadersDiffer: the two disagree, so neither can be trusted
    """
    theirs = requests.getregs(pid)
    ours = raw[_OWN_REGS]
    if theirs != ours:
        layout = _REGS if requests.BITS == 64 else _REGS_32
        pairs = zip(requests.LAYOUT, layout.unpack(ours), layout.unpack(theirs), strict=True)
        names = [f"{name} {a:#x} != {b:#x}" for name, a, b in pairs if a != b]
        raise ReadersDiffer(
            f"two readers of one stop disagree: {', '.join(names)}",
            f"PTRACE_GETREGS of pid {pid}, read in C and by python-ptrace",
            "report this: the harness is at fault, or registers of a stopped task changed",
        )


def decode(raw: bytes, pid: int, who: str, shown: tuple[str, ...] = (), mask: int = 0) -> Stop:
    """Tell what kind of stop, or end, the bytes of struct origax_stop are."""
    status, op, message = _BRIEF.unpack_from(raw)
    # Linux 5.3 and later say in two ways which half of a call it is; they are compared as views.
    kind = _kind(status, (op or message) == 1)
    source = raw if os.WIFSTOPPED(status) else Reading()
    return Stop(who, pid, kind, status, source, 1, shown, mask)


# As many as a case has stops: the case, its transcript and its record all ask for them.
@functools.lru_cache(maxsize=512)
def _reading(raw: bytes, pid: int, kind: str, status: int) -> Reading:
    """Take the bytes of one stop apart, and compare its views."""
    _, _, *head = _HEAD.unpack_from(raw)
    errors, (regset_size, info_size, bits, narrowed) = head[:8], head[8:]
    (message,) = _WORD.unpack_from(raw, _MESSAGE_AT)
    info = _INFO.unpack_from(raw, _INFO_AT)
    if bits == 64:
        regs = dict(zip(REGISTERS, _REGS.unpack_from(raw, _REGS_AT), strict=True))
        debug = _DEBUG.unpack_from(raw, _DEBUG_AT)
    else:
        regs = dict(zip(REGISTERS_32, _REGS_32.unpack_from(raw, _NARROW_AT), strict=True))
        debug = _DEBUG_32.unpack_from(raw, _DEBUG_32_AT)
    arch = ARCHES.get(info[1], hex(info[1]))
    without_siginfo = errors[_ERRORS.index("siginfo")]
    siginfo = None if without_siginfo else Siginfo.parse(raw[_SIGINFO_AT:_MESSAGE_AT], bits)
    differs: dict[str, dict[str, str]] = {
        "regset": _compare_regset(raw, regs, regset_size),
        "user": _compare_user(raw, regs) if bits == 64 else {},
        "info": {} if errors[_ERRORS.index("info")] else _compare_info(
            kind, regs, bits, arch, message, info_size, info
        ),
        "siginfo": _compare_siginfo(kind, status, pid, siginfo) if siginfo else {},
    }  # fmt: skip
    if narrowed:
        differs |= _compare_narrow(raw, regs, debug)
    if kind.startswith("syscall") and message != {"syscall-enter": 1, "syscall-exit": 2}[kind]:
        differs["message"] = {"value": str(message)}
    for view, code in zip(_ERRORS, errors, strict=True):
        if code and not (view == "siginfo" and code == errno.EINVAL):
            differs[view] = {"error": error_name(code) or str(code)}
    op = info[0] & 0xFF
    return Reading(
        regs, {view: values for view, values in differs.items() if values}, siginfo, message,
        debug, OPS.get(op, str(op)), bits, arch,
    )  # fmt: skip


_ERRORS: Final = ("regs", "regset", "user", "info", "siginfo", "message", "narrow", "narrow_user")


# Nearly always the views agree: bytes are compared before anything is made of them.


def _compare_regset(raw: bytes, regs: Mapping[str, int], size: int) -> dict[str, str]:
    """Compare NT_PRSTATUS with the registers: its layout is told by its size."""
    if size == _REGS.size and raw[_REGSET_AT:_USER_AT] == raw[_REGS_AT:_REGSET_AT]:
        return _wrong_size(regs, size)
    if size == _REGS_32.size:
        seen = dict(zip(REGISTERS_32, _REGS_32.unpack_from(raw, _REGSET_AT), strict=True))
    else:
        seen = dict(zip(REGISTERS, _REGS.unpack_from(raw, _REGSET_AT), strict=True))
    return _compare(_lower(regs) if len(seen) < len(regs) else regs, seen) | _wrong_size(regs, size)


def _compare_user(raw: bytes, regs: Mapping[str, int]) -> dict[str, str]:
    """Compare struct user, word by word, with the registers: what lies between is all 0."""
    if raw[_USER_AT:_DEBUG_AT] == raw[_REGS_AT:_REGSET_AT] + _NOTHING:
        return {}
    words = _USER.unpack_from(raw, _USER_AT)
    return _compare(regs, dict(zip(REGISTERS, words[:27], strict=True))) | _between(
        words, 27, DEBUG_REGISTERS
    )


def _compare_narrow(
    raw: bytes, regs: Mapping[str, int], debug: tuple[int, ...]
) -> dict[str, dict[str, str]]:
    """Compare what a 32-bit tracer sees, by both requests, with the registers' lower halves."""
    lower = _lower(regs)
    words = tuple(lower.values())
    low_debug = tuple(word & LOW for word in debug)
    narrow = _REGS_32.unpack_from(raw, _NARROW_AT)
    user = _USER_32.unpack_from(raw, _NARROW_USER_AT)
    nothing = (0,) * (DEBUG_REGISTERS_32 - len(words))
    if narrow == words and user == words + nothing + low_debug:
        return {}
    ours = lower | dict(zip(DEBUG_NAMES, low_debug, strict=True))
    seen = dict(zip(REGISTERS_32, user[:17], strict=True))
    seen |= dict(zip(DEBUG_NAMES, user[DEBUG_REGISTERS_32:], strict=True))
    return {
        "narrow": _compare(lower, dict(zip(REGISTERS_32, narrow, strict=True))),
        "narrow_user": _compare(ours, seen) | _between(user, 17, DEBUG_REGISTERS_32),
    }


def _lower(regs: Mapping[str, int]) -> dict[str, int]:
    """What of the registers a 32-bit tracer sees, in its order."""
    return {name: regs[name] & LOW for name in REGISTERS_32}


def _wrong_size(regs: Mapping[str, int], size: int) -> dict[str, str]:
    """Compare NT_PRSTATUS's size with the code that runs (task_user_regset_view)."""
    wanted = _REGS.size if regs["cs"] == USER_CS else _REGS_32.size
    return {} if size == wanted else {"size": str(size)}


@functools.lru_cache(maxsize=256)
def _kind(status: int, enters: bool) -> str:
    if os.WIFEXITED(status):
        return f"exited {os.WEXITSTATUS(status)}"
    if os.WIFSIGNALED(status):
        return f"killed {signal_name(os.WTERMSIG(status))}"
    signo = os.WSTOPSIG(status)
    event = status >> 16
    if event == 128 and signo != signal.SIGTRAP:
        return f"group {signal_name(signo)}"
    if event:
        return f"event {EVENTS.get(event, event)}"
    if signo == SYSCALL_STOP:
        return "syscall-enter" if enters else "syscall-exit"
    return f"signal {signal_name(signo)}"


def _compare(ours: Mapping[str, int], theirs: Mapping[str, int]) -> dict[str, str]:
    """Name the registers that another view shows otherwise; a narrow one shows lower halves."""
    if ours == theirs:
        return {}
    shared = ours.keys() & theirs.keys()
    mask = WORD if len(shared) == len(REGISTERS) else LOW
    return {
        name: hex(theirs[name])
        for name in ours
        if name in shared and (ours[name] ^ theirs[name]) & mask
    }


def _between(words: tuple[int, ...], begin: int, end: int) -> dict[str, str]:
    """Name what PEEKUSER shows between the registers and the debug registers: it is all 0."""
    if not any(words[begin:end]):
        return {}
    return {f"word{at}": hex(words[at]) for at in range(begin, end) if words[at]}


INFO_SIZES: Final = {"NONE": 24, "ENTRY": 80, "EXIT": 33, "SECCOMP": 84}
"""Bytes of struct ptrace_syscall_info that count, by op: to the end of its last field."""


def _compare_info(
    kind: str, regs: Mapping[str, int], bits: int, arch: str, message: int, size: int,
    info: tuple[int, ...],
) -> dict[str, str]:  # fmt: skip
    """Compare PTRACE_GET_SYSCALL_INFO with the registers (kernel/ptrace.c).

    Its arch is told by the stop's own field: the kernel knows no other.
    """
    head, _, ip, sp, *rest = info
    op = {"syscall-enter": 1, "syscall-exit": 2, "event SECCOMP": 3}.get(kind, 0)
    wanted = {"op": op, "pad": 0, "ip": regs["ip"], "sp": regs["sp"],
              "size": INFO_SIZES[OPS[op]]}  # fmt: skip
    mask = (1 << bits) - 1
    seen = {"op": head & 0xFF, "pad": head >> 8, "ip": ip & mask, "sp": sp & mask, "size": size}
    if op in (1, 3):
        wanted["nr"] = signed(regs["orig_ax"] & 0xFFFFFFFF, 32) & WORD
        names = [
            name for name in (ARGUMENTS_32 if arch == "i386" else ARGUMENTS) if name in regs
        ]
        wanted |= {name: regs[name] for name in names}
        seen |= {"nr": rest[0]} | {name: rest[1 + i] & mask for i, name in enumerate(names)}
    if op == 3:
        wanted["ret_data"], seen["ret_data"] = message, rest[7]
    elif op == 2:
        # syscall_get_error takes 32 bits of the ax of a 32-bit call.
        ax = signed(regs["ax"] & 0xFFFFFFFF, 32) if arch == "i386" else signed(regs["ax"], bits)
        failed = -4096 < ax < 0
        wanted |= {"rval": (ax if failed else regs["ax"]) & mask, "is_error": int(failed)}
        seen |= {"rval": rest[0] & mask, "is_error": rest[1] & 0xFF}
    return {name: hex(seen[name]) for name in wanted if seen[name] != wanted[name]}


def _compare_siginfo(kind: str, status: int, pid: int, siginfo: Siginfo) -> dict[str, str]:
    """Compare PTRACE_GETSIGINFO with the status of waitpid (kernel/signal.c ptrace_do_notify)."""
    signo, event = os.WSTOPSIG(status), status >> 16
    wanted = {"signo": signo & 0x7F}
    seen = {"signo": siginfo.signo}
    if not kind.startswith("signal"):
        wanted |= {"code": signo | event << 8, "pid": pid}
        seen |= {"code": siginfo.code, "pid": siginfo.pid}
    return {name: str(seen[name]) for name in wanted if seen[name] != wanted[name]}
