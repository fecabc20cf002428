"""Addresses that nobody can guess, and the secrets behind them."""

from __future__ import annotations

import base64
import copy
import hmac
import pickle
import traceback
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from krea_aleph.errors import ConfigError
from krea_aleph.webhooks import WebhookReceiver
from krea_aleph.webhooks.addresses import Addresses
from web import SECRETS

from .conftest import NONCE, PUBLIC, body, post

OLD, NEW = "the old secret, long enough", b"the new secret, long enough"


def path_of(receiver: WebhookReceiver | Addresses, account: str = "default") -> str:
    """Return the path of an address."""
    return urlsplit(receiver.url(account, NONCE)).path


def test_what_an_address_is_made_of() -> None:
    """Its last part is the nonce and HMAC-SHA256 over account and nonce, before it the account."""
    url = WebhookReceiver(PUBLIC, SECRETS).url("studio", NONCE)
    digest = hmac.digest(SECRETS[0].encode(), f"studio|{NONCE}".encode(), "sha256")
    signature = base64.urlsafe_b64encode(digest).decode().rstrip("=")
    label = base64.urlsafe_b64encode(b"studio").decode().rstrip("=")
    assert url == f"{PUBLIC}/{label}/{NONCE}.{signature}"


def test_minted_addresses_differ() -> None:
    """Each mint is a new address, recognised by whoever has the secret."""
    receiver = WebhookReceiver(PUBLIC, SECRETS)
    urls = {receiver.mint("studio") for _ in range(100)} | {receiver.mint()}
    assert len(urls) == 101
    twin = WebhookReceiver("https://elsewhere.example", SECRETS)
    assert {post(twin, path=urlsplit(url).path).status for url in urls} == {200}


@given(st.text(min_size=1, max_size=60).filter(str.isprintable))
def test_every_account_has_addresses_of_its_own(account: str) -> None:
    """Any label goes into an address and comes out again, and no other one does."""
    addresses = Addresses(PUBLIC, SECRETS)
    assert addresses.read(path_of(addresses, account)) == (account, NONCE)
    label, token = path_of(addresses, account).split("/")[-2:]
    other = path_of(addresses, account + "x").split("/")[-2]
    assert addresses.read(f"/{other}/{token}") is None
    assert addresses.read(f"/{label}/{token}") == (account, NONCE)


def test_prefixes_do_not_matter() -> None:
    """Proxies and mounts cut paths: the end alone counts."""
    addresses = Addresses(PUBLIC, SECRETS)
    tail = path_of(addresses).removeprefix("/hooks/")
    for path in (tail, f"/{tail}", f"/a/b/c/{tail}", f"//{tail}", f"/{tail}?x=1"):
        assert addresses.read(path) == ("default", NONCE)
    for path in ("", "/", "x", f"/{tail}/", f"/{tail}x", f"/x{tail}", tail.replace("/", "")):
        assert addresses.read(path) is None


def test_every_character_of_an_address_counts() -> None:
    """Whatever is changed in it, it is no longer ours."""
    addresses = Addresses(PUBLIC, SECRETS)
    path = path_of(addresses)
    start = len("/hooks/")
    for index in range(start, len(path)):
        for character in "Aa-.é/":
            if path[index] != character:
                changed = path[:index] + character + path[index + 1 :]
                assert addresses.read(changed) is None, changed


def test_rotation() -> None:
    """The first secret signs and all are accepted; one that has gone is refused."""
    before, during, after = (
        WebhookReceiver(PUBLIC, secrets) for secrets in ([OLD], [NEW, OLD], [NEW])
    )
    assert path_of(during) == path_of(after) != path_of(before)
    assert post(during, path=path_of(before)).status == 200
    assert post(during, path=path_of(after)).status == 200
    assert post(after, path=path_of(before)).status == 404
    assert post(before, path=path_of(after)).status == 404


def test_nonces_that_an_address_cannot_have() -> None:
    """A short nonce could be guessed, and one with other characters would not come back."""
    receiver = WebhookReceiver(PUBLIC, SECRETS)
    for nonce in ("", "short", "a" * 129, "a/" * 12, "é" * 24, "a" * 23 + "."):
        with pytest.raises(ConfigError, match="nonce"):
            receiver.url("default", nonce)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://example.com/hooks", "https is needed"),
        ("http://10.0.0.1", "https is needed"),
        ("http://localhost.example.com", "https is needed"),
        ("ftp://example.com", "no http or https URL"),
        ("example.com/hooks", "no http or https URL"),
        ("https://", "no http or https URL"),
        ("https:///hooks", "no http or https URL"),
        ("https://example.com/a b", "no http or https URL"),
        ("https://exämple.com/", "no http or https URL"),
        ("https://example.com/\n", "no http or https URL"),
        ("https://example.com/?a=1", "query"),
        ("https://example.com/#a", "query or a fragment"),
        ("https://example.com/?", "query"),
        ("https://user:pw@example.com/", "user or a password"),
        ("https://@example.com/", "user or a password"),
        ("https://example.com:99999/", "no URL"),
        ("https://[::1/", "no URL"),
        ("", "no http or https URL"),
        (None, "a str is needed"),
        (b"https://example.com", "a str is needed"),
    ],
)
def test_urls_that_krea_could_not_call(url: Any, problem: str) -> None:
    """What cannot be called, or would show addresses on the way, is refused when it is made."""
    with pytest.raises(ConfigError, match=problem) as caught:
        WebhookReceiver(url, SECRETS)
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com",
        "https://example.com:8443/a/b/",
        "http://localhost:8000/hooks",
        "http://127.0.0.1:8000",
        "http://[::1]:8000",
        "HTTPS://Example.com",
    ],
)
def test_urls_that_krea_can_call(url: str) -> None:
    """Encrypted anywhere, and in the clear on this machine, where an emulator runs."""
    receiver = WebhookReceiver(url, SECRETS)
    assert receiver.mint().startswith(url.rstrip("/") + "/")
    assert repr(receiver) == f"WebhookReceiver({url.rstrip('/')!r})"


@pytest.mark.parametrize(
    ("secrets", "problem"),
    [
        ([], "at least one"),
        (None, "a list"),
        ("a single text of more than sixteen", "a list"),
        (b"single bytes of more than sixteen", "a list"),
        ({"a set of one that is long enough"}, "a list"),
        ([1234567890123456789], "str or bytes"),
        ([OLD, None], "str or bytes"),
        (["tooshort-abcdef"], "shorter than 16 bytes"),
        ([OLD, b"short-and-secret"[:15]], "shorter than 16 bytes"),
        (["ééééééé"], "shorter than 16 bytes"),
    ],
)
def test_secrets_that_are_none(secrets: Any, problem: str) -> None:
    """Secrets that could be guessed, or a text where a list belongs, are refused unseen."""
    with pytest.raises(ConfigError, match=problem) as caught:
        WebhookReceiver(PUBLIC, secrets)
    said = "".join(traceback.format_exception_only(caught.value))
    assert "tooshort" not in said
    assert "short-and" not in said
    assert "123456" not in said


def test_secrets_are_bytes_not_characters() -> None:
    """Sixteen bytes are enough, whatever they spell."""
    assert post(WebhookReceiver(PUBLIC, ["éééééééé"])).status == 200
    assert post(WebhookReceiver(PUBLIC, (bytes(16),))).status == 200


def test_secrets_do_not_show() -> None:
    """No repr, attribute or pickle of a receiver leads to a secret."""
    receiver = WebhookReceiver(PUBLIC, SECRETS)
    seen: list[Any] = [receiver]
    for value in seen:
        text = repr(value)
        assert SECRETS[0] not in text
        assert SECRETS[0].encode() not in (value if isinstance(value, bytes) else b"")
        if type(value).__module__.startswith("krea_aleph"):
            seen += list(vars(value).values()) if hasattr(value, "__dict__") else []
    assert len(seen) > 10
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="does not pickle"):
            attempt(receiver)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"on_delivery": "print"}, "on_delivery"),
        ({"max_body": 0}, "max_body"),
        ({"max_body": True}, "max_body"),
        ({"max_body": "65536"}, "max_body"),
    ],
)
def test_other_options(options: dict[str, Any], problem: str) -> None:
    """What cannot work is refused when the receiver is made, not when Krea calls."""
    with pytest.raises(ConfigError, match=problem):
        WebhookReceiver(PUBLIC, SECRETS, **options)


def test_a_path_of_any_length() -> None:
    """A path that is a megabyte long is looked at in no time."""
    receiver = WebhookReceiver(PUBLIC, SECRETS)
    for path in ("/" * 1_000_000, "a" * 1_000_000, f"/{'a' * 500_000}/{'b' * 500_000}.c"):
        assert receiver.handle("POST", path, body()).status == 404
