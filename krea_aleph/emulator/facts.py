"""What can be told of a job or an asset, as JSON, in every key and form that Krea has used for it.

The contract decides which of these keys and forms are sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from krea_aleph.emulator.answers import JOB_TYPE
from krea_aleph.emulator.jobs import STAGES
from krea_aleph.emulator.moments import stamp
from krea_aleph.emulator.shapes import Forms
from krea_aleph.models import BACKLOGGED, TERMINAL

if TYPE_CHECKING:
    from krea_aleph.emulator.accounts import Asset
    from krea_aleph.emulator.jobs import SimulatedJob
    from krea_aleph.emulator.values import Outcome, UrlForm


VERBATIM: Final = "verbatim"
"""The key of what a test has asked for by name: it is told whatever the contract says."""

_USUAL: Final = {BACKLOGGED, *STAGES, *TERMINAL}


def of_job(job: SimulatedJob, now: float, base_url: str, form: UrlForm) -> dict[str, Any]:
    """Return a job as it stands at a moment for which it has been advanced."""
    status = job.status(now)
    facts: dict[str, Any] = {
        "job_id": job.id,
        "id": job.id,
        "status": status,
        "created_at": stamp(job.created),
        "completed_at": None if job.ended is None else stamp(job.ended),
        "result": None,
        "type": JOB_TYPE,
    }
    if job.end == "completed":
        facts |= _success(job, base_url, form)
    elif job.end == "failed":
        facts |= _failure(job.outcome)
    if status not in _USUAL:
        facts[VERBATIM] = {"status": status}
    return facts


def of_asset(asset: Asset) -> dict[str, Any]:
    """Return an asset."""
    facts = {
        "id": asset.id,
        "image_url": asset.url,
        "url": asset.url,
        "uploaded_at": stamp(asset.uploaded),
        "width": None,
        "height": None,
        "size_bytes": asset.blob.size,
        "mime_type": asset.blob.media_type,
    }
    return facts if asset.description is None else facts | {"description": asset.description}


def of_page(items: list[dict[str, Any]], cursor: str | None) -> dict[str, Any]:
    """Return a page of a list."""
    return {"items": items, "next_cursor": cursor, "nextCursor": cursor}


def of_refusal(status: int, words: str) -> dict[str, Any]:
    """Return why a request is refused."""
    error = {"code": f"http_{status}", "message": words}
    return {"error": Forms((words, error)), "message": words}


def output_name(job_id: str, number: int) -> str:
    """Return the file name of a job's output, counted from 0."""
    return f"videos/{job_id}{f'-{number + 1}' if number else ''}.mp4"


def preview_name(job_id: str) -> str:
    """Return the file name of a job's preview."""
    return f"images/{job_id}-preview.png"


def _success(job: SimulatedJob, base_url: str, form: UrlForm) -> dict[str, Any]:
    urls = [f"{base_url}/files/{name}" for name in job.outputs]
    preview = {"type": "preview", "url": f"{base_url}/files/{preview_name(job.id)}"}
    if not urls or form == "none":
        return {"result": {}}
    named = {f"video{number or ''}": url for number, url in enumerate(urls)}
    match form:
        case "objects":
            told = [Forms(({"type": "model", "url": url}, url)) for url in urls]
            return {"result": {"urls": Forms(([*told, preview], named))}}
        case "map":
            return {VERBATIM: {"result": {"urls": named}}}
        case "video_url":
            return {VERBATIM: {"result": {"video_url": urls[0], "duration": 5.0, "fps": 24}}}
        case "top_level":
            return {VERBATIM: {"result": None, "urls": urls}}
        case _:
            told = [Forms((url, {"type": "model", "url": url})) for url in urls]
            return {"result": {"urls": Forms((told, named))}}


def _failure(outcome: Outcome) -> dict[str, Any]:
    if outcome.result_error is not None:
        return {VERBATIM: {"result": {"error": outcome.result_error}}}
    if outcome.error is None:
        return {"result": {}, "error": None}
    error = dict(outcome.error)
    return {"result": {}, "error": Forms((error, ": ".join(error.values())))}
