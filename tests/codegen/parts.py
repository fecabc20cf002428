"""The parts of the pipeline that touch no file, from the bytes of a document to modules."""

from __future__ import annotations

import json
from typing import Any

from checkouts import ROOT
from codegen.classify import stop_for_human
from codegen.compose import compose
from codegen.emit_answers import emit_answers
from codegen.emit_constraints import emit_constraints
from codegen.emit_operations import emit_operations
from codegen.emit_options import emit_options
from codegen.normalise import normalise
from codegen.notes import notes
from krea_aleph.specdiff.diff import check_document
from krea_aleph.specdiff.document import read_document
from krea_aleph.specdiff.errors import step
from krea_aleph.specdiff.read_any import read_any
from krea_aleph.specdiff.rules import Rules
from krea_aleph.specdiff.severity import needs

CONTRACT = json.loads((ROOT / "openapi.json").read_bytes())


def edited(data: bytes) -> dict[str, Any]:
    """Read a document that somebody wrote into openapi.json."""
    return read_document(data)


def published(data: bytes, rules: Rules) -> dict[str, Any]:
    """Read a document as `scripts/regenerate --from` does, and cut it down to our operations."""
    document = read_any(data)
    check_document(document, rules)
    with step("compose"):
        return read_document(compose(document, CONTRACT, rules).contract)


def emitted(document: dict[str, Any], rules: Rules) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the modules of data that are written for a document, and the notes of the run."""
    normalised = normalise(document, rules)
    stop_for_human(normalised, rules, needs(ROOT / "scripts/codegen/reads.toml"))
    json.dumps(normalised.document)
    with step("emit"):
        modules = {
            "answers.py": emit_answers(normalised.strict),
            "constraints.py": emit_constraints(normalised.operations, normalised.strict, rules),
            "operations.py": emit_operations(normalised.operations, retired={}, deprecated={}),
            "options.py": emit_options(normalised.strict, rules),
        }
    return modules, notes(normalised, rules)
