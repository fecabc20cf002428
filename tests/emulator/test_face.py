"""The emulator's live page: what it answers, to whom, and that it leaves no trace elsewhere."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import httpx
import pytest

from krea_aleph import contract
from krea_aleph.emulator import Emulator, Fault, VirtualClock
from krea_aleph.emulator.clips import make_clip
from krea_aleph.emulator.face.presets import PRESETS, words_of
from krea_aleph.emulator.values import ANY

from .conftest import Customer

STATE = "/_emulator/state"
BROWSER = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
JSON = {"content-type": "application/json"}
HOSTILE = "\"'><script>alert(1)</script>\u202egpj.exe\x1b[31m\u2028"


JSON_TYPE = {"content-type": "application/json"}


@pytest.fixture
def eye(krea: Customer) -> Iterator[httpx.Client]:
    """Somebody who looks at the page, without a key."""
    with httpx.Client(base_url=krea.emulator.base_url, trust_env=False) as client:
        yield client


def state(eye: httpx.Client) -> dict[str, Any]:
    """Return how everything stands."""
    answer = eye.get(STATE)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def switch(eye: httpx.Client, what: str, **wanted: Any) -> httpx.Response:
    """Switch something, as the page does."""
    origin = {"origin": str(eye.base_url).rstrip("/"), "sec-fetch-site": "same-origin"}
    return eye.post(f"/_emulator/{what}", json=wanted, headers=origin)


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/", "text/html"), ("/_emulator/live.css", "text/css"), ("/_emulator/live.js", "text/javas")],
)
def test_the_page_is_served(eye: httpx.Client, path: str, kind: str) -> None:
    """It has three parts, each of which says what it is, and a strict policy."""
    answer = eye.get(path, headers=BROWSER)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith(kind)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_the_page_asks_nobody_else(eye: httpx.Client) -> None:
    """Neither the page nor its style nor its script names another place."""
    for path in ("/", "/_emulator/live.css", "/_emulator/live.js"):
        found = re.findall(r"https?://[^\s\"'`<)]+", eye.get(path, headers=BROWSER).text)
        assert set(found) <= {"https://example.com/in.mp4"}, path


def test_looking_leaves_no_trace(krea: Customer, eye: httpx.Client) -> None:
    """What the page asks is no request of a customer's, hits no fault and accepts no job."""
    emulator = krea.emulator
    emulator.fault(Fault(operation=ANY, status=500))
    for path in ("/", STATE, "/_emulator/menu", "/_emulator/nothing", "/_emulator/files/no"):
        assert eye.get(path, headers=BROWSER).status_code in {200, 404}
    assert emulator.requests == []
    assert emulator.accepted == 0
    assert len(emulator.unused_faults) == 1
    emulator.reset()


def test_looking_moves_no_virtual_time(krea: Customer, eye: httpx.Client) -> None:
    """A page that is open in a browser makes no test's clock jump."""
    krea.submit()
    before = krea.emulator.clock.time()
    for _ in range(5):
        assert state(eye)["virtual"] is True
    assert krea.emulator.clock.time() == before


def test_what_the_contract_has_is_the_contracts() -> None:
    """Should Krea publish paths of the same names, the page steps back."""
    document = json.loads(contract.document().read_text("utf-8"))
    document["paths"]["/_emulator/state"] = {
        "get": {"operationId": "theirs", "responses": {"200": {"description": "fine"}}}
    }
    with Emulator(contract=document, render=False) as emulator:
        httpx.get(f"{emulator.base_url}{STATE}", trust_env=False)
        assert [record.path for record in emulator.requests] == [STATE]


def test_programs_are_answered_at_the_root_as_krea_does(krea: Customer, eye: httpx.Client) -> None:
    """Only a browser gets the page there: a client with a wrong address learns that it is wrong."""
    answers = [eye.get("/"), eye.post("/", headers=BROWSER)]
    assert [answer.status_code for answer in answers] == [404, 404]
    assert all("date" in answer.headers for answer in answers)
    assert [record.path for record in krea.emulator.requests] == ["/", "/"]


def test_jobs_are_told_as_they_move(krea: Customer, eye: httpx.Client) -> None:
    """A job is there from the moment it is accepted, and ends without anybody asking for it."""
    job = krea.submit(prompt="make it snow")
    (told,) = state(eye)["jobs"]
    assert (told["id"], told["status"], told["share"]) == (job["job_id"], "queued", 0.0)
    assert (told["prompt"], told["input"]) == ("make it snow", "https://example.com/in.mp4")
    krea.sleep(1.5)
    assert state(eye)["jobs"][0]["share"] == pytest.approx(0.5, abs=0.01)
    krea.sleep(60)
    (told,) = state(eye)["jobs"]
    assert (told["status"], told["share"], told["finished"]) == ("completed", 1.0, True)


def test_a_job_that_failed_tells_why(krea: Customer, eye: httpx.Client) -> None:
    """The reason stands there as soon as the job has failed, and not before."""
    krea.submit(prompt="a quiet street [nsfw]")
    assert state(eye)["jobs"][0]["reason"] == ""
    krea.sleep(60)
    assert state(eye)["jobs"][0]["reason"].startswith("nsfw: ")


def test_before_and_after_can_be_played(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The page finds both files at places of its own, in parts too, and that is no download."""
    clip = make_clip(tmp_path_factory.mktemp("clip") / "in.mp4", seconds=0.5)
    with (
        Emulator(clock=VirtualClock(), job_seconds=3) as emulator,
        emulator.aleph() as aleph,
        httpx.Client(base_url=emulator.base_url, trust_env=False) as eye,
    ):
        aleph.wait(aleph.submit(clip, "make it snow"))
        seen = len(emulator.requests)
        (job,) = state(eye)["jobs"]
        assert eye.get(job["before"]).content == clip.read_bytes()
        part = eye.get(job["after"][0], headers={"range": "bytes=4-7"})
        assert (part.status_code, part.content) == (206, b"ftyp")
        assert job["input"].endswith("-in.mp4")
        assert "a filter" in job["note"]
        assert len(emulator.requests) == seen


def test_bytes_that_are_no_video_are_not_offered(krea: Customer, eye: httpx.Client) -> None:
    """Without rendering there is nothing to see, and what is elsewhere is not asked for."""
    krea.finished()
    (job,) = state(eye)["jobs"]
    assert (job["before"], job["after"]) == (None, [])


def test_the_log_is_bounded_and_newest_first(krea: Customer, eye: httpx.Client) -> None:
    """However many requests there were, the page is told of the last hundred, by number."""
    for number in range(105):
        krea.http.get(f"/jobs/{number}")
    told = state(eye)["requests"]
    assert [request["number"] for request in told] == list(range(105, 5, -1))
    assert told[0]["path"] == "/jobs/104"
    assert told[0]["status"] == 404


def test_the_jobs_are_bounded(krea: Customer, eye: httpx.Client) -> None:
    """Of many jobs the newest forty are told."""
    ids = [krea.submit()["job_id"] for _ in range(45)]
    assert {job["id"] for job in state(eye)["jobs"]} == set(ids[5:])


def test_hostile_texts_are_harmless_and_short(krea: Customer, eye: httpx.Client) -> None:
    """Signs that turn the order of text are spelt out, and nothing is longer than it need be."""
    krea.submit(prompt=HOSTILE)
    krea.submit(prompt="x" * 1000)
    krea.http.get("/jobs/<script>%E2%80%AE")
    told = state(eye)
    assert not re.search("[\u202e\u2028\x1b]", json.dumps(told, ensure_ascii=False))
    assert len(told["jobs"][0]["prompt"]) == 301
    assert "<script>alert(1)</script>\\u202egpj.exe\\u001b[31m" in told["jobs"][1]["prompt"]


# Switching


@pytest.mark.parametrize("preset", [name for name in PRESETS if PRESETS[name].only is None])
def test_a_fault_that_is_switched_on_happens(
    krea: Customer, eye: httpx.Client, preset: str
) -> None:
    """Each one does to the next call what it says, and is told with its name."""
    answer = switch(eye, "faults", preset=preset, operation="list_jobs", times=1)
    assert answer.status_code == 200, answer.text
    (standing,) = answer.json()["faults"]
    assert (standing["words"], standing["hits"]) == (PRESETS[preset].words, 0)
    status = None
    with suppress(httpx.TransportError):
        status = krea.http.get("/jobs", timeout=0.3).status_code
    assert status == PRESETS[preset].fault.get("status")
    assert state(eye)["faults"][0]["hits"] == 1
    assert state(eye)["requests"][0]["fault"] == PRESETS[preset].words


def test_faults_of_downloads_and_webhooks_need_no_call(eye: httpx.Client) -> None:
    """What can happen to one kind of call alone is set for that."""
    for name, preset in PRESETS.items():
        if preset.only is not None:
            told = switch(eye, "faults", preset=name, operation="list_jobs").json()["faults"]
            assert told[-1]["operation"] == preset.only


def test_a_fault_is_switched_off(krea: Customer, eye: httpx.Client) -> None:
    """One by its number, or all."""
    for preset in ("error_500", "error_503", "slow"):
        switch(eye, "faults", preset=preset, operation="*", times=None)
    first, second, _ = state(eye)["faults"]
    assert krea.http.get("/jobs").status_code == 500
    switch(eye, "faults/off", number=first["number"])
    assert krea.http.get("/jobs").status_code == 503
    switch(eye, "faults/off", number=second["number"])
    switch(eye, "faults/off")
    assert state(eye)["faults"] == []
    assert krea.http.get("/jobs").status_code == 200


def test_a_quirk_is_switched(krea: Customer, eye: httpx.Client) -> None:
    """On and off, as `emulator.quirk` does."""
    assert "html_404" in state(eye)["quirks"]
    assert "html_404" not in switch(eye, "quirks", name="html_404", on=False).json()["quirks"]
    assert krea.http.get("/nowhere").headers["content-type"] == "application/json"


def test_a_fault_of_a_program_is_told_by_its_settings(eye: httpx.Client, krea: Customer) -> None:
    """What no preset has is spelt as it was set."""
    krea.emulator.fault(Fault(operation="get_job", nth=3, status=418, body=HOSTILE))
    (told,) = state(eye)["faults"]
    assert told["words"].startswith("nth=3, status=418, body=")
    assert "\u202e" not in told["words"]
    assert words_of(Fault(stall=5.0)) == PRESETS["slow"].words
    krea.emulator.reset()


@pytest.mark.parametrize(
    ("what", "wanted", "status", "told"),
    [
        ("faults", {"preset": "nonsense", "operation": "*"}, 400, "no such fault"),
        ("faults", {"preset": "slow", "operation": "nonsense"}, 400, "no such call"),
        ("faults", {"preset": "slow", "operation": ["*"]}, 400, "no such call"),
        ("faults", {"preset": "slow", "operation": "*", "times": 0}, 400, "times: is 0"),
        ("faults", {"preset": "slow", "operation": "*", "every": "all"}, 400, "no whole number"),
        ("quirks", {"name": "nonsense", "on": True}, 400, "there is no quirk"),
        ("quirks", {}, 400, "there is no quirk"),
    ],
)
def test_what_cannot_be_switched(
    eye: httpx.Client, what: str, wanted: dict[str, Any], status: int, told: str
) -> None:
    """It is refused in words, and nothing changes."""
    before = state(eye)
    answer = switch(eye, what, **wanted)
    assert (answer.status_code, told in answer.text) == (status, True), answer.text
    assert state(eye)["faults"] == before["faults"]


@pytest.mark.parametrize(
    ("headers", "content", "status"),
    [
        ({**JSON, "origin": "https://evil.example"}, b"{}", 403),
        ({**JSON, "origin": "null"}, b"{}", 403),
        ({**JSON, "sec-fetch-site": "cross-site"}, b"{}", 403),
        ({**JSON, "sec-fetch-site": "same-site"}, b"{}", 403),
        ({"content-type": "text/plain"}, b"{}", 415),
        ({"content-type": "application/x-www-form-urlencoded"}, b"a=b", 415),
        ({}, b"{}", 415),
        (JSON, b"[]", 400),
        (JSON, b"{", 400),
        (JSON, b"\xff", 400),
        (JSON, b" " * 5000, 413),
    ],
)
def test_nobody_elses_page_switches_anything(
    krea: Customer, eye: httpx.Client, headers: dict[str, str], content: bytes, status: int
) -> None:
    """What a site elsewhere can make a browser send is refused, and so is what is no wish."""
    krea.emulator.fault(Fault(operation="list_jobs", status=500))
    answer = eye.post("/_emulator/faults/off", headers=headers, content=content)
    assert answer.status_code == status, answer.text
    assert len(state(eye)["faults"]) == 1
    krea.emulator.reset()


def test_json_of_any_depth_is_refused_in_words(eye: httpx.Client) -> None:
    """What nests deeper than Python reads is no JSON object, and no error of the server."""
    answer = eye.post("/_emulator/faults", content="[" * 4000, headers=JSON_TYPE)
    assert (answer.status_code, "no JSON object" in answer.text) == (400, True)


def test_nothing_is_switched_by_a_link(eye: httpx.Client) -> None:
    """GET, which any picture of any page sends, changes nothing; a question is not met."""
    assert eye.get("/_emulator/faults/off").status_code == 405
    asked = eye.request("OPTIONS", "/_emulator/faults", headers={"origin": "https://evil.example"})
    assert asked.status_code == 405
    assert not [name for name in asked.headers if name.startswith("access-control")]
    assert not [name for name in eye.get(STATE).headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("evil.example", 421),
        ("127.0.0.1.evil.example:8765", 421),
        ("[broken", 421),
        ("", 421),
        ("localhost:8765", 200),
        ("krea-emulator:8765", 200),
        ("[::1]:8765", 200),
        ("192.168.1.7", 200),
    ],
)
def test_a_name_that_leads_here_by_trickery_shows_nothing(
    eye: httpx.Client, host: str, status: int
) -> None:
    """A site that lets its own name lead to this machine can neither read nor switch."""
    assert eye.get(STATE, headers={"host": host}).status_code == status
    switched = eye.post("/_emulator/faults/off", json={}, headers={"host": host})
    assert switched.status_code == status


def test_the_public_address_is_known() -> None:
    """Behind a proxy the page is shown under the address that was given."""
    with Emulator(render=False, public_url="https://krea.example.com") as emulator:
        headers = {"host": "krea.example.com"}
        shown = httpx.get(f"{emulator.base_url}{STATE}", headers=headers, trust_env=False)
        assert shown.status_code == 200
        origin = {"origin": "https://krea.example.com", **headers}
        switched = httpx.post(
            f"{emulator.base_url}/_emulator/faults/off", json={}, headers=origin, trust_env=False
        )
        assert switched.status_code == 200
