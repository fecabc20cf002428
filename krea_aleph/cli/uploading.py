"""The command that uploads."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from krea_aleph.cli import documents
from krea_aleph.cli.params import Common
from krea_aleph.cli.session import Session


def upload(
    file: Annotated[str, Parameter(help="A clip, a picture or a sound.")],
    /,
    *,
    common: Common | None = None,
    session: Annotated[Session, Parameter(parse=False)],
) -> None:
    """Upload a file, and print its address, to use it in several jobs.

    The address goes wherever a clip or a picture is asked for.
    """
    with session.client(common or Common()) as aleph:
        asset = aleph.upload(file)
    session.out.result(documents.asset(asset), asset.url)
