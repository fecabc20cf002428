"""Web servers of this machine that serve a receiver, as a web application would."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from krea_aleph.emulator.server import ThreadedServer, listen
from krea_aleph.webhooks import Delivery, WebhookReceiver

SECRETS = ["a secret of more than sixteen bytes"]


class Deliveries:
    """What `on_delivery` was called with, which is when a delivery has been dealt with."""

    def __init__(self) -> None:
        self._found: list[Delivery] = []
        self.came = threading.Condition()

    def __call__(self, delivery: Delivery) -> None:
        """Take a delivery."""
        with self.came:
            self._found.append(delivery)
            self.came.notify_all()

    def wait(self, number: int) -> list[Delivery]:
        """Wait for so many deliveries, and return what came."""
        with self.came:
            assert self.came.wait_for(lambda: len(self._found) >= number, timeout=20)
            return list(self._found)

    def jobs(self, number: int) -> list[str]:
        """Wait for so many deliveries, and return the jobs that they told of."""
        return [delivery.job_id for delivery in self.wait(number)]

    @property
    def found(self) -> list[Delivery]:
        """What came, once no thread has anything left to do."""
        for thread in threading.enumerate():
            if thread.name == "krea-aleph-webhooks":
                thread.join(20)
        return self._found


@contextmanager
def receiving(
    mount: Callable[[WebhookReceiver], Any] = lambda receiver: receiver.asgi,
    *,
    prefix: str = "",
    **options: Any,
) -> Iterator[WebhookReceiver]:
    """Give a receiver that a real server serves.

    Args:
        mount: Makes the ASGI application out of the receiver.
        prefix: The path at which the application has it.
        **options: Those of the receiver.
    """
    listener = listen("127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}{prefix}"
    receiver = WebhookReceiver(url, **{"secrets": SECRETS, **options})
    server = ThreadedServer(mount(receiver), listener, _nothing)
    server.start()
    try:
        yield receiver
    finally:
        server.stop()


async def _nothing() -> None:
    """Have nothing to close."""
