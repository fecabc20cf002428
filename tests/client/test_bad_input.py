"""Bad input: a typed error before any request, naming field, value and remedy."""

from __future__ import annotations

import io
import math
import re
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from krea_aleph import Aleph, Asset, AsyncAleph, ConfigError, InvalidRequestError, Job, KreaWarning
from krea_aleph.emulator import Emulator

URL = "https://example.com/in.mp4"


def _name(value: object) -> str:
    """Return a test id that is the same in every process."""
    return re.sub(r" at 0x\w+", "", repr(value))[:60]


def _text_file() -> Any:
    return io.StringIO("not bytes")


VIDEOS: list[tuple[Any, str]] = [
    (None, "NoneType"),
    (17, "int"),
    (b"raw bytes", "bytes"),
    ("", "empty"),
    ("no-such-file.mp4", "No such file"),
    ("empty.mp4", "empty"),
    ("huge.mp4", "75,000,000"),
    ("notes.txt", "no kind that Krea takes"),
    ("picture.png", "not a video"),
    ("folder", "no regular file"),
    ("null\0byte", "null"),
    ("https://", "no URL with a host"),
    ("https:///in.mp4", "no URL with a host"),
    ("http://exa mple.com/in.mp4", "no URL with a host"),
    ("https://example.com:99999/in.mp4", "no URL with a host"),
    ("ftp://host/in.mp4", "ftp:// is not supported"),
    ("s3:///in.mp4", "names no bucket"),
    (_text_file(), "open as text"),
    (object(), "object"),
]

_ENDLESS: list[Any] = []
_ENDLESS.append(_ENDLESS)

OPTIONS: list[tuple[dict[str, Any], str, str]] = [
    ({"ratio": "16:9"}, "ratio", "1280:720"),
    ({"ratio": None}, "ratio", "None"),
    ({"seed": -1}, "seed", "less than 0"),
    ({"seed": 2**32}, "seed", "4294967295"),
    ({"seed": math.nan}, "seed", "finite"),
    ({"seed": math.inf}, "seed", "finite"),
    ({"seed": "7"}, "seed", "a number"),
    ({"seed": True}, "seed", "a number"),
    ({"references": [{"type": "image", "uri": URL}] * 2}, "references", "more than 1"),
    ({"references": [{"uri": URL}]}, r"references\[0\].type", "required"),
    ({"references": [{"type": "video", "uri": URL}]}, r"references\[0\].type", "'image'"),
    ({"references": [{"type": "image", "uri": "gone.png"}]}, r"references\[0\].uri", "No such"),
    ({"references": {"type": "image"}}, "references", "a list"),
    ({"references": _ENDLESS}, "references", "contains itself"),
    ({"init_image_url": 5}, "init_image_url", "int"),
    ({"ration": "1280:720"}, "ration", "ratio"),
    ({"extra_body": {"seed": "x"}}, "seed", "a number"),
    ({"extra_body": {"odd": math.nan}}, "odd", "JSON"),
    ({"extra_body": {"odd": object()}}, "odd", "JSON"),
    ({"webhook_url": "example.com"}, "webhook_url", "http"),
    ({"webhook_url": "https://"}, "webhook_url", "host"),
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder full of files that cannot be used."""
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "notes.txt").write_text("just words")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    (tmp_path / "folder").mkdir()
    with (tmp_path / "huge.mp4").open("wb") as file:
        file.write(b"\x00\x00\x00\x18ftypmp42")
        file.truncate(75_000_001)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(("video", "words"), VIDEOS, ids=_name)
def test_videos_that_cannot_be_used(aleph: Any, emulator: Emulator, video: Any, words: str) -> None:
    """Refused by name, before anything is sent."""
    with pytest.raises(InvalidRequestError, match=words) as caught:
        aleph.submit(video, "night")
    assert caught.value.field == "video"
    assert emulator.requests == []


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        (None, "NoneType"),
        (b"night", "bytes"),
        ("", "blank"),
        (" \n", "blank"),
        ("x" * 1001, "1001 characters are more than 1000"),
        ("\ud800", "surrogate"),
    ],
)
def test_prompts_that_cannot_be_used(
    aleph: Any, emulator: Emulator, prompt: Any, words: str
) -> None:
    """The contract's limits and plain sense are checked here, where it costs nothing."""
    with pytest.raises(InvalidRequestError, match=words) as caught:
        aleph.submit(URL, prompt)
    assert caught.value.field == "prompt"
    assert emulator.requests == []


@pytest.mark.parametrize(("options", "field", "words"), OPTIONS, ids=_name)
def test_options_that_the_contract_forbids(
    aleph: Any, emulator: Emulator, options: dict[str, Any], field: str, words: str
) -> None:
    """Field, value and allowed values stand in the error, and the ways past an old contract."""
    with pytest.raises(InvalidRequestError, match=rf"^{field}: .*{words}"):
        aleph.submit(URL, "night", **options)
    assert emulator.requests == []


@pytest.mark.parametrize(
    "job", ["", "a/b", "..", "a b", "a?b", "%2e", "ü", "x" * 300, None, 7, b"a"]
)
@pytest.mark.parametrize("verb", ["get", "wait", "cancel", "download", "get_asset", "delete_asset"])
def test_ids_that_are_none(
    aleph: Any, emulator: Emulator, tmp_path: Path, verb: str, job: Any
) -> None:
    """An id becomes part of a path, so anything that could lead elsewhere is refused."""
    arguments = (job, tmp_path / "out.mp4") if verb == "download" else (job,)
    with pytest.raises(InvalidRequestError, match="no id"):
        getattr(aleph, verb)(*arguments)
    assert emulator.requests == []


def test_values_of_another_account(aleph: Any, emulator: Emulator) -> None:
    """A job or an asset of somebody else is refused before any request."""
    with pytest.raises(InvalidRequestError, match="'other'"):
        aleph.get(Job("some-job", "queued", account="other"))
    with pytest.raises(InvalidRequestError, match="'other'"):
        aleph.delete_asset(Asset("some-asset", URL, account="other"))
    assert emulator.requests == []


def test_outputs_that_cannot_be_used(
    aleph: Any, emulator: Emulator, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the result would go is looked at before the clip is uploaded."""
    (folder / "taken.mp4").touch()
    for output, words in [
        ("no-such-folder/out.mp4", "does not exist"),
        ("no-such-folder/", "does not exist"),
        ("taken.mp4", "exists"),
        ("notes.txt/out.mp4", "does not exist"),
        (None, "no path"),
        (7, "no path"),
        ("a\0b", "no path|null"),
    ]:
        with pytest.raises(InvalidRequestError, match=words) as caught:
            aleph.transform(URL, "night", output)
        assert caught.value.field == "output"
    with pytest.raises(InvalidRequestError, match="'overwrite'"):
        aleph.transform(URL, "night", "out.mp4", exists="overwrite")
    monkeypatch.setattr("os.access", lambda *_: False)  # root may write everywhere
    with pytest.raises(InvalidRequestError, match="not writable"):
        aleph.transform(URL, "night", "out.mp4")
    assert emulator.requests == []


def test_a_callback_that_is_none(aleph: Any, emulator: Emulator, tmp_path: Path) -> None:
    """What cannot be called is refused before the job is paid for."""
    with pytest.raises(InvalidRequestError, match="on_update"):
        aleph.transform(URL, "night", tmp_path / "out.mp4", on_update=3)
    assert emulator.requests == []


@pytest.mark.parametrize("timeout", [0, -1, math.nan, math.inf, "60", True])
def test_timeouts_that_are_none(aleph: Any, emulator: Emulator, timeout: Any) -> None:
    """Waiting for ever must be written out as None; nothing else means it."""
    with pytest.raises(InvalidRequestError, match="wait_timeout"):
        aleph.wait("some-job", wait_timeout=timeout)
    assert emulator.requests == []


def test_times_without_a_zone(aleph: Any, emulator: Emulator) -> None:
    """A naive time would mean another moment on another machine."""
    with pytest.raises(InvalidRequestError, match="created_before"):
        list(aleph.list_jobs(created_before=datetime(2026, 1, 1)))  # noqa: DTZ001 - the point
    with pytest.raises(InvalidRequestError, match="types"):
        list(aleph.list_jobs(types="externalImage"))
    assert emulator.requests == []


@pytest.mark.parametrize("kind", [Aleph, AsyncAleph])
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "no API key"),
        ({"api_key": ""}, "blank"),
        ({"api_key": "  "}, "blank"),
        ({"api_key": "id:secret\n"}, "line end"),
        ({"api_key": "id:se cret"}, "space"),
        ({"api_key": "Bearer id:secret"}, "without Bearer"),
        ({"api_key": "'id:secret'"}, "quotes"),
        ({"api_key": "ïd:secret"}, "character"),
        ({"api_key": 7}, "int"),
        ({"api_key": "a:b", "base_url": "http://api.krea.ai"}, "unencrypted"),
        ({"api_key": "a:b", "base_url": "ftp://api.krea.ai"}, "ftp"),
        ({"api_key": "a:b", "base_url": "api.krea.ai"}, "cannot be used"),
        ({"api_key": "a:b", "base_url": "https://user:pw@api.krea.ai"}, "password"),
        ({"api_key": "a:b", "request_timeout": 0}, "request_timeout"),
        ({"api_key": "a:b", "request_timeout": "60"}, "str"),
        ({"api_key": "a:b", "checks": "maybe"}, "maybe"),
        ({"api_key": "a:b", "abandon": "kill"}, "kill"),
        ({"api_key": "a:b", "retry": 3}, "RetryPolicy"),
        ({"api_key": "a:b", "account": ""}, "label"),
        ({"api_key": "a:b", "proxy": "gopher://localhost:1"}, "gopher"),
        ({"api_key": "a:b", "extra_headers": {"Authorization": "x"}}, "Authorization"),
        ({"api_key": "a:b", "extra_headers": {"X-Team": "a\r\nb"}}, "X-Team"),
        ({"api_key": "a:b", "timeout": 5}, "'timeout'"),
    ],
    ids=_name,
)
def test_clients_that_cannot_work(kind: Any, options: dict[str, Any], words: str) -> None:
    """A client that could not work is not made, and no message shows the key."""
    with pytest.raises(ConfigError, match=words) as caught:
        kind(**options)
    key = options.get("api_key")
    assert not key or not str(key).strip() or str(key).strip() not in str(caught.value)
    assert caught.value.charged == "no"


PRIVATE = ["http://127.0.0.1:8000/in.mp4", "https://10.1.2.3/in.mp4", "http://localhost/in.mp4"]
PRIVATE += ["https://[::1]/in.mp4", "http://2130706433/in.mp4", "https://files.localhost/in.mp4"]


@pytest.mark.parametrize("url", PRIVATE)
def test_a_clip_that_krea_cannot_reach(url: str) -> None:
    """A URL of this machine or network is refused for free, unless the API is there as well."""
    with Aleph(api_key="key-id:key-secret", base_url="https://api.krea.ai") as aleph:
        with pytest.raises(InvalidRequestError, match="private network") as caught:
            aleph.check(url, "snow")
        assert caught.value.field == "video"
        assert "Give a path" in caught.value.hint
        with pytest.raises(InvalidRequestError, match="private network"):
            aleph.check(URL, "snow", init_image_url=url)
        with pytest.warns(KreaWarning, match="private network"):
            aleph.with_options(checks="warn").check(url, "snow")
        assert aleph.with_options(checks="off").check(url, "snow").body
    with Aleph(api_key="key-id:key-secret", base_url="http://127.0.0.1:9") as aleph:
        assert aleph.check(url, "snow").body
