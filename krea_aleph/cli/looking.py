"""The commands that make pages to look at results with: `compare` and `report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from krea_aleph.cli.session import Session

Exists = Annotated[
    Literal["error", "replace", "keep"],
    Parameter(show_default=True, help="What to do if the page exists."),
]
Json = Annotated[
    bool,
    Parameter(name="--json", help="Print one JSON document a line on stdout, and nothing else."),
]


def compare(
    before: Annotated[Path, Parameter(help="The clip as it was.")],
    after: Annotated[Path, Parameter(help="The restyled clip.")],
    /,
    *,
    out: Annotated[Path, Parameter(alias="-o", metavar="FILE", help="The page to write.")],
    link: Annotated[
        bool, Parameter(help="Refer to the clips where they are, instead of putting them in.")
    ] = False,
    exists: Exists = "error",
    json: Json = False,
    session: Annotated[Session, Parameter(parse=False)],
) -> None:
    """Write a page that shows two clips in step, with a slider between them.

    The page is one file that plays in any browser, without a network: both clips are in it.
    """
    from krea_aleph import pages  # noqa: PLC0415 - not for help

    del json
    path = pages.compare(before, after, out, link=link, exists=exists)
    session.out.result({"type": "page", "path": str(path)}, str(path))
