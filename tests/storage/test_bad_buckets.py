"""Stores that refuse, are slow, break off or redirect: errors of ours that give nothing away."""

from __future__ import annotations

import pickle
import re
import threading
import traceback
from typing import Any

import pytest

from buckets import KEY_ID, REFUSED, SECRET, Bucket
from colours import CLIP, OpenClient
from krea_aleph import Aleph, InvalidRequestError, KreaError, UploadError
from krea_aleph.emulator import Emulator

MALFORMED = "<Error><Code>AuthorizationHeaderMalformed</Code></Error>"
BUSY = "<Error><Code>SlowDown</Code></Error>"
EXPIRED = "<Error><Code>ExpiredToken</Code><Message>no</Message></Error>"
MOVED = """<Error><Code>PermanentRedirect</Code><Message>elsewhere</Message></Error>"""
SECRETS = (KEY_ID, SECRET, "Signature=", "X-Amz", "AWS4-HMAC", "http://127.0.0.1")


def give_nothing_away(error: BaseException) -> None:
    """Look for what nobody is to see in all that an error leads to."""
    texts = [str(error), repr(vars(error)), "".join(traceback.format_exception(error))]
    texts.append(repr(pickle.dumps(error)))
    found: BaseException | None = error
    while found is not None:
        texts += [str(found), repr(found)]
        found = found.__cause__ or found.__context__
    for text in texts:
        assert not [secret for secret in SECRETS if secret in text]


@pytest.mark.parametrize(
    ("trouble", "kind", "words"),
    [
        ({"status": 403, "body": REFUSED}, InvalidRequestError, r"refused by its store \(403 Acc"),
        ({"status": 401}, InvalidRequestError, r"is refused by its store \(401\)"),
        ({"status": 400, "body": EXPIRED}, InvalidRequestError, "is refused by its .*ExpiredToken"),
        ({"status": 404}, InvalidRequestError, "does not exist"),
        ({"status": 301, "body": MOVED}, InvalidRequestError, "is in another region"),
        ({"status": 400, "body": MALFORMED}, InvalidRequestError, "is in another region"),
        ({"status": 500}, UploadError, "its store answered 500"),
        ({"status": 503, "body": BUSY}, UploadError, "503 SlowDown"),
        ({"status": 0}, UploadError, "line to its store broke"),
    ],
)  # fmt: skip
def test_an_input_that_cannot_be_read(
    trouble: dict[str, Any],
    kind: type[KreaError],
    words: str,
    client: Aleph,
    bucket: Bucket,
    emulator: Emulator,
) -> None:
    """Nothing is sent; the error names the field, the object and what to do."""
    url = bucket.put("in.mp4", CLIP)
    bucket.gate.trouble("GET", "in.mp4", **trouble)
    with pytest.raises(kind, match=words) as caught:
        client.submit(url, "snow")
    error = caught.value
    assert str(error).startswith(f"video: '{url}'")
    assert (error.charged, bool(error.hint)) == ("no", True)
    assert error.resubmit == ("safe" if kind is UploadError else "pointless")
    give_nothing_away(error)
    assert not emulator.requests


def test_an_input_that_stops_coming(
    open_client: OpenClient, bucket: Bucket, emulator: Emulator
) -> None:
    """A store that is silent is given up at its timeout, and the upload with it."""
    quick = {"allow_http": True, "timeout": "100ms"}
    settings = {**bucket.settings, "client_options": quick, "retry_config": {"max_retries": 0}}
    aleph = open_client(storage={bucket.url: settings})
    url = bucket.put("in.mp4", CLIP)
    over = threading.Event()
    bucket.gate.trouble("GET", "in.mp4", status=500, before=lambda: over.wait(20))
    try:
        with pytest.raises(UploadError, match="was not served in time") as caught:
            aleph.submit(url, "snow")
    finally:
        over.set()
    assert "AWS_TIMEOUT" in caught.value.hint  # it may have been the line that is slow
    give_nothing_away(caught.value)
    assert not emulator.requests


def test_an_input_that_breaks_for_good(
    open_client: OpenClient, bucket: Bucket, emulator: Emulator
) -> None:
    """When the bucket breaks off in the midst of an upload, that is an UploadError and no job."""
    aleph = open_client(storage={bucket.url: bucket.settings})
    url = bucket.put("in.mp4", CLIP + bytes(5 * 2**20))
    bucket.gate.trouble("GET", "in.mp4", status=None, times=2)  # a look, and a first stretch
    bucket.gate.trouble("GET", "in.mp4", status=403, body=REFUSED)
    with pytest.raises(UploadError, match=f"video: '{url}' is refused by its store") as caught:
        aleph.submit(url, "snow")
    give_nothing_away(caught.value)
    assert not emulator.accepted


@pytest.mark.parametrize(
    ("method", "path", "trouble", "words", "resubmit"),
    [
        ("POST", "uploads", {"status": 403, "body": REFUSED}, r"refused by its store \(403", "p"),
        ("HEAD", "out.mp4", {"status": 403}, "refused by its store", "pointless"),
        ("POST", "uploads", {"status": 301, "body": MOVED}, "is in another region", "pointless"),
        ("POST", "uploads", {"status": 500}, "its store answered 500", "safe"),
        ("HEAD", "out.mp4", {"status": 503}, "its store answered 503", "safe"),
    ],
)
def test_an_output_that_cannot_be_written(
    method: str,
    path: str,
    trouble: dict[str, Any],
    words: str,
    resubmit: str,
    client: Aleph,
    bucket: Bucket,
    emulator: Emulator,
) -> None:
    """Who may not write is told before anything is paid."""
    url = bucket.put("in.mp4", CLIP)
    bucket.gate.trouble(method, path, **trouble)
    with pytest.raises(InvalidRequestError, match=words) as caught:
        client.transform(url, "snow", f"{bucket.url}/out.mp4")
    error = caught.value
    assert error.field == "output"
    assert error.hint
    assert error.resubmit.startswith(resubmit)
    give_nothing_away(error)
    assert not emulator.requests


def test_a_store_that_does_not_say_whether_it_is_there(client: Aleph, bucket: Bucket) -> None:
    """Who may write and not list can replace: then nothing is looked at."""
    bucket.gate.trouble("HEAD", "out.mp4", status=403)
    saved = client.transform(
        bucket.put("in.mp4", CLIP), "snow", f"{bucket.url}/out.mp4", exists="replace"
    )
    assert saved.url == f"{bucket.url}/out.mp4"


@pytest.mark.parametrize("status", [None, 403, 404, 500])
def test_without_any_credentials(
    status: int | None, emulator: Emulator, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that has none is told so, whatever its cloud answers, and how to have some."""
    cloud = bucket.gate.url if status else "http://127.0.0.1:9"
    bucket.gate.trouble("PUT", "169.254", status=status or 500)
    settings = {
        "endpoint": bucket.gate.url,
        "metadata_endpoint": f"{cloud}/169.254.169.254",
        "client_options": {"allow_http": True},
        "retry_config": {"max_retries": 0},
    }
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    with (
        emulator.aleph(storage={bucket.url: settings}) as client,
        pytest.raises(InvalidRequestError, match="asked for without credentials") as caught,
    ):
        client.submit(f"{bucket.url}/in.mp4", "snow")
    assert "environment" in caught.value.hint


@pytest.mark.parametrize("beside", [False, True])
@pytest.mark.parametrize(
    "odd", [{"access_key_id": f"{KEY_ID}\n"}, {"token": "a\nb"}, {"endpoint": "http://[::bad"}]
)
def test_settings_that_obstore_panics_over(
    odd: dict[str, str], beside: bool, open_client: OpenClient, bucket: Bucket, emulator: Emulator
) -> None:
    """A key that was read with its line's end is an error, in whichever thread: nobody hangs."""
    aleph = open_client(storage={bucket.url: {**bucket.settings, **odd}})
    found: list[BaseException] = []

    def submit() -> None:
        try:
            aleph.submit(f"{bucket.url}/in.mp4", "snow")
        except BaseException as error:  # noqa: BLE001 - what it is, is the question
            found.append(error)

    if beside:
        thread = threading.Thread(target=submit)
        thread.start()
        thread.join(20)
    else:
        submit()
    (error,) = found
    assert isinstance(error, InvalidRequestError)
    assert "cannot be asked for as its store is configured" in str(error)
    assert "line break" in error.hint
    give_nothing_away(error)
    assert not emulator.requests


@pytest.mark.parametrize(
    ("setting", "words", "hint"),
    [
        ({"client_options": {}}, "is at an unencrypted address", "AWS_ALLOW_HTTP"),
    ],
)
def test_a_store_without_encryption(
    setting: dict[str, Any],
    words: str,
    hint: str,
    open_client: OpenClient,
    bucket: Bucket,
    emulator: Emulator,
) -> None:
    """It is used only by who says so, and the error says how."""
    aleph = open_client(storage={bucket.url: {**bucket.settings, **setting}})
    with pytest.raises(InvalidRequestError, match=words) as caught:
        aleph.submit(bucket.put("in.mp4", CLIP), "snow")
    assert hint in caught.value.hint
    give_nothing_away(caught.value)
    assert not emulator.requests


def test_the_log_says_nothing(
    client: Aleph, bucket: Bucket, caplog: pytest.LogCaptureFixture
) -> None:
    """At whatever level, of whichever library: no key, and nothing that is signed."""
    events: list[Any] = []
    with caplog.at_level("DEBUG"):
        teller = client.with_options(on_event=events.append)
        teller.transform(bucket.put("in.mp4", CLIP), "snow", f"{bucket.url}/out.mp4")
    for secret in (KEY_ID, SECRET, "Signature"):
        assert secret not in caplog.text
        assert secret not in repr(events)
    assert re.search("submitted", caplog.text) is not None
