"""Values as cards, which notebooks show: the facts, and the video where it is on this disk.

A card stands alone: it asks nobody for anything, and its text is text, whatever it holds. Its
styles are in its elements, because notebooks take others away.
"""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlsplit

from krea_aleph.models import Asset, Job, ObjectAddress, Saved
from krea_aleph.pages._escape import as_html

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

MOST_EMBEDDED_BYTES: Final = 8_000_000
"""The largest file that a card holds; a notebook grows by a third more than that."""

_VIDEOS: Final = frozenset({"video/mp4", "video/quicktime", "video/webm"})
_PICTURES: Final = frozenset({"image/jpeg", "image/png", "image/webp"})
_CARD: Final = (
    "border:1px solid #8886;border-radius:6px;padding:8px 12px;display:inline-block;"
    "max-width:100%;box-sizing:border-box"
)
_MEDIA: Final = "display:block;max-width:100%;max-height:360px;margin:0 0 8px"
_NAME: Final = "text-align:left;font-weight:600;padding:2px 12px 2px 0;vertical-align:top"
_VALUE: Final = "text-align:left;padding:2px 0;overflow-wrap:anywhere"
_EXPIRES: Final = "an address that expires: download it soon"

Row = tuple[str, str]


def bundle(value: Job | Saved | Asset) -> dict[str, str]:
    """Return a value in the forms that a notebook chooses from: a card, and plain text."""
    return {"text/plain": repr(value), "text/html": card(value)}


def card(value: Job | Saved | Asset) -> str:
    """Return a value as HTML."""
    if isinstance(value, Job):
        return _card(f"Job {value.id}: {value.status}", "", _job_rows(value))
    if isinstance(value, Asset):
        return _card(f"Asset {value.id}", "", _asset_rows(value))
    media, note = _media(value)
    return _card(f"Saved: {value.path}", media, _saved_rows(value, note))


def _card(title: str, media: str, rows: Iterator[Row]) -> str:
    table = "".join(
        f'<tr><th scope="row" style="{_NAME}">{as_html(name)}</th>'
        f'<td style="{_VALUE}">{value}</td></tr>'
        for name, value in rows
    )
    return (
        f'<div class="krea-aleph-card" role="group" aria-label="{as_html(title)}"'
        f' style="{_CARD}">{media}<table style="border-collapse:collapse;margin:0">'
        f"<tbody>{table}</tbody></table></div>"
    )


def _job_rows(job: Job) -> Iterator[Row]:
    yield "job", _text(job.id)
    yield "status", _text(job.status)
    if job.account != "default":
        yield "account", _text(job.account)
    yield from _times(job)
    reason = ": ".join(part for part in (job.error_code, job.error_message) if part)
    if reason:
        yield "reason", _text(reason)
    for output in job.outputs:
        yield output.kind, _link(output.url, _EXPIRES)


def _times(job: Job) -> Iterator[Row]:
    if job.created_at is not None:
        yield "created", _time(job.created_at)
    if job.completed_at is not None:
        yield "ended", _time(job.completed_at)
    if job.created_at is not None and job.completed_at is not None:
        yield "took", f"{(job.completed_at - job.created_at).total_seconds():.0f} s"


def _asset_rows(asset: Asset) -> Iterator[Row]:
    yield "asset", _text(asset.id)
    if asset.account != "default":
        yield "account", _text(asset.account)
    if asset.media_type is not None:
        yield "kind", _text(asset.media_type)
    if asset.size_bytes is not None:
        yield "size", _size(asset.size_bytes)
    if asset.width is not None and asset.height is not None:
        yield "pixels", _text(f"{asset.width} x {asset.height}")
    if asset.uploaded_at is not None:
        yield "uploaded", _time(asset.uploaded_at)
    yield "file", _link(asset.url, "at Krea")


def _saved_rows(saved: Saved, note: str) -> Iterator[Row]:
    for number, path in enumerate(saved.paths or (saved.path,)):
        yield "" if number else "file", _place(path)
    if note:
        yield "video", _text(note)
    yield "kind", _text(saved.media_type)
    yield "size", _size(saved.size_bytes)
    if saved.sha256:
        yield "sha256", _text(saved.sha256)
    if saved.job is not None:
        yield "job", _text(saved.job.id)
        yield from _times(saved.job)


def _media(saved: Saved) -> tuple[str, str]:
    """Return the element that shows a file, or why there is none."""
    place: Path | ObjectAddress = saved.path
    if isinstance(place, ObjectAddress):
        return "", "in a bucket: download it to see it"
    if saved.media_type not in _VIDEOS | _PICTURES:
        return "", ""
    try:
        if place.stat().st_size > MOST_EMBEDDED_BYTES:
            return "", f"too large to be shown here ({MOST_EMBEDDED_BYTES:,} bytes at most)"
        content = place.read_bytes()
    except OSError as error:
        return "", f"not shown: {error.strerror}"
    return _element(saved.media_type, place.name, content), ""


def _element(media_type: str, name: str, content: bytes) -> str:
    address = f"data:{media_type};base64,{b64encode(content).decode()}"
    what = f'style="{_MEDIA}" src="{address}"'
    if media_type in _PICTURES:
        return f'<img alt="{as_html(name)}" {what}>'
    return f'<video controls loop muted playsinline aria-label="{as_html(name)}" {what}></video>'


def _place(place: Path | ObjectAddress) -> str:
    """Return where a file is, as a link if this browser may reach it."""
    if isinstance(place, ObjectAddress):
        return _text(place)
    return f'<a href="{as_html(_address(place))}">{_text(place)}</a>'


def _address(path: Path) -> str:
    """Return the address of a file: from the current folder, where notebooks run, or in full."""
    absolute = path.absolute()
    try:
        inside = absolute.relative_to(Path.cwd())
    except (OSError, ValueError):
        return absolute.as_uri()
    return f"./{quote(inside.as_posix())}"


def _link(url: str, words: str) -> str:
    """Return an address as a link that says its host; what is no web address as text."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return _text(url)
    if parts.scheme not in {"http", "https"} or host is None:
        return _text(url)
    address = (
        f'<a href="{as_html(url)}" rel="noreferrer noopener" target="_blank">{_text(host)}</a>'
    )
    return f"{address} ({as_html(words)})"


def _text(value: object) -> str:
    """Return text that keeps its own direction to itself."""
    return f"<bdi>{as_html(value)}</bdi>"


def _size(value: object) -> str:
    return f"{value:,} bytes" if isinstance(value, int) else _text(value)


def _time(moment: datetime) -> str:
    return _text(f"{moment:%Y-%m-%d %H:%M:%S %Z}".strip())
