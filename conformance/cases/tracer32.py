# SPDX-License-Identifier: GPL-2.0-only
"""A tracer of 32-bit code, of programs of either width: what it sees, and what its writes do.

Part of the family `views`. The tracer is ``cprobes/tracer32.c``, driven with the same words.
"""

from __future__ import annotations

import signal
import struct
from functools import partial

from conformance._native import lib
from conformance.abi import REGISTERS, REGISTERS_32, RESTARTS
from conformance.cases import Handler, Probe, case, restarts
from conformance.cases.views import SPIN, end_spin, executing
from conformance.doors import ABIS, CALLS
from conformance.tracing import program, requests
from conformance.tracing.hand import Remote
from conformance.tracing.tracee import Read, Task, Trace

IA32 = "ia32"
NEED = ["ia32"]
JUNK = 0xDEAD_BEEF << 32
POKED = 777
AT_EMPTY_PATH = 0x1000
GENERAL_32 = ("bx", "cx", "dx", "si", "di", "bp", "sp")


def getpid(trace: Trace, junk: int = 0) -> Probe:
    """A program that calls getpid()."""
    return Probe(site="syscall", regs={"ax": junk | trace.number("getpid")})


def pause(trace: Trace) -> Probe:
    """A program that calls pause()."""
    return Probe(site="syscall", regs={"ax": trace.number("pause")})


def regset(trace: Trace, task: Task) -> None:
    """Tell what PTRACE_GETREGSET gives to the 32-bit tracer: the size follows the program."""
    told = task.hand.getregset(task.pid, 8 * len(REGISTERS))
    names, letter = (REGISTERS, "Q") if len(told) > 4 * len(REGISTERS_32) else (REGISTERS_32, "I")
    regs = dict(zip(names, struct.unpack(f"={len(names)}{letter}", told), strict=True))
    shown = {name: regs[name] for name in ("orig_ax", "ax", "ip")}
    what = {"size": str(len(told)), **shown}
    trace.events.append(Read(task.who, "GETREGSET", what, trace.context(task.pid)))


def spinning(trace: Trace, task: Task) -> None:
    """Bring a program to its loop, and stop it there by PTRACE_INTERRUPT."""
    task.resume()
    task.until_ready()
    task.interrupt()


@case("views.tracer32_stops", door="syscall64", also=CALLS, needs=NEED,
      covers=[1, 2, 30, 109, 110, 112, 117, 125, 126])  # fmt: skip
def stops(trace: Trace) -> None:
    """The enter and the exit of getpid(), a signal and a PTRACE_INTERRUPT during pause(), read by
    a 32-bit tracer.
    """
    trace.heading(tracer=IA32, call="getpid")
    with trace.launch(getpid(trace), hand=IA32) as task:
        for _ in range(2):
            task.syscall()
            regset(trace, task)
        task.finish()
    for how in ("signal", "interrupt"):
        trace.heading(tracer=IA32, call="pause", stop=how)
        with trace.launch(pause(trace), hand=IA32) as task:
            task.resume()
            task.until_asleep()
            if how == "signal":
                task.signal(signal.SIGUSR1)
                task.take()
            else:
                task.interrupt()
            regset(trace, task)
    trace.control(getpid(trace))


@case("views.tracer32_interrupted", door="none", also=ABIS, needs=NEED,
      covers=[80, 83, 109, 110, 112, 117, 126])  # fmt: skip
def interrupted(trace: Trace) -> None:
    """PTRACE_INTERRUPT, a signal and a single-step of a spinning program, read by a 32-bit
    tracer.
    """
    trace.heading(tracer=IA32)
    with trace.launch(SPIN, hand=IA32) as task:
        spinning(trace, task)
        regset(trace, task)
        task.signal(signal.SIGUSR2)
        task.cont()
        task.step(show=("dr6",))
        regset(trace, task)
    trace.control(SPIN, end_spin)


@case("views.tracer32_exec", door="syscall64", also=CALLS, needs=NEED,
      covers=[54, 55, 109, 110, 112, 126])  # fmt: skip
def exec_(trace: Trace) -> None:
    """The event and the exit of an execveat() of a 32-bit program, and of a 64-bit one, read by a
    32-bit tracer.
    """
    for abi in (IA32, "x86_64"):
        trace.heading(tracer=IA32, executes=abi)
        with executing(trace, abi) as probe:
            options = requests.O_BASE | requests.O_TRACEEXEC
            with trace.launch(probe, options, hand=IA32) as task:
                if task.cont().ended:  # a 32-bit kernel has refused it
                    continue
                regset(trace, task)
                task.syscall()
                regset(trace, task)
                task.finish()
    trace.control(getpid(trace))


@case("views.tracer32_number", door="syscall64", also=CALLS, needs=NEED,
      covers=[5, 6, 39, 114, 115, 125])  # fmt: skip
def number(trace: Trace) -> None:
    """At the enter stop of getpid(), with bits set above bit 31 of rax, a 32-bit tracer writes
    orig_eax: the number that it has, another call's, -1; and -1 with a result in eax.
    """
    numbers = {
        "same": trace.number("getpid"), "other": trace.number("getppid"), "none": -1, "result": -1,
    }  # fmt: skip
    probe = getpid(trace, JUNK)
    for what, word in numbers.items():
        trace.heading(tracer=IA32, written=what)
        with trace.launch(probe, hand=IA32) as task:
            task.syscall()
            regset(trace, task)
            task.poke(orig_ax=word)
            if what == "result":
                task.poke(ax=POKED)
            task.again()
            regset(trace, task)
            task.syscall()
            regset(trace, task)
            task.finish()
    trace.control(getpid(trace))


@case("views.tracer32_result", door="syscall64", also=CALLS, needs=NEED,
      covers=[6, 25, 115, 125])  # fmt: skip
def result(trace: Trace) -> None:
    """At the exit stop of getpid(), a 32-bit tracer writes a number, an error, and a restart code
    into eax; the program tells what it got.
    """
    for word in (POKED, -5, -514):
        trace.heading(tracer=IA32, ax=word)
        with trace.launch(getpid(trace), hand=IA32) as task:
            task.syscall()
            task.syscall()
            task.poke(ax=word)
            task.again()
            regset(trace, task)
            task.syscall()
    trace.control(getpid(trace))


@case("views.tracer32_halves", door="syscall64", also=CALLS, needs=NEED, covers=[113, 115, 117])
def halves(trace: Trace) -> None:
    """At the exit stop of getpid(), a 32-bit tracer writes back what it read of each register, ip
    apart; the program tells what became of their upper halves. Then it writes ip back too.
    """
    probe = Probe(
        site="syscall", regs={"ax": trace.number("getpid")}, handlers=[Handler(signal.SIGSEGV)],
        quit_after=1,
    )  # fmt: skip
    for names in (GENERAL_32, ("ip",)):
        trace.heading(tracer=IA32, written=",".join(names))
        with trace.launch(probe, hand=IA32) as task:
            task.syscall()
            stop = task.syscall()
            for name in names:
                task.hand.write_register(task.pid, name, stop.regs[name])
            trace.add_poke("", registers=",".join(names), words="read")
            task.again()
            regset(trace, task)
            task.finish()
    trace.control(probe)


WRITES = {
    "nothing": (), "none": (("orig_ax", -1),), "code": (("ax", -514),),
    "none,number": (("orig_ax", -1), ("orig_ax", 0)), "code,number": (("ax", -514), ("orig_ax", 0)),
    "code,none": (("ax", -514), ("orig_ax", -1)),
}  # fmt: skip
"""What is written at a stop out of pause(), by registers in their order; number 0 is pause()'s."""


@case("views.tracer32_restart", door="syscall64", also=CALLS, needs=NEED,
      covers=[30, 35, 38, 39, 40, 43, 115])  # fmt: skip
def restart(trace: Trace) -> None:
    """At a signal's stop out of pause(), a 32-bit tracer writes orig_eax = -1, the number again,
    or the code that it read in eax; then resumes without the signal.
    """
    for what, writes in WRITES.items():
        trace.heading(tracer=IA32, written=what)
        with trace.launch(pause(trace), hand=IA32) as task:
            task.resume()
            task.until_asleep()
            task.signal(signal.SIGUSR1)
            task.take()
            for name, word in writes:
                task.poke(**{name: word or trace.number("pause")})
            if writes:
                regset(trace, task)
            task.syscall()
    trace.control(pause(trace), end_pause)


def end_pause(task: Task) -> None:
    """End a program that sleeps in pause() with nobody tracing."""
    task.until_asleep()
    task.signal(signal.SIGTERM)


SLEEPERS = {"pause": (), "poll": (0, 0, 100_000)}
"""Calls that sleep, and their arguments: one restarts as itself, the other by restart_syscall."""


@case("views.tracer32_call", door="int80_32", also=("sysenter", "syscall32", "int80_64"),
      covers=[32, 36, 37, 41, 43, 115])  # fmt: skip
def inferior_call(trace: Trace) -> None:
    """As gdb calls a function of a program that sleeps: at a signal's stop out of pause(), and out
    of poll(), a 32-bit tracer has the program run a loop instead, with orig_eax = -1. It stops it
    there, in no call, and writes all registers back as they were: PTRACE_SETREGS.
    """
    for name, arguments in SLEEPERS.items():
        trace.heading(tracer=IA32, call=name)
        probe = Probe(site="syscall", regs=trace.door.call(name, *arguments))
        with trace.launch(probe, hand=IA32) as task:
            task.resume()
            task.until_asleep()
            task.signal(signal.SIGUSR1)
            saved = task.take()
            task.poke(orig_ax=-1, ip=trace.label("to_spin").start)
            task.resume()
            trace.wait_for(lambda: bool(program.board().spinning))
            task.interrupt()
            task.put_back(saved)
            task.syscall()
        trace.control(probe, end_pause)


# --- what a signal makes of a call that it interrupts, as in `restarts` ---

RESTARTED = restarts.Part(restarts.CODES, ("suppressed", "handler", "SA_RESTART"), IA32)
"""Each code, and each thing that the kernel may do with it, to which an ignored signal is as one
that is suppressed. In a 32-bit userland every case of a 32-bit program has such a tracer."""

LOW = ("sysenter", "syscall32", "int80_64", "x32")
"""Further doors of programs with no address above bit 31, which the tracer can write ip of."""


@case("views.tracer32_dispositions", door="syscall64", also=CALLS, needs=NEED,
      covers=[29, 30, 31, 32, 33, 34, 35, 36, 117])  # fmt: skip
def dispositions(trace: Trace) -> None:
    """Interrupt each call by a signal that is suppressed, or handled with or without SA_RESTART,
    traced by a 32-bit tracer that writes nothing.
    """
    for call in RESTARTED.calls:
        restarts.treat(trace, RESTARTED, call, lambda task, stop: None)
        restarts.released(trace, call)


@case("views.tracer32_prevented", door="syscall64", also=CALLS, needs=NEED,
      covers=[38, 39, 43, 115])  # fmt: skip
def prevented(trace: Trace) -> None:
    """At the signal-delivery-stop of each call, a 32-bit tracer writes orig_eax = -1. The signal is
    suppressed, or handled with or without SA_RESTART.
    """
    restarts.prevent(trace, -1, RESTARTED)


@case("views.tracer32_saved", door="int80_32", also=LOW, needs=NEED,
      covers=[36, 37, 41, 43, 115])  # fmt: skip
def saved(trace: Trace) -> None:
    """At the signal-delivery-stop of each call, a 32-bit tracer calls a function, and writes all
    registers back as they were. The signal is suppressed, or handled with or without SA_RESTART.
    """
    restarts.call_functions(trace, RESTARTED)


@case("views.tracer32_by_hand", door="int80_32", also=LOW, needs=NEED, covers=[36, 43, 52, 115])
def by_hand(trace: Trace) -> None:
    """At the signal-delivery-stop of each call, a 32-bit tracer does the kernel's work: the number
    into eax, eip back by 2, orig_eax = -1; or eax = -EINTR. The signal is suppressed, or handled
    with or without SA_RESTART.
    """
    restarts.restart_by_hand(trace, RESTARTED)


@case("views.tracer32_regset", door="syscall64", also=CALLS, needs=NEED,
      covers=[110, 112, 114, 115])  # fmt: skip
def set_regset(trace: Trace) -> None:
    """At the exit stop of getpid(), a 32-bit tracer writes orig_ax and bx, and r15 where there is
    one, by PTRACE_SETREGSET; with bits above bit 31 where the register set has them.
    """
    with trace.launch(getpid(trace), hand=IA32) as task:
        task.syscall()
        task.syscall()
        told = task.hand.getregset(task.pid, 8 * len(REGISTERS))
        if len(told) > 4 * len(REGISTERS_32):
            regs = list(struct.unpack("=27Q", told))
            for name, word in (("orig_ax", JUNK | 5), ("bx", JUNK | 6), ("r15", JUNK | 7)):
                regs[REGISTERS.index(name)] = word
            new = struct.pack("=27Q", *regs)
        else:
            regs = list(struct.unpack("=17I", told))
            for name, word in (("orig_ax", 5), ("bx", 6)):
                regs[REGISTERS_32.index(name)] = word
            new = struct.pack("=17I", *regs)
        took = task.hand.setregset(task.pid, new)
        trace.add_poke("SETREGSET", size=str(len(new)), told=str(took))
        task.again()
        regset(trace, task)
        task.finish()
    trace.control(getpid(trace))


OFFSETS = (0, 44, 64, 68, 248, 268, 272, 276, 280, 284, 288, 1, 2, 45, 281, -4)
"""Of struct user of 32-bit code, 284 bytes: ebx, orig_eax and ss; members that are no registers;
dr4 to dr7; its end, and behind it; then unaligned offsets, and the last word that there can be."""


@case("views.tracer32_offsets", door="none", also=ABIS, needs=NEED, covers=[116])
def offsets(trace: Trace) -> None:
    """PTRACE_PEEKUSER and PTRACE_POKEUSER of a 32-bit tracer at aligned, unaligned and impossible
    offsets; poked is what was read there.
    """
    with trace.launch(SPIN, hand=IA32) as task:
        spinning(trace, task)
        hand = task.hand
        assert isinstance(hand, Remote)
        for offset in OFFSETS:
            try:
                told = hand.with_bytes(requests.PEEKUSER, task.pid, bytes(4), offset)
            except requests.PtraceError as error:
                told = bytes(4)
                trace.add_read("PEEKUSER", offset=str(offset), error=requests.name_of(error))
            else:
                word = int.from_bytes(told, "little")
                trace.add_read("PEEKUSER", offset=str(offset), value=hex(word))
            poke = partial(hand.ptrace, requests.POKEUSER, task.pid, offset)
            error_name = requests.error_of(partial(poke, int.from_bytes(told, "little")))
            trace.add_poke("POKEUSER", offset=str(offset), error=error_name or "none")
        task.again()
    trace.control(SPIN, end_spin)


@case("views.tracer32_armed", door="none", also=ABIS, needs=NEED, covers=[25, 40, 43, 80])
def armed(trace: Trace) -> None:
    """Interrupt a spinning program, which is in no call. A 32-bit tracer writes a restart code into
    eax, and once also a call's number into orig_eax; the next stop shows whether the kernel took
    that for a call to restart: ip is moved onto the two NOPs before the loop.
    """
    for code in (code for code in RESTARTS if code != 516):
        for both in (False, True):
            trace.heading(tracer=IA32, ax=-code, orig_ax="written" if both else "kept")
            with trace.launch(SPIN, hand=IA32) as task:
                spinning(trace, task)
                task.poke(ax=-code)
                if both:
                    task.poke(orig_ax=trace.number("getpid"))
                regset(trace, task)
                lib.origax_ask(trace.label("to_spin").start)
                task.resume()
                trace.wait_for(lambda: bool(program.board().spinning))
                task.interrupt()
    trace.control(SPIN, end_spin)
