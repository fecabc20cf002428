"""Clips that are read from buckets, and results that are written to them.

An object has its final name only when it is whole: what is small enough is written in one request,
which the store refuses if the name has been taken meanwhile; what is larger goes up in parts that
nobody sees before the last step, and just before that step the name is looked at again.
"""

from __future__ import annotations

import errno
import re
from functools import partial
from hashlib import sha256
from typing import Any, Final, NamedTuple, TypeVar, cast

from krea_aleph._buckets import Buckets, Fault, attributes, is_empty_range
from krea_aleph._digests import hasher
from krea_aleph._files import EXTENSIONS, Source, check_size, recognised, sniff
from krea_aleph._hashing import Hashing
from krea_aleph._hosts import problem_with_input
from krea_aleph._parts import Whole
from krea_aleph._saving import check_exists, file_name, numbered, taken
from krea_aleph.errors import DownloadError, InvalidRequestError, UploadError
from krea_aleph.models import ObjectAddress, Saved

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from krea_aleph._buckets import Facts, Writer
    from krea_aleph.models import BucketAccess, Exists, Job

T = TypeVar("T")

_URL: Final = re.compile(r"(s3|gs|az)://([^/]*)(?:/(.*))?", re.IGNORECASE | re.DOTALL)
_BUCKET: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_LONGEST_KEY: Final = 1024
_LOOKS_LIKE: Final = "It looks like s3://bucket/folder/clip.mp4."
_HEAD_BYTES: Final = 4096
_STRETCH_BYTES: Final = 4 * 2**20
# What is written in one request, which can be refused when the name is taken.
_AT_ONCE_BYTES: Final = 16 * 2**20
# As Runway, behind Krea, documents for addresses.
_LONGEST_URL: Final = 2048
_PROBE: Final = ".krea-aleph"


def parse(url: str, field: str) -> ObjectAddress:
    """Return the address that a URL of a bucket means; one without a key ends in "/".

    The key is what stands behind the bucket, as it is: nothing in it is decoded.

    Raises:
        InvalidRequestError: It means none.
    """
    found = _URL.fullmatch(url)
    scheme, bucket, key = found.groups() if found else ("", "", None)
    if "@" in bucket:
        raise InvalidRequestError(
            field,
            f"{scheme}:// with a user or a password in front of the bucket is not supported",
            hint="Credentials come from the environment, or from the client's storage=.",
        )
    if not _BUCKET.fullmatch(bucket):
        raise InvalidRequestError(field, f"{url[:200]!r} names no bucket", hint=_LOOKS_LIKE)
    problem = _problem_with(key or "")
    if problem:
        hint = "Rename or copy the object to a key without that."
        raise InvalidRequestError(field, f"{url[:200]!r} {problem}", hint=hint)
    return ObjectAddress(scheme.lower(), bucket, key or "")


def _problem_with(key: str) -> str:
    """Say why a key cannot be asked for, if it cannot."""
    try:
        length = len(key.encode())
    except UnicodeEncodeError:
        return "has half of a surrogate pair in its key"
    if length > _LONGEST_KEY:
        return f"has a key of more than {_LONGEST_KEY:,} bytes"
    if _CONTROL.search(key):
        return "has a control character in its key"
    parts = key.removesuffix("/").split("/") if key else []
    odd = next((part for part in parts if part in {"", ".", ".."}), None)
    return "" if odd is None else f"has a part {odd!r} in its key, which cannot be asked for"


def parse_object(url: str, field: str) -> ObjectAddress:
    """Return the address of one object.

    Raises:
        InvalidRequestError: The URL means none, or a whole folder or bucket.
    """
    address = parse(url, field)
    if not address.name:
        kind = "a folder" if address.key else "a bucket"
        raise InvalidRequestError(
            field, f"{url[:200]!r} is {kind}, no object", hint=f"Name one object. {_LOOKS_LIKE}"
        )
    return address


class ObjectSource(Source):
    """A clip in a bucket: looked at once, read as often as needed, at constant memory.

    It is known by its address, its version and its size. What it hashes to is nobody's concern: to
    find that out, it would have to be fetched whole.
    """

    def __init__(self, field: str, url: str, storage: BucketAccess | None) -> None:
        """Look at it.

        Raises:
            InvalidRequestError: It cannot be uploaded; the text says why.
            UploadError: Its store cannot be reached.
        """
        self._field = field
        self._address = parse_object(url, field)
        self._buckets = Buckets(storage)
        self.name = self._address.name
        self._facts, head = self._look()
        self._stamp = None
        self.size_bytes = check_size(field, str(self._address), self._facts.size)
        self.media_type = recognised(field, str(self._address), head)
        told = f"{self._address}\n{self._facts.version}\n{self._facts.size}"
        self._sha256 = sha256(told.encode()).hexdigest()
        if self._buckets.presign is not None:
            self.signed = partial(self._address_for, self._buckets.presign)

    def _address_for(self, seconds: float, nearby: bool) -> str:  # noqa: FBT001 - a callback's
        """Return a signed address of it, another one each time.

        Raises:
            InvalidRequestError: Krea could do nothing with it.
        """
        try:
            url = self._buckets.sign(self._address, seconds)
        except Fault as fault:
            raise self._refused(fault) from None
        problem = None if nearby else problem_with_input(url)
        if len(url) > _LONGEST_URL:
            problem = f"its signed address has more than {_LONGEST_URL:,} characters"
        if problem is not None:
            hint = "Let the client upload it: leave presign= out."
            raise InvalidRequestError(self._field, f"'{self._address}': {problem}", hint=hint)
        return url

    def chunks(self) -> Iterator[bytes]:
        """Read the content from its start.

        Raises:
            UploadError: It is no longer what was looked at, or cannot be read.
        """
        for start in range(0, self.size_bytes, _STRETCH_BYTES):
            stop = min(start + _STRETCH_BYTES, self.size_bytes)
            try:
                _, data = self._buckets.read(self._address, start, stop, self._facts)
            except Fault as fault:
                raise self._unread(fault) from None
            yield data

    def _look(self) -> tuple[Facts, bytes]:
        try:
            return self._buckets.read(self._address, 0, _HEAD_BYTES)
        except Fault as fault:
            if is_empty_range(fault):
                raise InvalidRequestError(self._field, f"'{self._address}' is empty") from None
            raise self._refused(fault) from None

    def _refused(self, fault: Fault) -> InvalidRequestError | UploadError:
        if fault.kind == "failed":
            return self._unread(fault)
        return InvalidRequestError(self._field, f"'{self._address}' {fault.words}", hint=fault.hint)

    def _unread(self, fault: Fault) -> UploadError:
        message = f"{self._field}: '{self._address}' {fault.words}."
        return UploadError(message, hint=fault.hint or None)


class ObjectTarget(NamedTuple):
    """Where results go in a bucket: below a prefix under the job's id, or to one exact key."""

    folder: ObjectAddress
    name: str | None
    exists: Exists
    buckets: Buckets

    @classmethod
    def checked(cls, output: str, exists: Exists, storage: BucketAccess | None) -> ObjectTarget:
        """Return the target that an argument means.

        Raises:
            InvalidRequestError: Nothing could be saved there; the text says why.
        """
        check_exists(exists)
        address = parse(output, "output")
        if not address.key and not output.endswith("/"):
            hint = f"Name a key, or write '{output}/' for its top."
            raise InvalidRequestError("output", f"{output!r} names no key", hint=hint)
        folder, buckets = address.beside(""), Buckets(storage)
        check_writable(buckets, folder, "output")
        return cls(folder, address.name or None, exists, buckets)

    def standing(self, job: Job | None = None) -> list[ObjectAddress | None]:
        """Return for each result the object that has its key already, if there is one.

        What is to be replaced is not looked for.

        Raises:
            InvalidRequestError: One exists, and ``exists`` is "error".
        """
        indices = range(len(job.results) if job else 1)
        addresses = [self._standing(job, index) for index in indices]
        if self.exists == "error":
            taken(next(filter(None, addresses), None))
        return addresses

    def _standing(self, job: Job | None, index: int) -> ObjectAddress | None:
        if self.exists == "replace":
            return None
        names = [numbered(self.name, index)] if self.name is not None else self._names(job, index)
        for name in names:
            address = self.folder.beside(name)
            if found(self.buckets, address, job) is not None:
                return address
        return None

    def _names(self, job: Job | None, index: int) -> list[str]:
        if job is None:
            return []
        return [numbered(file_name(job.id) + ending, index) for ending in EXTENSIONS]

    def keep(self, path: ObjectAddress, job: Job | None) -> Saved:
        """Describe an object that was there already.

        Raises:
            InvalidRequestError: It cannot be read.
        """
        return kept(self.buckets, path, job)

    def part_base(self, job: Job, index: int) -> ObjectAddress:
        """Return what to call a result before its kind is known."""
        return self.folder.beside(numbered(self.name or file_name(job.id), index))

    def part(self, job: Job, index: int) -> ObjectPart:
        """Begin one of a job's results."""
        return ObjectPart(self, job, index)

    def tidy(self, job: Job, index: int) -> None:
        """Have nothing to remove: what was given up is in nobody's sight."""

    def path(self, job: Job, index: int, media_type: str | None) -> ObjectAddress:
        """Return the final address of one of a job's results, the first having index 0."""
        return self.folder.beside(numbered(self.name or file_name(job.id, media_type), index))


class ObjectPart:
    """An object that is being filled, with the face of `_parts.Part`.

    Attributes:
        path: What to call it.
        whole: What the host says of the whole file.
        size: How many bytes are there.
    """

    def __init__(self, target: ObjectTarget, job: Job, index: int) -> None:
        self.path = str(target.part_base(job, index))
        self.whole = Whole()
        self.size = 0
        self._target = target
        self._job = job
        self._index = index
        self._open = True
        self._begin()

    def _begin(self) -> None:
        self._held = bytearray()
        self._head = b""
        self._writer: Writer | None = None
        self._hashing = Hashing(lambda _size, _hash: None)
        self._other: Any = None
        self.size = 0

    def restart(self, whole: Whole) -> None:
        """Begin again with nothing, and note what it is to become."""
        self._require_open()
        self._hashing.settled()
        self._drop()
        self._begin()
        self.whole = whole
        digest = whole.digest
        if digest is not None and digest.algorithm != "sha256":
            self._other = hasher(digest.algorithm)

    def append(self, data: bytes) -> None:
        """Take more.

        Raises:
            OSError: The store does not.
        """
        self._require_open()
        self._hashing.add(data)
        if self._other is not None:
            self._other.update(data)
        self._head += data[: _HEAD_BYTES - len(self._head)]
        self.size += len(data)
        if self._writer is not None:
            self._writing(self._writer, data)
            return
        self._held += data
        if len(self._held) > _AT_ONCE_BYTES:
            self._writer = _system(self._written_in_parts)
            held, self._held = self._held, bytearray()
            self._writing(self._writer, held)

    def _writing(self, writer: Writer, data: bytes | bytearray) -> None:
        _system(lambda: writer.write(data))

    def _written_in_parts(self) -> Writer:
        media_type = sniff(self._head)
        final = self._target.path(self._job, self._index, media_type)
        return self._target.buckets.writer(final, attributes(media_type, self._job.id))

    def head(self, size: int) -> bytes:
        """Return its first bytes, of which a few thousand are remembered."""
        return self._head[:size]

    def sha256(self) -> str:
        """Return what it hashes to so far, in hexadecimal."""
        digest: str = self._hashing.settled().hexdigest()
        return digest

    def intact(self) -> bool:
        """Whether it hashes to what the host has announced, if it did so when this was begun."""
        digest = self.whole.digest
        if digest is None:
            return True
        found = self._hashing.settled() if digest.algorithm == "sha256" else self._other
        return found is None or found.name != digest.algorithm or found.digest() == digest.value

    def publish(self, final: ObjectAddress, exists: Exists) -> None:
        """Let it be there, whole.

        Raises:
            FileExistsError: The key is taken, and not to be replaced.
            OSError: The store does not let us.
        """
        self._require_open()
        if self._writer is None:
            _system(lambda: self._put(final, exists))
        else:
            writer = self._writer
            _system(lambda: self._finish(writer, final, exists))
        self._open = False

    def _put(self, final: ObjectAddress, exists: Exists) -> None:
        buckets, data = self._target.buckets, self._held
        noted = attributes(sniff(self._head), self._job.id, self.sha256())
        put = partial(buckets.put, final, data, noted)
        try:
            put(new=exists != "replace")
        except Fault as fault:
            if fault.kind == "unsupported":
                self._look_again(final, exists)
                put(new=False)
            elif fault.kind != "exists":
                raise
            elif buckets.facts(final) is None:
                put(new=True)  # S3 refuses one of two at once, too, where the other one has failed
            elif not self._is_ours(final):
                raise

    def _finish(self, writer: Writer, final: ObjectAddress, exists: Exists) -> None:
        self._look_again(final, exists)
        try:
            writer.finish()
        except Fault:
            # The store may have done it all the same, and its answer was lost.
            if not self._is_ours(final):
                raise

    def _look_again(self, final: ObjectAddress, exists: Exists) -> None:
        if exists != "replace" and self._target.buckets.facts(final) is not None:
            raise Fault("exists", "exists")

    def _is_ours(self, final: ObjectAddress) -> bool:
        """Whether what is there is this very result: written by a try whose answer was lost."""
        facts = self._target.buckets.facts(final)
        return (
            facts is not None
            and (facts.job, facts.size) == (self._job.id, self.size)
            and facts.sha256 in {None, self.sha256()}
        )

    def leave(self) -> Path | None:
        """Give it up unless it is there; nothing of it can be taken up again."""
        if self._open:
            self._open = False
            self._hashing.settled()
            self._drop()
        return None

    def _drop(self) -> None:
        writer, self._writer, self._held = self._writer, None, bytearray()
        if writer is not None:
            writer.drop()

    def _require_open(self) -> None:
        """Refuse to work for a thread that its task has given up."""
        if not self._open:
            raise OSError(errno.EBADF, "it has been closed")


class ObjectFolder:
    """What every result of a batch begins with, in a bucket; `_items.Folder` is that on disk."""

    def __init__(self, address: ObjectAddress, storage: BucketAccess | None) -> None:
        self._address = address
        self._buckets = Buckets(storage)

    def make(self) -> None:
        """Make sure that results can be written there.

        Raises:
            InvalidRequestError: They cannot.
        """
        check_writable(self._buckets, self._address, "output_dir")

    def target(self, place: str, exists: Exists) -> ObjectTarget:
        """Return where a result goes. This blocks, briefly.

        Raises:
            InvalidRequestError: It is there already, and must not be.
        """
        path = self.path(place)
        return ObjectTarget(path.beside(""), path.name, exists, self._buckets)

    def path(self, place: str) -> ObjectAddress:
        """Return the address of a result."""
        return self._address.beside(place)

    def has(self, place: str) -> bool:
        """Whether a result is there. This blocks, briefly."""
        return found(self._buckets, self.path(place), None) is not None

    def keep(self, place: str) -> Saved:
        """Describe a result that is there already."""
        return kept(self._buckets, self.path(place), None)


def parse_folder(url: str, field: str) -> ObjectAddress:
    """Return the address of a folder; the slash at its end may be left out.

    Raises:
        InvalidRequestError: The URL means none.
    """
    address = parse(url, field)
    return address if not address.name else address.beside(f"{address.name}/")


def check_writable(buckets: Buckets, folder: ObjectAddress, field: str) -> None:
    """Refuse a bucket that nothing can be written to, before anything is paid.

    Raises:
        InvalidRequestError: It does not exist, refuses, or cannot be reached.
    """
    try:
        buckets.check_writable(folder.beside(_PROBE))
    except Fault as fault:
        raise _unusable(fault, folder, field) from None


def found(buckets: Buckets, address: ObjectAddress, job: Job | None) -> Facts | None:
    """Return what is at an address, if something is.

    Raises:
        InvalidRequestError: The store does not say, and nothing is paid yet.
        DownloadError: It does not say, and the job is done.
    """
    try:
        return buckets.facts(address)
    except Fault as fault:
        if job is not None:
            message = f"'{address}' could not be looked at: it {fault.words}."
            raise DownloadError(message, job_id=job.id) from None
        raise _unusable(fault, address, "output") from None


def kept(buckets: Buckets, address: ObjectAddress, job: Job | None) -> Saved:
    """Describe an object that was there already; what it hashes to, if one of ours wrote it.

    Raises:
        InvalidRequestError: It cannot be read.
    """
    try:
        facts, head = buckets.read(address, 0, _HEAD_BYTES)
    except Fault as fault:
        raise _unusable(fault, address, "output") from None
    path = cast("Path", address)
    media_type = sniff(head) or "application/octet-stream"
    return Saved(path, (path,), media_type, facts.size, facts.sha256 or "", job)


def _unusable(fault: Fault, address: ObjectAddress, field: str) -> InvalidRequestError:
    hint = fault.hint
    if fault.kind == "refused" and address.name:
        hint += " A store that does not let objects be listed refuses also what is not there."
    error = InvalidRequestError(field, f"'{address}' {fault.words}", hint=hint.strip())
    if fault.kind == "failed":
        error.resubmit = "safe"
    return error


def _system(function: Callable[[], T]) -> T:
    """Call what a store may not do, and raise that as files do.

    Raises:
        OSError: It did not do it.
    """
    try:
        return function()
    except Fault as fault:
        if fault.kind == "exists":
            raise FileExistsError(errno.EEXIST, "it exists") from None
        raise OSError(errno.EIO, f"it {fault.words}") from None
