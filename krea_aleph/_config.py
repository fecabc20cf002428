"""What a client is configured with; the only reader of the environment; where secrets hide."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Awaitable, Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias, TypedDict, cast
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass_environment  # type: ignore[attr-defined]

from krea_aleph._board import Board
from krea_aleph._hosts import Origin, is_loopback, may_speak_http, origin
from krea_aleph._secrets import Secret
from krea_aleph._telemetry import Memory
from krea_aleph._uploads import Uploads
from krea_aleph.clocks import RealClock
from krea_aleph.errors import ConfigError, guess
from krea_aleph.models import YEARS
from krea_aleph.policies import PollPolicy, RetryPolicy, problem_with_number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ssl import SSLContext

    from krea_aleph.models import (
        BucketAccess,
        Checked,
        Clock,
        Event,
        Progress,
        Receiver,
        Stores,
        Transport,
    )
    from krea_aleph.store import Store

Key: TypeAlias = str | Callable[[], str] | Callable[[], Awaitable[str]]
Checks: TypeAlias = Literal["error", "warn", "off"]
Abandon: TypeAlias = Literal["leave", "cancel"]

DEFAULT_BASE_URL: Final = "https://api.krea.ai"
DEFAULT_REQUEST_TIMEOUT: Final = 60.0

_NETWORK_OPTIONS: Final = ("proxy", "ssl_context", "trust_env", "transport")
_PROXY_SCHEMES: Final = frozenset({"http", "https", "socks5", "socks5h"})
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE: Final = re.compile(r"(?:[\x21-\x7e](?:[\t\x20-\x7e]*[\x21-\x7e])?)?")
_URL: Final = re.compile(r"[\x21-\x7e]+")
_HOST: Final = re.compile(
    r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*\.?|[0-9a-f:.]*:[0-9a-f:.]*", re.IGNORECASE
)
# The client owns these; a second value would leak the key's place or break the framing.
_OWN_HEADERS: Final = frozenset(
    {"authorization", "content-length", "content-type", "host", "transfer-encoding"}
)
_STORE_METHODS: Final = (
    "read by_nonce find write claimed holder alive lock unlock expect deliver delivered told"
).split()
_RECEIVER_METHODS: Final = "url attach expect expects listen told".split()


class ClientOptions(TypedDict, total=False):
    """The options of `Aleph`, `AsyncAleph` and ``with_options``; all of them by keyword.

    Attributes:
        api_key: The whole token, or a callable that returns it; default KREA_API_KEY.
        account: A label, not the key, for whom the client acts.
        base_url: Default KREA_BASE_URL, then https://api.krea.ai.
        request_timeout: Seconds for one exchange; default 60.
        retry: How requests that surely started nothing are repeated.
        poll: How long to wait between looks at a job.
        checks: Whether what the contract forbids is an "error", a "warn" or "off".
        abandon: Whether an interrupted wait shall "leave" the job running or "cancel" it.
        store: Where intents are kept, such as `SQLiteStore`.
        exclusive: Whether every submit of the account goes through this store.
        receiver: A `WebhookReceiver` that Krea calls when a job has ended.
        before_submit: Called with each checked request; may raise `SubmitVetoedError`.
        on_event: Called with each `Event`.
        on_progress: Called with the `Progress` of transfers.
        proxy: The URL of a proxy; default: what the environment says.
        ssl_context: Default: certifi's authorities, or SSL_CERT_FILE and SSL_CERT_DIR.
        trust_env: Whether proxies and certificates of the environment count.
        trusted_hosts: Hosts that may be unencrypted and have private addresses.
        storage: What ``s3://``, ``gs://`` and ``az://`` are reached with.
        transport: A transport of one's own instead of the built-in one.
        extra_headers: Headers for every request to the API.
        clock: Where time comes from; for tests.
    """

    api_key: Key
    """The whole token, or a callable that returns it; default KREA_API_KEY, then KREA_API_TOKEN.

    A callable is asked at first use, and once more after a 401, so that keys can rotate.
    """
    account: str
    """A label, not the key, for whom the client acts; it travels on jobs and events."""
    base_url: str
    """Default KREA_BASE_URL, then https://api.krea.ai."""
    request_timeout: float
    """Seconds for one exchange; default 60. Of a transfer: for its beginning, and for each stretch
    of it, in which at least 1 KiB a second must come or go."""
    retry: RetryPolicy
    """How reads, and submits that surely started nothing, are repeated."""
    poll: PollPolicy
    """How long to wait between looks at a job."""
    checks: Checks
    """What to do with a request that the pinned contract forbids; default "error"."""
    abandon: Abandon
    """What becomes of the job when a wait is interrupted or times out; default "leave"."""
    store: Store
    """Where intents are kept, such as `SQLiteStore`; ``intent=`` needs one."""
    exclusive: bool
    """That every submit of the account goes through this store: POSTs are made one at a time, and
    a lost one can be recovered. Default False."""
    receiver: Receiver
    """A `WebhookReceiver`: each submit asks Krea to call it, and a wait looks when it is called."""
    before_submit: Callable[[Checked], None]
    """Called with each checked request before anything is uploaded; raise SubmitVetoedError."""
    on_event: Callable[[Event], None]
    """Called with each event. What it raises is logged and goes no further."""
    on_progress: Callable[[Progress], None]
    """Called with how far a transfer is, at most ten times a second for each, from whichever thread
    moves the bytes. What it raises is logged and goes no further."""
    proxy: str
    """The URL of a proxy; default: what the environment says for the URL."""
    ssl_context: SSLContext
    """Default: certifi's authorities, or SSL_CERT_FILE and SSL_CERT_DIR."""
    trust_env: bool
    """Whether proxies and certificates of the environment count; default True."""
    trusted_hosts: Sequence[str]
    """Hosts that may be spoken to unencrypted and that may have private addresses."""
    storage: BucketAccess | Stores
    """What ``s3://``, ``gs://`` and ``az://`` are reached with: a `krea_aleph.storage.Storage`, or
    a mapping or callable from URLs of buckets to stores. Default: what the environment says."""
    transport: Transport
    """A transport of one's own, in the client's colour, instead of the built-in one.

    Which addresses an output's name leads to is then its own affair.
    """
    extra_headers: Mapping[str, str]
    """Headers for every request to the API, never sent to output hosts."""
    clock: Clock
    """Where time comes from; for tests."""


class ServerDates:
    """The date of the server's latest answer: what its clock showed, not ours."""

    __slots__ = ("_text",)

    def __init__(self) -> None:
        self._text = ""

    def note(self, headers: Mapping[str, str]) -> None:
        """Take note of an answer's headers."""
        self._text = headers.get("date", self._text)

    @property
    def latest(self) -> datetime | None:
        """The date, if there was an answer and it had one."""
        try:
            date = parsedate_to_datetime(self._text)
        except (ValueError, OverflowError):
            return None
        if date.year not in YEARS:
            return None
        return date if date.tzinfo else date.replace(tzinfo=UTC)


class Keyring:
    """The API key: resolved once, hidden always, asked for again when the server refuses it."""

    __slots__ = ("_asking", "_async_lock", "_generation", "_key", "_lock", "_source")

    def __init__(self, source: Key | Secret) -> None:
        source = source if callable(source) else _hidden(source)  # else the frame would show it
        self._source: Callable[[], Any] | None = source if callable(source) else None
        self._key = source.checked() if isinstance(source, Secret) else None
        self._generation = 0
        self._lock = threading.RLock()
        self._asking = False
        self._async_lock: Any = None

    def __repr__(self) -> str:
        return "Keyring(...)"

    @property
    def cached(self) -> tuple[Secret, int] | None:
        """The key and its generation, when it has been resolved."""
        return None if self._key is None else (self._key, self._generation)

    @property
    def renewable(self) -> bool:
        """Whether there is a callable to ask."""
        return self._source is not None

    def resolve(self, stale: int = -1) -> tuple[Secret, int]:
        """Return the key; ask the callable if nobody has since the stale generation."""
        with self._lock:
            if self.cached is None or self._generation == stale:
                with self._one_question(), _key_trouble():
                    self._accept(self._ask())
            return cast("tuple[Secret, int]", self.cached)

    async def aresolve(self, stale: int = -1) -> tuple[Secret, int]:
        """Do the same in an asynchronous client, whose callable may be a coroutine function.

        One that blocks is called in a worker thread.
        """
        import anyio.to_thread  # noqa: PLC0415 - a synchronous start should not pay for it

        self._async_lock = self._async_lock or anyio.Lock()
        async with self._async_lock:
            if self.cached is None or self._generation == stale:
                with _key_trouble():
                    answer = await anyio.to_thread.run_sync(self._ask)
                    self._accept(answer if isinstance(answer, Secret) else Secret(await answer))
            return cast("tuple[Secret, int]", self.cached)

    @contextmanager
    def _one_question(self) -> Generator[None]:
        """Refuse a callable that needs, for the answer, the client that waits for it."""
        if self._asking:
            raise ConfigError(
                "api_key: the callable has used the client that it is to give the key to.",
                hint="Let it get the key without this client.",
            )
        self._asking = True
        try:
            yield
        finally:
            self._asking = False

    def _ask(self) -> Any:
        """Return what the callable does: the key, which hides at once, or something to await."""
        return _unless_awaited(None if self._source is None else self._source())

    def _accept(self, answer: Any) -> None:
        self._key = (answer if isinstance(answer, Secret) else Secret(answer)).checked()
        self._generation += 1


@contextmanager
def _key_trouble() -> Generator[None]:
    try:
        yield
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(f"api_key: the callable raised {type(error).__name__}.") from error


@dataclass(frozen=True, slots=True)
class Config:
    """A client's options, resolved and checked."""

    keys: Keyring
    account: str
    base_url: str
    base: Origin
    request_timeout: float
    retry: RetryPolicy
    poll: PollPolicy
    checks: Checks
    abandon: Abandon
    store: Store | None
    exclusive: bool
    receiver: Receiver | None
    before_submit: Callable[[Checked], None] | None
    on_event: Callable[[Event], None] | None
    on_progress: Callable[[Progress], None] | None
    proxies: Mapping[str, str] = field(repr=False)
    ssl_context: SSLContext | None
    trust_env: bool
    trusted_hosts: frozenset[str]
    storage: BucketAccess | None
    transport: Transport | None
    extra_headers: Mapping[str, str] = field(repr=False)
    clock: Clock
    dates: ServerDates = field(default_factory=ServerDates, compare=False, repr=False)
    told: Memory = field(default_factory=Memory, compare=False, repr=False)
    uploads: Uploads = field(default_factory=Uploads, compare=False, repr=False)
    board: Board = field(default_factory=Board, compare=False, repr=False)

    @classmethod
    def resolve(cls, options: ClientOptions, transport_methods: Sequence[str] = ()) -> Config:
        """Return the configuration that options and environment amount to.

        Args:
            options: As the caller gave them.
            transport_methods: What a transport of the client's colour must have.

        Raises:
            ConfigError: Something in them cannot work; the text names it and the remedy.
        """
        _hide_key(options)
        unknown = sorted(set(options) - set(ClientOptions.__annotations__))
        if unknown:
            raise ConfigError(_unknown_option(unknown[0]))
        trusted = _hosts(options.get("trusted_hosts", ()))
        base_url, base = _base_url(options.get("base_url"), trusted)
        return cls(
            keys=_keyring(options.get("api_key")),
            account=_account(options.get("account", "default")),
            base_url=base_url,
            base=base,
            request_timeout=_seconds(options.get("request_timeout", DEFAULT_REQUEST_TIMEOUT)),
            retry=_instance("retry", options.get("retry", RetryPolicy()), RetryPolicy),
            poll=_instance("poll", options.get("poll", PollPolicy()), PollPolicy),
            checks=_one_of("checks", options.get("checks", "error"), ("error", "warn", "off")),
            abandon=_one_of("abandon", options.get("abandon", "leave"), ("leave", "cancel")),
            store=_with_methods("store", options.get("store"), *_STORE_METHODS),
            exclusive=_exclusive(options),
            receiver=_with_methods("receiver", options.get("receiver"), *_RECEIVER_METHODS),
            before_submit=_callable("before_submit", options.get("before_submit")),
            on_event=_callable("on_event", options.get("on_event")),
            on_progress=_callable("on_progress", options.get("on_progress")),
            proxies=_proxies(options.get("proxy"), trust_env=options.get("trust_env", True)),
            ssl_context=_with_methods("ssl_context", options.get("ssl_context"), "wrap_bio"),
            trust_env=options.get("trust_env", True),
            trusted_hosts=trusted,
            storage=_storage(options.get("storage")),
            transport=_with_methods("transport", options.get("transport"), *transport_methods),
            extra_headers=_headers(options.get("extra_headers", {})),
            clock=_with_methods("clock", options.get("clock"), "monotonic", "asleep")
            or RealClock(),
        )

    @property
    def nearby(self) -> bool:
        """Whether the API is on this machine, or a host that is trusted like it."""
        return is_loopback(self.base.host) or self.base.host in self.trusted_hosts

    def proxy_for(self, target: Origin) -> str | None:
        """Return the URL of the proxy that leads to an origin, or None to go there directly."""
        proxy = self.proxies.get(target.scheme) or self.proxies.get("all")
        if proxy is None or proxy_bypass_environment(
            f"{target.host}:{target.port}", dict(self.proxies)
        ):
            return None
        return proxy


def derived(options: ClientOptions, changes: ClientOptions) -> ClientOptions:
    """Return options for a client that shares the other's connections.

    Args:
        options: The other's; its key is in its keyring by now.
        changes: What is different.

    Raises:
        ConfigError: A change concerns the connections themselves.
    """
    _hide_key(changes)
    network = [name for name in _NETWORK_OPTIONS if name in changes]
    if network:
        message = f"with_options: {network[0]} belongs to the shared connections."
        raise ConfigError(message, hint="Make a client of its own for it.")
    return {**options, **changes}


def _environment(*names: str) -> str | None:
    """Return the first variable that is set and not blank: a blank one counts as unset."""
    values = (os.environ.get(name, "").strip() for name in names)
    return next((value for value in values if value), None)


def _hide_key(options: ClientOptions) -> None:
    """Put the key out of sight, in place: this is a local variable of every frame from here on."""
    given: Any = options
    if "api_key" in given and not callable(given["api_key"]):
        given["api_key"] = _hidden(given["api_key"])


def _hidden(value: Any) -> Any:
    return value if value is None or isinstance(value, Secret | Keyring) else Secret(value)


def _unless_awaited(answer: Any) -> Any:
    return answer if isinstance(answer, Awaitable) else Secret(answer)


def _keyring(source: Any) -> Keyring:
    if isinstance(source, Keyring):
        return source
    if source is None:
        source = _hidden(_environment("KREA_API_KEY", "KREA_API_TOKEN"))
    if source is None:
        message = "no API key: neither api_key= nor KREA_API_KEY is set."
        raise ConfigError(message, hint="Set KREA_API_KEY to the whole token, or pass api_key=.")
    return Keyring(source)


def _base_url(option: str | None, trusted: frozenset[str]) -> tuple[str, Origin]:
    given = option or _environment("KREA_BASE_URL") or DEFAULT_BASE_URL
    try:
        url = _instance("base_url", given, str).rstrip("/")
        parts, base = urlsplit(url), origin(url)
        if not _URL.fullmatch(url) or not _HOST.fullmatch(base.host):
            raise ValueError("a host in plain ASCII is needed")  # noqa: TRY301 - told like the rest
    except ValueError as error:
        shown = str(given).rpartition("@")[2]  # before it there may be a password
        message = f"base_url: {shown!r} cannot be used: {error}."
        raise ConfigError(message, hint=f"It looks like {DEFAULT_BASE_URL}.") from None
    if parts.username or parts.password or parts.query or parts.fragment:
        message = "base_url: it must not have a user, a password, a query or a fragment."
        raise ConfigError(message, hint=f"It looks like {DEFAULT_BASE_URL}.")
    if base.scheme == "http" and not may_speak_http(base.host, trusted):
        message = f"base_url: {url!r} would send the key unencrypted."
        raise ConfigError(message, hint="Use https, or name the host in trusted_hosts=.")
    return url, base


def _account(label: object) -> str:
    if not isinstance(label, str) or not label or not label.isprintable():
        raise ConfigError(f"account: {label!r} is no label: one printable line is needed.")
    return label


def _seconds(value: float) -> float:
    problem = problem_with_number(value, least=0.001)
    if problem is not None:
        raise ConfigError(f"request_timeout: {problem}.", hint="It is in seconds.")
    return float(value)


def _proxies(option: str | None, *, trust_env: bool) -> Mapping[str, str]:
    if option is not None:
        _instance("proxy", option, str)
    found = {"all": option} if option else getproxies() if trust_env else {}
    for name in found.keys() & {"http", "https", "all"}:
        # Like other tools, read "host:3128" as an http proxy.
        found[name] = found[name] if "://" in found[name] else f"http://{found[name]}"
        _check_proxy(found[name], "proxy" if option else f"{name.upper()}_PROXY")
    return MappingProxyType(found)


def _check_proxy(url: str, name: str) -> None:
    try:
        scheme = urlsplit(url).scheme
    except ValueError as error:
        raise ConfigError(f"{name}: it cannot be used: {error}.") from None
    if scheme not in _PROXY_SCHEMES:
        message = f"{name}: a proxy of scheme {scheme!r} is not supported."
        raise ConfigError(message, hint=f"Use one of: {', '.join(sorted(_PROXY_SCHEMES))}.")
    if scheme.startswith("socks"):
        try:
            import socksio  # type: ignore[import-not-found,unused-ignore]  # noqa: F401, PLC0415
        except ImportError:
            message = f"{name}: SOCKS needs the package socksio."
            raise ConfigError(message, hint="Run: pip install 'httpx[socks]'") from None


def _exclusive(options: ClientOptions) -> bool:
    exclusive: bool = _instance("exclusive", options.get("exclusive", False), bool)
    if exclusive and options.get("store") is None:
        message = "exclusive: without a store nobody knows what else was submitted."
        raise ConfigError(message, hint="Pass store=SQLiteStore(...), too.")
    return exclusive


def _headers(headers: object) -> Mapping[str, str]:
    if not isinstance(headers, Mapping):
        raise ConfigError(f"extra_headers: a mapping is needed, not {type(headers).__name__}.")
    for name, value in headers.items():
        if str(name).lower() in _OWN_HEADERS:
            raise ConfigError(f"extra_headers: {name} is set by the client itself.")
        texts = isinstance(name, str) and isinstance(value, str)
        if not texts or not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
            raise ConfigError(f"extra_headers: {name!r} or its value is not a valid header.")
    return MappingProxyType({name.lower(): value for name, value in headers.items()})


def _hosts(hosts: object) -> frozenset[str]:
    listed = isinstance(hosts, Iterable) and not isinstance(hosts, str | bytes)
    if not listed or not all(isinstance(host, str) for host in cast("Iterable[Any]", hosts)):
        raise ConfigError(f"trusted_hosts: {hosts!r} is no list of host names.")
    return frozenset(host.lower() for host in cast("Iterable[str]", hosts))


def _storage(option: Any) -> BucketAccess | None:
    if option is None:
        return None
    from krea_aleph.storage import Storage  # noqa: PLC0415 - few programs use buckets

    return option if isinstance(option, Storage) else Storage(option)


def _callable(name: str, value: Any) -> Any:
    if value is not None and not callable(value):
        raise ConfigError(f"{name}: a callable is needed, not {type(value).__name__}.")
    return value


def _with_methods(name: str, value: Any, *methods: str) -> Any:
    """Return an object of the user's own, which needs some methods rather than a class."""
    missing = [method for method in methods if not callable(getattr(value, method, None))]
    if value is not None and missing:
        raise ConfigError(f"{name}: {type(value).__name__} has no method {missing[0]}.")
    return value


def _instance(name: str, value: Any, kind: type[Any]) -> Any:
    if not isinstance(value, kind):
        raise ConfigError(f"{name}: a {kind.__name__} is needed, not {type(value).__name__}.")
    return value


def _one_of(name: str, value: Any, allowed: tuple[str, ...]) -> Any:
    if value not in allowed:
        raise ConfigError(f"{name}: {value!r} is none of {', '.join(map(repr, allowed))}.")
    return value


def _unknown_option(name: str) -> str:
    options = sorted(ClientOptions.__annotations__)
    asked = guess(name, options) or "."
    return f"unknown option {name!r}; there are: {', '.join(options)}{asked}"
