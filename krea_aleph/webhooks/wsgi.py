"""The receiver as a WSGI application, without a framework."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from krea_aleph.webhooks.judge import NO_LENGTH, Response

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from krea_aleph.webhooks.aftermath import Aftermath
    from krea_aleph.webhooks.delivery import Arrival
    from krea_aleph.webhooks.judge import Judge


def answer(
    judge: Judge,
    aftermath: Aftermath,
    environ: Mapping[str, Any],
    start_response: Callable[..., object],
) -> Iterable[bytes]:
    """Serve one request; what is left to do goes on in a thread."""
    response, arrival = _judged(judge, environ)
    if arrival is not None:
        aftermath.in_thread(arrival)
    phrase = HTTPStatus(response.status).phrase
    start_response(f"{response.status} {phrase}", list(response.headers.items()))
    return [response.body]


def _judged(judge: Judge, environ: Mapping[str, Any]) -> tuple[Response, Arrival | None]:
    path, length = environ.get("PATH_INFO", ""), environ.get("CONTENT_LENGTH") or ""
    encoding = environ.get("HTTP_CONTENT_ENCODING") or "identity"
    headers = {"content-encoding": encoding, "content-length": length}
    address = judge.admit(environ["REQUEST_METHOD"], path, headers)
    if isinstance(address, Response):
        return address, None
    if length.isdecimal():
        return judge.take(address, environ["wsgi.input"].read(int(length)))
    if not environ.get("wsgi.input_terminated"):
        return NO_LENGTH, None  # a body without an end would block for ever
    return judge.take(address, environ["wsgi.input"].read(judge.max_body + 1))
