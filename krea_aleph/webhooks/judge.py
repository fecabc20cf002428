"""Judging a request: is it a delivery of ours, and which job is it about."""

from __future__ import annotations

import time
from typing import Final, NamedTuple

from krea_aleph.errors import WebhookError
from krea_aleph.webhooks.delivery import Arrival, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from krea_aleph.webhooks.addresses import Address, Addresses
    from krea_aleph.webhooks.aftermath import Aftermath
    from krea_aleph.webhooks.memory import Memory


_HEADERS: Final[Mapping[str, str]] = {"content-length": "0", "content-type": "text/plain"}


class Response(NamedTuple):
    """What to answer a request with.

    Attributes:
        status: The HTTP status.
        headers: The headers.
        body: The body, which says nothing.

    Example:
        >>> Response(404).status
        404
    """

    status: int
    headers: Mapping[str, str] = _HEADERS
    body: bytes = b""


TOO_SLOW: Final = Response(408)
NO_LENGTH: Final = Response(411)
_TAKEN: Final = Response(200)
_MALFORMED: Final = Response(400)
_NOT_FOUND: Final = Response(404)
_WRONG_METHOD: Final = Response(405, {**_HEADERS, "allow": "POST"})
_TOO_LARGE: Final = Response(413)
_ENCODED: Final = Response(415)


class Judge:
    """Says what to answer. An address that is not ours is told from nothing else.

    Attributes:
        max_body: The largest body in bytes that is read.
    """

    def __init__(
        self, addresses: Addresses, memory: Memory, aftermath: Aftermath, max_body: int
    ) -> None:
        self._addresses = addresses
        self._memory = memory
        self._aftermath = aftermath
        self.max_body = max_body

    def admit(self, method: str, path: str, headers: Mapping[str, str]) -> Response | Address:
        """Return what address a request is for, or the answer if its body is not even wanted."""
        if method.upper() != "POST":
            return _WRONG_METHOD
        address = self._addresses.read(path)
        if address is None:
            return _NOT_FOUND
        given = {name.lower(): value for name, value in headers.items()}
        if given.get("content-encoding", "identity").lower() != "identity":
            return _ENCODED
        length = given.get("content-length", "")
        too_large = length.isdecimal() and int(length[:20]) > self.max_body
        return _TOO_LARGE if too_large else address

    def take(self, address: Address, body: bytes) -> tuple[Response, Arrival | None]:
        """Return the answer to a body, and the delivery if there is anything to do about it."""
        if len(body) > self.max_body:
            return _TOO_LARGE, None
        try:
            arrival = Arrival(*address, parse(body), time.time())
        except WebhookError as error:
            self._aftermath.refuse(address.account, None, error)
            return _MALFORMED, None
        if not self._memory.takes(arrival):
            self._aftermath.refuse_job(arrival)
            return _NOT_FOUND, None
        return _TAKEN, arrival if self._memory.is_news(arrival, body) else None
