"""The life of jobs: statuses, backlog, credits, cancelling, lists, outcomes, accounts."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from krea_aleph.emulator import Emulator, VirtualClock

STATUSES = ["queued", "scheduled", "processing", "sampling", "intermediate-complete", "completed"]


def test_every_status_in_turn(krea: Any) -> None:
    """A job passes through every running status in its order, then completes with a URL."""
    job = krea.submit()
    seen = [job["status"]]
    for _ in range(120):
        krea.sleep(0.03)
        job = krea.job(job["job_id"])
        seen.append(job["status"])
    assert list(dict.fromkeys(seen)) == STATUSES
    assert job["created_at"] == "2027-01-15T08:00:00.000Z"
    assert job["completed_at"] == "2027-01-15T08:00:03.000Z"
    assert job["result"]["urls"][0].endswith(f"/{job['job_id']}.mp4")


def test_unknown_status_on_the_way(krea: Any) -> None:
    """A job can pass through statuses that nobody has heard of."""
    krea.emulator.outcome(statuses={"warming-up": 1, "dreaming": 3}, seconds=8)
    job = krea.submit()
    krea.sleep(1)
    assert krea.job(job["job_id"])["status"] == "warming-up"
    krea.sleep(5)
    assert krea.job(job["job_id"])["status"] == "dreaming"
    krea.sleep(2)
    assert krea.job(job["job_id"])["status"] == "completed"


def test_job_without_duration(open_shop: Any) -> None:
    """A job of no duration is accepted as queued and has ended at the next look."""
    krea = open_shop(job_seconds=0)
    job = krea.submit()
    assert job["status"] == "queued"
    assert krea.job(job["job_id"])["status"] == "completed"


def test_backlog_first_in_first_out(open_shop: Any) -> None:
    """Jobs beyond the limit wait, start in the order in which they came, then 429 is answered."""
    krea = open_shop(concurrency=2, backlog=3, job_seconds=10)
    jobs = []
    for _ in range(5):
        jobs.append(krea.submit())
        krea.sleep(1)
    assert [job["status"] for job in jobs] == ["queued", "queued", *["backlogged"] * 3]
    refused = krea.post()
    assert refused.status_code == 429
    assert "CONCURRENCY_LIMIT_REACHED" in refused.json()["message"]
    krea.sleep(60)
    began = [job.started_at - 1_800_000_000 for job in krea.emulator.jobs]
    assert began == pytest.approx([0, 1, 10, 11, 20])
    assert krea.emulator.accepted == 5


def test_limit_changed_in_mid_run(open_shop: Any) -> None:
    """A higher limit starts waiting jobs at once, a lower one lets running jobs go on."""
    krea = open_shop(concurrency=3, job_seconds=10)
    for _ in range(8):
        krea.submit()
    krea.emulator.concurrency = 5
    assert _running(krea) == 5
    krea.emulator.concurrency = 1
    assert _running(krea) == 5
    krea.sleep(11)
    assert _running(krea) == 1


def test_foreign_jobs(open_shop: Any) -> None:
    """Somebody else's jobs take slots and show in lists, but are none of ours."""
    krea = open_shop(concurrency=2)
    krea.emulator.foreign(2, seconds=100)
    assert krea.submit()["status"] == "backlogged"
    assert len(krea.http.get("/jobs").json()["items"]) == 3
    assert krea.emulator.accepted == 1


def test_credits(open_shop: Any) -> None:
    """Only completed jobs are charged; without credits 402 is answered, jobs in flight finish."""
    krea = open_shop(credits=1)
    krea.emulator.outcome(status="failed")
    failed, first, second = krea.submit(), krea.submit(), krea.submit()
    krea.sleep(5)
    ends = [krea.job(job["job_id"])["status"] for job in (failed, first, second)]
    assert ends == ["failed", "completed", "completed"]
    refused = krea.post()
    assert refused.status_code == 402
    assert "API balance" in refused.json()["message"]
    krea.emulator.credits = 1
    assert krea.post().status_code == 200


@pytest.mark.parametrize(
    ("after", "status", "answer"),
    [
        (0.1, "queued", 200),
        (0.4, "scheduled", 400),
        (1.0, "processing", 200),
        (2.5, "sampling", 400),
        (5.0, "completed", 400),
    ],
)
def test_cancel(krea: Any, after: float, status: str, answer: int) -> None:
    """A job can be cancelled while it is queued or processing, and in no other status."""
    job_id = krea.submit()["job_id"]
    krea.sleep(after)
    assert krea.job(job_id)["status"] == status
    assert krea.http.delete(f"/jobs/{job_id}").status_code == answer
    assert krea.job(job_id)["status"] == ("cancelled" if answer == 200 else status)
    assert krea.http.delete(f"/jobs/{job_id}").status_code == 400


def test_cancel_as_configured(open_shop: Any) -> None:
    """Which statuses can be cancelled, and how the others are refused, can be chosen."""
    krea = open_shop(cancellable=["backlogged", "completed"], cancel_refusal=409, concurrency=1)
    first, waiting = krea.submit(), krea.submit()
    assert krea.http.delete(f"/jobs/{first['job_id']}").status_code == 409
    assert krea.http.delete(f"/jobs/{waiting['job_id']}").status_code == 200
    assert krea.job(waiting["job_id"])["status"] == "cancelled"
    krea.sleep(5)
    assert krea.http.delete(f"/jobs/{first['job_id']}").status_code == 200
    assert krea.http.get(f"/jobs/{first['job_id']}").status_code == 404


def test_cancelling_frees_a_slot(open_shop: Any) -> None:
    """A cancelled job makes room for the next one in the backlog."""
    krea = open_shop(concurrency=1)
    first, second = krea.submit(), krea.submit()
    krea.http.delete(f"/jobs/{first['job_id']}")
    assert krea.job(second["job_id"])["status"] == "queued"


def test_pages(krea: Any) -> None:
    """Jobs are listed newest first; the cursor leads through all of them, each once."""
    ids = []
    for _ in range(7):
        ids.append(krea.submit()["job_id"])
        krea.sleep(0.01)
    assert _listed(krea, limit=3) == ids[::-1]
    assert _listed(krea, limit=7) == ids[::-1]


@pytest.mark.parametrize(("quirk", "found"), [(False, 7), (True, 4)])
def test_ties(krea: Any, quirk: bool, found: int) -> None:
    """Jobs of one millisecond are lost at a page's edge, unless the quirk is off."""
    krea.emulator.quirk("ties_lost", on=quirk)
    ids = [krea.submit()["job_id"] for _ in range(6)]
    krea.sleep(1)
    ids.append(krea.submit()["job_id"])
    assert _listed(krea, limit=4) == ids[::-1][:found]


def test_filters(krea: Any) -> None:
    """A list can be narrowed to a status and to types."""
    old = krea.submit()["job_id"]
    krea.sleep(5)
    new = krea.submit()["job_id"]
    assert _listed(krea, status="completed") == [old]
    assert _listed(krea, status="queued") == [new]
    assert _listed(krea, types="externalImage") == []
    assert _listed(krea, types="externalImage,externalVideo") == [new, old]


@pytest.mark.parametrize(
    "query",
    [{"limit": 0}, {"limit": 1001}, {"limit": "x"}, {"status": "x"}, {"cursor": "2027-02-30"}],
)
def test_wrong_query(krea: Any, query: dict[str, Any]) -> None:
    """A wrong query is refused, and the answer names the parameter."""
    answer = krea.http.get("/jobs", params=query)
    assert answer.status_code == 400
    assert next(iter(query)) in answer.json()["message"]


@pytest.mark.parametrize("form", ["strings", "objects", "map", "video_url", "top_level", "none"])
def test_forms_of_urls(krea: Any, form: str) -> None:
    """Results are told in every form that Krea has ever used, and not at all."""
    krea.emulator.outcome(urls=form, outputs=2)
    job = krea.finished()
    told = {
        "strings": lambda: [url[:4] for url in job["result"]["urls"]] == ["http", "http"],
        "objects": lambda: (
            [u["type"] for u in job["result"]["urls"]] == ["model", "model", "preview"]
        ),
        "map": lambda: set(job["result"]["urls"]) == {"video", "video1"},
        "video_url": lambda: job["result"]["video_url"].endswith(".mp4"),
        "top_level": lambda: job["result"] is None and len(job["urls"]) == 2,
        "none": lambda: job["result"] == {},
    }
    assert told[form](), job


def test_failures(krea: Any) -> None:
    """A failure is told as an error object, as text in result, or not at all."""
    error = {"code": "provider_error", "message": "no"}
    krea.emulator.outcome(status="failed", error=error)
    krea.emulator.outcome(status="failed", result_error="nsfw")
    krea.emulator.outcome(status="failed", times=2)
    first, second, third, fourth, fifth = (krea.finished() for _ in range(5))
    assert (first["status"], first["error"]) == ("failed", error)
    assert second["result"] == {"error": "nsfw"}
    assert (third["result"], "error" in third) == ({}, False)
    assert (fourth["status"], fifth["status"]) == ("failed", "completed")


@pytest.mark.parametrize(
    ("marker", "code"),
    [
        ("nsfw", "nsfw"),
        ("violence", "violence"),
        ("ip", "ip_detected"),
        ("person", "personal_info"),
    ],
)
def test_moderation_by_prompt(krea: Any, marker: str, code: str) -> None:
    """A word in brackets in the prompt makes moderation stop the job."""
    job = krea.finished(prompt=f"something [{marker.upper()}]")
    assert (job["status"], job["error"]["code"]) == ("failed", code)


def test_given_output(krea: Any) -> None:
    """A test can say which bytes come out."""
    krea.emulator.outcome(output=b"exactly these")
    url = krea.finished()["result"]["urls"][0]
    assert httpx.get(url, trust_env=False).content == b"exactly these"


def test_accounts_apart(krea: Any) -> None:
    """Another key is another account: its jobs are unknown to the first."""
    krea.emulator.add_account("other:key")
    other = {"Authorization": "Bearer other:key"}
    job_id = krea.submit()["job_id"]
    assert krea.http.get(f"/jobs/{job_id}", headers=other).status_code == 404
    assert krea.http.get("/jobs", headers=other).json()["items"] == []


def test_key_rotated(krea: Any) -> None:
    """After a rotation the old key is refused, and the jobs belong to the new one."""
    job_id = krea.submit()["job_id"]
    krea.emulator.key = "new:key"
    assert krea.http.get("/jobs").status_code == 401
    new = {"Authorization": "Bearer new:key"}
    assert krea.http.get(f"/jobs/{job_id}", headers=new).status_code == 200


def test_reset(krea: Any) -> None:
    """After a reset nothing is left but the address and the key."""
    krea.submit()
    krea.upload()
    krea.emulator.reset()
    emulator = krea.emulator
    assert (emulator.jobs, emulator.assets, emulator.requests, emulator.accepted) == ([], [], [], 0)
    assert krea.finished()["status"] == "completed"


def test_says_that_it_is_an_emulation(krea: Any) -> None:
    """Every job says that it is an emulation, in submits, looks and lists."""
    assert "emulation" in krea.submit()
    assert "seeded bytes" in krea.finished()["emulation"]
    assert all("emulation" in job for job in krea.http.get("/jobs").json()["items"])


def test_a_thousand_jobs() -> None:
    """A thousand jobs and their list take the emulator well under a second of work."""
    with Emulator(clock=VirtualClock(), render=False, concurrency=1000) as emulator:
        emulator.foreign(1000)
        headers = {"Authorization": f"Bearer {emulator.key}"}
        url = f"{emulator.base_url}/jobs?limit=1000"
        answer = httpx.get(url, headers=headers, trust_env=False)
    assert len(answer.json()["items"]) == 1000


def _running(krea: Any) -> int:
    running = [job for job in krea.emulator.jobs if job.started_at and not job.ended_at]
    return len(running)


def _listed(krea: Any, **query: Any) -> list[str]:
    """Follow the cursor to the end, and return the ids in the order of the pages."""
    ids: list[str] = []
    while True:
        page = krea.http.get("/jobs", params=query).json()
        ids += [job["job_id"] for job in page["items"]]
        if page["next_cursor"] is None:
            return ids
        query["cursor"] = page["next_cursor"]
