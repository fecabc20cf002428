"""What a client is configured with, and where secrets hide."""

import re
import ssl
import threading
from collections.abc import Awaitable, Generator
from pathlib import Path
from typing import Any

import anyio
import pytest

from krea_aleph._config import Config, Keyring, ServerDates, derived
from krea_aleph._hosts import Origin
from krea_aleph._secrets import Secret
from krea_aleph.clocks import RealClock
from krea_aleph.errors import ConfigError
from krea_aleph.policies import PollPolicy, RetryPolicy

from .transcript import KEY, configured, label


def plain(found: tuple[Secret, int] | None) -> tuple[str, int] | None:
    """Reveal a key and its generation."""
    return None if found is None else (found[0].reveal(), found[1])


def test_defaults() -> None:
    """A key alone is enough; everything else has the documented default."""
    config = configured()
    assert (config.account, config.base_url) == ("default", "https://api.krea.ai")
    assert config.base == Origin("https", "api.krea.ai", 443)
    assert (config.request_timeout, config.checks, config.abandon) == (60.0, "error", "leave")
    assert (config.retry, config.poll) == (RetryPolicy(), PollPolicy())
    assert config.trust_env is True
    assert (config.proxies, config.extra_headers, config.trusted_hosts) == ({}, {}, frozenset())
    assert (config.before_submit, config.on_event, config.transport) == (None, None, None)
    assert config.ssl_context is None
    assert isinstance(config.clock, RealClock)


def test_every_option_arrives() -> None:
    """What is passed is what is used."""
    context, clock = ssl.create_default_context(), RealClock()
    config = configured(
        account="studio",
        base_url="http://krea-emulator:8000/",
        request_timeout=5,
        retry=RetryPolicy(attempts=1),
        poll=PollPolicy(spread=0),
        checks="warn",
        abandon="cancel",
        before_submit=print,
        on_event=print,
        proxy="proxy.example:3128",
        ssl_context=context,
        trust_env=False,
        trusted_hosts=["krea-emulator"],
        extra_headers={"X-Team": "vfx"},
        clock=clock,
    )
    assert (config.account, config.base_url) == ("studio", "http://krea-emulator:8000")
    assert (config.request_timeout, config.checks, config.abandon) == (5.0, "warn", "cancel")
    assert (config.before_submit, config.on_event) == (print, print)
    assert config.proxies == {"all": "http://proxy.example:3128"}
    assert (config.ssl_context, config.trust_env, config.clock) == (context, False, clock)
    assert config.extra_headers == {"x-team": "vfx"}


def broken() -> str:
    """Fail as a secret store may."""
    message = "vault is sealed"
    raise OSError(message)


BAD: list[tuple[dict[str, Any], str]] = [
    ({"base_url": "https://k\N{CYRILLIC SMALL LETTER ER}ea.ai"}, "plain ASCII"),
    ({"transport": object()}, "transport: object has no method handle_request"),
    ({"clock": 7}, "clock: int has no method monotonic"),
    ({"ssl_context": True}, "ssl_context: bool has no method wrap_bio"),
    ({"trusted_hosts": [7]}, "trusted_hosts: .* is no list of host names"),
    ({"trusted_hosts": 7}, "trusted_hosts: .* is no list of host names"),
    ({"extra_headers": ["a"]}, "extra_headers: a mapping is needed, not list"),
    ({"api_kee": "x"}, "unknown option 'api_kee'.*api_key.*; did you mean 'api_key'?"),
    ({"zzz": "x"}, "unknown option 'zzz'; there are: .*[.]$"),
    ({"api_key": ""}, "api_key: it is blank"),
    ({"api_key": " \n"}, "api_key: it is blank"),
    ({"api_key": "a:b\n"}, "api_key: it contains a space"),
    ({"api_key": "a b"}, "api_key: it contains a space"),
    ({"api_key": "\N{LATIN SMALL LETTER E WITH ACUTE}:b"}, "api_key: it contains"),
    ({"api_key": b"a:b"}, "api_key: a str is needed, not bytes"),
    ({"api_key": 7}, "api_key: a str is needed, not int"),
    ({"account": ""}, "account: '' is no label"),
    ({"account": "a\nb"}, "account: .* is no label"),
    ({"account": 7}, "account: 7 is no label"),
    ({"base_url": "api.krea.ai"}, "base_url: 'api.krea.ai' cannot be used: its scheme"),
    ({"base_url": "https://"}, "base_url: .* cannot be used"),
    ({"base_url": "https://host:port"}, "base_url: .* cannot be used"),
    ({"base_url": "https://[::1"}, "base_url: .* cannot be used"),
    ({"base_url": 7}, "base_url: a str is needed, not int"),
    ({"base_url": "https://user:pw@host"}, "base_url: it must not have a user"),
    ({"base_url": "https://:pw@host"}, "base_url: it must not have a user"),
    ({"base_url": "https://host/?a=1"}, "base_url: it must not have .* a query"),
    ({"base_url": "https://host/#a"}, "base_url: it must not have .* a fragment"),
    ({"base_url": "http://api.krea.ai"}, "base_url: .* would send the key unencrypted"),
    ({"request_timeout": 0}, "request_timeout: 0 is no finite number"),
    ({"request_timeout": -1.5}, "request_timeout: -1.5 is no finite number"),
    ({"request_timeout": float("inf")}, "request_timeout: inf is no finite number"),
    ({"request_timeout": float("nan")}, "request_timeout: nan is no finite number"),
    ({"request_timeout": "60"}, "request_timeout: a number is needed, not str"),
    ({"request_timeout": None}, "request_timeout: a number .* not NoneType"),
    ({"request_timeout": True}, "request_timeout: a number .* not bool"),
    ({"retry": 3}, "retry: a RetryPolicy is needed, not int"),
    ({"poll": 3.0}, "poll: a PollPolicy is needed, not float"),
    ({"checks": "strict"}, "checks: 'strict' is none of 'error', 'warn', 'off'"),
    ({"abandon": True}, "abandon: True is none of"),
    ({"before_submit": "x"}, "before_submit: a callable is needed, not str"),
    ({"on_event": 7}, "on_event: a callable is needed, not int"),
    ({"trusted_hosts": "krea-emulator"}, "trusted_hosts: .* is no list of host names"),
    ({"proxy": "ftp://host"}, "proxy: a proxy of scheme 'ftp' is not supported"),
    ({"proxy": "socks5://host"}, "proxy: SOCKS needs the package socksio"),
    ({"proxy": "http://[::1"}, "proxy: .* cannot be used"),
    ({"proxy": 7}, "proxy: a str is needed, not int"),
    ({"extra_headers": {"Authorization": "x"}}, "extra_headers: Authorization is set by"),
    ({"extra_headers": {"HOST": "x"}}, "extra_headers: HOST is set by"),
    ({"extra_headers": {"a b": "x"}}, "extra_headers: 'a b' or its value"),
    ({"extra_headers": {"a": "x\r\ny: z"}}, "extra_headers: 'a' or its value"),
    ({"extra_headers": {"a": 7}}, "extra_headers: 'a' or its value"),
    ({"extra_headers": {7: "a"}}, "extra_headers: 7 or its value"),
    ({"extra_headers": {"": "a"}}, "extra_headers: '' or its value"),
]


@pytest.mark.parametrize(("options", "words"), BAD, ids=[label(options) for options, _ in BAD])
def test_bad_options(options: dict[str, Any], words: str) -> None:
    """An option that cannot work is a ConfigError that names it when the client is made."""
    with pytest.raises(ConfigError, match=words):
        Config.resolve({"api_key": KEY, **options}, ("handle_request",))  # type: ignore[typeddict-item]


SECRETS: list[dict[str, Any]] = [
    {},
    {"api_key": "s3cret:s3cret "},
    {"api_key": ["s3cret"]},
    {"api_key": lambda: "s3cret s3cret"},
    {"base_url": "https://s3cret@host"},
    {"base_url": "ftp://id:s3cret@host"},
    {"base_url": "https://id:s3cret@host:port"},
    {"proxy": "ftp://id:s3cret@host"},
    {"proxy": "http://id:s3cret@[::1"},
    {"proxy": "http://id:s3cret@host"},
    {"extra_headers": {"x-token": "s3cret\n"}},
    {"extra_headers": {"x-token": "s3cret"}},
    {"account": ""},
]


@pytest.mark.parametrize("options", SECRETS, ids=label)
def test_no_secret_is_ever_shown(options: dict[str, Any]) -> None:
    """Neither a message nor a repr shows the key or a password, whatever else is wrong."""
    try:
        config = Config.resolve({"api_key": "s3cret:s3cret", **options})  # type: ignore[typeddict-item]
        shown = repr(config) + repr(config.keys) + str(config)
        config.keys.resolve()
    except ConfigError as error:
        shown = f"{error} {error!r} {vars(error)}"
    assert "s3cret" not in shown


@pytest.mark.parametrize(
    ("environment", "key"),
    [
        ({"KREA_API_KEY": "a:1"}, "a:1"),
        ({"KREA_API_TOKEN": "b:2"}, "b:2"),
        ({"KREA_API_KEY": "a:1", "KREA_API_TOKEN": "b:2"}, "a:1"),
        ({"KREA_API_KEY": "  ", "KREA_API_TOKEN": "b:2"}, "b:2"),
        ({"KREA_API_KEY": " a:1\n"}, "a:1"),
    ],
)
def test_keys_of_the_environment(
    environment: dict[str, str], key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """KREA_API_KEY comes first, KREA_API_TOKEN next; a blank one counts as unset."""
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    assert plain(Config.resolve({}).keys.cached) == (key, 0)
    assert plain(Config.resolve({"api_key": "mine"}).keys.cached) == ("mine", 0)


def test_no_key_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a key the error says which variable to set."""
    monkeypatch.setenv("KREA_API_KEY", "")
    with pytest.raises(ConfigError, match="Set KREA_API_KEY to the whole token"):
        Config.resolve({})


def test_base_url_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """KREA_BASE_URL counts unless base_url is passed, and obeys the same rules."""
    monkeypatch.setenv("KREA_BASE_URL", "http://localhost:8000/")
    assert configured().base_url == "http://localhost:8000"
    assert configured(base_url="https://other.example").base_url == "https://other.example"
    monkeypatch.setenv("KREA_BASE_URL", "http://api.krea.ai")
    with pytest.raises(ConfigError, match="unencrypted"):
        configured()


API, PLAIN = Origin("https", "api.krea.ai", 443), Origin("http", "localhost", 8000)


@pytest.mark.parametrize(
    ("environment", "options", "https", "http"),
    [
        ({}, {}, None, None),
        ({"HTTPS_PROXY": "http://p:1"}, {}, "http://p:1", None),
        ({"HTTP_PROXY": "p:1"}, {}, None, "http://p:1"),
        ({"ALL_PROXY": "p:1"}, {}, "http://p:1", "http://p:1"),
        ({"ALL_PROXY": "p:1", "HTTPS_PROXY": "https://q:2"}, {}, "https://q:2", "http://p:1"),
        ({"ALL_PROXY": "p:1", "NO_PROXY": "krea.ai"}, {}, None, "http://p:1"),
        ({"ALL_PROXY": "p:1", "NO_PROXY": "localhost:8000"}, {}, "http://p:1", None),
        ({"ALL_PROXY": "p:1", "NO_PROXY": "*"}, {}, None, None),
        ({"ALL_PROXY": "p:1"}, {"trust_env": False}, None, None),
        ({"ALL_PROXY": "p:1", "NO_PROXY": "*"}, {"proxy": "q:2"}, "http://q:2", "http://q:2"),
        ({}, {"proxy": "q:2", "trust_env": False}, "http://q:2", "http://q:2"),
    ],
    ids=label,
)
def test_proxies(
    environment: dict[str, str],
    options: dict[str, Any],
    https: str | None,
    http: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Proxies come from the option, or from the environment with its exceptions, by scheme."""
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    config = configured(**options)
    assert (config.proxy_for(API), config.proxy_for(PLAIN)) == (https, http)


def test_a_bad_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the variable that is wrong."""
    monkeypatch.setenv("HTTPS_PROXY", "gopher://p:1")
    with pytest.raises(ConfigError, match="HTTPS_PROXY: a proxy of scheme 'gopher'"):
        configured()


def test_socks_with_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A SOCKS proxy is accepted where the package for it is installed."""
    (tmp_path / "socksio.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    assert configured(proxy="socks5://p:1").proxy_for(API) == "socks5://p:1"


def test_derived_options() -> None:
    """A derived client may change everything but the connections that it shares."""
    options = derived({"api_key": "a", "account": "one"}, {"account": "two"})
    assert options == {"api_key": "a", "account": "two"}
    for name in ("proxy", "ssl_context", "trust_env", "transport"):
        with pytest.raises(ConfigError, match=f"with_options: {name} .*client of its own"):
            derived({}, {name: None})  # type: ignore[misc]


def test_a_keyring_is_shared() -> None:
    """A derived client uses the keyring of the first one, so that one refresh serves both."""
    keys = configured().keys
    assert Config.resolve({"api_key": keys}).keys is keys  # type: ignore[typeddict-item]


class Asked:
    """A key callable that counts how often it is asked."""

    def __init__(self, *keys: Any) -> None:
        self.keys = list(keys)
        self.count = 0

    def __call__(self) -> Any:
        """Return the next key."""
        self.count += 1
        return self.keys[min(self.count, len(self.keys)) - 1]


class Ready(Awaitable[str]):
    """A key that is awaited."""

    def __init__(self, key: str) -> None:
        self._key = key

    def __await__(self) -> Generator[Any, None, str]:
        return self._get().__await__()

    async def _get(self) -> str:
        return self._key


def test_a_plain_key_is_not_renewable() -> None:
    """A key given as text is there at once, and nobody can be asked for another."""
    keys = Keyring(KEY)
    assert [plain(keys.cached), plain(keys.resolve())] == [(KEY, 0)] * 2
    assert plain(anyio.run(keys.aresolve)) == (KEY, 0)
    assert not keys.renewable
    assert repr(keys) == "Keyring(...)"


@pytest.mark.parametrize("colour", ["sync", "async"])
def test_a_callable_is_asked_at_first_use_and_once_per_refusal(colour: str) -> None:
    """The callable is asked when a key is needed, and again only for the newest generation."""
    asked = Asked("a:1", "b:2", "c:3")
    keys = Keyring(asked)

    def resolve(stale: int = -1) -> tuple[str, int] | None:
        sync = colour == "sync"
        return plain(keys.resolve(stale) if sync else anyio.run(keys.aresolve, stale))

    assert (asked.count, keys.cached, keys.renewable) == (0, None, True)
    assert [resolve(), resolve()] == [("a:1", 1), ("a:1", 1)]
    assert [resolve(1), resolve(1), resolve()] == [("b:2", 2)] * 3
    assert asked.count == 2


def test_an_awaitable_key() -> None:
    """An asynchronous client awaits what the callable returns."""
    keys = Keyring(Asked(Ready("a:1")))
    assert plain(anyio.run(keys.aresolve)) == ("a:1", 1)
    with pytest.raises(ConfigError, match="a str is needed, not Ready"):
        Keyring(Asked(Ready("a:1"))).resolve()


@pytest.mark.parametrize("answer", [None, "", "two words", b"bytes"])
def test_a_callable_that_returns_no_key(answer: Any) -> None:
    """What a callable returns is held to the same rules, and asked for again the next time."""
    keys = Keyring(Asked(answer, "a:1"))
    with pytest.raises(ConfigError, match="api_key"):
        keys.resolve()
    assert plain(keys.resolve()) == ("a:1", 1)


def test_a_callable_that_fails() -> None:
    """The error says that the callable failed and with what, and has it as its cause."""
    with pytest.raises(ConfigError, match="the callable raised OSError") as caught:
        Keyring(broken).resolve()
    assert isinstance(caught.value.__cause__, OSError)
    with pytest.raises(ConfigError, match="the callable raised OSError"):
        anyio.run(Keyring(broken).aresolve)


def test_one_call_at_a_time() -> None:
    """Threads that need the key at the same moment ask for it once."""
    asked = Asked("a:1")
    keys, gate = Keyring(asked), threading.Barrier(4)
    found: list[tuple[str, int] | None] = []

    def use() -> None:
        gate.wait()
        found.append(plain(keys.resolve()))

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (found, asked.count) == ([("a:1", 1)] * 4, 1)


def test_hints_are_sentences() -> None:
    """Every remedy of a bad base URL or proxy names what would work."""
    with pytest.raises(ConfigError) as caught:
        configured(proxy="ftp://host")
    assert re.search(r"http, https, socks5", caught.value.hint)


def test_a_callable_that_needs_the_key_itself() -> None:
    """A callable that uses the client that it is asked for is told so, and nobody hangs."""
    rings: list[Keyring] = []
    keys = Keyring(lambda: str(rings[0].resolve()))
    rings.append(keys)
    with pytest.raises(ConfigError, match="has used the client"):
        keys.resolve()
    with pytest.raises(ConfigError, match="has used the client"):
        keys.resolve()


@pytest.mark.parametrize(
    "date",
    [
        "Mon, 23 Nov 2026 05:00:00 +99999999999999999999",
        "Mon, 23 Nov 99999999999999999999 05:00:00 GMT",
        "Fri, 31 Dec 9999 23:59:59 -2359",
        "garbage",
        "",
    ],
)
def test_dates_that_are_none(date: str) -> None:
    """A date that no calendar has is no date."""
    dates = ServerDates()
    dates.note({"date": date})
    assert dates.latest is None
