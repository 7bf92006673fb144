# SPDX-License-Identifier: GPL-2.0-only
"""Transcripts on a page: one by itself, expected beside observed, and what makes a variant."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Final

from conformance import expectation
from conformance.expectation import Transcript, is_weak
from conformance.record import UNSTABLE, CaseRecord, DifferenceRecord, RawStop, TranscriptRecord
from conformance.reports import columns, plural, raw_stop
from conformance.reports.page.markup import Html, block, escaped, join, tag
from conformance.reports.page.pairing import Pairs, taken_apart
from conformance.transcript import Line

_TELLING: Final = ("orig_ax", "ax", "ip")
"""What is written at every stop, even where it is the same at all of them."""
_SPEAKERS: Final = {
    "Every stop": ("stop",), "What the program says itself": ("probe", "control"),
}  # fmt: skip
_MANY: Final = 3
"""Lines that must agree in a field before it is said once for all."""
_NAMED: Final = 12
"""Lines with one change that are named by their numbers."""
_RAW: Final = 8
"""Raw stops of one transcript that a page holds."""
_CONTEXT: Final = 2
"""Lines as expected that are shown beside one that is not."""


def golden(transcript: Transcript, reasons: Mapping[str, str]) -> Html:
    """Write a transcript briefly: what its stops have alike is said once, and so is a control that
    came to what the probe did. Weak fields are marked.

    :param reasons: of the weak fields, by the field or by HEAD.FIELD
    """
    alike = {name: _alike(transcript, heads) for name, heads in _SPEAKERS.items()}
    of_head = {head: alike[name] for name, heads in _SPEAKERS.items() for head in heads}
    digits = len(str(len(transcript)))
    lines = []
    for number, run in _runs(transcript):
        text = _line(run[0], of_head.get(run[0].head, {}), reasons)
        like = f"control  as the probe, in {len(run)} lines"
        lines.append(join([f"{number:{digits}} ", like if len(run) > 1 else text]))
    told = [
        tag("p", f"{name}, unless it says otherwise: ",
            tag("code", " ".join(f"{field}={text}" for field, text in fields.items())))
        for name, fields in alike.items() if fields
    ]  # fmt: skip
    return join([*told, tag("pre", block(lines))])


def _runs(transcript: Transcript) -> Iterator[tuple[int, Transcript]]:
    """Give each line with its number; those of a control that is as the probe was come together."""
    probe: set[str] = set()
    number = 1
    for head, lines in groupby(transcript, key=lambda line: line.head):
        run = tuple(lines)
        if head == "control" and len(run) > 1 and {_result(line) for line in run} <= probe:
            yield number, run
        else:
            yield from ((number + index, (line,)) for index, line in enumerate(run))
        probe = set() if head == "run" else probe | {_result(line) for line in run}
        number += len(run)


def _result(line: Line) -> str:
    """Give what a line says, whoever says it: how a program ended, and what it found."""
    return str(replace(line, head="probe"))


def _alike(transcript: Transcript, heads: tuple[str, ...]) -> dict[str, str]:
    """Give the fields that all these lines have, with the value that most have, if most do."""
    fields = [line.fields for line in transcript if line.head in heads and "cs" in line.fields]
    if len(fields) < _MANY:
        return {}
    alike = {}
    for name in fields[0]:
        if name not in _TELLING and all(name in each for each in fields):
            text, times = Counter(each[name] for each in fields).most_common(1)[0]
            if times * 2 > len(fields) and not is_weak(text):
                alike[name] = text
    return alike


def _line(line: Line, alike: Mapping[str, str], reasons: Mapping[str, str]) -> Html:
    """Write one line, a blank for each pair of blanks: `pre` keeps them."""
    left_out = alike if "cs" in line.fields else {}
    fields = [
        _field(line, name, text, reasons)
        for name, text in line.fields.items()
        if left_out.get(name) != text
    ]
    return join([" ".join((line.head, *line.words)), *fields], " ")


def _field(line: Line, name: str, text: str, reasons: Mapping[str, str]) -> Html:
    told = f"{name}={text}"
    if not is_weak(text):
        return escaped(told)
    why = reasons.get(f"{line.head}.{name}", reasons.get(name, ""))
    return tag("i", told, title=f"may differ: {' '.join(why.split())}")


def weak_values(transcript: Transcript, seen: Iterable[TranscriptRecord]) -> list[str]:
    """Say what the weak fields were: ``dr6=BS|0: 0 (3 times), BS``."""
    values: dict[str, Counter[str]] = {}
    if not any(is_weak(text) for line in transcript for text in line.fields.values()):
        return []
    for each in seen:
        lines = taken_apart(each.lines) or ()
        if len(lines) == len(transcript):
            for one, other in zip(transcript, lines, strict=True):
                for name, text in one.fields.items():
                    if is_weak(text):
                        counted = values.setdefault(f"{name}={text}", Counter())
                        counted[other.fields.get(name, "none")] += 1
    return [f"{name}: {_few(counted)}" for name, counted in values.items()]


def _few(counted: Counter[str]) -> str:
    ranked = sorted(counted.items(), key=lambda each: (-each[1], each[0]))
    told = ", ".join(f"{text} ({plural(times, 'time')})" for text, times in ranked[:4])
    return told + (f", and {len(ranked) - 4} other values" if len(ranked) > 4 else "")


def contrast(base: Transcript, other: Transcript) -> list[str] | None:
    """Say in which values a variant's transcript differs from another's: ``cs: 33 -> 73``, where.

    :returns: one text a change; None where the lines are others
    """
    if [(line.head, line.words) for line in base] != [(line.head, line.words) for line in other]:
        return None
    changes: dict[tuple[str, str, str], list[int]] = {}
    for number, (one, two) in enumerate(zip(base, other, strict=True), 1):
        for name in dict.fromkeys((*one.fields, *two.fields)):
            old, new = one.fields.get(name, _NONE), two.fields.get(name, _NONE)
            if old != new:
                changes.setdefault((name, old, new), []).append(number)
    return [
        f"{name}: {old} -> {new}   {_lines(numbers, _count(base, name, old))}"
        for (name, old, new), numbers in changes.items()
    ]


_NONE: Final = "none"


def _count(transcript: Transcript, name: str, text: str) -> int:
    return sum(line.fields.get(name) == text for line in transcript)


def _lines(numbers: Sequence[int], of: int) -> str:
    if len(numbers) == of > 1:
        return "everywhere"
    shown = ", ".join(map(str, numbers[:_NAMED]))
    more = f" and {len(numbers) - _NAMED} more" if len(numbers) > _NAMED else ""
    return f"in {'line' if len(numbers) == 1 else 'lines'} {shown}{more}"


# Expected beside observed.


def observed(lines: Sequence[str]) -> Html:
    """Write a transcript as the record has it."""
    digits = len(str(len(lines)))
    told = (f"{number:{digits}}  {' '.join(line.split())}" for number, line in enumerate(lines, 1))
    return tag("pre", block(told))


def compared(case: CaseRecord, pairs: Pairs) -> Html:
    """Write what was expected and what was seen, stop by stop; fields that differ are marked.

    :param pairs: the golden beside what was seen; without it only the lines that differ stand
        beside each other, and below them all that was seen
    """
    transcript = case.transcripts[0] if case.transcripts else None
    if transcript is None or not pairs:
        parts = [*_differing(case.differences, transcript)]
        return join([*parts, observed(transcript.lines)] if transcript else parts)
    return join(_walk(pairs, case.differences, transcript))


def leading(case: CaseRecord, count: int) -> Html:
    """Write the first lines in which a case differs, or in which its repeats do."""
    if case.verdict == UNSTABLE and not case.differences:
        return parted(case.transcripts)
    shown = case.differences[:count]
    parts = [_both(_LABELS, d.expected, d.observed, d.fields, d.line) for d in shown]
    more = len(case.differences) - count
    return join([*parts, tag("p", f"and {plural(more, 'more line')}") if more > 0 else ""])


def parted(transcripts: Sequence[TranscriptRecord]) -> Html:
    """Write how repeats of one case differ: the commonest transcript against each other one."""
    most, *others = sorted(transcripts, key=lambda each: -each.count)
    base = taken_apart(most.lines)
    parts: list[Html] = []
    for other in others:
        seen = taken_apart(other.lines)
        labels = (plural(most.count, "time"), plural(other.count, "time"))
        if base is None or seen is None:
            parts.append(observed(other.lines))
            continue
        for each in expectation.align(base, seen):
            parts.append(_both(labels, each.expected, each.observed, each.fields))
    return join(parts)


def _differing(
    differences: Iterable[DifferenceRecord], transcript: TranscriptRecord | None
) -> Iterator[Html]:
    position = 0
    for number, each in enumerate(differences):
        yield _both(_LABELS, each.expected, each.observed, each.fields, each.line)
        stop, position = raw_stop(transcript, each.observed, position)
        if stop and number < _RAW:
            yield raw(stop)


def _walk(
    pairs: Pairs,
    differences: Sequence[DifferenceRecord],
    transcript: TranscriptRecord,
) -> Iterator[Html]:
    """Write every pair of lines; runs of lines that are as expected fold."""
    pending = list(differences)
    equal: list[str] = []
    line = position = shown = 0
    for golden_line, seen in pairs:
        one, other = (str(each) if each else None for each in (golden_line, seen))
        line += one is not None
        if pending and (pending[0].expected, pending[0].observed) == (one, other):
            yield from _as_expected(equal, first=not shown)
            equal = []
            yield _both(_LABELS, one, other, pending.pop(0).fields, line if one else 0)
            stop, position = raw_stop(transcript, other, position)
            shown += 1
            if stop and shown <= _RAW:
                yield raw(stop)
        else:
            equal.append(f"{line:4}  {' '.join((other or '').split())}")
            position += other is not None
    yield from _as_expected(equal, first=False, last=True)


_LABELS: Final = ("expected", "observed")


def _as_expected(lines: Sequence[str], first: bool, last: bool = False) -> Iterator[Html]:
    """Write a run of lines as expected: those beside a difference, and the others on demand."""
    head = 0 if first else _CONTEXT
    tail = 0 if last else _CONTEXT
    hidden = len(lines) - head - tail
    if hidden < _MANY:
        parts = [lines] if lines else []
    else:
        parts = [lines[:head], lines[head : len(lines) - tail], lines[len(lines) - tail :]]
    for index, part in enumerate(parts):
        told = tag("pre", block(part), class_="same")
        if index == 1 and part:
            told = tag("details", tag("summary", f"{plural(len(part), 'line')} as expected"), told)
        if part:
            yield told


def _both(
    labels: tuple[str, str],
    upper: str | None,
    lower: str | None,
    fields: Sequence[str],
    number: int = 0,
) -> Html:
    """Write two lines under each other, field under field, those named in `fields` marked."""
    place = f"{number:4}" if number else "    "
    if upper is None or lower is None:
        rows = [
            join([f"{head}  {label:9} ", escaped(" ".join(text.split())) if text is not None
                  else tag("em", "(no such line)")])
            for head, label, text in zip((place, "    "), labels, (upper, lower), strict=True)
        ]  # fmt: skip
        return tag("pre", block(rows), class_="differs")
    told = columns(upper, lower, fields)
    rows = []
    for head, label, side in ((place, labels[0], "upper"), (" " * 4, labels[1], "lower")):
        cells = []
        for column in told:
            text = getattr(column, side)
            padding = " " * (column.width - len(text))
            cells.append(join([tag("mark", text) if column.marked and text else text, padding]))
        rows.append(join([f"{head}  {label:9} ", join(cells, " ")]))
    return tag("pre", block(rows), class_="differs")


# Raw values.


def raw(stop: RawStop) -> Html:
    """Write the numbers of one stop, to be opened: its registers, and what else was read."""
    regs = stop.get("regs", {})
    words = [f"{name:>8} {word}" for name, word in regs.items()]
    wide = max(map(len, words), default=0) + 2
    rows = [
        "".join(f"{word:{wide}}" for word in words[start : start + 4]).rstrip()
        for start in range(0, len(words), 4)
    ]
    rest = [f"{name:>8} {_plain(value)}" for name, value in stop.items() if name != "regs"]
    head = tag("summary", f"raw values of this stop ({stop.get('kind', '')})")
    return tag("details", head, tag("pre", block([*rows, *rest])), class_="raw")


def _plain(value: object) -> str:
    if isinstance(value, Mapping):
        return " ".join(f"{key}={_plain(each)}" for key, each in value.items()) or "-"
    if isinstance(value, list | tuple):
        return " ".join(map(_plain, value))
    return str(value)
