"""The guide to webhooks is true where the blocks that run do not already show it."""

from __future__ import annotations

import re
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import httpx
import pytest

from krea_aleph import Aleph, Saved
from krea_aleph.emulator import Emulator
from krea_aleph.emulator.server import ThreadedServer, listen
from krea_aleph.webhooks import Delivery, judge
from web import receiving

PAGE = (Path(__file__).parents[2] / "docs/webhooks.md").read_text("utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def test_every_status_is_in_the_table() -> None:
    """The table has each answer that a receiver can give, and no other."""
    rows = re.findall(r"^\|[^|]*\| ([\d; ]+) \|", PAGE, re.MULTILINE)
    told = {int(status) for row in rows for status in row.split(";")}
    answers = [value for value in vars(judge).values() if isinstance(value, judge.Response)]
    assert told == {answer.status for answer in answers}
    assert told <= set(BaseHTTPRequestHandler.responses)


def test_the_application_of_the_guide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The FastAPI application is called back by Krea once it is served at its address."""
    listener = listen("127.0.0.1", 0)
    with Emulator(render=False, job_seconds=0.1) as emulator:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("KREA_API_KEY", emulator.key)
        monkeypatch.setenv("KREA_BASE_URL", emulator.base_url)
        monkeypatch.setenv("PUBLIC_URL", f"http://127.0.0.1:{listener.getsockname()[1]}")
        monkeypatch.setenv("WEBHOOK_SECRET", "a secret of more than sixteen bytes")
        (tmp_path / "in.mp4").write_bytes(b"\x00\x00\x00\x18ftypmp42" + bytes(2000))
        (block,) = [block for block in BLOCKS if "FastAPI(" in block]
        block = block.replace("app = FastAPI(lifespan=lifespan)", "app = FastAPI()")
        printed: SimpleQueue[tuple[str, str]] = SimpleQueue()
        names: dict[str, Any] = {"print": lambda *words: printed.put(words)}
        exec(compile(block, "webhooks.md", "exec"), names)  # noqa: S102 - our own text
        app = names["app"]
        server = ThreadedServer(app, listener, _nothing)
        server.start()
        try:
            assert server.loop is not None
            app.state.aleph = names["AsyncAleph"](receiver=names["receiver"])
            url = f"http://127.0.0.1:{server.port}/shots"
            job_id = httpx.post(url, params={"prompt": "snow"}, trust_env=False).json()
            assert printed.get(timeout=20) == ("there is news of job", job_id)
        finally:
            server.stop()


async def _nothing() -> None:
    """Have nothing to close."""


def test_the_callback_may_ask(tmp_path: Path) -> None:
    """`download` in a callback works once the job has ended, as the guide says."""
    saved: SimpleQueue[Saved] = SimpleQueue()
    clients: list[Aleph] = []

    def called(delivery: Delivery) -> None:
        saved.put(clients[0].download(delivery.job_id, tmp_path / "out.mp4"))

    with (
        Emulator(render=False, job_seconds=0.1) as emulator,
        receiving(on_delivery=called) as receiver,
        emulator.aleph(receiver=receiver) as aleph,
    ):
        clients.append(aleph)
        job = aleph.submit("https://example.com/in.mp4", "snow")
        found = saved.get(timeout=20)
    assert found.job is not None
    assert found.job.id == job.id
