"""Calls of every kind to a receiver of webhooks, and what must come of each."""

from __future__ import annotations

import asyncio
import io
import json
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from krea_aleph.errors import WebhookError
from krea_aleph.webhooks import Delivery, WebhookReceiver
from krea_aleph.webhooks.delivery import parse
from weather.answers import body_of
from weather.hooks import HOSTILE

_URL: Final = "https://example.com/hooks"
_SECRETS: Final = ("the present secret of the receiver", "the one before, still accepted")
_STATUSES: Final = frozenset({200, 400, 404, 405, 408, 411, 413, 415})
_METHODS: Final = ("POST", "post", "GET", "PUT", "", "POST ", "P\x00ST", "\u0130")
_HEADERS: Final[tuple[tuple[str, str], ...]] = (
    ("Content-Length", "7"),
    ("Content-Length", "-1"),
    ("Content-Length", "9" * 500),
    ("Content-Length", "\u0663"),
    ("CONTENT-LENGTH", "soon"),
    ("Content-Encoding", "gzip"),
    ("content-encoding", "Identity"),
    ("Content-Type", "text/html"),
    ("X-Webhook-Signature", "\udcff"),
)
_LONGEST: Final = 65_536
_LONGEST_MESSAGE: Final = 300


@dataclass(frozen=True)
class Call:
    """A request to a receiver.

    Attributes:
        method: The method.
        path: The path.
        headers: The headers.
        body: The body.
        genuine: Whether the path is one that the receiver has made.
    """

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    genuine: bool

    @property
    def names_a_job(self) -> bool:
        """Whether the body is a JSON object with a text for a job's id."""
        try:
            facts = json.loads(self.body)
        except (ValueError, RecursionError):
            return False
        return isinstance(facts, dict) and isinstance(facts.get("job_id"), str)

    @property
    def plain(self) -> bool:
        """Whether nothing about it but its body can be wrong."""
        return self.genuine and self.method == "POST" and not self.headers


class CallError(AssertionError):
    """A call has led to something that must not be; shows the call."""

    def __init__(self, call: Call, what: object) -> None:
        super().__init__(f"{what!a}: {call!r:.3000}")


class Target:
    """A receiver that is called in every way.

    Attributes:
        taken: The jobs that a call has been answered 200 for.
        told: The jobs that were told to ``on_delivery``.
    """

    def __init__(self, seed: int) -> None:
        self._dice = random.Random(seed)  # noqa: S311 - a test's dice
        self._receiver = WebhookReceiver(
            _URL, _SECRETS, on_delivery=self._called, max_body=_LONGEST
        )
        self._older = WebhookReceiver(_URL, _SECRETS[1:])
        self._stranger = WebhookReceiver(_URL, ["a secret that nobody here has"])
        self._runner = asyncio.Runner()
        self._last: str | None = None
        self.taken: set[str] = set()
        self.told: set[str] = set()

    def _called(self, delivery: Delivery) -> None:
        self.told.add(delivery.job_id)

    # Calls

    def calls(self, count: int) -> Iterator[Call]:
        """Yield so many calls, which follow from the seed."""
        for _ in range(count):
            yield self._call()

    def _call(self) -> Call:
        dice = self._dice
        path, genuine = self._path()
        method = "POST" if dice.random() < 0.9 else dice.choice(_METHODS)
        headers = dict(dice.sample(_HEADERS, dice.choice((0, 0, 0, 0, 1, 3))))
        body = dice.choice(HOSTILE) if dice.random() < 0.1 else body_of(dice)
        return Call(method, path, headers, body, genuine)

    def _path(self) -> tuple[str, bool]:
        dice = self._dice
        receiver = dice.choice((self._receiver, self._receiver, self._older))
        if self._last is None or dice.random() < 0.8:
            self._last = urlsplit(receiver.mint(dice.choice(("default", "a/b", "é|é", "")))).path
        path = self._last
        if dice.random() < 0.7:
            return dice.choice((path, f"/elsewhere{path}", f"{path}?a=b")), True
        front, _, token = path.rpartition("/")
        nonce, _, signature = token.partition(".")
        forged = urlsplit(self._stranger.mint()).path
        place = dice.randrange(len(token) - 1)
        other = dice.choice("AB-_." if token[place] != "A" else "B-_.")
        mangled = token[:place] + other + token[place + 1 :]
        wrong = (
            forged,
            f"{front}/{mangled}" if mangled != token else forged,
            f"{front}/{nonce}.",
            f"{front}/{nonce}.{signature.lower()}=",
            f"{front}x/{token}",
            f"{path}/",
            f"{path}\n",
            f"{path}\udcff",
            path[: dice.randrange(len(path))],
            "/" * 5000,
            "",
            "/../../etc/passwd",
            f"/{'A' * 5000}/{'A' * 30}.{'A' * 43}",
        )
        return dice.choice(wrong), False

    # What comes of them

    def check(self, call: Call) -> None:
        """Make a call in one of the ways there are, and look at what comes of it.

        Raises:
            CallError: Something came of it that must not.
        """
        self._check_parser(call)
        way = self._dice.choice((self._handle, self._handle, self._wsgi, self._asgi))
        try:
            status = way(call)
        except Exception as error:
            raise CallError(call, f"{way.__name__}: {error!r}") from error
        if status not in _STATUSES:
            raise CallError(call, status)
        if status == 200 and not (call.genuine and call.names_a_job):
            raise CallError(call, "it was taken")
        if not call.genuine and status not in {404, 405}:
            raise CallError(call, f"an address that is none of ours is answered {status}")
        if status == 200:
            self.taken.add(parse(call.body))
        elif call.plain and self._is_fine(call.body) and status != 404:
            raise CallError(call, f"it was not taken: {status}")

    @staticmethod
    def _is_fine(body: bytes) -> bool:
        try:
            return bool(parse(body)) and len(body) <= _LONGEST
        except WebhookError:
            return False

    @staticmethod
    def _check_parser(call: Call) -> None:
        try:
            job_id = parse(call.body)
        except WebhookError as error:
            words = str(error)
            if not words.isprintable() or len(words) > _LONGEST_MESSAGE:
                raise CallError(call, words) from error
        except Exception as error:
            raise CallError(call, error) from error
        else:
            if not call.names_a_job or not job_id.isascii() or {*job_id} & {*'/?#%"\\<> \n'}:
                raise CallError(call, job_id)

    def _handle(self, call: Call) -> int:
        return self._receiver.handle(call.method, call.path, call.body, call.headers).status

    def _wsgi(self, call: Call) -> int:
        told: list[str] = []
        headers = {name.lower(): value for name, value in call.headers.items()}
        environ = {
            "REQUEST_METHOD": call.method,
            "PATH_INFO": call.path,
            "CONTENT_LENGTH": headers.get("content-length", str(len(call.body))),
            "HTTP_CONTENT_ENCODING": headers.get("content-encoding", ""),
            "wsgi.input": io.BytesIO(call.body),
        }
        self._receiver.wsgi(environ, lambda status, _: told.append(status))
        return int(told[0].partition(" ")[0])

    def _asgi(self, call: Call) -> int:
        pieces = [call.body[:9], call.body[9:20_000], call.body[20_000:]]
        messages = [
            {"type": "http.request", "body": piece, "more_body": number < len(pieces)}
            for number, piece in enumerate(pieces, start=1)
        ]
        sent: list[Any] = []

        async def receive() -> Any:
            return messages.pop(0)

        async def send(message: Any) -> None:
            sent.append(message)

        headers = [
            (name.lower().encode(), value.encode("latin-1", "replace"))
            for name, value in call.headers.items()
        ]
        scope = {"type": "http", "method": call.method, "path": call.path, "headers": headers}
        self._runner.run(self._receiver.asgi(scope, receive, send))
        return int(sent[0]["status"])

    # The end

    def close(self) -> None:
        """Wait for what is left to do."""
        for thread in threading.enumerate():
            if thread.name == "krea-aleph-webhooks":
                thread.join(60)
        self._runner.close()


@contextmanager
def target(seed: int) -> Iterator[Target]:
    """Give a receiver to call, and see in the end that only what was taken was told.

    Raises:
        AssertionError: Something else was.
    """
    made = Target(seed)
    try:
        yield made
    finally:
        made.close()
    assert made.told <= made.taken, made.told - made.taken
    assert made.told
