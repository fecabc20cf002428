"""The page of a comparison as people see it: in step, uncovered by a slider, usable by all."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import av
import pytest
from PIL import Image
from playwright.sync_api import Page

from browsing import barriers, look, until
from clips import BLUE, RED, clip
from krea_aleph import pages
from krea_aleph.emulator.clips import make_clip
from krea_aleph.emulator.restyle import Style, restyle

Visit = Callable[..., AbstractContextManager[Page]]
Draw = Callable[[Page, str], object]
PAUSED = ".player[data-state=paused]"
PLAYING = ".player[data-state=playing]"
TIMES = "[...document.querySelectorAll('video')].map((clip) => clip.currentTime)"
AFTER = "document.querySelector('.after').currentTime"
HOSTILE = "<script>alert(1)</script> \"'&#?% \u202emoc.exe\u2028\n<!--.mp4"


def _page(folder: Path, *, rates: tuple[int, int] = (24, 24), **options: object) -> Path:
    """Write the page of a red clip and a blue one, whose frames differ in brightness."""
    before = clip(folder / "in.mp4", lambda number: (60 + number * 3, 0, 0), rate=rates[0])
    after = clip(folder / "out.mp4", lambda number: (0, 0, 60 + number * 3), rate=rates[1])
    return pages.compare(before, after, folder / "c.html", **options)  # type: ignore[arg-type]


def _times(page: Page) -> tuple[float, float]:
    page.wait_for_selector(PAUSED)
    before, after = page.evaluate(TIMES)
    return before, after


def _slide(page: Page, name: str, value: float) -> None:
    page.eval_on_selector(
        f".{name}",
        "(node, value) => { node.value = value; node.dispatchEvent(new Event('input')); }",
        value,
    )


@pytest.mark.parametrize("rates", [(24, 24), (24, 30), (60, 25)], ids=str)
def test_whenever_nothing_plays_both_stand_at_the_same_time(
    visit: Visit, tmp_path: Path, rates: tuple[int, int]
) -> None:
    """After each pause, seek and step the times differ by less than a frame, at any rates."""
    places = iter((0.31, 1.47, 0.88))
    frame = 1 / max(rates)
    with visit(_page(tmp_path, rates=rates)) as page:
        page.wait_for_selector(PAUSED)
        for action in ["play", "seek", ",", ".", "seek", "play", ".", "seek", ",", "play"]:
            before = _times(page)[1]
            if action == "play":
                page.keyboard.press("Space")
                page.wait_for_selector(PLAYING)
                until(page, f"Math.abs({AFTER} - {before}) > 0.1")
                page.keyboard.press("Space")
            elif action == "seek":
                _slide(page, "seek", next(places))
            else:
                page.keyboard.press(action)
            ours, theirs = _times(page)
            assert abs(ours - theirs) < frame / 100, action
            if action in {",", "."}:
                assert abs(theirs - before) == pytest.approx(frame, abs=frame / 50)


def test_a_step_shows_the_next_frame(visit: Visit, tmp_path: Path) -> None:
    """Each press shows both clips' next frame, as its pixels tell; the other key goes back."""
    with visit(_page(tmp_path)) as page:
        _times(page)
        shown = 0
        for number in (1, 2, 3, 4, 5, 4, 3, 4):
            page.keyboard.press("." if number > shown else ",")
            shown = number
            _times(page)
            seen = look(page, "step")
            red, blue = _at(page, seen, 0.25)[0], _at(page, seen, 0.75)[2]
            assert red == pytest.approx(60 + number * 3, abs=2)
            assert blue == pytest.approx(60 + number * 3, abs=2)


def _at(page: Page, seen: Image.Image, share: float) -> tuple[int, int, int]:
    """Return the colour of the stage at a share of its width."""
    box = page.locator(".stage").bounding_box()
    assert box is not None
    place = round(box["x"] + box["width"] * share), round(box["y"] + box["height"] * 0.75)
    red, green, blue = seen.getpixel(place)  # type: ignore[misc]
    return red, green, blue


@pytest.mark.parametrize("at", [0, 20, 50, 80, 100])
def test_the_slider_uncovers_what_it_says(visit: Visit, tmp_path: Path, at: int) -> None:
    """Left of the slider is the clip before, right of it the clip after, wherever it is."""
    folder = tmp_path
    page_path = pages.compare(
        clip(folder / "in.mp4", RED), clip(folder / "out.mp4", BLUE), folder / "c.html"
    )
    with visit(page_path) as page:
        _times(page)
        _slide(page, "slider", at)
        seen = look(page, f"slider-{at}")
        for share in (0.03, 0.15, 0.25, 0.45, 0.55, 0.75, 0.85, 0.97):
            red, _, blue = _at(page, seen, share)
            assert (red > 150, blue > 150) == (share * 100 < at, share * 100 > at)


def test_the_slider_goes_by_mouse_and_keys(visit: Visit, tmp_path: Path) -> None:
    """It is dragged on the picture itself, and moved by the arrow keys, Home and End."""
    with visit(_page(tmp_path)) as page:
        _times(page)
        box = page.locator(".stage").bounding_box()
        assert box is not None
        page.mouse.click(box["x"] + box["width"] * 0.25, box["y"] + box["height"] / 2)
        slider = page.locator(".slider")
        assert float(slider.input_value()) == pytest.approx(25, abs=1)
        page.keyboard.press("ArrowRight")
        assert float(slider.input_value()) == pytest.approx(25.5, abs=1)
        page.keyboard.press("End")
        assert slider.input_value() == "100"
        assert slider.get_attribute("aria-valuetext") == "100 % before"
        assert page.get_by_role("slider", name="uncovered").count() == 1


def test_a_clip_that_has_fallen_behind_catches_up(visit: Visit, tmp_path: Path) -> None:
    """While they play, a clip that is off, however it came to that, is brought back."""
    before, after = (clip(tmp_path / f"{n}.mp4", RED, seconds=8) for n in ("in", "out"))
    drift = "Math.abs(document.querySelector('.before').currentTime - " + AFTER + ")"
    with visit(pages.compare(before, after, tmp_path / "c.html")) as page:
        _times(page)
        page.keyboard.press("Space")
        page.wait_for_selector(PLAYING)
        page.evaluate("document.querySelector('.before').currentTime = 6")
        until(page, f"document.querySelector('{PLAYING}') && {drift} < 0.1")
        assert page.evaluate(AFTER) < 6


def test_at_the_end_it_begins_again_unless_it_is_told_not_to(visit: Visit, tmp_path: Path) -> None:
    """With the loop it plays on from the start; without it stands still at the last frame."""
    with visit(_page(tmp_path)) as page:
        _slide(page, "seek", 1.7)
        _times(page)
        page.keyboard.press("Space")
        page.wait_for_selector(PLAYING)
        until(page, f"{AFTER} < 1 && document.querySelector('{PLAYING}')")
        page.keyboard.press("l")
        page.wait_for_selector(PLAYING)
        page.keyboard.press("Space")
        _times(page)
        _slide(page, "seek", 1.7)
        _times(page)
        page.keyboard.press("Space")
        page.wait_for_selector(PLAYING)
        page.wait_for_selector(PAUSED)
        assert _times(page)[1] == pytest.approx(2 - 1 / 48, abs=0.001)


@pytest.mark.parametrize("calm", [True, False])
def test_it_plays_by_itself_only_for_those_who_do_not_mind(
    visit: Visit, tmp_path: Path, calm: bool
) -> None:
    """Whoever wants less motion begins at a still picture."""
    with visit(_page(tmp_path), calm=calm) as page:
        page.wait_for_selector(PAUSED if calm else PLAYING)
        assert page.evaluate("document.querySelector('.after').paused") is calm


def test_speed(visit: Visit, tmp_path: Path) -> None:
    """Both clips go at the chosen speed, but for what brings them in step."""
    with visit(_page(tmp_path)) as page:
        _times(page)
        page.select_option(".speed", "0.5")
        page.click(".play")
        page.wait_for_selector(PLAYING)
        rates = page.evaluate("[...document.querySelectorAll('video')].map((c) => c.playbackRate)")
        assert rates == pytest.approx([0.5, 0.5], rel=0.11)


def test_clips_of_different_sizes_and_lengths(visit: Visit, tmp_path: Path) -> None:
    """The page says how they differ, and shows what both have."""
    before = clip(tmp_path / "in.mp4", RED, seconds=1.5, size=(160, 160))
    after = clip(tmp_path / "out.mp4", BLUE, seconds=2)
    with visit(pages.compare(before, after, tmp_path / "c.html")) as page:
        _times(page)
        note = page.inner_text(".note")
        assert "The clip after is 0.50 s longer; that rest is not shown." in note
        assert "160 x 160 and 320 x 180" in note.replace("\N{MULTIPLICATION SIGN}", "x")
        _slide(page, "seek", 9)
        assert max(_times(page)) <= 1.5


def test_a_clip_that_cannot_be_played_is_told(visit: Visit, tmp_path: Path) -> None:
    """A file that only looks like a video is named, in words."""
    broken = tmp_path / "broken <b>.mp4"
    broken.write_bytes(b"\0\0\0\x18ftypmp42" + bytes(5000))
    page_path = pages.compare(broken, clip(tmp_path / "out.mp4", BLUE), tmp_path / "c.html")
    with visit(page_path) as page:
        page.wait_for_selector(".player[data-state=failed]")
        assert page.inner_text("[role=alert]") == "This browser cannot play broken <b>.mp4."


class _Pipe(io.RawIOBase):
    """A file that nobody can go back in, as one that is recorded while it is sent."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb", buffering=0)

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        return self._file.write(data)

    def close(self) -> None:
        self._file.close()
        super().close()


def _streamed(path: Path) -> Path:
    """Write a WebM that does not say how long it is, and is too large to be read at once."""
    options = {"deadline": "realtime", "cpu-used": "8", "minrate": "60M", "maxrate": "60M"}
    with _Pipe(path) as pipe, av.open(pipe, "w", format="webm", options={"live": "1"}) as file:
        stream = file.add_stream("libvpx", rate=24, options=options)
        stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
        stream.bit_rate = 60_000_000
        for _ in range(24):
            noise = Image.effect_noise((640, 360), 200).convert("RGB")
            file.mux(stream.encode(av.VideoFrame.from_image(noise)))
        file.mux(stream.encode())
    return path


def _sound(path: Path) -> Path:
    """Write an MP4 that browsers play, and that has no picture for them."""
    with av.open(str(path), "w") as file:
        stream = file.add_stream("aac", rate=48_000, layout="mono")
        for number in range(40):
            frame = av.AudioFrame("fltp", "mono", 1024)
            frame.planes[0].update(bytes(frame.planes[0].buffer_size))
            frame.sample_rate, frame.pts = 48_000, number * 1024
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return path


@pytest.mark.parametrize("link", [True, False])
def test_a_clip_that_says_nothing_of_its_length_is_measured(
    visit: Visit, tmp_path: Path, link: bool
) -> None:
    """Of a recording that was streamed the length is found out, and nothing infinite is told."""
    before, after = _streamed(tmp_path / "a.webm"), _streamed(tmp_path / "b.webm")
    with visit(pages.compare(before, after, tmp_path / "c.html", link=link)) as page:
        _times(page)
        assert page.inner_text(".time").endswith("of 0.96 s")
        assert page.inner_text(".note") == ""


def test_a_clip_without_a_picture_is_told(visit: Visit, tmp_path: Path) -> None:
    """Sound alone, or pictures that this browser cannot decode, are said and not shown black."""
    before, after = clip(tmp_path / "in.mp4", RED), _sound(tmp_path / "out.mp4")
    with visit(pages.compare(before, after, tmp_path / "c.html")) as page:
        page.wait_for_selector(".player[data-state=failed]")
        assert page.inner_text("[role=alert]") == "This browser can show no picture of out.mp4."


def test_one_frame_stands_still(visit: Visit, tmp_path: Path) -> None:
    """What has one frame does not begin again and again, whoever asks it to play."""
    before, after = clip(tmp_path / "in.mp4", RED), clip(tmp_path / "o.mp4", BLUE, seconds=1 / 24)
    with visit(pages.compare(before, after, tmp_path / "c.html"), calm=False) as page:
        _times(page)
        seeks = "window.seeks = 0; document.querySelector('.before').onseeking = () => seeks++;"
        page.evaluate(f"() => {{ {seeks} }}")
        page.keyboard.press("Space")
        page.evaluate("() => new Promise((done) => setTimeout(done, 300))")
        assert page.evaluate("() => window.seeks") == 0
        assert page.inner_text(".play") == "Play"


@pytest.mark.parametrize("link", [True, False])
def test_a_hostile_name_is_text(visit: Visit, tmp_path: Path, link: bool) -> None:
    """Names that are markup, or turn the line round, stand there as they are; links still lead."""
    folder = tmp_path / "javascript:alert(1)"
    folder.mkdir()
    hostile = HOSTILE.replace("/", "\N{DIVISION SLASH}")
    after = clip(tmp_path / "in.mp4", BLUE).rename(folder / hostile)
    page_path = pages.compare(after, after, tmp_path / "c.html", link=link)
    with visit(page_path) as page:
        _times(page)
        told = page.inner_text("main")
        assert "<script>alert(1)<\N{DIVISION SLASH}script>" in told
        assert r"\u202emoc.exe\u2028" in told
        assert page.title().startswith("Before and after: <script>")
        assert page.locator("script").count() <= 4


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nobody_is_shut_out(visit: Visit, tmp_path: Path, scheme: str) -> None:
    """Axe finds nothing serious, in either scheme; these are the colours that were asked for."""
    with visit(_page(tmp_path), scheme=scheme) as page:
        _times(page)
        assert barriers(page) == []
        ground = look(page, f"compare-{scheme}").getpixel((3, 3))
        assert ground == ((255, 255, 255) if scheme == "light" else (20, 22, 26))


def test_everything_is_reached_by_tab(visit: Visit, tmp_path: Path) -> None:
    """Each control has the focus in turn, from the slider to the speed."""
    with visit(_page(tmp_path)) as page:
        _times(page)
        names = []
        for _ in range(7):
            page.keyboard.press("Tab")
            names.append(page.evaluate("document.activeElement.className"))
        assert names == ["slider", "play", "back", "forth", "seek", "loop", "speed"]


def test_the_picture_of_the_docs(visit: Visit, draw: Draw, tmp_path: Path) -> None:
    """What the docs show is this page, with a clip that the emulator has restyled."""
    before = make_clip(tmp_path / "in.mp4", width=640, height=360)
    after = tmp_path / "out.mp4"
    restyle(before, after, Style.of("make it snow", "docs"))
    page_path = pages.compare(before, after, tmp_path / "compare.html")
    with visit(page_path, size=(960, 700)) as page:
        _slide(page, "seek", 1)
        _times(page)
        draw(page, "compare")
