"""Jobs in notebooks: a display that follows them in place.

`Job`, `Saved` and `Asset` show themselves as cards in a notebook, without anything from here.

Example:
    >>> from krea_aleph import Aleph, notebook
    >>> with Aleph() as aleph:
    ...     aleph.transform("in.mp4", "make it snow", "out.mp4", on_update=notebook.progress())
"""

from __future__ import annotations

import sys
import threading
from contextlib import suppress
from importlib import import_module
from typing import Any, Final

from krea_aleph.errors import one_line
from krea_aleph.pages._escape import as_html, readable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from krea_aleph.models import Update

__all__ = ["progress"]

_MOST_ROWS: Final = 20
_LINE: Final = "font-variant-numeric:tabular-nums;overflow-wrap:anywhere"


def progress() -> Callable[[Update], None]:
    """Return a listener for ``on_update`` that shows how jobs stand, in place.

    In a notebook it is one line for each job, written over when something changes; elsewhere each
    change is a line of the standard error. One listener may follow any number of jobs, from any
    thread; of many the newest twenty are shown. Whatever becomes of the display, the job goes on.

    Example:
        >>> show = progress()
        >>> job = aleph.wait(job, on_update=show)
    """
    board = _Board()
    return board.hear if _in_notebook() else _tell


class _Board:
    """What is shown of jobs, as an object that a notebook displays."""

    def __init__(self) -> None:
        self._rows: dict[str, str] = {}
        self._handle: Any = None
        self._lock = threading.Lock()

    def hear(self, update: Update) -> None:
        """Take note of a change, and show it."""
        with self._lock:
            self._rows.pop(update.job.id, None)
            self._rows[update.job.id] = line(update)
            while len(self._rows) > _MOST_ROWS:
                del self._rows[next(iter(self._rows))]
            with suppress(Exception):
                self._show()

    def _show(self) -> None:
        if self._handle is None:
            self._handle = import_module("IPython.display").display(self, display_id=True)
        else:
            self._handle.update(self)

    def __repr__(self) -> str:
        return "\n".join(self._rows.values())

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        lines = "".join(f"<div><bdi>{as_html(row)}</bdi></div>" for row in self._rows.values())
        shown = f'<div class="krea-aleph-progress" role="status" style="{_LINE}">{lines}</div>'
        return {"text/plain": repr(self), "text/html": shown}


def line(update: Update) -> str:
    """Return one change as a line that steers no terminal."""
    job = update.job
    parts = [one_line(job.status), f"waited {update.elapsed:.0f} s"]
    if job.finished and job.created_at is not None and job.completed_at is not None:
        parts[1] = f"took {(job.completed_at - job.created_at).total_seconds():.0f} s"
    if update.poll_faults:
        parts.append(f"{update.poll_faults} missed look{'s' if update.poll_faults > 1 else ''}")
    if update.next_look and not job.finished:
        parts.append(f"next look in {update.next_look:.0f} s")
    reason = ": ".join(part for part in (job.error_code, job.error_message) if part)
    if reason:
        parts.append(one_line(reason))
    return readable(f"{job.id}: {', '.join(parts)}")


def _tell(update: Update) -> None:
    """Write a change to the standard error, if there is one."""
    with suppress(OSError, ValueError, AttributeError):
        sys.stderr.write(f"{line(update)}\n")
        sys.stderr.flush()


def _in_notebook() -> bool:
    """Whether this runs in a kernel, whose displays can be written over."""
    shell: Any = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return getattr(shell, "kernel", None) is not None
