"""Files over HTTP: whole or in part, with tags, and never to somebody who shows a key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from krea_aleph.emulator.answers import Answer, html_page
from krea_aleph.emulator.blobs import Slice, requested_range
from krea_aleph.emulator.values import DOWNLOAD

if TYPE_CHECKING:
    from starlette.requests import Request

    from krea_aleph.emulator.blobs import Blob
    from krea_aleph.emulator.quirks import Switches


def answer(request: Request, blob: Blob | None, switches: Switches) -> Answer:
    """Answer a GET or HEAD of a file."""
    if request.method not in {"GET", "HEAD"}:
        return Answer(405, {"error": "Method not allowed"}, headers={"allow": "GET, HEAD"})
    if "authorization" in request.headers:
        words = "The API key must not be sent to output hosts"
        return Answer(400, {"error": words}, problem=words, operation=DOWNLOAD)
    if blob is None:
        return html_page()
    etag = f"W/{blob.etag}" if "weak_etags" in switches else blob.etag
    answer = Answer(200, part=Slice(blob, 0, blob.size), operation=DOWNLOAD)
    answer.headers |= {"etag": etag, "accept-ranges": "bytes"}
    if "ranges_ignored" not in switches and _part_wanted(request, etag):
        _narrow(answer, blob, request.headers["range"])
    return answer


def _part_wanted(request: Request, etag: str) -> bool:
    """Say whether the Range header counts: not if the file is another one than If-Range names."""
    condition = request.headers.get("if-range")
    fresh = condition is None or (condition == etag and not etag.startswith("W/"))
    return "range" in request.headers and fresh


def _narrow(answer: Answer, blob: Blob, header: str) -> None:
    try:
        wanted = requested_range(header, blob.size)
    except ValueError:
        answer.status = 416
        answer.part = Slice(blob, 0, 0)
        answer.headers["content-range"] = f"bytes */{blob.size}"
        return
    if wanted is not None:
        start, stop = wanted
        answer.status = 206
        answer.part = Slice(blob, start, stop)
        answer.headers["content-range"] = f"bytes {start}-{stop - 1}/{blob.size}"
