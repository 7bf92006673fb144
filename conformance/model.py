# SPDX-License-Identifier: GPL-2.0-only
"""A reference model of the ABI: what a program that makes one system call, and its tracer, see.

It is the kernel's entry code retold with nothing but what can be seen in three words: orig_ax, ax
and ip. A task's life is a generator that stops where the kernel stops; each rule names the
function that it was read from. ``tests/test_model.py`` holds it against the goldens, and
``conformance/explore.py`` against the kernel, in sequences that nobody wrote down.

The program (``cprobes/``, site ``syscall``) makes its call, keeps its registers, and leaves by
exit_group(); behind that call, and behind its handlers' rt_sigreturn(), is an invalid opcode.
"""

from __future__ import annotations

import signal
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from errno import EINTR, EINVAL, ENOSYS
from typing import Any, Final

from conformance.abi import RESTARTS, WORD, X32_BIT, Nr32, signed
from conformance.doors import OF_ABI, Door
from conformance.tracing import requests

ERESTARTSYS, ERESTARTNOINTR, ERESTARTNOHAND, ERESTART_RESTARTBLOCK = RESTARTS
LOW: Final = 0xFFFF_FFFF
SA_RESTART: Final = 0x1000_0000
SIZES: Final = {"x86_64": 548, "x32": 548, "ia32": 512}
"""No table is longer. Of calls in them that the suite has no name for, the model does not speak."""
HOLES: Final = {
    "x86_64": (*range(387, 424), *range(512, 548)), "x32": range(387, 424), "ia32": (222,),
}  # fmt: skip
"""Numbers inside the tables that have no call in any kernel: 512 to 547 are x32's alone."""
IGNORED: Final = (signal.SIGWINCH, signal.SIGCONT, signal.SIGCHLD, signal.SIGURG)
SYNCHRONOUS: Final = (signal.SIGILL, signal.SIGTRAP)
ASLEEP: Final = "asleep"


class UnspokenError(Exception):
    """The model says nothing of this."""


class Where(Enum):
    """Behind which instruction of the program ip stands; ``HANDLER`` is before its first."""

    CALL = "call"
    BEYOND = "beyond the call"
    HANDLER = "handler"
    RETURN = "rt_sigreturn"
    LEAVE = "exit_group"


@dataclass(frozen=True, slots=True)
class Place:
    """An ip: behind an instruction, or so many bytes from there."""

    where: Where
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Machine:
    """What the model must know of a kernel: facts of those names, and its words' width."""

    i386: bool = False
    x32: bool = False
    minus_one_alone_is_no_call: bool = True
    nr_sign_extended: bool = True
    nr_out_of_range_enosys: bool = True

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> Machine:
        """Take it from an environment's facts."""
        return cls(**{name: bool(facts[name]) for name in cls.__slots__})

    @property
    def word(self) -> int:
        """All bits of a register."""
        return LOW if self.i386 else WORD


@dataclass(frozen=True, slots=True)
class Sleeper:
    """A call that sleeps until a signal or a byte in its pipe.

    :ivar code: what a signal makes it return: one of RESTARTS
    :ivar released: what a byte makes it return; None if it does not wait for any
    :ivar takes: it takes that byte
    """

    call: str
    code: int
    released: int | None = None
    takes: bool = True


PAUSE: Final = Sleeper("pause", ERESTARTNOHAND)  # kernel/signal.c pause
NANOSLEEP: Final = Sleeper("nanosleep", ERESTART_RESTARTBLOCK)  # hrtimer.c do_nanosleep
READ: Final = Sleeper("read", ERESTARTSYS, 1)  # fs/pipe.c pipe_read
POLL: Final = Sleeper("poll", ERESTART_RESTARTBLOCK, 1, takes=False)  # fs/select.c poll


@dataclass(frozen=True, slots=True)
class Signal:
    """A disposition that is not the default: ignored, or a handler with those SA_ flags."""

    ignored: bool = False
    flags: int = 0


@dataclass(frozen=True, slots=True)
class Program:
    """One call by one door.

    :ivar ax: the number, as the program has it in its register
    :ivar own: the sleeping call for which its arguments are right, besides pause()
    :ivar pid: what getpid() gives, and ``parent`` what getppid() gives
    """

    door: Door
    ax: int
    own: Sleeper | None = None
    signals: Mapping[int, Signal] = field(default_factory=dict)
    pid: int = 0
    parent: int = 0


@dataclass(frozen=True, slots=True)
class Seen:
    """A stop, an end, or a program ``asleep`` (which shows nothing)."""

    kind: str
    orig_ax: int = 0
    ax: int = 0
    place: Place = Place(Where.CALL)

    @property
    def ended(self) -> bool:
        """Whether the program is gone."""
        return self.kind.startswith(("exited", "killed"))


@dataclass(frozen=True, slots=True)
class Frame:
    """What a signal's frame keeps, for the handler to see and rt_sigreturn() to restore."""

    signo: int
    ax: int
    place: Place
    blocked: frozenset[int]


class _End(Exception):
    """The program's end: what kind it is."""


Life = Generator[Seen, int, None]
"""A part of the task's life: gives what is seen, and is sent the signal that it goes on with."""


class Model:
    """One task in the kernel. Begins at the program's gate: `resume` it first.

    :ivar landed: ax as the program finds it behind its call; None if it never got there
    :ivar frames: what its handlers saw, in the order in which they ran
    """

    def __init__(self, machine: Machine, program: Program) -> None:
        self.machine = machine
        self.program = program
        self.orig_ax = machine.word
        self.ax = program.ax & self._own_word
        self.place = Place(Where.CALL, -2)
        self.landed: int | None = None
        self.frames: list[Frame] = []
        self._trace = self._emulate = self._step = self._compat = False
        self._seized = True
        self._trap = False  # JOBCTL_TRAP_STOP: PTRACE_INTERRUPT is due
        self._kick = False  # TIF_SIGPENDING
        self._byte = False
        self._pending: set[int] = set()
        self._blocked: frozenset[int] = frozenset()
        self._stack: list[Frame] = []
        self._block: Sleeper | None = None  # restart_block.fn
        self._block_compat = False  # restart_block.arch_data
        self._life = self._live()
        self._begun = False
        self.now = Seen("gate")

    # --- what a tracer does ---

    def resume(self, request: int, signo: int = 0) -> Seen:
        """Resume it and say what is seen next (kernel/ptrace.c ptrace_resume).

        A detached task gets the kick that lets it notice (__ptrace_unlink).
        """
        self._trace = request == requests.SYSCALL
        self._emulate = request == requests.SYSEMU
        self._step = request == requests.SINGLESTEP
        if request == requests.DETACH:
            self._seized, self._kick = False, True
        return self._go(signo)

    def write(self, name: str, word: int) -> None:
        """Write orig_ax or ax, whole (arch/x86/kernel/ptrace.c putreg)."""
        setattr(self, name, word & self.machine.word)

    def rewind(self) -> None:
        """Write ip, so that the program makes its call again."""
        self.place = Place(self.place.where, -2)

    def send(self, signo: int) -> Seen:
        """Send a signal; say what is seen then (kernel/signal.c prepare_signal, complete_signal).

        One that is ignored is dropped, but for a traced task.
        """
        how = self.program.signals.get(signo)
        ignored = how.ignored if how else signo in IGNORED
        if signo not in self._blocked and ignored and not self._seized:
            return self.now
        self._pending.add(signo)
        self._kick |= signo not in self._blocked
        return self._woken()

    def interrupt(self) -> Seen:
        """PTRACE_INTERRUPT a running task (kernel/ptrace.c ptrace_request)."""
        self._trap = self._kick = True
        return self._woken()

    def release(self) -> Seen:
        """Write a byte into the program's pipe."""
        self._byte = True
        return self._woken()

    def _woken(self) -> Seen:
        return self._go(0) if self.now.kind == ASLEEP else self.now

    def _go(self, signo: int) -> Seen:
        self.now = self._life.send(signo) if self._begun else next(self._life)
        self._begun = True
        return self.now

    # --- its life ---

    def _live(self) -> Life:
        try:
            yield from self._enter(Where.CALL, self.program.door)
            while True:
                yield from self._user()
        except _End as end:
            yield Seen(str(end))

    def _user(self) -> Life:
        """What the program does next, from where the kernel left it."""
        where, own = self.place.where, OF_ABI[self.program.door.abi]
        if self.place.offset < -2:
            raise UnspokenError("what stands before a call")
        if self.place.offset:
            # By the vDSO it is made again by int $0x80 (vdso32/system_call.S), to the same table.
            yield from self._enter(where, self.program.door)
        elif where is Where.HANDLER:
            if self._step:
                raise UnspokenError("a step inside a handler")
            self.frames.append(self._stack[-1])
            self.ax = own.number("rt_sigreturn")
            yield from self._enter(Where.RETURN, own)
        elif where in (Where.RETURN, Where.LEAVE):
            yield from self._fault(signal.SIGILL)
        elif self._step:
            self.place = Place(Where.BEYOND)
            yield from self._fault(signal.SIGTRAP)
        else:
            self.landed = self.ax & self._own_word
            self.ax = self.program.door.number("exit_group")
            yield from self._enter(Where.LEAVE, self.program.door)

    def _fault(self, signo: int) -> Life:
        """An exception is no call (entry_64.S idtentry: -1)."""
        self.orig_ax, self._compat = self.machine.word, False
        self._force(signo)
        yield from self._work()

    @property
    def _own_word(self) -> int:
        return LOW if self.program.door.bits == 32 else self.machine.word

    # --- entry, the call, exit ---

    def _enter(self, where: Where, door: Door) -> Life:
        """A call by a door, whose number is in ax.

        SYSCALL keeps all of rax in orig_ax, the other doors 32 bits (entry_SYSCALL_64;
        do_int80_emulation, entry_SYSENTER_compat, entry_SYSCALL_compat). The number is the low
        half, signed, as it stands after the tracer had it (syscall_trace_enter, syscall_get_nr).
        """
        wide = door.abi != "ia32" and door.name != "int80_64"
        self._compat = not wide
        self.orig_ax = self.ax if wide else self.ax & LOW
        self.ax = -ENOSYS & self.machine.word
        self.place = Place(where)
        whole = wide and not self.machine.nr_sign_extended
        emulated = self._emulate
        if self._trace or emulated:
            self._inject((yield self._stop("syscall-enter")))
            whole = False
        if not emulated:
            number = signed(self.orig_ax if whole else self.orig_ax & LOW, 64 if whole else 32)
            yield from self._dispatch(number, wide)
        yield from self._exit()

    def _dispatch(self, number: int, wide: bool) -> Life:
        """Make the call of that number; -1 makes none, and leaves ax as it is.

        do_syscall_64, do_syscall_32_irqs_on (arch/x86/entry/); until nr_out_of_range_enosys
        numbers beyond the table left it, too.
        """
        name = self._name(number, wide)
        if number == -1 or not (name or self.machine.nr_out_of_range_enosys):
            return
        if name == "exit_group":
            raise _End("exited 0")
        if name == "rt_sigreturn":
            self._sigreturn()
        else:
            result = yield from self._call(name or "hole", wide)
            self.ax = result & self.machine.word

    def _name(self, number: int, wide: bool) -> str | None:
        """Name the call, ``hole`` for an empty slot; None beyond the table (do_syscall_x32 too)."""
        table, slot = "x86_64" if wide else "ia32", number
        if wide and self.machine.x32 and number >= X32_BIT:
            table, slot = "x32", number - X32_BIT
        if not 0 <= slot < SIZES[table]:
            return None
        if slot in HOLES[table]:
            return "hole"
        try:
            return str(OF_ABI[table].numbers(number).name)
        except ValueError:
            raise UnspokenError(f"call {number:#x}") from None

    def _call(self, name: str, wide: bool) -> Generator[Seen, int, int]:
        """Make a call; returns its result."""
        if name in ("getpid", "getppid"):
            return self.program.pid if name == "getpid" else self.program.parent
        if name == "hole":
            return -ENOSYS
        if name == "madvise":
            return -EINVAL  # 32-bit code comes here by 219, with arguments of another call
        if name == "restart_syscall":
            # kernel/signal.c restart_syscall: what the restart block says, or no_restart_syscall
            block, again = self._block, True
        else:
            block, again = (PAUSE if name == "pause" else self.program.own), False
            if block is None or name != block.call:
                raise UnspokenError(f"arguments of {name}")
        if block is None:
            return -EINTR
        result = yield from self._sleep(block)
        if result == -ERESTART_RESTARTBLOCK and not again:
            # include/linux/thread_info.h set_restart_fn, arch_set_restart_data
            self._block, self._block_compat = block, not wide
        return result

    def _sleep(self, call: Sleeper) -> Generator[Seen, int, int]:
        """Sleep, interruptibly, until there is a byte or a signal; the byte is looked for first."""
        while call.released is None or not self._byte:
            if self._kick:
                return -call.code
            yield Seen(ASLEEP)
        self._byte = not call.takes
        return call.released

    def _exit(self) -> Life:
        """The exit stop, or a step's trap instead (syscall_exit_work, report_single_step)."""
        if self._step:
            self._force(signal.SIGTRAP)
        elif self._trace:
            self._inject((yield self._stop("syscall-exit")))
        yield from self._work()

    # --- signals and restarts ---

    def _work(self) -> Life:
        """On the way out, as long as there are signals (exit_to_user_mode_loop)."""
        while self._kick:
            yield from self._signal_or_restart()

    def _signal_or_restart(self) -> Life:
        """Deliver a signal, or else restart the call (arch_do_signal_or_restart).

        A restart goes back over the instruction, and makes the call that orig_ax says; a restart
        block's is restart_syscall(), whatever orig_ax says.
        """
        signo = yield from self._get_signal()
        code = self._code()
        if signo:
            yield from self._handle(signo, code)
        elif code:
            self._restart(
                self._restart_number() if code == ERESTART_RESTARTBLOCK else self.orig_ax
            )

    def _get_signal(self) -> Generator[Seen, int, int]:
        """Take signals until one has a handler; 0 when none has (kernel/signal.c get_signal).

        Those of faults come first, then by number (dequeue_synchronous_signal, next_signal). The
        tracer sees each before its disposition counts, and may drop it (ptrace_signal).
        """
        while True:
            if self._trap:
                yield self._stop("event STOP")
                continue
            due = self._pending - self._blocked
            signo = min(due, key=lambda each: (each not in SYNCHRONOUS, each), default=0)
            self._pending.discard(signo)
            self._recalculate()
            if not signo:
                return 0
            if self._seized:
                signo = yield self._stop(f"signal {signal.Signals(signo).name}")
            how = self.program.signals.get(signo)
            if not signo or (how.ignored if how else signo in IGNORED):
                continue
            if how is None:
                raise _End(f"killed {signal.Signals(signo).name}")
            return signo

    def _code(self) -> int:
        """Which restart ax asks for; 0 if none, or if this is no call.

        It is one unless orig_ax is -1 in the low half (syscall_get_nr); ax of a 32-bit call counts
        by its low half (syscall_get_error).
        """
        number = signed(self.orig_ax & LOW, 32)
        called = number != -1 if self.machine.minus_one_alone_is_no_call else number >= 0
        ax = self.ax & LOW if self._compat else self.ax
        error = -signed(ax, 32 if self._compat else 64)
        return error if called and error in RESTARTS else 0

    def _restart(self, number: int) -> None:
        self.ax = number & self.machine.word
        self.place = Place(self.place.where, self.place.offset - 2)

    def _restart_number(self) -> int:
        """Number of restart_syscall() in the table that armed the block (get_nr_restart_syscall).

        It has the x32 bit if orig_ax has: -1 has every bit, but is no call.
        """
        if self.machine.i386 or self._block_compat:
            return int(Nr32.restart_syscall)
        if self.orig_ax & X32_BIT and not self.machine.x32:
            raise UnspokenError("CONFIG_X86_X32_ABI, which no fact tells where x32 is off")
        return OF_ABI["x86_64"].number("restart_syscall") | self.orig_ax & X32_BIT

    def _handle(self, signo: int, code: int) -> Life:
        """Set up a handler's frame (handle_signal, signal_setup_done).

        Before, the call fails with EINTR or is restarted. A handler has 0 in ax, in 32-bit code its
        signal, and in x32 what is there already (x64_, ia32_ and x32_setup_rt_frame); orig_ax
        stays. The signal is blocked meanwhile. A step ends at the handler's first instruction.
        """
        restarts = self.program.signals[signo].flags & SA_RESTART
        if code == ERESTARTNOINTR or (code == ERESTARTSYS and restarts):
            self._restart(self.orig_ax)
        elif code:
            self.ax = -EINTR & self.machine.word
        stepping, self._step = self._step, False
        frame = Frame(signo, self.ax & self._own_word, self.place, self._blocked)
        self._stack.append(frame)
        self.ax = {"ia32": signo, "x86_64": 0}.get(self.program.door.abi, self.ax)
        self.place = Place(Where.HANDLER)
        self._blocked |= {signo}
        self._recalculate()
        if stepping:
            yield self._stop("signal SIGTRAP")

    def _sigreturn(self) -> None:
        """Restore a frame (restore_sigcontext, ia32_restore_sigcontext).

        It is no call any longer, and whatever was to be restarted is not.
        """
        frame = self._stack.pop()
        self.ax, self.place, self._blocked = frame.ax, frame.place, frame.blocked
        self.orig_ax, self._block = self.machine.word, None
        self._recalculate()

    # --- in the small ---

    def _stop(self, kind: str) -> Seen:
        """Stop for the tracer; any stop answers a PTRACE_INTERRUPT (ptrace_stop)."""
        self._trap = False
        return Seen(kind, self.orig_ax, self.ax & self._own_word, self.place)

    def _inject(self, signo: int) -> None:
        """Have the tracer's signal sent at a system call's stop (ptrace_report_syscall).

        If it is fatal to a task that is traced no more, that task makes no call besides
        (complete_signal, fatal_signal_pending).
        """
        if not signo:
            return
        self.send(signo)
        deadly = signo not in (*self.program.signals, *IGNORED, *self._blocked)
        if deadly and not self._seized:
            raise _End(f"killed {signal.Signals(signo).name}")

    def _force(self, signo: int) -> None:
        self._pending.add(signo)
        self._kick = True

    def _recalculate(self) -> None:
        """Know again whether there are signals (recalc_sigpending)."""
        self._kick = self._trap or bool(self._pending - self._blocked)
