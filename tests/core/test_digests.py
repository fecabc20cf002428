"""Digests that hosts announce."""

from base64 import b64encode
from hashlib import md5, sha256, sha512

import pytest
from hypothesis import given
from hypothesis import strategies as st

from krea_aleph._digests import Digest, _fits, announced, hasher

DATA = b"a clip"


def base64(value: bytes) -> str:
    """Return Base64 as text."""
    return b64encode(value).decode()


SHA256 = base64(sha256(DATA).digest())
SHA512 = base64(sha512(DATA).digest())
MD5 = base64(md5(DATA, usedforsecurity=False).digest())


@pytest.mark.parametrize(
    ("headers", "algorithm"),
    [
        ({"repr-digest": f"sha-256=:{SHA256}:"}, "sha256"),
        ({"repr-digest": f"md5=:{MD5}:, sha-512=:{SHA512}:"}, "sha512"),
        ({"repr-digest": f"unixsum=:AAA=:, sha-256=:{SHA256}:;q=1"}, "sha256"),
        ({"content-digest": f"sha-512=:{SHA512}:"}, "sha512"),
        ({"digest": f"SHA-256={SHA256},MD5={MD5}"}, "sha256"),
        ({"digest": f"md5={MD5}"}, "md5"),
        ({"content-md5": MD5}, "md5"),
        ({"x-amz-checksum-sha256": SHA256}, "sha256"),
        ({"x-goog-hash": f"crc32c=AAAAAA==, md5={MD5}"}, "md5"),
        ({"x-goog-hash": f"md5={MD5}", "x-goog-stored-content-encoding": "identity"}, "md5"),
        ({"content-md5": MD5, "repr-digest": f"sha-256=:{SHA256}:"}, "sha256"),
    ],
    ids=str,
)
def test_digests_that_are_understood(headers: dict[str, str], algorithm: str) -> None:
    """Old and new headers, those of the standards and those of the clouds, say the same thing."""
    found = hasher(algorithm)
    found.update(DATA)
    assert announced(headers, whole=True) == Digest(algorithm, found.digest())


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"repr-digest": "sha-256=:bm90IGEgZGlnZXN0:"},
        {"repr-digest": f"sha-256={'A' * 44}"},
        {"repr-digest": "sha-256=:***:"},
        {"repr-digest": "sha-1=:AAAA:"},
        {"content-md5": "not base64"},
        {"content-md5": "\N{SNOWMAN}"},
        {"x-amz-checksum-sha256": f"{SHA256}-7"},
        {"x-goog-hash": "crc32c=AAAAAA=="},
        {"x-goog-hash": f"md5={MD5}", "x-goog-stored-content-encoding": "gzip"},
        {"etag": f'"{MD5}"'},
    ],
    ids=str,
)
def test_what_is_no_digest_of_the_file(headers: dict[str, str]) -> None:
    """What is unknown, broken or about something else is not checked, and refuses nothing."""
    assert announced(headers, whole=True) is None


@pytest.mark.parametrize("name", ["content-md5", "x-amz-checksum-sha256", "x-goog-hash"])
def test_digests_of_what_is_carried(name: str) -> None:
    """Of the rest of a file, only headers about the whole file count."""
    headers = {name: f"md5={MD5}" if name == "x-goog-hash" else MD5}
    assert announced(headers, whole=False) is None
    assert announced({"content-digest": f"md5=:{MD5}:"}, whole=False) is None
    assert announced({**headers, "digest": f"md5={MD5}"}, whole=False) is not None


@given(st.text(max_size=200))
def test_any_header_is_read(text: str) -> None:
    """No header, however broken, breaks a download."""
    names = ("repr-digest", "digest", "content-md5", "x-amz-checksum-sha256", "x-goog-hash")
    announced(dict.fromkeys(names, text), whole=True)


def test_an_algorithm_that_is_not_there() -> None:
    """Where Python must not use an algorithm, its digests are not checked."""
    assert not _fits("no-such-algorithm", b"")
