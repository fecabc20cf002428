"""Digests that hosts announce for what they serve, in the headers that are in use for it."""

from __future__ import annotations

import hashlib
import re
from base64 import b64decode
from binascii import Error as NoBase64
from typing import Any, Final, NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# RFC 9530 writes `sha-256=:...:`, the RFC 3230 before it `SHA-256=...`.
_FIELD: Final = re.compile(r"([A-Za-z0-9-]{1,20})=:?([A-Za-z0-9+/]{1,100}={0,2}):?(?:[,;\s]|$)")
# By hashlib's names, the one that is computed anyway first.
_ALGORITHMS: Final = {"sha-256": "sha256", "sha-512": "sha512", "md5": "md5"}
_PLAIN: Final = frozenset({"", "identity"})


class Digest(NamedTuple):
    """What the whole file hashes to, according to its host."""

    algorithm: str
    value: bytes


def hasher(algorithm: str) -> Any:
    """Return an empty hash. They detect accidents here, so that MD5 will do."""
    return hashlib.new(algorithm, usedforsecurity=False)


def announced(headers: Mapping[str, str], *, whole: bool) -> Digest | None:
    """Return the digest of the whole file that an answer announces, if it is one we know.

    Args:
        headers: The headers of the answer, names in lower case.
        whole: Whether it carries the whole file; some headers are about what is carried.
    """
    found = {name: value for name, value in _announced(headers, whole=whole) if _fits(name, value)}
    known = [name for name in _ALGORITHMS.values() if name in found]
    return Digest(known[0], found[known[0]]) if known else None


def _announced(headers: Mapping[str, str], *, whole: bool) -> Iterator[tuple[str, bytes]]:
    yield from _fields(headers.get("repr-digest", ""))
    yield from _fields(headers.get("digest", ""))
    if not whole:
        return
    yield from _fields(headers.get("content-digest", ""))
    yield "md5", _decoded(headers.get("content-md5", ""))
    yield "sha256", _decoded(headers.get("x-amz-checksum-sha256", ""))
    # Where the host unpacks what it has stored, this is about what it has stored.
    if headers.get("x-goog-stored-content-encoding", "") in _PLAIN:
        yield from _fields(headers.get("x-goog-hash", ""))


def _fields(header: str) -> Iterator[tuple[str, bytes]]:
    for name, value in _FIELD.findall(header):
        if name.lower() in _ALGORITHMS:
            yield _ALGORITHMS[name.lower()], _decoded(value)


def _decoded(value: str) -> bytes:
    """Return what Base64 stands for; nothing where it is none."""
    try:
        return b64decode(value, validate=True)
    except (NoBase64, ValueError):
        return b""


def _fits(algorithm: str, value: bytes) -> bool:
    """Whether a value can be such a digest; a digest of digests, as of multipart uploads, is not.

    A Python that must not use an algorithm leaves its digests unchecked.
    """
    try:
        size: int = hasher(algorithm).digest_size
    except ValueError:
        return False
    return len(value) == size
