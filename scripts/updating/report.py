"""The report of `scripts/regenerate`, and what a proposal adds to it, as frozen values.

The half of an update that holds the token reads a file that the other half wrote, and that half
has met a stranger's document. So nothing is taken on trust here: what is not of the expected form
is refused, and texts stay data that `markdown` makes harmless.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from krea_aleph.specdiff.changes import Severity
from updating.failure import UpdateError

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_BYTES: Final = 8_000_000
NOTHING: Final = "nothing to do"
UPDATED: Final = "updated"

_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}")


@dataclass(frozen=True, slots=True)
class Change:
    """One judged change; see `krea_aleph.specdiff.changes.Change`."""

    pointer: str
    old: Any
    new: Any
    severity: Severity
    direction: str
    consequence: str


@dataclass(frozen=True, slots=True)
class Contract:
    """A contract by its hash, and the day it became ours."""

    sha256: str
    date: str


@dataclass(frozen=True, slots=True)
class Checks:
    """What was tried on the result.

    Attributes:
        names: The checks that ran, in order.
        failed: The one that failed, if any did.
        said: The end of what it printed.
    """

    names: tuple[str, ...] = ()
    failed: str | None = None
    said: str = ""


@dataclass(frozen=True, slots=True)
class Surface:
    """What changed in the Python surface since the last release.

    Attributes:
        since: The tag of that release; None when there is none yet, then it is the base.
        broken: What griffe calls breaking: dotted name and reason.
        added: Dotted names of what is new.
    """

    since: str | None = None
    broken: tuple[str, ...] = ()
    added: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """What changed upstream, what became of it, and what was found out about the result."""

    result: str
    severity: Severity
    source: str
    contract: Contract
    previous: Contract
    changes: tuple[Change, ...] = ()
    retired: Mapping[str, str] = field(default_factory=dict)
    returned: tuple[str, ...] = ()
    deprecated: Mapping[str, str] = field(default_factory=dict)
    aliases: tuple[Mapping[str, str], ...] = ()
    decisions: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    version: str = "0.0.0"
    surface: Surface = Surface()
    checks: Checks = Checks()

    @property
    def updated(self) -> bool:
        """Whether there is anything to propose."""
        return self.result == UPDATED


def read_report(data: bytes) -> Report:
    """Read a report, with or without what a proposal adds.

    Raises:
        UpdateError: It is not one.
    """
    if len(data) > MAX_BYTES:
        raise UpdateError("report", f"{len(data)} bytes; at most {MAX_BYTES} are read")
    try:
        return _report(json.loads(data))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise UpdateError("report", f"not a report of scripts/regenerate: {error!r}") from error


def _report(data: Mapping[str, Any]) -> Report:
    proposal = data.get("proposal", {})
    if data["result"] not in {UPDATED, NOTHING}:
        raise ValueError(f"result {data['result']!r:.80}")
    return Report(
        result=data["result"],
        severity=_severity(data["severity"]),
        source=_text(data["source"]),
        contract=_contract(data["contract"]),
        previous=_contract(data["previous"]),
        changes=tuple(map(_change, data["changes"])),
        retired=_dates(data["retired"]),
        returned=_texts(data["returned"]),
        deprecated=_dates(data["deprecated"]),
        aliases=tuple(map(_alias, data["aliases"])),
        decisions=_texts(data["decisions"]),
        notes=_texts(data["notes"]),
        version=_text(proposal.get("version", "0.0.0")),
        surface=_surface(proposal.get("surface", {})),
        checks=_checks(proposal.get("checks", {})),
    )


def _change(data: Mapping[str, Any]) -> Change:
    return Change(
        pointer=_text(data["pointer"]),
        old=data["old"],
        new=data["new"],
        severity=_severity(data["severity"]),
        direction=_text(data["direction"]),
        consequence=_text(data["consequence"]),
    )


def _surface(data: Mapping[str, Any]) -> Surface:
    since = data.get("since")
    return Surface(
        since=None if since is None else _text(since),
        broken=_texts(data.get("broken", [])),
        added=_texts(data.get("added", [])),
    )


def _checks(data: Mapping[str, Any]) -> Checks:
    failed = data.get("failed")
    return Checks(
        names=_texts(data.get("names", [])),
        failed=None if failed is None else _text(failed),
        said=_text(data.get("said", "")),
    )


def _severity(name: str) -> Severity:
    return Severity[name.upper()]


def _contract(data: Mapping[str, Any]) -> Contract:
    return Contract(_matching(_SHA256, data["sha256"]), _matching(_DATE, data["date"]))


def _dates(data: Mapping[str, Any]) -> dict[str, str]:
    return {_text(name): _matching(_DATE, date) for name, date in data.items()}


def _alias(data: Mapping[str, Any]) -> dict[str, str]:
    return {_text(name): "" if said is None else _text(said) for name, said in data.items()}


def _texts(data: list[Any]) -> tuple[str, ...]:
    return tuple(map(_text, data))


def _matching(pattern: re.Pattern[str], value: Any) -> str:
    if not pattern.fullmatch(_text(value)):
        raise ValueError(f"{value!r:.80} is not of the form {pattern.pattern}")
    return str(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.80} is no text")
    return value
