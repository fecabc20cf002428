"""Ctrl-C and SIGTERM: once to leave in good order, twice to quit at once."""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import contextmanager, suppress
from typing import Any, Final

from krea_aleph.cli.exits import INTERRUPTED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_SHOW_CURSOR: Final = "\x1b[?25h"


@contextmanager
def heard(last_words: Callable[[], str]) -> Generator[None]:
    """Make the first signal a KeyboardInterrupt, which the library knows how to leave with.

    The second ends the process where it stands: nothing that was begun needs more to be safe.

    Args:
        last_words: Returns what to say at the second signal.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread gets signals, or may say what they do
        return
    heard_before = False

    def hear(*_: object) -> None:
        nonlocal heard_before
        if heard_before:
            _quit(last_words())
        heard_before = True
        raise KeyboardInterrupt

    before: dict[int, Any] = {number: signal.signal(number, hear) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _quit(words: str) -> None:
    with suppress(OSError, ValueError):
        if os.isatty(2):
            os.write(2, f"\r{_SHOW_CURSOR}".encode())
        os.write(2, f"{words}\n".encode(sys.stderr.encoding or "ascii", "backslashreplace"))
    os._exit(INTERRUPTED)
