# SPDX-License-Identifier: GPL-2.0-only
"""What a page says of environments: where they are, their facts, and their known issues."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from conformance import expectation
from conformance.expectation import KnownIssue
from conformance.record import KNOWN, VERDICTS
from conformance.reports import fact, one_line, plural
from conformance.reports.matrix import MARKS
from conformance.reports.page.gathering import Column, Gathered, applies, numbers, vendor
from conformance.reports.page.markup import Html, join, link, tag
from conformance.reports.page.matrix import anchor, mark

_LONG: Final = 200
"""Characters of a fact's value beyond which it is to be opened."""
_BUILD: Final = ("guest", "box", "label", "host")
"""What tells where a record comes from, in the order in which it is shown."""


def environments(columns: Sequence[Column]) -> Html:
    """List the environments: kernel, CPU, where, when, and how many cases came to what."""
    given = {verdict for column in columns for verdict in column.record.verdicts}
    verdicts = [verdict for verdict in VERDICTS if verdict in given]
    titles = ("", "environment", "kernel", "CPU", "virt", "from", "boot", "began", "took")
    head = [*(tag("th", text, scope="col") for text in titles),
            *(tag("th", mark(MARKS[v]), " ", v.lower(), scope="col") for v in verdicts)]
    rows = [_environment(column, verdicts) for column in columns]
    table = tag("table", tag("thead", tag("tr", join(head))), tag("tbody", join(rows, "\n")))
    return tag("div", table, class_="scroll")


def _environment(column: Column, verdicts: Sequence[str]) -> Html:
    record = column.record
    known, build = column.facts, record.environment.build
    origin = " ".join(dict.fromkeys(build[key] for key in _BUILD if build.get(key)))
    interrupted = tag("em", " interrupted: not every case had its turn")
    texts = (
        fact(known.get("release", "-")), vendor(record) or "-", fact(known.get("virt", "-")),
        origin or "-", record.boot_id[:8], record.started[:16].replace("T", " "),
        f"{record.duration:.0f} s",
    )  # fmt: skip
    given = record.verdicts
    counts = [given.count(verdict) for verdict in verdicts]
    name = tag("td", link(f"@{column.name}", column.name), interrupted * record.interrupted)
    return tag(
        "tr", tag("th", str(column.number), scope="row"), name,
        join(tag("td", text) for text in texts),
        join(tag("td", str(count) if count else "", class_="count") for count in counts),
        id=f"@{column.name}", data_e=column.number,
    )  # fmt: skip


def facts(columns: Sequence[Column]) -> Html:
    """Write the facts: first those that tell environments apart, then those that all have."""
    alive = [column for column in columns if not column.lost]
    lost = [column for column in columns if column.lost]
    names = sorted({name for column in alive for name in column.facts})
    values = {name: _values(alive, name) for name in names}
    differing = [_fact(name, values[name]) for name in names if len(values[name]) > 1]
    equal = [_same(name, *values[name]) for name in names if len(values[name]) == 1]
    gone = f"{numbers(lost)}: nothing is known of the machine" if lost else ""
    return join([
        tag("p", gone) if gone else "",
        tag("table", tag("tbody", join(differing, "\n")), class_="facts") if differing else "",
        tag("details", tag("summary", f"{plural(len(equal), 'fact')} equal on all of them"),
            tag("ul", join(equal), class_="equal")) if equal else "",
        _builds(alive),
    ])  # fmt: skip


def _values(columns: Iterable[Column], name: str) -> dict[str, list[Column]]:
    """Group environments by the value of a fact."""
    values: dict[str, list[Column]] = {}
    for column in columns:
        values.setdefault(fact(column.facts.get(name, "-")), []).append(column)
    return values


def _fact(name: str, values: Mapping[str, Sequence[Column]]) -> Html:
    told = [
        join([_value(text), " ", tag("small", f"on {numbers(columns)}")])
        for text, columns in values.items()
    ]
    items = [tag("li", each) for each in told]
    return tag("tr", tag("th", name, scope="row"), tag("td", tag("ul", join(items))))


def _same(name: str, text: str) -> Html:
    return tag("li", tag("code", f"{name}="), _value(text))


def _value(text: str) -> Html:
    if len(text) <= _LONG:
        return tag("code", text)
    return tag("details", tag("summary", tag("code", f"{text[:40]}...")), tag("code", text))


def _builds(columns: Sequence[Column]) -> Html:
    """Write what no fact names, by its values."""
    names = sorted({name for column in columns for name in column.record.environment.build})
    rows = []
    for name in names:
        values: dict[str, list[Column]] = {}
        for column in columns:
            text = one_line(column.record.environment.build.get(name, "-"))
            values.setdefault(text, []).append(column)
        rows.append(_fact(name, values))
    head = tag("summary", "details of the builds, which no golden asks for")
    table = tag("table", tag("tbody", join(rows, "\n")), class_="facts")
    return tag("details", head, table) if rows else Html("")


# Known issues.


def known(gathered: Gathered) -> Html:
    """Write the known issues by their reason: where each was seen, and where it was not."""
    verdicts = {
        (case.id, column.number): case.verdict
        for outcomes in gathered.outcomes.values()
        for outcome in outcomes
        for column, case in zip(outcome.columns, outcome.cases, strict=True)
    }
    reasons: dict[tuple[str, str], list[KnownIssue]] = {}
    for issue in gathered.known:
        reasons.setdefault((issue.reason, issue.until), []).append(issue)
    return join(
        _issue(reason, until, issues, gathered.columns, verdicts)
        for (reason, until), issues in reasons.items()
    )


def _issue(
    reason: str,
    until: str,
    issues: Iterable[KnownIssue],
    columns: Sequence[Column],
    verdicts: Mapping[tuple[str, int], str],
) -> Html:
    lines = [
        tag("li", tag("code", link(issue.case, issue.case)), " ",
            join(_seen(issue, columns, verdicts), "; "),
            tag("small", " when ", tag("code", one_line(issue.when))))
        for issue in issues
    ]  # fmt: skip
    head = tag("p", one_line(reason), tag("small", f" until {one_line(until)}"))
    return tag("section", head, tag("ul", join(lines)), class_="known")


def _seen(
    issue: KnownIssue, columns: Sequence[Column], verdicts: Mapping[tuple[str, int], str]
) -> Iterator[str]:
    """Say where an issue was seen; and of the environments that have it, where it was not."""
    here = [column for column in columns if applies(issue, column)]
    groups: dict[str, list[Column]] = {}
    for column in here:
        groups.setdefault(verdicts.get((issue.case, column.number), "not run"), []).append(column)
    seen = groups.pop(KNOWN, [])
    if seen:
        name = issue.case
        yield join(["seen on ", join([link(anchor(name, c), str(c.number)) for c in seen], ", ")])
    for verdict, others in groups.items():
        yield f"{verdict.lower()} on {numbers(others)}"
    if not here:
        yield "of none of these environments"
    elif not seen:
        yield tag("strong", "matched nothing")


# Changes of the kernel.


def changes(gathered: Gathered) -> Html:
    """Write the kernel's changes that tell the variants apart by which cases passed here."""
    asked = {
        name
        for outcomes in gathered.outcomes.values()
        for outcome in outcomes
        if outcome.golden
        for name in expectation.asked(outcome.golden.when)
    }
    return join([_change(gathered, name) for name in sorted(asked & gathered.changes.keys())])


def _change(gathered: Gathered, name: str) -> Html:
    change = gathered.changes[name]
    releases = ", ".join(f"v{release}" for release in (change.since, *change.backports))
    commit = f'commit {change.commit} ("{change.subject.strip()}") (in {releases})'
    return tag(
        "section", tag("p", tag("code", name), ": ", one_line(commit), tag("br"),
                       tag("small", one_line(change.observable))), id=f"change-{name}",
    )  # fmt: skip
