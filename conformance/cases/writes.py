# SPDX-License-Identifier: GPL-2.0-only
"""What a tracer writes into a stopped task, and what becomes of it: a matrix.

A case is a kind of stop; a cell of it is a register, a value and the request by which the tracer
goes on. One program plays many cells: each begins at its site again, with all registers its own.
Whatever number comes to run by a cell does no harm (`conformance.explore.numbers`).
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from conformance import abi
from conformance.abi import X32_BIT
from conformance.cases import Handler, Probe, case
from conformance.doors import CALLS, DOORS, Door
from conformance.explore import REQUESTS
from conformance.model import HOLES, SA_RESTART
from conformance.tracing import program, requests
from conformance.tracing.snapshot import Stop
from conformance.tracing.tracee import INT3, Task, Trace

BEYOND: Final = 10000
FAULTS: Final = (signal.SIGSEGV, signal.SIGBUS, signal.SIGILL)
"""Signals of a program that will not go on from where it is."""
ENOUGH: Final = 200
"""Stops on the way to the program's end, at most: with TF there is one at each instruction."""


def words(door: Door) -> dict[str, int]:
    """Numbers to write, by what they are at a door; all are harmless there."""
    bit = X32_BIT if door.name == "x32" else 0
    hole = HOLES["ia32" if door.numbers is abi.Nr32 else "x86_64"][0]
    valid = door.number("getppid")
    return {
        "valid": valid, "hole": hole | bit, "beyond": BEYOND | bit, "minus_one": -1,
        "negative": -512, "junk": valid | 1 << 32, "x32": door.number("getpid") ^ X32_BIT,
    }  # fmt: skip


FLAGS: Final = {"none": 0, "TF": 0x302, "DF": 0x602, "AC": 0x40202, "NT": 0x4202, "IOPL": 0x3202}
"""EFLAGS to write; IF and IOPL are no tracer's (arch/x86/kernel/ptrace.c set_flags)."""
SEGMENTS: Final[Mapping[str, Mapping[str, str | int]]] = {
    "es": {"code": "cs"}, "fs": {"data": "ss"}, "gs": {"absent": 0xFB}, "ds": {"kernel": 0x18},
    "cs": {"null": 0}, "ss": {"null": 0, "code": "cs"},
}  # fmt: skip
"""Selectors to write, by what they are; a register's name stands for the program's own there."""


@dataclass(frozen=True, slots=True)
class Write:
    """What a tracer writes.

    :ivar words: name the register and the value
    :ivar registers: to write, in that order
    :ivar shown: the register, if a cell does not show it anyway
    """

    words: tuple[str, str]
    registers: Mapping[str, int]
    shown: str = ""


def all_writes(trace: Trace, start: Mapping[str, int]) -> Iterator[Write]:
    """Everything that is written, each at a stop of its own.

    :param start: the program's registers at its site
    """
    for what in ("orig_ax", "ax", "both"):
        for name, word in words(trace.door).items():
            both = {"orig_ax": word, "ax": word}
            yield Write((what, name), both if what == "both" else {what: word})
    yield from _places(trace, start)
    for name, word in FLAGS.items():
        yield Write(("flags", name), {"flags": word}, "flags")
    for register, selectors in SEGMENTS.items():
        for name, selector in selectors.items():
            word = selector if isinstance(selector, int) else start[selector]
            yield Write((register, name), {register: word}, register)


def _places(trace: Trace, start: Mapping[str, int]) -> Iterator[Write]:
    """Write ip, as debuggers do: with a number in ax, and no call to restart."""
    site = trace.label("writes")
    again = (trace.landing_pad or site.start + program.INT80_SIZE) - program.INT80_SIZE
    nowhere = 1 << 47 if trace.door.bits == 64 else 0xFFFF_F000
    for name, ip in (("again", again), ("past", site.end - 1), ("nowhere", nowhere)):
        registers = {"orig_ax": -1, "ax": trace.number("getppid"), "ip": ip}
        # The vDSO has words on the stack until its end.
        yield Write(("ip", name), registers | ({"sp": start["sp"]} if name == "past" else {}))


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of stop.

    :ivar reach: takes a program, at its site, there
    :ivar call: what the program calls
    :ivar signo: what the tracer passes on from there
    :ivar wake: what wakes the program with nobody tracing
    """

    reach: Callable[[Task], None]
    call: str = "getpid"
    signo: int = 0
    wake: Callable[[Trace, Task], None] | None = None

    @property
    def sleeps(self) -> bool:
        """Whether the call sleeps until there is a byte in the program's pipe."""
        return self.call == "read"


def enter(task: Task) -> None:
    """To the syscall-enter-stop of getpid()."""
    task.skip(requests.SYSCALL)


def leave(task: Task) -> None:
    """To the syscall-exit-stop of getpid()."""
    enter(task)
    task.skip(requests.SYSCALL)


def step(task: Task) -> None:
    """To the SIGTRAP of a single step over getpid()."""
    enter(task)
    task.skip(requests.SINGLESTEP)


def asleep(task: Task) -> None:
    """Into read()."""
    task.resume()
    task.until("S")


def event(task: Task) -> None:
    """To the PTRACE_EVENT_STOP of a PTRACE_INTERRUPT, amid read()."""
    asleep(task)
    task.hand.interrupt(task.pid)
    task.skip()


def signalled(task: Task) -> None:
    """To the signal-delivery-stop of SIGUSR1, amid read(); its handler has SA_RESTART."""
    asleep(task)
    task.signal(signal.SIGUSR1)
    task.skip()


def group(task: Task) -> None:
    """To the group-stop of a SIGSTOP that came amid read()."""
    asleep(task)
    task.signal(signal.SIGSTOP)
    task.skip()
    task.skip(requests.CONT, signal.SIGSTOP)


def wake_signalled(trace: Trace, task: Task) -> None:
    """Have its handler run, and the call be made again."""
    task.until_asleep()
    task.signal(signal.SIGUSR1)
    trace.wait_for(lambda: bool(program.board().frames))
    task.until("S")


def wake_group(_: Trace, task: Task) -> None:
    """Stop the program in its call, and have it go on."""
    task.until_asleep()
    task.signal(signal.SIGSTOP)
    task.until("T")
    task.signal(signal.SIGCONT)
    task.until("S")


def wake(_: Trace, task: Task) -> None:
    """Nothing but the byte: nobody sees PTRACE_INTERRUPT but the tracer."""
    task.until_asleep()


KINDS: Final[Mapping[str, Kind]] = {
    "enter": Kind(enter),
    "exit": Kind(leave),
    "event": Kind(event, "read", wake=wake),
    "signal": Kind(signalled, "read", signal.SIGUSR1, wake_signalled),
    "group": Kind(group, "read", wake=wake_group),
    "step": Kind(step),
}
"""Every kind of stop."""


class Player:
    """Plays cells in one program after another."""

    def __init__(self, trace: Trace, kind: Kind) -> None:
        self.trace = trace
        self.kind = kind
        self.slept = False
        self.reader, self.writer = os.pipe()
        os.set_inheritable(self.reader, True)
        self.probe = Probe(
            site="writes", setup="read_blocks" if kind.sleeps else None, args=(self.reader,),
            regs={"ax": trace.number(kind.call)},
            handlers=[Handler(signal.SIGUSR1, SA_RESTART)],
        )  # fmt: skip

    def close(self) -> None:
        """Close the program's pipe."""
        os.close(self.reader)
        os.close(self.writer)

    def play(self) -> None:
        """Play every cell, then run the control."""
        played, left = 0, True
        while left:
            with self.trace.launch(self.probe, tells=False) as task:
                start = self._start(task)
                # Of this program: the next one has its vDSO elsewhere.
                cells = [
                    (write, request)
                    for write in all_writes(self.trace, start) for request in REQUESTS
                ]  # fmt: skip
                goes_on = True
                while goes_on and played < len(cells):
                    goes_on = self._cell(task, start, *cells[played])
                    played += 1
                left = played < len(cells)
        self.trace.control(self.probe, self._wake if self.kind.wake else None)

    def _wake(self, task: Task) -> None:
        if self.kind.wake:
            self.kind.wake(self.trace, task)
            self._byte()

    def _byte(self) -> None:
        os.write(self.writer, b"!")

    def _start(self, task: Task) -> Mapping[str, int]:
        """Bring a program to its site; returns its registers there."""
        task.run_to("writes")
        return task.glance().regs

    def _cell(self, task: Task, start: Mapping[str, int], write: Write, request: str) -> bool:
        """Play a cell. Returns whether the program can play another."""
        program.forget()
        task.hand.setregs(task.pid, start)
        self.kind.reach(task)
        refused = ""
        try:
            for name, word in write.registers.items():
                task.hand.write_register(task.pid, name, word)
        except requests.PtraceError as error:
            refused = abi.error_name(error.errno or 0) or str(error.errno)
        then = None
        ending = ""
        if request == "DETACH":
            ending = self._let_go(task)
        else:
            then = self._go_on(task, request)
        self.trace.add_cell(
            (*write.words, request), self.probe, refused=refused, then=then, slept=self.slept,
            shown=write.shown, ending="" if ending == "exited 0" else ending,
        )  # fmt: skip
        return request != "DETACH" and program.landed()  # the next one begins from its end

    def _let_go(self, task: Task) -> str:
        """PTRACE_DETACH; returns how the program ends."""
        task.hand.detach(task.pid, self.kind.signo)
        if self.kind.reach is group:
            task.signal(signal.SIGCONT)
        self.slept = self.kind.sleeps and task.until("SZX") == "S"
        if self.slept:
            self._byte()
        return task.look().kind

    def _go_on(self, task: Task, request: str) -> Stop | None:
        """Go on by a request, then to the program's end; returns the next stop.

        None if there was none before the program's end.
        """
        if request == "CONT":
            with self._end_trapped(task):
                stop = self._next(task, request)
                if stop.kind == "signal SIGTRAP" and program.landed():
                    return None
                self._to_end(task, stop)
            return stop
        stop = self._next(task, request)
        if stop.kind == "syscall-enter" and program.landed():
            # The call that would end it: it is left by the call's other stop.
            task.hand.write_register(task.pid, "orig_ax", -1)
            task.skip(requests.SYSCALL)
        elif not stop.ended:
            with self._end_trapped(task):
                self._to_end(task, stop)
        return stop

    def _next(self, task: Task, request: str) -> Stop:
        """Go on to the next stop, with a byte if the program sleeps instead."""
        task.resume(REQUESTS[request], self.kind.signo)
        self.slept = self._woken(task)
        return task.look()

    def _woken(self, task: Task) -> bool:
        """Send a byte to a program that sleeps; returns whether it did."""
        sleeps = self.kind.sleeps and task.until("StZX") == "S"
        if sleeps:
            self._byte()
        return sleeps

    @contextlib.contextmanager
    def _end_trapped(self, task: Task) -> Iterator[None]:
        """Have an int3 where the program would end."""
        end = self.trace.label("leave").start
        code = requests.poke_byte(task.pid, end, INT3)
        yield
        if os.WIFSTOPPED(task.status):
            requests.poke_byte(task.pid, end, code)

    def _to_end(self, task: Task, stop: Stop) -> None:
        """From a stop on to the int3 at the program's end, or to where it will never come there."""
        signo = 0 if stop.ended else stop.signo
        for _ in range(ENOUGH):
            if stop.ended or signo in FAULTS:
                return
            task.resume(requests.CONT, signo if signo == signal.SIGUSR1 else 0)
            self._woken(task)
            signo = task.skip()
            if not signo or (signo == signal.SIGTRAP and program.landed()):
                return


def drive(kind: Kind) -> Callable[[Trace], None]:
    """Make the drive function of a kind of stop."""

    def play(trace: Trace) -> None:
        written = words(trace.door).items()
        trace.heading(
            **{name: abi.call(word & abi.WORD, trace.door.numbers) for name, word in written}
        )
        player = Player(trace, kind)
        try:
            player.play()
        finally:
            player.close()

    play.__doc__ = (
        f"{kind.reach.__doc__} There, write a register; then go on by a request, and to the end."
    )
    return play


COVERS: Final = {
    "enter": (5, 6, 7, 8, 9, 10, 12, 13, 96, 114),
    "exit": (25, 27, 50, 96),
    "event": (25, 36, 45, 46, 96),
    "signal": (29, 33, 38, 97),
    "group": (36, 46, 48),
    "step": (25, 51, 94, 95),
}
"""Rows of the table of behaviours, by the kind of stop; those of every kind follow."""
ALWAYS: Final = (118, 119, 120, 136)
NON_CANONICAL: Final = 121
"""Of 64-bit programs alone: there is no such ip in 32 bits."""

for _name, _kind in KINDS.items():
    for _door in ("syscall64", *CALLS):
        _own = "" if _door == "syscall64" else f".{_door}"
        _wide = (NON_CANONICAL,) if DOORS[_door].bits == 64 else ()
        case(f"writes.{_name}{_own}", door=_door, covers=(*COVERS[_name], *ALWAYS, *_wide))(
            drive(_kind)
        )
