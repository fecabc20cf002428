"""An emulator with virtual time, and a plain HTTP client that knows its key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from krea_aleph.emulator import Emulator, VirtualClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ALEPH = "/generate/video/runway/aleph"


class Customer:
    """Somebody who talks to an emulator by hand."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self.http = httpx.Client(
            base_url=emulator.base_url,
            headers={"Authorization": f"Bearer {emulator.key}"},
            trust_env=False,
        )

    def sleep(self, seconds: float) -> None:
        """Let virtual time pass."""
        self.emulator.clock.sleep(seconds)

    def submit(self, **body: Any) -> dict[str, Any]:
        """Submit a job, and return what was answered."""
        answer = self.post(**body)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def post(self, *, webhook: str | None = None, **body: Any) -> httpx.Response:
        """Submit a job, whatever the answer."""
        headers = {} if webhook is None else {"X-Webhook-URL": webhook}
        full = {"prompt": "make it snow", "init_video": "https://example.com/in.mp4"} | body
        return self.http.post(ALEPH, json=full, headers=headers)

    def job(self, job_id: str) -> dict[str, Any]:
        """Look at a job."""
        answer = self.http.get(f"/jobs/{job_id}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def finished(self, **body: Any) -> dict[str, Any]:
        """Submit a job, wait, and return how it ended."""
        job = self.submit(**body)
        self.sleep(60)
        return self.job(job["job_id"])

    def upload(
        self, content: bytes = b"clip", name: str = "in.mp4", kind: str | None = "video/mp4"
    ) -> httpx.Response:
        """Upload a file."""
        return self.http.post("/assets", files={"file": (name, content, kind)})


@pytest.fixture
def open_shop() -> Iterator[Callable[..., Customer]]:
    """Start emulators with the options of one's choice; time is virtual, nothing is rendered."""
    customers: list[Customer] = []

    def start(**options: Any) -> Customer:
        emulator = Emulator(**{"clock": VirtualClock(), "render": False, **options}).start()
        customers.append(Customer(emulator))
        return customers[-1]

    yield start
    for customer in customers:
        customer.http.close()
        customer.emulator.stop()


@pytest.fixture
def krea(open_shop: Callable[..., Customer]) -> Customer:
    """A customer of an emulator as it is by default, but for virtual time and no rendering."""
    return open_shop()
