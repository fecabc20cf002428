"""Waiting for many jobs in one call: each has an outcome of its own, and none stops the others."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from contextlib import closing
from typing import Final

from krea_aleph import _wire
from krea_aleph._crowd import Crowd
from krea_aleph._exchange import announce, attempt_all, tell
from krea_aleph._fleet import news
from krea_aleph._looks import CHEAP, read_look
from krea_aleph._steps import Response, clean_up, draw, emit, gather, now, today
from krea_aleph._waiting import begin, check_timeout, operations, show
from krea_aleph.errors import InvalidRequestError, KreaError, from_job
from krea_aleph.models import Job
from krea_aleph.outcomes import Failed, Succeeded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from krea_aleph._config import Config
    from krea_aleph._crowd import Wait
    from krea_aleph._steps import Steps
    from krea_aleph.models import JobRef

# How many ids the note on an interruption names.
_NAMED: Final = 5


class _Given:
    """What a call was given, and where in it each job is: one may be there several times."""

    def __init__(self, config: Config, refs: Iterable[JobRef]) -> None:
        if isinstance(refs, str | Job) or not isinstance(refs, Iterable):
            raise InvalidRequestError("jobs", f"{refs!r} is no list", hint="Give a list of jobs.")
        self.items = list(refs)
        self.jobs: dict[str, Job] = {}
        self.places: dict[str, list[int]] = {}
        for index, ref in enumerate(self.items):
            job_id = _wire.job_id(ref, config.account)
            known = ref if isinstance(ref, Job) else Job(job_id, "unknown", config.account)
            if job_id not in self.jobs or known.fetched_at > self.jobs[job_id].fetched_at:
                self.jobs[job_id] = known
            self.places.setdefault(job_id, []).append(index)


def wait_many(
    config: Config, refs: Iterable[JobRef], wait_timeout: float | None
) -> Steps[list[Succeeded | Failed]]:
    """Return what becomes of each job, in the order in which they were given."""
    found: list[Succeeded | Failed] = yield from gather(as_completed(config, refs, wait_timeout))
    return sorted(found, key=lambda outcome: outcome.index)


def as_completed(config: Config, refs: Iterable[JobRef], wait_timeout: float | None) -> Steps[None]:
    """Show what becomes of each job, in the order in which that is known."""
    check_timeout(wait_timeout)
    given = _Given(config, refs)

    def ended(wait: Wait) -> Steps[None]:
        error = _error(wait)
        if error is None and not wait.job.finished:
            return
        for index in given.places[wait.job.id]:
            item = given.items[index]
            if error is None:
                yield from emit(Succeeded(index, item, wait.job))
            else:
                known = wait.job if wait.job.fetched_at else None
                yield from emit(Failed(index, item, known, error))

    yield from _follow(config, given.jobs.values(), wait_timeout, ended)


def watch_many(config: Config, refs: Iterable[JobRef], wait_timeout: float | None) -> Steps[None]:
    """Show each change of each job until all have ended.

    Raises:
        KreaError: What has ended the first wait without an end of its job, once the others are
            over.
    """
    check_timeout(wait_timeout)
    broken: list[KreaError] = []

    def changed(wait: Wait) -> Steps[None]:
        yield from show(wait)
        if not wait.job.finished and (error := _error(wait)) is not None:
            broken.append(error)

    jobs = _Given(config, refs).jobs.values()
    yield from _follow(config, jobs, wait_timeout, changed)
    if broken:
        raise broken[0]


def _error(wait: Wait) -> KreaError | None:
    """Return why there is no result, once that is known."""
    error = from_job(wait.job) if wait.job.finished else wait.error
    if error is None and not wait.job.finished and wait.left <= 0:
        error = wait.overdue()
    if error is not None:
        error.about(wait.job.id, exists=wait.job.fetched_at > 0)
    return error


def _follow(
    config: Config,
    jobs: Iterable[Job],
    wait_timeout: float | None,
    told: Callable[[Wait], Steps[None]],
) -> Steps[None]:
    """Wait until all jobs are over, and tell of each change."""
    yield from announce(config, "list_jobs", *operations(config))
    with closing(Crowd(config)) as crowd:
        try:
            waits = yield from _begin_all(config, crowd, jobs, wait_timeout)
            config.board.join(crowd, min((w.due for w in waits), default=math.inf))
            pending = deque(waits)
            while pending or crowd.waits:
                while pending:
                    yield from told(pending.popleft())
                if crowd.waits:
                    pending.extend((yield from news(crowd)))
        except GeneratorExit:
            raise
        except BaseException as reason:
            yield from _leave(config, list(crowd.waits), reason)
            raise


def _begin_all(
    config: Config, crowd: Crowd, jobs: Iterable[Job], wait_timeout: float | None
) -> Steps[list[Wait]]:
    """Begin to wait for each job, and return those waits that there is something to tell of."""
    moment, day = (yield from now()), (yield from today())
    waits = [crowd.add(job, wait_timeout, moment, day) for job in jobs]
    # The same for all: who is due together is looked at together.
    chance = (yield from draw()) if len(waits) < CHEAP else 0.0
    for wait in waits:
        if wait.job.finished:
            crowd.drop(wait)
        else:
            yield from begin(config, wait, moment, day, chance)
    return waits


def _leave(config: Config, job_ids: Sequence[str], reason: BaseException) -> Steps[None]:
    """Leave or cancel what still runs, as configured, and write on the reason what came of it."""
    if isinstance(reason, Exception) or not job_ids:
        return
    named = ", ".join(job_ids[:_NAMED]) + (", ..." if len(job_ids) > _NAMED else "")
    words = (
        f"{len(job_ids)} jobs were left as they were: {named}. Wait for them again by their ids."
    )
    if config.abandon == "cancel":
        yield from clean_up()
        asked = yield from _cancel_all(config, job_ids)
        words = f"{asked} of {len(job_ids)} jobs were asked to be cancelled: {named}."
    reason.add_note(words)
    yield from tell(config, "left", outcome=config.abandon, jobs=len(job_ids))


def _cancel_all(config: Config, job_ids: Sequence[str]) -> Steps[int]:
    """Ask Krea to cancel jobs, as far as the time goes; who has ended meanwhile is left alone."""
    looks = yield from attempt_all(config, [_wire.get_job_request(job_id) for job_id in job_ids])
    day = yield from today()
    found = [
        read_look(config, job_id, answer, day)
        for job_id, answer in zip(job_ids, looks, strict=True)
    ]
    running = [job.id for job in found if isinstance(job, Job) and not job.finished]
    requests = [_wire.delete_job_request(job_id) for job_id in running]
    answers = (yield from attempt_all(config, requests)) if requests else []
    return sum(isinstance(answer, Response) for answer in answers)
