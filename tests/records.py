# SPDX-License-Identifier: GPL-2.0-only
"""Sample records for the tests of what reads them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from conformance.record import (
    VERDICTS,
    CaseRecord,
    DifferenceRecord,
    EnvironmentRecord,
    OptionsRecord,
    Record,
    SoakLine,
    SoakPath,
    SoakRecord,
    ToolRecord,
    TranscriptRecord,
)

SHA = "0123456789abcdef" * 4

LINES = (
    "stop  event STOP  orig_ax=-1 ax=-513 ip=spin cs=33 ss=2b flags=IF regs=own views=agree",
    "exit  killed SIGKILL",
    "control  result  ax=-513",
)

LEAKED = LINES[0].replace("orig_ax=-1", "orig_ax=34/pause")

HOSTILE = "\x1b[2Jgone\x07\r\nnot ok 99 fake # SKIP \x9b31m \u202e\ud800\ufffe <&]]>\x00"

LEAK = DifferenceRecord(1, LINES[0], LEAKED, ("orig_ax",), "orig_ax: -1 -> 34/pause")


def stops(orig_ax: str = "0xffffffffffffffff") -> tuple[dict[str, Any], ...]:
    """Give the raw stops behind :data:`LINES`."""
    regs = {"orig_ax": orig_ax, "ax": "0xfffffffffffffdff", "cx": "0x1", "r11": "0x246"}
    core = {"who": "tracee", "kind": "event STOP", "status": 0x80057F, "regs": regs, "differs": {}}
    killed = {"who": "tracee", "kind": "killed SIGKILL", "status": 9, "count": 1}
    more = {"siginfo": {"signo": 5}, "message": 0, "info": {"op": "NONE"}, "debug": ["0x0"]}
    return ({**core, **more, "count": 1}, killed)


def transcript(
    *lines: str, orig_ax: str = "0xffffffffffffffff", count: int = 1
) -> TranscriptRecord:
    """Give a transcript: of :data:`LINES` unless others are given."""
    return TranscriptRecord(count, lines or LINES, stops(orig_ax))


def case(name: str = "interrupts.device", verdict: str = "PASS", **changes: Any) -> CaseRecord:
    """Give a case that passed, but for what is said otherwise."""
    traced = verdict not in ("SKIP", "ERROR", "MISS")
    sample = CaseRecord(
        id=name,
        abi="x86_64",
        door="none",
        verdict=verdict,
        reason="",
        variant="base" if traced else None,
        weak=0,
        repeats=1,
        transcripts=(transcript(),) if traced else (),
        differences=(),
        broken=(),
        breaks=("gdb", "CRIU"),
        source=("arch/x86/entry/entry_64.S idtentry_body",),
        probes={"spin": SHA},
        measured={"frames": 200, "share": 0.99, "row": "LOC"},
        duration=0.125,
    )
    return replace(sample, **changes)


def leaking(name: str = "interrupts.device", **changes: Any) -> CaseRecord:
    """Give a case that failed since an interrupt left its vector in orig_ax."""
    lines = transcript(LEAKED, *LINES[1:], orig_ax="0x22")
    broken = ("not_a_syscall: every stop: orig_ax == -1",)
    found = {"transcripts": (lines,), "differences": (LEAK,), "broken": broken}
    return case(name, "FAIL", **(found | changes))


def record(*cases: CaseRecord, **changes: Any) -> Record:
    """Give a record of `cases`, in any order."""
    sample = Record(
        tool=ToolRecord("origax", "0.1.0", SHA),
        environment=EnvironmentRecord(
            "linux-6.1.192-debian.amd.tcg",
            {"release": "6.1.192", "x86_64": True, "family": 25},
            {"version": "#1 SMP"},
        ),
        boot_id="8b0d5a2c-6c0f-4a53-a0a5-6b1f6c0c9a11",
        started="2024-05-01T12:00:00.123456+00:00",
        duration=9.75,
        options=OptionsRecord(200, 1, 10.0, 2, ()),
        interrupted=False,
        cases=cases,
    )
    return replace(sample, **changes)


def mixed() -> Record:
    """Give a record with every verdict."""
    parted = (transcript(count=7), transcript(LEAKED, *LINES[1:], count=3))
    return record(
        case("syscalls.enter_exit", weak=2),
        leaking(),
        leaking("interrupts.timer"),
        case("traps.icebp", "KNOWN", reason="QEMU takes icebp for an undefined opcode"),
        case("interrupts.nmi", "SKIP", reason="needs pmu: a machine with a cycles counter"),
        case("signals.nested", "NOGOLDEN", reason="no variant fits", variant=None),
        case("steps.block", "UNSTABLE", reason="10 repeats parted", transcripts=parted),
        case("events.exec", "ERROR", reason="the worker died (signal 11)"),
        case("events.fork", "MISS", reason="no answer within 10 s"),
    )


def soaked() -> Record:
    """Give a record of a soak of three paths: one leaked twice, one was left out."""
    seconds, frames = (0.0, 15.0, 30.0, 60.0), (0, 40_000, 81_000, 160_002)
    healthy = SoakPath(
        "interrupts.timer", "LOC", 0, seconds, frames, 161_000, {"-1": 160_002}, 3,
        (SoakLine(LINES[0], 160_002, 0.4),), 0,
    )  # fmt: skip
    leaky = SoakPath(
        "interrupts.device", "43", 1, seconds, frames, 160_002, {"-1": 160_000, "34": 2}, 0,
        (SoakLine(LINES[0], 160_000, 0.1), SoakLine(LEAKED, 2, 37.25)), 0,
    )  # fmt: skip
    missing = case("interrupts.reschedule", "SKIP", reason="needs two_cpus: a second CPU")
    return record(
        leaking(repeats=20), case("interrupts.timer", repeats=20), missing,
        duration=60.5, soak=SoakRecord((healthy, leaky)),
    )  # fmt: skip


def hostile() -> Record:
    """Give a record of a kernel that tries to write to our screen, in each text that it may say."""
    line = f"stop event orig_ax={HOSTILE.split()[0]}"
    difference = DifferenceRecord(1, LINES[0], line, ("orig_ax",), HOSTILE)
    lying = leaking(
        differences=(difference,), broken=(HOSTILE,), breaks=(HOSTILE,), source=(HOSTILE,),
        measured={HOSTILE: HOSTILE},
    )  # fmt: skip
    other = (transcript(), transcript(f"stop x={HOSTILE.split()[0]}"))
    facts: dict[str, bool | int | str] = dict.fromkeys(("release", "virt", HOSTILE), HOSTILE)
    facts["x86_64"] = True
    build = dict.fromkeys(("host", "cpu", "uname_v", "machine", HOSTILE), HOSTILE)
    return record(
        lying,
        *(case(f"a.{v.lower()}", v, reason=HOSTILE) for v in VERDICTS),
        case("b.parted", "UNSTABLE", reason=HOSTILE, transcripts=other),
        environment=EnvironmentRecord(HOSTILE, facts, build),
        boot_id=HOSTILE,
    )


def lost() -> Record:
    """Give a record of a guest that never told its facts: its console's last lines are why."""
    console = "; ".join(
        ("List of all partitions:", "Kernel panic - not syncing: VFS: Unable to mount root fs",
         "reboot: System halted")
    )  # fmt: skip
    return record(
        case("interrupts.device", "MISS", reason=f"the guest ended; its console: {console}"),
        case("syscalls.enter_exit", "MISS", reason=f"the guest ended; its console: {console}"),
        environment=EnvironmentRecord("6.1", {}, {"guest": "6.1"}),
    )
