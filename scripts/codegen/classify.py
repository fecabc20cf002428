"""Changes that no program may follow by itself: they stop the run until `rules.toml` decides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from codegen.sites import find
from krea_aleph.specdiff.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from codegen.normalise import Normalised
    from krea_aleph.specdiff.rules import Rules


def stop_for_human(normalised: Normalised, rules: Rules, needs: Iterable[str]) -> None:
    """Stop where our calls could not be what the server asks for, or its answers of no use to us.

    Args:
        normalised: The contract.
        rules: What the facade gives in every call, and what a human has accepted.
        needs: Fields without which an answer is of no use, as `reads.toml` has them.

    Raises:
        StepError: The prompt or the video goes by another name, something must be given that the
            facade does not give by itself, or an id has gone; all of it is listed.
    """
    found = [
        *_pair(normalised, rules),
        *_demanded(normalised, rules),
        *_unreadable(normalised, rules, needs),
    ]
    if found:
        raise StepError("classify", "a human must decide: " + "; ".join(found))


def _pair(normalised: Normalised, rules: Rules) -> Iterator[str]:
    """Look for the two properties that the facade calls by its own names."""
    body = normalised.strict.requests.get(rules.facade.model, {})
    known = body.get("properties", {})
    for ours in ("prompt", "video"):
        wire = getattr(rules.facade, ours)
        if wire not in known:
            listed = ", ".join(sorted(known)) or "nothing"
            yield (
                f"{rules.facade.operation} no longer takes {wire}, only {listed}: name what it is"
                f" called now as {ours} under [facade] in rules.toml"
            )


def _demanded(normalised: Normalised, rules: Rules) -> Iterator[str]:
    accepted = {*rules.facade.accepted, *_given(rules)}
    for name, operation in normalised.operations.items():
        for place in _required(name, operation):
            if place not in accepted:
                yield (
                    f"{place} must be given now, which installed versions do not do: if the next"
                    " one is to, add it to accepted under [facade] in rules.toml"
                )


def _unreadable(normalised: Normalised, rules: Rules, needs: Iterable[str]) -> Iterator[str]:
    """Look, wherever a model is answered, for what tells one answer from another."""
    for need in needs:
        model, _, name = need.partition(".")
        wanted = "array" if name == "items" else "string"
        for site in rules.models[model].sites:
            found = find(normalised.operations, f"{site}.{name}")
            if found is None or not _may_be(found[0][found[1]], wanted):
                what = "is gone" if found is None else f"is no {wanted} any more"
                yield f"{site}.{name} {what}: without it no answer can be read; teach the facade"


def _may_be(schema: Mapping[str, Any], wanted: str) -> bool:
    """Whether a schema lets a value of a type through, as far as it says so openly."""
    declared = schema.get("type", wanted)
    return wanted in ([declared] if isinstance(declared, str) else declared)


def _given(rules: Rules) -> Iterator[str]:
    """List what the facade gives in every call."""
    main = rules.facade
    yield from (f"{main.operation}.body.{wire}" for wire in (main.prompt, main.video))
    yield "upload_asset.body.file"


def _required(name: str, operation: Mapping[str, Any]) -> Iterator[str]:
    for key, parameter in operation["parameters"].items():
        if parameter["required"] and not key.startswith("path."):
            yield f"{name}.{key}"
    if operation["body"] is not None:
        for key in operation["body"]["schema"].get("required", []):
            yield f"{name}.body.{key}"
