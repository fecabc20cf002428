"""What `--json` prints: one document a line, told apart by their ``type``."""

from __future__ import annotations

from typing import Any

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from krea_aleph.models import Asset, Cancellation, Job, Saved, Update
    from krea_aleph.outcomes import Failed, Succeeded

Document = dict[str, Any]


def job(found: Job, *, kind: str = "job", raw: bool = False) -> Document:
    """Return a job; with all that the server sent, if that is wanted."""
    document: Document = {
        "type": kind,
        "id": found.id,
        "status": found.status,
        "finished": found.finished,
        "succeeded": found.succeeded,
        "account": found.account,
        "created_at": _time(found.created_at),
        "completed_at": _time(found.completed_at),
        "outputs": [{"url": output.url, "kind": output.kind} for output in found.outputs],
        "error_code": found.error_code,
        "error_message": found.error_message,
    }
    return {**document, "raw": dict(found.raw)} if raw else document


def update(news: Update) -> Document:
    """Return one change of a job."""
    return {
        "type": "update",
        "job_id": news.job.id,
        "status": news.job.status,
        "elapsed": round(news.elapsed, 3),
        "poll_faults": news.poll_faults,
        "next_look": round(news.next_look, 3),
        "source": news.source,
    }


def saved(result: Saved) -> Document:
    """Return what was saved."""
    return {
        "type": "saved",
        "path": str(result.path),
        "paths": [str(path) for path in result.paths],
        "media_type": result.media_type,
        "size_bytes": result.size_bytes,
        "sha256": result.sha256,
        "job_id": None if result.job is None else result.job.id,
    }


def asset(found: Asset) -> Document:
    """Return an uploaded file."""
    return {
        "type": "asset",
        "id": found.id,
        "url": found.url,
        "media_type": found.media_type,
        "size_bytes": found.size_bytes,
    }


def cancellation(result: Cancellation) -> Document:
    """Return what came of cancelling."""
    return {
        "type": "cancellation",
        "job_id": result.job.id,
        "outcome": result.outcome,
        "status": result.job.status,
    }


def outcome(result: Succeeded | Failed, failure: Mapping[str, Any] | None) -> Document:
    """Return what became of one item of a batch, and of a failed one why."""
    meta = result.item.get("meta") if isinstance(result.item, dict) else None
    document: Document = {
        "type": "outcome",
        "index": result.index,
        "job_id": None if result.job is None else result.job.id,
        "meta": meta,
    }
    if failure is not None:
        return {**document, "ok": False, "error": dict(failure)}
    files = getattr(result, "saved", None)
    return {**document, "ok": True, "saved": None if files is None else saved(files)}


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
