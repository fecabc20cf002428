"""The stages of a job: what is tried in each, and what becomes of a try that fails.

There is no second way to submit here. A stage calls the client, under the task's intent, and the
store is what knows whether a job was paid for, in which process, and what the server showed before.
A stage may be tried any number of times, by any worker.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from krea_aleph import AsyncAleph
from krea_aleph.durable.letters import dump_error, dump_saved, load_error
from krea_aleph.durable.tasks import LANE_PREFIX, is_in_bucket, place_in
from krea_aleph.errors import (
    APIConnectionError,
    AuthenticationError,
    ConfigError,
    DownloadError,
    InsufficientCreditsError,
    IntentBusyError,
    InternalServerError,
    InvalidRequestError,
    InvalidResponseError,
    KreaError,
    RateLimitError,
    StoreError,
    SubmitUncertainError,
    UploadError,
)
from krea_aleph.models import Job
from krea_aleph.notes import write_end

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from typing import TypeAlias

    from krea_aleph.durable.suspects import Suspects
    from krea_aleph.durable.tasks import Task
    from krea_aleph.models import Saved
    from krea_aleph.store import Store

    Factory: TypeAlias = Callable[..., AsyncAleph]
    Verdict: TypeAlias = dict[str, Any]

LOGGER: Final = logging.getLogger("krea_aleph.durable")
"""Tells at INFO which jobs are done, and from WARNING on what somebody may have to see to."""
# Whose key or credit does not do now may have what it takes later; so for an account's label.
_NEEDS_SOMEBODY: Final = {
    InsufficientCreditsError: "credit",
    AuthenticationError: "key",
    ConfigError: "account",
}
FOR_SOMEBODY: Final = frozenset(_NEEDS_SOMEBODY.values())
"""The reasons that somebody has to see to."""
# These say nothing about the job, and pass.
_PASSES: Final = (
    APIConnectionError,
    IntentBusyError,
    InternalServerError,
    InvalidResponseError,
    RateLimitError,
    StoreError,
)
# What a verdict has where a stage is through.
_DONE: Final = ("job", "saved")
_DOWNLOADS: Final = 6
SOMEBODY_SECONDS = 60.0
"""How long to wait for somebody at first; twice as long each time after that."""


class Alert(NamedTuple):
    """Something that somebody has to see to; the jobs of the account wait for it.

    Attributes:
        account: The label of the account.
        reason: "credit" (402), "key" (401), "account" (this worker has no client for it).
        message: What was said.
        intent: The job that has met it first.
    """

    account: str
    reason: str
    message: str
    intent: str


class Stages:
    """Tries what there is to be done for a task, with the client of its account.

    Args:
        accounts: A client factory for each label.
        store: Where intents are kept.
        more: Further options for every client.
        output_dir: The folder that results go into, on disk or in a bucket.
        suspects: Who may take the process down.
    """

    def __init__(
        self,
        accounts: Mapping[str, Factory],
        store: Store,
        more: Mapping[str, Any],
        output_dir: str,
        suspects: Suspects,
    ) -> None:
        self._suspects = suspects
        self._accounts = accounts
        self._store = store
        self._more = more
        self._output_dir = output_dir
        self._clients: dict[str, AsyncAleph] = {}
        self._submits: set[asyncio.Task[Any]] = set()
        self._closing = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._last: asyncio.Task[None] | None = None

    async def submit(self, task: Task, _: Verdict, tries: int) -> Verdict:
        """Start the job of a task, or find the one that was started."""
        del tries

        async def attempt() -> Verdict:
            client = self._client(task.account)
            kept = await self._look_at_output(client, task)
            if kept is not None:
                return {"saved": dump_saved(kept)}
            try:
                job = await client.submit(
                    task.video,
                    task.prompt,
                    intent=task.intent,
                    extra_body=task.extra_body,
                    **task.options,
                )
            except SubmitUncertainError as error:
                if error.candidates:
                    raise
                return {"later": 0.0, "why": "lost answer", "words": str(error)}
            return {"job": job.to_json()}

        async def careful() -> Verdict:
            watched = partial(self._suspects.watch, LANE_PREFIX + task.intent, attempt)
            running = asyncio.ensure_future(_judged(watched))
            self._submits.add(running)
            running.add_done_callback(self._submits.discard)
            return await running

        verdict = await self._until_closing(careful)
        return await self._noted(task, {}, verdict) if "failed" in verdict else verdict

    async def wait(self, task: Task, known: Verdict, tries: int) -> Verdict:
        """Wait until the job has ended. Whoever tries again goes on with it."""
        del tries

        async def attempt() -> Verdict:
            job = await self._client(task.account).wait(Job.from_json(known["job"]))
            return {"job": job.to_json()}

        verdict = await self._until_closing(partial(_judged, attempt))
        over = "failed" in verdict or ("job" in verdict and task.output is None)
        return await self._noted(task, known | verdict, verdict) if over else verdict

    async def save(self, task: Task, known: Verdict, tries: int) -> Verdict:
        """Bring the result to where it is wanted."""

        async def attempt() -> Verdict:
            job = Job.from_json(known["job"])
            client = self._client(task.account)
            try:
                output = self._place(task.output or "")
                saved = await client.download(job, output, exists=task.exists)
            except (DownloadError, InvalidRequestError) as error:
                if tries >= _DOWNLOADS:
                    raise _of_job(error, job) from error
                return {"later": 0.0, "why": "download", "words": str(error)}
            return {"saved": dump_saved(saved)}

        careful = partial(self._suspects.watch, task.intent, attempt)
        verdict = await self._until_closing(partial(_judged, careful))
        over = "later" not in verdict
        return await self._noted(task, known, verdict) if over else verdict

    async def _noted(self, task: Task, known: Verdict, verdict: Verdict) -> Verdict:
        """Write down how a job has ended, for people to look at, and return that.

        It is the engine that knows how it has ended; what cannot be written down is only not shown.
        """
        try:
            job = Job.from_json(known["job"]) if "job" in known else None
            error = load_error(verdict["failed"]) if "failed" in verdict else None
            path = verdict["saved"]["path"] if "saved" in verdict else None
            where = None if task.output is None else place_in(self._output_dir, task.output)
            end = partial(write_end, self._store, task.account, task.intent, job=job, path=path)
            await asyncio.to_thread(end, error=error, output=where)
        except Exception as problem:  # noqa: BLE001 - whatever it is, the job comes first
            LOGGER.warning("how %r has ended is not written down: %s", task.intent, problem)
        return verdict

    def close(self, patience: float) -> None:
        """Begin no submit any more, let those under way end, and close the clients."""
        self._closing.set()
        loop = self._loop
        if loop is None or not loop.is_running():
            return

        async def closing() -> None:
            if self._submits:
                await asyncio.wait(set(self._submits), timeout=patience)
            for client in self._clients.values():
                await client.close()

        if _is_running_here(loop):
            self._last = loop.create_task(closing())  # who blocks its own loop waits for ever
        else:
            asyncio.run_coroutine_threadsafe(closing(), loop).result()

    async def _until_closing(self, attempt: Callable[[], Awaitable[Verdict]]) -> Verdict:
        """Try, unless this process is to end: what goes wrong then says nothing of the job.

        Nothing is recorded, and so the next process tries it.
        """
        if not self._closing.is_set():
            verdict = await attempt()
            if not self._closing.is_set() or not verdict.keys().isdisjoint(_DONE):
                return verdict
        return await asyncio.Future()  # until the process has ended

    async def _look_at_output(self, client: AsyncAleph, task: Task) -> Saved | None:
        """Look where a result goes before it is paid for, and return what is kept there.

        Raises:
            InvalidRequestError: It could not be saved.
        """
        if task.output is None:
            return None
        record = await asyncio.to_thread(self._store.read, task.account, task.intent)
        if record is not None and record.phase != "new":
            return None  # it may be paid for, and then its end is to be seen
        return await client.check_output(self._place(task.output), exists=task.exists)

    def _place(self, output: str) -> str:
        """Return where a result goes, in a folder that is there.

        Raises:
            InvalidRequestError: There can be no such folder.
        """
        path = place_in(self._output_dir, output)
        if not is_in_bucket(path):
            folder = os.path.dirname(path)  # noqa: PTH120 - a slash at the end counts
            try:
                os.makedirs(folder, exist_ok=True)  # noqa: PTH103 - likewise
            except OSError as error:
                problem = f"the folder {folder!r} cannot be made: {error.strerror}"
                raise InvalidRequestError("output", problem) from error
        return path

    def _client(self, label: str) -> AsyncAleph:
        """Return the client of an account, which is made when it is first needed."""
        self._loop = asyncio.get_running_loop()
        client = self._clients.get(label)
        if client is None:
            factory = self._accounts.get(label)
            if factory is None:
                known = ", ".join(map(repr, self._accounts)) or "none"
                raise ConfigError(
                    f"account: this worker knows no {label!r}; it knows {known}.",
                    hint="Start it with a client factory for that label; the job waits.",
                )
            client = factory(account=label, store=self._store, **self._more)
            if getattr(client, "account", None) != label or not isinstance(client, AsyncAleph):
                raise ConfigError(
                    f"accounts: the factory of {label!r} must return an AsyncAleph of that label,"
                    " made with the options that it is given.",
                    hint="Such as functools.partial(AsyncAleph, api_key=...).",
                )
            self._clients[label] = client
        return client


def _is_running_here(loop: asyncio.AbstractEventLoop) -> bool:
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False


async def _judged(attempt: Callable[[], Awaitable[Verdict]]) -> Verdict:
    """Return what a try has come to, or what is to be done about its error."""
    try:
        return await attempt()
    except KreaError as error:
        return _verdict(error)
    except Exception as error:
        LOGGER.exception("a job has failed with an error that is not the library's")
        words = f"{type(error).__name__}: {error}"
        broken = KreaError(words, hint="Look at the worker's log.")
        return {"failed": dump_error(broken), "words": words}


def _verdict(error: KreaError) -> Verdict:
    for kind, why in _NEEDS_SOMEBODY.items():
        if isinstance(error, kind):
            return {"later": SOMEBODY_SECONDS, "why": why, "words": str(error)}
    if isinstance(error, _PASSES) or _may_pass(error):
        pause = getattr(error, "retry_after", None) or 0.0
        return {"later": pause, "why": type(error).__name__, "words": str(error)}
    return {"failed": dump_error(error), "words": str(error)}


def _may_pass(error: KreaError) -> bool:
    """Tell whether what a clip or a result is kept in may be had again later."""
    kept_in = isinstance(error, UploadError | InvalidRequestError)
    return kept_in and error.resubmit == "safe"


def _of_job(error: KreaError, job: Job) -> DownloadError:
    """Return why the result of a job that is done, and paid for, is not saved."""
    if isinstance(error, DownloadError):
        return error
    unsaved = DownloadError(str(error), url=job.url or "", job_id=job.id)
    unsaved.hint = f"See to that, then retry the job; or fetch it with download({job.id!r}, ...)."
    return unsaved
