"""What is going to end is told in time, at the caller's line, and costs nobody a job."""

from __future__ import annotations

import logging
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from endings import Endings, endings, heard
from hostile import always, answer, raw_server

import krea_aleph
from krea_aleph import KreaDeprecationWarning, ModelUnavailableError, NotFoundError
from krea_aleph.emulator import Emulator, Fault

ALEPH = "create_aleph_job"
URL = "https://example.com/in.mp4"
SUNSET = "2030-01-01"
JOB = b'{"job_id": "some-job", "status": "queued", "created_at": "2026-01-01T00:00:00.000Z"}'


@pytest.fixture(autouse=True)
def ends() -> Iterator[Endings]:
    """A contract that can be made to announce an end, in a process that was told of none."""
    with endings() as changes:
        yield changes


def told(events: list[Any]) -> list[Any]:
    """List the events about the end of what starts jobs."""
    about = [event for event in events if event.kind == "deprecated"]
    return [event for event in about if event.attributes["operation"] == ALEPH]


def about_aleph(caught: list[Any]) -> list[Any]:
    """List the warnings about it."""
    return [warning for warning in caught if str(warning.message).startswith(ALEPH)]


@pytest.mark.krea_emulator(sunset=SUNSET)
def test_krea_announces_an_end(
    open_client: Any, emulator: Emulator, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """The headers that Krea documents become one warning, one event and one log line."""
    events: list[Any] = []
    aleph = open_client(on_event=events.append, account="studio")
    with caplog.at_level(logging.WARNING, "krea_aleph"), heard() as caught:
        for number in range(3):
            aleph.transform(URL, "night", tmp_path / f"{number}.mp4")
    (warning,) = about_aleph(caught)
    assert warning.category is KreaDeprecationWarning
    assert not warning.filename.startswith(str(Path(krea_aleph.__file__).parent))
    assert f"{ALEPH}: Krea's answers say that it is deprecated; its last day is {SUNSET}" in str(
        warning.message
    )
    (event,) = told(events)
    assert event.account == "studio"
    assert event.attributes == {
        "operation": ALEPH,
        "source": "answer",
        "state": "deprecated",
        "sunset": SUNSET,
        "url": f"{emulator.base_url}/deprecations",
    }
    lines = [record.message for record in caplog.records if "deprecated" in record.message]
    (line,) = [line for line in lines if ALEPH in line]
    assert f"operation={ALEPH}" in line
    assert f"sunset={SUNSET}" in line


@pytest.mark.krea_emulator(sunset=SUNSET)
def test_clients_that_share_connections_share_what_they_were_told(emulator: Emulator) -> None:
    """A tenant's client repeats nothing; one with a listener of its own hears everything."""
    first: list[Any] = []
    second: list[Any] = []
    with heard() as caught, emulator.aleph(on_event=first.append) as aleph:
        aleph.submit(URL, "night")
        aleph.with_options(account="b").submit(URL, "night")
        aleph.with_options(account="c", on_event=second.append).submit(URL, "night")
    assert len(caught) == 1
    assert [event.account for event in told(first)] == ["default"]
    assert [event.account for event in told(second)] == ["c"]


@pytest.mark.krea_emulator(sunset=SUNSET, quirks={"dated_deprecation": True})
def test_the_newer_form_has_the_day_as_well(open_client: Any) -> None:
    """What Krea may come to send says since when."""
    with pytest.warns(KreaDeprecationWarning, match="deprecated since 2026-12-01; its last day"):
        assert open_client().submit(URL, "night").id


FORMS = {
    "RFC 9745": "Deprecation: @1796083200\r\nSunset: Tue, 01 Jan 2030 00:00:00 GMT",
    "the older form": "Deprecation: true\r\nSunset: Tue, 01 Jan 2030 00:00:00 GMT",
    "a date": "deprecation: Tue, 01 Dec 2026 00:00:00 GMT\r\nSUNSET: 2030-01-01",
    "links in several lines": (
        'Link: </other>; rel="preload"\r\nLink: <https://d.example/a>; rel="deprecation"\r\n'
        'Sunset: Tue, 01 Jan 2030 00:00:00 GMT\r\nLink: </v2>; rel="Successor-Version"'
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_each_form_on_a_real_connection(open_client: Any, form: str) -> None:
    """Repeated headers and any case arrive, and the day is the same in each form."""
    events: list[Any] = []
    headers = f"Content-Type: application/json\r\n{FORMS[form]}"
    with raw_server(always(answer(JOB, headers=headers))) as url, heard() as caught:
        job = open_client(base_url=url, on_event=events.append).submit(URL, "night")
    assert job.id == "some-job"
    assert len(caught) == 1
    (event,) = told(events)
    assert event.attributes["sunset"] == SUNSET
    if "links" in form:
        assert event.attributes["replacement"] == "/v2"
        assert event.attributes["url"] == "https://d.example/a"


MALFORMED = {
    "words": "Deprecation: soon\r\nSunset: never\r\nLink: nowhere",
    "torn": 'Deprecation: @\r\nSunset: Sun, 99\r\nLink: <https://a.example>; rel="deprec',
    "long": f"Deprecation: {'9' * 5000}\r\nSunset: {'@9' * 2000}\r\nLink: {'<x>;a=' * 800}",
    "other letters": "Deprecation: \xe4\xf6\xfc\r\nSunset: \xff\xfe\r\nLink: <\xe9>; rel=sunset",
}


@pytest.mark.parametrize("what", MALFORMED)
def test_malformed_headers_cost_no_job(open_client: Any, what: str) -> None:
    """What cannot be read says nothing, and the job that was paid for comes back."""
    raw = answer(JOB, headers=f"Content-Type: application/json\r\n{'X' * 10}: 1")
    raw = raw.replace(b"XXXXXXXXXX: 1", MALFORMED[what].encode("latin-1"))
    events: list[Any] = []
    with raw_server(always(raw)) as url:
        job = open_client(base_url=url, on_event=events.append).submit(URL, "night")
    assert job.id == "some-job"
    assert told(events) == []


@pytest.mark.krea_emulator(sunset=SUNSET)
def test_an_announcement_is_never_raised(
    open_client: Any, emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    """With every warning an error, as here, the paid job comes back and the log has the rest."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        job = open_client().submit(URL, "night")
    assert emulator.accepted == 1
    assert [known.id for known in emulator.jobs] == [job.id]
    assert "not raised, as a job may be at stake" in caplog.text


def test_the_pinned_contract_stops_a_call_in_time(
    open_client: Any, emulator: Emulator, ends: Endings, clip: Path, tmp_path: Path
) -> None:
    """With every warning an error, what the contract says is raised before anything is sent."""
    aleph = open_client()
    ends.operation(retired="2026-12-01", replacement="aleph-2")
    calls: list[Callable[[], object]] = [
        lambda: aleph.check(clip, "night"),
        lambda: aleph.submit(clip, "night"),
        lambda: aleph.transform(clip, "night", tmp_path / "out.mp4"),
    ]
    for call in calls:
        with pytest.raises(KreaDeprecationWarning, match="Use aleph-2 instead"):
            call()
    ends.operation("get_job", deprecated="2026-12-01")
    with pytest.raises(KreaDeprecationWarning, match="get_job"):
        aleph.transform(clip, "night", tmp_path / "out.mp4")
    assert emulator.requests == []


def test_a_retired_model_that_still_answers(
    open_client: Any, emulator: Emulator, ends: Endings, tmp_path: Path
) -> None:
    """A contract that has the operation as gone warns, and does what it is asked to."""
    ends.operation(retired="2026-12-01")
    with heard() as caught:
        saved = open_client().transform(URL, "night", tmp_path / "out.mp4")
    assert saved.path.exists()
    assert [warning.category for warning in about_aleph(caught)] == [KreaDeprecationWarning]
    assert emulator.accepted == 1


@pytest.mark.krea_emulator(sunset="2020-01-01", replacement="aleph-2")
def test_a_model_that_was_switched_off(open_client: Any, emulator: Emulator, ends: Endings) -> None:
    """A 410 has day and replacement, and says whether the pinned contract knew."""
    aleph = open_client()
    with pytest.raises(ModelUnavailableError) as caught:
        aleph.submit(URL, "night")
    error = caught.value
    assert (error.sunset_date, error.replacement) == ("2020-01-01", "aleph-2")
    assert (error.charged, error.resubmit) == ("no", "pointless")
    assert "Move to aleph-2." in str(error)
    assert "retired" not in error.hint
    ends.operation(retired="2026-12-01")
    with heard(), pytest.raises(ModelUnavailableError, match="as retired since 2026-12-01"):
        aleph.submit(URL, "night")
    assert len(emulator.requests) == 2


def test_a_page_where_the_operation_was(
    open_client: Any, emulator: Emulator, ends: Endings
) -> None:
    """A 404 for a paid call says that the operation is gone, and whether the contract knew."""
    ends.operation(retired="2026-12-01")
    emulator.fault(Fault(operation=ALEPH, status=404, body="<html><title>404</title></html>"))
    with heard(), pytest.raises(NotFoundError, match="as retired since 2026-12-01"):
        open_client().submit(URL, "night")


LINES = """
import anyio
import krea_aleph
from krea_aleph import Aleph, AsyncAleph
from krea_aleph.emulator import Emulator
from krea_aleph_api.operations import OPERATIONS

OPERATIONS["{operation}"] = OPERATIONS["{operation}"]._replace(deprecated="2026-12-01")

def sync(emulator):
    with emulator.aleph() as aleph:
        aleph.submit("https://example.com/in.mp4", "night")  # here

async def asynchronous(emulator):
    async with emulator.async_aleph() as aleph:
        await aleph.submit("https://example.com/in.mp4", "night")  # here

with Emulator(render=False) as emulator:
    {call}
"""


@pytest.mark.parametrize(
    "call", ["sync(emulator)", "anyio.run(asynchronous, emulator)"], ids=["sync", "asyncio"]
)
def test_the_warning_points_to_the_callers_line(call: str, tmp_path: Path) -> None:
    """Without any option Python shows it, with file, line and source of the call."""
    program = tmp_path / "program.py"
    program.write_text(LINES.format(operation=ALEPH, call=call))
    done = subprocess.run(
        [sys.executable, program.name],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": ""},
    )
    shown = done.stderr.splitlines()
    (number,) = [
        index
        for index, line in enumerate(program.read_text().splitlines(), start=1)
        if "# here" in line and ("await" in line) == ("anyio" in call)
    ]
    assert any(
        line.startswith(f"{program}:{number}: KreaDeprecationWarning: {ALEPH}: ") for line in shown
    ), done.stderr
    assert shown.count("  " + program.read_text().splitlines()[number - 1].strip()) == 1


def test_importing_the_notices_brings_no_client(tmp_path: Path) -> None:
    """`krea_aleph.contract` is cheap to import; what it says is read when it is asked for."""
    program = "import sys; from krea_aleph import contract; print('krea_aleph_api' in sys.modules)"
    program += "; print(dict(contract.notices()))"
    printed = subprocess.check_output([sys.executable, "-c", program], text=True, cwd=tmp_path)
    assert printed.startswith("False\n{")
