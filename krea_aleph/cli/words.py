"""How values read: times, sizes, jobs; the same in every place that people look at."""

from __future__ import annotations

import json
from inspect import cleandoc
from typing import Final

from krea_aleph.errors import one_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from krea_aleph.models import Job, Progress, Saved, Update
    from krea_aleph.outcomes import Failed, Succeeded

_MINUTE: Final = 60
_HOUR: Final = 3600
_STEP: Final = 1000
_UNITS: Final = ("B", "kB", "MB", "GB")


def seconds(value: float) -> str:
    """Return a length of time: "7 s", "2:49", "1:02:03"."""
    whole = round(max(0.0, value))
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE}:{whole % _MINUTE:02}"
    return f"{whole // _HOUR}:{whole % _HOUR // _MINUTE:02}:{whole % _MINUTE:02}"


def size(value: float) -> str:
    """Return an amount of bytes, in the units that the limits of the API are given in."""
    for unit in _UNITS[:-1]:
        if value < _STEP:
            return (
                f"{value:.0f} {unit}"
                if unit == "B" or value >= _STEP / 10
                else (f"{value:.1f} {unit}")
            )
        value /= _STEP
    return f"{value:.1f} {_UNITS[-1]}"


def visible(text: str, *, lines: bool = True) -> str:
    """Return text for a terminal: what would steer it, or turn its order round, is spelt out.

    It is spelt as in JSON, so that a document is still one.
    """
    kept = "\n\t" if lines else ""
    return "".join(
        sign if sign.isprintable() or sign in kept else json.dumps(sign)[1:-1] for sign in text
    )


def rate(amount: float, duration: float) -> str:
    """Return how fast bytes go, if that can be told."""
    return f"{size(amount / duration)}/s" if duration > 0 else ""


def share(progress: Progress) -> str:
    """Return how far a transfer is: "1.2 MB of 3.4 MB"."""
    if progress.total is None:
        return size(progress.done)
    return f"{size(progress.done)} of {size(progress.total)}"


def status(job: Job) -> str:
    """Return a job's status as one line: some words are the server's."""
    return one_line(job.status)


def faults(update: Update) -> str:
    """Return how many looks have failed, if any."""
    if not update.poll_faults:
        return ""
    return f"{update.poll_faults} missed look{'s' if update.poll_faults > 1 else ''}"


def age(update: Update, since: float = 0.0) -> str:
    """Return how long a job took, or so many seconds after the update how long it is waited for.

    The two differ for a job that somebody goes on with. How long one runs that has not ended is not
    told, since the server's clock may be another.
    """
    job = update.job
    if job.finished and job.created_at is not None and job.completed_at is not None:
        return f"took {seconds((job.completed_at - job.created_at).total_seconds())}"
    return f"waited {seconds(update.elapsed + since)}"


def line(update: Update) -> str:
    """Return one update as one line."""
    parts = [status(update.job), age(update), faults(update)]
    if update.next_look:
        parts += [f"next look in {seconds(update.next_look)}"]
    return ", ".join(filter(None, parts))


def facts(job: Job) -> list[tuple[str, str]]:
    """Return what there is to say about a job, as names and values."""
    rows = [("job", job.id), ("status", status(job))]
    if job.created_at is not None:
        rows += [("created", f"{job.created_at:%Y-%m-%d %H:%M:%S %Z}")]
    if job.completed_at is not None:
        rows += [("ended", f"{job.completed_at:%Y-%m-%d %H:%M:%S %Z}")]
    if job.created_at is not None and job.completed_at is not None:
        rows += [("took", seconds((job.completed_at - job.created_at).total_seconds()))]
    if job.error_code or job.error_message:
        detail = ": ".join(part for part in (job.error_code, job.error_message) if part)
        rows += [("reason", one_line(detail))]
    rows += [(output.kind, one_line(output.url)) for output in job.outputs]
    return rows


def sentences(*parts: str) -> str:
    """Return sentences as one text, each with an end."""
    return " ".join(
        part if part.endswith((".", "!", "?")) else f"{part}." for part in parts if part
    )


def row(result: Succeeded | Failed) -> str:
    """Return which row of a batch it is, as people count them: the first is 1."""
    return f"row {result.index + 1}"


def failed(result: Failed | Succeeded, message: str, hint: str, go_on: Sequence[str]) -> list[str]:
    """Return the lines about a row that failed, each with the row; of a bad one with its line."""
    line = getattr(result.item, "line", None)
    if line is None:
        place = row(result)
    else:
        place = f"{row(result)} (line {line})"
        message = message.replace(f"line {line}: ", "", 1)  # the library says where it is, too
    return [
        f"{place} failed: {sentences(message, hint)}",
        *(f"{row(result)}: go on with: {command}" for command in go_on),
    ]


def paragraphs(docstring: str | None) -> str:
    """Return a docstring with its paragraphs unwrapped, for whoever wraps them anew."""
    found = cleandoc(docstring or "").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in found)


def saved(result: Saved) -> str:
    """Return what was saved, as one line."""
    more = f" and {len(result.paths) - 1} more" if len(result.paths) > 1 else ""
    return f"saved {one_line(str(result.path))}{more}, {size(result.size_bytes)}"
