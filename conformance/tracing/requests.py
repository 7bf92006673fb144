# SPDX-License-Identifier: GPL-2.0-only
"""ptrace requests: python-ptrace's binding, and what it lacks through its generic call.

Every request here raises ``ptrace.PtraceError`` (with ``errno``) when the kernel refuses it.
"""

from __future__ import annotations

import ctypes
from typing import Final

from ptrace import PtraceError as PtraceError
from ptrace.binding import func as binding
from ptrace.binding.linux_struct import iovec_struct

# include/uapi/linux/ptrace.h; python-ptrace has none of these.
CONT: Final = 7
SINGLESTEP: Final = 9
SYSCALL: Final = 24
SYSEMU: Final = 31
SYSEMU_SINGLESTEP: Final = 32
SINGLEBLOCK: Final = 33
SEIZE: Final = 0x4206
INTERRUPT: Final = 0x4207
LISTEN: Final = 0x4208
GETSIGMASK: Final = 0x420A
SETSIGMASK: Final = 0x420B
GET_SYSCALL_INFO: Final = 0x420E

O_TRACEFORK: Final = binding.PTRACE_O_TRACEFORK
O_TRACEVFORK: Final = binding.PTRACE_O_TRACEVFORK
O_TRACECLONE: Final = binding.PTRACE_O_TRACECLONE
O_TRACEEXEC: Final = binding.PTRACE_O_TRACEEXEC
O_TRACEVFORKDONE: Final = binding.PTRACE_O_TRACEVFORKDONE
O_TRACEEXIT: Final = binding.PTRACE_O_TRACEEXIT
O_TRACESECCOMP: Final = 0x80
O_EXITKILL: Final = 0x100000
O_BASE: Final = binding.PTRACE_O_TRACESYSGOOD | O_EXITKILL
O_EVENTS: Final = (
    O_TRACEFORK | O_TRACEVFORK | O_TRACECLONE | O_TRACEEXEC | O_TRACEVFORKDONE | O_TRACEEXIT
)

SIGINFO_SIZE: Final = 128


def resume(pid: int, request: int, signo: int = 0) -> None:
    """Resume a stopped tracee by any resuming request, without waiting."""
    binding.ptrace(request, pid, 0, signo)


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


def setregs(pid: int, regs: bytes) -> None:
    """Write struct user_regs_struct (PTRACE_SETREGS)."""
    binding.ptrace_setregs(pid, binding.ptrace_registers_t.from_buffer_copy(regs))


def peekuser(pid: int, offset: int) -> int:
    """Read one word of struct user, as 64 unsigned bits.

    The generic call tells -1 from an error by an errno that it never clears.
    """
    ctypes.set_errno(0)
    return int(binding.ptrace(binding.PTRACE_PEEKUSER, pid, offset, check_errno=True))


def pokeuser(pid: int, offset: int, word: int) -> None:
    """Write one word of struct user; any offset, for the kernel to judge."""
    binding.ptrace(binding.PTRACE_POKEUSER, pid, offset, word)


def _iovec(request: int, pid: int, kind: int, buffer: ctypes.Array[ctypes.c_char]) -> int:
    iov = iovec_struct()
    iov.buf = ctypes.addressof(buffer)
    iov.len = len(buffer)
    binding.ptrace(request, pid, kind, ctypes.addressof(iov))
    return int(iov.len)


def getregset(pid: int, size: int, kind: int = binding.NT_PRSTATUS) -> bytes:
    """Read a register set into an iovec of that many bytes; returns what the kernel filled."""
    buffer = ctypes.create_string_buffer(size)
    return buffer.raw[: _iovec(binding.PTRACE_GETREGSET, pid, kind, buffer)]


def setregset(pid: int, data: bytes, kind: int = binding.NT_PRSTATUS) -> int:
    """Write a register set from an iovec; returns how many bytes the kernel took."""
    buffer = ctypes.create_string_buffer(data, len(data))
    return _iovec(binding.PTRACE_SETREGSET, pid, kind, buffer)


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


def get_syscall_info(pid: int, size: int) -> tuple[int, bytes]:
    """Read struct ptrace_syscall_info into that many bytes; also the size that the kernel has."""
    buffer = ctypes.create_string_buffer(max(size, 1))
    have = binding.ptrace(GET_SYSCALL_INFO, pid, size, ctypes.addressof(buffer))
    return int(have), buffer.raw[:size]
