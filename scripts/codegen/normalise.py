"""The pure middle of the pipeline: from a parsed document to what the later steps read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from codegen.assemble import assemble
from codegen.corrections import correct_slice
from codegen.guard import guard_document, guard_slice
from codegen.hoist import Hoisted, hoist_slice
from codegen.loosen import loosen
from codegen.slicing import slice_document
from codegen.unify import unify_slice
from krea_aleph.specdiff.errors import step
from krea_aleph.specdiff.respell import respell_slice
from krea_aleph.specdiff.shape import check_shape
from krea_aleph.specdiff.texts import guard_references, guard_texts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from krea_aleph.specdiff.rules import Rules


@dataclass(frozen=True, slots=True)
class Normalised:
    """What later steps work from.

    Attributes:
        operations: Corrected intermediate form in canonical spelling, still inline and strict.
        strict: The same with named models, before anything is loosened.
        document: The OpenAPI document that the generator reads.
    """

    operations: dict[str, Any]
    strict: Hoisted
    document: dict[str, Any]


def normalise(document: Mapping[str, Any], rules: Rules) -> Normalised:
    """Look at its shape, guard, slice, respell, correct, unify, hoist, loosen.

    Raises:
        StepError: The document is refused, or a rule no longer fits it.
    """
    guard_references(document)
    with step("validate"):
        check_shape(document)
    with step("guard"):
        guard_texts(document)
        guard_document(document, rules.expected)
    with step("slice"):
        sliced = slice_document(document, rules)
    with step("guard"):
        guard_slice(sliced)
    with step("normalise"):
        operations = correct_slice(respell_slice(sliced), rules.corrections)
        strict = hoist_slice(unify_slice(operations, rules), rules)
        return Normalised(operations, strict, assemble(loosen(strict, rules), rules))
