"""All steps in order: from the bytes of a contract to a finished tree in a scratch folder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from codegen.audit import audit_tree
from codegen.classify import stop_for_human
from codegen.emit_answers import emit_answers
from codegen.emit_constraints import emit_constraints
from codegen.emit_operations import emit_operations
from codegen.emit_options import emit_options
from codegen.formatter import format_tree
from codegen.generator import generate
from codegen.lock import Lock, read_lock
from codegen.normalise import Normalised, normalise
from codegen.notes import notes
from codegen.provenance import provenance
from codegen.tools import pinned
from codegen.validate import validate
from krea_aleph.specdiff.document import read_document
from krea_aleph.specdiff.errors import step
from krea_aleph.specdiff.rules import Rules, load_rules
from krea_aleph.specdiff.severity import needs
from krea_aleph.specdiff.texts import guard_references

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Project:
    """Where everything is.

    Attributes:
        root: The checkout.
    """

    root: Path

    @property
    def contract(self) -> Path:
        """The published description, cut down to the operations we use."""
        return self.root / "openapi.json"

    @property
    def generated(self) -> Path:
        """The folder that holds the generated package and nothing else."""
        return self.root / "generated"

    @property
    def data(self) -> Path:
        """The folder of the rules, the template edits, the pins and the lock."""
        return self.root / "scripts" / "codegen"

    @property
    def lock(self) -> Path:
        """The facts about the committed contract."""
        return self.data / "contract.lock.json"

    @property
    def pins(self) -> dict[str, str]:
        """The exact versions of the tools."""
        return pinned(self.data / "requirements.txt")

    def rules(self) -> Rules:
        """Read the rules."""
        return load_rules(self.data / "rules.toml")


@dataclass(frozen=True, slots=True)
class Built:
    """A finished tree.

    Attributes:
        package: Its folder, in the scratch space.
        lock: The lock that belongs to it.
        notes: What a human should look at, in sentences.
    """

    package: Path
    lock: Lock
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Source:
    """What a tree is to be built from.

    Attributes:
        contract: The bytes of `openapi.json`.
        lock: The lock until now.
        name: Where the contract comes from, if it is a new one.
        retired: The ids of the operations in it that are no longer published.
    """

    contract: bytes
    lock: Lock
    name: str
    retired: frozenset[str]


def committed(project: Project) -> Source:
    """Return what is in the checkout, perhaps edited by hand.

    Raises:
        StepError: The contract or the lock cannot be read.
    """
    with step("read"):
        contract = project.contract.read_bytes()
    lock = read_lock(project.lock)
    return Source(contract, lock, "edited here", frozenset(lock.state.retired))


def build(project: Project, scratch: Path, source: Source | None = None) -> Built:
    """Run every step up to the audit.

    Args:
        project: Where the rules, the template edits and the pins are.
        scratch: A folder to work in.
        source: What to build from; by default what is in the checkout.

    Raises:
        StepError: A step refused; nothing outside the scratch folder was touched.
    """
    rules, source = project.rules(), source or committed(project)
    document = read_document(source.contract)
    guard_references(document)
    with step("validate"):
        validate(document)
    normalised = normalise(document, rules)
    stop_for_human(normalised, rules, needs(project.data / "reads.toml"))
    lock = source.lock.follow(
        source.contract,
        source=source.name,
        retired=source.retired,
        deprecated=[name for name, one in normalised.operations.items() if one["deprecated"]],
    )
    with step("generate"):
        edits = project.data / "templates.toml"
        package = generate(normalised.document, package=rules.package, edits=edits, scratch=scratch)
    with step("emit"):
        _emit(package, normalised, rules, lock)
    with step("format"):
        format_tree(package)
        _add_data(package, project, lock, source.contract)
    with step("audit"):
        audit_tree(package)
    return Built(package, lock, notes(normalised, rules))


def _emit(package: Path, normalised: Normalised, rules: Rules, lock: Lock) -> None:
    modules = {
        "options.py": emit_options(normalised.strict, rules),
        "answers.py": emit_answers(normalised.strict),
        "constraints.py": emit_constraints(normalised.operations, normalised.strict, rules),
        "operations.py": emit_operations(
            normalised.operations, retired=lock.state.retired, deprecated=lock.state.deprecated
        ),
    }
    for name, source in modules.items():
        (package / name).write_text(source, encoding="utf-8")


def _add_data(package: Path, project: Project, lock: Lock, contract: bytes) -> None:
    made_by = provenance(
        lock,
        project.pins,
        rules=project.data / "rules.toml",
        templates=project.data / "templates.toml",
    )
    files = {"py.typed": b"", "contract.json": contract, "PROVENANCE.json": made_by}
    # With these an installed library compares its contract with another one.
    files |= {name: (project.data / name).read_bytes() for name in ("rules.toml", "reads.toml")}
    for name, data in files.items():
        (package / name).write_bytes(data)
