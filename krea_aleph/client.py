"""The clients: `Aleph` blocks, `AsyncAleph` is awaited; the rest is the same.

Here are signatures and documentation; `_submit`, `_waiting`, `_results`, `_jobs` and `_assets`
say what happens, once for both.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, Literal, Self, Unpack

from krea_aleph import _assets, _jobs, _notices, _submit, _waiting, _wire
from krea_aleph._config import ClientOptions, Config, derived
from krea_aleph._drivers import AsyncDriver, SyncDriver
from krea_aleph._hooks import Correspondent
from krea_aleph._transport import AsyncPool, SyncPool
from krea_aleph.models import AUTO

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import (
        AsyncGenerator,
        AsyncIterable,
        Callable,
        Generator,
        Iterable,
        Mapping,
        Sequence,
    )
    from datetime import datetime
    from types import TracebackType

    from krea_aleph._wire import AlephOptions, Draft
    from krea_aleph.errors import SubmitUncertainError
    from krea_aleph.models import (
        Asset,
        Cancellation,
        Checked,
        Exists,
        Job,
        JobRef,
        Media,
        Saved,
        StrPath,
        Update,
    )
    from krea_aleph.outcomes import BadItem, Failed, Item, Succeeded
    from krea_aleph.store import Store


class _Client:
    """What the colours share: the configuration, and how a request is prepared."""

    _transport_methods: tuple[str, ...]
    _asynchronous: bool
    _driver: Any
    _pool: Any

    def __init__(self, options: ClientOptions) -> None:
        self._config = Config.resolve(options, self._transport_methods)
        # In place of the key its keyring, which hides it, and which derived clients share.
        self._options: Any = {**options, "api_key": self._config.keys}

    def _derive(self, parent: _Client, options: ClientOptions) -> None:
        """Be configured like another client but for some options."""
        _Client.__init__(self, derived(parent._options, options))
        self._config = replace(self._config, uploads=parent._config.uploads)
        if "on_event" not in options:  # a listener of its own wants to hear everything
            self._config = replace(self._config, told=parent._config.told)

    def _attach(self) -> None:
        """Let the receiver, if there is one, reach this client for as long as it lives."""
        receiver = self._config.receiver
        if receiver is not None:
            self._correspondent = Correspondent(
                self._config,
                self._driver.run,
                self._pool.usable,
                asynchronous=self._asynchronous,
            )
            receiver.attach(self._correspondent)

    def __repr__(self) -> str:
        config = self._config
        return f"{type(self).__name__}(account={config.account!r}, base_url={config.base_url!r})"

    def __reduce__(self) -> str:
        raise TypeError(f"a {type(self).__name__} does not pickle: make one in each process")

    @property
    def account(self) -> str:
        """The label of the account that this client acts for."""
        return self._config.account

    @property
    def base_url(self) -> str:
        """The address of the API that this client speaks to."""
        return self._config.base_url

    @property
    def proxy(self) -> str | None:
        """The address of the proxy on the way to the API, without its password; None for none."""
        url = self._config.proxy_for(self._config.base)
        return None if url is None else _without_password(url)

    def check(
        self,
        video: Media,
        prompt: str,
        *,
        extra_body: Mapping[str, Any] | None = None,
        **options: Unpack[AlephOptions],
    ) -> Checked:
        """Check a request as ``submit`` would, and send nothing: a dry run.

        Files are opened and read, because their kind and size are checked too.

        Args:
            video: The clip: a URL, also ``s3://``, ``gs://`` or ``az://``, a path, a file open for
                reading bytes, or an asset.
            prompt: What it should become, at most 1,000 characters.
            extra_body: Further fields of the body, merged last; names that the pinned contract
                does not know are allowed here.
            **options: The optional fields of the contract; `AlephOptions` lists them.

        Returns:
            The body that would be sent, the files that would be uploaded, and a fingerprint.

        Raises:
            InvalidRequestError: It would be refused; names field, value and remedy.
        """
        prepared = self._ask(video, prompt, extra_body, options)().inspect()
        for caution in (*_notices.of_operations(_wire.SUBMIT), *prepared.cautions):
            _notices.warn_once(caution)
        prepared.warn()
        return prepared.checked

    def _ask(
        self,
        video: Media,
        prompt: str,
        extra_body: Mapping[str, Any] | None,
        options: AlephOptions,
        intent: str | None = None,
    ) -> Callable[[], Draft]:
        return partial(
            _wire.draft,
            video,
            prompt,
            options,
            extra_body=extra_body,
            checks=self._config.checks,
            account=self._config.account,
            intent=intent,
            nearby=self._config.nearby,
            storage=self._config.storage,
        )


def _without_password(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"


class Aleph(_Client):
    """The client for code that blocks. Any number of threads may share one.

    Example:
        >>> with Aleph() as aleph:  # doctest: +SKIP
        ...     saved = aleph.transform("in.mp4", "make it snow", "out.mp4")
        ...     print(saved.path)
    """

    _transport_methods = ("handle_request", "close")
    _asynchronous = False
    _driver: SyncDriver
    _pool: SyncPool

    def __init__(self, **options: Unpack[ClientOptions]) -> None:
        """Configure a client; nothing is sent and no key callable is called yet.

        Args:
            **options: See `ClientOptions`.

        Raises:
            ConfigError: An option or the environment cannot work; says which and what to do.
        """
        super().__init__(options)
        self._pool = SyncPool(self._config)
        self._driver = SyncDriver(self._config, self._pool)
        self._owner = True
        self._attach()

    def with_options(self, **options: Unpack[ClientOptions]) -> Self:
        """Return a client that shares this one's connections and differs in some options.

        That is how one process serves many tenants. Closing it closes nothing.

        Raises:
            ConfigError: An option cannot work, or concerns the shared connections.
        """
        other = object.__new__(type(self))
        other._derive(self, options)
        other._pool = self._pool.sharing(other._config)
        other._driver = SyncDriver(other._config, other._pool)
        other._owner = False
        other._attach()
        return other

    def submit(
        self,
        video: Media,
        prompt: str,
        *,
        intent: str | None = None,
        webhook_url: str | None = None,
        extra_body: Mapping[str, Any] | None = None,
        **options: Unpack[AlephOptions],
    ) -> Job:
        """Start a paid job and return it as accepted; don't wait for it.

        Files are uploaded first. The request that pays leaves once: it is repeated only after an
        outcome that surely started nothing.

        Args:
            video: The clip: a URL, also ``s3://``, ``gs://`` or ``az://``, a path, a file open for
                reading bytes, or an asset. Krea uses its first 5 seconds.
            prompt: What it should become, at most 1,000 characters.
            intent: Your name for what is wanted, such as "shot-17". Calling again with the same
                name and request gives the first job, whatever its state, also from another process
                and after a crash. It needs a client with a ``store``.
            webhook_url: An endpoint of yours that Krea is to call when the job has ended. Krea does
                not sign what it sends: believe only the job id and ask for the job.
            extra_body: Further fields of the body, merged last; names that the pinned contract
                does not know are allowed here.
            **options: The optional fields of the contract, listed in `AlephOptions`; media among
                them may be files too.

        Raises:
            InvalidRequestError: Refused before anything was sent, perhaps by ``before_submit``.
            IntentConflictError: The intent stands for another request.
            IntentBusyError: Somebody else is submitting it, for longer than one waits.
            StoreError: The store cannot be used; nothing was sent.
            UploadError: The file changed or failed while it was read.
            SubmitUncertainError: The job may or may not have been started.
            APIStatusError: The server refused; the class says why.
            APIConnectionError: The server was not reached.
        """
        ask = self._ask(video, prompt, extra_body, options, intent)
        return self._driver.run(_submit.submit(self._config, ask, webhook_url))

    def transform(
        self,
        video: Media,
        prompt: str,
        output: StrPath,
        *,
        exists: Exists = "error",
        wait_timeout: float | None = AUTO,
        on_update: Callable[[Update], object] | None = None,
        intent: str | None = None,
        webhook_url: str | None = None,
        keep_upload: bool = True,
        extra_body: Mapping[str, Any] | None = None,
        **options: Unpack[AlephOptions],
    ) -> Saved:
        """Restyle a clip: upload it, submit, wait, and save the result.

        Args:
            video: As in ``submit``.
            prompt: As in ``submit``.
            output: The file to save to; or a folder, which an existing one is and a name that
                ends in "/" must be, for ``<job_id>.<ext>``; ``s3://bucket/key`` goes to a bucket.
            exists: What to do when the file exists, looked at before anything is paid: "error",
                "replace" it, or "keep" it and do nothing.
            wait_timeout: Seconds from acceptance to the end of the job. The default is 2 h 10 min
                in which time spent backlogged does not count; None waits for ever.
            on_update: Called with each `Update`, the accepted job first. What it raises is logged.
            intent: As in ``submit``.
            webhook_url: As in ``submit``.
            keep_upload: False deletes from Krea, once the job is over, what this call has uploaded
                and no other call uses; never an asset of yours. A failure to do so is an event
                ("upload_deleted"), not an error.
            extra_body: As in ``submit``.
            **options: As in ``submit``.

        Raises:
            InvalidRequestError: Refused before anything was sent.
            SubmitUncertainError: The job may or may not have been started.
            JobError: The job ended without a result; the class says how.
            WaitTimeoutError: It did not end in time; it goes on.
            DownloadError: The result could not be saved; download it again with the job's id.
            KreaError: Anything else; ``charged``, ``resubmit`` and ``hint`` say what to do.
        """
        from krea_aleph import _results  # noqa: PLC0415 - a submit should not pay for it

        operation = _results.transform(
            self._config,
            self._ask(video, prompt, extra_body, options, intent),
            output,
            exists=exists,
            wait_timeout=wait_timeout,
            webhook_url=webhook_url,
            keep_upload=keep_upload,
            intent=intent,
        )
        return self._driver.run(operation, on_update)

    def batch(
        self,
        items: Iterable[Item | BadItem],
        *,
        output_dir: StrPath,
        store: Store | None = None,
        max_inflight: int | None = None,
        max_submits: int | None = None,
        stop_after_failures: int | None = None,
        retry_failed: bool = True,
        ordered: bool = False,
        no_credit: Literal["stop", "pause"] = "stop",
        exists: Exists = "keep",
        delete_uploads: bool = False,
        wait_timeout: float | None = AUTO,
    ) -> Generator[Succeeded | Failed]:
        """Restyle many clips: keep the account's slots full, and yield an outcome for each item.

        Items are taken in as there is room, from an iterable of any length. How many jobs the
        account runs at once is found out. With a store, running the same batch again does only
        what is missing, after any crash; without one, only files that are there are left out.
        No failure of one item stops the others: it is a `Failed`.

        Args:
            items: Mappings as `Item` describes them, or what `manifest.read` gives. An AsyncAleph
                takes asynchronous iterables too, and reads others in a worker thread.
            output_dir: The folder that every result goes into; it is made if need be. Or the
                beginning of their keys in a bucket, such as ``s3://bucket/folder``.
            store: Where the batch is journalled; default: the client's store, if it has one.
            max_inflight: How many jobs at most are in flight; default: as many as the account runs.
            max_submits: How many paid requests this run may send; then it ends quietly.
            stop_after_failures: After so many failures nothing more is submitted, and
                TooManyFailuresError is raised once everything in flight is through.
            retry_failed: Whether an item whose job failed in an earlier run, free of charge and
                for a reason that may pass, is submitted again; once in each run.
            ordered: Whether outcomes come in the order of the items, rather than as they end.
            no_credit: What to do when the balance is empty or the key is refused: "stop" submitting
                and raise once everything in flight is through, or "pause" and try now and then.
            exists: What to do where a result's file exists: "keep" it, and send nothing; "replace"
                it; or "error".
            delete_uploads: Whether what this batch has uploaded is deleted when its job is over.
            wait_timeout: As in ``wait``, for each job.

        Raises:
            InvalidRequestError: An argument cannot be used.
            InsufficientCreditsError: The balance is empty.
            AuthenticationError: The key was refused.
            TooManyFailuresError: As many have failed as ``stop_after_failures`` says.
        """
        from krea_aleph import _batch  # noqa: PLC0415 - a submit should not pay for it

        operation = _batch.batch(
            self._config,
            items,
            store=store,
            output_dir=output_dir,
            asynchronous=self._asynchronous,
            max_inflight=max_inflight,
            max_submits=max_submits,
            stop_after_failures=stop_after_failures,
            retry_failed=retry_failed,
            ordered=ordered,
            no_credit=no_credit,
            exists=exists,
            delete_uploads=delete_uploads,
            wait_timeout=wait_timeout,
        )
        return self._driver.iterate(operation)

    def get(self, job: JobRef) -> Job:
        """Ask for a job as it is now.

        Raises:
            NotFoundError: There is no such job on this account.
            KreaError: There was no usable answer.
        """
        return self._driver.run(_jobs.get(self._config, job))

    def wait(
        self,
        job: JobRef,
        *,
        wait_timeout: float | None = AUTO,
        on_update: Callable[[Update], object] | None = None,
    ) -> Job:
        """Wait until a job has succeeded. Any process can, with the job's id.

        A look that fails is a missed look: it is counted and the wait goes on.

        Args:
            job: A job or its id. A finished snapshot is answered without asking.
            wait_timeout: Seconds. The default is 2 h 10 min in which time spent backlogged does
                not count; None waits for ever.
            on_update: Called with each `Update`. What it raises is logged.

        Raises:
            JobError: The job ended without a result; the class says how.
            WaitTimeoutError: It did not end in time; it goes on.
            NotFoundError: There is no such job on this account.
            AuthenticationError: The key was refused.
            PermissionDeniedError: It may not read jobs.
        """
        return self._driver.run(_waiting.wait(self._config, job, wait_timeout), on_update)

    def watch(self, job: JobRef, *, wait_timeout: float | None = AUTO) -> Generator[Update]:
        """Yield each change of a job, the final one last. A failed job is an update, no error.

        Leaving the loop leaves the job running.

        Args:
            job: As in ``wait``.
            wait_timeout: As in ``wait``.

        Raises:
            WaitTimeoutError: It did not end in time; it goes on.
            NotFoundError: There is no such job on this account.
            AuthenticationError: The key was refused.
            PermissionDeniedError: It may not read jobs.
        """
        return self._driver.iterate(_waiting.watch(self._config, job, wait_timeout))

    def wait_many(
        self, jobs: Iterable[JobRef], *, wait_timeout: float | None = AUTO
    ) -> list[Succeeded | Failed]:
        """Wait for many jobs, and return what became of each, in the order given.

        One look at the account's list answers for up to a thousand of them; one job's failure
        stops no other and raises nothing.

        Args:
            jobs: Jobs or their ids.
            wait_timeout: Seconds for the whole call; as in ``wait``, the default does not count
                what a job spends backlogged.

        Returns:
            For each job `Succeeded`, or `Failed` with the error that ``wait`` would have raised.

        Raises:
            InvalidRequestError: One of them is no job of this account; nothing was asked.
        """
        from krea_aleph import _many  # noqa: PLC0415 - a submit should not pay for it

        return self._driver.run(_many.wait_many(self._config, jobs, wait_timeout))

    def as_completed(
        self, jobs: Iterable[JobRef], *, wait_timeout: float | None = AUTO
    ) -> Generator[Succeeded | Failed]:
        """Yield what becomes of each of many jobs, as soon as it is known.

        Leaving the loop leaves the others running. Otherwise as ``wait_many``.

        Args:
            jobs: Jobs or their ids.
            wait_timeout: As in ``wait_many``.

        Raises:
            InvalidRequestError: One of them is no job of this account; nothing was asked.
        """
        from krea_aleph import _many  # noqa: PLC0415 - a submit should not pay for it

        return self._driver.iterate(_many.as_completed(self._config, jobs, wait_timeout))

    def watch_many(
        self, jobs: Iterable[JobRef], *, wait_timeout: float | None = AUTO
    ) -> Generator[Update]:
        """Yield each change of many jobs until all have ended. A failed job is an update, no error.

        Leaving the loop leaves the jobs running.

        Args:
            jobs: Jobs or their ids.
            wait_timeout: As in ``wait_many``.

        Raises:
            WaitTimeoutError: A job did not end in time; raised once the others are over.
            NotFoundError: There is no such job on this account; likewise.
        """
        from krea_aleph import _many  # noqa: PLC0415 - a submit should not pay for it

        return self._driver.iterate(_many.watch_many(self._config, jobs, wait_timeout))

    def cancel(self, job: JobRef) -> Cancellation:
        """Ask Krea to cancel a job, and say what came of it.

        The job is read first; a finished one is never touched. Krea documents cancelling for jobs
        that are queued or processing, and does not charge for cancelled ones.

        Raises:
            NotFoundError: There is no such job on this account.
            KreaError: The job could not be read.
        """
        return self._driver.run(_jobs.cancel(self._config, job))

    def download(self, job: JobRef, output: StrPath, *, exists: Exists = "error") -> Saved:
        """Save the results of a job that has succeeded. It asks once if need be, and never waits.

        The files have their final names only when they are whole and on disk.

        Args:
            job: A job or its id.
            output: As in ``transform``; further results beside the first are ``name-2.ext``, ...
            exists: As in ``transform``.

        Raises:
            InvalidRequestError: ``output`` cannot be used.
            JobNotFinishedError: The job still runs.
            JobError: It ended without a result.
            DownloadError: The results could not be saved whole.
        """
        from krea_aleph import _results  # noqa: PLC0415 - a submit should not pay for it

        operation = _results.download(self._config, job, output, exists=exists)
        return self._driver.run(operation)

    def check_output(self, output: StrPath, *, exists: Exists = "error") -> Saved | None:
        """Look whether results could be saved somewhere. Nothing is sent to Krea.

        ``transform`` and ``batch`` do that before they pay. This is for whoever submits now and
        downloads later, perhaps in another process, and would know before that.

        Args:
            output: As in ``transform``.
            exists: As in ``transform``.

        Returns:
            What is there already, where that is to be kept: then ``transform`` pays for nothing.

        Raises:
            InvalidRequestError: They could not; ``resubmit`` is "safe" where that may pass.
        """
        from krea_aleph import _results  # noqa: PLC0415 - a submit should not pay for it

        return self._driver.run(_results.check_output(self._config, output, exists))

    def recover(self, error: SubmitUncertainError, *, settle: float = 60.0) -> Job | None:
        """Find out what became of a submit whose answer was lost.

        Args:
            error: What ``submit`` or ``transform`` raised; one that was pickled will do.
            settle: Seconds after the loss that a request may still take to arrive at the server;
                until they have passed, nothing is concluded.

        Returns:
            The job, when it is proved which one it is: on an account that is ``exclusive`` to this
            client's store, or by a webhook that came to the request's own address. None, when it
            is proved that none was started, so that submitting again is safe.

        Raises:
            SubmitUncertainError: It cannot be told; ``candidates`` has the jobs that it may be.
            InvalidRequestError: The error is another account's, or ``settle`` is no number.
            KreaError: Krea could not be asked; nothing is known yet.
        """
        from krea_aleph import _recovery  # noqa: PLC0415 - few need it, and seldom

        return self._driver.run(_recovery.recover(self._config, error, settle))

    def adopt(self, error: SubmitUncertainError, job: JobRef) -> Job:
        """Record the decision of a human which job a lost submit has become.

        Args:
            error: What ``submit``, ``transform`` or ``recover`` raised.
            job: The job that it is. With a ``store``, its intent has become this job from now on.

        Returns:
            The job as it is now.

        Raises:
            JobClaimedError: The job belongs to another intent.
            NotFoundError: There is no such job on this account.
            KreaError: There was no usable answer.
        """
        from krea_aleph import _recovery  # noqa: PLC0415 - few need it, and seldom

        return self._driver.run(_recovery.adopt(self._config, error, job))

    def list_jobs(
        self,
        *,
        status: str | None = None,
        types: Sequence[str] = (),
        created_before: datetime | None = None,
        created_after: datetime | None = None,
    ) -> Generator[Job]:
        """Yield the account's jobs, newest first, asking for pages as they are needed.

        Args:
            status: Only jobs of this status.
            types: Only jobs of these types, such as ``externalImage``.
            created_before: Only older jobs; a time with a zone.
            created_after: Only newer jobs; a time with a zone.

        Raises:
            APIStatusError: The server refused.
            APIConnectionError: It was not reached.
        """
        operation = _jobs.list_jobs(
            self._config,
            status=status,
            types=types,
            created_before=created_before,
            created_after=created_after,
        )
        return self._driver.iterate(operation)

    def upload(self, file: Media, *, reuse: bool = True) -> Asset:
        """Upload a file, streamed at constant memory, to use it in several jobs.

        It is sent again when the connection breaks. Content that this client or one derived from it
        has uploaded before is not sent again: the asset is asked for, and returned if it is there.

        Args:
            file: A path or a file open for reading bytes, at most 75,000,000 bytes of MP4, MOV,
                WebM, JPEG, PNG, WebP, HEIC, GLB, WAV or MP3. A stream that cannot be rewound is
                copied first.
            reuse: False uploads it in any case, as an asset of its own.

        Raises:
            InvalidRequestError: It cannot be uploaded; refused before any request.
            UploadError: It changed or failed while it was read.
            APIStatusError: The server refused.
            APIConnectionError: It was not reached.
        """
        return self._driver.run(_assets.upload(self._config, file, reuse=reuse))

    def list_assets(self) -> Generator[Asset]:
        """Yield the account's assets, asking for pages as they are needed.

        Raises:
            APIStatusError: The server refused.
            APIConnectionError: It was not reached.
        """
        return self._driver.iterate(_assets.list_assets(self._config))

    def get_asset(self, asset: Asset | str) -> Asset:
        """Ask for an asset as it is now.

        Raises:
            NotFoundError: There is no such asset on this account.
            KreaError: There was no usable answer.
        """
        return self._driver.run(_assets.get_asset(self._config, asset))

    def delete_asset(self, asset: Asset | str) -> None:
        """Delete an asset. A job that still needs it may fail.

        Raises:
            NotFoundError: There is no such asset on this account.
            KreaError: There was no usable answer; it may be deleted or not.
        """
        self._driver.run(_assets.delete_asset(self._config, asset))

    def close(self) -> None:
        """Close the connections. A client made by ``with_options`` has none of its own."""
        if self._owner:
            self._pool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class AsyncAleph(_Client):
    """The client for asyncio and trio. Any number of tasks on one event loop may share one.

    Example:
        >>> async def main() -> None:
        ...     async with AsyncAleph() as aleph:
        ...         saved = await aleph.transform("in.mp4", "make it snow", "out.mp4")
        ...         print(saved.path)
    """

    _transport_methods = ("handle_async_request", "aclose")
    _asynchronous = True
    _driver: AsyncDriver
    _pool: AsyncPool

    def __init__(self, **options: Unpack[ClientOptions]) -> None:
        """Configure a client; nothing is sent and no key callable is called yet.

        Args:
            **options: See `ClientOptions`.

        Raises:
            ConfigError: An option or the environment cannot work; says which and what to do.
        """
        super().__init__(options)
        self._pool = AsyncPool(self._config)
        self._driver = AsyncDriver(self._config, self._pool)
        self._owner = True
        self._attach()

    def with_options(self, **options: Unpack[ClientOptions]) -> Self:
        """Return a client that shares this one's connections and differs in some options.

        That is how one process serves many tenants. Closing it closes nothing.

        Raises:
            ConfigError: An option cannot work, or concerns the shared connections.
        """
        other = object.__new__(type(self))
        other._derive(self, options)
        other._pool = self._pool.sharing(other._config)
        other._driver = AsyncDriver(other._config, other._pool)
        other._owner = False
        other._attach()
        return other

    async def submit(
        self,
        video: Media,
        prompt: str,
        *,
        intent: str | None = None,
        webhook_url: str | None = None,
        extra_body: Mapping[str, Any] | None = None,
        **options: Unpack[AlephOptions],
    ) -> Job:
        """Start a paid job and return it as accepted; don't wait for it.

        Files are uploaded first. The request that pays leaves once: it is repeated only after an
        outcome that surely started nothing.

        Args:
            video: The clip: a URL, also ``s3://``, ``gs://`` or ``az://``, a path, a file open for
                reading bytes, or an asset. Krea uses its first 5 seconds.
            prompt: What it should become, at most 1,000 characters.
            intent: Your name for what is wanted, such as "shot-17". Calling again with the same
                name and request gives the first job, whatever its state, also from another process
                and after a crash. It needs a client with a ``store``.
            webhook_url: An endpoint of yours that Krea is to call when the job has ended. Krea does
                not sign what it sends: believe only the job id and ask for the job.
            extra_body: Further fields of the body, merged last; names that the pinned contract
                does not know are allowed here.
            **options: The optional fields of the contract, listed in `AlephOptions`; media among
                them may be files too.

        Raises:
            InvalidRequestError: Refused before anything was sent, perhaps by ``before_submit``.
            IntentConflictError: The intent stands for another request.
            IntentBusyError: Somebody else is submitting it, for longer than one waits.
            StoreError: The store cannot be used; nothing was sent.
            UploadError: The file changed or failed while it was read.
            SubmitUncertainError: The job may or may not have been started.
            APIStatusError: The server refused; the class says why.
            APIConnectionError: The server was not reached.
        """
        ask = self._ask(video, prompt, extra_body, options, intent)
        return await self._driver.run(_submit.submit(self._config, ask, webhook_url))

    async def transform(
        self,
        video: Media,
        prompt: str,
        output: StrPath,
        *,
        exists: Exists = "error",
        wait_timeout: float | None = AUTO,
        on_update: Callable[[Update], object] | None = None,
        intent: str | None = None,
        webhook_url: str | None = None,
        keep_upload: bool = True,
        extra_body: Mapping[str, Any] | None = None,
        **options: Unpack[AlephOptions],
    ) -> Saved:
        """Restyle a clip: upload it, submit, wait, and save the result.

        Args:
            video: As in ``submit``.
            prompt: As in ``submit``.
            output: The file to save to; or a folder, which an existing one is and a name that
                ends in "/" must be, for ``<job_id>.<ext>``; ``s3://bucket/key`` goes to a bucket.
            exists: What to do when the file exists, looked at before anything is paid: "error",
                "replace" it, or "keep" it and do nothing.
            wait_timeout: Seconds from acceptance to the end of the job. The default is 2 h 10 min
                in which time spent backlogged does not count; None waits for ever.
            on_update: Called with each `Update`, the accepted job first. What it raises is logged.
            intent: As in ``submit``.
            webhook_url: As in ``submit``.
            keep_upload: False deletes from Krea, once the job is over, what this call has uploaded
                and no other call uses; never an asset of yours. A failure to do so is an event
                ("upload_deleted"), not an error.
            extra_body: As in ``submit``.
            **options: As in ``submit``.

        Raises:
            InvalidRequestError: Refused before anything was sent.
            SubmitUncertainError: The job may or may not have been started.
            JobError: The job ended without a result; the class says how.
            WaitTimeoutError: It did not end in time; it goes on.
            DownloadError: The result could not be saved; download it again with the job's id.
            KreaError: Anything else; ``charged``, ``resubmit`` and ``hint`` say what to do.
        """
        from krea_aleph import _results  # noqa: PLC0415 - a submit should not pay for it

        operation = _results.transform(
            self._config,
            self._ask(video, prompt, extra_body, options, intent),
            output,
            exists=exists,
            wait_timeout=wait_timeout,
            webhook_url=webhook_url,
            keep_upload=keep_upload,
            intent=intent,
        )
        return await self._driver.run(operation, on_update)

    def batch(
        self,
        items: Iterable[Item | BadItem] | AsyncIterable[Item | BadItem],
        *,
        output_dir: StrPath,
        store: Store | None = None,
        max_inflight: int | None = None,
        max_submits: int | None = None,
        stop_after_failures: int | None = None,
        retry_failed: bool = True,
        ordered: bool = False,
        no_credit: Literal["stop", "pause"] = "stop",
        exists: Exists = "keep",
        delete_uploads: bool = False,
        wait_timeout: float | None = AUTO,
    ) -> AsyncGenerator[Succeeded | Failed]:
        """Restyle many clips: keep the account's slots full, and yield an outcome for each item.

        Items are taken in as there is room, from an iterable of any length. How many jobs the
        account runs at once is found out. With a store, running the same batch again does only
        what is missing, after any crash; without one, only files that are there are left out.
        No failure of one item stops the others: it is a `Failed`.

        Args:
            items: Mappings as `Item` describes them, or what `manifest.read` gives. An AsyncAleph
                takes asynchronous iterables too, and reads others in a worker thread.
            output_dir: The folder that every result goes into; it is made if need be. Or the
                beginning of their keys in a bucket, such as ``s3://bucket/folder``.
            store: Where the batch is journalled; default: the client's store, if it has one.
            max_inflight: How many jobs at most are in flight; default: as many as the account runs.
            max_submits: How many paid requests this run may send; then it ends quietly.
            stop_after_failures: After so many failures nothing more is submitted, and
                TooManyFailuresError is raised once everything in flight is through.
            retry_failed: Whether an item whose job failed in an earlier run, free of charge and
                for a reason that may pass, is submitted again; once in each run.
            ordered: Whether outcomes come in the order of the items, rather than as they end.
            no_credit: What to do when the balance is empty or the key is refused: "stop" submitting
                and raise once everything in flight is through, or "pause" and try now and then.
            exists: What to do where a result's file exists: "keep" it, and send nothing; "replace"
                it; or "error".
            delete_uploads: Whether what this batch has uploaded is deleted when its job is over.
            wait_timeout: As in ``wait``, for each job.

        Raises:
            InvalidRequestError: An argument cannot be used.
            InsufficientCreditsError: The balance is empty.
            AuthenticationError: The key was refused.
            TooManyFailuresError: As many have failed as ``stop_after_failures`` says.
        """
        from krea_aleph import _batch  # noqa: PLC0415 - a submit should not pay for it

        operation = _batch.batch(
            self._config,
            items,
            store=store,
            output_dir=output_dir,
            asynchronous=self._asynchronous,
            max_inflight=max_inflight,
            max_submits=max_submits,
            stop_after_failures=stop_after_failures,
            retry_failed=retry_failed,
            ordered=ordered,
            no_credit=no_credit,
            exists=exists,
            delete_uploads=delete_uploads,
            wait_timeout=wait_timeout,
        )
        return self._driver.iterate(operation)

    async def get(self, job: JobRef) -> Job:
        """Ask for a job as it is now.

        Raises:
            NotFoundError: There is no such job on this account.
            KreaError: There was no usable answer.
        """
        return await self._driver.run(_jobs.get(self._config, job))

    async def wait(
        self,
        job: JobRef,
        *,
        wait_timeout: float | None = AUTO,
        on_update: Callable[[Update], object] | None = None,
    ) -> Job:
        """Wait until a job has succeeded. Any process can, with the job's id.

        A look that fails is a missed look: it is counted and the wait goes on.

        Args:
            job: A job or its id. A finished snapshot is answered without asking.
            wait_timeout: Seconds. The default is 2 h 10 min in which time spent backlogged does
                not count; None waits for ever.
            on_update: Called with each `Update`. What it raises is logged.

        Raises:
            JobError: The job ended without a result; the class says how.
            WaitTimeoutError: It did not end in time; it goes on.
            NotFoundError: There is no such job on this account.
            AuthenticationError: The key was refused.
            PermissionDeniedError: It may not read jobs.
        """
        return await self._driver.run(_waiting.wait(self._config, job, wait_timeout), on_update)

    def watch(self, job: JobRef, *, wait_timeout: float | None = AUTO) -> AsyncGenerator[Update]:
        """Yield each change of a job, the final one last. A failed job is an update, no error.

        Leaving the loop leaves the job running.

        Args:
            job: As in ``wait``.
            wait_timeout: As in ``wait``.

        Raises:
            WaitTimeoutError: It did not end in time; it goes on.
            NotFoundError: There is no such job on this account.
            AuthenticationError: The key was refused.
            PermissionDeniedError: It may not read jobs.
        """
        return self._driver.iterate(_waiting.watch(self._config, job, wait_timeout))

    async def wait_many(
        self, jobs: Iterable[JobRef], *, wait_timeout: float | None = AUTO
    ) -> list[Succeeded | Failed]:
        """Wait for many jobs, and return what became of each, in the order given.

        One look at the account's list answers for up to a thousand of them; one job's failure
        stops no other and raises nothing.

        Args:
            jobs: Jobs or their ids.
            wait_timeout: Seconds for the whole call; as in ``wait``, the default does not count
                what a job spends backlogged.

        Returns:
            For each job `Succeeded`, or `Failed` with the error that ``wait`` would have raised.

        Raises:
            InvalidRequestError: One of them is no job of this account; nothing was asked.
        """
        from krea_aleph import _many  # noqa: PLC0415 - a submit should not pay for it

        return await self._driver.run(_many.wait_many(self._config, jobs, wait_timeout))

    def as_completed(
        self, jobs: Iterable[JobRef], *, wait_timeout: float | None = AUTO
    ) -> AsyncGenerator[Succeeded | Failed]:
        """Yield what becomes of each of many jobs, as soon as it is known.

        Leaving the loop leaves the others running. Otherwise as ``wait_many``.

        Args:
            jobs: Jobs or their ids.
            wait_timeout: As in ``wait_many``.

        Raises:
            InvalidRequestError: One of them is no job of this account; nothing was asked.
        """
        from krea_aleph import _many  # noqa: PLC0415 - a submit should not pay for it

        return self._driver.iterate(_many.as_completed(self._config, jobs, wait_timeout))

    def watch_many(
        self, jobs: Iterable[JobRef], *, wait_timeout: float | None = AUTO
    ) -> AsyncGenerator[Update]:
        """Yield each change of many jobs until all have ended. A failed job is an update, no error.

        Leaving the loop leaves the jobs running.

        Args:
            jobs: Jobs or their ids.
            wait_timeout: As in ``wait_many``.

        Raises:
            WaitTimeoutError: A job did not end in time; raised once the others are over.
            NotFoundError: There is no such job on this account; likewise.
        """
        from krea_aleph import _many  # noqa: PLC0415 - a submit should not pay for it

        return self._driver.iterate(_many.watch_many(self._config, jobs, wait_timeout))

    async def cancel(self, job: JobRef) -> Cancellation:
        """Ask Krea to cancel a job, and say what came of it.

        The job is read first; a finished one is never touched. Krea documents cancelling for jobs
        that are queued or processing, and does not charge for cancelled ones.

        Raises:
            NotFoundError: There is no such job on this account.
            KreaError: The job could not be read.
        """
        return await self._driver.run(_jobs.cancel(self._config, job))

    async def download(self, job: JobRef, output: StrPath, *, exists: Exists = "error") -> Saved:
        """Save the results of a job that has succeeded. It asks once if need be, and never waits.

        The files have their final names only when they are whole and on disk.

        Args:
            job: A job or its id.
            output: As in ``transform``; further results beside the first are ``name-2.ext``, ...
            exists: As in ``transform``.

        Raises:
            InvalidRequestError: ``output`` cannot be used.
            JobNotFinishedError: The job still runs.
            JobError: It ended without a result.
            DownloadError: The results could not be saved whole.
        """
        from krea_aleph import _results  # noqa: PLC0415 - a submit should not pay for it

        operation = _results.download(self._config, job, output, exists=exists)
        return await self._driver.run(operation)

    async def check_output(self, output: StrPath, *, exists: Exists = "error") -> Saved | None:
        """Look whether results could be saved somewhere. Nothing is sent to Krea.

        ``transform`` and ``batch`` do that before they pay. This is for whoever submits now and
        downloads later, perhaps in another process, and would know before that.

        Args:
            output: As in ``transform``.
            exists: As in ``transform``.

        Returns:
            What is there already, where that is to be kept: then ``transform`` pays for nothing.

        Raises:
            InvalidRequestError: They could not; ``resubmit`` is "safe" where that may pass.
        """
        from krea_aleph import _results  # noqa: PLC0415 - a submit should not pay for it

        return await self._driver.run(_results.check_output(self._config, output, exists))

    async def recover(self, error: SubmitUncertainError, *, settle: float = 60.0) -> Job | None:
        """Find out what became of a submit whose answer was lost.

        Args:
            error: What ``submit`` or ``transform`` raised; one that was pickled will do.
            settle: Seconds after the loss that a request may still take to arrive at the server;
                until they have passed, nothing is concluded.

        Returns:
            The job, when it is proved which one it is: on an account that is ``exclusive`` to this
            client's store, or by a webhook that came to the request's own address. None, when it
            is proved that none was started, so that submitting again is safe.

        Raises:
            SubmitUncertainError: It cannot be told; ``candidates`` has the jobs that it may be.
            InvalidRequestError: The error is another account's, or ``settle`` is no number.
            KreaError: Krea could not be asked; nothing is known yet.
        """
        from krea_aleph import _recovery  # noqa: PLC0415 - few need it, and seldom

        return await self._driver.run(_recovery.recover(self._config, error, settle))

    async def adopt(self, error: SubmitUncertainError, job: JobRef) -> Job:
        """Record the decision of a human which job a lost submit has become.

        Args:
            error: What ``submit``, ``transform`` or ``recover`` raised.
            job: The job that it is. With a ``store``, its intent has become this job from now on.

        Returns:
            The job as it is now.

        Raises:
            JobClaimedError: The job belongs to another intent.
            NotFoundError: There is no such job on this account.
            KreaError: There was no usable answer.
        """
        from krea_aleph import _recovery  # noqa: PLC0415 - few need it, and seldom

        return await self._driver.run(_recovery.adopt(self._config, error, job))

    def list_jobs(
        self,
        *,
        status: str | None = None,
        types: Sequence[str] = (),
        created_before: datetime | None = None,
        created_after: datetime | None = None,
    ) -> AsyncGenerator[Job]:
        """Yield the account's jobs, newest first, asking for pages as they are needed.

        Args:
            status: Only jobs of this status.
            types: Only jobs of these types, such as ``externalImage``.
            created_before: Only older jobs; a time with a zone.
            created_after: Only newer jobs; a time with a zone.

        Raises:
            APIStatusError: The server refused.
            APIConnectionError: It was not reached.
        """
        operation = _jobs.list_jobs(
            self._config,
            status=status,
            types=types,
            created_before=created_before,
            created_after=created_after,
        )
        return self._driver.iterate(operation)

    async def upload(self, file: Media, *, reuse: bool = True) -> Asset:
        """Upload a file, streamed at constant memory, to use it in several jobs.

        It is sent again when the connection breaks. Content that this client or one derived from it
        has uploaded before is not sent again: the asset is asked for, and returned if it is there.

        Args:
            file: A path or a file open for reading bytes, at most 75,000,000 bytes of MP4, MOV,
                WebM, JPEG, PNG, WebP, HEIC, GLB, WAV or MP3. A stream that cannot be rewound is
                copied first.
            reuse: False uploads it in any case, as an asset of its own.

        Raises:
            InvalidRequestError: It cannot be uploaded; refused before any request.
            UploadError: It changed or failed while it was read.
            APIStatusError: The server refused.
            APIConnectionError: It was not reached.
        """
        return await self._driver.run(_assets.upload(self._config, file, reuse=reuse))

    def list_assets(self) -> AsyncGenerator[Asset]:
        """Yield the account's assets, asking for pages as they are needed.

        Raises:
            APIStatusError: The server refused.
            APIConnectionError: It was not reached.
        """
        return self._driver.iterate(_assets.list_assets(self._config))

    async def get_asset(self, asset: Asset | str) -> Asset:
        """Ask for an asset as it is now.

        Raises:
            NotFoundError: There is no such asset on this account.
            KreaError: There was no usable answer.
        """
        return await self._driver.run(_assets.get_asset(self._config, asset))

    async def delete_asset(self, asset: Asset | str) -> None:
        """Delete an asset. A job that still needs it may fail.

        Raises:
            NotFoundError: There is no such asset on this account.
            KreaError: There was no usable answer; it may be deleted or not.
        """
        await self._driver.run(_assets.delete_asset(self._config, asset))

    async def close(self) -> None:
        """Close the connections. A client made by ``with_options`` has none of its own."""
        if self._owner:
            await self._pool.close()

    aclose = close
    """The same as ``close``, for `contextlib.aclosing` and for other habits."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()
