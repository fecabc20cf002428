"""The page of a comparison as a file: what it holds, and what is refused before it is written."""

from __future__ import annotations

import struct
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest

from clips import BLUE, RED, clip
from krea_aleph import InvalidRequestError, pages
from krea_aleph._placing import Place
from krea_aleph.cli import main
from krea_aleph.pages._clips import Clip
from krea_aleph.pages._compare import _pieces
from krea_aleph.pages._frames import frame_seconds

SIDES = ("before", "after")
HEAD = b"\0\0\0\x18ftypmp42" + bytes(12)


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """A clip before and after."""
    return clip(tmp_path / "in.mp4", RED, seconds=0.5), clip(tmp_path / "out.mp4", BLUE)


def test_a_page_holds_both_clips(pair: tuple[Path, Path], tmp_path: Path) -> None:
    """Nothing but the page is needed; it has no address of anything."""
    page = pages.compare(*pair, tmp_path / "compare.html")
    assert page == tmp_path / "compare.html"
    text = page.read_text("utf-8")
    assert text.count('<script type="text/plain" data-clip=') == 2
    assert "media-src blob:;" in text
    assert "http:" not in text.replace("http-equiv", "")
    assert "https:" not in text


def test_a_page_can_link_instead(pair: tuple[Path, Path], tmp_path: Path) -> None:
    """With link=True the page is small, and leads to the clips by relative addresses."""
    folder = tmp_path / "pages"
    folder.mkdir()
    text = pages.compare(*pair, folder / "c.html", link=True).read_text("utf-8")
    assert "data-clip" not in text.partition("<script>")[0]
    assert '"link":"./../in.mp4"' in text


def test_a_large_clip_goes_in_at_constant_memory(tmp_path: Path) -> None:
    """What a page needs to be written does not grow with its clips."""
    large = tmp_path / "large.mp4"
    large.write_bytes(HEAD + bytes(40_000_000))
    pages.compare(large, large, tmp_path / "first.html", link=True)  # imports are not counted
    tracemalloc.start()
    page = pages.compare(large, large, tmp_path / "compare.html")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert page.stat().st_size > 2 * 40_000_000 * 4 / 3
    assert peak < 20_000_000


def _refused(tmp_path: Path, field: str, problem: str, *arguments: Path, **options: object) -> None:
    before = {path.name for path in tmp_path.iterdir()}
    with pytest.raises(InvalidRequestError, match=problem) as caught:
        pages.compare(*arguments, **options)  # type: ignore[arg-type]
    assert caught.value.field == field
    assert {path.name for path in tmp_path.iterdir()} == before


def test_a_folder_gets_a_page(pair: tuple[Path, Path], tmp_path: Path) -> None:
    """A folder in the place of a page receives one of the usual name."""
    page = pages.compare(*pair, tmp_path)
    assert page == tmp_path / "compare.html"
    assert page.is_file()


def test_what_cannot_work_is_refused(pair: tuple[Path, Path], tmp_path: Path) -> None:
    """A file that is missing or no video, a place that is none: said by name, nothing written."""
    before, after = pair
    page, text = tmp_path / "c.html", tmp_path / "notes.mp4"
    text.write_text("no video")
    _refused(tmp_path, "before", "'.*none.mp4' does not exist", tmp_path / "none.mp4", after, page)
    _refused(tmp_path, "after", "is no regular file", before, tmp_path, page)
    _refused(tmp_path, "after", "'notes.mp4' is no video", before, text, page)
    _refused(tmp_path, "output", "does not exist", before, after, tmp_path / "no" / "c.html")
    _refused(tmp_path, "exists", "is none of", before, after, page, exists="perhaps")
    with pytest.raises(InvalidRequestError, match="5 is no path"):
        pages.compare(5, after, page)  # type: ignore[arg-type]


def test_a_page_that_exists_is_safe(pair: tuple[Path, Path], tmp_path: Path) -> None:
    """It is refused, replaced or kept, as was asked for."""
    page = tmp_path / "c.html"
    page.write_text("mine")
    _refused(tmp_path, "output", "exists", *pair, page)
    assert pages.compare(*pair, page, exists="keep").read_text() == "mine"
    assert pages.compare(*pair, page, exists="replace").read_text() != "mine"


def test_a_page_is_whole_or_absent(tmp_path: Path) -> None:
    """What breaks off while a page is written leaves nothing, and replaces nothing."""
    page = tmp_path / "c.html"
    page.write_text("mine")

    def broken() -> object:
        yield b"half a page"
        raise OSError(5, "the disk is gone")

    with pytest.raises(InvalidRequestError, match="cannot be written: the disk is gone"):
        Place.checked(page, "replace", "c.html").fill(lambda file: file.writelines(broken()))
    assert [path.name for path in tmp_path.iterdir()] == ["c.html"]
    assert page.read_text() == "mine"


def test_a_clip_that_changes_meanwhile_is_told(pair: tuple[Path, Path], tmp_path: Path) -> None:
    """A clip that is no longer what was looked at gives no page."""
    clips = {side: Clip.checked(side, path) for side, path in zip(SIDES, pair, strict=True)}
    pair[1].write_bytes(HEAD)
    place = Place.checked(tmp_path / "c.html", "error", "c.html")
    with pytest.raises(InvalidRequestError, match="has changed since it was looked at"):
        place.fill(lambda file: file.writelines(_pieces(clips, None)))
    assert not (tmp_path / "c.html").exists()


@pytest.mark.parametrize("rate", [10, 24, 25, 30, 60])
def test_the_length_of_a_frame_is_read(tmp_path: Path, rate: int) -> None:
    """An MP4 file's own index says how long a frame is shown."""
    found = frame_seconds(clip(tmp_path / "a.mp4", RED, seconds=0.5, rate=rate))
    assert found == pytest.approx(1 / rate)


def _index(table: bytes, header: bytes | None) -> bytes:
    """Return an MP4 file that is nothing but the index of one track of pictures."""

    def box(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I4s", 8 + len(content), kind) + content

    head = b"" if header is None else box(b"mdhd", header)
    hdlr = box(b"hdlr", bytes(8) + b"vide" + bytes(12))
    media = head + hdlr + box(b"minf", box(b"stbl", box(b"stts", table)))
    return box(b"ftyp", b"isom" + bytes(4)) + box(b"moov", box(b"trak", box(b"mdia", media)))


def test_a_frame_that_slipped_is_not_the_usual_one(tmp_path: Path) -> None:
    """Of uneven frames a short one counts, and not the one that a recorder has let slip."""
    lengths = [(1, 1), (20, 1500), (30, 3000), (1, 9000)]
    pairs = b"".join(struct.pack(">II", *pair) for pair in lengths)
    header = bytes(12) + struct.pack(">I", 90_000) + bytes(8)
    path = tmp_path / "phone.mp4"
    path.write_bytes(_index(struct.pack(">II", 0, len(lengths)) + pairs, header))
    assert frame_seconds(path) == pytest.approx(1 / 60)


@pytest.mark.parametrize("header", [None, b"", bytes(5)], ids=["none", "empty", "short"])
def test_an_index_without_its_head_is_none(tmp_path: Path, header: bytes | None) -> None:
    """A track that does not say what its times mean has no known length of a frame."""
    path = tmp_path / "odd.mp4"
    path.write_bytes(_index(struct.pack(">IIII", 0, 1, 9, 1000), header))
    assert frame_seconds(path) is None


def test_no_file_can_hurt_whoever_looks_for_its_frames(tmp_path: Path) -> None:
    """A file that is cut, or lies about its boxes, has no known length of a frame; no error."""
    whole = clip(tmp_path / "a.mp4", RED, seconds=0.2).read_bytes()
    path = tmp_path / "b.mp4"
    for size in range(0, len(whole), 7):
        path.write_bytes(whole[:size])
        found = frame_seconds(path)
        assert found is None or found == pytest.approx(1 / 24)
    for place in range(0, len(whole) - 4, 5):
        for lie in (b"\0\0\0\0", b"\0\0\0\1", b"\xff\xff\xff\xff"):
            path.write_bytes(whole[:place] + lie + whole[place + 4 :])
            found = frame_seconds(path)
            assert found is None or found > 0


def test_the_command(
    pair: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`krea-aleph compare` prints the page's path; what is refused is a usage error."""
    names = [str(path) for path in pair]
    page = str(tmp_path / "c.html")
    assert main(["compare", *names, "-o", page]) == 0
    assert capsys.readouterr().out.strip() == page
    assert main(["compare", *names, "-o", page]) == 2
    assert "exists" in capsys.readouterr().err
    assert main(["compare", *names, "-o", page, "--exists", "replace", "--link", "--json"]) == 0
    assert '"type": "page"' in capsys.readouterr().out


def test_who_only_escapes_text_loads_little() -> None:
    """The cards of notebooks take one function from here, and no more than that is loaded."""
    program = "import krea_aleph, sys; before = set(sys.modules); import krea_aleph.pages._escape"
    program += "; print(*sorted(n for n in set(sys.modules) - before if 'krea' in n))"
    told = subprocess.check_output([sys.executable, "-c", program], text=True)
    assert told.split() == ["krea_aleph.pages", "krea_aleph.pages._escape"]
