"""What tests hand to the emulator (faults, outcomes) and what they read back from it (records)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from attrs import define, field, frozen

from krea_aleph.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

UrlForm: TypeAlias = Literal["strings", "objects", "map", "video_url", "top_level", "none"]
URL_FORMS: Final = ("strings", "objects", "map", "video_url", "top_level", "none")
DOWNLOAD: Final = "download"
WEBHOOK: Final = "webhook"
ANY: Final = "*"
_STATUSES: Final = range(200, 600)
_ENDS: Final = ("completed", "failed", "cancelled")


@frozen(kw_only=True)
class Fault:
    """Something that goes wrong with the n-th matching call, counted from when the fault is set.

    The call is carried out as usual unless the fault brings an answer of its own (`status`,
    `body`), drops the connection before, or never answers; `accept=True` carries it out anyway.

    Example:
        >>> emulator.fault(Fault(operation="get_job", nth=3, status=503, body="<html>busy</html>"))
        >>> emulator.fault(Fault(operation="create_aleph_job", drop="after", every=7))

    Attributes:
        operation: An operation id such as ``get_job``, or ``"download"``, ``"webhook"``, or
            ``"*"`` for every call that reaches the emulator.
        nth: The first matching call that is hit, from 1.
        times: How many calls are hit from there on; None for all of them.
        every: Of those, hit only each so-manieth, so that ``every=7`` hits the 7th, 14th...
        status: Answer with this status.
        body: Answer with this body: bytes, text, or anything else as JSON.
        headers: Further headers of the answer, Content-Type included.
        accept: Carry the call out although its answer is lost or replaced.
        drop: Cut the connection instead of answering, "before" or "after" carrying the call out.
        stall: Wait so many real seconds before answering; infinity waits until the caller leaves.
        truncate: Send only so many bytes of the body, as if that were all of it.
        cut: Send only so many bytes of the body that was promised, then cut the connection.
        length: Promise so many bytes in Content-Length, whatever the body has, then cut the
            connection.
        reset: Where the connection is cut, reset it (TCP RST) in place of closing it.
        late: After ``drop="before"``, carry the call out all the same, so many seconds later by the
            emulator's clock: a request that has been held up on its way.
        pace: Send the body in pieces of this many bytes, 5 real milliseconds apart.
        close: Close the connection after the answer without having said so.
        kill: Carry the call out, then SIGKILL the process named by the header ``X-Debug-Pid``.
        duplicates: Deliver a webhook so many times more.
        delay: Deliver a webhook so many seconds late, by the emulator's clock.
    """

    operation: str = ANY
    nth: int = 1
    times: int | None = 1
    every: int | None = None
    status: int | None = None
    body: Any = None
    headers: Mapping[str, str] = field(factory=dict)
    accept: bool = False
    drop: Literal["before", "after"] | None = None
    stall: float = 0.0
    truncate: int | None = None
    cut: int | None = None
    length: int | None = None
    reset: bool = False
    late: float = 0.0
    pace: int | None = None
    close: bool = False
    kill: bool = False
    duplicates: int = 0
    delay: float = 0.0

    def __attrs_post_init__(self) -> None:
        """Refuse what could never happen, so that a test does not wait for it."""
        _require(self.nth >= 1, "nth", f"is {self.nth}; the first call is 1")
        _require(self.times is None or self.times >= 1, "times", f"is {self.times}; use 1 or more")
        _require(self.every is None or self.every >= 1, "every", f"is {self.every}; use 1 or more")
        _require(
            self.pace is None or self.pace >= 1, "pace", f"is {self.pace}; use 1 or more bytes"
        )
        _require(self.stall >= 0, "stall", f"is {self.stall}; use 0 or more seconds")
        known = self.status is None or self.status in _STATUSES
        _require(known, "status", f"is {self.status}; use 200 to 599")
        _require(self.drop in {None, "before", "after"}, "drop", f"is {self.drop!r}")
        _require(self.length is None or self.length >= 0, "length", f"is {self.length}")
        cuts = self.cuts_body or self.drop is not None
        _require(cuts or not self.reset, "reset", "needs drop, cut or length")
        held_up = not self.late or (self.late > 0 and self.drop == "before")
        _require(held_up, "late", f'is {self.late}; use seconds, with drop="before"')
        delivers = bool(self.duplicates or self.delay)
        only = not delivers or self.operation == WEBHOOK
        _require(only, "operation", 'duplicates and delay need operation="webhook"')

    @property
    def answers(self) -> bool:
        """Whether the fault brings an answer of its own."""
        return self.status is not None or self.body is not None

    @property
    def cuts_body(self) -> bool:
        """Whether less of a body is sent than was promised, or more, and the connection is cut."""
        return self.cut is not None or self.length is not None

    @property
    def accepts_first(self) -> bool:
        """Whether the call is carried out before anything goes wrong."""
        return self.accept or self.kill or self.drop == "after"

    def content(self) -> bytes:
        """Return the body as it goes onto the wire."""
        if isinstance(self.body, bytes):
            return self.body
        if isinstance(self.body, str):
            return self.body.encode()
        return b"" if self.body is None else json.dumps(self.body).encode()

    def media_type(self) -> str:
        """Return the Content-Type that fits the body, where `headers` says nothing else."""
        if not isinstance(self.body, bytes | str):
            return "application/json"
        page = self.content().lstrip()[:1] == b"<"
        return "text/html; charset=utf-8" if page else "application/json"


@frozen(kw_only=True)
class Outcome:
    """How a job goes and how it ends.

    Attributes:
        status: Its last status: "completed", "failed", "cancelled".
        error: The top-level error of a failed job, ``{"code": ..., "message": ...}``.
        result_error: The reason of a failure as plain text in ``result.error``.
        urls: The form in which the result's URLs are told, or "none".
        outputs: How many files come out.
        statuses: The statuses on the way, each with its share of the time; any words will do.
        seconds: How long it runs once started; None for the emulator's usual time.
        output: The bytes that come out, in place of a rendered or seeded file.
    """

    status: str = "completed"
    error: Mapping[str, str] | None = None
    result_error: str | None = None
    urls: UrlForm | None = None
    outputs: int = 1
    statuses: Mapping[str, float] | None = None
    seconds: float | None = None
    output: bytes | None = None

    def __attrs_post_init__(self) -> None:
        """Refuse words and numbers that mean nothing."""
        _require(self.status in _ENDS, "status", f"is {self.status!r}; use one of {_ENDS}")
        known = self.urls is None or self.urls in URL_FORMS
        _require(known, "urls", f"is {self.urls!r}; use one of {URL_FORMS}")
        _require(self.outputs >= 1, "outputs", f"is {self.outputs}; use 1 or more")
        lasts = self.seconds is None or self.seconds >= 0
        _require(lasts, "seconds", f"is {self.seconds}; use 0 or more")


@define
class RequestRecord:
    """One request that reached the emulator.

    Attributes:
        method: The HTTP method.
        path: The decoded path, without the query.
        query: The query string as sent.
        operation: The operation id, "download", or "" for a path that the contract does not know.
        headers: The headers, names in lower case.
        client: The caller's address and port: the same port is the same connection.
        at: When it came, in Unix seconds of the emulator's clock.
        body: What was read of its body, at most 64 KiB.
        status: The status of the answer; None until there is one, and for ever if it was dropped.
        fault: The scripted fault that hit it, if any.
    """

    method: str
    path: str
    query: str
    operation: str
    headers: dict[str, str]
    client: str
    at: float
    body: bytes = b""
    status: int | None = None
    fault: Fault | None = None

    def json(self) -> Any:
        """Return the body as JSON."""
        return json.loads(self.body)


@frozen
class JobRecord:
    """A job as the emulator knows it, at the moment of asking.

    Attributes:
        id: Its id.
        status: Its status now.
        operation: The operation that submitted it, or "" for a foreign job.
        body: The body of its request.
        webhook_url: Where its end is told.
        created_at: When it was accepted, in Unix seconds; the same for the next two.
        started_at: When it left the backlog; None while it waits there.
        ended_at: When it ended; None while it has not.
        foreign: Whether somebody else on the account submitted it.
    """

    id: str
    status: str
    operation: str
    body: Mapping[str, Any]
    webhook_url: str | None
    created_at: float
    started_at: float | None
    ended_at: float | None
    foreign: bool


@frozen
class AssetRecord:
    """An uploaded file: its id, URL, media type as sent, and size in bytes."""

    id: str
    url: str
    media_type: str
    size: int
    description: str | None


@frozen
class DeliveryRecord:
    """One attempt to deliver a webhook.

    Attributes:
        url: Where it was sent.
        job_id: The job it told of.
        status: The status it told.
        answer: The receiver's HTTP status; None if there was no answer.
        at: When, in Unix seconds of the emulator's clock.
    """

    url: str
    job_id: str
    status: str
    answer: int | None
    at: float


def _require(fine: bool, name: str, problem: str) -> None:  # noqa: FBT001 - reads as an assertion
    if not fine:
        raise InvalidRequestError(name, problem)
