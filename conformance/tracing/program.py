# SPDX-License-Identifier: GPL-2.0-only
"""Programs: what the board tells a probe to do, and what it reports there."""

from __future__ import annotations

import contextlib
import os
import signal
import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Final

from conformance._native import ffi, lib
from conformance.abi import REGISTERS, REGISTERS_32, WORD, Nr
from conformance.cases import Probe
from conformance.errors import HarnessError
from conformance.strays import WALL
from conformance.tracing.image import Image, entry_place

PATTERNED: Final = ("bx", "cx", "dx", "si", "di", "bp", "r8", "r9", "r10", "r11", "r12", "r13",
                    "r14", "r15", "ax")  # fmt: skip
PATTERN: Final = 0x0BA5_E000_C0DE_0000
SIGCONTEXT: Final = {
    64: ("r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "di", "si", "bp", "bx", "dx", "ax",
         "cx", "sp", "ip", "flags", "segments"),
    32: ("gs", "fs", "es", "ds", "di", "si", "bp", "sp", "bx", "dx", "cx", "ax", "trapno", "err",
         "ip", "cs", "flags", "sp_at_signal", "ss"),
}  # fmt: skip
"""struct sigcontext of each width, in its order (arch/x86/include/uapi/asm/sigcontext.h)."""
STACK_MARGIN: Final = 1024
POLL: Final = 0.0002
"""Seconds between two looks at a program that is about to block, or to go."""
PATIENCE: Final = 2.0
"""Seconds that killed processes may take to go."""
SMALL: Final = 1024
"""Below it are the numbers of all calls and signals, and flags: no pid may look like one."""
NUMBERS: Final = (
    1792, 4096, 4369, 4660, 8738, 10000, 10752, 12345, 13107, 16657, 17476, 30583, 32768, 32770,
    65528, 65531, 65532, 65535, 331520, 458753, 589825, 851969, 921102, 1048580, 2097152, 2097156,
    3145732,
)  # fmt: skip
"""The other numbers below PID_MAX_LIMIT that stand in goldens: nor may a pid look like one."""
CHILDREN: Final = 16
"""Pids behind a program's own that its children may get."""


@dataclass(frozen=True, slots=True)
class Frame:
    """What a signal handler of the program was given."""

    signo: int
    code: int
    addr: int
    sysno: int
    arch: int
    regs: Mapping[str, int]
    trapno: int
    err: int
    cr2: int
    uc_flags: int
    mask: int
    handler_sp: int
    old: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """What a program told through the board, traced (``probe``) or not (``control``)."""

    head: str
    bits: int
    frames: tuple[Frame, ...]
    landed: bool
    out: Mapping[str, int]
    results: tuple[tuple[str, int], ...]
    ending: str | None
    overflow: int = 0
    shown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Context:
    """What makes the words of a stop or a report readable.

    :ivar own: the registers that the program holds at its site
    :ivar pids: processes by name
    :ivar image: that the program is of; None once it has executed another
    :ivar numbers: the table of its system calls
    :ivar vdso: __kernel_vsyscall, and the landing pad in it; 0 where there is none
    :ivar pads: names of the places behind other entry instructions of the vDSO
    """

    own: Mapping[str, int]
    pids: Mapping[int, str]
    image: Image | None
    numbers: type[IntEnum] = Nr
    vdso: tuple[int, int] = (0, 0)
    pads: Mapping[int, str] = field(default_factory=dict)

    def place(self, address: int) -> str | None:
        """Name an address in the code that the program runs; None elsewhere."""
        if address in self.pads:
            return self.pads[address]
        entry, pad = self.vdso
        if pad and entry <= address < entry + VDSO_SIZE:
            if address == entry:
                return "vdso"
            # What precedes the entry instruction differs between kernels, so count from behind it.
            return f"landing_pad{address - pad:+}" if address != pad else "landing_pad"
        return self.image.place(address) if self.image else entry_place(address)


VDSO_SIZE: Final = 64
"""Bytes of __kernel_vsyscall, and some."""
INT80_SIZE: Final = 2
"""Bytes of int $0x80: so far before the landing pad is the one by which calls are made again."""


def board_address(image: Image, member: str) -> int:
    """Address of a member of struct origax_board in the programs of an image."""
    return image.board + int(ffi.offsetof("struct origax_board", member))


def board_range(image: Image) -> range:
    """Addresses of the board in the programs of an image."""
    return range(image.board, image.board + int(ffi.sizeof("struct origax_board")))


def _unknown(what: str, name: str, known: Mapping[str, Any]) -> HarnessError:
    return HarnessError(
        f"no {what} is named {name}", f"the probes of this image: {', '.join(sorted(known))}",
        "correct the case, or build the probes again: pip install -e .",
    )  # fmt: skip


def board() -> Any:
    """The board, shared with every program launched from this process."""
    mapped = lib.origax_board()
    if mapped == ffi.NULL:
        raise HarnessError(
            "the shared board could not be mapped", "memfd_create and mmap(MAP_SHARED)",
            "see whether memory or RLIMIT_AS is exhausted",
        )  # fmt: skip
    return mapped


def launch(probe: Probe, image: Image, cpu: int, traced: bool, tracer: int = 0) -> int:
    """Write the board and launch the program; returns its pid.

    :param tracer: pid of who is to trace it, if it is not this process
    """
    if probe.site not in image.labels:
        raise _unknown("site", probe.site, image.labels)
    if probe.setup is not None and probe.setup not in image.setups:
        raise _unknown("setup", probe.setup, image.setups)
    if len(probe.text.encode()) >= ffi.sizeof(board().text):
        raise HarnessError(
            "a program's text is too long", f"{probe.text[:40]}... ({len(probe.text)} characters)",
            "install origax under a shorter path",
        )  # fmt: skip
    pid = _start(probe, image, cpu, traced, tracer)
    while looks_like_a_number(pid):
        kill_group(pid)
        kill(pid)
        os.waitpid(pid, 0)
        reap_group(pid)
        use_up_small_pids()
        pid = _start(probe, image, cpu, traced, tracer)
    if pid < 0:
        raise HarnessError(
            f"a probe could not be launched: {os.strerror(-pid)}", str(image.path),
            "see RLIMIT_NPROC, free memory, and whether files there may be executed",
        )  # fmt: skip
    return pid


def use_up_small_pids() -> None:
    """Have the next process not get a small pid, if it would; a process is tried, and reaped."""
    lib.origax_use_up_pids(SMALL)


def looks_like_a_number(pid: int) -> bool:
    """Whether a pid, or those of the program's next children, could be taken for another number.

    A transcript names pids, so a register that holds 4660 must not hold somebody's pid.
    """
    return 0 < pid < SMALL or any(pid <= number < pid + CHILDREN for number in NUMBERS)


def _start(probe: Probe, image: Image, cpu: int, traced: bool, tracer: int) -> int:
    """Write the board and launch; returns the pid, or a negative errno."""
    pinned = board()
    ffi.memmove(pinned, bytes(ffi.sizeof("struct origax_board")), ffi.sizeof("struct origax_board"))
    _write(pinned, probe, image, cpu, traced)
    pinned.tracer = tracer
    return int(lib.origax_launch(os.fsencode(image.path)))


def _write(pinned: Any, probe: Probe, image: Image, cpu: int, traced: bool) -> None:
    known = PATTERNED if image.bits == 64 else REGISTERS_32
    mask = (1 << image.bits) - 1
    for number, name in enumerate(PATTERNED):
        if name in known:
            setattr(pinned.in_, name, PATTERN + number & mask)
    pinned.in_.flags = 0x202
    pinned.in_.sp = image.stacks[0].stop - STACK_MARGIN
    for name, word in probe.regs.items():
        setattr(pinned.in_, name, word & mask)
    pinned.site = image.labels[probe.site].index
    pinned.setup = -1 if probe.setup is None else image.setups[probe.setup]
    pinned.text = probe.text.encode()
    for index, number in enumerate(probe.args):
        pinned.arg[index] = number & WORD
    for index, handler in enumerate(probe.handlers):
        pinned.handler_signo[index] = handler.signo
        pinned.handler_flags[index] = handler.flags
        pinned.handler_how[index] = (
            lib.ORIGAX_IGNORE * handler.ignore
            | lib.ORIGAX_OLD * handler.old
            | lib.ORIGAX_BY_VDSO * handler.by_vdso
            | lib.ORIGAX_CALLS * handler.calls
        )
    pinned.blocked = sum(1 << signo - 1 for signo in probe.blocked)
    pinned.cpu = cpu
    pinned.traced = traced
    pinned.skip = probe.skip
    pinned.quit_after = probe.quit_after
    pinned.edits = len(probe.edits)
    for index, (name, word) in enumerate(probe.edits.items()):
        pinned.edit_at[index] = SIGCONTEXT[image.bits].index(name)
        pinned.edit_to[index] = word & WORD


def child() -> int:
    """Pid of the process that the program made, if its site told; otherwise 0."""
    return int(board().child)


def landed() -> bool:
    """Whether the program came out of its site's end, so far."""
    return bool(board().landed)


def forget() -> None:
    """Have the program's report begin anew: it has not landed, and its handlers saw nothing."""
    pinned = board()
    pinned.landed = pinned.frames = 0


def registers(regs: Any) -> dict[str, int]:
    """Read struct origax_regs by the names of its members."""
    words = _REGS.unpack(ffi.buffer(ffi.addressof(regs)))
    return dict(zip(REGISTERS, words, strict=True))


_REGS: Final = struct.Struct(f"={len(REGISTERS)}Q")


def own() -> dict[str, int]:
    """The registers that the program now on the board holds at its site."""
    return registers(board().in_)


def vdso() -> tuple[int, int]:
    """Where the program now on the board has __kernel_vsyscall and its landing pad; or 0."""
    return int(board().vdso), int(board().landing_pad)


PADS: Final = ("sigreturn_pad", "rt_sigreturn_pad")


def pads() -> dict[int, str]:
    """Where the vDSO of the program now on the board returns from handlers, by address."""
    found = {int(getattr(board(), name)): name for name in PADS}
    found.pop(0, None)
    return found


def report(probe: Probe, bits: int, head: str, ending: str | None) -> Report:
    """Read what the program left on the board.

    :raises HarnessError: its setup failed
    """
    pinned = board()
    if pinned.failed:
        raise HarnessError(
            f"the probe's setup failed: {os.strerror(pinned.failed)}",
            f"setup {probe.setup} of site {probe.site}",
            "see the limits of this user (files, processes, memory)",
        )  # fmt: skip
    kept = min(int(pinned.frames), len(pinned.frame))
    frames = tuple(_frame(pinned.frame[i]) for i in range(kept))
    results = tuple((name, int(pinned.result[i])) for i, name in enumerate(probe.results))
    return Report(
        head, bits, frames, bool(pinned.landed), registers(pinned.out), results, ending,
        int(pinned.frames) - kept, tuple(probe.show),
    )  # fmt: skip


def _frame(raw: Any) -> Frame:
    return Frame(
        raw.signo, raw.code, raw.addr, raw.sysno, raw.arch, registers(raw.regs), raw.trapno,
        raw.err, raw.cr2, raw.uc_flags, raw.mask, raw.handler_sp, bool(raw.old),
    )  # fmt: skip


def kill(pid: int) -> None:
    """Kill a task; it may be gone already."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def kill_group(leader: int) -> None:
    """Kill what is left of a program's process group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def reap_group(leader: int) -> None:
    """Reap the killed helpers of a program, which its end made children of the subreaper."""
    deadline = time.monotonic() + PATIENCE
    with contextlib.suppress(ChildProcessError):
        while time.monotonic() < deadline:
            if os.waitpid(-leader, os.WNOHANG | WALL)[0] == 0:
                time.sleep(POLL)
