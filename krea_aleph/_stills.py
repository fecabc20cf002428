"""Pictures out of a clip at chosen moments, by PyAV and Pillow (the extra ``[preview]``).

A clip is decoded from the nearest key frame before each moment and scaled down at once, so that
memory does not grow with its length, and time hardly.
"""

from __future__ import annotations

import os
import re
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple, Self

from krea_aleph.errors import InvalidRequestError, MissingExtraError

try:
    import av
    from av.error import FFmpegError
    from PIL import Image
except ImportError as error:
    raise MissingExtraError("preview") from error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from types import TracebackType

    from av import VideoFrame
    from av.container import InputContainer
    from av.video.stream import VideoStream

    from krea_aleph.models import Saved, StrPath

# What is nearer than this is reached by decoding: key frames are often ten seconds apart.
_NEAR_SECONDS: Final = 12.0
# How much earlier than promised a clip may end: containers round.
_SLACK_SECONDS: Final = 0.5
_RATE: Final = 24
_MICROSECONDS: Final = 1_000_000
_TURN: Final = 360
_TURNED: Final = {
    90: Image.Transpose.ROTATE_90,
    180: Image.Transpose.ROTATE_180,
    270: Image.Transpose.ROTATE_270,
}
_ADDRESS: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_AGAIN: Final = "If it is a result, download it again."
# A file may name others, in the network even: a preview reads the one that it was given.
_NO_OTHER_FILES: Final = {"protocol_whitelist": "none"}


class Still(NamedTuple):
    """One picture of a clip.

    Attributes:
        at: When it begins to be shown, in seconds from the beginning.
        image: The picture, upright, without transparency.
    """

    at: float
    image: Image.Image


class Clip:
    """A video file that is open for looking at it. Ask for moments in their order.

    Attributes:
        seconds: How long it is.
        size: The width and the height at which it is shown.
    """

    def __init__(self, path: Path, field: str, background: str) -> None:
        """Open it.

        Args:
            path: Where it is.
            field: The argument that it was given for.
            background: What shows through where it is transparent.

        Raises:
            InvalidRequestError: It is no video that can be decoded.
        """
        self._path, self._field, self._background = path, field, background
        self._shown: VideoFrame | None = None
        self._open = ExitStack()
        with self._open:
            self._file = self._open.enter_context(_reading(path, field))
            with self._explained():
                self._container = self._open.enter_context(self._opened())
                self._stream = self._pictures()
                self._start = float((self._stream.start_time or 0) * self._tick)
                self.seconds = self._promised() or self._measured()
                self._frames = self._decoded()
                self._coming = next(self._frames, None)
            if self._coming is None:
                raise self._refused("it has no pictures")
            self.size = _shown_size(self._coming, self._stream)
            self._open = self._open.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.close()

    def at(self, moment: float, size: tuple[int, int]) -> Still:
        """Return what is shown at a moment, no earlier than the one before, at a size.

        Raises:
            InvalidRequestError: The file ends before that although it promises more, or is damaged.
        """
        with self._explained():
            if moment - self._reached > _NEAR_SECONDS:
                self._jump(moment)
            while self._coming is not None and self._time(self._coming) <= moment:
                self._shown, self._coming = self._coming, next(self._frames, None)
        frame = self._shown or self._coming
        if frame is None:
            raise self._refused("it has no pictures")
        if self._coming is None:
            self._require_whole(moment)
        return Still(self._time(frame), _picture(frame, size, self._background))

    @property
    def _tick(self) -> Fraction:
        return self._stream.time_base or Fraction(1, _MICROSECONDS)

    @property
    def _reached(self) -> float:
        return self._time(self._shown) if self._shown is not None else 0.0

    def _opened(self) -> InputContainer:
        """Open the file by itself: a name would do, but some names are addresses to FFmpeg."""
        self._file.seek(0)
        return av.open(self._file, "r", container_options=_NO_OTHER_FILES)

    def _pictures(self) -> VideoStream:
        if not self._container.streams.video:
            sound = " but sound" if self._container.streams.audio else ""
            raise self._refused(f"it has nothing{sound} in it that can be looked at")
        stream = self._container.streams.video[0]
        stream.thread_type = "AUTO"
        return stream

    def _promised(self) -> float:
        """Return how long it is by its own words, 0 if it says nothing."""
        if self._stream.duration:
            return float(self._stream.duration * self._tick)
        return (self._container.duration or 0) / _MICROSECONDS

    def _measured(self) -> float:
        """Return how long it is by what is in it; nothing is decoded for that."""
        ends, count = [0.0], 0
        for packet in self._container.demux(self._stream):
            if packet.size:
                count += 1
            if packet.pts is not None:
                ends.append(float((packet.pts + (packet.duration or 0)) * self._tick))
        self._container = self._open.enter_context(self._opened())
        self._stream = self._pictures()
        return max(ends) - self._start or count / float(self._stream.average_rate or _RATE)

    def _decoded(self) -> Iterator[VideoFrame]:
        """Yield the frames from here on; what comes after damage is left out."""
        for number, frame in enumerate(self._container.decode(self._stream)):
            if frame.pts is None:
                rate = Fraction(self._stream.average_rate or _RATE)
                frame.pts, frame.time_base = number, 1 / rate
            yield frame

    def _time(self, frame: VideoFrame) -> float:
        return (frame.time or 0.0) - self._start

    def _jump(self, moment: float) -> None:
        """Go on at the key frame before a moment; where that cannot be found, here."""
        offset = int((moment + self._start) / self._tick)
        try:
            self._container.seek(offset, stream=self._stream)
        except FFmpegError:
            return
        frames = self._decoded()
        first = next(frames, None)
        if first is not None:
            self._frames, self._shown, self._coming = frames, None, first

    def _require_whole(self, moment: float) -> None:
        """Refuse a file that ends before it should: its last picture would stand for what is lost.

        Only the index of MP4 and MOV tells how long the pictures themselves are.
        """
        shown = self._shown
        if shown is None or not self._stream.duration:
            return
        end = self._time(shown) + float((shown.duration or 0) * self._tick)
        if end + _SLACK_SECONDS < min(moment, self.seconds):
            lost = f"it breaks off after {end:.1f} of {self.seconds:.1f} seconds"
            raise self._refused(lost)

    @contextmanager
    def _explained(self) -> Generator[None]:
        try:
            yield
        except (FFmpegError, OSError, ValueError) as error:
            if isinstance(error, InvalidRequestError):
                raise
            words = getattr(error, "strerror", None) or str(error)
            raise self._refused(f"it cannot be decoded ({words})") from error

    def _refused(self, problem: str) -> InvalidRequestError:
        hint = f"Give a video file, such as an MP4, that plays. {_AGAIN}"
        return InvalidRequestError(
            self._field, f"{str(self._path)!r} is no whole video: {problem}", hint=hint
        )


def local_path(field: str, video: StrPath | Saved) -> Path:
    """Return where a video is on disk.

    Raises:
        InvalidRequestError: It is none that is there.
    """
    try:
        path = Path(os.fspath(video))
    except TypeError as error:
        hint = "Download it first." if "it is on no disk" in str(error) else ""
        raise InvalidRequestError(field, str(error), hint=hint) from error
    if isinstance(video, str) and _ADDRESS.match(video):
        problem = f"{video[:200]!r} is an address, and no file"
        raise InvalidRequestError(field, problem, hint="Download it first.")
    if not path.is_file():
        problem = "is no file" if path.exists() else "does not exist"
        raise InvalidRequestError(field, f"{str(path)!r} {problem}", hint="Give a video file.")
    return path


@contextmanager
def _reading(path: Path, field: str) -> Generator[BinaryIO]:
    try:
        file = path.open("rb")
    except OSError as error:
        problem = f"{str(path)!r} cannot be read: {error.strerror}"
        raise InvalidRequestError(field, problem) from error
    with file:
        yield file


def _shown_size(frame: VideoFrame, stream: VideoStream) -> tuple[int, int]:
    """Return the size at which a clip is shown: with square pixels, and upright."""
    aspect = float(stream.sample_aspect_ratio or 1)
    width, height = max(1, round(frame.width * aspect)), frame.height
    return (height, width) if _turn(frame) in {90, 270} else (width, height)


def _turn(frame: VideoFrame) -> int:
    """Return by how much a frame is to be turned, against the clock, in quarters of a turn."""
    quarters = round(frame.rotation / 90) * 90 % _TURN
    return int(quarters)


def _picture(frame: VideoFrame, size: tuple[int, int], background: str) -> Image.Image:
    """Return a frame upright at a size, in front of a background where it lets that through."""
    turn = _turn(frame)
    width, height = size[::-1] if turn in {90, 270} else size
    clear = any(component.is_alpha for component in frame.format.components)
    scaled = frame.reformat(width=width, height=height, format="rgba" if clear else "rgb24")
    image = _in_front(scaled, background) if clear else scaled.to_image()
    return image.transpose(_TURNED[turn]) if turn else image


def _in_front(frame: VideoFrame, background: str) -> Image.Image:
    """Return a frame of RGBA pixels in front of a background."""
    size, plane = (frame.width, frame.height), frame.planes[0]
    image = Image.frombuffer("RGBA", size, bytes(plane), "raw", "RGBA", plane.line_size, 1)
    return Image.alpha_composite(Image.new("RGBA", size, background), image).convert("RGB")
