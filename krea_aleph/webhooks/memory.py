"""What a receiver remembers of a process's deliveries: a bounded number, for all threads."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Generic, TypeVar

from krea_aleph.clocks import Ring

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from krea_aleph.webhooks.delivery import Arrival

MOST: Final = 10_000
"""How many jobs, and how many deliveries, are remembered; the oldest are forgotten first."""
MOST_JOBS: Final = 8
"""How many jobs one address may tell of while it is not known whose it is."""

_T = TypeVar("_T")


class Recent(Generic[_T]):
    """A mapping that forgets what nobody has asked for the longest."""

    def __init__(self, make: Callable[[], _T]) -> None:
        self._make = make
        self._entries: OrderedDict[Hashable, _T] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._entries

    def get(self, key: Hashable) -> _T:
        """Return an entry, a new one if there is none."""
        entry = self._entries.get(key)
        if entry is None:
            entry = self._entries[key] = self._make()
            if len(self._entries) > MOST:
                self._entries.popitem(last=False)
        else:
            self._entries.move_to_end(key)
        return entry


@dataclass(slots=True)
class _Address:
    """What one address is for, and what came there."""

    job_id: str | None = None
    told: tuple[str, ...] = ()


@dataclass(slots=True)
class _Job:
    """What is known of one job's deliveries."""

    expected: bool = False
    count: int = 0


class Memory:
    """Who waits for which job, and what was delivered already."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._addresses: Recent[_Address] = Recent(_Address)
        self._jobs: Recent[_Job] = Recent(_Job)
        self._seen: Recent[bool] = Recent(lambda: True)
        self._bells: dict[tuple[str, str], list[Ring]] = {}

    def begin_anew(self) -> None:
        """In a forked process: the parent's threads, which may hold the lock, do not exist here."""
        self._lock = threading.Lock()
        self._bells = {}

    def expect(self, account: str, nonce: str, job_id: str) -> None:
        """Note which job an address is for."""
        with self._lock:
            self._addresses.get((account, nonce)).job_id = job_id
            self._jobs.get((account, job_id)).expected = True

    def expects(self, account: str, job_id: str) -> bool:
        """Tell whether a delivery of a job is to come."""
        with self._lock:
            key = (account, job_id)
            return key in self._jobs and self._jobs.get(key).expected

    def told(self, account: str, nonce: str) -> tuple[str, ...]:
        """Return the jobs that came to an address."""
        with self._lock:
            key = (account, nonce)
            return self._addresses.get(key).told if key in self._addresses else ()

    def takes(self, arrival: Arrival) -> bool:
        """Tell whether a delivery's address may be that job's; note that it came there."""
        with self._lock:
            address = self._addresses.get((arrival.account, arrival.nonce))
            if address.job_id not in {None, arrival.job_id}:
                return False
            if arrival.job_id in address.told:
                return True
            if len(address.told) == MOST_JOBS:
                return False
            address.told += (arrival.job_id,)
            return True

    def is_news(self, arrival: Arrival, body: bytes) -> bool:
        """Tell whether a delivery has not come before; if so, ring for those who wait for it."""
        seen = (arrival.account, arrival.nonce, arrival.job_id, sha256(body).digest())
        key = (arrival.account, arrival.job_id)
        with self._lock:
            if seen in self._seen:
                return False
            self._seen.get(seen)
            self._jobs.get(key).count += 1
            bells = list(self._bells.get(key, ()))
        for bell in bells:
            bell.ring()
        return True

    def listen(self, account: str, job_id: str) -> Ring:
        """Return a bell for the deliveries of a job, those included that have come."""
        key = (account, job_id)
        with self._lock:
            count = self._jobs.get(key).count if key in self._jobs else 0
            bell = Ring(count, lambda: self._forget(key, bell))
            self._bells.setdefault(key, []).append(bell)
            return bell

    def _forget(self, key: tuple[str, str], bell: Ring) -> None:
        with self._lock:
            bells = self._bells.get(key, [])
            if bell in bells:
                bells.remove(bell)
            if not bells:
                self._bells.pop(key, None)
