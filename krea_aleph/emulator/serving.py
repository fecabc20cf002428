"""An emulator in the foreground, until somebody ends it."""

from __future__ import annotations

import logging
import signal
import threading
from typing import TYPE_CHECKING, Any

from krea_aleph.emulator.quirks import QUIRKS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from krea_aleph.emulator import Emulator


def serve(introduce: Callable[[Emulator], object], quirks: Iterable[str], **options: Any) -> None:
    """Run an emulator until Ctrl-C or SIGTERM, with a line in the log for each request.

    Args:
        introduce: Called with the emulator once it answers.
        quirks: Deviations to switch on, or off with ``no-`` before them.
        **options: Those of `krea_aleph.emulator.Emulator`; None stands for the default.

    Raises:
        ConfigError: It cannot be started, or needs packages that are not installed.
    """
    from krea_aleph.emulator import Emulator  # noqa: PLC0415 - it may not be installed

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    wanted = {name: not off for off, name in map(_switch, quirks)}
    given = {name: value for name, value in options.items() if value is not None}
    with Emulator(quirks=wanted, **given) as emulator:
        stopped = _interruption()
        introduce(emulator)
        stopped.wait()


def quirks_listed() -> list[str]:
    """Return a line for each deviation: whether it is usual, its name, and what it is."""
    return [
        f"{'on ' if quirk.usual else 'off'} {quirk.name:24} {quirk.sentence}"
        for quirk in QUIRKS.values()
    ]


def _switch(text: str) -> tuple[bool, str]:
    """Read `name` or `no-name`, dashes or underscores."""
    name = text.replace("-", "_")
    return name.startswith("no_"), name.removeprefix("no_")


def _interruption() -> threading.Event:
    """Return what is set by a signal to end, from now on."""
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    return stopped
