"""Where a command's words go: people's to the terminal, documents to programs.

Results are on the standard output, so that they can be piped; everything else is on the standard
error. There are three writers: `Documents` for ``--json``, `Lines` where nobody watches, and
`krea_aleph.cli.live.Live` on a terminal.
"""

from __future__ import annotations

import io
import json
import os
import sys
import threading
import time
from contextlib import suppress
from typing import Any, Final, Protocol, TextIO

from krea_aleph.cli import documents, words
from krea_aleph.errors import one_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from krea_aleph.cli.failures import Failure
    from krea_aleph.models import Progress, Saved, Update
    from krea_aleph.outcomes import Failed, Succeeded

_LONG_PAUSE: Final = 10.0
_MOST_REPEATED: Final = 20
_KEY_FROM_STDIN: Final = " --api-key-file - "


class Writer(Protocol):
    """What a command tells its progress and its results to."""

    @property
    def gone(self) -> bool:
        """Whether nobody reads the results any more."""
        ...

    def note(self, text: str) -> None:
        """Say something beside the result."""
        ...

    def accepted(self, job_id: str, *, before: bool) -> None:
        """Say which job it is that was paid for, now or before."""
        ...

    def update(self, news: Update) -> None:
        """Show a change of a job."""
        ...

    def progress(self, news: Progress) -> None:
        """Show how far a transfer is; called from any thread."""
        ...

    def moved(
        self,
        direction: str,
        size: float,
        duration: float,
        job_id: str | None,
        *,
        index: int | None = None,
    ) -> None:
        """Say that a transfer has ended."""
        ...

    def flight(self, job_id: str, status: str | None, index: int | None = None) -> None:
        """Show that a job of a batch is in flight, or with None that it is no more."""
        ...

    def outcome(self, result: Succeeded | Failed, failure: Failure | None) -> None:
        """Show what became of one item of a batch."""
        ...

    def counts(self, document: Mapping[str, Any], text: str) -> None:
        """Say at the end of a batch how many items have come to what."""
        ...

    def result(self, document: Mapping[str, Any], text: str, *, told: bool = False) -> None:
        """Print a result; one that was told already not to those who have seen that."""
        ...

    def table(self, rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
        """Print rows of results, which are documents."""
        ...

    def fail(self, failure: Failure) -> None:
        """Say what went wrong."""
        ...

    def close(self) -> None:
        """Leave the terminal as it was."""
        ...


class Stream:
    """A stream of text that may be closed by its reader, and may not know every letter."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.gone = False
        self._lock = threading.Lock()  # of a batch, several threads tell
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")

    def line(self, text: str) -> None:
        """Write one line, at once. Who has closed a pipe does not want it."""
        if self.gone:
            return
        try:
            with self._lock:
                self.stream.write(f"{text}\n")
                self.stream.flush()
        except (BrokenPipeError, ValueError):
            self.hang_up()

    def hang_up(self) -> None:
        """Write no more; what is buffered must not fail again when Python ends."""
        self.gone = True
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.stream.fileno())

    @property
    def terminal(self) -> bool:
        """Whether somebody sees it."""
        try:
            return self.stream.isatty()
        except ValueError:
            return False


class Documents:
    """Writes one JSON document a line on the standard output, and nothing else anywhere."""

    def __init__(self) -> None:
        self._out = Stream(sys.stdout)

    @property
    def gone(self) -> bool:
        """Whether nobody reads the results any more."""
        return self._out.gone

    def _write(self, document: Mapping[str, Any]) -> None:
        self._out.line(json.dumps(document))

    def note(self, text: str) -> None:
        """Say something beside the result."""
        self._write({"type": "note", "message": text})

    def accepted(self, job_id: str, *, before: bool) -> None:
        """Say which job it is that was paid for."""
        self._write({"type": "accepted", "job_id": job_id, "before": before})

    def update(self, news: Update) -> None:
        """Show a change of a job."""
        self._write(documents.update(news))

    def progress(self, news: Progress) -> None:
        """Show nothing: `moved` says when it has ended."""

    def moved(
        self,
        direction: str,
        size: float,
        duration: float,
        job_id: str | None,
        *,
        index: int | None = None,
    ) -> None:
        """Say that a transfer has ended."""
        self._write(
            {
                "type": "transfer",
                "index": index,
                "direction": direction,
                "job_id": job_id,
                "bytes": round(size),
                "seconds": round(duration, 3),
            }
        )

    def flight(self, job_id: str, status: str | None, index: int | None = None) -> None:
        """Show that a job of a batch is in flight."""
        if status is not None:
            self._write({"type": "update", "index": index, "job_id": job_id, "status": status})

    def outcome(self, result: Succeeded | Failed, failure: Failure | None) -> None:
        """Show what became of one item of a batch."""
        self._write(documents.outcome(result, None if failure is None else failure.document()))

    def counts(self, document: Mapping[str, Any], text: str) -> None:
        """Say at the end of a batch how many items have come to what."""
        del text
        self._write(document)

    def result(self, document: Mapping[str, Any], text: str, *, told: bool = False) -> None:
        """Print a result."""
        del text, told
        self._write(document)

    def table(self, rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
        """Print rows of results."""
        del columns
        for row in rows:
            self._write(row)

    def fail(self, failure: Failure) -> None:
        """Say what went wrong."""
        self._write(failure.document())

    def close(self) -> None:
        """Do nothing: there is nothing to leave."""


class Lines:
    """Writes plain lines: to files, pipes, the logs of continuous integration, dumb terminals."""

    def __init__(self) -> None:
        self._out = Stream(sys.stdout)
        self._err = Stream(sys.stderr)
        self._told = time.monotonic()
        self._failures = _Failures()

    @property
    def gone(self) -> bool:
        """Whether nobody reads the results any more."""
        return self._out.gone

    def note(self, text: str) -> None:
        """Say something beside the result."""
        self._err.line(text)

    def accepted(self, job_id: str, *, before: bool) -> None:
        """Say which job it is: it must be known whatever becomes of this program."""
        again = "the same was submitted before, as" if before else "submitted as"
        self.note(f"{again} job {job_id}{'; --new makes another one' if before else ''}")

    def update(self, news: Update) -> None:
        """Show a change of a job."""
        self.note(f"{news.job.id}: {words.line(news)}")

    def progress(self, news: Progress) -> None:
        """Show how far a long transfer is."""
        if time.monotonic() - self._told >= _LONG_PAUSE:
            self._told = time.monotonic()
            self.note(f"{news.direction}: {words.share(news)}")

    def moved(
        self,
        direction: str,
        size: float,
        duration: float,
        job_id: str | None,
        *,
        index: int | None = None,
    ) -> None:
        """Say that a transfer has ended."""
        del job_id, index
        pace = words.rate(size, duration)
        self.note(f"{direction}ed {words.size(size)}{f', {pace}' if pace else ''}")

    def flight(self, job_id: str, status: str | None, index: int | None = None) -> None:
        """Show that a job of a batch is in flight."""
        if status is not None:
            row = "" if index is None else f"row {index + 1}: "
            self.note(f"{row}{job_id}: {one_line(status)}")

    def outcome(self, result: Succeeded | Failed, failure: Failure | None) -> None:
        """Show what became of one item of a batch."""
        if failure is not None:
            lines = words.failed(result, failure.message, failure.hint, failure.go_on)
            self._failures.add(lines)
            for line in lines:
                self.note(line)
            return
        self._failures.bury()
        files: Saved | None = getattr(result, "saved", None)
        self.note(f"{words.row(result)}: {'done' if files is None else words.saved(files)}")
        if files is not None:
            self._result(str(files.path), told=True, line=True)

    def counts(self, document: Mapping[str, Any], text: str) -> None:
        """Say at the end of a batch how many items have come to what, and again what failed."""
        del document
        for line in self._failures.buried():
            self.note(line)
        self.note(text)

    def result(self, document: Mapping[str, Any], text: str, *, told: bool = False) -> None:
        """Print a result; not twice where both streams are seen on a terminal."""
        self._result(text, told=told, line="path" in document)

    def _result(self, text: str, *, told: bool, line: bool) -> None:
        seen = told and self._out.terminal and self._err.terminal
        if text and not seen:
            self._out.line(words.visible(text, lines=not line) if self._out.terminal else text)

    def table(self, rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
        """Print rows of results, the cells separated by tabs."""
        for row in rows:
            self._out.line("\t".join(one_line(_cell(row.get(name))) for name in columns))

    def fail(self, failure: Failure) -> None:
        """Say what went wrong."""
        for name, text in told(failure):
            self._err.line(f"{name + ':':<10} {text}" if name != "error" else f"error: {text}")

    def close(self) -> None:
        """Do nothing: there is nothing to leave."""


class _Failures:
    """What failed of a batch, to be said once more where other rows have been told since."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._count = 0
        self._is_buried = False

    def add(self, lines: Sequence[str]) -> None:
        """Take note of a row that failed; of many only the first are kept."""
        self._count += 1
        if self._count <= _MOST_REPEATED:
            self._lines += lines

    def bury(self) -> None:
        """Take note of a row that is told after them."""
        self._is_buried = self._count > 0

    def buried(self) -> list[str]:
        """Return what is to be said again."""
        if not self._is_buried:
            return []
        more = self._count - _MOST_REPEATED
        return [*self._lines, *([f"and {more} more rows failed"] if more > 0 else [])]


def told(failure: Failure) -> list[tuple[str, str]]:
    """Return the lines that say what went wrong, each with its name."""
    name = "interrupted" if failure.error == "Interrupted" else "error"
    rows = [(name, failure.message)]
    if failure.money:
        rows += [("charged", failure.charged or ""), ("resubmit", failure.resubmit or "")]
    if failure.hint:
        rows += [("hint", failure.hint)]
    if failure.job_id is not None:
        rows += [("job", failure.job_id)]
    if failure.candidates:
        rows += [("perhaps", ", ".join(failure.candidates))]
    rows += [("go on", command) for command in failure.go_on]
    if any(f"{command} ".count(_KEY_FROM_STDIN) for command in failure.go_on):
        rows += [("stdin", "the key is read from the standard input again")]
    return rows


def _cell(value: object) -> str:
    return "" if value is None else str(value)


def writer(*, as_json: bool, logging: bool = False) -> Writer:
    """Return the writer that fits where the streams lead, and whether there is a log beside it."""
    if as_json:
        return Documents()
    if logging or not watched():
        return Lines()
    from krea_aleph.cli.live import Live  # noqa: PLC0415 - rich, only where somebody watches

    return Live()


def watched() -> bool:
    """Whether somebody watches the standard error on a terminal that can move its cursor."""
    if os.environ.get("CI") or os.environ.get("TERM") == "dumb":
        return False
    return Stream(sys.stderr).terminal
