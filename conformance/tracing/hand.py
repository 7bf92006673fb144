# SPDX-License-Identifier: GPL-2.0-only
"""Hands: who makes the requests of a trace. This process, or a tracer of another width.

The other tracer is the program ``cprobes/tracer32.c``, whose head says how it is spoken to: one
order, one answer. It is killed when the launch ends, and its tracees die with it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from conformance._native import ffi, lib
from conformance.abi import REGISTERS_32
from conformance.errors import HarnessError
from conformance.strays import WALL
from conformance.tracing import requests, snapshot
from conformance.tracing.image import PROGRAMS
from conformance.tracing.snapshot import Missed

TRACERS: Final = {"ia32": "tracer_ia32"}
"""Programs, by the ABI of their code."""
ORDER_SIZE: Final = int(ffi.sizeof("struct origax_order"))
ANSWER_SIZE: Final = int(ffi.sizeof("struct origax_answer"))
LOW: Final = 0xFFFF_FFFF


class Hand(Protocol):
    """What a task needs of its tracer. Every request raises PtraceError if the kernel refuses."""

    pid: int

    def take(self, pid: int, request: int, signo: int) -> bytes:
        """Resume (unless 0), wait for the task's next stop or end, and read it.

        :raises Missed: the deadline passed first
        :raises OSError: the kernel refused the request or the wait
        """

    def again(self, pid: int, status: int) -> bytes:
        """Read a stopped task once more."""

    def settle(self, pid: int, raw: bytes) -> None:
        """Read a stop by another reader, and compare."""

    def bury(self, pid: int) -> None:
        """Reap a task of which the tracer has seen the end."""

    def seize(self, pid: int, options: int) -> None:
        """PTRACE_SEIZE."""

    def resume(self, pid: int, request: int, signo: int = 0) -> None:
        """Resume by any request, without waiting."""

    def interrupt(self, pid: int) -> None:
        """PTRACE_INTERRUPT."""

    def detach(self, pid: int, signo: int = 0) -> None:
        """PTRACE_DETACH."""

    def write_register(self, pid: int, name: str, word: int) -> None:
        """PTRACE_POKEUSER; what is beyond the tracer's width is cut off."""

    def setregs(self, pid: int, regs: Mapping[str, int]) -> None:
        """PTRACE_SETREGS."""

    def getregset(self, pid: int, size: int, kind: int = requests.NT_PRSTATUS) -> bytes:
        """PTRACE_GETREGSET into so many bytes; what the kernel filled."""

    def setregset(self, pid: int, data: bytes, kind: int = requests.NT_PRSTATUS) -> int:
        """PTRACE_SETREGSET; how many bytes the kernel took."""

    def close(self) -> None:
        """Trace no more; what is still traced dies, if it was seized so."""


class Local:
    """This process itself."""

    pid = 0
    """Nobody whom a program has to allow to trace it: this process is its parent."""

    def take(self, pid: int, request: int, signo: int) -> bytes:
        """Resume, wait and read in one C call."""
        return snapshot.take(pid, request, signo)

    def again(self, pid: int, status: int) -> bytes:
        """Read a stopped task once more."""
        return snapshot.again(pid, status)

    def seize(self, pid: int, options: int) -> None:
        """PTRACE_SEIZE."""
        requests.seize(pid, options)

    def resume(self, pid: int, request: int, signo: int = 0) -> None:
        """Resume by any request, without waiting."""
        requests.resume(pid, request, signo)

    def interrupt(self, pid: int) -> None:
        """PTRACE_INTERRUPT."""
        requests.interrupt(pid)

    def detach(self, pid: int, signo: int = 0) -> None:
        """PTRACE_DETACH."""
        requests.detach(pid, signo)

    def write_register(self, pid: int, name: str, word: int) -> None:
        """PTRACE_POKEUSER."""
        requests.write_register(pid, name, word)

    def getregset(self, pid: int, size: int, kind: int = requests.NT_PRSTATUS) -> bytes:
        """PTRACE_GETREGSET into so many bytes; what the kernel filled."""
        return requests.getregset(pid, size, kind)

    def setregset(self, pid: int, data: bytes, kind: int = requests.NT_PRSTATUS) -> int:
        """PTRACE_SETREGSET; how many bytes the kernel took."""
        return requests.setregset(pid, data, kind)

    def settle(self, pid: int, raw: bytes) -> None:
        """Read a stop a second time, by python-ptrace."""
        try:
            snapshot.second_reader(raw, pid)
        except requests.PtraceError as error:
            if error.errno != errno.ESRCH:  # else it was killed in between
                raise

    def bury(self, pid: int) -> None:
        """Nothing: a tracer reaps whom it waits for."""

    def setregs(self, pid: int, regs: Mapping[str, int]) -> None:
        """PTRACE_SETREGS."""
        requests.setregs(pid, requests.packed(regs))

    def close(self) -> None:
        """Nothing: the trace itself ends its tasks."""


LOCAL: Final = Local()


@dataclass(frozen=True, slots=True)
class Answer:
    """What the kernel said, and what it wrote; ``stop`` is struct origax_stop."""

    result: int
    data: bytes
    stop: bytes


class Remote:
    """A tracer of 32-bit code, with our end of its socket."""

    def __init__(self, abi: str, deadline: float) -> None:
        path = PROGRAMS / TRACERS[abi]
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket = ours
        self._deadline = deadline
        self._serial = 0
        fd = theirs.fileno()
        with theirs:
            try:
                self.pid = os.posix_spawn(
                    path, [path.name], {},
                    file_actions=[(os.POSIX_SPAWN_DUP2, fd, 0), (os.POSIX_SPAWN_DUP2, fd, 1)],
                )  # fmt: skip
            except OSError as error:
                ours.close()
                raise HarnessError(
                    f"the {abi} tracer could not be started: {error.strerror}", str(path),
                    "build origax again with a C compiler of that width: pip install -e .",
                ) from None  # fmt: skip

    def close(self) -> None:
        """Kill it and reap it; what it traced with PTRACE_O_EXITKILL dies too."""
        self._socket.close()
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)

    def order(
        self, what: int, pid: int, request: int = 0, addr: int = 0, data: int = 0,
        status: int = 0, content: bytes = b"",
    ) -> Answer:  # fmt: skip
        """Give an order and wait for its answer.

        :raises Missed: there was none before the deadline
        :raises HarnessError: the tracer has died, or its answer is none
        :raises ValueError: an order has not room for so many bytes
        """
        self._serial += 1
        order = ffi.new("struct origax_order *")
        if len(content) > len(order.bytes):
            raise ValueError(f"{len(content)} bytes for {len(order.bytes)}")
        order.serial, order.what, order.pid = self._serial, what, pid
        order.request, order.addr, order.data = request, addr & LOW, data & LOW
        order.status, order.size = status, len(content)
        ffi.memmove(order.bytes, content, len(content))
        try:
            self._socket.settimeout(max(self._deadline - time.monotonic(), 0.001))
            self._socket.send(ffi.buffer(order))
            return self._answer(self._socket.recv(ANSWER_SIZE + 1))
        except TimeoutError:
            raise Missed(pid) from None
        except OSError as error:
            raise self._broken(f"does not answer: {error.strerror}") from None

    def _answer(self, message: bytes) -> Answer:
        if not message:
            raise self._broken("has died")
        if len(message) != ANSWER_SIZE:
            raise self._broken(f"gave {len(message)} bytes for {ANSWER_SIZE}")
        answer: Any = ffi.new("struct origax_answer *")
        ffi.memmove(answer, message, ANSWER_SIZE)
        if answer.serial != self._serial:
            raise self._broken(f"gave answer {answer.serial} to order {self._serial}")
        if answer.size > len(answer.bytes):
            raise self._broken(f"gave {answer.size} bytes in {len(answer.bytes)}")
        content = bytes(ffi.buffer(answer.bytes))[: answer.size]
        return Answer(answer.result, content, bytes(ffi.buffer(ffi.addressof(answer.stop))))

    def _broken(self, what: str) -> HarnessError:
        return HarnessError(
            f"the 32-bit tracer {what}", f"pid {self.pid}",
            "see the kernel's log, and whether something else kills this user's processes",
        )  # fmt: skip

    # --- requests, each of which raises PtraceError when the kernel refuses it ---

    def ptrace(self, request: int, pid: int, addr: int = 0, data: int = 0) -> int:
        """Make a request whose data is a number."""
        return self._done(self.order(lib.ORIGAX_PLAIN, pid, request, addr, data), request, pid)[0]

    def with_bytes(self, request: int, pid: int, content: bytes, addr: int = 0) -> bytes:
        """Make a request whose data is the address of bytes; returns them afterwards."""
        answer = self.order(lib.ORIGAX_BYTES, pid, request, addr, content=content)
        return self._done(answer, request, pid)[1]

    def with_iovec(self, request: int, pid: int, content: bytes, kind: int) -> bytes:
        """Make a request whose data is the address of an iovec; returns what the kernel took."""
        answer = self.order(lib.ORIGAX_IOVEC, pid, request, kind, content=content)
        return self._done(answer, request, pid)[1]

    def take(self, pid: int, request: int, signo: int) -> bytes:
        """Resume (unless 0), wait for the task's next stop or end, and read it.

        :raises OSError: the kernel refused the request or the wait
        """
        answer = self.order(lib.ORIGAX_TAKE, pid, request, data=signo)
        if answer.result < 0:
            raise OSError(-answer.result, os.strerror(-answer.result))
        return answer.stop

    def again(self, pid: int, status: int) -> bytes:
        """Read a stopped task once more."""
        return self.order(lib.ORIGAX_AGAIN, pid, status=status).stop

    def _done(self, answer: Answer, request: int, pid: int) -> tuple[int, bytes]:
        if answer.result < 0:
            code = -answer.result
            raise requests.PtraceError(
                f"ptrace({request:#x}): {os.strerror(code)}", errno=code, pid=pid
            )
        return answer.result, answer.data


    # --- what a task needs ---

    def settle(self, pid: int, raw: bytes) -> None:
        """Nothing: no other reader of that width can be asked, and two views are compared."""

    def bury(self, pid: int) -> None:
        """Reap a child of this process that its tracer has reaped first."""
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, WALL)

    def seize(self, pid: int, options: int) -> None:
        """PTRACE_SEIZE."""
        self.ptrace(requests.SEIZE, pid, data=options)

    def resume(self, pid: int, request: int, signo: int = 0) -> None:
        """Resume by any request, without waiting."""
        self.ptrace(request, pid, data=signo)

    def interrupt(self, pid: int) -> None:
        """PTRACE_INTERRUPT."""
        self.ptrace(requests.INTERRUPT, pid)

    def detach(self, pid: int, signo: int = 0) -> None:
        """PTRACE_DETACH."""
        self.ptrace(requests.DETACH, pid, data=signo)

    def write_register(self, pid: int, name: str, word: int) -> None:
        """PTRACE_POKEUSER; what is beyond 32 bits is cut off."""
        self.ptrace(requests.POKEUSER, pid, 4 * REGISTERS_32.index(name), word)

    def setregs(self, pid: int, regs: Mapping[str, int]) -> None:
        """PTRACE_SETREGS."""
        self.with_bytes(requests.SETREGS, pid, requests.packed(regs, 32))

    def getregset(self, pid: int, size: int, kind: int = requests.NT_PRSTATUS) -> bytes:
        """PTRACE_GETREGSET into so many bytes; what the kernel filled."""
        return self.with_iovec(requests.GETREGSET, pid, bytes(size), kind)

    def setregset(self, pid: int, data: bytes, kind: int = requests.NT_PRSTATUS) -> int:
        """PTRACE_SETREGSET; how many bytes the kernel took."""
        return len(self.with_iovec(requests.SETREGSET, pid, data, kind))
