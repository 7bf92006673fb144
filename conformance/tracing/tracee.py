# SPDX-License-Identifier: GPL-2.0-only
"""Life and death of tracees, and the trace that a case makes of them."""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from conformance._native import lib
from conformance.abi import REGISTERS_32, WORD, error_name
from conformance.cases import Probe
from conformance.doors import DOORS, OF_ABI, OWN, Door
from conformance.errors import HarnessError
from conformance.tracing import program, requests, snapshot
from conformance.tracing.hand import LOCAL, Hand, Remote
from conformance.tracing.image import Image, Label, image, width
from conformance.tracing.program import POLL, Context, Report
from conformance.tracing.snapshot import Missed, Stop

INT3: Final = 0xCC

ANY: Final = "RSDTtXZPI"
"""Letters of all states that a task can have (fs/proc/array.c task_state_array)."""

NEWBORN: Final = ("event FORK", "event VFORK", "event CLONE")
"""Stops whose message is the pid of a new task."""

TRACED: Final = 0x80
"""What PTRACE_O_TRACESYSGOOD adds to the signal of a system call's stop."""

CLEANUP: Final = 2000
"""Milliseconds that a killed task may take to go."""


@dataclass(frozen=True, slots=True)
class Heading:
    """Begins the part of a transcript that belongs to one launch."""

    fields: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Poke:
    """What the tracer wrote, or asked, by POKEUSER or the request named; and the answer."""

    who: str
    what: Mapping[str, int | str]
    context: Context
    request: str = ""


@dataclass(frozen=True, slots=True)
class Read:
    """What the tracer read besides a stop: a size, an error, another file's view.

    Numbers among the values become symbolic; a mapping is of registers, told by which are not
    ``own``.
    """

    who: str
    source: str
    what: Mapping[str, int | str | Mapping[str, int]]
    context: Context


@dataclass(frozen=True, slots=True)
class Seen:
    """A stop, in the context that makes it readable.

    ``again``: the tracer read its registers once more, or from elsewhere.
    """

    stop: Stop
    context: Context
    again: bool = False


@dataclass(frozen=True, slots=True)
class Told:
    """A program's own report, in its context."""

    report: Report
    context: Context


@dataclass(frozen=True, slots=True)
class Cell:
    """What a tracer wrote at a stop, how it went on from there, and what came of that.

    :ivar words: name the cell: the register, the value, the request
    :ivar refused: the error of a write that the kernel refused
    :ivar then: the next stop; None if there was none before the program's end
    :ivar slept: the program slept before it, until it was woken
    :ivar shown: a register to show besides orig_ax, ax and ip: what was written
    :ivar ending: how the program ended if it was let go; otherwise empty
    """

    words: tuple[str, ...]
    refused: str
    then: Stop | None
    slept: bool
    shown: str
    report: Report
    ending: str
    context: Context


Event = Heading | Poke | Read | Seen | Told | Cell


@dataclass(frozen=True, slots=True)
class Pace:
    """How a soak takes frames: not so many, but for so long.

    :ivar seconds: of the case
    :ivar over: whether no more are wanted: a program that is still to come then gives one
    :ivar hears: is told how far a case is: the row of /proc/interrupts, the CPU, how many frames
        it has taken so far, and the first ones of each kind that were not told before, if there
        are any, with their heading
    """

    seconds: float
    over: Callable[[], bool]
    hears: Callable[[str, int, int, Sequence[Event]], None]


@dataclass(frozen=True, slots=True)
class Options:
    """What the user asked of a run that cases must know."""

    frames: int = 200
    timeout: float = 10.0
    pace: Pace | None = None


class Task:
    """One task under trace. Every wait is for this task alone."""

    def __init__(self, trace: Trace, pid: int, who: str) -> None:
        self.trace = trace
        self.hand = trace.hand
        self.pid = pid
        self.who = who
        self.status = 0

    def take(self, request: int = 0, signo: int = 0, show: tuple[str, ...] = ()) -> Stop:
        """Resume with a request (none if 0), wait, and add the stop to the transcript.

        :param show: further fields of the stop to put into the transcript: ``dr6``, ``dr7``, ...,
            or ``mask``, the signals that the task blocks
        """
        stop = self.look(request, signo, show)
        if "mask" in show and not stop.ended:
            stop = replace(stop, mask=requests.getsigmask(self.pid))
        self.trace.add_stop(stop)
        return stop

    def look(self, request: int = 0, signo: int = 0, show: tuple[str, ...] = ()) -> Stop:
        """Like :meth:`take`, but leave the stop out of the transcript."""
        raw = self.hand.take(self.pid, request, signo)
        stop = snapshot.decode(raw, self.pid, self.who, show)
        self.status = stop.status
        if stop.ended:
            self.hand.bury(self.pid)
            self.trace.bury(self.pid)
        else:
            self.trace.settle(self.pid, raw)
        return stop

    def skip(self, request: int = 0, signo: int = 0) -> int:
        """Like :meth:`look`, but read nothing; the signal that stopped it, or 0 at its end."""
        self.status = snapshot.skip(self.pid, request, signo)
        if os.WIFSTOPPED(self.status):
            return os.WSTOPSIG(self.status) & ~TRACED
        self.trace.bury(self.pid)
        return 0

    def again(self) -> Stop:
        """Read the stop that the task is in once more, through every view."""
        stop = self.glance()
        self.trace.add_stop(stop, again=True)
        return stop

    def glance(self) -> Stop:
        """Like :meth:`again`, but leave it out of the transcript."""
        raw = self.hand.again(self.pid, self.status)
        return snapshot.decode(raw, self.pid, self.who)

    def syscall(self, signo: int = 0) -> Stop:
        """PTRACE_SYSCALL: on to the next syscall-enter-stop or syscall-exit-stop."""
        return self.take(requests.SYSCALL, signo)

    def cont(self, signo: int = 0) -> Stop:
        """PTRACE_CONT: on to the next signal or event."""
        return self.take(requests.CONT, signo)

    def step(self, signo: int = 0, show: tuple[str, ...] = ()) -> Stop:
        """PTRACE_SINGLESTEP."""
        return self.take(requests.SINGLESTEP, signo, show)

    def resume(self, request: int = requests.CONT, signo: int = 0) -> None:
        """Resume without waiting: something else has to happen before the next stop."""
        self.hand.resume(self.pid, request, signo)

    def interrupt(self) -> Stop:
        """PTRACE_INTERRUPT a running task, and take the stop."""
        self.hand.interrupt(self.pid)
        return self.take()

    def poke(self, **registers: int) -> None:
        """Write registers by PTRACE_POKEUSER, in the order given; told in the transcript."""
        for name, word in registers.items():
            self.hand.write_register(self.pid, name, word)
        self.trace.add_poke("", self.who, **registers)

    def narrow_poke(self, **registers: int) -> None:
        """Write registers as a 32-bit tracer does, in the order given; told in the transcript.

        A 64-bit tracer makes PTRACE_POKEUSER by int $0x80 for it: then it is a 32-bit request
        (compat_arch_ptrace), of the same tracer.

        :raises OSError: the kernel refused it
        """
        self._narrow_write(registers)
        self.trace.add_poke("narrow", self.who, **registers)

    def _narrow_write(self, registers: Mapping[str, int]) -> None:
        for name, word in registers.items():
            offset = 4 * REGISTERS_32.index(name)
            error = lib.origax_narrow_poke(self.pid, offset, word & 0xFFFF_FFFF)
            if error:
                raise OSError(-error, os.strerror(-error))

    def put_back(self, stop: Stop, **changed: int) -> None:
        """Write all registers as they were at a stop (PTRACE_SETREGS); told in the transcript.

        :param changed: those to be written otherwise
        """
        mask = (1 << 8 * requests.WORD_SIZE) - 1
        words = {name: word & mask for name, word in changed.items()}
        self.hand.setregs(self.pid, {**stop.regs, **words})
        self.trace.add_poke("", self.who, regs="saved", **changed)

    def narrow_put_back(self, stop: Stop) -> None:
        """Write all registers as a 32-bit tracer does, one by one; told in the transcript."""
        self._narrow_write({name: stop.regs[name] for name in REGISTERS_32})
        self.trace.add_poke("narrow", self.who, regs="saved")

    def block(self, *signals: int) -> None:
        """Write the mask of blocked signals (PTRACE_SETSIGMASK); told in the transcript."""
        requests.setsigmask(self.pid, sum(1 << signo - 1 for signo in signals))
        names = "+".join(snapshot.signal_name(signo) for signo in signals)
        self.trace.add_poke("", self.who, mask=names or "none")

    def poke_code(self, place: str, byte: int) -> int:
        """Replace the byte of code at a label, or at ``landing_pad-2``; told in the transcript.

        Returns the old byte.
        """
        old = requests.poke_byte(self.pid, self.trace.address(place), byte)
        self.trace.add_poke("", self.who, code=place, byte=hex(byte))
        return old

    def poke_stack(self, stop: Stop, byte: int) -> None:
        """Replace the byte at the stack pointer of a stop; told in the transcript."""
        requests.poke_byte(self.pid, stop.regs["sp"], byte)
        self.trace.add_poke("", self.who, stack="top", byte=hex(byte))

    def detach(self, signo: int = 0) -> None:
        """PTRACE_DETACH a stopped task; told in the transcript. It can be waited for still."""
        self.hand.detach(self.pid, signo)
        name = snapshot.signal_name(signo) if signo else "none"
        self.trace.add_poke("", self.who, detach=name)

    def poke_debug(self, **registers: int) -> None:
        """Write debug registers by PTRACE_POKEUSER, in the order given; told with any refusal."""
        for name, word in registers.items():
            told: dict[str, int | str] = {name: word & WORD}
            try:
                requests.write_debug(self.pid, snapshot.debug_offset(name), word)
            except requests.PtraceError as error:
                told["error"] = error_name(error.errno or 0) or str(error.errno)
            self.trace.add_poke("", self.who, **told)

    def narrow_poke_debug(self, **registers: int) -> None:
        """Write debug registers as a 32-bit tracer does, in the order given; told as above.

        :raises OSError: the kernel refused it
        """
        for name, word in registers.items():
            offset = 4 * (snapshot.DEBUG_REGISTERS_32 + snapshot.DEBUG_NAMES.index(name))
            error = lib.origax_narrow_poke(self.pid, offset, word & 0xFFFF_FFFF)
            if error:
                raise OSError(-error, os.strerror(-error))
            self.trace.add_poke("narrow", self.who, **{name: word})

    def run_to(self, label: str) -> None:
        """Run up to a label, unseen: over an int3 that is gone again when the program is there.

        :raises HarnessError: it stopped for something else
        """
        at = self.trace.label(label).start
        code = requests.poke_byte(self.pid, at, INT3)
        stop = self.look(requests.CONT)
        if stop.ended or stop.regs["ip"] != at + 1:
            raise astray(stop, label, f"pid {self.pid}")
        requests.poke_byte(self.pid, at, code)
        requests.write_register(self.pid, "ip", at)

    def finish(self) -> Stop:
        """PTRACE_CONT until the task is gone, keeping every stop on the way."""
        stop = self.cont()
        while not stop.ended:
            stop = self.cont(stop.signo)
        return stop

    def kill(self) -> Stop:
        """SIGKILL, and wait for the end."""
        os.kill(self.pid, signal.SIGKILL)
        stop = self.take()
        while not stop.ended:
            stop = self.cont()
        return stop

    def until_ready(self) -> None:
        """Wait until the program says that it is at its site, or in its loop if it has one.

        :raises Missed: it did not before the deadline
        """
        board, spins = program.board(), self.trace.spins
        self.trace.wait_for(lambda: bool(board.ready and (board.spinning or not spins)))

    def until_asleep(self) -> None:
        """Wait until the program sleeps in the system call of its site.

        Interruptibly: in state ``D`` it may still be on its way there, and wait for a page of its
        image to be read.
        """
        self.until_ready()
        self.until("S")

    def until(self, states: str) -> str:
        """Wait until the task's state is one of those letters; returns it.

        They are those of /proc/PID/stat; ``X`` when the task is gone.

        :raises Missed: it was not before the deadline
        """
        state = lib.origax_until(self.pid, states.encode())
        if state == -errno.ETIME:
            raise Missed
        if state < 0:
            raise HarnessError(
                f"a task's state cannot be read: {os.strerror(-state)}", f"/proc/{self.pid}/stat",
                "see that /proc is mounted, and not with hidepid",
            )  # fmt: skip
        return chr(state)

    def until_dead(self) -> None:
        """Wait until the task is a zombie that its parent has heard of, or gone.

        :raises Missed: it was not before the deadline
        """
        self.until("ZX")

    def born(self, stop: Stop) -> Task:
        """Take a stop of this task at which ax is the pid of a child that nobody traces."""
        self.trace.pids[stop.regs["ax"]] = "$child"
        self.trace.add_stop(stop)
        return Task(self.trace, stop.regs["ax"], "child")

    def state(self) -> str:
        """The task's state letter, from /proc/PID/stat; ``X`` when it is gone."""
        return self.until(ANY)

    def signal(self, signo: int) -> None:
        """Send a signal to this task alone (tgkill)."""
        signal_task(self.trace.leader, self.pid, signo)


def signal_task(leader: int, tid: int, signo: int) -> None:
    """tgkill(2): to one task of a thread group."""
    if lib.origax_tgkill(leader, tid, signo):
        raise ProcessLookupError(tid)


class Trace:
    """What one case does and sees: programs launched, and events in their order.

    One tracer thread; tracer and tracees on one CPU unless a probe asks for two.
    """

    def __init__(
        self, options: Options, cpus: tuple[int, ...], door: Door = OWN
    ) -> None:
        self.options = options
        self.door = door
        self.cpu = cpus[0]
        self.cpus = cpus
        self.events: list[Event] = []
        self.measured: dict[str, int | float | str] = {}
        self.pids: dict[int, str] = {os.getpid(): "$tracer"}
        self.own: Mapping[str, int] = {}
        self._program = door
        self._vdso = (0, 0)
        self._pads: Mapping[int, str] = {}
        self.leader = 0
        self.spins = False
        self.sites: set[str] = set()
        self.hand: Hand = LOCAL
        self._deadline = time.monotonic() + options.timeout
        self._alive: set[int] = set()
        self._executed: dict[int, Door] = {}

    # --- what a case calls ---

    def heading(self, **fields: object) -> None:
        """Begin the part of one launch: ``run  ax=-513 handler=SA_RESTART``."""
        self.events.append(Heading({name: str(text) for name, text in fields.items()}))

    @contextlib.contextmanager
    def launch(
        self, probe: Probe, options: int = requests.O_BASE, hand: str = "", tells: bool = True
    ) -> Iterator[Task]:
        """Launch a program, seize it, and bring it to its gate; kill it at the end.

        The gate is a signal-delivery-stop by SIGSTOP: resume from it with no signal, and the
        program's next kernel entry is its site's.

        :param hand: ABI of another tracer's code, ``ia32``, that is to make the requests
        :param tells: whether the program's report joins the transcript at the end
        """
        if hand:
            self.hand = Remote(hand, self._deadline)
        task = self._spawn(probe, traced=True)
        try:
            self.hand.seize(task.pid, options)
        except requests.PtraceError as error:
            # A zombie cannot be seized (kernel/ptrace.c ptrace_attach), and how it ended is told
            # below; a program that we may not trace waits at its gate.
            if task.state() != "Z":
                raise refused(error.errno or 0) from None
            task.hand = LOCAL
        program.board().attached = 1
        gate = task.look()
        if gate.kind != "signal SIGSTOP":
            self._report(probe, task, "probe")
            raise astray(gate, "its gate", f"site {probe.site}")
        self._know()
        yield task
        if tells:
            self._report(probe, task, "probe")
        else:
            self._end()

    @contextlib.contextmanager
    def adopt(self, probe: Probe, until: Callable[[Task], None]) -> Iterator[Task]:
        """Launch a program with nobody tracing, to attach to it later; kill it at the end.

        :param until: returns when the program is where it is to be attached to
        """
        task = self._spawn(probe, traced=False)
        until(task)
        self._know()
        yield task
        self._report(probe, task, "probe")

    def control(
        self, probe: Probe, stimulus: Callable[[Task], None] | None = None, ends: bool = True
    ) -> int:
        """Run the same program with nobody tracing; its report joins the transcript.

        Returns its pid.

        :param stimulus: what the tracer's side did besides tracing, done here as well
        :param ends: wait for its end; otherwise kill it after the stimulus
        """
        task = self._spawn(probe, traced=False)
        ending = None
        if stimulus:
            stimulus(task)
        if ends:
            ending = task.look().kind
        self._know()
        self._report(probe, task, "control", ending)
        return task.pid

    def tell(self, task: Task, answers: Mapping[str, int | str]) -> None:
        """Add to the transcript what the kernel answered the tracer, by names of one's own."""
        self.add_poke("", task.who, **answers)

    def child(self, pid: int, who: str) -> Task:
        """Take over a task that the kernel attached by itself (fork, vfork, clone)."""
        self.pids[pid] = f"${who}"
        self._alive.add(pid)
        return Task(self, pid, who)

    def move(self, cpu: int) -> None:
        """Go on on another CPU, with every program launched from now on."""
        os.sched_setaffinity(0, {cpu})
        self.cpu = cpu
        self.cpus = (cpu, *(other for other in self.cpus if other != cpu))

    def wait_for(self, condition: Callable[[], bool]) -> None:
        """Poll until a condition on the program holds.

        :raises Missed: it did not before the deadline
        """
        while not condition():
            if time.monotonic() > self._deadline:
                raise Missed
            time.sleep(POLL)

    @property
    def image(self) -> Image:
        """The image of the program launched last; before the first, the case's own."""
        return image(self._program.image)

    def number(self, call: str) -> int:
        """Number of a system call, by its name, at the case's door."""
        return self.door.number(call)

    def label(self, name: str) -> Label:
        """A place in the code of that program."""
        return self.image.labels[name]

    @property
    def landing_pad(self) -> int:
        """Where calls of that program return to if they are made in its vDSO; otherwise 0."""
        return self._vdso[1] if self._program.by_vdso else 0

    def address(self, place: str) -> int:
        """Address of a label of that program, or of ``landing_pad-2``, where its vDSO is."""
        pad = self._vdso[1]
        return pad - program.INT80_SIZE if place == "landing_pad-2" else self.label(place).start

    def board_address(self, member: str) -> int:
        """Address of a member of struct origax_board in that program."""
        return program.board_address(self.image, member)

    def add_cell(
        self, words: tuple[str, ...], probe: Probe, *, refused: str, then: Stop | None,
        slept: bool, shown: str, ending: str,
    ) -> None:  # fmt: skip
        """Add what came of a write, with what the program itself found on the board."""
        told = program.report(probe, self.image.bits, "cell", None)
        self.events.append(
            Cell(words, refused, then, slept, shown, told, ending, self.context())
        )

    # --- what tasks call ---

    def add_stop(self, stop: Stop, again: bool = False) -> None:
        """Add a stop to the events; or what was read at it again."""
        if stop.kind in NEWBORN:
            self.pids.setdefault(stop.message, "$child")
        if stop.kind == "event EXEC":
            self.executed(stop)
        self.events.append(Seen(stop, self.context(stop.pid), again))

    def context(self, pid: int = 0) -> Context:
        """What makes words of this moment readable: of a task, or of the program launched."""
        new = self._executed.get(pid)
        if new:
            return Context({}, dict(self.pids), None, new.numbers)
        door = self._program
        return Context(
            self.own, dict(self.pids), self.image, door.numbers, self._vdso, self._pads
        )

    def executed(self, stop: Stop) -> None:
        """Know that a task runs another program, from the stop at which it begins.

        The registers of its site mean nothing any more, and its stack is elsewhere.
        """
        path = Path(f"/proc/{stop.pid}/exe").resolve()
        self._executed[stop.pid] = OF_ABI.get(width(path), self._program)
        self.pids[stop.regs["sp"]] = "$stack"

    def add_read(
        self, source: str, who: str = "tracee", **what: int | str | Mapping[str, int]
    ) -> None:
        """Add what a request or a file told besides a stop's registers."""
        self.events.append(Read(who, source, what, self.context()))

    def add_poke(self, request: str, who: str = "tracee", **what: int | str) -> None:
        """Add what a request other than PTRACE_POKEUSER wrote."""
        self.events.append(Poke(who, what, self.context(), request))

    def settle(self, pid: int, raw: bytes) -> None:
        """Read a stop a second time, by another reader."""
        self.hand.settle(pid, raw)

    def bury(self, pid: int) -> None:
        """Know that a task has gone and was reaped."""
        self._alive.discard(pid)

    # --- life and death ---

    def _spawn(self, probe: Probe, traced: bool) -> Task:
        cpu = self.cpus[1] if probe.other_cpu else self.cpu
        self._program = DOORS[probe.door] if probe.door else self.door
        pid = program.launch(probe, self.image, cpu, traced, self.hand.pid)
        self.sites.add(f"{self.image.name}/{probe.site}")
        self.spins = probe.site == "to_spin"
        self._alive.add(pid)
        self.leader = pid
        self.pids[pid] = "$pid"
        return Task(self, pid, "tracee")

    def _know(self) -> None:
        """Read what the program at its gate tells of itself."""
        self.own, self._vdso, self._pads = program.own(), program.vdso(), program.pads()

    def _report(self, probe: Probe, task: Task, head: str, ending: str | None = None) -> None:
        self._end()
        if born := program.child():
            self.pids.setdefault(born, "$child")
        told = program.report(probe, self.image.bits, head, ending)
        self.events.append(Told(told, self.context()))
        self.pids = {os.getpid(): "$tracer"}

    def _end(self) -> None:
        """Kill and reap every task of this case; some may be traced, some not."""
        # Only then can this process reap those that the other tracer waits for.
        self.hand.close()
        self.hand = LOCAL
        if self.leader:
            program.kill_group(self.leader)
        for pid in self._alive:
            program.kill(pid)
        # A thread group's leader can be reaped only behind its traced threads.
        for pid in sorted(self._alive, key=self.leader.__eq__):
            self._reap(pid)
        self._alive.clear()
        self._executed.clear()
        if self.leader:
            program.reap_group(self.leader)
        self.leader = 0

    def _reap(self, pid: int) -> None:
        """Wait for the end of a task that was killed.

        One that was in PTRACE_EVENT_EXIT already drops the signal, and has to be resumed.
        """
        with contextlib.suppress(OSError):
            ended = False
            while not ended:
                with contextlib.suppress(requests.PtraceError):
                    requests.resume(pid, requests.CONT)
                ended = snapshot.decode(snapshot.take(pid), pid, "").ended

    def __enter__(self) -> Trace:
        gc.disable()  # nothing but the case comes between two stops
        self._affinity = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {self.cpu})
        lib.origax_deadline(int(self.options.timeout * 1000))
        return self

    def __exit__(self, *_: object) -> None:
        gc.enable()
        lib.origax_deadline(CLEANUP)
        try:
            self._end()
        finally:
            lib.origax_deadline(0)
            os.sched_setaffinity(0, self._affinity)


def astray(stop: Stop, place: str, on: str) -> HarnessError:
    """The error for a program that stopped, or ended, where it had to come to a place."""
    how = f"ended ({stop.kind})" if stop.ended else f"stopped by {stop.kind}"
    return HarnessError(
        f"a program {how} before {place}", on,
        "see whether something else signals or traces this user's processes",
    )  # fmt: skip


def refused(code: int) -> HarnessError:
    """The error for a kernel that does not let us trace."""
    return HarnessError(
        f"no permission to trace: PTRACE_SEIZE: {os.strerror(code)}",
        "a program that this process launched itself",
        "see /proc/sys/kernel/yama/ptrace_scope (below 3, or below 2 without CAP_SYS_PTRACE), "
        "and any seccomp filter or container around this process",
    )
