"""The stand-in for the model: real videos in, visibly restyled real videos out."""

from __future__ import annotations

import http.server
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import av
import httpx
import pytest
from PIL import Image, ImageChops, ImageStat

from krea_aleph.emulator import clips, restyle, video

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small real video, half a second long."""
    return clips.make_clip(tmp_path_factory.mktemp("clip") / "in.mp4", seconds=0.5)


@pytest.fixture
def studio(open_shop: Callable[..., Any]) -> Any:
    """A customer of an emulator that renders."""
    return open_shop(render=True)


def _restyled(krea: Any, clip: Path, **body: Any) -> bytes:
    url = krea.upload(clip.read_bytes()).json()["image_url"]
    job = krea.finished(init_video=url, **body)
    assert job["emulation"] == "An emulation: a filter, not Runway Aleph."
    return httpx.get(job["result"]["urls"][0], trust_env=False).content


def _first(path: Path) -> Image.Image:
    return next(iter(video.frames(path, 5)))


def test_sample_clip(clip: Path) -> None:
    """The sample clip is a small video in which something moves."""
    images = list(video.frames(clip, 5))
    assert (len(images), images[0].size) == (12, (320, 180))
    assert ImageChops.difference(images[0], images[-1]).getbbox() is not None


@pytest.mark.parametrize("look", sorted(restyle.WORDS))
def test_looks(clip: Path, tmp_path: Path, look: str) -> None:
    """Every look changes the picture visibly and keeps its size and length."""
    target = tmp_path / "out.mp4"
    restyle.restyle(clip, target, restyle.Style(look, 1))
    before, after = _first(clip), _first(target)
    change = ImageStat.Stat(ImageChops.difference(before, after)).mean
    assert sum(change) / 3 > 8
    assert before.size == after.size
    assert len(list(video.frames(target, 5))) == 12


def test_same_bytes(studio: Any, clip: Path, open_shop: Callable[..., Any]) -> None:
    """The same clip, prompt and seed give the same bytes, in another emulator too."""
    first = _restyled(studio, clip, prompt="snow", seed=1)
    assert _restyled(studio, clip, prompt="snow", seed=1) == first
    assert _restyled(open_shop(render=True), clip, prompt="snow", seed=1) == first
    assert _restyled(studio, clip, prompt="snow", seed=2) != first
    assert _restyled(studio, clip, prompt="night", seed=1) != first


def test_five_seconds(studio: Any, tmp_path: Path) -> None:
    """Only the first five seconds of a clip are used; what comes out is a decodable MP4."""
    long = clips.make_clip(tmp_path / "long.mp4", seconds=6, width=64, height=36)
    out = tmp_path / "out.mp4"
    out.write_bytes(_restyled(studio, long))
    with av.open(str(out)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name in {"h264", "mpeg4"}
        assert sum(1 for _ in container.decode(stream)) == 120
        assert "emulator" in container.metadata["comment"]


@pytest.mark.parametrize(
    ("prompt", "look"),
    [("Make it SNOW", "snow"), ("a moonlit street", "night"), ("8-bit arcade", "pixel")],
)
def test_look_by_prompt(prompt: str, look: str) -> None:
    """Words of the prompt choose the look."""
    assert restyle.Style.of(prompt, "").look == look


def test_look_by_hash() -> None:
    """A prompt without such words gets a look of its own, always the same."""
    looks = {restyle.Style.of(f"take {number}", "").look for number in range(50)}
    assert looks == set(restyle.WORDS)
    assert restyle.Style.of("take 1", "") == restyle.Style.of("take 1", "")


def test_no_video(studio: Any) -> None:
    """An input that claims to be a video and is none makes a failed job that says so."""
    url = studio.upload(b"\x00\x00\x00\x18ftypisom but no more").json()["image_url"]
    job = studio.finished(init_video=url)
    assert job["status"] == "failed"
    assert job["error"]["code"] == "invalid_input"
    assert "not a video" in job["error"]["message"]


def test_damaged_data_uri(studio: Any) -> None:
    """A data URI that holds no video fails in the same way."""
    job = studio.finished(init_video="data:video/mp4;base64,AAAA")
    assert "not a video" in job["error"]["message"]


def test_clip_by_loopback_url(studio: Any, clip: Path) -> None:
    """A clip served on this machine is fetched; a missing one fails the job."""
    handler = partial(_Quiet, directory=str(clip.parent))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        base = f"http://127.0.0.1:{server.server_port}"
        fetched = studio.finished(init_video=f"{base}/{clip.name}")
        missing = studio.finished(init_video=f"{base}/missing.mp4")
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert "a filter" in fetched["emulation"]
    assert "404" in missing["error"]["message"]


def test_unreachable_loopback_url(studio: Any) -> None:
    """A clip that cannot be fetched fails the job instead of the emulator."""
    job = studio.finished(init_video="http://127.0.0.1:9/in.mp4")
    assert "cannot be fetched" in job["error"]["message"]


def test_clip_elsewhere(studio: Any) -> None:
    """A clip on another machine is never fetched; the job says what came out instead."""
    job = studio.finished(init_video="https://example.com/in.mp4")
    assert job["status"] == "completed"
    assert "loopback" in job["emulation"]


def test_without_pyav(studio: Any, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without PyAV the clip comes back as it was, and the job says so; no video still fails."""
    monkeypatch.setattr(restyle, "EXTRA", ("a_module_that_is_not_there",))
    url = studio.upload(clip.read_bytes()).json()["image_url"]
    job = studio.finished(init_video=url)
    assert "without PyAV" in job["emulation"]
    output = httpx.get(job["result"]["urls"][0], trust_env=False).content
    assert output == clip.read_bytes()
    no_video = studio.upload(b"text").json()["image_url"]
    assert "not a video" in studio.finished(init_video=no_video)["error"]["message"]


def test_side_by_side(clip: Path, tmp_path: Path) -> None:
    """Before and after can be seen beside each other in one picture with two different halves."""
    after = tmp_path / "after.mp4"
    restyle.restyle(clip, after, restyle.Style("invert", 1))
    picture = clips.side_by_side(clip, after, tmp_path / "both.png")
    with Image.open(picture) as image:
        assert image.size == (640, 180)
        left, right = image.crop((0, 0, 320, 180)), image.crop((320, 0, 640, 180))
        assert sum(ImageStat.Stat(ImageChops.difference(left, right)).mean) > 60


def test_odd_sizes(tmp_path: Path) -> None:
    """A video with odd sides is made even, as encoders want it."""
    odd = tmp_path / "odd.mkv"
    with av.open(str(odd), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = 33, 17, "yuv444p"
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_image(Image.new("RGB", (33, 17)))))
        container.mux(stream.encode())
    restyle.restyle(odd, tmp_path / "out.mp4", restyle.Style("snow", 1))
    assert _first(tmp_path / "out.mp4").size == (32, 16)


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""
