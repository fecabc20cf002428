"""Going through lists."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from krea_aleph._paging import emit_pages
from krea_aleph._wire import Page
from krea_aleph.models import Job

from .transcript import Stage

if TYPE_CHECKING:
    from collections.abc import Callable

    from krea_aleph._steps import Steps


def page(cursor: str | None, *ids: str) -> Page:
    """Make a page of jobs."""
    return Page(tuple(Job(job_id, "completed") for job_id in ids), cursor)


def shown(*pages: Page, wanted: Callable[[Job], bool] = lambda _: True) -> tuple[list[str], int]:
    """Go through pages, the last one coming again and again; return the ids and the requests."""
    asked: list[str | None] = []

    def fetch_page(cursor: str | None) -> Steps[Page]:
        asked.append(cursor)
        yield from ()  # a page costs no step here
        found = pages[min(len(asked), len(pages)) - 1]
        # Always another cursor, as a broken server might send, where the test does not care.
        return found._replace(cursor=f"c{len(asked)}") if found.cursor == "any" else found

    stage = Stage()
    stage.play(emit_pages(fetch_page, wanted=wanted))
    return [job.id for job in stage.updates], len(asked)


def test_pages_in_order() -> None:
    """Every item of every page is shown, those that two pages share once."""
    pages = (page("c1", "a", "b"), page("c2", "b", "c"), page(None, "d"))
    assert shown(*pages) == (["a", "b", "c", "d"], 3)


@pytest.mark.parametrize("idle", [1, 9])
def test_a_page_that_shows_nothing_does_not_end_the_list(idle: int) -> None:
    """What comes after empty pages is shown, and nothing that came before them again."""
    empty = [page("any")] * idle
    assert shown(page("any", "a"), *empty, page(None, "a", "b")) == (["a", "b"], idle + 2)


@pytest.mark.parametrize("ids", [(), ("a",)], ids=["empty", "the same"])
def test_a_server_that_never_ends(ids: tuple[str, ...]) -> None:
    """Ten pages in a row without anything new end the list, whatever cursors they have."""
    assert shown(page("any", "a"), page("any", *ids)) == (["a"], 11)


def test_a_cursor_that_comes_again() -> None:
    """A cursor that was there before ends the list."""
    assert shown(page("c1", "a"), page("c2", "b"), page("c1", "c")) == (["a", "b", "c"], 3)


def test_a_page_with_nothing_wanted() -> None:
    """Items that are no longer wanted end the list: only older ones can follow."""
    pages = (page("any", "a", "b"), page("any"), page("any", "b", "c"), page(None, "d"))
    assert shown(*pages, wanted=lambda job: job.id == "a") == (["a"], 3)
