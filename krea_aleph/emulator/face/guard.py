"""Who may look at the page, and who may switch things: nobody's web page but this one.

Any site that somebody visits can make a browser send requests to this machine. It can neither say
that they come from here, nor send JSON without asking first, nor choose a `Host` that is an
address; a name that it has made to lead here is not known.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from starlette.requests import Request

_JSON: Final = "application/json"


class Refusal(Exception):  # noqa: N818 - it is what a caller gets, not a failure of ours
    """A request that is not answered as asked."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status
        self.words = words


def require_known_host(request: Request, base_url: str) -> None:
    """Refuse a name that might be somebody else's and lead here (DNS rebinding).

    Raises:
        Refusal: 421.
    """
    try:
        host = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
    except ValueError:
        host = ""
    if host != urlsplit(base_url).hostname and not _is_local(host):
        raise Refusal(421, "This page is shown under the emulator's own address alone")


def require_own_page(request: Request) -> None:
    """Refuse what a web page from elsewhere can make a browser send.

    Raises:
        Refusal: 405, 415 or 403.
    """
    headers = request.headers
    if request.method != "POST":
        raise Refusal(405, "Only POST is taken here")
    if headers.get("content-type", "").partition(";")[0].strip().lower() != _JSON:
        raise Refusal(415, f"Only {_JSON} is taken here")
    origin = headers.get("origin")
    foreign = origin is not None and urlsplit(origin).netloc != headers.get("host")
    if foreign or headers.get("sec-fetch-site", "none") not in {"none", "same-origin"}:
        raise Refusal(403, "Only the emulator's own page may switch things")


def _is_local(host: str) -> bool:
    """Whether a host is an address, or a name that no site can have."""
    if host == "localhost" or host.endswith(".localhost") or (host and "." not in host):
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
