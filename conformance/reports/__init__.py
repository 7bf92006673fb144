# SPDX-License-Identifier: GPL-2.0-only
"""Reports: every one is made from records, and this is what they share.

What a record holds came from a kernel under test, so nothing of it reaches a terminal, a log or an
XML file as it is: :func:`printable` makes it ASCII without control characters.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from conformance.errors import UsageError
from conformance.record import (
    ERROR,
    FAIL,
    MISS,
    NOGOLDEN,
    UNSTABLE,
    CaseRecord,
    DifferenceRecord,
    RawStop,
    Record,
    TranscriptRecord,
)
from conformance.transcript import Line, parse

WIDTH: Final = 100
"""Columns that a report may fill before it folds a line."""

FAILING: Final = (FAIL, UNSTABLE, NOGOLDEN, ERROR, MISS)
"""The verdicts that need a reader, in the order in which reports show them."""

SHOWN: Final = 5
"""How many differences of one case are shown: the first are the telling ones."""

_LABEL: Final = 10
"""Columns of what stands left of a line."""

_CUT: Final = 80
"""Characters of a change that a headline shows."""

CONSUMERS: Final = {
    "gdb": "sets orig_ax to -1 to stop a restart, and takes any other for a call in flight",
    "lldb": "saves orig_ax around an expression and restores it to resume the call",
    "rr": "tells a call from an interrupt by the sign of orig_ax, in recording and replay",
    "strace": "decodes call and ABI from orig_ax, and changes calls by writing it",
    "ltrace": "takes orig_ax -1 for the exit half of a call, and anything else for an entry",
    "wine": "reads trap flag and debug registers for programs that trace themselves",
    "valgrind": "decides by ip whether an interrupted call is done or starts over",
    "qemu": "decides by ip whether an interrupted call is done or starts over",
    "dynamorio": "decides by ip whether an interrupted call is done or starts over",
    "edb": "shows ax -512 to -516 as a call that restarts",
    "criu": "rewinds ip itself if orig_ax is not negative and ax asks for a restart",
    "gvisor": "takes -ENOSYS for granted at entry and a rolled back ax at SIGSYS",
    "uml": "refuses to boot unless a number and a result poked at a stop are honoured",
    "proot": "denies calls by a poked number, and pokes their result at entry",
    "dettrace": "cancels a call by -1 in orig_ax and ax, and steps over it",
    "reverie": "runs its own calls in the tracee by rewriting ip, ax and orig_ax",
    "agentsh": "reads the result of a call of its own where a call exits, which comes second",
    "pete": "tells a call's enter stop from its exit stop by counting them",
    "tracexec": "tells who executed what by the number and the result at the event and the exit",
    "dmoj": "denies a call by -1 in orig_ax, and writes its result at the exit",
    "keepalived": "finds EINTR where a stop wakes a call that the kernel never makes again",
    "purespice": "finds EINTR where a stop wakes a call that the kernel never makes again",
    "shadow": "finds EINTR where a stop wakes a call that the kernel never makes again",
    "sydbox": "denies a call by writing a number that does not exist",
    "chromium": "kills its process unless ax at SIGSYS is the number that seccomp saw",
    "seccomp": "filters by the number that orig_ax holds, and must let -1 pass",
    "libseccomp": "filters by the number that orig_ax holds, and must let -1 pass",
    "glibc": "cancels a thread by whether ip is before or past the call's instruction",
    "musl": "cancels a thread by whether ip is before or past the call's instruction",
    "perf": "takes the call's number from orig_ax at its tracepoint",
    "bpftrace": "takes the call's number from orig_ax at its tracepoint",
    "falco": "takes the call's number from orig_ax at its tracepoint",
    "tracee": "takes the call's number from orig_ax at its tracepoint",
    "sysdig": "takes the call's number from orig_ax at its tracepoint",
    "docker": "filters its containers' calls by number",
    "systemd": "filters its services' calls by number (SystemCallFilter=)",
    "lxd": "answers its containers' calls, of which a filter notifies it",
    "libunwind": "reads another program's registers by PTRACE_PEEKUSER or GETREGSET",
    "dosemu": "runs real-mode code in virtual-8086 mode, or returns to it by sigreturn",
    "audit": "logs the call's number that orig_ax holds",
    "elfutils": "shows orig_ax of a core file as a signed number",
    "crash": "prints the exception frame, orig_ax with it",
    "drgn": "reads orig_ax of a core file or a live kernel",
}
"""What each program relies on; ``breaks`` of an expectation names them in any case of letters."""


def printable(text: str) -> str:
    """Escape everything but printable ASCII: the text may be a kernel's, and the screen is ours."""
    if text.isascii() and text.isprintable():
        return text
    plain = (c if c.isascii() and c.isprintable() else _escaped(c) for c in text)
    return "".join(plain)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def one_line(text: str) -> str:
    """Put a text of any lines on one, and escape it."""
    return printable(" ".join(text.split()))


def fact(value: object) -> str:
    """Write a fact's value as an expectation would."""
    return printable(str(value).lower() if isinstance(value, bool) else str(value))


def plural(count: int, noun: str) -> str:
    """Write ``1 case``, ``2 cases``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


RED: Final = "31"
GREEN: Final = "32"
YELLOW: Final = "33"
BOLD: Final = "1"

Paint = Callable[[str, str], str]
"""Gives a text in a colour, or just the text."""


def painter(color: bool) -> Paint:
    """Give what colours a text, or leaves it as it is."""
    return _painted if color else _plain


def _painted(text: str, code: str) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if text else ""


def _plain(text: str, code: str) -> str:
    return text


@dataclass(frozen=True, slots=True)
class Column:
    """One field of two lines: its text in both, and whether it is marked."""

    upper: str
    lower: str
    marked: bool

    @property
    def width(self) -> int:
        """Characters of the longer."""
        return max(len(self.upper), len(self.lower))


def side_by_side(
    labels: tuple[str, str],
    lines: tuple[str | None, str | None],
    fields: Sequence[str],
    paint: Paint = _plain,
    width: int = WIDTH,
) -> list[str]:
    """Write two transcript lines under each other, field under field.

    Those named in `fields` get a line of ^^^^ below and a colour. Lines too long for `width` fold
    at the same field. A line that is not there is said to be missing.
    """
    if None in lines:
        return [
            _labelled(label, paint(one_line(line), code) if line else "(no such line)")
            for label, line, code in zip(labels, lines, (GREEN, RED), strict=True)
        ]
    rows: list[str] = []
    for fold in _folds(columns(lines[0] or "", lines[1] or "", fields), width - _LABEL - 2):
        heads = labels if not rows else ("", "")
        rows += _rows(heads, fold, paint)
    return rows


def columns(upper: str, lower: str, fields: Sequence[str]) -> list[Column]:
    """Take two transcript lines apart, field beside field; those named in `fields` are marked."""
    one, other = _tokens(upper), _tokens(lower)
    names = dict.fromkeys((*one, *other))
    return [Column(one.get(n, ""), other.get(n, ""), n in fields) for n in names]


def _tokens(line: str) -> dict[str, str]:
    """Take a line apart, by the names of its fields; what stands before them is its kind."""
    tokens: dict[str, str] = {}
    for token in map(printable, line.split()):
        name = token.partition("=")[0] if "=" in token else "kind"
        tokens[name] = f"{tokens[name]} {token}" if name in tokens else token
    return tokens


def _folds(parts: Iterable[Column], width: int) -> Iterator[list[Column]]:
    """Part columns, one space between, into rows of `width`."""
    row: list[Column] = []
    for column in parts:
        if row and sum(c.width + 1 for c in row) + column.width > width:
            yield row
            row = []
        row.append(column)
    yield row


def _rows(labels: tuple[str, str], columns: Sequence[Column], paint: Paint) -> Iterator[str]:
    upper = [(c.upper, c, GREEN) for c in columns]
    lower = [(c.lower, c, RED) for c in columns]
    marks = [("^" * c.width if c.marked else "", c, YELLOW) for c in columns]
    for label, cells in zip((*labels, ""), (upper, lower, marks), strict=True):
        if cells is not marks or any(c.marked for c in columns):
            yield _labelled(label, " ".join(_cell(*cell, paint) for cell in cells))


def _cell(text: str, column: Column, code: str, paint: Paint) -> str:
    padding = " " * (column.width - len(text))
    return (paint(text, code) if column.marked else text) + padding


def _labelled(label: str, text: str) -> str:
    return f"  {label:{_LABEL - 1}} {text}".rstrip()


def labelled(label: str, texts: Iterable[str]) -> list[str]:
    """Write texts under each other, with a label beside the first."""
    return [_labelled("" if index else label, one_line(t)) for index, t in enumerate(texts)]


def wrapped(words: Iterable[str], width: int = WIDTH) -> Iterator[str]:
    """Part words, two spaces between, into indented lines of `width`."""
    line = ""
    for word in map(printable, words):
        if line and len(line) + len(word) + 4 > width:
            yield f"  {line}"
            line = ""
        line = f"{line}  {word}".lstrip()
    if line:
        yield f"  {line}"


def aligned(rows: Sequence[Sequence[str]], numbers: Collection[int]) -> list[str]:
    """Put rows of texts into columns, two spaces between; those of numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            f"{text:>{width}}" if index in numbers else f"{text:{width}}"
            for index, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def title(case: CaseRecord) -> str:
    """Say in one line what is wrong with a case; equal for cases that differ equally."""
    changes = tuple(dict.fromkeys(d.change for d in case.differences))
    if changes:
        return headline(changes)
    return case.reason or "; ".join(f"broken: {name}" for name in case.broken)


def headline(changes: Sequence[str]) -> str:
    """Name the first changes, cut where they are long, and count the others."""
    rest = len(changes) - 2
    named = "; ".join(c if len(c) <= _CUT else f"{c[: _CUT - 3]}..." for c in changes[:2])
    return named + (f" (and {plural(rest, 'more change')})" if rest > 0 else "")


def alike(case: CaseRecord) -> tuple[str, ...]:
    """Give what is equal of failing cases that differ equally: the verdict, and every change."""
    changes = dict.fromkeys(d.change for d in case.differences)
    return (case.verdict, *(changes or (title(case),)))


def grouped(cases: Iterable[CaseRecord]) -> list[list[CaseRecord]]:
    """Group failing cases by verdict and equal difference: the gravest first, then the largest."""
    groups: dict[tuple[str, ...], list[CaseRecord]] = {}
    for case in cases:
        if case.verdict in FAILING:
            groups.setdefault(alike(case), []).append(case)
    order = {verdict: rank for rank, verdict in enumerate(FAILING)}
    return sorted(groups.values(), key=lambda group: (order[group[0].verdict], -len(group)))


def again(record: Record) -> str:
    """Give the command that, with a case's id behind it, runs a case of a record again."""
    if record.soak:
        return "origax soak"
    guest = record.environment.build.get("guest", "")
    return f"origax kernels run {guest} --case" if guest else "origax run"


def about(record: Record) -> Mapping[str, str]:
    """Say where a record comes from: its host, kernel, CPU and virt, of these what it knows.

    The host is a box of a fleet, a guest, or a machine, by the name that people gave it.
    """
    facts, build = record.environment.facts, record.environment.build
    hosts = (build.get(key, "") for key in ("box", "guest", "host"))
    told = {
        "host": next(filter(None, hosts), ""),
        "kernel": facts.get("release", ""),
        "cpu": build.get("cpu", ""),
        "virt": facts.get("virt", ""),
    }
    return {name: fact(value) for name, value in told.items() if value != ""}


def names(records: Sequence[Record]) -> tuple[str, ...]:
    """Name records by their environments, each otherwise: `ENVIRONMENT[@HOST][/NUMBER]`.

    The host stands where several records are of one environment, and a number, from 2 on, where
    even then some are named alike.
    """
    plain = [one_line(record.environment.name) for record in records]
    hosts = [about(record).get("host") for record in records]
    placed = [
        f"{name}@{host}" if host and plain.count(name) > 1 else name
        for name, host in zip(plain, hosts, strict=True)
    ]
    seen: Counter[str] = Counter()
    numbered = []
    for name in placed:
        seen[name] += 1
        numbered.append(f"{name}/{seen[name]}" if seen[name] > 1 else name)
    return tuple(numbered)


def describe(
    group: Sequence[CaseRecord], paint: Paint = _plain, width: int = WIDTH,
    command: str = "origax run",
) -> list[str]:  # fmt: skip
    """Show what a reader needs of cases that differ equally, by the first of them.

    The lines that differ and the raw numbers behind them, the broken invariants, who breaks by any
    of the cases, where in the kernel to look, and the command that runs the first one again.

    :param command: that of :func:`again`
    """
    case = group[0]
    lines: list[str] = []
    if case.verdict in (FAIL, UNSTABLE):
        lines += _differences(case, paint, width) or _repeats(case, paint, width)
        lines += labelled("reason", [] if says_no_more(case) else [case.reason])
        lines += labelled("broken", case.broken)
        breaks = dict.fromkeys(name for each in group for name in each.breaks)
        lines += labelled("breaks", map(consumer, breaks))
        lines += labelled("source", case.source)
    return lines + labelled("again", [f"{command} {case.id}"])


def says_no_more(case: CaseRecord) -> bool:
    """Whether the reason of a case only counts the differences that stand above it."""
    if not case.differences:
        return True
    counted = re.escape(case.differences[0].change) + "(, and [0-9]+ more)?"
    return not case.reason or re.fullmatch(counted, case.reason) is not None


def _differences(case: CaseRecord, paint: Paint, width: int) -> list[str]:
    lines: list[str] = []
    transcript = case.transcripts[0] if case.transcripts else None
    position = 0
    for difference in case.differences[:SHOWN]:
        lines.append(_place(case, difference))
        pair = (difference.expected, difference.observed)
        lines += side_by_side(("expected", "observed"), pair, difference.fields, paint, width)
        stop, position = raw_stop(transcript, difference.observed, position)
        lines += labelled("raw", raw_values(difference.fields, pair[1], pair[0], stop))
    return lines + and_more(len(case.differences) - SHOWN)


def _repeats(case: CaseRecord, paint: Paint, width: int) -> list[str]:
    """Show where the repeats of an unstable case part: the commonest against each other one."""
    if case.verdict != UNSTABLE or not case.transcripts:
        return []
    from conformance.expectation import align

    most, *others = sorted(case.transcripts, key=lambda transcript: -transcript.count)
    lines: list[str] = []
    for other in others[:SHOWN]:
        labels = (plural(most.count, "time"), plural(other.count, "time"))
        for difference in align(parsed(most.lines), parsed(other.lines))[:SHOWN]:
            pair = (difference.expected, difference.observed)
            lines += side_by_side(labels, pair, difference.fields, paint, width)
    return lines


def parsed(lines: Iterable[str]) -> tuple[Line, ...]:
    """Take the lines of a record's transcript apart.

    :raises UsageError: they are none: somebody edited the record
    """
    try:
        return parse("\n".join(lines))
    except ValueError as error:
        raise UsageError(
            f"a transcript of the record is damaged: {printable(str(error))}",
            "a record",
            "run the cases again with `origax run --record FILE`",
        ) from None


def and_more(count: int) -> list[str]:
    """Say how many lines that differ are left out."""
    return [f"  and {plural(count, 'more line')}; the record has them all"] if count > 0 else []


def _place(case: CaseRecord, difference: DifferenceRecord) -> str:
    line = f"line {difference.line}" if difference.line else "a line more"
    variant = f" of variant {printable(case.variant)}" if case.variant else ""
    return f"  {case.id}, {line}{variant}:"


def consumer(name: str) -> str:
    """Name a program that breaks, with what it relies on where that is known."""
    why = CONSUMERS.get(re.split(r"[^a-z0-9]", name.lower())[0])
    return f"{name}: {why}" if why else name


def raw_stop(
    transcript: TranscriptRecord | None, line: str | None, position: int = 0
) -> tuple[RawStop | None, int]:
    """Find the raw stop behind an observed line.

    :param position: where in the lines to begin: equal lines come in the order of their stops
    :returns: the stop, if the line has one, and the position after the line
    """
    wanted = line.split() if line else None
    for index, text in enumerate(transcript.lines[position:] if transcript else (), position):
        if transcript and text.split() == wanted:
            return _stop_at(transcript, index), index + 1
    return None, position


def _stop_at(transcript: TranscriptRecord, index: int) -> RawStop | None:
    """Give the stop of a line: every ``stop`` and ``exit`` line has one, in the same order."""
    of_stops = [i for i, line in enumerate(transcript.lines) if line.startswith(("stop", "exit"))]
    if len(of_stops) != len(transcript.stops) or index not in of_stops:
        return None
    return transcript.stops[of_stops.index(index)]


def raw_values(
    fields: Sequence[str], line: str | None, other: str | None, stop: RawStop | None
) -> Iterator[str]:
    """Give the numbers behind those fields of a line: ``orig_ax=34/pause is 0x22``.

    :param other: the line on the other side, which may speak of further registers
    """
    tokens, others = _tokens(line or ""), _tokens(other or "")
    words = stop.get("regs", {}) if stop else {}
    for field in fields:
        for name in _registers(field, f"{tokens.get(field)} {others.get(field)}"):
            if name in words:
                symbolic = tokens.get(field, name) if name == field else name
                yield f"{symbolic} is {words[name]}"


def _registers(field: str, text: str) -> Sequence[str]:
    """Name the registers that a field speaks of: ``regs=cx:ip,r11:flags`` of cx and r11."""
    if field not in ("regs", "views"):
        return (field,)
    return tuple(dict.fromkeys(re.findall("([a-z_0-9]+):", text)))
