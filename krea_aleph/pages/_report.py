"""The page that shows what became of the jobs whose results are in a folder."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from krea_aleph._placing import Place
from krea_aleph.errors import InvalidRequestError
from krea_aleph.pages._escape import as_html, as_json, readable
from krea_aleph.pages._plot import plot
from krea_aleph.pages._rows import Cause, Row, cause_key, causes_of, rows_of, told
from krea_aleph.pages._sheets import filled, page, part

TYPE_CHECKING = False
if TYPE_CHECKING:
    from krea_aleph.models import Exists, StrPath
    from krea_aleph.store import Store

_OURS: Final = b'<meta name="generator" content="krea_aleph">'
_HEAD_BYTES: Final = 4096
_CAUSES: Final = """<h2>Why some failed</h2>
<div class="wide"><table>
<thead><tr><th scope="col">Cause</th><th scope="col">Rows</th><th scope="col">Charged</th>\
<th scope="col">Submit again</th><th scope="col">What to do</th></tr></thead>
<tbody>
{rows}
</tbody></table></div>"""
_CAUSE: Final = (
    '<tr><th scope="row"><button type="button" data-cause="{number}">{name}</button></th>'
    "<td>{rows}</td><td>{charged}</td><td>{resubmit}</td><td>{hint}</td></tr>"
)


def write(folder: StrPath, output: StrPath | None, store: Store | None, exists: Exists) -> Path:
    """Write the page, as `krea_aleph.pages.report` says, and return its path."""
    if store is not None and not callable(getattr(store, "noted", None)):
        raise InvalidRequestError("store", f"{type(store).__name__} has no method 'noted'")
    place_of_clips = _folder(folder)
    place = Place.checked(place_of_clips if output is None else output, exists, "report.html")
    if exists == "replace":
        _refuse_others(place.path)
    if place.kept:
        return place.path
    rows = rows_of(place_of_clips, () if store is None else store.noted())
    text = _page(place_of_clips, rows, place.path)
    return place.fill(lambda file: file.write(text.encode()))


def _folder(folder: StrPath) -> Path:
    try:
        path = Path(folder)
        found = path.is_dir()
    except (TypeError, ValueError, OSError):
        raise InvalidRequestError("folder", f"{folder!r} is no path of a folder") from None
    if not found:
        raise InvalidRequestError("folder", f"{str(path)!r} is no folder")
    return path


def _refuse_others(path: Path) -> None:
    """Refuse to replace what somebody else has written."""
    try:
        with path.open("rb") as file:
            ours = _OURS in file.read(_HEAD_BYTES)
    except FileNotFoundError:
        return
    except OSError as error:
        problem = f"{str(path)!r} cannot be read: {error.strerror}"
        raise InvalidRequestError("output", problem) from error
    if not ours:
        raise InvalidRequestError(
            "output", f"{str(path)!r} exists and is no page of this library", hint="Name another."
        )


def _page(folder: Path, rows: list[Row], page_path: Path) -> str:
    causes = causes_of(rows)
    numbers = {cause[:3]: number for number, cause in enumerate(causes)}
    known = []
    for row in rows:
        facts = told(row, folder, page_path)
        if (key := cause_key(row)) is not None:
            facts["cause"] = numbers[key]
        known.append(facts)
    name = folder.resolve().name or str(folder)
    body = filled(
        part("report.html"),
        {
            "name": as_html(name),
            "counts": as_html(_counts(rows)),
            "made": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
            "plot": plot(span for row in rows if (span := row.span) is not None),
            "causes": _table(causes),
            "player": part("player.html"),
            "rows": as_json({"rows": known, "causes": [readable(cause.name) for cause in causes]}),
        },
    )
    begin, end = page(
        f"Report: {name}",
        body,
        styles=["page.css", "player.css", "report.css"],
        scripts=["player.js", "report.js"],
        media="'self' file:",
    )
    return begin + end


def _counts(rows: list[Row]) -> str:
    counter = Counter(row.status for row in rows)
    parts = [f"{count} {status}" for status, count in counter.most_common()]
    return ", ".join([f"{len(rows)} in all", *parts])


def _table(causes: list[Cause]) -> str:
    if not causes:
        return ""
    rows = (
        _CAUSE.format(
            number=number, **{name: as_html(value) for name, value in cause._asdict().items()}
        )
        for number, cause in enumerate(causes)
    )
    return _CAUSES.format(rows="\n".join(rows))
