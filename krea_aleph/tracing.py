"""Events as spans and metrics of OpenTelemetry; the extra ``[otel]`` brings its API.

Names and units follow OpenTelemetry's conventions for HTTP clients where there are any; what they
have no word for begins with ``krea.``. Nothing here is a prompt, an address with a query, or a key.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from typing import Any, Final

from krea_aleph import __version__
from krea_aleph.errors import MissingExtraError
from krea_aleph.models import TERMINAL

try:
    from opentelemetry import context, metrics, trace
except ImportError as error:
    raise MissingExtraError("otel") from error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from krea_aleph.models import Event

_SCHEMA: Final = "https://opentelemetry.io/schemas/1.30.0"
# The buckets that the conventions advise for requests; jobs take minutes.
_REQUEST_SECONDS: Final = (
    *(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75),
    *(1.0, 2.5, 5.0, 7.5, 10.0),
)
_JOB_SECONDS: Final = (15, 30, 60, 90, 120, 150, 180, 240, 300, 600, 1200, 2400, 4800, 7200)
_MOST_OPEN_JOBS: Final = 10_000
_FIRST_ERROR: Final = 400


class OpenTelemetry:
    """A listener that makes spans and metrics of events: ``Aleph(on_event=OpenTelemetry())``.

    A span tells of something that has ended, so it is begun in the past: below the span that was
    current when the call was made, one for each request, transfer and job. One object may serve any
    number of clients and threads.

    Args:
        tracer_provider: Default: the program's own.
        meter_provider: Default: the program's own.
        then: A further listener, which is called with each event.

    Raises:
        MissingExtraError: On import, where the package opentelemetry-api is not installed.

    Example:
        >>> from krea_aleph import Aleph
        >>> with Aleph(on_event=OpenTelemetry()) as aleph:  # doctest: +SKIP
        ...     aleph.submit("in.mp4", "make it snow")
    """

    def __init__(
        self,
        *,
        tracer_provider: trace.TracerProvider | None = None,
        meter_provider: metrics.MeterProvider | None = None,
        then: Callable[[Event], None] | None = None,
    ) -> None:
        self._tracer = trace.get_tracer("krea_aleph", __version__, tracer_provider, _SCHEMA)
        meter = metrics.get_meter("krea_aleph", __version__, meter_provider, _SCHEMA)
        self._then = then
        self._open: OrderedDict[str, tuple[int, Any]] = OrderedDict()
        self._lock = threading.Lock()
        self._request_seconds = meter.create_histogram(
            "http.client.request.duration",
            "s",
            "Duration of HTTP client requests.",
            explicit_bucket_boundaries_advisory=_REQUEST_SECONDS,
        )
        self._job_seconds = meter.create_histogram(
            "krea.job.duration",
            "s",
            "From acceptance to the look that saw the end, where one process saw both.",
            explicit_bucket_boundaries_advisory=_JOB_SECONDS,
        )
        self._submitted = meter.create_counter("krea.job.submitted", "{job}", "Accepted jobs.")
        self._ended = meter.create_counter("krea.job.ended", "{job}", "Jobs seen to have ended.")
        self._missed = meter.create_counter("krea.poll.missed", "{poll}", "Looks that failed.")
        self._uncertain = meter.create_counter(
            "krea.submit.uncertain", "{submit}", "Submits that may or may not have started a job."
        )
        self._carried = meter.create_counter("krea.transfer.size", "By", "Bytes up and down.")
        self._handlers: dict[str, Callable[[Event], None]] = {
            "request": self._request,
            "submitted": self._submit,
            "recovered": self._submit,
            "uncertain": lambda event: self._uncertain.add(1, _cause(event)),
            "poll_missed": lambda event: self._missed.add(1, _cause(event)),
            "changed": self._change,
            "transfer": self._transfer,
        }

    def __call__(self, event: Event) -> None:
        """Take an event; one of a kind that is not known here is only handed on."""
        try:
            handler = self._handlers.get(event.kind)
            if handler is not None:
                handler(event)
        finally:
            if self._then is not None:
                self._then(event)

    def _request(self, event: Event) -> None:
        attributes, problem = _http(event.attributes)
        name = f"{attributes['http.request.method']} {attributes['krea.operation']}"
        self._request_seconds.record(event.duration or 0.0, attributes)
        resends = event.attributes.get("resends")
        if resends:
            attributes["http.request.resend_count"] = resends
        span = self._begin(name, event, attributes, kind=trace.SpanKind.CLIENT)
        _end(span, problem)

    def _submit(self, event: Event) -> None:
        self._submitted.add(1, {"krea.recovered": event.kind == "recovered"})
        if event.job_id is not None:
            with self._lock:
                self._open[event.job_id] = (time.time_ns(), context.get_current())
                if len(self._open) > _MOST_OPEN_JOBS:
                    self._open.popitem(last=False)

    def _change(self, event: Event) -> None:
        status = str(event.attributes.get("status", "")).lower()
        if status not in TERMINAL or event.job_id is None:
            return
        self._ended.add(1, {"krea.job.status": status})
        with self._lock:
            begun = self._open.pop(event.job_id, None)
        if begun is None:  # another process has submitted it
            return
        since, parent = begun
        self._job_seconds.record((time.time_ns() - since) / 1e9, {"krea.job.status": status})
        span = self._begin("job", event, {"krea.job.status": status}, since=since, parent=parent)
        _end(span, status if status == "failed" else None)

    def _transfer(self, event: Event) -> None:
        direction = "upload" if "upload" in event.attributes else "download"
        size = int(event.attributes.get(direction, 0))
        self._carried.add(size, {"krea.transfer.direction": direction})
        _end(self._begin(direction, event, {"krea.transfer.size": size}), None)

    def _begin(
        self,
        name: str,
        event: Event,
        attributes: Mapping[str, Any],
        *,
        kind: trace.SpanKind = trace.SpanKind.INTERNAL,
        since: int | None = None,
        parent: Any = None,
    ) -> trace.Span:
        """Begin a span where what it tells of began."""
        told = {"krea.account": event.account, **attributes}
        told |= {"krea.job.id": event.job_id} if event.job_id is not None else {}
        started = time.time_ns() - int((event.duration or 0.0) * 1e9) if since is None else since
        return self._tracer.start_span(name, parent, kind=kind, attributes=told, start_time=started)


def _http(facts: Mapping[str, str | float]) -> tuple[dict[str, Any], str | None]:
    """Return what the conventions call the facts of a request, and its problem, if it has one."""
    host, _, port = str(facts.get("server", "")).rpartition(":")
    attributes: dict[str, Any] = {
        "http.request.method": facts.get("method", "_OTHER"),
        "server.address": host,
        "krea.operation": facts.get("operation", "unknown"),
    }
    if port.isdecimal():
        attributes["server.port"] = int(port)
    status, problem = facts.get("status"), None
    if status is None or isinstance(status, str):
        problem = str(facts.get("error", "_OTHER"))
    else:
        attributes["http.response.status_code"] = int(status)
        problem = str(int(status)) if status >= _FIRST_ERROR else None
    if problem is not None:
        attributes["error.type"] = problem
    return attributes, problem


def _cause(event: Event) -> dict[str, str | float]:
    return {"error.type": event.attributes.get("error", "_OTHER")}


def _end(span: trace.Span, problem: str | None) -> None:
    if problem is not None:
        span.set_status(trace.StatusCode.ERROR)
    span.end()
