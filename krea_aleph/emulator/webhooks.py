"""Webhooks, delivered for real and as carelessly as Krea does: unsigned, once, without a retry."""

from __future__ import annotations

import logging
import math
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import httpx

from krea_aleph.emulator.values import WEBHOOK, DeliveryRecord, Fault

if TYPE_CHECKING:
    from collections.abc import Callable

    from krea_aleph.emulator.accounts import Account
    from krea_aleph.emulator.faults import Faults
    from krea_aleph.emulator.jobs import Change, SimulatedJob
    from krea_aleph.emulator.service import Service
    from krea_aleph.emulator.timers import Timers

PATIENCE: Final = 10.0
"""Real seconds that a receiver has to answer."""
_SOON: Final = 0.001

_log = logging.getLogger("krea_aleph.emulator")


class Webhooks:
    """Tells receivers about jobs that have ended, when they end."""

    def __init__(
        self,
        service: Service,
        timers: Timers,
        faults: Faults,
        present: Callable[[SimulatedJob, float], dict[str, Any]],
    ) -> None:
        self._service = service
        self._timers = timers
        self._faults = faults
        self._present = present
        self._owed: set[str] = set()
        self._looks: dict[str, float] = {}  # the next look planned, by account
        self._client: httpx.AsyncClient | None = None
        self.deliveries: list[DeliveryRecord] = []

    def changed(self, account: Account, change: Change) -> None:
        """Take note of a job that has been accepted, has started or has ended."""
        job = change.job
        if job.webhook_url is None:
            return
        if job.end is None:
            self._owed.add(job.id)
            self._watch(account)
        else:
            self._owed.discard(job.id)
        if job.end is not None or self._tells_start(change):
            self._dispatch(job, change.at)

    async def close(self) -> None:
        """Close the connections to receivers."""
        if self._client is not None:
            await self._client.aclose()

    def clear(self) -> None:
        """Owe nothing to anybody."""
        self._owed.clear()
        self._looks.clear()
        self.deliveries.clear()

    def _tells_start(self, change: Change) -> bool:
        late = change.job.started == change.at > change.job.created
        return late and "webhook_on_start" in self._service.switches

    def _watch(self, account: Account) -> None:
        """See to it that somebody looks when the next job ends."""
        end = account.jobs.next_end()
        if end is None or not self._owed or end >= self._looks.get(account.id, math.inf):
            return
        self._looks[account.id] = end
        moment = end - self._service.settings.skew + _SOON
        self._timers.at(moment, partial(self._look, account, end))

    async def _look(self, account: Account, end: float) -> None:
        if self._looks.get(account.id) == end:
            del self._looks[account.id]
        await self._service.advance(account)
        with self._service.lock:
            self._watch(account)

    def _dispatch(self, job: SimulatedJob, at: float) -> None:
        fault = self._faults.next_for(WEBHOOK) or Fault(operation=WEBHOOK)
        work = partial(self._deliver, job, self._present(job, at), fault)
        if fault.delay:
            self._timers.at(self._service.clock().time() + fault.delay, work)
        else:
            self._timers.spawn(work)

    async def _deliver(self, job: SimulatedJob, body: dict[str, Any], fault: Fault) -> None:
        if fault.drop is not None or job.webhook_url is None:
            return
        for _ in range(1 + fault.duplicates):
            answer = await self._post(job.webhook_url, body, fault)
            at = self._service.now()
            told = str(body.get("status"))
            self.deliveries.append(DeliveryRecord(job.webhook_url, job.id, told, answer, at))

    async def _post(self, url: str, body: dict[str, Any], fault: Fault) -> int | None:
        if self._client is None:
            self._client = httpx.AsyncClient(timeout=PATIENCE, trust_env=False)
        try:
            if fault.body is not None:
                answer = await self._client.post(url, content=fault.content())
            else:
                answer = await self._client.post(url, json=body)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            _log.info("webhook to %s failed: %s", url, type(error).__name__)
            return None
        return answer.status_code
