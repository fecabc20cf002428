"""The commands that make pages to look at results with: `compare` and `report`."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from krea_aleph.cli import stores
from krea_aleph.cli.session import Session
from krea_aleph.errors import InvalidRequestError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from krea_aleph.store import Store

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


def report(
    folder: Annotated[
        Path, Parameter(name="DIR", help="The folder with the results, such as a batch's.")
    ],
    /,
    *,
    out: Annotated[
        Path | None,
        Parameter(alias="-o", metavar="FILE", help="The page; default: report.html in DIR."),
    ] = None,
    store: Annotated[
        str | None,
        Parameter(
            env_var="KREA_STORE",
            metavar="FILE",
            help="Where the submits are written down, a file or a postgresql:// URL; default: where"
            " batch writes them.",
        ),
    ] = None,
    base_url: Annotated[
        str | None,
        Parameter(metavar="URL", help="The server that they were made at, if not Krea's."),
    ] = None,
    exists: Annotated[
        Literal["error", "replace", "keep"],
        Parameter(
            show_default=True, help="What to do if the page exists; no other file is replaced."
        ),
    ] = "replace",
    json: Json = False,
    session: Annotated[Session, Parameter(parse=False)],
) -> None:
    """Write a page about the jobs whose results are in a folder, or were to go there.

    It shows each clip before and after with its prompt, and why others failed. The page refers to
    the clips, and needs nothing from the network.
    """
    from krea_aleph import pages  # noqa: PLC0415 - not for help

    del json
    with ExitStack() as closing:
        opened = _opened(session, store, base_url, closing)
        path = pages.report(folder, out, store=opened, exists=exists)
    session.out.result({"type": "page", "path": str(path)}, str(path))


def _opened(
    session: Session, store: str | None, base_url: str | None, closing: ExitStack
) -> Store | None:
    """Open the store, if there is one; one that somebody has named has to be there."""
    server = "" if store is not None else _server(session, base_url)
    path = stores.path_of(store, server)
    if stores.is_database(store) or path.is_file():
        return closing.enter_context(stores.opened(store, server))
    if store is not None:
        raise InvalidRequestError("--store", f"{store!r} is no file")
    session.out.note(f"nothing was written down yet at {str(path)!r}: no jobs are known")
    return None


def _server(session: Session, base_url: str | None) -> str:
    """Return the server that submits are made at if nobody says otherwise."""
    from krea_aleph import Aleph  # noqa: PLC0415 - not for help

    options: Any = {**session.options, "api_key": lambda: ""}  # nobody asks for it
    if base_url is not None:
        options["base_url"] = base_url
    with Aleph(**options) as aleph:
        return aleph.base_url
