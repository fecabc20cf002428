"""One run of a command: its client, what is known of its job, and how to go on afterwards."""

from __future__ import annotations

import logging
import sys
import warnings
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from krea_aleph.cli import failures, stores, words
from krea_aleph.cli.commands import joined, program
from krea_aleph.cli.params import Common, Keeping, Patience, words_again
from krea_aleph.errors import (
    ConfigError,
    KreaError,
    KreaWarning,
    NotFoundError,
    StoreError,
    SubmitUncertainError,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from krea_aleph import Aleph, ClientOptions, Store
    from krea_aleph.cli.failures import Failure
    from krea_aleph.cli.output import Writer
    from krea_aleph.models import Event, Update

_CANCELLED: Final = frozenset({"cancelled", "requested", "already_cancelled"})
_LEFT: Final = {
    None: "the job goes on.",
    "running": "the job goes on.",
    "done": "the job is done, its result is not saved.",
}
_FORGOTTEN: Final = (
    "The server does not know the job that the same command has started before. --new starts"
    " another one."
)
_LOGGER: Final = logging.getLogger("krea_aleph")


@dataclass
class Session:
    """One run of a command.

    Attributes:
        out: Where it says what it has to say.
        arguments: The command line.
        options: What an embedding program has given for the client.
        job_id: The job that it is about, once that is known.
        intent: What a submit is written down as, once that is known.
        output: Where its result is to go.
        left: What became of the job when the command was interrupted, in the library's word.
        paying: Whether the command pays for a job.
        variants: Whether ``--new`` makes another variant of what it has made.
        batch: Whether it is about many jobs.
        rows: The places of those in flight, by their ids.
    """

    out: Writer
    arguments: Sequence[str]
    options: ClientOptions
    job_id: str | None = None
    intent: str | None = None
    output: str | None = None
    left: str | None = None
    paying: bool = False
    variants: bool = False
    batch: bool = False
    rows: dict[str, int] = field(default_factory=dict)
    _common: Common | None = None
    _keeping: Keeping | None = None
    _store: Store | None = None

    @contextmanager
    def client(
        self,
        common: Common,
        *,
        keeping: Keeping | None = None,
        patience: Patience | None = None,
        **options: Any,
    ) -> Generator[Aleph]:
        """Open the client that a command needs, with the store if it submits."""
        from krea_aleph import Aleph  # noqa: PLC0415 - help needs no client

        self._common, self._keeping = common, keeping
        with ExitStack() as closing:
            closing.enter_context(_logging(verbose=common.verbose))
            closing.enter_context(self._warning())
            configured: Any = {
                **self.options,
                **common.given(),
                **options,
                "on_event": self._hear,
                "on_progress": self.out.progress,
            }
            if common.api_key_file is not None:
                configured["api_key"] = key_in(common.api_key_file)
            if patience is not None:
                configured["abandon"] = patience.abandon
            aleph = closing.enter_context(Aleph(**configured))
            if keeping is not None:
                with _nothing_sent():
                    store = closing.enter_context(stores.opened(keeping.store, aleph.base_url))
                self._store = store
                aleph = aleph.with_options(store=store, exclusive=keeping.exclusive)
            yield aleph

    @contextmanager
    def speaking(self, common: Common) -> Generator[None]:
        """Show the library's warnings, and its log: all of it, or what cannot wait for a reader."""
        telling = _LOGGER.getChild("durable")
        handler, level = _News(self.out), telling.level
        if not common.verbose:
            _LOGGER.addHandler(handler)
            telling.setLevel(logging.INFO)
        try:
            with _logging(verbose=common.verbose), self._warning():
                yield
        finally:
            telling.setLevel(level)
            _LOGGER.removeHandler(handler)

    def opened_store(self) -> Store:
        """Return where submits are written down, for a command that has asked to keep them."""
        if self._store is None:
            raise RuntimeError("no store is open")
        return self._store

    def update(self, news: Update) -> None:
        """Take note of a change of the job, and show it."""
        if self.paying and self.job_id is None:
            self.out.accepted(news.job.id, before=True)
        self.job_id = news.job.id
        self.out.update(news)

    def _hear(self, event: Event) -> None:
        """Take note of what the library tells, and show what people want to know."""
        job_id, facts = event.job_id, event.attributes
        match event.kind:
            case "submitted" | "changed" if self.batch and job_id is not None:
                if event.index is not None:
                    self.rows[job_id] = event.index
                self.out.flight(job_id, str(facts.get("status", "")), self.rows.get(job_id))
            case "submitted" if job_id is not None:
                self.job_id = job_id
                self.out.accepted(job_id, before=False)
            case "left":
                self.left = str(facts.get("outcome", ""))
            case "transfer":
                for direction in facts.keys() & {"upload", "download"}:
                    size, duration = float(facts[direction]), event.duration or 0.0
                    self.out.moved(direction, size, duration, job_id, index=event.index)
            case "recovering":
                wait = words.seconds(float(facts.get("wait", 0)))
                self.out.note(f"a lost request may still arrive: looking in {wait}")
            case "paused":
                self.out.note("paused until the account can pay again")
            case _:
                pass

    def command(self, *parts: str) -> str:
        """Return a command that acts for the same account as this one."""
        return joined([*program(), *parts, *words_again(self._common or Common())])

    def again(self, *, new: bool = False) -> str:
        """Return this very command, or the one that makes another variant."""
        further = ["--new"] if new and "--new" not in self.arguments else []
        return joined([*program(), *self.arguments, *further])

    def resume(self, job_id: str) -> str:
        """Return the command that goes on with a job."""
        return self.command("wait", job_id, *(["-o", self.output] if self.output else []))

    def recovery(self, intent: str, *further: str) -> str:
        """Return the command that finds what became of a submit, or writes it down."""
        kept = words_again(self._keeping or Keeping())
        return self.command("recover", intent, *further, *kept)

    def _recoveries(self, error: SubmitUncertainError, intent: str) -> list[str]:
        """Return the command that looks for a job; where somebody has to choose, one for each."""
        chosen = [self.recovery(intent, "--adopt", job.id) for job in error.candidates]
        return chosen or [self.recovery(intent)]

    def failure(self, error: Exception) -> Failure:
        """Return what is to be said about an error, and how to go on."""
        paying = self.paying or self.batch
        failure = failures.of_error(error, self._ways_on(error), paying=paying)
        return replace(failure, hint=_FORGOTTEN) if self._is_forgotten(error) else failure

    def _is_forgotten(self, error: Exception) -> bool:
        """Whether the server does not know what was submitted to it, such as a restarted one."""
        looked = isinstance(error, NotFoundError) and error.operation == "get_job"
        return looked and self.variants and self.job_id is None

    def _ways_on(self, error: Exception) -> list[str]:
        if isinstance(error, SubmitUncertainError) and error.intent is not None:
            return self._recoveries(error, error.intent)
        if not isinstance(error, KreaError):
            return []
        if failures.resumable(error) and error.job_id is not None:
            return [self.again() if self.batch else self.resume(error.job_id)]
        if self.batch:
            return []
        free = error.job_id is not None and error.resubmit == "safe" and self.variants
        if free or self._is_forgotten(error):
            return [self.again(new=True)]
        return []

    def interruption(self, error: KeyboardInterrupt) -> Failure:
        """Return what is to be said when somebody has interrupted."""
        if self.batch:
            told = " ".join(getattr(error, "__notes__", [])) or "nothing was in flight."
            return failures.of_interruption(told, None, [self.again()])
        if self.job_id is None:
            return self._interrupted_early()
        if self.left in _CANCELLED:
            further = [self.again(new=True)] if self.variants else []
        else:
            further = [self.resume(self.job_id)]
        asked = f"the job was asked to be cancelled: {self.left}."
        return failures.of_interruption(_LEFT.get(self.left, asked), self.job_id, further)

    def _interrupted_early(self) -> Failure:
        """Return what is to be said where no job is known."""
        if self.left != "perhaps started" or self.intent is None:
            return failures.of_interruption("nothing was left.", None, [])
        said = "a job may have been started: see first whether there is one."
        return failures.of_interruption(said, None, [self.recovery(self.intent)])

    def last_words(self) -> str:
        """Return what is said when somebody insists."""
        return "" if self.job_id is None else f"job {self.job_id}; {self.resume(self.job_id)}"

    @contextmanager
    def _warning(self) -> Generator[None]:
        """Tell the library's warnings as notes, each once."""
        seen: set[str] = set()

        def show(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
            text = str(message)
            if issubclass(category, KreaWarning) and text not in seen:
                seen.add(text)
                self.out.note(f"warning: {text}")

        with warnings.catch_warnings():
            warnings.simplefilter("always", KreaWarning)
            warnings.showwarning = show
            yield


class _News(logging.Handler):
    """Tells as notes what has become of jobs, and whatever warns."""

    def __init__(self, out: Writer) -> None:
        super().__init__()
        self._out = out

    def filter(self, record: logging.LogRecord) -> bool:
        """Leave out what is told of each step on the way."""
        return record.levelno >= logging.WARNING or record.name == f"{_LOGGER.name}.durable"

    def emit(self, record: logging.LogRecord) -> None:
        """Tell one."""
        self._out.note(words.visible(self.format(record)))


@contextmanager
def _nothing_sent() -> Generator[None]:
    """Make what is wrong with a store, before anything is sent, a setting that cannot work."""
    try:
        yield
    except StoreError as error:
        hint = error.hint or stores.ANOTHER
        raise ConfigError(str(error.args[0]), hint=hint) from error


@contextmanager
def _logging(*, verbose: bool) -> Generator[None]:
    """Send the library's log to the standard error, or nowhere: the writers tell what matters."""
    handler: logging.Handler = logging.StreamHandler() if verbose else logging.NullHandler()
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    level = _LOGGER.level
    _LOGGER.addHandler(handler)
    if verbose:
        _LOGGER.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        _LOGGER.setLevel(level)
        _LOGGER.removeHandler(handler)


def key_in(path: str) -> str:
    """Return the key that a file holds; what is said about it never shows any of it."""
    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text("utf-8")
    except (OSError, ValueError) as error:
        words = getattr(error, "strerror", None) or "it is no text"
        raise ConfigError(f"--api-key-file: {path!r} cannot be read: {words}.") from None
    if not text.strip():
        raise ConfigError(f"--api-key-file: {path!r} is empty.")
    return text.strip()
