"""Each known deviation of the real service, switched on and off."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from krea_aleph.emulator import QUIRKS
from krea_aleph.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

ALEPH = "/generate/video/runway/aleph"


def _auth_first(krea: Any) -> bool:
    """A bad key and a bad body: which of the two is told?"""
    wrong = {"Authorization": "Bearer wrong"}
    return bool(krea.http.post(ALEPH, json={}, headers=wrong).status_code == 401)


def _undeclared_401(krea: Any) -> bool:
    answer = krea.http.get("/jobs/x", headers={"Authorization": "Bearer wrong"})
    assert answer.status_code in {401, 404}
    return bool(answer.status_code == 401)


def _undeclared_413(krea: Any) -> bool:
    answer = krea.upload(b"x" * 2000)
    assert answer.status_code in {400, 413}
    return bool(answer.status_code == 413)


def _undeclared_422(krea: Any) -> bool:
    krea.emulator.quirk("foreign_media_422")
    answer = krea.post(init_video="https://example.com/a.mp4")
    assert answer.status_code in {400, 422}
    return bool(answer.status_code == 422)


def _undeclared_410(krea: Any) -> bool:
    krea.sleep(1e8)
    answer = krea.post()
    assert answer.status_code in {400, 410}
    return bool(answer.status_code == 410)


def _undeclared_refusals(krea: Any) -> bool:
    job_id = krea.submit()["job_id"]
    krea.sleep(10)
    answer = krea.http.delete(f"/jobs/{job_id}")
    assert answer.status_code in {400, 404}
    return bool(answer.status_code == 400)


def _html_404(krea: Any) -> bool:
    answer = krea.http.get("/v1/jobs")
    assert answer.status_code == 404
    return bool(answer.headers["content-type"].startswith("text/html"))


def _python_urllib_403(krea: Any) -> bool:
    answer = krea.http.get("/jobs", headers={"User-Agent": "Python-urllib/3.14"})
    return bool(answer.status_code == 403 and "1010" in answer.text)


def _ties_lost(krea: Any) -> bool:
    for _ in range(3):
        krea.submit()
    page = krea.http.get("/jobs", params={"limit": 2}).json()
    rest = krea.http.get("/jobs", params={"cursor": page["next_cursor"]}).json()
    return not rest["items"]


def _cancelled_jobs_stay(krea: Any) -> bool:
    job_id = krea.submit()["job_id"]
    krea.http.delete(f"/jobs/{job_id}")
    return bool(krea.http.get(f"/jobs/{job_id}").status_code == 200)


def _octet_stream_fails(krea: Any) -> bool:
    url = krea.upload(b"x", "a.mp4", "application/octet-stream").json()["image_url"]
    return bool(krea.finished(init_video=url)["status"] == "failed")


def _foreign_media_422(krea: Any) -> bool:
    own = krea.upload().json()["image_url"]
    assert krea.post(init_video=own).status_code == 200
    return bool(krea.post(init_video="https://example.com/a.mp4").status_code == 422)


def _result(krea: Any) -> Any:
    return krea.finished()["result"]


def _urls_as_objects(krea: Any) -> bool:
    return isinstance(_result(krea)["urls"][0], dict)


def _urls_as_map(krea: Any) -> bool:
    return isinstance(_result(krea)["urls"], dict)


def _urls_as_video_url(krea: Any) -> bool:
    return "video_url" in _result(krea)


def _urls_at_top_level(krea: Any) -> bool:
    return "urls" in krea.finished()


def _moderated_jobs_complete(krea: Any) -> bool:
    job = krea.finished(prompt="[nsfw]")
    assert not (job.get("result") or {}).get("urls")
    return bool(job["status"] == "completed")


def _weak_etags(krea: Any) -> bool:
    return bool(_download(krea).headers["etag"].startswith("W/"))


def _ranges_ignored(krea: Any) -> bool:
    return _download(krea, Range="bytes=1-2").status_code == 200


def _message_key(krea: Any) -> bool:
    refused = krea.http.get("/jobs/x").json()
    assert set(refused) in ({"message"}, {"error"})
    return "message" in refused


def _error_as_object(krea: Any) -> bool:
    return isinstance(krea.http.get("/jobs/x").json().get("error"), dict)


def _error_as_details(krea: Any) -> bool:
    details = krea.http.post(ALEPH, json={"prompt": 1, "init_video": "a:b"}).json().get("detail")
    return bool(details and details[0]["loc"] == ["body", "prompt"])


def _type_of_job(krea: Any) -> bool:
    return "type" in krea.submit()


def _empty_result(krea: Any) -> bool:
    return bool(krea.submit()["result"] == {})


def _nulls_while_running(krea: Any) -> bool:
    return krea.job(krea.submit()["job_id"]).get("result", "absent") is None


def _starts_processing(krea: Any) -> bool:
    return bool(krea.submit()["status"] == "processing")


def _short_submit(krea: Any) -> bool:
    return "estimated_time" in krea.submit()


def _previews_while_running(krea: Any) -> bool:
    job_id = krea.submit()["job_id"]
    krea.sleep(1)
    result = krea.job(job_id).get("result")
    if result:
        preview = result["urls"][0]
        assert preview["type"] == "preview"
        assert httpx.get(preview["url"], trust_env=False).headers["content-type"] == "image/png"
    return bool(result)


def _error_in_result(krea: Any) -> bool:
    return "error" in krea.finished(prompt="[fail]")["result"]


def _silent_failure(krea: Any) -> bool:
    job = krea.finished(prompt="[fail]")
    return "error" not in job and job["result"] == {}


def _camel_case_cursor(krea: Any) -> bool:
    return "nextCursor" in krea.http.get("/jobs").json()


def _delete_204(krea: Any) -> bool:
    answer = krea.http.delete(f"/jobs/{krea.submit()['job_id']}")
    assert answer.content == b""
    return bool(answer.status_code == 204)


def _dated_deprecation(krea: Any) -> bool:
    told = krea.post().headers["deprecation"]
    assert told in {"true", "@1796083200"}
    return bool(told != "true")


def _open_cors(krea: Any) -> bool:
    return "access-control-allow-origin" in krea.http.get("/jobs").headers


OBSERVED: dict[str, Callable[[Any], bool]] = {
    name.removeprefix("_"): look
    for name, look in dict(globals()).items()
    if name.removeprefix("_") in QUIRKS
}
BY_WEBHOOK = {"webhook_on_start"}  # see test_webhooks


def test_each_is_tested() -> None:
    """Every quirk of the registry has a test, a sentence, and a place in one dialect."""
    assert OBSERVED.keys() | BY_WEBHOOK == QUIRKS.keys()
    assert all(quirk.sentence.endswith(".") for quirk in QUIRKS.values())
    assert {quirk.usual for quirk in QUIRKS.values()} == {True, False}


@pytest.mark.parametrize("on", [True, False])
@pytest.mark.parametrize("name", sorted(OBSERVED))
def test_quirk(open_shop: Any, name: str, on: bool) -> None:
    """Switched on, the deviation can be seen; switched off, it cannot."""
    krea = open_shop(quirks={name: on}, max_upload=1000, sunset="2030-01-01")
    assert OBSERVED[name](krea) is on


def test_dialects(open_shop: Any) -> None:
    """The dialect "wire" has the usual quirks on, "declared" none, unless asked for."""
    wire, declared = open_shop(), open_shop(dialect="declared")
    for name in ("message_key", "type_of_job", "delete_204"):
        assert OBSERVED[name](wire) is QUIRKS[name].usual
        assert OBSERVED[name](declared) is False
    assert OBSERVED["type_of_job"](open_shop(dialect="declared", quirks={"type_of_job": True}))


def test_unknown_quirk(krea: Any) -> None:
    """An unknown name is refused with those that exist."""
    with pytest.raises(ConfigError, match=r"no quirk 'gravity'.*delete_204"):
        krea.emulator.quirk("gravity")


def _download(krea: Any, **headers: str) -> httpx.Response:
    url = krea.finished()["result"]["urls"][0]
    return httpx.get(url, headers=headers, trust_env=False)
