"""`Durable`: enqueue from anywhere, work in one process or in many, see how things stand."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Self

from krea_aleph import Aleph, AsyncAleph
from krea_aleph.durable import census, letters, orders, tasks
from krea_aleph.durable.census import AccountStatus, Status, WorkerStatus
from krea_aleph.durable.engine import JOB, SUBMIT, Engine
from krea_aleph.durable.orders import Enqueued
from krea_aleph.durable.stages import LOGGER, Stages
from krea_aleph.durable.suspects import Suspects
from krea_aleph.durable.tasks import Task
from krea_aleph.durable.worker import Settings, Worker
from krea_aleph.durable.workflows import AGAIN, RESTS
from krea_aleph.errors import (
    ConfigError,
    InvalidRequestError,
    KreaError,
    StoreError,
)
from krea_aleph.outcomes import Failed, check_item

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from dbos import DBOSClient, WorkflowStatus

    from krea_aleph import AlephOptions, Media, SQLiteStore
    from krea_aleph.durable.postgres import PostgresStore
    from krea_aleph.durable.roll import Entry
    from krea_aleph.durable.stages import Alert, Factory
    from krea_aleph.durable.tasks import Checks, Kept
    from krea_aleph.models import StrPath
    from krea_aleph.outcomes import BadItem, Item, Succeeded
    from krea_aleph.store import Store
    from krea_aleph.webhooks import WebhookReceiver

APP_VERSION: Final = "krea-aleph-1"
"""The version of the order of steps. It changes when running jobs could not go on otherwise."""

_FAILED: Final = ["ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"]
_OVER: Final = ["SUCCESS", *_FAILED]
# A worker that takes up what it had puts it back onto its queue.
_BEGUN: Final = ["PENDING", "ENQUEUED"]
_FORGET_EVERY: Final = 3600.0
_TOGETHER: Final = 500
_FIRST_LOOK: Final = 0.05
_LONGEST_LOOK: Final = 1.0


def _nothing(_: Alert) -> None:
    """Do nothing: the log has it."""


class Durable:
    """Jobs that survive the processes that work on them, on the engine DBOS.

    Any process can enqueue; only labels of accounts are stored, never keys. Workers have a client
    factory for each label. On an SQLite file one process works; on Postgres any number does.

    A job is known by its intent. Enqueueing the same one twice is one job, and what is paid for is
    decided by the store alone, as everywhere in this library: `SQLiteStore` beside the file, or
    `PostgresStore` in the database.

    Args:
        database_url: ``sqlite:///jobs.sqlite3`` or ``postgresql://user@host/name``.
        accounts: A client factory for each label: called with ``account=`` and ``store=``, it
            returns an `AsyncAleph`, as ``functools.partial(AsyncAleph, api_key=...)`` does. Whoever
            only enqueues may give the labels alone.
        app_version: Of the order of steps. Workers take up only jobs of their own version.
        executor_id: The worker's name, the same after each start, such as ``krea-0``. On an SQLite
            file there is one worker, which needs none.
        name: Of the application: 3 to 256 small letters, digits, ``-`` and ``_``.
        store: Default: one in the same database.
        receiver: A `WebhookReceiver` for every client; the one that Krea calls may be in another
            process, with the same store.
        output_dir: The workers' folder for results, or one in a bucket: ``s3://bucket/folder``.
        shared_paths: Whether every process sees the same files under the same paths: only then may
            clips be local ones, and outputs anywhere.
        slots: How many jobs of an account are under way at once, to begin with; see ``set_slots``.
        max_attempts: How many processes a job may take down while they do nothing else but it.
        retention: How many days outcomes are remembered; None for ever. Intents stay in the store.
        poll_interval: How often a worker looks for work, in seconds.
        checks: As in a client, for requests that are enqueued.
        on_alert: Called with an `Alert` when somebody has to see to something.

    Raises:
        ConfigError: One of them cannot work.
        MissingExtraError: On import, where the extra ``[durable]`` is not installed.

    Example:
        >>> from functools import partial
        >>> from krea_aleph import AsyncAleph
        >>> jobs = Durable("sqlite:///jobs.sqlite3", {"studio": partial(AsyncAleph)})
        >>> jobs
        Durable('krea-aleph', accounts=['studio'])
    """

    def __init__(
        self,
        database_url: str,
        accounts: Mapping[str, Factory] | Collection[str] = (),
        *,
        app_version: str = APP_VERSION,
        executor_id: str | None = None,
        name: str = "krea-aleph",
        store: Store | None = None,
        receiver: WebhookReceiver | None = None,
        output_dir: StrPath = ".",
        shared_paths: bool = False,
        slots: int = 8,
        max_attempts: int = 5,
        retention: float | None = 30.0,
        poll_interval: float = 1.0,
        checks: Checks = "error",
        on_alert: Callable[[Alert], object] = _nothing,
    ) -> None:
        self._engine = Engine(database_url, name)
        _check(accounts, slots=slots, max_attempts=max_attempts, poll_interval=poll_interval)
        self._factories = dict(accounts) if isinstance(accounts, Mapping) else {}
        self._labels = tuple(accounts)
        self._app_version = app_version
        self._store = store
        self._receiver = receiver
        self._output_dir = tasks.results_folder(output_dir)
        self._shared_paths = shared_paths
        self._checks: Checks = checks
        self._retention = retention
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._own_store: SQLiteStore | PostgresStore | None = None
        self._looking: Aleph | None = None
        settings = Settings(app_version, executor_id, slots, poll_interval, on_alert)
        self._max_attempts = max_attempts
        self._worker = Worker(self._engine, settings)

    def __repr__(self) -> str:
        return f"Durable({self._engine.name!r}, accounts={list(self._labels)!r})"

    @property
    def store(self) -> Store:
        """The store that knows what is paid for, also for clients of your own."""
        if self._store is not None:
            return self._store
        with self._lock:
            if self._own_store is None:
                self._own_store = self._engine.store("intents")
            return self._own_store

    @property
    def _checker(self) -> Aleph:
        """A client for looking at requests: it has no key and sends nothing."""
        with self._lock:
            if self._looking is None:
                self._looking = Aleph(api_key="-", trust_env=False, checks=self._checks)
            return self._looking

    # Enqueueing

    def enqueue(
        self,
        video: Media,
        prompt: str,
        *,
        account: str | None = None,
        intent: str | None = None,
        output: StrPath | None = None,
        exists: Kept = "keep",
        options: AlephOptions | None = None,
        extra_body: Mapping[str, Any] | None = None,
    ) -> str:
        """Hand a job over to the workers, and return its intent. No worker need be running.

        Args:
            video: The clip: a URL, or an asset; with ``shared_paths`` also a path.
            prompt: As in ``submit``.
            account: The label of the account that pays; it may be left out where there is one.
            intent: Its name. Enqueueing the same name and request again is the same job. Without
                one, equal requests are one job.
            output: The name of the result inside the workers' ``output_dir``; with
                ``shared_paths`` any path. Without one nothing is saved, and the outcome has the
                result's address.
            exists: What to do where a file has that name: "keep" it, or "replace" it.
            options: The optional fields of the contract.
            extra_body: As in ``submit``.

        Raises:
            InvalidRequestError: It would be refused, or means something on this machine only.
            IntentConflictError: The intent stands for another request, or goes elsewhere.
            ConfigError: Nobody has the account.
            StoreError: The database could not be used.
        """
        task = self._task(
            self._label(account),
            video=video,
            prompt=prompt,
            intent=intent,
            output=output,
            exists=exists,
            options=options,
            extra_body=extra_body,
        )
        (found,) = orders.hand_over(self._engine, self._app_version, [task])
        if isinstance(found, KreaError):
            raise found
        return task.intent

    def enqueue_many(
        self,
        items: Iterable[Item | BadItem],
        *,
        account: str | None = None,
        exists: Kept = "keep",
    ) -> Iterator[Enqueued | Failed]:
        """Hand many jobs over to the workers, and yield what has become of each, in order.

        One that cannot be enqueued stops no other. Items are read as far as they are needed, some
        hundreds at a time, which go into the database together; whoever breaks off and begins anew
        with the same items has the same jobs.

        Args:
            items: As `Aleph.batch` takes them, such as those of `krea_aleph.manifest.read`. One
                without an output is not saved, as in ``enqueue``.
            account: The label of the account that pays; it may be left out where there is one.
            exists: As in ``enqueue``.

        Yields:
            `Enqueued` with the intent, or `Failed` with the error that ``enqueue`` would raise.

        Raises:
            ConfigError: Nobody has the account.
            StoreError: The database could not be used; what was yielded before is enqueued.
        """
        return self._enqueue_all(items, self._label(account), exists)

    def _enqueue_all(
        self, items: Iterable[Any], label: str, exists: Kept
    ) -> Iterator[Enqueued | Failed]:
        outputs = orders.Outputs()
        for chunk in orders.in_chunks(items):
            read = [self._read(label, item, exists, outputs) for _, item in chunk]
            good = [task for task in read if isinstance(task, Task)]
            found = iter(orders.hand_over(self._engine, self._app_version, good))
            for (index, item), task in zip(chunk, read, strict=True):
                outcome = next(found) if isinstance(task, Task) else task
                if isinstance(task, Task) and isinstance(outcome, bool):
                    yield Enqueued(index, item, task.intent, outcome)
                elif isinstance(outcome, KreaError):
                    yield Failed(index, item, None, outcome)

    def _read(
        self, label: str, item: Any, exists: Kept, outputs: orders.Outputs
    ) -> Task | KreaError:
        """Return what an item asks for, or why it cannot be had."""
        try:
            check_item(item)
            asked = {name: item.get(name) for name in ("prompt", "intent", "output", "options")}
            task = self._task(label, video=item["video"], exists=exists, **asked)
            outputs.claim(task)
        except KreaError as error:
            return error
        return task

    def _task(self, label: str, **asked: Any) -> Task:
        given: dict[str, Any] = {"extra_body": None, **asked, "options": asked["options"] or {}}
        return tasks.draft(self._checker, label, shared=self._shared_paths, **given)

    def result(self, intent: str, *, wait_timeout: float | None = None) -> Succeeded | Failed:
        """Wait until a job is over, and return its outcome, in which ``item`` is the intent.

        Args:
            intent: Its name.
            wait_timeout: Seconds to wait; None for ever, 0 to look once.

        Raises:
            InvalidRequestError: Nobody has enqueued it, or it has been forgotten.
            TimeoutError: It is not over by then. It goes on.
            StoreError: The database could not be used.
        """
        ends = None if wait_timeout is None else time.monotonic() + wait_timeout
        pause = _FIRST_LOOK
        while True:
            row = self._row(intent)
            if row.status in _OVER:
                return letters.outcome(intent, row.status, row.output, row.error)
            if ends is not None and time.monotonic() + pause > ends:
                message = f"{intent!r} is not over yet; it goes on"
                raise TimeoutError(message)
            time.sleep(pause)
            pause = min(pause * 2, _LONGEST_LOOK)

    def failures(self, *, limit: int = 100) -> list[Failed]:
        """Return the outcomes of jobs that have failed, the latest first, as ``result`` does.

        Args:
            limit: So many at most.

        Raises:
            StoreError: The database could not be used.
        """
        with self._engine.client() as client:
            rows = client.list_workflows(
                name=JOB,
                status=_FAILED,
                application_name=self._engine.name,
                sort_desc=True,
                limit=limit,
                load_input=False,
            )
        read = (letters.outcome(r.workflow_id, r.status, r.output, r.error) for r in rows)
        return [outcome for outcome in read if isinstance(outcome, Failed)]

    # Seeing to things

    def status(self) -> Status:
        """Return how things stand, as data; ``str()`` of it is a table.

        Raises:
            StoreError: The database could not be used.
        """
        accounts = {label: AccountStatus(label) for label in self._labels}
        for state, label, count in self._engine.count("status", "queue_partition_key"):
            row = accounts.setdefault(label, AccountStatus(label))
            word = census.STATES[state]
            setattr(row, word, getattr(row, word) + count)
        for lane, facts in self._resting():
            label = str(lane.queue_partition_key)
            row = accounts.setdefault(label, AccountStatus(label))
            row.rests, row.words = facts["why"], facts.get("words", "")
        known = self._worker.known()
        for label, row in accounts.items():
            row.parked = len(self.store.find(label, ["parked"]))
            if (row.waiting or row.running) and not row.rests:
                row.words = self._unserved(label, known)
        rows = self._engine.count("executor_id", "application_version", running=True)
        busy = [
            WorkerStatus(worker, count, self._worker.alive(worker), version, _labels(known, worker))
            for worker, version, count in rows
        ]
        names = {row.executor_id for row in busy}
        idle = [
            WorkerStatus(entry.worker, 0, alive=True, app_version=entry.version, accounts=entry[3])
            for entry in known
            if entry.alive and entry.worker not in names
        ]
        workers = sorted([*busy, *idle], key=lambda row: row.executor_id)
        return Status(tuple(accounts[label] for label in sorted(accounts)), tuple(workers))

    def has_worker(self, account: str | None = None) -> bool | None:
        """Tell whether a worker that runs has a client for an account.

        Returns:
            None where no worker runs, or nobody can tell, because the programs that work have
            launched the engine by themselves.

        Raises:
            ConfigError: Nobody has the account.
            StoreError: The database could not be used.
        """
        label, known = self._label(account), self._worker.known()
        if not any(entry.alive for entry in known):
            return None
        if any(label in entry.accounts for entry in known if entry.alive):
            return True
        return None if self._worker.has_guests() else False

    def _unserved(self, label: str, known: Iterable[Entry]) -> str:
        """Say why nobody works for an account, if so."""
        alive = [entry for entry in known if entry.alive]
        if any(label in entry.accounts for entry in alive) or self._worker.has_guests():
            return ""
        return "no worker that runs has this account" if alive else "no worker runs"

    def rescue(self, executor_id: str | None = None) -> list[str]:
        """Give the jobs of dead workers to those that live, and return their intents.

        A worker that comes back under its own name takes up its jobs by itself: this is for one
        that never will.

        Args:
            executor_id: The worker; None for all that are known to be dead.

        Raises:
            ConfigError: That worker is alive.
            InvalidRequestError: There never was such a worker.
            StoreError: The database could not be used.
        """
        if executor_id is not None:
            names = {str(name) for name, _ in self._engine.count("executor_id") if name}
            names |= {entry.worker for entry in self._worker.known()}
            if executor_id not in names:
                told = ", ".join(map(repr, sorted(names))) or "none"
                problem = f"there is no worker {executor_id!r}; known: {told}"
                raise InvalidRequestError("executor_id", problem)
            return self._worker.rescue(executor_id)
        dead = {row.executor_id for row in self.status().workers if row.alive is False}
        return [intent for worker in sorted(dead) for intent in self._worker.rescue(worker)]

    def retry(self, intent: str) -> None:
        """Let a job that has failed be tried again: what is paid for is not paid again.

        That is for failures that have been seen to, such as a full disk, or a lost answer that
        ``adopt`` has decided. A job that Krea has ended stays ended; a new attempt at that needs
        a new intent.

        Raises:
            InvalidRequestError: It is not over, or it has not failed.
            StoreError: The database could not be used.
        """
        row = self._row(intent)
        if row.status not in _OVER or row.status == "SUCCESS" or row.input is None:
            raise InvalidRequestError("intent", f"{intent!r} has not failed")
        task = Task.load(row.input["args"][0])
        for name in (intent, tasks.LANE_PREFIX + intent):
            self._suspects().acquit(name)
        with self._engine.client() as client:
            lanes = client.list_workflows(workflow_ids=[tasks.LANE_PREFIX + intent])
            client.delete_workflows([lane.workflow_id for lane in lanes])
            client.rewind_workflow(
                intent,
                queue_name=self._engine.queues.jobs,
                queue_partition_key=task.account,
                application_version=self._app_version,
            )

    def wake(self, account: str | None = None) -> int:
        """Let whatever rests try again now, after topping up the balance for instance.

        Returns:
            How many jobs and submits have been told.

        Raises:
            StoreError: The database could not be used.
        """
        with self._engine.client() as client:
            rows = self._engine.running(client, JOB, SUBMIT)
            told = [row for row in rows if account in {None, row.queue_partition_key}]
            for row in told:
                client.send(row.workflow_id, "now", topic=AGAIN)
        return len(told)

    def set_slots(self, slots: int) -> None:
        """Change how many jobs of an account are under way at once, for every worker, now.

        Raises:
            InvalidRequestError: It is less than 1.
            ConfigError: No worker was ever started.
            StoreError: The database could not be used.
        """
        if slots < 1:
            raise InvalidRequestError("slots", f"{slots} is too few; 1 or more are needed")
        with self._engine.client() as client:
            queue = client.retrieve_queue(self._engine.queues.jobs)
            if queue is None:
                raise ConfigError("slots: no worker was ever started.", hint="Start one first.")
            queue.set_partition_concurrency(slots)

    def forget(self, *, older_than: float) -> int:
        """Delete what the engine knows of jobs that have been over for so many days.

        Intents stay in the store: enqueueing one again finds its job, and pays nothing.

        Returns:
            How many jobs.

        Raises:
            StoreError: The database could not be used.
        """
        before = (datetime.now(UTC) - timedelta(days=older_than)).isoformat()
        forgotten = 0
        with self._engine.client() as client:
            while rows := client.list_workflows(
                name=JOB,
                status=_OVER,
                completed_before=before,
                application_name=self._engine.name,
                limit=_TOGETHER,
                load_input=False,
                load_output=False,
            ):
                client.delete_workflows([row.workflow_id for row in rows], delete_children=True)
                forgotten += len(rows)
        return forgotten

    # Working

    def register(self) -> None:
        """Make the workflows known to an engine that the application itself launches.

        Call it after ``DBOS(config=...)`` and before ``DBOS.launch()``, with the same ``name`` and
        version as there, and give each process an ``executor_id`` that stays.

        Raises:
            ConfigError: There is no client factory.
            StoreError: The database, in which the queues are made, could not be used.
        """
        _check_factories(self._factories)
        self._worker.note_guests()
        self._worker.register(self._stages())

    def launch(self) -> None:
        """Begin to work, in threads of this process; jobs that it had before are taken up.

        What rests for want of a key or of credit is tried at once.

        Raises:
            ConfigError: Somebody else works under this name, or on this SQLite file; there is no
                client factory; or the engine refuses the configuration.
            StoreError: The database could not be used.
        """
        _check_factories(self._factories)
        self._worker.launch(self._stages, self._labels)
        self._stopped.clear()
        self._try_now()
        if self._retention is not None:
            tidy = threading.Thread(target=self._tidy, args=(self._retention,), daemon=True)
            tidy.start()

    def run(self, *, ready: Callable[[], object] = bool) -> None:
        """Work until SIGTERM or Ctrl-C, then end in order: an answer that is to come is awaited.

        Args:
            ready: Called once it works, which is when a supervisor may be told so.

        Raises:
            ConfigError: As ``launch`` does.
            StoreError: As ``launch`` does.
        """
        self.launch()
        numbers = (signal.SIGTERM, signal.SIGINT)
        before = [signal.signal(number, lambda *_: self._stopped.set()) for number in numbers]
        try:
            ready()
            while not self._stopped.wait(1.0):
                pass
            self.close()
        finally:
            for number, handler in zip(numbers, before, strict=True):
                signal.signal(number, handler)

    def close(self) -> None:
        """Stop working. What is under way goes on where this worker, or another one, is started."""
        self._stopped.set()
        self._worker.close()
        self._engine.close()
        for opened in (self._looking, self._own_store):
            if opened is not None:
                opened.close()
        self._looking = self._own_store = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _stages(self) -> Stages:
        more = {} if self._receiver is None else {"receiver": self._receiver}
        return Stages(self._factories, self.store, more, self._output_dir, self._suspects())

    def _suspects(self) -> Suspects:
        engine = self._engine
        return Suspects(self.store, engine.name, engine.begun, self._max_attempts)

    def _label(self, account: str | None) -> str:
        if account is None and len(self._labels) == 1:
            return self._labels[0]
        if account is None or (self._labels and account not in self._labels):
            known = ", ".join(map(repr, self._labels)) or "none"
            raise ConfigError(
                f"account: there is no {account!r} here; known: {known}.",
                hint="Name one of the labels that this Durable was given.",
            )
        return account

    def _row(self, intent: str) -> WorkflowStatus:
        problem = f"nobody has enqueued {intent!r}"
        if self._engine.missing:
            raise InvalidRequestError("intent", f"{problem}: there is no {self._engine.missing}")
        with self._engine.client() as client:
            row = _find(client, intent)
        if row is None or row.name != JOB:
            raise InvalidRequestError("intent", problem)
        return row

    def _resting(self) -> list[tuple[WorkflowStatus, dict[str, Any]]]:
        """Return the submits that rest, and why they do."""
        with self._engine.client() as client:
            lanes = self._engine.running(client, SUBMIT, status=_BEGUN)
            told = [(lane, client.get_event(lane.workflow_id, RESTS, 0)) for lane in lanes]
        return [(lane, facts) for lane, facts in told if facts]

    def _try_now(self) -> None:
        """Wake what rests, where this worker may have what it waits for, such as another key."""
        try:
            mine = [lane for lane, _ in self._resting() if lane.queue_partition_key in self._labels]
            with self._engine.client() as client:
                for lane in mine:
                    client.send(lane.workflow_id, "now", topic=AGAIN)
        except StoreError as error:
            LOGGER.warning("what rests could not be woken: %s", error)

    def _tidy(self, retention: float) -> None:
        while not self._stopped.wait(_FORGET_EVERY):
            try:
                self.forget(older_than=retention)
            except KreaError as error:
                LOGGER.warning("old jobs could not be forgotten: %s", error)


def _check(accounts: object, **numbers: float) -> None:
    """Refuse what cannot work.

    Raises:
        ConfigError: There is something.
    """
    if isinstance(accounts, str):
        message = "accounts: a mapping of labels to client factories is needed, or a list of labels"
        raise ConfigError(f"{message}, not a str.", hint=f"Such as [{accounts!r}].")
    factories = accounts.items() if isinstance(accounts, Mapping) else ()
    for label, factory in factories:
        made = factory
        while isinstance(made, partial):
            made = made.func
        wrong = isinstance(made, type) and not issubclass(made, AsyncAleph)
        if wrong or not callable(made):
            raise ConfigError(
                f"accounts: what {label!r} has is no factory of an AsyncAleph.",
                hint="Such as functools.partial(AsyncAleph, api_key=...); it is called with more.",
            )
    for name, number in numbers.items():
        if number <= 0:
            raise ConfigError(f"{name}: {number} is too few.", hint="Leave it out.")


def _labels(known: Iterable[Entry], worker: str) -> tuple[str, ...]:
    return next((entry.accounts for entry in known if entry.worker == worker), ())


def _check_factories(factories: Mapping[str, Factory]) -> None:
    """Refuse to work for nobody.

    Raises:
        ConfigError: There is no client factory.
    """
    if not factories:
        message = "accounts: whoever works needs a client factory for each label."
        raise ConfigError(message, hint="Such as {'studio': functools.partial(AsyncAleph)}.")


def _find(client: DBOSClient, intent: str) -> WorkflowStatus | None:
    return next(iter(client.list_workflows(workflow_ids=[intent])), None)
