"""From a name to one of its addresses, over real sockets."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import anyio
import httpcore
import pytest

from krea_aleph import _addresses
from krea_aleph._steps import TransportFault

BACKENDS = ("asyncio", "trio")


@pytest.fixture
def listening() -> Iterator[int]:
    """A port that answers on 127.0.0.1, and on no other address of this machine."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def silent(listening: int) -> Iterator[int]:
    """The same port; on 127.0.0.2 it neither answers nor refuses."""
    with ExitStack() as stack:
        full = stack.enter_context(socket.socket())
        full.bind(("127.0.0.2", listening))
        full.listen(0)
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(("127.0.0.2", listening))
        yield listening


async def reach(addresses: list[str], port: int, seconds: float = 30.0) -> str:
    """Return the address that the first connection to be made leads to."""
    backend = httpcore.AnyIOBackend()

    async def connect(address: str) -> httpcore.AsyncNetworkStream:
        return await backend.connect_tcp(address, port, seconds)

    stream = await _addresses.afirst(addresses, connect)
    try:
        return str(stream.get_extra_info("server_addr")[0])
    finally:
        await stream.aclose()


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_address_that_refuses(backend: str, listening: int) -> None:
    """Where one address refuses, the next one is taken."""
    addresses = ["127.0.0.3", "127.0.0.2", "127.0.0.1"]
    assert anyio.run(reach, addresses, listening, backend=backend) == "127.0.0.1"


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_address_that_is_silent(backend: str, silent: int) -> None:
    """An address that leads nowhere holds up nobody for as long as a connection may take."""

    async def main() -> str:
        with anyio.fail_after(20):
            return await reach(["127.0.0.2", "127.0.0.1"], silent)

    assert anyio.run(main, backend=backend) == "127.0.0.1"


@pytest.mark.parametrize("backend", BACKENDS)
def test_no_address_answers(backend: str, listening: int) -> None:
    """The failure is that of the last address, and one of a connection."""
    with pytest.raises(httpcore.ConnectError):
        anyio.run(reach, ["127.0.0.2", "127.0.0.3"], listening, backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_two_that_answer_at_once(backend: str, listening: int) -> None:
    """Only one connection is used; the others are closed, and so are all of them when cancelled."""
    opened: list[httpcore.AsyncNetworkStream] = []

    async def main() -> None:
        both = anyio.Event()

        async def connect(address: str) -> httpcore.AsyncNetworkStream:
            stream = await httpcore.AnyIOBackend().connect_tcp(address, listening)
            opened.append(stream)
            if len(opened) == 2:
                both.set()
            with anyio.CancelScope(shield=True):
                await both.wait()
            return stream

        await (await _addresses.afirst(["127.0.0.1", "127.0.0.1"], connect)).aclose()

    anyio.run(main, backend=backend)
    assert len(opened) == 2  # one left open would be a ResourceWarning, and warnings are errors


@pytest.mark.parametrize("backend", BACKENDS)
def test_cancelled_while_connecting(backend: str, listening: int) -> None:
    """What has been connected when the task is cancelled is closed."""

    async def main() -> None:
        with anyio.CancelScope() as scope:

            async def connect(address: str) -> httpcore.AsyncNetworkStream:
                stream = await httpcore.AnyIOBackend().connect_tcp(address, listening)
                scope.cancel()
                return stream

            await _addresses.afirst(["127.0.0.1"], connect)
        assert scope.cancelled_caught

    anyio.run(main, backend=backend)


def test_the_same_when_blocking(listening: int) -> None:
    """Each address is tried in turn, and the last failure counts."""

    def connect(address: str) -> str:
        with socket_to(address, listening) as stream:
            return str(stream.getpeername()[0])

    assert _addresses.first(["127.0.0.2", "127.0.0.1"], connect) == "127.0.0.1"
    with pytest.raises(httpcore.ConnectError):
        _addresses.first(["127.0.0.2", "127.0.0.3"], connect)


def socket_to(address: str, port: int) -> Any:
    """Connect, and fail as httpcore does."""
    try:
        return socket.create_connection((address, port))
    except OSError as error:
        raise httpcore.ConnectError from error


@pytest.mark.parametrize("backend", BACKENDS)
def test_names(backend: str) -> None:
    """A name is resolved by the system; what it refuses is a failed connection."""
    found = _addresses.resolved("localhost", 80)
    assert _addresses.admitted("localhost", found, lambda _: True)[0] in {"127.0.0.1", "::1"}
    with pytest.raises(httpcore.ConnectError):
        _addresses.resolved("localhost", -1)

    async def resolve(name: str, port: int, seconds: float) -> Any:
        return await _addresses.aresolved(name, port, seconds)

    assert {entry[4] for entry in anyio.run(resolve, "localhost", 80, 9.0, backend=backend)} == {
        entry[4] for entry in found
    }
    with pytest.raises(httpcore.ConnectError):
        anyio.run(resolve, "localhost", -1, 9.0, backend=backend)
    with pytest.raises(httpcore.ConnectTimeout):
        anyio.run(resolve, "localhost", 80, 0.0, backend=backend)


ENTRIES = [(0, 0, 0, "", (address, 80)) for address in ("10.0.0.1", "8.8.8.8", "8.8.8.8", "::1")]


def test_only_admitted_addresses_are_left() -> None:
    """What is not admitted is passed over; where nothing is left, no try will mend that."""
    assert _addresses.admitted("x", ENTRIES, lambda address: address == "8.8.8.8") == ["8.8.8.8"]
    with pytest.raises(TransportFault, match=r"x leads to 10\.0\.0\.1, 8\.8\.8\.8, ::1") as caught:
        _addresses.admitted("x", ENTRIES, lambda _: False)
    assert (caught.value.hopeless, caught.value.sent) == (True, False)
    with pytest.raises(TransportFault, match="x leads to nothing"):
        _addresses.admitted("x", [], lambda _: True)
