# SPDX-License-Identifier: GPL-2.0-only
"""Evidence: which environments confirmed which goldens, one small file each.

``expected/evidence/ENVIRONMENT.json`` is written from the record of one environment, by
``origax update --evidence``, and by nothing else. It says of every case that passed which golden
that was, so that a golden which changed since is told from one that was confirmed as it stands.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from conformance import expectation
from conformance.errors import HarnessError, UsageError
from conformance.expectation import Expectation, KnownIssue, Transcript
from conformance.files import replace_all
from conformance.record import (
    KNOWN,
    PASS,
    SKIP,
    CaseRecord,
    MisfitError,
    Positive,
    Record,
    Sha256,
    Text,
    ToolRecord,
    shaped,
)
from conformance.reports import parsed, plural, printable
from conformance.tables import read_text

if TYPE_CHECKING:
    from conformance.facts import Fact, Value

SHOWN: Final = 5
"""How many cases a refusal names."""


@dataclass(frozen=True, slots=True)
class Confirmation:
    """What one environment showed of one case.

    :ivar golden: SHA-256 of the lines of the golden that fitted, weak fields as they stand there
    :ivar known: it is the golden of a known issue
    :ivar agreed: how many repeats gave one transcript
    :ivar probes: the sites whose machine code ran
    """

    golden: Sha256
    known: bool
    agreed: Positive
    probes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Evidence:
    """An environment, and the cases that it confirmed, by id.

    :ivar facts: all but :data:`conformance.facts.PASSING`
    :ivar probes: SHA-256 of the machine code of each site that its cases name
    :ivar repeats: how often each case was to run
    """

    environment: Text
    facts: Mapping[str, bool | int | str]
    tool: ToolRecord
    repeats: Positive
    probes: Mapping[str, Sha256]
    cases: Mapping[str, Confirmation]


# Read.


def read(expected: Path) -> tuple[Evidence, ...]:
    """Read which environments confirmed which cases.

    :raises UsageError: a file is garbled
    """
    return tuple(_read(path) for path in sorted((expected / "evidence").glob("*.json")))


def _read(path: Path) -> Evidence:
    try:
        return shaped(Evidence, json.loads(read_text(path)))
    except MisfitError as misfit:
        what = f"{misfit.where or 'its top'}: {misfit.what}"
    except (ValueError, RecursionError) as error:
        what = str(error)
    do = "restore it from git, or write it again from a record"
    raise UsageError(f"the evidence is garbled: {what}", str(path), do)


def told(
    evidence: Iterable[Evidence], wanted: Expectation, known: Sequence[KnownIssue]
) -> list[str]:
    """Name the environments that confirmed a case, and say where that was another golden."""
    lines = []
    for each in evidence:
        confirmation = each.cases.get(wanted.case_id)
        if confirmation is None:
            continue
        text = printable(each.environment)
        if confirmation.known:
            text += ", as a known issue"
        if confirmation.golden != _digest_today(wanted, each.facts, known):
            text += ", by a golden that has changed since"
        lines.append(text)
    return lines


def _digest_today(
    wanted: Expectation, facts: Mapping[str, Value], known: Sequence[KnownIssue]
) -> str | None:
    """Digest what the files say for an environment now; None where they say nothing."""
    try:
        issue = expectation.known_here(known, wanted.case_id, facts)
        golden = issue or wanted.choose(facts)
    except UsageError:
        return None  # A `when` asks for a fact that is younger than the evidence.
    return _digest(golden.transcript) if golden else None


def _digest(golden: Transcript) -> str:
    return hashlib.sha256("\n".join(map(str, golden)).encode()).hexdigest()


# Write.


def write(records: Sequence[Record], expected: Path, environ: Mapping[str, str]) -> str:
    """Write the evidence of each record's environment.

    :returns: the text to print
    :raises UsageError: a record is refused, or a file is wrong; nothing is written
    :raises HarnessError: a file could not be written; none is half-written
    """
    from conformance.facts import vocabulary

    if environ.get("CI"):
        on = "origax update --evidence"
        raise UsageError("evidence is not written in CI", on, "write it where you can look at it")
    words = vocabulary(expected)
    known = expectation.load_known(expected, words)
    found: dict[Path, Evidence] = {}
    for record in records:
        path = path_of(expected, record.environment.name)
        if path in found:
            do = "give one record an environment"
            raise UsageError("two records are of one environment", path.stem, do)
        found[path] = gather(record, expected, words, known)
        _refuse_loss(path, record, found[path])
    try:
        (expected / "evidence").mkdir(exist_ok=True)
    except OSError as error:
        what = f"there can be no evidence: {error.strerror}"
        raise HarnessError(what, str(expected / "evidence"), _DO_ROOM) from error
    texts = {path: to_json(each) for path, each in found.items()}
    replace_all(texts, "evidence", _DO_ROOM)
    return "".join(
        f"wrote {path}: {plural(len(each.cases), 'case')} confirmed,"
        f" {sum(case.known for case in each.cases.values())} as known issues\n"
        for path, each in found.items()
    )


_DO_ROOM: Final = "make room there, and see with git what is changed"


def path_of(expected: Path, environment: str) -> Path:
    """Give the file of an environment; what no file name should have becomes ``_``."""
    name = re.sub(r"[^A-Za-z0-9._-]", "_", environment).lstrip(".")
    return expected / "evidence" / f"{name[:200] or '_'}.json"


def gather(
    record: Record, expected: Path, vocabulary: Mapping[str, Fact], known: Sequence[KnownIssue]
) -> Evidence:
    """Take from a record what it is evidence of, judged by the goldens of today.

    :raises UsageError: the record is of an interrupted run, or a case does not pass
    """
    from conformance.facts import PASSING

    environment = record.environment
    on = printable(environment.name)
    if record.interrupted:
        do = "run it again, to its end: origax run --record FILE"
        raise UsageError("the record is of an interrupted run", on, do)
    cases: dict[str, Confirmation] = {}
    failing: list[str] = []
    for case in record.cases:
        if case.verdict == SKIP:
            continue
        golden = _confirmed(case, environment.facts, expected, vocabulary, known)
        if isinstance(golden, Confirmation):
            cases[case.id] = golden
        else:
            failing.append(f"{case.id} ({golden})")
    if failing:
        what = f"{plural(len(failing), 'case')} of the record did not pass: {_some(failing)}"
        do = "see `origax report RECORD`; evidence is of what passed, and of all that ran"
        raise UsageError(what, on, do)
    return Evidence(
        on,
        {name: value for name, value in environment.facts.items() if name not in PASSING},
        record.tool,
        record.options.repeat,
        {site: digest for case in record.cases for site, digest in case.probes.items()},
        cases,
    )


def _confirmed(
    case: CaseRecord,
    facts: Mapping[str, Value],
    expected: Path,
    vocabulary: Mapping[str, Fact],
    known: Sequence[KnownIssue],
) -> Confirmation | str:
    """Say which golden a case confirms, or why it confirms none."""
    if case.verdict not in (PASS, KNOWN):
        return case.verdict
    if len(case.transcripts) != 1:
        return "its repeats part"
    wanted = expectation.find(expected, case.id, vocabulary)
    issue = expectation.known_here(known, case.id, facts)
    [transcript] = case.transcripts
    verdict = expectation.judge(wanted, facts, parsed(transcript.lines), issue).verdict
    if verdict not in (PASS, KNOWN) or wanted is None:
        return f"{verdict} by the golden of today"
    golden = issue or wanted.choose(facts)
    assert golden is not None  # judge() says NOGOLDEN otherwise
    probes = tuple(sorted(case.probes))
    return Confirmation(_digest(golden.transcript), verdict == KNOWN, transcript.count, probes)


def _refuse_loss(path: Path, record: Record, new: Evidence) -> None:
    """Refuse the record of some cases only where the evidence there is of more.

    :raises UsageError: naming what it lacks
    """
    if not path.exists():
        return
    old = _read(path)
    if old.environment != new.environment:
        do = "rename one of the environments"
        raise UsageError(f"{printable(old.environment)} has that file already", str(path), do)
    lost = sorted(old.cases.keys() - {case.id for case in record.cases})
    if lost and record.options.patterns:
        what = f"the record lacks {plural(len(lost), 'case')} of the evidence: {_some(lost)}"
        raise UsageError(what, str(path), "run all cases there: origax run --record FILE")


def _some(names: Sequence[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(map(printable, names[:SHOWN])) + (f" and {more} more" if more > 0 else "")


def to_json(evidence: Evidence) -> str:
    """Write evidence as text: keys by name, and each fact, probe and case on a line of its own."""
    members = []
    for field in sorted(fields(evidence), key=lambda field: field.name):
        value = getattr(evidence, field.name)
        if isinstance(value, Mapping):
            lines = (f"  {_flat(key)}: {_flat(value[key])}" for key in sorted(value))
            text = "{\n" + ",\n".join(lines) + "\n }"
        else:
            text = _flat(value)
        members.append(f' "{field.name}": {text}')
    return "{\n" + ",\n".join(members) + "\n}\n"


def _flat(value: Any) -> str:
    return json.dumps(value, default=_keys, sort_keys=True)


def _keys(value: Any) -> dict[str, Any]:
    return {field.name: getattr(value, field.name) for field in fields(value)}
