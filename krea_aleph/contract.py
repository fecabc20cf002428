"""Which contract this library was built from, and what it says about the end of operations.

``sha256``, ``date`` and ``generator`` are read from the generated client when they are first asked
for; `pinned` has them as one value. `notices` has the operations that are going to end or have,
and `options` what a request may say beside its video and prompt.

Example:
    >>> from krea_aleph import contract
    >>> contract.date <= "2999-01-01"
    True
"""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from inspect import cleandoc
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    sha256: str
    date: str
    generator: str

# The generated package, by name: only _wire imports its code, and its data files need no import.
_PACKAGE: Final = "krea_aleph_api"
# How a docstring in Google's style tells of an attribute, the margin taken away: newer Pythons have
# done that already.
_ATTRIBUTE: Final = re.compile(r"^ {4}(\w+): (.+(?:\n {5,}.+)*)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Contract:
    """The provenance of the pinned contract.

    Attributes:
        sha256: SHA-256 of the contract document, in hexadecimal.
        date: The day it was taken from what Krea publishes, as YYYY-MM-DD.
        generator: Name and version of the program that generated the low-level client.

    Example:
        >>> len(pinned().sha256)
        64
    """

    sha256: str
    date: str
    generator: str


@dataclass(frozen=True, slots=True)
class Notice:
    """What the pinned contract says about the end of one operation. Days are YYYY-MM-DD.

    Attributes:
        operation: The operation's id, such as ``create_aleph_job``.
        deprecated: The day since which the description advises against it, if it does.
        retired: The day since which the description no longer has it, if it is gone. What is known
            of it is from the last description that had it.
        sunset: The day on which it is said to be switched off, if one is.
        replacement: What is named in its place, if anything is.
        migration_url: Where to read about it, if anywhere.

    Example:
        >>> Notice("create_aleph_job", sunset="2027-01-31").sunset
        '2027-01-31'
    """

    operation: str
    deprecated: str | None = None
    retired: str | None = None
    sunset: str | None = None
    replacement: str | None = None
    migration_url: str | None = None


@dataclass(frozen=True, slots=True)
class Option:
    """An optional field of the request that pays, as the pinned contract has it.

    Attributes:
        name: What it is called as an argument of ``submit``.
        description: What it is, in a sentence or two; empty where nobody says.
        schema: What may stand there, as a JSON schema; ``media`` in it marks a clip or a picture.
    """

    name: str
    description: str
    schema: Mapping[str, Any] = field(hash=False)


@cache
def pinned() -> Contract:
    """Return the contract that this installed library speaks."""
    facts = json.loads((folder() / "PROVENANCE.json").read_text("utf-8"))
    return Contract(
        sha256=facts["contract"]["sha256"],
        date=facts["contract"]["date"],
        generator=facts["generator"],
    )


@cache
def notices() -> Mapping[str, Notice]:
    """Return the operations that the pinned contract has as deprecated or retired, by id.

    An end that is announced by its day alone counts as well. It is empty as long as all is well.

    Example:
        >>> for notice in notices().values():
        ...     print(notice.operation, "ends", notice.sunset or "some day")
    """
    operations = import_module(f"{_PACKAGE}.operations").OPERATIONS
    found = {
        name: Notice(
            operation=name,
            deprecated=operation.deprecated,
            retired=operation.retired,
            sunset=operation.sunset,
            replacement=operation.replacement,
            migration_url=operation.migration_url,
        )
        for name, operation in operations.items()
        if operation.deprecated or operation.retired or operation.sunset
    }
    return MappingProxyType(found)


@cache
def options() -> Mapping[str, Option]:
    """Return the optional fields of the request that pays, by name.

    Programs that build forms or command lines take them from here, so that a new field upstream
    needs no edit there. The generated client is not imported for it.

    Example:
        >>> options()["seed"].schema["minimum"]
        0
    """
    words, constraints = _data("options").AlephOptions, _data("constraints")
    described = dict(_ATTRIBUTE.findall(cleandoc(words.__doc__ or "")))
    schemas = constraints.ALEPH_REQUEST["properties"]
    found = {
        name: Option(
            name,
            " ".join(described.get(name, "").split()),
            schemas.get(constraints.WIRE_NAMES.get(name, name), {}),
        )
        for name in words.__annotations__
    }
    return MappingProxyType(found)


def _data(name: str) -> Any:
    """Return a module of the generated package that holds facts alone, without the client in it."""
    loaded = sys.modules.get(f"{_PACKAGE}.{name}")
    if loaded is not None:
        return loaded
    spec = spec_from_file_location(f"_{_PACKAGE}_{name}", folder() / f"{name}.py")
    if spec is None or spec.loader is None:  # pragma: no cover - a file of Python has both
        raise ModuleNotFoundError(f"{_PACKAGE}.{name}")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def document() -> Path:
    """Return the path of the contract itself, an OpenAPI document in JSON."""
    return folder() / "contract.json"


@cache
def folder() -> Path:
    """Return the folder of the generated package, without importing it."""
    spec = find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        message = f"{_PACKAGE} is not installed beside krea_aleph"
        raise ModuleNotFoundError(message)
    return Path(spec.origin).parent


if not TYPE_CHECKING:  # pragma: no branch - type checkers do not run it

    def __getattr__(name: str) -> str:
        """Give the facts of the pinned contract as names of the module."""
        if name in Contract.__dataclass_fields__:
            return getattr(pinned(), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _main() -> int:  # pragma: no cover - tests start it as a program
    from krea_aleph.specdiff.command import main  # noqa: PLC0415 - nobody else pays for it

    return main()


if __name__ == "__main__":  # pragma: no cover - as above
    raise SystemExit(_main())
