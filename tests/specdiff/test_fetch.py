"""Fetching: what comes back, and one clear sentence for each way in which nothing does."""

from __future__ import annotations

import gzip
import shutil
import socket
import socketserver
import subprocess
import time
from pathlib import Path
from typing import Any

import certifi
import pytest

from krea_aleph.specdiff.errors import StepError
from krea_aleph.specdiff.fetch import Fetched, UnavailableError, fetch, fetch_description
from krea_aleph.specdiff.rules import Upstream
from local_network import Server, http_proxy, serving
from local_site import Answer, Site, answer, dripping

DOCUMENT = b'{"openapi": "3.1.0"}'
PAGE = b"# Aleph\n\n```yaml\nopenapi: 3.1.0\n```\n"


def get(site: Site, path: str = "/a", **options: Any) -> Fetched:
    """Fetch a path of the site, whose authority is trusted."""
    return fetch(site.url(path), ca=site.ca, **options)


def refusal(site: Site, found: Answer, **options: Any) -> StepError:
    """Return why an answer is refused."""
    site.answers["/a"] = found
    with pytest.raises(StepError) as caught:
        get(site, **options)
    assert caught.value.step == "fetch"
    assert "\n" not in caught.value.problem
    return caught.value


def test_what_comes_back(site: Site) -> None:
    """The bytes, what the server calls them, and where they are from."""
    url = site.put("/a", DOCUMENT, 'ETag: W/"1-é"', "Content-Type: application/JSON; charset=x")
    assert get(site) == Fetched(DOCUMENT, None, url, "application/json")
    site.put("/a", DOCUMENT, 'ETag: W/"1"')
    assert get(site) == Fetched(DOCUMENT, 'W/"1"', url, "")
    assert "Authorization" not in "".join(site.requests)


def test_what_is_there_already_is_not_sent_again(site: Site) -> None:
    """A remembered etag is sent as it came, weak or not; 304 gives no data and keeps the etag."""
    site.answers["/a"] = answer(b"", status="304 Not Modified")
    for etag in ('W/"1"', '"2"', '""'):
        assert get(site, etag=etag) == Fetched(None, etag, site.url("/a"), "")
        assert f"if-none-match: {etag}\r\n" in site.requests[-1].lower().replace("w/", "W/")
    assert "answered 304" in refusal(site, site.answers["/a"]).problem, "nobody asked"


@pytest.mark.parametrize("etag", ["", "x", '"a\r\nCookie: b"', '"a" ', '"a", "b"', '"\x00"', "*"])
def test_a_remembered_etag_must_be_one(site: Site, etag: str) -> None:
    """Nothing but an etag gets into the request, whatever the lock says."""
    with pytest.raises(StepError, match="etag"):
        get(site, etag=etag)
    assert not site.requests


def test_packed_answers(site: Site) -> None:
    """What comes packed is unpacked."""
    site.put("/a", gzip.compress(DOCUMENT), "Content-Encoding: gzip")
    assert get(site).data == DOCUMENT


def test_redirects_within_the_server(site: Site) -> None:
    """Up to five redirects are followed while they stay on the server."""
    for number in range(5):
        target = site.url(f"/{number + 1}") if number % 2 else f"{number + 1}"
        site.put(f"/{number}", b"", f"Location: {target}", status="302 Found")
    site.put("/5", DOCUMENT)
    assert get(site, "/0").url == site.url("/5")
    site.put("/a", b"", "Location: /0", status="308 Permanent Redirect")
    assert "more than 5 times" in refusal(site, site.answers["/a"]).problem


@pytest.mark.parametrize(
    "location",
    [
        "https://elsewhere.example/a",
        "https://localhost/a",
        "https://me@localhost:{port}/a",
        "http://localhost:{port}/a",
        "//elsewhere.example/a",
        "file:///etc/passwd",
        "https://[",
        "",
    ],
)
def test_redirects_to_elsewhere(site: Site, location: str) -> None:
    """Another host, port, scheme or user is not gone to, and the sentence says where it led."""
    told = location.format(port=site.port)
    error = refusal(site, answer(b"", f"Location: {told}", status="301 Moved"))
    assert repr(told) in error.problem
    assert len(site.requests) == 1


def test_redirects_to_nowhere(site: Site) -> None:
    """What is no address is said to be none, and no way around it is looked for."""
    error = refusal(site, answer(b"", "Location: https://localhost:port/a", status="302 Found"))
    assert "redirects to what is no address" in error.problem
    assert not isinstance(error, UnavailableError)


CUT = answer(b"x" * 10, "Content-Length: 20")
BOMB = gzip.compress(b"\0" * 5_000_000)
REFUSED: dict[str, tuple[Answer, str]] = {
    "400": (answer(b"no", status="400 Bad Request"), "answered 400"),
    "403": (answer(b"no", status="403 Forbidden"), "answered 403"),
    "206": (answer(DOCUMENT, status="206 Partial Content"), "answered 206"),
    "empty": (answer(b" \r\n"), "empty"),
    "cut off": (CUT, "cut off"),
    "cut off in chunks": (answer(b"5\r\nab", "Transfer-Encoding: chunked"), "cut off"),
    "too large": (answer(b" " * 5001), "more than the 5000 bytes"),
    "too large in chunks": (
        answer(b"9000\r\n" + b" " * 0x9000, "Transfer-Encoding: chunked"),
        "more than the 5000 bytes",
    ),
    "a bomb": (answer(BOMB, "Content-Encoding: gzip"), "more than the 5000 bytes"),
    "packed and cut off": (
        answer(gzip.compress(DOCUMENT)[:-4], "Content-Encoding: gzip"),
        "cut off",
    ),
    "packed twice": (answer(gzip.compress(DOCUMENT) * 2, "Content-Encoding: gzip"), "damaged"),
    "badly packed": (answer(DOCUMENT, "Content-Encoding: gzip"), "damaged"),
    "packed as asked by nobody": (answer(DOCUMENT, "Content-Encoding: br"), "'br'"),
}


@pytest.mark.parametrize(("found", "words"), REFUSED.values(), ids=REFUSED)
def test_answers_that_are_refused(site: Site, found: Answer, words: str) -> None:
    """Each has its own words, and another address would not help."""
    error = refusal(site, found, max_bytes=5000)
    assert words in error.problem
    assert not isinstance(error, UnavailableError)


UNAVAILABLE: dict[str, tuple[Answer, str]] = {
    "404": (answer(b"", status="404 Not Found"), "answered 404"),
    "410": (answer(b"", status="410 Gone"), "answered 410"),
    "503": (answer(b"", status="503 Service Unavailable"), "answered 503"),
    "no answer": (b"", "the connection failed"),
    "no HTTP": (b"SSH-2.0-x\r\n", "the connection failed"),
    "a head that drips": (dripping(b"HTTP/1.1 200 OK\r\nX: ", 0.01), "within 0.3 s"),
    "a body that drips": (dripping(answer(b"", "Content-Length: 99"), 0.01), "within 0.3 s"),
}


@pytest.mark.parametrize(("found", "words"), UNAVAILABLE.values(), ids=UNAVAILABLE)
def test_servers_in_trouble(site: Site, found: Answer, words: str) -> None:
    """These say nothing about the document: another address may have it."""
    started = time.monotonic()
    error = refusal(site, found, timeout=0.3 if callable(found) else 30)
    assert words in error.problem
    assert isinstance(error, UnavailableError)
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("http://localhost/a", "only https"),
        ("file:///etc/passwd", "only https"),
        ("localhost/a", "only https"),
        ("https://", "only https"),
        ("", "only https"),
        ("https://me:secret@localhost/a", "user or password"),
        ("https://x:port/", "no address"),
        ("https://a\nb/", "no address"),
    ],
)
def test_addresses_that_are_not_fetched(address: str, words: str) -> None:
    """Nothing but https, and no password that would end up in a log."""
    with pytest.raises(StepError, match=words) as caught:
        fetch(address)
    assert "secret" not in caught.value.problem


def test_nobody_there(site: Site) -> None:
    """A closed port is told with the address and what can be done."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(UnavailableError, match=rf":{port} cannot be reached \(.*refused") as caught:
        fetch(f"https://localhost:{port}/", ca=site.ca)
    assert "--from FILE" in caught.value.problem


def test_a_name_that_nobody_knows() -> None:
    """Without a network names are not known: that is said, with the way around it."""
    with pytest.raises(UnavailableError, match=r"is not known here.*--from FILE"):
        fetch("https://nobody.invalid/")


def test_whom_to_trust(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unknown authority is refused; SSL_CERT_FILE or a file of the rules makes it known."""
    url = site.put("/a", DOCUMENT)
    with pytest.raises(StepError, match=r"no trusted connection \(.*certificate.*SSL_CERT_FILE"):
        fetch(url)
    with pytest.raises(StepError, match="no trusted connection"):
        fetch(url.replace("localhost", "127.0.0.1"), ca=site.ca)
    monkeypatch.setenv("SSL_CERT_FILE", str(site.ca))
    assert fetch(url).data == DOCUMENT
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    assert fetch(url, ca=site.ca).data == DOCUMENT
    with pytest.raises(StepError, match=r"SSL_CERT_FILE=.*none.pem"):
        fetch(url)
    (tmp_path / "bad.pem").write_text("no certificate")
    with pytest.raises(StepError, match=r"bad.pem"):
        fetch(url, ca=tmp_path / "bad.pem")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl names the certificates")
def test_a_folder_of_certificates(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SSL_CERT_DIR counts as well, alone or beside a file."""
    folder = tmp_path / "certificates"
    folder.mkdir()
    shutil.copy(site.ca, folder)
    subprocess.run(["openssl", "rehash", str(folder)], check=True)  # noqa: S607 - found above
    monkeypatch.setenv("SSL_CERT_DIR", str(folder))
    url = site.put("/a", DOCUMENT)
    for others in ("", certifi.where()):
        monkeypatch.setenv("SSL_CERT_FILE", others)
        assert fetch(url).data == DOCUMENT


def test_something_without_tls() -> None:
    """A port that speaks plain HTTP is no trusted connection."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.sendall(answer(DOCUMENT))
            self.request.recv(65536)

    with (
        serving(Server(("127.0.0.1", 0), Handler)) as port,
        pytest.raises(StepError, match="no trusted connection"),
    ):
        fetch(f"https://localhost:{port}/")


def test_through_the_proxy_of_the_environment(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """HTTPS_PROXY is used, NO_PROXY heeded, and a proxy that refuses is named."""
    site.put("/a", DOCUMENT)
    with http_proxy() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        assert get(site).data == DOCUMENT
        assert proxy.seen == [f"CONNECT localhost:{site.port}"]
        proxy.refuse = True
        with pytest.raises(StepError, match=r"the proxy refuses \(407.*HTTPS_PROXY"):
            get(site)
        monkeypatch.setenv("NO_PROXY", "localhost")
        assert get(site).data == DOCUMENT
    monkeypatch.setenv("HTTPS_PROXY", "nonsense://x")
    monkeypatch.delenv("NO_PROXY")
    with pytest.raises(StepError, match="HTTPS_PROXY"):
        get(site)


def upstream(site: Site) -> Upstream:
    """Return the addresses of the site."""
    return Upstream(site.url("/openapi.json"), site.url("/aleph.md"), str(site.ca))


def test_the_document_comes_first(site: Site) -> None:
    """While there is a document, nobody asks for the page."""
    site.put("/openapi.json", DOCUMENT, 'ETag: "1"')
    found = fetch_description(upstream(site), '"0"')
    assert (found.data, found.etag, found.partial) == (DOCUMENT, '"1"', False)
    site.answers["/openapi.json"] = answer(b"", status="304 Not Modified")
    assert fetch_description(upstream(site), '"1"').data is None
    assert not any("aleph.md" in head for head in site.requests)


@pytest.mark.parametrize(
    "gone",
    [
        answer(b"", status="404 Not Found"),
        answer(b"", status="502 Bad Gateway"),
        answer(b"<html>", "Content-Type: text/html"),
        answer(b"\xef\xbb\xbf\n<html>"),
        b"",
    ],
)
def test_the_page_is_the_way_out(site: Site, gone: bytes) -> None:
    """Without a document the page gives a part of it, and its etag is not taken for another's."""
    site.answers["/openapi.json"] = gone
    url = site.put("/aleph.md", PAGE, 'ETag: "page"', "Content-Type: text/markdown")
    found = fetch_description(upstream(site), '"1"')
    assert found == Fetched(b"openapi: 3.1.0\n", None, url, "text/markdown", partial=True)
    assert "if-none-match" not in site.requests[-1].lower()


@pytest.mark.parametrize(
    ("page", "step", "words"),
    [
        (answer(b"", status="404 Not Found"), "fetch", "aleph.md answered 404"),
        (answer(b"<!doctype html>"), "page", "aleph.md: a web page in HTML"),
        (answer(b"# Aleph"), "page", "no YAML block"),
    ],
)
def test_both_failures_are_told(site: Site, page: bytes, step: str, words: str) -> None:
    """When neither helps, the sentence says what was wrong with each."""
    site.answers["/aleph.md"] = page
    with pytest.raises(StepError, match=words) as caught:
        fetch_description(upstream(site))
    assert caught.value.step == step
    assert "openapi.json answered 404" in caught.value.problem


def test_what_must_not_be_trusted_is_not_worked_around(site: Site) -> None:
    """A redirect to elsewhere stops the run, although the page would be there."""
    site.put("/openapi.json", b"", "Location: https://x.example/", status="302 Found")
    site.put("/aleph.md", PAGE)
    with pytest.raises(StepError, match="another server"):
        fetch_description(upstream(site))
    assert len(site.requests) == 1
