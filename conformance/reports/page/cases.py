# SPDX-License-Identifier: GPL-2.0-only
"""What a page says of each case: what came of it where, expected beside observed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from conformance import expectation
from conformance.expectation import Expectation, Variant
from conformance.record import KNOWN, MISS, PASS, SKIP, UNSTABLE, CaseRecord
from conformance.reports import (
    FAILING,
    SHOWN,
    again,
    alike,
    consumer,
    one_line,
    plural,
    says_no_more,
    title,
)
from conformance.reports.matrix import MARKS
from conformance.reports.page import transcripts
from conformance.reports.page.gathering import Column, Gathered, Outcome, numbers
from conformance.reports.page.markup import Html, block, join, link, tag
from conformance.reports.page.matrix import anchor, mark
from conformance.reports.page.matrix import cells as cells_of

_CHANGE: Final = 160
"""Characters of a change that a heading shows."""
_REASON: Final = 60
"""Characters of a reason that stand beside a case."""


def differences(gathered: Gathered) -> Html:
    """Write what is not as expected: one part for all cells that differ alike."""
    parts = [_lost(column) for column in gathered.columns if column.lost]
    parts += [_group(f"d{n}", cells) for n, cells in enumerate(gathered.alike.values(), 1)]
    return join(parts, "\n")


def _lost(column: Column) -> Html:
    reasons = dict.fromkeys(case.reason for case in column.record.cases)
    head = tag("h3", mark(MARKS[MISS]), " ", link(f"@{column.name}", column.name), " was lost")
    return tag("section", head, join(tag("p", one_line(reason)) for reason in reasons))


def _group(name: str, cells: tuple[tuple[Column, CaseRecord], ...]) -> Html:
    first = cells[0][1]
    where: dict[str, list[Column]] = {}
    for column, case in cells:
        where.setdefault(case.id, []).append(column)
    environments = len({column.number for column, _ in cells})
    size = f"{plural(len(cells), 'cell')}: {plural(len(where), 'case')} on " + plural(
        environments, "environment"
    )
    head = tag("h3", mark(MARKS[first.verdict]), " ", tag("code", _cut(title(first))), " ",
               tag("small", size))  # fmt: skip
    return tag(
        "section", head, transcripts.leading(first, SHOWN), cells_of(where),
        _breaks(case for _, case in cells), id=name,
    )  # fmt: skip


def _cut(text: str) -> str:
    line = one_line(text)
    return line if len(line) <= _CHANGE else f"{line[: _CHANGE - 3]}..."


def _breaks(cases: Iterable[CaseRecord]) -> Html:
    names = dict.fromkeys(name for case in cases for name in case.breaks)
    return _listed("breaks", map(consumer, names))


def _listed(label: str, texts: Iterable[str]) -> Html:
    items = [tag("dd", one_line(text)) for text in texts]
    return tag("dl", tag("dt", label), join(items)) if items else Html("")


def skipped(gathered: Gathered) -> Html:
    """Write why cases were skipped, and what would make each run."""
    parts = [
        tag("p", one_line(reason) or "for no reason", " ",
            tag("small", f"{plural(each.cases, 'case')} on {numbers(each.columns)}"), id=each.name)
        for reason, each in gathered.skipped.items()
    ]  # fmt: skip
    return join(parts, "\n")


def consumers(gathered: Gathered) -> Html:
    """Write what each program relies on that some case's breach breaks."""
    names = {
        name for outcomes in gathered.outcomes.values() for each in outcomes
        for name in each.case.breaks
    }  # fmt: skip
    told = sorted(names, key=lambda name: (name.lower(), name))
    items = [tag("li", one_line(consumer(name))) for name in told]
    return tag("ul", join(items)) if items else Html("")


# One article a case.


def cases(gathered: Gathered) -> Html:
    """Write an article for every case."""
    groups = {key: f"d{number}" for number, key in enumerate(gathered.alike, 1)}
    told: dict[str, object] = {}
    parts = []
    for case_id, outcomes in gathered.outcomes.items():
        parts.append(_article(case_id, outcomes, gathered, groups, told))
    return join(parts, "\n")


def _article(
    case_id: str,
    outcomes: tuple[Outcome, ...],
    gathered: Gathered,
    groups: Mapping[tuple[str, ...], str],
    told: dict[str, object],
) -> Html:
    case = outcomes[0].case
    wanted = gathered.goldens.get(case_id)
    door = "no door" if case.door == "none" else f"door {case.door}"
    head = tag("h3", link(case_id, case_id), " ", tag("small", f"{door}, {case.abi} program"))
    intent = tag("p", one_line(wanted.intent)) if wanted else ""
    parts = [_outcome(each, outcomes, wanted, gathered, groups) for each in outcomes]
    return tag(
        "article", head, intent, join(parts), _grounds(case, told), _again(case_id, outcomes),
        id=case_id,
    )  # fmt: skip


def _grounds(case: CaseRecord, told: dict[str, object]) -> Html:
    """Name who breaks and where to look; a case at a further door points to the first."""
    family, name, *_ = case.id.split(".")
    first = f"{family}.{name}"
    grounds = (case.breaks, case.source)
    if told.get(first) == grounds:
        return tag("p", "sources, and who breaks: as ", link(first, first))
    told.setdefault(case.id, grounds)
    names = [", ".join(case.breaks)] if case.breaks else []
    breaks = _listed(link("consumers", "breaks"), names)
    return join([breaks, _listed("source", case.source)])


def _again(case_id: str, outcomes: Iterable[Outcome]) -> Html:
    """Give the commands that run a case again: on a machine, and in each guest where it fails."""
    commands = dict.fromkeys(
        again(column.record)
        for each in outcomes for column in each.columns
        if each.verdict in FAILING and not column.lost
    )  # fmt: skip
    return _listed("again", [f"{each} {case_id}" for each in commands or ("origax run",)])


def _outcome(
    outcome: Outcome,
    outcomes: tuple[Outcome, ...],
    wanted: Expectation | None,
    gathered: Gathered,
    groups: Mapping[tuple[str, ...], str],
) -> Html:
    numbered = " ".join(str(column.number) for column in outcome.columns)
    case = outcome.case
    if outcome.columns[0].lost:
        told = [mark(outcome.mark), f" {outcome.verdict}", _on(outcome), "nothing was heard of it"]
        return _section(outcome, numbered, tag("p", *told))
    if outcome.verdict in (PASS, SKIP):
        told = [mark(outcome.mark), f" {outcome.verdict}"]
        if outcome.verdict == SKIP:
            reason = link(gathered.skipped[case.reason].name, _short(case.reason))
            return _section(outcome, numbered, tag("p", *told, _on(outcome), reason))
        variant = f" variant {case.variant}" if case.variant else ""
        head = tag("summary", *told, variant, _on(outcome), _weak(case))
        inside = [_ground(outcome.golden, gathered), _passed(outcome, outcomes)]
        return _section(outcome, numbered, tag("details", head, join(inside)))
    cells = join([_cell(case.id, column) for column in outcome.columns], ", ")
    head = tag("h4", mark(outcome.mark), f" {outcome.verdict} on ", cells)
    return _section(outcome, numbered, head, join(_failed(outcome, wanted, gathered, groups)))


def _short(reason: str) -> str:
    """Give the beginning of a reason that stands in full elsewhere: ``needs x32``."""
    line = one_line(reason)
    return line.partition(":")[0][:_REASON] or "for no reason"


def _section(outcome: Outcome, numbered: str, *inside: str) -> Html:
    bad = outcome.verdict in FAILING and not outcome.columns[0].lost
    return tag("section", *inside, class_=f"o{' bad' * bad}", data_e=numbered)


def _cell(case_id: str, column: Column) -> Html:
    name = anchor(case_id, column)
    return tag("span", link(name, column.name), id=name)


def _on(outcome: Outcome) -> str:
    return f" on {numbers(outcome.columns)}  "


def _weak(case: CaseRecord) -> str:
    return f"  {plural(case.weak, 'weak field')}" if case.weak else ""


def _ground(golden: Variant | None, gathered: Gathered, label: str = "") -> Html:
    """Say where a variant holds, on what it rests, and which changes of the kernel are behind."""
    if golden is None:
        return Html("")
    when = tag("p", label, "when ", tag("code", one_line(golden.when)), f" ({golden.basis})")
    why = tag("p", one_line(golden.why)) if golden.why else ""
    named = sorted(expectation.asked(golden.when) & gathered.changes.keys())
    commits = [
        join([link(f"change-{name}", name), f": commit {gathered.changes[name].commit}, in "
              f"v{gathered.changes[name].since}"])
        for name in named
    ]  # fmt: skip
    return join([when, why, tag("p", join(commits, "; ")) if commits else ""])


def _passed(outcome: Outcome, outcomes: tuple[Outcome, ...]) -> Html:
    """Write what a case that passed showed; of a variant what is not as in the commonest one."""
    golden = outcome.golden
    if golden is None:
        seen = outcome.case.transcripts
        shown = transcripts.observed(seen[0].lines) if seen else ""
        return join([shown, _measured(outcome)])
    values = transcripts.weak_values(
        golden.transcript, (t for case in outcome.cases for t in case.transcripts)
    )
    more = join([_listed("weak fields", values), _measured(outcome)])
    base = outcomes[0].golden
    changes = transcripts.contrast(base.transcript, golden.transcript) if base else None
    if base and base is not golden and changes is not None:
        head = tag("p", f"As variant {base.name}, but:" if changes else f"As variant {base.name}.")
        return join([head, tag("pre", block(changes)), more])
    return join([transcripts.golden(golden.transcript, golden.weak), more])


def _measured(outcome: Outcome) -> Html:
    """Write what was counted beside the stops, environment by environment."""
    return _listed("measured", [
        f"{column.number}: {' '.join(f'{name}={value}' for name, value in case.measured.items())}"
        for column, case in zip(outcome.columns, outcome.cases, strict=True)
        if case.measured
    ])  # fmt: skip


def _failed(
    outcome: Outcome,
    wanted: Expectation | None,
    gathered: Gathered,
    groups: Mapping[tuple[str, ...], str],
) -> Iterator[Html]:
    """Write what a reader needs of a case that is not as its golden says."""
    case = outcome.case
    if case.reason and not says_no_more(case):
        yield tag("p", one_line(case.reason), class_="reason")
    if outcome.golden:
        yield _ground(outcome.golden, gathered, f"judged by variant {outcome.golden.name}, ")
    elif case.variant:
        yield tag("p", f"judged by variant {case.variant}, which the goldens here do not have so")
    if case.verdict == UNSTABLE:
        yield transcripts.parted(case.transcripts)
    if case.verdict != UNSTABLE or case.differences:
        yield transcripts.compared(case, outcome.pairs)
    yield _listed("broken", case.broken)
    yield _measured(outcome)
    if case.verdict == KNOWN:
        return
    yield _breaks(outcome.cases)
    key = alike(case)
    others = len(gathered.alike[key]) - len(outcome.columns)
    if others:
        yield tag("p", link(groups[key], f"The same difference in {plural(others, 'other cell')}"))
