"""Whether this process is at work: whether it computes, or waits for a processor to compute on."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

AT_WORK: Final = 0.1
"""The share of a processor from which on a process counts as computing."""

_THREADS: Final = Path("/proc/self/task")  # Linux alone tells how long a thread has had to wait
_NANOSECONDS: Final = 1e-9


class Diligence:
    """Whether this process has computed, or was kept from it, since this was made.

    Args:
        late: After how many real seconds a look comes so late that processors must be short.
    """

    def __init__(self, late: float) -> None:
        self._late = late
        self._at, self._used, self._kept = time.monotonic(), time.process_time(), _delays()

    def seen(self) -> bool:
        """Compare with the beginning."""
        passed = time.monotonic() - self._at
        worked = time.process_time() - self._used
        for thread, delay in _delays().items():
            worked += max(0.0, delay - self._kept.get(thread, 0.0))
        return worked > AT_WORK * passed or passed > self._late or _somebody_queues()


def _delays() -> dict[str, float]:
    """Return how many seconds each thread has waited for a processor while it could have run."""
    return {
        thread: int(words[1]) * _NANOSECONDS
        for thread, words in _read("schedstat").items()
        if len(words) > 1
    }


def _somebody_queues() -> bool:
    """Tell whether a thread other than this one runs or could run now: its wait has no end yet."""
    here = str(threading.get_native_id())
    return any(
        thread != here and words[0] == "R"
        for thread, words in _read("stat", after=")").items()
        if words
    )


def _read(name: str, after: str = "") -> dict[str, list[str]]:
    """Return the words of a file of each thread, from behind a mark on; nothing elsewhere."""
    found = {}
    with suppress(OSError):  # there is no such folder
        for folder in _THREADS.iterdir():
            with suppress(OSError):  # the thread has ended a moment ago
                text = (folder / name).read_text()
                found[folder.name] = (text.rpartition(after)[2] if after else text).split()
    return found
