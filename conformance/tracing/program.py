# SPDX-License-Identifier: GPL-2.0-only
"""Programs: what the board tells a probe to do, and what it reports there."""

from __future__ import annotations

import bisect
import contextlib
import functools
import hashlib
import os
import signal
import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from conformance._native import ffi, lib
from conformance.abi import REGISTERS, WORD
from conformance.cases import Probe
from conformance.errors import HarnessError
from conformance.strays import WALL

PATTERNED: Final = ("bx", "cx", "dx", "si", "di", "bp", "r8", "r9", "r10", "r11", "r12", "r13",
                    "r14", "r15", "ax")  # fmt: skip
PATTERN: Final = 0x0BA5_E000_C0DE_0000
SIGCONTEXT: Final = ("r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "di", "si", "bp", "bx",
                     "dx", "ax", "cx", "sp", "ip", "flags", "segments")  # fmt: skip
"""struct sigcontext of 64-bit x86, in its order (arch/x86/include/uapi/asm/sigcontext.h)."""
STACK_MARGIN: Final = 1024
POLL: Final = 0.0002
"""Seconds between two looks at a program that is about to block, or to go."""
PATIENCE: Final = 2.0
"""Seconds that killed processes may take to go."""
SMALL: Final = 1024
"""Below it are the numbers of all calls and signals, and flags: no pid may look like one."""
NUMBERS: Final = (
    1792, 4096, 4369, 4660, 8738, 10000, 10752, 12345, 13107, 17476, 30583, 32768, 65528, 65531,
    65532, 65535, 458753, 589825, 921102, 1048580, 2097152, 2097156, 3145732,
)  # fmt: skip
"""The other numbers below PID_MAX_LIMIT that stand in goldens: nor may a pid look like one."""
CHILDREN: Final = 16
"""Pids behind a program's own that its children may get."""
USER_CS, USER_DS = 0x33, 0x2B
PROGRAMS: Final = Path(__file__).parents[1] / "_programs"
ENTRY_SIZE: Final = 64
"""Bytes from a freestanding program's entry on in which addresses are made symbolic."""


@dataclass(frozen=True, slots=True)
class Label:
    """A named place in probe code."""

    name: str
    start: int
    end: int
    index: int
    is_site: bool


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


@dataclass(frozen=True, slots=True)
class Report:
    """What a program told through the board, traced (``probe``) or not (``control``)."""

    head: str
    frames: tuple[Frame, ...]
    landed: bool
    out: Mapping[str, int]
    results: tuple[tuple[str, int], ...]
    ending: str | None
    overflow: int = 0
    shown: tuple[str, ...] = ()


@functools.cache
def labels() -> Mapping[str, Label]:
    """Every label of the probes, by name."""
    count = ffi.new("uint32_t *")
    table = lib.origax_labels(count)
    found = [
        Label(
            ffi.string(table[i].name).decode(), int(ffi.cast("uintptr_t", table[i].start)),
            int(ffi.cast("uintptr_t", table[i].end)), i, bool(table[i].is_site),
        )
        for i in range(count[0])
    ]  # fmt: skip
    named = {label.name: label for label in found}
    if len(named) < len(found):
        twice = sorted({label.name for label in found if named[label.name] is not label})
        raise HarnessError(
            f"two places are named {', '.join(twice)}", "the labels of cprobes/",
            "give one of them another name",
        )  # fmt: skip
    return named


@functools.cache
def setups() -> Mapping[str, int]:
    """Number of each preparation, by name."""
    count = ffi.new("uint32_t *")
    table = lib.origax_setups(count)
    return {ffi.string(table[i].name).decode(): i for i in range(count[0])}


@functools.cache
def _by_address() -> tuple[list[int], list[Label]]:
    ordered = sorted(labels().values(), key=lambda label: (label.start, not label.is_site))
    return [label.start for label in ordered], ordered


def place(address: int) -> str | None:
    """Name an address in probe code: ``spin``, ``syscall+2``; None elsewhere.

    The innermost label that holds it is taken; a site's end belongs to it. In a freestanding
    program it is ``entry``, and what follows.
    """
    for entry in _entries():
        if entry <= address < entry + ENTRY_SIZE:
            return f"entry+{address - entry}" if address > entry else "entry"
    starts, ordered = _by_address()
    for at in range(bisect.bisect_right(starts, address) - 1, -1, -1):
        label = ordered[at]
        if address <= label.end:
            offset = address - label.start
            return f"{label.name}+{offset}" if offset else label.name
        if label.is_site:
            return None
    return None


def executable(name: str) -> Path:
    """Path of a freestanding program, by the name of its source: ``true``."""
    return PROGRAMS / f"{name}_x86_64"


@functools.cache
def _entries() -> frozenset[int]:
    """Entry points of the freestanding programs: e_entry of 64-bit ELF headers."""
    entries = set()
    for path in PROGRAMS.glob("*_x86_64"):
        with contextlib.suppress(OSError, struct.error), path.open("rb") as file:
            entries.add(struct.unpack_from("<Q", file.read(64), 24)[0])
    return frozenset(entries)


@functools.cache
def stack(which: int) -> range:
    """Addresses of the site's stack (0) or the alternate signal stack (1)."""
    size = ffi.new("uint32_t *")
    start = lib.origax_stack(which, size)
    return range(start, start + size[0])


@functools.cache
def board_range() -> range:
    """Addresses of the board."""
    start = int(ffi.cast("uintptr_t", board()))
    return range(start, start + ffi.sizeof("struct origax_board"))


def board_address(member: str) -> int:
    """Address of a member of struct origax_board, the same in every program."""
    return board_range().start + int(ffi.offsetof("struct origax_board", member))


def digests() -> dict[str, str]:
    """SHA-256 of every site's machine code, by its name."""
    return {
        label.name: hashlib.sha256(
            bytes(ffi.buffer(ffi.cast("uint8_t *", label.start), label.end - label.start))
        ).hexdigest()
        for label in labels().values()
        if label.is_site
    }


def tool_digest() -> str:
    """SHA-256 over the machine code of all sites."""
    whole = "".join(f"{name}={digest}\n" for name, digest in sorted(digests().items()))
    return hashlib.sha256(whole.encode()).hexdigest()


def _unknown(what: str, name: str, known: Mapping[str, Any]) -> HarnessError:
    return HarnessError(
        f"no {what} is named {name}", f"the probes of this build: {', '.join(sorted(known))}",
        "correct the case, or rebuild the extension: pip install -e .",
    )  # fmt: skip


def board() -> Any:
    """The board, shared with every program launched from this process."""
    mapped = lib.origax_board()
    if mapped == ffi.NULL:
        raise HarnessError(
            "the shared board could not be mapped", "mmap(MAP_SHARED | MAP_ANONYMOUS)",
            "see whether memory or RLIMIT_AS is exhausted",
        )  # fmt: skip
    return mapped


def launch(probe: Probe, cpu: int, traced: bool) -> int:
    """Write the board and fork the program; returns its pid."""
    if probe.site not in labels():
        raise _unknown("site", probe.site, labels())
    if probe.setup is not None and probe.setup not in setups():
        raise _unknown("setup", probe.setup, setups())
    if len(probe.text.encode()) >= ffi.sizeof(board().text):
        raise HarnessError(
            "a program's text is too long", f"{probe.text[:40]}... ({len(probe.text)} characters)",
            "install origax under a shorter path",
        )  # fmt: skip
    pid = _fork(probe, cpu, traced)
    while looks_like_a_number(pid):
        kill_group(pid)
        kill(pid)
        os.waitpid(pid, 0)
        reap_group(pid)
        if pid < SMALL:
            lib.origax_use_up_pids(SMALL)
        pid = _fork(probe, cpu, traced)
    if pid < 0:
        raise HarnessError(
            f"fork failed: {os.strerror(-pid)}", "launching a probe",
            "raise RLIMIT_NPROC or free memory",
        )  # fmt: skip
    return pid


def looks_like_a_number(pid: int) -> bool:
    """Whether a pid, or those of the program's next children, could be taken for another number.

    A transcript names pids, so a register that holds 4660 must not hold somebody's pid.
    """
    return 0 < pid < SMALL or any(pid <= number < pid + CHILDREN for number in NUMBERS)


def _fork(probe: Probe, cpu: int, traced: bool) -> int:
    """Write the board and fork; returns the pid, or a negative errno."""
    pinned = board()
    ffi.memmove(pinned, bytes(ffi.sizeof("struct origax_board")), ffi.sizeof("struct origax_board"))
    _write(pinned, probe, cpu, traced)
    setup = -1 if probe.setup is None else setups()[probe.setup]
    return int(lib.origax_launch(labels()[probe.site].index, setup))


def _write(pinned: Any, probe: Probe, cpu: int, traced: bool) -> None:
    for number, name in enumerate(PATTERNED):
        setattr(pinned.in_, name, PATTERN + number)
    pinned.in_.flags = 0x202
    pinned.in_.cs, pinned.in_.ss = USER_CS, USER_DS
    pinned.in_.sp = stack(0).stop - STACK_MARGIN
    for name, word in probe.regs.items():
        setattr(pinned.in_, name, word & WORD)
    pinned.text = probe.text.encode()
    for index, number in enumerate(probe.args):
        pinned.arg[index] = number & WORD
    for index, handler in enumerate(probe.handlers):
        pinned.handler_signo[index] = handler.signo
        pinned.handler_flags[index] = handler.flags
        pinned.handler_ignore[index] = handler.ignore
    pinned.blocked = sum(1 << signo - 1 for signo in probe.blocked)
    pinned.cpu = cpu
    pinned.traced = traced
    pinned.skip = probe.skip
    pinned.quit_after = probe.quit_after
    pinned.edits = len(probe.edits)
    for index, (name, word) in enumerate(probe.edits.items()):
        pinned.edit_at[index] = SIGCONTEXT.index(name)
        pinned.edit_to[index] = word & WORD


def child() -> int:
    """Pid of the process that the program made, if its site told; otherwise 0."""
    return int(board().child)


def registers(regs: Any) -> dict[str, int]:
    """Read struct origax_regs by the names of its members."""
    return {name: int(getattr(regs, name)) for name in REGISTERS}


def own() -> dict[str, int]:
    """The registers that the program now on the board holds at its site."""
    return registers(board().in_)


def report(probe: Probe, head: str, ending: str | None) -> Report:
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
        head, frames, bool(pinned.landed), registers(pinned.out), results, ending,
        int(pinned.frames) - kept, tuple(probe.show),
    )  # fmt: skip


def _frame(raw: Any) -> Frame:
    return Frame(
        raw.signo, raw.code, raw.addr, raw.sysno, raw.arch, registers(raw.regs), raw.trapno,
        raw.err, raw.cr2, raw.uc_flags, raw.mask, raw.handler_sp,
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
