"""Runs in a network of its own (see own_network): download from each name, and tell what came."""

from __future__ import annotations

import json
import socketserver
import ssl
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import anyio
import trustme
from own_network import HOSTS, Rebinding

from krea_aleph import Aleph, AsyncAleph, DownloadError, Job, Output
from local_network import Server, serving

ANSWER: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n\0\0\0\x18ftypisom"
REBINDING: Final = "rebind.example"


class Host:
    """An output host on every address of this network, and which of them were connected to."""

    def __init__(self) -> None:
        self.addresses: list[str] = []
        self._authority = trustme.CA()

    def trusting(self) -> ssl.SSLContext:
        """Return a context that trusts it."""
        context = ssl.create_default_context()
        self._authority.configure_trust(context)
        return context

    def server(self) -> Server:
        """Return it as a server on a free port."""
        host, context = self, ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._authority.issue_cert(*HOSTS, REBINDING).configure_cert(context)

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                host.addresses.append(self.request.getsockname()[0])
                with context.wrap_socket(self.request, server_side=True) as secure:
                    secure.recv(65536)
                    secure.sendall(ANSWER)

        return Server(("", 0), Handler)


def download(colour: str, options: Any, job: Job, path: Path) -> None:
    """Download with a client of one colour."""

    async def main() -> None:
        async with AsyncAleph(**options) as aleph:
            await aleph.download(job, path)

    if colour != "sync":
        anyio.run(main, backend=colour)
        return
    with Aleph(**options) as aleph:
        aleph.download(job, path)


def main(colour: str, folder: Path) -> dict[str, Any]:
    """Download from every name, from the rebinding one twice."""
    host, names = Host(), Rebinding()
    options = {
        "base_url": "https://api.krea.ai",
        "api_key": "id:secret",
        "ssl_context": host.trusting(),
    }

    def fetch(name: str, file: str) -> list[Any]:
        host.addresses.clear()
        job = Job("j1", "completed", outputs=(Output(f"https://{name}:{port}/o.mp4"),))
        try:
            download(colour, options, job, folder / file)
        except DownloadError as error:
            return ["refused" if "no public address" in str(error) else str(error), host.addresses]
        return ["saved", list(host.addresses)]

    with ExitStack() as stack:
        port = stack.enter_context(serving(host.server()))
        told: dict[str, Any] = {name: fetch(name, name) for name in HOSTS}
        told[REBINDING] = fetch(REBINDING, "first")
        told["asked"] = names.asked
        told[f"{REBINDING} again"] = fetch(REBINDING, "second")
    return told


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(sys.argv[1], Path(sys.argv[2]))))
