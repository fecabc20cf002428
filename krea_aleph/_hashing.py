"""A SHA-256 that is computed beside the work: what reads from the network does not wait for it."""

from __future__ import annotations

import threading
from queue import Queue
from typing import Any, Final

from krea_aleph._digests import hasher

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

# So many bytes are handed over together: waking a thread has its price, and before that it is not
# worth having one.
_BATCH_BYTES: Final = 2**20
# How many batches may wait: enough to overlap, and little memory.
_WAITING: Final = 6


class Hashing:
    """The hash of what is added, piece by piece, from any thread but one at a time.

    Args:
        told: Called with the number of bytes that are hashed and the hash, after each piece, by
            whichever thread has hashed it.
        found: A hash to go on with.
        size: How many bytes are in it.
    """

    def __init__(
        self, told: Callable[[int, Any], object], found: Any = None, size: int = 0
    ) -> None:
        self._told = told
        self._hash = found or hasher("sha256")
        self._size = size
        self._batch: list[bytes | memoryview] = []
        self._batched = 0
        self._queue: Queue[list[bytes | memoryview]] = Queue(_WAITING)
        self._thread: threading.Thread | None = None

    def add(self, data: bytes | memoryview) -> None:
        """Take a piece, to hash it soon."""
        self._batch.append(data)
        self._batched += len(data)
        if self._batched >= _BATCH_BYTES:
            self._hand_over()

    def settled(self) -> Any:
        """Return the hash of everything that was added, and end the thread."""
        if self._thread is not None:
            self._hand_over()
            self._queue.put([])
            self._thread.join()
            self._thread = None
        elif self._batch:
            self._take(self._batch)
            self._batch, self._batched = [], 0
        return self._hash

    def _hand_over(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="krea-hash", daemon=True)
            self._thread.start()
        if self._batch:
            self._queue.put(self._batch)
        self._batch, self._batched = [], 0

    def _work(self) -> None:
        while batch := self._queue.get():
            self._take(batch)

    def _take(self, batch: list[bytes | memoryview]) -> None:
        for data in batch:
            self._hash.update(data)
            self._size += len(data)
        self._told(self._size, self._hash)
