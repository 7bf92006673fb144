# SPDX-License-Identifier: GPL-2.0-only
"""The interfaces that show or take a stop's registers, compared with each other."""

from __future__ import annotations

import errno
import os
import signal
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

from conformance._native import ffi, lib
from conformance.abi import (
    ARGUMENTS,
    ARGUMENTS_32,
    REGISTERS,
    REGISTERS_32,
    WORD,
    Nr,
    Nr32,
    call,
    flags,
)
from conformance.cases import Handler, Probe, case
from conformance.cases.filters import DATA, KILL_PROCESS, TRACE, TRACED, answered
from conformance.doors import ABIS, CALLS
from conformance.tracing import core, perf, program, requests
from conformance.tracing.image import executable
from conformance.tracing.memory import MEMORY
from conformance.tracing.proc import blocked_in
from conformance.tracing.snapshot import Reading, Stop
from conformance.tracing.tracee import Task, Trace

SPIN = Probe(site="to_spin", handlers=[Handler(signal.SIGUSR1)], skip=True)
"""A loop that a SIGUSR1 ends."""
INT3 = Probe(site="views_int3", handlers=[Handler(signal.SIGTRAP)])

CHILDREN = (
    requests.O_BASE | requests.O_TRACEFORK | requests.O_TRACEVFORK | requests.O_TRACECLONE
    | requests.O_TRACEVFORKDONE
)  # fmt: skip

JUNK = 0xDEAD_BEEF << 32
CODE_64, CODE_32 = 0x33, 0x23
"""Selectors of code: __USER_CS, __USER32_CS."""
TF = 0x100
AT_EMPTY_PATH = 0x1000
NO_NOTE = 0x7777
REGS_SIZE = 8 * len(REGISTERS)


def getpid(trace: Trace) -> Probe:
    """A program that calls getpid()."""
    return Probe(site="syscall", regs={"ax": trace.number("getpid")})


def read(trace: Trace) -> Probe:
    """A program that sleeps in read()."""
    return Probe(site="syscall", setup="pipe", regs={"ax": trace.number("read")})


def fork(trace: Trace, call: str = "fork") -> Probe:
    """A program that forks; its child ends at once, and leaves nothing behind."""
    return Probe(
        site="views_fork", regs=trace.door.call(call, 0, 0),
        handlers=[Handler(signal.SIGCHLD, ignore=True)],
    )  # fmt: skip


def end_spin(task: Task) -> None:
    """End the loop, as the tracer does to no traced program."""
    task.until_ready()
    task.signal(signal.SIGUSR1)


# What the stops show


def proc(trace: Trace, task: Task, stop: Stop | None = None) -> None:
    """Read /proc/PID/syscall, and tell it: at a stop, against what the stop shows."""
    seen = blocked_in(task.pid)
    if seen is None:
        trace.add_read("proc", task.who, state="running")
        return
    compat = stop.arch == "i386" if stop else trace.door.numbers is Nr32
    numbers = trace.door.numbers
    if (numbers is Nr32) != compat:
        numbers = Nr32 if compat else Nr
    names = ARGUMENTS_32 if compat else ARGUMENTS
    told: dict[str, int | str | Mapping[str, int]] = {
        "nr": call(seen.nr & WORD, numbers), "args": "none",
    }  # fmt: skip
    if seen.arguments:
        told["args"] = dict(zip(names, seen.arguments, strict=True))
    told |= {"sp": {"sp": seen.sp}, "ip": seen.ip}
    if stop:
        shown = {
            "args": {name: stop.regs.get(name) for name in names},
            "sp": {"sp": stop.regs["sp"]},
            "ip": stop.regs["ip"],
        }
        told |= {field: "same" for field in shown if told[field] == shown[field]}
    trace.add_read("proc", task.who, **told)


@case("views.syscall_stops", door="syscall64", also=CALLS, covers=[1, 2, 109, 110, 125, 129, 130])
def syscall_stops(trace: Trace) -> None:
    """Read /proc/PID/syscall beside every other view at the enter and the exit of getpid()."""
    with trace.launch(getpid(trace)) as task:
        proc(trace, task, task.syscall())
        proc(trace, task, task.syscall())
        task.finish()
    trace.control(getpid(trace))


@case("views.numbers", door="syscall64", also=CALLS, covers=[10, 13, 125, 129, 130])
def numbers(trace: Trace) -> None:
    """Stop at the enter of calls whose numbers have bits above bit 31, or are negative, or not in
    any table, and read every view; then write such a number into orig_ax and read again.
    """
    own = trace.number("getpid")
    odd = (-1, -2, 0xFFFF_FFFF, 1 << 31, JUNK | own, JUNK | 0xFFFF_FFFF, 1 << 30 | own)
    for number in dict.fromkeys(number & (1 << trace.door.bits) - 1 for number in odd):
        trace.heading(ax=f"{number:#x}")
        with trace.launch(Probe(site="syscall", regs={"ax": number})) as task:
            proc(trace, task, task.syscall())
    trace.heading(written="orig_ax")
    with trace.launch(getpid(trace)) as task:
        task.syscall()
        for number in odd:
            task.poke(orig_ax=number)
            proc(trace, task, task.again())
    trace.control(getpid(trace))


@case("views.signals", door="none", also=ABIS, covers=[83, 109, 110, 126, 130])
def signals(trace: Trace) -> None:
    """Read /proc/PID/syscall of a program that spins, and of one asleep in read(); send each a
    signal and read every view at its stop. Likewise at the stop of an int3.
    """
    trace.heading(at="spin")
    with trace.launch(SPIN) as task:
        task.resume()
        task.until_ready()
        proc(trace, task)
        task.signal(signal.SIGUSR1)
        proc(trace, task, task.take())
    trace.heading(at="read")
    with trace.launch(read(trace)) as task:
        task.resume()
        task.until_asleep()
        proc(trace, task)
        task.signal(signal.SIGUSR1)
        proc(trace, task, task.take())
    trace.heading(at="int3")
    with trace.launch(INT3) as task:
        proc(trace, task, task.cont())
    trace.control(INT3)


@case("views.interrupted", door="none", also=ABIS, covers=[45, 109, 110, 126, 130, 134])
def interrupted(trace: Trace) -> None:
    """Read every view at the stops of PTRACE_INTERRUPT and of SIGSTOP, in a spinning program and
    in one asleep in read().
    """
    for name, probe in (("spin", SPIN), ("read", read(trace))):
        trace.heading(at=name)
        with trace.launch(probe) as task:
            task.resume()
            task.until_ready() if probe is SPIN else task.until_asleep()
            proc(trace, task, task.interrupt())
            task.resume()
            task.until_ready() if probe is SPIN else task.until_asleep()
            task.signal(signal.SIGSTOP)
            stop = task.take()
            proc(trace, task, task.cont(stop.signo))
    trace.control(SPIN, end_spin)


def forked(trace: Trace, task: Task) -> tuple[Task, Stop]:
    """Run to the event of fork, vfork or clone; give the child, which has not stopped yet."""
    stop = task.look(requests.CONT)
    child = trace.child(stop.message, "child")
    trace.add_stop(stop)
    return child, stop


@case("views.children", door="syscall64", also=CALLS, covers=[58, 59, 60, 109, 110, 126, 130])
def children(trace: Trace) -> None:
    """Read every view at the events of fork(), clone() and vfork(), at each child's first stop,
    and at the end of the vfork, which killing the child brings about.
    """
    for name in ("fork", "clone", "vfork"):
        trace.heading(call=name)
        probe = fork(trace, name)
        with trace.launch(probe, CHILDREN) as task:
            child, stop = forked(trace, task)
            proc(trace, task, stop)
            proc(trace, child, child.take())
            if name == "vfork":
                task.resume()
                os.kill(child.pid, signal.SIGKILL)
                proc(trace, task, task.take())
        trace.control(probe)


@contextmanager
def executing(
    trace: Trace, abi: str, setup: str | None = None, args: Sequence[int] = ()
) -> Iterator[Probe]:
    """Make a program that executes the freestanding one of an ABI, with one empty argument and
    no environment.

    :param args: of the setup
    """
    image = os.open(executable("true", abi), os.O_RDONLY)
    os.set_inheritable(image, True)
    try:
        argv = trace.board_address("arg") + 8 * len(args)
        null = argv + 8
        regs = trace.door.call("execveat", image, null, argv, null, AT_EMPTY_PATH)
        yield Probe(site="syscall", setup=setup, regs=regs, args=[*args, null, 0])
    finally:
        os.close(image)


@case("views.exec", door="syscall64", also=CALLS, covers=[54, 109, 110, 126, 130])
def exec_(trace: Trace) -> None:
    """Read every view at the event of execveat() and at the exit of the call, whose number has
    become that of execve().
    """
    with executing(trace, trace.door.abi) as probe:
        with trace.launch(probe, requests.O_BASE | requests.O_TRACEEXEC) as task:
            proc(trace, task, task.cont())
            proc(trace, task, task.syscall())
            task.finish()
        trace.control(probe)


@case("views.exiting", door="syscall64", also=CALLS, covers=[62, 109, 110, 126, 130])
def exiting(trace: Trace) -> None:
    """Read every view at the event of exit_group(), and at that of a death by SIGTERM."""
    options = requests.O_BASE | requests.O_EVENTS
    trace.heading(by="exit_group")
    with trace.launch(getpid(trace), options) as task:
        proc(trace, task, task.cont())
        task.finish()
    trace.heading(by="SIGTERM")
    with trace.launch(SPIN, options) as task:
        task.resume()
        task.until_ready()
        task.signal(signal.SIGTERM)
        stop = task.take()
        proc(trace, task, task.cont(stop.signo))
        task.finish()
    trace.control(getpid(trace))


@case("views.steps", door="syscall64", also=CALLS, covers=[95, 109, 110, 126, 130])
def steps(trace: Trace) -> None:
    """Read every view at the trap of PTRACE_SINGLESTEP over a jump, and at the one over the end
    of getpid(), begun at its enter stop.
    """
    trace.heading(over="jump")
    with trace.launch(SPIN) as task:
        task.resume()
        task.until_ready()
        task.interrupt()
        proc(trace, task, task.step())
    trace.heading(over="getpid")
    with trace.launch(getpid(trace)) as task:
        task.syscall()
        proc(trace, task, task.step())
        task.finish()
    trace.control(getpid(trace))


@case("views.seccomp", door="syscall64", also=CALLS, covers=[64, 65, 109, 110, 126, 129, 130])
def seccomp(trace: Trace) -> None:
    """Read every view at the enter stop, the seccomp event and the exit stop of getppid(), which a
    filter has the tracer see.
    """
    probe = answered(trace, TRACE + DATA)
    with trace.launch(probe, TRACED) as task:
        for _ in range(3):
            proc(trace, task, task.syscall())
        task.finish()
    trace.control(probe)


# What requests answer besides registers


def at_spin(trace: Trace, task: Task) -> Stop:
    """Bring a program to its loop, and stop it there by PTRACE_INTERRUPT."""
    task.resume()
    task.until_ready()
    return task.interrupt()


def tell_regset(trace: Trace, task: Task, size: int, kind: int = requests.NT_PRSTATUS) -> None:
    """Read a register set into an iovec, and tell what the kernel says and writes."""
    try:
        told, written = requests.getregset_told(task.pid, size, kind)
    except requests.PtraceError as error:
        trace.add_read("GETREGSET", size=str(size), error=requests.name_of(error))
    else:
        trace.add_read("GETREGSET", size=str(size), told=str(told), written=str(written))


@case("views.regset_read", door="none", also=ABIS, covers=[111, 116])
def regset_read(trace: Trace) -> None:
    """PTRACE_GETREGSET of NT_PRSTATUS into iovecs of many lengths, and of a type that is none;
    the length that it tells, and the bytes that it writes.
    """
    with trace.launch(SPIN) as task:
        at_spin(trace, task)
        for size in (0, 8, 64, REGS_SIZE - 8, REGS_SIZE, REGS_SIZE + 8, 4096, 1, 7, REGS_SIZE + 1):
            tell_regset(trace, task, size)
        error = requests.error_of(lambda: requests.getregset_told(task.pid, 8, NO_NOTE))
        trace.add_read("GETREGSET", type=hex(NO_NOTE), error=error or "none")
    trace.control(SPIN, end_spin)


@case("views.regset_write", door="syscall64", also=CALLS, covers=[111, 113])
def regset_write(trace: Trace) -> None:
    """PTRACE_SETREGSET of NT_PRSTATUS from iovecs of many lengths, in which r15, r8 and gs_base
    are new (members 1, 10 and 23 of 27), or ebx, edi and eflags (1, 5 and 15 of 17) where the
    program's registers have 32 bits; read every view after each.
    """
    with trace.launch(getpid(trace)) as task:
        task.syscall()
        task.syscall()
        own = requests.getregs(task.pid)
        image = requests.getregset(task.pid, REGS_SIZE)
        if len(image) == REGS_SIZE:
            new = patched(image, r15=0x1515_1515, r8=0x8888_8888, gs_base=0x20_0000)
            sizes = (0, 8, 72, 80, 184, REGS_SIZE, REGS_SIZE + 8, 12, REGS_SIZE - 1)
        else:
            new = patched(image, bx=0x1515_1515, di=0x8888_8888, flags=0x203)
            sizes = (0, 4, 16, 20, 60, len(image), len(image) + 4, 6, len(image) - 1)
        new += bytes(64)
        for size in sizes:
            try:
                took = requests.setregset(task.pid, new[:size])
            except requests.PtraceError as error:
                trace.add_poke("SETREGSET", size=str(size), error=requests.name_of(error))
            else:
                trace.add_poke("SETREGSET", size=str(size), told=str(took))
            task.again()
            requests.setregs(task.pid, own)
        task.finish()
    trace.control(getpid(trace))


def patched(regs: bytes, **words: int) -> bytes:
    """Replace registers in struct user_regs_struct; which width's, its size tells."""
    image = bytearray(regs)
    for name, word in words.items():
        if len(regs) < REGS_SIZE:
            struct.pack_into("=I", image, 4 * REGISTERS_32.index(name), word & 0xFFFF_FFFF)
        else:
            struct.pack_into("=Q", image, 8 * REGISTERS.index(name), word & WORD)
    return bytes(image)


@case("views.info_sizes", door="syscall64", also=CALLS, covers=[125, 126])
def info_sizes(trace: Trace) -> None:
    """PTRACE_GET_SYSCALL_INFO into buffers of many sizes, at an enter, an exit and a signal stop;
    the size that it tells, and the bytes that it writes.
    """
    with trace.launch(getpid(trace)) as task:
        for signo in (0, 0, signal.SIGUSR1):
            if signo:
                task.signal(signo)
            task.syscall()
            for size in (0, 1, 8, 24, 25, 32, 33, 80, 84, 88, 4096):
                told, written = requests.get_syscall_info(task.pid, size)
                trace.add_read(
                    "GET_SYSCALL_INFO", size=str(size), told=str(told), written=str(written)
                )
    trace.control(getpid(trace))


OFFSETS = (0, 120, 208, 216, 224, 736, 840, 880, 888, 896, 904, 912, 920,
           1, 4, 7, 121, 215, 908, 911, 927, 928, 936, 1 << 32, -8, -1)  # fmt: skip
"""Of struct user, 928 bytes: r15, orig_ax and gs; members that are no registers; dr4 to dr7;
error_code and fault_address; then unaligned offsets, and those beyond the end."""


@case("views.offsets", door="none", covers=[116])
def offsets(trace: Trace) -> None:
    """PTRACE_PEEKUSER and PTRACE_POKEUSER at aligned, unaligned and impossible offsets; poked is
    what was read there, and debug registers 4 and 5, which do not exist.
    """
    with trace.launch(SPIN) as task:
        at_spin(trace, task)
        for offset in OFFSETS:
            try:
                word = requests.peekuser(task.pid, offset)
            except requests.PtraceError as error:
                word = 0
                trace.add_read("PEEKUSER", offset=str(offset), error=requests.name_of(error))
            else:
                named = {REGISTERS[offset // 8]: word} if offset < REGS_SIZE else word
                trace.add_read("PEEKUSER", offset=str(offset), value=named)
            refused = requests.error_of(partial(requests.pokeuser, task.pid, offset, word))
            trace.add_poke("POKEUSER", offset=str(offset), error=refused or "none")
        task.again()
    trace.control(SPIN, end_spin)


@case("views.addresses", door="syscall64", covers=[116])
def addresses(trace: Trace) -> None:
    """Requests that read and write registers at an address of the tracer that is not mapped; then
    PTRACE_SETREGS and SETREGSET from memory that ends behind the tenth register.
    """
    with trace.launch(getpid(trace)) as task:
        task.syscall()
        task.syscall()
        try_all(trace, task, address="0")
        own = requests.getregs(task.pid)
        new = patched(own, r15=0x1515_1515, r8=0x8888_8888, ax=0xAAAA_AAAA)
        for request in (requests.setregs_at, requests.setregset_at):
            with requests.at_edge(new[:80]) as address:
                error = requests.error_of(partial(request, task.pid, address, REGS_SIZE))
            name = request.__name__.partition("_")[0].upper()
            trace.add_poke(name, readable="80", error=error or "none")
            task.again()
            requests.setregs(task.pid, own)
        task.finish()
    trace.control(getpid(trace))


@case("views.not_stopped", door="none", covers=[130, 134])
def not_stopped(trace: Trace) -> None:
    """Every request that reads or writes registers, of a task that spins, of one asleep in read(),
    of one in group-stop under PTRACE_LISTEN, and of one that nobody traces.
    """
    trace.heading(task="spinning")
    with trace.launch(SPIN) as task:
        task.resume()
        task.until_ready()
        try_all(trace, task)
    trace.heading(task="asleep")
    with trace.launch(read(trace)) as task:
        task.resume()
        task.until_asleep()
        try_all(trace, task)
    trace.heading(task="listening")
    with trace.launch(SPIN) as task:
        task.resume()
        task.until_ready()
        task.signal(signal.SIGSTOP)
        task.cont(task.take().signo)
        requests.listen(task.pid)
        try_all(trace, task)
        proc(trace, task)
    trace.heading(task="untraced")

    def untraced(task: Task) -> None:
        task.until_ready()
        try_all(trace, task)
        end_spin(task)

    trace.control(SPIN, untraced)


def try_all(trace: Trace, task: Task, **told: str) -> None:
    """Try every request that takes an address of the tracer's, with none; tell the errors."""
    for name in requests.BY_ADDRESS:
        error = requests.error_of(partial(requests.by_address, name, task.pid, 0))
        tell = trace.add_read if name.startswith("GET") else trace.add_poke
        tell(name, **told, error=error or "none")


# What the tracer writes


def write(task: Task, request: str, name: str, word: int) -> None:
    """Write one register: alone, or by reading all, replacing it and writing all back.

    A register set of 32-bit code has not all of them.
    """
    if request == "POKEUSER":
        requests.write_register(task.pid, name, word)
    elif request == "SETREGS":
        requests.setregs(task.pid, patched(requests.getregs(task.pid), **{name: word}))
    else:
        image = requests.getregset(task.pid, REGS_SIZE)
        if len(image) == REGS_SIZE or name in REGISTERS_32:
            requests.setregset(task.pid, patched(image, **{name: word}))


WRITERS = ("POKEUSER", "SETREGS", "SETREGSET")


@dataclass(frozen=True, slots=True)
class Followed:
    """Which bits of a register follow what is written, and what else moved."""

    writable: int
    others: str
    views: str


def follow(task: Task, request: str, name: str, toggles: Iterable[int]) -> Followed:
    """Toggle bits of a register, and read it through every view; then put it back."""
    before = task.glance().regs
    writable = 0
    others: set[str] = set()
    views: set[str] = set()
    for toggle in toggles:
        write(task, request, name, before[name] ^ toggle)
        stop = task.glance()
        changed = stop.regs[name] ^ before[name]
        writable |= changed & toggle
        others |= {other for other in before if stop.regs[other] != before[other]} - {name}
        others |= {name} if changed & ~toggle else set()
        views |= set(stop.differs)
        write(task, request, name, before[name])
    told = ",".join(sorted(others)) or "same"
    return Followed(writable, told, ",".join(sorted(views)) or "agree")


HALVES = (0x5555_5555_5555_5555, 0xAAAA_AAAA_AAAA_AAAA)
PLAIN = ("r15", "r14", "r13", "r12", "bp", "bx", "r11", "r10", "r9", "r8", "ax", "cx", "dx", "si",
         "di", "orig_ax", "ip", "sp")  # fmt: skip
"""Registers that hold any 64 bits."""


@case("views.round_trip", door="syscall64", also=CALLS, covers=[109, 110, 113, 114])
def round_trip(trace: Trace) -> None:
    """Write every other bit of each general register, orig_ax, ip and sp, then the bits between
    them, by each of three requests, and read them back through every view; registers that behave
    alike share a line. Then put all back, and let the program see.
    """
    with trace.launch(getpid(trace)) as task:
        task.syscall()
        task.syscall()
        for request in WRITERS:
            alike: dict[Followed, list[str]] = {}
            for name in (each for each in PLAIN if each in requests.LAYOUT):
                alike.setdefault(follow(task, request, name, HALVES), []).append(name)
            for seen, names in alike.items():
                trace.add_poke(
                    request, registers=",".join(names), writable=f"{seen.writable:#x}",
                    others=seen.others, views=seen.views,
                )  # fmt: skip
        task.again()
        task.finish()
    trace.control(getpid(trace))


@case("views.orig_ax_bits", door="syscall64", also=CALLS, covers=[113, 114, 125, 129])
def orig_ax_bits(trace: Trace) -> None:
    """Toggle each of the 64 bits of orig_ax alone, at an enter, an exit and a signal stop, by each
    of three requests, and read it back through every view. At further doors, toggle every other.
    """
    each = [1 << bit for bit in range(64)]
    toggles = each if trace.door.name == "syscall64" else HALVES
    with trace.launch(getpid(trace)) as task:
        for signo in (0, 0, signal.SIGUSR1):
            if signo:
                task.signal(signo)
            task.syscall()
            for request in WRITERS:
                seen = follow(task, request, "orig_ax", toggles)
                trace.add_poke(
                    request, registers="orig_ax", writable=f"{seen.writable:#x}",
                    others=seen.others, views=seen.views,
                )  # fmt: skip
    trace.control(getpid(trace))


@case("views.flags_written", door="syscall64", also=CALLS, covers=[120])
def flags_written(trace: Trace) -> None:
    """Toggle each bit of the flags alone, by each of three requests; then write all that can be
    written, but TF, and let the program see. At further doors, those bits that have a meaning.
    """
    bits = range(64) if trace.door.name == "syscall64" else (*range(22), 32, 63)
    with trace.launch(getpid(trace)) as task:
        task.syscall()
        stop = task.syscall()
        for request in WRITERS:
            seen = follow(task, request, "flags", [1 << bit for bit in bits])
            trace.add_poke(
                request, registers="flags", writable=flags(seen.writable), others=seen.others,
                views=seen.views,
            )  # fmt: skip
        task.poke(flags=stop.regs["flags"] | (seen.writable & ~TF))
        task.again()
        task.finish()
    trace.control(getpid(trace))


def try_values(
    trace: Trace, task: Task, request: str, name: str, values: Iterable[int],
    put: Callable[[int], object],
) -> None:
    """Write values into a register one after the other, and tell which the kernel keeps, what it
    makes of them, and which it refuses.
    """
    kept, refused = [], []
    for value in values:
        error = requests.error_of(partial(put, value))
        now = task.glance().regs[name]
        if error:
            refused.append(f"{value & WORD:#x}/{error}")
        else:
            kept.append(f"{value & WORD:#x}" + (f"/{now:#x}" if now != value & WORD else ""))
    told = {"kept": kept, "refused": refused}
    trace.add_poke(
        request, register=name, **{what: ",".join(words) or "none" for what, words in told.items()}
    )


SELECTORS = (0, 1, 2, 3, 0x10, 0x18, 0x20, 0x23, 0x2B, 0x33, 0x7B, 0xFFFC, 0xFFFF, 0x1_002B)


@case("views.selectors", door="none", also=ABIS, covers=[118])
def selectors(trace: Trace) -> None:
    """Write selectors, null ones, the kernel's and the program's, into each segment register, and
    read back what the kernel kept; at a stop of a program that never runs on.
    """
    with trace.launch(SPIN) as task:
        at_spin(trace, task)
        for name in ("cs", "ss", "ds", "es", "fs", "gs"):
            put = partial(write, task, "POKEUSER", name)
            try_values(trace, task, "POKEUSER", name, SELECTORS, put)
    trace.control(SPIN, end_spin)


FULL, LOWER = 0x1122_3344_5566_7788, 0x99AA_BBCC
GENERAL_32 = ("bx", "cx", "dx", "si", "di", "bp", "ax", "orig_ax", "ip", "sp")


def narrow(task: Task, name: str, word: int) -> None:
    """Write one register by PTRACE_POKEUSER as a 32-bit tracer does.

    :raises PtraceError: the kernel refused it
    """
    error = lib.origax_narrow_poke(task.pid, 4 * REGISTERS_32.index(name), word & 0xFFFF_FFFF)
    if error:
        raise requests.PtraceError("PTRACE_POKEUSER by int $0x80", errno=-error, pid=task.pid)


@case("views.narrow_written", door="syscall64", also=CALLS,
      covers=[113, 114, 115, 117, 120], needs=["ia32", "tracer64"])  # fmt: skip
def narrow_written(trace: Trace) -> None:
    """Write all 64 bits of each general register, then 32 by a 32-bit PTRACE_POKEUSER, at the exit
    of getpid(); toggle each bit of the flags likewise; tell what they become. Then put all back.
    """
    with trace.launch(getpid(trace)) as task:
        task.syscall()
        own = task.syscall()
        alike: dict[tuple[int, str], list[str]] = {}
        for name in GENERAL_32:
            requests.write_register(task.pid, name, FULL)
            narrow(task, name, LOWER)
            stop = task.glance()
            views = ",".join(sorted(stop.differs)) or "agree"
            alike.setdefault((stop.regs[name], views), []).append(name)
        for (word, views), names in alike.items():
            trace.add_poke(
                "narrow", registers=",".join(names), before=hex(FULL), wrote=hex(LOWER),
                now=hex(word), views=views,
            )  # fmt: skip
        writable = 0
        for bit in range(32):
            narrow(task, "flags", own.regs["flags"] ^ 1 << bit)
            writable |= task.glance().regs["flags"] ^ own.regs["flags"]
            narrow(task, "flags", own.regs["flags"])
        trace.add_poke("narrow", registers="flags", writable=flags(writable))
        task.again()
        task.put_back(own)
        task.finish()
    trace.control(getpid(trace))


@case("views.narrow_selectors", door="none", also=ABIS,
      covers=[115, 118, 122], needs=["ia32", "tracer64"])  # fmt: skip
def narrow_selectors(trace: Trace) -> None:
    """Write selectors into each segment register by a 32-bit PTRACE_POKEUSER, and read back what
    the kernel kept. Then a base into fs and gs, and a selector, which takes the base along.
    """
    with trace.launch(SPIN) as task:
        own = at_spin(trace, task)
        for name in ("cs", "ss", "ds", "es", "fs", "gs"):
            put = partial(narrow, task, name)
            try_values(trace, task, "narrow", name, SELECTORS, put)
        task.put_back(own)
        for name in ("fs", "gs"):
            task.poke(**{f"{name}_base": 0x1234_5000})
            task.narrow_poke(**{name: CODE_64})
            task.again()
    trace.control(SPIN, end_spin)


def words_of(stop: Stop, name: str) -> dict[str, str]:
    """Give a register as each view has it, in all the bits that the view has."""
    if isinstance(stop.source, Reading):
        return {}
    raw = ffi.from_buffer("struct origax_stop *", stop.source)
    at, at_32 = REGISTERS.index(name), REGISTERS_32.index(name)
    words: dict[str, int] = {}
    if raw.bits == 64:
        words |= {"GETREGS": getattr(raw.regs, name), "PEEKUSER": raw.user[at]}
    if raw.regset_size == REGS_SIZE:
        words["GETREGSET"] = getattr(raw.regset, name)
    else:
        words["GETREGSET"] = ffi.cast("uint32_t *", ffi.addressof(raw.regset))[at_32]
    words |= {"narrow": raw.narrow[at_32], "narrow_user": raw.narrow_user[at_32]}
    return {view: f"{word:#x}" for view, word in words.items()}


@case("views.code_and_stack", door="syscall64", also=CALLS,
      covers=[22, 112, 131], needs=["ia32", "core_dumps"])  # fmt: skip
def code_and_stack(trace: Trace) -> None:
    """cs and ss, with all the bits that each view has for them: of a 64-bit and of a 32-bit tracer,
    of a handler's frame and of the core file; at the enter and the exit of getpid(), at a signal
    out of pause(), an int3, and PTRACE_INTERRUPT of the loop.
    """
    trap = replace(INT3, handlers=[Handler(signal.SIGTRAP)])
    sleeping = Probe(
        site="syscall", regs=trace.door.call("pause"), handlers=[Handler(signal.SIGUSR1)]
    )
    for hand in ("", "ia32"):
        by = {"tracer": hand or "own"}
        trace.heading(**by, at="getpid")
        with trace.launch(getpid(trace), hand=hand) as task:
            code_of(trace, task, task.syscall())
            code_of(trace, task, task.syscall())
            task.finish()
        trace.heading(**by, at="pause")
        with trace.launch(sleeping, hand=hand) as task:
            task.resume()
            task.until_asleep()
            task.signal(signal.SIGUSR1)
            code_of(trace, task, task.take())
            task.cont(signal.SIGUSR1)
        trace.heading(**by, at="int3")
        with trace.launch(trap, hand=hand) as task:
            code_of(trace, task, task.cont())
            task.cont(signal.SIGTRAP)
        trace.heading(**by, at="spin")
        with trace.launch(SPIN, hand=hand) as task:
            code_of(trace, task, at_spin(trace, task))
    trace.heading(at="core")
    with core.directory() as where:
        probe = Probe(site=INT3.site, setup="core", args=[where.fd])
        with trace.launch(probe) as task:
            stop = task.cont()
            task.cont(stop.signo)
            for note in where.take(task.pid):
                told = {name: f"{note.regs[name]:#x}" for name in ("cs", "ss")}
                trace.add_read("NT_PRSTATUS", size=str(note.size), **told)
    trace.control(trap)


@case("views.perf_registers", door="none", also=ABIS,
      covers=[22, 80], needs=["perf_swclock"])  # fmt: skip
def perf_registers(trace: Trace) -> None:
    """cs and ss of a spinning program, as perf samples them in the frame of a timer interrupt."""
    with trace.launch(SPIN) as task:
        task.resume()
        task.until_ready()
        trace.add_read("perf", **perf.sample(task.pid, trace.wait_for))
        task.interrupt()
    trace.control(SPIN, end_spin)


def code_of(trace: Trace, task: Task, stop: Stop) -> None:
    """Tell cs and ss of a stop."""
    for name in ("cs", "ss"):
        trace.add_read(name, task.who, **words_of(stop, name))


@case("views.data_selectors", door="syscall64", covers=[118, 122], needs=["fsgsbase"])
def data_selectors(trace: Trace) -> None:
    """At the exit of getpid(), write the program's data selector into ds, es, fs and gs."""
    with trace.launch(getpid(trace)) as task:
        task.syscall()
        task.syscall()
        task.poke(ds=0x2B, es=0x2B, fs=0x2B, gs=0x2B)
        task.again()
        task.finish()
    trace.control(getpid(trace))


BASES = (0, 0x1234_5000, 0x7FFF_FFFF_EFFF, 0x7FFF_FFFF_F000, 0xFF_FFFF_FFFF_EFFF,
         0xFF_FFFF_FFFF_F000, 1 << 60, 0xFFFF_8000_0000_0000, -1)  # fmt: skip
"""Around the end of user space with four levels of page tables, and with five."""
ARCH_SET = {"fs_base": 0x1002, "gs_base": 0x1001}
ARCH_GET = {"fs_base": 0x1003, "gs_base": 0x1004}


@case("views.bases", door="syscall64", also=["x32"], covers=[122, 123])
def bases(trace: Trace) -> None:
    """At the enter of arch_prctl(ARCH_GET_FS), and of ARCH_GET_GS, write addresses up to the end
    of user space and beyond into the base, by PTRACE_POKEUSER and by PTRACE_ARCH_PRCTL; let the
    program read the last one.
    """
    for name in ARCH_GET:
        trace.heading(register=name)
        where = trace.board_address("result")
        probe = Probe(
            site="syscall", regs=trace.door.call("arch_prctl", ARCH_GET[name], where),
            results=[name],
        )  # fmt: skip
        with trace.launch(probe) as task:
            task.syscall()
            own = task.glance().regs[name]
            poke = partial(write, task, "POKEUSER", name)
            try_values(trace, task, "POKEUSER", name, BASES, poke)
            set_base = partial(requests.arch_prctl, task.pid, ARCH_SET[name])
            try_values(trace, task, "ARCH_PRCTL", name, BASES, set_base)
            write(task, "POKEUSER", name, own)
            task.poke(**{name: 0x1234_5000})
            task.again()
            task.syscall()
            task.finish()
    trace.control(getpid(trace))


TLS_ENTRIES = 3
"""How many entries of the GDT belong to a thread (arch/x86/include/asm/segment.h)."""
SEGMENT = 0x51
"""Of struct user_desc: 32-bit data that may be written, limit_in_pages, useable."""
WRONG_SEGMENTS = {"seg_32bit": SEGMENT & ~0x1, "contents": SEGMENT | 2 << 1,
                  "seg_not_present": SEGMENT | 0x20}  # fmt: skip


@case("views.thread_area", door="none", also=["ia32"], covers=[117, 123], needs=["ia32"])
def thread_area(trace: Trace) -> None:
    """At an int3 of a program that has gs from set_thread_area(), PTRACE_GET_THREAD_AREA of that
    entry, its neighbours and others, and NT_386_TLS; PTRACE_SET_THREAD_AREA of a base, of no
    segment, and of what the kernel refuses. The last base is that of another word, for the program.
    """
    probe = Probe(
        site="views_thread_area", setup="views_thread_area", args=[0x1111_1111, 0x2222_2222],
        handlers=[Handler(signal.SIGTRAP)], show=["gs"],
        door="" if trace.door.bits == 32 else "int80_64",
    )  # fmt: skip
    with trace.launch(probe) as task:
        own, first = task.cont().regs["gs"] >> 3, trace.board_address("arg")
        entries, others = range(own, own + TLS_ENTRIES), (own - 1, own + TLS_ENTRIES, 0, -1)
        for entry in (*entries, *others):
            tell_area(trace, task, entry)
        tell_areas(trace, task, entries)
        put_area(trace, task, own, 0x1234_5000)
        task.again()
        for entry in others:
            put_area(trace, task, entry, 0)
        for wrong, bits in WRONG_SEGMENTS.items():
            put_area(trace, task, own, 0, bits, wrong=wrong)
        error = requests.error_of(partial(requests.set_thread_area, task.pid, own, b""))
        trace.add_poke("SET_THREAD_AREA", entry=str(own), address="0", error=error or "none")
        tell_area(trace, task, own)
        task.again()
        put_area(trace, task, own, 0, 0, limit=0)
        tell_area(trace, task, own)
        task.again()
        put_area(trace, task, own, first + 8)
        task.again()
        task.finish()
    trace.control(probe)


def tell_area(trace: Trace, task: Task, entry: int) -> None:
    """Read a thread's segment, and tell it, or the error."""
    told: dict[str, int | str] = {}
    try:
        area = requests.get_thread_area(task.pid, entry)
    except requests.PtraceError as error:
        told["error"] = requests.name_of(error)
    else:
        number, told["base"], limit, bits = struct.unpack("=4I", area)
        told |= {"number": str(number), "limit": f"{limit:#x}", "bits": f"{bits:#x}"}
    trace.add_read("GET_THREAD_AREA", task.who, **{"entry": str(entry), **told})


def tell_areas(trace: Trace, task: Task, entries: range) -> None:
    """Read all of a thread's segments as a register set; tell how much, and the error."""
    try:
        areas = requests.getregset(task.pid, 64, requests.NT_386_TLS)
    except requests.PtraceError as error:
        trace.add_read("GETREGSET", type="386_TLS", error=requests.name_of(error))
        return
    alone = (requests.get_thread_area(task.pid, entry) for entry in entries)
    trace.add_read(
        "GETREGSET", type="386_TLS", told=str(len(areas)),
        all="same" if areas == b"".join(alone) else "other",
    )  # fmt: skip


def put_area(
    trace: Trace, task: Task, entry: int, base: int, bits: int = SEGMENT, limit: int = 0xF_FFFF,
    **told: str,
) -> None:
    """Write a thread's segment, and tell it, and the error."""
    area = struct.pack("=4I", 0, base, limit, bits)  # the number of the entry is not looked at
    error = requests.error_of(partial(requests.set_thread_area, task.pid, entry, area))
    trace.add_poke(
        "SET_THREAD_AREA", entry=str(entry), base=base, bits=f"{bits:#x}", **told,
        error=error or "none",
    )  # fmt: skip


@case("views.refused_midway", door="syscall64", covers=[118])
def refused_midway(trace: Trace) -> None:
    """PTRACE_SETREGS and SETREGSET of all registers, among which a cs of 0, or an fs_base in the
    kernel's half, is refused; r15 comes before, flags between the two, gs_base after both.
    """
    with trace.launch(getpid(trace)) as task:
        task.syscall()
        task.syscall()
        own = requests.getregs(task.pid)
        new = patched(own, r15=0x1515_1515, flags=0x203, gs_base=0x20_0000)
        for name, word in (("cs", 0), ("fs_base", 0xFFFF_8000_0000_0000)):
            for request, put in (("SETREGS", requests.setregs), ("SETREGSET", requests.setregset)):
                error = requests.error_of(partial(put, task.pid, patched(new, **{name: word})))
                trace.add_poke(request, **{name: f"{word:#x}"}, error=error or "none")
                task.again()
                requests.setregs(task.pid, own)
        task.finish()
    trace.control(getpid(trace))


SEGV = [Handler(signal.SIGSEGV)]


@case("views.bad_selectors", door="syscall64", also=["x32"], covers=[92, 119], needs=["ia32"])
def bad_selectors(trace: Trace) -> None:
    """At the exit of getpid(), write a cs or ss that no program can run with, and go on: the
    return fails. The program's handler for SIGSEGV is told why, and ends it.
    """
    probe = replace(getpid(trace), handlers=SEGV, quit_after=1)
    for name, words in (("cs", (0x3, 0x2B, 0xFFFB, 0xFFFF)), ("ss", (0x3, 0x33, 0xFFFB))):
        for word in words:
            return_with(trace, probe, name, word)
    trace.control(probe)


def return_with(trace: Trace, probe: Probe, name: str, word: int) -> None:
    """Write a register at the exit of a program's call, and let the program go on."""
    trace.heading(**{name: f"{word:#x}"})
    with trace.launch(probe) as task:
        task.syscall()
        task.syscall()
        task.poke(**{name: word})
        task.finish()


@case("views.ldt_stack", door="syscall64", covers=[92, 119])
def ldt_stack(trace: Trace) -> None:
    """At the exit of getpid(), write an ss of the program's LDT, which it does not have: the
    kernel returns by way of the espfix stack, where the failure is a double fault.
    """
    probe = replace(getpid(trace), handlers=SEGV, quit_after=1)
    return_with(trace, probe, "ss", 0xFFFF)
    trace.control(probe)


@case("views.noncanonical_ip", door="syscall64", also=["x32"], covers=[121])
def noncanonical_ip(trace: Trace) -> None:
    """At the enter, and at the exit, of getpid(), and at a signal in the program's loop, write an
    ip that is no address at all, and go on. The handler for SIGSEGV is told, and ends it.
    """
    call_probe = replace(getpid(trace), handlers=SEGV, quit_after=1)
    for at, count in (("enter", 1), ("exit", 2)):
        trace.heading(at=at)
        with trace.launch(call_probe) as task:
            for _ in range(count):
                task.syscall()
            task.poke(ip=1 << 60)
            task.finish()
    trace.heading(at="loop")
    with trace.launch(Probe(site="to_spin", handlers=SEGV, quit_after=1)) as task:
        at_spin(trace, task)
        task.poke(ip=1 << 60)
        task.finish()
    trace.control(call_probe)


@case("views.regset_follows_cs", door="none", also=ABIS, covers=[112], needs=["x86_64", "ia32"])
def regset_follows_cs(trace: Trace) -> None:
    """Write the cs of the other width into a program, and read its register set by iovecs of many
    lengths; write the first 48 bytes back as they are: twelve 32-bit registers, orig_eax the last
    of them, or six 64-bit ones. The program never runs on.
    """
    with trace.launch(SPIN) as task:
        own = at_spin(trace, task).regs["cs"]
        task.poke(cs=CODE_32 if own == CODE_64 else CODE_64)
        task.again()
        for size in (REGS_SIZE, 68, 48, 0, 66):
            tell_regset(trace, task, size)
        told = requests.setregset(task.pid, requests.getregset(task.pid, 48))
        trace.add_poke("SETREGSET", size="48", told=str(told))
        task.again()
        task.poke(cs=own)
        task.again()
    trace.control(SPIN, end_spin)


@case("views.event_message", door="syscall64", covers=[58])
def event_message(trace: Trace) -> None:
    """PTRACE_GETEVENTMSG at an enter, an exit and a signal stop; after PTRACE_INTERRUPT and in
    group-stop; at fork()'s event, its child's first stop, and a signal that the parent gets then.
    """

    def message(task: Task, stop: Stop) -> None:
        trace.add_read("GETEVENTMSG", task.who, value=stop.message)

    trace.heading(of="getpid")
    with trace.launch(getpid(trace)) as task:
        message(task, task.syscall())
        message(task, task.syscall())
        task.signal(signal.SIGUSR1)
        message(task, task.syscall())
    trace.heading(of="spin")
    with trace.launch(SPIN) as task:
        message(task, at_spin(trace, task))
        task.signal(signal.SIGSTOP)
        message(task, task.cont())
        message(task, task.cont(signal.SIGSTOP))
    trace.heading(of="fork")
    with trace.launch(fork(trace), CHILDREN) as task:
        child, stop = forked(trace, task)
        message(task, stop)
        message(child, child.take())
        task.signal(signal.SIGUSR1)
        message(task, task.cont())
    trace.control(fork(trace))


@case("views.core", door="syscall64", also=CALLS, covers=[131], needs=["core_dumps"])
def core_file(trace: Trace) -> None:
    """Let a spinning program, and one asleep in pause(), die by SIGQUIT, and one by an int3; read
    the registers in the core file, and compare them with the last stop's. Then let the first two
    die with nobody tracing, and compare their core files with the same stops.
    """
    with core.directory() as where:
        for name, (probe, die) in dying(trace, where.fd).items():
            trace.heading(at=name)
            with trace.launch(probe) as task:
                task.resume()
                die(task)
                stop = task.take()
                task.cont(stop.signo)
                pad = program.vdso()[1]
                dumped(trace, task.pid, where.take(task.pid), stop, stop.regs)
            # Untraced, the kernel would write to its log that a program died of an int3.
            if probe.site != INT3.site:
                trace.heading(at=name, traced="no")
                pid = trace.control(probe, die)
                trace.pids[pid] = "$pid"
                # Each program has its vDSO elsewhere.
                moved = {"ip": program.vdso()[1]} if stop.regs["ip"] == pad else {}
                dumped(trace, pid, where.take(pid), stop, {**stop.regs, **moved})


@case("views.core_at_stop", door="syscall64", also=CALLS, covers=[69, 131], needs=["core_dumps"])
def core_at_stop(trace: Trace) -> None:
    """Bring a program to each kind of stop, send it SIGQUIT there, let it die of that, and compare
    the registers in its core file with those of the signal's stop: from the enter and the exit of
    getpid(), PTRACE_INTERRUPT, a group-stop, and the events of a fork and an exec; of the SIGTRAP
    of a step; and of one that a tracer wrote into. One dies of a filter, without such a stop: then
    compare with those of PTRACE_EVENT_EXIT. At further doors, only where the call's matters.
    """
    with (
        core.directory() as where,
        executing(trace, trace.door.abi, "core", [where.fd]) as executes,
    ):
        for name, (probe, go) in deaths(trace, where.fd, executes).items():
            if trace.door.name != "syscall64" and name not in BY_ALL_DOORS:
                continue
            trace.heading(at=name)
            with trace.launch(probe, EVENTS) as task:
                stop = go(task)
                if not stop.kind.startswith("event EXIT"):
                    task.cont(stop.signo)
                task.finish()
                dumped(trace, task.pid, where.take(task.pid), stop, stop.regs)
    trace.control(getpid(trace))


EVENTS = CHILDREN | requests.O_TRACEEXEC | requests.O_TRACEEXIT
Death = Callable[[Task], Stop]
BY_ALL_DOORS = ("exec", "written", "filter")


def deaths(trace: Trace, fd: int, executes: Probe) -> Mapping[str, tuple[Probe, Death]]:
    """Programs that die with a core file, and how to bring each to the last stop before that."""

    def die(task: Task) -> Stop:
        task.signal(signal.SIGQUIT)
        return task.cont()

    def at_exit(task: Task) -> Stop:
        task.syscall()
        task.syscall()
        return die(task)

    def in_group_stop(task: Task) -> Stop:
        at_spin(trace, task)
        task.signal(signal.SIGSTOP)
        task.cont(task.cont().signo)
        return die(task)

    def at_fork(task: Task) -> Stop:
        forked(trace, task)
        return die(task)

    def at_exec(task: Task) -> Stop:
        trace.executed(task.look(requests.CONT))
        return die(task)

    def written(task: Task) -> Stop:
        at_exit(task)
        number = FULL if trace.door.bits == 64 else LOWER
        task.poke(orig_ax=number, ax=-512, ip=trace.label("called").start, bx=LOWER)
        return task.again()

    def dumping(probe: Probe) -> Probe:
        return replace(probe, setup="core", args=[fd])

    call = dumping(getpid(trace))
    denied = [fd, trace.number("getppid"), KILL_PROCESS]
    return {
        "enter": (call, lambda task: (task.syscall(), die(task))[1]),
        "exit": (call, at_exit),
        "interrupt": (dumping(SPIN), lambda task: (at_spin(trace, task), die(task))[1]),
        "group-stop": (dumping(SPIN), in_group_stop),
        "step": (call, lambda task: (task.syscall(), task.step())[1]),
        "fork": (dumping(fork(trace)), at_fork),
        "exec": (executes, at_exec),
        "written": (call, written),
        "filter": (
            Probe(
                site="syscall", setup="core_filter", args=denied, regs=trace.door.call("getppid")
            ),
            Task.cont,
        ),
    }


def dying(trace: Trace, fd: int) -> Mapping[str, tuple[Probe, Callable[[Task], None]]]:
    """Programs that die with a core file, and how to have them die once they run."""

    def quit_spinning(task: Task) -> None:
        task.until_ready()
        task.signal(signal.SIGQUIT)

    def quit_asleep(task: Task) -> None:
        task.until_asleep()
        task.signal(signal.SIGQUIT)

    return {
        "spin": (Probe(site=SPIN.site, setup="core", args=[fd]), quit_spinning),
        "pause": (
            Probe(site="syscall", setup="core", args=[fd], regs=trace.door.call("pause")),
            quit_asleep,
        ),
        "int3": (Probe(site=INT3.site, setup="core", args=[fd]), lambda task: None),
    }  # fmt: skip


def dumped(
    trace: Trace, pid: int, notes: Iterable[core.Prstatus], stop: Stop, last: Mapping[str, int]
) -> None:
    """Tell what a core file holds; `views` compares it with the last stop, and its registers."""
    for note in notes:
        name = signal.Signals(note.signo).name
        trace.add_read("NT_PRSTATUS", size=str(note.size), signal=name, pid=note.pid)
        mask = (1 << note.bits) - 1
        wrong = {n: hex(word) for n, word in note.regs.items() if word != last[n] & mask}
        reading = Reading(
            note.regs, {"core": wrong} if wrong else {}, debug=(0,) * 8, bits=note.bits,
            arch=stop.arch,
        )  # fmt: skip
        trace.add_stop(Stop("tracee", pid, "core", 0, reading), again=True)


INFO_SIZE = 88
"""Bytes of struct ptrace_syscall_info since Linux 6.16."""
NONE, ENTRY, EXIT = 0, 1, 2
"""Its ops."""


@case("views.set_syscall_info", door="syscall64", also=CALLS,
      covers=[128], needs=["set_syscall_info"])  # fmt: skip
def set_syscall_info(trace: Trace) -> None:
    """PTRACE_SET_SYSCALL_INFO at an enter stop: another number, all arguments, numbers beyond 32
    bits, -1; at an exit stop: a result and an error; and what it refuses, there and at a signal.
    At a 32-bit call's stops also arguments and a result beyond 32 bits.
    """
    getppid, numbers = trace.number("getppid"), trace.door.numbers
    more = JUNK if numbers is Nr32 else 0
    with trace.launch(getpid(trace)) as task:
        task.syscall()
        for nr in (getppid, -2, -1, 1 << 32 | getppid, (1 << 32) - 1):
            arguments = [nr + 0x1111_0000 * n & WORD for n in range(1, 7)]
            put_info(trace, task, ENTRY, nr, *arguments, nr=call(nr & WORD, numbers))
        if more:
            arguments = [more | n for n in range(1, 7)]
            put_info(
                trace, task, ENTRY, getppid, *arguments, nr=call(getppid, numbers), above=hex(more)
            )
        put_info(trace, task, EXIT, 0, wrong="op")
        put_info(trace, task, ENTRY, 0, reserved=1, wrong="reserved")
        put_info(trace, task, ENTRY, 0, flags=1, wrong="flags")
        put_info(trace, task, ENTRY, 0, size=INFO_SIZE - 1, wrong="size")
        put_info(trace, task, ENTRY, getppid, size=INFO_SIZE + 8, nr=call(getppid, numbers))
        task.syscall()
        for rval, is_error in ((12345, 0), (-5, 1), (-5, 0), (0, 1), (77, 1)):
            put_info(trace, task, EXIT, rval, is_error, rval=str(rval), is_error=str(is_error))
        if more:
            put_info(trace, task, EXIT, more | 77, 0, rval="77", is_error="0", above=hex(more))
        task.signal(signal.SIGUSR1)
        task.syscall()
        put_info(trace, task, NONE, 0, wrong="op")
    trace.control(getpid(trace))


def put_info(
    trace: Trace, task: Task, op: int, *words: int, reserved: int = 0, flags: int = 0,
    size: int = INFO_SIZE, **told: str,
) -> None:
    """Make one PTRACE_SET_SYSCALL_INFO, with arch, ip and sp 0; tell its error, and read again."""
    head = struct.pack("=BBHIQQ", op, reserved, flags, 0, 0, 0)
    body = b"".join(struct.pack("=Q", word & WORD) for word in words)
    info = (head + body).ljust(size, b"\0")[:size]
    error = requests.error_of(partial(requests.set_syscall_info, task.pid, info))
    trace.add_poke("SET_SYSCALL_INFO", **told, error=error or "none")
    task.again()


@case("views.memory", door="syscall64", covers=[133])
def memory(trace: Trace) -> None:
    """Read a word of the program's memory, and one where nothing is mapped, by PTRACE_PEEKTEXT,
    /proc/PID/mem and process_vm_readv; write each by one of them and read it by all three.
    """
    places = {"board": trace.board_address("arg"), "nowhere": 0}
    probe = Probe(site="syscall", regs={"ax": trace.number("getpid")}, args=[0x1122_3344_5566_7788])
    with trace.launch(probe) as task:
        task.syscall()
        for place, address in places.items():
            for name, (read, _) in MEMORY.items():
                trace.add_read(name, place=place, told=told_of(partial(read, task.pid, address)))
        for number, (name, (_, put)) in enumerate(MEMORY.items(), 1):
            for place, address in places.items():
                told = told_of(partial(put, task.pid, address, 0x1111_1111_1111_1111 * number))
                trace.add_poke(name, place=place, told=told)
            seen = {
                told_of(partial(read, task.pid, places["board"])) for read, _ in MEMORY.values()
            }
            trace.add_read("all", place="board", told=",".join(sorted(seen)))
        task.syscall()
    trace.control(probe)


def told_of(access: Callable[[], int | None]) -> str:
    """Access memory; tell the word that was read, or the error's name, or ``done``."""
    try:
        word = access()
    except requests.PtraceError as error:
        return requests.name_of(error)
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error.errno))
    return "done" if word is None else f"{word:#x}"


XSTATE_SIZE = 1 << 16
"""More bytes than any CPU's NT_X86_XSTATE has."""
LEGACY = 464
"""Bytes of NT_X86_XSTATE that are FXSAVE's; then the mask of features, and from 512 on the header
of XSAVE (arch/x86/include/asm/fpu/types.h)."""


@case("views.fp_regsets", door="none", also=["x32"], covers=[124], needs=["xsave"])
def fp_regsets(trace: Trace) -> None:
    """Read NT_PRFPREG into iovecs of many lengths, and write a pattern into it; compare it with
    PTRACE_GETFPREGS and with NT_X86_XSTATE, and write the latter back with each thing in its
    header wrong.
    """
    with trace.launch(SPIN) as task:
        at_spin(trace, task)
        for size in (0, 8, 512, 520, 7):
            tell_regset(trace, task, size, requests.NT_PRFPREG)
        image = bytearray(requests.getregset(task.pid, 512, requests.NT_PRFPREG))
        image[160:416] = bytes(range(256))  # xmm0 to xmm15
        requests.setregset(task.pid, bytes(image), requests.NT_PRFPREG)
        regset = requests.getregset(task.pid, 512, requests.NT_PRFPREG)
        state = requests.getregset(task.pid, XSTATE_SIZE, requests.NT_X86_XSTATE)
        known, bits, compacted = struct.unpack_from("=Q40xQQ", state, LEGACY)
        trace.add_read("PRFPREG", xmm="kept" if regset[160:416] == image[160:416] else "lost")
        same = requests.getfpregs(task.pid) == regset
        trace.add_read("GETFPREGS", all="same" if same else "other")
        trace.add_read(
            "XSTATE", legacy="same" if state[:LEGACY] == regset[:LEGACY] else "other",
            beyond_mask=f"{bits & ~known:#x}", xcomp_bv=f"{compacted:#x}",
            reserved=state[528:576].strip(b"\0").hex() or "0",
        )  # fmt: skip
        put_wrong_states(trace, task, state)
    trace.control(SPIN, end_spin)


PRFPREG_32, PRXFPREG_32 = range(28, 108), range(32, 160)
"""Where the eight registers of the x87 are in FSAVE's form, each of 10 bytes, and in FXSAVE's, each
in 16 (struct user_i387_ia32_struct, struct user32_fxsr_struct)."""


def x87(image: bytes, places: range) -> bytes:
    """Give the registers of the x87 from either form, 80 bytes."""
    each = len(places) // 8
    return b"".join(image[at : at + 10] for at in places[::each])


@case("views.fp_regsets_ia32", door="none", abi="ia32", covers=[124], needs=["ia32", "xsave"])
def fp_regsets_ia32(trace: Trace) -> None:
    """The same of a 32-bit program, whose NT_PRFPREG has FSAVE's form and NT_PRXFPREG FXSAVE's:
    write a pattern into the latter and read the former, write other x87 registers into that and
    read the latter. Compare NT_X86_XSTATE, and write it back likewise.
    """
    with trace.launch(SPIN) as task:
        at_spin(trace, task)
        for size in (0, 8, 108, 116, 7):
            tell_regset(trace, task, size, requests.NT_PRFPREG)
        for size in (0, 512, 520, 7):
            tell_regset(trace, task, size, requests.NT_PRXFPREG)
        read = partial(requests.getregset, task.pid, 512)
        image = bytearray(read(requests.NT_PRXFPREG))
        image[4] = 0xFF  # all registers of the x87 are in use
        for at in PRXFPREG_32[::16]:
            image[at : at + 10] = bytes(range(at, at + 10))
        image[160:288] = bytes(range(128))  # xmm0 to xmm7
        requests.setregset(task.pid, bytes(image), requests.NT_PRXFPREG)
        tell_fp(trace, read, x87(bytes(image), PRXFPREG_32), bytes(image[160:288]))
        new = bytearray(read(requests.NT_PRFPREG))
        new[28:108] = bytes(range(80))
        requests.setregset(task.pid, bytes(new), requests.NT_PRFPREG)
        tell_fp(trace, read, bytes(range(80)), bytes(image[160:288]))
        state = requests.getregset(task.pid, XSTATE_SIZE, requests.NT_X86_XSTATE)
        legacy = "same" if state[:LEGACY] == read(requests.NT_PRXFPREG)[:LEGACY] else "other"
        trace.add_read("XSTATE", legacy=legacy)
        put_wrong_states(trace, task, state)
    trace.control(SPIN, end_spin)


def tell_fp(trace: Trace, read: Callable[[int], bytes], st: bytes, xmm: bytes) -> None:
    """Tell whether both register sets of a 32-bit program have these x87 and SSE registers."""
    old, new = read(requests.NT_PRFPREG), read(requests.NT_PRXFPREG)
    trace.add_read("PRFPREG", st="kept" if x87(old, PRFPREG_32) == st else "lost")
    trace.add_read(
        "PRXFPREG", st="kept" if x87(new, PRXFPREG_32) == st else "lost",
        xmm="kept" if new[160:288] == xmm else "lost",
    )  # fmt: skip


WRONG_STATES = {"nothing": (), "xstate_bv": (519,), "xcomp_bv": (520,), "reserved": (528, 575)}
"""Bytes of NT_X86_XSTATE's header, which a bit more makes wrong."""


def put_wrong_states(trace: Trace, task: Task, state: bytes) -> None:
    """Write NT_X86_XSTATE back with each thing in its header wrong, and by wrong lengths."""
    for what, places in WRONG_STATES.items():
        new = bytearray(state)
        for place in places:
            new[place] |= 0x40
        put_xstate(trace, task, bytes(new), wrong=what)
    put_xstate(trace, task, state[:576], wrong="short")
    put_xstate(trace, task, state[:-4], wrong="odd")


def put_xstate(trace: Trace, task: Task, state: bytes, **told: str) -> None:
    """Write NT_X86_XSTATE, and tell the error."""
    error = requests.error_of(
        partial(requests.setregset, task.pid, state, requests.NT_X86_XSTATE)
    )
    trace.add_poke("SETREGSET", type="XSTATE", **told, error=error or "none")
