"""The report of a folder as people see it: any number of rows, found, looked at, used by all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from browsing import barriers, look, until
from clips import BLUE, RED, clip
from gallery import BLOCKED, ended, filled, many
from krea_aleph import SQLiteStore, pages
from krea_aleph.emulator import Emulator, VirtualClock
from krea_aleph.emulator.clips import make_clip

Visit = Callable[..., AbstractContextManager[Page]]
Draw = Callable[[Page, str], object]
NUMBER = 5000
CLIPS = "[...document.querySelectorAll('.row video')]"
DIALOG = "[...document.querySelectorAll('dialog video')]"
PAUSED = "dialog[open] .player[data-state=paused]"
HOSTILE = "<script>alert(1)</script>\"'</script><!--\u2028\u202ecod"
PROMPTS = (
    "make it snow, early in the morning",
    "a rainy night in a big city",
    "an anime drawing with thick lines",
    "a golden desert at sunset",
    "pixel art of an old game",
    "an x-ray image",
)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of thousands of rows."""
    folder = tmp_path_factory.mktemp("large")
    with filled(folder / "s", many(folder, NUMBER)) as store:
        return pages.report(folder, store=store)


@pytest.fixture(scope="module")
def batch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a batch that a local Krea has really restyled."""
    folder = tmp_path_factory.mktemp("batch")
    before = make_clip(folder / "in.mp4")
    items: Any = [{"video": "https://example.com/in.mp4?signed=1", "prompt": "fog"}]
    items += [{"video": before, "prompt": prompt} for prompt in PROMPTS]
    for number, item in enumerate(items):
        item["output"] = f"shot-{number}.mp4"
    out = folder / "restyled"
    clock = VirtualClock()
    with (
        Emulator(clock=clock, job_seconds=170, concurrency=3) as emulator,
        SQLiteStore(folder / "s") as store,
        emulator.aleph(store=store) as aleph,
    ):
        emulator.outcome(status="failed", error={"code": "nsfw", "message": "blocked"})
        assert len(list(aleph.batch(items, output_dir=out))) == len(items)
        return pages.report(out, store=store)


def _count(page: Page, selector: str) -> int:
    return page.locator(selector).count()


def _shown(page: Page) -> str:
    return page.inner_text(".shown")


def test_thousands_of_rows_are_few_in_the_document(visit: Visit, large: Path) -> None:
    """Wherever one has scrolled to there are fewer than 200 elements more, and the right rows."""
    with visit(large) as page:
        assert _shown(page) == "5000 rows"
        without = _count(page, ":not(.list *)")
        for share in (0, 0.3, 0.777, 1):
            page.evaluate(f"scrollTo(0, document.body.scrollHeight * {share})")
            until(page, "document.querySelector('.row') && scrollY >= 0")
            expected = page.evaluate("""() => {
                const top = -document.querySelector('.list').getBoundingClientRect().top;
                const row = document.querySelector('.row').getBoundingClientRect().height;
                return Math.min(4999, Math.max(0, Math.floor((top + innerHeight / 2) / row)));
            }""")
            page.wait_for_selector(f".row[data-place='{expected}']")
            assert _count(page, ".row") < 20
            assert _count(page, "*") - without < 200
        assert without < 200


def test_search_and_filters(visit: Visit, large: Path) -> None:
    """They find exactly what they say, alone and together, and can be taken back."""
    failed = [index for index in range(NUMBER) if index % 3 == 0]
    with visit(large) as page:
        page.fill(".text", "wish 4321")
        assert _shown(page) == "1 of 5000 rows"
        assert "make it snow, wish 4321" in page.inner_text(".row")
        page.fill(".text", "WISH snow clip-77.")
        assert _shown(page) == "1 of 5000 rows"
        page.fill(".text", "no such thing")
        assert _shown(page) == "0 of 5000 rows"
        assert _count(page, ".row") == 0
        page.click(".clear")
        page.select_option(".status-filter", "failed")
        assert _shown(page) == f"{len(failed)} of 5000 rows"
        page.select_option(".account-filter", "other")
        both = [index for index in failed if index % 5 == 0]
        assert _shown(page) == f"{len(both)} of 5000 rows"
        page.click("button[data-cause] >> text=JobFailedError")
        odd = [index for index in failed if index % 2]
        assert _shown(page) == f"{len(odd)} of 5000 rows"
        assert set(page.locator(".row .mark").all_inner_texts()) == {"failed"}
        page.click(".clear")
        assert _shown(page) == "5000 rows"


def test_rows_tell_their_place_to_those_who_listen(visit: Visit, large: Path) -> None:
    """The list says how long it is, and each row the how-manieth it is, in order."""
    with visit(large) as page:
        page.evaluate("scrollTo(0, 100000)")
        until(page, "Number(document.querySelector('.row').ariaPosInSet) > 50")
        found = page.eval_on_selector_all(
            "[role=list] > [role=listitem]",
            "(rows) => rows.map((row) => [row.ariaPosInSet, row.ariaSetSize].map(Number))",
        )
        places = [place for place, _ in found]
        assert places == sorted(places)
        assert {size for _, size in found} == {NUMBER}


def test_the_keyboard_goes_through_rows(visit: Visit, large: Path) -> None:
    """Arrow keys move from row to row beyond the window, and the row in use stays."""
    with visit(large) as page:
        page.focus(".row .open")
        for _ in range(40):
            page.keyboard.press("ArrowDown")
        used = "document.activeElement.closest('.row').dataset.place"
        assert page.evaluate(used) == "40"
        assert page.evaluate("document.activeElement.getBoundingClientRect().top > 0")
        page.evaluate("scrollTo(0, 300000)")
        until(page, "document.querySelector('.row:last-child').dataset.place > 1000")
        assert page.evaluate(used) == "40"
        page.keyboard.press("ArrowUp")
        assert page.evaluate(used) == "39"
        page.keyboard.press("Enter")
        page.wait_for_selector("dialog[open]")
        page.keyboard.press("Escape")
        expect(page.locator("dialog[open]")).to_have_count(0)
        assert page.evaluate(used) == "39"


@pytest.mark.parametrize("calm", [True, False])
def test_clips_play_when_somebody_points_at_them(visit: Visit, batch: Path, calm: bool) -> None:
    """Both of a row do, by mouse and by keyboard, and stop; not for those who want no motion."""
    playing = f"{CLIPS}.map((clip) => !clip.paused)"
    with visit(batch, calm=calm) as page:
        until(page, f"{CLIPS}.every((clip) => clip.readyState > 1)")
        assert not any(page.evaluate(playing))
        row = page.locator(".row", has=page.locator("video + video")).first
        row.hover()
        if not calm:
            until(page, f"{playing}.filter(Boolean).length === 2")
        assert sum(page.evaluate(playing)) == (0 if calm else 2)
        page.mouse.move(2, 2)
        until(page, f"!{playing}.some(Boolean)")
        row.locator(".open").focus()
        if not calm:
            until(page, f"{playing}.filter(Boolean).length === 2")
        assert sum(page.evaluate(playing)) == (0 if calm else 2)


def test_two_clips_are_compared_in_the_same_way(visit: Visit, batch: Path) -> None:
    """A row opens the very player of `compare`, which lets go of the clips when it is closed."""
    with visit(batch) as page:
        page.fill(".text", "rainy")
        page.click("text=Compare")
        page.wait_for_selector(PAUSED)
        page.keyboard.press(".")
        page.wait_for_selector(PAUSED)
        times = page.evaluate(f"{DIALOG}.map((clip) => clip.currentTime)")
        assert times[0] == times[1] > 0
        assert "a rainy night in a big city" in page.inner_text("dialog .facts")
        page.click("dialog .close")
        expect(page.locator("dialog[open]")).to_have_count(0)
        expect(page.locator("dialog video[src]")).to_have_count(0)


def test_a_clip_on_the_network_is_text(visit: Visit, batch: Path) -> None:
    """Its address stands where the clip would be, nothing signed with it; nothing asks for it."""
    with visit(batch) as page:
        page.fill(".text", "fog")
        assert page.inner_text(".row .none") == "https://example.com/in.mp4"
        assert _count(page, ".row video") == 0
        page.click("text=Details")
        assert "fog" in page.inner_text("dialog .facts")
        assert not page.is_visible("dialog .player")


def test_why_some_failed(visit: Visit, batch: Path) -> None:
    """The table has cause, count, charge and hint; the row has its own words."""
    with visit(batch) as page:
        cells = page.locator("tbody tr").first.locator("td").all_inner_texts()
        assert cells[0] == "1"
        assert cells[2] == "pointless"
        assert cells[3].startswith("Change the prompt")
        page.click("[data-cause='0']")
        assert _shown(page) == "1 of 7 rows"
        assert "blocked" in page.inner_text(".row .error")
        assert "at most" in str(page.get_attribute(".plot svg", "aria-label"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nobody_is_shut_out(visit: Visit, batch: Path, scheme: str) -> None:
    """Axe finds nothing serious in either scheme, in the gallery, in the dialog, on a phone."""
    with visit(batch, scheme=scheme) as page:
        assert barriers(page) == []
        page.click(".row .open >> nth=1")
        page.wait_for_selector(PAUSED)
        assert barriers(page) == []
        look(page, f"report-dialog-{scheme}")
    with visit(batch, scheme=scheme, size=(390, 800)) as page:
        assert barriers(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        look(page, f"report-phone-{scheme}")


@contextmanager
def _hostile(folder: Path) -> Iterator[Path]:
    """Give the report of a folder in which every word is a stranger's."""
    names = ["#?%41 &amp;.mp4", "javascript:alert(1).mp4", f"{HOSTILE.replace('/', '|')}\n.mp4"]
    out = folder / "out#1"
    out.mkdir()
    records = []
    for number, name in enumerate(names):
        path = clip(folder / f"{number}.mp4", BLUE, seconds=0.2).rename(out / name)
        before = clip(folder / f"b{number}.mp4", RED, seconds=0.2).rename(folder / f"b{name}")
        facts = {"video": str(before), "prompt": HOSTILE, "options": {HOSTILE: HOSTILE}}
        records.append(ended(f"{HOSTILE}{number}", path, HOSTILE, **facts))
    error = dict.fromkeys(BLOCKED, HOSTILE)
    records.append(ended("bad", None, output=str(out / "bad.mp4"), prompt=HOSTILE, error=error))
    records.append(ended("js", None, video="javascript:alert(1)", output=str(out / "js.mp4")))
    with filled(folder / "s", records) as store:
        yield pages.report(out, store=store)


def test_words_of_strangers_are_text(visit: Visit, tmp_path: Path) -> None:
    """Prompts, names, accounts and errors are shown as they are, run nothing, and links lead."""
    shown = "<script>alert(1)</script>\"'</script><!--\\u2028\\u202ecod"
    with _hostile(tmp_path) as report, visit(report) as page:
        until(page, f"{CLIPS}.every((clip) => clip.readyState > 1)")
        assert _count(page, ".row video") == 6
        assert page.locator(".row .prompt").all_inner_texts() == [shown] * 4
        assert _count(page, "main script, .list script, dialog script") == 0
        assert shown in page.inner_text("tbody th")
        links = page.eval_on_selector_all(".row a", "(links) => links.map((link) => link.href)")
        assert len(links) == 3
        assert all(link.startswith("file:///") for link in links)
        for link in links:
            assert page.context.new_page().goto(link) is not None
        page.fill(".text", "<script>")
        page.click(".row .open >> nth=0")
        assert shown in page.inner_text("dialog .facts")


def test_the_picture_of_the_docs(visit: Visit, draw: Draw, batch: Path) -> None:
    """What the docs show is a report of a batch that the emulator has restyled."""
    with visit(batch, size=(1100, 800)) as page:
        until(page, f"{CLIPS}.every((clip) => clip.readyState > 1)")
        draw(page, "report")


def test_a_clip_that_cannot_be_played_is_told(visit: Visit, tmp_path: Path) -> None:
    """Where a file only looks like a video, there are words instead of a black box."""
    (tmp_path / "broken.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + bytes(500))
    with visit(pages.report(tmp_path)) as page:
        expect(page.locator(".row .none", has_text="cannot be played")).to_have_count(1)
