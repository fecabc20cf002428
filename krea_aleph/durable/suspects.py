"""Jobs that may take their process down: those are tried alone, and not for ever.

When a process dies, every job that it had has one more beginning, and nobody knows which of them it
was. So from some beginnings on, what may have been it is done one by one, and each such try is
written down before it: the innocent get through, and who is guilty dies alone, and is counted.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeVar

from krea_aleph.errors import KreaError, StoreError
from krea_aleph.store import Record

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from krea_aleph.store import Store

T = TypeVar("T")

_UNSUSPECTED: Final = 3
_TRIES: Final = "tries"


class Suspects:
    """Who is tried alone, and how often that was.

    Args:
        store: Where tries are counted.
        name: Of the application.
        begun: Tells how often a workflow was begun.
        most: After how many lonely deaths a job is given up.
    """

    def __init__(self, store: Store, name: str, begun: Callable[[str], int], most: int) -> None:
        self._store = store
        self._account = f"krea_aleph.suspects/{name}"
        self._begun = begun
        self._most = most
        self._alone = asyncio.Lock()

    async def watch(self, workflow_id: str, attempt: Callable[[], Awaitable[T]]) -> T:
        """Do what may end the process; alone, if the workflow was begun often.

        Raises:
            KreaError: It has done so too often.
        """
        if await asyncio.to_thread(self._begun, workflow_id) <= _UNSUSPECTED:
            return await attempt()
        async with self._alone:
            await asyncio.to_thread(self._count, workflow_id)
            try:
                return await attempt()
            finally:
                await asyncio.to_thread(self.acquit, workflow_id)

    def acquit(self, workflow_id: str) -> None:
        """Forget the deaths of a workflow."""
        record = self._store.read(self._account, workflow_id)
        if record is not None:
            self._write(record, 0)

    def _count(self, workflow_id: str) -> None:
        found = self._store.read(self._account, workflow_id)
        record = found or Record(self._account, workflow_id, "")
        deaths = int(record.fields.get(_TRIES, 0))
        if deaths >= self._most:
            many = f"{deaths} process{'' if deaths == 1 else 'es'}"
            raise KreaError(
                f"given up: {many} that did this and nothing else died of it.",
                hint="Look at the workers' logs; retry(intent) lets it be tried again.",
            )
        self._write(record, deaths + 1)

    def _write(self, record: Record, tries: int) -> None:
        written = self._store.write(replace(record, fields={_TRIES: str(tries)}))
        if written is None:
            raise StoreError("a job is being tried by two workers at once")
