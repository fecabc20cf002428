"""Uploading to an index of one's own."""

from __future__ import annotations

import base64
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

import bootstrap
from releasing import build
from releasing.failure import ReleaseError
from releasing.publish import ADDRESS, publish

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(wheel: Path, sdist: Path, tmp_path: Path) -> Path:
    """A release, as `build` leaves it."""
    place = tmp_path / "dist"
    place.mkdir()
    for path in (wheel, sdist):
        (place / path.name).write_bytes(path.read_bytes())
    (place / build.BILL).write_text("{}")
    build.write_checksums(place, sorted(place.iterdir()))
    (place / build.NOTES).write_text("Notes.")
    return place


def test_the_public_index_is_never_meant(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without an address nothing is uploaded, though uv has one of its own."""
    monkeypatch.delenv(ADDRESS, raising=False)
    with pytest.raises(ReleaseError, match="UV_PUBLISH_URL is not set"):
        publish(folder, tmp_path / "never-started")


def test_what_is_not_as_built_is_not_uploaded(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Checksums are looked at last thing before the upload."""
    monkeypatch.setenv(ADDRESS, "http://localhost:9/")
    (wheel,) = folder.glob("*.whl")
    wheel.write_bytes(b"other")
    with pytest.raises(ReleaseError, match=f"{wheel.name} is missing, or is not what"):
        publish(folder, tmp_path / "never-started")


class Index(BaseHTTPRequestHandler):
    """An index that takes everything."""

    uploads: ClassVar[list[tuple[str | None, str]]] = []

    def do_POST(self) -> None:
        """Note who uploads what."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        names = re.findall(rb'filename="([^"]+)"', body)
        self.uploads += [(self.headers["Authorization"], name.decode()) for name in names]
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.mark.long
def test_both_packages_go_to_the_index(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The sdist and the wheel are uploaded with the token of the environment, and nothing else."""
    uv = bootstrap.ensure(bootstrap.LOCK).with_name("uv")
    with ThreadingHTTPServer(("127.0.0.1", 0), Index) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv(ADDRESS, f"http://127.0.0.1:{server.server_port}/upload/")
        monkeypatch.setenv("UV_PUBLISH_TOKEN", "the-token")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        code = publish(folder, uv)
        server.shutdown()
    assert code == 0, capfd.readouterr().err
    authorization = f"Basic {base64.b64encode(b'__token__:the-token').decode()}"
    packages = sorted(path.name for path in folder.iterdir() if path.suffix in {".whl", ".gz"})
    assert sorted(Index.uploads) == [(authorization, name) for name in packages]
    assert "the-token" not in "".join(capfd.readouterr())
