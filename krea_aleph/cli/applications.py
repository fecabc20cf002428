"""Which jobs a command is about: a database, or what a program of the user's says."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib import import_module
from typing import Annotated, Any, Final

from cyclopts import Group, Parameter

from krea_aleph.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from krea_aleph.durable import Durable

ENGINE: Final = Group("Engine", sort_key=5)
_VARIABLES: Final = {
    "database": "KREA_DATABASE",
    "app": "KREA_APP",
    "executor_id": "KREA_EXECUTOR_ID",
    "account": "KREA_ACCOUNT",
    "api_key_file": "KREA_API_KEY_FILE",
}
_NAME: Final = "krea-aleph"


@Parameter(name="*", group=ENGINE)
@dataclass(frozen=True, kw_only=True)
class Where:
    """Which jobs a command is about."""

    database: Annotated[
        str | None,
        Parameter(
            env_var=_VARIABLES["database"],
            metavar="URL",
            help="Where they are: sqlite:///jobs.sqlite3 or postgresql://user@host/name.",
        ),
    ] = None
    app: Annotated[
        str | None,
        Parameter(
            env_var=_VARIABLES["app"],
            metavar="MODULE:NAME",
            help="A Durable of a program of yours, which says all the rest: for several accounts.",
        ),
    ] = None
    name: Annotated[str | None, Parameter(metavar="NAME", help=f"Of the application; {_NAME}.")] = (
        None
    )

    @contextmanager
    def opened(
        self, given: Mapping[str, object] | None = None, **options: Any
    ) -> Generator[Durable]:
        """Give the application that the options lead to.

        Args:
            given: Further options of the command, by their names, which a program says itself.
            **options: Of the application, where no program says them.

        Raises:
            ConfigError: They lead to none.
        """
        from krea_aleph.durable import Durable  # noqa: PLC0415 - an extra

        if self.app is not None:
            asked = {"database": self.database, "name": self.name, **(given or {})}
            if said := _on_the_line(asked):
                raise ConfigError(f"--app: it says that itself; leave {', '.join(said)} out.")
            found = _imported(self.app)
            if not isinstance(found, Durable):
                raise ConfigError(f"--app: {self.app!r} is no krea_aleph.durable.Durable.")
        elif self.database is None:
            hint = "Name a --database, such as sqlite:///jobs.sqlite3, or set KREA_DATABASE."
            raise ConfigError("where are the jobs?", hint=hint)
        else:
            found = Durable(self.database, name=self.name or _NAME, **options)
        with found:
            yield found

    def words(self) -> list[str]:
        """Return the options that a further command needs to reach the same jobs."""
        line = _on_the_line(asdict(self))
        values = {f"--{name}": value for name, value in asdict(self).items()}
        return [word for option in line for word in (option, values[option])]


def _on_the_line(options: Mapping[str, object]) -> list[str]:
    """Name the options that were given, and not by the environment."""
    return [
        f"--{name.replace('_', '-')}"
        for name, value in options.items()
        if value and value != os.environ.get(_VARIABLES.get(name, ""))
    ]


def _imported(place: str) -> object:
    """Return what a program of the user's has under a name."""
    module, _, name = place.partition(":")
    if not name:
        raise ConfigError(f"--app: {place!r} is no MODULE:NAME.")
    if "" not in sys.path:
        sys.path.insert(0, os.getcwd())  # noqa: PTH109 - the path as it is
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"--app: {place!r} cannot be had: {error}.") from error
