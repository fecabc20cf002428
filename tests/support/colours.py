"""Every scenario runs three times: with `Aleph`, and with `AsyncAleph` on asyncio and on trio.

Fixtures for the conftest modules of those suites that play such scenarios.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal

from krea_aleph.emulator import Emulator

COLOURS = ("sync", "asyncio", "trio")
OpenClient: TypeAlias = Callable[..., Any]

# The smallest thing that is an mp4 by its first bytes; the emulator serves bytes, no video.
CLIP = b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom" + bytes(range(256)) * 8


class Awaited:
    """An asynchronous client on an event loop of its own, called as if it were blocking."""

    def __init__(self, client: Any, portal: BlockingPortal) -> None:
        self._client = client
        self._portal = portal

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._client, name)
        return self._blocking(member) if callable(member) else member

    def _blocking(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            result = method(*args, **kwargs)
            if inspect.isawaitable(result):
                return self._portal.call(_await, result)
            if hasattr(result, "__anext__"):
                return self._iterate(result)
            return result

        return call

    def _iterate(self, values: Any) -> Iterator[Any]:
        try:
            while True:
                try:
                    yield self._portal.call(values.__anext__)
                except StopAsyncIteration:
                    return
        finally:
            self._portal.call(values.aclose)


async def _await(result: Any) -> Any:
    return await result


@pytest.fixture(params=COLOURS)
def colour(request: pytest.FixtureRequest) -> str:
    """The kind of client that a scenario runs with."""
    return str(request.param)


@pytest.fixture
def open_client(colour: str, emulator: Emulator) -> Iterator[OpenClient]:
    """Make clients of one colour; their time is virtual unless a test says otherwise."""
    with ExitStack() as stack:
        portal = None if colour == "sync" else stack.enter_context(start_blocking_portal(colour))

        def open_one(**options: Any) -> Any:
            options = {"virtual_time": True, **options}
            if portal is None:
                return stack.enter_context(emulator.aleph(**options))
            client = Awaited(emulator.async_aleph(**options), portal)
            stack.callback(client.close)
            return client

        yield open_one


@pytest.fixture
def aleph(open_client: OpenClient) -> Any:
    """A client of one colour with everything as it is by default."""
    return open_client()


@pytest.fixture
def emulator(request: pytest.FixtureRequest) -> Iterator[Emulator]:
    """A local Krea; a test says with the marker `emulator(...)` what is special about it."""
    marker = request.node.get_closest_marker("krea_emulator")
    options = {} if marker is None else dict(marker.kwargs)
    with Emulator(**{"render": False, **options}) as running:
        yield running


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A file that looks like a video."""
    path = tmp_path / "shot.mp4"
    path.write_bytes(CLIP)
    return path
