"""One run's circumstances: what the dice say about the client, its wishes and the weather."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from krea_aleph import AUTO, Event, KreaError, Saved, SQLiteStore
from krea_aleph.emulator import Emulator, Fault, VirtualClock
from weather.leaving import Leaving, ShakyClock
from weather.stage import Stage, make_clip

COLOURS = ("sync", "asyncio", "trio")
CREATE, UPLOAD, LOOK, LIST = "create_aleph_job", "upload_asset", "get_job", "list_jobs"
DOWNLOAD, ANY = "download", "*"
URL = "https://example.com/in.mp4"
KEY = "emulator-id:emulator-secret"
USUAL_CONCURRENCY = 8
# How many calls of an operation a run makes at least, as a rule.
_LIKELY = {LOOK: 4, DOWNLOAD: 1, ANY: 6}


@dataclass
class Wish:
    """One video that the customer wants, and what is known of it so far.

    Attributes:
        number: Which one it is.
        prompt: What the jobs of this wish can be told by, on the server.
        output: Where it is to be saved.
        before: What is there already.
        jobs: The ids of live jobs that the customer has been told of.
        uncertain: The last error that says that a job may have been started.
        perhaps: Whether an interruption said the same.
        saved: The result.
        told: Every error and interruption, in order.
        may_submit: Whether the library's own words allow another submit.
        attempt: The number of the present intent.
        ended: Whether the customer is done with it, with a result or for a good reason.
    """

    number: int
    prompt: str
    output: Path
    before: bytes | None = None
    jobs: list[str] = field(default_factory=list)
    uncertain: KreaError | None = None
    perhaps: bool = False
    saved: Saved | None = None
    told: list[BaseException] = field(default_factory=list)
    may_submit: bool = True
    attempt: int = 1
    ended: bool = False

    @property
    def intent(self) -> str:
        """The name under which it is submitted; a new attempt needs a new one."""
        return f"wish-{self.number}#{self.attempt}"


@dataclass(repr=False)  # it holds keys, and is within reach of the library's own values
class Scene:
    """Everything that a run needs, made from its seed.

    Attributes:
        seed: Whence everything follows.
        stage: The servers.
        folder: An empty folder of the run's own.
        kinds: The kinds of weather by name, each with its faults.
        groups: The groups of these kinds.
        survived: Whether the first call must succeed in spite of them.
        options: Of the client, in bad weather.
        wait_timeout: Of each call in bad weather.
        exclusive: Whether the account is this store's alone.
        video: What is uploaded, or a URL.
        keys: Every key that has been valid; none may show anywhere.
        events: What was told to ``on_event``.
        on_request: Called with the number of each request that has been answered.
    """

    seed: int
    stage: Stage
    folder: Path
    dice: random.Random = field(init=False)
    colour: str = field(init=False)
    emulator: Emulator = field(init=False)
    clock: VirtualClock = field(init=False)
    leaving: Leaving = field(init=False)
    kinds: dict[str, list[Fault]] = field(default_factory=dict)
    groups: set[str] = field(default_factory=set)
    survived: bool = True
    options: dict[str, Any] = field(default_factory=dict)
    wait_timeout: float | None = AUTO
    store: SQLiteStore | None = None
    exclusive: bool = False
    video: Path | str = URL
    wishes: list[Wish] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    on_request: list[Callable[[int], None]] = field(default_factory=list)
    requests: int = 0
    quirks: list[tuple[str, bool]] = field(default_factory=list)
    log: list[logging.LogRecord] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Throw the dice for everything but the weather."""
        self.dice = random.Random(self.seed)  # noqa: S311 - a test's dice
        self.colour = self.dice.choice(COLOURS)
        self.leaving = Leaving(self.colour)
        self._use(self.stage.emulator())
        self._choose_client()
        self._choose_wishes()

    # What the dice decide

    def _use(self, emulator: Emulator) -> None:
        """Play on an emulator that knows nothing, at a new time."""
        self.emulator = emulator
        emulator.reset()
        emulator.key = KEY
        self.clock = emulator.clock = VirtualClock()
        self.keys = [KEY]

    def _choose_client(self) -> None:
        dice = self.dice
        kept = dice.random() < 0.6
        self.exclusive = kept and dice.random() < 0.6
        self.store = SQLiteStore(self.folder / "jobs.sqlite3") if kept else None
        self.options = {
            "store": self.store,
            "exclusive": self.exclusive,
            "abandon": dice.choice(("leave", "cancel")),
            "api_key": dice.choice((self.key, KEY)),
            "on_event": self.hear,
            "request_timeout": 10.0,
        }
        self.video = dice.choice((make_clip(self.folder), URL))

    def _choose_wishes(self) -> None:
        for _ in range(self.dice.choice((1, 1, 1, 2, 3))):
            self.wish_again()
            if self.dice.random() < 0.15:
                self.wishes[-1].before = b"an older file"
                self.wishes[-1].output.write_bytes(b"an older file")

    # What kinds of weather use

    def use_skewed(self, skew: float) -> None:
        """Play against a Krea whose clock is ahead by so many seconds."""
        self._use(self.stage.emulator(skew))

    def wish_again(self) -> None:
        """Have one more wish."""
        number = len(self.wishes)
        output = self.folder / f"wish{number}.mp4"
        self.wishes.append(Wish(number, f"wish {number} of {self.seed}", output))

    def wish_once(self) -> None:
        """Give up all wishes but the first."""
        for wish in self.wishes[1:]:
            wish.output.unlink(missing_ok=True)
        del self.wishes[1:]

    def operation(self, *choice: str) -> str:
        """Choose one of some operations; one that this run has no need of is passed over."""
        idle = {UPLOAD} if self.video == URL else set()
        idle |= {LIST} if self.store is None else set()
        return self.dice.choice([name for name in choice if name not in idle] or [CREATE])

    def fault(self, *, nth: int | None = None, operation: str, **fault: Any) -> None:
        """Let something go wrong on the server, at a call that is likely to be made."""
        nth = nth or self.dice.randint(1, _LIKELY.get(operation, 1))
        self.faults.append(Fault(operation=operation, nth=nth, **fault))
        self.emulator.fault(self.faults[-1])

    def quirk(self, name: str) -> None:
        """Switch a quirk on for this run, or off if it is usual."""
        from krea_aleph.emulator import QUIRKS  # noqa: PLC0415 - it needs the extra

        usual = QUIRKS[name].usual
        self.quirks.append((name, usual))
        self.emulator.quirk(name, on=not usual)

    def outcome(self, **outcome: Any) -> None:
        """Say how the next job goes."""
        self.emulator.outcome(**outcome)

    def rotate(self) -> None:
        """Let Krea accept another key from now on."""
        key = f"emulator-id:secret-{self.seed}-{len(self.keys)}"
        self.keys.append(key)
        self.emulator.key = key

    def key(self) -> str:
        """Return the key that is valid now, as a vault does."""
        return self.emulator.key

    # What happens on the way

    def hear(self, event: Event) -> None:
        """Take an event, and let what hangs on the number of requests happen."""
        self.events.append(event)
        if event.kind == "request":
            self.requests += 1
            for listener in self.on_request:
                listener(self.requests)

    def client_options(self, **changes: Any) -> dict[str, Any]:
        """Return what to make a client with."""
        clock = ShakyClock(self.clock, self.leaving.touch)
        return {"virtual_time": True, "clock": clock, **self.options, **changes}

    def calm_options(self) -> dict[str, Any]:
        """Return what a second process makes its client with, when the storm is over."""
        gone = ("base_url", "proxy", "ssl_context", "trusted_hosts", "retry", "before_submit")
        options = {name: value for name, value in self.options.items() if name not in gone}
        if self.store is not None and self.colour == "sync" and "leave" in self.groups:
            # Ctrl-C at the wrong moment leaves an intent taken for as long as the process lives.
            self.store.close()
            options["store"] = self.store = SQLiteStore(self.folder / "jobs.sqlite3")
        return {"virtual_time": True, **options, "api_key": self.emulator.key}

    def clear_up(self) -> None:
        """End the bad weather; what has happened has happened."""
        self.leaving.calm()
        self.on_request.clear()
        self.wait_timeout = AUTO
        self.emulator._faults.clear()
        if isinstance(self.video, Path):
            make_clip(self.folder)
        self.emulator.concurrency = USUAL_CONCURRENCY
        for name, usual in self.quirks:
            self.emulator.quirk(name, on=usual)
        with suppress(AttributeError):  # it is there only if some run has needed it
            if self.stage._gateway is not None:
                self.stage.gateway.calm()

    def jobs_of(self, wish: Wish) -> list[Any]:
        """Return the jobs of a wish, as the server knows them."""
        return [job for job in self.emulator.jobs if job.body.get("prompt") == wish.prompt]
