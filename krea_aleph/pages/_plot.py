"""How many jobs were under way at each moment, drawn as a picture of lines."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from typing import Final, NamedTuple

from krea_aleph.pages._escape import as_html

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_WIDTH: Final = 800
_HEIGHT: Final = 100
_FRAME: Final = """<figure class="plot">
<svg viewBox="0 0 {width} {height}" preserveAspectRatio="none" role="img" aria-label="{words}">
<path class="area" d="{area}"/><path class="line" d="{line}"/></svg>
<figcaption class="dim">{words}</figcaption>
</figure>"""


class Step(NamedTuple):
    """From a moment on so many jobs are under way."""

    moment: float
    jobs: int


def steps(spans: Iterable[tuple[float, float]]) -> list[Step]:
    """Return how the number of jobs under way changes, in order."""
    changes: dict[float, int] = {}
    for begin, end in spans:
        changes[begin] = changes.get(begin, 0) + 1
        changes[end] = changes.get(end, 0) - 1
    found: list[Step] = []
    count = 0
    for moment in sorted(changes):
        count += changes[moment]
        found.append(Step(moment, count))
    return found


def columns(found: list[Step], number: int) -> list[int]:
    """Return the most that were under way in each of so many equal parts of the time."""
    begin, end = found[0].moment, found[-1].moment
    width = (end - begin) / number or 1.0
    most = [0] * number
    for step, after in pairwise(found):
        first = min(number - 1, int((step.moment - begin) / width))
        last = min(number - 1, int((after.moment - begin) / width))
        for place in range(first, last + 1):
            most[place] = max(most[place], step.jobs)
    return most


def plot(spans: Iterable[tuple[float, float]]) -> str:
    """Return the picture as HTML; nothing where no job is known to have ended."""
    found = steps(spans)
    if not found:
        return ""
    heights = columns(found, _WIDTH)
    most = max(heights) or 1
    points = [
        f"{place},{_HEIGHT - (_HEIGHT - 2) * count / most:.1f}"
        for place, count in enumerate(heights)
    ]
    line = "M" + "L".join(points)
    words = (
        f"Jobs under way over time: at most {most}, from {_told(found[0].moment)} to"
        f" {_told(found[-1].moment)}."
    )
    area = f"{line}L{_WIDTH},{_HEIGHT}L0,{_HEIGHT}Z"
    return _FRAME.format(width=_WIDTH, height=_HEIGHT, words=as_html(words), area=area, line=line)


def _told(moment: float) -> str:
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M:%S} UTC"
