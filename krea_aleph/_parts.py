"""The partial file of one download: locked, described by a note beside it, found again later.

Beside ``out.mp4.part`` lies ``out.mp4.part.json``. It says whose result the bytes are, under which
strong ETag they came, how many of them are sure, and what those hash to. A part is taken up again
only if the note is about the same result and the bytes hash to what it says, so whatever happens
to a part (a kill, a power cut, another program that uses the name) can cost time, never a result.

A second process that saves to the same name finds the part locked and takes the next of a few
names, ``out.mp4.2.part``; whoever finishes removes what nobody holds any more.
"""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
import stat
import sys
import threading
from contextlib import ExitStack, suppress
from io import FileIO
from typing import Any, Final, NamedTuple

from krea_aleph._digests import Digest, hasher
from krea_aleph._hashing import Hashing
from krea_aleph._renaming import rename_new

if sys.platform == "win32":  # pragma: no cover - another system
    import msvcrt
else:
    import fcntl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from krea_aleph.models import Exists

_SLOTS: Final = 9
_PIECE_BYTES: Final = 2**20
# A note is written over in place, in one go and at one size, so that it needs no more room later.
_NOTE_BYTES: Final = 900
_NOTE_EVERY: Final = 2**20
# From so many bytes on the disk is asked to begin: at the end there is less to wait for.
_SEND_EVERY: Final = 2**23
_KIND: Final = "krea_aleph part 1"
_STRONG: Final = re.compile(r'"[\x21\x23-\x7e]{0,200}"')
_BEYOND_ANY_END: Final = 2**40
_FLAGS: Final = (
    os.O_RDWR
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_NOFOLLOW", 0)
)
_HELD: Final = frozenset({errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES, errno.EDEADLK})


class _NoLocksError(Exception):
    """The file system knows no locks."""


class Owner(NamedTuple):
    """Whose result it is: the job, and which of its results, the first having number 0."""

    job: str
    result: int


class Whole(NamedTuple):
    """What the host says of the file as a whole.

    Attributes:
        etag: Its strong ETag, without which a part cannot be taken up again.
        length: Its length in bytes.
        digest: What it hashes to.
    """

    etag: str | None = None
    length: int | None = None
    digest: Digest | None = None


class Part:
    """A partial file, open and locked. Any number of threads may use it.

    Attributes:
        path: Where it is.
        whole: What the host says of the whole file.
        size: How many bytes are there.
    """

    def __init__(self, path: Path, file: FileIO, owner: Owner | None) -> None:
        """Take over an open file.

        Args:
            path: Where it is.
            file: The file, locked.
            owner: Whose result it is; None if nobody could find it again.
        """
        self.path = path
        self.whole = Whole()
        self.size = 0
        self._file = file
        self._owner = owner
        self._hashing = Hashing(self._advanced)
        self._noted = 0
        self._sent = 0
        self._open = True
        self._process = os.getpid()
        self._lock = threading.RLock()
        if owner is None or not self._take_up(owner):
            self._forget_note()
            self._empty()

    @classmethod
    def open(cls, base: Path, owner: Owner) -> Part:
        """Open the partial file for a name, or one of our own where that is in use.

        Raises:
            OSError: None can be written.
        """
        for path in _slots(base):
            try:
                file = _opened(path)
            except _NoLocksError:
                break
            if file is not None:
                return cls._of(path, file, owner)
        path = base.with_name(f"{base.name}.{secrets.token_hex(4)}.part")
        return cls._of(path, _created(path, os.O_EXCL), None)

    @classmethod
    def _of(cls, path: Path, file: FileIO, owner: Owner | None) -> Part:
        try:
            return cls(path, file, owner)
        except BaseException:
            file.close()
            raise

    def restart(self, whole: Whole) -> None:
        """Begin again with nothing, and note what it is to become.

        Raises:
            OSError: The disk does not let us.
        """
        with self._lock:
            self._require_open()
            self._empty()
            self.whole = whole
            self._write_note(0, self._hashing.settled())

    def append(self, data: bytes) -> None:
        """Write more.

        Raises:
            OSError: The disk is full, for instance; what could be written counts.
        """
        with self._lock:
            self._require_open()
            view = memoryview(data)
            while view:
                written = self._file.write(view) or 0
                self._hashing.add(view[:written])
                self.size += written
                view = view[written:]
            if self.size - self._sent >= _SEND_EVERY:
                self._send_to_disk()

    def _send_to_disk(self) -> None:
        """Let the disk begin; Linux does so for pages that are said not to be needed soon."""
        if sys.platform == "linux":  # pragma: no branch - another system
            size = self.size - self._sent
            with suppress(OSError):
                os.posix_fadvise(self._file.fileno(), self._sent, size, os.POSIX_FADV_DONTNEED)
        self._sent = self.size

    def head(self, size: int) -> bytes:
        """Return its first bytes."""
        with self._lock:
            self._require_open()
            self._file.seek(0)
            head = self._file.read(size)
            self._file.seek(self.size)
            return head

    def sha256(self) -> str:
        """Return what it hashes to so far, in hexadecimal."""
        digest: str = self._hashing.settled().hexdigest()
        return digest

    def intact(self) -> bool:
        """Whether it hashes to what the host has announced, if it has announced anything."""
        digest = self.whole.digest
        if digest is None:
            return True
        with self._lock:
            self._require_open()
            found = self._hashing.settled()
            if digest.algorithm != found.name:
                found = self._hashed(digest.algorithm, self.size)
                self._file.seek(self.size)
            return found is not None and found.digest() == digest.value

    def publish(self, final: Path, exists: Exists) -> None:
        """Give it its final name, on disk with its content before it has the name.

        Raises:
            FileExistsError: The name is taken, and not to be replaced.
            OSError: It cannot have the name, the disk is full, or somebody has taken it away:
                what is at its path now is another file.
        """
        with self._lock:
            self._require_open()
            self._hashing.settled()
            os.fsync(self._file.fileno())
            if not _still_at(self.path, self._file):
                raise OSError(errno.ESTALE, "it has been removed or replaced meanwhile")
            # While it is locked the note is ours; once the name is free it may be another's.
            self._forget_note()
            self._rename(final, exists)
            self._open = False
            _close(self._file)
        _sync_folder(final.parent)

    def leave(self) -> Path | None:
        """Let go of it: keep it, and say where, if it can be taken up again; else remove it."""
        with self._lock:
            if not self._open:
                return None
            self._open = False
            if os.getpid() != self._process:  # after a fork it is the parent's
                self._file.close()
                return None
            self._hashing.settled()
            ours = _still_at(self.path, self._file)
            kept = ours and self._keepable()
            if not kept and (ours or not os.path.lexists(self.path)):
                self._forget_note()
            if not kept and ours:
                _remove(self.path, self._file)
            _close(self._file)
            return self.path if kept else None

    def _require_open(self) -> None:
        """Refuse to work for a thread that its task has given up."""
        if not self._open:
            raise OSError(errno.EBADF, "it has been closed")

    def _keepable(self) -> bool:
        if self._owner is None or self.whole.etag is None or not self.size:
            return False
        try:
            return self._write_note(self.size, self._hashing.settled())
        except OSError:
            return self._noted > 0

    def _advanced(self, size: int, found: Any) -> None:
        """Take note of how far it is, now and then; the note before is right as well."""
        if size - self._noted >= _NOTE_EVERY:
            with suppress(OSError):
                self._write_note(size, found)

    def _empty(self) -> None:
        self._hashing.settled()
        self._file.seek(0)
        self._file.truncate()
        self._hashing = Hashing(self._advanced)
        self.size = self._noted = self._sent = 0
        self.whole = Whole()

    def _take_up(self, owner: Owner) -> bool:
        """Go on with what is there, if it is a part of the same result and whole so far."""
        note = _read_note(self.path)
        if note is None or note.owner != owner or note.whole.etag is None or not note.size:
            return False
        found = self._hashed("sha256", note.size)
        if found is None or found.hexdigest() != note.sha256:
            return False
        self._file.truncate(note.size)
        self._file.seek(note.size)
        self.whole, self.size, self._noted = note.whole, note.size, note.size
        self._hashing = Hashing(self._advanced, found, note.size)
        return True

    def _hashed(self, algorithm: str, size: int) -> Any:
        """Return a hash of the first bytes; None if there are not so many."""
        found, left = hasher(algorithm), size
        self._file.seek(0)
        while left and (piece := self._file.read(min(left, _PIECE_BYTES))):
            found.update(piece)
            left -= len(piece)
        return None if left else found

    def _write_note(self, size: int, found: Any) -> bool:
        """Write down how far it is; say no where nobody could use that."""
        if self._owner is None:
            return False
        text = _Note(self._owner, self.whole, size, found.hexdigest()).to_json()
        if len(text) > _NOTE_BYTES:
            return False
        note = os.open(_note_path(self.path), _FLAGS | os.O_CREAT, 0o666)
        try:
            if os.write(note, text.ljust(_NOTE_BYTES)) < _NOTE_BYTES:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        finally:
            os.close(note)
        self._noted = size
        return True

    def _forget_note(self) -> None:
        self._noted = 0
        _forget_note(self.path)

    def _rename(self, final: Path, exists: Exists) -> None:
        if sys.platform == "win32":  # pragma: no cover - another system
            self._file.close()  # there, a file that is open keeps its name
        if exists == "replace":
            self.path.replace(final)
        else:
            rename_new(self.path, final)


def strong(etag: str | None) -> str | None:
    """Return an entity tag if it is a strong one, which only names the same bytes."""
    return etag if etag is not None and _STRONG.fullmatch(etag) else None


def sweep(base: Path) -> None:
    """Remove parts of a name that nobody holds: others have finished it since."""
    for path in _slots(base):
        with suppress(OSError, _NoLocksError):
            if _read_note(path) is not None and (file := _opened(path)) is not None:
                _forget_note(path)
                _remove(path, file)
                _close(file)


class _Note(NamedTuple):
    owner: Owner
    whole: Whole
    size: int
    sha256: str

    def to_json(self) -> bytes:
        etag, length, digest = self.whole
        facts = {
            "kind": _KIND,
            "job": self.owner.job,
            "result": self.owner.result,
            "etag": etag,
            "length": length,
            "digest": digest and [digest.algorithm, digest.value.hex()],
            "size": self.size,
            "sha256": self.sha256,
        }
        return json.dumps(facts).encode()

    @classmethod
    def from_json(cls, text: bytes) -> _Note:
        """Return the note that a text is.

        Raises:
            ValueError: It is none; also KeyError and TypeError.
        """
        facts = json.loads(text)
        if facts["kind"] != _KIND:
            raise ValueError(facts["kind"])
        named = facts["digest"]
        digest = named and Digest(str(named[0]), bytes.fromhex(named[1]))
        whole = Whole(strong(facts["etag"]), facts["length"] and int(facts["length"]), digest)
        return cls(
            Owner(facts["job"], facts["result"]), whole, int(facts["size"]), str(facts["sha256"])
        )


def _note_path(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _read_note(part: Path) -> _Note | None:
    """Return what the note of a part says, if there is one of ours."""
    try:
        note = os.open(_note_path(part), _FLAGS)
    except OSError:
        return None
    try:
        return _Note.from_json(os.read(note, _NOTE_BYTES))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    finally:
        os.close(note)


def _forget_note(part: Path) -> None:
    with suppress(OSError):
        _note_path(part).unlink()


def _slots(base: Path) -> Iterator[Path]:
    """Yield the names that parts for a name may have."""
    for number in range(1, _SLOTS + 1):
        infix = f".{number}" if number > 1 else ""
        yield base.with_name(f"{base.name}{infix}.part")


def _opened(path: Path) -> FileIO | None:
    """Open and lock a partial file; say no where somebody else holds it, or it is none.

    Raises:
        OSError: None can be made there.
        _NoLocksError: The file system has no locks.
    """
    try:
        file = _created(path)
    except OSError:
        if os.path.lexists(path):  # a link, a folder, another user's
            return None
        raise
    with ExitStack() as closing:
        closing.callback(file.close)
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode) or not _lock(path, file):
            return None
        if not _still_at(path, file):
            return None
        if os.fstat(file.fileno()).st_nlink > 1:
            # Finished by a process that was killed before it could give up this name: what is
            # written here would be written into a final file.
            _forget_note(path)
            path.unlink()
            return None
        closing.pop_all()
    return file


def _created(path: Path, flags: int = 0) -> FileIO:
    return FileIO(os.open(path, _FLAGS | os.O_CREAT | flags, 0o666), "r+")


def _lock(path: Path, file: FileIO) -> bool:
    """Lock a file unless somebody holds it.

    Raises:
        _NoLocksError: The file system has none.
    """
    try:
        if sys.platform == "win32":  # pragma: no cover - another system
            file.seek(_BEYOND_ANY_END)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _HELD:
            return False
        if not os.fstat(file.fileno()).st_size:
            _remove(path, file)
        raise _NoLocksError from error
    return True


def _close(file: FileIO) -> None:
    """Close and unlock a file, whatever forked processes still have of it."""
    with suppress(OSError):
        if sys.platform != "win32":  # pragma: no branch - another system
            fcntl.flock(file, fcntl.LOCK_UN)
    file.close()


def _still_at(path: Path, file: FileIO) -> bool:
    """Whether it has kept its name: who held the lock before may have made it a final file.

    Somebody else may also have tidied it away, and then another download may have its name.
    """
    try:
        return os.path.samestat(path.lstat(), os.fstat(file.fileno()))
    except OSError:
        return False


def _remove(path: Path, file: FileIO) -> None:
    if sys.platform == "win32":  # pragma: no cover - another system
        file.close()
    with suppress(OSError):
        path.unlink()


def _sync_folder(folder: Path) -> None:
    """Make the new name itself durable, where the system can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
