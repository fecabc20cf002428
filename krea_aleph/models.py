"""The values that the clients hand out and take back.

Every one is frozen: it is a fact about one moment, it can be compared, pickled, kept in a set
and used from any thread, process or colour. Clients act, values don't.

They are dataclasses rather than attrs classes, because importing attrs costs a quarter of what
importing httpx does, and the core would need it for nothing else before the first answer.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, field
from datetime import datetime
from os import PathLike
from typing import Any, BinaryIO, Final, Literal, Protocol, TypeAlias, TypeGuard, cast

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

StrPath: TypeAlias = str | PathLike[str]
Outcome: TypeAlias = Literal[
    "cancelled", "requested", "already_cancelled", "already_finished", "refused", "unknown"
]
Exists: TypeAlias = Literal["error", "replace", "keep"]
Direction: TypeAlias = Literal["upload", "download"]

# A time beyond these is a mistake, and sums with it have no place in the calendar.
YEARS: Final = range(2, 9999)

# Only these end a job. Any other status, known today or not, means that it still runs: Krea added
# "backlogged" in 2026 and broke the clients that had closed the list.
TERMINAL: Final = frozenset({"completed", "failed", "cancelled"})
BACKLOGGED: Final = "backlogged"

# Ids become parts of paths, of requests and of files: anything else could lead somewhere else.
# Krea's are UUIDs; taken is what RFC 3986 lets a segment hold as it is, dots alone excepted.
_ID: Final = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._~:@!$&'()*+,;=-]{1,200}")


def is_id(value: object) -> TypeGuard[str]:
    """Whether a value can be the id of a job or of an asset."""
    return isinstance(value, str) and _ID.fullmatch(value) is not None


class _Auto(float):
    """A number that means "the default": identity tells it from the same number given by hand."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "AUTO"

    def __reduce__(self) -> str:
        return "AUTO"


AUTO: Final[float] = _Auto(2 * 3600 + 600)
"""The default ``wait_timeout``: 2 h 10 min of running, not counting the time spent backlogged.

Krea itself ends a job of an external provider after two hours; ten minutes are margin.
"""


class _Shown:
    """A value that notebooks show as a card."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        return self._repr_mimebundle_()["text/html"]

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        from krea_aleph._cards import bundle  # noqa: PLC0415 - only notebooks need it

        return bundle(cast("Job | Saved | Asset", self))


@dataclass(frozen=True, slots=True)
class Output:
    """One file that a job has produced.

    Attributes:
        url: Where it can be downloaded, without a key. Krea promises no lifetime: fetch it soon.
        kind: "model" for the result, "preview" for a preview, or what the server called it.

    Example:
        >>> job = Job("550e8400", "completed", outputs=(Output("https://example.com/out.mp4"),))
        >>> job.url
        'https://example.com/out.mp4'
    """

    url: str
    kind: str = "model"


@dataclass(frozen=True, slots=True)
class Job(_Shown):
    """What is known of one job at one moment. Ask a client for a newer snapshot with ``get``.

    Attributes:
        id: The job's id: all that another process needs to go on with it.
        status: The server's word, kept as sent. Compare with ``finished`` and ``succeeded``.
        account: The label of the account that it belongs to.
        created_at: When the server accepted it, if it said so.
        completed_at: When it ended, if it has and the server said so.
        outputs: Previews and results so far.
        error_code: The server's code for a failure, if it gave one.
        error_message: The server's words for a failure, if it gave any.
        fetched_at: Unix time in seconds of this snapshot; not part of equality.
        raw: The whole answer as the server sent it; not part of equality.

    Example:
        >>> job = Job(id="550e8400", status="processing")
        >>> job.finished
        False
    """

    id: str
    status: str
    account: str = "default"
    created_at: datetime | None = None
    completed_at: datetime | None = None
    outputs: tuple[Output, ...] = ()
    error_code: str | None = None
    error_message: str | None = None
    fetched_at: float = field(default=0.0, compare=False)
    raw: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def finished(self) -> bool:
        """Whether the job has reached a state that it never leaves."""
        return self.status.lower() in TERMINAL

    @property
    def succeeded(self) -> bool:
        """Whether it is completed and has a result to download."""
        return self.url is not None

    @property
    def url(self) -> str | None:
        """The address of the primary result, or None while there is none."""
        return next((output.url for output in self.results), None)

    @property
    def results(self) -> tuple[Output, ...]:
        """The outputs of a completed job that are no preview.

        Krea shows previews while a job is still processing, in the same place and sometimes as
        bare addresses, so before completion nothing is taken for a result.
        """
        if self.status.lower() != "completed":
            return ()
        return tuple(output for output in self.outputs if output.kind != "preview")

    def to_json(self) -> str:
        """Return the job as one line of JSON, for a database or a queue."""
        facts = {
            "id": self.id,
            "status": self.status,
            "account": self.account,
            "created_at": _isoformat(self.created_at),
            "completed_at": _isoformat(self.completed_at),
            "outputs": [[output.url, output.kind] for output in self.outputs],
            "error_code": self.error_code,
            "error_message": self.error_message,
            "fetched_at": self.fetched_at,
            "raw": self.raw,
        }
        return json.dumps(facts, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Job:
        """Return the job that ``to_json`` wrote.

        Raises:
            ValueError: The text is not such a document.
        """
        try:
            facts = json.loads(text)
            facts["created_at"] = _from_isoformat(facts["created_at"])
            facts["completed_at"] = _from_isoformat(facts["completed_at"])
            facts["outputs"] = tuple(Output(url, kind) for url, kind in facts["outputs"])
            return cls(**facts)
        except (KeyError, TypeError, ValueError) as error:
            message = f"not a job written by Job.to_json: {error!r}"
            raise ValueError(message) from error


@dataclass(frozen=True, slots=True)
class Asset(_Shown):
    """One file that was uploaded to Krea.

    Attributes:
        id: The asset's id.
        url: Its address, which goes wherever a media URI is asked for, videos included.
        account: The label of the account that owns it.
        media_type: The MIME type that the server noted, if any.
        size_bytes: Its size, if the server said so.
        width: Pixels, for pictures and videos, if the server said so.
        height: Pixels, likewise.
        uploaded_at: When the server received it, if it said so.
        raw: The whole answer as the server sent it; not part of equality.

    Example:
        >>> with Aleph() as aleph:  # doctest: +SKIP
        ...     clip = aleph.upload("in.mp4")
        ...     jobs = [aleph.submit(clip, prompt) for prompt in ("snow", "rain")]
    """

    id: str
    url: str
    account: str = "default"
    media_type: str | None = None
    size_bytes: int | None = None
    width: int | None = None
    height: int | None = None
    uploaded_at: datetime | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class ObjectAddress:
    """Where an object is, in a bucket. Its text is its URL; it is no path, and nothing opens it.

    Attributes:
        scheme: "s3", "gs" or "az".
        bucket: The bucket, or the container.
        key: The object's name in there; one that ends in "/" stands for all that begin with it.

    Example:
        >>> print(ObjectAddress("s3", "clips", "shots/017.mp4"))
        s3://clips/shots/017.mp4
    """

    scheme: str
    bucket: str
    key: str

    def __str__(self) -> str:
        return f"{self.scheme}://{self.bucket}/{self.key}"

    @property
    def name(self) -> str:
        """What is behind the last slash."""
        return self.key.rpartition("/")[2]

    def beside(self, name: str) -> ObjectAddress:
        """Return the address of another name in the same place."""
        return ObjectAddress(self.scheme, self.bucket, self.key.removesuffix(self.name) + name)


@dataclass(frozen=True, slots=True)
class Saved(_Shown):
    """Results that were saved, whole: on disk, where it is itself ``os.PathLike``, or in a bucket.

    Attributes:
        path: The primary result. Where results went to a bucket it is an `ObjectAddress`, which
            prints as the URL and which nothing opens by mistake; `url` is for both.
        paths: Every file, the primary one first.
        media_type: The MIME type of the primary result, judged by its bytes.
        size_bytes: Its size.
        sha256: Its SHA-256, in hexadecimal; empty for what somebody else has put into a bucket.
        job: The job it came from; None where ``exists="keep"`` found the file and nothing ran.

    Example:
        >>> path = Path("out.mp4")  # from pathlib
        >>> os.fspath(Saved(path=path, paths=(path,)))
        'out.mp4'
    """

    path: Path
    paths: tuple[Path, ...]
    media_type: str = "application/octet-stream"
    size_bytes: int = 0
    sha256: str = ""
    job: Job | None = None

    @property
    def url(self) -> str:
        """The primary result as a URL: ``file://`` on disk, or as in ``s3://bucket/key``."""
        place: Path | ObjectAddress = self.path
        return str(place) if isinstance(place, ObjectAddress) else place.absolute().as_uri()

    def __fspath__(self) -> str:
        place: Path | ObjectAddress = self.path
        if isinstance(place, ObjectAddress):
            raise TypeError(f"the result is at {place}: it is on no disk of this machine")
        return os.fspath(place)


@dataclass(frozen=True, slots=True)
class Update:
    """One change that was seen while waiting.

    Attributes:
        job: The newest snapshot.
        elapsed: Seconds since the wait began.
        poll_faults: How many looks have failed so far.
        next_look: Seconds until the next one; 0 when there is none.
        source: What brought the news: "poll" for a look, "list" for one at the account's list,
            "webhook" for a look that a delivery asked for, "start" for what was known before.

    Example:
        >>> update = Update(Job(id="550e8400", status="processing"), elapsed=42.0, next_look=10.0)
        >>> f"{update.job.status} for {update.elapsed:.0f} s"
        'processing for 42 s'
    """

    job: Job
    elapsed: float
    poll_faults: int = 0
    next_look: float = 0.0
    source: str = "poll"


@dataclass(frozen=True, slots=True)
class Cancellation:
    """What came of asking Krea to cancel a job, as it was.

    Attributes:
        outcome: "cancelled" (seen to be so), "requested" (accepted, and still to be seen),
            "already_cancelled", "already_finished", "refused" (the server says no, as it may
            for a job that is sampling), "unknown" (no usable answer).
        job: The newest snapshot.

    Example:
        >>> if aleph.cancel(job).outcome == "requested":  # doctest: +SKIP
        ...     job = aleph.get(job)
    """

    outcome: Outcome
    job: Job


@dataclass(frozen=True, slots=True)
class Checked:
    """A request that would be sent, checked and with nothing sent yet.

    Attributes:
        body: The JSON body. A file that is still to be uploaded stands in it as ``upload:<field>``.
        uploads: The names of the files that would be uploaded first, by field.
        fingerprint: SHA-256 over what was asked for: equal requests have equal fingerprints.
        account: The label of the account that would pay.
        intent: The intent that it would be submitted under, if any.

    Example:
        >>> with Aleph() as aleph:  # doctest: +SKIP
        ...     aleph.check("in.mp4", "make it snow", seed=7).body
        {'init_video': 'upload:video', 'prompt': 'make it snow', 'seed': 7}
    """

    body: Mapping[str, Any] = field(hash=False)
    uploads: Mapping[str, str] = field(hash=False)
    fingerprint: str
    account: str = "default"
    intent: str | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """One fact for logs, metrics and traces; never a prompt, a key or a signed URL.

    Attributes:
        kind: "request", "submitted", "uncertain" (a submit of which it is not known whether it has
            started a job), "changed", "poll_missed", "transfer", "left" (a wait or a download was
            interrupted), "upload_deleted" (with its outcome: see ``keep_upload``),
            "deprecated" (something that is in use here is going to end: once per client and thing),
            "drift" (an answer has something that the pinned contract does not know: likewise
            once), "recovering" (a lost submit is given time to arrive), "recovered" (a job whose
            answer was lost was found), "webhook" (a delivery came), "webhook_refused" (what came to
            an address of ours was none), "paused" (a batch waits for credit or for a good key),
            "list_refused" (the account's list of jobs was), "store_failed" (a job runs that the
            store could not note). The set is open.
        account: The label of the account.
        job_id: The job that it is about, if any.
        duration: Seconds, where the fact has a duration.
        attributes: Further low-cardinality facts, such as ``operation`` and ``status``.
        intent: The intent that it is about, if one was given.
        index: The place of its item among those of a batch, of "submitted" and "transfer".

    Example:
        >>> event = Event("poll_missed", "default", "550e8400", attributes={"faults": 2})
        >>> event.attributes["faults"]
        2
    """

    kind: str
    account: str
    job_id: str | None = None
    duration: float | None = None
    attributes: Mapping[str, str | float] = field(default_factory=dict, hash=False)
    intent: str | None = None
    index: int | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one transfer is, for whoever watches it.

    Attributes:
        direction: "upload" or "download".
        done: How many bytes are through, those of an earlier try included.
        total: How many there are, if that is known. Of an upload it is the whole request, which
            is some hundred bytes longer than the file.
        job_id: The job whose result it is, for a download.

    Example:
        >>> progress = Progress("download", done=2_000_000, total=8_000_000)
        >>> f"{progress.done / progress.total:.0%}" if progress.total else f"{progress.done} bytes"
        '25%'
    """

    direction: Direction
    done: int
    total: int | None = None
    job_id: str | None = None


Media: TypeAlias = str | PathLike[str] | BinaryIO | Asset
"""What stands for a clip or a picture: a URL, a path, a file open for reading bytes, an asset.

With the extra ``[storage]`` a URL may be one of an object: ``s3://``, ``gs://`` or ``az://``.
"""

Stores: TypeAlias = "Mapping[str, Any] | Callable[[str], Any]"
"""What buckets are reached with, by their URL: stores of obstore's, or settings for them."""

Place: TypeAlias = "Path | ObjectAddress"
"""Where a result is: on disk or in a bucket."""

JobRef: TypeAlias = Job | str
"""A job, or just its id."""


class Bell(Protocol):
    """What ends a pause early. It may be rung from any thread, and wakes until it is heard."""

    def waking(self, wake: Callable[[], object]) -> AbstractContextManager[None]:
        """Call ``wake`` when it rings, from whichever thread; at once if it has not been heard."""
        ...

    def heard(self) -> int:
        """Return how often it has rung so far; from here on only another ring wakes."""
        ...

    def close(self) -> None:
        """Listen no longer."""
        ...


class Clock(Protocol):
    """Where time comes from. Tests hand in a virtual one, so that nothing really waits."""

    def monotonic(self) -> float:
        """Return seconds that never go backwards."""
        ...

    def time(self) -> float:
        """Return Unix time in seconds."""
        ...

    def sleep(self, seconds: float, bell: Bell | None = None) -> None:
        """Return when the seconds have passed, or when the bell rings."""
        ...

    async def asleep(self, seconds: float, bell: Bell | None = None) -> None:
        """Do the same without blocking the event loop, asyncio's or trio's."""
        ...

    def busy(self) -> AbstractContextManager[None]:
        """Mark that something is in flight: a virtual clock may not jump meanwhile."""
        ...


class Correspondent(Protocol):
    """A client as its receiver sees it.

    Attributes:
        account: The label of the account that it acts for.
        asynchronous: Whether ``confirm`` is to be awaited.
    """

    account: str
    asynchronous: bool

    def usable(self) -> bool:
        """Tell whether ``confirm`` can be called from this thread or event loop."""
        ...

    def confirm(self, nonce: str) -> Any:
        """Ask Krea for the job that was told on an intent's own path, and make it the intent's."""
        ...

    def publish(self, event: Event) -> None:
        """Tell an event to whoever listens to the client."""
        ...


class Receiver(Protocol):
    """What a client needs of a `krea_aleph.webhooks.WebhookReceiver`.

    A nonce is an unguessable text, made for one submit, that stands in the path of its webhooks.
    """

    def url(self, account: str, nonce: str) -> str:
        """Return where Krea is to deliver."""
        ...

    def attach(self, client: Correspondent) -> None:
        """Take note of a client, for as long as it lives."""
        ...

    def expect(self, account: str, nonce: str, job_id: str) -> None:
        """Take note of which job was accepted with a nonce."""
        ...

    def expects(self, account: str, job_id: str) -> bool:
        """Tell whether a delivery of a job is to come here, as far as this process knows."""
        ...

    def listen(self, account: str, job_id: str) -> Bell:
        """Return a bell that rings at each delivery of a job."""
        ...

    def told(self, account: str, nonce: str) -> tuple[str, ...]:
        """Return the jobs that were delivered with a nonce, as far as this process knows."""
        ...


class BucketAccess(Protocol):
    """What a client needs of a `krea_aleph.storage.Storage`."""

    presign: float | None

    def store(self, bucket: str) -> Any:
        """Return the store of obstore's that a bucket is in, by its URL."""
        ...


class SyncTransport(Protocol):
    """What `Aleph` needs of a transport of one's own; httpx's transports have it."""

    def handle_request(self, request: Any, /) -> Any:
        """Send an httpx ``Request`` and return an httpx ``Response``, its body unread."""
        ...

    def close(self) -> None:
        """Close the connections."""
        ...


class AsyncTransport(Protocol):
    """What `AsyncAleph` needs of a transport of one's own; httpx's transports have it."""

    async def handle_async_request(self, request: Any, /) -> Any:
        """Send an httpx ``Request`` and return an httpx ``Response``, its body unread."""
        ...

    async def aclose(self) -> None:
        """Close the connections."""
        ...


Transport: TypeAlias = SyncTransport | AsyncTransport


def _isoformat(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _from_isoformat(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
