"""Events as spans and metrics: by the names of the conventions, and with nothing secret in them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.semconv.attributes import error_attributes, http_attributes, server_attributes
from opentelemetry.semconv.metrics import http_metrics
from opentelemetry.trace import SpanKind, StatusCode

from colours import OpenClient
from krea_aleph import Event, RetryPolicy, SubmitUncertainError
from krea_aleph.emulator import Emulator, Fault
from krea_aleph.tracing import OpenTelemetry
from leaks import KEY, Hunt

URL = "https://example.com/in.mp4?sig=w0rd-of-the-url"
PROMPT = "a quiet str33t at night"


class Exported:
    """What the real SDK has exported."""

    def __init__(self) -> None:
        self._spans = InMemorySpanExporter()
        self._metrics = InMemoryMetricReader()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self._spans))
        self.meters = MeterProvider([self._metrics])

    def listener(self, **options: Any) -> OpenTelemetry:
        """Make a listener that exports to here."""
        return OpenTelemetry(tracer_provider=self.tracers, meter_provider=self.meters, **options)

    def spans(self, name: str | None = None) -> list[ReadableSpan]:
        """Return the spans, all of them or those of a name."""
        found = self._spans.get_finished_spans()
        return [span for span in found if name is None or span.name == name]

    def points(self) -> dict[str, list[Any]]:
        """Return what was measured, by the names of the metrics."""
        data = self._metrics.get_metrics_data()
        scopes = [
            scope
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
        ]
        return {
            metric.name: list(metric.data.data_points)
            for scope in scopes
            for metric in scope.metrics
        }

    def everything(self) -> str:
        """Return all of it as text."""
        data = self._metrics.get_metrics_data()
        return "".join([span.to_json() for span in self.spans()] + [data.to_json() if data else ""])


@pytest.fixture
def exported() -> Iterator[Exported]:
    """An SDK of this test's own."""
    found = Exported()
    yield found
    found.tracers.shutdown()
    found.meters.shutdown()


def attributes(span: ReadableSpan) -> dict[str, Any]:
    """Return what a span says."""
    return dict(span.attributes or {})


def test_a_whole_transform(
    open_client: OpenClient, emulator: Emulator, exported: Exported, clip: Path, tmp_path: Path
) -> None:
    """Requests, transfers and the job are spans; what was counted fits what the server has seen."""
    emulator.key = KEY
    aleph = open_client(on_event=exported.listener(), account="studio")
    saved = aleph.transform(clip, PROMPT, tmp_path / "out.mp4")
    aleph.submit(URL, PROMPT)
    host, _, port = emulator.base_url.removeprefix("http://").partition(":")
    (post, _) = exported.spans("POST create_aleph_job")
    assert post.kind is SpanKind.CLIENT
    assert attributes(post) == {
        http_attributes.HTTP_REQUEST_METHOD: "POST",
        http_attributes.HTTP_RESPONSE_STATUS_CODE: 200,
        server_attributes.SERVER_ADDRESS: host,
        server_attributes.SERVER_PORT: int(port),
        "krea.operation": "create_aleph_job",
        "krea.account": "studio",
    }
    asked = [request for request in emulator.requests if request.operation != "download"]
    requests = [span for span in exported.spans() if span.kind is SpanKind.CLIENT]
    assert len(requests) == len(asked)
    (job,) = exported.spans("job")
    assert attributes(job)["krea.job.id"] == saved.job.id
    assert attributes(job)["krea.job.status"] == "completed"
    assert job.start_time is not None
    assert job.end_time is not None
    assert job.start_time <= job.end_time
    assert [attributes(span)["krea.transfer.size"] for span in exported.spans("upload")] == [
        clip.stat().st_size
    ]
    (download,) = exported.spans("download")
    assert attributes(download)["krea.transfer.size"] == saved.size_bytes
    measured = exported.points()
    assert sum(p.count for p in measured[http_metrics.HTTP_CLIENT_REQUEST_DURATION]) == len(asked)
    assert sum(point.value for point in measured["krea.job.submitted"]) == 2
    assert [dict(p.attributes) for p in measured["krea.job.ended"]] == [
        {"krea.job.status": "completed"}
    ]
    assert measured["krea.job.duration"][0].count == 1
    Hunt(KEY, "w0rd-of-the-url", "str33t-at").refuse(exported.everything(), "what is exported")
    assert PROMPT not in exported.everything()


def test_what_goes_wrong(open_client: OpenClient, emulator: Emulator, exported: Exported) -> None:
    """Failures are errors of their spans, resends are numbered, misses and lost answers counted."""
    aleph = open_client(on_event=exported.listener(), request_timeout=0.2)
    job = aleph.submit(URL, PROMPT)
    emulator.fault(Fault(operation="get_job", status=503, times=2))
    aleph.get(job)
    emulator.fault(Fault(operation="get_job", status=502))
    emulator.fault(Fault(operation="get_job", nth=2, drop="before"))
    aleph.wait(job)
    emulator.fault(Fault(operation="create_aleph_job", drop="after"))
    with pytest.raises(SubmitUncertainError):
        aleph.submit(URL, PROMPT)
    emulator.fault(Fault(operation="get_job", stall=5.0))
    with pytest.raises(Exception, match="no answer"):
        open_client(
            on_event=exported.listener(), request_timeout=0.1, retry=RetryPolicy(attempts=1)
        ).get(job)
    looks = [attributes(span) for span in exported.spans("GET get_job")]
    told = [
        (
            look.get(http_attributes.HTTP_RESPONSE_STATUS_CODE),
            look.get(error_attributes.ERROR_TYPE),
            look.get(http_attributes.HTTP_REQUEST_RESEND_COUNT),
        )
        for look in looks
    ]
    assert told[:3] == [(503, "503", None), (503, "503", 1), (200, None, 2)]
    assert (502, "502", None) in told
    assert (None, "connection", None) in told
    assert told[-1] == (None, "timeout", None)
    states = {span.status.status_code for span in exported.spans("GET get_job")}
    assert states == {StatusCode.ERROR, StatusCode.UNSET}
    measured = exported.points()
    missed = {p.attributes["error.type"]: p.value for p in measured["krea.poll.missed"]}
    assert missed == {"InternalServerError": 1, "APIConnectionError": 1}
    (uncertain,) = measured["krea.submit.uncertain"]
    assert (uncertain.value, dict(uncertain.attributes)) == (
        1,
        {"error.type": "APIConnectionError"},
    )


def test_a_job_that_failed(open_client: OpenClient, emulator: Emulator, exported: Exported) -> None:
    """Its span is an error; one that another process has submitted is counted and has no span."""
    emulator.outcome(status="failed", times=None)
    aleph = open_client(on_event=exported.listener())
    with pytest.raises(Exception, match="failed"):
        aleph.wait(aleph.submit(URL, PROMPT))
    other = open_client().submit(URL, PROMPT)
    with pytest.raises(Exception, match="failed"):
        aleph.wait(other.id)
    (job,) = exported.spans("job")
    assert job.status.status_code is StatusCode.ERROR
    assert [point.value for point in exported.points()["krea.job.ended"]] == [2]


@pytest.mark.parametrize("kind", ["sync", "asyncio", "trio"])
def test_spans_belong_to_the_callers(emulator: Emulator, exported: Exported, kind: str) -> None:
    """Each is below the span that was current when the call was made, in threads and tasks."""
    tracer = exported.tracers.get_tracer("test")

    async def one(aleph: Any, name: str) -> None:
        with tracer.start_as_current_span(name):
            await aleph.wait(await aleph.submit(URL, name))

    async def main() -> None:
        options = {"on_event": listener, "virtual_time": True}
        async with emulator.async_aleph(**options) as aleph, anyio.create_task_group() as tasks:
            for name in "abc":
                tasks.start_soon(one, aleph, name)

    listener = exported.listener()
    if kind == "sync":
        with emulator.aleph(on_event=listener, virtual_time=True) as aleph:
            for name in "abc":
                with tracer.start_as_current_span(name):
                    aleph.wait(aleph.submit(URL, name))
    else:
        anyio.run(main, backend=kind)
    parents = {span.context.span_id: span.name for span in exported.spans() if span.context}
    below = [(span.name, parents[span.parent.span_id]) for span in exported.spans() if span.parent]
    for name in "abc":
        assert below.count(("POST create_aleph_job", name)) == 1
        assert below.count(("job", name)) == 1
    assert sum(len(span.name) == 1 for span in exported.spans()) == 3
    assert all(span.parent for span in exported.spans() if len(span.name) > 1)


def test_other_listeners_and_other_events(exported: Exported) -> None:
    """Every event is handed on, one of a new kind and one that breaks this listener included."""
    heard: list[Event] = []
    listener = exported.listener(then=heard.append)
    events = [Event("brand_new", "a"), Event("request", "a"), Event("changed", "a")]
    events += [Event("changed", "a", "j", attributes={"status": "odd"})]
    for event in events:
        listener(event)
    assert heard == events
    broken = Event("transfer", "a", attributes={"upload": "no number"})
    with pytest.raises(ValueError, match="no number"):
        listener(broken)
    assert heard[-1] == broken
    (span,) = exported.spans()
    assert attributes(span)["error.type"] == "_OTHER"


def test_what_is_remembered_is_bounded(exported: Exported) -> None:
    """Jobs whose end nobody waits for are forgotten, the oldest first."""
    listener = exported.listener()
    for number in range(10_050):
        listener(Event("submitted", "a", f"job-{number}"))
    assert len(listener._open) == 10_000
    for number in (0, 10_049):
        listener(Event("changed", "a", f"job-{number}", attributes={"status": "completed"}))
    assert [attributes(span)["krea.job.id"] for span in exported.spans("job")] == ["job-10049"]


def test_it_costs_nothing_where_it_is_not_used() -> None:
    """A client loads no OpenTelemetry; without it, importing the listener says what to install."""
    program = """
import sys, json
from krea_aleph import Aleph
loaded = [name for name in sys.modules if name.startswith("opentelemetry")]
sys.modules["opentelemetry"] = None
try:
    import krea_aleph.tracing
except ImportError as error:
    print(json.dumps([loaded, type(error).__name__, str(error)]))
"""
    printed = subprocess.check_output([sys.executable, "-c", program], text=True)
    loaded, kind, words = json.loads(printed)
    assert (loaded, kind) == ([], "MissingExtraError")
    assert "pip install 'krea-aleph[otel]'" in words
