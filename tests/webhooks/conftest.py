"""A receiver, and requests to it as Krea would make them."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

import pytest

from krea_aleph.models import Event
from krea_aleph.webhooks import Response, WebhookReceiver
from web import SECRETS, Deliveries

PUBLIC = "https://example.com/hooks"
NONCE = "a-nonce-of-24-characters"
JOB = "550e8400-e29b-41d4-a716-446655440000"


class Listener:
    """A client as its receiver sees it, which notes what it is asked and told."""

    def __init__(self, account: str = "default", *, asynchronous: bool = False) -> None:
        self.account = account
        self.asynchronous = asynchronous
        self.confirmed: list[str] = []
        self.events: list[Event] = []

    def usable(self) -> bool:
        """Say yes."""
        return True

    def confirm(self, nonce: str) -> Any:
        """Note which submit is asked about."""
        self.confirmed.append(nonce)
        return _done() if self.asynchronous else None

    def publish(self, event: Event) -> None:
        """Note an event."""
        self.events.append(event)

    @property
    def kinds(self) -> list[str]:
        """The kinds of the events that were told."""
        return [event.kind for event in self.events]


async def _done() -> None:
    """Have nothing to do."""


def body(job_id: object = JOB, **facts: object) -> bytes:
    """Write a delivery."""
    return json.dumps({"job_id": job_id, "status": "completed", **facts}).encode()


def post(receiver: WebhookReceiver, content: bytes | None = None, **parts: Any) -> Response:
    """Post a delivery to a fresh address of a receiver, or to the one that is named."""
    path = parts.pop("path", None) or urlsplit(receiver.url("default", NONCE)).path
    return receiver.handle("POST", path, body() if content is None else content, **parts)


@pytest.fixture
def deliveries() -> Deliveries:
    """What a receiver's callback was called with."""
    return Deliveries()


@pytest.fixture
def receiver(deliveries: Deliveries) -> WebhookReceiver:
    """A receiver that nobody serves."""
    return WebhookReceiver(PUBLIC, SECRETS, on_delivery=deliveries)
