"""Frames out of a video file and into one, by PyAV and Pillow (the extra ``[preview]``)."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Final, Literal

from krea_aleph.errors import MissingExtraError

try:
    import av
    from av.error import FFmpegError
    from PIL import Image  # noqa: TC002 - found missing here, not when the first frame comes
except ImportError as error:
    raise MissingExtraError("preview") from error

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from os import PathLike

    from av.container import OutputContainer
    from av.video.stream import VideoStream

RATE: Final = 24
"""Frames per second where the source says nothing."""
_MAX_SIDE: Final = 1280


class UnreadableError(Exception):
    """The input holds no video that can be decoded."""


def frames(source: str | PathLike[str], seconds: float) -> Iterator[Image.Image]:
    """Yield the frames of the first seconds, scaled down to at most 1280 pixels a side.

    Raises:
        UnreadableError: If there is no frame to be had.
    """
    count = 0
    try:
        with av.open(str(source)) as container:
            for frame in container.decode(video=0):
                if (frame.time or 0.0) >= seconds:
                    break
                count += 1
                yield _fitting(frame.to_image())
    except (FFmpegError, IndexError, ValueError) as error:
        if not count:
            raise UnreadableError(f"the input is not a video: {error}") from error
    if not count:
        raise UnreadableError("the input is not a video: it has no frames")


def rate(source: str | PathLike[str]) -> Fraction:
    """Return a video's frames per second.

    Raises:
        UnreadableError: If it is no video.
    """
    try:
        with av.open(str(source)) as container:
            found = container.streams.video[0].average_rate
    except (FFmpegError, IndexError) as error:
        raise UnreadableError(f"the input is not a video: {error}") from error
    return Fraction(found) if found else Fraction(RATE)


def write(
    target: str | PathLike[str],
    images: Iterable[Image.Image],
    per_second: Fraction,
    comment: str,
) -> None:
    """Encode pictures of one size as an MP4 file: H.264 where there is an encoder, else MPEG-4.

    One thread and no dates: the same pictures give the same bytes.
    """
    with av.open(str(target), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        container.metadata["comment"] = comment
        stream: VideoStream | None = None
        for image in images:
            if stream is None:
                stream = _stream(container, per_second, image.size)
            container.mux(stream.encode(av.VideoFrame.from_image(image)))
        if stream is not None:
            container.mux(stream.encode())


_OPTIONS: Final = {"preset": "veryfast", "crf": "23", "threads": "1"}


def _stream(container: OutputContainer, per_second: Fraction, size: tuple[int, int]) -> VideoStream:
    codec: Literal["libx264", "mpeg4"] = "libx264" if _has_x264() else "mpeg4"
    stream = container.add_stream(codec, rate=per_second, options=_OPTIONS)
    stream.width, stream.height = size
    stream.pix_fmt = "yuv420p"
    stream.thread_count = 1
    return stream


def _has_x264() -> bool:
    return "libx264" in av.codecs_available


def _fitting(image: Image.Image) -> Image.Image:
    """Return the picture with even sides, as encoders want them, and none too long."""
    scale = min(1.0, _MAX_SIDE / max(image.size))
    width, height = (max(2, int(side * scale) // 2 * 2) for side in image.size)
    return image if (width, height) == image.size else image.resize((width, height))
