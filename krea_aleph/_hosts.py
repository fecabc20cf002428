"""Which hosts may be talked to: pure rules about addresses, no look-ups."""

from __future__ import annotations

import ipaddress
import socket
from typing import Final, NamedTuple
from urllib.parse import urlsplit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


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
    return Origin(parts.scheme, parts.hostname, parts.port or _DEFAULT_PORTS[parts.scheme])


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
    address = _literal(target.host)
    if is_loopback(target.host) or (address is not None and not address.is_global):
        return "its address is private"
    return None


def _literal(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return the address that a host spells out; "127.1" and "2130706433" do so too."""
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
