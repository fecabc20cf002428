"""The contract of the installed library, beside one in a file or what Krea publishes today."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from krea_aleph import contract
from krea_aleph.specdiff.compare_operation import find_operation
from krea_aleph.specdiff.diff import checked, diff_documents
from krea_aleph.specdiff.document import dump_document, read_document
from krea_aleph.specdiff.errors import StepError, step
from krea_aleph.specdiff.fetch import fetch_description
from krea_aleph.specdiff.read_any import read_any, read_file
from krea_aleph.specdiff.rules import load_rules
from krea_aleph.specdiff.severity import load_reads

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from krea_aleph.specdiff.changes import Change
    from krea_aleph.specdiff.rules import Rules
    from krea_aleph.specdiff.severity import Reads


class Published(NamedTuple):
    """A description to compare with: where it is from, and whether it is only a part."""

    document: Mapping[str, Any]
    source: str
    partial: bool = False


class Installed(NamedTuple):
    """The installed contract, by which rules it is compared, and which operations have ended."""

    document: Mapping[str, Any]
    rules: Rules
    reads: Reads
    retired: Mapping[str, str]

    @classmethod
    def load(cls) -> Installed:
        """Read what was emitted beside the generated client.

        Raises:
            StepError: The installation is damaged.
        """
        with step("rules"):
            folder = contract.folder()
            rules = load_rules(folder / "rules.toml")
            reads = load_reads(folder / "reads.toml", rules)
            document = read_document(contract.document().read_bytes())
            ends = {name: one.retired for name, one in contract.notices().items()}
            return cls(document, rules, reads, {name: day for name, day in ends.items() if day})

    def read(self, path: Path) -> Published:
        """Read a description from a file.

        Raises:
            StepError: It cannot be compared; the message names the file.
        """
        document = checked(read_file(path), str(path), self.rules, self.reads)
        return Published(document, str(path))

    def fetch(self) -> Published:
        """Fetch what Krea publishes today.

        Raises:
            StepError: It is not to be had, or cannot be compared.
        """
        fetched = fetch_description(self.rules.upstream)
        try:
            document = read_any(fetched.data or b"")
        except StepError as error:
            raise StepError(error.step, f"{fetched.url}: {error.problem}") from error
        document = checked(document, fetched.url, self.rules, self.reads)
        return Published(document, fetched.url, fetched.partial)

    def compare(self, published: Published) -> tuple[list[Change], list[str]]:
        """List what has changed, and remark on what was left out.

        What is known to be gone is no news, and of a part nobody can tell what is missing.

        Raises:
            StepError: The two cannot be compared.
        """
        every = self.rules.operations
        there = {name for name, rule in every.items() if find_operation(published.document, rule)}
        gone = every.keys() - there if published.partial else self.retired.keys() - there
        kept = {name: rule for name, rule in every.items() if name not in gone}
        rules = replace(self.rules, operations=kept)
        changes = diff_documents(self.document, published.document, rules, self.reads)
        return changes, self._remarks(published, there)

    def _remarks(self, published: Published, there: set[str]) -> list[str]:
        remarks = [
            f"{name} is retired since {day}; "
            + ("it is published again." if name in there else "it is still not published.")
            for name, day in self.retired.items()
            if name in there or not published.partial
        ]
        if published.partial:
            names = ", ".join(sorted(there))
            remarks.append(f"Only {names} was compared: that is all that {published.source} has.")
        return remarks

    def whole(self, published: Published) -> bytes:
        """Write a description as JSON; what a part does not have is as it is installed.

        Raises:
            StepError: The part and the rest do not go together.
        """
        document = published.document
        if published.partial:
            paths = {**self.document["paths"], **document["paths"]}
            document = {**self.document, "paths": paths, "components": self._joined(published)}
        return dump_document(document)

    def _joined(self, published: Published) -> dict[str, dict[str, Any]]:
        ours, theirs = (node.get("components", {}) for node in (self.document, published.document))
        result = {kind: dict(entries) for kind, entries in ours.items()}
        for kind, entries in theirs.items():
            known = result.setdefault(kind, {})
            clash = [name for name in entries if known.get(name, entries[name]) != entries[name]]
            if clash:
                problem = f"{published.source}: {kind}/{clash[0]} is another one than is installed"
                raise StepError("compose", f"{problem}: this part cannot be saved")
            known |= entries
        return result
