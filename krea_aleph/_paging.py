"""Going through a list page by page."""

from __future__ import annotations

from typing import Any

from krea_aleph._steps import emit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from krea_aleph._steps import Steps
    from krea_aleph._wire import Page


def emit_pages(
    fetch_page: Callable[[str | None], Steps[Page]],
    *,
    cursor: str | None = None,
    wanted: Callable[[Any], bool] = lambda _: True,
) -> Steps[None]:
    """Show every wanted item, and stop at a page that has none: lists are newest first.

    The cursor is a time, and several items may share one: an item that ends one page and begins
    the next is shown once. A server that sends a cursor again does not keep us for ever.
    """
    seen: set[str] = set()
    cursors = {cursor}
    while True:
        page = yield from fetch_page(cursor)
        fresh = [item for item in page.items if item.id not in seen and wanted(item)]
        for item in fresh:
            yield from emit(item)
        cursor = page.cursor
        if not fresh or cursor is None or cursor in cursors:
            return
        cursors.add(cursor)
        seen = {item.id for item in page.items}
