"""Beyond one machine: a store in Postgres, and jobs on a durable engine; the extra ``[durable]``.

Example:
    >>> from krea_aleph.durable import Durable  # doctest: +SKIP
    >>> jobs = Durable("postgresql://db/studio", accounts=["studio"])  # doctest: +SKIP
    >>> jobs.enqueue("https://example.com/in.mp4", "make it snow", intent="shot-17",
    ...              account="studio", output="snow.mp4")  # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from krea_aleph.durable.census import AccountStatus, Status, WorkerStatus
    from krea_aleph.durable.jobs import Durable
    from krea_aleph.durable.orders import Enqueued
    from krea_aleph.durable.postgres import PostgresStore
    from krea_aleph.durable.stages import Alert

__all__ = [
    "AccountStatus",
    "Alert",
    "Durable",
    "Enqueued",
    "PostgresStore",
    "Status",
    "WorkerStatus",
]

_HOMES: Final = {
    "AccountStatus": "census",
    "Alert": "stages",
    "Durable": "jobs",
    "Enqueued": "orders",
    "PostgresStore": "postgres",
    "Status": "census",
    "WorkerStatus": "census",
}


if not TYPE_CHECKING:  # type checkers know the names from above

    def __getattr__(name: str) -> object:
        """Import a part when it is first used: the engine takes more than a second."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
