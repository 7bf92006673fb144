# SPDX-License-Identifier: GPL-2.0-only
"""The judge: it sees every lie, pairs the right lines, and takes no garbled file."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from conformance import expectation
from conformance.errors import UsageError
from conformance.expectation import (
    Expectation,
    KnownIssue,
    Transcript,
    Variant,
    align,
    judge,
    judge_beginning,
)
from conformance.facts import VOCABULARY, Value
from conformance.transcript import Line, parse

FACTS: Mapping[str, Value] = {"x86_64": True, "fred": False, "virt": "none", "family": 2}

RICH = """
run  door=syscall64 rax=-513
stop  syscall-enter  orig_ax=39/getpid ax=-38/ENOSYS ip=call+2 cs=33 ss=2b flags=IF regs=cx:ip,r11:flags views=agree
poke  orig_ax=-1 ax=777
stop  syscall-exit  orig_ax=-1 ax=777 ip=call+2 cs=33 ss=2b flags=IF regs=cx:ip,r11:flags views=agree
stop  event FORK  msg=$child orig_ax=57/fork ax=-38/ENOSYS ip=call+2 cs=33 ss=2b flags=IF regs=own views=agree
stop  child signal SIGTRAP  code=TRAP_TRACE addr=spin orig_ax=-1 ax=own ip=spin cs=33 ss=2b flags=IF+TF dr6=BS regs=own views=agree
stop  group-stop SIGSTOP  orig_ax=-1 ax=-513 ip=spin cs=33 ss=2b flags=IF regs=di:0 views=core.ax:1
exit  killed SIGKILL
probe  signal SIGSEGV  code=SEGV_MAPERR addr=0x10 trap=14 err=0x4 cr2=0x10 ax=own ip=read cs=33 ss=2b flags=IF+RF regs=own
probe  result  saved=4 count=2
probe  exited 0
control  landed  ax=$pid cs=33 ss=2b flags=IF regs=cx:ip,r11:flags
control  signal SIGFPE  code=FPE_INTDIV addr=divide ax=1 ip=divide flags=IF
"""  # noqa: E501

FILE = """
intent = "A thing to see."
source = ["arch/x86/entry/entry_64.S entry_SYSCALL_64"]
breaks = ["gdb"]

[invariants]
enosys = "every syscall-enter: ax == -38"

[[variant]]
name = "base"
when = "x86_64 and not fred"
basis = "kernel-source"
transcript = '''
stop  syscall-enter  orig_ax=39/getpid ax=-38/ENOSYS ip=call+2 regs=cx:ip
stop  syscall-exit  orig_ax=39/getpid ax=$pid ip=call+2 regs=cx:ip
exit  exited 0
'''

[[variant]]
name = "fred"
when = "x86_64 and fred"
basis = "manual"
like = "base"
replace = [["cx:ip", "own"]]
"""


def write(expected: Path, text: str | bytes, name: str = "syscalls/pair.toml") -> Path:
    path = expected / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def load(expected: Path, text: str | bytes = FILE) -> Expectation:
    write(expected, text)
    return expectation.load(expected, "syscalls.pair", VOCABULARY)


def rich(golden: Transcript) -> Expectation:
    variant = expectation.Variant("base", "x86_64", "kernel-source", golden, "", {}, "", {})
    return Expectation("a.b", Path("a/b.toml"), "i", ("s",), (), {}, (variant,), {})


def lies(golden: Transcript) -> Iterator[tuple[int, str, Line]]:
    """Give the golden's lines with one lie each: its number, the field, the lying line."""
    for number, line in enumerate(golden, 1):
        if line.words:
            yield number, "kind", replace(line, words=(*line.words[:-1], "LIE"))
        yield number, "kind", replace(line, words=(*line.words, "more"))
        for name, text in line.fields.items():
            for lie in ("34", "*", f"{text}0", text[:-1] or "none"):
                yield number, name, replace(line, fields={**line.fields, name: lie})
            left = {key: value for key, value in line.fields.items() if key != name}
            yield number, name, replace(line, fields=left)
        yield number, "news", replace(line, fields={**line.fields, "news": "1"})


# A lie in any field of any line, told, left out or made up, fails, and is named with its line.
@pytest.mark.parametrize(("number", "name", "lie"), list(lies(parse(RICH))))
def test_every_lie_is_seen(number: int, name: str, lie: Line) -> None:
    golden = parse(RICH)
    seen = (*golden[: number - 1], lie, *golden[number:])
    judgement = judge(rich(golden), FACTS, seen)
    [difference] = judgement.differences
    assert judgement.verdict == "FAIL"
    assert (difference.line, difference.fields) == (number, (name,))
    assert (difference.expected, difference.observed) == (str(golden[number - 1]), str(lie))
    assert difference.change.startswith(f"{name}: ") and difference.change in judgement.reason


# A line of another head cannot stand for the golden's: one is missing and one is too many.
def test_another_head_is_another_line() -> None:
    golden = parse("probe  exited 0")
    assert [d.fields for d in align(golden, parse("control  exited 0"))] == [
        ("missing",),
        ("extra",),
    ]


# The truth passes, however its fields are ordered and its blanks are laid out.
def test_the_truth_passes() -> None:
    golden = parse(RICH)
    turned = tuple(replace(line, fields=dict(reversed(line.fields.items()))) for line in golden)
    assert judge(rich(golden), FACTS, turned).verdict == "PASS"
    assert judge(rich(golden), FACTS, parse(RICH.replace("  ", " \t "))).verdict == "PASS"


# As far as it goes, the beginning of the truth conforms; a lie in it is the only difference told.
def test_the_beginning_of_the_truth() -> None:
    golden = parse(RICH)
    for length in range(len(golden) + 1):
        assert judge_beginning(rich(golden), FACTS, golden[:length]) is None
    for number, name, lie in lies(golden):
        seen = judge_beginning(rich(golden), FACTS, (*golden[: number - 1], lie))
        assert seen and [(each.line, each.fields) for each in seen.differences] == [
            (number, (name,))
        ]


# Any one line lost is one missing line, though equal lines stand around it.
@pytest.mark.parametrize("lost", range(13))
def test_a_lost_line_is_no_cascade(lost: int) -> None:
    golden = parse(RICH)
    [difference] = align(golden, golden[:lost] + golden[lost + 1 :])
    assert difference.line == lost + 1
    assert (difference.fields, difference.observed) == (("missing",), None)
    assert difference.change == f"missing: {golden[lost]}"


# Any one line too many is one extra line, and has no number in the golden.
@pytest.mark.parametrize("more", range(14))
def test_an_extra_line_is_no_cascade(more: int) -> None:
    golden = parse(RICH)
    extra = Line.parse("stop  signal SIGWINCH  code=SI_KERNEL")
    [difference] = align(golden, (*golden[:more], extra, *golden[more:]))
    assert (difference.line, difference.expected) == (0, None)
    assert (difference.fields, difference.observed) == (("extra",), str(extra))


# Among equal stops in a row, one that lies and one that is lost stay one each.
def test_equal_stops_in_a_row_are_not_torn_apart() -> None:
    stop = Line.parse("stop  event INTERRUPT  orig_ax=-1 ax=-513")
    leak = Line.parse("stop  event INTERRUPT  orig_ax=34 ax=-513")
    golden = (stop,) * 6
    assert [d.fields for d in align(golden, (stop, leak, stop, stop, stop, stop))] == [
        ("orig_ax",)
    ]
    found = align(golden, (stop, leak, stop, stop, stop))
    assert sorted(d.fields for d in found) == [("missing",), ("orig_ax",)]


# Nothing seen at all, or nothing but one more line, is never a pass.
def test_an_empty_transcript_fails() -> None:
    golden = parse(RICH)
    judgement = judge(rich(golden), FACTS, ())
    assert judgement.verdict == "FAIL" and len(judgement.differences) == len(golden)


# Several fields that differ are one difference, and its change names them all.
def test_a_change_tells_all_fields() -> None:
    golden, seen = parse("stop  a  x=1 y=2 z=3"), parse("stop  b  x=1 y=5")
    [difference] = align(golden, seen)
    assert difference.fields == ("kind", "y", "z")
    assert difference.change == "kind: a -> b, y: 2 -> 5, z: 3 -> none"


# Alternatives are weak too: they need a reason, are counted, and nothing but them passes.
def test_alternatives(tmp_path: Path) -> None:
    text = FILE.replace("ax=$pid", "ax=$pid|7") + '\n[weak]\n"stop.ax" = "it may be 7"\n'
    wanted = load(tmp_path, text)
    golden = wanted.variants[0].transcript
    at = next(i for i, line in enumerate(golden) if line.fields.get("ax") == "$pid|7")
    for value, verdict in (("$pid", "PASS"), ("7", "PASS"), ("8", "FAIL"), ("$pid|7", "FAIL")):
        seen = replace(golden[at], fields={**golden[at].fields, "ax": value})
        judgement = judge(wanted, FACTS, (*golden[:at], seen, *golden[at + 1 :]))
        assert (judgement.verdict, judgement.weak) == (verdict, 1)


# A weak field takes any value, but must be there; it is counted and keeps its reason.
def test_a_weak_field_takes_any_value(tmp_path: Path) -> None:
    text = FILE.replace("ax=$pid", "ax=*") + '\n[weak]\n"stop.ax" = "it is a pid"\n'
    wanted = load(tmp_path, text)
    golden = wanted.variants[0].transcript
    assert wanted.variants[0].weak == {"stop.ax": "it is a pid"}
    for value in ("1", "own"):
        exit_stop = replace(golden[1], fields={**golden[1].fields, "ax": value})
        judgement = judge(wanted, FACTS, (golden[0], exit_stop, golden[2]))
        assert (judgement.verdict, judgement.weak) == ("PASS", 1)
    without = {name: text for name, text in golden[1].fields.items() if name != "ax"}
    lying = (golden[0], replace(golden[1], fields=without), golden[2])
    assert judge(wanted, FACTS, lying).differences[0].fields == ("ax",)


# The variant is chosen by facts; `like` is the other's transcript with whole values replaced.
def test_the_variant_is_chosen_by_facts(tmp_path: Path) -> None:
    wanted = load(tmp_path)
    base, fred = wanted.variants
    assert wanted.choose(FACTS) == base
    assert wanted.choose({**FACTS, "fred": True}) == fred
    assert [line.fields.get("regs") for line in fred.transcript] == ["own", "own", None]
    assert fred.transcript[2] == base.transcript[2]
    assert judge(wanted, {**FACTS, "fred": True}, base.transcript).verdict == "FAIL"


SHARED = """
[wide]
why = "so it is of wide ones"
replace = [["cx:ip", "own"], ["getpid", "no_whole_value"]]
stops = { arch = "wide" }
"""


def shared(expected: Path, replacement: str, table: str = SHARED) -> Variant:
    write(expected, table, "replacements.toml")
    text = FILE.replace("regs=cx:ip", "flags=IF regs=cx:ip views=agree")
    return load(expected, text.replace('[["cx:ip", "own"]]', replacement)).variants[1]


# A replacement that is named gives what it has for what there is, its reason, and each stop a
# field behind its flags; a variant's own goes first.
def test_a_replacement_is_named(tmp_path: Path) -> None:
    named = shared(tmp_path, '["wide", ["$pid", "7"]]')
    assert named.why == "so it is of wide ones"
    assert [str(line).partition("flags")[2] for line in named.transcript] == [
        "=IF arch=wide regs=own views=agree", "=IF arch=wide regs=own views=agree", "",
    ]  # fmt: skip
    assert named.transcript[1].fields["ax"] == "7"
    own = shared(tmp_path, '["wide", ["cx:ip", "mine"]]')
    assert [line.fields.get("regs") for line in own.transcript] == ["mine", "mine", None]


# One that is not there, or is garbled, is an error that names the place.
@pytest.mark.parametrize(
    ("replacement", "table", "what"),
    [
        ('["narrow"]', SHARED, "there is no replacement 'narrow'"),
        ('["wide"]', SHARED.replace("why", "because"), "there is no key 'because'"),
        ('["wide"]', SHARED.replace("why", "# why"), "'why' is missing"),
        ('["wide"]', SHARED.replace('["cx:ip", "own"]', '["cx:ip"]'), "no list of pairs"),
        ('["wide"]', "[wide", "not TOML"),
    ],
)
def test_a_named_replacement_is_whole(
    tmp_path: Path, replacement: str, table: str, what: str
) -> None:
    with pytest.raises(UsageError, match=re.escape(what)):
        shared(tmp_path, replacement, table)


OTHER = """
like = "syscalls.pair"
source = ["arch/x86/entry/entry_64_compat.S entry_SYSENTER_compat"]

[invariants]
number = "every stop: orig_ax == 20"

[[variant]]
name = "base"
when = "x86_64"
basis = "kernel-source"
transcript = '''
stop  syscall-enter  orig_ax=20/getpid ax=-38/ENOSYS
'''
"""


# A file that is like another's says only what differs; the other's goldens are not its own.
def test_a_file_is_like_another(tmp_path: Path) -> None:
    model = load(tmp_path)
    write(tmp_path, OTHER, "syscalls/pair.sysenter.toml")
    seen = expectation.load(tmp_path, "syscalls.pair.sysenter", VOCABULARY)
    assert (seen.intent, seen.breaks) == (model.intent, model.breaks)
    assert seen.source == ("arch/x86/entry/entry_64_compat.S entry_SYSENTER_compat",)
    assert seen.invariants == {**model.invariants, "number": "every stop: orig_ax == 20"}
    assert [variant.name for variant in seen.variants] == ["base"]
    write(tmp_path, OTHER.partition("[[")[0], "syscalls/pair.sysenter.toml")
    assert not expectation.load(tmp_path, "syscalls.pair.sysenter", VOCABULARY).variants


# It must be like a file that is there, and that is like no third.
@pytest.mark.parametrize("name", ["syscalls.pear", "syscalls.pair.sysenter", "no case"])
def test_a_file_is_like_one(tmp_path: Path, name: str) -> None:
    load(tmp_path)
    write(tmp_path, OTHER.replace("syscalls.pair", name), "syscalls/pair.sysenter.toml")
    with pytest.raises(UsageError):
        expectation.load(tmp_path, "syscalls.pair.sysenter", VOCABULARY)


DOOR = """
like = "syscalls.pair"

[[variant]]
name = "base"
when = "x86_64 and not fred"
basis = "kernel-source"
like = "syscalls.pair:base"
replace = [["39/getpid", "20/getpid"]]
lines = '''
stop  syscall-exit  orig_ax=20/getpid ax=0
'''

[[variant]]
name = "fred"
when = "x86_64 and fred"
basis = "kernel-source"
like = "base"
replace = [["0", "1"]]
"""


def door(expected: Path, text: str) -> Expectation:
    load(expected)
    write(expected, text, "syscalls/pair.sysenter.toml")
    return expectation.load(expected, "syscalls.pair.sysenter", VOCABULARY)


# A variant is like one of another case, with values replaced, and then with lines of its own in
# the place of those of the same words; and others are like it.
def test_a_variant_is_like_another_cases(tmp_path: Path) -> None:
    base, fred = door(tmp_path, DOOR).variants
    assert [str(line) for line in base.transcript] == [
        "stop  syscall-enter  orig_ax=20/getpid ax=-38/ENOSYS ip=call+2 regs=cx:ip",
        "stop  syscall-exit  orig_ax=20/getpid ax=0", "exit  exited 0",
    ]  # fmt: skip
    assert fred.transcript[1].fields == {"orig_ax": "20/getpid", "ax": "1"}
    assert (fred.transcript[0], fred.transcript[2]) == (base.transcript[0], base.transcript[2])
    like = door(tmp_path, re.sub(r"replace = .*39.*\n", "", DOOR)).variants[0]
    assert like.transcript[0].fields["orig_ax"] == "39/getpid"


# What it is like must be there, with a transcript of its own, and so must each line that another
# takes the place of, once.
@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("pair:base", "pear:base", "syscalls/pear.toml"),
        ("pair:base", "pair:fred", "there is no variant 'syscalls.pair:fred'"),
        ("stop  syscall-exit", "stop  syscall-none", "does not stand once"),
        ("39/getpid", "38/getpid", "'38/getpid' cannot be replaced"),
    ],
)
def test_a_variant_is_like_what_is_there(
    tmp_path: Path, old: str, new: str, what: str
) -> None:
    with pytest.raises(UsageError) as caught:
        door(tmp_path, DOOR.replace(old, new))
    assert what in str(caught.value) + caught.value.on


# Where no variant fits, or there is no file, the verdict is NOGOLDEN and never a pass.
def test_no_variant_is_no_golden(tmp_path: Path) -> None:
    wanted = load(tmp_path)
    judgement = judge(wanted, {**FACTS, "x86_64": False}, wanted.variants[0].transcript)
    assert (judgement.verdict, judgement.variant) == ("NOGOLDEN", None)
    assert "base: x86_64 and not fred" in judgement.reason
    assert judge(None, FACTS, parse(RICH)).verdict == "NOGOLDEN"
    assert expectation.find(tmp_path, "syscalls.other", VOCABULARY) is None


# Two variants that fit one environment are an error that names both.
def test_two_variants_that_fit_are_an_error(tmp_path: Path) -> None:
    wanted = load(tmp_path, FILE.replace("x86_64 and not fred", "family > 1"))
    with pytest.raises(UsageError, match="'base' and 'fred'"):
        wanted.choose({**FACTS, "fred": True})


# A broken invariant fails even where the golden matches, and where there is none.
def test_a_broken_invariant_fails(tmp_path: Path) -> None:
    rule = "every syscall-exit: ax in ('$pid', -38)"
    text = FILE.replace('"every syscall-enter: ax == -38"', f'"{rule}"')
    text = text.replace("ax=$pid", "ax=*") + '\n[weak]\nax = "a pid"\n'
    wanted = load(tmp_path, text)
    seen = parse("\n".join(map(str, wanted.variants[0].transcript)).replace("ax=*", "ax=1"))
    for facts in (FACTS, {**FACTS, "x86_64": False}):
        judgement = judge(wanted, facts, seen)
        assert (judgement.verdict, judgement.differences) == ("FAIL", ())
        assert judgement.broken[0].startswith(f"enosys: {rule} (not so in line 2: stop")
        assert "broken invariant" in judgement.reason


# Every scope of an invariant takes its own lines, and those of other tracees, and no other.
@pytest.mark.parametrize(
    ("scope", "count"),
    [
        ("run", 1), ("stop", 5), ("poke", 1), ("exit", 1), ("probe", 3), ("control", 2),
        ("syscall-enter", 1), ("syscall-exit", 1), ("signal", 1), ("event", 1), ("group", 1),
    ],
)  # fmt: skip
def test_scopes(scope: str, count: int) -> None:
    invariant = expectation._Invariant.parse("name", f"every {scope}: 1 == 1")
    assert len(invariant.lines(parse(RICH))) == count


# Invariants are judged by the value of the fields; a field that is missing is nothing.
@pytest.mark.parametrize(
    ("rule", "holds"),
    [
        ("every syscall-enter: orig_ax == 39", True),
        ("every syscall-enter: orig_ax == '39'", False),
        ("every stop: views == 'agree'", False),
        ("some stop: views != 'agree'", True),
        ("some event: kind == 'event VFORK'", False),
        ("every event: kind == 'event FORK' and msg == '$child'", True),
        ("every stop: code or orig_ax < 100", True),
        ("every stop: code < 100", False),
        ("every probe: not trap or trap in (13, 14)", True),
        ("every probe: kind in ('signal SIGSEGV', 'result') or 'exited' in kind", True),
        ("every control: -1 <= ax <= 1", False),
        ("some control: 0 < ax <= 1 and ip != 5", True),
    ],
)
def test_invariants(rule: str, holds: bool) -> None:
    assert bool(expectation.broken({"name": rule}, parse(RICH))) is not holds


# Conditions: each operator, by the facts' own types.
@pytest.mark.parametrize(
    ("when", "holds"),
    [
        ("x86_64", True), ("not x86_64", False), ("fred or family == 2", True),
        ("virt in ('none', 'kvm')", True), ("virt not in ('tcg', 'kvm')", True),
        ("1 < family <= 2", True), ("family >= 3", False), ("virt != 'tcg'", True),
        ("x86_64 == True", True), ("(x86_64) and not (virt == 'none')", False),
        ("'on' in virt", True), ("family > -1", True),
    ],
)  # fmt: skip
def test_conditions(when: str, holds: bool) -> None:
    expectation.check_condition(when, VOCABULARY, "here")
    assert expectation.holds(when, FACTS) is holds


# What is no boolean expression over known facts is refused, and never run.
@pytest.mark.parametrize(
    "when",
    [
        "", "x86_64 and", "X86_64", "arm64", "family", "virt", "5", "'yes'", "virt == 3",
        "family == 'two'", "family == '2'", "virt < 'z'", "family in ('1', '2')", "x86_64 == 1",
        "family and fred", "not virt", "x86_64 < fred", "family in 5", "1 in family", "family is 2",
        "family + 1 == 3", "print('x')", "virt.upper() == 'KVM'", "[fred]",
        "fred if x86_64 else x32", "cpus == 2", "x86_64 or device_irq > 9",
        "lambda: True", "(fred := True)", "family == 2.0", "virt == b'none'", "family == None",
        "__import__('os').getpid() == 1", "virt[0] == 'n'", "f'{virt}' == 'none'", "...",
        "(1, 2)", "(1, 2) == (1, 2)", "not " * 50_000 + "fred", "(" * 5_000, "fred\0", "*fred",
    ],
)  # fmt: skip
def test_bad_conditions(when: str) -> None:
    with pytest.raises(UsageError, match="`when` is wrong") as caught:
        expectation.check_condition(when, VOCABULARY, "here")
    assert str(caught.value).count("\n") >= 2 and caught.value.on.startswith("here: ")


# A fact that an old record does not know is an error, and not a guess.
def test_a_fact_that_is_not_there() -> None:
    with pytest.raises(UsageError, match="fact 'x32' is unknown"):
        expectation.holds("x32", FACTS)
    with pytest.raises(UsageError):
        expectation.holds("family > 1", {"family": "two"})
    with pytest.raises(UsageError):
        expectation.holds("__import__('os')", FACTS)


GARBLED: Mapping[str, tuple[str | bytes, str, str]] = {
    "bad TOML": (FILE + "x = [", "not TOML", "pair.toml"),
    "deep TOML": ("x = " + "[" * 5000, "not TOML", "pair.toml"),
    "a long number": ("x = 1" + "0" * 5000, "not TOML", "pair.toml"),
    "a key given twice": (FILE + 'name = "again"', "not TOML", "pair.toml"),
    "no UTF-8": (FILE.encode() + b"# \xff", "not UTF-8", "pair.toml"),
    "empty": ("", "'intent' is missing", "pair.toml"),
    "an unknown key": ("tags = []\n" + FILE, "no key 'tags'", "pair.toml"),
    "no intent": (FILE.replace("intent", "#"), "'intent' is missing", "pair.toml"),
    "an empty intent": (FILE.replace("A thing to see.", " "), "'intent'", "pair.toml"),
    "no source": (FILE.replace("source", "#"), "'source' is missing", "pair.toml"),
    "an empty source": (FILE.replace('"arch/x86/entry/entry_64.S entry_SYSCALL_64"', ""),
                        "'source' is empty", "pair.toml"),
    "source no list": (FILE.replace("source = [", "source = 5 #"), "'source'", "pair.toml"),
    "no breaks": (FILE.replace("breaks", "#"), "'breaks' is missing", "pair.toml"),
    "breaks of numbers": (FILE.replace('["gdb"]', "[1]"), "'breaks'", "pair.toml"),
    "breaks a text": (FILE.replace('["gdb"]', '"gdb"'), "'breaks'", "pair.toml"),
    "invariants no table": (FILE.replace("[invariants]\nenosys", "invariants"),
                            "'invariants' is no table", "pair.toml"),
    "an invariant no text": (FILE.replace('"every syscall-enter: ax == -38"', "5"),
                             "'enosys'", "[invariants]"),
    "an unknown scope": (FILE.replace("every syscall-enter", "every call"),
                         "does not begin with", "[invariants]"),
    "no scope": (FILE.replace("every syscall-enter:", ""), "does not begin", "[invariants]"),
    "a bad rule": (FILE.replace("ax == -38", "ax ="), "not an expression", "[invariants]"),
    "a rule that runs": (FILE.replace("ax == -38", "exit()"), "may not stand", "[invariants]"),
    "a rule of no field": (FILE.replace("ax == -38", "xa != -38"), "'xa'", "[invariants]"),
    "a rule that its golden breaks": (FILE.replace("ax == -38", "ax == -1"),
                                      "golden breaks its own invariant: enosys", "'base'"),
    "a rule that its other golden breaks": (FILE.replace("ax == -38", "regs == 'cx:ip'"),
                                            "golden breaks its own invariant", "'fred'"),
    "variant no array": (FILE.replace("[[variant]]", "[variant]", 1).partition("\n[[")[0],
                         "'variant' is no array", "pair.toml"),
    "no name": (FILE.replace('name = "base"', ""), "'name' is missing", "variant 1"),
    "two of a name": (FILE.replace('"fred"', '"base"'), "two variants are named", "variant 2"),
    "no when": (FILE.replace('when = "x86_64 and fred"', ""), "'when' is missing", "'fred'"),
    "a bad when": (FILE.replace("and not fred", "and not a_fred"), "no fact 'a_fred'", "'base'"),
    "no basis": (FILE.replace('basis = "manual"', ""), "'basis' is missing", "'fred'"),
    "a bad basis": (FILE.replace('"manual"', '"hearsay"'), "'hearsay'", "'fred'"),
    "an unknown key of a variant": (FILE.replace("basis =", "bases =", 1), "'bases'", "'base'"),
    "no transcript": (FILE.replace("transcript", "why", 1), "'transcript' is missing", "'base'"),
    "an empty transcript": (FILE.replace("stop", "#").partition("transcript")[0]
                            + "transcript = '\t'", "'transcript' is missing, empty", "'base'"),
    "a transcript of both kinds": (FILE + "transcript = 'exit a'", "'transcript'", "'fred'"),
    "a garbled line": (FILE.replace("exit  exited 0", "exitt  exited 0"), "line 3: ", "'base'"),
    "a field given twice": (FILE.replace("ax=$pid", "ip=5"), "line 2: .* stands twice", "'base'"),
    "a word after a field": (FILE.replace("ax=$pid", "pid"), "line 2: .* after a field", "'base'"),
    "a line of no ASCII": (FILE.replace("$pid", "\u00a7pid"), "line 2: .* ASCII", "'base'"),
    "like nothing": (FILE.replace('like = "base"', 'like = "bass"'), "no variant 'bass'", "'fred'"),
    "like itself": (FILE.replace('like = "base"', 'like = "fred"'), "no variant 'fred'", "'fred'"),
    "like without replace": (FILE.replace("replace", "#"), "'replace'", "'fred'"),
    "replace of nothing": (FILE.replace('[["cx:ip", "own"]]', "[]"), "'replace'", "'fred'"),
    "replace no pair": (FILE.replace('"cx:ip", "own"', '"cx:ip"'), "no list of pairs", "'fred'"),
    "replace no text": (FILE.replace('["cx:ip", "own"]', '["cx:ip", 5]'), "'replace'", "'fred'"),
    "replace what is not there": (FILE.replace('[["cx:ip"', '[["cx"'), "'cx' cannot be", "'fred'"),
    "replace by a blank": (FILE.replace('"own"', '"o n"'), "'o n'", "'fred'"),
    "replace twice": (FILE.replace('"own"]', '"own"], ["cx:ip", "x"]'), "does so twice", "'fred'"),
    "a weak field without a reason": (FILE.replace("$pid", "*"), "'ax' has no reason",
                                      "'base', line 2: stop"),
    "a weak word": (FILE.replace("exited 0", "exited *"), "a word cannot be weak", "line 3"),
    "a reason not used": (FILE + "[weak]\nax = 'so'", "reason for 'ax' is not used", "[weak]"),
    "a reason for another head": (FILE.replace("$pid", "*") + "[weak]\n'exit.ax' = 'so'",
                                  "'ax' has no reason", "line 2"),
    "an empty reason": (FILE.replace("$pid", "*") + "[weak]\nax = ''", "'ax' is missing", "[weak]"),
}  # fmt: skip


# Whatever is garbled in a file is said in three parts, with the file and the place.
@pytest.mark.parametrize("fault", GARBLED)
def test_a_garbled_expectation(fault: str, tmp_path: Path) -> None:
    text, what, place = GARBLED[fault]
    with pytest.raises(UsageError, match=what) as caught:
        load(tmp_path, text)
    error = caught.value
    assert error.exit_code == 2 and error.what and error.do
    assert "pair.toml" in error.on and place in error.on


# A golden that contradicts its own file fails the one case, and does not end a run.
@pytest.mark.parametrize(
    ("old", "new", "field"),
    [("ax=-38/ENOSYS", "ax=5", "ax"), ("ip=call+2 regs=cx:ip", "ip=call+2 regs=own", "regs"),
     (" ax=-38/ENOSYS", "", "ax")],
)  # fmt: skip
def test_a_run_takes_a_golden_that_contradicts_itself(
    old: str, new: str, field: str, tmp_path: Path
) -> None:
    golden = load(tmp_path).variants[0].transcript
    write(tmp_path, FILE.replace(old, new))
    with pytest.raises(UsageError):
        expectation.load(tmp_path, "syscalls.pair", VOCABULARY)
    judgement = judge(expectation.find(tmp_path, "syscalls.pair", VOCABULARY), FACTS, golden)
    assert judgement.verdict == "FAIL"
    assert {name for d in judgement.differences for name in d.fields} == {field}


# A file that is not there, a directory, and one that nobody may read are each said so.
def test_an_unreadable_expectation(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        expectation.load(tmp_path, "syscalls.pair", VOCABULARY)
    (tmp_path / "syscalls" / "pair.toml").mkdir(parents=True)
    with pytest.raises(UsageError, match="cannot be read: Is a directory"):
        expectation.find(tmp_path, "syscalls.pair", VOCABULARY)
    write(tmp_path, FILE, "syscalls/shut.toml").chmod(0)
    if not os.access(tmp_path / "syscalls/shut.toml", os.R_OK):
        with pytest.raises(UsageError, match="cannot be read: Permission"):
            expectation.load(tmp_path, "syscalls.shut", VOCABULARY)


# An id from a record cannot lead out of the directory of the expectations.
@pytest.mark.parametrize("case_id", ["../a.b", "a/../b.c", "a", "A.b", ".a.b", "a..b", "a.b\n"])
def test_an_id_is_no_path(case_id: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no case's id"):
        expectation.find(tmp_path, case_id, VOCABULARY)
    assert expectation.path_of(tmp_path, "a.b.c_1") == tmp_path / "a" / "b.c_1.toml"


# Expectations that no case reads are found; the files beside them are not taken for such.
def test_strays(tmp_path: Path) -> None:
    used = write(tmp_path, FILE)
    stray = write(tmp_path, FILE, "syscalls/pear.toml")
    write(tmp_path, "", "facts.toml")
    write(tmp_path, "{}", "evidence/linux.json")
    assert expectation.strays(tmp_path, ["syscalls.pair"]) == (stray,)
    assert expectation.strays(tmp_path, []) == (used, stray)


KNOWN = """
[[issue]]
case = "syscalls.pair"
when = "virt == 'tcg'"
reason = "the emulator says so"
until = "QEMU 9"
transcript = "exit  killed SIGSEGV"
"""


# A known issue is KNOWN only where it is said to be and only when it looks as it is said to.
def test_a_known_issue(tmp_path: Path) -> None:
    write(tmp_path, KNOWN, "known_issues.toml")
    issues = expectation.load_known(tmp_path, VOCABULARY)
    wanted = load(tmp_path)
    golden, crash = wanted.variants[0].transcript, parse("exit  killed SIGSEGV")
    tcg = {**FACTS, "virt": "tcg"}
    issue = expectation.known_here(issues, "syscalls.pair", tcg)
    assert isinstance(issue, KnownIssue)
    assert expectation.known_here(issues, "syscalls.pair", FACTS) is None
    assert expectation.known_here(issues, "syscalls.other", tcg) is None

    known = judge(wanted, tcg, crash, issue)
    assert known.verdict == "KNOWN" and known.reason == "the emulator says so (until QEMU 9)"
    gone = judge(wanted, tcg, golden, issue)
    assert gone.verdict == "FAIL" and "a known issue is gone" in gone.reason
    other = judge(wanted, tcg, golden[:2], issue)
    assert other.verdict == "FAIL" and "nor is it the known issue" in other.reason
    assert judge(wanted, FACTS, golden, issue).verdict == "PASS"
    assert judge(wanted, FACTS, crash, issue).verdict == "FAIL"


# A machine without a known issue has none; a garbled file, or two that fit, are errors.
def test_garbled_known_issues(tmp_path: Path) -> None:
    assert expectation.load_known(tmp_path, VOCABULARY) == ()
    for text, what in {
        KNOWN.replace("until", "unless"): "no key 'unless'",
        KNOWN.replace("reason = ", "#"): "'reason' is missing",
        KNOWN.replace("virt ==", "virtue =="): "no fact 'virtue'",
        KNOWN.replace("exit  ", "exits  "): "garbled: line 1",
        KNOWN.replace('"exit  killed SIGSEGV"', "''"): "'transcript' is missing",
        KNOWN.replace("syscalls.pair", "../pair"): "no case's id",
        KNOWN.replace("[[issue]]", "[[issues]]"): "no key 'issues'",
        KNOWN.replace("[[issue]]", "[issue]"): "no array",
    }.items():
        write(tmp_path, text, "known_issues.toml")
        with pytest.raises(UsageError, match=what) as caught:
            expectation.load_known(tmp_path, VOCABULARY)
        assert "known_issues.toml" in caught.value.on
    write(tmp_path, KNOWN + KNOWN, "known_issues.toml")
    issues = expectation.load_known(tmp_path, VOCABULARY)
    with pytest.raises(UsageError, match=r"2 known issues of .* fit"):
        expectation.known_here(issues, "syscalls.pair", {**FACTS, "virt": "tcg"})
