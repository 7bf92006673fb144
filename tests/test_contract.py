# SPDX-License-Identifier: GPL-2.0-only
"""The contract: docs/abi.md is what the expectations say; and how it is put together."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from conformance import cli, contract, coverage, excerpt, facts
from conformance.cases import Case
from conformance.excerpt import Excerpt
from conformance.expectation import Expectation, Variant
from conformance.reports import contract as report
from conformance.transcript import Line, parse

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "abi.md"


@pytest.fixture(scope="module")
def document() -> str:
    return DOCUMENT.read_text()


# The document is what `origax contract` writes; the output says what is not, and the command.
def test_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["contract", "--check", str(DOCUMENT)]) == 0, capsys.readouterr().out


# Every behaviour has its entry, in order, under its number and its name.
def test_every_behaviour(expected: Path, document: str) -> None:
    entries = re.findall(r'^### <a id="b(\d+)"></a>\1\. (.*)$', document, re.MULTILINE)
    rows = coverage.read(expected)
    assert [(int(number), name.replace("`", "")) for number, name in entries] == [
        (row.number, row.name) for row in rows
    ]


# Every behaviour without a case says why.
def test_every_reason(expected: Path, document: str) -> None:
    told = " ".join(document.split()).lower()
    for row in coverage.read(expected):
        for why in row.why.values():
            assert why.lower() in told


# Every change of the kernel that a golden may ask for is in it, by its commit and its subject.
def test_every_commit(expected: Path, document: str) -> None:
    told = " ".join(document.split()).replace("`", "")
    for change in facts.changes(expected):
        assert f'commit {change.commit} ("{" ".join(change.subject.split())}")' in told


# Each anchor stands once, and each link leads to one.
def test_links(document: str) -> None:
    anchors = re.findall(r'<a id="([^"]+)"></a>', document)
    assert len(anchors) == len(set(anchors))
    links = set(re.findall(r"\]\(([^)]+)\)", document))
    assert {link.removeprefix("#") for link in links} <= set(anchors)
    assert all(link.startswith("#") for link in links)


# It is for people to read: no line is too wide, and nothing of the frame is left over.
def test_readable(document: str) -> None:
    prose = [line for line in document.splitlines() if not line.startswith(("#", "|", "  - ["))]
    assert max(map(len, prose)) <= 120
    assert not re.search(r"^@\w+@$", document, re.MULTILINE)


@pytest.fixture
def few(expected: Path, tmp_path: Path) -> Path:
    """A directory with expectations of a few cases alone."""
    for name in ("facts.toml", "behaviours.toml", "replacements.toml", "syscalls/pair.toml",
                 "syscalls/pair.int80_32.toml", "syscalls/clobbers.toml"):  # fmt: skip
        (tmp_path / "few" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(expected / name, tmp_path / "few" / name)
    return tmp_path / "few"


# What it writes it finds up to date; after a change of an expectation it names the entry.
def test_check(few: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["--expected", str(few), "contract"]
    out = tmp_path / "abi.md"
    assert cli.main([*command, "-o", str(out)]) == 0
    assert cli.main([*command, "--check", str(out)]) == 0
    golden = few / "syscalls" / "clobbers.toml"
    golden.write_text(re.sub("^intent = .*$", 'intent = "New."', golden.read_text(), flags=re.M))
    capsys.readouterr()
    assert cli.main([*command, "--check", str(out)]) == 1
    first, last = capsys.readouterr().out.splitlines()
    assert first.startswith("not up to date: 19. rcx and r11: ")
    assert last == f"to write it again: origax contract -o {out}"


# By itself it writes to standard output, with what a case says in one place only.
def test_output(few: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--expected", str(few), "contract"]) == 0
    out = capsys.readouterr().out
    assert out.count("- `syscalls.clobbers` (syscall64): What the tracer writes") == 1


# Without the plain call there is nothing to measure doors by, and the error says so.
def test_no_plain_call(few: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (few / "syscalls" / "pair.toml").unlink()
    (few / "syscalls" / "pair.int80_32.toml").unlink()
    assert cli.main(["--expected", str(few), "contract"]) == 2
    assert "there is no case of a plain call" in capsys.readouterr().err


PLAIN = {
    door: Line("stop", ("syscall-exit",), {"ip": ip, "cs": cs, "ss": "2b", "regs": regs} | arch)
    for door, ip, cs, regs, arch in (
        ("syscall64", "syscall+2", "33", "cx:ip,r11:flags", {}),
        ("int80_32", "syscall+2", "23", "own", {"arch": "i386"}),
        ("sysenter", "landing_pad", "23", "sp:own-16", {"arch": "i386"}),
    )
}
CALL = """\
stop syscall-enter orig_ax=39/getpid ax=-38/ENOSYS ip=syscall+2 cs=33 ss=2b flags=IF regs=cx:ip,r11:flags views=agree
stop syscall-exit orig_ax=39/getpid ax=$pid ip=syscall+2 cs=33 ss=2b flags=IF regs=cx:ip,r11:flags views=agree
exit exited 0
probe landed ax=$pid cs=33 ss=2b flags=IF regs=cx:ip,r11:flags
control landed ax=$pid cs=33 ss=2b flags=IF regs=cx:ip,r11:flags
control exited 0
"""  # noqa: E501
SAME = (
    (" cs=33", " cs=23"), ("39/", "20/"), ("cx:ip,r11:flags views", "own views"),
    ("cx:ip,r11:flags", "own"), (" regs=own views", " arch=i386 regs=own views"),
)  # fmt: skip
FAST = (("syscall+2", "landing_pad"), ("regs=own views", "regs=sp:own-16 views"))


def changed(text: str, *pairs: tuple[str, str]) -> str:
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    return text


def cut(seen: set[object] | None = None, **transcripts: str) -> Excerpt:
    """Cut what to show out of one case at several doors."""
    shown = excerpt.excerpt(
        {
            door: (Case(f"a.b.{door}", "x86_64" if door == "syscall64" else "ia32", door, (1,), (),
                        None, lambda _: None), parse(text))
            for door, text in transcripts.items()
        },
        PLAIN, set() if seen is None else seen,
    )  # fmt: skip
    assert shown
    return shown


def rows(shown: Excerpt) -> Iterator[tuple[str, Mapping[str, str], tuple[str, ...]]]:
    for section in shown.sections:
        for cells, doors in section.rows:
            yield cells.what, cells.fields, doors


# What doors have each of their own is no difference: a plain call is the same at all of them.
def test_doors_alike() -> None:
    ia32 = changed(CALL, *SAME)
    shown = cut(syscall64=CALL, int80_32=ia32, sysenter=changed(ia32, *FAST))
    both = {"orig_ax": "getpid", "ip": "behind", "regs": "kept"}
    assert list(rows(shown)) == [
        ("syscall-enter", {**both, "ax": "-ENOSYS"}, ()),
        ("syscall-exit", {**both, "ax": "$pid"}, ()),
    ]
    assert shown.doors == ("syscall64", "int80_32", "sysenter")


# A row that is not the same at all doors stands once for each, with the doors named.
def test_doors_differ() -> None:
    ia32 = changed(CALL, *SAME)
    other = changed(ia32, ("$pid ip=syscall+2", "1 ip=syscall"))
    shown = [(fields["ax"], fields["ip"], doors)
             for what, fields, doors in rows(cut(syscall64=CALL, int80_32=other))
             if what == "syscall-exit"]  # fmt: skip
    assert shown == [("$pid", "behind", ("syscall64",)), ("1", "on", ("int80_32",))]


# Selectors, flags, views and clobbered registers stand where they are not what is usual there.
@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("$pid ip=syscall+2 cs=33", "$pid ip=syscall+2 cs=23", {"cs": "23"}),
        ("flags=IF regs=cx:ip,r11:flags views=agree\nexit",
         "flags=TF+IF regs=own views=narrow.ax:1\nexit",
         {"flags": "TF+IF", "regs": "own", "views": "narrow.ax:1"}),
        ("r11:flags views=agree\nexit", "di:0,r11:flags views=agree\nexit", {"regs": "di:0"}),
    ],
)  # fmt: skip
def test_unusual(old: str, new: str, told: Mapping[str, str]) -> None:
    usual = dict(list(rows(cut(syscall64=CALL)))[1][1])
    assert list(rows(cut(syscall64=changed(CALL, (old, new)))))[1][1] == usual | told


# What the program finds with nobody tracing has a row of its own if it is something else.
def test_untraced() -> None:
    shown = cut(syscall64=changed(CALL, ("control landed ax=$pid", "control landed ax=7")))
    assert [(what, fields["ax"]) for what, fields, _ in rows(shown)][2:] == [
        ("program landed", "$pid"), ("untraced landed", "7")
    ]  # fmt: skip


# A door with other stops is left out, and named as left out by its absence.
def test_other_stops() -> None:
    assert cut(syscall64=CALL, int80_32=changed(CALL, ("stop syscall-exit", "stop event STOP"))
               ).doors == ("syscall64",)  # fmt: skip


# Where rows of all doors have no room, those doors stay where every row is as at the first.
def test_no_room() -> None:
    _, stop, *rest = CALL.splitlines(keepends=True)
    stops = [stop.replace("$pid", str(n)) for n in range(excerpt.ROWS)]
    text = "".join([*stops, *rest])
    ia32 = changed(text, *SAME)
    shown = cut(syscall64=text, int80_32=changed(ia32, ("ax=1 ", "ax=9 ")),
                sysenter=changed(ia32, *FAST))  # fmt: skip
    assert shown.doors == ("syscall64", "sysenter")
    assert [doors for _, _, doors in rows(shown)] == [()] * excerpt.ROWS


# Sections that show the same are one, with both headings; what there is no room for is counted.
def test_sections() -> None:
    text = "".join(f"run n={n}\n{CALL}" for n in (1, 2))
    assert [section.heading for section in cut(syscall64=text).sections] == ["n=1; n=2"]
    text = "".join(f"run n={n}\n{changed(CALL, ('$pid', str(n)))}" for n in range(9))
    shown = cut(syscall64=text)
    assert len(list(rows(shown))) + len(shown.sections) <= excerpt.ROWS
    assert len(list(rows(shown))) + shown.left_out == 18


# What another table has shown is named, if it comes first, or gives way to what is new; with
# nothing new there is no table.
def test_fresh() -> None:
    seen: set[object] = set()
    stop = CALL.splitlines(keepends=True)[1]
    more = changed(CALL, (stop, stop + stop.replace("$pid", "1") + stop.replace("$pid", "2")))
    cut(seen, syscall64=CALL)
    shown = cut(seen, syscall64=f"run n=1\n{CALL}run n=2\n{more}")
    assert [(each.heading, each.before) for each in shown.sections] == [
        ("n=2", ("syscall-enter", "syscall-exit"))
    ]
    assert [fields["ax"] for _, fields, _ in rows(shown)] == ["1", "2", "$pid"]
    with pytest.raises(AssertionError):
        cut(seen, syscall64=more)


def variant(why: str) -> Variant:
    return Variant("v", "not x86_64", "manual", (), why, {}, "", {})


def subject(name: str, *reasons: str) -> tuple[Case, Expectation]:
    """A case of plain stops whose further variants have those reasons."""
    made = Case(name, "x86_64", "syscall64", (1,), (), None, lambda _: None)
    base = Variant("base", "x86_64", "manual", parse(CALL), "", {}, "", {})
    variants = (base, *map(variant, reasons))
    path = Path(f"{name}.toml")
    return made, Expectation(name, path, "Text.", ("a.c f",), ("gdb",), {}, variants, {})


# A reason that many cases have is told once, alone or joined to others; the rest stays behind.
def test_reasons(expected: Path) -> None:
    many = [subject(f"a.c{n}", "Common thing") for n in range(contract.EVERYWHERE)]
    plain = subject(contract.PLAIN, "Own thing; and common thing", "Common thing; Last")
    chosen = dict((*many, plain))
    made = contract.gather(
        coverage.read(expected)[:1], tuple(chosen),
        {case.id: wanted for case, wanted in chosen.items()}, (), {},
    )  # fmt: skip
    assert dict(made.reasons) == {"Common thing": contract.EVERYWHERE + 1}
    assert set(made.entries[0].reasons) == {"Own thing", "Last"}


# Names that Markdown would take for markup are kept from it; those with _ inside need not be.
def test_markup(expected: Path) -> None:
    case, wanted = subject(contract.PLAIN, "__USER_CS and SECCOMP_RET_* of do_syscall_64, 2 * 3")
    made = contract.gather(
        coverage.read(expected)[:1], (case,), {case.id: wanted}, (), {}
    )  # fmt: skip
    assert "`__USER_CS` and `SECCOMP_RET_*` of do_syscall_64, 2 * 3." in report.text(made)
