# SPDX-License-Identifier: GPL-2.0-only
"""The page in a browser, Debian's Chromium: it filters, opens and links, and runs nothing else."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pages
import pytest
import records

from conformance import record
from conformance.places import expected_directory
from conformance.record import DifferenceRecord, Record, TranscriptRecord
from conformance.reports.page import page

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: tox -e browser")

CHROMIUM = shutil.which("chromium")
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
"""It runs as root, without a screen, and asks nothing of its maker."""

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium: apt-get install chromium"),
    pytest.mark.xdist_group("browser"),
]

BAD = "calls.getpid"
HERE = "linux-7.2.1-debian.amd.tcg"

Open = Callable[..., Any]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def opened(browser: Any, tmp_path: Path) -> Iterator[Open]:
    """Give what opens a page of records, at a fragment; it must say nothing to the console."""
    contexts, told = [], []
    expected = tmp_path / "expected"
    expected.mkdir()
    pages.goldens(expected)

    def tell(text: str) -> None:
        told.append(text)

    def open_page(
        made: list[Record] | str | None = None, fragment: str = "", width: int = 1200, **more: Any
    ) -> Any:
        text = made if isinstance(made, str) else page(made or pages.sample(), expected)
        path = tmp_path / "page.html"
        path.write_text(text, encoding="ascii")
        size = {"width": width, "height": 800}
        contexts.append(browser.new_context(viewport=size, **more))
        tab = contexts[-1].new_page()
        tab.on("console", lambda message: tell(message.text))
        tab.on("pageerror", lambda error: tell(str(error)))
        tab.on("dialog", lambda dialog: tell(f"dialog {dialog.message}"))
        tab.on("request", lambda request: request.url.startswith("file:") or tell(request.url))
        tab.goto(f"{path.as_uri()}{fragment}")
        return tab

    open_page.told = told  # type: ignore[attr-defined]
    yield open_page
    for context in contexts:
        context.close()
    assert not told


def names(tab: Any) -> list[str]:
    """Give the cases whose rows are seen."""
    found: list[str] = tab.locator("#grid tr:not(.all) th[scope=row]:visible").all_inner_texts()
    return found


def fragment(tab: Any) -> str:
    return str(tab.evaluate("location.hash"))


def cell(tab: Any, case_id: str, index: int) -> Any:
    row = tab.locator("#grid tr:not(.all)").filter(has=tab.get_by_text(case_id, exact=True))
    return row.locator("td").nth(index)


# The filters leave what they say, alone and together, and the fragment keeps them for a link.
def test_filters(opened: Open) -> None:
    tab = opened()
    assert len(names(tab)) == 5
    tab.get_by_label("failing only").check()
    assert names(tab) == ["calls.getpid", "calls.gettid"]
    tab.get_by_label("case").fill("TID")
    assert names(tab) == ["calls.gettid"]
    tab.get_by_label("environment").fill("7.2")
    heads = tab.locator("#grid thead tr:last-child th:visible").all_inner_texts()
    assert heads == ["cases", "4", "5"]
    assert fragment(tab) == "#&failing=1&case=TID&env=7.2"
    tab.reload()
    assert names(tab) == ["calls.gettid"] and tab.get_by_label("failing only").is_checked()
    assert tab.locator("#filters output").inner_text() == "1 case on 2 environments"
    tab.get_by_label("case").fill("")
    tab.get_by_label("failing only").uncheck()
    tab.get_by_label("environment").fill("")
    assert len(names(tab)) == 5 and fragment(tab) == ""


# A family's filter leaves its rows, and a case that folds with others is found by its name.
def test_filters_open_what_folds(opened: Open) -> None:
    cases = [records.case(f"{family}.c{n}") for family in ("a", "b") for n in range(6)]
    tab = opened([pages.made("linux-6.1", *cases)])
    assert names(tab) == []
    tab.get_by_label("family").select_option("b")
    assert tab.locator("#grid tr:visible").filter(has_text="(6)").count() == 1
    tab.get_by_label("case").fill("c3")
    assert names(tab) == ["b.c3"]


# A click opens the cell with what was expected and seen; its link is in the fragment, leads there
# again, and the other cells of the same difference are one link away.
def test_cell_opens(opened: Open) -> None:
    tab = opened()
    drawer = tab.locator("#cases")
    assert not drawer.is_visible()
    cell(tab, BAD, 4).click()
    assert fragment(tab) == f"#{BAD}@{HERE}"
    article = drawer.locator("article:visible")
    assert article.count() == 1 and article.locator("h3 a").inner_text() == BAD
    assert article.locator("mark").all_inner_texts() == ["orig_ax=39/getpid", "orig_ax=34/pause"]
    raw = article.locator(".raw pre")
    assert not raw.is_visible()
    article.get_by_text("raw values of this stop").click()
    assert "orig_ax 0x22" in raw.inner_text()
    article.get_by_text("The same difference").click()
    assert not drawer.is_visible() and fragment(tab) == "#d1"
    tab.locator("#d1 .cells").get_by_role("link", name="4", exact=True).click()
    assert fragment(tab) == f"#{BAD}@linux-7.2.1-debian.amd.kvm"
    assert drawer.get_by_text("origax kernels run sid").is_visible()
    tab.go_back()
    assert not drawer.is_visible()


# A cell that passed opens, too, on the environment that was asked for, and says what makes it a
# variant; the filters stay.
def test_passed_cell_opens(opened: Open) -> None:
    tab = opened(fragment="#calls.getgid@linux-6.1.3-debian-i386.amd.tcg&env=6.1")
    chosen = tab.locator("#cases .o.on")
    assert chosen.count() == 1 and chosen.get_by_text("cs: 33 -> 73").is_visible()
    assert tab.locator("#grid .chosen").inner_text() == "v"
    tab.get_by_role("button", name="close").click()
    assert fragment(tab) == "#&env=6.1" and not tab.locator("#cases").is_visible()


# A link to a cell that is in a fold opens the fold, and the cell is in sight above what it opens.
def test_link_opens_the_fold(opened: Open) -> None:
    cases = [records.case(f"{chr(97 + n // 9)}.c{n}") for n in range(180)]
    tab = opened([pages.made("linux-6.1", *cases)], "#k.c95@linux-6.1")
    box = tab.locator("#grid .chosen").bounding_box()
    assert box and 0 < box["y"] < tab.locator("#cases").bounding_box()["y"]


# All of it can be done by keys: to a cell, open it, close it, and on from there.
def test_keyboard(opened: Open) -> None:
    tab = opened()
    tab.locator("#grid").focus()
    for key in ("ArrowDown", "ArrowDown", "ArrowRight", "ArrowRight", "Enter"):
        tab.keyboard.press(key)
    assert fragment(tab) == "#calls.getpid@linux-6.12.9-debian.amd.tcg"
    tab.keyboard.press("Escape")
    assert not tab.locator("#cases").is_visible()
    tab.keyboard.press("ArrowRight")
    tab.keyboard.press("Enter")
    assert fragment(tab) == "#calls.getpid@linux-6.12.9-debian.intel.tcg"


# Without JavaScript all is there: a failing cell's link leads to what was expected and seen, a
# fold opens, and nothing is shown that could not work.
def test_without_javascript(opened: Open) -> None:
    tab = opened(fragment=f"#{BAD}@{HERE}", java_script_enabled=False)
    target = tab.locator("span:target")
    box = target.bounding_box()
    assert target.inner_text() == HERE and box and 0 <= box["y"] < 800
    assert tab.locator(f"[id='{BAD}'] mark").first.is_visible()
    assert not tab.locator("#filters").is_visible()
    assert not tab.get_by_text("close", exact=True).is_visible()
    assert tab.locator("#cases article").count() == tab.locator("#cases article:visible").count()
    cases = [records.case(f"a.c{n}") for n in range(6)]
    tab = opened([pages.made("linux-6.1", *cases)], java_script_enabled=False)
    assert names(tab) == []
    tab.locator("#grid input").check()
    assert len(names(tab)) == 6


# Each mark's letter stands out from its colour, by light and by dark; the page follows the scheme.
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast(opened: Open, scheme: str) -> None:
    tab = opened([pages.made("linux-6.1", *records.mixed().cases)], color_scheme=scheme)
    marks = tab.locator(".legend .mark, .verdict, h3 small, a, .tally")
    assert marks.count() > 10
    for index in range(marks.count()):
        ratio = marks.nth(index).evaluate(CONTRAST)
        assert ratio >= 4.5, f"{marks.nth(index).inner_text()} {ratio}"
    body = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (body == "rgb(255, 255, 255)") is (scheme == "light")


CONTRAST = """element => {
    const rgb = text => text.match(/[0-9.]+/g).map(Number);
    const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
        .map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
        .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
    let under = element;
    while (rgb(getComputedStyle(under).backgroundColor)[3] === 0)
        under = under.parentElement;
    const both = [getComputedStyle(element).color, getComputedStyle(under).backgroundColor]
        .map(color => light(rgb(color)) + .05);
    return Math.max(...both) / Math.min(...both);
}"""
"""The ratio of WCAG 2, of an element's letters to what is under them."""


# On a narrow screen the matrix scrolls by itself, and its names and numbers stay where they are.
def test_narrow(opened: Open) -> None:
    made = [pages.made(f"linux-6.{n}", records.case(f"a.case_{n}")) for n in range(60)]
    tab = opened(made, width=360)
    assert tab.evaluate("document.documentElement.scrollWidth") <= 360
    scroll = tab.locator("#matrix .scroll")
    head, name, before = (tab.locator(f"#grid {each}") for each in (
        "thead tr:last-child th", "tbody:last-child th", "tbody:first-of-type td"))  # fmt: skip
    assert before.first.bounding_box()["x"] < 360
    scroll.evaluate("e => e.scrollTo(600, e.scrollHeight)")
    assert scroll.evaluate("e => e.scrollLeft") == 600
    outer, numbers, label = (e.bounding_box() for e in (scroll, head.first, name.first))
    assert abs(numbers["y"] - outer["y"]) <= 2 and abs(label["x"] - outer["x"]) <= 2
    assert before.first.bounding_box()["x"] < 0


# On paper the matrix is whole, and what only a screen can use is left out.
def test_print(opened: Open) -> None:
    tab = opened()
    tab.emulate_media(media="print")
    assert not tab.locator("#filters").is_visible()
    assert tab.locator("#matrix .scroll").evaluate("e => e.scrollHeight <= e.clientHeight + 1")


# Whatever a record says, nothing of it runs, loads or breaks the page, opened cells among it.
@pytest.mark.parametrize("lines", [True, False])
def test_hostile(opened: Open, lines: bool) -> None:
    tab = opened([pages.hostile(lines=lines), pages.hostile(lines=not lines), *pages.sample()])
    title = tab.title()
    assert title.startswith("origax: ")
    for link in ("a.leaking", "d.parted", "c.pass"):
        tab.locator("#grid").get_by_role("link", name=link, exact=True).click()
        assert tab.locator("#cases article:visible").count() == 1
    bad = tab.locator("#grid td a").first
    bad.click()
    assert tab.locator("#cases .o.on").count() == 1
    tab.get_by_label("case").fill(pages.HOSTILE)
    tab.get_by_label("environment").fill(pages.HOSTILE[:20])
    time.sleep(0.1)
    assert tab.title() == title
    assert tab.evaluate("document.scripts.length") == 1


# Were something of a record markup, the page's policy would not let it run.
def test_policy_holds(opened: Open, tmp_path: Path) -> None:
    sound = page(pages.sample(), tmp_path / "expected")
    evil = "".join(
        f"<{how}>" for how in (
            f"script>document.title='{pages.FOUND}'</script",
            f"img src=x onerror=\"document.title='{pages.FOUND}'\"",
            "iframe src='data:text/html,x'></iframe", "style>body{display:none}</style",
        )
    )  # fmt: skip
    tab = opened(sound.replace("<main>", f"<main>{evil}"))
    time.sleep(0.1)
    assert tab.title().startswith("origax: ")
    assert tab.locator("body").is_visible()
    refused = [text for text in opened.told if "Content Security Policy" in text]
    assert len(refused) >= 3
    opened.told.clear()


# Forty environments and 300 cases open; how fast is told, not judged: other machines are slower.
def test_opening(opened: Open, record_property: Callable[[str, object], None]) -> None:
    stop = "stop  syscall-exit  orig_ax=39/getpid ax=-514/ERESTARTNOHAND ip=syscall+2 cs=33 ss=2b"
    lines = tuple(f"{stop} flags=IF regs=cx:ip,r11:flags views=agree dr7={n}" for n in range(30))
    seen = (TranscriptRecord(1, lines, ()),)
    made = [
        pages.made(
            f"linux-6.{number}.117-debian.amd.tcg",
            *(
                replace(records.case(f"family{n % 12}.case_{n}"), transcripts=seen, reason="r",
                        verdict="SKIP" if (n >> number % 8) & 1 else "PASS")
                for n in range(300)
            ),
        )
        for number in range(40)
    ]  # fmt: skip
    tab = opened(made)
    took = tab.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd")
    record_property("milliseconds to open 300 cases x 40 environments", round(took))
    print(f"300 cases x 40 environments opened in {took:.0f} ms")
    assert tab.locator("#grid tbody").count() > 0 and took > 0


def matrix_records() -> list[Path]:
    """Give the records of `tox -e kernels`, or of the directory that ORIGAX_RECORDS names."""
    return sorted(Path(os.environ.get("ORIGAX_RECORDS", "records")).glob("*.json"))


# The page of the real kernels: it filters, a cell opens with all that the record has of it, and
# were a vector left in orig_ax on the last of them, a link leads to just that difference.
@pytest.mark.skipif(not matrix_records(), reason="needs records of kernels: tox -e kernels")
def test_kernels(browser: Any, tmp_path: Path) -> None:
    *made, last = (record.read(path, stops=False) for path in matrix_records())
    path, other = tmp_path / "page.html", tmp_path / "other.html"
    wanted = expected_directory(None)
    path.write_text(page([*made, last], wanted), encoding="ascii")
    other.write_text(page([*made, leaking(last)], wanted), encoding="ascii")
    tab = browser.new_page()
    tab.goto(path.as_uri())
    told = tab.locator(".verdict").inner_text()
    assert told.startswith(f"{len(last.cases)} cases on ") and "all as expected" in told
    tab.get_by_label("family").select_option("interrupts")
    tab.get_by_label("case").fill("random_moment")
    assert names(tab)[0] == "interrupts.random_moment"
    case = next(each for each in last.cases if each.verdict == "PASS" and each.transcripts)
    tab.goto(f"{path.as_uri()}#{case.id}@{last.environment.name}")
    shown = set(tab.locator("#cases .o.on").inner_text().replace(",", " ").split())
    stops = [line for line in case.transcripts[0].lines if line.startswith("stop")]
    assert stops and shown.issuperset(" ".join(stops).replace(",", " ").split())
    tab.goto(other.as_uri())
    assert "1 case not as expected" in tab.locator(".verdict").inner_text()
    tab.get_by_label("failing only").check()
    assert names(tab) == [LEAKY]
    tab.locator("#grid td.F, #grid td").filter(has_text="F").first.click()
    assert fragment(tab).startswith(f"#{LEAKY}@{last.environment.name}&")
    marked = tab.locator("#cases article:visible .o.on mark").all_inner_texts()
    assert marked[:2] == ["orig_ax=-1", "orig_ax=39/getpid"]
    tab.close()


LEAKY = "interrupts.random_moment.ia32"
"""It runs on every kernel."""


def leaking(sound: Record) -> Record:
    """Give a record in which one case's first stop has a vector in orig_ax."""
    (case,) = (each for each in sound.cases if each.id == LEAKY)
    (seen,) = case.transcripts
    number, line = next((n, t) for n, t in enumerate(seen.lines, 1) if "orig_ax=-1" in t)
    leak = line.replace("orig_ax=-1", "orig_ax=39/getpid")
    lines = tuple(leak if n == number else text for n, text in enumerate(seen.lines, 1))
    change = DifferenceRecord(number, line, leak, ("orig_ax",), "orig_ax: -1 -> 39/getpid")
    bad = replace(case, verdict="FAIL", transcripts=(replace(seen, lines=lines),),
                  differences=(change,))  # fmt: skip
    return replace(sound, cases=tuple(bad if each is case else each for each in sound.cases))
