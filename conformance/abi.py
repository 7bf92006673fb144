# SPDX-License-Identifier: GPL-2.0-only
"""Numbers of the x86 ABI that the suite speaks of, and their names."""

from __future__ import annotations

import errno
import functools
from enum import IntEnum
from typing import Final

REGISTERS: Final = (
    "r15", "r14", "r13", "r12", "bp", "bx", "r11", "r10", "r9", "r8", "ax", "cx", "dx", "si",
    "di", "orig_ax", "ip", "cs", "flags", "sp", "ss", "fs_base", "gs_base", "ds", "es", "fs", "gs",
)  # fmt: skip
"""struct user_regs_struct of 64-bit x86, in its order (arch/x86/include/asm/user_64.h)."""

ARGUMENTS: Final = ("di", "si", "dx", "r10", "r8", "r9")
"""Registers of a 64-bit system call's arguments, first to sixth."""

REGISTERS_32: Final = (
    "bx", "cx", "dx", "si", "di", "bp", "ax", "ds", "es", "fs", "gs", "orig_ax", "ip", "cs",
    "flags", "sp", "ss",
)  # fmt: skip
"""struct user_regs_struct of 32-bit x86, in its order (arch/x86/include/asm/user_32.h)."""

ARGUMENTS_32: Final = ("bx", "cx", "dx", "si", "di", "bp")
"""Registers of a 32-bit system call's arguments, first to sixth, however it is made."""

X32_BIT: Final = 1 << 30
"""In the number of every call of x32 (__X32_SYSCALL_BIT)."""

AUDIT_ARCH_X86_64: Final = 0xC000003E
AUDIT_ARCH_I386: Final = 0x40000003


class Nr(IntEnum):
    """System calls of 64-bit x86 (arch/x86/entry/syscalls/syscall_64.tbl)."""

    read = 0
    write = 1
    poll = 7
    munmap = 11
    rt_sigaction = 13
    rt_sigprocmask = 14
    rt_sigreturn = 15
    madvise = 28
    pause = 34
    nanosleep = 35
    getpid = 39
    clone = 56
    fork = 57
    vfork = 58
    execve = 59
    exit = 60
    wait4 = 61
    kill = 62
    gettimeofday = 96
    getuid = 102
    getppid = 110
    rt_sigsuspend = 130
    sigaltstack = 131
    prctl = 157
    arch_prctl = 158
    gettid = 186
    tkill = 200
    time = 201
    futex = 202
    restart_syscall = 219
    clock_nanosleep = 230
    exit_group = 231
    epoll_wait = 232
    tgkill = 234
    waitid = 247
    pselect6 = 270
    ppoll = 271
    getcpu = 309
    execveat = 322
    membarrier = 324
    clone3 = 435


class Nr32(IntEnum):
    """System calls of 32-bit x86 (arch/x86/entry/syscalls/syscall_32.tbl)."""

    restart_syscall = 0
    exit = 1
    fork = 2
    read = 3
    write = 4
    execve = 11
    time = 13
    getpid = 20
    getuid = 24
    pause = 29
    kill = 37
    brk = 45
    getppid = 64
    gettimeofday = 78
    munmap = 91
    vm86old = 113
    wait4 = 114
    sigreturn = 119
    clone = 120
    nanosleep = 162
    vm86 = 166
    poll = 168
    prctl = 172
    rt_sigreturn = 173
    rt_sigaction = 174
    rt_sigprocmask = 175
    rt_sigsuspend = 179
    sigaltstack = 186
    vfork = 190
    madvise = 219
    gettid = 224
    tkill = 238
    futex = 240
    exit_group = 252
    epoll_wait = 256
    clock_nanosleep = 267
    tgkill = 270
    waitid = 284
    pselect6 = 308
    ppoll = 309
    getcpu = 318
    execveat = 358
    membarrier = 375
    arch_prctl = 384
    clone3 = 435


_X32_OWN: Final = {"rt_sigaction": 512, "rt_sigreturn": 513, "sigaltstack": 525, "execve": 520,
                    "waitid": 529, "execveat": 545}  # fmt: skip
NrX32 = IntEnum(  # type: ignore[misc]
    "NrX32", {nr.name: _X32_OWN.get(nr.name, int(nr)) | X32_BIT for nr in Nr}
)
"""System calls of x32: those of 64-bit x86 with one more bit, but for some of its own."""


RESTARTS: Final = {512: "ERESTARTSYS", 513: "ERESTARTNOINTR", 514: "ERESTARTNOHAND",
                   516: "ERESTART_RESTARTBLOCK"}  # fmt: skip
"""Codes that the kernel keeps to itself (include/linux/errno.h), and tracers see."""

FLAGS: Final = {0x1: "CF", 0x4: "PF", 0x10: "AF", 0x40: "ZF", 0x80: "SF", 0x100: "TF",
                0x200: "IF", 0x400: "DF", 0x800: "OF", 0x1000: "IOPL1", 0x2000: "IOPL2",
                0x4000: "NT", 0x10000: "RF", 0x20000: "VM", 0x40000: "AC", 0x80000: "VIF",
                0x100000: "VIP", 0x200000: "ID"}  # fmt: skip
"""Bits of EFLAGS, without the one that is always set."""

DR6: Final = {0x1: "B0", 0x2: "B1", 0x4: "B2", 0x8: "B3", 0x800: "BLD", 0x2000: "BD",
              0x4000: "BS", 0x8000: "BT", 0x10000: "RTM"}  # fmt: skip
"""Bits of DR6, those that are clear when they hold (BLD, RTM) included."""
DR6_NONE: Final = 0xFFFF0FF0
"""DR6 when nothing holds (DR6_RESERVED of arch/x86/include/uapi/asm/debugreg.h)."""

WORD: Final = (1 << 64) - 1


def signed(word: int, bits: int = 64) -> int:
    """Read so many bits as a two's complement number."""
    return word - (1 << bits) if word >> bits - 1 else word


def number(word: int, bits: int = 64) -> str:
    """Write so many bits as a small signed number, or else in hexadecimal."""
    small = signed(word, bits)
    return str(small) if -4096 < small < 65536 else f"{word:#x}"


def error_name(code: int) -> str | None:
    """Name an errno, those of system call restart included."""
    return RESTARTS.get(code) or errno.errorcode.get(code)


def result(word: int, bits: int = 64) -> str:
    """Write ax, with the errno's name beside it: ``-38/ENOSYS``."""
    small = signed(word, bits)
    name = error_name(-small) if -4096 < small < 0 else None
    return f"{small}/{name}" if name else number(word, bits)


@functools.lru_cache(maxsize=1024)
def call(word: int, numbers: type[IntEnum] = Nr, bits: int = 64) -> str:
    """Write orig_ax, with the system call's name beside it: ``39/getpid``.

    :param numbers: the table of which it is a number
    :param bits: as many as were read of it
    """
    try:
        return f"{number(word, bits)}/{numbers(word).name}"
    except ValueError:
        return number(word, bits)


@functools.lru_cache(maxsize=1024)
def flags(word: int) -> str:
    """Write EFLAGS by the names of the bits that are set: ``IF+DF``."""
    names = [name for bit, name in FLAGS.items() if word & bit]
    rest = word & ~sum(FLAGS) & ~0x2
    return "+".join([*names, *([hex(rest)] if rest else [])]) or "0"


def unnamed(text: str) -> int:
    """Give the bits without a name of flags that `flags` wrote: 2**30 of ``IF+0x40000000``."""
    last = text.rpartition("+")[2]
    return int(last, 16) if last.startswith("0x") else 0


@functools.lru_cache(maxsize=1024)
def dr6(word: int) -> str:
    """Write DR6 by the names of the conditions that hold: ``B0+BS``; 0 for none."""
    holds = word ^ DR6_NONE
    names = [name for bit, name in DR6.items() if holds & bit]
    rest = holds & ~sum(DR6)
    return "+".join([*names, *([hex(rest)] if rest else [])]) or "0"
