"""Fetching what is published: over https, from one server, within a size and a time.

Whoever answers is not trusted: redirects lead nowhere else, an answer is cut off as soon as it is
too large, unpacked or not, and the deadline holds for everything together, so that a server that
sends a byte now and then keeps nobody waiting.
"""

from __future__ import annotations

import codecs
import os
import re
import socket
import ssl
import zlib
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from krea_aleph import __version__
from krea_aleph.specdiff.document import MAX_BYTES
from krea_aleph.specdiff.errors import StepError, step
from krea_aleph.specdiff.page import document_of_page

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from krea_aleph.specdiff.rules import Upstream

SECONDS: Final = 30.0
MAX_REDIRECTS: Final = 5

_ETAG: Final = re.compile(r'(W/)?"[\x21\x23-\x7e]{0,512}"')
_PACKED: Final = {"gzip", "x-gzip"}
_REDIRECTS: Final = {301, 302, 303, 307, 308}
_NOT_MODIFIED: Final = 304
_NO_FILE: Final = "or give a file instead of fetching (--from FILE, diff FILE)"


class UnavailableError(StepError):
    """This address has no description for us at the moment; another one might."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """What an address gave.

    Attributes:
        data: The answer, unpacked; None when it is still the one that the etag stands for.
        etag: What the server calls this version, as it came, if it does.
        url: Where it came from in the end.
        media_type: What the server says it is, without parameters, in lower case.
        partial: Whether only a part of our operations can be in it.
    """

    data: bytes | None
    etag: str | None
    url: str
    media_type: str
    partial: bool = False


@dataclass(frozen=True, slots=True)
class _Limits:
    bytes: int
    seconds: float


def fetch_description(upstream: Upstream, etag: str | None = None) -> Fetched:
    """Fetch the published description, or the part of it that the documentation page quotes.

    Args:
        upstream: The two addresses, and whom to trust.
        etag: What the document was called when it was fetched last.

    Returns:
        The document, or the YAML of the page; that one has no etag and is `partial`.

    Raises:
        StepError: Neither is to be had, or an answer must not be trusted.
    """
    ca = Path(upstream.ca) if upstream.ca else None
    try:
        return _no_markup(fetch(upstream.document, etag=etag, ca=ca))
    except UnavailableError as first:
        try:
            return _quoted(fetch(upstream.page, ca=ca))
        except StepError as second:
            problem = f"{first.problem}; nor does the page help: {second.problem}"
            raise StepError(second.step, problem) from second


def _no_markup(fetched: Fetched) -> Fetched:
    if fetched.data and fetched.data.removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"<"):
        raise UnavailableError("fetch", f"{fetched.url} gave a web page, not a description")
    return fetched


def _quoted(fetched: Fetched) -> Fetched:
    try:
        data = document_of_page(fetched.data or b"")
    except StepError as error:
        raise StepError("page", f"{fetched.url}: {error.problem}") from error
    return replace(fetched, data=data, etag=None, partial=True)


def fetch(
    address: str,
    *,
    etag: str | None = None,
    ca: Path | None = None,
    max_bytes: int = MAX_BYTES,
    timeout: float = SECONDS,
) -> Fetched:
    """Fetch one address; the proxies and certificates of the environment are used.

    Args:
        address: An https address without user and password.
        etag: What the server called the version that is already there.
        ca: A file of certificates to trust instead of the usual ones.
        max_bytes: How much is read at most, unpacked.
        timeout: Seconds for everything together, redirects included.

    Raises:
        StepError: Nothing was fetched. Each reason has its own sentence.
    """
    import anyio  # noqa: PLC0415 - with httpx it takes a tenth of a second

    with step("fetch"):
        headers = _headers(etag)
        url = _checked(address)
        context = _trust(ca)
        limits = _Limits(max_bytes, timeout)
        return anyio.run(partial(_fetch, url, headers, context, limits))


def _headers(etag: str | None) -> dict[str, str]:
    headers = {"User-Agent": f"krea-aleph/{__version__}", "Accept-Encoding": "gzip"}
    if etag is None:
        return headers
    if not _ETAG.fullmatch(etag):
        raise StepError("fetch", f"the remembered etag {etag!a:.80} is none: remove it")
    return headers | {"If-None-Match": etag}


def _checked(address: str) -> httpx.URL:
    """Parse an address that may be fetched."""
    import httpx  # noqa: PLC0415 - as above

    try:
        url = httpx.URL(address)
    except httpx.InvalidURL as error:
        raise StepError("fetch", f"{address!a:.200} is no address: {error}") from error
    if url.scheme != "https" or not url.host:
        raise StepError("fetch", f"{address!a:.200} is not fetched: only https:// addresses are")
    if url.userinfo:
        raise StepError("fetch", f"{url.host}: an address must not hold a user or password")
    return url


def _trust(ca: Path | None) -> ssl.SSLContext:
    """Trust a file, or what the environment names (both, if it names both), or the usual ones."""
    import httpx  # noqa: PLC0415 - as above

    file, folder = (os.environ.get(name) or None for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"))
    try:
        if ca or not (file or folder):
            return ssl.create_default_context(cafile=ca) if ca else httpx.create_ssl_context()
        return ssl.create_default_context(cafile=file, capath=folder)
    except OSError as error:
        named = str(ca) if ca else f"SSL_CERT_FILE={file}"
        problem = f"the certificates to trust cannot be read ({named}): {error}"
        raise StepError("fetch", problem) from error


async def _fetch(
    url: httpx.URL, headers: dict[str, str], context: ssl.SSLContext, limits: _Limits
) -> Fetched:
    import anyio  # noqa: PLC0415 - as above
    import httpx  # noqa: PLC0415 - as above

    try:
        with anyio.fail_after(limits.seconds):
            async with _client(context, headers) as client:
                return await _follow(client, url, limits.bytes)
    except TimeoutError as error:
        problem = f"{url} gave no whole answer within {limits.seconds:g} s; try again, {_NO_FILE}"
        raise UnavailableError("fetch", problem) from error
    except (httpx.HTTPError, zlib.error) as error:
        raise _explained(url, error) from error


def _client(context: ssl.SSLContext, headers: dict[str, str]) -> httpx.AsyncClient:
    import httpx  # noqa: PLC0415 - as above

    try:
        return httpx.AsyncClient(
            verify=context,
            timeout=None,  # noqa: S113 - one deadline for all of it
            headers=headers,
        )
    except (ValueError, ImportError, httpx.InvalidURL) as error:
        problem = f"the environment's proxy cannot be used ({error}); check HTTPS_PROXY, ALL_PROXY"
        raise StepError("fetch", problem) from error


async def _follow(client: httpx.AsyncClient, url: httpx.URL, max_bytes: int) -> Fetched:
    first = url
    for _ in range(MAX_REDIRECTS + 1):
        async with client.stream("GET", url) as answer:
            if answer.status_code not in _REDIRECTS:
                return await _read(answer, max_bytes)
            url = _target(answer, first)
    raise StepError("fetch", f"{first} redirects more than {MAX_REDIRECTS} times")


def _target(answer: httpx.Response, first: httpx.URL) -> httpx.URL:
    """Return where a redirect leads: to the same server, or nowhere."""
    location = answer.headers.get("location", "")
    target = answer.url.join(location)
    if not location or _origin(target) != _origin(first):
        problem = (
            f"{answer.url} redirects to another server, {location!a:.200}; if that is right,"
            " write the new address into rules.toml"
        )
        raise StepError("fetch", problem)
    return target


def _origin(url: httpx.URL) -> tuple[Any, ...]:
    return url.scheme, url.host, url.port, url.userinfo


async def _read(answer: httpx.Response, max_bytes: int) -> Fetched:
    etag = answer.headers.get("etag", "")
    fetched = Fetched(
        data=None,
        etag=etag if _ETAG.fullmatch(etag) else None,
        url=str(answer.url),
        media_type=answer.headers.get("content-type", "").partition(";")[0].strip().lower(),
    )
    asked = answer.request.headers.get("if-none-match")
    if answer.status_code == _NOT_MODIFIED and asked:
        return replace(fetched, etag=fetched.etag or asked)
    _refuse_status(answer)
    data = await _body(answer, max_bytes)
    if not data.strip():
        raise StepError("fetch", f"{answer.url} gave an empty answer; try again, {_NO_FILE}")
    return replace(fetched, data=data)


def _refuse_status(answer: httpx.Response) -> None:
    code = answer.status_code
    if code in {404, 410}:
        problem = f"{answer.url} answered {code}: nothing is published there; has it moved?"
        raise UnavailableError("fetch", problem)
    if code >= 500:  # noqa: PLR2004
        problem = f"{answer.url} answered {code}: the server is in trouble; try again later"
        raise UnavailableError("fetch", problem)
    if code != 200:  # noqa: PLR2004
        problem = f"{answer.url} answered {code} instead of 200; try again, {_NO_FILE}"
        raise StepError("fetch", problem)


async def _body(answer: httpx.Response, max_bytes: int) -> bytes:
    """Read an answer; what unpacks to too much is not unpacked any further."""
    packing = answer.headers.get("content-encoding", "identity").strip().lower()
    if packing not in {*_PACKED, "identity"}:
        raise StepError("fetch", f"{answer.url} is packed as {packing!a:.40}, which is not read")
    unpacker = zlib.decompressobj(wbits=31) if packing in _PACKED else None
    data, received = bytearray(), 0
    async for chunk in answer.aiter_raw():
        received += len(chunk)
        room = max_bytes + 1 - len(data)
        data += unpacker.decompress(chunk, room) if unpacker else chunk
        if max(received, len(data)) > max_bytes:
            raise StepError("fetch", f"{answer.url} has more than the {max_bytes} bytes we read")
    if unpacker and (not unpacker.eof or unpacker.unused_data):
        raise zlib.error("it does not end where it should")
    return bytes(data)


def _explained(url: httpx.URL, error: Exception) -> StepError:
    """Say in a sentence why there is no answer, and what to do."""
    import httpx  # noqa: PLC0415 - as above

    for cause in _causes(error):
        if isinstance(cause, ssl.SSLError):
            return StepError(
                "fetch",
                f"{url}: no trusted connection ({_reason(cause)}); a private authority is trusted"
                " when SSL_CERT_FILE names its certificate",
            )
        if isinstance(cause, socket.gaierror):
            problem = f"the name {url.host} is not known here; is there a network? If not,"
            return UnavailableError("fetch", f"{problem} give a file (--from FILE, diff FILE)")
    if isinstance(error, httpx.ConnectError):
        problem = f"{url.netloc.decode()} cannot be reached ({_reason(*_causes(error))}); check"
        return UnavailableError("fetch", f"{problem} the network and HTTPS_PROXY, {_NO_FILE}")
    return _broken(url, error)


def _broken(url: httpx.URL, error: Exception) -> StepError:
    """Say what went wrong once there was a connection."""
    import httpx  # noqa: PLC0415 - as above

    if isinstance(error, zlib.error) or "complete message body" in str(error):
        return StepError("fetch", f"{url}: the answer is cut off or damaged ({error}); try again")
    if "location header" in str(error):
        return StepError("fetch", f"{url} redirects to what is no address ({error})")
    if isinstance(error, httpx.ProxyError):
        return StepError("fetch", f"{url}: the proxy refuses ({error}); check HTTPS_PROXY")
    problem = f"{url}: the connection failed ({_reason(error)}); try again, {_NO_FILE}"
    return UnavailableError("fetch", problem)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Go down to what happened first."""
    while error is not None:
        yield error
        if isinstance(error, BaseExceptionGroup):
            for one in error.exceptions:
                yield from _causes(one)
        error = error.__cause__ or error.__context__


def _reason(*errors: BaseException) -> str:
    """Put the innermost of some errors in words."""
    last = errors[-1]
    if isinstance(last, ConnectionError) and last.errno:
        return os.strerror(last.errno)  # asyncio says "Connect call failed" whatever it was
    told = getattr(last, "verify_message", None) or getattr(last, "strerror", None) or str(last)
    return str(told or type(last).__name__)
