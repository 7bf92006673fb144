# SPDX-License-Identifier: GPL-2.0-only
"""Events of a task's life: fork and its kin, exec, exit, and death."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import replace

from conformance.abi import error_name
from conformance.cases import Probe, case
from conformance.doors import CALLS
from conformance.strays import WALL
from conformance.tracing import requests
from conformance.tracing.image import executable
from conformance.tracing.snapshot import Siginfo
from conformance.tracing.tracee import Task, Trace

BASE = requests.O_BASE
BIRTHS = BASE | requests.O_TRACEFORK | requests.O_TRACEVFORK | requests.O_TRACECLONE
VFORKS = BIRTHS | requests.O_TRACEVFORKDONE
EXECS = BASE | requests.O_TRACEEXEC
EXITS = BASE | requests.O_TRACEEXIT

CLONE_VM, CLONE_FS, CLONE_FILES, CLONE_SIGHAND = 0x100, 0x200, 0x400, 0x800
CLONE_PTRACE, CLONE_VFORK, CLONE_THREAD, CLONE_SYSVSEM = 0x2000, 0x4000, 0x10000, 0x40000
CLONE_UNTRACED = 0x800000
THREAD = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM

CODES = ("int80_32", "x32")
"""One further door for each width, where the door itself adds nothing."""


def true(abi: str) -> str:
    """Path of the program that the others execute."""
    return str(executable("true", abi))


def clone(trace: Trace, flags: int) -> Probe:
    """A program that makes a task by clone() with those flags, on a stack of its own."""
    return Probe(site="fork", setup="stack", regs=trace.door.call("clone", flags))


def fork_by(trace: Trace, call: str) -> Probe:
    """A program that makes a process by fork() or vfork()."""
    return Probe(site="fork", regs=trace.door.call(call))


def bear(trace: Trace, task: Task) -> Task:
    """Take a task through the call that makes another, to the event; give the new one."""
    task.syscall()
    return trace.child(task.syscall().message, "child")


def become(thread: Task, leader: Task) -> None:
    """Have a new thread execute a program while its leader sleeps: it takes the leader's pid."""
    thread.take()
    leader.resume()
    leader.until("S")
    thread.syscall()
    thread.resume(requests.SYSCALL)
    leader.take()
    leader.syscall()


def live(child: Task) -> None:
    """Take a new task from its first stop to its end, by PTRACE_SYSCALL."""
    stop = child.take()
    while not stop.ended:
        stop = child.syscall(stop.signo)


@case("events.fork", door="syscall64", also=CALLS, covers=[58, 59])
def fork(trace: Trace) -> None:
    """Follow fork() to its event; then the child from its first stop to its end; then go on."""
    probe = fork_by(trace, "fork")
    with trace.launch(probe, BIRTHS) as task:
        live(bear(trace, task))
        task.syscall()
        task.finish()
    trace.control(probe)


@case("events.vfork", door="syscall64", also=CALLS, covers=[58, 59, 60])
def vfork(trace: Trace) -> None:
    """Follow vfork(): resume the parent, which waits; then let the child exit, or execute."""
    for end in ("exit", "exec"):
        trace.heading(child=end)
        probe = Probe(
            site="fork" if end == "exit" else "fork_exec", setup="heir",
            regs=trace.door.call("vfork"), text=true(trace.door.abi),
        )  # fmt: skip
        with trace.launch(probe, VFORKS | requests.O_TRACEEXEC) as task:
            child = bear(trace, task)
            child.take()
            task.resume(requests.SYSCALL)
            task.until("D")
            child.syscall()
            child.syscall()
            if end == "exec":
                task.take()
                child.syscall()
                child.finish()
            else:
                task.take()
            task.syscall()
            task.finish()
        trace.control(probe)


@case("events.clone", door="syscall64", also=CALLS, covers=[58, 59])
def clone_(trace: Trace) -> None:
    """Follow clone() with flags and exit signals of each kind: a fork, a vfork or a clone."""
    kinds = {
        "SIGCHLD": signal.SIGCHLD, "0": 0, "SIGUSR1": signal.SIGUSR1, "VM": CLONE_VM,
        "VFORK+VM": CLONE_VFORK | CLONE_VM, "VFORK+SIGCHLD": CLONE_VFORK | signal.SIGCHLD,
    }  # fmt: skip
    for name, flags in kinds.items():
        trace.heading(flags=name)
        probe = clone(trace, flags)
        with trace.launch(probe, BIRTHS) as task:
            live(bear(trace, task))
            task.syscall()
            while not task.cont().ended:
                pass
    trace.control(probe)


@case("events.clone3", door="syscall64", also=CALLS, covers=[58, 59])
def clone3(trace: Trace) -> None:
    """Follow clone3() with the exit signal SIGCHLD, and with none."""
    for exit_signal in (signal.SIGCHLD, 0):
        trace.heading(exit_signal=int(exit_signal))
        probe = Probe(
            site="fork", setup="clone3", regs=trace.door.call("clone3"), args=[0, exit_signal]
        )  # fmt: skip
        with trace.launch(probe, BIRTHS) as task:
            live(bear(trace, task))
            task.syscall()
            task.finish()
        trace.control(probe)


@case("events.thread", door="syscall64", also=CALLS, covers=[58, 59, 62])
def thread(trace: Trace) -> None:
    """Follow clone() of a thread: its first stop, its own exit with PTRACE_EVENT_EXIT, and on."""
    probe = clone(trace, THREAD)
    with trace.launch(probe, BIRTHS | requests.O_TRACEEXIT) as task:
        live(bear(trace, task))
        task.syscall()
        task.finish()
    trace.control(probe)


@case("events.failed", door="syscall64", also=CALLS, covers=[58])
def failed(trace: Trace) -> None:
    """Follow clone() with flags that contradict each other: an exit stop, and no event."""
    probe = Probe(site="syscall", regs=trace.door.call("clone", CLONE_THREAD))
    with trace.launch(probe, BIRTHS) as task:
        task.syscall()
        task.syscall()
        task.finish()
    trace.control(probe)


@case("events.clone_ptrace", door="syscall64", also=CALLS, covers=[61])
def clone_ptrace(trace: Trace) -> None:
    """Let the program ask: CLONE_PTRACE with no option set, and CLONE_UNTRACED with all of them."""
    probe = clone(trace, CLONE_PTRACE | signal.SIGCHLD)
    trace.heading(flags="PTRACE", options="none")
    with trace.launch(probe) as task:
        task.syscall()
        stop = task.look(requests.SYSCALL)
        child = trace.child(stop.regs["ax"], "child")
        trace.add_stop(stop)
        live(child)
        task.finish()
    trace.heading(flags="UNTRACED", options="all")
    with trace.launch(clone(trace, CLONE_UNTRACED | signal.SIGCHLD), BIRTHS) as task:
        task.syscall()
        task.born(task.look(requests.SYSCALL)).until_dead()
        task.finish()
    trace.control(probe)


# A PID namespace, whose processes have other pids in there than for the tracer


def sender(task: Task) -> None:
    """Add to the transcript who sent the signal of a stop: a pid of the receiver's namespace."""
    info = Siginfo.parse(requests.getsiginfo(task.pid), requests.BITS)
    task.trace.add_read("siginfo", task.who, sender=info.pid)


def init(trace: Trace, task: Task) -> Task:
    """Take a program through the call that makes the first process of a namespace; give that."""
    task.syscall()
    first = trace.child(task.syscall().message, "child")
    first.take()
    return first


def second(trace: Trace, first: Task) -> Task:
    """Take that process through the call that makes another, to the event; give the new one."""
    first.syscall()
    stop = first.look(requests.SYSCALL)
    other = trace.child(stop.message, "second")
    trace.add_stop(stop)
    return other


def fork_init(trace: Trace, flags: int) -> Probe:
    """A program whose child is the first process of a namespace, and makes another there."""
    return Probe(
        site="fork_init", setup="apart", regs=trace.door.call("fork"), args=[flags]
    )  # fmt: skip


@case("events.namespace", door="syscall64", also=CODES, covers=[141], needs=["pid_namespace"])
def namespace(trace: Trace) -> None:
    """Follow a program whose child is the first process of a PID namespace, and the process that
    this makes by clone() with flags of each kind. Send the first SIGUSR2 from outside; the other
    sends it SIGUSR1, and ends. The first process has no handler: what is passed on does not end it.
    """
    kinds = {
        "SIGCHLD": signal.SIGCHLD, "0": 0, "VFORK+VM": CLONE_VFORK | CLONE_VM | signal.SIGCHLD,
    }  # fmt: skip
    for name, flags in kinds.items():
        trace.heading(flags=name)
        probe = fork_init(trace, flags)
        with trace.launch(probe, BIRTHS) as task:
            first = init(trace, task)
            other = second(trace, first)
            os.kill(first.pid, signal.SIGUSR2)
            live(other)
            stop = first.syscall()
            while not stop.ended:
                if stop.kind.startswith("signal"):
                    sender(first)
                stop = first.syscall(stop.signo)
            task.syscall()
            task.finish()
    trace.control(probe)


@case("events.namespace_exec", door="syscall64", also=CODES, covers=[141], needs=["pid_namespace"])
def namespace_exec(trace: Trace) -> None:
    """Have the first process of a PID namespace make a thread, which executes a program: the event
    tells the thread's pid.
    """
    probe = Probe(
        site="fork_thread", setup="heir_apart", regs=trace.door.call("fork"),
        text=true(trace.door.abi),
    )  # fmt: skip
    with trace.launch(probe, BIRTHS | requests.O_TRACEEXEC) as task:
        first = init(trace, task)
        thread = second(trace, first)
        become(thread, first)
        first.finish()
        trace.bury(thread.pid)
        task.syscall()
        task.finish()
    trace.control(probe)


@case("events.namespace_dies", door="syscall64", also=CODES, covers=[141], needs=["pid_namespace"])
def namespace_dies(trace: Trace) -> None:
    """Kill the first process of a PID namespace, while another of it is at its first stop: that one
    is killed, and until its end is taken the first one's is not told.
    """
    probe = fork_init(trace, signal.SIGCHLD)
    with trace.launch(probe, BIRTHS) as task:
        first = init(trace, task)
        other = second(trace, first)
        other.take()
        os.kill(first.pid, signal.SIGKILL)
        other.until_dead()
        first.until("S")
        trace.tell(first, {"waitpid": os.waitpid(first.pid, os.WNOHANG | WALL)[0]})
        other.take()
        first.take()
        task.syscall()
        task.finish()
    trace.control(probe)


def executing(trace: Trace, path: str = "", call: str = "execve") -> Probe:
    """A program that executes another: `true` of its own width, or what is at a path."""
    return Probe(
        site="syscall", setup={"execve": "exec", "execveat": "execveat"}[call],
        regs=trace.door.call(call), text=path or true(trace.door.abi),
    )  # fmt: skip


def follow_exec(trace: Trace, probe: Probe) -> None:
    """Take a program through its execve(), and on to the new one's own call and end."""
    with trace.launch(probe, EXECS) as task:
        task.syscall()
        task.syscall()
        task.syscall()
        task.syscall()
        task.finish()
    trace.control(probe)


@case("events.exec", door="syscall64", also=CALLS, covers=[24, 54])
def exec_(trace: Trace) -> None:
    """Follow execve() to its event and its exit stop, then the new program to its end."""
    follow_exec(trace, executing(trace))


@case("events.execveat", door="syscall64", also=CALLS, covers=[24, 54])
def execveat(trace: Trace) -> None:
    """Follow execveat() likewise: from its event on it is an execve()."""
    follow_exec(trace, executing(trace, call="execveat"))


def across(trace: Trace, heir: str) -> None:
    """Execute a program of another width: by execve(), by execveat(), and from a thread."""
    for call in ("execve", "execveat"):
        trace.heading(call=call)
        follow_exec(trace, executing(trace, true(heir), call))
    trace.heading(call="execve", by="thread")
    probe = Probe(
        site="clone_exec", setup="heir", regs=trace.door.call("clone", THREAD), text=true(heir)
    )  # fmt: skip
    with trace.launch(probe, BIRTHS | requests.O_TRACEEXEC) as task:
        thread = bear(trace, task)
        become(thread, task)
        task.finish()
        trace.bury(thread.pid)
    trace.control(probe)


@case(
    "events.exec_to_ia32", door="syscall64", also=("int80_64", "x32"), covers=[24, 54, 55, 57],
    needs=["ia32"],
)  # fmt: skip
def exec_to_ia32(trace: Trace) -> None:
    """Follow execve() of a 32-bit program by a 64-bit one, execveat() likewise, and execve() by a
    thread: the width changes at PTRACE_EVENT_EXEC.
    """
    across(trace, "ia32")


@case(
    "events.exec_to_x86_64", door="int80_32", also=("sysenter", "syscall32", "x32"),
    covers=[24, 54, 55, 57], needs=["x86_64"],
)  # fmt: skip
def exec_to_x86_64(trace: Trace) -> None:
    """Follow execve() of a 64-bit program by a 32-bit one, execveat() likewise, and execve() by a
    thread.
    """
    across(trace, "x86_64")


@case(
    "events.exec_to_x32", door="syscall64", also=("int80_64", "int80_32", "sysenter", "syscall32"),
    covers=[24, 54, 55, 57], needs=["x32"],
)  # fmt: skip
def exec_to_x32(trace: Trace) -> None:
    """Follow execve() of an x32 program, execveat() likewise, and execve() by a thread."""
    across(trace, "x32")


def chain(trace: Trace, *heirs: str) -> None:
    """Let each program execute the next, of those widths in turn; the last one exits."""
    paths = [str(executable("relay", heir)) for heir in heirs[:-1]] + [true(heirs[-1])]
    probe = executing(trace, "\0".join(paths))
    trace.heading(widths=",".join(heirs))
    with trace.launch(probe, EXECS) as task:
        task.syscall()
        for _ in heirs:
            task.cont()
            task.syscall()
        task.finish()
    trace.control(probe)


@case("events.exec_chain", door="syscall64", also=("int80_64",), covers=[54, 55], needs=["ia32"])
def exec_chain(trace: Trace) -> None:
    """Execute a 32-bit program, which executes a 64-bit one, and so on; see each event and exit."""
    chain(trace, "ia32", "x86_64", "ia32", "ia32", "x86_64", "x86_64")


@case("events.exec_chain_x32", door="syscall64", covers=[54, 55], needs=["ia32", "x32"])
def exec_chain_x32(trace: Trace) -> None:
    """The same with x32 programs: each width executes each of the others."""
    chain(trace, "x32", "ia32", "x32", "x86_64", "x32")


@case("events.exec_silent", door="syscall64", also=CALLS, covers=[54])
def exec_silent(trace: Trace) -> None:
    """Follow execve() without PTRACE_O_TRACEEXEC, seized: no event, and no SIGTRAP either."""
    probe = executing(trace)
    with trace.launch(probe) as task:
        task.syscall()
        stop = task.look(requests.SYSCALL)
        trace.executed(stop)
        trace.add_stop(stop)
        task.finish()
    trace.control(probe)


@case("events.exec_failed", door="syscall64", also=CALLS, covers=[56])
def exec_failed(trace: Trace) -> None:
    """Follow execve() of what is not there, of a directory, and of what cannot be."""
    paths = {"missing": "/proc/none", "directory": "/", "below_a_file": f"{true(trace.door.abi)}/x"}
    for name, path in paths.items():
        trace.heading(path=name)
        probe = executing(trace, path)
        with trace.launch(probe, EXECS) as task:
            task.syscall()
            task.syscall()
            task.finish()
        trace.control(probe)


@case("events.initial_registers", door="syscall64", also=CALLS, covers=[24])
def initial_registers(trace: Trace) -> None:
    """Execute with selectors loaded and CF, DF, NT and AC set, or TF: none reaches the program."""
    call = trace.door.call("execve")
    dirty = Probe(
        site="dirty_exec", setup="exec", regs=call | {"flags": 0x44603}, text=true(trace.door.abi)
    )  # fmt: skip
    programs = {"CF+DF+NT+AC": dirty}
    if not trace.door.by_vdso:  # which would be stepped through, in steps that differ
        programs["TF"] = replace(dirty, site="tf_exec", regs=call)
    for name, probe in programs.items():
        trace.heading(flags=name)
        with trace.launch(probe, EXECS) as task:
            while not task.syscall().ended:
                pass
        trace.control(probe)


@case("events.exec_thread", door="syscall64", also=CALLS, covers=[57])
def exec_thread(trace: Trace) -> None:
    """Execute from a thread, while the leader waits in pause(), or in a stop, or may exit first."""
    probe = Probe(
        site="clone_exec", setup="heir", regs=trace.door.call("clone", THREAD),
        text=true(trace.door.abi),
    )  # fmt: skip
    for leader in ("waits", "is_stopped", "tells_its_exit"):
        trace.heading(leader=leader)
        options = BIRTHS | requests.O_TRACEEXEC
        if leader == "tells_its_exit":
            options |= requests.O_TRACEEXIT
        with trace.launch(probe, options) as task:
            heir = bear(trace, task)
            heir.take()
            task.syscall()
            task.syscall()
            if leader != "is_stopped":
                task.resume(requests.SYSCALL)
                task.until("S")
            heir.syscall()
            heir.resume(requests.SYSCALL)
            if leader == "tells_its_exit":
                task.take()
                task.resume(requests.SYSCALL)
            task.take()
            task.syscall()
            task.finish()
            trace.bury(heir.pid)
    trace.control(probe)


@case("events.exit", door="syscall64", also=CALLS, covers=[28, 62])
def exit_(trace: Trace) -> None:
    """Follow exit_group(7) and exit(7) to PTRACE_EVENT_EXIT, and to the end."""
    for call in ("exit_group", "exit"):
        trace.heading(call=call)
        probe = Probe(site="syscall", regs=trace.door.call(call, 7))
        with trace.launch(probe, EXITS) as task:
            task.syscall()
            task.syscall()
            task.syscall()
        trace.control(probe)


@case("events.exit_by_signal", door="syscall64", also=CALLS, covers=[62])
def exit_by_signal(trace: Trace) -> None:
    """Let SIGTERM end the program in its own code, and in a system call."""
    probe = Probe(site="nops")
    trace.heading(ended_in="code")
    with trace.launch(probe, EXITS) as task:
        task.run_to("nops")
        task.signal(signal.SIGTERM)
        task.finish()
    probe = Probe(site="syscall", regs=trace.door.call("pause"))
    trace.heading(ended_in="call")
    with trace.launch(probe, EXITS) as task:
        task.resume()
        task.until_asleep()
        task.signal(signal.SIGTERM)
        task.take()
        task.cont(signal.SIGTERM)
        task.finish()

    def stimulus(task: Task) -> None:
        task.until_asleep()
        task.signal(signal.SIGTERM)

    trace.control(probe, stimulus)


def mask(trace: Trace) -> Probe:
    """A program whose call leaves a mark, so that it shows whether the call was made."""
    return Probe(
        site="syscall", setup="old_mask", regs=trace.door.call("rt_sigprocmask"),
        blocked=[signal.SIGUSR1], results=["mask"],
    )  # fmt: skip


def at_enter(_: Trace, task: Task) -> None:
    """Go to a syscall-enter-stop."""
    task.syscall()


def at_exit(_: Trace, task: Task) -> None:
    """Go to a syscall-exit-stop."""
    task.syscall()
    task.syscall()


def at_signal(_: Trace, task: Task) -> None:
    """Go to a signal-delivery-stop in plain code."""
    task.run_to("nops")
    task.signal(signal.SIGWINCH)
    task.cont()


def at_group_stop(_: Trace, task: Task) -> None:
    """Go to a group-stop."""
    task.run_to("nops")
    task.signal(signal.SIGSTOP)
    task.cont()
    task.cont(signal.SIGSTOP)


def at_interrupt(_: Trace, task: Task) -> None:
    """Go to the PTRACE_EVENT_STOP of PTRACE_INTERRUPT."""
    task.run_to("nops")
    requests.interrupt(task.pid)
    task.cont()


def at_step(_: Trace, task: Task) -> None:
    """Go to the stop of a single step."""
    task.run_to("nops")
    task.step()


def at_fork(trace: Trace, task: Task) -> None:
    """Go to PTRACE_EVENT_FORK; its child waits in its first stop."""
    trace.child(task.cont().message, "child")


def at_vfork_done(trace: Trace, task: Task) -> None:
    """Go to PTRACE_EVENT_VFORK_DONE."""
    child = trace.child(task.cont().message, "child")
    child.take()
    child.finish()
    task.cont()


def at_event(_: Trace, task: Task) -> None:
    """Go to PTRACE_EVENT_EXEC or PTRACE_EVENT_EXIT."""
    task.cont()


def stops(trace: Trace) -> Mapping[str, tuple[Probe, int, Callable[[Trace, Task], None]]]:
    """A program, options, and the way to it, for every kind of stop."""
    call, nops = mask(trace), Probe(site="nops")
    leaving = Probe(site="syscall", regs=trace.door.call("exit_group", 7))
    return {
        "syscall-enter": (call, BASE, at_enter),
        "syscall-exit": (call, BASE, at_exit),
        "signal": (nops, BASE, at_signal),
        "step": (nops, BASE, at_step),
        "group": (nops, BASE, at_group_stop),
        "STOP": (nops, BASE, at_interrupt),
        "FORK": (fork_by(trace, "fork"), BIRTHS, at_fork),
        "VFORK_DONE": (fork_by(trace, "vfork"), VFORKS, at_vfork_done),
        "EXEC": (executing(trace), EXECS, at_event),
        "EXIT": (leaving, EXITS, at_event),
    }


@case("events.killed", door="syscall64", also=CODES, covers=[63])
def killed(trace: Trace) -> None:
    """Send SIGKILL to a task in each kind of stop but PTRACE_EVENT_EXIT, and do not resume it."""
    for where, (probe, options, go) in stops(trace).items():
        if where == "EXIT":
            continue
        trace.heading(stop=where)
        with trace.launch(probe, options) as task:
            go(trace, task)
            os.kill(task.pid, signal.SIGKILL)
            task.take()
    trace.control(mask(trace))


@case("events.killed_exit", door="syscall64", also=CODES, covers=[62, 63])
def killed_exit(trace: Trace) -> None:
    """The same with PTRACE_O_TRACEEXIT: the task stops once more on its way out."""
    for where, (probe, options, go) in stops(trace).items():
        if where == "EXIT":
            continue
        trace.heading(stop=where)
        with trace.launch(probe, options | requests.O_TRACEEXIT) as task:
            go(trace, task)
            task.kill()
    trace.control(mask(trace))


@case("events.killed_exiting", door="syscall64", also=CODES, covers=[62, 63])
def killed_exiting(trace: Trace) -> None:
    """Send SIGKILL to a task in PTRACE_EVENT_EXIT, and resume it if that did not."""
    probe, options, go = stops(trace)["EXIT"]
    with trace.launch(probe, options) as task:
        go(trace, task)
        os.kill(task.pid, signal.SIGKILL)
        with contextlib.suppress(requests.PtraceError):
            task.resume()
        task.take()
    trace.control(probe)


def ask(task: Task, **requested: Callable[[], object]) -> None:
    """Tell what the kernel answers to requests, by their names: 0 or an errno."""
    answers: dict[str, int | str] = {}
    for name, request in requested.items():
        try:
            request()
        except OSError as error:
            answers[name] = error_name(error.errno or 0) or str(error.errno)
        except requests.PtraceError as error:
            answers[name] = error_name(error.errno or 0) or str(error.errno)
        else:
            answers[name] = "0"
    task.trace.tell(task, answers)


@case("events.gone", door="none", covers=[63])
def gone(trace: Trace) -> None:
    """Ask for registers while the task runs, is stopped, is a zombie, and has been reaped."""
    probe = Probe(site="to_spin")
    with trace.launch(probe) as task:

        def registers() -> object:
            return requests.getregs(task.pid)

        def wait() -> object:
            return os.waitpid(task.pid, os.WNOHANG | WALL)

        ask(task, GETREGS=registers)
        task.resume()
        task.until_ready()
        ask(task, GETREGS=registers, waitpid=wait)
        os.kill(task.pid, signal.SIGKILL)
        task.until_dead()
        ask(task, GETREGS=registers)
        task.take()
        ask(task, GETREGS=registers, waitpid=wait)
    trace.control(probe, lambda task: os.kill(task.pid, signal.SIGKILL))


@case("events.told_once", door="syscall64", also=CODES, covers=[139])
def told_once(trace: Trace) -> None:
    """Wait again at each kind of stop, and read the state letter of /proc/PID/stat."""
    for where, (probe, options, go) in stops(trace).items():
        trace.heading(stop=where)
        with trace.launch(probe, options) as task:
            go(trace, task)
            again, _ = os.waitpid(task.pid, os.WNOHANG | WALL)
            trace.tell(task, {"waitpid": str(again), "state": task.state()})
    trace.control(mask(trace))
