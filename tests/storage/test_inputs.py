"""Clips that are read from a bucket."""

from __future__ import annotations

import itertools
import json
import pickle
import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import httpx
import pytest

from buckets import KEY_ID, Bucket
from colours import CLIP, OpenClient
from krea_aleph import Aleph, BadRequestError, InvalidRequestError, SQLiteStore, UploadError
from krea_aleph.emulator import Emulator, Fault
from krea_aleph.storage import Storage
from local_network import serving

PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(500)


def content(url: str) -> bytes:
    """Fetch what is at an address, as Krea would."""
    return httpx.get(url, trust_env=False).raise_for_status().content


def bodies(emulator: Emulator) -> list[dict[str, Any]]:
    """Return what was submitted."""
    return [job.body for job in emulator.jobs]


def test_a_clip_is_uploaded(aleph: Any, bucket: Bucket, emulator: Emulator) -> None:
    """What is in the bucket is what Krea gets, and the job is given its asset."""
    url = bucket.put("in/shot 1.mp4", CLIP)
    aleph.submit(url, "snow")
    (asset,) = emulator.assets
    assert content(asset.url) == CLIP
    assert asset.media_type == "video/mp4"
    (body,) = bodies(emulator)
    assert body["init_video"] == asset.url


def test_pictures_inside_of_options(aleph: Any, bucket: Bucket, emulator: Emulator) -> None:
    """Wherever the contract asks for media, an object may stand, deep inside as well."""
    aleph.submit(
        bucket.put("in.mp4", CLIP),
        "snow",
        references=[{"type": "image", "uri": bucket.put("ref.png", PICTURE)}],
    )
    (body,) = bodies(emulator)
    urls = {asset.media_type: asset.url for asset in emulator.assets}
    assert body["references"][0]["uri"] == urls["image/png"]
    assert body["init_video"] == urls["video/mp4"]


def test_upload(client: Aleph, bucket: Bucket, emulator: Emulator) -> None:
    """`upload` takes objects, and the same object again is the same asset."""
    url = bucket.put("in.mp4", CLIP)
    first, second = client.upload(url), client.upload(url)
    assert first.id == second.id
    assert len(emulator.assets) == 1


def test_an_object_that_was_replaced_is_another_one(
    client: Aleph, bucket: Bucket, emulator: Emulator
) -> None:
    """What counts is what is in the object, not only where it is."""
    url = bucket.put("in.mp4", CLIP)
    one = client.check(url, "snow")
    assert client.check(url, "snow").fingerprint == one.fingerprint
    bucket.put("in.mp4", CLIP[:-1] + b"!")
    assert client.check(url, "snow").fingerprint != one.fingerprint
    assert client.check(bucket.put("copy.mp4", CLIP), "snow").fingerprint != one.fingerprint
    assert not emulator.requests


def test_what_check_tells(client: Aleph, bucket: Bucket) -> None:
    """A dry run names what would be uploaded."""
    checked = client.check(bucket.put("in.mp4", CLIP), "snow")
    assert checked.body["init_video"] == "upload:video"
    assert checked.uploads == {"video": "in.mp4"}


def test_a_large_clip_is_read_in_stretches(
    client: Aleph, bucket: Bucket, emulator: Emulator
) -> None:
    """No request asks for more of an object than a few MiB, and all of it arrives."""
    data = CLIP + bytes(9 * 2**20)
    client.upload(bucket.put("in.mp4", data))
    assert content(emulator.assets[0].url) == data
    assert [head.get("if-match") is not None for head in bucket.gate.heads] == [False, *[True] * 3]
    ranges = [head["range"] for head in bucket.gate.heads if "range" in head]
    assert len(ranges) == 4
    for text in ranges:
        first, last = map(int, re.findall(r"\d+", text))
        assert last - first < 4 * 2**20


def test_an_upload_that_breaks_is_sent_again(
    aleph: Any, bucket: Bucket, emulator: Emulator
) -> None:
    """When the line to Krea breaks the object is read again, from its start."""
    emulator.fault(Fault(operation="upload_asset", drop="before"))
    aleph.upload(bucket.put("in.mp4", CLIP))
    assert content(emulator.assets[0].url) == CLIP


def test_a_stretch_that_breaks_off(aleph: Any, bucket: Bucket, emulator: Emulator) -> None:
    """When the line to the bucket breaks in mid-body, the rest is asked for."""
    url = bucket.put("in.mp4", CLIP + bytes(2**20))
    bucket.gate.trouble("GET", "in.mp4", status=0, times=1)
    aleph.upload(url)
    assert emulator.assets[0].size == len(CLIP) + 2**20


@pytest.mark.parametrize("deaf", ["", "if-match"])
def test_an_object_that_is_replaced_while_it_is_read(
    deaf: str, aleph: Any, bucket: Bucket, emulator: Emulator
) -> None:
    """Two halves of two clips never become one, though a store may not know of conditions."""
    bucket.gate.deaf = deaf
    url = bucket.put("in.mp4", CLIP + bytes(5 * 2**20))
    stretches = itertools.count(1)

    def replace() -> None:
        if next(stretches) == 3:  # after a look, and a first stretch
            bucket.put("in.mp4", CLIP + bytes(range(256)) * 20 * 1024)

    bucket.gate.trouble("GET", "in.mp4", status=None, before=replace)
    with pytest.raises(UploadError, match=r"video: 's3://.*in.mp4' has changed since") as caught:
        aleph.submit(url, "snow")
    assert caught.value.charged == "no"
    assert not emulator.accepted


def test_a_signed_address(open_client: OpenClient, bucket: Bucket, emulator: Emulator) -> None:
    """With ``presign`` nothing is uploaded: Krea is given an address that serves the clip."""
    aleph = open_client(storage=Storage({bucket.url: bucket.settings}, presign=600))
    url = bucket.put("in dir/a b.mp4", CLIP)
    aleph.submit(url, "snow")
    assert not emulator.assets
    (body,) = bodies(emulator)
    assert "X-Amz-Expires=600" in body["init_video"]
    assert content(body["init_video"]) == CLIP
    checked = aleph.check(url, "snow")
    assert checked.uploads == {}
    assert checked.body["init_video"] == "upload:video"


def test_a_fresh_signature_is_the_same_request(
    open_client: OpenClient, bucket: Bucket, emulator: Emulator, tmp_path: Path
) -> None:
    """An intent finds its job again, though the address is signed anew each time."""
    with SQLiteStore(tmp_path / "jobs.sqlite3") as store:
        aleph = open_client(
            storage=Storage({bucket.url: bucket.settings}, presign=600), store=store
        )
        url = bucket.put("in.mp4", CLIP)
        first = aleph.submit(url, "snow", intent="shot-1")
        assert aleph.submit(url, "snow", intent="shot-1").id == first.id
        signature = re.findall(r"X-Amz-Signature=(\w+)", bodies(emulator)[0]["init_video"])[0]
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert signature.encode() not in path.read_bytes()
    assert emulator.accepted == 1


class Echo(BaseHTTPRequestHandler):
    """Refuses every request, and repeats it in many ways, as gateways do."""

    def do_POST(self) -> None:
        """Answer."""
        body = self.rfile.read(int(self.headers["content-length"]))
        url = json.loads(body)["init_video"]
        words = json.dumps({"message": f"Invalid asset URL {url} {unquote(url)}", "url": url})
        words = words.replace("/", "\\/") + urlsplit(url).query
        self.send_response(422)
        self.send_header("x-request-id", url)
        self.send_header("content-length", str(len(words)))
        self.end_headers()
        self.wfile.write(words.encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_a_service_that_takes_no_foreign_addresses(
    open_client: OpenClient, bucket: Bucket, caplog: pytest.LogCaptureFixture
) -> None:
    """What a server says of an address that it refuses has no signature in it any more."""
    with serving(ThreadingHTTPServer(("127.0.0.1", 0), Echo)) as port, caplog.at_level("DEBUG"):
        aleph = open_client(
            storage=Storage({bucket.url: bucket.settings}, presign=600),
            base_url=f"http://127.0.0.1:{port}",
            virtual_time=False,
        )
        with pytest.raises(BadRequestError, match="Invalid asset URL") as caught:
            aleph.submit(bucket.put("in.mp4", CLIP), "snow")
    error = caught.value
    said = f"{error} {error.body} {error.headers} {caplog.text} {pickle.dumps(error)!r}"
    for secret in (r"X-Amz-Signature=[0-9a-f]", "[0-9a-f]{64}", KEY_ID):
        assert re.search(secret, said) is None


def test_a_stretch_that_is_too_short(client: Aleph, bucket: Bucket, emulator: Emulator) -> None:
    """A store that gives less than it was asked for has not given the clip."""
    url = bucket.put("in.mp4", CLIP)
    found = bucket.get("in.mp4")
    assert found is not None
    headers = {name: found[1][name] for name in ("etag", "last-modified")}
    headers["content-range"] = f"bytes 0-9/{len(CLIP)}"
    bucket.gate.trouble("GET", "in.mp4", status=None, times=1)
    bucket.gate.trouble("GET", "in.mp4", status=206, body="0123456789", headers=headers)
    with pytest.raises(UploadError, match="was not served"):
        client.upload(url)
    assert not emulator.assets


def test_a_signed_address_that_is_too_long(bucket: Bucket, emulator: Emulator) -> None:
    """Some tokens make addresses that are longer than the model takes: refused, and not paid."""
    settings = {**bucket.settings, "session_token": "t" * 2000}
    storage = Storage({bucket.url: settings}, presign=60)
    with (
        emulator.aleph(storage=storage) as client,
        pytest.raises(InvalidRequestError, match="has more than 2,048 characters") as caught,
    ):
        client.submit(bucket.put("in.mp4", CLIP), "snow")
    assert "tttt" not in str(caught.value)
    assert not emulator.accepted


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("s3://", "names no bucket"),
        ("s3:///in.mp4", "names no bucket"),
        ("s3://{bucket}", "is a bucket, no object"),
        ("s3://{bucket}/", "is a bucket, no object"),
        ("s3://{bucket}/shots/", "is a folder, no object"),
        ("s3://{bucket}/a//b.mp4", "has a part '' in its key"),
        ("s3://{bucket}/../b.mp4", r"has a part '\.\.' in its key"),
        ("s3://{bucket}/a\nb.mp4", "has a control character"),
        ("s3://{bucket}/" + "x" * 1025, "has a key of more than 1,024 bytes"),
        ("s3://{bucket}/\ud800.mp4", "half of a surrogate pair"),
        ("s3://{bucket}/no-such.mp4", "does not exist"),
        ("s3://no-such-bucket/in.mp4", "this client has no store for s3://no-such-bucket"),
        ("s4://{bucket}/in.mp4", "s4:// is not supported"),
        ("s3://me:s3cret@{bucket}/in.mp4", "with a user or a password"),
        ("s3://{bucket}/empty.mp4", "is empty"),
        ("s3://{bucket}/page.mp4", "is of no kind that Krea takes"),
        ("s3://{bucket}/picture.mp4", "is image/png, not a video"),
    ],
)
def test_what_is_no_clip(url: str, words: str, bucket: Bucket, emulator: Emulator) -> None:
    """Everything that cannot work is refused before anything is sent, and says why."""
    bucket.put("empty.mp4", b"")
    bucket.put("page.mp4", b"<html>no</html>")
    bucket.put("picture.mp4", PICTURE)
    with (
        emulator.aleph(storage={bucket.url: bucket.settings}) as aleph,
        pytest.raises(InvalidRequestError, match=words) as caught,
    ):
        aleph.submit(url.format(bucket=bucket.name), "snow")
    assert caught.value.field in {"video", "storage"}
    assert caught.value.hint or words == "is empty"
    assert "s3cret" not in str(caught.value)
    assert not emulator.requests


def test_a_clip_that_is_too_large(client: Aleph, bucket: Bucket, emulator: Emulator) -> None:
    """The limit for uploads counts for objects; of a large one only the beginning is read."""
    url = bucket.put("in.mp4", CLIP.ljust(75_000_001, b"\0"))
    with pytest.raises(InvalidRequestError, match=r"75,000,001 bytes, more than the 75,000,000"):
        client.submit(url, "snow")
    assert not emulator.requests
    assert len(bucket.gate.requests) == 1


@pytest.mark.parametrize(
    "key", ["a b%20c#?é+&=.mp4", "日本/ü.mp4", "a*[]{}|\\^~<>.mp4", "\"q'.mp4"]
)
def test_odd_keys(key: str, client: Aleph, bucket: Bucket, emulator: Emulator) -> None:
    """A key is taken as it stands: nothing in it is a query, a fragment or an escape."""
    client.upload(bucket.put(key, CLIP))
    assert emulator.assets[0].size == len(CLIP)
