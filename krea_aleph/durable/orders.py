"""Tasks on their way to the engine: many in one transaction, and what has become of each."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from krea_aleph.durable.engine import JOB, NameTaken
from krea_aleph.durable.tasks import Task
from krea_aleph.errors import IntentConflictError, InvalidRequestError, KreaError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from dbos import DBOSClient, WorkflowStatus
    from sqlalchemy import Connection

    from krea_aleph.durable.engine import Engine

    Numbered: TypeAlias = list[tuple[int, Any]]

TOGETHER: Final = 200
"""So many items are enqueued at a time."""
# So many outputs are remembered, as in a batch.
_OUTPUTS: Final = 100_000


@dataclass(frozen=True, slots=True)
class Enqueued:
    """One of many that the workers have, or have had already.

    Attributes:
        index: Its place among what was given, the first having 0.
        item: What was given.
        intent: Its name.
        new: Whether it was not there before.
    """

    index: int
    item: Any
    intent: str
    new: bool


def in_chunks(items: Iterable[Any]) -> Iterator[Numbered]:
    """Number items and give them out so many at a time; what reading raises comes after them."""
    chunk: Numbered = []
    try:
        for numbered in enumerate(items):
            chunk.append(numbered)
            if len(chunk) == TOGETHER:
                yield chunk
                chunk = []
    except Exception:
        if chunk:
            yield chunk
        raise
    if chunk:
        yield chunk


def hand_over(engine: Engine, version: str, tasks: Sequence[Task]) -> list[bool | KreaError]:
    """Enqueue tasks, all or none, and say of each whether it is new, or why it cannot be.

    Raises:
        StoreError: The database could not be used.
    """
    if not tasks:
        return []
    # In the same order as anybody else: two who wait for each other would both fail.
    order = sorted(range(len(tasks)), key=lambda number: tasks[number].intent)
    with engine.transaction() as (client, connection):
        new = {
            number
            for number in order
            if _is_new(client, connection, _options(engine, version, tasks[number]), tasks[number])
        }
    taken = [tasks[number].intent for number in order if number not in new]
    rows: dict[str, WorkflowStatus] = {}
    if taken:
        with engine.client() as client:
            rows = {row.workflow_id: row for row in client.list_workflows(workflow_ids=taken)}
    return [
        number in new or _conflict(rows.get(task.intent), task) or False
        for number, task in enumerate(tasks)
    ]


def _options(engine: Engine, version: str, task: Task) -> Any:
    return {
        "workflow_name": JOB,
        "queue_name": engine.queues.jobs,
        "queue_partition_key": task.account,
        "workflow_id": task.intent,
        "workflow_id_reuse_policy": "reject",
        "app_version": version,
        "application_name": engine.name,
    }


def _is_new(client: DBOSClient, connection: Connection, options: Any, task: Task) -> bool:
    try:
        client.enqueue_in_transaction(connection, options, task.dump())
    except NameTaken:
        return False
    return True


def _conflict(row: WorkflowStatus | None, task: Task) -> IntentConflictError | None:
    """Return why a request cannot have a name that something else has."""
    if row is None:
        return None  # it has been forgotten this very moment, and is over
    if row.name != JOB or row.input is None:
        return IntentConflictError(task.intent, ())
    names = Task.load(row.input["args"][0]).differs(task)
    return IntentConflictError(task.intent, names) if names else None


class Outputs:
    """Which output is whose, among many: the second of two would find the first one's file."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, str] = OrderedDict()

    def claim(self, task: Task) -> None:
        """Note whose a task's output is.

        Raises:
            InvalidRequestError: It is another one's.
        """
        if task.output is None or task.output.endswith("/"):
            return
        if self._known.setdefault(task.output, task.intent) != task.intent:
            problem = f"{task.output!r} is the output of an earlier item"
            raise InvalidRequestError("output", problem)
        if len(self._known) > _OUTPUTS:
            self._known.popitem(last=False)
