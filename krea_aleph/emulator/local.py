"""A local Krea, started and stopped like a file is opened and closed."""

from __future__ import annotations

import tempfile
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from krea_aleph.clocks import RealClock
from krea_aleph.emulator.clock import VirtualClock
from krea_aleph.errors import ConfigError, InvalidRequestError, MissingExtraError

try:
    import_module("python_multipart")  # Starlette reads forms with it, and asks for it too late

    from krea_aleph.emulator.app import App
    from krea_aleph.emulator.contract import Contract
    from krea_aleph.emulator.faults import Faults
    from krea_aleph.emulator.jobs import STAGES
    from krea_aleph.emulator.quirks import Switches
    from krea_aleph.emulator.server import ThreadedServer, listen
    from krea_aleph.emulator.service import Service
    from krea_aleph.emulator.settings import MAX_UPLOAD, OUTPUT_BYTES, Settings
    from krea_aleph.emulator.timers import Timers
    from krea_aleph.emulator.values import ANY, DOWNLOAD, WEBHOOK, Outcome
    from krea_aleph.emulator.webhooks import Webhooks
except ModuleNotFoundError as error:
    if (error.name or "").startswith("krea_aleph"):
        raise
    raise MissingExtraError("emulator") from error

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from os import PathLike
    from typing import Unpack

    from krea_aleph import Aleph, AsyncAleph, ClientOptions
    from krea_aleph.emulator.accounts import Account
    from krea_aleph.emulator.values import (
        AssetRecord,
        DeliveryRecord,
        Fault,
        JobRecord,
        RequestRecord,
        UrlForm,
    )
    from krea_aleph.models import Clock

KEY: Final = "emulator-id:emulator-secret"
"""The key that an emulator accepts unless told otherwise."""


class Emulator:
    """A local Krea that speaks the contract, on a real socket in a thread of its own.

    Example:
        >>> with Emulator(job_seconds=170) as emulator:
        ...     emulator.outcome(status="failed", error={"code": "nsfw"})
        ...     with emulator.aleph(virtual_time=True) as aleph:
        ...         aleph.transform("in.mp4", "a quiet street", "out.mp4")
        JobRejectedError: ...
    """

    def __init__(
        self,
        *,
        contract: str | PathLike[str] | Mapping[str, Any] | None = None,
        dialect: Literal["wire", "declared"] = "wire",
        quirks: Mapping[str, bool] | None = None,
        key: str = KEY,
        clock: Clock | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        render: bool = True,
        job_seconds: float = 3.0,
        stages: Mapping[str, float] | None = None,
        concurrency: int = 8,
        backlog: int = 100,
        credits: float | None = None,  # noqa: A002 - Krea's word
        cancellable: Iterable[str] = ("queued", "processing"),
        cancel_refusal: int = 400,
        max_upload: int = MAX_UPLOAD,
        output_bytes: int = OUTPUT_BYTES,
        sunset: str | None = None,
        replacement: str | None = None,
        skew: float = 0.0,
        public_url: str | None = None,
    ) -> None:
        """Prepare an emulator; `start` or a `with` statement makes it answer.

        Args:
            contract: An OpenAPI document, or the path of one in JSON; default: the packaged one.
            dialect: "wire" with the deviations seen in the wild, "declared" by the letter.
            quirks: Deviations to switch on or off by name; see `krea_aleph.emulator.QUIRKS`.
            key: The API key to accept.
            clock: Where time comes from; default: real time, until a client wants virtual time.
            host: The address to listen on.
            port: The port; 0 takes a free one.
            render: Restyle real videos (without PyAV: return the input); False serves seeded bytes.
            job_seconds: How long a job runs once started.
            stages: The statuses of a running job, each with its share of the time; any words do.
            concurrency: How many jobs of an account run at once; further ones are backlogged.
            backlog: How many jobs may be backlogged; the next is refused with 429.
            credits: How many completed jobs an account can pay for; None for any number.
            cancellable: The statuses in which a DELETE is accepted.
            cancel_refusal: The status that refuses a DELETE.
            max_upload: The largest accepted file; default: the documented 75,000,000 bytes.
            output_bytes: The size of a seeded output; default: 65,536 bytes.
            sunset: When the submit operations retire, as an ISO date; afterwards they answer 410.
            replacement: What that answer names as a replacement.
            skew: How many seconds the server's clock is ahead.
            public_url: What URLs in answers begin with; default: the address listened on.

        Raises:
            ConfigError: If something makes no sense or the address cannot be had.
        """
        self._settings = Settings(
            render=render,
            job_seconds=job_seconds,
            stages=STAGES if stages is None else stages,
            concurrency=concurrency,
            backlog=backlog,
            credits=credits,
            cancellable=frozenset(cancellable),
            cancel_refusal=cancel_refusal,
            max_upload=max_upload,
            output_bytes=output_bytes,
            sunset=sunset,
            replacement=replacement,
            skew=skew,
            public_url=public_url,
        )
        self.clock: Clock = RealClock() if clock is None else clock
        self._switches = Switches.of(dialect, quirks or {})
        self._faults = Faults()
        spoken = Contract.load(contract)
        listener = listen(host, port)
        self._folder = tempfile.TemporaryDirectory(prefix="krea-emulator-")
        self._service = Service(
            self._settings, self._switches, lambda: self.clock, Path(self._folder.name)
        )
        self._key = key
        self._service.add_account(key)
        self._timers = Timers(lambda: self.clock)
        self._app = App(spoken, self._service, self._faults, self._timers)
        self._webhooks = Webhooks(self._service, self._timers, self._faults, self._app.present)
        self._service.on_change = self._webhooks.changed
        self._server = ThreadedServer(self._app, listener, self._webhooks.close)
        shown = "127.0.0.1" if host in {"0.0.0.0", "::", ""} else host  # noqa: S104 - a comparison
        self.base_url = f"http://{f'[{shown}]' if ':' in shown else shown}:{self._server.port}"
        self._app.base_url = (public_url or self.base_url).rstrip("/")

    # Starting and stopping

    def start(self) -> Self:
        """Begin to answer."""
        self._server.start()
        self._timers.loop = self._server.loop
        return self

    def stop(self) -> None:
        """Stop answering and forget everything; open connections are cut."""
        self._server.stop()
        self._service.close()
        self._folder.cleanup()

    def wait(self) -> None:
        """Block until the emulator is stopped by another thread."""
        self._server.join()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    # Clients

    def aleph(self, *, virtual_time: bool = False, **options: Unpack[ClientOptions]) -> Aleph:
        """Return a client that is pointed here; the options are those of `Aleph`.

        With `virtual_time`, the emulator's clock becomes virtual for good, and so does that of
        every client made from then on: nobody waits. Such clients and real time do not mix.
        """
        from krea_aleph import Aleph  # noqa: PLC0415 - the emulator also runs without a client

        return Aleph(**self._options(options, virtual_time=virtual_time))

    def async_aleph(
        self, *, virtual_time: bool = False, **options: Unpack[ClientOptions]
    ) -> AsyncAleph:
        """Return an asynchronous client that is pointed here; see `aleph`."""
        from krea_aleph import AsyncAleph  # noqa: PLC0415 - as above

        return AsyncAleph(**self._options(options, virtual_time=virtual_time))

    # What happened

    @property
    def requests(self) -> list[RequestRecord]:
        """The requests so far, in the order of arrival; at most the last 200,000."""
        return list(self._app.records)

    @property
    def jobs(self) -> list[JobRecord]:
        """Every job as it stands now, oldest first; waits for renders that are due."""
        now = self._service.advance_all()
        with self._service.lock:
            accounts = list(self._service.accounts.values())
            return [job.record(now) for account in accounts for job in account.jobs.all.values()]

    @property
    def assets(self) -> list[AssetRecord]:
        """Every uploaded file that has not been deleted, oldest first."""
        accounts = list(self._service.accounts.values())
        return [asset.record() for account in accounts for asset in account.assets.values()]

    @property
    def accepted(self) -> int:
        """How many paid jobs have been accepted: what a customer will be charged for at most."""
        return self._service.accepted

    @property
    def deliveries(self) -> list[DeliveryRecord]:
        """Every webhook sent so far."""
        return list(self._webhooks.deliveries)

    # What happens next

    def fault(self, fault: Fault) -> None:
        """Let something go wrong; calls are counted from now on, and several faults add up.

        Raises:
            InvalidRequestError: If there is no such operation.
        """
        known = {ANY, DOWNLOAD, WEBHOOK, *(op.id for op in self._app.contract.operations)}
        if fault.operation not in known:
            problem = f"is {fault.operation!r}; use one of {', '.join(sorted(known))}"
            raise InvalidRequestError("operation", problem)
        self._faults.add(fault)

    @property
    def unused_faults(self) -> list[Fault]:
        """The faults that have happened to no call: a test that has set one may prove nothing."""
        return self._faults.unused()

    def outcome(
        self,
        *,
        times: int | None = 1,
        status: str = "completed",
        error: Mapping[str, str] | None = None,
        result_error: str | None = None,
        urls: UrlForm | None = None,
        outputs: int = 1,
        statuses: Mapping[str, float] | None = None,
        seconds: float | None = None,
        output: bytes | None = None,
    ) -> None:
        """Say how the next jobs go, `times` of them or, with None, all; see `Outcome`.

        Outcomes queue up: the first one said applies to the next job that is submitted.
        """
        outcome = Outcome(
            status=status,
            error=error,
            result_error=result_error,
            urls=urls,
            outputs=outputs,
            statuses=statuses,
            seconds=seconds,
            output=output,
        )
        self._service.outcomes.add(outcome, times)

    def foreign(self, count: int = 1, *, seconds: float | None = None) -> None:
        """Let somebody else on the account submit jobs, which take slots and show in lists."""
        self._service.add_foreign(self._account, Outcome(seconds=seconds), count)

    def quirk(self, name: str, *, on: bool = True) -> None:
        """Switch a quirk.

        Raises:
            ConfigError: If there is none of this name.
        """
        self._switches.switch(name, on=on)

    def speak(self, contract: str | PathLike[str] | Mapping[str, Any]) -> None:
        """Speak another contract from now on, as when Krea changes while your program runs.

        Jobs and assets stay as they are.

        Raises:
            ConfigError: If there is no such file, or it is no OpenAPI document.
        """
        self._app.speak(Contract.load(contract))

    def add_account(self, key: str) -> None:
        """Accept another key, which is another account with jobs, assets and limits of its own."""
        self._service.add_account(key)

    def reset(self) -> None:
        """Forget requests, jobs, assets, faults and outcomes; keep the address, keys and clock."""
        self._faults.clear()
        self._service.reset()
        self._webhooks.clear()
        self._app.records.clear()

    @property
    def key(self) -> str:
        """The API key. Setting another one rotates it: the old one is refused from then on."""
        return self._key

    @key.setter
    def key(self, key: str) -> None:
        self._service.rotate(self._key, key)
        self._key = key

    @property
    def concurrency(self) -> int:
        """How many jobs run at once; can be changed at any time."""
        return self._account.jobs.concurrency

    @concurrency.setter
    def concurrency(self, jobs: int) -> None:
        now = self._service.advance_all()
        with self._service.lock:
            self._account.jobs.concurrency = jobs
            self._account.jobs.fill(now)

    @property
    def credits(self) -> float | None:
        """How many completed jobs can still be paid for; can be changed at any time."""
        self._service.advance_all()
        return self._account.jobs.credits

    @credits.setter  # noqa: A003 - as above
    def credits(self, jobs: float | None) -> None:
        self._account.jobs.credits = jobs

    @property
    def _account(self) -> Account:
        return self._service.accounts[self._key]

    def _options(self, options: ClientOptions, *, virtual_time: bool) -> ClientOptions:
        if virtual_time and isinstance(self.clock, RealClock):
            self.clock = VirtualClock(self.clock.time())
        elif virtual_time and not isinstance(self.clock, VirtualClock):
            raise ConfigError(
                "virtual_time=True, but the emulator was given a clock of another kind.",
                hint="Give it a VirtualClock, or none.",
            )
        known: ClientOptions = {"base_url": self.base_url, "api_key": self.key}
        if not isinstance(self.clock, RealClock):
            known["clock"] = self.clock
        return {**known, **options}
