# SPDX-License-Identifier: GPL-2.0-only
"""ptrace requests: python-ptrace's binding, and what it lacks through its generic call.

Every request here raises ``ptrace.PtraceError`` (with ``errno``) when the kernel refuses it.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import mmap
import struct
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from ptrace import PtraceError as PtraceError
from ptrace.binding import func as binding
from ptrace.binding.linux_struct import iovec_struct

from conformance.abi import REGISTERS, REGISTERS_32

# include/uapi/linux/ptrace.h; python-ptrace has few of these.
CONT: Final = 7
SINGLESTEP: Final = 9
SYSCALL: Final = 24
PEEKUSER: Final = 3
POKEUSER: Final = 6
PEEKTEXT: Final = 1
POKETEXT: Final = 4
GETREGS: Final = 12
SETREGS: Final = 13
GETFPREGS: Final = 14
SETFPREGS: Final = 15
ATTACH: Final = 16
DETACH: Final = 17
GET_THREAD_AREA: Final = 25
SET_THREAD_AREA: Final = 26
ARCH_PRCTL: Final = 30
SYSEMU: Final = 31
SYSEMU_SINGLESTEP: Final = 32
SINGLEBLOCK: Final = 33
SETOPTIONS: Final = 0x4200
SETSIGINFO: Final = 0x4203
SEIZE: Final = 0x4206
INTERRUPT: Final = 0x4207
LISTEN: Final = 0x4208
GETREGSET: Final = 0x4204
SETREGSET: Final = 0x4205
PEEKSIGINFO: Final = 0x4209
GETSIGMASK: Final = 0x420A
SETSIGMASK: Final = 0x420B
SECCOMP_GET_FILTER: Final = 0x420C
SECCOMP_GET_METADATA: Final = 0x420D
GET_SYSCALL_INFO: Final = 0x420E
SET_SYSCALL_INFO: Final = 0x4212

O_TRACEFORK: Final = binding.PTRACE_O_TRACEFORK
O_TRACEVFORK: Final = binding.PTRACE_O_TRACEVFORK
O_TRACECLONE: Final = binding.PTRACE_O_TRACECLONE
O_TRACEEXEC: Final = binding.PTRACE_O_TRACEEXEC
O_TRACEVFORKDONE: Final = binding.PTRACE_O_TRACEVFORKDONE
O_TRACEEXIT: Final = binding.PTRACE_O_TRACEEXIT
O_TRACESECCOMP: Final = 0x80
O_EXITKILL: Final = 0x100000
O_SUSPEND_SECCOMP: Final = 0x200000
O_BASE: Final = binding.PTRACE_O_TRACESYSGOOD | O_EXITKILL
O_EVENTS: Final = (
    O_TRACEFORK | O_TRACEVFORK | O_TRACECLONE | O_TRACEEXEC | O_TRACEVFORKDONE | O_TRACEEXIT
)

NT_PRSTATUS: Final = binding.NT_PRSTATUS
NT_PRFPREG: Final = 2
NT_PRXFPREG: Final = 0x46E6_2B7F
NT_386_TLS: Final = 0x200
NT_X86_XSTATE: Final = 0x202

SIGINFO_SIZE: Final = 128
USER_DESC_SIZE: Final = 16

BITS: Final = 64 if sys.maxsize > 1 << 32 else 32
"""The tracer's own width: that of the words and the layout by which it sees registers."""
LAYOUT: Final = REGISTERS if BITS == 64 else REGISTERS_32
"""struct user_regs_struct of this width, in its order; struct user begins with it."""
WORD_SIZE: Final = BITS // 8


def resume(pid: int, request: int, signo: int = 0) -> None:
    """Resume a stopped tracee by any resuming request, without waiting."""
    binding.ptrace(request, pid, 0, signo)


def by_address(name: str, pid: int, address: int) -> None:
    """Make a request of BY_ADDRESS with that address, whatever is there."""
    number, kind = BY_ADDRESS[name]
    binding.ptrace(number, pid, kind, address)


def seize(pid: int, options: int) -> None:
    """Attach without stopping (PTRACE_SEIZE)."""
    binding.ptrace(SEIZE, pid, 0, options)


def interrupt(pid: int) -> None:
    """Ask a running tracee to stop (PTRACE_INTERRUPT)."""
    binding.ptrace(INTERRUPT, pid)


def listen(pid: int) -> None:
    """Let a tracee in group-stop wait for SIGCONT (PTRACE_LISTEN)."""
    binding.ptrace(LISTEN, pid)


def detach(pid: int, signo: int = 0) -> None:
    """Detach, delivering a signal (PTRACE_DETACH)."""
    binding.ptrace_detach(pid, signo)


def attach(pid: int) -> None:
    """Attach the old way, by a SIGSTOP (PTRACE_ATTACH)."""
    binding.ptrace_attach(pid)


def set_options(pid: int, options: int) -> None:
    """Change the options of a stopped tracee (PTRACE_SETOPTIONS)."""
    binding.ptrace_setoptions(pid, options)


def getregs(pid: int) -> bytes:
    """Read struct user_regs_struct by python-ptrace's own binding."""
    return bytes(binding.ptrace_getregs(pid))


def getfpregs(pid: int) -> bytes:
    """Read the 512 bytes of struct user_fpregs_struct (PTRACE_GETFPREGS)."""
    buffer = ctypes.create_string_buffer(512)
    binding.ptrace(binding.PTRACE_GETFPREGS, pid, 0, ctypes.addressof(buffer))
    return buffer.raw


def setregs(pid: int, regs: bytes) -> None:
    """Write struct user_regs_struct (PTRACE_SETREGS)."""
    binding.ptrace_setregs(pid, binding.ptrace_registers_t.from_buffer_copy(regs))


def setregs_at(pid: int, address: int, size: int) -> None:
    """PTRACE_SETREGS from an address, whatever is there."""
    del size  # the kernel knows it
    binding.ptrace(binding.PTRACE_SETREGS, pid, 0, address)


def setregset_at(pid: int, address: int, size: int) -> None:
    """PTRACE_SETREGSET of NT_PRSTATUS from an address, whatever is there."""
    iov = iovec_struct()
    iov.buf, iov.len = address, size
    binding.ptrace(binding.PTRACE_SETREGSET, pid, binding.NT_PRSTATUS, ctypes.addressof(iov))


def peekuser(pid: int, offset: int) -> int:
    """Read one word of struct user, as 64 unsigned bits.

    The generic call tells -1 from an error by an errno that it never clears.
    """
    ctypes.set_errno(0)
    return int(binding.ptrace(binding.PTRACE_PEEKUSER, pid, offset, check_errno=True))


def pokeuser(pid: int, offset: int, word: int) -> None:
    """Write one word of struct user; any offset, for the kernel to judge."""
    binding.ptrace(binding.PTRACE_POKEUSER, pid, offset, word)


def write_register(pid: int, name: str, word: int) -> None:
    """Write one register by PTRACE_POKEUSER; what is beyond the tracer's width is cut off."""
    pokeuser(pid, LAYOUT.index(name) * WORD_SIZE, word & (1 << BITS) - 1)


def write_debug(pid: int, offset: int, word: int) -> None:
    """Write the debug register at that offset, likewise."""
    pokeuser(pid, offset, word & (1 << BITS) - 1)


def packed(regs: Mapping[str, int], bits: int = BITS) -> bytes:
    """Write registers by name as struct user_regs_struct of that width."""
    layout, letter = (REGISTERS, "Q") if bits == 64 else (REGISTERS_32, "I")
    return struct.pack(f"={len(layout)}{letter}", *(regs[name] for name in layout))


BY_ADDRESS: Final = {
    "GETREGS": (binding.PTRACE_GETREGS, 0),
    "GETREGSET": (binding.PTRACE_GETREGSET, binding.NT_PRSTATUS),
    "GETFPREGS": (binding.PTRACE_GETFPREGS, 0),
    "GET_SYSCALL_INFO": (GET_SYSCALL_INFO, 24),
    "GETSIGINFO": (binding.PTRACE_GETSIGINFO, 0),
    "GETEVENTMSG": (binding.PTRACE_GETEVENTMSG, 0),
    "SETREGS": (binding.PTRACE_SETREGS, 0),
    "SETREGSET": (binding.PTRACE_SETREGSET, binding.NT_PRSTATUS),
    "SETFPREGS": (binding.PTRACE_SETFPREGS, 0),
    "SETSIGINFO": (binding.PTRACE_SETSIGINFO, 0),
}
"""Requests whose data is an address of the tracer's, with what else they take."""


def name_of(error: PtraceError) -> str:
    """Name the error with which the kernel refused a request."""
    return errno.errorcode.get(error.errno or 0, str(error.errno))


def peektext(pid: int, address: int) -> int:
    """Read a word of the tracee's memory (PTRACE_PEEKTEXT), as 64 unsigned bits."""
    ctypes.set_errno(0)
    word = binding.ptrace(binding.PTRACE_PEEKTEXT, pid, address, check_errno=True)
    return int(word) & (1 << 64) - 1


def poketext(pid: int, address: int, word: int) -> None:
    """Write a word of the tracee's memory, read-only pages included (PTRACE_POKETEXT)."""
    binding.ptrace(binding.PTRACE_POKETEXT, pid, address, word)


def error_of(request: Callable[[], object]) -> str | None:
    """Make a request; the name of the error with which the kernel refuses it, or None."""
    try:
        request()
    except PtraceError as error:
        return name_of(error)
    return None


def refusal(request: int, pid: int, addr: int, data: int) -> str:
    """Make any request that nobody can be granted; the error, or ``none``."""
    ctypes.set_errno(0)
    return error_of(lambda: binding.ptrace(request, pid, addr, data, check_errno=True)) or "none"


def regset_refusal(request: int, pid: int, kind: int, size: int) -> str:
    """Make PTRACE_GETREGSET or SETREGSET with so many bytes of memory; likewise."""
    buffer = ctypes.create_string_buffer(size + 1)
    iov = iovec_struct()
    iov.buf, iov.len = ctypes.addressof(buffer), size
    return refusal(request, pid, kind, ctypes.addressof(iov))


PROT_NONE: Final = 0


@contextlib.contextmanager
def at_edge(data: bytes) -> Iterator[int]:
    """Place bytes so that the page behind them cannot be read; yields their address."""
    page = mmap.PAGESIZE
    with mmap.mmap(-1, 2 * page) as area:
        area[page - len(data) : page] = data
        hold = ctypes.c_char.from_buffer(area)
        start = ctypes.addressof(hold)
        libc = ctypes.CDLL(None, use_errno=True)
        libc.mprotect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
        if libc.mprotect(start + page, page, PROT_NONE):
            raise OSError(ctypes.get_errno(), "mprotect")
        try:
            yield start + page - len(data)
        finally:
            del hold


def filled(size: int, request: Callable[[int], int]) -> tuple[int, int]:
    """Have the kernel write into a buffer that is longer than what the kernel is told.

    Returns what the request returns, and how many bytes it wrote: told by two requests, since
    a byte may be written as what was there.
    """
    written = told = 0
    for fill in (0x5A, 0xA5):
        buffer = (ctypes.c_ubyte * (size + 64))(*[fill] * (size + 64))
        told = request(ctypes.addressof(buffer))
        written = max(written, len(bytes(buffer).rstrip(bytes([fill]))))
    return told, written


def _iovec(request: int, pid: int, kind: int, buffer: ctypes.Array[ctypes.c_char]) -> int:
    iov = iovec_struct()
    iov.buf = ctypes.addressof(buffer)
    iov.len = len(buffer)
    binding.ptrace(request, pid, kind, ctypes.addressof(iov))
    return int(iov.len)


def getregset(pid: int, size: int, kind: int = NT_PRSTATUS) -> bytes:
    """Read a register set into an iovec of that many bytes; returns what the kernel filled."""
    buffer = ctypes.create_string_buffer(size)
    told = _iovec(binding.PTRACE_GETREGSET, pid, kind, buffer)
    return buffer.raw[:told]


def setregset(pid: int, data: bytes, kind: int = NT_PRSTATUS) -> int:
    """Write a register set from an iovec; returns how many bytes the kernel took."""
    buffer = ctypes.create_string_buffer(data, len(data))
    return _iovec(binding.PTRACE_SETREGSET, pid, kind, buffer)


def getregset_told(pid: int, size: int, kind: int = NT_PRSTATUS) -> tuple[int, int]:
    """Read a register set into an iovec of that many bytes.

    Returns the length that the kernel tells, and how many bytes it wrote.
    """

    def request(address: int) -> int:
        iov = iovec_struct()
        iov.buf, iov.len = address, size
        binding.ptrace(binding.PTRACE_GETREGSET, pid, kind, ctypes.addressof(iov))
        return int(iov.len)

    return filled(size, request)


def getsiginfo(pid: int) -> bytes:
    """Read the siginfo of a stop, all 128 bytes (PTRACE_GETSIGINFO)."""
    buffer = ctypes.create_string_buffer(SIGINFO_SIZE)
    binding.ptrace(binding.PTRACE_GETSIGINFO, pid, 0, ctypes.addressof(buffer))
    return buffer.raw


def setsiginfo(pid: int, siginfo: bytes) -> None:
    """Replace the siginfo of a signal-delivery-stop (PTRACE_SETSIGINFO)."""
    buffer = ctypes.create_string_buffer(siginfo, SIGINFO_SIZE)
    binding.ptrace(binding.PTRACE_SETSIGINFO, pid, 0, ctypes.addressof(buffer))


def getsigmask(pid: int) -> int:
    """Read the mask of blocked signals, bit 0 for signal 1 (PTRACE_GETSIGMASK)."""
    mask = ctypes.c_uint64()
    binding.ptrace(GETSIGMASK, pid, ctypes.sizeof(mask), ctypes.addressof(mask))
    return mask.value


def setsigmask(pid: int, mask: int) -> None:
    """Write the mask of blocked signals (PTRACE_SETSIGMASK)."""
    word = ctypes.c_uint64(mask)
    binding.ptrace(SETSIGMASK, pid, ctypes.sizeof(word), ctypes.addressof(word))


def poke_byte(pid: int, address: int, byte: int) -> int:
    """Replace one byte of the tracee's memory, code too; returns the one that was there."""
    ctypes.set_errno(0)
    word = binding.ptrace(binding.PTRACE_PEEKTEXT, pid, address, check_errno=True)
    binding.ptrace(binding.PTRACE_POKETEXT, pid, address, word & ~0xFF | byte)
    return int(word) & 0xFF


def get_syscall_info(pid: int, size: int) -> tuple[int, int]:
    """Read struct ptrace_syscall_info into that many bytes.

    Returns the size that the kernel has, and how many bytes it wrote.
    """
    return filled(
        size, lambda address: int(binding.ptrace(GET_SYSCALL_INFO, pid, size, address))
    )


def get_filter(pid: int, index: int) -> tuple[str, ...]:
    """Read a seccomp filter, the newest being 0 (PTRACE_SECCOMP_GET_FILTER): the instructions.

    Each is struct sock_filter read as one number of 64 bits, in hexadecimal.
    """
    length = int(binding.ptrace(SECCOMP_GET_FILTER, pid, index, 0))
    buffer = (ctypes.c_char * (8 * length))()
    binding.ptrace(SECCOMP_GET_FILTER, pid, index, ctypes.addressof(buffer))
    return tuple(f"{word:#x}" for word in struct.unpack(f"={length}Q", buffer.raw))


def get_filter_metadata(pid: int, index: int, size: int = 16) -> tuple[int, int]:
    """Ask for the flags of a seccomp filter (PTRACE_SECCOMP_GET_METADATA).

    Returns the size that the kernel filled of struct seccomp_metadata, and the flags.
    """
    metadata = (ctypes.c_uint64 * 2)(index, 0)
    told = binding.ptrace(SECCOMP_GET_METADATA, pid, size, ctypes.addressof(metadata))
    return int(told), int(metadata[1])


def arch_prctl(pid: int, code: int, address: int) -> None:
    """arch_prctl(2) on a stopped tracee (PTRACE_ARCH_PRCTL)."""
    binding.ptrace(ARCH_PRCTL, pid, address, code)


def get_thread_area(pid: int, entry: int) -> bytes:
    """Read struct user_desc of an entry of the GDT (PTRACE_GET_THREAD_AREA)."""
    buffer = ctypes.create_string_buffer(USER_DESC_SIZE)
    binding.ptrace(GET_THREAD_AREA, pid, entry, ctypes.addressof(buffer))
    return buffer.raw


def set_thread_area(pid: int, entry: int, area: bytes) -> None:
    """Write struct user_desc of an entry (PTRACE_SET_THREAD_AREA); from address 0, if empty."""
    buffer = ctypes.create_string_buffer(area, len(area))
    binding.ptrace(SET_THREAD_AREA, pid, entry, ctypes.addressof(buffer) if area else 0)


def set_syscall_info(pid: int, info: bytes) -> None:
    """Write struct ptrace_syscall_info (PTRACE_SET_SYSCALL_INFO, Linux 6.16)."""
    buffer = ctypes.create_string_buffer(info, len(info))
    binding.ptrace(SET_SYSCALL_INFO, pid, len(info), ctypes.addressof(buffer))
