"""Virtual time: a clock that jumps to the next sleeper when nobody has anything left to do.

A two-hour wait passes in milliseconds, and everybody who shares the clock (clients in several
threads, tasks of several event loops, an emulator) sees the same, consistent time. The rules:

* Time moves only in jumps, to the earliest sleeper or scheduled call, and never while anything is
  `busy`.
* A *host* (a thread, or an event loop with all of its tasks) that used the clock a moment ago may
  be about to use it again. It must come to rest first: a thread by sleeping, by ending, or by
  staying away from the clock for `GRACE` real seconds; a loop by going round `ROUNDS` times
  without touching the clock. As long as this process computes, or the machine is so busy that it
  hardly can, that may last up to `PATIENCE`: whoever waits for a processor is not at rest.
* A sleeper that has been woken counts as awake from the moment of the jump, before it really runs.
* While nobody sleeps, time moves for scheduled calls only after `GRACE` real seconds of quiet,
  understood in the same way.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
import math
import threading
import time
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Final

import sniffio
from attrs import define, field

from krea_aleph.clocks import sleeper
from krea_aleph.emulator.diligence import Diligence

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Hashable

    from krea_aleph.models import Bell

START: Final = 1_800_000_000.0
"""Where virtual time begins unless told otherwise: 2027-01-15 08:00:00 UTC, in Unix seconds."""
GRACE: Final = 0.05
"""Real seconds after which a thread that left the clock alone no longer holds time back."""
LOOP_GRACE: Final = 0.5
"""The same for an event loop that does not go round, for example because it is blocked."""
PATIENCE: Final = 5.0
"""Real seconds after which a thread that is at work, but not with the clock, holds it no longer."""
ROUNDS: Final = 10
"""How often a loop goes round undisturbed before its tasks count as settled."""

_log = logging.getLogger("krea_aleph.emulator.clock")


@define(eq=False)
class _Host:
    """A thread or an event loop from which the clock is used."""

    alive: Callable[[], bool]
    soon: Callable[[Callable[[], object]], object] | None = None  # None: a thread without a loop
    awake_until: float = 0.0  # real seconds
    patience_until: float = 0.0  # the same, unless a look finds the process idle before that
    touches: int = 0
    settling: bool = False

    def rest(self) -> None:
        """Note that time need not wait for it."""
        self.awake_until = self.patience_until = 0.0

    def give_up(self, now: float) -> None:
        """Let time pass without it if it has left the clock alone for the grace period."""
        if now >= self.awake_until:
            self.rest()


@define(order=True)
class _Entry:
    """Something that happens at a point of virtual time."""

    when: float  # virtual seconds since the start
    order: int
    wake: Callable[[], object] = field(order=False)
    host: _Host | None = field(order=False)  # None: a scheduled call
    cancelled: bool = field(order=False, default=False)
    held: bool = field(order=False, default=False)  # whether time waits for it to run


class ScheduledCall:
    """A call that `VirtualClock.call_at` has promised to make."""

    def __init__(self, entry: _Entry) -> None:
        self._entry = entry

    def cancel(self) -> None:
        """Forget the call; without effect once it has been made."""
        self._entry.cancelled = True


class VirtualClock:
    """A clock on which waiting costs no time; share one between a client and the emulator.

    Example:
        >>> clock = VirtualClock()
        >>> before = clock.monotonic()
        >>> clock.sleep(7200)
        >>> clock.monotonic() - before
        7200.0

    Start threads that are to sleep at the same time inside `busy()`: otherwise the first one sleeps
    alone, and time jumps to its end before the second one has arrived.
    """

    def __init__(self, start: float = START) -> None:
        """Begin at `start`, in Unix seconds."""
        self._start = start
        self._elapsed = 0.0
        self._busy = 0
        self._lock = threading.RLock()
        self._entries: list[_Entry] = []
        self._order = itertools.count()
        self._hosts: dict[Hashable, _Host] = {}
        self._timer: threading.Timer | None = None
        self._stranger = _Host(lambda: True)  # who was busy may go on, and is not known to sleep

    def monotonic(self) -> float:
        """Return the virtual seconds since the clock was made."""
        return self._elapsed

    def time(self) -> float:
        """Return the virtual Unix time, in seconds."""
        return self._start + self._elapsed

    def sleep(self, seconds: float, bell: Bell | None = None) -> None:
        """Block this thread for so many virtual seconds; zero or less returns at once.

        A bell ends it early, and time stands where it then stands.
        """
        if not seconds > 0:
            return
        woken = threading.Event()
        host = self._host()
        entry = self._add(seconds, woken.set, host)
        try:
            with self._ended_by(bell, entry, host):
                self._rest(host, entry)
                woken.wait()
        finally:
            entry.cancelled = True

    async def asleep(self, seconds: float, bell: Bell | None = None) -> None:
        """Suspend this asyncio or trio task for so many virtual seconds; 0 or less only yields."""
        wait, wake = sleeper()
        if not seconds > 0:
            wake()
            await wait()
            return
        host = self._host()
        entry = self._add(seconds, wake, host)
        try:
            with self._ended_by(bell, entry, host):
                self._touch(host)
                await wait()
        finally:
            entry.cancelled = True

    @contextmanager
    def busy(self) -> Generator[None]:
        """Hold time while something is in flight; afterwards the caller is expected to go on."""
        with self._lock:
            self._busy += 1
        try:
            yield
        finally:
            self._leave()
            self._touch(self._host())

    @contextmanager
    def hold(self) -> Generator[None]:
        """Hold time like `busy` for a server, of which nothing more is expected afterwards."""
        with self._lock:
            self._busy += 1
        try:
            yield
        finally:
            self._leave()
            self._jump()

    def call_at(self, when: float, function: Callable[[], object]) -> ScheduledCall:
        """Call `function` at the Unix time `when`, from whichever thread moves time there.

        Time stands still during the call. An exception is logged, since nobody waits for it.
        """
        entry = self._add(when - self.time(), function, None)
        self._check_again_later()
        return ScheduledCall(entry)

    def _leave(self) -> None:
        with self._lock:
            self._busy -= 1
            self._mark_awake(self._stranger)

    def _add(self, seconds: float, wake: Callable[[], object], host: _Host | None) -> _Entry:
        with self._lock:
            entry = _Entry(self._elapsed + seconds, next(self._order), wake, host)
            heapq.heappush(self._entries, entry)
            if host is not None:
                self._mark_awake(host)  # until it rests: a bell may end the pause at once
        return entry

    def _host(self) -> _Host:
        """Return the record of the loop that runs here, else of this thread."""
        key, make = _whereabouts()
        with self._lock:
            if key not in self._hosts:
                self._hosts[key] = make()
            return self._hosts[key]

    def _touch(self, host: _Host) -> None:
        """Note that somebody on this host is awake and may use the clock again."""
        with self._lock:
            self._mark_awake(host)
        if host.soon is None:
            self._jump()
        else:
            self._settle_soon(host)

    def _rest(self, host: _Host, entry: _Entry) -> None:
        """Note that this host does nothing until it is woken, unless a bell has woken it."""
        with self._lock:
            if not entry.cancelled:
                host.rest()
        self._jump()

    @contextmanager
    def _ended_by(self, bell: Bell | None, entry: _Entry, host: _Host) -> Generator[None]:
        """Let a bell wake a sleeper before its time."""
        if bell is None:
            yield
            return
        try:
            with bell.waking(partial(self._rung, entry, host)):
                yield
        finally:
            self._up(entry, host)

    def _rung(self, entry: _Entry, host: _Host) -> None:
        """Wake a sleeper, and hold time until it runs."""
        with self._lock:
            if entry.cancelled:
                return
            entry.cancelled = entry.held = True
            self._busy += 1
        try:
            entry.wake()
        except RuntimeError:  # the sleeper's loop has ended
            self._up(entry, host)

    def _up(self, entry: _Entry, host: _Host) -> None:
        """Note that a sleeper whom a bell might have woken runs again."""
        with self._lock:
            entry.cancelled = True
            held, entry.held = entry.held, False
            self._busy -= held
        if held:
            self._touch(host)

    @staticmethod
    def _mark_awake(host: _Host) -> None:
        host.touches += 1
        now = time.monotonic()
        host.awake_until = now + (GRACE if host.soon is None else LOOP_GRACE)
        host.patience_until = now + PATIENCE

    def _settle_soon(self, host: _Host) -> None:
        """Begin to count the undisturbed rounds of a loop, unless that is already going on."""
        with self._lock:
            if host.settling:
                return
            host.settling = True
        self._next_round(host, host.touches, 0)

    def _settle(self, host: _Host, touches: int, rounds: int) -> None:
        """Count a round; after enough of them the loop no longer holds time back."""
        with self._lock:
            if host.touches != touches:
                touches, rounds = host.touches, 0
            settled = rounds >= ROUNDS
            if settled:
                host.settling = False
                host.rest()
        if settled:
            self._jump()
        else:
            self._next_round(host, touches, rounds + 1)

    def _next_round(self, host: _Host, touches: int, rounds: int) -> None:
        if host.soon is not None:
            try:
                host.soon(partial(self._settle, host, touches, rounds))
            except RuntimeError:  # the loop has ended, and its tasks with it
                host.rest()

    def _jump(self) -> None:
        """Move time on until somebody is woken or something holds it."""
        while due := self._advance():
            for entry in due:
                if entry.host is None:
                    self._run(entry)
                else:
                    self._wake(entry, entry.host)

    def _wake(self, entry: _Entry, host: _Host) -> None:
        with suppress(RuntimeError):  # the sleeper's loop has ended
            entry.wake()
        if host.soon is not None:
            self._settle_soon(host)

    def _run(self, entry: _Entry) -> None:
        try:
            entry.wake()
        except Exception:  # noqa: BLE001 - it must not end the thread that happens to move time
            _log.exception("a call scheduled on the virtual clock failed")
        finally:
            with self._lock:
                self._busy -= 1

    def _advance(self) -> list[_Entry]:
        """Move to the next point of time if nothing holds it, and return what is due there."""
        with self._lock:
            self._drop_cancelled()
            if self._busy or not self._entries or math.isinf(self._entries[0].when):
                return []
            if self._anybody_awake() or self._a_stranger_may_be_awake():
                self._check_again_later()
                return []
            self._elapsed = max(self._elapsed, self._entries[0].when)
            due = []
            while self._entries and self._entries[0].when <= self._elapsed:
                due.append(heapq.heappop(self._entries))
            due = [entry for entry in due if not entry.cancelled]
            for entry in due:
                self._announce(entry)
            return due

    def _announce(self, entry: _Entry) -> None:
        """Count the owner as awake, or the call as under way, before it is told."""
        if entry.host is None:
            self._busy += 1
        else:
            self._mark_awake(entry.host)

    def _drop_cancelled(self) -> None:
        while self._entries and self._entries[0].cancelled:
            heapq.heappop(self._entries)

    def _anybody_awake(self) -> bool:
        self._hosts = {key: host for key, host in self._hosts.items() if host.alive()}
        now = time.monotonic()
        return any(host.patience_until > now for host in self._hosts.values())

    def _a_stranger_may_be_awake(self) -> bool:
        """Say whether somebody unknown may still be at work: nobody sleeps, but things happen."""
        if any(entry.host is not None and not entry.cancelled for entry in self._entries):
            return False
        return time.monotonic() < self._stranger.patience_until

    def _check_again_later(self) -> None:
        """Look again after the grace period, in case a host stays away for good."""
        with self._lock:
            if self._timer is not None:
                return
            self._timer = threading.Timer(GRACE, self._check_again, [Diligence(2 * GRACE)])
            self._timer.name = "krea-aleph-virtual-clock"
            self._timer.daemon = True
            self._timer.start()

    def _check_again(self, diligence: Diligence) -> None:
        with self._lock:
            self._timer = None
            if not diligence.seen():
                self._give_up_absent()
        self._jump()

    def _give_up_absent(self) -> None:
        now = time.monotonic()
        for host in (*self._hosts.values(), self._stranger):
            host.give_up(now)


def _library() -> str | None:
    """Name the asynchronous library whose task runs here, if any."""
    try:
        return sniffio.current_async_library()
    except sniffio.AsyncLibraryNotFoundError:
        return None


def _whereabouts() -> tuple[Hashable, Callable[[], _Host]]:
    """Return a key for the loop whose task runs here, else for this thread, and a record maker."""
    library = _library()
    if library == "trio":
        import trio  # noqa: PLC0415 - only those who run it have it

        token = trio.lowlevel.current_trio_token()
        return token, partial(_Host, alive=lambda: True, soon=token.run_sync_soon)
    if library == "asyncio":
        loop = asyncio.get_running_loop()
        return loop, partial(
            _Host, alive=lambda: not loop.is_closed(), soon=loop.call_soon_threadsafe
        )
    thread = threading.current_thread()
    return thread, partial(_Host, alive=thread.is_alive)
