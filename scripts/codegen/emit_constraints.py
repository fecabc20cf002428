"""`constraints.py`: what the contract demands of a request, as plain data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from codegen.emit_options import body_schema, option_names
from codegen.media import is_media
from krea_aleph.specdiff.pattern_tree import Unchecked
from krea_aleph.specdiff.patterns import python_pattern

if TYPE_CHECKING:
    from codegen.hoist import Hoisted
    from krea_aleph.specdiff.rules import Media, Rules

Schema = dict[str, Any]

_KEYWORDS: Final = frozenset(
    "type const enum format minLength maxLength minimum maximum exclusiveMinimum"
    " exclusiveMaximum multipleOf minItems maxItems uniqueItems minProperties maxProperties"
    " required deprecated".split()
)
_HEAD: Final = '''"""What the contract demands of a request, to be checked before it is sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple


class FieldAlias(NamedTuple):
    """What became of the old name of a field."""

    name: str
    """The name that the field has now."""
    sunset: str | None = None
    """The date, YYYY-MM-DD, until which Krea takes the old name."""
    reason: str | None = None
    """Why it was renamed."""
    url: str | None = None
    """Where to read about it."""


'''


def emit_constraints(operations: dict[str, Any], strict: Hoisted, rules: Rules) -> str:
    """Write `constraints.py`.

    Args:
        operations: The corrected operations with inline schemas.
        strict: The same with named models, for the option names.
        rules: What the facade names itself, and what media is.
    """
    facade = rules.facade
    properties = body_schema(strict, rules)["properties"]
    names = option_names(properties.keys() - {facade.prompt, facade.video}, facade.reserved)
    wire = {option: name for option, name in names.items() if option != name}
    operation = operations[facade.operation]
    schema = constraints(operation["body"]["schema"], rules.media)
    aliases = ", ".join(_alias(alias) for alias in operation["aliases"])
    return (
        f'{_HEAD}PROMPT: Final = "{facade.prompt}"\n"""The wire name of the prompt."""\n\n'
        f'VIDEO: Final = "{facade.video}"\n"""The wire name of the video."""\n\n'
        f"WIRE_NAMES: Final[Mapping[str, str]] = {wire!r}\n"
        '"""The wire name of each option that is called otherwise."""\n\n'
        f"FIELD_ALIASES: Final[Mapping[str, FieldAlias]] = {{{aliases}}}\n"
        '"""The fields of the body that had another name, by that."""\n\n'
        f"{facade.constant}: Final[Mapping[str, Any]] = {schema!r}\n"
        '"""The JSON schema of the body; `media` marks the strings that are media addresses."""\n'
    )


def _alias(alias: Schema) -> str:
    facts = {name: alias[name] for name in ("sunset", "reason", "url")}
    known = "".join(f", {name}={fact!r}" for name, fact in facts.items() if fact is not None)
    return f"{alias['from']!r}: FieldAlias({alias['to']!r}{known})"


def _pattern(schema: Schema) -> Schema:
    """Give a pattern to show and one to run, which means the same; none that could take long."""
    try:
        regex = python_pattern(schema["pattern"]) if "pattern" in schema else ""
    except Unchecked:
        return {}
    return {"pattern": schema["pattern"], "regex": regex} if regex else {}


def constraints(schema: Schema, media: Media, name: str = "") -> Schema:
    """Keep the keywords that an instance can be checked against, and mark media.

    Args:
        schema: A schema without references, in canonical spelling.
        media: What media is.
        name: The property that the schema is of.
    """
    result = {key: value for key, value in schema.items() if key in _KEYWORDS}
    result |= _pattern(schema)
    if is_media(schema, name, media):
        result["media"] = True
    if "properties" in schema:
        properties = schema["properties"].items()
        result["properties"] = {key: constraints(child, media, key) for key, child in properties}
    for keyword in ("items", "not", "additionalProperties"):
        if isinstance(schema.get(keyword), dict):
            result[keyword] = constraints(schema[keyword], media, name)
        elif keyword in schema:
            result[keyword] = schema[keyword]
    if "anyOf" in schema:
        result["anyOf"] = [constraints(part, media, name) for part in schema["anyOf"]]
    return result
