"""A key that hides: from reprs, from error reports that print variables, and from logs.

Programs that report errors print the local variables of every frame, so no function of ours has
the key in one: what is to be known of it is asked of a `Secret`.
"""

from __future__ import annotations

import json
import logging
import re
from functools import cache
from typing import Any, Final, Self
from urllib.parse import parse_qsl, quote, urlsplit
from weakref import WeakValueDictionary

from krea_aleph.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_KEY: Final = re.compile(r"[\x21-\x7e]+")
# How JSON may spell a character that it need not escape; two backslashes are one, and no escape.
_ESCAPE: Final = re.compile(rb"\\(?:u00([2-7][0-9A-Fa-f])|(/)|.)", re.DOTALL)
# Of an address: beside these are dates, names of algorithms and numbers.
_SHORTEST_SIGNATURE: Final = 24
_MEANT: Final = frozenset(b'"\\')
_WIDE: Final = ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")
# These tell, at the level DEBUG, what a server has sent, and servers repeat what they are sent.
_TALKATIVE: Final = (
    "httpcore.connection httpcore.http11 httpcore.http2 httpcore.proxy httpcore.socks"
    " hpack.hpack hpack.table"
).split()


class Secret:
    """A key that shows itself only when it is asked to."""

    __slots__ = ("__weakref__", "_value")

    def __init__(self, value: Any) -> None:
        self._value = value
        _keep_out_of_logs()
        _KNOWN[id(self)] = self

    def __repr__(self) -> str:
        return "Secret(...)"

    def __len__(self) -> int:
        return len(self._value)

    def __bool__(self) -> bool:
        return True

    def __reduce__(self) -> str:
        raise TypeError("a key does not pickle and is not copied")

    def reveal(self) -> str:
        """Return the key itself."""
        return str(self._value)

    def blot(self, text: str) -> str:
        """Return a text without the key in it; no local variable has it on the way."""
        return text.replace(self._value, "***")

    def blot_bytes(self, body: bytes) -> bytes:
        """Return an answer without the key in it, also where JSON has spelt it its own way."""
        body = body.replace(self._value.encode(), b"***")
        if b"\\" in body:
            plain = _ESCAPE.sub(_unescaped, body)
            blotted = plain.replace(json.dumps(self._value)[1:-1].encode(), b"***")
            body = body if blotted == plain else blotted
        for codec in _WIDE if b"\0" in body else ():  # JSON may be read from these, too
            body = body.replace(self._value.encode(codec), "***".encode(codec))
        return body

    def checked(self) -> Self:
        """Return it if it can be a key.

        Raises:
            ConfigError: It cannot be one; the text never contains it.
        """
        if not isinstance(self._value, str):
            raise ConfigError(f"api_key: a str is needed, not {type(self._value).__name__}.")
        if not self._value.strip():
            message = "api_key: it is blank."
            raise ConfigError(message, hint="Set KREA_API_KEY to the whole token.")
        if self._value.lower().startswith("bearer ") or self._value[0] in "\"'":
            raise ConfigError("api_key: the token alone is needed, without Bearer and quotes.")
        if _KEY.fullmatch(self._value) is None:
            message = "api_key: it contains a space, a line end or another character no key has."
            raise ConfigError(message, hint="Strip what was read from a file: key.strip().")
        return self

    def stands_in(self, text: str) -> bool:
        """Whether a text has it."""
        return isinstance(self._value, str) and self._value != "" and self._value in text


def signatures(urls: Iterable[str]) -> Iterator[Secret]:
    """Yield what of signed addresses nobody is to see who cannot ask for them."""
    for url in urls:
        query = urlsplit(url).query
        yield Secret(query)
        for _, value in parse_qsl(query):
            if len(value) >= _SHORTEST_SIGNATURE:
                yield from (Secret(value), Secret(quote(value, safe="")))


_KNOWN: Final[WeakValueDictionary[int, Secret]] = WeakValueDictionary()


class _Blotting(logging.Filter):
    """Takes the keys of this process out of a line of the log, and leaves every other line be."""

    def filter(self, record: logging.LogRecord) -> bool:
        try:
            told = record.getMessage()
        except (TypeError, ValueError):  # logging itself says what is wrong with such a line
            return True
        known = [secret for reference in _KNOWN.valuerefs() if (secret := reference()) is not None]
        standing = [secret for secret in known if secret.stands_in(told)]
        for secret in sorted(standing, key=len, reverse=True):  # one may be a part of another
            record.msg = told = secret.blot(told)
            record.args = ()
        return True


def _unescaped(found: re.Match[bytes]) -> bytes:
    """Return the character that an escape stands for, unless JSON needs it to be escaped."""
    if found[2]:
        return b"/"
    code = int(found[1], 16) if found[1] else b'"'[0]
    return found[0] if code in _MEANT else bytes((code,))


@cache
def _keep_out_of_logs() -> None:
    for name in _TALKATIVE:
        logging.getLogger(name).addFilter(_Blotting())
