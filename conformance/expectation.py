# SPDX-License-Identifier: GPL-2.0-only
"""Expectations: read one, choose its variant for a machine, compare a transcript with it.

An expectation is a file a person wrote, ``expected/FAMILY/NAME.toml`` for the case
``FAMILY.NAME``. Whatever is wrong in it is a `UsageError` that names the file and the place.
"""

from __future__ import annotations

import ast
import functools
import itertools
import operator
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from conformance.errors import UsageError
from conformance.tables import Table, read_text
from conformance.tables import parse as parse_toml
from conformance.transcript import HEADS, Line, value
from conformance.transcript import parse as parse_transcript

if TYPE_CHECKING:
    from conformance.facts import Fact, Value

Transcript = tuple[Line, ...]

BASES: Final = ("kernel-source", "manual", "observed")
"""What a variant may rest on."""

WEAK: Final = "*"
"""The value of a field that may be anything."""


def is_weak(text: str | None) -> bool:
    """Whether a golden's value lets a field differ: ``*``, or alternatives as in ``BS|0``."""
    return text == WEAK or is_choice(text)


def is_choice(text: str | None) -> bool:
    """Whether a golden's value is a choice of alternatives."""
    return text is not None and "|" in text


SCOPES: Final = (*HEADS, "syscall-enter", "syscall-exit", "signal", "event", "group")
"""The lines that an invariant may speak of: those with this head, or stops of this kind."""

_CASE_ID: Final = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)+")


@dataclass(frozen=True, slots=True)
class Variant:
    """One of the mutually exclusive forms of an expectation."""

    name: str
    when: str
    basis: str
    transcript: Transcript
    why: str
    weak: Mapping[str, str]
    """The reasons of its weak fields."""
    like: str
    """The variant whose transcript it takes with `swaps`, with its case if that is another:
    ``FAMILY.NAME:VARIANT``. Empty: it has its own."""
    swaps: Mapping[str, str]
    """Its own, beside those of ``replacements.toml`` that it names."""
    idle: tuple[str, ...] = ()
    """What is to be replaced, and does not occur."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """What one case must show, on every machine where that is known."""

    case_id: str
    path: Path
    intent: str
    source: tuple[str, ...]
    breaks: tuple[str, ...]
    invariants: Mapping[str, str]
    variants: tuple[Variant, ...]
    weak: Mapping[str, str]

    def choose(self, facts: Mapping[str, Value]) -> Variant | None:
        """Give the variant that fits, if any does.

        :raises UsageError: two variants fit, or a `when` asks for a fact that is not there
        """
        fitting = [variant for variant in self.variants if holds(variant.when, facts)]
        if len(fitting) > 1:
            names = " and ".join(f"'{variant.name}'" for variant in fitting)
            raise UsageError(
                f"the variants {names} fit this environment together",
                str(self.path),
                "narrow their `when` so that each excludes the others",
            )
        return fitting[0] if fitting else None


@dataclass(frozen=True, slots=True)
class KnownIssue:
    """A failure that is known, for the machine's sake: what is seen instead, and where."""

    case: str
    when: str
    reason: str
    until: str
    transcript: Transcript


@dataclass(frozen=True, slots=True)
class Difference:
    """One line that is not as expected."""

    line: int
    """Its number in the golden, from 1; 0 when the golden has no such line."""
    expected: str | None
    observed: str | None
    fields: tuple[str, ...]
    """What differs: fields, ``kind`` for the words; or just ``missing`` or ``extra``."""
    change: str
    """What differs and how, without the place: equal in all cases that differ alike."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What became of one case; `judge` gives PASS, FAIL, NOGOLDEN or KNOWN."""

    verdict: str
    variant: str | None = None
    differences: tuple[Difference, ...] = ()
    broken: tuple[str, ...] = ()
    reason: str = ""
    weak: int = 0


# Expressions: `when` over facts, invariants over the fields of a line.

_COMPARISONS: Final[Mapping[type[ast.cmpop], Callable[[Any, Any], bool]]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda item, container: item in container,
    ast.NotIn: lambda item, container: item not in container,
}

_KINDS: Final = {bool: "yes or no", int: "a number", str: "text"}

Kinds = Callable[[str], type | None]
"""Gives a name's type; None when only the transcript tells."""


@functools.lru_cache(1024)
def _parse(text: str) -> ast.expr:
    """Parse an expression; ValueError says what is wrong with it. Many files say the same."""
    try:
        return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"{text!r} is not an expression ({error})") from None


def _kind(node: ast.expr, kinds: Kinds) -> type | None:
    """Give an expression's type; ValueError for what the white-list lacks or types that clash."""
    match node:
        case ast.Constant(value=bool() | int() | str() as constant):
            kind: type = type(constant)
            return kind
        case ast.Name(id=name):
            return kinds(name)
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int())):
            return int
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            _agree(bool, [operand], kinds)
        case ast.BoolOp(values=values):
            _agree(bool, values, kinds)
        case ast.Compare(left=left, ops=ops, comparators=comparators):
            for op, one, other in zip(ops, [left, *comparators], comparators, strict=False):
                _check_comparison(op, one, other, kinds)
        case _:
            raise ValueError(f"{ast.unparse(node)!r} may not stand in an expression")
    return bool


def _check_comparison(op: ast.cmpop, one: ast.expr, other: ast.expr, kinds: Kinds) -> None:
    match op, other:
        case ast.In() | ast.NotIn(), ast.Tuple(elts=elements):
            _agree(_kind(one, kinds), elements, kinds)
        case ast.In() | ast.NotIn(), _:
            _agree(str, [one, other], kinds)
        case ast.Eq() | ast.NotEq(), _:
            _agree(_kind(one, kinds), [other], kinds)
        case ast.Lt() | ast.LtE() | ast.Gt() | ast.GtE(), _:
            _agree(int, [one, other], kinds)
        case _:
            raise ValueError("values are compared with ==, !=, <, <=, >, >=, in or not in")


def _agree(wanted: type | None, nodes: Iterable[ast.expr], kinds: Kinds) -> None:
    for node in nodes:
        found = _kind(node, kinds)
        if None not in (wanted, found) and wanted is not found:
            raise ValueError(
                f"{ast.unparse(node)!r} is {_KINDS[found or str]} where"
                f" {_KINDS[wanted or str]} must stand"
            )


def _evaluate(node: ast.expr, lookup: Callable[[str], object]) -> Any:
    """Give an expression's value; it has passed `_kind`, or ends in ValueError here."""
    match node:
        case ast.Constant(value=constant):
            return constant
        case ast.Name(id=name):
            return lookup(name)
        case ast.Tuple(elts=elements):
            return tuple(_evaluate(element, lookup) for element in elements)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_evaluate(operand, lookup)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return not _evaluate(operand, lookup)
        case ast.BoolOp(op=ast.And(), values=values):
            return all(_evaluate(each, lookup) for each in values)
        case ast.BoolOp(op=ast.Or(), values=values):
            return any(_evaluate(each, lookup) for each in values)
        case ast.Compare(left=left, ops=ops, comparators=comparators):
            results = [_evaluate(each, lookup) for each in (left, *comparators)]
            pairs = zip(ops, results, results[1:], strict=False)
            return all(_COMPARISONS[type(op)](one, other) for op, one, other in pairs)
    raise ValueError(f"{ast.unparse(node)!r} may not stand in an expression")


def check_condition(when: str, vocabulary: Mapping[str, Fact], where: str) -> None:
    """Refuse a `when` that is no boolean expression over known facts of an environment.

    :raises UsageError: naming `where` it stands
    """
    from conformance.facts import PASSING

    def kind_of(name: str) -> type:
        if name not in vocabulary:
            raise ValueError(f"there is no fact {name!r}")
        if name in PASSING:
            raise ValueError(f"no golden may depend on {name!r}, which {PASSING[name]}")
        return vocabulary[name].kind

    try:
        _agree(bool, [_parse(when)], kind_of)
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"`when` is wrong: {error}",
            f"{where}: {when}",
            "write a yes-or-no expression over the facts that `origax doctor` lists",
        ) from None


def holds(when: str, facts: Mapping[str, Value]) -> bool:
    """Say whether a condition holds where these facts do.

    :raises UsageError: a fact it needs is not among them, or is of another type
    """
    try:
        return bool(_evaluate(_parse(when), facts.__getitem__))
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        what = f"the fact {error} is unknown here" if isinstance(error, KeyError) else str(error)
        raise UsageError(
            what, f"when = {when!r}", "take the facts, or the record, again with this origax"
        ) from None


def asked(when: str) -> set[str]:
    """Name the facts that a condition, which has passed `check_condition`, asks for."""
    return _names(_parse(when))


def _names(tree: ast.expr) -> set[str]:
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


# Invariants: "SCOPE: EXPRESSION", where the scope is `every` or `some`, and a head or kind.


@dataclass(frozen=True, slots=True)
class _Invariant:
    name: str
    rule: str
    every: bool
    scope: str
    tree: ast.expr
    fields: frozenset[str]
    """Those that it reads."""

    @classmethod
    def parse(cls, name: str, rule: str) -> _Invariant:
        """Take a rule apart; ValueError says what is wrong with it."""
        match = re.fullmatch(r"(every|some) +([a-z-]+) *: *(.+)", rule.strip())
        if not match or match[2] not in SCOPES:
            raise ValueError(
                f"{rule!r} does not begin with `every` or `some`, one of {', '.join(SCOPES)}"
                " and a colon"
            )
        tree = _parse(match[3])
        _agree(bool, [tree], lambda _: None)
        fields = frozenset(_names(tree) - {"kind"})
        return cls(name, rule, match[1] == "every", match[2], tree, fields)

    def lines(self, transcript: Transcript) -> list[tuple[int, Line]]:
        """Give the lines it speaks of, each with its number."""
        return [
            (number, line)
            for number, line in enumerate(transcript, 1)
            if line.head == self.scope
            or (line.head == "stop" and self.scope in (w.removesuffix("-stop") for w in line.words))
        ]

    def holds(self, line: Line) -> bool:
        """Judge one line. A weak field may be anything; types that clash are a breach."""
        read = {name: line.fields[name] for name in self.fields & line.fields.keys()}
        if any(map(is_weak, read.values())):
            return True
        texts = {name: value(text) for name, text in read.items()} | {"kind": line.kind}
        try:
            return bool(_evaluate(self.tree, texts.get))
        except TypeError:
            return False

    def breach(self, transcript: Transcript) -> str | None:
        """Say how a transcript breaks it, if it does."""
        lines = self.lines(transcript)
        wrong = [(number, line) for number, line in lines if not self.holds(line)]
        if self.every and wrong:
            number, line = wrong[0]
            return f"{self.name}: {self.rule} (not so in line {number}: {line})"
        if not self.every and len(wrong) == len(lines):
            return f"{self.name}: {self.rule} (so in no line)"
        return None


def broken(invariants: Mapping[str, str], transcript: Transcript) -> tuple[str, ...]:
    """Name the invariants that a transcript breaks, and where."""
    checks = (_Invariant.parse(name, rule).breach(transcript) for name, rule in invariants.items())
    return tuple(breach for breach in checks if breach)


# Reading the files.


def _transcript(table: Table, key: str) -> Transcript:
    """Read a transcript that is not empty."""
    text = table.text(key)
    try:
        for number, line in enumerate(text.split("\n"), 1):
            if not (line.isascii() and line.replace("\t", " ").isprintable()):
                raise ValueError(f"line {number}: {line!a} is not all printable ASCII")
        return parse_transcript(text)
    except ValueError as error:
        raise table.wrong(
            f"the transcript is garbled: {error}",
            "write it as `origax show` and the records do: HEAD WORD... FIELD=VALUE...",
        ) from None


def path_of(expected: Path, case_id: str) -> Path:
    """Give the expectation file of a case: ``family/name.toml`` of ``family.name``.

    :raises UsageError: the text is no case's id (it may come from a record)
    """
    if not _CASE_ID.fullmatch(case_id):
        raise UsageError(
            "this is no case's id", repr(case_id), "write family.name, as `origax list` does"
        )
    family, _, name = case_id.partition(".")
    return expected / family / f"{name}.toml"


def find(expected: Path, case_id: str, vocabulary: Mapping[str, Fact]) -> Expectation | None:
    """Read the expectation of a case, if it has a file, for a run.

    That the goldens contradict nothing in their file is left to the judge, which compares them
    with what is seen anyway: one slip there fails its case, and does not end the run.

    :raises UsageError: anything in it is garbled
    """
    path = path_of(expected, case_id)
    if not os.path.lexists(path):
        return None
    return parse(read_text(path), path, case_id, vocabulary)


def load(expected: Path, case_id: str, vocabulary: Mapping[str, Fact]) -> Expectation:
    """Read the expectation of a case, and check it as a reviewer would.

    :raises UsageError: there is none, or anything in it is garbled or contradicts itself
    """
    path = path_of(expected, case_id)
    expectation = parse(read_text(path), path, case_id, vocabulary)
    check(expectation)
    return expectation


def parse(text: str, path: Path, case_id: str, vocabulary: Mapping[str, Fact]) -> Expectation:
    """Take the text of an expectation file apart.

    :raises UsageError: anything in it is garbled
    """
    own = parse_toml(text, path)
    own.only("like", "intent", "source", "breaks", "invariants", "weak", "variant")
    table = _completed(own, path) if "like" in own.data else own
    expectation = Expectation(
        case_id=case_id,
        path=path,
        intent=table.text("intent"),
        source=table.texts("source"),
        breaks=table.texts("breaks"),
        invariants=table.table("invariants"),
        variants=_variants(table, path, vocabulary),
        weak=table.table("weak"),
    )
    if not expectation.source:
        raise table.wrong("'source' is empty", "name the kernel's file and function")
    for name, rule in expectation.invariants.items():
        try:
            _Invariant.parse(name, rule)
        except (ValueError, RecursionError) as error:
            what = f"the invariant {name!r} is garbled: {error}"
            raise UsageError(what, f"{path}, [invariants]", "write SCOPE: EXPRESSION") from None
    variants = [
        replace(variant, weak=_reasons(expectation, variant)) for variant in expectation.variants
    ]
    used = {key for variant in variants for key in variant.weak} | own.table("weak").keys()
    weak = {key: why for key, why in expectation.weak.items() if key in used}
    return replace(expectation, variants=tuple(variants), weak=weak)


def _completed(own: Table, path: Path) -> Table:
    """Add what the file of another case says and this one does not, but for its variants: a case
    at another door is like it. Invariants and reasons are added by their names.

    :raises UsageError: there is no such file, or it is like a third
    """
    case_id = own.text("like")
    other = path_of(path.parents[1], case_id)
    model = parse_toml(read_text(other), other)
    if "like" in model.data:
        raise own.wrong(f"'like' names {case_id}, which is like another", "name that one")
    merged: dict[str, object] = {**model.data, "variant": [], **own.data}
    for key in ("invariants", "weak"):
        merged[key] = {**model.table(key), **own.table(key)}
    return Table(own.where, merged)


def _variants(
    file: Table, path: Path, vocabulary: Mapping[str, Fact]
) -> tuple[Variant, ...]:
    """Read the variants: first those with a transcript, then those that are like another."""
    tables = {}
    for table in file.tables("variant"):
        name = table.text("name")
        if name in tables:
            raise table.wrong(f"two variants are named {name!r}", "give each its own name")
        tables[name] = Table(f"{file.where}, variant {name!r}", table.data)
    own = _own_transcripts(tables)
    named = any(map(_names_of, tables.values()))
    shared = _shared(path.parents[1] / "replacements.toml") if named else {}
    variants = {}
    # Those that are like another case's come first: others may be like them.
    for name, table in sorted(tables.items(), key=lambda each: ":" not in _like(each[1])):
        case_id, colon, other = _like(table).partition(":")
        there = _others(path_of(path.parents[1], case_id)) if colon else own
        variants[name] = _variant(table, there.get(other or case_id), own, shared, vocabulary)
        if colon:
            own[name] = variants[name].transcript
    return tuple(variants[name] for name in tables)


def _like(table: Table) -> str:
    return table.text("like", "")


def _own_transcripts(tables: Mapping[str, Table]) -> dict[str, Transcript]:
    return {
        name: _transcript(table, "transcript")
        for name, table in tables.items()
        if "like" not in table.data
    }


@functools.lru_cache(16)
def _others(path: Path) -> Mapping[str, Transcript]:
    """Read the transcripts of another case's variants that have their own."""
    file = parse_toml(read_text(path), path)
    return _own_transcripts({table.text("name"): table for table in file.tables("variant")})


def _variant(
    table: Table, model: Transcript | None, own: Mapping[str, Transcript],
    shared: Mapping[str, _Shared], vocabulary: Mapping[str, Fact],
) -> Variant:  # fmt: skip
    """Read one.

    :param model: the transcript that it is like
    :param own: those of variants that are like none
    """
    like = _like(table)
    how = ("like", "replace", "lines") if like else ("transcript",)
    table.only("name", "when", "basis", "why", *how)
    if like and model is None:
        what = f"there is no variant {like!r} with a transcript of its own"
        raise table.wrong(what, "name one that has")
    alone = "replace" not in table.data and ("lines" in table.data or ":" in like)
    swaps = _swaps(table) if like and not alone else {}
    there = {text for line in model or () for text in line.fields.values()}
    named = [_named(table, name, shared) for name in _names_of(table)] if like else []
    transcript = own[table.text("name")] if model is None else _replaced(model, swaps, named)
    if "lines" in table.data:
        transcript = _with_lines(table, transcript)
    variant = Variant(
        name=table.text("name"),
        when=table.text("when"),
        basis=table.text("basis"),
        transcript=transcript,
        why="; ".join(filter(None, (table.text("why", ""), *(each.why for each in named)))),
        weak={},
        like=like,
        swaps=swaps,
        idle=tuple(sorted(swaps.keys() - there)),
    )
    if variant.basis not in BASES:
        raise table.wrong(
            f"'basis' is {variant.basis!r}", f"write one of {', '.join(BASES)} there"
        )
    check_condition(variant.when, vocabulary, table.where)
    return variant


def _with_lines(table: Table, transcript: Transcript) -> Transcript:
    """Put lines in the place of those of the same words, of which there is one each."""
    lines = {(line.head, line.words): line for line in _transcript(table, "lines")}
    there = [(line.head, line.words) for line in transcript]
    for head, words in lines:
        if there.count((head, words)) != 1:
            line = " ".join((head, *words))
            do = "write lines whose first words one line there has"
            raise table.wrong(f"{line!r} does not stand once in the other variant", do)
    return tuple(lines.get((line.head, line.words), line) for line in transcript)


def _swaps(table: Table) -> dict[str, str]:
    """Read what `replace` puts in the place of what, and not the names in it."""
    items = table.data.get("replace")
    names = _names_of(table)
    pairs = [
        Table(table.where, {"replace": item}).texts("replace")
        for item in (items if isinstance(items, list) else [None])
        if item not in names
    ]
    if not (pairs or names) or any(len(pair) != 2 for pair in pairs):
        do = 'write replace = [["old", "new"]] there'
        raise table.wrong("'replace' is no list of pairs", do)
    swaps: dict[str, str] = {}
    for old, new in pairs:
        if old in swaps or not re.fullmatch(r"[!-~]+", new):
            do = "replace each value once, by a value of printable ASCII without blanks"
            raise table.wrong(f"'replace' cannot put {new!r} for {old!r}, or does so twice", do)
        swaps[old] = new
    return swaps


def _names_of(table: Table) -> list[str]:
    """Give the names of shared replacements that stand in `replace`, among its pairs."""
    items = table.data.get("replace")
    return [item for item in items if isinstance(item, str)] if isinstance(items, list) else []


@dataclass(frozen=True, slots=True)
class _Shared:
    """What many variants replace alike, for one reason: a table of ``replacements.toml``."""

    why: str
    swaps: Mapping[str, str]
    stops: Mapping[str, str]
    """Fields that every stop has besides, after its flags."""


@functools.lru_cache(4)
def _shared(path: Path) -> Mapping[str, _Shared]:
    """Read ``replacements.toml``.

    :raises UsageError: it is missing, or anything in it is garbled
    """
    file = parse_toml(read_text(path), path)
    shared = {}
    for name, data in file.data.items():
        table = Table(f"{path}, [{name}]", data if isinstance(data, dict) else {})
        table.only("why", "replace", "stops")
        shared[name] = _Shared(table.text("why"), _swaps(table), table.table("stops"))
    return shared


def _named(table: Table, name: str, shared: Mapping[str, _Shared]) -> _Shared:
    if name not in shared:
        do = f"name one of {', '.join(shared)}, or write a pair"
        raise table.wrong(f"there is no replacement {name!r}", do)
    return shared[name]


def _replaced(
    transcript: Transcript, swaps: Mapping[str, str], named: Sequence[_Shared]
) -> Transcript:
    """Give a transcript with whole values replaced, all at once, and what its stops have besides.

    A variant's own replacements go before those that it shares.
    """
    shared = {old: new for each in named for old, new in each.swaps.items()}
    stops = {name: text for each in named for name, text in each.stops.items()}
    every = {**shared, **swaps}
    return tuple(_replaced_line(line, every, stops) for line in transcript)


def _replaced_line(line: Line, swaps: Mapping[str, str], stops: Mapping[str, str]) -> Line:
    fields: dict[str, str] = {}
    for name, text in line.fields.items():
        fields[name] = swaps.get(text, text)
        if name == "flags" and "views" in line.fields:  # a stop's line, in the order of `render`
            fields |= stops
    return replace(line, fields=fields)


def _reasons(expectation: Expectation, variant: Variant) -> dict[str, str]:
    """Give the reasons for the weak fields of a variant; refuse one that has none."""
    reasons = {}
    for number, line in enumerate(variant.transcript, 1):
        on = f"{expectation.path}, variant {variant.name!r}, line {number}: {line}"
        if WEAK in line.words:
            raise UsageError("a word cannot be weak", on, "write the kind of the line")
        for name in (name for name, text in line.fields.items() if is_weak(text)):
            keys = [key for key in (f"{line.head}.{name}", name) if key in expectation.weak]
            if not keys:
                do = f'say under [weak] why it may differ: {name} = "..."'
                raise UsageError(f"the weak field {name!r} has no reason", on, do)
            reasons[keys[0]] = expectation.weak[keys[0]]
    return reasons


def check(expectation: Expectation) -> None:
    """Refuse an expectation that contradicts itself, or says what nothing comes of.

    :raises UsageError: a golden breaks an invariant, or an invariant, a reason or a replacement
        speaks of what no golden has
    """
    lines = [line for variant in expectation.variants for line in variant.transcript]
    fields = {name for line in lines for name in line.fields}
    for name, rule in expectation.invariants.items():
        for unknown in sorted(_Invariant.parse(name, rule).fields - fields) if lines else ():
            raise UsageError(
                f"the invariant {name!r} names {unknown!r}, which no line of a golden has",
                f"{expectation.path}, [invariants]",
                f"write one of {', '.join(sorted(fields))}, or kind",
            )
    used = {key for variant in expectation.variants for key in variant.weak}
    for key in expectation.weak.keys() - used:
        on = f"{expectation.path}, [weak]"
        raise UsageError(f"the reason for {key!r} is not used", on, "remove it")
    for variant in expectation.variants:
        _check_variant(expectation, variant)


def _check_variant(expectation: Expectation, variant: Variant) -> None:
    on = f"{expectation.path}, variant {variant.name!r}"
    for old in variant.idle:
        do = f"replace a whole value of {variant.like!r}"
        raise UsageError(f"{old!r} cannot be replaced: it does not occur", on, do)
    for breach in broken(expectation.invariants, variant.transcript):
        raise UsageError(
            f"the golden breaks its own invariant: {breach}",
            on,
            "mend the transcript, or the invariant if the source says so",
        )


def load_known(expected: Path, vocabulary: Mapping[str, Fact]) -> tuple[KnownIssue, ...]:
    """Read ``known_issues.toml``; nothing when there is no such file.

    :raises UsageError: anything in it is garbled
    """
    path = expected / "known_issues.toml"
    if not os.path.lexists(path):
        return ()
    file = parse_toml(read_text(path), path)
    file.only("issue")
    return tuple(_known(table, expected, vocabulary) for table in file.tables("issue"))


def _known(table: Table, expected: Path, vocabulary: Mapping[str, Fact]) -> KnownIssue:
    table.only("case", "when", "reason", "until", "transcript")
    issue = KnownIssue(
        case=table.text("case"),
        when=table.text("when"),
        reason=table.text("reason"),
        until=table.text("until"),
        transcript=_transcript(table, "transcript"),
    )
    if not _CASE_ID.fullmatch(issue.case):
        raise table.wrong(f"{issue.case!r} is no case's id", "write it as `origax list` does")
    check_condition(issue.when, vocabulary, table.where)
    return issue


def known_here(
    issues: Iterable[KnownIssue], case_id: str, facts: Mapping[str, Value]
) -> KnownIssue | None:
    """Give the known issue of a case where these facts hold, if there is one.

    :raises UsageError: two fit
    """
    fitting = [each for each in issues if each.case == case_id and holds(each.when, facts)]
    if len(fitting) > 1:
        raise UsageError(
            f"{len(fitting)} known issues of {case_id} fit this environment together",
            f"known_issues.toml: {' | '.join(issue.when for issue in fitting)}",
            "narrow their `when` so that each excludes the others",
        )
    return fitting[0] if fitting else None


def strays(expected: Path, case_ids: Collection[str]) -> tuple[Path, ...]:
    """Give the expectation files for which no case exists."""
    wanted = {path_of(expected, case_id) for case_id in case_ids}
    return tuple(path for path in sorted(expected.glob("*/**/*.toml")) if path not in wanted)


# Comparing.

EQUAL: Final = 2.0
"""The likeness of two lines that do not differ."""


def pair(golden: Transcript, seen: Transcript) -> list[tuple[Line | None, Line | None]]:
    """Pair the lines so that the whole is most alike; a line without a partner has None.

    The best of all pairings is computed, because difflib, which takes the longest equal run
    first, tears equal stops in a row apart when one of them differs.
    """
    head = _common(golden, seen)
    golden_rest, seen_rest = golden[head:], seen[head:]
    tail = _common(golden_rest[::-1], seen_rest[::-1])
    one, other = len(golden) - tail, len(seen) - tail
    return [
        *zip(golden[:head], seen[:head], strict=True),
        *_best_pairs(golden[head:one], seen[head:other]),
        *zip(golden[one:], seen[other:], strict=True),
    ]


def _common(golden: Transcript, seen: Transcript) -> int:
    """Count the equal lines at the beginning."""
    pairs = zip(golden, seen, strict=False)
    return sum(1 for _ in itertools.takewhile(lambda lines: _likeness(*lines) == EQUAL, pairs))


def _best_pairs(
    golden: Transcript, seen: Transcript
) -> Iterator[tuple[Line | None, Line | None]]:
    alike = [[_likeness(one, other) for other in seen] for one in golden]
    best = [[0.0] * (len(seen) + 1) for _ in range(len(golden) + 1)]
    for i in reversed(range(len(golden))):
        for j in reversed(range(len(seen))):
            best[i][j] = max(best[i + 1][j + 1] + alike[i][j], best[i + 1][j], best[i][j + 1])
    i = j = 0
    while i < len(golden) and j < len(seen):
        if alike[i][j] and best[i][j] == best[i + 1][j + 1] + alike[i][j]:
            yield golden[i], seen[j]
            i, j = i + 1, j + 1
        elif best[i][j] == best[i + 1][j]:
            yield golden[i], None
            i += 1
        else:
            yield None, seen[j]
            j += 1
    yield from ((line, None) for line in golden[i:])
    yield from ((None, line) for line in seen[j:])


def _likeness(golden: Line, seen: Line) -> float:
    """Give `EQUAL` for equal lines, 0 for lines that cannot stand for each other."""
    if golden.head != seen.head:
        return 0.0
    names = golden.fields.keys() | seen.fields.keys()
    equal = sum(_fits(golden.fields.get(name), seen.fields.get(name)) for name in names)
    return (golden.words == seen.words) + (1 + equal) / (1 + len(names))


def _fits(golden: str | None, seen: str | None) -> bool:
    if golden is None or seen is None or not is_weak(golden):
        return golden == seen
    return golden == WEAK or seen in golden.split("|")


def align(golden: Transcript, seen: Transcript) -> tuple[Difference, ...]:
    """Give every line in which a transcript is not as the golden says."""
    differences = []
    number = 0
    for one, other in pair(golden, seen):
        number += one is not None
        difference = _difference(number, one, other)
        if difference:
            differences.append(difference)
    return tuple(differences)


def _difference(number: int, golden: Line | None, seen: Line | None) -> Difference | None:
    if golden is None:
        return Difference(0, None, str(seen), ("extra",), f"extra: {seen}")
    if seen is None:
        return Difference(number, str(golden), None, ("missing",), f"missing: {golden}")
    before = {"kind": golden.kind, **golden.fields}
    after = {"kind": seen.kind, **seen.fields}
    names = [
        name
        for name in dict.fromkeys((*before, *after))
        if not _fits(before.get(name), after.get(name))
    ]
    if not names:
        return None
    change = ", ".join(
        f"{name}: {before.get(name, 'none')} -> {after.get(name, 'none')}" for name in names
    )
    return Difference(number, str(golden), str(seen), tuple(names), change)


def judge(
    expectation: Expectation | None,
    facts: Mapping[str, Value],
    transcript: Transcript,
    known: KnownIssue | None = None,
) -> Judgement:
    """Judge one transcript: against the golden, the invariants, and what is known to fail.

    :raises UsageError: two variants fit
    """
    if expectation is None:
        plain = Judgement("NOGOLDEN", None, (), (), "the case has no expectation file", 0)
    else:
        plain = _judge_golden(expectation, facts, transcript)
    if known is None or not holds(known.when, facts):
        return plain
    if plain.verdict == "PASS":
        return replace(plain, verdict="FAIL", reason=f"a known issue is gone: {known.reason}")
    if not align(known.transcript, transcript):
        reason = f"{known.reason} (until {known.until})"
        return replace(plain, verdict="KNOWN", reason=reason, weak=_weak(known.transcript))
    return replace(plain, reason=f"{plain.reason}; nor is it the known issue: {known.reason}")


def judge_beginning(
    expectation: Expectation,
    facts: Mapping[str, Value],
    transcript: Transcript,
    known: KnownIssue | None = None,
) -> Judgement | None:
    """Judge a transcript that was cut short: FAIL, or None if it conforms as far as it goes.

    :raises UsageError: two variants fit
    """
    variant = expectation.choose(facts)
    so_far = [each.transcript[: len(transcript)] for each in (variant, known) if each]
    if not variant or any(not align(each, transcript) for each in so_far):
        return None
    differences = align(so_far[0], transcript)
    last = max(i for i, each in enumerate(differences) if each.observed is not None)
    told = differences[: last + 1]
    more = f", and {last} more" if last else ""
    return Judgement("FAIL", variant.name, told, (), told[0].change + more, 0)


def _judge_golden(
    expectation: Expectation, facts: Mapping[str, Value], transcript: Transcript
) -> Judgement:
    variant = expectation.choose(facts)
    told = weakened(variant.transcript, transcript, is_choice) if variant else transcript
    breaches = broken(expectation.invariants, told)
    differences = align(variant.transcript, transcript) if variant else ()
    reasons = [difference.change for difference in differences] + [
        f"broken invariant {breach}" for breach in breaches
    ]
    name, weak = (variant.name, _weak(variant.transcript)) if variant else (None, 0)
    if reasons:
        more = f", and {len(reasons) - 1} more" if len(reasons) > 1 else ""
        return Judgement("FAIL", name, differences, breaches, reasons[0] + more, weak)
    if variant is None:
        tried = "; ".join(f"{each.name}: {each.when}" for each in expectation.variants)
        reason = f"no variant fits this environment ({tried or 'there is none yet'})"
        return Judgement("NOGOLDEN", None, (), (), reason, 0)
    return Judgement("PASS", name, (), (), "", weak)


def weakened(
    golden: Transcript, seen: Transcript, weak: Callable[[str | None], bool] = is_weak
) -> Transcript:
    """Give what was seen, with the golden's weak values where they fit.

    A choice that the golden gives excuses from the invariants; ``*`` does not.
    """
    return tuple(
        replace(other, fields=other.fields | _weak_fields(one, other, weak)) if one else other
        for one, other in pair(golden, seen)
        if other
    )


def _weak_fields(
    golden: Line, seen: Line, weak: Callable[[str | None], bool]
) -> dict[str, str]:
    return {
        name: text
        for name, text in golden.fields.items()
        if weak(text) and _fits(text, seen.fields.get(name))
    }


def _weak(lines: Sequence[Line]) -> int:
    """Count the weak fields."""
    return sum(is_weak(text) for line in lines for text in line.fields.values())
