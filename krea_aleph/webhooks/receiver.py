"""The receiver: what clients and web applications are given."""

from __future__ import annotations

import inspect
import os
from secrets import token_urlsafe
from typing import Any, Final
from weakref import WeakSet

from krea_aleph.errors import ConfigError
from krea_aleph.webhooks import wsgi
from krea_aleph.webhooks.addresses import Addresses, Given
from krea_aleph.webhooks.aftermath import Aftermath
from krea_aleph.webhooks.judge import Judge, Response
from krea_aleph.webhooks.memory import Memory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from krea_aleph.models import Bell, Correspondent
    from krea_aleph.store import Store
    from krea_aleph.webhooks.asgi import Application
    from krea_aleph.webhooks.delivery import Arrival, Delivery

_NONCE_BYTES: Final = 24


class WebhookReceiver:
    """Receives Krea's webhooks, which are not signed, in a way that lets nobody in.

    Give it to the clients, ``Aleph(receiver=receiver)``, and mount it in the web application:
    `asgi` and `wsgi` are applications, `handle` and `ahandle` are plain functions for anything
    else. From then on each submit asks Krea to call it, and a wait looks when Krea has called.

    Args:
        public_url: The URL under which Krea reaches it, such as ``https://example.com/hooks``.
        secrets: Texts or bytes of 16 bytes or more, the same in every process. The first one signs
            addresses, all of them are accepted: to change it, put the new one in front, and take
            the old one away a day later.
        store: The store of the clients, if they have one: it lets a delivery wake a wait in another
            process, and prove which intent a job belongs to.
        on_delivery: Called with each `Delivery`, duplicates left out, after Krea has been answered.
            It may be called more than once for a job. What it raises is logged. A coroutine
            function needs `asgi` or `ahandle`; any other is called in a thread.
        max_body: The largest body in bytes that is read.

    Raises:
        ConfigError: One of them cannot work.

    Example:
        >>> receiver = WebhookReceiver("https://example.com/hooks", ["sixteen or more bytes"])
        >>> receiver
        WebhookReceiver('https://example.com/hooks')
    """

    def __init__(
        self,
        public_url: str,
        secrets: Sequence[str | bytes],
        *,
        store: Store | None = None,
        on_delivery: Callable[[Delivery], object] | None = None,
        max_body: int = 65_536,
    ) -> None:
        given = Given(secrets)
        del secrets
        self._addresses = Addresses(public_url, given)
        _check(on_delivery, max_body)
        self._memory = Memory()
        self._aftermath = Aftermath(store, on_delivery)
        self._judge = Judge(self._addresses, self._memory, self._aftermath, max_body)
        self._blocking = not inspect.iscoroutinefunction(on_delivery)
        _RECEIVERS.add(self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._addresses.public_url!r})"

    def __reduce__(self) -> str:
        raise TypeError(f"a {type(self).__name__} does not pickle: make one in each process")

    def begin_anew(self) -> None:
        """In a forked process: let go of what the parent's threads are at."""
        self._memory.begin_anew()
        self._aftermath.begin_anew()

    # For requests

    def handle(
        self,
        method: str,
        path: str,
        body: bytes,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Judge a request and say what to answer; what else is to be done goes on in a thread.

        Args:
            method: The HTTP method.
            path: The path of the request, with or without what comes before in ``public_url``.
            body: The body, undecoded; cap it before reading, at ``max_body``.
            headers: The headers, if they are at hand.

        Raises:
            ConfigError: ``on_delivery`` is a coroutine function, which nobody would await here.
        """
        self._check_blocking()
        response, arrival = self._answer(method, path, body, headers)
        if arrival is not None:
            self._aftermath.in_thread(arrival)
        return response

    async def ahandle(
        self,
        method: str,
        path: str,
        body: bytes,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Do the same on an event loop, asyncio's or trio's; the rest goes on in a task."""
        response, arrival = self._answer(method, path, body, headers)
        if arrival is not None:
            self._aftermath.in_task(arrival)
        return response

    @property
    def asgi(self) -> Application:
        """The receiver as an ASGI application, alone or mounted in another at any prefix."""
        from krea_aleph.webhooks.asgi import Application  # noqa: PLC0415 - brings anyio

        return Application(self._judge, self._aftermath)

    def wsgi(
        self, environ: Mapping[str, Any], start_response: Callable[..., object]
    ) -> Iterable[bytes]:
        """Be a WSGI application, alone or mounted in another at any prefix.

        Raises:
            ConfigError: As in ``handle``.
        """
        self._check_blocking()
        return wsgi.answer(self._judge, self._aftermath, environ, start_response)

    # For those who submit and wait

    def mint(self, account: str = "default") -> str:
        """Return a new address, for a submit that is made without a client of ours."""
        return self.url(account, token_urlsafe(_NONCE_BYTES))

    def url(self, account: str, nonce: str) -> str:
        """Return the address for a nonce: an unguessable text that stands for one submit.

        Raises:
            ConfigError: The nonce is too short, or has characters that an address has not.
        """
        return self._addresses.url(account, nonce)

    def attach(self, client: Correspondent) -> None:
        """Take note of a client, for as long as it lives; `Aleph(receiver=...)` does this."""
        self._aftermath.attach(client)

    def expect(self, account: str, nonce: str, job_id: str) -> None:
        """Take note of which job was accepted with a nonce: from now on it is for no other."""
        self._memory.expect(account, nonce, job_id)

    def expects(self, account: str, job_id: str) -> bool:
        """Tell whether a delivery of a job is to come here, as far as this process knows."""
        return self._memory.expects(account, job_id)

    def listen(self, account: str, job_id: str) -> Bell:
        """Return a bell that rings at each delivery of a job."""
        return self._memory.listen(account, job_id)

    def told(self, account: str, nonce: str) -> tuple[str, ...]:
        """Return the jobs that were delivered with a nonce, as far as this process knows."""
        return self._memory.told(account, nonce)

    def _answer(
        self, method: str, path: str, body: bytes, headers: Mapping[str, str] | None
    ) -> tuple[Response, Arrival | None]:
        address = self._judge.admit(method, path, headers or {})
        if isinstance(address, Response):
            return address, None
        return self._judge.take(address, body)

    def _check_blocking(self) -> None:
        if not self._blocking:
            message = "on_delivery is a coroutine function, which nobody would await here."
            raise ConfigError(message, hint="Mount asgi, or call ahandle.")


_RECEIVERS: Final[WeakSet[WebhookReceiver]] = WeakSet()


def _after_fork() -> None:
    for receiver in _RECEIVERS:
        receiver.begin_anew()


if hasattr(os, "register_at_fork"):  # pragma: no branch - other systems do not fork
    os.register_at_fork(after_in_child=_after_fork)


def _check(on_delivery: object, max_body: object) -> None:
    if on_delivery is not None and not callable(on_delivery):
        kind = type(on_delivery).__name__
        raise ConfigError(f"on_delivery: a callable is needed, not {kind}.")
    if isinstance(max_body, bool) or not isinstance(max_body, int) or max_body < 1:
        raise ConfigError("max_body: a number of bytes is needed, 1 or more.")
