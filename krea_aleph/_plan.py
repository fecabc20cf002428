"""Which requests answer for the jobs that are due: pages of a list, or one by one. Pure arithmetic.

A page of ``GET /jobs`` begins where it is told to, with the jobs created before a moment, newest
first. One that begins at a job that is due answers for that job at least, so it never costs more
than asking for the job by itself; and for all that were created not long before it, it is free.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

LONGEST_PAGE: Final = 1000
"""The most jobs that Krea gives out on a page."""
# One request is worth so many rows: about what they cost in time to read and to send.
_ROWS_A_REQUEST: Final = 250
# What one job's page may reach over, so that others near it are seen too.
_NEAR: Final = 100
# A list grows while one looks: a page is asked to be somewhat longer than it was seen to be.
_SPARE: Final = 1.25
_SPARE_ROWS: Final = 20


class Place(NamedTuple):
    """A job's place in the list.

    Attributes:
        created: When it was created, in Unix seconds of the server.
        due: Whether somebody wants to know of it now.
    """

    created: float
    due: bool


class Stretch(NamedTuple):
    """One page to ask for.

    Attributes:
        start: The first of the places that it is to answer for.
        stop: The place after the last one.
        limit: How many rows to ask for.
    """

    start: int
    stop: int
    limit: int


class Crowding(NamedTuple):
    """How full the list is of jobs that nobody here waits for, as far as pages have shown.

    Attributes:
        rate: How many of them it gets in a second.
        share: How many rows there were for each job that is waited for, where there were any.
    """

    rate: float = 0.0
    share: float = 1.0


def plan(places: Sequence[Place], crowding: Crowding, credit: int) -> list[Stretch]:
    """Return the pages to ask for. Who is due and on none of them is asked for by itself.

    Args:
        places: Newest first.
        crowding: What else is in the list.
        credit: How many requests pages have saved so far. Only who has some may begin a page above
            the first job that is due, for the sake of jobs that will soon be: it might not reach.
    """
    pages: list[Stretch] = []
    start = 0
    while start < len(places):
        stop = _end(places, start, crowding.rate)
        page = _page(places, start, stop, crowding, credit)
        if page is not None:
            pages.append(page)
        start = stop
    return pages


def _end(places: Sequence[Place], start: int, rate: float) -> int:
    """Return where a page from a start on ends: before a wide gap, or when it is full."""
    stop = start + 1
    while stop < len(places):
        gap = rate * (places[stop - 1].created - places[stop].created)
        if gap > _ROWS_A_REQUEST or _rows(places, start, stop + 1, rate) > LONGEST_PAGE:
            break
        stop += 1
    return stop


def _page(
    places: Sequence[Place], start: int, stop: int, crowding: Crowding, credit: int
) -> Stretch | None:
    """Return the page for a stretch of places, if one is worth it."""
    due = [number for number in range(start, stop) if places[number].due]
    if not due:
        return None
    start = start if credit > 0 else due[0]
    # The others of this stretch come for nothing, but are not worth reaching for; only one who is
    # due alone, for whom a request is made anyway, takes those along who are near.
    near = stop if len(due) == 1 else due[-1] + 1
    while near > due[-1] + 1 and _rows(places, start, near, crowding.rate) > _NEAR:
        near -= 1
    rows = _rows(places, start, near, crowding.rate)
    worth = _ROWS_A_REQUEST * len(due) if len(due) > 1 else _NEAR * (near - start > 1)
    if rows > worth:
        return None
    limit = math.ceil(max(rows, crowding.share * (near - start)) * _SPARE) + _SPARE_ROWS
    return Stretch(start, near, min(LONGEST_PAGE, limit))


def _rows(places: Sequence[Place], start: int, stop: int, rate: float) -> float:
    return stop - start + rate * (places[start].created - places[stop - 1].created)
