"""What the server showed just before a paid request left, and what it shows afterwards.

Listed jobs carry nothing of the request, so the only ways to tie one to a request are when it was
created, by the server's own clock, and what was there already.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from krea_aleph import _wire
from krea_aleph._exchange import exchange, tell
from krea_aleph._jobs import list_jobs
from krea_aleph._steps import gather, sleep, today

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from krea_aleph._config import Config
    from krea_aleph._steps import Steps
    from krea_aleph._wire import Page
    from krea_aleph.models import Job

# So many of the newest jobs are looked at.
_ROWS: Final = 100
# A service has many servers, and their clocks may differ by as much: what comes later may be dated
# earlier than what was there.
_SERVERS_DIFFER: Final = timedelta(seconds=5)
# HTTP dates have whole seconds, and the answer that bore one was under way for a moment.
_DATE_MARGIN: Final = timedelta(seconds=2)
# What is dated later than this after the server's own date was made under another clock: if it drew
# the line, nothing would ever be later, and that would seem to prove that nothing was started.
_FUTURE: Final = timedelta(seconds=60)
_EVER: Final = datetime.min.replace(tzinfo=UTC)


class Mark(NamedTuple):
    """A line between the jobs that were there before and those that came later.

    Attributes:
        newest: From when on created jobs may have come later; None if there was none before.
        ids: The jobs of before that were created from that moment on.
        at: Unix time in seconds, by our clock, at which it was last known to be in flight.
    """

    newest: datetime | None
    ids: frozenset[str]
    at: float

    def dump(self) -> str:
        """Return it as text."""
        newest = None if self.newest is None else self.newest.isoformat()
        return json.dumps({"newest": newest, "ids": sorted(self.ids), "at": self.at})

    @classmethod
    def load(cls, text: str) -> Mark:
        """Return what `dump` wrote."""
        facts = json.loads(text)
        newest = facts["newest"]
        moment = None if newest is None else datetime.fromisoformat(newest)
        return cls(moment, frozenset(facts["ids"]), float(facts["at"]))

    def is_later(self, job: Job) -> bool:
        """Whether a job may have come after the mark; one without a time may."""
        if job.id in self.ids:
            return False
        return self.newest is None or job.created_at is None or job.created_at >= self.newest


def mark_by_date(date: datetime | None, at: float) -> Mark | None:
    """Return the mark that the date of an earlier answer amounts to, if there was one."""
    return None if date is None else Mark(date - _DATE_MARGIN, frozenset(), at)


def take_mark(config: Config) -> Steps[Mark]:
    """Ask the server what is there now."""
    request = _wire.list_jobs_request(cursor=None, limit=_ROWS, status=None, types=())
    response = yield from exchange(config, request)
    moment = yield from today()
    page = _wire.read_job_page(response, config.account, moment)
    created: dict[str, datetime] = {job.id: job.created_at for job in page.items if job.created_at}
    shown = config.dates.latest
    believed = (at for at in created.values() if shown is None or at <= shown + _FUTURE)
    newest = max(believed, default=None)
    line = None if newest is None else max(newest - _SERVERS_DIFFER, _reach(created, page))
    ids = frozenset(job_id for job_id, at in created.items() if line is None or at >= line)
    return Mark(line, ids, moment)


def _reach(created: Mapping[str, datetime], page: Page) -> datetime:
    """Return from when on the page shows every job."""
    return min(created.values()) if page.cursor is not None else _EVER


def jobs_since(config: Config, mark: Mark) -> Steps[list[Job]]:
    """Return the jobs that may have come after a mark, newest first."""
    # Those of the very moment count, and the list leaves them out.
    after = None if mark.newest is None else mark.newest - timedelta(milliseconds=1)
    jobs: list[Job] = yield from gather(
        list_jobs(config, status=None, types=(), created_before=None, created_after=after)
    )
    return [job for job in jobs if mark.is_later(job)]


def mark_since(since: datetime, at: float) -> Mark:
    """Return a mark for looking only: by our clock, which proves nothing."""
    return Mark(since, frozenset(), at)


def let_arrive(config: Config, mark: Mark, seconds: float) -> Steps[None]:
    """Wait until a lost request of after the mark has had so long to arrive, and say so before."""
    left = min(mark.at + seconds - (yield from today()), seconds)
    if left > 0:
        yield from tell(config, "recovering", wait=round(left))
        yield from sleep(left)
