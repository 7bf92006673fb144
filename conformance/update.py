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
from dataclasses import dataclass
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
from conformance.record import ERROR, KNOWN, MISS, PASS, SKIP, UNSTABLE, CaseRecord, Record
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
            elif case.transcripts and case.verdict not in (SKIP, KNOWN):
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
    changes: dict[tuple[str, str | None, Transcript], Change] = {}
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
            changes[key] = _with(changes.get(key := (case_id, judgement.variant, str_of(change.transcript))), change)
    missing = [
        f"{case_id}: has no expectation; write {expectation.path_of(expected, case_id)} first,"
        " with intent, source and breaks"
        for case_id, before in found.items()
        if before is None
    ]
    return list(changes.values()), missing
