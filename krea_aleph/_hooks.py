"""Webhooks as operations see them: an address for a submit, an ear for a wait, a proof.

Nothing that a delivery says is believed but the id of a job, and of that only that it is worth a
look: every answer that counts is asked for with the key.
"""

from __future__ import annotations

import math
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from secrets import token_urlsafe
from typing import Final

from krea_aleph import _wire
from krea_aleph._exchange import tell
from krea_aleph._jobs import get
from krea_aleph._steps import call
from krea_aleph._telemetry import LOGGER, publish
from krea_aleph.errors import (
    ConfigError,
    JobClaimedError,
    KreaError,
    NotFoundError,
    StoreError,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from krea_aleph._config import Config
    from krea_aleph._steps import Steps
    from krea_aleph.models import Bell, Event, Job

STORE_LOOK: Final = 3.0
"""How often a wait looks into the store for what another process was told, in seconds."""

_MOST_DOUBTS: Final = 2
# More doublings than this would only make a large number larger.
_MOST_DOUBLINGS: Final = 10


def check_webhook_url(config: Config, url: str | None) -> None:
    """Refuse an endpoint that Krea could not call, and one beside the receiver's.

    Raises:
        InvalidRequestError: It is no http or https URL.
        ConfigError: There is a receiver, and Krea calls one address for a job.
    """
    _wire.check_webhook_url(url)
    if url is not None and config.receiver is not None:
        message = "webhook_url: this client has a receiver, and Krea calls one address for a job."
        raise ConfigError(message, hint="Leave it out, or use a client without receiver=.")


def new_nonce(config: Config) -> str:
    """Return what the receiver, if there is one, is to know a submit by."""
    return "" if config.receiver is None else token_urlsafe(24)


def address(config: Config, nonce: str) -> str | None:
    """Return where Krea is to deliver how a job has ended, if it is to."""
    return None if config.receiver is None else config.receiver.url(config.account, nonce)


def expect(config: Config, nonce: str, job_id: str) -> Steps[None]:
    """Take note, here and in the store, of the job whose end is to be told with a nonce.

    It never fails: without the note a wait looks more often, and that is all.
    """
    if config.receiver is None:
        return
    config.receiver.expect(config.account, nonce, job_id)
    if config.store is not None:
        try:
            yield from call(partial(config.store.expect, config.account, nonce, job_id))
        except StoreError as error:
            LOGGER.warning("the store was not told which webhook is to come: %s", error)


class Ear:
    """What a wait hears of deliveries: of this process by a bell, of others through the store.

    The first delivery is heeded at once. If the job has not ended even so, the next one is only
    after twice as long, and so on: a flood of deliveries is no flood of looks.

    Args:
        config: Of the client.
        job_id: The job that is waited for.
        wake: Called at each delivery of this process, from any thread.
    """

    def __init__(self, config: Config, job_id: str, wake: Callable[[], object]) -> None:
        self.job_id = job_id
        self._holding = ExitStack()
        self._bell: Bell | None = None
        self._expects = False
        self._stored = 0
        self._heard = 0
        self._deaf_until = -math.inf
        self._woken = 0
        self._doubtful = False
        if config.receiver is not None:
            self._bell = config.receiver.listen(config.account, job_id)
            self._expects = config.receiver.expects(config.account, job_id)
            self._holding.callback(self._bell.close)
            self._holding.enter_context(self._bell.waking(wake))

    @property
    def listens(self) -> bool:
        """Whether there is anything to be heard at all."""
        return self._bell is not None

    @property
    def expecting(self) -> bool:
        """Whether a delivery is to come, so that looks may be rare."""
        return self._expects and not self._doubtful

    def note_stored(self, count: int | None) -> None:
        """Take note of how many deliveries the store has, those of this process included."""
        self._expects = self._expects or count is not None
        self._stored = max(self._stored, count or 0)

    def hears(self, moment: float) -> bool:
        """Whether there is a delivery that has not been heeded yet, and is to be now."""
        count = self._count()
        if count <= self._heard or moment < self._deaf_until:
            return False
        self._heard = count
        return True

    def opens(self) -> float:
        """Return from when on a delivery that is there will be heeded; infinity without one."""
        return self._deaf_until if self._count() > self._heard else math.inf

    def forget(self) -> None:
        """Heed no delivery that has come so far: there is a look anyway."""
        self._heard = self._count()

    def compare(self, moment: float, dense: float, *, seen: bool) -> None:
        """Take note of whether there was anything to be seen at a look that a delivery asked for.

        If not, it may only not be readable everywhere yet: the next pause is then as short as
        without webhooks. Whoever goes on telling what cannot be seen is not believed.
        """
        self._deaf_until = moment + dense * 2.0 ** min(self._woken, _MOST_DOUBLINGS)
        self._woken += 1
        self._doubtful = not seen and self._woken <= _MOST_DOUBTS

    def trust(self) -> None:
        """Take note of a look that no delivery asked for: from here on looks may be rare again."""
        self._doubtful = False

    def close(self) -> None:
        """Listen no longer."""
        self._holding.close()

    def _count(self) -> int:
        return max(0 if self._bell is None else self._bell.heard(), self._stored)


def ask_store(config: Config, ears: Sequence[Ear]) -> Steps[None]:
    """Let the store say what other processes were told; without it, it only takes longer."""
    store = config.store
    if store is None or not ears:
        return

    def counts() -> list[int | None]:
        return [store.delivered(config.account, ear.job_id) for ear in ears]

    try:
        found = yield from call(counts)
    except StoreError:  # it costs nothing but time: looks go on
        return
    for ear, count in zip(ears, found, strict=True):
        ear.note_stored(count)


def told_job(config: Config, nonce: str) -> Steps[Job | None]:
    """Return the job that a webhook with a nonce has told of, read with the key.

    Returns:
        None if there was no delivery, or none of a job of this account, or of several: then
        somebody has copied the address, and a human must decide.

    Raises:
        KreaError: It could not be read. The error names no job: whose it is was not proved.
    """
    found = []
    for job_id in sorted((yield from _told(config, nonce))):
        try:
            found.append((yield from get(config, job_id)))
        except NotFoundError:
            continue
        except KreaError as error:
            error.job_id = None
            raise
    if len(found) > 1:
        yield from tell(config, "webhook_refused", job_id=found[0].id, problem="several jobs")
    return found[0] if len(found) == 1 else None


def _told(config: Config, nonce: str) -> Steps[set[str]]:
    told: set[str] = set()
    if config.receiver is not None:
        told.update(config.receiver.told(config.account, nonce))
    if config.store is not None:
        told.update((yield from call(partial(config.store.told, config.account, nonce))))
    return told


def confirm(config: Config, nonce: str) -> Steps[None]:
    """Make the job that was delivered on an intent's own path the intent's, if it has none.

    An intent that somebody is submitting at this moment is theirs to resolve.
    """
    store = config.store
    if store is None:
        return
    record = yield from call(partial(store.by_nonce, nonce))
    if record is None or record.job_id is not None or record.account != config.account:
        return
    if record.holder and (yield from call(partial(store.alive, record.holder))):
        return
    job = yield from told_job(config, nonce)
    if job is None:
        return
    accepted = replace(record, phase="accepted", job_id=job.id, holder="")
    try:
        stored = yield from call(partial(store.write, accepted))
    except JobClaimedError:
        yield from tell(config, "webhook_refused", job_id=job.id, problem="claimed")
    else:
        if stored is not None:  # else somebody was faster, and knows as much
            yield from tell(config, "recovered", job_id=job.id)


class Correspondent:
    """A client as its receiver sees it: who may ask with the key, and who is told."""

    def __init__(
        self,
        config: Config,
        run: Callable[[Steps[None]], object],
        usable: Callable[[], bool],
        *,
        asynchronous: bool,
    ) -> None:
        self.account = config.account
        self.asynchronous = asynchronous
        self.usable = usable
        self._config = config
        self._run = run

    def confirm(self, nonce: str) -> object:
        """Make the job that was delivered on an intent's own path the intent's."""
        return self._run(confirm(self._config, nonce))

    def publish(self, event: Event) -> None:
        """Tell an event to whoever listens to the client."""
        publish(event, self._config.on_event)
