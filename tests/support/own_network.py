"""A network of one's own, without a way out: real public addresses and names, on this machine.

`run` runs a Python program in it, where the system lets us. There the names of `HOSTS` lead where
it says, and `rebind.example` to a public address first and to this machine from then on.
"""

from __future__ import annotations

import os
import shutil
import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path
from typing import Final

PUBLIC: Final = "93.184.216.34"
HOSTS: Final = {
    "public.example": [PUBLIC],
    "mixed.example": ["127.0.0.1", "10.1.2.3", PUBLIC],
    "private.example": ["10.1.2.3"],
    "here.example": ["127.0.0.1", "::1"],
}
_COMMAND: Final = ["unshare", "--map-root-user", "--mount", "--net"]
_SETUP: Final = """
ip link set lo up && ip addr add 93.184.216.34/32 dev lo && ip addr add 10.1.2.3/32 dev lo &&
mount --bind "$1/hosts" /etc/hosts && mount --bind "$1/resolv.conf" /etc/resolv.conf &&
mount --bind "$1/nsswitch.conf" /etc/nsswitch.conf && shift && exec "$@"
"""


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str] | None:
    """Run Python with arguments in such a network; None where none can be made."""
    if not (shutil.which("unshare") and shutil.which("ip")):
        return None
    lines = [f"{address} {name}" for name, found in HOSTS.items() for address in found]
    (folder / "hosts").write_text("\n".join([*lines, ""]))
    (folder / "resolv.conf").write_text("nameserver 127.0.0.1\noptions attempts:1 timeout:1\n")
    (folder / "nsswitch.conf").write_text("hosts: files dns\n")
    setup = [*_COMMAND, "sh", "-c", _SETUP, "sh", str(folder)]
    if subprocess.run([*setup, "true"], capture_output=True, check=False).returncode:
        return None
    paths = [str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    return subprocess.run(
        [*setup, sys.executable, *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


class Rebinding:
    """A name server that tells the public address once, and this machine's from then on."""

    def __init__(self) -> None:
        self.asked = 0
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 53))
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            query, sender = self._socket.recvfrom(512)
            end = query.index(0, 12) + 5
            wants_ipv4 = query[end - 4 : end - 2] == b"\0\1"
            answers = b""
            if wants_ipv4:
                address = PUBLIC if self.asked == 0 else "127.0.0.1"
                self.asked += 1
                answers = b"\xc0\x0c\0\1\0\1" + struct.pack("!IH", 0, 4)
                answers += socket.inet_aton(address)
            head = query[:2] + b"\x81\x80\0\1" + struct.pack("!H", bool(answers)) + b"\0\0\0\0"
            self._socket.sendto(head + query[12:end] + answers, sender)
