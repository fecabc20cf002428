"""What Krea does when it is called: one method an operation.

Every method takes a checked `Call` and returns facts, or raises `Problem`. The contract decides
afterwards which of the facts are sent.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from attrs import frozen
from starlette.formparsers import MultiPartException

from krea_aleph.emulator import checks, facts
from krea_aleph.emulator.accounts import Account, Asset
from krea_aleph.emulator.answers import JOB_TYPE
from krea_aleph.emulator.blobs import Blob, BytesBlob
from krea_aleph.emulator.checks import Problem
from krea_aleph.emulator.jobs import Change, Jobs, SimulatedJob
from krea_aleph.emulator.library import OCTETS, Library
from krea_aleph.emulator.outcomes import Outcomes, rejected
from krea_aleph.emulator.paging import page
from krea_aleph.emulator.studio import Order, Product, Studio
from krea_aleph.models import BACKLOGGED, TERMINAL

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from concurrent.futures import Future
    from pathlib import Path

    from starlette.requests import Request

    from krea_aleph.emulator.contract import Operation
    from krea_aleph.emulator.quirks import Switches
    from krea_aleph.emulator.settings import Settings
    from krea_aleph.emulator.values import Outcome
    from krea_aleph.models import Clock

_log = logging.getLogger("krea_aleph.emulator")

GIVEN: Final = "An emulation: bytes that a test has given."

# A picture of one pixel: what a preview shows.
_PIXEL: Final = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c63606060"
    "000000040001f61738550000000049454e44ae426082"
)
_NOTHING_YET: Final = {BACKLOGGED, "queued", "scheduled"}


@frozen
class Call:
    """A request of a known account that the contract allows.

    Attributes:
        operation: What is called.
        request: The request; a form is still to be read from it.
        account: Who calls.
        values: The parameters by name.
        body: The JSON body; None without one.
        now: Krea's time, in Unix seconds; the account has been brought up to it.
        base_url: What URLs in the answer begin with.
    """

    operation: Operation
    request: Request
    account: Account
    values: Mapping[str, Any]
    body: Any
    now: float
    base_url: str


class Service:
    """The emulated service, without HTTP; safe to use from several threads."""

    def __init__(
        self, settings: Settings, switches: Switches, clock: Callable[[], Clock], folder: Path
    ) -> None:
        self.settings = settings
        self.switches = switches
        self.clock = clock
        self.lock = threading.RLock()
        self.accounts: dict[str, Account] = {}
        self.outcomes = Outcomes(switches)
        self.library = Library(folder, settings.max_upload)
        self.accepted = 0
        self.on_change: Callable[[Account, Change], None] = lambda _account, _change: None
        self._studio = Studio(folder, self.library.find)
        self._orders: dict[str, list[Future[Product]]] = {}

    # Accounts and time

    def add_account(self, key: str) -> Account:
        """Open an account for a key."""
        wanted = self.settings
        account = Account(key, Jobs(wanted.concurrency, wanted.backlog, wanted.credits))
        account.jobs.on_change = partial(self._changed, account)
        self.accounts[key] = account
        return account

    def rotate(self, old: str, new: str) -> None:
        """Let an account go by another key."""
        with self.lock:
            account = self.accounts.pop(old)
            account.key = new
            self.accounts = {new: account} | self.accounts

    def reset(self) -> None:
        """Empty every account, as if nothing had happened."""
        with self.lock:
            keys = list(self.accounts)
            self.accounts.clear()
            for key in keys:
                self.add_account(key)
            self.library.files.clear()
            self.outcomes.clear()
            self._orders.clear()
            self.accepted = 0

    def now(self) -> float:
        """Return Krea's time, in Unix seconds."""
        return self.clock().time() + self.settings.skew

    async def advance(self, account: Account) -> float:
        """Bring an account up to the present, and return it; waits for renders that are due."""
        now = self.now()
        while pending := self._try_advance(account, now):
            await asyncio.wait([asyncio.wrap_future(future) for future in pending])
        return now

    def advance_all(self) -> float:
        """Bring every account up to the present, from a thread that may block; return it."""
        now = self.now()
        for account in list(self.accounts.values()):
            while pending := self._try_advance(account, now):
                for future in pending:
                    future.exception()
        return now

    def glance(self) -> float:
        """Bring every account as far as that needs no waiting; return the present."""
        now = self.now()
        for account in list(self.accounts.values()):
            self._try_advance(account, now)
        return now

    def close(self) -> None:
        """Stop rendering."""
        self._studio.close()

    # Jobs

    async def submit(self, call: Call) -> dict[str, Any]:
        """Accept a paid job.

        Raises:
            Problem: 402 without credits, 422 for media that it refuses, 429 with a full backlog.
        """
        body = call.body if isinstance(call.body, dict) else {}
        self._refuse_foreign_media(body)
        with self.lock:
            call.account.jobs.admit()
            outcome = self.outcomes.next_for(Order.of(body).prompt)
            webhook_url = call.values.get("X-Webhook-URL")
            job = self._job(call.operation.id, body, outcome, call.now, webhook_url=webhook_url)
            self._place_order(job)
            call.account.jobs.add(job)
            self.accepted += 1
            self.on_change(call.account, Change(job, call.now))
        return self.facts(job, call.now, call.base_url)

    def add_foreign(self, account: Account, outcome: Outcome, count: int) -> None:
        """Let somebody else on the account submit jobs."""
        with self.lock:
            for _ in range(count):
                job = self._job("", {}, outcome, self.now())
                job.foreign = True
                account.jobs.add(job)

    async def get_job(self, call: Call) -> dict[str, Any]:
        """Tell how a job stands."""
        with self.lock:
            return self.facts(_known(call.account.jobs.all, call, "Job"), call.now, call.base_url)

    async def list_jobs(self, call: Call) -> dict[str, Any]:
        """Tell of a page of jobs, newest first."""
        wanted = call.values.get("status")
        with self.lock:
            jobs = [
                job
                for job in call.account.jobs.newest_first()
                if wanted in {None, job.status(call.now)} and _has_type(call.values.get("types"))
            ]
            chosen, cursor = self._page(jobs, call)
            items = [self.facts(job, call.now, call.base_url) for job in chosen]
        return facts.of_page(items, cursor)

    async def delete_job(self, call: Call) -> None:
        """Cancel a job, or delete one that has ended.

        Raises:
            Problem: The configured refusal, in a status in which that cannot be done.
        """
        jobs = call.account.jobs
        with self.lock:
            job: SimulatedJob = _known(jobs.all, call, "Job")
            status = job.status(call.now)
            if status not in self.settings.cancellable:
                raise Problem(self.settings.cancel_refusal, f"A {status} job cannot be cancelled")
            if status not in TERMINAL:
                jobs.cancel(job, call.now)
            if status in TERMINAL or "cancelled_jobs_stay" not in self.switches:
                jobs.remove(job)

    def facts(self, job: SimulatedJob, now: float, base_url: str) -> dict[str, Any]:
        """Return all that can be told of a job."""
        return facts.of_job(job, now, base_url, self.outcomes.form(job.outcome))

    def preview(self, job_id: str, now: float, base_url: str) -> str | None:
        """Return the URL of a preview, if the job runs and something can be seen already."""
        for account in self.accounts.values():
            job = account.jobs.all.get(job_id)
            if job is not None and job.end is None and job.status(now) not in _NOTHING_YET:
                name = facts.preview_name(job_id)
                self.library.files[name] = BytesBlob(_PIXEL, "image/png")
                return f"{base_url}/files/{name}"
        return None

    def note(self, job_id: str) -> str:
        """Return what is honestly to be said of a job."""
        jobs = (account.jobs.all.get(job_id) for account in self.accounts.values())
        return next((job.note for job in jobs if job is not None and job.note), "An emulation.")

    # Assets

    async def upload_asset(self, call: Call) -> dict[str, Any]:
        """Keep an uploaded file."""
        try:
            async with call.request.form(max_files=10, max_fields=100) as form:
                checks.form_fields(call.operation, form)
                asset = await self.library.upload(call.account, form, call.now, call.base_url)
        except MultiPartException as error:
            raise Problem(400, f"the form is damaged: {error.message}") from error
        return facts.of_asset(asset)

    async def list_assets(self, call: Call) -> dict[str, Any]:
        """Tell of a page of assets, newest first."""
        chosen, cursor = self._page(list(reversed(call.account.assets.values())), call)
        return facts.of_page([facts.of_asset(asset) for asset in chosen], cursor)

    async def get_asset(self, call: Call) -> dict[str, Any]:
        """Tell of one asset."""
        return facts.of_asset(_known(call.account.assets, call, "Asset"))

    async def delete_asset(self, call: Call) -> dict[str, Any]:
        """Forget an asset."""
        asset: Asset = _known(call.account.assets, call, "Asset")
        self.library.forget(call.account, asset)
        return {"success": True, "message": "Asset deleted"}

    # How jobs are made and end

    def _job(
        self,
        operation: str,
        body: Mapping[str, Any],
        outcome: Outcome,
        now: float,
        *,
        webhook_url: str | None = None,
    ) -> SimulatedJob:
        seconds = self.settings.job_seconds if outcome.seconds is None else outcome.seconds
        stages = outcome.statuses or self.settings.stages
        return SimulatedJob(operation, body, webhook_url, outcome, now, seconds, stages)

    def _place_order(self, job: SimulatedJob) -> None:
        """Look at the input as far as that needs no decoding, and begin to render."""
        outcome = job.outcome
        video = self.library.find(Order.of(job.body).video)
        if problem := self._unsuitable(video):
            job.outcome = rejected(problem, outcome)
        elif self.settings.render and outcome.status == "completed" and outcome.output is None:
            orders = [Order.of(job.body, number) for number in range(outcome.outputs)]
            self._orders[job.id] = [self._studio.begin(order) for order in orders]

    def _unsuitable(self, video: Blob | None) -> str:
        kind = "video/" if video is None else video.media_type
        if kind == OCTETS and "octet_stream_fails" not in self.switches:
            return ""
        return "" if kind.startswith("video/") else f"the input is not a video: it is {kind}"

    def _try_advance(self, account: Account, now: float) -> list[Future[Product]]:
        """Advance an account, or return the renders that must be finished first."""
        with self.lock:
            ordered = (account.jobs.all.get(job_id) for job_id in self._orders)
            due = [job for job in ordered if job is not None and job.may_have_ended(now)]
            pending = [f for job in due for f in self._orders[job.id] if not f.done()]
            if not pending:
                for job in due:
                    self._judge(job)
                account.jobs.advance(now)
        return pending

    def _judge(self, job: SimulatedJob) -> None:
        """Let a job fail whose input could not be rendered."""
        errors = [future.exception() for future in self._orders[job.id]]
        if error := next(filter(None, errors), None):
            job.outcome = rejected(str(error), job.outcome)

    def _changed(self, account: Account, change: Change) -> None:
        job = change.job
        if job.end == "completed" and not job.foreign:
            self._publish(job)
        if job.end is not None:
            self._orders.pop(job.id, None)
        self.on_change(account, change)

    def _publish(self, job: SimulatedJob) -> None:
        """Put the outputs of a completed job where they can be downloaded."""
        products = self._products(job)
        names = [facts.output_name(job.id, number) for number in range(len(products))]
        for name, product in zip(names, products, strict=True):
            self.library.files[name] = product.blob
        self.library.files[facts.preview_name(job.id)] = BytesBlob(_PIXEL, "image/png")
        job.outputs = tuple(names)
        job.note = products[0].note
        _log.info("job %s: %s", job.id, job.note)

    def _products(self, job: SimulatedJob) -> list[Product]:
        outcome = job.outcome
        if outcome.output is not None:
            return [Product(BytesBlob(outcome.output, "video/mp4"), GIVEN)] * outcome.outputs
        if job.id in self._orders:
            return [future.result() for future in self._orders[job.id]]
        orders = [Order.of(job.body, number) for number in range(outcome.outputs)]
        return [self._studio.seeded(order, self.settings.output_bytes) for order in orders]

    def _refuse_foreign_media(self, body: Mapping[str, Any]) -> None:
        if "foreign_media_422" not in self.switches:
            return
        for name, value in body.items():
            remote = isinstance(value, str) and urlsplit(value).scheme in {"http", "https"}
            if remote and name != "prompt" and self.library.find(value) is None:
                raise Problem(422, f"{name}: Invalid asset URL")

    def _page(self, listed: Any, call: Call) -> Any:
        exact = "ties_lost" not in self.switches
        return page(listed, call.values.get("cursor"), call.values.get("limit"), exact=exact)


def _known(things: Mapping[str, Any], call: Call, kind: str) -> Any:
    """Return what the path names; what is somebody else's is as unknown as what is nowhere."""
    named = next(iter(call.operation.path_values(call.request.url.path).values()), "")
    if named not in things:
        raise Problem(404, f"{kind} not found")
    return things[named]


def _has_type(types: str | None) -> bool:
    return types is None or JOB_TYPE in {kind.strip() for kind in types.split(",")}
