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

_UNAUTHORIZED: Final = 401


def exchange(config: Config, request: Request) -> Steps[Response]:
    """Send a request that may safely be repeated, and return its success.

    Raises:
        KreaError: There was none, for as long as the retry policy goes.
    """
    begun = yield from now()
    tries = 0
    while True:
        tries += 1
        answer = yield from attempt(config, request)
        if isinstance(answer, Response):
            return answer
        if isinstance(answer, APIStatusError) and not config.retry.worth_it(answer.status_code):
            raise answer
        yield from pause_or_raise(config, answer, tries, begun)


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
    response = yield from _timed(config, request, max_idle, limit)
    if response.status == _UNAUTHORIZED and (yield from refresh_key(response.key_generation)):
        response = yield from _timed(config, request, max_idle, limit)
    return response


def pause_or_raise(config: Config, error: KreaError, tries: int, begun: float) -> Steps[None]:
    """Wait as the retry policy says before another try, or raise the error when it gives up."""
    pause = config.retry.pause(
        tries=tries,
        elapsed=(yield from now()) - begun,
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


def _timed(
    config: Config, request: Request, max_idle: float | None, limit: float | None
) -> Steps[Response]:
    """Send a request and report how long the answer took."""
    begun = yield from now()
    try:
        response = yield from send(request, max_idle=max_idle, limit=limit)
    except TransportFault:
        yield from _tell_request(config, request, begun, "no answer")
        raise
    yield from _tell_request(config, request, begun, response.status)
    return response


def _tell_request(
    config: Config, request: Request, begun: float, status: float | str
) -> Steps[None]:
    duration = (yield from now()) - begun
    yield from tell(
        config, "request", duration=duration, operation=request.operation, status=status
    )
