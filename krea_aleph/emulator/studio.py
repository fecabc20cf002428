"""What comes out of a job: a restyled video, the clip itself, or seeded bytes. Never a model's."""

from __future__ import annotations

import base64
import binascii
import hashlib
import ipaddress
import json
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote_to_bytes, urlsplit

import httpx
from attrs import frozen

from krea_aleph.emulator import restyle
from krea_aleph.emulator.blobs import Blob, BytesBlob, FileBlob, SeededBlob

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

MAX_FETCH: Final = 75_000_000
"""The most bytes that are fetched from a loopback address."""

SEEDED: Final = "An emulation: seeded bytes, not a video."
RESTYLED: Final = "An emulation: a filter, not Runway Aleph."
UNTOUCHED: Final = "An emulation without PyAV: the input as it was. Install krea-aleph[preview]."
UNREACHED: Final = (
    "An emulation: seeded bytes, because it reads uploads and loopback addresses only."
)


@frozen
class Order:
    """What is to be made.

    Attributes:
        video: The URL of the input.
        prompt: Chooses the look.
        seed: Varies it.
        number: Which of a job's outputs this is, from 0.
    """

    video: str
    prompt: str
    seed: float | None
    number: int = 0

    @classmethod
    def of(cls, body: Mapping[str, Any], number: int = 0) -> Order:
        """Read an order from a submit's body, whatever the contract calls its fields."""
        names = sorted(body, key=lambda name: (name != "init_video", name != "prompt"))
        texts = {name: body[name] for name in names if isinstance(body[name], str)}
        video = next((text for name, text in texts.items() if "video" in name), "")
        prompt = next((text for name, text in texts.items() if "prompt" in name), "")
        seed = body.get("seed")
        return cls(video, prompt, seed if isinstance(seed, (int, float)) else None, number)


@frozen
class Product:
    """A file, and what it honestly is."""

    blob: Blob
    note: str


class Studio:
    """Makes outputs one at a time in a thread of its own; the same order is made once."""

    def __init__(self, folder: Path, find: Callable[[str], Blob | None]) -> None:
        self._folder = folder
        self._find = find
        self._worker: ThreadPoolExecutor | None = None
        self._made: dict[tuple[str, str], Product] = {}

    def begin(self, order: Order) -> Future[Product]:
        """Start to render; the future fails with `restyle.NotAVideoError` for another input."""
        if self._worker is None:
            self._worker = ThreadPoolExecutor(1, thread_name_prefix="krea-emulator-studio")
        return self._worker.submit(self._render, order)

    @staticmethod
    def seeded(order: Order, size: int) -> Product:
        """Return bytes that follow from the order alone."""
        return Product(SeededBlob(_key(order, order.video), size), SEEDED)

    def close(self) -> None:
        """Let the thread end."""
        if self._worker is not None:
            self._worker.shutdown(cancel_futures=True)

    def _render(self, order: Order) -> Product:
        clip = self._find(order.video) or _fetched(order.video)
        if clip is None:
            return Product(SeededBlob(_key(order, order.video), 65_536), UNREACHED)
        key = (clip.etag, _key(order, clip.etag))
        if key not in self._made:
            self._made[key] = self._restyled(order, clip, key[1])
        return self._made[key]

    def _restyled(self, order: Order, clip: Blob, key: str) -> Product:
        if not restyle.available():
            restyle.require_video_bytes(clip.read(0, 64))
            return Product(clip, UNTOUCHED)
        target = self._folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.mp4"
        restyle.restyle(self._on_disk(clip), target, restyle.Style.of(order.prompt, key))
        return Product(FileBlob.of(target, "video/mp4"), RESTYLED)

    def _on_disk(self, clip: Blob) -> Path:
        if isinstance(clip, FileBlob):
            return clip.path
        path = self._folder / f"input-{clip.etag.strip(chr(34))}"
        path.write_bytes(clip.read(0, clip.size))
        return path


def _key(order: Order, clip: str) -> str:
    """Return what two orders share exactly if their outputs are the same."""
    return json.dumps([clip, order.prompt, order.seed, order.number])


def _fetched(url: str) -> Blob | None:
    """Return what a data URI holds or a loopback address serves; None for any other address."""
    if url.startswith("data:"):
        return _inline(url)
    if urlsplit(url).scheme not in {"http", "https"} or not _is_loopback(urlsplit(url).hostname):
        return None
    try:
        return _download(url)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise restyle.NotAVideoError(f"the input cannot be fetched: {error}") from error


def _download(url: str) -> Blob:
    content = b""
    with httpx.Client(trust_env=False, timeout=10) as client, client.stream("GET", url) as answer:
        answer.raise_for_status()
        for piece in answer.iter_bytes():
            content += piece
            if len(content) > MAX_FETCH:
                raise restyle.NotAVideoError("the input is larger than 75 MB")
    return BytesBlob(content, answer.headers.get("content-type", ""))


def _inline(url: str) -> Blob:
    head, _, text = url.removeprefix("data:").partition(",")
    try:
        content = base64.b64decode(text) if head.endswith(";base64") else unquote_to_bytes(text)
    except binascii.Error as error:
        raise restyle.NotAVideoError(f"the data URI is damaged: {error}") from error
    return BytesBlob(content, head.partition(";")[0])


def _is_loopback(host: str | None) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False
