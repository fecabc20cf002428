"""Contact sheets: which frames, of which clips, and what is refused."""

import subprocess
import sys
from pathlib import Path

import av
import pytest
from PIL import Image

from krea_aleph import InvalidRequestError, Saved
from krea_aleph.models import ObjectAddress
from krea_aleph.preview import sheet

from .conftest import SIZE, grey, numbers, turned, write

# Where the middle of a cell is on a sheet of clips of the usual size, two columns wide.
LEFT, RIGHT = 8 + 32, 8 + 64 + 8 + 32
TOP, LOWER = 8 + 24, 8 + 48 + 22 + 8 + 24


def opened(path: Path) -> Image.Image:
    """Return a picture, read whole."""
    with Image.open(path) as picture:
        picture.load()
        return picture


def test_frames_are_taken_at_even_times(clip: Path) -> None:
    """Four frames of two seconds are those at 0.25, 0.75, 1.25 and 1.75 s."""
    picture = sheet(clip, rows=2, columns=2, width=64)
    places = [(LEFT, TOP), (RIGHT, TOP), (LEFT, LOWER), (RIGHT, LOWER)]
    assert numbers(picture, places) == [2, 7, 12, 17]


def test_each_frame_has_its_time_code(clip: Path) -> None:
    """Below each frame something is written, and it differs."""
    picture = sheet(clip, rows=1, columns=2, width=64)
    captions = [picture.crop((left, 57, left + 64, 78)) for left in (8, 80)]
    first, second = (caption.tobytes() for caption in captions)
    assert first != second
    assert all(caption.getextrema()[0][1] > 200 for caption in captions)


def test_a_sheet_is_a_png_and_its_path_is_returned(clip: Path, tmp_path: Path) -> None:
    """With an output a file is written; without one the picture is returned."""
    path = sheet(clip, tmp_path / "sheet.png")
    assert path == tmp_path / "sheet.png"
    assert opened(path).format == "PNG"
    assert opened(path).tobytes() == sheet(clip).tobytes()


def test_a_folder_gets_a_sheet_named_after_the_clip(clip: Path, tmp_path: Path) -> None:
    """As everywhere: a folder that is there, or a name that ends in a slash."""
    (tmp_path / "sheets").mkdir()
    assert sheet(clip, f"{tmp_path}/sheets/") == tmp_path / "sheets" / "clip-sheet.png"


def test_a_saved_result_is_taken(clip: Path) -> None:
    """What a transform returns can be looked at as it is."""
    saved = Saved(path=clip, paths=(clip,))
    assert sheet(saved).tobytes() == sheet(clip).tobytes()


def test_before_stands_above_after(scene: Path, restyled: Path) -> None:
    """Each cell shows the same moment of both; the sample's snow is brighter than its hills."""
    picture = sheet(restyled, before=scene, rows=1, columns=1, width=320).convert("L")
    assert picture.size == (336, 8 + 180 + 4 + 180 + 22 + 8)
    hills, snow = picture.crop((8, 150, 328, 188)), picture.crop((8, 334, 328, 372))
    mean = [sum(part.tobytes()) / len(part.tobytes()) for part in (hills, snow)]
    assert mean[1] > mean[0] + 30


def test_a_short_clip_shows_each_frame_once(tmp_path: Path) -> None:
    """One frame makes a sheet of one, and three one of three."""
    one = write(tmp_path / "one.mp4", [grey(5)])
    three = write(tmp_path / "three.mp4", [grey(number) for number in range(3)])
    assert sheet(one, width=64).size == (8 + 64 + 8, 8 + 48 + 22 + 8)
    assert sheet(three, width=64).size == (8 + 3 * (64 + 8), 8 + 48 + 22 + 8)


def test_frames_of_uneven_length(tmp_path: Path) -> None:
    """Where frames come at odd times, the one counts that is shown at the moment."""
    frames = [grey(number) for number in range(4)]
    path = write(tmp_path / "uneven.mkv", frames, at=[0, 0.1, 1.2, 3.9])
    picture = sheet(path, rows=1, columns=2, width=64)
    assert numbers(picture, [(LEFT, TOP), (RIGHT, TOP)]) == [1, 2]


@pytest.mark.parametrize("key_every", [1, 24, 1000])
def test_a_long_clip_is_read_by_seeking(tmp_path: Path, key_every: int) -> None:
    """A clip of minutes gives the right frames, however far apart its key frames are."""
    frames = [grey(number % 24) for number in range(480)]
    path = write(tmp_path / "long.mp4", frames, rate=1, key_every=key_every)
    picture = sheet(path, rows=1, columns=2, width=64)
    assert numbers(picture, [(LEFT, TOP), (RIGHT, TOP)]) == [120 % 24, 360 % 24]


def test_what_lies_between_is_not_read(tmp_path: Path) -> None:
    """A sheet of a long clip costs what its frames cost: damage elsewhere is not even seen."""
    frames = [grey(number % 24) for number in range(480)]
    path = write(tmp_path / "long.mp4", frames, rate=1, key_every=24)
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.is_keyframe]
    place, size = packets[3].pos or 0, packets[3].size
    content = bytearray(path.read_bytes())
    content[place : place + size] = b"\xff" * size
    path.write_bytes(content)
    with pytest.raises(InvalidRequestError):
        sheet(path, rows=1, columns=20, width=64)
    picture = sheet(path, rows=1, columns=2, width=64)
    assert numbers(picture, [(LEFT, TOP), (RIGHT, TOP)]) == [120 % 24, 360 % 24]


def test_a_clip_that_is_turned_is_shown_upright(clip: Path, tmp_path: Path) -> None:
    """What a phone has recorded on its side stands as players show it."""
    path = turned(clip, tmp_path / "turned.mp4")
    assert sheet(path, rows=1, columns=1, width=48).size == (8 + 48 + 8, 8 + 64 + 22 + 8)


def test_turning_goes_the_right_way(tmp_path: Path) -> None:
    """A quarter clockwise brings what was above to the right."""
    frame = Image.new("RGB", SIZE, "black")
    frame.paste("white", (0, 0, SIZE[0], SIZE[1] // 2))
    path = turned(write(tmp_path / "in.mp4", [frame]), tmp_path / "turned.mp4")
    picture = sheet(path, rows=1, columns=1, width=48).convert("L")
    assert int(str(picture.getpixel((8 + 40, 40)))) > 200
    assert int(str(picture.getpixel((8 + 8, 40)))) < 50


@pytest.mark.parametrize("size", [(2, 2), (2, 400), (400, 2), (1000, 38)])
def test_odd_sizes(tmp_path: Path, size: tuple[int, int]) -> None:
    """However long and thin a clip is, its sheet is one that can be looked at."""
    path = write(tmp_path / "odd.mp4", [grey(number, size) for number in range(3)])
    width, height = sheet(path, width=64).size
    assert width <= 8 + 3 * 72
    assert height <= 8 + 128 + 30


def test_odd_sides(tmp_path: Path) -> None:
    """Some codecs have sides of odd lengths."""
    frames = [grey(number, (33, 21)) for number in range(3)]
    path = write(tmp_path / "odd.mov", frames, codec="png", pixels="rgb24")
    assert sheet(path, rows=1, columns=1).size == (8 + 33 + 8, 8 + 21 + 22 + 8)


def test_what_is_clear_shows_the_paper(tmp_path: Path) -> None:
    """Of a clip with transparency no garbage is seen, but the background of the sheet."""
    clear = Image.new("RGBA", SIZE, (255, 0, 0, 0))
    path = write(tmp_path / "clear.mov", [clear], codec="png", pixels="rgba")
    picture = sheet(path, rows=1, columns=1, width=64)
    assert picture.getpixel((LEFT, TOP)) == picture.getpixel((2, 2))


@pytest.mark.parametrize("name", ["a.webm", "a.mkv", "a.gif", "a.h264", "a.avi"])
def test_containers_that_know_less(tmp_path: Path, name: str) -> None:
    """Where a file does not say how long it is, or when frames come, that is found out."""
    codec = {".webm": "libvpx", ".gif": "gif", ".avi": "mpeg4"}.get(Path(name).suffix, "libx264")
    pixels = "rgb8" if codec == "gif" else "yuv420p"
    frames = [grey(number) for number in range(20)]
    path = write(tmp_path / name, frames, codec=codec, pixels=pixels)
    picture = sheet(path, rows=1, columns=2, width=64)
    first, second = numbers(picture, [(LEFT, TOP), (RIGHT, TOP)])
    assert 3 <= first <= 7
    assert 12 <= second <= 17


def test_a_clip_from_a_pipe(tmp_path: Path) -> None:
    """A file without an index, as a program writes it that cannot go back, is measured."""
    path = tmp_path / "live.mkv"
    with path.open("wb") as file, av.open(Unseekable(file), "w", format="matroska") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height = SIZE
        for number in range(20):
            container.mux(stream.encode(av.VideoFrame.from_image(grey(number))))
        container.mux(stream.encode())
    picture = sheet(path, rows=1, columns=2, width=64)
    assert numbers(picture, [(LEFT, TOP), (RIGHT, TOP)]) == [5, 15]


class Unseekable:
    """What can only be written to."""

    def __init__(self, file: object) -> None:
        self.write = getattr(file, "write")  # noqa: B009 - its type is nobody's business


# What is refused


def names(folder: Path) -> list[str]:
    """Return what is in a folder."""
    return sorted(path.name for path in folder.iterdir())


def sound(path: Path) -> Path:
    """Write a file that has nothing to look at."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame(format="fltp", layout="mono", samples=1024)
        frame.planes[0].update(bytes(4096))
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def cut(clip: Path, share: float) -> bytes:
    """Return the beginning of a clip."""
    content = clip.read_bytes()
    return content[: int(len(content) * share)]


def test_a_file_that_is_cut_off_is_refused(restyled: Path, tmp_path: Path) -> None:
    """Its last picture must not stand for what is lost: the error says where it ends."""
    path = tmp_path / "cut.mp4"
    path.write_bytes(cut(restyled, 0.5))
    with pytest.raises(
        InvalidRequestError, match=r"'.*cut.mp4' is no whole video: .*again"
    ) as told:
        sheet(path)
    assert told.value.field == "video"


def test_a_file_whose_index_is_lost_is_refused(clip: Path, tmp_path: Path) -> None:
    """An MP4 that ends before its index cannot be read at all."""
    path = tmp_path / "cut.mp4"
    path.write_bytes(cut(clip, 0.6))
    with pytest.raises(InvalidRequestError, match="nothing in it that can be looked at"):
        sheet(path)


@pytest.mark.parametrize(
    "content", [b"", b"<html>busy</html>", bytes(9999)], ids=["nothing", "a page", "zeros"]
)
def test_what_is_no_video_is_refused(tmp_path: Path, content: bytes) -> None:
    """The error names the file and says what to give instead."""
    path = tmp_path / "no.mp4"
    path.write_bytes(content)
    with pytest.raises(InvalidRequestError, match="is no whole video") as caught:
        sheet(path)
    assert "no.mp4" in str(caught.value)
    assert "Give a video file" in caught.value.hint


def test_sound_alone_is_refused(tmp_path: Path) -> None:
    """A file without pictures says that it has sound."""
    with pytest.raises(InvalidRequestError, match="nothing but sound"):
        sheet(sound(tmp_path / "a.m4a"))


@pytest.mark.parametrize("name", ["list.m3u8", "list.ffconcat"])
def test_a_file_that_names_others_is_refused(clip: Path, tmp_path: Path, name: str) -> None:
    """A playlist in place of a clip could show other files, or call the network: it is none."""
    lists = {
        "list.m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{clip}\n#EXT-X-ENDLIST\n",
        "list.ffconcat": f"ffconcat version 1.0\nfile {clip.name}\n",
    }
    (tmp_path / name).write_text(lists[name])
    with pytest.raises(InvalidRequestError, match="no whole video"):
        sheet(tmp_path / name)


def test_what_is_no_file_is_refused(tmp_path: Path, clip: Path) -> None:
    """Nothing there, a folder, an address, a result in a bucket: each is told apart."""
    place = ObjectAddress("s3", "clips", "out.mp4")
    stored = Saved(path=place, paths=(place,))  # type: ignore[arg-type]
    for video, told in (
        (tmp_path / "none.mp4", "does not exist"),
        (tmp_path, "is no file"),
        ("https://example.com/a.mp4", "is an address"),
        (stored, "it is on no disk"),
    ):
        with pytest.raises(InvalidRequestError, match=told):
            sheet(video)
    with pytest.raises(InvalidRequestError, match=r"^before: .*does not exist"):
        sheet(clip, before=tmp_path / "none.mp4")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"rows": 0}, "rows: it is 0; use a whole number from 1 to 20"),
        ({"columns": 1.5}, "columns: it is 1.5; use a whole number from 1 to 20"),
        ({"columns": 21}, "columns: it is 21"),
        ({"width": "wide"}, "width: it is 'wide'"),
        ({"width": True}, "width: it is True"),
        ({"width": float("nan")}, "width: it is nan"),
        ({"rows": 20, "columns": 20, "width": 1920}, "50,000,000 are the most"),
        ({"output": "sheet.jpg"}, r"'sheet.jpg' does not end in .png"),
        ({"output": "no/such/folder/sheet.png"}, "does not exist"),
        ({"output": "a.png", "exists": "perhaps"}, "exists: 'perhaps' is none of"),
    ],
)
def test_options_that_cannot_work(
    tmp_path: Path, options: dict[str, object], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are refused by name before anything is written."""
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path / "in.mp4", [grey(1, (1920, 1080))])
    with pytest.raises(InvalidRequestError, match=told):
        sheet(path, **options)  # type: ignore[call-overload]
    assert names(tmp_path) == ["in.mp4"]


def test_a_name_that_is_taken(clip: Path, tmp_path: Path) -> None:
    """`exists` says what becomes of the file that is there, as everywhere."""
    there = tmp_path / "sheet.png"
    there.write_bytes(b"mine")
    with pytest.raises(InvalidRequestError, match="exists"):
        sheet(clip, there)
    assert sheet(clip, there, exists="keep").read_bytes() == b"mine"
    assert opened(sheet(clip, there, exists="replace")).format == "PNG"
    assert names(tmp_path) == ["clip.mp4", "sheet.png"]


def test_nothing_is_left_of_a_sheet_that_cannot_be_written(clip: Path, tmp_path: Path) -> None:
    """A full disk leaves neither half a picture nor a file under another name."""
    program = (
        "import resource, signal, sys; from krea_aleph.preview import sheet\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        "sheet(sys.argv[1], sys.argv[2])"
    )
    command = [sys.executable, "-c", program, str(clip), str(tmp_path / "sheet.png")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "cannot be written: File too large" in done.stderr
    assert names(tmp_path) == ["clip.mp4"]
