# SPDX-License-Identifier: GPL-2.0-only
"""Interrupts of user code: they leave nothing behind in the frame that a tracer sees.

Each case has the interrupts of one path of the entry code arrive while the program spins in user
code, and stops it inside their frames; /proc/interrupts is read before and after.
"""

from __future__ import annotations

import contextlib
import math
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from conformance.cases import Handler, Probe, case
from conformance.doors import ABIS, OWN
from conformance.errors import HarnessError
from conformance.facts import affinity, block_device
from conformance.tracing import frames
from conformance.tracing.frames import Arrivals, Batches, Cause, Frames, Kind
from conformance.tracing.tracee import Pace, Task, Trace

VALUES = (0x1234, -512, -513, -514, -516)
"""What ax holds: no error, and each code that a kernel acts on if it sees a system call."""

GROUP = "interrupts"
ROUNDS = 10
"""Times that frames are taken for the interrupts that are missing."""
SIGNALS = 2
"""Signals that a control gets; with the last one it is over."""
FURTHER = 5
"""Programs of a further ABI are stopped in so many times fewer frames: the entry is the same."""
PULSES = 8
"""Interrupts for each of them: the signal comes with the last one."""
SLEEP = 100_000
"""Nanoseconds until the local timer's interrupt."""
PERIOD = 200_000
"""Nanoseconds of user code for one overflow of the CPU clock."""
LONGEST = 50_000
"""Nanoseconds, at most, until PTRACE_INTERRUPT at a random moment."""
SEED = 0x2020
MOVES = 100
"""Times that a device's interrupt is moved to the next CPU."""
THERE = 2
"""Requests once it is there."""
PATIENCE = 3.0
"""Seconds of requests in which it must go there."""
LOOK = 0.25
"""Seconds after which a soak looks up from its frames."""

PATHS = ("device", "timer", "reschedule", "function_call", "irq_work", "random_moment")
"""The cases, by the second word of their ids, that take as many frames as one likes."""

Take = Callable[[Frames], int | None]


@dataclass(slots=True)
class Tally:
    """What the record keeps of a path's interrupts.

    :param row: of /proc/interrupts
    :param cpu: the program's
    :param demand: as many of them must arrive as frames were asked for
    :ivar others: interrupts of all other rows, on the same CPU at the same time
    :ivar further: frames of a soak that are not kept
    :ivar alone: frames of a soak that were counted one by one, and the interrupts in them
    :ivar unproven: stops that did not count, because the program was not back in its loop
    """

    row: str
    cpu: int
    demand: bool = True
    frames: int = 0
    interrupts: int = 0
    others: int = 0
    unproven: int = 0
    further: int = 0
    alone: tuple[int, int] = (0, 0)
    fifo: bool = False

    def record(self, trace: Trace, **more: int | str) -> None:
        """Put it into the case's measurements."""
        caught = min(self.frames, self.interrupts) / max(self.interrupts, 1)
        if self.further:
            more["further"] = self.further
        if self.alone[0]:
            more["alone"], more["interrupts_alone"] = self.alone
        trace.measured |= {
            "frames": self.frames, "interrupts": self.interrupts, "row": self.row,
            "cpu": self.cpu, "caught": round(caught, 4), "others": self.others,
            "unproven": self.unproven, "scheduler": "SCHED_FIFO" if self.fifo else "as it was",
            **more,
        }  # fmt: skip


def programs(trace: Trace) -> Iterator[Probe]:
    """Give the spinning program with each value of ax, and begin its part of the transcript."""
    for ax in VALUES:
        trace.heading(ax=f"{ax:#x}" if ax > 0 else ax)
        yield Probe(site=frames.SITE, regs={"ax": ax})


def one(loop: Frames) -> None:
    """Take one frame."""
    loop.take()


def catch(
    trace: Trace, probe: Probe, cause: Cause, tally: Tally,
    start: Callable[[Task], None] = lambda task: None, take: Take = one,
) -> None:  # fmt: skip
    """Stop a program in frames of one path until as many interrupts of it have arrived as frames
    were asked for; in a soak, for as long as was asked for.

    :param start: what is to be done once the program waits at its gate
    :param take: takes one frame; returns how many interrupts of the path arrived in it, if others
        of the same row come between the frames
    :raises HarnessError: the interrupts do not arrive
    """
    pace = trace.options.pace
    with trace.launch(probe) as task, frames.urgent(cause) as tally.fifo:
        start(task)
        with Batches(task, cause) if pace else Frames(task, cause) as loop:
            if isinstance(loop, Batches) and pace:
                soak(loop, take, pace, tally)
            else:
                wanted = trace.options.frames / len(VALUES)
                gather(loop, take, math.ceil(wanted / (1 if trace.door is OWN else FURTHER)), tally)
        if not loop.ended:
            task.kill()


def gather(loop: Frames, take: Take, wanted: int, tally: Tally) -> None:
    """Take frames until as many interrupts of the path have arrived.

    :raises HarnessError: they do not
    """
    arrived = 0
    for _ in range(ROUNDS):
        arrived += count(loop, take, wanted - arrived, tally)
        if arrived >= wanted or loop.ended or not tally.demand:
            return
    raise unseen(loop.taken, arrived, tally)


def soak(loop: Batches, take: Take, pace: Pace, tally: Tally) -> None:
    """Take frames for a while. Where they can be counted one by one, one in each look is.

    :raises HarnessError: the interrupts of the path do not arrive
    """
    arrivals, before = Arrivals(tally.cpu), tally.frames
    alone: list[int] = []
    until = time.monotonic() + pace.seconds / len(VALUES)
    while not loop.taken or not (loop.ended or pace.over() or time.monotonic() > until):
        exact = take(loop)
        if exact is not None:
            alone.append(exact)
        if not (loop.ended or pace.over()):
            loop.take_for(max(0.0, min(LOOK, until - time.monotonic())))
        pace.hears(tally.row, tally.cpu, before + loop.taken, loop.news())
    arrived, others = arrivals.of(tally.row)
    tally.frames += loop.taken
    tally.unproven += loop.unproven
    tally.further += loop.further
    tally.interrupts += arrived
    tally.others += others
    tally.alone = (tally.alone[0] + len(alone), tally.alone[1] + sum(alone))
    # As `gather` has it: a tenth of the frames at least.
    for taken, seen in ((loop.taken, arrived), (len(alone), sum(alone))):
        if tally.demand and not loop.ended and seen * ROUNDS < taken:
            raise unseen(taken, seen, tally)


def count(loop: Frames, take: Take, number: int, tally: Tally) -> int:
    """Take frames, and return how many interrupts of the path arrived in them."""
    before, passed_over = loop.taken, loop.unproven
    arrivals = Arrivals(tally.cpu)
    exact = [take(loop) for _ in range(number) if not loop.ended]
    arrived, others = arrivals.of(tally.row)
    if None not in exact:
        arrived = sum(one or 0 for one in exact)
    tally.frames += loop.taken - before
    tally.unproven += loop.unproven - passed_over
    tally.interrupts += arrived
    tally.others += others
    return arrived


def unseen(taken: int, arrived: int, tally: Tally) -> HarnessError:
    """The error for stops that were in other frames than the case says."""
    return HarnessError(
        f"the program was stopped {taken} times, but only {arrived} interrupts of row {tally.row} "
        "arrived", f"CPU {tally.cpu} in /proc/interrupts",
        "run it again when that CPU has less to do; if it stays so, this machine sends these "
        "interrupts by another path: report it with /proc/interrupts",
    )  # fmt: skip


def control(trace: Trace, probe: Probe, cause: Cause) -> None:
    """Run a program untraced under the same interrupts; a signal comes with every eighth one."""

    def stimulus(task: Task) -> None:
        with frames.urgent(cause):
            for number in range(SIGNALS):
                frames.prove(trace)
                for _ in range(PULSES):
                    frames.provoke(task, cause)
                task.signal(signal.SIGUSR1)
                frames.handled(trace, number + 1)

    trace.control(until(signal.SIGUSR1, probe), stimulus)


def until(signo: int, probe: Probe) -> Probe:
    """The same program, with a handler that ends it when enough signals came."""
    return replace(probe, handlers=[Handler(signo)], quit_after=SIGNALS)


@contextlib.contextmanager
def direct(trace: Trace) -> Iterator[tuple[Cause, Tally, str]]:
    """Open a disk, and go to the CPU of its interrupt.

    :raises HarnessError: there is none, though there was one when the facts were found
    """
    os.sched_setaffinity(0, trace.cpus)
    found = block_device()
    if found is None:
        raise HarnessError(
            "no disk raises interrupts any more", "the files that the fact `device` rests on",
            "see `origax doctor`, and run it again",
        )  # fmt: skip
    trace.move(found.cpu)
    fd = os.open(found.path, os.O_RDONLY | os.O_DIRECT | os.O_CLOEXEC)
    try:
        yield Cause(Kind.READ, fd=fd), Tally(str(found.irq), found.cpu), found.name
    finally:
        os.close(fd)


@case("interrupts.device", door="none", also=ABIS, covers=[80, 82], needs=["device"], group=GROUP)
def device(trace: Trace) -> None:
    """On the CPU of a disk's interrupt, read 4 KiB directly while the program spins there: the
    completion interrupt wakes the tracer, which PTRACE_INTERRUPTs the program preempted in it.
    """
    with direct(trace) as (cause, tally, name):
        for probe in programs(trace):
            catch(trace, probe, cause, tally)
            control(trace, probe, cause)
        tally.record(trace, device=name)


class Course:
    """Moves a disk's interrupt from CPU to CPU, and the program and its tracer with it.

    It can be moved only where it arrives, while it is handled (kernel/irq/migration.c
    irq_move_masked_irq): so a move takes requests, of which one is made at a time.

    :param loop: makes them
    """

    def __init__(self, trace: Trace, task: Task, loop: Frames, row: str) -> None:
        self._trace, self._task, self._loop, self._row = trace, task, loop, row
        self._wanted = affinity(int(row))
        self._effective = self._wanted.with_name("effective_affinity_list")
        self._before = self._everywhere()

    def move(self, cpu: int) -> bool:
        """Move the interrupt, and follow it; returns whether it went there in time."""
        self._wanted.write_text(str(cpu), encoding="ascii")
        until = time.monotonic() + PATIENCE
        while self._effective.read_text(encoding="ascii").strip() != str(cpu):
            if self._loop.ended or time.monotonic() > until:
                return False
            self._loop.take()
        self._trace.move(cpu)
        os.sched_setaffinity(self._task.pid, {cpu})
        return True

    def arrives(self) -> bool:
        """Make some requests; returns whether all their interrupts are those of this CPU."""
        cpu, requests = self._trace.cpu, self._loop.provoked
        before = frames.arrivals(self._row)[cpu]
        for _ in range(THERE):
            if not self._loop.ended:
                self._loop.take()
        return frames.arrivals(self._row)[cpu] - before == self._loop.provoked - requests

    def interrupts(self) -> int:
        """Count those that arrived since the beginning, anywhere."""
        return self._everywhere() - self._before

    def _everywhere(self) -> int:
        return sum(frames.arrivals(self._row).values())


@contextlib.contextmanager
def put_back(irq: int) -> Iterator[None]:
    """Have an interrupt's affinity be in the end what it was."""
    before = affinity(irq).read_text(encoding="ascii")
    try:
        yield
    finally:
        affinity(irq).write_text(before, encoding="ascii")


@case("interrupts.moved", door="none", also=["ia32"], covers=[80, 82],
      needs=["own_machine", "device_moves", "two_cpus"], group=GROUP)  # fmt: skip
def moved(trace: Trace) -> None:
    """A hundred times, set the affinity of a disk's interrupt to the next CPU, read 4 KiB directly
    until it is there, have the program follow, and read twice more; PTRACE_INTERRUPT the
    program in each. Then move it once more: an interrupt gets a vector elsewhere only after the
    one of its last move was released. In the end its affinity is put back.
    """
    with direct(trace) as (cause, tally, name), put_back(int(tally.row)):
        round_ = [*trace.cpus[1:], trace.cpu]
        probe = Probe(site=frames.SITE, regs={"ax": -513})
        with trace.launch(probe) as task:
            often = replace(cause, prove=False)
            with frames.urgent(cause), Frames(task, often) as loop:
                course = Course(trace, task, loop, tally.row)
                went = arrived = 0
                while went < MOVES and course.move(round_[went % len(round_)]):
                    went += 1
                    arrived += course.arrives()
                again = went == MOVES and course.move(round_[went % len(round_)])
                came = course.interrupts()
            trace.add_read(
                "moves", arrived=str(arrived), released=str(went if again else max(went - 1, 0)),
                interrupts_per_request=f"{came / loop.provoked:g}",
            )  # fmt: skip
            if not loop.ended:
                task.kill()
        control(trace, probe, cause)
        trace.measured |= {"requests": loop.provoked, "interrupts": came, "device": name}


@case("interrupts.timer", door="none", also=ABIS, covers=[80, 82], needs=["local_timer"],
      group=GROUP)  # fmt: skip
def timer(trace: Trace) -> None:
    """On the program's CPU, sleep 0.1 ms: the local timer's interrupt wakes the tracer, which
    PTRACE_INTERRUPTs the program preempted in it.
    """
    cause, tally = Cause(Kind.SLEEP, SLEEP), Tally("LOC", trace.cpu)
    for probe in programs(trace):
        catch(trace, probe, cause, tally)
        control(trace, probe, cause)
    tally.record(trace)


@case(
    "interrupts.reschedule", door="none", also=ABIS, covers=[80],
    needs=["two_cpus", "interrupt_counts"], group=GROUP,
)  # fmt: skip
def reschedule(trace: Trace) -> None:
    """From another CPU, PTRACE_INTERRUPT the program once it says that it spins: the kernel kicks
    a running task by a reschedule IPI. Those that wake its CPU before do not count.
    """
    cause, tally = Cause(Kind.WATCH), Tally("RES", trace.cpus[1])

    def take(loop: Frames) -> int:
        loop.go()
        before = frames.arrived(tally.row, tally.cpu)
        loop.take()
        return frames.arrived(tally.row, tally.cpu) - before

    for probe in programs(trace):
        apart = replace(probe, other_cpu=True)
        catch(trace, apart, cause, tally, take=take)
        control(trace, apart, cause)
    tally.record(trace)


@case(
    "interrupts.function_call", door="none", also=ABIS, covers=[80],
    needs=["two_cpus", "membarrier_rseq", "interrupt_counts"], group=GROUP,
)  # fmt: skip
def function_call(trace: Trace) -> None:
    """Have a thread of the program, on another CPU, put a bad pointer into the spinning thread's
    rseq area and call membarrier(PRIVATE_EXPEDITED_RSEQ): the function-call IPI has the kernel
    look at the pointer on its way out and raise SIGSEGV; suppress it. The control's thread leaves
    the pointer alone.
    """
    cause, tally = Cause(Kind.CALL), Tally("CAL", trace.cpu)
    for probe in programs(trace):
        caller = replace(probe, setup="membarrier", args=[trace.cpus[1], 0, frames.entry(trace)])
        catch(trace, caller, cause, tally)
        control(trace, replace(caller, args=[trace.cpus[1], 1, frames.entry(trace)]), cause)
    tally.record(trace)


@case(
    "interrupts.irq_work", door="none", also=ABIS, covers=[80],
    needs=["perf_swclock", "interrupt_counts"], group=GROUP,
)  # fmt: skip
def irq_work(trace: Trace) -> None:
    """Open the program's software CPU clock with a SIGIO for every 0.2 ms of user code: at each
    overflow the kernel queues irq work, whose self-IPI sends the signal; suppress it. The
    control's own handler takes it.
    """
    tally = Tally("IWI", trace.cpu)
    for probe in programs(trace):
        with contextlib.ExitStack() as ticking:

            def start(task: Task, ticking: contextlib.ExitStack = ticking) -> None:
                ticking.callback(os.close, frames.clock(task.pid, PERIOD))

            def start_control(task: Task, start: Callable[[Task], None] = start) -> None:
                frames.prove(trace)
                start(task)

            catch(trace, probe, Cause(Kind.SIGNAL), tally, start)
            trace.control(until(signal.SIGIO, probe), start_control)
    tally.record(trace)


@case("interrupts.random_moment", door="none", also=ABIS, covers=[80], needs=["interrupt_counts"],
      group=GROUP)  # fmt: skip
def random_moment(trace: Trace) -> None:
    """PTRACE_INTERRUPT the program a pseudo-random time (below 50 us) after it was resumed: from
    another CPU if there is one, so that it is hit in its loop or in the kernel on its way there;
    otherwise after a sleep.
    """
    apart = len(trace.cpus) > 1
    row, cpu = ("RES", trace.cpus[1]) if apart else ("LOC", trace.cpu)
    cause = Cause(Kind.BUSY if apart else Kind.SLEEP, LONGEST, prove=False)
    tally = Tally(row, cpu, demand=False)
    seeds = random.Random(SEED)
    for probe in programs(trace):
        spin = replace(probe, other_cpu=apart)
        catch(trace, spin, replace(cause, seed=seeds.randrange(1, 1 << 64)), tally)
        control(trace, spin, cause)
    tally.record(trace, seed=SEED)
