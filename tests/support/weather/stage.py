"""What every run is played on: emulators, a TLS front, a proxy and a stranger's host."""

from __future__ import annotations

import socketserver
import ssl
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import trustme
from hostile import raw_server

from krea_aleph.emulator import Emulator
from local_network import Proxy, http_proxy, tls_front

# The smallest thing that is an mp4 by its first bytes; nobody decodes it.
CLIP = b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom" + bytes(range(256)) * 8


@dataclass
class Gateway:
    """A way to the emulator through TLS and a proxy, either of which may fail.

    Attributes:
        url: Where the TLS front listens.
        proxy: The proxy in front of it; `Proxy.fates` says which tunnels it refuses.
        spoiled: For each connection to come, whether its handshake goes wrong.
        trusting: A context that trusts the front.
    """

    url: str
    proxy: Proxy
    trusting: ssl.SSLContext
    spoiled: deque[bool] = field(default_factory=deque)

    def calm(self) -> None:
        """Let everything work from now on."""
        self.spoiled.clear()
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


@contextmanager
def _gateway(port: int) -> Iterator[Gateway]:
    authority = trustme.CA()
    serving, trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("localhost").configure_cert(serving)
    authority.configure_trust(trusting)
    spoiled: deque[bool] = deque()
    with tls_front(port, serving, spoiled) as front, http_proxy() as proxy:
        yield Gateway(f"https://localhost:{front}", proxy, trusting, spoiled)


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
