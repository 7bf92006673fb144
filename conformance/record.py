# SPDX-License-Identifier: GPL-2.0-only
"""The record: the JSON of one run, from which every report comes.

Version 1 is published as ``record.schema.json``, beside this file. The classes here have the
same shape, key for key: the one checker below reads a record by their annotations, so that what
it accepts is what they say. Raw stops alone stay open: a tracer may note more of a stop than this
version knows.
"""

from __future__ import annotations

import functools
import json
import os
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from pathlib import Path
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Final,
    NoReturn,
    TypedDict,
    TypeVar,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from conformance.errors import HarnessError, UsageError
from conformance.files import replace_all

FORMAT: Final = "origax-record"
VERSION: Final = 1

PASS: Final = "PASS"
FAIL: Final = "FAIL"
KNOWN: Final = "KNOWN"
SKIP: Final = "SKIP"
NOGOLDEN: Final = "NOGOLDEN"
UNSTABLE: Final = "UNSTABLE"
ERROR: Final = "ERROR"
MISS: Final = "MISS"
VERDICTS: Final = (PASS, FAIL, KNOWN, SKIP, NOGOLDEN, UNSTABLE, ERROR, MISS)
AS_EXPECTED: Final = (PASS, KNOWN, SKIP)

CONFORMS: Final = 0
MISMATCH: Final = 1
HARNESS: Final = 3
ALL_SKIPPED: Final = 4
NO_GOLDEN: Final = 5
CANNOT_BISECT: Final = 125

_STOPS: Final = '\n     "stops": [\n'
_STOPS_END: Final = "\n     ]"
_VERDICT: Final = '\n   "verdict": "'
"""How :func:`to_json` indents them."""

ABIS: Final = ("x86_64", "ia32", "x32")

T = TypeVar("T")


def exit_code(verdicts: Collection[str], bisect: bool = False) -> int:
    """Give the exit code of a run.

    A mismatch is an answer whatever else broke, so it goes first; a broken harness hides more than
    a golden that is not there. Nothing judged at all is as good as everything skipped.

    :param bisect: for ``git bisect run``: all but a yes and a no become 125, "cannot be tested"
    """
    if {FAIL, UNSTABLE}.intersection(verdicts):
        code = MISMATCH
    elif {ERROR, MISS}.intersection(verdicts):
        code = HARNESS
    elif NOGOLDEN in verdicts:
        code = NO_GOLDEN
    else:
        code = CONFORMS if {PASS, KNOWN}.intersection(verdicts) else ALL_SKIPPED
    return CANNOT_BISECT if bisect and code not in (CONFORMS, MISMATCH) else code


@dataclass(frozen=True, slots=True)
class _Limit:
    """What a value must be beyond its type; `text` finishes the sentence "what stands there"."""

    holds: Callable[[Any], bool]
    text: str


def _matches(pattern: str, text: str) -> _Limit:
    found = re.compile(pattern).fullmatch
    return _Limit(lambda value: found(value) is not None, text)


def _one_of(choices: tuple[str, ...]) -> _Limit:
    return _Limit(choices.__contains__, f"is none of {', '.join(choices)}")


Text = Annotated[str, _Limit(bool, "is empty")]
Sha256 = Annotated[str, _matches("[0-9a-f]{64}", "is not a SHA-256 in hex")]
Hex = Annotated[str, _matches("0x[0-9a-f]+", "is not a hex number")]
Time = Annotated[
    str,
    _matches(
        r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(Z|\+00:00)",
        "is not a time in UTC, such as 2024-05-01T12:00:00Z",
    ),
]
CaseId = Annotated[str, _matches(r"[a-z0-9_]+(\.[a-z0-9_]+)+", "is not a case id, FAMILY.NAME")]
Count = Annotated[int, _Limit(lambda value: value >= 0, "is below 0")]
Positive = Annotated[int, _Limit(lambda value: value >= 1, "is below 1")]
Seconds = Annotated[float, _Limit(lambda value: value >= 0, "is below 0")]


class _StopCore(TypedDict):
    who: str
    kind: str


class _StopShape(_StopCore, total=False):
    """What is fixed of a raw stop; any further key may stand beside these."""

    status: int
    regs: Mapping[str, Hex]
    differs: Mapping[str, Mapping[str, str]]
    siginfo: Mapping[str, Any]
    message: Count
    info: Mapping[str, Any]
    count: Positive


RawStop = Annotated[Mapping[str, Any], _StopShape]
"""One stop as the kernel showed it, numbers and all."""


@dataclass(frozen=True, slots=True)
class ToolRecord:
    """Which origax wrote the record; `probes` is the SHA-256 of all of its probes' code."""

    name: Text
    version: Text
    probes: Sha256


@dataclass(frozen=True, slots=True)
class EnvironmentRecord:
    """The facts of one boot of one machine, and details of its build that no fact names."""

    name: Text
    facts: Mapping[str, bool | int | str]
    build: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class OptionsRecord:
    """What the run was asked for; `timeout` in seconds."""

    frames: Positive
    repeat: Positive
    timeout: Seconds
    jobs: Positive
    patterns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DifferenceRecord:
    """One line that is not as expected: `line` counts from 1 in the golden, and is 0 for none."""

    line: Count
    expected: str | None
    observed: str | None
    fields: tuple[str, ...]
    change: str


@dataclass(frozen=True, slots=True)
class TranscriptRecord:
    """One distinct transcript: how many repeats gave it, its lines and its raw stops."""

    count: Positive
    lines: tuple[str, ...]
    stops: tuple[RawStop, ...]


@dataclass(frozen=True, slots=True)
class CaseRecord:
    """What became of one case. More than one transcript makes it UNSTABLE."""

    id: CaseId
    abi: Annotated[str, _one_of(ABIS)]
    door: Text
    verdict: Annotated[str, _one_of(VERDICTS)]
    reason: str
    variant: str | None
    weak: Count
    repeats: Count
    transcripts: tuple[TranscriptRecord, ...]
    differences: tuple[DifferenceRecord, ...]
    broken: tuple[str, ...]
    breaks: tuple[str, ...]
    source: tuple[str, ...]
    probes: Mapping[str, Sha256]
    measured: Mapping[str, int | float | str]
    duration: Seconds

    @property
    def family(self) -> str:
        """The first word of the id."""
        return self.id.partition(".")[0]


@dataclass(frozen=True, slots=True)
class SoakLine:
    """A line that frames of a path gave: how many, and the first after so many seconds."""

    line: Text
    frames: Positive
    first: Seconds


@dataclass(frozen=True, slots=True)
class SoakPath:
    """The frames of one path of a soak, its case's.

    :ivar row: of /proc/interrupts; so many `interrupts` of it arrived at that CPU
    :ivar seconds: of the soak, at which so many `frames` had been taken: some 200 moments
        at most
    :ivar values: frames by orig_ax, a signed decimal number
    :ivar unproven: stops that did not count, because the program was not back in its loop
    :ivar further: frames that are in neither `values` nor `lines`: they were of too many kinds
    """

    case: CaseId
    row: Text
    cpu: Count
    seconds: tuple[Seconds, ...]
    frames: tuple[Count, ...]
    interrupts: Count
    values: Mapping[str, Count]
    unproven: Count
    lines: tuple[SoakLine, ...]
    further: Count


@dataclass(frozen=True, slots=True)
class SoakRecord:
    """What a soak counted, path by path."""

    paths: tuple[SoakPath, ...]


@dataclass(frozen=True, slots=True)
class Record:
    """One run: where, when and with what, and every case of it, by id.

    :ivar soak: of a soak, whose cases are its paths; written only if it is there
    """

    tool: ToolRecord
    environment: EnvironmentRecord
    boot_id: Text
    started: Time
    duration: Seconds
    options: OptionsRecord
    interrupted: bool
    cases: tuple[CaseRecord, ...]
    soak: SoakRecord | None = None

    def __post_init__(self) -> None:
        """Put the cases in order: they come as they were done."""
        cases = sorted(self.cases, key=lambda case: case.id)
        object.__setattr__(self, "cases", tuple(cases))

    @property
    def verdicts(self) -> tuple[str, ...]:
        """The verdict of each case."""
        return tuple(case.verdict for case in self.cases)


def to_json(record: Record) -> str:
    """Write a record as text: cases by id, keys by name, so that equal runs are equal text."""
    top = {"format": FORMAT, "version": VERSION, **_keys(record)}
    return json.dumps(top, default=_keys, sort_keys=True, indent=1, allow_nan=False) + "\n"


def member(case: CaseRecord) -> str:
    """Write a case as it stands in the text of a record, without what is before the first line."""
    text = json.dumps(case, default=_keys, sort_keys=True, indent=1, allow_nan=False)
    return text.replace("\n", "\n  ")


def of_members(record: Record, members: Mapping[str, str]) -> str:
    """Write a record whose cases are text already, by id: what :func:`to_json` would give."""
    before, after = to_json(replace(record, cases=())).split('"cases": []')
    cases = ",\n  ".join(text for _, text in sorted(members.items()))
    return f'{before}"cases": [\n  {cases}\n ]{after}' if cases else to_json(record)


def _keys(value: Any) -> dict[str, Any]:
    if is_dataclass(value):
        members = ((field, getattr(value, field.name)) for field in fields(value))
        return {field.name: it for field, it in members if it is not field.default}
    return dict(value)


def from_json(text: str, on: str = "the record", stops: bool = True) -> Record:
    """Read a record from text.

    :param on: what the text is, for the message
    :param stops: also the raw stops of cases that came out as expected, which nobody looks at to
        explain a failure: they are nine tenths of a record, and most of the time to read it
    :raises UsageError: not JSON, not a record, of another version, or damaged
    """
    data = _parse(text if stops else _cut_stops(text), on)
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise UsageError("this is JSON, but not an origax record", on, _DO_GIVE)
    _check_version(data.get("version"), on)
    body = {key: value for key, value in data.items() if key not in ("format", "version")}
    if not stops:
        _drop_stops(body)
    try:
        record = shaped(Record, body)
        _check_ids(body["cases"])
    except MisfitError as misfit:
        at = f"{on}, at {misfit.where or 'its top'}"
        raise UsageError(f"the record is damaged: {misfit.what}", at, _DO_AGAIN) from None
    return record


def _cut_stops(text: str) -> str:
    """Cut what :func:`_drop_stops` would drop out of the text: it need not be parsed then.

    That is sure where each line is as :func:`to_json` writes it, for no string of JSON has a line
    break in it; of text that was written otherwise, nothing is cut.
    """
    parts, done = [], 0
    while (start := text.find(_STOPS, done)) >= 0:
        start += len(_STOPS) - 1
        end = text.find(_STOPS_END, start)
        verdict = text.find(_VERDICT, end) + len(_VERDICT)
        as_expected = text[verdict : text.find('"', verdict)] in AS_EXPECTED
        if min(end, verdict - len(_VERDICT)) < 0:
            break
        parts.append(text[done : start if as_expected else end])
        done = end
    return "".join(parts) + text[done:]


def _drop_stops(body: Any) -> None:
    """Leave out raw stops of cases that are as expected; what is no such case stays to be told."""
    cases = body.get("cases")
    for case in filter(_is_object, cases if isinstance(cases, list) else ()):
        given = case.get("transcripts")
        if case.get("verdict") in AS_EXPECTED and isinstance(given, list):
            for transcript in filter(_is_object, given):
                transcript.update({key: [] for key in transcript.keys() & {"stops"}})


def _is_object(data: Any) -> bool:
    return isinstance(data, dict)


def read(path: Path, stops: bool = True) -> Record:
    """Read the record in a file.

    :param stops: as :func:`from_json`
    :raises UsageError: there is none, it cannot be read, or as :func:`from_json`
    """
    try:
        text = path.read_bytes().decode()
    except FileNotFoundError:
        raise UsageError("there is no such record", str(path), _DO_GIVE) from None
    except OSError as error:
        what = f"the record cannot be read: {error.strerror}"
        raise UsageError(what, str(path), _DO_GIVE) from None
    except UnicodeDecodeError as error:
        what = f"the record is not JSON: byte {error.start} is no UTF-8"
        raise UsageError(what, str(path), _DO_GIVE) from None
    return from_json(text, str(path), stops)


def check_place(path: Path) -> None:
    """Make sure, before a run, that its record will have a place.

    :raises HarnessError: its directory is not there, or not writable
    """
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise HarnessError("no record can be written there", str(path), _DO_PLACE)


def write(path: Path, record: Record) -> None:
    """Write a record, whole or not at all.

    A pipe or a device, such as /dev/stdout, is written to in place: there is nothing to keep whole.

    :raises HarnessError: there is no room or no permission; what stood at `path` still does
    """
    text = to_json(record)
    try:
        in_place = path.exists() and not path.is_file()
        if in_place:
            path.write_text(text, encoding="ascii")
    except OSError as error:
        what = f"the record could not be written: {error.strerror}"
        raise HarnessError(what, str(path), _DO_PLACE) from error
    if not in_place:
        replace_all({path: text}, "the record", _DO_PLACE)


_DO_GIVE: Final = "give a file that `origax run --record FILE` wrote"
_DO_PLACE: Final = "make room there, or name a file in a directory that you may write to"
_DO_AGAIN: Final = "run the cases again with `origax run --record FILE`"


class MisfitError(Exception):
    """A value that is not as its annotation says; `where` is its JSON path."""

    def __init__(self, where: str, what: str) -> None:
        super().__init__(where, what)
        self.path = where
        self.what = what

    @property
    def where(self) -> str:
        """The path from the top."""
        return self.path.removeprefix(".")

    def within(self, step: str) -> MisfitError:
        """Say that it is inside of what this step leads to."""
        self.path = step + self.path
        return self


def shaped(kind: type[T], data: Any) -> T:
    """Build a dataclass of what JSON gave, each value checked against its annotation.

    :raises MisfitError: naming the first value that is not as it should be, and what is wrong
    """
    annotation: Any = kind
    built: T = _reader(annotation)(data)
    return built


def _parse(text: str, on: str) -> Any:
    try:
        return json.loads(text, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        at = f"{on}, line {error.lineno}, column {error.colno}"
        raise UsageError(f"the record is not JSON: {error.msg}", at, _DO_GIVE) from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"the record is not JSON: {error}", on, _DO_GIVE) from None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _check_version(version: Any, on: str) -> None:
    if type(version) is not int:
        raise UsageError("the record does not say which version it is", on, _DO_AGAIN)
    if version > VERSION:
        what = f"a newer origax wrote this record: version {version}, and this one reads {VERSION}"
        raise UsageError(what, on, "read it with that origax, or update this one")
    if version < VERSION:
        what = f"the record is of version {version}, which is read no more; now it is {VERSION}"
        raise UsageError(what, on, _DO_AGAIN)


def _check_ids(cases: list[dict[str, Any]]) -> None:
    seen: set[str] = set()
    for index, case in enumerate(cases):
        if case["id"] in seen:
            raise MisfitError(f"cases[{index}].id", f"{case['id']} stands twice")
        seen.add(case["id"])


Reader = Callable[[Any], Any]
"""Checks what JSON gave, and builds of it what an annotation names."""


@functools.cache
def _reader(kind: Any) -> Reader:
    """Give the reader of an annotation: made once, for a record has a million values."""
    origin = get_origin(kind)
    if kind is Any:
        return lambda data: data
    if origin is Annotated:
        return _annotated(*get_args(kind))
    if origin is tuple:
        return _list_of(_reader(get_args(kind)[0]))
    if origin is Mapping:
        return _map_of(_reader(get_args(kind)[1]))
    if is_dataclass(kind) or is_typeddict(kind):
        return _object_of(kind)
    if origin is UnionType and is_dataclass(get_args(kind)[0]):
        return _reader(get_args(kind)[0])  # there, or absent: never null
    return _plain(get_args(kind) if origin is UnionType else (kind,))


def _annotated(inner: Any, rule: Any) -> Reader:
    if not isinstance(rule, _Limit):
        return _reader(rule)
    read = _reader(inner)

    def limited(data: Any) -> Any:
        value = read(data)
        if not rule.holds(value):
            raise MisfitError("", f"{_shown(value)} {rule.text}")
        return value

    return limited


def _list_of(read: Reader) -> Reader:
    expect = _plain((list,))

    def items(data: Any) -> Any:
        done: list[Any] = []
        try:
            for value in expect(data):
                done.append(read(value))
        except MisfitError as misfit:
            raise misfit.within(f"[{len(done)}]" if type(data) is list else "") from None
        return tuple(done)

    return items


def _map_of(read: Reader) -> Reader:
    expect = _plain((dict,))

    def entries(data: Any) -> Any:
        done = {}
        for name, value in expect(data).items():
            try:
                done[name] = read(value)
            except MisfitError as misfit:
                raise misfit.within(_member(name)) from None
        return done

    return entries


def _object_of(kind: Any) -> Reader:
    """Read an object with named members: a dataclass has just these, a TypedDict may have more."""
    hints = get_type_hints(kind, include_extras=True)
    readers = {name: _reader(hint) for name, hint in hints.items()}
    open_ended = is_typeddict(kind)
    required = kind.__required_keys__ if open_ended else _required(kind)
    expect = _plain((dict,))

    def members(data: Any) -> Any:
        entries = expect(data)
        if missing := required - entries.keys():
            raise MisfitError(_member(min(missing)), "this is missing")
        if not open_ended and (unknown := entries.keys() - readers.keys()):
            raise MisfitError(_member(min(unknown)), "no such thing belongs here")
        values = dict(entries)
        for name in filter(readers.__contains__, entries):
            try:
                values[name] = readers[name](entries[name])
            except MisfitError as misfit:
                raise misfit.within(_member(name)) from None
        return values if open_ended else kind(**values)

    return members


def _required(kind: Any) -> frozenset[str]:
    return frozenset(each.name for each in fields(kind) if each.default is MISSING)


_NAMES: Final[Mapping[type, str]] = {
    dict: "an object",
    list: "a list",
    str: "a text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    NoneType: "null",
}


def _plain(wanted: tuple[type, ...]) -> Reader:
    """Give the reader of values of some types; a bool is no number, a whole number is a float."""
    allowed = frozenset((*wanted, int) if float in wanted else wanted)

    def plain(data: Any) -> Any:
        if type(data) in allowed:
            return data
        names = " or ".join(_NAMES[kind] for kind in wanted)
        raise MisfitError("", f"{_NAMES[type(data)]} stands where {names} belongs")

    return plain


def _member(name: str) -> str:
    plain = re.fullmatch("[A-Za-z0-9_]+", name) is not None
    return f".{name}" if plain else f"[{_shown(name)}]"


def _shown(value: Any) -> str:
    """Show a value of the record in a message: in ASCII, and not at length."""
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
