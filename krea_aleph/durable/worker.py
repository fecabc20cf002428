"""A worker: a process that takes jobs up, under a name that is its own for as long as it lives."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from dbos import DBOS
from dbos import error as refusals

from krea_aleph.durable.chatter import Chatter
from krea_aleph.durable.engine import JOB, SUBMIT, reaching_the_database
from krea_aleph.durable.roll import Roll
from krea_aleph.durable.stages import LOGGER
from krea_aleph.durable.workflows import define
from krea_aleph.errors import ConfigError, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from krea_aleph.durable.engine import Engine
    from krea_aleph.durable.roll import Entry
    from krea_aleph.durable.stages import Alert, Stages

# Long enough for the answer to a request that pays.
_CLOSING_SECONDS: Final = 90.0
# A server notices a moment later that a process has died.
_TAKING_SECONDS: Final = 10.0
_WORKERS_GRACE: Final = 2.0
_LOOK_SECONDS: Final = 10.0
# The engine tells nobody that a lane is free, and a submit takes less than the time between looks.
_LANES_HASTE: Final = 10
_LANE_SECONDS: Final = 0.05
_ONLY_WORKER: Final = "the only one"


class Settings(NamedTuple):
    """What a worker is to keep to; `Durable` describes each."""

    app_version: str
    executor_id: str | None
    slots: int
    poll_interval: float
    on_alert: Callable[[Alert], object]


class Worker:
    """One worker of an application, or somebody who looks after the others.

    Args:
        engine: The engine's database.
        settings: What it keeps to.
    """

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self._engine = engine
        self._settings = settings
        self._stages: Stages | None = None
        self._took = ""
        self._lock = threading.Lock()
        self._names: Roll | None = None
        self._active: set[str] = set()
        self._closing = threading.Event()
        self._chatter = Chatter()

    @property
    def _roll(self) -> Roll:
        """Who works, and lives."""
        with self._lock:
            if self._names is None:
                store = self._engine.store("workers", **self._brief())
                self._names = Roll(store, self._engine.name)
            return self._names

    def known(self) -> list[Entry]:
        """Return the workers that have worked here, as far as they have said so."""
        return self._roll.entries()

    def has_guests(self) -> bool:
        """Tell whether applications that launch the engine themselves have worked here."""
        return self._roll.has_guests()

    def note_guests(self) -> None:
        """Note that this process is such an application."""
        self._roll.note_guests()

    def alive(self, executor_id: str) -> bool | None:
        """Tell whether a worker lives; None where nobody can tell."""
        return self._roll.alive(self._place(executor_id))

    def rescue(self, executor_id: str) -> list[str]:
        """Move what a worker has, while nobody can begin to work under its name.

        Raises:
            ConfigError: It is alive.
        """
        place = self._place(executor_id)
        if not self._roll.take(place, patience=0):
            raise ConfigError(
                f"executor_id: {executor_id!r} is alive.",
                hint="Stop it first; its jobs go on then.",
            )
        try:
            with self._engine.client() as client:
                rows = self._engine.running(client, JOB, SUBMIT, executor_id=executor_id)
                self._engine.move(client, rows)
        finally:
            self._roll.give_back(place)
        return [row.workflow_id for row in rows if row.name == JOB]

    def register(self, stages: Stages) -> None:
        """Make workflows and queues known, to an engine that somebody launches."""
        self._stages = stages
        self._chatter.begin()
        define(
            stages,
            self._engine.queues,
            self._active,
            poll_interval=self._settings.poll_interval,
            alert=self._settings.on_alert,
        )
        jobs, lane = self._engine.queues
        every = self._settings.poll_interval
        with self._engine.client(new=True) as client:
            client.register_queue(
                jobs,
                partition_concurrency=self._settings.slots,
                polling_interval_sec=every,
                on_conflict="never_update",  # `set_slots` has the last word
                application_name=self._engine.name,
            )
            client.register_queue(
                lane,
                partition_concurrency=1,
                polling_interval_sec=min(every, max(_LANE_SECONDS, every / _LANES_HASTE)),
                on_conflict="always_update",
                application_name=self._engine.name,
            )

    def launch(self, make_stages: Callable[[], Stages], labels: Sequence[str]) -> None:
        """Begin to work, for the accounts with some labels.

        Raises:
            ConfigError: Somebody else has the name or the file, or the engine refuses something.
        """
        if self._took:
            raise ConfigError("this process works already.")
        name = self._name()
        took = self._place(name)
        if not self._roll.take(took, patience=_TAKING_SECONDS):
            raise self._refusal(name)
        self._took = took
        try:
            self._roll.sign(took, name, self._settings.app_version, labels)
            self._launch(name, make_stages())
        except BaseException:
            self.close()
            raise
        self._closing.clear()
        threading.Thread(target=self._look_after, args=(name,), daemon=True).start()

    def close(self) -> None:
        """Stop working, once the answers to requests that pay have come."""
        self._closing.set()
        stages, self._stages = self._stages, None
        if stages is not None:
            stages.close(_CLOSING_SECONDS)
        took, self._took = self._took, ""
        if took:
            DBOS.destroy(destroy_registry=True)
            with contextlib.suppress(StoreError):  # it is over with this process anyway
                self._roll.give_back(took)
        self._chatter.end()
        if self._names is not None:
            self._names.close()
            self._names = None

    def _launch(self, name: str, stages: Stages) -> None:
        try:
            DBOS(
                config={
                    "name": self._engine.name,
                    "system_database_url": self._engine.url,
                    "application_version": self._settings.app_version,
                    "executor_id": name,
                    "system_database_engine": self._engine.for_worker(self._chatter.comes_back),
                    "log_level": "WARNING",
                }
            )
            self.register(stages)
            if self._engine.on_sqlite:
                self._inherit(name)
            with reaching_the_database():
                DBOS.launch()
        except refusals.DBOSException as refusal:
            raise ConfigError(f"the engine refuses its configuration: {refusal}") from refusal

    def _inherit(self, name: str) -> None:
        """Take what workers of other names had: the only one that lives is this one."""
        with self._engine.client() as client:
            rows = self._engine.running(client, JOB, SUBMIT)
            self._engine.move(client, [row for row in rows if row.executor_id != name])

    def _look_after(self, name: str) -> None:
        """Take up what was broken off in this process, such as by a database that went away."""
        idle: set[str] = set()
        while not self._closing.wait(_LOOK_SECONDS):
            try:
                with self._engine.client() as client:
                    rows = self._engine.running(client, JOB, SUBMIT, executor_id=name)
                    idle_now = [row for row in rows if row.workflow_id not in self._active]
                    self._engine.move(client, [r for r in idle_now if r.workflow_id in idle])
                    idle = {row.workflow_id for row in idle_now}
            except StoreError as error:
                if self._chatter.away:
                    continue
                LOGGER.warning("what was broken off could not be taken up: %s", error)

    def _place(self, name: str) -> str:
        """Return what a worker of a name has to itself: on SQLite, the whole file."""
        return _ONLY_WORKER if self._engine.on_sqlite else name

    def _name(self) -> str:
        if self._settings.executor_id:
            return self._settings.executor_id
        if self._engine.on_sqlite:
            return "local"
        raise ConfigError(
            "executor_id: a worker on Postgres needs a name that stays the same after a start.",
            hint="Such as the name of its pod in a StatefulSet, or of its systemd instance.",
        )

    def _refusal(self, name: str) -> ConfigError:
        if self._engine.on_sqlite:
            return ConfigError(
                "database_url: another process works on this SQLite file, and its limits hold for"
                " one process only.",
                hint="Several workers need a Postgres database; enqueueing is fine from anywhere.",
            )
        return ConfigError(
            f"executor_id: another process that is alive works as {name!r}.",
            hint="Give each worker a name of its own that it keeps when it is started again.",
        )

    def _brief(self) -> dict[str, Any]:
        """Return what lets a worker's death be known soon: nothing is paid by a name."""
        return {} if self._engine.on_sqlite else {"grace": _WORKERS_GRACE}
