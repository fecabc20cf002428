"""Which hosts may be talked to."""

import pytest

from krea_aleph._hosts import (
    Origin,
    is_loopback,
    is_public,
    may_speak_http,
    must_be_public,
    origin,
    problem_with_output,
)

API = Origin("https", "api.krea.ai", 443)
LOCAL = Origin("http", "127.0.0.1", 8000)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://api.krea.ai/v", ("https", "api.krea.ai", 443)),
        ("http://API.krea.ai", ("http", "api.krea.ai", 80)),
        ("https://[::1]:8443/x", ("https", "::1", 8443)),
        ("HTTPS://user:pw@host:1/", ("https", "host", 1)),
        ("https://127\u30020\uff0e0\uff611/", ("https", "127.0.0.1", 443)),
        ("https://BÜCHER.example/", ("https", "bücher.example", 443)),
    ],
)
def test_origins(url: str, expected: tuple[str, str, int]) -> None:
    """An origin is scheme, host in lower case and port, the usual ports filled in."""
    assert origin(url) == expected


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ftp://host/x", "scheme is 'ftp'"),
        ("host/x", "scheme is ''"),
        ("https:///x", "no host"),
        ("https://host:port/", "Port could not be cast"),
        ("https://host:99999/", "out of range"),
        ("https://[::1/", "Invalid IPv6"),
    ],
)
def test_what_has_no_origin(url: str, words: str) -> None:
    """What is no usable http URL is a ValueError that says why."""
    with pytest.raises(ValueError, match=words):
        origin(url)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True),
        ("localhost.", True),
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("::ffff:8.8.8.8", False),
        ("10.0.0.1", False),
        ("localhost.example", False),
        ("127.0.0.1.example", False),
        ("shop.localhost", False),  # the system's resolver may send it anywhere
        ("64:ff9b::7f00:1", False),  # a gateway's loopback, or nobody's
    ],
)
def test_loopback(host: str, loopback: bool) -> None:
    """This machine goes by localhost, by 127.x.x.x, and by ::1, in any of their forms."""
    assert is_loopback(host) is loopback


def test_where_the_key_may_go_unencrypted() -> None:
    """The key goes over plain http to this machine and to trusted hosts, and nowhere else."""
    assert may_speak_http("127.0.0.1", ())
    assert may_speak_http("krea-emulator", {"krea-emulator"})
    assert not may_speak_http("api.krea.ai", {"krea-emulator"})


@pytest.mark.parametrize(
    ("url", "base", "problem"),
    [
        ("https://gen.krea.ai/o.mp4", API, None),
        ("https://8.8.8.8/o.mp4", API, None),
        ("http://gen.krea.ai/o.mp4", API, "not https"),
        ("https://localhost/o.mp4", API, "private"),
        ("https://localhost./o.mp4", API, "private"),
        ("https://127.0.0.1/o.mp4", API, "private"),
        ("https://127.1/o.mp4", API, "private"),
        ("https://2130706433/o.mp4", API, "private"),
        ("https://0x7f000001/o.mp4", API, "private"),
        ("https://10.1.2.3/o.mp4", API, "private"),
        ("https://169.254.169.254/latest", API, "private"),
        ("https://192.168.0.1/o.mp4", API, "private"),
        ("https://[::1]/o.mp4", API, "private"),
        ("https://[::ffff:10.0.0.1]/o.mp4", API, "private"),
        ("https://[fd00::1]/o.mp4", API, "private"),
        ("https://0.0.0.0/o.mp4", API, "private"),
        ("https://127\u30020\u30020\u30021/o.mp4", API, "private"),
        ("https://\uff11\uff12\uff17.0.0.1/o.mp4", API, "private"),
        ("https://\uff4cocalhost/o.mp4", API, "private"),
        ("https://127.0.0.1./o.mp4", API, "private"),
        ("https://0x7f.1/o.mp4", API, "private"),
        ("https://0177.0.0.1/o.mp4", API, "private"),
        ("https://shop.localhost/o.mp4", API, "private"),
        ("https://[64:ff9b::7f00:1]/o.mp4", API, "private"),
        ("https://[64:ff9b::808:808]/o.mp4", API, None),
        ("https://[::7f00:1]/o.mp4", API, "private"),
        ("https://[2002:a00:1::]/o.mp4", API, "private"),
        ("https://[2002:808:808::]/o.mp4", API, None),
        ("http://2130706433/o.mp4", API, "not https"),
        ("http://2130706433/o.mp4", LOCAL, None),
        ("https://storage/o.mp4", API, None),  # a name may mean anything; it is https at least
        ("http://minio/o.mp4", API, None),  # trusted below
        ("http://127.0.0.1:9/o.mp4", LOCAL, None),
        ("http://10.0.0.1/o.mp4", LOCAL, None),
        ("file:///etc/passwd", LOCAL, "scheme"),
        ("/o.mp4", API, "scheme"),
        ("https://[oops/o.mp4", API, "Invalid"),
        ("https://gen.krea.ai/a b.mp4", API, None),
        ("https://gen.krea.ai/\x00.mp4", API, "character"),
    ],
)
def test_outputs_that_may_be_fetched(url: str, base: Origin, problem: str | None) -> None:
    """Outputs come over https from public addresses, unless the API is local or a host trusted."""
    found = problem_with_output(url, base=base, trusted=frozenset({"minio"}))
    assert (found is None) if problem is None else (problem in (found or ""))


@pytest.mark.parametrize(
    "address",
    [
        *("8.8.8.8", "1.1.1.1", "93.184.216.34", "223.255.255.255", "172.15.0.1", "172.32.0.1"),
        *("2606:4700::1111", "2a00:1450:4001::1", "2400:cb00::1"),
        *("64:ff9b::808:808", "::ffff:8.8.8.8", "2002:808:808::1"),
    ],
)
def test_addresses_of_the_internet(address: str) -> None:
    """Public addresses may be connected to, whichever family or gateway leads there."""
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        *("0.0.0.0", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.9.9.9", "169.254.169.254"),  # noqa: S104 - texts
        *("172.16.0.1", "172.31.255.255", "192.0.0.8", "192.0.2.1", "192.88.99.1", "192.168.1.1"),
        *("198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255"),
        *("240.0.0.1", "255.255.255.255"),
        *("::", "::1", "fe80::1", "fe80::1%lo", "fc00::1", "fd12:3456::1", "ff02::1", "fec0::1"),
        *("2001::1", "2001:db8::1", "2001:10::1", "3fff::1", "100::1", "4000::1", "5f00::1"),
        *("::ffff:10.0.0.1", "::ffff:127.0.0.1", "::127.0.0.1", "::8.8.8.8"),
        *("64:ff9b::10.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::1", "2002:a00:1::1", "2002:7f00:1::"),
    ],
)
def test_addresses_that_are_somebodys_own(address: str) -> None:
    """Private, local, multicast, reserved and documented ones are refused, in any disguise."""
    assert not is_public(address)


@pytest.mark.parametrize(
    ("host", "base", "expected"),
    [
        ("gen.krea.ai", API, True),
        ("api.krea.ai", API, False),
        ("minio", API, False),
        ("gen.krea.ai", LOCAL, False),
    ],
)
def test_whose_addresses_are_looked_at(host: str, base: Origin, expected: bool) -> None:
    """Names of output hosts have to lead to public addresses, with the same exceptions."""
    assert must_be_public(host, base=base, trusted={"minio"}) is expected
