"""What every run is played on: emulators, a TLS front, a proxy and a stranger's host."""

from __future__ import annotations

import socket
import socketserver
import ssl
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

import trustme
from hostile import raw_server

from krea_aleph.emulator import Emulator
from local_network import Proxy, http_proxy, tls_front
from weather.front import Front, served

# The smallest thing that is an mp4 by its first bytes; nobody decodes it.
CLIP = b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom" + bytes(range(256)) * 8


@dataclass
class Gateway:
    """A way to the emulator through TLS and a proxy, either of which may fail.

    Attributes:
        url: Where the TLS front listens.
        proxy: The proxy in front of it; `Proxy.fates` says which tunnels it refuses.
        trusting: A context that trusts the front.
        fates: What goes wrong with the handshakes of the connections to come.
        always: What goes wrong with all others.
        met: What has gone wrong.
    """

    url: str
    proxy: Proxy
    trusting: ssl.SSLContext
    fates: deque[str] = field(default_factory=deque)
    always: str = ""
    met: list[str] = field(default_factory=list)

    def next_fate(self) -> str:
        """Return what goes wrong with the next handshake, "" being nothing."""
        self.met.append(self.fates.popleft() if self.fates else self.always)
        return self.met[-1]

    def calm(self) -> None:
        """Let everything work from now on."""
        self.fates.clear()
        self.always = ""
        self.proxy.fates.clear()


@dataclass
class Stranger:
    """A host that outputs are redirected to, which must learn nothing about whoever asks."""

    url: str = ""
    heads: list[str] = field(default_factory=list)


class Stage:
    """Servers that are started when they are first needed, and serve one run after another."""

    def __init__(self) -> None:
        self._closing = ExitStack()
        self._emulators: dict[float, Emulator] = {}
        self._gateway: Gateway | None = None
        self._stranger: Stranger | None = None
        self._front: Front | None = None
        self._closed: socket.socket | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    def emulator(self, skew: float = 0.0) -> Emulator:
        """Return the Krea whose clock is ahead by so many seconds."""
        if skew not in self._emulators:
            running = Emulator(render=False, skew=skew, job_seconds=12.0)
            self._emulators[skew] = self._closing.enter_context(running)
        return self._emulators[skew]

    @property
    def gateway(self) -> Gateway:
        """The way through TLS and a proxy to the emulator whose clock is right."""
        if self._gateway is None:
            port = int(self.emulator().base_url.rpartition(":")[2])
            self._gateway = self._closing.enter_context(_gateway(port))
        return self._gateway

    @property
    def stranger(self) -> Stranger:
        """Somebody else's host, which answers 404 to everything."""
        if self._stranger is None:
            self._stranger = self._closing.enter_context(_stranger())
        return self._stranger

    @property
    def front(self) -> Front:
        """The web server that receives webhooks."""
        if self._front is None:
            self._front = self._closing.enter_context(served())
        return self._front

    @property
    def closed_port(self) -> int:
        """A port that is taken, and at which nobody listens."""
        if self._closed is None:
            self._closed = self._closing.enter_context(socket.socket())
            self._closed.bind(("127.0.0.1", 0))
        return int(self._closed.getsockname()[1])

    def calm(self) -> None:
        """Let all of it work from now on."""
        if self._gateway is not None:
            self._gateway.calm()
        if self._front is not None:
            self._front.calm()


@contextmanager
def _gateway(port: int) -> Iterator[Gateway]:
    authority = trustme.CA()
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    past = datetime.now(UTC) - timedelta(days=30)
    others = {
        "another host": _serving(authority.issue_cert("example.com")),
        "expired": _serving(authority.issue_cert("localhost", not_before=past, not_after=past)),
    }
    context = _serving(authority.issue_cert("localhost"))
    with http_proxy() as proxy:
        gateway = Gateway("", proxy, trusting)
        with tls_front(port, context, gateway.next_fate, others) as front:
            gateway.url = f"https://localhost:{front}"
            yield gateway


def _serving(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


@contextmanager
def _stranger() -> Iterator[Stranger]:
    stranger = Stranger()

    def respond(handler: socketserver.StreamRequestHandler, head: bytes) -> None:
        stranger.heads.append(head.decode("latin-1"))
        handler.wfile.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")

    with raw_server(respond) as stranger.url:
        yield stranger


def make_clip(folder: Path) -> Path:
    """Write a file that looks like a video."""
    path = folder / "shot.mp4"
    path.write_bytes(CLIP)
    return path
