"""The writer for people at a terminal: one line a job, a table for a batch, all of it in place."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from contextlib import contextmanager
from typing import Any, Final

from rich.console import Console, Group, RenderableType
from rich.constrain import Constrain
from rich.live import Live as Display
from rich.table import Table
from rich.text import Text

from krea_aleph.cli import words
from krea_aleph.cli.output import Lines, Stream, told
from krea_aleph.errors import one_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from krea_aleph.cli.failures import Failure
    from krea_aleph.models import Progress, Update
    from krea_aleph.outcomes import Failed, Succeeded

_PER_SECOND: Final = 4
_MOST_ROWS: Final = 10
_SHORT_ID: Final = 8
_WIDE: Final = 1000
_ECHO: Final = "^C"  # what a terminal writes behind a line that moves must not wrap it
_TO_THE_SECOND: Final = len("2026-01-31T12:00:00")
_STYLES: Final = {"error": "bold red", "interrupted": "bold yellow"}


class _Line:
    """A job's line, which counts the seconds between two updates by itself."""

    def __init__(self, news: Update) -> None:
        self._news = news
        self._at = time.monotonic()

    def text(self) -> str:
        """Return what it is now."""
        news, since = self._news, time.monotonic() - self._at
        parts = [words.status(news.job), words.age(news, since), words.faults(news)]
        left = news.next_look - since
        if left >= 1:  # later looks are not told unless they have found something
            parts += [f"next look in {words.seconds(left)}"]
        return ", ".join(filter(None, parts))


class _Transfer:
    """A transfer's line, with its rate."""

    def __init__(self) -> None:
        self._at = time.monotonic()
        self._first: int | None = None

    def text(self, news: Progress) -> str:
        """Return what it is now."""
        self._first = news.done if self._first is None else self._first
        pace = words.rate(news.done - self._first, time.monotonic() - self._at)
        return f"{news.direction} {words.share(news)}{f', {pace}' if pace else ''}"


class Live(Lines):
    """Shows progress in place, and leaves only what is worth keeping."""

    def __init__(self) -> None:
        super().__init__()
        self._console = Console(file=self._err.stream, highlight=False, emoji=False, markup=False)
        # A table that is too wide is wrapped by the terminal, so that an id is copied in one piece.
        self._results = Console(
            file=self._out.stream, highlight=False, emoji=False, width=_WIDE, soft_wrap=True
        )
        self._display: Display | None = None
        self._lock = threading.RLock()
        self._job: tuple[str, _Line] | None = None
        self._transfers: OrderedDict[tuple[str, str | None], tuple[_Transfer, str]] = OrderedDict()
        self._flights: OrderedDict[str, tuple[str, float]] = OrderedDict()
        self._counts = {"done": 0, "failed": 0}

    def note(self, text: str) -> None:
        """Say something beside the result, above what moves."""
        with _forgiving(self._err):
            if self._display is not None:
                self._display.refresh()  # what moves is printed below it, as it is now
            self._console.print(Text(text), soft_wrap=True)

    def update(self, news: Update) -> None:
        """Show a change of a job."""
        with self._lock:
            self._job = None if news.job.finished else (news.job.id, _Line(news))
        if news.job.succeeded:
            super().update(news)
        else:
            self._show()

    def progress(self, news: Progress) -> None:
        """Show how far a transfer is."""
        key = (news.direction, news.job_id)
        with self._lock:
            transfer = self._transfers[key][0] if key in self._transfers else _Transfer()
            self._transfers[key] = (transfer, transfer.text(news))
        self._show()

    def moved(
        self,
        direction: str,
        size: float,
        duration: float,
        job_id: str | None,
        *,
        index: int | None = None,
    ) -> None:
        """Say that a transfer has ended; of a batch the table says enough."""
        with self._lock:
            self._transfers.pop((direction, job_id), None)
            crowded = self._crowded
        if not crowded:
            super().moved(direction, size, duration, job_id, index=index)

    @property
    def _crowded(self) -> bool:
        """Whether this is a batch."""
        return bool(self._flights or any(self._counts.values()))

    def flight(self, job_id: str, status: str | None, index: int | None = None) -> None:
        """Show that a job of a batch is in flight, or with None that it is no more."""
        del index
        with self._lock:
            if status is None:
                self._flights.pop(job_id, None)
                self._transfers.pop(("download", job_id), None)
            else:
                begun = self._flights.get(job_id, ("", time.monotonic()))[1]
                self._flights[job_id] = (one_line(status), begun)
        self._show()

    def outcome(self, result: Succeeded | Failed, failure: Failure | None) -> None:
        """Show what became of one item of a batch."""
        with self._lock:
            self._counts["done" if failure is None else "failed"] += 1
        super().outcome(result, failure)
        self._show()

    def counts(self, document: Mapping[str, Any], text: str) -> None:
        """Say at the end of a batch how many items have come to what, and again what failed."""
        self.close()
        super().counts(document, text)

    def result(self, document: Mapping[str, Any], text: str, *, told: bool = False) -> None:
        """Print a result."""
        self.close()
        super().result(document, text, told=told)

    def table(self, rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
        """Print rows of results."""
        if not self._out.terminal:
            super().table(rows, columns)
            return
        self.close()
        shown = Table(box=None, pad_edge=False, header_style="bold")
        for name in columns:
            shown.add_column(name)
        for row in rows:
            shown.add_row(*(_cell(name, row.get(name)) for name in columns))
        with _forgiving(self._out):
            self._results.print(shown)

    def fail(self, failure: Failure) -> None:
        """Say what went wrong."""
        self.close()
        for name, text in told(failure):
            heading = "error: " if name == "error" else f"{name + ':':<10} "
            line = Text.assemble((heading, _STYLES.get(name, "dim")), text)
            with _forgiving(self._err):
                self._console.print(line, soft_wrap=True)

    def close(self) -> None:
        """Leave the terminal as it was."""
        display, self._display = self._display, None
        if display is not None:
            with _forgiving(self._err):
                display.stop()

    def _show(self) -> None:
        with self._lock:
            if self._display is not None or self._err.gone:
                return
            display = self._display = Display(
                console=self._console,
                get_renderable=self._render,
                refresh_per_second=_PER_SECOND,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
        with _forgiving(self._err):
            display.start()

    def _render(self) -> RenderableType:
        with self._lock:
            lines = [_fitting(text) for _, text in self._transfers.values()][:_MOST_ROWS]
            if self._job is not None:
                job_id, line = self._job
                lines += [_fitting(f"{job_id[:_SHORT_ID]} {line.text()}")]
            shown = Group(*([self._crowd()] if self._crowded else []), *lines)
            return Constrain(shown, max(1, self._console.width - len(_ECHO)))

    def _crowd(self) -> RenderableType:
        """Return a batch's table: how many, and those in flight."""
        running = len(self._flights)
        counts = (
            f"{self._counts['done']} done, {self._counts['failed']} failed, {running} in flight"
        )
        table = Table(box=None, pad_edge=False, show_header=False, title_justify="left")
        room = max(1, min(_MOST_ROWS, self._console.height - 4))
        for job_id, (status, begun) in list(self._flights.items())[:room]:
            age = words.seconds(time.monotonic() - begun)
            table.add_row(Text(job_id, overflow="ellipsis", no_wrap=True), status, age)
        more = [_fitting(f"and {running - room} more")] if running > room else []
        return Group(_fitting(counts), table, *more)


def _fitting(text: str) -> Text:
    """Return a line that is cut where the terminal ends."""
    return Text(text, no_wrap=True, overflow="ellipsis")


def _cell(name: str, value: object) -> Text:
    """Return a cell; of times what people need of them."""
    text = "" if value is None else one_line(str(value))
    return Text(text[:_TO_THE_SECOND].replace("T", " ") if name.endswith("_at") else text)


@contextmanager
def _forgiving(stream: Stream) -> Generator[None]:
    """Go on where a terminal or pipe has gone away, which rich would end the process for."""
    try:
        yield
    except (BrokenPipeError, ValueError, SystemExit):
        stream.hang_up()
