# SPDX-License-Identifier: GPL-2.0-only
"""Samples for the tests of the page: goldens, records that fail, and one that is hostile."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import records

from conformance import record
from conformance.record import CaseRecord, DifferenceRecord, Record, TranscriptRecord

FACTS = """
[new_change]
commit = "bbbbbbbbbbbb"
subject = "x86/entry: Do the second thing"
since = "6.9"
observable = "The second thing is seen."
"""

LINES = (
    "run  ax=1",
    "stop  syscall-enter  orig_ax=39/getpid ax=-38/ENOSYS ip=syscall+2 cs=33 ss=2b views=agree",
    "stop  syscall-exit  orig_ax=39/getpid ax=$pid ip=syscall+2 cs=33 ss=2b views=agree",
    "stop  event STOP  orig_ax=-1 ax=$pid ip=syscall+2 cs=33 ss=2b views=agree",
    "exit  exited 0",
    "probe  landed  ax=$pid",
    "control  landed  ax=$pid",
    "control  exited 0",
)
"""What the sample cases show, all of one family at one door."""
WEAK = tuple(line.replace("orig_ax=-1", "orig_ax=-1|0") for line in LINES)

NARROW = tuple(line.replace("cs=33", "cs=73") for line in LINES)
"""What the variant ``narrow`` shows."""

CASES = ("calls.getpid", "calls.gettid", "calls.getuid", "calls.getgid", "calls.last")

FOUND = "owned"
"""The title that a page gets if anything of a record runs."""
HOSTILE: Final = (
    f"</script></style></title>\"'><script>document.title='{FOUND}'</script>"
    f"<img/src=x/onerror=document.title='{FOUND}'><svg/onload=document.title='{FOUND}'>"
    f"<a/href=javascript:document.title='{FOUND}'>&lt;&#60;--><!--]]>\x1b[2J\u202e"
)
"""What a kernel might say to take over the page; no blanks, so that it can be a word of a line."""

_SHAPED: Final = ("id", "abi", "verdict", "started", "format", "probes", "regs")
"""Members of a record that are not any text."""


def goldens(expected: Path) -> Path:
    """Write a golden for each sample case, a known issue, and a change of the kernel."""
    (expected / "facts.toml").write_text(FACTS)
    text = 'intent = "i"\nsource = ["kernel/sys.c getpid"]\nbreaks = ["gdb", "rr"]\n'
    text += 'weak.orig_ax = "either is right"\n'
    for name, when, lines in (
        ("base", "x86_64 and new_change", WEAK), ("narrow", "i386", NARROW),
    ):  # fmt: skip
        body = "\n".join(lines)
        text += f'[[variant]]\nname = "{name}"\nwhen = "{when}"\nbasis = "observed"\n'
        text += f'transcript = """\n{body}\n"""\n'
    (expected / "calls").mkdir()
    for case_id in CASES:
        family, _, name = case_id.partition(".")
        (expected / family / f"{name}.toml").write_text(text)
    issues = ""
    for case_id, when in ("calls.last", "amd"), ("calls.gettid", "amd"), ("calls.getuid", "intel"):
        issues += f'[[issue]]\ncase = "{case_id}"\nwhen = "{when}"\nreason = "it is so"\n'
        issues += f'until = "it is not"\ntranscript = """\n{LINES[0]}\n"""\n'
    (expected / "known_issues.toml").write_text(issues)
    return expected


def passed(name: str, variant: str = "base") -> CaseRecord:
    """Give a sample case that passed."""
    lines = NARROW if variant == "narrow" else LINES
    seen = TranscriptRecord(1, lines, stops())
    return records.case(name, variant=variant, transcripts=(seen,), weak=variant == "base")


def stops(orig_ax: str = "0x27") -> tuple[dict[str, Any], ...]:
    """Give the raw stops behind :data:`LINES`."""
    def stop(kind: str, word: str) -> dict[str, Any]:
        regs = {"orig_ax": word, "ax": "0x1234", "ip": "0x401002"}
        return {"who": "tracee", "kind": kind, "regs": regs, "differs": {}}

    return (
        stop("syscall-enter", "0x27"), stop("syscall-exit", orig_ax), stop("event STOP", "0x0"),
        {"who": "tracee", "kind": "exited 0", "status": 0},
    )  # fmt: skip


def failed(name: str) -> CaseRecord:
    """Give a sample case in which a call leaves another number behind."""
    seen = LINES[2].replace("39/getpid", "34/pause")
    difference = DifferenceRecord(
        3, LINES[2], seen, ("orig_ax",), "orig_ax: 39/getpid -> 34/pause"
    )
    transcript = TranscriptRecord(1, (*LINES[:2], seen, *LINES[3:]), stops("0x22"))
    return records.case(
        name, "FAIL", transcripts=(transcript,), differences=(difference,),
        reason=difference.change, broken=("one_number: every syscall-exit: orig_ax == 39",),
    )  # fmt: skip


def made(
    name: str, *cases: CaseRecord, build: dict[str, str] | None = None, **facts: bool | str
) -> Record:
    """Give a record of an environment; its facts are those of a 64-bit kernel on AMD."""
    kernel = name.removeprefix("linux-").partition("-")[0]
    known = {
        "release": kernel, "virt": "tcg", "amd": True, "intel": False, "x86_64": True,
        "i386": False, "new_change": True,
    }  # fmt: skip
    sample = records.record(*cases)
    return replace(
        sample, environment=replace(sample.environment, name=name, build=build or {},
                                    facts={**known, **facts}),
    )  # fmt: skip


def lost(name: str) -> Record:
    """Give the record of a box of which nothing was heard."""
    missing = (records.case(c, "MISS", reason=f"{name} was not reached") for c in CASES)
    sample = made(name, *missing)
    return replace(sample, environment=replace(sample.environment, facts={}))


def sample() -> list[Record]:
    """Give five environments, one of them lost: all pass but ``calls.last``, and on two another."""
    sound = tuple(map(passed, CASES[:-1]))
    known = records.case("calls.last", "KNOWN", reason="it is so", transcripts=(
        TranscriptRecord(1, LINES[:1], ()),))  # fmt: skip
    narrow = tuple(passed(name, "narrow") for name in CASES)
    i386 = {"x86_64": False, "i386": True}
    return [
        made("linux-7.2.1-debian.amd.tcg", *map(failed, CASES[:2]), *sound[2:], known),
        made("linux-6.12.9-debian.intel.tcg", *sound, passed("calls.last"), amd=False, intel=True),
        lost("linux-box7"),
        made("linux-6.12.9-debian.amd.tcg", *sound, known),
        made("linux-6.1.3-debian-i386.amd.tcg", *narrow, **i386),
        made("linux-7.2.1-debian.amd.kvm", failed(CASES[0]), *sound[1:], known, virt="kvm",
             build={"guest": "sid"}),
    ]  # fmt: skip


def hostile(text: str = HOSTILE, lines: bool = True) -> Record:
    """Give a record that says `text` wherever a record can say what it likes.

    :param lines: also as whole lines of transcripts, which then are no lines any more, and blank
        characters with it
    """
    parted = (records.transcript(count=7), records.transcript(records.LEAKED, count=3))
    cases = (
        records.leaking("a.leaking", reason="r"), records.leaking("b.leaking", reason="r"),
        *(records.case(f"c.{verdict.lower()}", verdict, reason="r") for verdict in record.VERDICTS),
        records.case("d.parted", "UNSTABLE", transcripts=parted),
    )  # fmt: skip
    text += " \u2028\n" * lines
    data = json.loads(record.to_json(records.record(*cases)))
    return record.from_json(json.dumps(_spoiled(data, text, lines)))


def _spoiled(data: Any, text: str, lines: bool) -> Any:
    if isinstance(data, list):
        return [_spoiled(each, text, lines) for each in data]
    if not isinstance(data, dict):
        return text if isinstance(data, str) else data
    told = {}
    for key, value in data.items():
        if key in _SHAPED and not isinstance(value, list):
            told[key] = value
        elif key in ("expected", "observed", "lines") and not lines:
            words = value if isinstance(value, list) else [value]
            spoiled = [f"stop  event {text}  orig_ax={text} ax={text}" for _ in words]
            told[key] = spoiled if isinstance(value, list) else spoiled[0]
        else:
            told[key] = _spoiled(value, text, lines)
    if "facts" in told or "build" in told:
        for name in ("facts", "build"):
            told[name] = {**told[name], f"z{text}": text}
    return told
