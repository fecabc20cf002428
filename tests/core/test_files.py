"""Opening what is uploaded."""

import gc
import io
import os
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from krea_aleph._files import (
    LARGEST_UPLOAD_BYTES,
    UPLOAD_KINDS,
    MultipartFile,
    Source,
    extension,
    looks_like_text,
    sniff,
)
from krea_aleph.errors import InvalidRequestError, UploadError

from .transcript import CLIP

HEADS = [
    (b"\xff\xd8\xff\xe0\x00\x10JFIF", "image/jpeg", ".jpg"),
    (b"\x89PNG\r\n\x1a\n\x00", "image/png", ".png"),
    (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "image/webp", ".webp"),
    (b"RIFF\x00\x00\x00\x00WAVEfmt ", "audio/wav", ".wav"),
    (b"RIFF\x00\x00\x00\x00AVI LIST", None, ".bin"),
    (b"glTF\x02\x00\x00\x00", "model/gltf-binary", ".glb"),
    (b"\x1a\x45\xdf\xa3\x42\x82\x84webm", "video/webm", ".webm"),
    (b"\x1a\x45\xdf\xa3\x42\x82\x88matroska", None, ".bin"),
    (b"\x00\x00\x00\x18ftypheic", "image/heic", ".heic"),
    (b"\x00\x00\x00\x18ftypmif1", "image/heic", ".heic"),
    (b"\x00\x00\x00\x18ftypisom", "video/mp4", ".mp4"),
    (b"\x00\x00\x00\x18ftypmp42", "video/mp4", ".mp4"),
    (b"\x00\x00\x00\x14ftypqt  ", "video/quicktime", ".mov"),
    (b"\x00\x00\x00\x08wide\x00\x00", "video/quicktime", ".mov"),
    (b"\x00\x00\x10\x00moov\x00\x00", "video/quicktime", ".mov"),
    (b"\x00\x00\x10\x00mdat\x00\x00", "video/quicktime", ".mov"),
    (b"ID3\x04\x00", "audio/mpeg", ".mp3"),
    (b"\xff\xfb\x90\x00", "audio/mpeg", ".mp3"),
    (b"GIF89a", None, ".bin"),
    (b"<!doctype html>", None, ".bin"),
    (b"plain text", None, ".bin"),
    (b"\x00", None, ".bin"),
    (b"", None, ".bin"),
]


@pytest.mark.parametrize(("head", "kind", "suffix"), HEADS, ids=[repr(row[0]) for row in HEADS])
def test_kinds_are_told_by_their_bytes(head: bytes, kind: str | None, suffix: str) -> None:
    """The first bytes say what a file is; what they don't say is not guessed."""
    assert sniff(head) == kind
    assert extension(kind) == suffix


def test_every_kind_that_krea_takes_is_recognised() -> None:
    """Nothing that Krea documents is refused here."""
    assert {kind for _, kind, _ in HEADS if kind} == UPLOAD_KINDS


@given(st.binary(max_size=64))
def test_sniffing_never_raises(head: bytes) -> None:
    """Any bytes are of a kind that Krea takes, or of none."""
    assert sniff(head) in {*UPLOAD_KINDS, None}
    assert looks_like_text(head) in {True, False}


@pytest.mark.parametrize(
    ("head", "page"),
    [
        (b"<!DOCTYPE html>", True),
        (b"\n  <HTML>", True),
        (b"<?xml version='1.0'?><Error>", True),
        (b"<Error><Code>AccessDenied", True),
        (b'{"message": "expired"}', True),
        (b'\xef\xbb\xbf{"message": "expired"}', True),
        ("<html><body>expired".encode("utf-16"), True),
        (b"<!-- cached --><html>", True),
        (b" " * 4096, True),
        (b"{ \n", True),
        (b"Too many requests, slow down\r\n", True),
        ("abgelaufen: la requête a expiré".encode()[:-1], True),
        ("abgelaufen: la requête a expiré".encode("utf-16"), True),
        (b"OK", True),
        (b"\xff\xfb", False),
        (b"a few letters\x00and more", False),
        (b"\xff\xfb\x90\x00", False),
        (b"\x00\x00\x00\x18ftypisom", False),
        (b"", False),
    ],
)
def test_text(head: bytes, page: bool) -> None:
    """Error pages, documents and messages are told from media, of whatever kind."""
    assert looks_like_text(head) is page


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A small MP4."""
    path = tmp_path / "clip.mp4"
    path.write_bytes(CLIP)
    return path


def content(source: Source) -> bytes:
    """Read a source to its end."""
    return b"".join(source.chunks())


@pytest.mark.parametrize("kind", [str, Path])
def test_a_path(kind: Any, clip: Path) -> None:
    """A path becomes a source that knows name, type, size and digest, and reads again and again."""
    source = Source.open("video", kind(clip))
    assert (source.name, source.media_type) == ("clip.mp4", "video/mp4")
    assert (source.size_bytes, source.sha256) == (len(CLIP), sha256(CLIP).hexdigest())
    assert [content(source), content(source)] == [CLIP, CLIP]


def test_an_open_file_stays_the_users(clip: Path) -> None:
    """An open file is read from where it stands, again and again, and is left open."""
    with clip.open("rb") as file:
        file.read(0)
        source = Source.open("video", file)
        assert (source.name, content(source), content(source)) == ("clip.mp4", CLIP, CLIP)
        assert not file.closed
    padded = io.BytesIO(b"skip" + CLIP)
    padded.seek(4)
    source = Source.open("video", padded)
    assert (source.name, source.size_bytes, content(source)) == ("upload", len(CLIP), CLIP)


def test_files_without_a_name_of_their_own(clip: Path) -> None:
    """A file opened by its descriptor has a number for a name, and is called upload."""
    with os.fdopen(os.open(clip, os.O_RDONLY), "rb") as file:
        assert Source.open("video", file).name == "upload"


class Stream(io.RawIOBase):
    """What a socket or a pipe looks like: it can be read once, in small pieces."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read some."""
        return self._data.readinto(memoryview(buffer)[:65536])


def stream(data: bytes) -> BinaryIO:
    """Make a stream."""
    return Stream(data)  # type: ignore[return-value]  # as near as a raw stream comes


@pytest.mark.parametrize("size", [len(CLIP), 9 * 2**20], ids=["small", "spooled to disk"])
def test_a_stream_is_copied(size: int) -> None:
    """A stream that cannot be rewound is copied, so that it can be measured and sent twice."""
    data = CLIP.ljust(size, b"\0")
    source = Source.open("video", stream(data))
    assert (source.size_bytes, source.name) == (size, "upload")
    assert content(source) == content(source) == data
    del source
    gc.collect()  # a copy that was left open would warn now


def test_a_stream_that_is_too_long() -> None:
    """Copying stops at the limit: an endless stream does not fill the disk."""

    class Endless(Stream):
        def readinto(self, buffer: Any) -> int:
            return len(buffer)

    with pytest.raises(InvalidRequestError, match="more than 75,000,000 bytes"):
        Source.open("video", Endless(b""))  # type: ignore[arg-type]
    gc.collect()


def test_the_size_limit(tmp_path: Path) -> None:
    """75,000,000 bytes may be uploaded, and not one more."""
    path = tmp_path / "big.mp4"
    path.write_bytes(CLIP)
    os.truncate(path, LARGEST_UPLOAD_BYTES)  # a hole: it takes no space
    assert Source.open("video", path).size_bytes == 75_000_000
    os.truncate(path, LARGEST_UPLOAD_BYTES + 1)
    with pytest.raises(InvalidRequestError, match="75,000,001 bytes, more than the 75,000,000"):
        Source.open("video", path)


def test_what_is_no_file(tmp_path: Path, clip: Path) -> None:
    """A folder, a FIFO, nothing at all, a text file, a closed one: each is refused by name."""
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "notes.mp4").write_text("a shopping list")
    closed = clip.open("rb")
    closed.close()
    with clip.open() as text:
        for value, words in (
            (tmp_path, "is no regular file"),
            (tmp_path / "fifo", "is no regular file"),
            (tmp_path / "missing.mp4", "cannot be read: No such file or directory"),
            ("nul\0byte", "cannot be read: embedded null byte"),
            ("x" * 5000, "cannot be read: File name too long"),
            (tmp_path / "empty.mp4", "'empty.mp4' is empty"),
            (tmp_path / "notes.mp4", "is of no kind that Krea takes"),
            (text, "it is open as text"),
            (io.StringIO("text"), "it is open as text"),
            (closed, "BufferedReader is not a URL, a path, an asset or a readable file"),
            (object(), "object is not a URL, a path, an asset or a readable file"),
            (stream(b""), "'upload' is empty"),
            (io.BytesIO(b"GIF89a"), "is of no kind"),
        ):
            with pytest.raises(InvalidRequestError, match=words) as caught:
                Source.open("video", value)  # type: ignore[arg-type]
            assert (caught.value.field, caught.value.charged) == ("video", "no")


@pytest.mark.parametrize("change", ["grown", "shrunk", "other bytes", "gone", "folder"])
def test_a_file_that_changes(change: str, clip: Path) -> None:
    """A file that is no longer what was inspected stops the upload, safely repeatable."""
    source = Source.open("video", clip)
    match change:
        case "grown":
            clip.write_bytes(CLIP + b"more")
        case "shrunk":
            clip.write_bytes(CLIP[:-1])
        case "other bytes":
            clip.write_bytes(CLIP[:-1] + b"?")
        case "gone":
            clip.unlink()
        case _:
            clip.unlink()
            clip.mkdir()
    missing = change in {"gone", "folder"}
    words = "could not be read to its end" if missing else "has changed since it was checked"
    with pytest.raises(UploadError, match=words) as caught:
        content(source)
    assert caught.value.resubmit == "safe"


@pytest.fixture
def old(clip: Path) -> Path:
    """A clip that nobody has written to for long."""
    os.utime(clip, (1e9, 1e9))
    return clip


def test_a_file_that_has_been_there_for_long(old: Path) -> None:
    """It is recognised by its place, size and time, and hashed when somebody wants to know."""
    source = Source.open("video", old)
    assert source.hashed is None
    assert content(source) == CLIP
    assert source.hashed is None
    assert source.sha256 == source.hashed == sha256(CLIP).hexdigest()


@pytest.mark.parametrize("change", ["written to", "grown", "replaced", "touched", "gone"])
def test_an_old_file_that_changes(change: str, old: Path) -> None:
    """Whatever happens to it shows, before it is read or while that is going on."""
    for begun in (False, True):
        old.write_bytes(CLIP)
        os.utime(old, (1e9, 1e9))
        source = Source.open("video", old)
        pieces = source.chunks()
        if begun:
            assert next(pieces) == CLIP
        match change:
            case "written to":
                old.write_bytes(CLIP[:-1] + b"?")
            case "grown":
                with old.open("ab") as file:
                    file.write(b"more")
            case "replaced" if not begun:
                other = old.with_name("other")
                other.write_bytes(CLIP)
                os.utime(other, (1e9, 1e9))
                other.rename(old)
            case "touched":
                old.touch()
            case "gone" if not begun:
                old.unlink()
            case _:
                continue  # what is open stays what it is
        with pytest.raises(UploadError):
            b"".join(pieces)
        if not begun:
            with pytest.raises(UploadError):
                _ = source.sha256


def test_a_file_from_the_future(clip: Path) -> None:
    """Where clocks differ, the time of a file tells nothing, and its content is compared."""
    os.utime(clip, (4e9, 4e9))
    assert Source.open("video", clip).hashed is not None


def test_a_file_that_is_closed_too_early(clip: Path) -> None:
    """A user's file that has been closed before the upload is an UploadError too."""
    with clip.open("rb") as file:
        source = Source.open("video", file)
    with pytest.raises(UploadError, match="closed file"):
        content(source)


class Broken(io.BytesIO):
    """A file of the user's own, one of whose methods has a bug."""

    broken: str | None = None

    def _work(self, name: str) -> None:
        if name == self.broken:
            raise LookupError(name)

    def read(self, size: int | None = -1, /) -> bytes:
        """Read some."""
        self._work("read" if size else "")
        return super().read(size)

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Go there."""
        self._work("seek")
        return super().seek(offset, whence)

    def tell(self) -> int:
        """Say where it is."""
        self._work("tell")
        return super().tell()

    def seekable(self) -> bool:
        """Say whether it can be rewound."""
        self._work("seekable")
        return self.broken != "read"


class NoPath:
    """A path that is none."""

    def __init__(self, path: object) -> None:
        self._path = path

    def __fspath__(self) -> Any:
        if isinstance(self._path, Exception):
            raise self._path
        return self._path


@pytest.mark.parametrize("method", ["read", "seek", "tell", "seekable"])
def test_files_with_a_bug(method: str) -> None:
    """What a user's own file raises is an InvalidRequestError that says so."""
    file = Broken(CLIP)
    file.broken = method
    with pytest.raises(InvalidRequestError, match=method) as caught:
        Source.open("video", file)
    assert isinstance(caught.value.__cause__, LookupError)


@pytest.mark.parametrize("method", ["read", "seek"])
def test_files_that_break_later(method: str) -> None:
    """What it raises during the upload is an UploadError."""
    file = Broken(CLIP)
    source = Source.open("video", file)
    file.broken = method
    with pytest.raises(UploadError, match=method) as caught:
        content(source)
    assert isinstance(caught.value.__cause__, LookupError)


@pytest.mark.parametrize("path", [b"clip.mp4", 7, LookupError("path")], ids=repr)
def test_paths_that_are_none(path: object) -> None:
    """A path that is bytes, no path at all, or a bug is refused by name."""
    with pytest.raises(InvalidRequestError, match="cannot be read"):
        Source.open("video", NoPath(path))


def test_a_multipart_body(clip: Path) -> None:
    """The body has the announced length, one part with the exact type, and reads twice."""
    body = MultipartFile(Source.open("video", clip))
    data = b"".join(body.chunks())
    boundary = body.content_type.removeprefix("multipart/form-data; boundary=").encode()
    assert len(data) == body.length
    assert data == b"".join(body.chunks())
    assert data.startswith(
        b"--" + boundary + b'\r\nContent-Disposition: form-data; name="file"; filename="clip.mp4"'
        b"\r\nContent-Type: video/mp4\r\n\r\n\x00"
    )
    assert data.endswith(CLIP + b"\r\n--" + boundary + b"--\r\n")
    assert MultipartFile(Source.open("video", clip)).content_type != body.content_type


def test_a_file_name_cannot_add_fields(tmp_path: Path) -> None:
    """Quotes and line ends in a file's name are escaped; what is no text is replaced."""
    name = b'a"\r\nX-Evil: 1\r\n\xff.mp4'
    path = os.path.join(os.fsencode(tmp_path), name)  # noqa: PTH118 - pathlib has no bytes
    with open(path, "wb") as file:  # noqa: PTH123 - as above
        file.write(CLIP)
    body = MultipartFile(Source.open("video", os.fsdecode(path)))
    head = next(iter(body.chunks()))
    assert b'filename="a%22%0D%0AX-Evil: 1%0D%0A?.mp4"' in head
    assert head.count(b"\r\n") == 4
