"""The values that clients hand out and take back."""

import copy
import dataclasses
import json
import os
import pickle
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from krea_aleph import AUTO
from krea_aleph.models import (
    Asset,
    Cancellation,
    Checked,
    Event,
    Job,
    Output,
    Saved,
    Update,
)

MOMENT = datetime(2027, 1, 15, 8, 0, tzinfo=UTC)
JOB = Job(
    id="j1",
    status="completed",
    account="studio",
    created_at=MOMENT,
    completed_at=MOMENT,
    outputs=(Output("https://a.example/p.jpg", "preview"), Output("https://a.example/o.mp4")),
    error_code="c",
    error_message="m",
    fetched_at=12.5,
    raw={"job_id": "j1", "result": {"urls": ["https://a.example/o.mp4"]}},
)
VALUES = [
    JOB,
    Output("https://a.example/o.mp4"),
    Asset("a1", "https://a.example/in.mp4", raw={"id": "a1"}),
    Saved(Path("o.mp4"), (Path("o.mp4"),), job=JOB),
    Update(JOB, 3.0),
    Cancellation("requested", JOB),
    Checked({"prompt": "snow"}, {"video": "in.mp4"}, "ab12"),
    Event("request", "default", attributes={"status": 200}),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_values_pickle_copy_and_hash(value: Any) -> None:
    """Every value survives pickling and copying, equals what comes back, and can be in a set."""
    assert pickle.loads(pickle.dumps(value)) == value  # noqa: S301 - our own bytes
    assert copy.deepcopy(value) == value
    assert len({value, copy.copy(value)}) == 1


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_values_are_frozen(value: Any) -> None:
    """No value can be changed: it is a fact about one moment."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, dataclasses.fields(value)[0].name, None)


@pytest.mark.parametrize(
    ("status", "urls", "finished", "succeeded"),
    [
        ("queued", 0, False, False),
        ("backlogged", 0, False, False),
        ("processing", 1, False, False),
        ("something-new", 1, False, False),
        ("", 0, False, False),
        ("completed", 1, True, True),
        ("COMPLETED", 1, True, True),
        ("completed", 0, True, False),
        ("failed", 1, True, False),
        ("Cancelled", 0, True, False),
    ],
)
def test_what_a_status_means(status: str, urls: int, finished: bool, succeeded: bool) -> None:
    """Only completed, failed and cancelled end a job, in any case; success needs an output too."""
    job = Job("j1", status, outputs=(Output("https://a.example/o.mp4"),) * urls)
    assert (job.finished, job.succeeded) == (finished, succeeded)
    assert job.url == ("https://a.example/o.mp4" if succeeded else None)


def test_previews_are_no_results() -> None:
    """The primary result is the first output that is no preview, and of an unknown kind is one."""
    outputs = (Output("p", "preview"), Output("x", "upscaled"), Output("m", "model"))
    job = Job("j1", "completed", outputs=outputs)
    assert job.url == "x"
    assert [output.url for output in job.results] == ["x", "m"]
    assert Job("j1", "completed", outputs=outputs[:1]).succeeded is False


def test_snapshots_compare_by_what_they_say() -> None:
    """Two snapshots of the same facts are equal, whenever they were taken."""
    later = dataclasses.replace(JOB, fetched_at=99.0, raw={})
    assert later == JOB
    assert dataclasses.replace(JOB, status="failed") != JOB
    assert "raw" not in repr(JOB)


@pytest.mark.parametrize("job", [JOB, Job("j2", "queued")], ids=["full", "bare"])
def test_a_job_goes_through_json(job: Job) -> None:
    """`to_json` writes one line from which `from_json` makes the same job, details included."""
    text = job.to_json()
    back = Job.from_json(text)
    assert "\n" not in text
    assert (back, back.fetched_at, back.raw) == (job, job.fetched_at, job.raw)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "null",
        "[]",
        "{}",
        '{"id": "j1"}',
        json.dumps({**json.loads(JOB.to_json()), "outputs": [["only a url"]]}),
        json.dumps({**json.loads(JOB.to_json()), "created_at": "yesterday"}),
        json.dumps({**json.loads(JOB.to_json()), "surprise": 1}),
    ],
)
def test_from_json_refuses_what_to_json_did_not_write(text: str) -> None:
    """A text that is no stored job is a ValueError that says so."""
    with pytest.raises(ValueError, match="not a job written by"):
        Job.from_json(text)


def test_saved_is_a_path() -> None:
    """What a download returns goes wherever a path goes."""
    assert os.fspath(Saved(Path("out.mp4"), (Path("out.mp4"),))) == "out.mp4"


def test_auto_is_a_number_with_an_identity() -> None:
    """AUTO is 2 h 10 min, shows itself by name, and stays the one object when pickled or copied."""
    assert AUTO == 7800.0
    assert repr(AUTO) == "AUTO"
    assert pickle.loads(pickle.dumps(AUTO)) is AUTO  # noqa: S301 - our own bytes
    assert copy.deepcopy(AUTO) is AUTO
