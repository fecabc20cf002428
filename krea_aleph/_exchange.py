"""One request and its answer: sent once, or repeated where that is safe."""

from __future__ import annotations

from typing import Final

from krea_aleph._steps import Response, TransportFault, draw, now, refresh_key, report, send, sleep
from krea_aleph.errors import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    KreaError,
    from_status,
)
from krea_aleph.models import Event

TYPE_CHECKING = False
if TYPE_CHECKING:
    from krea_aleph._config import Config
    from krea_aleph._steps import Request, Steps
    from krea_aleph.policies import RetryPolicy

_UNAUTHORIZED: Final = 401


def exchange(config: Config, request: Request) -> Steps[Response]:
    """Send a request that may safely be repeated, and return its success.

    Raises:
        KreaError: There was none, for as long as the retry policy goes.
    """
    patience = Patience(config.retry)
    while True:
        answer = yield from attempt(config, request)
        if isinstance(answer, Response):
            return answer
        if isinstance(answer, APIStatusError) and not config.retry.worth_it(answer.status_code):
            raise answer
        yield from patience.pause_or_raise(answer)


def attempt(
    config: Config, request: Request, *, limit: float | None = None
) -> Steps[Response | KreaError]:
    """Send a request once, and return its success or the error that its outcome amounts to."""
    try:
        response = yield from send_once(config, request, limit=limit)
    except TransportFault as fault:
        return connection_error(request, fault)
    return response if response.success else status_error(request, response)


def send_once(
    config: Config,
    request: Request,
    *,
    max_idle: float | None = None,
    limit: float | None = None,
) -> Steps[Response]:
    """Send a request, and once more after a 401 if a callable may know a newer key.

    Raises:
        TransportFault: There was no answer.
    """
    response = yield from _told(config, request, max_idle, limit)
    if response.status == _UNAUTHORIZED and (yield from refresh_key(response.key_generation)):
        response = yield from _told(config, request, max_idle, limit)
    return response


class Patience:
    """How long one request has been failing, held against the retry policy."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self._tries = 0
        self._since = 0.0

    def pause_or_raise(self, error: KreaError) -> Steps[None]:
        """Wait as the policy says before another try, or raise the error when it gives up."""
        moment = yield from now()
        self._since = self._since if self._tries else moment
        self._tries += 1
        pause = self._policy.pause(
            tries=self._tries,
            elapsed=moment - self._since,
            retry_after=getattr(error, "retry_after", None),
            draw=(yield from draw()),
        )
        if pause is None:
            raise error
        yield from sleep(pause)


def tell(
    config: Config,
    kind: str,
    *,
    job_id: str | None = None,
    duration: float | None = None,
    **attributes: str | float,
) -> Steps[None]:
    """Report an event of this client's account."""
    yield from report(Event(kind, config.account, job_id, duration, attributes))


def connection_error(request: Request, fault: TransportFault) -> APIConnectionError:
    """Return the error for a request without an answer."""
    kind = APITimeoutError if fault.timed_out else APIConnectionError
    error = kind(f"{request.operation}: no answer from Krea: {fault}.")
    error.__cause__ = fault.__cause__
    return error


def status_error(request: Request, response: Response) -> APIStatusError:
    """Return the error for an answer that is no success."""
    return from_status(request.operation, response.status, response.headers, response.body)


def _told(
    config: Config, request: Request, max_idle: float | None, limit: float | None
) -> Steps[Response]:
    """Send a request and report how long the answer took."""
    try:
        response = yield from send(request, max_idle=max_idle, limit=limit)
    except TransportFault as fault:
        yield from _tell_request(config, request, "no answer", fault.seconds)
        raise
    yield from _tell_request(config, request, response.status, response.seconds)
    return response


def _tell_request(
    config: Config, request: Request, status: int | str, seconds: float
) -> Steps[None]:
    yield from tell(config, "request", duration=seconds, operation=request.operation, status=status)
