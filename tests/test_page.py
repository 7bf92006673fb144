# SPDX-License-Identifier: GPL-2.0-only
"""The page: nothing of a record is markup, what is equal is said once, and all of it is there."""

from __future__ import annotations

import base64
import hashlib
import random
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pages
import pytest
import records

from conformance import cli, record
from conformance.changes import changes
from conformance.expectation import align
from conformance.record import DifferenceRecord, Record, TranscriptRecord
from conformance.reports import printable
from conformance.reports.matrix import MARKS
from conformance.reports.page import page, plot, transcripts
from conformance.reports.page.gathering import gather, numbers
from conformance.reports.page.matrix import CLASSES
from conformance.reports.page.pairing import paired
from conformance.reports.page.soak import soaks
from conformance.reports.page.transcripts import contrast
from conformance.transcript import parse

CASE = "calls.getpid"
VOID = ("input", "meta", "br")
ENDLESS = ("td", "th", "tr")
"""Elements whose end HTML lets go without saying."""


class Tree(HTMLParser):
    """Takes a page apart: its elements, its text, and whether it closes what it opens."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.own: dict[str, str] = {}
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"{tag} has an attribute twice"
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self.open[-1] != tag:
            assert self.open[-1] in ENDLESS, f"{self.open[-1]} is open at the end of {tag}"
            self.open.pop()
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("script", "style"):
            self.own[self.open[-1]] = data
        else:
            self.texts.append(data)

    @property
    def text(self) -> str:
        return "".join(self.texts)


@pytest.fixture
def expected(tmp_path: Path) -> Path:
    return pages.goldens(tmp_path)


def parts(text: str, name: str) -> str:
    """Give the part of a page that has this id, up to the next of its kind."""
    part = rf'<(\w+)[^>]* id="{re.escape(name)}".*?(?=\n<\1[ >]|</main>)'
    match = re.search(part, text, re.DOTALL)
    assert match, name
    return match[0]


def rows(text: str) -> list[tuple[str, str]]:
    """Give the rows of the matrix: the case, or what is joined, and the letters."""
    told = []
    for row in parts(text, "matrix").split("<tr")[3:]:
        head, *cells = (plain(cell) for cell in re.split("<t[dh][^>]*>", row)[1:])
        told.append((head, "".join(cell or " " for cell in cells)))
    return told


def plain(cell: str) -> str:
    return re.sub("<[^>]*>|\n", "", cell)


# Whatever a record says, in whatever place, the page has the elements, attributes and links that it
# has for a record that says nothing bad, and the text is there to be read.
@pytest.mark.parametrize("lines", [True, False])
def test_nothing_of_a_record_is_markup(expected: Path, lines: bool) -> None:
    harmless = re.sub("[^a-z=:/.]", "x", printable(pages.HOSTILE))
    evil, good = (
        Tree(page([pages.hostile(text, lines)], expected)) for text in (pages.HOSTILE, harmless)
    )
    assert [tag for tag, _ in evil.elements] == [tag for tag, _ in good.elements]
    assert [set(a) for _, a in evil.elements] == [set(a) for _, a in good.elements]
    assert printable(pages.HOSTILE) in evil.text
    assert not evil.open


# No element of a page loads, runs or styles anything but its one script and its one style sheet.
def test_page_asks_for_nothing(expected: Path) -> None:
    tree = Tree(page(pages.sample(), expected))
    names = [tag for tag, _ in tree.elements]
    assert names.count("script") == names.count("style") == 1
    assert not {"img", "link", "iframe", "object", "embed", "base"}.intersection(names)
    for tag, attributes in tree.elements:
        bad = [n for n in attributes if n.startswith("on") or n in ("style", "src", "action")]
        assert not bad, f"{tag} {bad}"
        assert (attributes.get("href") or "#").startswith("#")


# The policy allows the style sheet and the script that the page has, and nothing else.
def test_policy(expected: Path) -> None:
    tree = Tree(page(pages.sample(), expected))
    (policy,) = (
        a["content"] or "" for _, a in tree.elements
        if a.get("http-equiv") == "Content-Security-Policy"
    )  # fmt: skip
    rules: Mapping[str, str] = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    for name in ("style", "script"):
        digest = hashlib.sha256(tree.own[name].encode()).digest()
        assert rules[f"{name}-src"] == f"'sha256-{base64.b64encode(digest).decode()}'"
    none = ("default-src", "base-uri", "form-action", "trusted-types")
    assert [rules[name] for name in none] == ["'none'"] * len(none)


# Every element that is opened is closed, with plots and every verdict on the page, and no id is
# there twice.
def test_page_is_well_formed(expected: Path) -> None:
    every = pages.made("linux-6.1", *records.mixed().cases, pages.passed("calls.getpid"))
    tree = Tree(page([*pages.sample(), every], expected, changes([every], pages.sample())))
    assert not tree.open
    ids = [attributes["id"] for _, attributes in tree.elements if "id" in attributes]
    assert len(ids) == len(set(ids))


# Every link on a page leads to a place on it.
def test_links_lead_somewhere(expected: Path) -> None:
    made = pages.sample()
    before = [replace(each, cases=each.cases[:3]) for each in made[::-1]]
    before[0] = replace(before[0], cases=(*before[0].cases, records.case("calls.gone")))
    tree = Tree(page(made, expected, changes(before, made)))
    ids = {attributes.get("id") for _, attributes in tree.elements}
    hrefs = {a["href"] for _, a in tree.elements if a.get("href")}
    assert hrefs and {href.removeprefix("#") for href in hrefs if href} <= ids


# The same records give the same bytes, in whatever order they are given.
def test_page_is_the_same_again(expected: Path) -> None:
    made = pages.sample()
    text = page(made, expected)
    assert text == page(made[::-1], expected) and text.isascii()


# Environments stand by kernel, CPU and virtualisation, and one that was lost stands last.
def test_order(expected: Path) -> None:
    names = [column.name for column in gather(pages.sample(), expected).columns]
    assert names == [
        "linux-6.1.3-debian-i386.amd.tcg", "linux-6.12.9-debian.amd.tcg",
        "linux-6.12.9-debian.intel.tcg", "linux-7.2.1-debian.amd.kvm",
        "linux-7.2.1-debian.amd.tcg", "linux-box7",
    ]  # fmt: skip


# Two boxes of one kernel are told apart by where they stand, and two boots of one box by a number.
def test_names_are_unique(expected: Path) -> None:
    box = [pages.made("linux-6.1", build={"box": each}) for each in ("a", "b", "b")]
    names = [column.name for column in gather(box, expected).columns]
    assert names == ["linux-6.1:a", "linux-6.1:b", "linux-6.1:b:2"]


# Neighbours that are equal in every case share a column, which names them all; others do not.
def test_columns_fold(expected: Path) -> None:
    equal = [pages.made("linux-6.1", pages.passed(CASE), build={"box": f"b{n}"}) for n in range(3)]
    other = pages.made("linux-7.2", pages.failed(CASE))
    text = page([*equal, other], expected)
    assert rows(text) == [(CASE, ".F")]
    assert "linux-6.1:b0, linux-6.1:b1, linux-6.1:b2" in text and "3 equal: " in text
    assert ">1-3</th>" in text


# Cases of one family that are equal everywhere share a row, and stand below it to be opened; a
# variant other than the commonest has a letter of its own, and no failing colour.
def test_rows(expected: Path) -> None:
    text = page(pages.sample(), expected)
    assert rows(text) == [
        ("calls.getgid", "v....M"), ("calls.getpid", "v..FFM"), ("calls.gettid", "v...FM"),
        ("calls.getuid", "v....M"), ("calls.last", "vk.kkM"),
    ]  # fmt: skip
    sound = pages.made("linux-6.1", *map(pages.passed, pages.CASES))
    assert rows(page([sound], expected)) == [
        ("calls (5)", "."), *((case_id, ".") for case_id in sorted(pages.CASES))
    ]  # fmt: skip


# One sentence says what it came to: how much is not as expected, and that a machine was lost.
def test_verdict(expected: Path) -> None:
    made = pages.sample()
    assert verdict(page(made, expected)) == (
        "5 cases on 6 environments: 2 cases not as expected on 2 of them, "
        "3 cells with 1 difference; 1 machine lost."
    )
    assert verdict(page(made[1:2], expected)) == "5 cases on 1 environment: all as expected."
    skipped = pages.made("linux-6.1", records.case(CASE, "SKIP", reason="needs fred"))
    assert verdict(page([skipped], expected)).endswith("nothing was judged.")
    alone = verdict(page([pages.lost("box")], expected))
    assert alone.endswith("nothing was judged; 1 machine lost.")


def verdict(text: str) -> str:
    match = re.search('<p class="verdict">(.*?)</p>', text)
    assert match
    return match[1]


# A failing cell has what a reader needs: both lines, the field marked, the number behind it, the
# variant and its commit, the invariant, who breaks, how to run it again, and where else it is so.
def test_failing_cell(expected: Path) -> None:
    article = parts(page(pages.sample(), expected), CASE)
    for told in (
        "<mark>orig_ax=39/getpid</mark>", "<mark>orig_ax=34/pause</mark>", "orig_ax 0x22",
        "judged by variant base", "x86_64 and new_change", "commit bbbbbbbbbbbb, in v6.9",
        "one_number: every syscall-exit", "gdb: sets orig_ax to -1", "arch/x86/entry/entry_64.S",
        f"<dd>origax run {CASE}</dd>", f"<dd>origax kernels run sid --case {CASE}</dd>",
        "The same difference in 1 other cell",
    ):  # fmt: skip
        assert told in article, told
    assert f'id="{CASE}@linux-7.2.1-debian.amd.tcg"' in article


# What the record saw of a golden that is not here any more is shown beside what it then expected.
def test_failing_cell_of_another_golden(expected: Path) -> None:
    (expected / "calls" / "getpid.toml").unlink()
    article = parts(page(pages.sample(), expected), CASE)
    assert "<mark>orig_ax=34/pause</mark>" in article and "orig_ax 0x22" in article
    assert "which the goldens here do not have so" in article


# A line that is missing, and one too many, stand where they are, and as expected what is so.
def test_lines_missing_and_extra(expected: Path) -> None:
    sample = pages.passed(CASE)
    seen = (*pages.LINES[:2], *pages.LINES[3:], "control  signal SIGUSR1  ax=1")
    failing = replace(
        sample, verdict="FAIL", differences=differences(pages.WEAK, seen),
        transcripts=(TranscriptRecord(1, seen, ()),),
    )  # fmt: skip
    text = Tree(page([pages.made("linux-6.1", failing)], expected)).text
    article = text[text.index("Every case") :]
    assert re.search(r"3 +expected +stop syscall-exit .*\n +observed +\(no such line\)", article)
    assert re.search(r"expected +\(no such line\)\n +observed +control signal SIGUSR1", article)
    assert re.search(r"4 +stop event STOP orig_ax=-1", article)


# However lines differ, they are paired as the record says, and each line is there once.
def test_pairs() -> None:
    dice = random.Random(7)
    kinds = [f"stop  event STOP  orig_ax={n % 2} ax={n % 3}" for n in range(6)]
    for _ in range(300):
        golden = dice.choices(kinds, k=6)
        seen = [dice.choice(kinds) if dice.random() < 0.2 else line for line in golden]
        seen = [line for line in seen for _ in range(dice.choice((0, 1, 1, 1, 1, 2)))]
        told = differences(golden, seen)
        pairs = paired(parse("\n".join(golden)), seen, told)
        assert pairs is not None
        assert [str(one) for one, _ in pairs if one] == golden
        assert [str(other) for _, other in pairs if other] == seen
        unequal = [(one and str(one), other and str(other)) for one, other in pairs if one != other]
        assert unequal == [(each.expected, each.observed) for each in told]


# A golden that says something else than the record does is not shown as if it had judged it; nor is
# anything read out of a transcript that somebody damaged.
def test_pairs_of_another_golden() -> None:
    golden = parse("\n".join(pages.LINES))
    told = differences(pages.LINES, pages.LINES[1:])
    assert paired(golden[1:], pages.LINES[1:], told) is None
    assert paired(golden, pages.LINES, told) is None
    assert paired(golden, ["nonsense"], told) is None


# Of a case that was cut short the lines that it reached are paired, and no more.
def test_pairs_of_a_beginning() -> None:
    golden = parse("\n".join(pages.LINES))
    seen = [*pages.LINES[:1], pages.LINES[1].replace("getpid", "gettid")]
    pairs = paired(golden, seen, differences(pages.LINES[:2], seen))
    assert pairs and [one for one, _ in pairs] == list(golden[:2])


def differences(golden: Iterable[str], seen: Iterable[str]) -> tuple[DifferenceRecord, ...]:
    """Give the differences as a record has them."""
    return tuple(
        DifferenceRecord(d.line, d.expected, d.observed, d.fields, d.change)
        for d in align(parse("\n".join(golden)), parse("\n".join(seen)))
    )


# Of cells that passed there are no raw numbers: the record has them.
def test_no_raw_values_of_what_passed(expected: Path) -> None:
    text = page([pages.made("linux-6.1", *map(pages.passed, pages.CASES))], expected)
    assert "0x401002" not in text and "raw values of this" not in text
    assert "The raw values of cells that are as expected are in their records" in text


# What all stops have alike is said once; a control that came to what the probe did is one line;
# weak fields are marked, with the reason and what they were.
def test_passed_cell(expected: Path) -> None:
    article = parts(page(pages.sample(), expected), "calls.getgid")
    assert "Every stop, unless it says otherwise: <code>cs=33 ss=2b views=agree</code>" in article
    assert article.count("cs=33") == 1
    assert "7 control  as the probe, in 2 lines" in article
    assert '<i title="may differ: either is right">orig_ax=-1|0</i>' in article
    assert "<dd>orig_ax=-1|0: -1 (4 times)</dd>" in article


# What was counted beside the stops is there for each environment, and what reads who relies on it.
def test_measured(expected: Path) -> None:
    text = page(pages.sample(), expected)
    assert "<dd>2: frames=200 share=0.99 row=LOC</dd>" in parts(text, "calls.getgid")
    assert "<dd>5: frames=200 share=0.99 row=LOC</dd>" in parts(text, CASE)
    assert "CRIU: rewinds ip itself if orig_ax" in parts(text, "consumers")
    assert "origax 0.1.0, probes 0123456789ab: records 1-6" in text


# A variant says what it has otherwise than the commonest one, and nothing twice.
def test_variant(expected: Path) -> None:
    article = parts(page(pages.sample(), expected), "calls.getgid")
    assert "As variant base, but:" in article
    assert "cs: 33 -&gt; 73   everywhere" in article
    base, narrow = (parse("\n".join(lines)) for lines in (pages.LINES, pages.NARROW))
    assert contrast(base, narrow) == ["cs: 33 -> 73   everywhere"]
    assert contrast(base, (*base[:3], *narrow[3:])) == ["cs: 33 -> 73   in line 4"]
    assert contrast(base, narrow[1:]) is None and contrast(base, base) == []


# Of a control that differs from its probe every line is there.
def test_control_that_differs() -> None:
    lines = parse("\n".join((*pages.LINES[:-1], "control  killed SIGSEGV")))
    text = transcripts.golden(lines, {})
    assert "7 control landed ax=$pid" in text and "8 control killed SIGSEGV" in text


# Repeats that parted are shown with what differs between them, and how often each was seen.
def test_unstable(expected: Path) -> None:
    parted = (records.transcript(count=7), records.transcript(records.LEAKED, count=3))
    case = records.case("steps.block", "UNSTABLE", reason="parted", transcripts=parted)
    article = parts(page([pages.made("linux-6.1", case)], expected), "steps.block")
    assert re.search(r"7 times .*<mark>orig_ax=-1</mark>", article)
    assert re.search(r"3 times .*<mark>orig_ax=34/pause</mark>", article)


# A machine that was lost is a column of misses and its reason once; its cells are no difference.
def test_lost_machine(expected: Path) -> None:
    text = page(pages.sample(), expected)
    assert parts(text, "differences").count("linux-box7 was not reached") == 1
    assert "was not reached" not in parts(text, "cases").partition('<article id="calls.getgid"')[2]
    assert f'id="{CASE}@linux-box7"' not in text
    assert '<tbody class="bad" data-f="calls"' in text and '<tbody data-f="calls"' in text


# What changed since a baseline stands in KernelCI's words, with a link to the cell; without a
# baseline there is no such part.
def test_changes(expected: Path) -> None:
    made = pages.sample()
    before = pages.made(made[0].environment.name, *map(pages.passed, pages.CASES[:4]))
    text = page(made[:1], expected, changes([before], made[:1]))
    since = parts(text, "since")
    assert [m[1] for m in re.finditer(r"<h3[^>]*>([a-z ]+) <small>", since)] == [
        "regression", "new pass",
    ]  # fmt: skip
    assert f'href="#{CASE}@{made[0].environment.name}"' in since
    assert "orig_ax: 39/getpid -&gt; 34/pause" in since
    before = [*made[:2], pages.made("linux-gone", pages.passed(CASE))]
    told = Tree(parts(page(made[1:3], expected, changes(before, made[1:3])), "since")).text
    assert "linux-box7 was lost: 5 cells" in told
    assert "linux-gone has no record any more: 1 cell" in told
    assert "Nothing changed since the baseline." in page(made, expected, ())
    assert 'id="since"' not in page(made, expected)


# A known issue says where it was seen, where it was not although it holds there, and where it does
# not hold at all.
def test_known_issues(expected: Path) -> None:
    told = Tree(parts(page(pages.sample(), expected), "known")).text
    assert "calls.last seen on 2, 4, 5; pass on 1 when amd" in told
    assert "calls.gettid pass on 1, 2, 4; fail on 5; matched nothing when amd" in told
    assert "calls.getuid pass on 3; matched nothing when intel" in told
    alone = page([pages.made("linux-6.1", amd=False)], expected)
    assert "of none of these environments" in parts(alone, "known")


# Facts that differ name the environments that have each value; those that all have are said once.
def test_facts(expected: Path) -> None:
    told = Tree(parts(page(pages.sample(), expected), "environments")).text
    assert "virttcg on 1-3, 5kvm on 4" in told
    assert "6: nothing is known of the machine" in told
    assert told.count("new_change=true") == 1


# Numbers of environments are written as runs.
def test_numbers(expected: Path) -> None:
    columns = gather(pages.sample(), expected).columns
    assert numbers(columns) == "1-6"
    assert numbers([columns[n - 1] for n in (5, 1, 2, 3, 6)]) == "1-3, 5, 6"


# Forty environments and 300 cases that are equal nowhere stay under 2 MB.
def test_size(expected: Path) -> None:
    stop = "stop  syscall-exit  orig_ax=39/getpid ax=-514/ERESTARTNOHAND ip=syscall+2 cs=33 ss=2b"
    lines = tuple(f"{stop} flags=IF regs=cx:ip,r11:flags views=agree dr7={n}" for n in range(30))
    failing = pages.failed("calls.failing")

    def of(number: int) -> Record:
        cases = (
            replace(
                records.case(f"family{n % 12}.case_of_some_name_{n}"),
                transcripts=(TranscriptRecord(1, (f"run  case={n}", *lines), ()),),
                verdict="SKIP" if (n >> number % 8) & 1 else "PASS",
                reason="needs something",
            )
            for n in range(299)
        )
        bad = replace(failing, id=f"family0.failing_{number % 2}")
        name = f"linux-6.{number}.117-debian.amd.tcg.noapictimer"
        return pages.made(name, *cases, bad)

    made = [of(number) for number in range(40)]
    assert len(gather(made, expected).folds) == 40
    assert len(page(made, expected)) < 2_000_000


# Any other orig_ax than -1 stands first, in red, with its count, and is seen even if it is one of a
# million.
def test_histogram() -> None:
    tree = Tree(plot.histogram({"-1": 1_000_000, "34": 1, "39": 500}))
    bars = [(a["class"], float(a["width"] or 0)) for tag, a in tree.elements if tag == "rect"]
    assert [color for color, _ in bars] == ["wrong", "wrong", "right"]
    assert min(width for _, width in bars) >= 20
    assert "1 frame UNEXPECTED" in tree.text and "1 000 000 frames" in tree.text
    assert not tree.open


# A soak has a curve a path, its orig_ax in all frames, and each kind of frame with its count.
def test_soak() -> None:
    line = SimpleNamespace(line="stop  event STOP  orig_ax=34 <b>", frames=1, first=12.25)
    path = SimpleNamespace(
        case="interrupts.timer", row="LOC<i>", cpu=1, seconds=(1.0, 2.0), frames=(10, 1000),
        interrupts=1001, values={"-1": 999, "34": 1}, unproven=2, lines=(line,), further=3,
    )  # fmt: skip
    record = SimpleNamespace(soak=SimpleNamespace(paths=(path,)))
    tree = Tree(soaks([SimpleNamespace(name="linux-6.1", record=record)]))
    for told in (
        "linux-6.1 1 000 frames", "row LOC<i>, CPU 1, 1001 interrupts, 2 stops not counted",
        "1 frame UNEXPECTED", "orig_ax=34 <b> 1 frame, the first after 12.2 s",
        "3 frames of further kinds, which were not kept",
    ):  # fmt: skip
        assert told in tree.text, told
    assert [tag for tag, _ in tree.elements if tag in ("polyline", "b", "i")] == ["polyline"]
    assert not soaks([SimpleNamespace(record=SimpleNamespace(soak=None))]) and not tree.open


# Curves that end at one place have names that do not cover each other, and none leaves the plot.
def test_curves() -> None:
    paths = [plot.Curve(f"interrupts.p{n}", (0.0, 60.0), (0, 100 + n % 2)) for n in range(9)]
    tree = Tree(plot.curves([*paths, plot.Curve("interrupts.none", (), ())]))
    names = [a for tag, a in tree.elements if tag == "text" and "k" in (a.get("class") or "")]
    places = sorted(float(each["y"] or 0) for each in names)
    assert len(places) == 9
    assert all(b - a >= 13 for a, b in pairwise(places))
    assert places[0] > 0 and places[-1] < 220


# Every verdict has a class in the style sheet, so that none is without its colour.
def test_every_verdict_has_a_colour(expected: Path) -> None:
    text = page([pages.made("linux-6.1", *records.mixed().cases)], expected)
    sheet = Tree(text).own["style"]
    for letter in MARKS.values():
        name = CLASSES.get(letter, letter)
        assert f'class="mark {name}"' in text and f".{name}" in sheet


# The command writes the page into a file, and says nothing.
def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [tmp_path / f"{n}.json" for n in range(2)]
    write(files, [records.mixed(), pages.hostile()])
    arguments = ["report", *map(str, files), "--format", "html", "-o", str(tmp_path / "p.html")]
    assert cli.main([*arguments, "--baseline", str(files[0])]) == 0
    assert capsys.readouterr().out == ""
    assert (tmp_path / "p.html").read_text(encoding="ascii").startswith("<!DOCTYPE html>")


def write(files: Iterable[Path], made: Iterable[Record]) -> None:
    for path, each in zip(files, made, strict=True):
        record.write(path, each)
