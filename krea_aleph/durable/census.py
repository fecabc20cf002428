"""How things stand: jobs by account, workers and whether they live, and what rests."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from krea_aleph.errors import one_line

STATES: Final = {
    "ENQUEUED": "waiting",
    "DELAYED": "waiting",
    "PENDING": "running",
    "SUCCESS": "succeeded",
    "ERROR": "failed",
    "CANCELLED": "failed",
    "MAX_RECOVERY_ATTEMPTS_EXCEEDED": "failed",
}
"""What the engine's words mean here."""


@dataclass(slots=True)
class AccountStatus:
    """How many jobs of an account are in which state.

    Attributes:
        account: Its label.
        waiting: Enqueued, and nothing has begun.
        running: Taken by a worker.
        succeeded: Done, for as long as that is remembered.
        failed: Over without a result, for as long as that is remembered.
        parked: Of them, those of which a human must say which job they have become.
        rests: Why the account's submits are held up, if they are: the reason of an `Alert`.
        words: What was said of that; or that there is no worker for it.
    """

    account: str
    waiting: int = 0
    running: int = 0
    succeeded: int = 0
    failed: int = 0
    parked: int = 0
    rests: str = ""
    words: str = ""

    @property
    def held_up(self) -> str:
        """Why it rests, and what was said of that, as one line."""
        return one_line(": ".join(filter(None, (self.rests, self.words))))


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """One worker that runs, or that jobs are with.

    Attributes:
        executor_id: Its name.
        running: How many jobs it has.
        alive: Whether its process runs; None where nobody can tell, because its program has
            launched the engine by itself.
        app_version: The version that its jobs belong to.
        accounts: The labels that it has clients for, as far as it has said so.
    """

    executor_id: str
    running: int
    alive: bool | None
    app_version: str
    accounts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Status:
    """How things stand at one moment. ``str()`` makes a table of it.

    Attributes:
        accounts: By account.
        workers: By worker; one that is dead and has jobs is a case for ``rescue``.
    """

    accounts: tuple[AccountStatus, ...] = ()
    workers: tuple[WorkerStatus, ...] = field(default=())

    def __str__(self) -> str:
        counts = ("waiting", "running", "succeeded", "failed", "parked")
        rows = [
            (row.account, *(str(getattr(row, name)) for name in counts), row.held_up)
            for row in self.accounts
        ]
        text = _table(("account", *counts, "rests"), rows)
        if self.workers:
            words = {True: "yes", False: "no: start it again, or rescue its jobs", None: "unknown"}
            told: list[tuple[str, ...]] = [
                (
                    row.executor_id,
                    str(row.running),
                    words[row.alive],
                    row.app_version,
                    one_line(", ".join(row.accounts)),
                )
                for row in self.workers
            ]
            text += "\n\n" + _table(("worker", "running", "alive", "version", "accounts"), told)
        return text


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    columns = zip(head, *rows, strict=True)
    widths = [max(map(len, column)) for column in columns]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (head, *rows)
    ]
    return "\n".join(lines)
