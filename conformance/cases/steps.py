# SPDX-License-Identifier: GPL-2.0-only
"""Single step, block step, the trap flag, and the debug registers."""

from __future__ import annotations

import signal
from dataclasses import replace

from conformance.abi import DR6_NONE
from conformance.cases import Handler, Probe, case
from conformance.doors import ABIS, CALLS
from conformance.tracing import requests
from conformance.tracing.image import executable
from conformance.tracing.snapshot import debug_offset
from conformance.tracing.tracee import Task, Trace

DR6 = ("dr6",)
DR67 = ("dr6", "dr7")
DEBUG = ("dr0", "dr1", "dr6", "dr7")
TRAP_HANDLER = Handler(signal.SIGTRAP)
USR1_HANDLER = Handler(signal.SIGUSR1)
ABOVE = 1 << 32
LIMIT = 40
"""More steps than any site here takes."""

INLINE = ("int80_64", "int80_32", "x32")
"""Further doors whose instruction stands in the program itself."""
RETURNS = ("int80_32", "x32")
"""Further doors, one for each code of signal handlers' returns."""
VDSO_ENTRY, VDSO_PUSHES = -4, -9
"""SYSENTER or SYSCALL, and the first of three pushes, as seen from the landing pad."""

EXECUTE, WRITE, IO, ACCESS = 0, 1, 2, 3
"""Kinds of a debug register's condition: the R/W field of DR7."""


def end_of(task: Task, site: str) -> int:
    """Address of a site's end."""
    return task.trace.image.labels[site].end


def within(task: Task, site: str, offset: int) -> int:
    """Address so many bytes into a site."""
    return task.trace.image.labels[site].start + offset


def behind(task: Task, site: str) -> int:
    """Where the call that begins a site returns to."""
    return task.trace.landing_pad or within(task, site, 2)


def run_to_entry(task: Task, site: str, inside: int = VDSO_ENTRY) -> None:
    """Run up to the instruction by which the site, which begins with a call, enters the kernel.

    In the vDSO that is by single steps, unseen: what it does before differs between kernels. DR6
    then tells of none of them.

    :param inside: where to in the vDSO, from its landing pad
    """
    task.run_to(site)
    if not task.trace.landing_pad:
        return
    for _ in range(LIMIT):
        stop = task.look(requests.SINGLESTEP)
        if stop.ended or stop.regs["ip"] == task.trace.landing_pad + inside:
            break
    requests.write_debug(task.pid, debug_offset("dr6"), DR6_NONE)


def walk(task: Task, site: str, request: int = requests.SINGLESTEP) -> None:
    """Step until the end of the site, taking every stop, then on to the program's end."""
    for _ in range(LIMIT):
        stop = task.take(request, 0, DR6)
        if stop.ended or stop.regs["ip"] == end_of(task, site):
            break
    if not stop.ended:
        task.finish()


def condition(number: int, kind: int, length: int = 1) -> int:
    """Bits of DR7 for one debug register: enabled for this task, its kind and length."""
    coded = {1: 0, 2: 1, 8: 2, 4: 3}[length]
    return 1 << 2 * number | (coded << 2 | kind) << 16 + 4 * number


@case("steps.plain", door="none", also=ABIS, covers=[88, 93, 103])
def plain(trace: Trace) -> None:
    """PTRACE_SINGLESTEP through plain code, one instruction at a time, to its end."""
    probe = Probe(site="walk")
    with trace.launch(probe) as task:
        task.run_to("walk")
        walk(task, "walk")
    trace.control(probe)


@case("steps.syscall", door="syscall64", also=CALLS, covers=[94, 95])
def syscall(trace: Trace) -> None:
    """PTRACE_SINGLESTEP over the instruction of a system call, and on to the end of the site."""
    for name, number in (("getpid", trace.number("getpid")), ("invalid", 10000), ("-1", -1)):
        trace.heading(call=name)
        probe = Probe(site="call_nops", regs={"ax": number})
        with trace.launch(probe) as task:
            run_to_entry(task, "call_nops")
            walk(task, "call_nops")
        trace.control(probe)


@case("steps.vdso", door="syscall32", also=("sysenter",), covers=[18, 94, 95])
def vdso(trace: Trace) -> None:
    """PTRACE_SINGLESTEP through __kernel_vsyscall, from the first of its pushes to its return."""
    probe = Probe(site="call_nops", regs={"ax": trace.number("getpid")})
    with trace.launch(probe) as task:
        run_to_entry(task, "call_nops", VDSO_PUSHES)
        walk(task, "call_nops")
    trace.control(probe)


@case("steps.at_stops", door="syscall64", also=CALLS, covers=[95, 96])
def at_stops(trace: Trace) -> None:
    """PTRACE_SINGLESTEP from a syscall-enter-stop, and in another run from the exit stop."""
    probe = Probe(site="call_nops", regs={"ax": trace.number("getpid")})
    for where in ("enter", "exit"):
        trace.heading(step_from=where)
        with trace.launch(probe) as task:
            task.syscall()
            if where == "exit":
                task.syscall()
            walk(task, "call_nops")
    trace.control(probe)


@case("steps.to_syscall", door="syscall64", also=CALLS, covers=[94, 96])
def to_syscall(trace: Trace) -> None:
    """Step up to a system call, then PTRACE_SYSCALL: its enter stop, its exit stop, no trap."""
    probe = Probe(site="nop_call", regs={"ax": trace.number("getpid")})
    with trace.launch(probe) as task:
        task.run_to("nop_call")
        task.step()
        task.syscall()
        task.syscall()
        task.finish()
    trace.control(probe)


@case("steps.int3", door="none", also=ABIS, covers=[87, 94])
def int3(trace: Trace) -> None:
    """PTRACE_SINGLESTEP over int3 in both its forms; the SIGTRAP is suppressed."""
    for site in ("int3_nops", "int_3_nops"):
        trace.heading(form="one-byte" if site == "int3_nops" else "two-byte")
        probe = Probe(site=site, handlers=[TRAP_HANDLER])
        with trace.launch(probe) as task:
            task.run_to(site)
            walk(task, site)
        trace.control(probe)


@case("steps.handler", door="none", also=ABIS, covers=[97])
def handler(trace: Trace) -> None:
    """Step into a handler with a signal, from a stop in plain code; step on, or let it run."""
    probe = Probe(site="nops", handlers=[USR1_HANDLER])
    for then in ("step", "cont"):
        trace.heading(then=then)
        with trace.launch(probe) as task:
            task.run_to("nops")
            task.step()
            task.step(signal.SIGUSR1)
            if then == "step":
                task.step()
            task.finish()
    trace.control(probe)


@case("steps.handler_in_call", door="syscall64", also=CALLS, covers=[97])
def handler_in_call(trace: Trace) -> None:
    """Step into a handler with the signal that interrupted pause(), and one step on."""
    probe = Probe(site="call_nops", regs={"ax": trace.number("pause")}, handlers=[USR1_HANDLER])
    with trace.launch(probe) as task:
        task.resume()
        task.until_asleep()
        task.signal(signal.SIGUSR1)
        task.take()
        task.step(signal.SIGUSR1)
        task.step()
        task.finish()

    def stimulus(task: Task) -> None:
        task.until_asleep()
        task.signal(signal.SIGUSR1)

    trace.control(probe, stimulus)


@case("steps.ignored", door="none", also=ABIS, covers=[93, 97])
def ignored(trace: Trace) -> None:
    """Step with a signal that the program ignores, and with one that is ignored by default."""
    probe = Probe(site="nops", handlers=[Handler(signal.SIGUSR1, ignore=True)])
    for signo in (signal.SIGUSR1, signal.SIGWINCH):
        trace.heading(signal=signo.name)
        with trace.launch(probe) as task:
            task.run_to("nops")
            task.step()
            task.step(signo)
            task.finish()
    trace.control(probe)


@case("steps.sigreturn", door="syscall64", also=RETURNS, covers=[86, 98])
def sigreturn(trace: Trace) -> None:
    """Step from a handler's return through rt_sigreturn(), and on in the interrupted code."""
    probe = Probe(site="nops", handlers=[USR1_HANDLER])
    with trace.launch(probe) as task:
        task.run_to("nops")
        task.step()
        task.step(signal.SIGUSR1)
        task.run_to("restorer")
        walk(task, "nops")
    trace.control(probe)


@case("steps.block", door="none", also=ABIS, covers=[101])
def block(trace: Trace) -> None:
    """PTRACE_SINGLEBLOCK from branch to branch."""
    probe = Probe(site="blocks", regs={"ax": trace.number("getpid")})
    with trace.launch(probe) as task:
        task.run_to("blocks")
        walk(task, "blocks", requests.SINGLEBLOCK)
    trace.control(probe)


@case("steps.pushf", door="none", also=ABIS, covers=[100])
def pushf(trace: Trace) -> None:
    """Step over PUSHF: the stop hides the tracer's TF, and the program's stack shows it."""
    probe = Probe(site="pushf")
    with trace.launch(probe) as task:
        task.run_to("pushf")
        walk(task, "pushf")
    trace.control(probe)


@case("steps.pushf_popf", door="none", also=ABIS, covers=[99, 100])
def pushf_popf(trace: Trace) -> None:
    """Step over PUSHF and over POPF of the same word, one step more, then PTRACE_CONT."""
    probe = Probe(site="pushf_popf")
    with trace.launch(probe) as task:
        task.run_to("pushf_popf")
        task.step()
        task.step()
        task.step()
        task.finish()
    trace.control(probe)


@case("steps.popf", door="none", also=ABIS, covers=[99, 100])
def popf(trace: Trace) -> None:
    """Step over POPF of flags without TF; then PTRACE_CONT at once, or after one step more."""
    probe = Probe(site="popf")
    for more in (0, 1):
        trace.heading(steps_after_it=more)
        with trace.launch(probe) as task:
            task.run_to("popf")
            task.step()
            task.step()
            for _ in range(more):
                task.step()
            task.finish()
    trace.control(probe)


@case("steps.own_tf", door="none", also=ABIS, covers=[88, 100, 107])
def own_tf(trace: Trace) -> None:
    """Meet the traps of the program's own TF: suppressed, given to its handler, or stepped over."""
    probe = Probe(site="own_tf", handlers=[TRAP_HANDLER])
    trace.heading(traps="suppressed")
    with trace.launch(probe) as task:
        stop = task.take(requests.CONT, 0, DR6)
        while not stop.ended:
            stop = task.take(requests.CONT, 0, DR6)
    trace.heading(traps="delivered")
    with trace.launch(probe) as task:
        task.finish()
    trace.heading(traps="stepped")
    with trace.launch(probe) as task:
        task.run_to("own_tf")
        for _ in range(4):
            task.step(0, DR6)
        task.finish()
    trace.control(probe)


@case("steps.own_loop", door="none", also=ABIS, covers=[107])
def own_loop(trace: Trace) -> None:
    """Let a loop of three rounds run under the program's own TF, through its handler."""
    probe = Probe(site="own_loop", regs={"cx": 3}, handlers=[TRAP_HANDLER])
    with trace.launch(probe) as task:
        task.finish()
    trace.control(probe)


@case("steps.repeat", door="none", also=ABIS, covers=[102])
def repeat(trace: Trace) -> None:
    """Step through REP STOSB of three rounds."""
    probe = Probe(site="repeat", setup="cells", regs={"cx": 3}, results=["cell"])
    with trace.launch(probe) as task:
        task.run_to("repeat")
        walk(task, "repeat")
    trace.control(probe)


@case("steps.cpuid", door="none", also=ABIS, covers=[102])
def cpuid(trace: Trace) -> None:
    """Step over CPUID of a leaf's part that does not exist, so that all it gives is 0."""
    probe = Probe(site="identify", regs={"ax": 7, "cx": 0x7FFF})
    with trace.launch(probe) as task:
        task.run_to("identify")
        walk(task, "identify")
    trace.control(probe)


@case("steps.breakpoint", door="none", also=ABIS, covers=[88, 104])
def breakpoint_(trace: Trace) -> None:
    """Set an instruction breakpoint in DR0; PTRACE_CONT to it and past it; step onto another."""
    probe = Probe(site="nops")
    trace.heading(reached="cont")
    with trace.launch(probe) as task:
        task.poke_debug(dr0=within(task, "nops", 1), dr7=condition(0, EXECUTE))
        task.take(requests.CONT, 0, DR67)
        task.finish()
    trace.heading(reached="step")
    with trace.launch(probe) as task:
        task.poke_debug(dr3=within(task, "nops", 1), dr7=condition(3, EXECUTE))
        task.run_to("nops")
        walk(task, "nops")
    trace.control(probe)


def watch(trace: Trace, name: str, kind: int, length: int, offset: int = 0) -> None:
    """Run the accesses past one data breakpoint, taking every hit."""
    probe = Probe(site="touch", setup="cells")
    trace.heading(kind=name, length=length, offset=offset)
    with trace.launch(probe) as task:
        cell = trace.own["di"] + offset
        task.poke_debug(dr1=cell, dr7=condition(1, kind, length))
        stop = task.take(requests.CONT, 0, DR67)
        while not stop.ended:
            stop = task.take(requests.CONT, 0, DR67)


@case("steps.watchpoint", door="none", also=ABIS, covers=[88, 103, 104])
def watchpoint(trace: Trace) -> None:
    """Set data breakpoints of each kind and length in DR1, and PTRACE_CONT from hit to hit."""
    for length in (1, 2, 4, 8):
        watch(trace, "write", WRITE, length)
        watch(trace, "access", ACCESS, length)
    watch(trace, "write", WRITE, 2, 2)
    watch(trace, "write", WRITE, 1, 3)
    trace.control(Probe(site="touch", setup="cells"))


@case("steps.watched_step", door="none", also=ABIS, covers=[103, 104], needs=["watched_steps"])
def watched_step(trace: Trace) -> None:
    """Step over accesses that hit two data breakpoints, then past them, then write DR6 = 0."""
    probe = Probe(site="touch", setup="cells")
    with trace.launch(probe) as task:
        cell = trace.own["di"]
        task.poke_debug(dr0=cell, dr2=cell + 3,
                        dr7=condition(0, WRITE, 8) | condition(2, WRITE, 1))  # fmt: skip
        task.run_to("touch")
        walk(task, "touch")
    trace.control(probe)


@case("steps.dr6", door="syscall64", also=RETURNS, covers=[103])
def dr6(trace: Trace) -> None:
    """See what DR6 says at stops that are no debug exception, and after it has been written."""
    probe = Probe(site="nops", setup="cells")
    with trace.launch(probe) as task:
        task.poke_debug(dr0=within(task, "nops", 1), dr7=condition(0, EXECUTE))
        task.take(requests.CONT, 0, DR6)
        task.take(requests.SYSCALL, 0, DR6)
    trace.heading(written="0xffff0ff0")
    with trace.launch(probe) as task:
        task.poke_debug(dr0=within(task, "nops", 1), dr7=condition(0, EXECUTE))
        task.take(requests.CONT, 0, DR6)
        task.poke_debug(dr6=0xFFFF0FF0)
        task.take(requests.SYSCALL, 0, DR6)
    trace.control(probe)


@case("steps.kernel_write", door="syscall64", also=CALLS, covers=[103, 104])
def kernel_write(trace: Trace) -> None:
    """Have the kernel write, by rt_sigprocmask(), to a word that a data breakpoint watches."""
    probe = Probe(
        site="call_nops", setup="old_mask", regs={"ax": trace.number("rt_sigprocmask")},
        blocked=[signal.SIGUSR1], results=["mask"],
    )  # fmt: skip
    with trace.launch(probe) as task:
        task.poke_debug(dr0=trace.own[trace.door.arguments[2]], dr7=condition(0, WRITE, 8))
        task.take(requests.SYSCALL, 0, DR6)
        task.take(requests.SYSCALL, 0, DR6)
        task.finish()
    trace.control(probe)


@case("steps.debug_order", door="none", also=ABIS, covers=[104])
def debug_order(trace: Trace) -> None:
    """Enable a breakpoint in DR7 before DR0 has its address; move it while enabled; disable it."""
    probe = Probe(site="nops")
    with trace.launch(probe) as task:
        task.poke_debug(dr7=condition(0, EXECUTE), dr0=within(task, "nops", 1))
        task.take(requests.CONT, 0, DEBUG)
        task.poke_debug(dr0=within(task, "nops", 2))
        task.take(requests.CONT, 0, DEBUG)
        task.poke_debug(dr0=within(task, "nops", 3), dr7=0)
        task.take(requests.SYSCALL, 0, DEBUG)
    trace.control(probe)


@case("steps.debug_values", door="none", also=ABIS, covers=[105], needs=["tracer64"])
def debug_values(trace: Trace) -> None:
    """Write what debug registers may not hold, then look; and reserved bits of DR7."""
    probe = Probe(site="touch", setup="cells")
    kernel = 0xFFFF_FFFF_8100_0000
    with trace.launch(probe) as task:
        cell = trace.own["di"]
        task.poke_debug(dr0=kernel)
        task.poke_debug(dr0=-1)
        task.poke_debug(dr4=cell)
        task.poke_debug(dr5=cell)
        task.poke_debug(dr1=cell + 3, dr7=condition(1, WRITE, 8))
        task.poke_debug(dr7=condition(1, EXECUTE, 2))
        task.poke_debug(dr7=condition(1, IO))
        task.take(requests.SYSCALL, 0, DEBUG)
    trace.heading(DR7="reserved-bits")
    with trace.launch(probe) as task:
        task.poke_debug(dr0=trace.own["di"], dr7=condition(0, WRITE, 8) | 0xFF00_0000_0000_FC00)
        task.take(requests.CONT, 0, DEBUG)
    trace.control(probe)


@case("steps.debug_narrow", door="none", abi="ia32", needs=["tracer64"], covers=[104, 117])
def debug_narrow(trace: Trace) -> None:
    """Set a data breakpoint of a 32-bit program as a 32-bit tracer does; and one whose address has
    another bit above bit 31.
    """
    probe = Probe(site="touch", setup="cells")
    trace.heading(written="narrow")
    with trace.launch(probe) as task:
        task.narrow_poke_debug(dr0=trace.own["di"], dr7=condition(0, WRITE, 4))
        task.take(requests.SYSCALL, 0, DEBUG)
    trace.heading(written="whole")
    with trace.launch(probe) as task:
        task.poke_debug(dr0=trace.own["di"] + ABOVE, dr7=condition(0, WRITE, 4))
        task.take(requests.SYSCALL, 0, DEBUG)
    trace.control(probe)


@case("steps.mov_ss", door="none", also=ABIS, covers=[106], needs=["mov_ss_shadow"])
def mov_ss(trace: Trace) -> None:
    """Step over MOV SS, and in another run let it hit a data breakpoint, before plain code."""
    probe = Probe(site="mov_ss_nop", setup="cells")
    trace.heading(by="step")
    with trace.launch(probe) as task:
        task.run_to("mov_ss_nop")
        walk(task, "mov_ss_nop")
    trace.heading(by="watchpoint")
    with trace.launch(probe) as task:
        task.poke_debug(dr0=trace.own["di"], dr7=condition(0, ACCESS, 2))
        task.take(requests.CONT, 0, DR6)
        task.finish()
    trace.control(probe)


@case("steps.mov_ss_entry", door="syscall64", also=INLINE, covers=[106],
      needs=["mov_ss_shadow"])  # fmt: skip
def mov_ss_entry(trace: Trace) -> None:
    """Let MOV SS hit a data breakpoint right before a system call and before INT3; step over the
    pair.
    """
    for site in ("mov_ss_syscall", "mov_ss_int3"):
        probe = Probe(
            site=site, setup="cells", regs={"ax": trace.number("getpid")}, handlers=[TRAP_HANDLER],
        )  # fmt: skip
        for by in ("watchpoint", "step"):
            trace.heading(before=site.removeprefix("mov_ss_"), by=by)
            with trace.launch(probe) as task:
                if by == "step":
                    task.run_to(site)
                    walk(task, site)
                else:
                    task.poke_debug(dr0=trace.own["di"], dr7=condition(0, ACCESS, 2))
                    task.take(requests.SYSCALL, 0, DR6)
                    task.take(requests.SYSCALL, 0, DR6)
                    task.finish()
        trace.control(probe)


@case("steps.mov_ss_vdso", door="syscall32", also=["sysenter"], covers=[106],
      needs=["mov_ss_shadow"])  # fmt: skip
def mov_ss_vdso(trace: Trace) -> None:
    """Let MOV SS hit a data breakpoint right before SYSCALL in 32-bit code, or SYSENTER, or step
    over the pair: a call of the program's own, made in a frame as in the vDSO, to where it comes
    back.
    """
    probe = Probe(
        site=f"mov_ss_{trace.door.name}", setup="cells", regs={"ax": trace.number("getpid")},
        handlers=[TRAP_HANDLER],
    )  # fmt: skip
    trace.heading(by="watchpoint")
    with trace.launch(probe) as task:
        task.poke_debug(dr0=trace.own["di"], dr7=condition(0, ACCESS, 2))
        task.take(requests.SYSCALL, 0, DR6)
        task.take(requests.SYSCALL, 0, DR6)
        task.finish()
    trace.heading(by="step")
    with trace.launch(probe) as task:
        task.run_to(f"before_{trace.door.name}")
        task.step(show=DR6)
        task.step(show=DR6)
        task.finish()
    trace.control(probe)


@case("steps.resume_flag", door="none", also=ABIS, covers=[104, 108])
def resume_flag(trace: Trace) -> None:
    """Hit an instruction breakpoint with RF kept, with RF written away, and through a handler."""
    probe = Probe(site="nops", handlers=[TRAP_HANDLER])
    for rf in ("kept", "cleared"):
        trace.heading(RF=rf)
        with trace.launch(probe) as task:
            task.poke_debug(dr0=within(task, "nops", 1), dr7=condition(0, EXECUTE))
            task.cont()
            if rf == "cleared":
                task.poke(flags=0x202)
                task.cont()
            task.finish()
    trace.heading(RF="in_the_signal_frame")
    with trace.launch(probe) as task:
        task.poke_debug(dr0=within(task, "nops", 1), dr7=condition(0, EXECUTE))
        task.cont()
        task.syscall(signal.SIGTRAP)
        task.syscall()
        task.finish()
    trace.control(probe)


@case("steps.rounds", door="none", also=ABIS, covers=[104, 108])
def rounds(trace: Trace) -> None:
    """Hit an instruction breakpoint once a round of a loop, resuming by PTRACE_CONT."""
    probe = Probe(site="rounds", regs={"cx": 3})
    with trace.launch(probe) as task:
        task.poke_debug(dr0=within(task, "rounds", 0), dr7=condition(0, EXECUTE))
        while not task.cont().ended:
            pass
    trace.control(probe)


@case("steps.fault", door="none", also=ABIS, covers=[93, 108])
def fault(trace: Trace) -> None:
    """Step onto an instruction that faults; give its signal to a handler that steps over it."""
    probe = Probe(site="fault", handlers=[Handler(signal.SIGILL)], skip=True)
    with trace.launch(probe) as task:
        task.run_to("fault")
        task.step(0, DR6)
        task.step(signal.SIGILL)
        task.syscall()
        task.syscall()
        task.finish()
    trace.control(probe)


@case("steps.detach", door="none", also=ABIS, covers=[99, 104])
def detach(trace: Trace) -> None:
    """Detach after a step, and detach with an instruction breakpoint left armed ahead."""
    probe = Probe(site="nops")
    for left in ("TF", "breakpoint"):
        trace.heading(left=left)
        with trace.launch(probe) as task:
            task.run_to("nops")
            if left == "breakpoint":
                task.poke_debug(dr0=within(task, "nops", 2), dr7=condition(0, EXECUTE))
            task.step()
            task.detach()
            task.take()
    trace.control(probe)


@case("steps.fork", door="syscall64", also=CALLS, covers=[96, 99])
def fork(trace: Trace) -> None:
    """Step over fork(), debug registers set: the child is attached, or nobody sees it."""
    probe = Probe(site="fork", regs={"ax": trace.number("fork")})
    trace.heading(child="attached")
    with trace.launch(probe, requests.O_BASE | requests.O_TRACEFORK) as task:
        task.poke_debug(dr0=behind(task, "fork"), dr7=condition(0, EXECUTE))
        run_to_entry(task, "fork")
        event = task.step()
        child = trace.child(event.message, "child")
        child.take(0, 0, DEBUG)
        child.finish()
        task.step(0, DEBUG)
        task.poke_debug(dr7=0)
        task.step()
        task.finish()
    trace.heading(child="untraced")
    with trace.launch(probe) as task:
        run_to_entry(task, "fork")
        child = task.born(task.look(requests.SINGLESTEP))
        child.until_dead()
        task.finish()
    trace.control(probe)


@case("steps.exec", door="syscall64", also=CALLS, covers=[54, 94, 96])
def exec_(trace: Trace) -> None:
    """Step over execve() into the new program, debug registers set; then from EVENT_EXEC."""
    probe = Probe(
        site="syscall", setup="exec", regs={"ax": trace.number("execve")},
        text=str(executable("true", trace.door.abi)),
    )
    trace.heading(step_from="before")
    with trace.launch(probe) as task:
        task.poke_debug(dr0=within(task, "nops", 2), dr7=condition(0, EXECUTE))
        run_to_entry(task, "syscall")
        stop = task.look(requests.SINGLESTEP)
        trace.executed(stop)
        trace.add_stop(replace(stop, shown=DEBUG))
        task.step()
        task.finish()
    trace.heading(step_from="EVENT_EXEC")
    with trace.launch(probe, requests.O_BASE | requests.O_TRACEEXEC) as task:
        task.cont()
        task.step()
        task.step()
        task.finish()
    trace.control(probe)
