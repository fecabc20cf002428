"""Which requests answer for the jobs that are due: pages where they pay, else one by one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from krea_aleph._plan import LONGEST_PAGE, Crowding, Place, plan

EMPTY = Crowding()


@st.composite
def places(draw: st.DrawFn) -> list[Place]:
    """Make jobs, newest first, some at the same moment, some far apart."""
    gaps = draw(st.lists(st.sampled_from([0.0, 0.001, 0.1, 3.0, 60.0, 5000.0]), max_size=60))
    created, found = 1_800_000_000.0, []
    for gap in gaps:
        created -= gap
        found.append(Place(created, draw(st.booleans())))
    return found


crowdings = st.builds(Crowding, st.floats(0, 500), st.floats(1, 200))


@given(places(), crowdings, st.integers(0, 5))
def test_a_plan_never_costs_more_than_asking_one_by_one(
    found: list[Place], crowding: Crowding, credit: int
) -> None:
    """Each page is for at least one who is due, pages do not overlap, and none is too long."""
    pages = plan(found, crowding, credit)
    end = 0
    for page in pages:
        assert end <= page.start < page.stop <= len(found)
        assert any(place.due for place in found[page.start : page.stop])
        assert 1 <= page.limit <= LONGEST_PAGE
        end = page.stop
    on_pages = {number for page in pages for number in range(page.start, page.stop)}
    alone = [number for number, place in enumerate(found) if place.due and number not in on_pages]
    assert len(pages) + len(alone) <= sum(place.due for place in found)


@given(places(), crowdings)
def test_without_credit_a_page_begins_at_who_is_due(found: list[Place], crowding: Crowding) -> None:
    """Such a page answers for one job at least, whatever else is in the list."""
    for page in plan(found, crowding, 0):
        assert found[page.start].due


def test_jobs_close_together_share_a_page() -> None:
    """A thousand take one page, two thousand take two."""
    row = [Place(1000.0 - number / 10, due=True) for number in range(2000)]
    assert [page.stop - page.start for page in plan(row[:1000], EMPTY, 0)] == [1000]
    assert [page.limit for page in plan(row, EMPTY, 0)] == [1000, 1000]


def test_a_straggler_is_asked_for_by_itself() -> None:
    """A job behind hundreds of others' jobs does not draw them all in."""
    row = [Place(1000.0, due=True), Place(999.0, due=True), Place(400.0, due=True)]
    (page,) = plan(row, Crowding(rate=1.0), 0)
    assert (page.start, page.stop) == (0, 2)
    assert page.limit < 40


def test_a_crowded_account_is_asked_one_by_one() -> None:
    """Where every page would be full of others' jobs, there are no pages."""
    row = [Place(1000.0 - 10 * number, due=True) for number in range(20)]
    assert plan(row, Crowding(rate=100.0), 0) == []
    assert plan(row, EMPTY, 0) != []


def test_one_who_is_due_takes_its_neighbours_along() -> None:
    """The request is made anyway: who is near is seen for nothing; alone it is a single look."""
    row = [Place(1000.0 - number, due=number == 3) for number in range(6)]
    assert [(page.start, page.stop) for page in plan(row, EMPTY, 1)] == [(0, 6)]
    assert [(page.start, page.stop) for page in plan(row, EMPTY, 0)] == [(3, 6)]
    assert [(page.start, page.stop) for page in plan(row, Crowding(20.0), 0)] == [(3, 6)]
    assert plan(row, Crowding(200.0), 0) == []
    assert plan(row[3:4], EMPTY, 1) == []
