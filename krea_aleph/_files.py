"""Opening what is uploaded, and telling by its first bytes what a file is."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import stat
import tempfile
import threading
import time
import weakref
from collections import OrderedDict
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple, TypeGuard, cast

from krea_aleph.errors import InvalidRequestError, UploadError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from krea_aleph.models import StrPath

# Krea documents 75 MB for an upload, and these kinds (docs.krea.ai, page on assets).
LARGEST_UPLOAD_BYTES: Final = 75_000_000
UPLOAD_KINDS: Final = frozenset(
    {
        "image/jpeg",
        "image/png",
        "image/webp",
        "image/heic",
        "video/mp4",
        "video/quicktime",
        "video/webm",
        "model/gltf-binary",
        "audio/wav",
        "audio/mpeg",
    }
)
_PIECE_BYTES: Final = 256 * 1024
_HEAD_BYTES: Final = 4096
_SMALL_BYTES: Final = 2**20
# The coarsest clock of a file system in use, and a margin.
_STEP_SECONDS: Final = 3.0

# ISO base media brands: HEIC pictures and QuickTime; every other brand is an mp4 of some sort.
_HEIC_BRANDS: Final = frozenset({b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1"})
# Atoms that an old QuickTime file without a brand may begin with.
_QUICKTIME_ATOMS: Final = frozenset({b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"})
_OBJECT: Final = re.compile(r"(?:s3|gs|az)://", re.IGNORECASE)
_EATEN: Final = re.compile(r"(?:s3|gs|az):[/\\](?![/\\])", re.IGNORECASE)
_MPEG_AUDIO: Final = re.compile(rb"ID3|\xff[\xe2\xe3\xf2\xf3\xfa\xfb]")
_MARKUP: Final = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:<(?:!doctype|!--|html|head|body|\?xml|error)|\{\s*\"|(?<=\s)\Z)",
    re.IGNORECASE,
)
_MOST_BYTES_OF_A_LETTER: Final = 4
# What text of two bytes a character begins with.
_WIDE_MARKS: Final = (b"\xff\xfe", b"\xfe\xff")
_EXTENSIONS: Final = {
    "video/mp4": ".mp4",
    "video/quicktime": ".mov",
    "video/webm": ".webm",
    "image/jpeg": ".jpg",
    "image/png": ".png",
    "image/webp": ".webp",
    "image/heic": ".heic",
    "model/gltf-binary": ".glb",
    "audio/wav": ".wav",
    "audio/mpeg": ".mp3",
}
_OTHER_EXTENSION: Final = ".bin"
# All that results are saved with, videos first.
EXTENSIONS: Final = (*_EXTENSIONS.values(), _OTHER_EXTENSION)


def is_object(value: object) -> TypeGuard[str]:
    """Whether a value is the URL of something in a bucket."""
    return isinstance(value, str) and _OBJECT.match(value) is not None


def check_path(field: str, path: str) -> None:
    """Refuse what was the URL of an object before it was made a path, which ate a slash.

    Raises:
        InvalidRequestError: It was.
    """
    if _EATEN.match(path):
        raise InvalidRequestError(
            field,
            f"{path[:200]!r} is no path, and no URL of an object either",
            hint="Give s3://bucket/key as text: a Path makes one slash of two.",
        )


def sniff(head: bytes) -> str | None:
    """Return the media type that a file's first bytes show, or None if they show none we know.

    Extensions and declared types are not believed: a provider behind Krea rejects a file whose
    type does not fit its bytes, and an error page saved as a video helps nobody.
    """
    if head.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if head.startswith(b"RIFF"):
        return {b"WEBP": "image/webp", b"WAVE": "audio/wav"}.get(head[8:12])
    if head.startswith(b"glTF"):
        return "model/gltf-binary"
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return "video/webm" if b"webm" in head[:64] else None
    return _sniff_boxes(head) or ("audio/mpeg" if _MPEG_AUDIO.match(head) else None)


def _sniff_boxes(head: bytes) -> str | None:
    kind, brand = head[4:8], head[8:12]
    if kind == b"ftyp":
        if brand in _HEIC_BRANDS:
            return "image/heic"
        return "video/quicktime" if brand == b"qt  " else "video/mp4"
    return "video/quicktime" if kind in _QUICKTIME_ATOMS else None


def kinds_taken(field: str) -> str:
    """Say which kinds of file a field takes."""
    if field == "video":
        return "Krea takes MP4, MOV and WebM."
    return "Krea takes MP4, MOV, WebM, JPEG, PNG, WebP, HEIC, GLB, WAV and MP3."


def looks_like_text(head: bytes) -> bool:
    """Whether a file begins like a page, a document or a message: an error, not a result."""
    if head.startswith(_WIDE_MARKS):
        head = head[2:].replace(b"\0", b"")
    return _MARKUP.match(head) is not None or (sniff(head) is None and _is_plain_text(head))


def _is_plain_text(head: bytes) -> bool:
    """Whether bytes, which may end within a letter, are nothing but what is written in lines."""
    text = head.decode(errors="ignore")
    whole = text and len(head) - len(text.encode()) < _MOST_BYTES_OF_A_LETTER
    return bool(whole) and all(letter.isprintable() or letter.isspace() for letter in text)


def extension(media_type: str | None) -> str:
    """Return the usual extension for a media type."""
    return _EXTENSIONS.get(media_type or "", _OTHER_EXTENSION)


class _Stamp(NamedTuple):
    """What tells whether a file on disk is still the same, without reading it."""

    device: int
    number: int
    size_bytes: int
    changed_ns: int

    @classmethod
    def of(cls, file: BinaryIO) -> _Stamp:
        """Take the stamp of an open file."""
        facts = os.fstat(file.fileno())
        return cls(facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns)

    @property
    def telling(self) -> bool:
        """Whether a change from now on would show: file systems count time in steps."""
        return time.time() - self.changed_ns / 1e9 > _STEP_SECONDS


# The digests of files that have been read: one clip may be asked for with many prompts.
_DIGESTS: Final[OrderedDict[_Stamp, str]] = OrderedDict()
_MOST_DIGESTS: Final = 1024
_REMEMBERING: Final = threading.Lock()


def _known(stamp: _Stamp | None) -> str | None:
    with _REMEMBERING:
        return None if stamp is None else _DIGESTS.get(stamp)


def _remember(stamp: _Stamp | None, digest: str) -> None:
    with _REMEMBERING:
        if stamp is not None:
            _DIGESTS[stamp] = digest
        if len(_DIGESTS) > _MOST_DIGESTS:
            _DIGESTS.popitem(last=False)


class Source:
    """A file that is to be uploaded: inspected once, read as often as needed.

    Attributes:
        name: Its name, without folders.
        media_type: What its first bytes show it to be.
        size_bytes: Its size.
        signed: Returns an address that Krea can fetch it from itself; None where it is uploaded.
    """

    signed: Callable[[bool], str] | None = None

    def __init__(
        self, field: str, name: str, reader: Callable[[], BinaryIO], *, on_disk: bool = False
    ) -> None:
        """Inspect it.

        Args:
            field: The argument that it was given for.
            name: Its name, without folders.
            reader: Opens it at its start.
            on_disk: Whether that is a file on disk, which has a stamp.
        """
        self._field = field
        self._reader = reader
        self._stamp: _Stamp | None = None
        self._sha256 = ""
        self.name = name
        with reader() as file:
            self.size_bytes = check_size(field, name, _measured(file))
            head = file.read(_HEAD_BYTES)
            self.media_type = recognised(field, name, head)
            if on_disk and (stamp := _Stamp.of(file)).telling:
                self._stamp = stamp
            else:
                self._sha256 = _digest(head, file)

    @property
    def hashed(self) -> str | None:
        """The SHA-256 of its content, if it has been needed yet."""
        return self._sha256 or None

    @property
    def sha256(self) -> str:
        """The SHA-256 of its content, in hexadecimal; this may read it.

        Raises:
            UploadError: It is no longer what was inspected, or cannot be read.
        """
        if not self._sha256:
            self._sha256 = _known(self._stamp) or self._read()
            _remember(self._stamp, self._sha256)
        return self._sha256

    def _read(self) -> str:
        found = hashlib.sha256()
        for piece in self.chunks():
            found.update(piece)
        return found.hexdigest()

    @classmethod
    def open(cls, field: str, file: StrPath | BinaryIO) -> Source:
        """Inspect a path or an open binary file.

        Raises:
            InvalidRequestError: It cannot be uploaded; the text says why.
        """
        try:
            if isinstance(file, (str, os.PathLike)):
                return cls._from_path(field, file)
            return cls._from_file(field, file)
        except InvalidRequestError:
            raise
        except Exception as error:  # a file or path of the user's own may raise anything
            problem = f"{type(file).__name__} is not a URL, a path, an asset or a readable file"
            if isinstance(file, (str, os.PathLike)):
                problem = f"{str(file)!r} cannot be read"
            raise InvalidRequestError(
                field,
                f"{problem}: {_words(error)}",
                hint="Give a path to a readable file, or an open binary file.",
            ) from error

    @classmethod
    def _from_path(cls, field: str, file: StrPath) -> Source:
        path = Path(os.fspath(file))
        check_path(field, os.fsdecode(path))
        if not stat.S_ISREG(path.stat().st_mode):
            raise InvalidRequestError(field, f"{str(path)!r} is no regular file")
        return cls(field, path.name, lambda: path.open("rb", buffering=0), on_disk=True)

    @classmethod
    def _from_file(cls, field: str, file: BinaryIO) -> Source:
        if not isinstance(file.read(0), bytes):
            raise InvalidRequestError(field, "it is open as text", hint='Open it with "rb".')
        start = file.tell() if file.seekable() else None
        name = getattr(file, "name", None)
        name = Path(name).name if isinstance(name, str) else "upload"
        if start is not None:
            return cls(field, name, lambda: cast("BinaryIO", _Rewound(file, start)))
        return cls._from_stream(field, name, file)

    @classmethod
    def _from_stream(cls, field: str, name: str, stream: BinaryIO) -> Source:
        """Copy a stream that cannot be rewound: it must be measured, and may be sent twice."""
        with ExitStack() as closing:
            spool = closing.enter_context(tempfile.SpooledTemporaryFile(max_size=_SMALL_BYTES))
            copy = cast("BinaryIO", spool)
            _copy(field, stream, copy)
            source = cls(field, name, lambda: cast("BinaryIO", _Rewound(copy, 0)))
            # From here on the copy lives as long as the source.
            weakref.finalize(source, closing.pop_all().close)
        return source

    def chunks(self) -> Iterator[bytes]:
        """Read the content from its start.

        Raises:
            UploadError: It is no longer what was inspected, or cannot be read.
        """
        left, digest = self.size_bytes, None if self._stamp else hashlib.sha256()
        try:
            with self._reader() as file:
                while left > 0 and (piece := file.read(min(left, _PIECE_BYTES))):
                    left -= len(piece)
                    if digest is not None:
                        digest.update(piece)
                    yield piece
                same = left == 0 and not file.read(1) and self._is_the_same(file, digest)
        except Exception as error:  # a file of the user's own may raise anything
            message = f"{self._field}: {self.name!r} could not be read to its end: {_words(error)}."
            raise UploadError(message) from error
        if not same:
            message = f"{self._field}: {self.name!r} has changed since it was checked."
            raise UploadError(message)

    def _is_the_same(self, file: BinaryIO, digest: Any) -> bool:
        if self._stamp is not None:
            return _Stamp.of(file) == self._stamp
        return bool(digest.hexdigest() == self._sha256)


def _measured(file: BinaryIO) -> int:
    begin = file.tell()
    size = file.seek(0, os.SEEK_END) - begin
    file.seek(begin)
    return size


def check_size(field: str, name: str, size: int) -> int:
    """Return the size of what is to be uploaded.

    Raises:
        InvalidRequestError: Krea does not take as much, or there is nothing.
    """
    if size == 0:
        raise InvalidRequestError(field, f"{name!r} is empty")
    if size > LARGEST_UPLOAD_BYTES:
        raise InvalidRequestError(
            field,
            f"{name!r} has {size:,} bytes, more than the {LARGEST_UPLOAD_BYTES:,} that Krea takes",
            hint="Cut or compress it: only the first 5 seconds are used.",
        )
    return size


def recognised(field: str, name: str, head: bytes) -> str:
    """Return the media type of what is to be uploaded.

    Raises:
        InvalidRequestError: Krea does not take it.
    """
    found = sniff(head)
    if found not in UPLOAD_KINDS:
        raise InvalidRequestError(
            field,
            f"{name!r} is of no kind that Krea takes, judged by its first bytes",
            hint=kinds_taken(field),
        )
    return found


class MultipartFile:
    """A source as the one part of a multipart body, streamed.

    The boundary is random: a fixed one would let a file's content end the part and add fields.
    """

    def __init__(self, source: Source) -> None:
        boundary = secrets.token_hex(16)
        self.content_type = f"multipart/form-data; boundary={boundary}"
        self._source = source
        self._before = (
            f"--{boundary}\r\n"
            f'Content-Disposition: form-data; name="file"; filename="{_quoted(source.name)}"\r\n'
            f"Content-Type: {source.media_type}\r\n\r\n"
        ).encode("utf-8", "replace")
        self._after = f"\r\n--{boundary}--\r\n".encode()
        self.length = len(self._before) + source.size_bytes + len(self._after)

    def chunks(self) -> Iterator[bytes]:
        """Read the body from its start."""
        yield self._before
        yield from self._source.chunks()
        yield self._after


class _Rewound:
    """An open file of the user's, rewound to where it stood; leaving it does not close it."""

    def __init__(self, file: BinaryIO, start: int) -> None:
        self._file = file
        self._start = start

    def __enter__(self) -> BinaryIO:
        self._file.seek(self._start)
        return self._file

    def __exit__(self, *_: object) -> None:
        """Leave the user's file open."""


def _copy(field: str, file: BinaryIO, copy: BinaryIO) -> None:
    while piece := file.read(_PIECE_BYTES):
        copy.write(piece)
        if copy.tell() > LARGEST_UPLOAD_BYTES:
            raise InvalidRequestError(field, f"it has more than {LARGEST_UPLOAD_BYTES:,} bytes")


def _words(error: Exception) -> str:
    """Return what an error says; the operating system's words without number and name."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _digest(head: bytes, rest: BinaryIO) -> str:
    digest = hashlib.sha256(head)
    while piece := rest.read(_PIECE_BYTES):
        digest.update(piece)
    return digest.hexdigest()


def _quoted(name: str) -> str:
    """Escape a file name as browsers do in multipart headers."""
    return name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
