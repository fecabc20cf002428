"""Looking at the jobs that are waited for: one look answers for as many of them as it can.

Looks that fail are missed looks. A page of the account's list takes the place of many single
looks; who is not on it, or only half, is asked for by itself. What a list shows is held against
what is known: no list, however old the copy that it comes from, takes back what was seen.
"""

from __future__ import annotations

import math
from copy import copy
from typing import Any, Final

from krea_aleph import _wire
from krea_aleph._crowd import SHORTEST_LOOK
from krea_aleph._exchange import attempt, attempt_all, tell
from krea_aleph._plan import Place, Stretch, plan
from krea_aleph._steps import Response, draw, now, today
from krea_aleph._telemetry import LOGGER
from krea_aleph.errors import (
    BadRequestError,
    InvalidResponseError,
    KreaError,
    ModelUnavailableError,
    NotFoundError,
    PermissionDeniedError,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from krea_aleph._config import Config
    from krea_aleph._crowd import Wait
    from krea_aleph._steps import Steps
    from krea_aleph.models import Job

# An account whose list is not for us, or not in the form that we ask for.
_NO_LIST: Final = (BadRequestError, PermissionDeniedError, NotFoundError, ModelUnavailableError)
CHEAP: Final = 4
"""From so many waits a page on, looks are so cheap that they may be as frequent as ever allowed."""
# How many single looks are made together.
_TOGETHER: Final = 100


def look(config: Config, waits: Sequence[Wait], due: Sequence[Wait]) -> Steps[None]:
    """Look once at all that are due, and at whoever is seen on the way."""
    before = [(wait, wait.job.status) for wait in due if wait.told]
    left = dict.fromkeys(due)
    seen: dict[Wait, None] = {}
    checked, pages = None, 0
    if len(waits) > 1 and config.board.lists.usable((yield from now())):
        pages = yield from _look_at_pages(config, waits, left, seen)
        checked = _to_check(config, seen, left)
    alone = [*left, *([] if checked is None else [checked])]
    for start in range(0, len(alone), _TOGETHER):
        yield from _look_at_each(config, alone[start : start + _TOGETHER])
    moment, chance = (yield from now()), (yield from draw())
    if len(seen) >= CHEAP * max(pages, 1):
        chance = 0.0  # such looks are so cheap that the shortest pause of the policy is as well
    if checked is not None and checked.job.finished:
        config.board.lists.distrust(moment)
    for wait, status in before:
        wait.ear.compare(moment, config.poll.dense, seen=wait.job.status != status)
    hurry = set(due)
    for wait in dict.fromkeys((*due, *alone, *seen)):
        if not wait.told:
            wait.ear.trust()
        wait.plan(config, moment, chance, early=wait not in hurry)
        wait.tell_party()


def _to_check(config: Config, seen: Iterable[Wait], left: Iterable[Wait]) -> Wait | None:
    """Choose, now and then, the job that is most likely to have ended, to find a list that lags."""
    running = [wait for wait in seen if wait not in left and not wait.over]
    if not running or not config.board.lists.want_check():
        return None
    config.board.lists.spend(1)
    return max(running, key=lambda wait: wait.age)


# One by one


def _look_at_each(config: Config, waits: Sequence[Wait]) -> Steps[None]:
    """Ask for jobs by their ids, for each once."""
    moment = yield from now()
    by_id: dict[str, list[Wait]] = {}
    for wait in waits:
        wait.pass_time(moment)
        by_id.setdefault(wait.job.id, []).append(wait)
    limit = max(SHORTEST_LOOK, *(wait.left for wait in waits))
    requests = [_wire.get_job_request(job_id) for job_id in by_id]
    if len(requests) == 1:
        answers = [(yield from attempt(config, requests[0], limit=limit))]
    else:
        answers = yield from attempt_all(config, requests, limit=limit)
    moment, day = (yield from now()), (yield from today())
    for (job_id, those), answer in zip(by_id.items(), answers, strict=True):
        found = read_look(config, job_id, answer, day)
        for wait in those:
            wait.pass_time(moment)
            yield from _take(config, wait, found, "webhook" if wait.told else "poll")


def read_look(
    config: Config, job_id: str, answer: Response | KreaError, day: float
) -> Job | KreaError:
    """Return the job that an answer shows, or why there is none."""
    if not isinstance(answer, Response):
        return answer
    try:
        return _wire.read_job(answer, "get_job", config.account, day, asked=job_id)
    except InvalidResponseError as error:
        return error


def _take(config: Config, wait: Wait, found: Job | KreaError, source: str) -> Steps[None]:
    """Take what a look has brought. One that fails is a missed one, reported, and nothing more.

    A look may be for several waits. Each has an error of its own, since that will bear its job.
    """
    if isinstance(found, KreaError):
        own = copy(found)
        own.__cause__ = found.__cause__
        if wait.missed(own):
            error, job_id = type(found).__name__, wait.job.id
            yield from tell(config, "poll_missed", job_id=job_id, error=error, faults=wait.faults)
    elif wait.saw(found, source):
        yield from tell(config, "changed", job_id=found.id, status=found.status)


# By pages of the list


def _look_at_pages(
    config: Config, waits: Sequence[Wait], left: dict[Wait, None], seen: dict[Wait, None]
) -> Steps[int]:
    """Ask for pages as long as they are worth it, and return for how many.

    Args:
        config: Of the client.
        waits: All of them; whoever is on a page is seen, due or not.
        left: Who is to be looked at; whom a page has answered for is taken out.
        seen: Who was on a page is put in.
    """
    lists, asked = config.board.lists, 0
    rest = sorted((wait for wait in waits if wait.listed), key=_created, reverse=True)
    while pages := plan([Place(_created(w), w in left) for w in rest], *lists.known):
        page = pages[0]
        there = [wait for wait in rest[page.start : page.stop] if wait in left]
        rows = yield from _ask_for_page(config, rest[page.start], page, there)
        asked += 1
        if rows is None:
            return asked
        if isinstance(rows, KreaError):
            for wait in there:
                del left[wait]
                yield from _take(config, wait, rows, "list")
            rest = rest[page.stop :]
            continue
        open_before = len(left)
        yield from _take_rows(config, rest, rows, left, seen)
        reach = _reach(rows, page)
        for wait in there:
            # Of those created with the last one of a page some may be on the next.
            if wait in left and wait not in seen and _created(wait) > reach:
                wait.not_listed()
        span = max(_created(rest[page.start]) - reach, 0.0)
        ours = sum(wait in seen for wait in rest)
        lists.learn(rows=len(rows), ours=ours, seconds=span, answered=open_before - len(left))
        if open_before == len(left):
            return asked
        rest = [w for w in rest[page.start :] if w not in seen and _created(w) < reach]
    return asked


def _ask_for_page(
    config: Config, newest: Wait, page: Stretch, there: Sequence[Wait]
) -> Steps[list[dict[str, Any]] | KreaError | None]:
    """Return the rows of a page, or why there are none; None where there never will be any."""
    lists, moment = config.board.lists, (yield from now())
    for wait in there:
        wait.pass_time(moment)
    limit = max(SHORTEST_LOOK, *(wait.left for wait in there))
    request = _wire.fleet_request(newest.created, page.limit, compared=not lists.learned)
    answer = yield from attempt(config, request, limit=limit)
    if isinstance(answer, _NO_LIST):
        lists.refused = True
        LOGGER.warning(
            "account %s: its jobs cannot be listed (%s); each is asked for by itself from now on",
            config.account,
            answer.message,
        )
        yield from tell(config, "list_refused", status=answer.status_code)
        return None
    if isinstance(answer, KreaError):
        return answer
    try:
        return _wire.read_rows(answer)
    except InvalidResponseError as error:
        return error


def _take_rows(
    config: Config,
    waits: Iterable[Wait],
    rows: Iterable[dict[str, Any]],
    left: dict[Wait, None],
    seen: dict[Wait, None],
) -> Steps[None]:
    """Take what a page shows. Who has ended, and is not shown whole, is asked for by itself."""
    moment, day = (yield from now()), (yield from today())
    by_id: dict[str, list[Wait]] = {}
    for wait in waits:
        by_id.setdefault(wait.job.id, []).append(wait)
    for row in rows:
        for wait in by_id.get(row["job_id"], ()):
            wait.pass_time(moment)
            seen[wait] = None
            left.pop(wait, None)
            if wait.is_old(row.get("status")):
                continue
            job = _wire.job_of(row, config.account, day)
            if job.finished and not _is_whole(job):
                left[wait] = None
            else:
                yield from _take(config, wait, job, "list")


def _is_whole(job: Job) -> bool:
    """Whether a row of a list says all there is to say of a job that has ended."""
    if job.succeeded:
        return bool(job.results)
    return job.status.lower() == "cancelled" or bool(job.error_code or job.error_message)


def _reach(rows: Sequence[dict[str, Any]], page: Stretch) -> float:
    """Return how far back a page goes, in Unix seconds: to the very beginning if it was short."""
    if len(rows) < page.limit:
        return -math.inf
    created = _wire.moment_of(rows[-1].get("created_at"))
    return math.inf if created is None else created.timestamp()


def _created(wait: Wait) -> float:
    return wait.created or 0.0
