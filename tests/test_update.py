# SPDX-License-Identifier: GPL-2.0-only
"""The update of goldens: groups what changed, refuses what is not sure, and keeps every comment."""

from __future__ import annotations

import builtins
import errno
import os
import re
import resource
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import records

from conformance import expectation, update
from conformance.errors import HarnessError, OrigaxError, UsageError
from conformance.evidence import write as write_evidence
from conformance.facts import VOCABULARY
from conformance.record import CaseRecord, EnvironmentRecord, Record
from conformance.transcript import parse

ENTER = "stop  syscall-enter  orig_ax=39/getpid ax=-38/ENOSYS ip=call+2 regs=cx:ip"
EXIT = "stop  syscall-exit  orig_ax=39/getpid ax=* ip=call+2 regs=cx:ip"
END = "exit  exited 0"

GOLDEN = f'''# Written by hand, to the last blank.
intent = "Enter and exit."   # short
source = [
    "arch/x86/entry/entry_64.S entry_SYSCALL_64",   # the entry
]
breaks = [ "gdb","strace" ]

[invariants]   # no update breaks them
enosys  = "every syscall-enter: ax == -38"

# What all but FRED does.
[[variant]]
name  = "base"   # the usual
when  = "x86_64 and not fred"   # no FRED
basis = "kernel-source"   # read, not seen
# The stops:
transcript = """
{ENTER}
{EXIT}
{END}
"""   # and no more

# FRED keeps rcx.
[[variant]]
name = "fred"
when = "x86_64 and fred"
basis = "manual"
like = "base"   # nearly
replace = [   # only this
    ["cx:ip", "own"],   # rcx # here
]
why = "commit 14619d912b65"

# A pid differs from run to run.
[weak]
ax = "$pid is 1 in a container"   # so
'''

SEEN = [ENTER, EXIT.replace("*", "$pid"), END]
LEAK = [SEEN[0], SEEN[1].replace("39/getpid", "-1"), END]
PROBES = {"spin": records.SHA}
FACTS: Mapping[str, bool | int | str] = {"x86_64": True, "fred": False, "virt": "none", "family": 2}


@pytest.fixture
def expected(tmp_path: Path) -> Path:
    """Give expectations of two cases that are alike."""
    (tmp_path / "syscalls").mkdir()
    (tmp_path / "facts.toml").write_text("")
    for name in ("one", "two"):
        (tmp_path / "syscalls" / f"{name}.toml").write_text(GOLDEN)
    return tmp_path


def case(name: str = "syscalls.one", lines: list[str] = LEAK, count: int = 10) -> CaseRecord:
    transcript = records.transcript(*lines, count=count)
    return records.case(name, "FAIL", transcripts=(transcript,), repeats=count)


def record(*cases: CaseRecord, name: str = "linux-6.1.amd.none", **facts: Any) -> Record:
    environment = EnvironmentRecord(name, {**FACTS, **facts}, {})
    return records.record(*(cases or (case(),)), environment=environment)


def evidence(expected: Path, name: str, *cases: str, **facts: Any) -> None:
    """Write the evidence of an environment on which cases were as their goldens say."""
    passed = [replace(case(each, SEEN), verdict="PASS") for each in cases]
    if facts.get("fred"):
        lines = [line.replace("cx:ip", "own") for line in SEEN]
        passed = [replace(case(each, lines), verdict="PASS") for each in cases]
    write_evidence([record(*passed, name=name, **facts)], expected, {})


def run(expected: Path, *given: Record, accept: str | None = None, **options: Any) -> str:
    settings: dict[str, Any] = {
        "reason": "Linux 6.2 says so", "when": None, "environ": {},
        "current_probes": lambda: PROBES,
    } | options  # fmt: skip
    return update.run(given, expected, accept=accept, **settings)


def ids(text: str) -> list[str]:
    return re.findall(r"^([0-9a-f]{8})  ", text, re.MULTILINE)


def accept(expected: Path, *given: Record, **options: Any) -> str:
    """Accept the first change of the records."""
    return run(expected, *given, accept=ids(run(expected, *given))[0], **options)


def files(expected: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in expected.rglob("*") if path.is_file()}


def refused(expected: Path, *given: Record, **options: Any) -> OrigaxError:
    """Accept the first change, see it refused and everything left as it was, byte for byte."""
    before = files(expected)
    with pytest.raises(OrigaxError) as caught:
        accept(expected, *given, **options)
    assert files(expected) == before
    assert caught.value.what and caught.value.on and caught.value.do
    return caught.value


def load(expected: Path, name: str = "syscalls.one") -> expectation.Expectation:
    return expectation.load(expected, name, VOCABULARY)


def judged(expected: Path, given: Record, name: str = "syscalls.one") -> str:
    [found] = [case for case in given.cases if case.id == name]
    seen = parse("\n".join(found.transcripts[0].lines))
    return expectation.judge(load(expected, name), given.environment.facts, seen).verdict


# Equal changes of several cases on several environments are one group, shown as a diff.
def test_equal_changes_are_one_group(expected: Path) -> None:
    both = (case("syscalls.one"), case("syscalls.two"))
    text = run(expected, record(*both), record(*both, name="linux-6.1.intel.none"))
    assert re.search(
        r"^[0-9a-f]{8}  orig_ax at stop 2: 39/getpid -> -1, in 2 cases, on 2 environments$",
        text, re.MULTILINE,
    )  # fmt: skip
    assert len(ids(text)) == 1
    assert "cases: syscalls.one, syscalls.two\n" in text
    assert "on: linux-6.1.amd.none, linux-6.1.intel.none\n" in text
    assert f"    -{EXIT}\n    +{EXIT.replace('39/getpid', '-1')}\n" in text
    assert f"--accept {ids(text)[0]} --reason TEXT" in text


# Changes that differ are groups of their own.
def test_unequal_changes_are_groups(expected: Path) -> None:
    other = case("syscalls.two", [SEEN[0].replace("getpid", "x"), *SEEN[1:]])
    text = run(expected, record(case(), other))
    assert len(set(ids(text))) == 2 and "in 1 case, on 1 environment" in text


# A change has the same ID whichever cases and environments show it, in whatever order.
def test_ids_are_stable(expected: Path) -> None:
    one, two = case("syscalls.one"), case("syscalls.two")
    found = [
        ids(run(expected, *given))
        for given in (
            [record(one)], [record(two)], [record(two, one)], [record(one), record(two, name="x")],
        )
    ]  # fmt: skip
    assert found == [ids(run(expected, record()))] * 4
    assert found[0] == ["706e3bd1"]


# All that changed is said when several lines changed, each with its place.
def test_a_change_of_several_lines(expected: Path) -> None:
    lines = [
        SEEN[0], "poke  ax=1", SEEN[1].replace("regs=cx:ip", "regs=own").replace("39/getpid", "-1"),
    ]  # fmt: skip
    text = run(expected, record(case(lines=lines)))
    assert "one more line: poke  ax=1" in text
    assert "at stop 2: orig_ax: 39/getpid -> -1, regs: cx:ip -> own" in text
    assert "exit 1 is gone: exit  exited 0" in text


# Records that say what the goldens say change nothing, whatever verdict they were given then.
def test_nothing_to_update(expected: Path) -> None:
    before = files(expected)
    assert "Nothing to update" in run(expected, record(case(lines=SEEN)))
    assert "Nothing to update" in run(expected)
    assert files(expected) == before


# A known issue is no change of the golden.
def test_a_known_issue_is_no_change(expected: Path) -> None:
    issue = f'''[[issue]]
case = "syscalls.one"
when = "family == 2"
reason = "so"
until = "then"
transcript = """
{chr(10).join(LEAK)}
"""
'''
    (expected / "known_issues.toml").write_text(issue)
    assert "Nothing to update" in run(expected, record())


# Accepting writes the transcript, basis and reason, and nothing else of what a hand wrote.
def test_accepting_keeps_every_comment(expected: Path) -> None:
    text = accept(expected, record(), reason='a "good" \\ one')
    path = expected / "syscalls" / "one.toml"
    assert text == f"{ids(run(expected, record(case('syscalls.two'))))[0]}: wrote {path}\n"
    new = EXIT.replace("39/getpid", "-1")
    wanted = GOLDEN.replace(f'{EXIT}\n{END}\n"""   # and no more\n',
                            f'{new}\n{END}\n"""   # and no more\nwhy = "a \\"good\\" \\\\ one"\n')
    wanted = wanted.replace('"kernel-source"', '"observed"')
    # FRED is like the base, but nobody saw it change: it keeps its transcript as its own.
    own = f'"""\n{ENTER}\n{EXIT}\n{END}\n"""'.replace("cx:ip", "own")
    replaced = 'like = "base"   # nearly\nreplace = [   # only this\n' \
               '    ["cx:ip", "own"],   # rcx # here\n]\n'
    wanted = wanted.replace(
        replaced, f"transcript = {own}   # nearly\n# only this\n# rcx # here\n"
    )
    assert path.read_text() == wanted
    assert (expected / "syscalls" / "two.toml").read_text() == GOLDEN
    base, fred = load(expected).variants
    assert (base.why, base.basis) == ('a "good" \\ one', "observed")
    assert fred.transcript == parse(own.strip('"'))
    assert judged(expected, record()) == "PASS"


# A whole group is written, and then there is nothing left to write.
def test_accepting_a_group(expected: Path) -> None:
    given = record(case("syscalls.one"), case("syscalls.two"))
    assert accept(expected, given, basis="manual").count("wrote") == 2
    assert [judged(expected, given, name) for name in ("syscalls.one", "syscalls.two")] == [
        "PASS"
    ] * 2
    assert load(expected, "syscalls.two").variants[0].basis == "manual"
    assert "Nothing to update" in run(expected, given)
    assert not list(expected.rglob("*.tmp"))


# What a variant of another case is like is not rewritten behind its back; its lines go with `like`.
def test_another_case_is_like_it(expected: Path) -> None:
    two = expected / "syscalls" / "two.toml"
    lines = f'lines = """\n{EXIT.replace("cx:ip", "own")}\n"""'
    text = re.sub(r'transcript = """.*?"""', f'like = "syscalls.one:base"\n{lines}', GOLDEN,
                  count=1, flags=re.DOTALL)  # fmt: skip
    two.write_text(re.sub(r"replace = \[.*?^]", 'replace = [["own", "cx"]]', text, count=1,
                          flags=re.DOTALL | re.MULTILINE))  # fmt: skip
    assert refused(expected, record()).on == str(two)
    accept(expected, record(case("syscalls.two")))
    assert "lines" not in two.read_text()
    assert "syscalls.one:base" not in two.read_text()
    assert judged(expected, record(case("syscalls.two")), "syscalls.two") == "PASS"


# A variant that is like another gets a transcript of its own; the other stays as it is.
def test_a_like_variant_becomes_explicit(expected: Path) -> None:
    lines = [line.replace("cx:ip", "own") for line in LEAK]
    given = record(case(lines=lines), fred=True)
    accept(expected, given)
    base, fred = load(expected).variants
    assert (base.why, str(base.transcript[1])) == ("", EXIT)
    assert (fred.like, fred.why, fred.basis) == ("", "Linux 6.2 says so", "observed")
    assert judged(expected, given) == "PASS"
    text = (expected / "syscalls" / "one.toml").read_text()
    assert all(comment in text for comment in re.findall("# .*", GOLDEN))


# A condition splits the variant: the new form below the old, which is narrowed by it.
def test_a_condition_splits_the_variant(expected: Path) -> None:
    evidence(expected, "linux-5.10.amd.tcg", "syscalls.one", virt="tcg")
    given = record(virt="kvm", name="linux-6.1.amd.kvm")
    old = record(case(lines=SEEN))
    accept(expected, given, old, when="virt == 'kvm'")
    base, kvm, fred = load(expected).variants
    assert (base.when, base.why) == ("(x86_64 and not fred) and not (virt == 'kvm')", "")
    assert (kvm.name, kvm.when, kvm.why) == ("virt_kvm", "virt == 'kvm'", "Linux 6.2 says so")
    assert fred.transcript[0].fields["regs"] == "own"
    assert judged(expected, given) == judged(expected, old) == "PASS"
    text = (expected / "syscalls" / "one.toml").read_text()
    when = 'when  = "(x86_64 and not fred) and not (virt == \'kvm\')"   # no FRED\n'
    wanted = GOLDEN.replace('when  = "x86_64 and not fred"   # no FRED\n', when)
    new = "\n".join(str(line) for line in kvm.transcript)
    split = (
        '\n[[variant]]\nname = "virt_kvm"\nwhen = "virt == \'kvm\'"\nbasis = "observed"\n'
        f'transcript = """\n{new}\n"""\nwhy = "Linux 6.2 says so"\n'
    )
    assert text == wanted.replace("# and no more\n", f"# and no more\n{split}")


# A second split finds a name of its own, and the comment above [weak] stays above it.
def test_a_split_of_the_last_variant(expected: Path) -> None:
    lines = [line.replace("cx:ip", "own") for line in LEAK]
    for family in (3, 4):
        given = record(case(lines=[*lines, "probe  exited 0"][: family]), fred=True, family=family)
        accept(expected, given, when=f"fred and family > {family - 1}" + " " * (family - 3))
        assert judged(expected, given) == "PASS"
    names = [variant.name for variant in load(expected).variants]
    assert names == ["base", "fred", "fred_and_family_2", "fred_and_family_3"]
    text = (expected / "syscalls" / "one.toml").read_text()
    assert text.endswith(GOLDEN[GOLDEN.index("\n# A pid differs") :])


# Where no variant fits, the proposal is a new one; it needs a condition that fits.
def test_a_new_variant(expected: Path) -> None:
    given = record(x86_64=False)
    text = run(expected, given)
    assert "a new variant of syscalls.one, in 1 case, on 1 environment\n" in text
    assert "--when EXPR" in text and f"    +{LEAK[1]}\n" in text
    assert "needs a condition" in refused(expected, given).what
    assert "does not hold where" in refused(expected, given, when="fred").what
    accept(expected, given, when="not x86_64")
    assert load(expected).variants[-1].name == "not_x86_64"
    assert judged(expected, given) == "PASS"


# A condition under which two variants would fit one machine is refused.
def test_a_new_variant_that_overlaps(expected: Path) -> None:
    evidence(expected, "linux-6.1.amd.tcg", "syscalls.one", virt="tcg")
    error = refused(expected, record(x86_64=False), when="family == 2")
    assert "'base' and 'family_2' fit" in error.what


# A file that has no variant yet gets its first.
@pytest.mark.parametrize("end", ["\n", ""])
def test_the_first_variant(expected: Path, end: str) -> None:
    path = expected / "syscalls" / "one.toml"
    head = GOLDEN.partition("\n# What all")[0].rstrip() + end
    path.write_text(head)
    accept(expected, record(), when="x86_64")
    assert path.read_text().startswith(head.rstrip() + '\n\n[[variant]]\nname = "base"\n')
    assert judged(expected, record()) == "PASS"


# A case without a file is told which file to write first.
def test_no_expectation_file(expected: Path) -> None:
    text = run(expected, record(case("traps.new")))
    assert f"write {expected / 'traps' / 'new.toml'} first, with intent, source and breaks" in text


# Nine repeats, or ten that part, or ten of which nine agree, are not enough.
def test_too_few_repeats(expected: Path) -> None:
    nine = record(case(count=9))
    assert "9 repeats: it takes 10" in refused(expected, nine).what
    assert "cannot be accepted: 9 repeats" in run(expected, nine)
    parts = (records.transcript(*LEAK, count=10), records.transcript(*SEEN, count=1))
    error = refused(expected, record(replace(case(), transcripts=parts, repeats=11)))
    assert "the repeats part" in error.what
    alone = replace(case(count=9), repeats=10)
    assert "9 repeats" in refused(expected, record(alone)).what
    assert "9 repeats" in refused(expected, record(), nine).what


# A transcript that lost a stop is refused.
@pytest.mark.parametrize("lost", [0, 1])
def test_a_lost_stop(expected: Path, lost: int) -> None:
    error = refused(expected, record(case(lines=[s for s in SEEN if s != SEEN[lost]])))
    assert error.what == "the transcript lost 1 stop"
    error = refused(expected, record(case(lines=[END])), when="family == 2")
    assert error.what == "the transcript lost 2 stops"


# A broken invariant is refused, even where the field that breaks it is weak in the golden.
def test_a_broken_invariant(expected: Path) -> None:
    lines = [ENTER.replace("-38/ENOSYS", "0"), *SEEN[1:]]
    assert "invariant enosys" in refused(expected, record(case(lines=lines))).what
    path = expected / "syscalls" / "one.toml"
    path.write_text(GOLDEN.replace("[invariants]", "[invariants]\nx = 'every stop: ax != 5'\n"))
    lines = [LEAK[0], LEAK[1].replace("$pid", "5"), END]
    assert "invariant x" in refused(expected, record(case(lines=lines))).what


# A field that turned into a weak one is refused.
def test_a_field_turned_weak(expected: Path) -> None:
    lines = [ENTER, EXIT.replace("39/getpid", "*"), END]
    assert "turned into *" in refused(expected, record(case(lines=lines))).what


# A record of other probes, or of none, says nothing of these.
def test_other_probes(expected: Path) -> None:
    for probes in ({}, {"spin": "0" * 64}):
        error = refused(expected, record(), current_probes=lambda probes=probes: probes)
        assert "machine code of spin is not the one recorded" in error.what
    error = refused(expected, record(replace(case(), probes={})))
    assert "machine code of its probe" in error.what


# Evidence from an environment that is not among the records keeps its golden.
def test_evidence_covers_more(expected: Path) -> None:
    evidence(expected, "linux-6.1.intel.none", "syscalls.one")
    error = refused(expected, record())
    assert "the evidence covers more" in error.what and "--when" in error.do
    assert error.on == "syscalls.one on linux-6.1.intel.none"
    accept(expected, record(), record(name="linux-6.1.intel.none"))


# Evidence of other cases and other variants is in nobody's way.
def test_evidence_of_others(expected: Path) -> None:
    evidence(expected, "linux-6.1.intel.none", "syscalls.two")
    evidence(expected, "linux-6.9.intel.none", "syscalls.one", fred=True)
    accept(expected, record())


# A record of the same variant that does not show the change, or another one, is in its way.
@pytest.mark.parametrize("lines", [SEEN, [LEAK[0], LEAK[1].replace("=-1", "=-2"), END]])
def test_a_record_that_shows_otherwise(expected: Path, lines: list[str]) -> None:
    other = record(case(lines=lines), name="linux-6.1.intel.none")
    error = refused(expected, record(), other)
    assert "does not show the change" in error.what and "intel" in error.on


# One file of a group that is refused keeps all of them.
def test_a_group_is_refused_whole(expected: Path) -> None:
    given = record(case("syscalls.one"), case("syscalls.two"))
    evidence(expected, "linux-6.1.intel.none", "syscalls.two")
    assert "syscalls.two" in refused(expected, given).on


# Nothing is accepted in CI, without a reason, on an unknown basis or under a garbled condition.
def test_who_may_accept(expected: Path) -> None:
    assert "CI" in refused(expected, record(), environ={"CI": "true"}).what
    assert run(expected, record(), environ={"CI": "true"})
    for reason in ("", " \n"):
        assert "no reason" in refused(expected, record(), reason=reason).what
    assert "no basis" in refused(expected, record(), basis="hearsay").what
    assert "`when` is wrong" in refused(expected, record(), when="virtue").what


# An ID that these records do not show is refused, and the ones they do are named.
def test_an_unknown_id(expected: Path) -> None:
    with pytest.raises(UsageError, match="no such change") as caught:
        run(expected, record(), accept="00000000")
    assert ids(run(expected, record()))[0] in caught.value.do


# Interrupted runs, and cases that were unstable, broke or gave no answer, are never a source.
def test_what_is_no_source(expected: Path) -> None:
    text = run(expected, replace(record(), interrupted=True))
    assert "Nothing" in text and "syscalls.one on linux-6.1.amd.none: the record is of an" in text
    for verdict in ("UNSTABLE", "ERROR", "MISS"):
        text = run(expected, record(replace(case(), verdict=verdict)))
        assert "Nothing" in text and f"the verdict is {verdict}" in text
    skipped = record(records.case("syscalls.one", "SKIP"))
    assert run(expected, skipped).count("\n") == 1


# What a kernel wrote cannot reach the terminal, nor the golden.
def test_a_hostile_kernel(expected: Path) -> None:
    lines = [*LEAK, "probe  \x1b[2J\x07"]
    text = run(expected, record(case(lines=lines), name="linux\x1b[2J"))
    assert text.replace("\n", "").isprintable()
    assert "printable ASCII" in refused(expected, record(case(lines=lines))).what
    quoted = record(case(lines=[*LEAK, 'probe  \\n"""\\'], count=10))
    accept(expected, quoted)
    assert judged(expected, quoted) == "PASS"


# Evidence that is garbled is an error that names its file.
@pytest.mark.parametrize("text", ["", "[]", "{}", '{"environment": "x", "facts": 5, "cases": {}}'])
def test_garbled_evidence(expected: Path, text: str) -> None:
    (expected / "evidence").mkdir()
    (expected / "evidence" / "bad.json").write_text(text)
    error = refused(expected, record())
    assert "evidence is garbled" in error.what and "bad.json" in error.on


# Without tomlkit the goldens are only shown, and accepting says what to install.
def test_without_tomlkit(expected: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    importer = builtins.__import__

    def without(name: str, *more: Any) -> Any:
        if name == "tomlkit":
            raise ImportError(name)
        return importer(name, *more)

    monkeypatch.setattr(builtins, "__import__", without)
    assert "origax[update]" in refused(expected, record()).do


# A file whose variants are not one after the other is left to its author.
def test_a_layout_that_cannot_be_edited(expected: Path) -> None:
    path = expected / "syscalls" / "one.toml"
    head, _, fred = GOLDEN.partition("\n# FRED keeps")
    weak = fred[fred.index("[weak]") :]
    path.write_text(head + weak + "\n# FRED keeps" + fred.replace(weak, ""))
    assert load(expected)
    assert "cannot be edited" in refused(expected, record()).what
    inline = f'variant = [{{name="base", when="x86_64", basis="manual", transcript="{END}"}}]'
    path.write_text(GOLDEN.partition("\n[invariants]")[0] + inline)
    more = record(case(lines=[END, "control  exited 0"]))
    assert "cannot be edited" in refused(expected, more).what


# A disk that fills, at any write, sync or rename before the first file is there, changes nothing.
@pytest.mark.parametrize("call", ["open", "fsync", "fchmod", "replace"])
@pytest.mark.parametrize("good", [0, 1])
def test_a_full_disk(
    expected: Path, call: str, good: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = record(case("syscalls.one"), case("syscalls.two"))
    [change] = ids(run(expected, given))
    real, calls = getattr(os, call), []

    def full(*arguments: Any, **named: Any) -> Any:
        calls.append(arguments)
        if len(calls) > good:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(*arguments, **named)

    before = files(expected)
    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        with pytest.raises(HarnessError, match="No space left") as caught:
            run(expected, given, accept=change)
    assert caught.value.exit_code == 3
    changed = [path for path, text in files(expected).items() if before.get(path) != text]
    if call == "replace" and good:
        # Two renames cannot be one: the first file is whole and new, and the message names it.
        assert changed == [str(expected / "syscalls" / "one.toml")]
        assert f"already replaced: {changed[0]}" in caught.value.on
        assert judged(expected, given) == "PASS"
    else:
        assert changed == []
    assert not list(expected.rglob("*.tmp"))


# A write that the kernel itself cuts short changes nothing either.
def test_a_write_cut_short(expected: Path) -> None:
    [change] = ids(run(expected, record()))
    before = files(expected)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        with pytest.raises(HarnessError, match="File too large"):
            run(expected, record(), accept=change)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert files(expected) == before


# A golden that is a link stays one, and keeps its mode.
def test_a_link_stays_a_link(expected: Path, tmp_path: Path) -> None:
    path, target = expected / "syscalls" / "one.toml", tmp_path / "real.toml"
    path.rename(target)
    target.chmod(0o640)
    path.symlink_to(target)
    accept(expected, record())
    assert path.is_symlink() and target.stat().st_mode & 0o777 == 0o640
    assert judged(expected, record()) == "PASS"
