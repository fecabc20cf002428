"""The command that makes pictures of clips: `preview`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final, Literal

from cyclopts import Group, Parameter

from krea_aleph.cli.params import FILES
from krea_aleph.cli.session import Session
from krea_aleph.cli.tools import Json
from krea_aleph.errors import InvalidRequestError

_SHEET: Final = Group("Contact sheet", sort_key=1)
_ANIMATION: Final = Group("Animation", sort_key=2)
_OF_SHEETS: Final = frozenset({"rows", "columns"})
_OF_ANIMATIONS: Final = frozenset({"seconds", "fps"})
_MOVING: Final = frozenset({".gif", ".webp"})


def preview(
    video: Annotated[str, Parameter(help="The clip: a file.")],
    /,
    *,
    output: Annotated[
        str,
        Parameter(
            alias="-o",
            group=FILES,
            metavar="FILE",
            help="A .png, .webp or .gif, or a folder. Default: the current folder.",
        ),
    ] = ".",
    before: Annotated[
        str | None,
        Parameter(group=FILES, metavar="FILE", help="The clip that it was made of, shown with it."),
    ] = None,
    exists: Annotated[
        Literal["error", "replace", "keep"],
        Parameter(group=FILES, show_default=True, help="What to do when the file exists."),
    ] = "error",
    sheet: Annotated[
        bool, Parameter(group=_SHEET, help="Make a contact sheet. The default, but for -o x.webp.")
    ] = False,
    rows: Annotated[
        int | None, Parameter(group=_SHEET, metavar="N", help="Default: 3 rows of frames.")
    ] = None,
    columns: Annotated[
        int | None, Parameter(group=_SHEET, metavar="N", help="Default: 4 frames a row.")
    ] = None,
    animate: Annotated[
        bool, Parameter(group=_ANIMATION, help="Make an animation, WebP unless -o ends in .gif.")
    ] = False,
    seconds: Annotated[
        float | None, Parameter(group=_ANIMATION, metavar="SECONDS", help="Default: the first 5.")
    ] = None,
    fps: Annotated[
        float | None, Parameter(group=_ANIMATION, metavar="N", help="Default: 12 frames a second.")
    ] = None,
    width: Annotated[
        int | None,
        Parameter(metavar="N", help="Of a frame (default: 320) or of the animation (480)."),
    ] = None,
    json: Json = False,
    session: Annotated[Session, Parameter(parse=False)],
) -> None:
    """Make a contact sheet or a small animation of a clip, and print its path.

    With --before each frame stands below, or beside, that of the clip that it was made of.
    """
    from krea_aleph import preview as making  # noqa: PLC0415 - an extra

    del json
    moving = _moving(output, sheet=sheet, animate=animate)
    options: dict[str, Any] = {
        "rows": rows,
        "columns": columns,
        "seconds": seconds,
        "fps": fps,
        "width": width,
    }
    asked = {name: value for name, value in options.items() if value is not None}
    for name in asked:
        if name in (_OF_SHEETS if moving else _OF_ANIMATIONS):
            kind = "an animation" if moving else "a contact sheet"
            raise InvalidRequestError(f"--{name}", f"{kind} has none")
    make = making.animate if moving else making.sheet
    path = make(video, output, before=before, exists=exists, **asked)
    kind = "animation" if moving else "sheet"
    session.out.result({"type": "preview", "kind": kind, "path": str(path)}, str(path))


def _moving(output: str, *, sheet: bool, animate: bool) -> bool:
    """Say whether an animation is wanted: as was said, else by the ending of the output."""
    if sheet and animate:
        raise InvalidRequestError("--sheet", "--animate is something else; choose one")
    return animate or (not sheet and Path(output).suffix.lower() in _MOVING)
