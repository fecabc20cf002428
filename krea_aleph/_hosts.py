"""Which hosts may be talked to: pure rules about addresses, no look-ups."""

from __future__ import annotations

import ipaddress
import socket
from typing import Final, NamedTuple, TypeAlias
from unicodedata import normalize
from urllib.parse import urlsplit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

_Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
# IPv6 addresses that end with the IPv4 address they lead to: compatible ones, and NAT64's.
_ENDING_IN_IPV4: Final = tuple(map(ipaddress.IPv6Network, ("::/96", "64:ff9b::/96")))


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


def _plain(host: str) -> str:
    """Return a host as IDNA reads it: "127。0。0。1" has three dots, though none is ASCII."""
    return normalize("NFKC", host).replace("\N{IDEOGRAPHIC FULL STOP}", ".").lower()


def _is_private(host: str) -> bool:
    """Whether a host is this machine, or an address that only its own network can reach."""
    address = _literal(host)
    if address is None:
        return f".{host.rstrip('.')}".endswith(".localhost")
    return not all(found.is_global for found in (address, *_inner(address)))


def _inner(address: _Address) -> Iterator[ipaddress.IPv4Address]:
    """Yield the IPv4 address that an IPv6 address leads to by way of a gateway."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.sixtofour is not None:
            yield address.sixtofour
        if any(address in network for network in _ENDING_IN_IPV4):
            yield ipaddress.IPv4Address(address.packed[-4:])


def _literal(host: str) -> _Address | None:
    """Return the address that a host spells out; "127.1" and "2130706433" do so too."""
    host = host.rstrip(".")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return _short_literal(host)
    return getattr(address, "ipv4_mapped", None) or address


def _short_literal(host: str) -> ipaddress.IPv4Address | None:
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except (OSError, ValueError):
        return None
