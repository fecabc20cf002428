"""What the pinned contract does not know: the caller gets his job, and is told of it once."""

from __future__ import annotations

import copy
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from krea_aleph import (
    APIStatusError,
    InvalidRequestError,
    KreaError,
    KreaWarning,
    SubmitUncertainError,
    contract,
)
from krea_aleph.emulator import Emulator, Fault

ALEPH = "/generate/video/runway/aleph"
URL = "https://example.com/in.mp4"
CONTRACT: dict[str, Any] = json.loads(contract.document().read_bytes())


def drifts(events: list[Any]) -> list[tuple[str, str, str]]:
    """List what was told as news."""
    return [
        (event.attributes["unknown"], event.attributes["where"], event.attributes["found"])
        for event in events
        if event.kind == "drift"
    ]


def tomorrow() -> dict[str, Any]:
    """Return a contract with a new status, new fields and new types, as Krea may publish one."""
    document = copy.deepcopy(CONTRACT)
    for path, method in ((ALEPH, "post"), ("/jobs/{id}", "get")):
        schema = _answer(document, path, method)
        _change_job(schema)
    _change_job(_answer(document, "/jobs", "get")["properties"]["items"]["items"])
    for path, method in (("/assets", "post"), ("/assets/{id}", "get")):
        schema = _answer(document, path, method)
        schema["properties"]["size_bytes"] = {"type": "string"}
        schema["properties"]["xchecksum"] = {"type": "string", "minLength": 3}
        schema["required"].append("xchecksum")
    document["paths"]["/jobs/{id}"]["get"]["responses"]["418"] = {"description": "A teapot."}
    return document


def _answer(document: Any, path: str, method: str) -> Any:
    answer = document["paths"][path][method]["responses"]["200"]
    return answer["content"]["application/json"]["schema"]


def _change_job(schema: Any) -> None:
    schema["properties"]["status"]["enum"].append("reticulating")
    schema["properties"]["xprogress"] = {"type": "object", "properties": {"percent": {}}}
    schema["required"].append("xprogress")


STAGES = {"queued": 0.1, "reticulating": 0.9}


@pytest.mark.krea_emulator(contract=tomorrow(), stages=STAGES, job_seconds=170)
def test_tomorrows_answers_need_no_release(
    open_client: Any, clip: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Upload, submit, wait, get, list and download go on with a status, a field, a type unheard of.

    Each is told once a client, by name, with the contract that it was held against.
    """
    events: list[Any] = []
    aleph = open_client(on_event=events.append, account="studio")
    seen: list[str] = []
    with caplog.at_level(logging.INFO, "krea_aleph"):
        asset = aleph.upload(clip)
        job = aleph.submit(asset, "night")
        done = aleph.wait(job, on_update=lambda update: seen.append(update.job.status))
        assert aleph.get(job).succeeded
        assert [known.id for known in aleph.list_jobs()] == [job.id]
        assert aleph.get_asset(asset).id == asset.id
        assert aleph.download(done, tmp_path / "out.mp4").path.exists()
        aleph.transform(asset, "day", tmp_path / "other.mp4")
    assert "reticulating" in seen
    assert done.raw["xprogress"] == {}
    assert asset.raw["xchecksum"] == "xxx"
    told = drifts(events)
    assert ("value", "Job.status", "reticulating") in told
    assert ("field", "Job.xprogress", "object") in told
    assert ("field", "Asset.xchecksum", "string") in told
    assert ("type", "Asset.size_bytes", "string") in told
    assert len(told) == len(set(told))
    lines = [record for record in caplog.records if record.message.startswith("drift ")]
    assert len(lines) == len(told)
    assert {record.levelno for record in lines} == {logging.INFO}
    assert all(f"contract={contract.sha256[:12]}" in record.message for record in lines)
    assert all(f"contract_date={contract.date}" in record.message for record in lines)
    assert "night" not in caplog.text
    assert str(asset.url) not in caplog.text


def test_what_krea_is_known_to_do_is_told_once(
    open_client: Any, emulator: Emulator, tmp_path: Path
) -> None:
    """Deviations of every day are news to the contract as well, and nobody hears them twice."""
    for quirk in ("camel_case_cursor", "urls_as_map", "error_in_result", "delete_204"):
        emulator.quirk(quirk)
    events: list[Any] = []
    aleph = open_client(on_event=events.append)
    for number in range(5):
        job = aleph.submit(URL, "night")
        aleph.download(aleph.wait(job), tmp_path / f"{number}.mp4")
        assert [*aleph.list_jobs()]
        with pytest.raises(KreaError):
            aleph.get("no-such-job")
    told = drifts(events)
    assert told
    assert len(told) == len(set(told))


def wider() -> dict[str, Any]:
    """Return a contract whose requests have one more field and one more ratio."""
    document = copy.deepcopy(CONTRACT)
    content = document["paths"][ALEPH]["post"]["requestBody"]["content"]["application/json"]
    content["schema"]["properties"]["xstrength"] = {"type": "number", "maximum": 1}
    content["schema"]["properties"]["ratio"]["enum"].append("2:1")
    return document


@pytest.mark.krea_emulator(contract=wider())
def test_past_a_contract_that_has_grown_old(open_client: Any, emulator: Emulator) -> None:
    """An installed library sends what is new upstream, by extra_body or with looser checks."""
    with pytest.raises(InvalidRequestError, match="extra_body") as caught:
        open_client().submit(URL, "night", xstrength=0.5)
    assert contract.date in caught.value.hint
    assert open_client().submit(URL, "night", extra_body={"xstrength": 0.5}).id
    loose = open_client(checks="warn")
    with pytest.warns(KreaWarning, match="ratio"):
        assert loose.submit(URL, "night", ratio="2:1").id
    assert open_client(checks="off").submit(URL, "night", xstrength=1, ratio="2:1").id
    assert emulator.accepted == 3
    assert emulator.jobs[2].body["xstrength"] == 1


STATUSES = [418, 409, 451, 499]


@pytest.mark.parametrize("status", STATUSES)
def test_a_new_error_status(open_client: Any, emulator: Emulator, status: int) -> None:
    """An error status that nobody has declared is an error with its words, and told once."""
    events: list[Any] = []
    aleph = open_client(on_event=events.append)
    job = aleph.submit(URL, "night")
    emulator.fault(Fault(operation="get_job", status=status, body={"error": "odd"}, times=2))
    for _ in range(2):
        with pytest.raises(APIStatusError, match=f"{status}.*odd") as caught:
            aleph.get(job)
        assert caught.value.status_code == status
        assert caught.value.job_id == job.id
    assert drifts(events).count(("status", "get_job", str(status))) == 1
    emulator.fault(Fault(operation="get_job", status=status, body={"error": "odd"}))
    assert aleph.wait(job).succeeded


def test_a_new_error_status_on_the_paid_request(open_client: Any, emulator: Emulator) -> None:
    """Of a status that nobody knows it is not known either whether a job was started."""
    events: list[Any] = []
    emulator.fault(Fault(operation="create_aleph_job", status=418, accept=True))
    with pytest.raises(SubmitUncertainError):
        open_client(on_event=events.append).submit(URL, "night")
    assert drifts(events) == [("status", "create_aleph_job", "418")]


STRANGE: dict[str, Callable[[dict[str, Any]], Any]] = {
    "a status": lambda job: job | {"status": "reticulating"},
    "no status": lambda job: {"job_id": job["job_id"]},
    "a status that is a number": lambda job: job | {"status": 7},
    "a status that is an object": lambda job: job | {"status": {"phase": "x"}},
    "times as numbers": lambda job: job | {"created_at": 1, "completed_at": 2.5},
    "a result as a text": lambda job: job | {"result": "https://a.example/out.mp4"},
    "a result as a list": lambda job: job | {"result": [1, None, {}]},
    "an error as a list": lambda job: job | {"error": ["a", 1]},
    "a deep field": lambda job: job | {"new": {"a": [{"b": [None] * 100}]}},
    "many fields": lambda job: job | {f"field{number}": number for number in range(40)},
    "names that are no names": lambda job: job | {"https://x?sig=secret": 1, "": 2, "\n": 3},
}


@pytest.mark.parametrize("what", STRANGE)
def test_a_job_in_a_strange_form(open_client: Any, emulator: Emulator, what: str) -> None:
    """Submit, get and list hand out a job as long as it has an id, whatever else is in it."""
    events: list[Any] = []
    aleph = open_client(on_event=events.append)
    known = aleph.submit(URL, "night")
    strange = STRANGE[what]({**known.raw, "job_id": known.id})
    page = {"items": [strange], "next_cursor": None, "xtotal": 1}
    emulator.fault(Fault(operation="create_aleph_job", body=strange, accept=True))
    emulator.fault(Fault(operation="get_job", body=strange))
    emulator.fault(Fault(operation="list_jobs", body=page))
    assert aleph.submit(URL, "night").id == known.id
    assert aleph.get(known).id == known.id
    assert [job.id for job in aleph.list_jobs()] == [known.id]
    told = drifts(events)
    assert ("field", "JobPage.xtotal", "integer") in told
    assert len(told) == len(set(told)) <= 100
    assert "secret" not in str(events)
    assert aleph.wait(known.id).succeeded
