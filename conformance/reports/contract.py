# SPDX-License-Identifier: GPL-2.0-only
"""The contract as Markdown, to be read by people: ``docs/abi.md``."""

from __future__ import annotations

import itertools
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from conformance.cases import Case
from conformance.contract import Contract, Entry, Subject
from conformance.coverage import SETS, Coverage
from conformance.excerpt import COLUMNS, Excerpt, Section
from conformance.facts import Change
from conformance.places import PACKAGE
from conformance.reports import consumer, plural
from conformance.tables import read_text

_PLACES: Final[Mapping[str, str]] = {
    "calls": "every door of a call", "abis": "programs of every ABI", "any": "any door",
}  # fmt: skip
_WIDTH: Final = 120
"""Columns of text and tables."""
_MARKUP: Final = re.compile(r"(?<![\w`])_\w+(?:\(\))?|[\w/]+[*<][\w*<>/=]*|[*<][\w*<>/=]+")
_FUNCTION: Final = re.compile(r"(\S+\.(?:[chS]|tbl|rst))(?: ((?:struct )?\w[^ ,;]*))?(?:[ ,].*)?")


def text(contract: Contract) -> str:
    """Write all of it: an introduction, and an entry a behaviour."""
    parts: Mapping[str, Iterable[str]] = {
        "contents": _contents(contract.entries),
        "doors": _doors(contract),
        "ways": _ways(contract),
        "weak": map(_item, _open(contract.weak)),
        "machine": (
            _item(f"{_sentence(why)} ({plural(count, 'case')})")
            for why, count in contract.reasons.items()
        ),
        "entries": _entries(contract),
        "changes": (_change(change, rows) for change, rows in contract.changes.items()),
        "kernel": _kernel(contract),
        "consumers": _consumers(contract.entries),
    }
    frame = read_text(PACKAGE / "reports" / "contract.md")
    for name, lines in parts.items():
        frame = frame.replace(f"@{name}@", "\n".join(lines).strip())
    return frame


def stale(old: str, new: str) -> Iterator[str]:
    """Name the headings under which a text is not as the new one."""
    before, after = (dict(_parts(each)) for each in (old, new))
    for heading in {**after, **before}:
        if before.get(heading) != after.get(heading):
            yield re.sub(r"^#+ (<a [^>]*></a>)?", "", heading)


def _parts(document: str) -> Iterator[tuple[str, str]]:
    for part in re.split("^(?=#+ )", document, flags=re.MULTILINE):
        yield part.partition("\n")[0], part


def _contents(entries: Sequence[Entry]) -> Iterator[str]:
    for group, members in itertools.groupby(entries, lambda entry: entry.row.group):
        rows = [entry.row for entry in members]
        yield f"- [{group.name}](#g{rows[0].number})"
        for row in rows:
            yield f"  - [{row.number}. {_plain(row.name)}](#b{row.number})"


def _doors(contract: Contract) -> Iterator[str]:
    names = ("orig_ax", "ip", "cs", "ss", "regs")
    yield f"| door | {' | '.join(names)} |"
    yield f"|{'---|' * (len(names) + 1)}"
    for door, line in contract.plain.items():
        yield f"| {door} | {' | '.join(f'`{line.fields[name]}`' for name in names)} |"


def _ways(contract: Contract) -> Iterator[str]:
    for door, way in contract.ways.items():
        yield _item(f"{door}: {', '.join(_plain(_place(each)[1]) for each in way)}")


def _entries(contract: Contract) -> Iterator[str]:
    for group, members in itertools.groupby(contract.entries, lambda entry: entry.row.group):
        entries = list(members)
        yield from (f'## <a id="g{entries[0].row.number}"></a>{group.name}', "")
        yield from (_folded(group.about), "")
        for entry in entries:
            yield from _entry(entry, contract)


def _entry(entry: Entry, contract: Contract) -> Iterator[str]:
    number = entry.row.number
    yield f'### <a id="b{number}"></a>{number}. {_plain(entry.row.name)}'
    relied = f" Relied on by {', '.join(entry.breaks)}." if entry.breaks else ""
    yield _folded(_where(entry.covered) + relied)
    yield from map(_item, _intents(entry.told))
    if entry.example:
        yield from _excerpt(*entry.example)
    yield from map(_item, _differences(entry))
    if entry.told:
        also = sorted({contract.home[s.name] for s in entry.named} - {number})
        links = f" See also {_links(also)}." if also else ""
        yield _item(f"Kernel: {_source(entry, contract)}.{links}")
    yield ""


def _links(numbers: Iterable[int]) -> str:
    return ", ".join(f"[{number}](#b{number})" for number in numbers)


def _where(covered: Coverage) -> str:
    """Say where a behaviour exists, and why a place has no case."""
    told = [f"At {_names(covered.row.places)}."]
    for reason in dict.fromkeys(map(covered.row.reason, covered.missing)):
        places = [place for place in covered.missing if covered.row.reason(place) == reason]
        every = len(places) == len(covered.row.places)
        head = "" if every else f"At {_names(places)}: "
        why = reason or "no case"
        told.append(f"**{head}{why[:1].upper() if every else why[:1]}{why[1:]}.**")
    return " ".join(told)


def _names(places: Sequence[str]) -> str:
    """Name places, all those that one word means by that word."""
    left, told = list(places), []
    for word, of in (*SETS.items(), ("any", ("any",))):
        if set(of).issubset(left):
            told.append(_PLACES[word])
            left = [place for place in left if place not in of]
    return ", ".join((*told, *left))


def _intents(subjects: Iterable[Subject]) -> Iterator[str]:
    for subject in subjects:
        for index, (intent, cases) in enumerate(subject.intents.items()):
            name = f"`{subject.name}`" if not index else "likewise"
            yield f"{name} ({_at(cases, subject)}): {_plain(intent)}"


def _at(cases: Sequence[Case], subject: Subject) -> str:
    places = [case.abi if case.door == "none" else case.door for case in cases]
    return _names(places) if len(subject.cases) > 1 else places[0]


def _differences(entry: Entry) -> Iterator[str]:
    for change in entry.changes:
        yield f"Since {_release(change)}: {_plain(' '.join(change.observable.split()))}"
    told = [change.commit[:12] for change in entry.changes]
    for reason in entry.reasons:
        if not reason.startswith("As ") and not any(commit in reason for commit in told):
            yield _sentence(reason)
    for each in _open(entry.weak):
        yield f"Not promised: {each}"


def _open(weak: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Write fields that may differ, with the reason that they have in common."""
    reasons: dict[str, list[str]] = {}
    for name, why in weak:
        reasons.setdefault(why, []).append(f"`{name}`")
    for why, names in reasons.items():
        yield f"{', '.join(names)}: {_sentence(why)}"


def _release(change: Change) -> str:
    return f"Linux {change.since}{_backports(change)}, commit [{change.commit}](#{change.name})"


def _backports(change: Change) -> str:
    return f" ({', '.join(map(str, change.backports))})" if change.backports else ""


def _source(entry: Entry, contract: Contract) -> str:
    """Name the functions, and what is none; but not those that every call takes."""
    ways = _ways_in(contract)
    commits = [change.commit[:12] for change in contract.changes]
    places = dict.fromkeys(_place(each) for s in entry.told for each in s.source)
    told = dict.fromkeys(_plain(name) for file, name in places if file and (file, name) not in ways)
    others = [_plain(name) for file, name in places
              if not file and not any(commit in name for commit in commits)]  # fmt: skip
    parts = [", ".join(told) or "as [any call at its door](#doors)", *others]
    return "; ".join(parts)


def _ways_in(contract: Contract) -> set[tuple[str, str]]:
    return {_place(each) for way in contract.ways.values() for each in way}


def _place(source: str) -> tuple[str, str]:
    """Take a place in the kernel apart, file and function; what is said of it in brackets goes.

    What is in no file of the kernel has none.
    """
    match = _FUNCTION.fullmatch(source)
    return (match[1], match[2] or match[1]) if match else ("", source)


def _kernel(contract: Contract) -> Iterator[str]:
    """Write every function, by its file, with the behaviours where it stands."""
    files: dict[str, dict[str, set[int]]] = {}
    for entry in contract.entries:
        for source in (each for subject in entry.told for each in subject.source):
            file, name = _place(source)
            files.setdefault(file, {}).setdefault(name, set()).add(entry.row.number)
    for file, name in _ways_in(contract):
        files[file][name] = set()
    files.pop("", None)
    for file in sorted(files):
        told = (f"{_plain(name) if name != file else ''} "
                f"{_ranges(sorted(rows)) if rows else 'any call'}".strip()
                for name, rows in sorted(files[file].items()))  # fmt: skip
        yield _item(f"{file}: {'; '.join(told)}")


def _change(change: Change, rows: Sequence[int]) -> str:
    subject, observable = (" ".join(each.split()) for each in (change.subject, change.observable))
    seen = f" Seen in {_links(sorted(rows))}." if rows else ""
    return _item(
        f'<a id="{change.name}"></a>**Linux {change.since}**{_backports(change)}, commit'
        f' {change.commit} ("{_plain(subject)}"): {_plain(observable)}{seen}'
    )


def _consumers(entries: Sequence[Entry]) -> Iterator[str]:
    rows: dict[str, list[int]] = {}
    for entry in entries:
        for name in entry.breaks:
            rows.setdefault(name, []).append(entry.row.number)
    for name in sorted(rows, key=str.lower):
        told = consumer(name).removeprefix(name)
        yield _item(f"**{name}**{told}. Behaviours {_ranges(rows[name])}.")


def _ranges(numbers: Sequence[int]) -> str:
    """Write numbers, which ascend, and those in a row as ``3-5``."""
    told = []
    for _, run in itertools.groupby(enumerate(numbers), lambda each: each[1] - each[0]):
        first, *rest = (number for _, number in run)
        told.append(f"{first}-{rest[-1]}" if rest else str(first))
    return ", ".join(told)


def _excerpt(subject: Subject, excerpt: Excerpt) -> Iterator[str]:
    """Write a table, and what it leaves out."""
    yield "```"
    yield from _table(subject.name, excerpt.sections)
    places = [case.abi if case.door == "none" else case.door for case in subject.cases]
    others = [place for place in places if place not in excerpt.doors]
    left = [plural(excerpt.left_out, "more row")] if excerpt.left_out else []
    left += [f"not shown: {_names(others)}"] if others else []
    if left:
        yield f"... {'; '.join(left)}"
    yield "```"


def _table(corner: str, sections: Sequence[Section]) -> Iterator[str]:
    """Write rows in columns, as wide as they need; what few rows have stands behind them."""
    rows = [(cells, at) for section in sections for cells, at in section.rows]
    columns = [name for name in COLUMNS if any(name in cells.fields for cells, _ in rows)]
    located = any(at for _, at in rows)
    heads = [corner, *(["at"] if located else []), *columns]
    table: list[list[str]] = [heads]
    for section in sections:
        if section.heading:
            table.append([f"[{section.heading}]"])
        if section.before:
            table.append([f"{', '.join(section.before)} as above"])
        previous = ""
        for cells, at in section.rows:
            rest = " ".join(f"{k}={v}" for k, v in cells.fields.items() if k not in columns)
            what = cells.what if not (at and cells.what == previous) else ""
            previous = cells.what
            table.append([
                what, *([_names(at)] if located else []),
                *(cells.fields.get(name, "") for name in columns), rest,
            ])  # fmt: skip
    widths = [
        max(len(row[index]) for row in table if len(row) > index and len(row) > 1)
        for index in range(len(heads))
    ]
    for row in table:
        yield _cut(
            "  ".join(
                f"{cell:{width}}"
                for cell, width in itertools.zip_longest(row, widths[: len(row)], fillvalue=0)
            ).rstrip()
        )


def _cut(line: str) -> str:
    """Leave out the last fields of a line that is too wide."""
    if len(line) <= _WIDTH:
        return line
    return f"{line[: _WIDTH - 3].rpartition(' ')[0].rstrip()} ..."


def _sentence(words: str) -> str:
    return _plain(" ".join(words.split())).removesuffix(".") + "."


def _plain(words: str) -> str:
    """Keep Markdown from reading as markup what is meant as it stands."""
    return _MARKUP.sub(lambda match: f"`{match[0]}`", words)


def _folded(words: str) -> str:
    return textwrap.fill(words, _WIDTH, break_long_words=False, break_on_hyphens=False)


def _item(words: str) -> str:
    return textwrap.fill(
        words, _WIDTH, initial_indent="- ", subsequent_indent="  ", break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip


