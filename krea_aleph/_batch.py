"""Many items as one operation: taken in as there is room, given out as they end."""

from __future__ import annotations

import math
import os
from collections.abc import AsyncIterable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from krea_aleph import _wire
from krea_aleph._assets import UPLOADING
from krea_aleph._batch_item import perform
from krea_aleph._batch_run import Options, Run
from krea_aleph._exchange import announce
from krea_aleph._files import check_path, is_object
from krea_aleph._steps import ask, call, emit, now, sleep, spawn
from krea_aleph._waiting import check_timeout, operations
from krea_aleph.errors import InvalidRequestError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from krea_aleph._batch_run import Entry
    from krea_aleph._config import Config
    from krea_aleph._steps import Steps
    from krea_aleph.store import Store

_END: Final = object()
_NAMED: Final = 10
_CHOICES: Final = {
    "no_credit": ("stop", "pause"),
    "exists": ("error", "replace", "keep"),
    "retry_failed": (True, False),
    "ordered": (True, False),
    "delete_uploads": (True, False),
}
_NUMBERS: Final = ("max_inflight", "max_submits", "stop_after_failures")


def batch(
    config: Config,
    items: Any,
    *,
    store: Store | None,
    output_dir: Any,
    asynchronous: bool,
    **options: Any,
) -> Steps[None]:
    """Check how a batch is to run, and return the operation that runs it.

    Raises:
        InvalidRequestError: It cannot run like this.
    """
    checked = _checked(output_dir, options)
    source = _Source(items, asynchronous=asynchronous)
    if store is not None:
        config = replace(config, store=store)
    return _run(config, checked, source)


def _checked(output_dir: Any, options: Mapping[str, Any]) -> Options:
    for name, allowed in _CHOICES.items():
        if options[name] not in allowed:
            problem = f"{options[name]!r} is none of {', '.join(map(repr, allowed))}"
            raise InvalidRequestError(name, problem)
    for name in _NUMBERS:
        value = options[name]
        if value is not None and (type(value) is not int or value < 1):
            raise InvalidRequestError(name, f"{value!r} is no whole number from 1 up")
    check_timeout(options["wait_timeout"])
    try:
        folder = os.fspath(output_dir)
    except TypeError:
        folder = None
    if not isinstance(folder, str) or not folder or "\0" in folder:
        raise InvalidRequestError("output_dir", f"{str(output_dir)[:200]!r} is no folder")
    check_path("output_dir", folder)
    if not is_object(folder):
        return Options(output_dir=Path(folder), **options)
    from krea_aleph._objects import parse_folder  # noqa: PLC0415 - few programs use buckets

    return Options(output_dir=parse_folder(folder, "output_dir"), **options)


class _Source:
    """The caller's items, whatever iterable they come from."""

    def __init__(self, items: Any, *, asynchronous: bool) -> None:
        self._awaited = asynchronous and isinstance(items, AsyncIterable)
        rows = isinstance(items, Iterable) and not isinstance(items, str | bytes)
        if not rows and not self._awaited:
            kind = type(items).__name__
            raise InvalidRequestError("items", f"an iterable of items is needed, not {kind}")
        self._items = items
        self._iterator: Any = None
        self.taken = 0
        self.ended = False

    def next(self) -> Steps[Any]:
        """Return the next item, or `_END`; what the caller's code raises is raised."""
        if self._iterator is None:
            begin = aiter if self._awaited else iter
            self._iterator = yield from ask(partial(begin, self._items))
        function = anext if self._awaited else next
        row = yield from ask(partial(function, self._iterator, _END), awaitable=self._awaited)
        self.ended = row is _END
        self.taken += not self.ended
        return row


def _run(config: Config, options: Options, source: _Source) -> Steps[None]:
    """Show the outcome of every item.

    Raises:
        KreaError: It had to stop; everything that was in flight has been shown.
    """
    deleting = ("delete_asset",) if options.delete_uploads else ()
    yield from announce(config, _wire.SUBMIT, *operations(config), *UPLOADING, *deleting)
    run = Run(config, options)
    try:
        yield from call(run.folder.make)
        yield from _go_on(run, source)
    except BaseException as reason:
        if not isinstance(reason, (Exception, GeneratorExit)):
            _tell_what_is_left(run, reason)
        raise
    finally:
        run.halt(None)
    if run.ending is not None:
        raise run.ending


def _go_on(run: Run, source: _Source) -> Steps[None]:
    while True:
        run.bell.heard()
        outcome = run.next_outcome()
        if outcome is not None:
            yield from emit(outcome)
        elif (entry := run.released()) is not None:
            yield from spawn(perform(run, entry))
        elif (yield from _has_room(run, source)):
            yield from _take(run, source)
        elif run.idle:
            return
        else:
            yield from sleep(math.inf, run.bell)


def _has_room(run: Run, source: _Source) -> Steps[bool]:
    source.ended = source.ended or run.over
    return not source.ended and run.has_room(source.taken, (yield from now()))


def _take(run: Run, source: _Source) -> Steps[None]:
    """Take in the next item. An error of the caller's code ends the intake, and comes out last."""
    index = source.taken
    try:
        row = yield from source.next()
        entry = None if row is _END else (yield from call(partial(run.take, index, row)))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the caller's
        source.ended = True
        run.end(error)
    else:
        if entry is not None:
            yield from spawn(perform(run, entry))


def _tell_what_is_left(run: Run, reason: BaseException) -> None:
    """Say on an interruption what is in flight, and how to go on."""
    entries: list[Entry] = run.in_flight
    if not entries:
        return
    verb = "asked to be cancelled" if run.config.abandon == "cancel" else "left as they are"
    jobs = f"{len(entries)} jobs of the batch were in flight and are {verb}."
    if run.config.store is not None:
        reason.add_note(f"{jobs} All are in the store: run the same batch again to go on.")
        return
    ids = [entry.job.id for entry in entries if entry.job is not None]
    more = ", ..." if len(ids) > _NAMED else ""
    reason.add_note(f"{jobs} Without a store only you know them: {', '.join(ids[:_NAMED])}{more}.")
