"""One request and its answer: sent once, or repeated where that is safe.

Every answer is also looked at for what the pinned contract does not have: that something is going
to end, or that there is something new. It is told once, and never stands between a job and whoever
has paid for it.
"""

from __future__ import annotations

import json
from typing import Any, Final
from urllib.parse import urlsplit

from krea_aleph import _wire, contract
from krea_aleph._notices import of_answer, of_operations, retirement, warn_once, warn_safely
from krea_aleph._signals import read_signals
from krea_aleph._steps import (
    Response,
    TransportFault,
    draw,
    now,
    refresh_key,
    report,
    send,
    send_all,
    sleep,
)
from krea_aleph._telemetry import LOGGER
from krea_aleph.errors import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    KreaError,
    ModelUnavailableError,
    NotFoundError,
    from_status,
)
from krea_aleph.models import Event

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from krea_aleph._config import Config
    from krea_aleph._notices import Caution
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
        answer = yield from attempt(config, request, resends=patience.tries)
        if isinstance(answer, Response):
            return answer
        if isinstance(answer, APIStatusError) and not config.retry.worth_it(answer.status_code):
            raise answer
        yield from patience.pause_or_raise(answer)


def attempt(
    config: Config, request: Request, *, limit: float | None = None, resends: int = 0
) -> Steps[Response | KreaError]:
    """Send a request once, and return its success or the error that its outcome amounts to."""
    try:
        answer: Response | TransportFault = yield from send_once(
            config, request, limit=limit, resends=resends
        )
    except TransportFault as fault:
        answer = fault
    return _judged(config, request, answer)


def attempt_all(
    config: Config, requests: Sequence[Request], *, limit: float | None = None
) -> Steps[list[Response | KreaError]]:
    """Send several requests at once, each once, and return what each outcome amounts to."""
    found = yield from _told_all(config, requests, limit)
    refused = [
        number
        for number, answer in enumerate(found)
        if isinstance(answer, Response) and answer.status == _UNAUTHORIZED
    ]
    generations = [found[number].key_generation for number in refused]
    if generations and (yield from refresh_key(max(generations))):
        again = yield from _told_all(config, [requests[number] for number in refused], limit)
        for number, answer in zip(refused, again, strict=True):
            found[number] = answer
    return [_judged(config, *pair) for pair in zip(requests, found, strict=True)]


def _judged(
    config: Config, request: Request, answer: Response | TransportFault
) -> Response | KreaError:
    if isinstance(answer, TransportFault):
        return connection_error(config, request, answer)
    return answer if answer.success else status_error(request, answer)


def send_once(
    config: Config,
    request: Request,
    *,
    max_idle: float | None = None,
    limit: float | None = None,
    resends: int = 0,
) -> Steps[Response]:
    """Send a request, and once more after a 401 if a callable may know a newer key.

    Raises:
        TransportFault: There was no answer.
    """
    response = yield from _told(config, request, max_idle, limit, resends)
    if response.status == _UNAUTHORIZED and (yield from refresh_key(response.key_generation)):
        response = yield from _told(config, request, max_idle, limit, resends + 1)
    return response


class Patience:
    """How long one request has been failing, held against the retry policy.

    Attributes:
        tries: How often it has failed so far.
    """

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self.tries = 0
        self._since = 0.0

    def pause_or_raise(self, error: KreaError) -> Steps[None]:
        """Wait as the policy says before another try, or raise the error when it gives up."""
        moment = yield from now()
        self._since = self._since if self.tries else moment
        self.tries += 1
        pause = self._policy.pause(
            tries=self.tries,
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


def connection_error(config: Config, request: Request, fault: TransportFault) -> APIConnectionError:
    """Return the error for a request without an answer."""
    kind = APITimeoutError if fault.timed_out else APIConnectionError
    problem = str(fault).removesuffix(".")
    error = kind(f"{request.operation}: no answer from {_way(config)}: {problem}.")
    error.__cause__ = fault.__cause__
    return error


def _way(config: Config) -> str:
    """Name the server and the proxy on the way to it; its URL may have a password, its host not."""
    proxy = None if config.transport else config.proxy_for(config.base)
    through = f" through the proxy {urlsplit(proxy).hostname}" if proxy else ""
    return f"{config.base.host}:{config.base.port}{through}"


def status_error(request: Request, response: Response) -> APIStatusError:
    """Return the error for an answer that is no success."""
    error = from_status(request.operation, response.status, response.headers, response.body)
    if isinstance(error, (ModelUnavailableError, NotFoundError)):
        error.hint = f"{error.hint} {retirement(request.operation)}".strip()
    return error


def announce(config: Config, *operations: str, more: Iterable[Caution] = ()) -> Steps[None]:
    """Warn of what is going to end among what a call needs, before it does anything.

    Args:
        config: Of the client.
        *operations: Every operation that the call may need, so that none stops it half-way.
        more: What else it uses that is going to end.

    Raises:
        KreaDeprecationWarning: A filter makes the warning an exception.
    """
    for caution in (*of_operations(*operations), *more):
        if config.told.first("deprecated", caution.key):
            yield from report(Event("deprecated", config.account, attributes=caution.facts))
        warn_once(caution)


def _told(
    config: Config, request: Request, max_idle: float | None, limit: float | None, resends: int
) -> Steps[Response]:
    """Send a request and report how long the answer took."""
    try:
        response = yield from send(request, max_idle=max_idle, limit=limit)
    except TransportFault as fault:
        yield from _tell_fault(config, request, fault, resends)
        raise
    return (yield from _noted(config, request, response, resends))


def _told_all(config: Config, requests: Sequence[Request], limit: float | None) -> Steps[list[Any]]:
    """Send several requests and report how long each answer took."""
    found: list[Any] = yield from send_all(requests, limit=limit)
    for number, (request, answer) in enumerate(zip(requests, found, strict=True)):
        if isinstance(answer, TransportFault):
            yield from _tell_fault(config, request, answer)
        else:
            found[number] = yield from _noted(config, request, answer)
    return found


def _noted(
    config: Config, request: Request, response: Response, resends: int = 0
) -> Steps[Response]:
    """Report an answer, and take from it what it says beside what was asked."""
    if response.success:  # the date of an error page may be that of a gateway's clock
        config.dates.note(response.headers)
    facts = _resent(resends)
    yield from _tell_request(config, request, response.status, response.seconds, facts)
    return (yield from _heeded(config, request, response))


def _tell_fault(
    config: Config, request: Request, fault: TransportFault, resends: int = 0
) -> Steps[None]:
    facts = {**_resent(resends), "error": "timeout" if fault.timed_out else "connection"}
    yield from _tell_request(config, request, "no answer", fault.seconds, facts)


def _resent(resends: int) -> dict[str, str | float]:
    return {"resends": resends} if resends else {}


def _heeded(config: Config, request: Request, response: Response) -> Steps[Response]:
    """Tell what is new in an answer and what it says about an end, and return it with its JSON."""
    told: list[tuple[str, dict[str, str]]] = []
    try:
        response = response._replace(content=_json(response.body))
        told += (("deprecated", facts) for facts in _ends(config, request, response))
        if request.compared:
            told += (("drift", facts) for facts in _drift(config, request, response))
    except Exception:  # noqa: BLE001 - whatever it is, the job comes first
        LOGGER.exception("%s: the answer could not be compared", request.operation)
    for kind, facts in told:
        yield from report(Event(kind, config.account, attributes=facts))
    return response


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _ends(config: Config, request: Request, response: Response) -> Iterator[dict[str, str]]:
    signals = read_signals(response.headers)
    caution = None if signals is None else of_answer(request.operation, signals)
    if caution is not None and config.told.first("answered", caution.key):
        warn_safely(caution)
        yield caution.facts


def _drift(config: Config, request: Request, response: Response) -> Iterator[dict[str, str]]:
    for unknown in _wire.unknown_in(request.operation, response.status, response.content):
        # Of an unknown field one sight is enough, whatever it holds.
        thing = unknown[:2] if unknown.kind == "field" else unknown
        if config.told.first(unknown.kind, thing):
            yield {
                "operation": request.operation,
                "unknown": unknown.kind,
                "where": unknown.where,
                "found": unknown.found,
                "contract": contract.sha256[:12],
                "contract_date": contract.date,
                "generator": contract.generator,
            }


def _tell_request(
    config: Config,
    request: Request,
    status: int | str,
    seconds: float,
    facts: Mapping[str, str | float],
) -> Steps[None]:
    attributes: dict[str, str | float] = {
        "operation": request.operation,
        "status": status,
        "method": request.method,
        "server": f"{config.base.host}:{config.base.port}",
        **facts,
    }
    yield from report(Event("request", config.account, None, seconds, attributes))
