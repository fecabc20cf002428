"""One run's circumstances: what the dice say about the client, its wishes and the weather."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from krea_aleph import AUTO, Event, KreaError, Saved, SQLiteStore, Update
from krea_aleph.emulator import Emulator, Fault, VirtualClock
from krea_aleph.webhooks import WebhookReceiver
from weather.leaving import Leaving, ShakyClock
from weather.stage import Stage, make_clip

COLOURS = ("sync", "asyncio", "trio")
CREATE, UPLOAD, LOOK, LIST = "create_aleph_job", "upload_asset", "get_job", "list_jobs"
DOWNLOAD, ANY, WEBHOOK = "download", "*", "webhook"
SECRET = "a secret of the receiver's own"
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
        updates: What was told on the way.
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
    updates: list[Update] = field(default_factory=list)

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
        keep_upload: Whether it is to stay on the server.
        twin: Whether another client with the same store has each wish at the same time.
        account: The label of the account.
        receiver: Where webhooks come to, if any do.
        keys: Every key that has been valid; none may show anywhere.
        events: What was told to ``on_event``.
        rude: Whether the customer's own callbacks raise.
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
    keep_upload: bool = True
    twin: bool = False
    account: str = "default"
    receiver: WebhookReceiver | None = None
    stores: list[SQLiteStore] = field(default_factory=list)
    wishes: list[Wish] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    on_request: list[Callable[[int], None]] = field(default_factory=list)
    requests: int = 0
    quirks: list[tuple[str, bool]] = field(default_factory=list)
    log: list[logging.LogRecord] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    hit: list[Fault] = field(default_factory=list)
    rude: bool = False
    violations: list[str] = field(default_factory=list)
    signs: dict[str, Callable[[], bool]] = field(default_factory=dict)
    arming: str = ""
    _undoing: list[Callable[[], None]] = field(default_factory=list)

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
        self.stores = [self.store] if self.store else []
        self.options = {
            "store": self.store,
            "exclusive": self.exclusive,
            "abandon": dice.choice(("leave", "cancel")),
            "api_key": dice.choice((self.key, KEY)),
            "on_event": self.hear,
            "request_timeout": 10.0,
        }
        self.video = dice.choice((make_clip(self.folder), URL))
        self.keep_upload = dice.random() < 0.7
        if dice.random() < 0.3:
            self.receive()

    def _choose_wishes(self) -> None:
        for _ in range(self.dice.choice((1, 1, 1, 2, 3))):
            self.wish_again()
            if self.dice.random() < 0.15:
                self.wishes[-1].before = b"an older file"
                self.wishes[-1].output.write_bytes(b"an older file")

    # What kinds of weather use

    def receive(self) -> WebhookReceiver:
        """Let Krea call back from now on, and return where."""
        if self.receiver is None:
            front = self.stage.front
            front.blocking = self.dice.random() < 0.5
            front.happened.clear()
            self.receiver = front.receiver = WebhookReceiver(
                front.url, [SECRET], store=self.store, on_delivery=self.called
            )
            self.options["receiver"] = self.receiver
        return self.receiver

    def only_if(self, sign: Callable[[], bool]) -> None:
        """Count the kind that is being let in only where there is a sign that it has happened."""
        self.signs[self.arming] = sign

    def undone(self, undo: Callable[[], None]) -> None:
        """Have something undone when the weather is good again."""
        self._undoing.append(undo)

    def video_of(self, wish: Wish) -> Path | str:
        """Return what a wish is about; some have a clip of their own."""
        if wish.number == 0 or isinstance(self.video, str) or (self.seed + wish.number) % 3:
            return self.video
        path = self.folder / f"shot{wish.number}.mp4"
        if not path.exists():
            path.write_bytes(self.video.read_bytes()[: -wish.number])
        return path

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

    def called(self, _: object) -> None:
        """Be told of a delivery."""
        if self.rude:
            raise RuntimeError("a listener of the user's own")

    def update(self, wish: Wish, update: Update) -> None:
        """Be told how a job stands."""
        wish.updates.append(update)
        if self.rude:
            raise RuntimeError("a listener of the user's own")

    @property
    def on_main_thread(self) -> bool:
        """Whether this is where the customer's own calls run."""
        return threading.current_thread() is threading.main_thread()

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
            self.stores.append(self.store)
        return {"virtual_time": True, **options, "api_key": self.emulator.key}

    def twin_options(self) -> dict[str, Any]:
        """Return what somebody else makes a client with who has the same store."""
        store = SQLiteStore(self.folder / "jobs.sqlite3")
        self.stores.append(store)
        return {"virtual_time": True, **self.options, "store": store}

    def clear_up(self) -> None:
        """End the bad weather; what has happened has happened."""
        self.hit += [armed.fault for armed in self.emulator._faults._armed if armed.hits]
        while self._undoing:
            self._undoing.pop()()
        self.leaving.calm()
        self.on_request.clear()
        self.wait_timeout = AUTO
        self.emulator._faults.clear()
        if isinstance(self.video, Path):
            make_clip(self.folder)
        self.emulator.concurrency = USUAL_CONCURRENCY
        for name, usual in self.quirks:
            self.emulator.quirk(name, on=usual)
        self.stage.calm()

    def finish(self) -> None:
        """Let what is still at work end, and close everything."""
        if self.receiver is not None:
            self.stage.front.rest()
            self.stage.front.receiver = None
        for store in self.stores:
            store.close()

    def jobs_of(self, wish: Wish) -> list[Any]:
        """Return the jobs of a wish, as the server knows them."""
        return [job for job in self.emulator.jobs if job.body.get("prompt") == wish.prompt]
