"""Saving results: a partial file beside the final one, then one rename.

A file has its final name only when it is whole and on disk. Until then its bytes are in
``<name>.part``, under a lock; a second process that saves to the same name uses a part of its own.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import sys
import weakref
from contextlib import suppress
from pathlib import Path
from typing import IO, Final, NamedTuple

from krea_aleph._files import EXTENSIONS, extension, looks_like_a_page, sniff
from krea_aleph.errors import DownloadError, InvalidRequestError
from krea_aleph.models import Saved

if sys.platform != "win32":  # pragma: no branch - another system
    import fcntl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from krea_aleph.models import Exists, Job, StrPath

# Aleph's results are seconds long; nothing honest comes near this.
LARGEST_RESULT_BYTES: Final = 4 * 2**30
_HEAD_BYTES: Final = 4096
_PIECE_BYTES: Final = 2**20
_CONTENT_RANGE: Final = re.compile(r"bytes ([0-9]{1,19})-[0-9]+/([0-9]{1,19}|\*)")
# An id is the server's: what could mean more than a name on some system is replaced.
_NO_NAME: Final = re.compile(r"[^A-Za-z0-9._-]")
_IDENTITY: Final = "identity"
# What is checked before a job has an id, and how long the name of a partial file can become.
_ANY_ID: Final = "0" * 36
_LONGEST_PART_ENDING: Final = "-99.00000000.part"
_OK, _PARTIAL, _NO_SUCH_RANGE = 200, 206, 416


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
        if exists not in ("error", "replace", "keep"):
            raise InvalidRequestError("exists", f"{exists!r} is none of 'error', 'replace', 'keep'")
        text = _path_text(output)
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
        self.refuse_existing()

    def refuse_existing(self, job: Job | None = None) -> None:
        """Stop before anything is paid or fetched for a name that is taken.

        Raises:
            InvalidRequestError: The file exists, and ``exists`` is "error".
        """
        path = self.existing(job)
        if path is not None and self.exists == "error":
            raise InvalidRequestError(
                "output",
                f"{str(path)!r} exists",
                hint='Use another name, exists="replace" or exists="keep".',
            )

    def existing(self, job: Job | None = None) -> Path | None:
        """Return the file that would be in the way, if it is there."""
        if self.name is not None:
            path = self.folder / self.name
            return path if os.path.lexists(path) else None
        paths = [self.folder / (self.stem(job) + ending) for ending in EXTENSIONS] if job else []
        return next(filter(os.path.lexists, paths), None)

    def stem(self, job: Job) -> str:
        """Return what the names of a job's files begin with."""
        return self.name or _NO_NAME.sub("_", job.id)

    def path(self, job: Job, index: int, media_type: str | None) -> Path:
        """Return the final path of one of a job's results, the first having index 0."""
        name = self.name or self.stem(job) + extension(media_type)
        if index:
            base = Path(name)
            name = f"{base.stem}-{index + 1}{base.suffix}"
        return self.folder / name


class PartFile:
    """A file that is being filled: the sink of one download, which may take several tries."""

    def __init__(self, path: Path, url: str) -> None:
        self._url = url
        self.path, self._file = _locked(path)
        self._size = 0
        self._expected: int | None = None
        self._etag: str | None = None
        self._taken = False
        self._note = ""
        # Removes it, unless it is finished. A task that is cancelled may never get to see the file
        # that its worker thread has opened, and then this happens by itself.
        self.discard = weakref.finalize(self, _remove, self.path, self._file)

    def resume_headers(self) -> dict[str, str]:
        """Return the headers that ask for the rest.

        Only a strong ETag proves that the rest belongs to what is there; without one the next try
        begins again.
        """
        if not self._size or self._etag is None:
            return {}
        return {"range": f"bytes={self._size}-", "if-range": self._etag}

    @property
    def whole(self) -> bool:
        """Whether everything that the last answer announced is there."""
        return self._taken and self._size > 0 and self._expected in {None, self._size}

    @property
    def progress(self) -> str:
        """How far it is, in words."""
        return f"{self._size} of {self._expected or 'unknown'} bytes{self._note}"

    def begin(self, status: int, headers: Mapping[str, str]) -> bool:
        """Take note of the answer, and say whether its body is wanted.

        Raises:
            DownloadError: The result is absurdly large, or the disk does not let us begin again.
        """
        encoding = headers.get("content-encoding") or _IDENTITY
        self._note = "" if encoding == _IDENTITY else f", encoded as {encoding[:40]!r}"
        self._taken = encoding == _IDENTITY and self._takes(status, headers)
        if not self._taken and status in {_OK, _PARTIAL, _NO_SUCH_RANGE}:
            self._etag = None  # the next try begins again
        self._check_size(self._expected or 0)
        return self._taken

    def _takes(self, status: int, headers: Mapping[str, str]) -> bool:
        if status != _OK:
            return status == _PARTIAL and self._continues(headers)
        self._restart()
        length = headers.get("content-length", "")
        self._expected = int(length) if length.isascii() and length.isdigit() else None
        etag = headers.get("etag", "")
        self._etag = etag if etag.startswith('"') else None
        return True

    def _continues(self, headers: Mapping[str, str]) -> bool:
        """Say whether an answer is the rest that was asked for, and of the same file."""
        found = _CONTENT_RANGE.fullmatch(headers.get("content-range", ""))
        if found is None or not self.resume_headers() or int(found[1]) != self._size:
            return False
        total = self._expected if found[2] == "*" else int(found[2])
        if self._expected not in {None, total} or headers.get("etag", self._etag) != self._etag:
            return False
        self._expected = total
        return True

    def write(self, data: bytes) -> None:
        """Append a piece.

        Raises:
            DownloadError: The disk is full, or the result is absurdly large.
        """
        self._check_size(self._size + len(data))
        try:
            self._file.write(data)
        except OSError as error:
            raise self._failed(f"writing to {self.path} failed: {error.strerror}") from error
        self._size += len(data)

    def finish(self, target: Target, job: Job, index: int) -> Saved:
        """Give the file its final name and say what it is.

        Raises:
            DownloadError: It is no media file, or could not be finished.
        """
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            media_type = self._checked_type()
            final = target.path(job, index, media_type)
            digest = _digest(self._file)
            self._rename(final, target.exists)
        except OSError as error:
            raise self._failed(f"saving {self.path} failed: {error.strerror}") from error
        return Saved(
            path=final,
            paths=(final,),
            media_type=media_type or "application/octet-stream",
            size_bytes=self._size,
            sha256=digest,
            job=job,
        )

    def _rename(self, final: Path, exists: Exists) -> None:
        if exists == "replace" or not _link(self.path, final):
            self.path.replace(final)
        self.discard.detach()
        self._file.close()
        _sync_folder(final.parent)

    def _restart(self) -> None:
        try:
            self._file.seek(0)
            self._file.truncate()
        except OSError as error:
            raise self._failed(f"writing to {self.path} failed: {error.strerror}") from error
        self._size = 0

    def _checked_type(self) -> str | None:
        self._file.seek(0)
        head = self._file.read(_HEAD_BYTES)
        if looks_like_a_page(head):
            raise self._failed("the output is a page of text, not a media file")
        return sniff(head)

    def _check_size(self, size: int) -> None:
        if size > LARGEST_RESULT_BYTES:
            raise self._failed(f"the output has more than {LARGEST_RESULT_BYTES:,} bytes")

    def _failed(self, message: str) -> DownloadError:
        return DownloadError(f"{message}.", url=self._url)


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


def part_for(target: Target, job: Job, index: int, url: str) -> PartFile:
    """Open the partial file for one result.

    Raises:
        DownloadError: It cannot be written.
    """
    suffix = f"-{index + 1}" if index else ""
    path = target.folder / f"{target.stem(job)}{suffix}.part"
    try:
        return PartFile(path, url)
    except OSError as error:
        message = f"{path} cannot be written: {error.strerror}."
        raise DownloadError(message, url=url, job_id=job.id) from error


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


def _link(part: Path, final: Path) -> bool:
    """Give a file its final name unless it is taken; say no where the system has no links.

    Unlike a rename, a link fails when somebody else has made the file meanwhile.

    Raises:
        FileExistsError: The name is taken.
    """
    try:
        os.link(part, final)
    except FileExistsError:
        raise
    except OSError:
        if os.path.lexists(final):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from None
        return False
    part.unlink()
    return True


def _locked(path: Path) -> tuple[Path, IO[bytes]]:
    """Open and lock a partial file, or one of our own where another process holds it."""
    file = path.open("a+b")
    if _lock(file) and _still_at(path, file):
        return path, file
    file.close()
    own = path.with_name(f"{path.stem}.{secrets.token_hex(4)}.part")
    return own, own.open("x+b")


def _lock(file: IO[bytes]) -> bool:
    if sys.platform == "win32":  # pragma: no cover - another system
        return True  # there, a file that another process has open cannot be replaced anyway
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _still_at(path: Path, file: IO[bytes]) -> bool:
    """Whether it has kept its name: who held the lock before may have made it a final file."""
    try:
        return os.path.samestat(path.lstat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def _remove(path: Path, file: IO[bytes]) -> None:
    with suppress(OSError):
        path.unlink()
    with suppress(OSError):  # bytes that never reached a full disk
        file.close()


def _digest(file: IO[bytes]) -> str:
    file.seek(0)
    digest = hashlib.sha256()
    while piece := file.read(_PIECE_BYTES):
        digest.update(piece)
    return digest.hexdigest()


def _sync_folder(folder: Path) -> None:
    """Make the new name itself durable, where the system can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
