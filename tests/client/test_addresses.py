"""Outputs come from public addresses: what a name leads to is looked at before it is used."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import httpx
import own_network
import pytest
import trustme
from hostile import always, answer, raw_server

from krea_aleph import DownloadError, Job, Output
from krea_aleph._hosts import Origin, is_public
from krea_aleph._line import AsyncLine, Deadline, Line, Message, core_url
from local_network import tls_front

PROGRAM = Path(own_network.__file__).with_name("own_network_program.py")
KREA = "https://api.krea.ai"


def job(url: str) -> Job:
    """Make a finished job with one result."""
    return Job("some-job", "completed", outputs=(Output(url),))


@pytest.fixture
def own_name() -> str:
    """A name of this machine that leads to none of its public addresses."""
    name = socket.gethostname()
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(name, 443)}
    except OSError:
        found = set()
    if not found or any(map(is_public, found)):
        pytest.skip("this machine has no name of its own, or is on the internet")
    return name


@pytest.fixture
def authority() -> trustme.CA:
    """A certificate authority of our own."""
    return trustme.CA()


@pytest.fixture
def trusting(authority: trustme.CA) -> ssl.SSLContext:
    """A client's context that trusts our authority."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.fixture
def plain() -> Iterator[str]:
    """A host that serves a file, unencrypted."""
    with raw_server(always(answer(b"\0\0\0\x18ftypisom"))) as url:
        yield url


@pytest.fixture
def port(plain: str, authority: trustme.CA) -> Iterator[int]:
    """The same behind TLS, with a certificate for localhost and for this machine's name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", socket.gethostname()).configure_cert(context)
    with tls_front(int(plain.rpartition(":")[2]), context) as front:
        yield front


def test_a_name_that_leads_home(
    open_client: Any, own_name: str, port: int, trusting: ssl.SSLContext, tmp_path: Path
) -> None:
    """A name is refused for where it leads, at once and before anything is sent there."""
    output = job(f"https://{own_name}:{port}/o.mp4?sig=s3cret")
    aleph = open_client(base_url=KREA, ssl_context=trusting)
    with pytest.raises(DownloadError, match=f"{own_name} leads to .* no public address") as caught:
        aleph.download(output, tmp_path / "out.mp4")
    assert (caught.value.job_id, caught.value.part) == ("some-job", None)
    assert "s3cret" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
    trusted = aleph.with_options(trusted_hosts=[own_name])
    if hasattr(aleph, "_portal"):
        trusted = type(aleph)(trusted, aleph._portal)
    assert trusted.download(output, tmp_path / "out.mp4").size_bytes == 12
    # The connection that the other client has made is none for this one.
    with pytest.raises(DownloadError, match="no public address"):
        aleph.download(output, tmp_path / "other.mp4")


def test_an_api_on_this_machine_may_name_such_hosts(
    open_client: Any, own_name: str, plain: str, tmp_path: Path
) -> None:
    """Where the API itself is local, as the emulator is, so may be its outputs."""
    output = job(plain.replace("127.0.0.1", own_name))
    assert open_client().download(output, tmp_path / "out.mp4").size_bytes == 12


def message(host: str, port: int) -> Message:
    """Ask for the file."""
    url = core_url(httpx.URL(f"https://{host}:{port}/o.mp4"))
    headers = [(b"host", host.encode())]
    return Message("GET", url, headers, deadline=Deadline(30), timeouts={"connect": 30})


def send(line: Line, host: str, port: int) -> int:
    """Ask for the file on a connection."""
    reply = line.send(message(host, port))
    for _ in reply.pieces:
        pass
    reply.close()
    return reply.status


def test_tls_goes_by_the_name(port: int, trusting: ssl.SSLContext) -> None:
    """Connected is to an address, and the certificate is still held against the name."""
    seen: list[str] = []

    def admits(address: str) -> bool:
        seen.append(address)
        return address == "127.0.0.1"

    line = Line(Origin("https", "localhost", port), trusting, None, admits)
    assert send(line, "localhost", port) == 200
    line.close()
    assert "127.0.0.1" in seen
    other = Line(Origin("https", "127.0.0.1", port), trusting, None, admits)
    with pytest.raises(Exception, match="CERTIFICATE_VERIFY_FAILED"):
        send(other, "127.0.0.1", port)
    other.close()


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_tls_goes_by_the_name_here_too(port: int, trusting: ssl.SSLContext, backend: str) -> None:
    """The same holds on an event loop."""

    async def main() -> int:
        line = AsyncLine(
            Origin("https", "localhost", port), trusting, None, lambda found: found == "127.0.0.1"
        )
        reply = await line.send(message("localhost", port))
        async for _ in reply.pieces:
            pass
        await reply.close()
        await line.aclose()
        return reply.status

    assert anyio.run(main, backend=backend) == 200


@pytest.mark.parametrize("colour", ["sync", "asyncio", "trio"])
def test_in_a_network_of_its_own(colour: str, tmp_path: Path) -> None:
    """The public one of several real addresses is used, and rebinding a name gains nothing."""
    done = own_network.run(tmp_path, str(PROGRAM), colour, str(tmp_path))
    if done is None:
        pytest.skip("this system does not let us make a network of our own")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "public.example": ["saved", [own_network.PUBLIC]],
        "mixed.example": ["saved", [own_network.PUBLIC]],
        "private.example": ["refused", []],
        "here.example": ["refused", []],
        "rebind.example": ["saved", [own_network.PUBLIC]],
        "asked": 1,
        "rebind.example again": ["refused", []],
    }
