"""Webhooks as operations see them: an address for a submit, an ear for a wait, a proof.

Nothing that a delivery says is believed but the id of a job, and of that only that it is worth a
look: every answer that counts is asked for with the key.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from secrets import token_urlsafe
from typing import Final

from krea_aleph import _wire
from krea_aleph._exchange import tell
from krea_aleph._jobs import get
from krea_aleph._steps import call, now, sleep
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
    from collections.abc import Callable

    from krea_aleph._config import Config
    from krea_aleph._steps import Steps
    from krea_aleph.models import Event, Job

# How often a wait looks into the store for what another process was told, in seconds.
_STORE_LOOK: Final = 3.0
_INSTANT: Final = 0.001
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

    The first delivery ends a pause at once. If the job has not ended even so, the next one does so
    only after twice as long, and so on: a flood of deliveries is no flood of looks.
    """

    def __init__(self, config: Config, job_id: str) -> None:
        receiver = config.receiver
        self._config = config
        self._job_id = job_id
        self._bell = None if receiver is None else receiver.listen(config.account, job_id)
        self._expects = receiver is not None and receiver.expects(config.account, job_id)
        self._heard = 0
        self._quiet = 0.0
        self._woken = 0
        self._doubtful = False

    def begin(self, *, looking: bool) -> Steps[None]:
        """Find out whether a delivery is to come, and forget those that came if a look follows."""
        if self._bell is not None and looking:
            yield from self._hears()
        elif self._bell is not None and not self._expects:
            yield from self._counted()

    @property
    def expecting(self) -> bool:
        """Whether a delivery is to come, so that looks may be rare."""
        return self._expects and not self._doubtful

    def pause(self, seconds: float) -> Steps[bool]:
        """Let seconds pass, or fewer when a delivery is heard; say whether one was."""
        if self._bell is None:
            yield from sleep(seconds)
            return False
        ends = (yield from now()) + seconds
        if self._quiet:
            yield from sleep(min(self._quiet, seconds))
        while not (yield from self._hears()):
            left = ends - (yield from now())
            if left <= _INSTANT:
                return False
            longest = left if self._config.store is None else _STORE_LOOK
            yield from sleep(min(left, longest), self._bell)
        self._quiet = self._config.poll.dense * 2.0 ** min(self._woken, _MOST_DOUBLINGS)
        self._woken += 1
        return True

    def compare(self, *, told: bool, seen: bool) -> None:
        """Take note of whether there was anything to be seen at a look that a delivery asked for.

        If not, it may only not be readable everywhere yet: the next pause is then as short as
        without webhooks. Whoever goes on telling what cannot be seen is not believed.
        """
        self._doubtful = told and not seen and self._woken <= _MOST_DOUBTS

    def close(self) -> None:
        """Listen no longer."""
        if self._bell is not None:
            self._bell.close()

    def _hears(self) -> Steps[bool]:
        """Whether there is a delivery that has not been heard yet.

        The store counts those of every process, this one included, a moment later than the bell.
        """
        count = 0 if self._bell is None else self._bell.heard()
        count = max(count, (yield from self._counted()))
        news, self._heard = count > self._heard, max(count, self._heard)
        return news

    def _counted(self) -> Steps[int]:
        store = self._config.store
        if store is None:
            return 0
        look = partial(store.delivered, self._config.account, self._job_id)
        try:
            count: int | None = yield from call(look)
        except StoreError:  # it costs nothing but time: looks go on
            return 0
        self._expects = self._expects or count is not None
        return count or 0


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
