"""Following a new description: from what was published to a finished tree and a report."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from codegen.compose import compose, without
from codegen.lock import Fetch, Lock, read_lock
from codegen.pipeline import Source, build
from codegen.validate import validate_shape
from krea_aleph.specdiff.diff import check_document, diff_documents
from krea_aleph.specdiff.document import read_document
from krea_aleph.specdiff.errors import StepError, step
from krea_aleph.specdiff.fetch import fetch_description
from krea_aleph.specdiff.read_any import read_any
from krea_aleph.specdiff.severity import load_reads
from krea_aleph.specdiff.texts import guard_references, matches, refused

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from codegen.pipeline import Built, Project
    from krea_aleph.specdiff.changes import Change
    from krea_aleph.specdiff.fetch import Fetched
    from krea_aleph.specdiff.rules import Rules

MAX_PATHS: Final = 2_000

# Of a path that is not ours: nothing that could end a string or lead to another host.
_ANY_PATH: Final = re.compile(r"/(?!/)[A-Za-z0-9._~!$&()*+,;=:@%/{}-]*")


@dataclass(frozen=True, slots=True)
class Publication:
    """A description as it was published.

    Attributes:
        data: Its bytes, JSON or YAML; None if it is what was fetched before.
        source: Where it comes from: an address, or the name of a file.
        fetched: What to remember of the fetch; None for a file.
        partial: Whether it is known to tell of some of our operations only.
    """

    data: bytes | None
    source: str
    fetched: Fetched | None = None
    partial: bool = False


@dataclass(frozen=True, slots=True)
class Followed:
    """What came of following a publication.

    Attributes:
        lock: The lock that belongs to the outcome.
        lock_before: The lock until now.
        changes: What changed in the operations we use, the worst first.
        document: The contract to use from now on, parsed.
        contract: Its bytes.
        built: The finished tree; None where there is nothing to do.
    """

    lock: Lock
    lock_before: Lock
    changes: tuple[Change, ...]
    document: Mapping[str, Any]
    contract: bytes
    built: Built | None


def fetch_publication(project: Project) -> Publication:
    """Fetch what is published; the data is left out if it led to the contract that is ours.

    Raises:
        StepError: Nothing could be fetched.
    """
    lock = read_lock(project.lock)
    last = lock.upstream
    if last is not None and last.contract != lock.state.sha256:
        last = None  # another contract is ours by now, so it must be looked at again
    fetched = fetch_description(project.rules().upstream, last.etag if last else None)
    if fetched.data is None or (last is not None and _sha256(fetched.data) == last.sha256):
        return Publication(None, fetched.url)
    return Publication(fetched.data, fetched.url, fetched, partial=fetched.partial)


def read_publication(path: Path) -> Publication:
    """Read a file that somebody has fetched.

    Raises:
        StepError: It cannot be read, or there is nothing in it.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise StepError("file", f"{path} cannot be read: {error.strerror}") from error
    if not data:
        raise StepError("empty", f"{path}: there is nothing in it")
    return Publication(data, path.name)


def unchanged(project: Project) -> Followed:
    """Return what there is to say when what is published says nothing new.

    Raises:
        StepError: The contract or the lock cannot be read.
    """
    lock, (contract, document) = read_lock(project.lock), _ours(project)
    return Followed(lock, lock, (), document, contract, None)


def follow(project: Project, publication: Publication, scratch: Path) -> Followed:
    """Compare a publication with our contract, and build from it what follows.

    Raises:
        StepError: A step refused; nothing outside the scratch folder was touched.
    """
    rules, lock, (_, before) = project.rules(), read_lock(project.lock), _ours(project)
    published = _parsed(publication)
    _guard_whole(published, rules)
    with step("compose"):
        composed = compose(published, before, rules)
    retired = _retired(composed.kept, lock, partial=publication.partial)
    silent = composed.kept - (retired - lock.state.retired.keys())
    changes = _changes(project, without(before, silent, rules), published)
    if not changes and retired == lock.state.retired.keys():
        return unchanged(project)
    source = Source(composed.contract, lock, publication.source, retired)
    built = build(project, scratch, source)
    noted = replace(built.lock, upstream=_noted(publication, built.lock, lock))
    done = replace(built, lock=noted)
    return Followed(noted, lock, changes, composed.document, composed.contract, done)


def _ours(project: Project) -> tuple[bytes, dict[str, Any]]:
    with step("read"):
        contract = project.contract.read_bytes()
    return contract, read_document(contract)


def _parsed(publication: Publication) -> dict[str, Any]:
    try:
        return read_any(publication.data or b"")
    except StepError as error:
        raise StepError(error.step, f"{publication.source}: {error.problem}") from error


def _guard_whole(published: Mapping[str, Any], rules: Rules) -> None:
    """Look at what concerns the whole document, whichever operations are ours."""
    guard_references(published)
    with step("validate"):
        paths = published.get("paths")
        if not isinstance(paths, dict):
            raise StepError("validate", f"paths: a {type(paths).__name__} where an object belongs")
    if len(paths) > MAX_PATHS:
        raise refused("paths", f"{len(paths)} paths; at most {MAX_PATHS} are read")
    for path in paths:
        matches(_ANY_PATH, path, "paths", "a plain path such as /jobs/{id}")
    check_document(published, rules, validate_shape)


def _retired(kept: frozenset[str], lock: Lock, *, partial: bool) -> frozenset[str]:
    """Tell which operations are no longer published.

    A page of the documentation has one operation only: what is missing there is kept as it was.
    """
    return kept & lock.state.retired.keys() if partial else kept


def _changes(
    project: Project, before: Mapping[str, Any], published: Mapping[str, Any]
) -> tuple[Change, ...]:
    rules = project.rules()
    reads = load_reads(project.data / "reads.toml", rules)
    return tuple(diff_documents(before, published, rules, reads))


def _noted(publication: Publication, now: Lock, before: Lock) -> Fetch | None:
    """Remember what was fetched; a file is no news about the address."""
    fetched = publication.fetched
    if fetched is None or fetched.data is None:
        return before.upstream
    return Fetch(fetched.url, fetched.etag, _sha256(fetched.data), now.state.sha256)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
