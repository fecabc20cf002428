"""From a name to one of its addresses: only admitted ones, and another where one is silent."""

from __future__ import annotations

import socket
from typing import Any, Final, TypeAlias, TypeVar

import httpcore

from krea_aleph._steps import TransportFault

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

T = TypeVar("T")

_Entries: TypeAlias = "Sequence[tuple[Any, ...]]"

# How long one address is waited for before the next is tried as well, in seconds.
_HEAD_START: Final = 0.25
_MOST_SHOWN: Final = 3


def resolved(host: str, port: int) -> _Entries:
    """Ask the system for the addresses of a name.

    Raises:
        httpcore.ConnectError: There are none.
    """
    try:
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise httpcore.ConnectError(str(error)) from error


async def aresolved(host: str, port: int, seconds: float) -> _Entries:
    """Do the same without blocking the event loop; one address of each family comes first.

    A family that leads nowhere then costs little, however many addresses it has.

    Raises:
        httpcore.ConnectError: There are none.
        httpcore.ConnectTimeout: The answer did not come in so many seconds.
    """
    import anyio  # noqa: PLC0415 - a synchronous start should not pay for it

    try:
        with anyio.fail_after(seconds):
            found = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except TimeoutError as error:
        raise httpcore.ConnectTimeout(f"{host} was not resolved in time") from error
    except OSError as error:
        raise httpcore.ConnectError(str(error)) from error
    sixth = [entry for entry in found if entry[0] == socket.AF_INET6]
    others = [entry for entry in found if entry[0] != socket.AF_INET6]
    return [*sixth[:1], *others[:1], *sixth[1:], *others[1:]]


def admitted(host: str, entries: Iterable[Any], admits: Callable[[str], bool]) -> list[str]:
    """Return the addresses that may be connected to.

    Raises:
        TransportFault: There is none.
    """
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in entries))
    found = [address for address in addresses if admits(address)]
    if not found:
        shown = ", ".join(addresses[:_MOST_SHOWN]) or "nothing"
        problem = f"{host} leads to {shown}, and to no public address"
        raise TransportFault(problem, sent=False, hopeless=True)
    return found


def first(addresses: Sequence[str], connect: Callable[[str], T]) -> T:
    """Return what comes of the first address that answers, each tried in turn.

    Raises:
        httpcore.ConnectError: None answered, the last of them like this; or ConnectTimeout.
    """
    for address in addresses[:-1]:
        try:
            return connect(address)
        except (httpcore.ConnectError, httpcore.ConnectTimeout):
            continue
    return connect(addresses[-1])


async def afirst(
    addresses: Sequence[str], connect: Callable[[str], Awaitable[httpcore.AsyncNetworkStream]]
) -> httpcore.AsyncNetworkStream:
    """Do the same, not waiting long for one before the next is tried as well.

    Raises:
        httpcore.ConnectError: None answered, the last of them like this; or a timeout.
    """
    import anyio  # noqa: PLC0415 - as above

    found: list[httpcore.AsyncNetworkStream] = []
    failures: list[Exception] = []

    async def attempt(address: str, ended: anyio.Event) -> None:
        try:
            found.append(await connect(address))
            group.cancel_scope.cancel()
        except Exception as error:  # noqa: BLE001 - raised below
            failures.append(error)
        finally:
            ended.set()

    try:
        async with anyio.create_task_group() as group:
            for address in addresses:
                ended = anyio.Event()
                group.start_soon(attempt, address, ended)
                with anyio.move_on_after(_HEAD_START):
                    await ended.wait()
    except BaseException:
        await _close(found)
        raise
    await _close(found[1:])
    if not found:
        raise failures[-1]
    return found[0]


async def _close(streams: Iterable[httpcore.AsyncNetworkStream]) -> None:
    import anyio  # noqa: PLC0415 - as above

    with anyio.CancelScope(shield=True):
        for stream in streams:
            await stream.aclose()
