"""What a human should look at after a run that went well."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codegen.emit_options import option_names
from codegen.sites import find

if TYPE_CHECKING:
    from collections.abc import Iterator

    from codegen.normalise import Normalised
    from krea_aleph.specdiff.rules import Rules


def notes(normalised: Normalised, rules: Rules) -> tuple[str, ...]:
    """Say in sentences what a human should know of names, rules and what is not checked."""
    return (
        *_derived_names(normalised, rules),
        *_spelt_otherwise(normalised, rules),
        *_idle_rules(normalised, rules),
        *_left_out(normalised),
    )


def _left_out(normalised: Normalised) -> Iterator[str]:
    for operation in normalised.operations.values():
        yield from operation["left_out"]


def _derived_names(normalised: Normalised, rules: Rules) -> Iterator[str]:
    models = normalised.document["components"]["schemas"].keys()
    for name in sorted(models - {*rules.models, rules.responses.errors}):
        yield f"{name} is named after its place: name it in rules.toml if it deserves better"


def _spelt_otherwise(normalised: Normalised, rules: Rules) -> Iterator[str]:
    body = normalised.strict.requests[rules.facade.model]["properties"]
    pair = {rules.facade.prompt, rules.facade.video}
    for option, wire in option_names(body.keys() - pair, rules.facade.reserved).items():
        if option != wire:
            yield f"the option for {wire} is spelt {option}: its own name is taken or is none"


def _idle_rules(normalised: Normalised, rules: Rules) -> Iterator[str]:
    for name, rule in rules.models.items():
        for site in rule.sites:
            if find(normalised.operations, site) is None:
                yield f"the site {site} of {name} in rules.toml matches nothing"
    models = {**normalised.strict.requests, **normalised.strict.responses}
    for place in (*rules.words, *rules.responses.as_sent):
        name, _, key = place.partition(".")
        if key not in models.get(name, {}).get("properties", {}):
            yield f"{place} in rules.toml matches nothing"
