"""Small animations: of what, how long, how large, and side by side."""

from pathlib import Path

import pytest
from PIL import Image

from krea_aleph import InvalidRequestError
from krea_aleph.preview import animate

from .conftest import grey, numbers, write


def frames(path: Path) -> list[tuple[Image.Image, int]]:
    """Return the frames of an animation, each with how many milliseconds it is shown."""
    found = []
    with Image.open(path) as picture:
        for number in range(getattr(picture, "n_frames", 1)):
            picture.seek(number)
            picture.load()
            found.append((picture.convert("RGB"), picture.info.get("duration", 0)))
    return found


@pytest.mark.parametrize("name", ["a.gif", "a.webp"])
def test_an_animation_shows_the_clip_at_its_pace(clip: Path, tmp_path: Path, name: str) -> None:
    """Five frames a second of a clip of two seconds: every second frame, two seconds long."""
    shown = frames(animate(clip, tmp_path / name, fps=5))
    told = [numbers(picture, [(32, 24)])[0] for picture, _ in shown]
    assert told == list(range(0, 20, 2))
    assert sum(duration for _, duration in shown) == 2000


def test_uneven_paces_lose_no_time(clip: Path, tmp_path: Path) -> None:
    """GIF counts in hundredths of a second: what one frame is too short another is too long."""
    shown = frames(animate(clip, tmp_path / "a.gif", fps=7))
    assert sum(duration for _, duration in shown) == 2000
    assert {duration for _, duration in shown} == {140, 150}


def test_it_is_repeated(clip: Path, tmp_path: Path) -> None:
    """An animation goes on for ever, as people expect of one."""
    with Image.open(animate(clip, tmp_path / "a.gif")) as picture:
        assert picture.info["loop"] == 0


def test_only_the_beginning_is_shown(clip: Path, tmp_path: Path) -> None:
    """`seconds` bounds it, and so does the clip."""
    assert len(frames(animate(clip, tmp_path / "a.webp", seconds=0.5, fps=10))) == 5
    assert len(frames(animate(clip, tmp_path / "b.webp", seconds=30, fps=10))) == 20


def test_before_plays_on_the_left_in_step(clip: Path, tmp_path: Path) -> None:
    """Both halves show the same moment; the whole is no wider than asked for."""
    after = write(tmp_path / "after.mp4", [grey(number) for number in range(20)], rate=20)
    shown = frames(animate(after, tmp_path / "a.webp", before=clip, fps=10, width=132))
    assert shown[0][0].size == (132, 48)
    told = [numbers(picture, [(32, 40), (100, 40)]) for picture, _ in shown]
    assert told == [[number, 2 * number] for number in range(10)]


def test_a_before_that_is_shorter_stands_still_at_its_end(clip: Path, tmp_path: Path) -> None:
    """Where the original has ended its last frame stays."""
    before = write(tmp_path / "before.mp4", [grey(number) for number in range(5)])
    shown = frames(animate(clip, tmp_path / "a.webp", before=before, fps=5, width=132))
    assert [numbers(picture, [(32, 40)])[0] for picture, _ in shown] == [0, 2] + [4] * 8


def test_one_frame_is_an_animation_too(tmp_path: Path) -> None:
    """A clip of a single frame gives a picture that stands still."""
    one = write(tmp_path / "one.mp4", [grey(5)])
    for name in ("a.gif", "a.webp"):
        ((picture, _),) = frames(animate(one, tmp_path / name))
        assert numbers(picture, [(32, 24)]) == [5]


def test_a_folder_gets_a_webp_named_after_the_clip(clip: Path, tmp_path: Path) -> None:
    """WebP is the default: it is the smaller one."""
    assert animate(clip, tmp_path) == tmp_path / "clip-preview.webp"


def test_what_is_there_is_kept_or_replaced(clip: Path, tmp_path: Path) -> None:
    """`exists` says what becomes of it."""
    there = tmp_path / "a.gif"
    there.write_bytes(b"mine")
    with pytest.raises(InvalidRequestError, match="exists"):
        animate(clip, there)
    assert animate(clip, there, exists="keep").read_bytes() == b"mine"
    assert animate(clip, there, exists="replace").read_bytes().startswith(b"GIF89a")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"seconds": 0}, "seconds: it is 0; use a number from 0.04 to 30.0"),
        ({"seconds": 31}, "seconds: it is 31"),
        ({"fps": 0.5}, "fps: it is 0.5"),
        ({"width": 5000}, "width: it is 5000"),
        ({"output": "a.mp4"}, r"'a.mp4' does not end in .gif or .webp"),
    ],
)
def test_options_that_cannot_work(clip: Path, options: dict[str, object], told: str) -> None:
    """They are refused by name."""
    with pytest.raises(InvalidRequestError, match=told):
        animate(clip, **{"output": "a.gif", **options})  # type: ignore[arg-type]
