"""How far a transfer is, told now and then to whoever wants to know; nobody else pays for it."""

from __future__ import annotations

from typing import Final

from krea_aleph._telemetry import LOGGER
from krea_aleph.models import Progress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from krea_aleph._config import Config
    from krea_aleph._saving import PartFile
    from krea_aleph._steps import Body, Request, Sink
    from krea_aleph.models import Clock, Direction

# Often enough for an eye, and nothing beside what moving the bytes costs.
_PAUSE: Final = 0.1


class _Meter:
    """Calls a listener for one transfer, ten times a second at most."""

    def __init__(
        self,
        listener: Callable[[Progress], None],
        clock: Clock,
        direction: Direction,
        job_id: str | None = None,
    ) -> None:
        self._listener = listener
        self._clock = clock
        self._direction: Direction = direction
        self._job_id = job_id
        self._told: float | None = None

    def tell(self, done: int, total: int | None) -> None:
        """Tell how far it is, unless that was told a moment ago."""
        moment = self._clock.monotonic()
        if self._told is not None and moment - self._told < _PAUSE and done != total:
            return
        self._told = moment
        try:
            self._listener(Progress(self._direction, done, total, self._job_id))
        except Exception:  # noqa: BLE001 - whatever it is, the job comes first
            LOGGER.exception("on_progress raised; the job is not affected")


class _MeteredBody:
    """A body that tells how much of it has been read."""

    def __init__(self, body: Body, meter: _Meter) -> None:
        self._body = body
        self._meter = meter
        self.content_type = body.content_type
        self.length = body.length

    def chunks(self) -> Iterator[bytes]:
        """Read it from the start, in pieces."""
        done = 0
        for piece in self._body.chunks():
            self._meter.tell(done, self.length)
            yield piece
            done += len(piece)
        self._meter.tell(done, self.length)


class _MeteredSink:
    """The sink of a download, which tells how much of it has arrived."""

    def __init__(self, part: PartFile, meter: _Meter) -> None:
        self._part = part
        self._meter = meter

    def begin(self, status: int, headers: Mapping[str, str]) -> bool:
        """Take note of the answer, and say whether its body is wanted."""
        wanted = self._part.begin(status, headers)
        if wanted:
            self._meter.tell(*self._part.extent)
        return wanted

    def write(self, data: bytes) -> None:
        """Take a piece of the body."""
        self._part.write(data)
        self._meter.tell(*self._part.extent)


def telling(config: Config, request: Request) -> Request:
    """Return a request that tells how far its body is, if anybody wants to know."""
    if config.on_progress is None or request.body is None:
        return request
    meter = _Meter(config.on_progress, config.clock, "upload")
    return request._replace(body=_MeteredBody(request.body, meter))


def telling_sink(config: Config, part: PartFile, job_id: str) -> Sink:
    """Return a sink that tells how far it is, if anybody wants to know."""
    if config.on_progress is None:
        return part
    return _MeteredSink(part, _Meter(config.on_progress, config.clock, "download", job_id))
