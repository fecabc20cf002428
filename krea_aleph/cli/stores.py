"""Where commands write submits down: a file of this machine, or a database for many."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from krea_aleph.errors import StoreError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

    from krea_aleph.store import Store

ANOTHER: Final = "Name another one with --store."
_POSTGRES: Final = ("postgresql://", "postgres://")


def is_database(store: str | None) -> bool:
    """Tell whether a store is in Postgres."""
    return store is not None and store.startswith(_POSTGRES)


def path_of(store: str | None, base_url: str) -> Path:
    """Return the file for a server: jobs of one are unknown to another."""
    if store is not None:
        return Path(store)
    host = urlsplit(base_url).netloc
    name = "".join(sign if sign.isalnum() or sign in ".-" else "_" for sign in host)
    return state_folder() / f"{name}.sqlite3"


@contextmanager
def opened(store: str | None, base_url: str) -> Generator[Store]:
    """Open a store for a while; it is made if need be.

    Args:
        store: A file or the URL of a database; None for the usual file.
        base_url: The server whose jobs it is about.

    Raises:
        StoreError: It cannot be used.
        MissingExtraError: It is in Postgres, and the extra for that is not installed.
    """
    if store is not None and is_database(store):
        from krea_aleph.durable import PostgresStore  # noqa: PLC0415 - an extra

        with PostgresStore(store) as database:
            yield database
        return
    from krea_aleph import SQLiteStore  # noqa: PLC0415 - help needs none

    with SQLiteStore(_made(path_of(store, base_url))) as file:
        yield file


def _made(path: Path) -> Path:
    """Make the folder of a store, and return the store's path."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        message = f"the folder {str(path.parent)!r} cannot be made: {error.strerror}."
        raise StoreError(message, hint=ANOTHER) from error
    return path


def state_folder() -> Path:
    """Return the folder for what must outlive the command, where this system has it."""
    from platformdirs import user_state_path  # noqa: PLC0415 - few commands need it

    return user_state_path("krea-aleph", appauthor=False)
