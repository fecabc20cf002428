"""Cards: what notebooks show of a job, a result, an upload; whatever their texts hold."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from base64 import b64decode
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest

from krea_aleph import Asset, Job, Output, Saved
from krea_aleph._cards import MOST_EMBEDDED_BYTES
from krea_aleph.models import ObjectAddress

HOSTILE = "\"'><script>alert(1)</script>\u202egpj.exe\x1b[31m\u2028]]>"
BEGUN = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
JOB = Job(
    "5d0b3a1e",
    "completed",
    created_at=BEGUN,
    completed_at=BEGUN + timedelta(seconds=169),
    outputs=(Output("https://cdn.example/o.mp4?sig=abc"),),
)


class Card(HTMLParser):
    """What a browser makes of a card: elements with their attributes, and text."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(markup)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take note of an element."""
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        """Take note of text."""
        self.text += f"{data}\n"

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """Return the attributes of each element of a kind."""
        return [attributes for name, attributes in self.elements if name == tag]


def card(value: Job | Saved | Asset) -> Card:
    """Return the card of a value, its two doors leading to the same."""
    bundle = value._repr_mimebundle_(include={"text/html"}, exclude=None)
    assert set(bundle) == {"text/plain", "text/html"}
    assert bundle["text/html"] == value._repr_html_()
    assert bundle["text/plain"] == repr(value)
    return Card(bundle["text/html"])


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder of one's own, as a notebook does."""
    monkeypatch.chdir(tmp_path)


def saved(name: str = "out.mp4", content: bytes = b"a video", kind: str = "video/mp4") -> Saved:
    """Make a result that is there."""
    path = Path(name)
    path.write_bytes(content)
    return Saved(path, (path,), kind, len(content), "ab" * 32, JOB)


def test_a_job_tells_how_it_stands() -> None:
    """Status, id, times, and its result as a link alone: the address expires."""
    found = card(JOB)
    for text in ("5d0b3a1e", "completed", "2026-11-22 12:00:00 UTC", "169 s", "expires"):
        assert text in found.text
    (link,) = found.all("a")
    assert link["href"] == "https://cdn.example/o.mp4?sig=abc"
    assert link["rel"] == "noreferrer noopener"
    assert not found.all("video")


def test_a_job_that_failed_tells_why() -> None:
    """Code and words of the server stand on the card."""
    found = card(Job("j1", "failed", error_code="nsfw", error_message="it was blocked"))
    assert "nsfw: it was blocked" in found.text


def test_a_result_is_shown() -> None:
    """The video is in the card, which asks nobody for it."""
    found = card(saved())
    (video,) = found.all("video")
    assert b64decode(str(video["src"]).removeprefix("data:video/mp4;base64,")) == b"a video"
    assert video["aria-label"] == "out.mp4"
    assert "controls" in video
    assert "autoplay" not in video
    for text in ("out.mp4", "7 bytes", "ab" * 32, "5d0b3a1e"):
        assert text in found.text


def test_a_picture_is_shown_as_one() -> None:
    """A result may be a picture, which has words for those who cannot see it."""
    (picture,) = card(saved("a.png", b"png", "image/png")).all("img")
    assert picture["alt"] == "a.png"


def test_a_result_that_is_too_large_is_linked() -> None:
    """Beyond the limit the card says so, and the file is a click away."""
    found = card(saved(content=bytes(MOST_EMBEDDED_BYTES + 1)))
    assert not found.all("video")
    assert "too large to be shown here (8,000,000 bytes at most)" in found.text
    assert found.all("a")[0]["href"] == "./out.mp4"


def test_the_largest_that_is_embedded() -> None:
    """The limit itself is within it."""
    assert card(saved(content=bytes(MOST_EMBEDDED_BYTES))).all("video")


def test_a_result_that_has_gone_is_told() -> None:
    """Cards of old results do not fail: they say what is the matter."""
    result = saved()
    result.path.unlink()
    found = card(result)
    assert not found.all("video")
    assert "No such file or directory" in found.text


@pytest.mark.parametrize("kind", ["application/octet-stream", 'video/mp4" onload="x', "text/html"])
def test_only_videos_and_pictures_are_embedded(kind: str) -> None:
    """What else a result may be, nothing of it goes into the page."""
    found = card(saved(kind=kind))
    assert not found.all("video")
    assert not found.all("img")


def test_a_result_elsewhere_is_named_in_full(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Outside of the notebook's folder a file has its whole address."""
    other = tmp_path_factory.mktemp("other") / "out.mp4"
    (link,) = card(saved(str(other))).all("a")
    assert link["href"] == other.as_uri()


def test_a_result_in_a_bucket_is_named() -> None:
    """It is on no disk of this machine: the card has its address, as text."""
    place = ObjectAddress("s3", "clips", "out.mp4")
    found = card(Saved(place, (place,), "video/mp4", 7))  # type: ignore[arg-type]
    assert "s3://clips/out.mp4" in found.text
    assert "in a bucket" in found.text
    assert not found.all("a")


def test_every_result_is_listed() -> None:
    """A job may have several."""
    first = saved()
    second = saved("out-2.mp4").path
    found = card(Saved(first.path, (first.path, second), "video/mp4", 7))
    assert [link["href"] for link in found.all("a")] == ["./out.mp4", "./out-2.mp4"]


def test_an_upload_tells_what_it_is() -> None:
    """Kind, size, pixels, and its address."""
    found = card(
        Asset("a1", "https://cdn.example/a.mp4", "team", "video/mp4", 1234, 640, 360, BEGUN)
    )
    for text in ("a1", "team", "video/mp4", "1,234 bytes", "640 x 360", "2026-11-22"):
        assert text in found.text
    assert found.all("a")[0]["href"] == "https://cdn.example/a.mp4"


@pytest.mark.parametrize(
    "value",
    [
        Job("j1", HOSTILE, HOSTILE, error_code=HOSTILE, error_message=HOSTILE),
        Job("j1", "completed", outputs=(Output(f"https://a.example/{HOSTILE}", HOSTILE),)),
        Job("j1", "completed", outputs=(Output(f"javascript:alert('{HOSTILE}')"),)),
        Job("j1", "completed", outputs=(Output("https://[broken"),)),
        Asset(HOSTILE, HOSTILE, HOSTILE, HOSTILE),
        Saved(Path(HOSTILE), (Path(HOSTILE),), HOSTILE, 1, HOSTILE, JOB),
    ],
    ids=["job", "output", "script", "address", "asset", "saved"],
)
def test_hostile_text_is_text(value: Job | Saved | Asset) -> None:
    """Whatever a name or a server's words hold, a card has its own elements and no others."""
    found = card(value)
    assert {tag for tag, _ in found.elements} <= {
        "div",
        "table",
        "tbody",
        "tr",
        "th",
        "td",
        "bdi",
        "a",
    }
    for _, attributes in found.elements:
        assert not [name for name in attributes if name.startswith("on")]
        assert not str(attributes.get("href", "")).startswith("javascript:")
    for text in (value._repr_html_(), repr(value)):
        assert not re.search("[\u202e\u2028\x1b]", text)


def test_a_hostile_file_name_is_text() -> None:
    """The name of a file that is there goes into the words of its video, and nowhere else."""
    name = HOSTILE.replace("/", "|")
    found = card(saved(name))
    (video,) = found.all("video")
    assert "<script>alert(1)<|script>\\u202egpj.exe\\u001b[31m" in str(video["aria-label"])
    assert str(found.all("a")[0]["href"]).startswith("./%22%27%3E%3Cscript%3E")
    assert "script" not in {tag for tag, _ in found.elements}


def test_cards_need_no_extra() -> None:
    """With nothing but the core installed a card is the same."""
    program = (
        "import sys\n"
        "for name in ('IPython', 'av', 'PIL'): sys.modules[name] = None\n"
        "from krea_aleph import Job; print(Job('j1', 'queued')._repr_html_())"
    )
    command = [sys.executable, "-W", "error", "-c", program]
    printed = subprocess.check_output(command, text=True, env=os.environ)
    assert printed.strip() == Job("j1", "queued")._repr_html_()
