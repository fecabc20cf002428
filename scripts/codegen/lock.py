"""`contract.lock.json`: which contract the committed tree was made from, and which came before."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from krea_aleph.specdiff.document import dump_document
from krea_aleph.specdiff.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

REMEMBERED: Final = 20
"""So many earlier contracts are kept: going back further than that is a matter for git."""


@dataclass(frozen=True, slots=True)
class State:
    """One contract that is or was ours.

    Attributes:
        sha256: Of the bytes of `openapi.json`, in hex.
        date: When these bytes became our contract, YYYY-MM-DD.
        source: Where they came from.
        retired: Operations that are no longer published, with the date; the contract keeps them.
        deprecated: Operations that are marked deprecated, with the date of the first sight.
    """

    sha256: str
    date: str
    source: str
    retired: Mapping[str, str] = field(default_factory=dict)
    deprecated: Mapping[str, str] = field(default_factory=dict)

    def same(self, sha256: str, retired: Iterable[str]) -> bool:
        """Tell whether this is the state of these bytes with these operations retired."""
        return self.sha256 == sha256 and self.retired.keys() == set(retired)


@dataclass(frozen=True, slots=True)
class Fetch:
    """What was last fetched, so that fetching the same again ends at once.

    Attributes:
        url: The address.
        etag: The server's tag of it, if it gave one.
        sha256: Of the bytes.
        contract: Hash of the contract that they led to: another one may be ours by now.
    """

    url: str
    etag: str | None
    sha256: str
    contract: str


@dataclass(frozen=True, slots=True)
class Lock:
    """The committed facts about `openapi.json`.

    Attributes:
        state: Of the contract that the tree was made from.
        upstream: What was last fetched, if anything was.
        before: The contracts before, the oldest first. Going back to one of them forgets the
            later ones and keeps its date: so the tree is byte for byte what it was.
    """

    state: State
    upstream: Fetch | None = None
    before: tuple[State, ...] = ()

    def follow(
        self, contract: bytes, *, source: str, retired: Iterable[str], deprecated: Iterable[str]
    ) -> Lock:
        """Return the lock for a contract: this one, an earlier one, or one of today.

        Args:
            contract: The bytes of `openapi.json`.
            source: Where they came from, if they are new.
            retired: The ids of the operations that are kept, though no longer published.
            deprecated: The ids of those that are marked deprecated.
        """
        found, gone = hashlib.sha256(contract).hexdigest(), set(retired)
        lineage = (*self.before, self.state)
        for index, state in reversed([*enumerate(lineage)]):
            if state.same(found, gone):
                return replace(self, state=state, before=lineage[:index])
        today = datetime.now(UTC).date().isoformat()
        new = State(
            sha256=found,
            date=today,
            source=source,
            retired=_dated(gone, self.state.retired, today),
            deprecated=_dated(deprecated, self.state.deprecated, today),
        )
        return replace(self, state=new, before=lineage[-REMEMBERED:])

    def dump(self) -> bytes:
        """Write the lock as JSON."""
        return dump_document(
            {
                **_written(self.state),
                "upstream": None if self.upstream is None else asdict(self.upstream),
                "before": [_written(state) for state in self.before],
            }
        )


def read_lock(path: Path) -> Lock:
    """Read the committed lock.

    Raises:
        StepError: It is missing or not a lock.
    """
    try:
        data = json.loads(path.read_bytes())
        upstream = data["upstream"]
        return Lock(
            state=_read(data),
            upstream=None if upstream is None else Fetch(**upstream),
            before=tuple(_read(state) for state in data["before"]),
        )
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise StepError("read", f"{path.name} cannot be used: {error!r}") from error


def _dated(names: Iterable[str], known: Mapping[str, str], today: str) -> dict[str, str]:
    """Give every name the date that it has had, or today's."""
    return {name: known.get(name, today) for name in sorted(names)}


def _written(state: State) -> dict[str, object]:
    facts = asdict(state)
    names = ("sha256", "date", "source")
    return {
        "contract": {name: facts[name] for name in names},
        "retired": facts["retired"],
        "deprecated": facts["deprecated"],
    }


def _read(data: Mapping[str, Mapping[str, str]]) -> State:
    return State(**data["contract"], retired=data["retired"], deprecated=data["deprecated"])
