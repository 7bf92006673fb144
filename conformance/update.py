# SPDX-License-Identifier: GPL-2.0-only
"""Update the golden files from records: propose, refuse, accept.

What records show of one case in the place of one golden is a change; changes that say the same
of several cases form a group, which has an ID. Accepting writes a whole group or nothing.
"""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import json
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from conformance import expectation
from conformance.errors import HarnessError, UsageError
from conformance.expectation import (
    BASES,
    WEAK,
    Difference,
    Expectation,
    Transcript,
    Variant,
    check_condition,
    pair,
)
from conformance.record import ERROR, KNOWN, MISS, PASS, UNSTABLE, CaseRecord, Record
from conformance.reports import parsed, plural, printable
from conformance.transcript import Line

if TYPE_CHECKING:
    from conformance.facts import Fact, Value

REPEATS: Final = 10
"""How many repeats must agree before a golden may follow them."""

NO_SOURCE: Final = (UNSTABLE, ERROR, MISS)
"""Verdicts after which a transcript is not to be trusted."""

Probes = Mapping[str, str]
"""SHA-256 of each probe's machine code, by the name of its site."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """What one record shows of one case, and where."""

    environment: str
    facts: Mapping[str, Value]
    case: CaseRecord
    transcript: Transcript


@dataclass(frozen=True, slots=True)
class Change:
    """What records show of one case where its golden says otherwise, or where none fits."""

    before: Expectation
    variant: Variant | None
    transcript: Transcript
    """What the golden would be: as seen, but weak fields stay weak."""
    what: tuple[str, ...]
    """Each difference with its place."""
    sightings: tuple[Sighting, ...]

    @property
    def on(self) -> str:
        """The case and the environments, for messages."""
        names = dict.fromkeys(sighting.environment for sighting in self.sightings)
        return f"{self.before.case_id} on {', '.join(names)}"


@dataclass(frozen=True, slots=True)
class Group:
    """Changes that say the same."""

    changes: tuple[Change, ...]

    @property
    def id(self) -> str:
        """Short, and the same for the same change whatever cases and records show it."""
        return hashlib.sha256("\n".join(self.changes[0].what).encode()).hexdigest()[:8]

    @property
    def cases(self) -> list[str]:
        """The cases that change, each once."""
        return list(dict.fromkeys(change.before.case_id for change in self.changes))

    @property
    def environments(self) -> list[str]:
        """Where they do, each once."""
        names = (s.environment for change in self.changes for s in change.sightings)
        return list(dict.fromkeys(names))


@dataclass(frozen=True, slots=True)
class Proposals:
    """All that records would change, and what they say beside that."""

    groups: tuple[Group, ...]
    sightings: tuple[Sighting, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Acceptance:
    """What a person says for a group: why it is right, where it holds, what it rests on."""

    id: str
    reason: str
    when: str | None
    basis: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """An environment of ``expected/evidence/``, and the cases that it confirmed."""

    environment: str
    facts: Mapping[str, Value]
    cases: frozenset[str]


def run(
    records: Sequence[Record],
    expected: Path,
    *,
    accept: str | None,
    reason: str,
    when: str | None,
    basis: str = "observed",
    current_probes: Callable[[], Probes],
    environ: Mapping[str, str],
) -> str:
    """Show what records would change; with `accept`, the ID of a group, write that group.

    :param current_probes: gives the machine code of the probes of this build
    :returns: the text to print
    :raises UsageError: the group is refused, or a file is wrong; nothing is written
    :raises HarnessError: a file could not be written; no golden is half-written
    """
    from conformance.facts import vocabulary

    words = vocabulary(expected)
    proposals = propose(records, expected, words)
    probes = current_probes() if proposals.groups else {}
    if accept is None:
        return _show(proposals, probes)
    acceptance = Acceptance(accept, reason.strip(), when, basis)
    _check_acceptance(acceptance, words, environ)
    group = _find(proposals, accept)
    for change in group.changes:
        for refusal in refusals(change, probes):
            raise refusal
    texts = _plan(group, acceptance, proposals.sightings, expected, words)
    replace_all(texts)
    return "".join(f"{accept}: wrote {path}\n" for path in texts)


# Propose.


def propose(
    records: Sequence[Record], expected: Path, vocabulary: Mapping[str, Fact]
) -> Proposals:
    """Find what records show and the goldens do not say, equal changes as one group.

    :raises UsageError: an expectation is wrong
    """
    sightings: list[Sighting] = []
    notes: list[str] = []
    for record in records:
        for case in record.cases:
            reason = _untrusted(record, case)
            if reason:
                where = f"{case.id} on {printable(record.environment.name)}"
                notes.append(f"not used: {where}: {reason}")
            elif case.transcripts:
                environment = record.environment
                seen = parsed(case.transcripts[0].lines)
                sightings.append(
                    Sighting(printable(environment.name), environment.facts, case, seen)
                )
    changes, missing = _changes(sightings, expected, vocabulary)
    groups: dict[tuple[str, ...], list[Change]] = {}
    for change in changes:
        groups.setdefault(change.what, []).append(change)
    return Proposals(
        tuple(Group(tuple(each)) for each in groups.values()),
        tuple(sightings),
        (*missing, *notes),
    )


def _untrusted(record: Record, case: CaseRecord) -> str:
    if record.interrupted:
        return "the record is of an interrupted run"
    return f"the verdict is {case.verdict}" if case.verdict in NO_SOURCE else ""


def _changes(
    sightings: Iterable[Sighting], expected: Path, vocabulary: Mapping[str, Fact]
) -> tuple[list[Change], list[str]]:
    """Judge every sighting by the files of today; also says which files are not there."""
    known = expectation.load_known(expected, vocabulary)
    found: dict[str, Expectation | None] = {}
    changes: dict[tuple[str | None, ...], Change] = {}
    for sighting in sightings:
        case_id = sighting.case.id
        if case_id not in found:
            found[case_id] = expectation.find(expected, case_id, vocabulary)
        before = found[case_id]
        issue = expectation.known_here(known, case_id, sighting.facts)
        judgement = expectation.judge(before, sighting.facts, sighting.transcript, issue)
        if before is None or judgement.verdict in (PASS, KNOWN):
            continue
        variant = before.choose(sighting.facts)
        if variant is None or judgement.differences:
            change = _change(before, variant, sighting, judgement.differences)
            key = (case_id, judgement.variant, *map(str, change.transcript))
            earlier = changes[key].sightings if key in changes else ()
            changes[key] = replace(change, sightings=(*earlier, sighting))
    missing = [
        f"{case_id}: has no expectation; write {expectation.path_of(expected, case_id)} first,"
        " with intent, source and breaks"
        for case_id, before in found.items()
        if before is None
    ]
    return list(changes.values()), missing


def _change(
    before: Expectation,
    variant: Variant | None,
    sighting: Sighting,
    differences: Sequence[Difference],
) -> Change:
    seen = sighting.transcript
    if variant is None:
        what = (f"a new variant of {before.case_id}", *map(str, seen))
        return Change(before, None, seen, what, (sighting,))
    golden = variant.transcript
    said = tuple(_say(golden, difference) for difference in differences)
    return Change(before, variant, _keep_weak(golden, seen), said, (sighting,))


def _keep_weak(golden: Transcript, seen: Transcript) -> Transcript:
    """Give a transcript with the golden's weak fields weak."""
    return tuple(
        replace(
            line,
            fields={
                name: WEAK if old and old.fields.get(name) == WEAK else text
                for name, text in line.fields.items()
            },
        )
        for old, line in pair(golden, seen)
        if line
    )


def _say(golden: Transcript, difference: Difference) -> str:
    """Say a difference with its place: "orig_ax at stop 2: 39/getpid -> -1"."""
    if difference.expected is None:
        return f"one more line: {difference.observed}"
    lines = golden[: difference.line]
    head = lines[-1].head
    place = f"{head} {sum(line.head == head for line in lines)}"
    if difference.observed is None:
        return f"{place} is gone: {difference.expected}"
    if len(difference.fields) == 1:
        field, _, values = difference.change.partition(": ")
        return f"{field} at {place}: {values}"
    return f"at {place}: {difference.change}"


def _show(proposals: Proposals, probes: Probes) -> str:
    lines = [line for group in proposals.groups for line in (*_show_group(group, probes), "")]
    if not proposals.groups:
        lines.append("Nothing to update: what the records show is what the goldens say.")
    return "\n".join([*lines, *proposals.notes]).rstrip("\n") + "\n"


def _show_group(group: Group, probes: Probes) -> Iterator[str]:
    first = group.changes[0]
    said = first.what if first.variant else first.what[:1]
    where = f"{plural(len(group.environments), 'environment')}"
    yield f"{group.id}  {said[0]}, in {plural(len(group.cases), 'case')}, on {where}"
    yield from (f"          {line}" for line in said[1:])
    yield f"    cases: {', '.join(group.cases)}"
    yield f"    on: {', '.join(group.environments)}"
    name = f"{first.before.path} {first.variant.name if first.variant else '(no variant)'}"
    golden = first.variant.transcript if first.variant else ()
    old, new = ([str(line) for line in lines] for lines in (golden, first.transcript))
    diff = difflib.unified_diff(old, new, name, group.environments[0], n=1, lineterm="")
    yield from (f"    {printable(line)}" for line in diff)
    refused = [refusal for change in group.changes for refusal in refusals(change, probes)]
    for refusal in refused:
        yield f"    cannot be accepted: {refusal.what} ({refusal.on})"
    if not refused:
        when = "" if first.variant else " --when EXPR"
        yield f"    accept: origax update RECORD... --accept {group.id}{when} --reason TEXT"


# Refuse.


def refusals(change: Change, probes: Probes) -> Iterator[UsageError]:
    """Give every reason why a change cannot be accepted, whoever accepts it and how."""
    for sighting in change.sightings:
        yield from _refuse_sighting(sighting, probes)
    before, variant = change.before, change.variant
    for breach in expectation.broken(before.invariants, change.transcript):
        what = f"it breaks the invariant {breach}"
        yield UsageError(what, change.on, f"if that is right, edit {before.path} by hand")
    if variant is None:
        return
    lost = _stops(variant.transcript) - _stops(change.transcript)
    if lost > 0:
        yield UsageError(
            f"the transcript lost {plural(lost, 'stop')}",
            change.on,
            "find out why; if the kernel is right, write that transcript by hand",
        )


def _refuse_sighting(sighting: Sighting, probes: Probes) -> Iterator[UsageError]:
    case = sighting.case
    on = f"{case.id} on {sighting.environment}"
    again = f"record it again: origax run {case.id} --repeat {REPEATS} --record FILE"
    counts = [transcript.count for transcript in case.transcripts]
    if len(counts) > 1 or counts[0] < REPEATS:
        what = "the repeats part" if len(counts) > 1 else f"only {plural(counts[0], 'repeat')} agree"
        yield UsageError(f"{what}, and it takes {REPEATS} that agree", on, again)
    if any(WEAK in line.fields.values() for line in sighting.transcript):
        do = "make a field weak by hand, with a reason under [weak]"
        yield UsageError(f"a field turned into {WEAK}", on, do)
    stale = sorted(site for site, digest in case.probes.items() if probes.get(site) != digest)
    if stale or not case.probes:
        what = f"the machine code of {', '.join(stale) or 'its probe'} is not the one recorded"
        yield UsageError(what, on, again)


def _stops(lines: Iterable[Line]) -> int:
    return sum(line.head == "stop" for line in lines)


def _check_acceptance(
    acceptance: Acceptance, vocabulary: Mapping[str, Fact], environ: Mapping[str, str]
) -> None:
    on = f"--accept {acceptance.id}"
    if environ.get("CI"):
        raise UsageError("a golden is not written in CI", on, "accept it where you can look at it")
    if not acceptance.reason:
        raise UsageError("there is no reason", on, 'say why it is right: --reason "..."')
    if acceptance.basis not in BASES:
        do = f"give one of {', '.join(BASES)}"
        raise UsageError(f"{acceptance.basis!r} is no basis", "--basis", do)
    if acceptance.when is not None:
        check_condition(acceptance.when, vocabulary, "--when")


def _find(proposals: Proposals, wanted: str) -> Group:
    for group in proposals.groups:
        if group.id == wanted:
            return group
    known = ", ".join(group.id for group in proposals.groups) or "these records change nothing"
    raise UsageError("there is no such change in these records", wanted, f"give one of: {known}")


def _check_reach(
    group: Group, after: Expectation, sightings: Iterable[Sighting], evidence: Iterable[Evidence]
) -> None:
    """Refuse a new golden that reaches an environment which did not show it, or misses one.

    :raises UsageError: naming that environment
    """
    change = next(c for c in group.changes if c.before.case_id == after.case_id)
    before, case_id = change.before, after.case_id
    split = "say where the change holds: --when EXPR"
    for environment in (s.environment for c in _of(group, case_id) for s in c.sightings):
        ...
