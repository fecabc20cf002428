"""Going through a list page by page."""

from __future__ import annotations

from typing import Any, Final

from krea_aleph._steps import emit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from krea_aleph._steps import Steps
    from krea_aleph._wire import Page


# Some pages may show nothing that can be read; a server that sends only such ones is broken.
_MOST_IDLE_PAGES: Final = 10


def emit_pages(
    fetch_page: Callable[[str | None], Steps[Page]],
    *,
    cursor: str | None = None,
    wanted: Callable[[Any], bool] = lambda _: True,
) -> Steps[None]:
    """Show every wanted item, and stop at a page that has only unwanted ones: newest come first.

    The cursor is a time, and several items may share one: an item that ends one page and begins
    the next is shown once. A page that shows nothing does not end the list, but ten in a row do,
    and so does a cursor that was there before: no server keeps us for ever.
    """
    seen: set[str] = set()
    cursors = {cursor}
    idle = 0
    while idle < _MOST_IDLE_PAGES:
        page = yield from fetch_page(cursor)
        chosen = [item for item in page.items if wanted(item)]
        fresh = [item for item in chosen if item.id not in seen]
        for item in fresh:
            yield from emit(item)
        cursor = page.cursor
        if cursor is None or cursor in cursors or (page.items and not chosen):
            return
        cursors.add(cursor)
        seen = {item.id for item in page.items} or seen
        idle = 0 if fresh else idle + 1
