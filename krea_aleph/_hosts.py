"""Which hosts may be talked to: pure rules about addresses, no look-ups."""

from __future__ import annotations

import ipaddress
import socket
from functools import cache
from typing import Final, NamedTuple, TypeAlias
from unicodedata import normalize
from urllib.parse import urlsplit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

_Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
# What IANA sets apart, written down here because Python's own list grows from release to release.
_NOT_PUBLIC: Final = (
    *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
    *("172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16"),
    *("198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3"),
)
# Of IPv6 all public hosts are in 2000::/3, from which tunnels and documentation are set apart.
_UNICAST: Final = "2000::/3"
_NOT_PUBLIC_6: Final = ("2001::/23", "2001:db8::/32", "3fff::/20")
# A gateway turns these into the IPv4 addresses that they end with.
_NAT64: Final = "64:ff9b::/96"


class Origin(NamedTuple):
    """Where a URL points: what a connection can be shared for."""

    scheme: str
    host: str
    port: int


def origin(url: str) -> Origin:
    """Return the origin of an http or https URL.

    Raises:
        ValueError: It is no such URL, or has no host or no valid port; the text says which.
    """
    parts = urlsplit(url)
    if parts.scheme not in _DEFAULT_PORTS:
        message = f"its scheme is {parts.scheme!r}, not http or https"
        raise ValueError(message)
    if not parts.hostname:
        message = "it has no host"
        raise ValueError(message)
    host = _plain(parts.hostname)
    return Origin(parts.scheme, host, parts.port or _DEFAULT_PORTS[parts.scheme])


def is_loopback(host: str) -> bool:
    """Whether a host name or literal address is this machine."""
    address = _literal(host)
    return host.rstrip(".") == "localhost" or (address is not None and address.is_loopback)


def may_speak_http(host: str, trusted: Collection[str]) -> bool:
    """Whether the key may go to a host unencrypted: only to this machine or a trusted host."""
    return is_loopback(host) or host in trusted


def problem_with_output(url: str, *, base: Origin, trusted: Collection[str]) -> str | None:
    """Say why an output must not be fetched from a URL, or None when it may.

    A server that has been taken over, or a spoofed answer, could point at addresses that only this
    machine can reach. So private, loopback and unencrypted addresses are refused, unless the API
    itself is on loopback (as the emulator is) or the host is trusted.
    """
    if not url.isprintable():
        return "it has a character that no address has"
    try:
        target = origin(url)
    except ValueError as error:
        return str(error)
    if target.host in trusted or is_loopback(base.host):
        return None
    if target.scheme != "https":
        return "it is not https"
    return "its address is private" if _is_private(target.host) else None


def problem_with_input(url: str) -> str | None:
    """Say why Krea cannot fetch a clip from a URL, or None when it may be able to."""
    host = _plain(urlsplit(url).hostname or "")
    return f"the host {host!r} is in a private network" if _is_private(host) else None


def must_be_public(host: str, *, base: Origin, trusted: Collection[str]) -> bool:
    """Whether the addresses that an output's host name leads to have to be public ones.

    The API's own host is where the user wanted to connect to anyway.
    """
    return not (host == base.host or host in trusted or is_loopback(base.host))


def is_public(address: str) -> bool:
    """Whether an address that a name has been resolved to is one of the internet at large.

    Private, loopback, link-local, multicast and reserved ones are not, nor what leads to such.
    """
    return _is_public(_unmapped(ipaddress.ip_address(address)))


def _plain(host: str) -> str:
    """Return a host as IDNA reads it: "127。0。0。1" has three dots, though none is ASCII."""
    return normalize("NFKC", host).replace("\N{IDEOGRAPHIC FULL STOP}", ".").lower()


def _is_private(host: str) -> bool:
    """Whether a host is this machine, or an address that only its own network can reach."""
    address = _literal(host)
    if address is None:
        return f".{host.rstrip('.')}".endswith(".localhost")
    return not _is_public(address)


def _is_public(address: _Address) -> bool:
    if not isinstance(address, ipaddress.IPv6Address):
        return not any(address in network for network in _networks(*_NOT_PUBLIC))
    (unicast, nat64) = _networks(_UNICAST, _NAT64)
    if address in nat64:
        return _is_public(ipaddress.IPv4Address(address.packed[-4:]))
    if address.sixtofour is not None:
        return _is_public(address.sixtofour)
    return address in unicast and not any(
        address in network for network in _networks(*_NOT_PUBLIC_6)
    )


@cache
def _networks(*texts: str) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    return tuple(map(ipaddress.ip_network, texts))


def _unmapped(address: _Address) -> _Address:
    """Return the IPv4 address that an IPv6 address only writes in another way."""
    return getattr(address, "ipv4_mapped", None) or address


def _literal(host: str) -> _Address | None:
    """Return the address that a host spells out; "127.1" and "2130706433" do so too."""
    host = host.rstrip(".")
    try:
        return _unmapped(ipaddress.ip_address(host))
    except ValueError:
        return _short_literal(host)


def _short_literal(host: str) -> ipaddress.IPv4Address | None:
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except (OSError, ValueError):
        return None
