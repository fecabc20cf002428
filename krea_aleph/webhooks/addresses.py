"""The addresses that are given to Krea: nobody can guess one, and each is for one job."""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from krea_aleph.errors import ConfigError

_SHORTEST_SECRET: Final = 16
_URL: Final = re.compile(r"[\x21-\x7e]+")
_NONCE: Final = re.compile(r"[A-Za-z0-9_-]{16,128}")
_TOKEN: Final = re.compile(rf"({_NONCE.pattern})\.([A-Za-z0-9_-]{{43}})")
_LABEL: Final = re.compile(r"[A-Za-z0-9_-]+")
_HINT: Final = "It looks like https://example.com/hooks."


class Address(NamedTuple):
    """What an address of ours is for."""

    account: str
    nonce: str


class Given:
    """Secrets as they were given. Error reports print local variables, so none of ours has one."""

    __slots__ = ("_secrets",)

    def __init__(self, secrets: Any) -> None:
        self._secrets = secrets

    def __repr__(self) -> str:
        return "Given(...)"

    def keyed(self) -> list[hmac.HMAC]:
        """Return what each one signs with.

        Raises:
            ConfigError: They are no list of long enough texts or bytes; the text has none of them.
        """
        listed = isinstance(self._secrets, Sequence) and not isinstance(self._secrets, str | bytes)
        if not listed or not self._secrets:
            message = "secrets: a list with at least one is needed."
            raise ConfigError(message, hint="The first one signs, and all of them are accepted.")
        if not all(isinstance(secret, str | bytes) for secret in self._secrets):
            raise ConfigError("secrets: each one must be str or bytes.")
        if min(map(len, map(_bytes, self._secrets))) < _SHORTEST_SECRET:
            message = f"secrets: one is shorter than {_SHORTEST_SECRET} bytes."
            raise ConfigError(message, hint="Make one with secrets.token_urlsafe(32).")
        return [hmac.new(_bytes(secret), digestmod="sha256") for secret in self._secrets]


class Addresses:
    """Makes addresses and recognises them: ``<public_url>/<account>/<nonce>.<signature>``.

    The signature is HMAC-SHA256 over ``account|nonce``, and everything is in base64url without
    padding. The secrets themselves are not kept, only hash states that have taken them in.
    """

    def __init__(self, public_url: str, secrets: Sequence[str | bytes] | Given) -> None:
        given = secrets if isinstance(secrets, Given) else Given(secrets)
        del secrets
        self.public_url = _checked(public_url)
        self._keyed = given.keyed()

    def url(self, account: str, nonce: str) -> str:
        """Return the address for a nonce of an account.

        Raises:
            ConfigError: The nonce is too short, or has characters that an address has not.
        """
        if not _NONCE.fullmatch(str(nonce)):
            message = "nonce: 16 to 128 letters, digits, hyphens and underscores are needed."
            raise ConfigError(message, hint="For example secrets.token_urlsafe(24).")
        signature = self._signatures(account, nonce)[0]
        return f"{self.public_url}/{_base64(account.encode())}/{nonce}.{signature}"

    def read(self, path: str) -> Address | None:
        """Return what a path that ends like an address of ours is for, else None."""
        *_, label, token = ["", *path.partition("?")[0].rsplit("/", 2)]
        found, account = _TOKEN.fullmatch(token), _account(label)
        if found is None or account is None:
            return None
        nonce, given = found.groups()
        # Every secret is tried, whichever fits: how long it takes tells nothing.
        matches = [hmac.compare_digest(given, own) for own in self._signatures(account, nonce)]
        return Address(account, nonce) if any(matches) else None

    def _signatures(self, account: str, nonce: str) -> list[str]:
        """Return what each secret makes of it; the first one's is what is sent out."""
        signatures = []
        for keyed in self._keyed:
            state = keyed.copy()
            state.update(f"{account}|{nonce}".encode())
            signatures.append(_base64(state.digest()))
        return signatures


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _account(label: str) -> str | None:
    if not _LABEL.fullmatch(label):
        return None
    try:
        return base64.urlsafe_b64decode(label + "=" * (-len(label) % 4)).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None


def _checked(public_url: object) -> str:
    """Return a URL that Krea can call, without a slash at its end.

    Raises:
        ConfigError: It is none; the text says why.
    """
    problem = _problem(public_url) if isinstance(public_url, str) else "a str is needed"
    if problem is not None:
        raise ConfigError(f"public_url: {problem}.", hint=_HINT)
    return str(public_url).rstrip("/")


def _problem(url: str) -> str | None:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError as error:
        return f"it is no URL: {error}"
    if not host or parts.scheme not in {"http", "https"} or not _URL.fullmatch(url):
        return "it is no http or https URL with a host, in plain ASCII"
    if "@" in parts.netloc:
        return "it must not have a user or a password"
    if "?" in url or "#" in url:
        return "it must not have a query or a fragment"
    if parts.scheme == "http" and not _is_loopback(host):
        return "http would show every address on the way; https is needed"
    return None


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _bytes(secret: Any) -> bytes:
    return secret.encode() if isinstance(secret, str) else bytes(secret)
