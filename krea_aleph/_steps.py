"""The steps that operations yield, and the contract between operations and drivers.

An *operation* is a generator. It yields steps, receives each step's result, and returns its own
result. It does no I/O, reads no clock, draws no random number and has no colour: the same
generator serves `Aleph` and `AsyncAleph`, and a test plays it with a list of answers.

A *driver* performs one step at a time:

- What a step returns is sent into the generator.
- A request that got no answer is thrown in as `TransportFault`. So is everything else that
  interrupts a step: Ctrl-C, cancellation of a task, a bug.
- After such an interruption (anything that is no `Exception`), or after a `CleanUp` step, the
  generator may yield further steps to clean up. The driver performs them shielded from more
  cancellation and for at most `CLEANUP_SECONDS`; after that every step is a `TransportFault`.
- `close()` comes last; a generator yields nothing while it is being closed.

Steps are named tuples, a fifth of the price of a frozen dataclass where it is paid: at import.
Every one has a typed helper, so that operations read ``response = yield from send(request)``.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, Final, NamedTuple, Protocol, TypeAlias, TypeVar, cast

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from krea_aleph._secrets import Secret
    from krea_aleph.models import Bell, Event

T = TypeVar("T")

CLEANUP_SECONDS: Final = 5.0

_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


class Body(Protocol):
    """A request body that is streamed, and that can be streamed again from its start."""

    content_type: str
    length: int

    def chunks(self) -> Iterator[bytes]:
        """Read it from the start, in pieces."""
        ...


class Sink(Protocol):
    """Where a download goes. Its methods block; a driver may call them in a worker thread."""

    def begin(self, status: int, headers: Mapping[str, str]) -> bool:
        """Take note of the answer, and say whether its body is wanted."""
        ...

    def write(self, data: bytes) -> None:
        """Take a piece of the body."""
        ...


class Request(NamedTuple):
    """One request to the API. The driver adds the base URL and the key.

    ``compared`` says whether its answer is held against the pinned contract, and ``hidden`` what is
    blotted out of it beside the key.
    """

    operation: str
    method: str
    path: str
    params: Mapping[str, str | int] = _NOTHING
    headers: Mapping[str, str] = _NOTHING
    json: Mapping[str, Any] | None = None
    body: Body | None = None
    compared: bool = True
    hidden: tuple[Secret, ...] = ()


class Response(NamedTuple):
    """One answer; header names are in lower case, and ``seconds`` is how long it took.

    ``content`` is the body as JSON, once somebody has read it and it was.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes = b""
    seconds: float = 0.0
    key_generation: int = 0
    content: Any = None

    @property
    def success(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300  # noqa: PLR2004 - the definition itself


class TransportFault(Exception):  # noqa: N818 - never raised to users, who get an error of ours
    """There was no whole answer.

    Attributes:
        sent: Whether anything of the request may have reached the server.
        timed_out: Whether it was time that ran out.
        hopeless: Whether the request itself cannot be sent, now or later.
        seconds: How long it took; set by the driver.
    """

    seconds = 0.0

    def __init__(
        self, problem: str, *, sent: bool, timed_out: bool = False, hopeless: bool = False
    ) -> None:
        super().__init__(problem)
        self.sent = sent
        self.timed_out = timed_out
        self.hopeless = hopeless


class Send(NamedTuple):
    """Exchange one request for one answer.

    Attributes:
        request: What to send.
        max_idle: Use no kept-alive connection that has been idle for more seconds than this.
        limit: Give up after so many seconds, if that is less than the request timeout.
    """

    request: Request
    max_idle: float | None = None
    limit: float | None = None


class SendAll(NamedTuple):
    """Exchange several requests at once; what each has come to, answer or fault, is the result."""

    sends: tuple[Send, ...]


class Fetch(NamedTuple):
    """Stream an output, without any key, into a sink. Redirects are not followed."""

    url: str
    headers: Mapping[str, str]
    sink: Sink


class RefreshKey(NamedTuple):
    """Ask the key callable again, unless somebody has done so since this generation of the key.

    The result says whether there was a callable to ask.
    """

    generation: int


class Sleep(NamedTuple):
    """Let time pass.

    Attributes:
        seconds: How much.
        bell: What ends the pause early, if anything does.
    """

    seconds: float
    bell: Bell | None = None


class Now(NamedTuple):
    """Read the monotonic clock, in seconds."""


class Today(NamedTuple):
    """Read the wall clock, in Unix seconds."""


class Draw(NamedTuple):
    """Draw a random number from 0 to 1."""


class Call(NamedTuple):
    """Run a function that blocks, on files for instance; async drivers use a worker thread."""

    function: Callable[[], Any]


class Ask(NamedTuple):
    """Call a function of the user's, which may take as long as it likes: time goes on meanwhile.

    An asynchronous driver awaits what is awaitable, and uses a worker thread for the rest.

    Attributes:
        function: What to call.
        awaitable: Whether it is to be awaited.
    """

    function: Callable[[], Any]
    awaitable: bool = False


class Spawn(NamedTuple):
    """Start an operation beside this one, and go on at once.

    It is performed in a thread, or as a task of the running event loop, and what becomes of it is
    its own concern: it hands over what it finds through an object that both know. When this
    operation ends, in whichever way, those beside it are stopped: at their next pause or read they
    are interrupted by `Stopped`, and have `CLEANUP_SECONDS` to end.
    """

    operation: Generator[Any, Any, None]


class Stopped(BaseException):
    """Interrupts an operation whose main operation has ended."""


class CleanUp(NamedTuple):
    """From here on clean up only, and for at most `CLEANUP_SECONDS`."""


class Emit(NamedTuple):
    """Show an update, or whatever else an operation finds one by one."""

    update: Any


class Report(NamedTuple):
    """Tell an event to whoever listens."""

    event: Event


Work: TypeAlias = Send | SendAll | Fetch | Call | RefreshKey
"""Steps that take time in which something is done."""
Step: TypeAlias = Work | Ask | Spawn | Sleep | Now | Today | Draw | CleanUp | Emit | Report
Steps: TypeAlias = Generator[Step, Any, T]


def send(
    request: Request, *, max_idle: float | None = None, limit: float | None = None
) -> Steps[Response]:
    """Exchange one request for one answer.

    Raises:
        TransportFault: There was none.
    """
    return cast("Response", (yield Send(request, max_idle, limit)))


def send_all(
    requests: Iterable[Request], *, limit: float | None = None
) -> Steps[list[Response | TransportFault]]:
    """Exchange several requests at once, and return what each has come to, in their order."""
    sends = tuple(Send(request, None, limit) for request in requests)
    return cast("list[Response | TransportFault]", (yield SendAll(sends)))


def fetch(url: str, headers: Mapping[str, str], sink: Sink) -> Steps[Response]:
    """Stream an output into a sink; the response has the status and the headers, not the body.

    Raises:
        TransportFault: The answer did not come, or not whole.
    """
    return cast("Response", (yield Fetch(url, headers, sink)))


def refresh_key(generation: int) -> Steps[bool]:
    """Ask the key callable again, and say whether there is one."""
    return bool((yield RefreshKey(generation)))


def sleep(seconds: float, bell: Bell | None = None) -> Steps[None]:
    """Let seconds pass, or fewer when the bell rings."""
    yield Sleep(seconds, bell)


def now() -> Steps[float]:
    """Return monotonic seconds."""
    return cast("float", (yield Now()))


def today() -> Steps[float]:
    """Return Unix seconds."""
    return cast("float", (yield Today()))


def draw() -> Steps[float]:
    """Return a random number from 0 to 1."""
    return cast("float", (yield Draw()))


def call(function: Callable[[], T]) -> Steps[T]:
    """Return what a blocking function returns; what it raises is raised."""
    return cast("T", (yield Call(function)))


def ask(function: Callable[[], Any], *, awaitable: bool = False) -> Steps[Any]:
    """Return what a function of the user's returns; what it raises is raised."""
    return (yield Ask(function, awaitable))


def spawn(operation: Steps[None]) -> Steps[None]:
    """Start an operation beside this one."""
    yield Spawn(operation)


def clean_up() -> Steps[None]:
    """Begin to clean up: later steps are shielded, and run out of time soon."""
    yield CleanUp()


def emit(update: Any) -> Steps[None]:
    """Show an update."""
    yield Emit(update)


def report(event: Event) -> Steps[None]:
    """Tell an event."""
    yield Report(event)


def gather(operation: Steps[None]) -> Steps[list[Any]]:
    """Return as a list what an operation emits, without showing it to anybody."""
    found: list[Any] = []
    yield from overhearing(operation, partial(_keep, found))
    return found


def _keep(found: list[Any], update: Any) -> Steps[None]:
    found.append(update)
    yield from ()


def overhearing(
    operation: Steps[T],
    hear: Callable[[Any], Steps[None]],
    retell: Callable[[Event], Event] | None = None,
) -> Steps[T]:
    """Perform an operation, and hand what it emits to another one instead of showing it.

    ``retell`` returns an event as it is to be told.
    """
    proceed = partial(operation.send, None)
    while True:
        try:
            step = proceed()
        except StopIteration as stop:
            return cast("T", stop.value)
        proceed = partial(operation.send, None)
        try:
            if isinstance(step, Emit):
                yield from hear(step.update)
                reply = None
            elif isinstance(step, Report) and retell is not None:
                reply = yield Report(retell(step.event))
            else:
                reply = yield step
        except BaseException as error:  # noqa: BLE001 - the operation decides what it means
            proceed = partial(operation.throw, error)
        else:
            proceed = partial(operation.send, reply)
