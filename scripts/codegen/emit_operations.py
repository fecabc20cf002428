"""`operations.py`: the operations and what the contract says may come back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_HEAD: Final = '''"""The operations of this contract, as data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple


class Operation(NamedTuple):
    """One operation of the contract."""

    id: str
    """Our name of it, which is the name of its module too."""
    method: str
    """The HTTP method in capitals."""
    path: str
    """The path with its placeholders, such as /jobs/{id}."""
    success: tuple[int, ...]
    """The declared statuses below 300."""
    errors: tuple[int, ...]
    """The other declared statuses. A server may send any other."""
    deprecated: str | None = None
    """The date, YYYY-MM-DD, since which the published description advises against it."""
    retired: str | None = None
    """The date, YYYY-MM-DD, since which the published description no longer has it."""
    sunset: str | None = None
    """The date, YYYY-MM-DD, on which it is said to be switched off."""
    replacement: str | None = None
    """What the description names in its place."""
    migration_url: str | None = None
    """Where the description says to read about it."""


'''


def emit_operations(
    operations: Mapping[str, Any], *, retired: Mapping[str, str], deprecated: Mapping[str, str]
) -> str:
    """Write `operations.py`.

    Args:
        operations: The intermediate form.
        retired: Operation ids with the date of retirement, YYYY-MM-DD.
        deprecated: Operation ids with the date of the first sight of the mark, YYYY-MM-DD.
    """
    entries = ", ".join(
        f"{name!r}: {_entry(name, operation, retired.get(name), deprecated.get(name))}"
        for name, operation in operations.items()
    )
    return f"{_HEAD}OPERATIONS: Final[Mapping[str, Operation]] = {{{entries}}}\n"


def _entry(
    name: str, operation: Mapping[str, Any], retired: str | None, deprecated: str | None
) -> str:
    codes = sorted(int(status) for status in operation["responses"] if status.isdigit())
    success = tuple(code for code in codes if code < 300)  # noqa: PLR2004
    errors = tuple(code for code in codes if code >= 300)  # noqa: PLR2004
    facts = {"deprecated": deprecated, "retired": retired, **operation["notice"]}
    known = "".join(f", {key}={fact!r}" for key, fact in facts.items() if fact is not None)
    return (
        f"Operation({name!r}, {operation['method'].upper()!r}, {operation['path']!r}, {success!r},"
        f" {errors!r}{known})"
    )
