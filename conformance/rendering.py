# SPDX-License-Identifier: GPL-2.0-only
"""From stops to lines: the symbolic form of what was seen.

What is symbolic: instruction pointers and addresses in probe code (``label+offset``), the
program's own register values (``own``), its stacks (``$stack``, ``$altstack``), the board
(``$board``), pids (``$pid``, ``$child``, ...). Everything else is a number.
"""

from __future__ import annotations

import signal
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from conformance import abi
from conformance.tracing import program
from conformance.tracing.program import Context, Frame, Report
from conformance.tracing.snapshot import ARCHES, DEBUG_NAMES, FAULTS, Siginfo, signal_name
from conformance.tracing.tracee import NEWBORN, Cell, Event, Heading, Poke, Read, Seen, Told
from conformance.transcript import Line

GENERAL: Final = ("bx", "cx", "dx", "si", "di", "bp", "sp", "r8", "r9", "r10", "r11", "r12",
                  "r13", "r14", "r15")  # fmt: skip
"""What ``regs=own`` speaks for, besides the segments: ax has a field of its own."""
PATTERNS: Final = (program.PATTERN >> 16, (program.PATTERN & 0xFFFF_FFFF) >> 16)
"""What is above bit 15 of the words that a program has in registers of its own, by width."""
OF_A_PID: Final = (*NEWBORN, "event VFORK_DONE", "event EXEC")
"""Events whose message is a pid."""
ABOVE: Final = 1 << 32
"""What an address may have above those that 32-bit code has."""
SEGMENTS: Final = ("fs_base", "gs_base", "ds", "es", "fs", "gs")

_CODES: Final = {
    0: "SI_USER", 0x80: "SI_KERNEL", -1: "SI_QUEUE", -2: "SI_TIMER", -5: "SI_SIGIO", -6: "SI_TKILL",
}  # fmt: skip
_FAULT_CODES: Final = {
    "SIGILL": ("ILL_ILLOPC", "ILL_ILLOPN", "ILL_ILLADR", "ILL_ILLTRP", "ILL_PRVOPC", "ILL_PRVREG",
               "ILL_COPROC", "ILL_BADSTK"),
    "SIGFPE": ("FPE_INTDIV", "FPE_INTOVF", "FPE_FLTDIV", "FPE_FLTOVF", "FPE_FLTUND", "FPE_FLTRES",
               "FPE_FLTINV", "FPE_FLTSUB"),
    "SIGSEGV": ("SEGV_MAPERR", "SEGV_ACCERR", "SEGV_BNDERR", "SEGV_PKUERR"),
    "SIGBUS": ("BUS_ADRALN", "BUS_ADRERR", "BUS_OBJERR"),
    "SIGTRAP": ("TRAP_BRKPT", "TRAP_TRACE", "TRAP_BRANCH", "TRAP_HWBKPT"),
    "SIGCHLD": ("CLD_EXITED", "CLD_KILLED", "CLD_DUMPED", "CLD_TRAPPED", "CLD_STOPPED",
                "CLD_CONTINUED"),
    "SIGIO": ("POLL_IN", "POLL_OUT", "POLL_MSG", "POLL_ERR", "POLL_PRI", "POLL_HUP"),
    "SIGSYS": ("SYS_SECCOMP", "SYS_USER_DISPATCH"),
}  # fmt: skip


def render(events: Iterable[Event]) -> tuple[Line, ...]:
    """Write a case's events as the lines of its transcript."""
    lines: list[Line] = []
    for event in events:
        match event:
            case Heading(fields):
                lines.append(Line("run", (), dict(fields)))
            case Poke():
                lines.append(_poke(event))
            case Read():
                lines.append(_read(event))
            case Seen():
                lines.append(_stop(event))
            case Told():
                lines.extend(_report(event))
            case Cell():
                lines.append(_cell(event))
    return tuple(lines)


class _Names:
    """Makes one event's values symbolic: words of so many bits."""

    def __init__(self, context: Context, bits: int = 64) -> None:
        self.context = context
        self.own = context.own
        if bits < 64:
            self.own = {name: word & (1 << bits) - 1 for name, word in context.own.items()}
        self.pids = context.pids
        self.bits = bits

    def address(self, word: int) -> str:
        """Name an address; of one whose upper half was cut off, say so: ``low:spin``."""
        known = self._address(word)
        image = self.context.image
        upper = image.board >> 32 << 32 if image else 0
        if known or not upper or word >> 32:
            return known or abi.number(word, self.bits)
        low = self._address(upper | word)
        return f"low:{low}" if low else abi.number(word, self.bits)

    def _address(self, word: int) -> str:
        """Name an address; empty if it has no name."""
        known = self.context.place(word)
        if known:
            return known
        image = self.context.image
        if image:
            if word in image.stacks[0]:
                return "$stack"
            if word in image.stacks[1]:
                return "$altstack"
            if word in program.board_range(image):
                return "$board"
            if word - ABOVE in program.board_range(image):
                return "$board+4G"
        return ""

    def plain(self, word: int) -> str:
        return self.pids.get(word) or self.address(word)

    def call(self, word: int, arch: str, bits: int = 0) -> str:
        numbers = self.context.numbers
        if (numbers is abi.Nr32) != (arch == "i386"):
            numbers = abi.Nr32 if arch == "i386" else abi.Nr
        return abi.call(word, numbers, bits or self.bits)

    def result(self, word: int) -> str:
        if word == self.own.get("ax") and word >> 16 in PATTERNS:
            return "own"
        if -4096 < abi.signed(word, self.bits) < 1 << 22:
            return self.pids.get(word) or abi.result(word, self.bits)
        return self.address(word)

    def changed(self, regs: Mapping[str, int], names: Iterable[str]) -> str:
        """``own``, or every register that is not, with what it holds.

        A program just executed has no own registers: ``zero``, and every register that is not.
        """
        if not self.own:
            held = [f"{name}:{self._held(regs, name)}" for name in names if regs.get(name)]
            return ",".join(["zero", *held])
        own = self.own
        held = [
            f"{name}:{self._held(regs, name)}"
            for name in names
            if name in regs and regs[name] != own.get(name)
        ]
        return ",".join(held) or "own"

    def _held(self, regs: Mapping[str, int], name: str) -> str:
        word = regs[name]
        if name == "cx" and word == regs.get("ip"):
            return "ip"
        if name == "r11" and word == regs.get("flags"):
            return "flags"
        image = self.context.image
        if name == "sp" and image:
            offset = word - self.own["sp"]
            if -128 <= offset <= 128:
                return f"own{offset:+}"
        return self.plain(word)


def _who(who: str) -> tuple[str, ...]:
    return () if who == "tracee" else (who,)


def _poke(event: Poke) -> Line:
    names = _Names(replace(event.context, own={}, pids={}))
    fields = {}
    for name, word in event.what.items():
        if isinstance(word, str):
            fields[name] = word
        elif name == "orig_ax":
            fields[name] = abi.call(word & abi.WORD, event.context.numbers)
        elif name == "flags":
            fields[name] = abi.flags(word)
        elif name in DEBUG_NAMES:
            fields[name] = _debug(name, word, names)
        else:
            fields[name] = (names.result if name == "ax" else names.address)(word & abi.WORD)
    request = (event.request,) if event.request else ()
    return Line("poke", (*_who(event.who), *request), fields)


def _read(event: Read) -> Line:
    names = _Names(event.context)
    fields = {}
    for name, word in event.what.items():
        if isinstance(word, str):
            fields[name] = word
        elif isinstance(word, Mapping):
            fields[name] = names.changed(word, word)
        else:
            fields[name] = names.plain(word & abi.WORD)
    return Line("read", (*_who(event.who), event.source), fields)


def _stop(event: Seen) -> Line:
    stop, reading = event.stop, event.stop.reading
    names = _Names(event.context, reading.bits)
    if stop.ended:
        return Line("exit", (*_who(stop.who), *stop.kind.split()), {})
    fields: dict[str, str] = {}
    if stop.kind.startswith("signal") and reading.siginfo:
        fields |= _siginfo(reading.siginfo, names)
    if stop.kind in OF_A_PID:
        fields["msg"] = names.plain(reading.message)
    elif stop.kind.startswith("event") and stop.kind != "event STOP":
        fields["msg"] = abi.number(reading.message)
    fields["orig_ax"] = names.call(reading.regs["orig_ax"], reading.arch)
    fields |= _core(reading.regs, names)
    if reading.arch != "x86_64":
        fields["arch"] = reading.arch
    debug = dict(zip(DEBUG_NAMES, reading.debug, strict=True))
    fields |= {
        name: _mask(stop.mask) if name == "mask" else _debug(name, debug[name], names)
        for name in stop.shown
    }
    fields["regs"] = names.changed(reading.regs, (*GENERAL, *SEGMENTS))
    fields["views"] = _views(reading.differs)
    head = "read" if event.again else "stop"
    return Line(head, (*_who(stop.who), *stop.kind.split()), fields)


def _cell(event: Cell) -> Line:
    """What came of a write: the next stop, what handlers saw, and what the program found."""
    fields = {"refused": event.refused} if event.refused else {}
    then, report = event.then, event.report
    waits = ["asleep"] * event.slept
    fields["then"] = ",".join([*waits, then.kind.replace(" ", "-") if then else "end"])
    if then and not then.ended:
        names = _Names(event.context, then.reading.bits)
        regs = then.regs
        fields |= {
            "orig_ax": names.call(regs["orig_ax"], then.arch), "ax": names.result(regs["ax"]),
            "ip": names.address(regs["ip"]),
        }  # fmt: skip
        if event.shown:
            fields[event.shown] = _shown(event.shown, regs)
    names = _Names(event.context, report.bits)
    if report.frames:
        fields["frame"] = ",".join(
            f"{names.result(each.regs['ax'])}@{names.address(each.regs['ip'])}"
            for each in report.frames
        )
    fields["landed"] = names.result(report.out["ax"]) if report.landed else "never"
    if event.shown and report.landed:
        fields["found"] = _shown(event.shown, report.out)
    if event.ending:
        fields["end"] = event.ending.replace(" ", "-")
    return Line("cell", event.words, fields)


def _shown(name: str, regs: Mapping[str, int]) -> str:
    return abi.flags(regs[name]) if name == "flags" else f"{regs[name]:x}"


def _core(regs: Mapping[str, int], names: _Names) -> dict[str, str]:
    return {
        "ax": names.result(regs["ax"]),
        "ip": names.address(regs["ip"]),
        "cs": f"{regs['cs']:x}",
        "ss": f"{regs['ss']:x}",
        "flags": abi.flags(regs["flags"]),
    }


def _debug(name: str, word: int, names: _Names) -> str:
    if name == "dr7":
        return hex(word)
    return abi.dr6(word) if name == "dr6" else names.plain(word)


def _mask(word: int) -> str:
    """Name the signals of a mask: ``SIGUSR1+SIGUSR2``, or ``none``."""
    return "+".join(signal_name(n) for n in range(1, 65) if word >> n - 1 & 1) or "none"


def _views(differs: Mapping[str, Mapping[str, str]]) -> str:
    parts = [
        f"{view}.{name}:{value}" for view, values in differs.items()
        for name, value in values.items()
    ]  # fmt: skip
    return ",".join(parts) or "agree"


def _siginfo(info: Siginfo, names: _Names) -> dict[str, str]:
    name = signal_name(info.signo)
    if info.code in _CODES:
        return {"code": _CODES[info.code]}
    known = _FAULT_CODES.get(name, ())
    # Stops of ptrace's own have si_code = SIGTRAP | event << 8.
    told = 0 < info.code <= len(known)
    fields = {"code": known[info.code - 1] if told else str(info.code)}
    if name in FAULTS and told:
        fields["addr"] = names.plain(info.addr)
    if name == "SIGSYS" and told:
        nr = names.call(info.sysno & 0xFFFF_FFFF, ARCHES.get(info.arch, ""), 32)  # an int
        fields |= {"call_addr": names.plain(info.addr), "syscall": nr, "arch": hex(info.arch)}
    return fields


def _report(event: Told) -> list[Line]:
    report = event.report
    names = _Names(event.context, report.bits)
    lines = [_frame(report, frame, names) for frame in report.frames]
    if report.overflow:
        lines.append(Line(report.head, ("overflow",), {"more": str(report.overflow)}))
    if report.landed:
        regs = report.out
        fields = {
            "ax": names.result(regs["ax"]),
            "cs": f"{regs['cs']:x}",
            "ss": f"{regs['ss']:x}",
            "flags": abi.flags(regs["flags"]),
            "regs": _landed(regs, names),
        }
        lines.append(Line(report.head, ("landed",), fields))
    if report.results:
        fields = {name: names.result(word) for name, word in report.results}
        lines.append(Line(report.head, ("result",), fields))
    if report.ending:
        lines.append(Line(report.head, tuple(report.ending.split()), {}))
    return lines


def _landed(regs: Mapping[str, int], names: _Names) -> str:
    """Registers at the site's end: SYSCALL leaves ip in cx and flags in r11."""
    shown = dict(regs)
    place = names.context.place(regs["cx"])
    shown["ip"] = regs["cx"] if place else 0
    return names.changed(shown, (*GENERAL, "ds", "es", "fs", "gs"))


def _frame(report: Report, frame: Frame, names: _Names) -> Line:
    info = Siginfo(frame.signo, frame.code, frame.addr, 0, frame.sysno, frame.arch)
    fields = {"frame": "old"} if frame.old else _siginfo(info, names)
    if (frame.code > 0 or frame.old) and signal.Signals(frame.signo).name in FAULTS:
        fields |= {"trap": str(frame.trapno), "err": f"{frame.err:#x}"}
        if frame.trapno == 14:
            fields["cr2"] = names.plain(frame.cr2)
    fields |= _core(frame.regs, names)
    if "mask" in report.shown:
        fields["mask"] = _mask(frame.mask)
    fields |= {name: f"{frame.regs[name]:x}" for name in SEGMENTS if name in report.shown}
    fields["regs"] = names.changed(frame.regs, GENERAL)
    image = names.context.image
    if image and frame.handler_sp in image.stacks[1]:
        fields["on"] = "$altstack"
    return Line(report.head, ("signal", signal_name(frame.signo)), fields)
