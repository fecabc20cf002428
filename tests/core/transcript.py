"""Plays operations by transcript: a stage answers their steps, and notes what they did.

No sockets, no threads, no waiting: a sleep moves the stage's clock, and the answers are values that
a test has written down. Files are real ones, in the test's own folder.
"""

from __future__ import annotations

import json
import re
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar, Unpack

from krea_aleph._config import ClientOptions, Config
from krea_aleph._steps import (
    Call,
    CleanUp,
    Draw,
    Emit,
    Fetch,
    Now,
    RefreshKey,
    Report,
    Request,
    Response,
    Send,
    SendAll,
    Sleep,
    Step,
    Steps,
    Today,
    TransportFault,
)
from krea_aleph.models import Bell, Event, Update

T = TypeVar("T")

KEY: Final = "key-id:key-secret"
UNIX: Final = 1_800_000_000.0  # 2027-01-15 08:00:00 UTC
MOST_REQUESTS: Final = 10_000
JOB_ID: Final = "550e8400-e29b-41d4-a716-446655440000"
CLIP: Final = b"\x00\x00\x00\x18ftypisom" + bytes(range(256)) * 8
CLIP_URL: Final = "https://gen.example/videos/out.mp4"


class Served(NamedTuple):
    """What an output host answers: pieces of a body, and perhaps a break after them."""

    status: int = 200
    headers: Mapping[str, str] = {}
    pieces: tuple[bytes, ...] = ()
    fault: TransportFault | None = None


Reply: TypeAlias = Response | BaseException
Answer: TypeAlias = Reply | Callable[["Stage", Request], Reply]
Host: TypeAlias = Served | BaseException


def answer(
    body: object = None, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Make an answer; bytes are sent as they are, everything else as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Response(status, headers or {}, b"" if body is None else content)


def job_answer(status: str = "processing", **fields: Any) -> Response:
    """Make an answer with a job."""
    return answer({"job_id": JOB_ID, "status": status, **fields})


def completed(*urls: object) -> Response:
    """Make an answer with a completed job and its outputs."""
    return job_answer("completed", result={"urls": list(urls) or [CLIP_URL]})


def not_sent() -> TransportFault:
    """Make the fault of a connection that was never made."""
    return TransportFault("ConnectError: refused", sent=False)


def cut_off() -> TransportFault:
    """Make the fault of a connection that broke after the request had left."""
    return TransportFault("ReadError: reset", sent=True)


def timed_out() -> TransportFault:
    """Make the fault of an answer that did not come in time."""
    return TransportFault("ReadTimeout: no details", sent=True, timed_out=True)


def configured(**options: Unpack[ClientOptions]) -> Config:
    """Resolve options as a client does."""
    return Config.resolve({"api_key": KEY, **options})


@dataclass
class Interruption:
    """What interrupts an operation, and at which step; it happens once."""

    error: BaseException
    at: Callable[[Step], bool]


class Stage:
    """Answers the steps of operations and notes them.

    Attributes:
        requests: The requests that were sent, in order.
        sends: The same, as the steps that sent them.
        fetches: The downloads that were begun, with their headers.
        sleeps: The seconds of each pause.
        updates: What was emitted.
        events: What was reported.
        refreshed: The generations of the key that were found too old.
        cleaning: Whether the operation has begun to clean up.
        now: Monotonic seconds.
    """

    def __init__(
        self,
        *answers: Answer,
        hosts: Iterable[Host] = (),
        draws: Callable[[], float] = lambda: 0.5,
        seconds: float = 0.0,
        start: float = 1000.0,
        renewable: bool = False,
        interruption: Interruption | None = None,
        happenings: Mapping[float, Callable[[], object]] | None = None,
    ) -> None:
        """Write a transcript.

        Args:
            *answers: What each request is answered; the last one is repeated for ever.
            hosts: What each download is answered.
            draws: Where random numbers come from.
            seconds: How long each request takes.
            start: What the monotonic clock says at the beginning.
            renewable: Whether there is a callable to ask for a newer key.
            interruption: What interrupts the operation, if anything.
            happenings: What is called during pauses, by the seconds since the beginning, in order.
        """
        self._answers = deque(answers)
        self._hosts = deque(hosts)
        self._draws = draws
        self._seconds = seconds
        self._start = start
        self._renewable = renewable
        self._interruption = interruption
        self._happenings = deque((happenings or {}).items())
        self.now = start
        self.sends: list[Send] = []
        self.fetches: list[Fetch] = []
        self.sleeps: list[float] = []
        self.updates: list[Any] = []
        self.events: list[Event] = []
        self.refreshed: list[int] = []
        self.cleaning = False

    @property
    def requests(self) -> list[Request]:
        """The requests that were sent."""
        return [step.request for step in self.sends]

    @property
    def operations(self) -> list[str]:
        """The operations of the requests that were sent."""
        return [request.operation for request in self.requests]

    @property
    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return self.now - self._start

    @property
    def unused(self) -> int:
        """How many answers nobody asked for."""
        return len(self._answers)

    def kinds(self) -> list[str]:
        """Return the kinds of the events that were reported."""
        return [event.kind for event in self.events]

    def play(self, operation: Steps[T]) -> T:
        """Perform an operation to its end, as the drivers do, and return its result."""
        try:
            step = operation.send(None)
            while True:
                try:
                    reply = self._perform(step)
                except BaseException as error:  # noqa: BLE001 - the operation decides
                    step = operation.throw(error)
                else:
                    step = operation.send(reply)
        except StopIteration as stop:
            result: T = stop.value
            return result

    def until(self, operation: Steps[T], kind: type[Step]) -> Steps[T]:
        """Perform an operation up to its first step of a kind, and leave it standing there."""
        step = operation.send(None)
        while not isinstance(step, kind):
            step = operation.send(self._perform(step))
        return operation

    def _perform(self, step: Step) -> Any:  # noqa: C901, PLR0911, PLR0912 - a table
        if self._interruption is not None and self._interruption.at(step):
            error, self._interruption = self._interruption.error, None
            raise error
        match step:
            case Send():
                return self._send(step)
            case SendAll(sends):
                return [self._outcome(send) for send in sends]
            case Fetch():
                return self._fetch(step)
            case Sleep(seconds, bell):
                assert seconds >= 0
                self._sleep(seconds, bell)
            case Now():
                return self.now
            case Today():
                return UNIX + self.elapsed
            case Draw():
                return self._draws()
            case Call(function):
                return function()
            case RefreshKey(generation):
                self.refreshed.append(generation)
                return self._renewable
            case CleanUp():
                self.cleaning = True
            case Emit(update):
                self.updates.append(update)
            case Report(event):
                self.events.append(event)
        return None

    def _sleep(self, seconds: float, bell: Bell | None) -> None:
        """Let time pass, and happen what is to happen then, until the bell rings."""
        begun, ends, rung = self.now, self.now + seconds, threading.Event()
        with nullcontext() if bell is None else bell.waking(rung.set):
            while self._happenings and not rung.is_set():
                moment = self._start + self._happenings[0][0]
                if moment > ends:
                    break
                self.now = max(self.now, moment)
                self._happenings.popleft()[1]()
        self.now = self.now if rung.is_set() else ends
        self.sleeps.append(self.now - begun)

    def _send(self, step: Send) -> Response:
        self.sends.append(step)
        self.now += self._seconds
        assert len(self.sends) < MOST_REQUESTS, "the operation goes round in circles"
        assert self._answers, f"no answer is left for {step.request.operation}"
        found = self._answers[0] if len(self._answers) == 1 else self._answers.popleft()
        reply = found(self, step.request) if callable(found) else found
        if isinstance(reply, BaseException):
            if isinstance(reply, TransportFault):
                reply.seconds = self._seconds
            raise reply
        return reply._replace(seconds=self._seconds)

    def _outcome(self, step: Send) -> Response | TransportFault:
        try:
            return self._send(step)
        except TransportFault as fault:
            return fault

    def _fetch(self, step: Fetch) -> Response:
        self.fetches.append(step)
        served = self._hosts.popleft()
        if isinstance(served, BaseException):
            raise served
        if step.sink.begin(served.status, served.headers):
            for piece in served.pieces:
                step.sink.write(piece)
        if served.fault is not None:
            raise served.fault
        return Response(served.status, served.headers)


def changes(stage: Stage) -> list[str]:
    """Return the statuses that were shown, in order."""
    return [update.job.status for update in stage.updates if isinstance(update, Update)]


def at(kind: type[Step], number: int = 1) -> Callable[[Step], bool]:
    """Say yes to the so-many-th step of a kind."""
    left = number

    def reached(step: Step) -> bool:
        nonlocal left
        left -= isinstance(step, kind)
        return left == 0

    return reached


def label(value: object) -> str:
    """Name a row of a table, the same way in every run."""
    return re.sub(r" at 0x[0-9a-f]+", "", str(value))[:60]
