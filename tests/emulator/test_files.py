"""Uploads and downloads."""

from __future__ import annotations

from typing import Any

import httpx
import pytest


def test_upload(krea: Any) -> None:
    """An uploaded file can be described, read, found in the list, downloaded and deleted."""
    form = {"file": ("my clip.mp4", b"content", "video/mp4")}
    answer = krea.http.post("/assets", files=form, data={"description": "a note"})
    asset = answer.json()
    assert (asset["size_bytes"], asset["mime_type"], asset["description"]) == (
        7,
        "video/mp4",
        "a note",
    )
    assert asset["image_url"].endswith("-my_clip.mp4")
    assert krea.http.get(f"/assets/{asset['id']}").json() == asset
    assert krea.http.get("/assets").json() == {"items": [asset], "next_cursor": None}
    assert _get(asset["image_url"]).content == b"content"
    assert [record.size for record in krea.emulator.assets] == [7]
    deleted = krea.http.delete(f"/assets/{asset['id']}").json()
    assert deleted["success"] is True
    assert krea.http.get(f"/assets/{asset['id']}").status_code == 404
    assert _get(asset["image_url"]).status_code == 404


def test_same_name_twice(krea: Any) -> None:
    """Two files of one name and millisecond have addresses of their own."""
    urls = [krea.upload(content).json()["image_url"] for content in (b"one", b"two")]
    assert [_get(url).content for url in urls] == [b"one", b"two"]


@pytest.mark.parametrize(
    ("name", "kind", "status"),
    [
        ("a.mp4", "video/mp4", 200),
        ("a.mov", "video/quicktime", 200),
        ("a.webm", "video/webm", 200),
        ("a.jpg", "image/jpeg", 200),
        ("a.heic", "image/heic", 200),
        ("a.glb", "model/gltf-binary", 200),
        ("a.mp3", "audio/mpeg", 200),
        ("a.mp4", "application/octet-stream", 200),
        ("a.exe", "application/octet-stream", 400),
        ("a.mp4", "text/plain", 400),
        ("a.gif", "image/gif", 400),
    ],
)
def test_kinds(krea: Any, name: str, kind: str, status: int) -> None:
    """The documented kinds are accepted, others refused by name."""
    answer = krea.upload(b"x", name, kind)
    assert answer.status_code == status
    if status == 400:
        assert "is not accepted" in answer.json()["message"]


def test_size_limit(open_shop: Any) -> None:
    """A file of exactly the limit is accepted, one byte more is refused."""
    krea = open_shop(max_upload=1000)
    assert krea.upload(b"x" * 1000).status_code == 200
    refused = krea.upload(b"x" * 1001)
    assert refused.status_code == 413
    assert "1001" in refused.json()["message"]


def test_nothing_uploaded(krea: Any) -> None:
    """An empty file, a missing one, text in its place and a damaged form are refused."""
    assert krea.upload(b"").status_code == 400
    assert krea.http.post("/assets", files={"other": b"x"}).status_code == 400
    assert krea.http.post("/assets", data={"file": "text"}).status_code == 400
    head = {"Content-Type": "multipart/form-data; boundary=b"}
    damaged = krea.http.post("/assets", content=b"--b\r\nno form at all", headers=head)
    assert damaged.status_code == 400
    head = {"Content-Type": "multipart/form-data"}
    assert krea.http.post("/assets", content=b"x", headers=head).status_code == 400


def test_pages_of_assets(krea: Any) -> None:
    """Assets are listed newest first, a page at a time."""
    ids = []
    for _ in range(5):
        ids.append(krea.upload().json()["id"])
        krea.sleep(0.01)
    first = krea.http.get("/assets", params={"limit": 3}).json()
    rest = krea.http.get("/assets", params={"cursor": first["next_cursor"]}).json()
    assert [asset["id"] for page in (first, rest) for asset in page["items"]] == ids[::-1]


def test_input_that_is_no_video(krea: Any) -> None:
    """An image as input makes a failed job that says so."""
    url = krea.upload(b"x", "a.png", "image/png").json()["image_url"]
    job = krea.finished(init_video=url)
    assert job["status"] == "failed"
    assert "not a video" in job["error"]["message"]


def test_download(open_shop: Any) -> None:
    """The same order gives the same bytes, another seed other bytes; they look like an MP4."""
    krea = open_shop(output_bytes=200_000)
    first, again, other = (_output(krea, seed=seed).content for seed in (1, 1, 2))
    assert first == again != other
    assert len(first) == 200_000
    assert first[4:8] == b"ftyp"


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [("bytes=0-9", 0, 10), ("bytes=65530-", 65_530, 65_536), ("bytes=-7", 65_529, 65_536)],
)
def test_range(krea: Any, asked: str, start: int, stop: int) -> None:
    """A part is served as 206 with its place in the whole."""
    whole = _output(krea)
    part = _get(str(whole.url), Range=asked)
    assert part.status_code == 206
    assert part.content == whole.content[start:stop]
    assert part.headers["content-range"] == f"bytes {start}-{stop - 1}/65536"


def test_range_outside(krea: Any) -> None:
    """A part beyond the end gives 416; a range that makes no sense is ignored."""
    url = str(_output(krea).url)
    outside = _get(url, Range="bytes=70000-")
    assert (outside.status_code, outside.headers["content-range"]) == (416, "bytes */65536")
    assert _get(url, Range="pages=1-2").status_code == 200


def test_if_range(krea: Any) -> None:
    """A part is served only of the very file that If-Range names, else the whole."""
    whole = _output(krea)
    url, etag = str(whole.url), whole.headers["etag"]
    assert _get(url, **{"Range": "bytes=5-", "If-Range": etag}).status_code == 206
    assert _get(url, **{"Range": "bytes=5-", "If-Range": '"other"'}).status_code == 200


def test_head(krea: Any) -> None:
    """HEAD tells size and tag without the bytes; another method is refused."""
    whole = _output(krea)
    head = httpx.head(str(whole.url), trust_env=False)
    assert head.content == b""
    assert head.headers["content-length"] == "65536"
    assert head.headers["etag"] == whole.headers["etag"]
    assert httpx.post(str(whole.url), trust_env=False).status_code == 405


def test_key_shown_to_an_output_host(krea: Any) -> None:
    """A download that shows the key is refused, and recorded."""
    url = str(_output(krea).url)
    assert krea.http.get(url).status_code == 400
    assert "authorization" in krea.emulator.requests[-1].headers
    assert krea.emulator.requests[-1].operation == "download"


def test_bodies_are_recorded_in_part(krea: Any) -> None:
    """Records keep a body up to 64 KiB."""
    krea.upload(b"x" * 500_000)
    assert len(krea.emulator.requests[-1].body) == 65_536
    krea.submit(seed=7)
    assert krea.emulator.requests[-1].json()["seed"] == 7


def _get(url: str, **headers: str) -> httpx.Response:
    return httpx.get(url, headers=headers, trust_env=False)


def _output(krea: Any, **body: Any) -> httpx.Response:
    return _get(krea.finished(**body)["result"]["urls"][0])
