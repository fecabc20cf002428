"""Record `krea-aleph run` in a terminal, against a local Krea, and draw it.

`PYTHONPATH=tests/support .venv/bin/python -m recording docs/run.svg` draws the picture in README.
"""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import sys
import termios
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple
from xml.sax.saxutils import escape

from krea_aleph.emulator import Emulator
from krea_aleph.emulator.clips import make_clip
from screen import Screen

COLUMNS: Final = 88
COMMAND: Final = 'krea-aleph run in.mp4 "make it snow" -o out.mp4'
PROGRAM: Final = (str(Path(sys.executable).with_name("krea-aleph")),)
ARGUMENTS: Final = ("run", "in.mp4", "make it snow", "-o", "out.mp4")
JOB_SECONDS: Final = 8.0
LAST_SECONDS: Final = 4.0
# Nobody sees what is there for less, in seconds.
_SHORTEST: Final = 0.05
_WIDTH, _HEIGHT, _MARGIN = 8.4, 20, 16
_HEAD: Final = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" role="img">
<title>{command}</title>
<style>
text {{ font: 14px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  fill: #d6dbe5; white-space: pre }}
.typed {{ fill: #8fd6a4 }}
</style>
<rect width="100%" height="100%" rx="8" fill="#161b26">
<animate id="loop" attributeName="rx" from="8" to="8" dur="{seconds:.2f}s" begin="0s;loop.end"/>
</rect>
"""


class Line(NamedTuple):
    """One line of the terminal, for as long as it says the same."""

    row: int
    text: str
    begin: float
    end: float | None  # None: until the end


def record(
    folder: Path, program: Sequence[str] = PROGRAM, job_seconds: float = JOB_SECONDS
) -> list[tuple[float, list[str]]]:
    """Return what a person sees who runs the command: the lines, each time that they change."""
    make_clip(folder / "in.mp4", seconds=4, width=640, height=360)
    with Emulator(job_seconds=job_seconds) as emulator:
        return list(_frames(folder, [*program, *ARGUMENTS], emulator))


def _frames(
    folder: Path, command: Sequence[str], emulator: Emulator
) -> Iterator[tuple[float, list[str]]]:
    process, terminal = pty.fork()
    if process == 0:
        _become(command, folder, emulator)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
    screen, started = Screen(COLUMNS), time.monotonic()
    while written := _read(terminal):
        screen.feed(written)
        yield time.monotonic() - started, screen.text.split("\n")
    os.close(terminal)
    _, status = os.waitpid(process, 0)
    if status:
        raise RuntimeError(f"the command has failed: {screen.text}")


def _become(command: Sequence[str], folder: Path, emulator: Emulator) -> None:
    os.chdir(folder)
    environment = {
        "COLUMNS": str(COLUMNS),
        "HOME": str(folder),
        "KREA_API_KEY": emulator.key,
        "KREA_BASE_URL": emulator.base_url,
        "LANG": "C.UTF-8",
        "TERM": "xterm-256color",
    }
    os.execve(command[0], command, environment)  # noqa: S606 - our own program


def _read(terminal: int) -> str:
    try:
        return os.read(terminal, 65_536).decode()
    except OSError:  # what Linux says when the other side has gone
        return ""


def draw(frames: list[tuple[float, list[str]]]) -> str:
    """Return the recording as a picture that moves; what cannot move shows how it ends."""
    seconds = frames[-1][0] + LAST_SECONDS
    rows = max(len(lines) for _, lines in frames) + 1
    size = {"width": COLUMNS * _WIDTH + 2 * _MARGIN, "height": (rows + 1) * _HEIGHT + _MARGIN}
    parts = [_HEAD.format(command=escape(COMMAND), seconds=seconds, **size)]
    parts.append(f'{_placed(0)} class="typed">$ {escape(COMMAND)}</text>\n')
    parts += [_drawn(line) for line in _lines(frames)]
    return "".join([*parts, "</svg>\n"])


def _lines(frames: list[tuple[float, list[str]]]) -> Iterator[Line]:
    """Yield the lines in the order of the screen, each with when it is there."""
    for row in range(max(len(lines) for _, lines in frames)):
        text, begin = "", 0.0
        for moment, lines in frames:
            now = lines[row] if row < len(lines) else ""
            if now != text:
                seen = text and moment - begin >= _SHORTEST
                yield from [Line(row, text, begin, moment)] if seen else []
                text, begin = now, moment
        yield from [Line(row, text, begin, None)] if text else []


def _placed(row: int) -> str:
    return f'<text x="{_MARGIN}" y="{(row + 1) * _HEIGHT + _MARGIN / 2:.0f}"'


def _drawn(line: Line) -> str:
    place, words = _placed(line.row + 1), escape(line.text)
    begin = f'begin="loop.begin+{line.begin:.2f}s"'
    if line.end is None:
        until = f'begin="loop.begin" dur="{max(line.begin, 0.01):.2f}s"'
        return f'{place}>{words}<set attributeName="visibility" to="hidden" {until}/></text>\n'
    shown = f'{begin} dur="{line.end - line.begin:.2f}s"'
    return (
        f'{place} visibility="hidden">{words}'
        f'<set attributeName="visibility" to="visible" {shown}/></text>\n'
    )


if __name__ == "__main__":
    with TemporaryDirectory() as place:
        Path(sys.argv[1]).write_text(draw(record(Path(place))), "utf-8")
