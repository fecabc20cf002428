"""Saving results: where they go, and the file that a download fills.

A file has its final name only when it is whole and on disk. Until then its bytes are in
``<name>.part``, which `_parts` looks after.
"""

from __future__ import annotations

import hashlib
import os
import re
import weakref
from pathlib import Path
from typing import IO, Any, Final, NamedTuple, Protocol, TypeVar

from krea_aleph._files import EXTENSIONS, check_path, extension, is_object, looks_like_text, sniff
from krea_aleph.errors import DownloadError, InvalidRequestError
from krea_aleph.models import Saved

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from krea_aleph._parts import Part, Whole
    from krea_aleph.models import BucketAccess, Exists, Job, Place, StrPath

T = TypeVar("T")

# Aleph's results are seconds long; nothing honest comes near this.
LARGEST_RESULT_BYTES: Final = 4 * 2**30
_HEAD_BYTES: Final = 4096
_PIECE_BYTES: Final = 2**20
_CONTENT_RANGE: Final = re.compile(r"bytes ([0-9]{1,19})-[0-9]+/([0-9]{1,19}|\*)")
_LONGEST_LENGTH: Final = 19  # digits
# An id is the server's: what could mean more than a name on some system is replaced.
_NO_NAME: Final = re.compile(r"[^A-Za-z0-9._-]")
_IDENTITY: Final = "identity"
# What is checked before a job has an id, and how long the name of a partial file can become.
_ANY_ID: Final = "0" * 36
_LONGEST_PART_ENDING: Final = "-99.00000000.part"
_OK, _PARTIAL, _NO_SUCH_RANGE = 200, 206, 416


class Filling(Protocol):
    """What a download is written to: a `_parts.Part`, or one in a bucket."""

    path: Any
    whole: Whole
    size: int

    def restart(self, whole: Whole) -> None:
        """Begin again with nothing, and note what it is to become."""
        ...

    def append(self, data: bytes) -> None:
        """Write more."""
        ...

    def head(self, size: int) -> bytes:
        """Return its first bytes."""
        ...

    def sha256(self) -> str:
        """Return what it hashes to so far, in hexadecimal."""
        ...

    def intact(self) -> bool:
        """Whether it hashes to what the host has announced, if it has announced anything."""
        ...

    def publish(self, final: Any, exists: Exists) -> None:
        """Give it its final name."""
        ...

    def leave(self) -> Path | None:
        """Let go of it: keep it, and say where, if it can be taken up again; else remove it."""
        ...


class Destination(Protocol):
    """Where results go: a `Target` on disk, or one in a bucket, which has places of its own."""

    @property
    def exists(self) -> Exists:
        """What to do where a result is there already."""
        ...

    def standing(self, job: Job | None = None) -> Sequence[Any]:
        """Return for each result what has its name already, if there is anything."""
        ...

    def keep(self, path: Any, job: Job | None) -> Saved:
        """Describe what was there already."""
        ...

    def path(self, job: Job, index: int, media_type: str | None) -> Any:
        """Return the final place of one of a job's results, the first having index 0."""
        ...

    def part_base(self, job: Job, index: int) -> Any:
        """Return what to call a result before its kind is known."""
        ...

    def part(self, job: Job, index: int) -> Filling:
        """Begin one of a job's results."""
        ...

    def tidy(self, job: Job, index: int) -> None:
        """Remove what other downloads of a result have left."""
        ...


class Target(NamedTuple):
    """Where results go: into a folder under the job's id, or to one exact name and its siblings."""

    folder: Path
    name: str | None
    exists: Exists

    @classmethod
    def checked(cls, output: StrPath, exists: Exists) -> Target:
        """Return the target that an argument means.

        Raises:
            InvalidRequestError: Nothing could be saved there; the text says why.
        """
        check_exists(exists)
        text = _path_text(output)
        check_path("output", text)
        path = Path(text)
        is_folder = _is_folder(path) or text.endswith((os.sep, "/"))
        target = cls(path, None, exists) if is_folder else cls(path.parent, path.name, exists)
        target.check()
        return target

    def check(self) -> None:
        """Refuse a folder that nothing can be saved in, and a name that is taken."""
        _check_usable(self.folder, self.folder)
        if not _is_folder(self.folder):
            raise InvalidRequestError(
                "output", f"the folder {str(self.folder)!r} does not exist", hint="Make it first."
            )
        if not os.access(self.folder, os.W_OK | os.X_OK):
            raise InvalidRequestError("output", f"the folder {str(self.folder)!r} is not writable")
        name = f"{self.name or _ANY_ID}{_LONGEST_PART_ENDING}"
        _check_usable(self.folder / name, self.folder / (self.name or ""))
        self.standing()

    def standing(self, job: Job | None = None) -> list[Path | None]:
        """Return for each result the file that has its name already, if there is one.

        Before there is a job, only the first result of an exact name can be looked for.

        Raises:
            InvalidRequestError: One exists, and ``exists`` is "error".
        """
        paths = [self._standing(job, index) for index in range(len(job.results) if job else 1)]
        if self.exists == "error":
            taken(next(filter(None, paths), None))
        return paths

    def _standing(self, job: Job | None, index: int) -> Path | None:
        if self.name is not None:
            names = [numbered(self.name, index)]
        else:
            endings = EXTENSIONS if job else ()
            names = [numbered(self.stem(job) + ending, index) for ending in endings]
        return next((path for name in names if os.path.lexists(path := self.folder / name)), None)

    def stem(self, job: Job | None) -> str:
        """Return what the names of a job's files begin with."""
        return self.name or file_name(job.id if job else _ANY_ID)

    def path(self, job: Job, index: int, media_type: str | None) -> Path:
        """Return the final path of one of a job's results, the first having index 0."""
        return self.folder / numbered(self.name or file_name(job.id, media_type), index)

    def keep(self, path: Path, job: Job | None) -> Saved:
        """Describe a file that was there already.

        Raises:
            InvalidRequestError: It is no file that can be read.
        """
        return keep(path, job)

    def part(self, job: Job, index: int) -> Part:
        """Open the partial file for one result, the one that an earlier try has left if possible.

        Raises:
            OSError: It cannot be written.
        """
        from krea_aleph._parts import Owner, Part  # noqa: PLC0415 - only downloads need it

        return Part.open(self.part_base(job, index), Owner(job.id, index))

    def tidy(self, job: Job, index: int) -> None:
        """Remove the partial files of a result that nobody holds."""
        from krea_aleph._parts import sweep  # noqa: PLC0415 - as above

        sweep(self.part_base(job, index))

    def part_base(self, job: Job, index: int) -> Path:
        """Return what the names of a result's partial files begin with."""
        suffix = f"-{index + 1}" if index else ""
        return self.folder / f"{self.stem(job)}{suffix}"


class PartFile:
    """A file that is being filled: the sink of one download, which may take several tries.

    Attributes:
        path: Where the bytes are until it is finished.
    """

    def __init__(self, part: Filling, url: str, job_id: str) -> None:
        self.path = part.path
        self._part = part
        self._url = url
        self._job_id = job_id
        # What an earlier process has left may lack nothing but its name.
        self._taken = bool(part.size) and part.size == part.whole.length
        self._note = ""
        # Keeps or removes it, unless it is finished. A task that is cancelled may never get to see
        # the file that its worker thread has opened, and then this happens by itself.
        self.leave = weakref.finalize(self, part.leave)

    def resume_headers(self) -> dict[str, str]:
        """Return the headers that ask for the rest.

        Only a strong ETag proves that the rest belongs to what is there; without one the next try
        begins again.
        """
        size, etag = self._part.size, self._part.whole.etag
        return {"range": f"bytes={size}-", "if-range": etag} if size and etag is not None else {}

    @property
    def whole(self) -> bool:
        """Whether everything that the last answer announced is there."""
        return self._taken and self._part.size > 0 and self._part.whole.length in {None, self._size}

    @property
    def _size(self) -> int:
        return self._part.size

    @property
    def extent(self) -> tuple[int, int | None]:
        """How many bytes are there, and how many there will be, if that is known."""
        return self._size, self._part.whole.length

    @property
    def progress(self) -> str:
        """How far it is, in words."""
        return f"{self._size} of {self._part.whole.length or 'unknown'} bytes{self._note}"

    def begin(self, status: int, headers: Mapping[str, str]) -> bool:
        """Take note of the answer, and say whether its body is wanted.

        Raises:
            DownloadError: The result is absurdly large, or the disk does not let us begin again.
        """
        encoding = headers.get("content-encoding", "").strip().lower() or _IDENTITY
        self._note = "" if encoding == _IDENTITY else f", encoded as {encoding[:40]!r}"
        self._taken = encoding == _IDENTITY and self._takes(status, headers)
        if not self._taken and status in {_OK, _PARTIAL, _NO_SUCH_RANGE}:
            self._begin_anew_next()
        self._check_size(self._part.whole.length or 0)
        return self._taken

    def _takes(self, status: int, headers: Mapping[str, str]) -> bool:
        if status != _OK:
            return status == _PARTIAL and self._continues(headers)
        from krea_aleph._digests import announced  # noqa: PLC0415 - only downloads need it
        from krea_aleph._parts import Whole, strong  # noqa: PLC0415 - likewise

        length = headers.get("content-length", "")
        number = length.isascii() and length.isdigit() and len(length) <= _LONGEST_LENGTH
        whole = Whole(
            etag=strong(headers.get("etag")),
            length=int(length) if number else None,
            digest=announced(headers, whole=True),
        )
        try:
            self._part.restart(whole)
        except OSError as error:
            raise self._failed(f"writing to {self.path} failed: {error.strerror}") from error
        return True

    def _continues(self, headers: Mapping[str, str]) -> bool:
        """Say whether an answer is the rest that was asked for, and of the same file."""
        from krea_aleph._digests import announced  # noqa: PLC0415 - as above

        whole = self._part.whole
        found = _CONTENT_RANGE.fullmatch(headers.get("content-range", ""))
        if found is None or not self.resume_headers() or int(found[1]) != self._size:
            return False
        total = whole.length if found[2] == "*" else int(found[2])
        if whole.length not in {None, total} or headers.get("etag", whole.etag) != whole.etag:
            return False
        digest = announced(headers, whole=False) or whole.digest
        self._part.whole = whole._replace(length=total, digest=digest)
        return True

    def write(self, data: bytes) -> None:
        """Append a piece.

        Raises:
            DownloadError: The disk is full, or the result is absurdly large.
        """
        self._check_size(self._size + len(data))
        try:
            self._part.append(data)
        except OSError as error:
            raise self._failed(f"writing to {self.path} failed: {error.strerror}") from error

    def accept(self) -> bool:
        """Say whether it hashes to what its host has announced; if not, the next try begins anew.

        Raises:
            DownloadError: It is text, or cannot be read.
        """
        if looks_like_text(self._reading(self._head)):
            self._begin_anew_next()
            raise self._failed("the output is text, not a media file")
        intact = self._reading(self._part.intact)
        if not intact:
            self._begin_anew_next()
            self._taken = False
            self._note = ", which do not hash to what the host announced"
        return intact

    def finish(self, target: Destination, job: Job, index: int) -> Saved:
        """Give the file its final name and say what it is.

        Raises:
            DownloadError: It could not be finished.
        """
        media_type = sniff(self._reading(self._head))
        final: Any = target.path(job, index, media_type)
        try:
            self._part.publish(final, target.exists)
        except FileExistsError as error:
            if target.exists == "keep":
                self._begin_anew_next()
                return target.keep(final, job)
            words = f"{str(final)!r} has been made by somebody else meanwhile"
            raise self._failed(words) from error
        except OSError as error:
            raise self._failed(f"saving {self.path} failed: {error.strerror}") from error
        target.tidy(job, index)
        return Saved(
            path=final,
            paths=(final,),
            media_type=media_type or "application/octet-stream",
            size_bytes=self._size,
            sha256=self._part.sha256(),
            job=job,
        )

    def _head(self) -> bytes:
        return self._part.head(_HEAD_BYTES)

    def _reading(self, read: Callable[[], T]) -> T:
        try:
            return read()
        except OSError as error:
            raise self._failed(f"reading {self.path} failed: {error.strerror}") from error

    def _begin_anew_next(self) -> None:
        """Make sure that what is there is neither continued nor kept."""
        self._part.whole = self._part.whole._replace(etag=None)

    def _check_size(self, size: int) -> None:
        if size > LARGEST_RESULT_BYTES:
            self._begin_anew_next()
            raise self._failed(f"the output has more than {LARGEST_RESULT_BYTES:,} bytes")

    def _failed(self, message: str) -> DownloadError:
        return DownloadError(f"{message}.", url=self._url, job_id=self._job_id)


def keep(path: Path, job: Job | None) -> Saved:
    """Describe a file that was there already.

    Raises:
        InvalidRequestError: It is no file that can be read.
    """
    try:
        if not path.is_file():
            raise InvalidRequestError("output", f"{str(path)!r} exists and is no regular file")
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
            size, digest = os.fstat(file.fileno()).st_size, _digest(file)
    except OSError as error:
        problem = f"{str(path)!r} exists and cannot be read: {error.strerror}"
        raise InvalidRequestError("output", problem) from error
    return Saved(path, (path,), sniff(head) or "application/octet-stream", size, digest, job)


def together(saved: Sequence[Saved]) -> Saved:
    """Return the primary file with the paths of all."""
    first = saved[0]
    paths = tuple(one.path for one in saved)
    return Saved(first.path, paths, first.media_type, first.size_bytes, first.sha256, first.job)


def part_for(target: Destination, job: Job, index: int, url: str) -> PartFile:
    """Begin to fill what one result becomes, on disk or in a bucket.

    Raises:
        DownloadError: It cannot be written.
    """
    try:
        return PartFile(target.part(job, index), url, job.id)
    except OSError as error:
        message = f"{target.part_base(job, index)}.part cannot be written: {error.strerror}."
        raise DownloadError(message, url=url, job_id=job.id) from error


def target_of(output: StrPath, exists: Exists, storage: BucketAccess | None) -> Destination:
    """Return where results go. This blocks, briefly.

    Raises:
        InvalidRequestError: Nothing could be saved there; the text says why.
    """
    if not is_object(output):
        return Target.checked(output, exists)
    from krea_aleph._objects import ObjectTarget  # noqa: PLC0415 - few programs use buckets

    return ObjectTarget.checked(output, exists, storage)


def check_exists(exists: object) -> None:
    """Check what is to be done where a result is there already.

    Raises:
        InvalidRequestError: It is none of what can be done.
    """
    if exists not in ("error", "replace", "keep"):
        raise InvalidRequestError("exists", f"{exists!r} is none of 'error', 'replace', 'keep'")


def taken(place: Place | None) -> None:
    """Refuse a name that is taken.

    Raises:
        InvalidRequestError: Something is there.
    """
    if place is not None:
        raise InvalidRequestError(
            "output",
            f"{str(place)!r} exists",
            hint='Use another name, exists="replace" or exists="keep".',
        )


def file_name(job_id: str, media_type: str | None = "") -> str:
    """Return the name of a job's result; without an ending if its kind is an empty text."""
    ending = "" if media_type == "" else extension(media_type)
    return _NO_NAME.sub("_", job_id) + ending


def numbered(name: str, index: int) -> str:
    """Return the name of the so-manieth result, the first having index 0."""
    base = Path(name)
    return f"{base.stem}-{index + 1}{base.suffix}" if index else name


def _path_text(output: object) -> str:
    try:
        text: object = os.fspath(output)  # type: ignore[call-overload]  # whatever it is
    except TypeError:
        text = None
    if not isinstance(text, str):
        raise InvalidRequestError("output", f"{output!r} is no path")
    if not text:
        raise InvalidRequestError("output", "it is empty", hint='Use "." for the current folder.')
    return text


def _check_usable(path: Path, shown: Path) -> None:
    """Refuse a path that nothing can be at; that nothing is there yet is fine."""
    try:
        path.lstat()
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        words = getattr(error, "strerror", None) or str(error)
        raise InvalidRequestError("output", f"{str(shown)!r} cannot be used: {words}") from error


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):  # a name that is too long, for instance
        return False


def _digest(file: IO[bytes]) -> str:
    file.seek(0)
    digest = hashlib.sha256()
    while piece := file.read(_PIECE_BYTES):
        digest.update(piece)
    return digest.hexdigest()
