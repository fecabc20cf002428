"""The tables of events, spans and metrics are complete and right."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

import krea_aleph
from krea_aleph import _telemetry
from krea_aleph.models import Event
from krea_aleph.tracing import OpenTelemetry

PAGE = (Path(__file__).parents[2] / "docs/observability.md").read_text("utf-8")
CORE = Path(krea_aleph.__file__).parent


def _rows(heading: str) -> list[list[str]]:
    table = PAGE.partition(heading)[2].partition("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]


def _kinds() -> set[str]:
    """List the kinds that stand in the library's calls of `Event` and `tell`."""
    found = set()
    for path in [*CORE.glob("*.py"), *CORE.glob("webhooks/*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                place = {"Event": 0, "tell": 1}.get(node.func.id, len(node.args))
                found |= {
                    argument.value
                    for argument in node.args[place : place + 1]
                    if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
                }
    return found


def test_every_event_is_in_the_table() -> None:
    """The table has every kind that the library makes, with its level in the log."""
    rows = _rows("| kind | When | attributes | Log |\n|---|---|---|---|\n")
    told: dict[str, str] = {}
    for kinds, *_, levels in rows:
        names = re.findall(r"`(\w+)`", kinds)
        for number, name in enumerate(names):
            told[name] = levels.split(", ")[min(number, levels.count(","))]
    assert _kinds() | {"deprecated", "drift"} == set(told)
    for kind, level in told.items():
        number = _telemetry._LEVELS.get(kind, 10)
        assert level == {10: "DEBUG", 20: "INFO", 30: "WARNING"}[number], kind


def test_every_metric_is_in_the_table() -> None:
    """Each is there with its unit, and no other."""
    reader = InMemoryMetricReader()
    meters = MeterProvider([reader])
    listener = OpenTelemetry(meter_provider=meters)
    attributes: dict[str, Any] = {"status": "completed", "upload": 1}
    kinds = ("request", "submitted", "uncertain", "poll_missed", "transfer", "changed")
    for kind in kinds:
        listener(Event(kind, "a", "job", 1.0, attributes))
    data: Any = reader.get_metrics_data()
    metrics = data.resource_metrics[0].scope_metrics[0].metrics
    rows = _rows("| Metric | Unit | Attributes |\n|---|---|---|\n")
    assert {metric.name: metric.unit for metric in metrics} == {
        name.strip("`"): unit for name, unit, _ in rows
    }
    meters.shutdown()


def test_the_lines_of_the_log() -> None:
    """The examples are what the library writes."""
    lines = PAGE.partition("```text\n")[2].partition("```")[0].splitlines()
    job = "550e8400-e29b-41d4-a716-446655440000"
    request = {
        "operation": "get_job",
        "status": 503,
        "method": "GET",
        "server": "api.krea.ai:443",
        "resends": 1,
    }
    events = [
        Event("submitted", "default", job, attributes={"status": "queued"}),
        Event("request", "default", None, 0.031, request),
        Event("left", "default", job, attributes={"outcome": "running"}),
    ]
    assert [_telemetry._line(event) for event in events] == lines
