"""What is done about a delivery once Krea has been answered: the store, the proof, the callback."""

from __future__ import annotations

import inspect
import logging
import threading
from collections import deque
from typing import Any, Final, NamedTuple
from weakref import WeakSet

from krea_aleph.errors import WebhookError
from krea_aleph.models import Event
from krea_aleph.webhooks.delivery import Delivery

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from krea_aleph.models import Correspondent
    from krea_aleph.store import Record, Store
    from krea_aleph.webhooks.delivery import Arrival

MOST_THREADS: Final = 4
"""How many threads of a receiver are at work at once, where there is no event loop."""
MOST_WAITING: Final = 1_000
"""How many deliveries wait for one of them; further ones are dropped, and polling finds out."""

LOGGER: Final = logging.getLogger("krea_aleph")
_UNCONFIRMED: Final = "whose job %s is could not be written down now; recover will find out"


class _Noted(NamedTuple):
    """What the store has made of a delivery."""

    delivery: Delivery
    open: bool  # whether there is an intent that has no job yet


class Aftermath:
    """Deals with deliveries that have been answered, on an event loop or in threads."""

    def __init__(
        self, store: Store | None, on_delivery: Callable[[Delivery], object] | None
    ) -> None:
        self._store = store
        self._on_delivery = on_delivery
        self._clients: WeakSet[Correspondent] = WeakSet()
        self.begin_anew()

    def begin_anew(self) -> None:
        """Have nothing to do: at first, and in a forked process, where no thread is at it."""
        self._waiting: deque[Arrival] = deque()
        self._lock = threading.Lock()
        self._threads = 0
        self._tasks: set[Any] = set()

    def attach(self, client: Correspondent) -> None:
        """Take note of a client, for as long as it lives."""
        self._clients.add(client)

    # Refusals

    def refuse_job(self, arrival: Arrival) -> None:
        """Report a delivery that tells of a job for which its address is not."""
        message = "a webhook told of a job on the address of another one"
        self.refuse(arrival.account, arrival.job_id, WebhookError(message, job_id=arrival.job_id))

    def refuse(self, account: str, job_id: str | None, error: WebhookError) -> None:
        """Report what came to an address of ours and is no delivery."""
        LOGGER.warning("%s", error)
        self._publish(Event("webhook_refused", account, job_id))

    # In threads

    def in_thread(self, arrival: Arrival) -> None:
        """Deal with a delivery in a thread, which ends when nothing is left to do."""
        with self._lock:
            if len(self._waiting) >= MOST_WAITING:
                LOGGER.warning("too many webhooks at once: dropped that of %s", arrival.job_id)
                return
            self._waiting.append(arrival)
            if self._threads >= MOST_THREADS:
                return
            self._threads += 1
        threading.Thread(target=self._work, name="krea-aleph-webhooks").start()

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._threads -= 1
                    return
                arrival = self._waiting.popleft()
            self._follow(arrival)

    def _follow(self, arrival: Arrival) -> None:
        noted = self._note(arrival)
        if noted is None:
            return
        client = self._asked(arrival.account, asynchronous=False)
        if noted.open and client is not None:
            self._confirm(client, arrival)
        self._call_back(noted.delivery)

    @staticmethod
    def _confirm(client: Correspondent, arrival: Arrival) -> None:
        try:
            client.confirm(arrival.nonce)
        except Exception:
            LOGGER.exception(_UNCONFIRMED, arrival.job_id)

    def _call_back(self, delivery: Delivery) -> None:
        try:
            result = None if self._on_delivery is None else self._on_delivery(delivery)
        except Exception:
            LOGGER.exception("on_delivery raised; job %s is not affected", delivery.job_id)
            return
        if inspect.iscoroutine(result):
            result.close()
            LOGGER.error("on_delivery returned a coroutine, which nobody awaits in a thread")

    # On an event loop

    def in_task(self, arrival: Arrival) -> None:
        """Deal with a delivery in a task of its own."""
        import sniffio  # noqa: PLC0415 - only tasks need it

        if sniffio.current_async_library() == "trio":
            import trio  # noqa: PLC0415 - only those who run it have it

            trio.lowlevel.spawn_system_task(self.afollow, arrival)
        else:
            import asyncio  # noqa: PLC0415 - as above

            task = asyncio.get_running_loop().create_task(self.afollow(arrival))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def afollow(self, arrival: Arrival) -> None:
        """Deal with a delivery; what blocks does so in a thread."""
        from anyio.to_thread import run_sync  # noqa: PLC0415 - as above

        noted = self._note(arrival) if self._store is None else await run_sync(self._note, arrival)
        if noted is None:
            return
        if noted.open:
            await self._aconfirm(arrival)
        await self._acall_back(noted.delivery)

    async def _aconfirm(self, arrival: Arrival) -> None:
        from anyio.to_thread import run_sync  # noqa: PLC0415 - as above

        client = self._asked(arrival.account, asynchronous=True)
        blocking = self._asked(arrival.account, asynchronous=False)
        if client is not None:
            try:
                await client.confirm(arrival.nonce)
            except Exception:
                LOGGER.exception(_UNCONFIRMED, arrival.job_id)
        elif blocking is not None:
            await run_sync(self._confirm, blocking, arrival)

    async def _acall_back(self, delivery: Delivery) -> None:
        from anyio.to_thread import run_sync  # noqa: PLC0415 - as above

        call_back = self._on_delivery
        if call_back is None:
            return
        try:
            # Boxed, because trio's threads return no coroutine.
            (result,) = await run_sync(lambda: [call_back(delivery)])
            if inspect.isawaitable(result):
                await result
        except Exception:
            LOGGER.exception("on_delivery raised; job %s is not affected", delivery.job_id)

    # What both do

    def _note(self, arrival: Arrival) -> _Noted | None:
        """Write a delivery down for other processes; None if the store knows better."""
        account, _, job_id, at = arrival
        taken, record = self._stored(arrival)
        if not taken:
            self.refuse_job(arrival)
            return None
        intent = None if record is None else record.intent
        self._publish(Event("webhook", account, job_id, intent=intent))
        is_open = record is not None and record.job_id is None
        return _Noted(Delivery(account, job_id, at, intent), is_open)

    def _stored(self, arrival: Arrival) -> tuple[bool, Record | None]:
        """Return whether a delivery may be what it says, and the record of its intent."""
        account, nonce, job_id, _ = arrival
        if self._store is None:
            return True, None
        try:
            return self._store.deliver(account, nonce, job_id), self._store.by_nonce(nonce)
        except Exception:
            LOGGER.exception("a webhook of job %s could not be stored", job_id)
            return True, None

    def _publish(self, event: Event) -> None:
        for client in self._of(event.account):
            client.publish(event)

    def _of(self, account: str) -> list[Correspondent]:
        return [client for client in self._clients if client.account == account]

    def _asked(self, account: str, *, asynchronous: bool) -> Correspondent | None:
        """Return a client of a colour that can ask for an account's jobs from here, if any can."""
        of_colour = (c for c in self._of(account) if c.asynchronous is asynchronous)
        return next((client for client in of_colour if client.usable()), None)
