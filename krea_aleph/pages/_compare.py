"""The page that shows two videos in step, one uncovered by the other."""

from __future__ import annotations

from base64 import b64encode
from typing import Any, Final

from krea_aleph._placing import Place
from krea_aleph.errors import InvalidRequestError
from krea_aleph.pages import _clips
from krea_aleph.pages._clips import Clip
from krea_aleph.pages._escape import as_html, as_json, readable
from krea_aleph.pages._frames import frame_seconds
from krea_aleph.pages._sheets import filled, page, part

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from krea_aleph.models import Exists, StrPath

# A multiple of three bytes is written without padding, so that pieces follow each other.
_PIECE_BYTES: Final = 3 * 2**20
_PIECE: Final = '<script type="text/plain" data-clip="{}">'


def write(before: StrPath, after: StrPath, output: StrPath, *, link: bool, exists: Exists) -> Path:
    """Write the page, as `krea_aleph.pages.compare` says, and return its path."""
    clips = {"before": Clip.checked("before", before), "after": Clip.checked("after", after)}
    place = Place.checked(output, exists, "compare.html")
    if place.kept:
        return place.path
    pieces = _pieces(clips, place.path if link else None)
    return place.fill(lambda file: file.writelines(pieces))


def _pieces(clips: dict[str, Clip], linked: Path | None) -> Iterator[bytes]:
    """Yield the page, the videos a piece at a time, unless it is linked to them from its place."""
    name = clips["after"].path.name
    known = {side: _known(clip, linked) for side, clip in clips.items()}
    names = {side: as_html(clip.path.name) for side, clip in clips.items()}
    body = filled(
        part("compare.html"), {**names, "player": part("player.html"), "clips": as_json(known)}
    )
    begin, end = page(
        f"Before and after: {name}",
        body,
        styles=["page.css", "player.css"],
        scripts=["player.js", "compare.js"],
        media="'self' file:" if linked else "blob:",
    )
    yield begin.encode()
    for side, clip in clips.items():
        yield from () if linked else _embedded(side, clip)
    yield end.encode()


def _known(clip: Clip, linked: Path | None) -> dict[str, Any]:
    """Return what the page's script has to know of a video."""
    return {
        "type": clip.media_type,
        "name": readable(clip.path.name),
        "frame": frame_seconds(clip.path),
        "link": None if linked is None else _clips.link(linked, clip.path),
    }


def _embedded(side: str, clip: Clip) -> Iterator[bytes]:
    """Yield a video as the page holds it, at constant memory.

    Raises:
        InvalidRequestError: It is no longer what was looked at.
    """
    left = clip.size
    with clip.path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            left -= len(piece)
            yield _PIECE.format(side).encode()
            yield b64encode(piece)
            yield b"</script>\n"
    if left:
        raise InvalidRequestError(side, f"{str(clip.path)!r} has changed since it was looked at")
