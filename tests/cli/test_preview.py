"""`krea-aleph preview`: pictures of clips."""

from pathlib import Path

import pytest
from PIL import Image

from krea_aleph.emulator.clips import make_clip

from .conftest import Krea


@pytest.fixture
def scene(tmp_path: Path) -> str:
    """The name of a clip that can be looked at."""
    return make_clip(tmp_path / "scene.mp4", seconds=1, width=160, height=90).name


def kind(path: str) -> str | None:
    """Return what sort of picture a file is."""
    with Image.open(path) as picture:
        return picture.format


def test_a_sheet_is_the_default(krea: Krea, scene: str) -> None:
    """Its path is printed, and it lies in the current folder."""
    done = krea("preview", scene)
    assert (done.code, done.out, done.err) == (0, "scene-sheet.png\n", "")
    assert kind("scene-sheet.png") == "PNG"


@pytest.mark.parametrize(
    ("line", "made", "sort"),
    [
        ("--animate", "scene-preview.webp", "WEBP"),
        ("-o a.gif", "a.gif", "GIF"),
        ("-o a.webp --fps 5 --seconds 0.5 --width 64", "a.webp", "WEBP"),
        ("-o a.png --rows 1 --columns 2 --before scene.mp4", "a.png", "PNG"),
    ],
)
def test_what_is_made_is_said_or_shown_by_the_ending(
    krea: Krea, scene: str, line: str, made: str, sort: str
) -> None:
    """--sheet and --animate say it; else the ending of the output does."""
    done = krea("preview", scene, *line.split())
    assert (done.code, done.out) == (0, f"{made}\n"), done.err
    assert kind(made) == sort


def test_programs_get_a_document(krea: Krea, scene: str) -> None:
    """--json prints one line."""
    (document,) = krea("preview", scene, "--json").documents
    assert document == {"type": "preview", "kind": "sheet", "path": "scene-sheet.png"}


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("none.mp4", "'none.mp4' does not exist"),
        ("no.mp4", "'no.mp4' is no whole video"),
        ("scene.mp4 --sheet --animate", "--sheet: --animate is something else; choose one"),
        ("scene.mp4 --animate --rows 2", "--rows: an animation has none"),
        ("scene.mp4 --fps 2", "--fps: a contact sheet has none"),
        ("scene.mp4 --sheet -o a.gif", "'a.gif' does not end in .png"),
        ("scene.mp4 -o no.mp4/", "does not exist"),
    ],
)
@pytest.mark.usefixtures("scene")
def test_what_cannot_work_is_a_mistake_of_the_line(krea: Krea, line: str, told: str) -> None:
    """Code 2, with the reason, and nothing is written."""
    Path("no.mp4").write_bytes(b"<html>")
    done = krea("preview", *line.split())
    assert done.code == 2, done.out
    assert told in done.err
    assert sorted(path.name for path in Path().iterdir()) == ["no.mp4", "scene.mp4"]


def test_a_file_that_is_there_stays(krea: Krea, scene: str) -> None:
    """Unless it is to be replaced."""
    Path("a.png").write_bytes(b"mine")
    assert krea("preview", scene, "-o", "a.png").code == 2
    assert Path("a.png").read_bytes() == b"mine"
    assert krea("preview", scene, "-o", "a.png", "--exists", "replace").code == 0
    assert kind("a.png") == "PNG"


def test_a_hostile_name_steers_no_terminal(krea: Krea) -> None:
    """What a name holds beside letters is spelt out in what is said of it."""
    done = krea("preview", "a\x1b]0;owned\x07\u202e<script>.mp4")
    assert done.code == 2
    assert "\x1b" not in done.err
    assert "\u202e" not in done.err
    assert "<script>" in done.err
