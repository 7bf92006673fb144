# SPDX-License-Identifier: GPL-2.0-only
"""Update the golden files from records: propose, refuse, accept.

What records show of one case in the place of one golden is a change; changes that say the same
of several cases form a group, which has an ID. Accepting writes a whole group or nothing.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from conformance import evidence, expectation
from conformance.errors import HarnessError, UsageError
from conformance.evidence import Evidence
from conformance.expectation import (
    BASES,
    WEAK,
    Difference,
    Expectation,
    Transcript,
    Variant,
    check_condition,
    weakened,
)
from conformance.files import replace_all
from conformance.record import ERROR, KNOWN, MISS, PASS, UNSTABLE, CaseRecord, Record
from conformance.reports import parsed, plural, printable
from conformance.tables import read_text
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

    def of(self, case_id: str) -> list[Change]:
        """Give its changes of one case, one a variant."""
        return [change for change in self.changes if change.before.case_id == case_id]

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
    replace_all(texts, "a golden", "make room there, and see with git what is changed")
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
    return Change(before, variant, weakened(golden, seen), said, (sighting,))



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
    return "\n".join(map(printable, [*lines, *proposals.notes])).rstrip("\n") + "\n"


def _show_group(group: Group, probes: Probes) -> Iterator[str]:
    first = group.changes[0]
    said = first.what if first.variant else first.what[:1]
    where = plural(len(group.environments), "environment")
    yield f"{group.id}  {said[0]}, in {plural(len(group.cases), 'case')}, on {where}"
    yield from (f"          and {line}" for line in said[1:])
    yield f"    cases: {', '.join(group.cases)}"
    yield f"    on: {', '.join(group.environments)}"
    name = f"{first.before.path} {first.variant.name if first.variant else '(no variant)'}"
    golden = first.variant.transcript if first.variant else ()
    old, new = ([str(line) for line in lines] for lines in (golden, first.transcript))
    diff = difflib.unified_diff(old, new, name, group.environments[0], n=1, lineterm="")
    yield from (f"    {line}" for line in diff)
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
        yield from _refuse_sighting(sighting, change.before, probes)
    golden = change.variant.transcript if change.variant else ()
    lost = _stops(golden) - _stops(change.transcript)
    if lost > 0:
        yield UsageError(
            f"the transcript lost {plural(lost, 'stop')}",
            change.on,
            "find out why; if the kernel is right, write that transcript by hand",
        )


def _refuse_sighting(
    sighting: Sighting, before: Expectation, probes: Probes
) -> Iterator[UsageError]:
    case = sighting.case
    on = f"{case.id} on {sighting.environment}"
    again = f"record it again: origax run {case.id} --repeat {REPEATS} --record FILE"
    counts = [transcript.count for transcript in case.transcripts]
    if len(counts) > 1 or counts[0] < REPEATS:
        what = "the repeats part" if len(counts) > 1 else plural(counts[0], "repeat")
        yield UsageError(f"{what}: it takes {REPEATS} that agree", on, again)
    for breach in expectation.broken(before.invariants, sighting.transcript):
        what = f"it breaks the invariant {printable(breach)}"
        yield UsageError(what, on, f"if that is right, edit {before.path} by hand")
    if any(WEAK in line.fields.values() for line in sighting.transcript):
        do = "make a field weak by hand, with a reason under [weak]"
        yield UsageError(f"a field turned into {WEAK}", on, do)
    if any(printable(str(line)) != str(line) for line in sighting.transcript):
        yield UsageError("a line is not all printable ASCII", on, "see the record for what it is")
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
    group: Group, after: Expectation, sightings: Iterable[Sighting], confirmed: Iterable[Evidence]
) -> None:
    """Refuse a new golden that misses a source, or reaches an environment that is not one.

    :raises UsageError: naming that environment
    """
    changes = group.of(after.case_id)
    before = changes[0].before
    sources = [sighting for change in changes for sighting in change.sightings]
    shown = set()
    for sighting in sightings:
        on = f"{after.case_id} on {sighting.environment}"
        if expectation.judge(after, sighting.facts, sighting.transcript).verdict == PASS:
            shown.add(sighting.environment)
        elif _moves(before, after, sighting.facts):
            what = "an environment of the same variant does not show the change"
            raise UsageError(what, on, "split the variant: --when EXPR, false there")
        elif sighting in sources:
            what = "the condition does not hold where the change was seen"
            raise UsageError(what, on, "give --when EXPR that is true there")
    for each in confirmed:
        unseen = after.case_id in each.cases and each.environment not in shown
        if unseen and _moves(before, after, each.facts):
            raise UsageError(
                "the evidence covers more environments than the records given",
                f"{after.case_id} on {each.environment}",
                "give its record too, or split the variant: --when EXPR, false there",
            )


def _moves(before: Expectation, after: Expectation, facts: Mapping[str, Value]) -> bool:
    """Say whether the golden of an environment changes."""
    old, new = before.choose(facts), after.choose(facts)
    return (old and old.transcript) != (new and new.transcript)


# Accept.


def _plan(
    group: Group,
    acceptance: Acceptance,
    sightings: Sequence[Sighting],
    expected: Path,
    vocabulary: Mapping[str, Fact],
) -> dict[Path, str]:
    """Give the new text of every file, each read back and judged; nothing is written."""
    confirmed = evidence.read(expected)
    texts = {}
    for case_id in group.cases:
        changes = group.of(case_id)
        before = changes[0].before
        text = _edit(read_text(before.path), before, changes, acceptance)
        try:
            after = expectation.parse(text, before.path, case_id, vocabulary)
            expectation.check(after)
        except UsageError as error:
            what = f"the golden would be wrong: {error.what}"
            raise UsageError(what, error.on, error.do) from None
        _check_edit(before, after, changes, acceptance)
        _check_reach(group, after, [s for s in sightings if s.case.id == case_id], confirmed)
        texts[before.path] = text
    return texts


def _check_edit(
    before: Expectation, after: Expectation, changes: Sequence[Change], acceptance: Acceptance
) -> None:
    """Refuse an edit that did anything but what was meant."""
    replaced = _rewritten(changes, acceptance)
    wanted = [v.transcript for v in before.variants if v.name not in replaced]
    wanted += [change.transcript for change in changes]
    if sorted(map(str, wanted)) != sorted(str(v.transcript) for v in after.variants):
        do = "edit the file by hand, and report this"
        raise HarnessError("the edit went wrong, nothing is written", str(before.path), do)


def _rewritten(changes: Iterable[Change], acceptance: Acceptance) -> set[str]:
    """Name the variants whose transcripts are replaced; a split leaves them as they are."""
    return {c.variant.name for c in changes if c.variant and acceptance.when is None}


Body = list[tuple[Any, Any]]
"""A table as tomlkit holds it: keys with their values, and None with blank lines and comments."""


def _edit(
    text: str, before: Expectation, changes: Sequence[Change], acceptance: Acceptance
) -> str:
    """Give the text of an expectation file with the changes, all else as it was."""
    tomlkit = _tomlkit()
    if not before.variants:
        return f"{text.rstrip()}\n\n{_new_variant('base', changes[0], acceptance)}"
    document = tomlkit.parse(text)
    tables = document["variant"]
    if not isinstance(tables, tomlkit.items.AoT) or tomlkit.dumps(document) != text:
        do = "write each under [[variant]], with nothing else between them"
        raise UsageError("the variants cannot be edited where they are", str(before.path), do)
    replaced = _rewritten(changes, acceptance)
    _check_alone(before, replaced)
    for variant in before.variants:
        if variant.like in replaced and variant.name not in replaced:
            _write_transcript(_body(tables, variant.name), variant.transcript)
    for change in changes:
        if change.variant and acceptance.when is None:
            _rewrite(_body(tables, change.variant.name), change, acceptance)
        else:
            _split(tables, change, acceptance)
    return str(tomlkit.dumps(document))


def _check_alone(before: Expectation, replaced: set[str]) -> None:
    """Refuse to rewrite a variant that those of another case are like."""
    for other in sorted(before.path.parent.glob("*.toml")):
        text = other.read_text()
        for name in sorted(replaced):
            if f'"{before.case_id}:{name}"' in text:
                what = f"the variant {name!r} is what another case's is like"
                do = "split it with --when, or edit both files by hand"
                raise UsageError(what, str(other), do)


def _tomlkit() -> Any:
    try:
        import tomlkit
    except ImportError:
        raise UsageError(
            "goldens are edited with tomlkit, which is not installed",
            "origax update --accept",
            "pip install 'origax[update]'",
        ) from None
    return tomlkit


def _new_variant(name: str, change: Change, acceptance: Acceptance) -> str:
    if acceptance.when is None:
        raise UsageError(
            "a new variant needs a condition",
            change.on,
            "say where it holds: --when EXPR, such as --when x86_64",
        )
    return (
        "[[variant]]\n"
        f"name = {_text(name)}\n"
        f"when = {_text(acceptance.when)}\n"
        f"basis = {_text(acceptance.basis)}\n"
        f"transcript = {_transcript(change.transcript)}\n"
        f"why = {_text(acceptance.reason)}\n"
    )


def _text(text: str) -> str:
    return str(_tomlkit().string(text).as_string())


def _transcript(lines: Transcript) -> str:
    text = "\n".join(map(str, lines)).replace("\\", "\\\\").replace('"""', '""\\"')
    return f'"""\n{text}\n"""'


def _body(tables: Any, name: str) -> Body:
    for table in tables:
        body: Body = table.value.body
        if body[_at(body, "name")][1] == name:
            return body
    raise KeyError(name)


def _at(body: Body, wanted: str) -> int:
    """Give where a key stands; -1 if it does not."""
    return next((i for i, (key, _) in enumerate(body) if key and key.key == wanted), -1)


def _write(body: Body, key: str, value: str, old: str, after: str = "") -> None:
    """Put a value where `old` stands, with its comment; else below the key `after`."""
    tomlkit = _tomlkit()
    item = tomlkit.value(value)
    index = _at(body, old)
    if index < 0:
        body.insert(_at(body, after) + 1, (tomlkit.key(key), item))
        return
    was = body[index][1].trivia
    item.trivia.indent, item.trivia.trail = was.indent, was.trail
    item.trivia.comment_ws, item.trivia.comment = was.comment_ws, was.comment
    body[index] = (body[index][0] if key == old else tomlkit.key(key), item)


def _rewrite(body: Body, change: Change, acceptance: Acceptance) -> None:
    """Give a variant another transcript, basis and reason."""
    _write_transcript(body, change.transcript)
    _write(body, "basis", _text(acceptance.basis), old="basis")
    _write(body, "why", _text(acceptance.reason), old="why", after="transcript")


def _write_transcript(body: Body, transcript: Transcript) -> None:
    """Put a transcript in the place of the old one, or of `like`, `replace` and `lines`."""
    old = "like" if _at(body, "like") >= 0 else "transcript"
    _write(body, "transcript", _transcript(transcript), old=old)
    for key in ("replace", "lines"):
        index = _at(body, key)
        if index >= 0:
            body[index : index + 1] = _comments(body[index][1]) if key == "replace" else []


def _comments(item: Any) -> Body:
    """Give the comments in and beside a value as lines of their own."""
    text = f"{item.as_string()} {item.trivia.comment}"
    found = re.findall(r"\"(?:\\.|[^\"\\])*\"|'[^']*'|(#[^\n]*)", text)
    comment = _tomlkit().comment
    return [(None, comment(text.lstrip("# ").rstrip())) for text in found if text]


def _split(tables: Any, change: Change, acceptance: Acceptance) -> None:
    """Add a variant below the one it comes from, and narrow that; else below the last."""
    names = [str(table.value.body[_at(table.value.body, "name")][1]) for table in tables]
    slug = re.sub(r"[^a-z0-9]+", "_", (acceptance.when or "").lower()).strip("_")[:40]
    name = next(n for n in (slug, *(f"{slug}_{i}" for i in range(2, 99))) if n not in names)
    text = _new_variant(name, change, acceptance)
    [table] = _tomlkit().parse(text)["variant"]
    index = names.index(change.variant.name) if change.variant else len(names) - 1
    old: Body = tables[index].value.body
    if change.variant:
        when = f"({change.variant.when}) and not ({acceptance.when})"
        _write(old, "when", _text(when), old="when")
    table.value.body.extend(_cut_tail(old))
    table.trivia.indent = "\n"
    tables.insert(index + 1, table)


def _cut_tail(body: Body) -> Body:
    """Take what stands below the blank line that ends a table: it speaks of what comes next."""
    last = max(i for i, (key, _) in enumerate(body) if key)
    blank = (i for i, (_, item) in enumerate(body) if i > last and item.as_string().isspace())
    start = next(blank, len(body))
    tail = body[start:]
    del body[start:]
    return tail
