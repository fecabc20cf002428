"""The emulator's live page as people see it: jobs that move, bad weather that they make."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from itertools import pairwise
from pathlib import Path

import httpx
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from browsing import DOCS, barriers, look, until
from krea_aleph import Aleph, InternalServerError, Job, PollPolicy, RetryPolicy, Saved
from krea_aleph.emulator import Emulator, VirtualClock
from krea_aleph.emulator.clips import make_clip

Visit = Callable[..., AbstractContextManager[Page]]
Draw = Callable[[Page, str], object]
NOTE_LOOKS = """
window.moments = [];
const really = window.fetch;
window.fetch = (...request) => {
  if (request[0] === "/_emulator/state") window.moments.push(Date.now());
  return really(...request);
};
"""
HIDE = """(hidden) => {
    Object.defineProperty(document, 'hidden', { configurable: true, get: () => hidden });
    document.dispatchEvent(new Event('visibilitychange'));
}"""
OFTEN = PollPolicy(early=0.1)
READY = "[...document.querySelectorAll('video')].every((clip) => clip.readyState >= 2)"
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)> \"'& \u202emoc.exe"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip of a second."""
    return make_clip(tmp_path_factory.mktemp("clips") / "in.mp4", seconds=1)


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """A Krea in real time, whose jobs take a second."""
    with Emulator(job_seconds=1) as emulator:
        yield emulator


@pytest.fixture
def aleph(emulator: Emulator) -> Iterator[Aleph]:
    """A client that looks often."""
    with emulator.aleph(poll=OFTEN, retry=RetryPolicy(attempts=1)) as aleph:
        yield aleph


@pytest.fixture
def open_page(visit: Visit, emulator: Emulator) -> Callable[..., AbstractContextManager[Page]]:
    """Open the page of the emulator."""

    def open_page(**options: object) -> AbstractContextManager[Page]:
        return visit(f"{emulator.base_url}/", origin=emulator.base_url, **options)

    return open_page


Open = Callable[..., AbstractContextManager[Page]]


def test_a_job_appears_moves_and_ends(visit: Visit, clip: Path) -> None:
    """Nobody reloads anything: prompt, status, and both videos, which can be played."""
    clock = VirtualClock()
    with (
        Emulator(clock=clock, job_seconds=100) as emulator,
        emulator.aleph() as aleph,
        visit(f"{emulator.base_url}/", origin=emulator.base_url) as page,
    ):
        expect(page.get_by_role("status")).to_have_text("Connected.")
        expect(page.get_by_text("None yet.")).to_be_visible()
        job = aleph.submit(clip, "make it snow")
        card = page.locator("#jobs > li")
        expect(card).to_contain_text("make it snow")
        expect(card).to_contain_text(job.id)
        expect(card.locator(".status")).to_have_text("queued")
        clock.sleep(50)
        expect(card.locator(".status")).to_have_text("processing")
        expect(card.locator("progress")).to_have_attribute("value", "0.5")
        clock.sleep(50)
        expect(card.locator(".status")).to_have_text("completed")
        expect(card.locator("progress")).to_be_hidden()
        expect(page.get_by_text("None yet.")).to_be_hidden()
        expect(card.locator("figcaption")).to_have_text(["before", "after"])
        until(page, READY)
        card.get_by_role("button", name="Play both").click()
        until(page, "[...document.querySelectorAll('video')].every((clip) => clip.currentTime > 0)")


def test_a_fault_is_switched_on_and_the_next_call_suffers(
    open_page: Open, emulator: Emulator, aleph: Aleph
) -> None:
    """What is chosen happens to a program's next call; the page tells of it, and of its end."""
    with open_page() as page:
        expect(page.get_by_text("The weather is fine.")).to_be_visible()
        page.get_by_label("What happens").select_option("500: an internal error")
        page.get_by_label("To which call").select_option("list_jobs")
        page.get_by_role("button", name="Switch on").click()
        standing = page.locator("#standing > li")
        expect(standing).to_contain_text("500: an internal error (list_jobs, once; 0 so far)")
        with pytest.raises(InternalServerError):
            list(aleph.list_jobs())
        assert list(aleph.list_jobs()) == []
        expect(standing).to_contain_text("1 so far")
        rows = page.locator("#requests tr")
        expect(rows).to_have_count(2)
        expect(rows.nth(1)).to_contain_text("500")
        expect(rows.nth(1)).to_contain_text("an internal error")
        expect(rows.nth(0)).to_contain_text("200")
        standing.get_by_role("button").click()
        expect(standing).to_have_count(0)
        expect(page.get_by_text("The weather is fine.")).to_be_visible()
    assert len(emulator.requests) == 2


def test_what_fits_one_call_alone_chooses_it(open_page: Open) -> None:
    """A file that breaks off is one of downloads: nothing else can be chosen."""
    with open_page() as page:
        page.get_by_label("What happens").select_option("The file breaks off after 20,000 bytes")
        expect(page.get_by_label("To which call")).to_be_disabled()
        expect(page.get_by_label("To which call")).to_have_value("download")
        page.get_by_label("How often").select_option("to all, until it is switched off")
        page.get_by_role("button", name="Switch on").click()
        expect(page.locator("#standing > li")).to_contain_text("(download, no end;")
        page.get_by_role("button", name="Switch all off").click()
        expect(page.locator("#standing > li")).to_have_count(0)


def test_a_quirk_is_switched_by_its_box(open_page: Open, emulator: Emulator) -> None:
    """A box shows what is on, whoever has switched it."""
    with open_page() as page:
        page.get_by_text("Quirks:").click()
        box = page.get_by_label("Files have weak entity tags")
        expect(box).not_to_be_checked()
        box.check()
        expect(box).to_be_checked()
        emulator.quirk("weak_etags", on=False)
        expect(box).not_to_be_checked()


def test_hostile_texts_are_text(open_page: Open, aleph: Aleph, tmp_path: Path, clip: Path) -> None:
    """A prompt, a file's name and a path that hold markup are read as they stand, and run not."""
    named = tmp_path / f"{HOSTILE}.mp4".replace("/", "|")
    named.write_bytes(clip.read_bytes())
    with open_page() as page:
        page.on("dialog", lambda dialog: pytest.fail(f"it ran: {dialog.message}"))
        aleph.submit(named, HOSTILE)
        expect(page.locator(".prompt")).to_have_text(HOSTILE.replace("\u202e", "\\u202e"))
        aleph.submit("https://example.com/a.mp4", "[nsfw] <b>")
        httpx.get(f"{aleph.base_url}/<script>", trust_env=False)
        expect(page.locator("#jobs > li")).to_have_count(2)
        expect(page.locator("#jobs .reason").first).to_contain_text("nsfw")
        assert page.locator("#jobs script, #jobs img, #jobs b, #requests script").count() == 0
        assert "\u202e" not in page.locator("body").inner_text()


def test_lines_to_copy_work(open_page: Open, emulator: Emulator) -> None:
    """The lines hold the address and the key, and follow when the key is another one."""
    with open_page() as page:
        lines = page.locator("#lines code")
        expect(lines).to_have_count(5)
        expect(lines.nth(0)).to_contain_text(emulator.base_url)
        expect(lines.nth(2)).to_contain_text("/generate/video/runway/aleph")
        expect(lines.nth(2)).to_contain_text(f"Authorization: Bearer {emulator.key}")
        emulator.key = "another:key's"
        expect(lines.nth(0)).to_contain_text("KREA_API_KEY='another:key'\\''s'")
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        page.get_by_role("button", name="Copy: krea-aleph run").click()
        expect(page.get_by_role("button", name="Copy: krea-aleph run")).to_have_text("Copied")
        copied = page.evaluate("navigator.clipboard.readText()")
        assert copied == "krea-aleph run in.mp4 'make it snow' -o out.mp4"


@pytest.fixture
def looks(open_page: Open) -> Iterator[tuple[Page, list[str]]]:
    """A page whose time a test moves on, and what it has asked since it was opened."""
    with open_page() as page:
        page.clock.install()
        page.reload()
        expect(page.get_by_role("status")).to_have_text("Connected.")
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        yield page, asked


def test_nobody_who_does_not_watch_asks(looks: tuple[Page, list[str]]) -> None:
    """A page that is hidden asks nothing, and looks at once when it is seen again."""
    page, asked = looks
    page.evaluate(HIDE, True)
    page.clock.run_for(60_000)
    assert asked == []
    with page.expect_request("**/_emulator/state"):
        page.evaluate(HIDE, False)


def test_looks_are_seconds_apart(open_page: Open) -> None:
    """While nothing happens the page asks every two seconds."""
    with open_page() as page:
        page.add_init_script(NOTE_LOOKS)
        page.clock.install()
        page.reload()
        for _ in range(3):
            with page.expect_request("**/_emulator/state"):
                page.clock.run_for(2100)
        moments = page.evaluate("moments")
    assert len(moments) >= 3
    assert min(later - moment for moment, later in pairwise(moments)) >= 2000


def test_an_emulator_that_has_gone_is_told(visit: Visit) -> None:
    """The page says so, and goes on asking now and then."""

    def lose() -> None:
        with (
            Emulator(render=False) as emulator,
            visit(f"{emulator.base_url}/", origin=emulator.base_url) as page,
        ):
            expect(page.get_by_role("status")).to_have_text("Connected.")
            emulator.stop()
            expect(page.get_by_role("status")).to_contain_text("does not answer")

    with pytest.raises(AssertionError, match="ERR_CONNECTION_REFUSED"):
        lose()


def test_another_emulator_at_the_same_address_is_shown_afresh(visit: Visit) -> None:
    """One that was started again counts from one: nothing of the one before stays on the page."""
    first = Emulator(render=False).start()
    try:
        with visit(f"{first.base_url}/", origin=first.base_url) as page:
            page.clock.install()
            page.reload()
            httpx.get(f"{first.base_url}/before")
            page.clock.run_for(2000)
            expect(page.locator("#requests")).to_contain_text("/before")
            first.stop()
            with Emulator(render=False, port=int(first.base_url.rpartition(":")[2])) as second:
                httpx.get(f"{second.base_url}/since")
                page.clock.run_for(2000)
                expect(page.locator("#requests")).to_contain_text("/since")
                expect(page.locator("#requests")).not_to_contain_text("/before")
    finally:
        first.stop()


def test_virtual_time_is_followed(visit: Visit) -> None:
    """Where time is virtual the page shows what a test has done, in no time."""
    with (
        Emulator(clock=VirtualClock(), render=False, job_seconds=170) as emulator,
        emulator.aleph() as aleph,
        visit(f"{emulator.base_url}/", origin=emulator.base_url) as page,
    ):
        expect(page.locator("#facts")).to_contain_text("Time is virtual")
        aleph.wait(aleph.submit("https://example.com/in.mp4", "make it snow"))
        expect(page.locator("#jobs .status")).to_have_text("completed")
        expect(page.locator("#jobs .note")).to_contain_text("seeded bytes")


def test_many_jobs_and_requests_stay_few_on_the_page(visit: Visit) -> None:
    """However much has happened, the page stays small."""
    with (
        Emulator(clock=VirtualClock(), render=False, concurrency=500, backlog=500) as emulator,
        emulator.aleph() as aleph,
        visit(f"{emulator.base_url}/", origin=emulator.base_url) as page,
    ):
        for number in range(150):
            aleph.submit("https://example.com/in.mp4", f"prompt {number}")
        expect(page.locator("#jobs > li").first).to_contain_text("prompt 149")
        expect(page.locator("#jobs > li")).to_have_count(40)
        expect(page.locator("#requests tr")).to_have_count(100)
        assert page.locator("#requests tr").first.inner_text().count("create_aleph_job") == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_shuts_nobody_out(
    open_page: Open, aleph: Aleph, clip: Path, scheme: str, draw: Draw
) -> None:
    """In both schemes axe finds nothing serious, with jobs of each sort and bad weather on."""
    with open_page(scheme=scheme) as page:
        aleph.submit(clip, "a quiet street [nsfw]")
        aleph.wait(aleph.submit(clip, "make it a snowy winter evening"))
        page.get_by_label("How often").select_option("to every second one")
        page.get_by_role("button", name="Switch on").click()
        expect(page.locator("#standing > li")).to_have_count(1)
        expect(page.locator("#jobs .reason").nth(1)).to_contain_text("nsfw")
        expect(page.locator("#jobs video")).to_have_count(3)
        until(page, READY)
        assert barriers(page) == []
        page.get_by_text("Quirks:").click()
        assert barriers(page) == []
        page.get_by_text("Quirks:").click()
        draw(page, "emulator") if scheme == "light" else look(page, "emulator-dark")


def test_it_is_used_by_keyboard_and_on_small_screens(open_page: Open) -> None:
    """Every control is reached by Tab, and nothing is wider than a phone."""
    with open_page(size=(360, 700)) as page:
        expect(page.get_by_role("status")).to_have_text("Connected.")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        page.get_by_label("What happens").focus()
        for _ in range(3):
            page.keyboard.press("Tab")
        expect(page.get_by_role("button", name="Switch on")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.locator("#standing > li")).to_have_count(1)


def test_the_cards_of_notebooks_are_sound(visit: Visit, tmp_path: Path, clip: Path) -> None:
    """A card in a page shows its video and lets nothing run, whatever the names in it hold."""
    named = tmp_path / f"{HOSTILE}.mp4".replace("/", "|")
    named.write_bytes(clip.read_bytes())
    size = named.stat().st_size
    saved = Saved(named, (named,), "video/mp4", size, "ab" * 32, Job(HOSTILE, HOSTILE))
    cards = "".join(value._repr_html_() for value in (saved, Job("j1", HOSTILE)))
    page_file = tmp_path / "cards.html"
    head = "<!doctype html><html lang=en><meta charset=utf-8><title>Cards</title>"
    page_file.write_text(f"{head}<main><h1>Cards</h1>{cards}", "utf-8")
    for scheme in ("light", "dark"):
        with visit(page_file, scheme=scheme) as page:
            page.on("dialog", lambda dialog: pytest.fail(f"it ran: {dialog.message}"))
            until(page, "document.querySelector('video').readyState >= 2")
            assert page.locator("script, img").count() == 0
            assert "<script>alert(1)" in page.locator("main").inner_text()
            assert barriers(page) == []
            look(page, f"cards-{scheme}")


def test_the_docs_show_the_page() -> None:
    """The guide has the picture that the test above draws, and it is small."""
    picture = DOCS / "emulator.png"
    assert "](emulator.png)" in (DOCS / "testing.md").read_text("utf-8")
    assert picture.stat().st_size < 120_000
    with Image.open(picture) as drawn:
        assert drawn.size == (1280, 800)
