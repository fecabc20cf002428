"""Bringing results to disk, and the whole way from a clip to its restyled file."""

from __future__ import annotations

import re
from functools import partial
from typing import Any, Final
from urllib.parse import urljoin

from krea_aleph import _saving, _wire
from krea_aleph._assets import give_back
from krea_aleph._exchange import Patience, announce, tell
from krea_aleph._hooks import check_webhook_url
from krea_aleph._hosts import problem_with_output
from krea_aleph._jobs import get
from krea_aleph._progress import telling_sink
from krea_aleph._saving import target_of
from krea_aleph._steps import TransportFault, call, fetch, now
from krea_aleph._submit import submit
from krea_aleph._uploads import Lease
from krea_aleph._waiting import check_timeout, operations, wait
from krea_aleph.errors import (
    APIConnectionError,
    APIStatusError,
    DownloadError,
    JobError,
    KreaError,
    from_job,
    retry_after,
)
from krea_aleph.models import Job, ObjectAddress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from krea_aleph._config import Config
    from krea_aleph._saving import Destination, PartFile
    from krea_aleph._steps import Response, Steps
    from krea_aleph._wire import Draft
    from krea_aleph.models import Exists, JobRef, Place, Saved, StrPath

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS: Final = 5
_NO_SUCH_RANGE: Final = 416
# How often a file may come that does not hash to what its host announces, and is fetched again.
_MOST_CONTENTS: Final = 2
# How hosts of signed addresses say that the signature has run out; a new snapshot has a new one.
_EXPIRED: Final = frozenset({403, 404, 410})


def transform(
    config: Config,
    ask: Callable[[], Draft],
    output: StrPath,
    *,
    exists: Exists,
    wait_timeout: float | None,
    webhook_url: str | None,
    keep_upload: bool = True,
    intent: str | None = None,
) -> Steps[Saved]:
    """Go the whole way: check where the result goes, submit, wait, download."""
    check_timeout(wait_timeout)
    check_webhook_url(config, webhook_url)
    target = yield from call(partial(target_of, output, exists, config.storage))
    kept = yield from _kept(target, exists)
    if kept is not None:
        return kept
    deleting = () if keep_upload else ("delete_asset",)
    yield from announce(config, *operations(config), *deleting)
    lease = Lease(config.uploads, keep=keep_upload)
    try:
        submitting = submit(
            config, lambda: ask()._replace(output=_where(target)), webhook_url, lease
        )
        going = go_through(config, submitting, target, wait_timeout, lease)
        if intent is not None:
            from krea_aleph._journal import noting_end  # noqa: PLC0415 - most have no intent

            going = noting_end(config, intent, going)
        return (yield from going)
    finally:
        lease.end()


def check_output(config: Config, output: StrPath, exists: Exists) -> Steps[Saved | None]:
    """Look whether results could be saved somewhere, and return what is kept in their place."""
    target = yield from call(partial(target_of, output, exists, config.storage))
    return (yield from _kept(target, exists))


def _kept(target: Destination, exists: Exists) -> Steps[Saved | None]:
    """Return what is there already, if it is to be kept.

    Raises:
        InvalidRequestError: It is there, and nothing may be.
    """
    found: Any
    (found,) = yield from call(target.standing)
    if found is None or exists != "keep":
        return None
    return (yield from call(partial(target.keep, found, None)))


def _where(target: Any) -> Place:
    """Return where results go: an exact name, or a folder."""
    place: Place = target.folder
    if target.name is None:
        return place
    return place.beside(target.name) if isinstance(place, ObjectAddress) else place / target.name


def go_through(
    config: Config,
    submitting: Steps[Job],
    target: Destination,
    wait_timeout: float | None,
    lease: Lease,
) -> Steps[Saved]:
    """Submit, wait, download; and give back what was uploaded when the job cannot need it more."""
    job: Job | None = None
    try:
        job = yield from submitting
        job = yield from wait(config, job, wait_timeout)
        saved = yield from _save(config, job, target)
    except KreaError as error:
        if job is not None:
            error.about(job.id)
        if _is_over(job, error):
            yield from give_back(config, lease, error.job_id)
        raise
    yield from give_back(config, lease, job.id)
    return saved


def _is_over(job: Job | None, error: KreaError) -> bool:
    """Whether no job is running any more, or surely none was started."""
    if isinstance(error, JobError):
        return error.job.finished
    if job is None:
        return error.charged == "no" and isinstance(error, APIStatusError | APIConnectionError)
    return job.finished


def download(config: Config, ref: JobRef, output: StrPath, *, exists: Exists) -> Steps[Saved]:
    """Save the results of a job that has succeeded; ask once if that is not known yet.

    Raises:
        JobError: It has no result, or not yet.
        DownloadError: They could not be saved whole.
    """
    _wire.job_id(ref, config.account)
    target = yield from call(partial(target_of, output, exists, config.storage))
    yield from announce(config, "get_job")  # also where a new address turns out to be needed
    job = ref if isinstance(ref, Job) and ref.succeeded else (yield from get(config, ref))
    error = from_job(job)
    if error is not None:
        raise error
    return (yield from _save(config, job, target))


def _save(config: Config, job: Job, target: Destination) -> Steps[Saved]:
    """Save every result that is wanted; what is there already stays with ``exists="keep"``."""
    saved: list[Saved] = []
    try:
        standing: Sequence[Any] = yield from call(partial(target.standing, job))
        for index, path in enumerate(standing):
            if path is not None and target.exists == "keep":
                saved += [(yield from call(partial(target.keep, path, job)))]
            else:
                saved += [(yield from _save_one(config, job, index, target))]
    except KreaError as error:
        error.about(job.id, charged="yes")
        if saved:
            error.hint += f' Results saved: {len(saved)}; exists="keep" fetches the others.'
        raise
    except GeneratorExit:
        raise
    except BaseException as interruption:
        if not isinstance(interruption, Exception):
            interruption.add_note(f"Job {job.id} is done. Fetch it with download({job.id!r}, ...).")
            # Cancelled tasks are seldom looked at: what is paid for goes to the log, too.
            yield from tell(config, "left", job_id=job.id, outcome="done")
        raise
    return _saving.together(saved)


def _save_one(config: Config, job: Job, index: int, target: Destination) -> Steps[Saved]:
    part = yield from call(partial(_saving.part_for, target, job, index, job.results[index].url))
    try:
        begun = yield from now()
        yield from _fill(config, job, index, part)
        saved = yield from call(partial(part.finish, target, job, index))
        duration = (yield from now()) - begun
        yield from tell(
            config, "transfer", job_id=job.id, duration=duration, download=saved.size_bytes
        )
    except BaseException as failure:
        # No step: it has to happen even where there is no time for steps.
        _tell_what_is_kept(failure, part.leave())
        raise
    part.leave()
    return saved


def _tell_what_is_kept(failure: BaseException, kept: Path | None) -> None:
    """Name the partial file, if one is left, on whatever ended the download."""
    if kept is None:
        return
    words = f"What has arrived is in {kept}; the next download to the same name goes on from there."
    if isinstance(failure, DownloadError):
        failure.part = kept
    if isinstance(failure, KreaError):
        failure.hint = f"{failure.hint} {words}".strip()
    else:
        failure.add_note(words)


def _fill(config: Config, job: Job, index: int, part: PartFile) -> Steps[None]:
    """Bring the file, unless an earlier try has left it whole; once more if it comes spoilt."""
    url = job.results[index].url
    for _ in range(_MOST_CONTENTS):
        if not part.whole:
            url = yield from _bring(config, job, index, url, part)
        if (yield from call(part.accept)):
            return
    raise _failed(job, url, part.progress)


def _bring(config: Config, job: Job, index: int, url: str, part: PartFile) -> Steps[str]:
    """Download until the file is whole, and return its address.

    An address that has run out is asked for anew, once.
    """
    renewed = False
    patience = Patience(config.retry)
    while True:
        try:
            response = yield from _fetch(config, job, url, part)
        except TransportFault as fault:
            error = _broken(job, url, part, fault)
            if fault.hopeless:
                raise error from fault.__cause__
        else:
            if response.success and part.whole:
                return url
            if response.status in _EXPIRED and not renewed:
                url, renewed = (yield from _newer_url(config, job, index, url)), True
                continue
            error = _failed(job, url, f"status {response.status}, {part.progress}")
            error.retry_after = retry_after(response.headers)
            if not (response.success or _worth_another_try(config, response.status)):
                raise error
        yield from patience.pause_or_raise(error)


def _newer_url(config: Config, job: Job, index: int, url: str) -> Steps[str]:
    """Ask the job for the address of its result; the old one stands where there is none."""
    job = yield from get(config, job)
    return job.results[index].url if index < len(job.results) else url


def _broken(job: Job, url: str, part: PartFile, fault: TransportFault) -> DownloadError:
    problem = str(fault) if fault.hopeless else f"it broke off ({fault}; {part.progress})"
    error = _failed(job, url, problem)
    error.__cause__ = fault.__cause__
    return error


def _worth_another_try(config: Config, status: int) -> bool:
    """Whether the next try may bring more; after a refused range it asks for the whole."""
    return status == _NO_SUCH_RANGE or config.retry.worth_it(status)


def _fetch(config: Config, job: Job, url: str, part: PartFile) -> Steps[Response]:
    """Fetch once, through redirects, each of which is held to the same rules as the first address.

    Raises:
        DownloadError: An address is one that must not be fetched from.
        TransportFault: The answer did not come, or not whole.
    """
    for _ in range(_MOST_REDIRECTS + 1):
        problem = problem_with_output(url, base=config.base, trusted=config.trusted_hosts)
        if problem is not None:
            message = f"the output at {_host(url)} was not fetched: {problem}."
            raise DownloadError(message, url=url, job_id=job.id)
        response = yield from fetch(url, part.resume_headers(), telling_sink(config, part, job.id))
        if response.status not in _REDIRECTS or "location" not in response.headers:
            return response
        url = _redirected(job, url, response.headers["location"])
    message = f"the output was redirected more than {_MOST_REDIRECTS} times."
    raise DownloadError(message, url=url, job_id=job.id)


def _redirected(job: Job, url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError as error:
        message = f"the output at {_host(url)} was redirected to what is no address: {error}."
        raise DownloadError(message, url=url, job_id=job.id) from error


def _failed(job: Job, url: str, problem: str) -> DownloadError:
    return DownloadError(
        f"downloading from {_host(url)} failed: {problem}.", url=url, job_id=job.id
    )


def _host(url: str) -> str:
    """Return what of an address may be shown: the rest may hold a signature or a password."""
    scheme, found, rest = url.partition("://")
    if not found:
        return f"{url.partition(':')[0][:20]}:"  # as in data: addresses, which are all content
    return f"{scheme}://{re.split(r'[/?#]', rest)[0].rpartition('@')[2]}"
