"""Changes that no program may follow by itself: they stop the run until `rules.toml` decides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from krea_aleph.specdiff.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from codegen.normalise import Normalised
    from krea_aleph.specdiff.rules import Rules


def stop_for_human(normalised: Normalised, rules: Rules) -> None:
    """Stop where our calls could not be what the server asks for.

    Raises:
        StepError: The prompt or the video goes by another name, something must be given that the
            facade does not give by itself, or a body is of another kind; all of it is listed.
    """
    found = [*_pair(normalised, rules), *_demanded(normalised, rules)]
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
