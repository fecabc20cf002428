"""Starting a paid job: checked first, uploaded next, sent once."""

from __future__ import annotations

import inspect
from datetime import UTC, datetime
from functools import partial
from types import MappingProxyType
from typing import Final, TypeVar

from krea_aleph import _hooks, _wire
from krea_aleph._assets import UPLOADING, upload_source
from krea_aleph._exchange import (
    Patience,
    announce,
    connection_error,
    send_once,
    status_error,
    tell,
)
from krea_aleph._marks import mark_by_date
from krea_aleph._secrets import signatures
from krea_aleph._steps import TransportFault, call, today
from krea_aleph._uploads import Lease
from krea_aleph.errors import (
    ConfigError,
    InvalidResponseError,
    KreaError,
    RateLimitError,
    SubmitUncertainError,
    SubmitVetoedError,
)
from krea_aleph.models import Job

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import NoReturn

    from krea_aleph._checks import Pending
    from krea_aleph._config import Config
    from krea_aleph._marks import Mark
    from krea_aleph._steps import Request, Response, Steps
    from krea_aleph._wire import Draft, Prepared
    from krea_aleph.models import Checked

T = TypeVar("T")

# A paid request goes out on a new connection or on one used a moment ago. A kept-alive one that
# the server has closed meanwhile would be the commonest cause of not knowing what happened.
_MAX_IDLE: Final = 2.0
# Seconds by which the server's clock may be behind ours when a lost job is looked for.
_CLOCKS_DIFFER: Final = 120.0
# After these, and only after these, it is sure that nothing was started.
_NOTHING: Final[Mapping[Pending, str]] = MappingProxyType({})
_PERHAPS_STARTED: Final = (
    "This came while a job was being started, and it may have been: look with list_jobs before you"
    " submit again."
)
_SURELY_REFUSED: Final = frozenset(
    {400, 401, 402, 403, 404, 405, 406, 410, 411, 413, 414, 415, 422, 429, 431}
)


def submit(
    config: Config,
    ask: Callable[[], Draft],
    webhook_url: str | None = None,
    lease: Lease | None = None,
) -> Steps[Job]:
    """Check a request, upload its files, start the job, and return it as accepted.

    Under an intent, return the job that was started first, if one was.
    """
    _hooks.check_webhook_url(config, webhook_url)
    prepared = yield from prepare(config, ask)
    make = partial(_make_request, config, prepared, webhook_url, lease)
    return (yield from start(config, prepared, make))


def prepare(config: Config, ask: Callable[[], Draft]) -> Steps[Prepared]:
    """Check a request and look at its files; send nothing.

    Raises:
        InvalidRequestError: It cannot be sent as it is.
        ConfigError: It has an intent, and there is nobody who would remember it.
    """
    draft = ask()
    prepared = (yield from call(draft.inspect)) if draft.files else draft.inspect()
    operations = [_wire.SUBMIT, *(UPLOADING if draft.files else [])]
    yield from announce(config, *operations, more=prepared.cautions)
    prepared.warn()
    if prepared.checked.intent is not None and config.store is None:
        message = "intent: without a store nobody remembers it."
        raise ConfigError(message, hint="Make the client with store=SQLiteStore(...).")
    return prepared


def start(
    config: Config,
    prepared: Prepared,
    make: Callable[[str], Steps[Request]],
    *,
    patient: bool = True,
) -> Steps[Job]:
    """Start the job of a checked request, or under an intent find the one that was started.

    Args:
        config: The client's.
        prepared: The request.
        make: Returns the request that pays; it is given the nonce for its webhook.
        patient: Whether a 429 is worth a wait; else it is raised at once.
    """
    post = partial(_post, config, prepared.checked, patient=patient)
    needs_none = prepared.checked.intent is None and not config.exclusive
    if config.store is None or needs_none:
        return (yield from _submit_once(config, make, post))
    from krea_aleph import _intents  # noqa: PLC0415 - most programs have no store

    wanted = _intents.record_of(prepared)
    return (yield from _intents.submit(config, config.store, wanted, make, post))


def _submit_once(
    config: Config,
    make: Callable[[str], Steps[Request]],
    post: Callable[[Request, Mark | None], Steps[Job]],
) -> Steps[Job]:
    """Start a job that is nobody's intent; what the receiver knows it by is on a lost answer."""
    nonce = _hooks.new_nonce(config)
    request = yield from make(nonce)
    mark = mark_by_date(config.dates.latest, (yield from today()))
    try:
        job = yield from post(request, mark)
    except SubmitUncertainError as error:
        error.nonce = nonce
        raise
    yield from _hooks.expect(config, nonce, job.id)
    return job


def _make_request(
    config: Config,
    prepared: Prepared,
    webhook_url: str | None,
    lease: Lease | None,
    nonce: str,
) -> Steps[Request]:
    """Ask for leave, upload what is to be uploaded, and return the request that pays."""
    yield from ask_leave(config, prepared.checked)
    addresses = yield from upload_all(config, prepared, lease)
    signed = yield from sign_all(config, prepared)
    return request_for(config, prepared, addresses, nonce, webhook_url, signed=signed)


def request_for(
    config: Config,
    prepared: Prepared,
    addresses: Mapping[Pending, str],
    nonce: str,
    webhook_url: str | None = None,
    *,
    signed: Mapping[Pending, str] = _NOTHING,
) -> Request:
    """Return the request that pays, its files being uploaded, or signed for."""
    url = webhook_url or _hooks.address(config, nonce)
    request = _wire.submit_request(prepared.body({**addresses, **signed}), url)
    return request._replace(hidden=tuple(signatures(signed.values())))


def ask_leave(config: Config, checked: Checked) -> Steps[None]:
    """Let the user's hook, if there is one, refuse what is to be paid for.

    Raises:
        SubmitVetoedError: It does.
    """
    if config.before_submit is not None:
        yield from call(partial(_ask_leave, config.before_submit, checked))


def upload_all(
    config: Config, prepared: Prepared, lease: Lease | None = None
) -> Steps[dict[Pending, str]]:
    """Upload the files and return their addresses by placeholder; equal content goes up once."""
    lease = lease or Lease(config.uploads, keep=True)
    known: dict[str, str] = {}
    sources = {place: file for place, file in prepared.sources.items() if file.signed is None}
    for source in sources.values():
        if source.sha256 not in known:
            known[source.sha256] = (yield from upload_source(config, source, lease)).url
    return {place: known[source.sha256] for place, source in sources.items()}


def sign_all(config: Config, prepared: Prepared) -> Steps[dict[Pending, str]]:
    """Return, by placeholder, signed addresses of what Krea fetches itself.

    They run out, so that this is the last thing to do before the request leaves.

    Raises:
        InvalidRequestError: Krea could do nothing with one.
    """
    found: dict[Pending, str] = {}
    for place, source in prepared.sources.items():
        if source.signed is not None:
            found[place] = yield from call(partial(source.signed, config.nearby))
    return found


def _post(
    config: Config,
    checked: Checked,
    request: Request,
    mark: Mark | None,
    claim: Callable[[], Steps[None]] | None = None,
    *,
    patient: bool,
) -> Steps[Job]:
    """Send the paid request once, and again only after it has surely started nothing.

    Krea has no idempotency key: every accepted request is a job that is billed when it completes.

    Args:
        config: The client's.
        checked: The request, as it was looked at.
        request: The request that pays.
        mark: What the server showed before it.
        claim: Makes sure, before it is sent again, that nobody else has taken the intent meanwhile.
        patient: Whether a 429 is worth a wait.

    Raises:
        SubmitUncertainError: It may have been accepted.
        KreaError: It was not.
    """
    patience = Patience(config.retry)
    while True:
        moment = (yield from today()) - _CLOCKS_DIFFER
        since = datetime.fromtimestamp(moment, UTC)
        uncertain = partial(_raise_uncertain, since, checked, mark)
        sending = _send_telling(config, request, uncertain, patience.tries)
        answer = yield from _noting(config, sending)
        if isinstance(answer, Job):
            return answer
        if isinstance(answer, RateLimitError) and not patient:
            raise answer
        yield from patience.pause_or_raise(answer)
        if claim is not None:
            yield from claim()


def _noting(config: Config, sending: Steps[T]) -> Steps[T]:
    """Say of an interruption that a job may have been started, unless it says more already."""
    try:
        return (yield from sending)
    except BaseException as interruption:
        quiet = isinstance(interruption, (Exception, GeneratorExit))
        if not quiet and not getattr(interruption, "__notes__", None):
            interruption.add_note(_PERHAPS_STARTED)
            # Cancelled tasks are seldom looked at: what may have been left goes to the log, too.
            yield from tell(config, "left", outcome="perhaps started")
        raise


def _send_telling(
    config: Config, request: Request, uncertain: Callable[[KreaError], NoReturn], resends: int
) -> Steps[Job | KreaError]:
    """Send the paid request, and tell of an outcome that somebody has to look into."""
    try:
        return (yield from _send_paid(config, request, uncertain, resends))
    except SubmitUncertainError as error:
        yield from tell(config, "uncertain", error=type(error.__cause__).__name__)
        raise


def _send_paid(
    config: Config, request: Request, uncertain: Callable[[KreaError], NoReturn], resends: int
) -> Steps[Job | KreaError]:
    """Send the paid request; return its job, or the error after which it may be sent again."""
    try:
        response = yield from send_once(config, request, max_idle=_MAX_IDLE, resends=resends)
    except TransportFault as fault:
        error: KreaError = connection_error(config, request, fault)
        if fault.sent:
            uncertain(error)
        return error
    if response.success:
        return (yield from _accepted(config, request, response, uncertain))
    error = status_error(request, response)
    if response.status not in _SURELY_REFUSED:
        uncertain(error)
    if not isinstance(error, RateLimitError):
        raise error
    return error


def _accepted(
    config: Config,
    request: Request,
    response: Response,
    uncertain: Callable[[KreaError], NoReturn],
) -> Steps[Job]:
    moment = yield from today()
    try:
        job = _wire.read_job(response, request.operation, config.account, moment)
    except InvalidResponseError as error:
        uncertain(error)
    try:
        yield from tell(config, "submitted", job_id=job.id, status=job.status)
    except BaseException as interruption:
        interruption.add_note(f"Job {job.id} has been started. Wait for it with wait({job.id!r}).")
        raise
    return job


def _raise_uncertain(
    since: datetime, checked: Checked, mark: Mark | None, error: KreaError
) -> NoReturn:
    raise SubmitUncertainError(
        f"a job may or may not have been started. {error.args[0]}",
        since=since,
        fingerprint=checked.fingerprint,
        account=checked.account,
        mark=None if mark is None else mark.dump(),
    ) from error


def _ask_leave(before_submit: Callable[[Checked], None], checked: Checked) -> None:
    """Let the user's hook refuse; a hook that breaks refuses too, since money is at stake."""
    try:
        answer: object = before_submit(checked)  # type: ignore[func-returns-value]
    except SubmitVetoedError:
        raise
    except Exception as error:
        raise SubmitVetoedError(f"before_submit raised {type(error).__name__}: {error}") from error
    if inspect.iscoroutine(answer):
        answer.close()
        raise SubmitVetoedError("before_submit is a coroutine function, which nobody awaits")
