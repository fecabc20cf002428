"""The data modules that the facade follows the contract by."""

from __future__ import annotations

import typing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

import krea_aleph_api.constraints as committed_constraints
import krea_aleph_api.operations as committed_operations
import krea_aleph_api.options as committed_options
from codegen.audit import audit_source
from codegen.describe import describe
from codegen.emit_constraints import emit_constraints
from codegen.emit_operations import emit_operations
from codegen.emit_options import emit_options, option_names
from codegen.normalise import normalise
from krea_aleph.specdiff.errors import StepError

from .conftest import ALEPH, body_of

if TYPE_CHECKING:
    from krea_aleph.specdiff.rules import Rules

URI = {"type": "string", "format": "uri"}


def emitted(contract: dict[str, Any], rules: Rules) -> dict[str, Any]:
    """Emit options and constraints for a contract, audit them, and return their names."""
    normalised = normalise(contract, rules)
    sources = [
        emit_options(normalised.strict, rules),
        emit_constraints(normalised.operations, normalised.strict, rules),
    ]
    names: dict[str, Any] = {"__name__": "emitted"}
    for source in sources:
        audit_source(source.encode(), "options.py")
        exec(compile(source, "emitted.py", "exec", dont_inherit=True), names)  # noqa: S102 - audited, and ours
    return names


def with_field(contract: dict[str, Any], name: str, schema: object) -> dict[str, Any]:
    """Add a property to the request body."""
    body_of(contract)["properties"][name] = schema
    return contract


KINDS: list[tuple[object, str]] = [
    ({"type": "string"}, "str"),
    ({"type": "integer", "minimum": 1}, "int"),
    ({"type": "number"}, "float"),
    ({"type": "boolean"}, "bool"),
    ({"type": ["string", "null"]}, "str | None"),
    ({"type": ["integer", "string"]}, "int | str"),
    (URI, "Media"),
    ({"anyOf": [URI, {"type": "null"}]}, "Media | None"),
    ({"type": "array", "items": URI}, "Sequence[Media]"),
    ({"type": "array"}, "Sequence[object]"),
    ({"type": "object"}, "Mapping[str, object]"),
    ({"type": "object", "additionalProperties": URI}, "Mapping[str, Media]"),
    ({"const": "on"}, "Literal['on']"),
    ({"enum": [24, 30]}, "Literal[24, 30]"),
    ({"enum": [0.5, 1.5]}, "float"),
    ({"enum": [24, "auto", None]}, "Literal['auto', 24, None]"),
    ({"enum": ["a", "b"]}, "AlephNew"),
    ({"enum": ["a", "b", None]}, "AlephNew | None"),
    ({"type": "array", "items": {"enum": ["a", "b"]}}, "Sequence[AlephNewItem]"),
    (True, "object"),
    ({}, "object"),
    ({"type": "object", "properties": {"a": {"type": "string"}}}, "AlephNewOptions"),
]


@pytest.mark.parametrize(("schema", "kind"), KINDS)
def test_a_new_optional_field_is_typed(
    schema: object, kind: str, contract: dict[str, Any], rules: Rules
) -> None:
    """Whatever its schema, a new field of the request becomes a typed, optional keyword."""
    names = emitted(with_field(contract, "new", schema), rules)
    assert names["AlephOptions"].__annotations__["new"] == eval(kind, names)  # noqa: S307 - ours
    assert "new" in names["AlephOptions"].__optional_keys__


NAMES = {
    "style": "style",
    "output": "output_",
    "webhook_url": "webhook_url_",
    "self": "self_",
    "video": "video_",
    "class": "class_",
    "None": "None_",
    "end-frame": "end_frame",
    "2d mode": "field_2d_mode",
    "$x.y": "x_y",
    "type": "type",
    "_x": "_x",
    "@": "field",
}


@pytest.mark.parametrize(("wire", "option"), NAMES.items())
def test_every_name_becomes_a_keyword(
    wire: str, option: str, contract: dict[str, Any], rules: Rules
) -> None:
    """Names that collide or are no identifiers are changed, and the wire name is kept as data."""
    names = emitted(with_field(contract, wire, {"type": "string"}), rules)
    assert option in names["AlephOptions"].__annotations__
    assert names["WIRE_NAMES"] == ({} if option == wire else {option: wire})
    assert wire in names["ALEPH_REQUEST"]["properties"]


def test_names_that_become_alike_stay_apart() -> None:
    """Two wire names never share an option name, and a plain name keeps its own."""
    wire = ["a-b", "a_b", "a.b", "output", "output_", "class", "class_"]
    names = option_names(wire, ["output"])
    assert sorted(names.values()) == sorted(wire)
    assert names["a_b"] == "a_b"
    assert names["output_"] == "output_"
    assert names["class_"] == "class_"


def test_a_new_required_field_is_demanded(contract: dict[str, Any], rules: Rules) -> None:
    """A checker refuses a call without a field that upstream has made required."""
    body_of(contract)["required"].append("style")
    names = emitted(with_field(contract, "style", {"type": "string"}), rules)
    assert names["AlephOptions"].__required_keys__ == {"style"}
    assert "style" in names["ALEPH_REQUEST"]["required"]


def test_nested_objects_are_typed_to_the_ground(contract: dict[str, Any], rules: Rules) -> None:
    """Nested objects become TypedDicts of their own, with media inside and any key upstream has."""
    frame = {
        "type": "object",
        "properties": {"uri": URI, "at-second": {"type": "number"}, "from": {"type": "string"}},
        "required": ["uri"],
    }
    camera = {
        "type": "object",
        "description": "How the camera moves.",
        "properties": {"frames": {"type": "array", "items": frame}, "speed": {"type": "number"}},
    }
    names = emitted(with_field(contract, "camera", camera), rules)
    assert names["AlephCameraOptions"].__doc__ == "How the camera moves."
    frames = names["AlephCameraFramesItemOptions"]
    assert frames.__annotations__.keys() == {"uri", "at-second", "from"}
    nested = names["ALEPH_REQUEST"]["properties"]["camera"]["properties"]["frames"]["items"]
    assert nested["properties"]["uri"]["media"] is True
    assert nested["required"] == ["uri"]


PAIR: list[tuple[str, object]] = [
    ("prompt", None),
    ("init_video", None),
    ("prompt", {"type": "array", "items": {"type": "string"}}),
    ("init_video", {"type": "object", "properties": {"uri": URI}}),
]


@pytest.mark.parametrize(("name", "schema"), PAIR)
def test_the_facades_pair_stops_for_a_human(
    name: str, schema: object, contract: dict[str, Any], rules: Rules
) -> None:
    """A prompt or video that is gone or no longer a text cannot be absorbed by a program."""
    properties = body_of(contract)["properties"]
    properties.pop(name)
    if schema:
        properties[name] = schema
    normalised = normalise(contract, rules)
    with pytest.raises(StepError, match=f"'{name}'") as caught:
        emit_options(normalised.strict, rules)
    assert caught.value.step == "emit"


STILL_TEXT: list[object] = [
    {"type": ["string", "null"]},
    {"anyOf": [URI, {"type": "string", "pattern": "^data:"}]},
    {"oneOf": [{"type": "object", "properties": {"id": {"type": "string"}}}, URI]},
]


@pytest.mark.parametrize("schema", STILL_TEXT)
def test_a_video_that_may_be_more_than_a_text_goes_on(
    schema: object, contract: dict[str, Any], rules: Rules
) -> None:
    """As long as a text is among what upstream takes, the facade has what it needs."""
    body_of(contract)["properties"]["init_video"] = schema
    assert emitted(contract, rules)["VIDEO"] == "init_video"


def test_a_renamed_pair_is_one_line_in_the_rules(contract: dict[str, Any], rules: Rules) -> None:
    """When upstream renames the video, the rules say so and nothing else changes."""
    body = body_of(contract)
    body["properties"]["video_url"] = body["properties"].pop("init_video")
    body["required"] = ["prompt", "video_url"]
    changed = replace(rules, facade=replace(rules.facade, video="video_url"))
    names = emitted(contract, changed)
    assert names["VIDEO"] == "video_url"
    assert "video_url" not in names["AlephOptions"].__annotations__


def test_media_is_marked_but_callbacks_are_not(contract: dict[str, Any], rules: Rules) -> None:
    """A string in the format of an address is media unless the rules say it is something else."""
    with_field(contract, "callback_url", URI)
    properties = emitted(contract, rules)["ALEPH_REQUEST"]["properties"]
    marked = {name for name, schema in properties.items() if schema.get("media")}
    assert marked == {"init_video", "init_image_url"}
    assert properties["references"]["items"]["properties"]["uri"]["media"] is True


def test_constraints_hold_keywords_and_no_prose(contract: dict[str, Any], rules: Rules) -> None:
    """The constraint data is for checking: no defaults, no words, no references."""
    schema = {"type": "string", "description": "x", "default": "y", "pattern": "^a", "x-z": 1}
    found = emitted(with_field(contract, "new", schema), rules)["ALEPH_REQUEST"]["properties"]
    assert found["new"] == {"type": "string", "pattern": "^a", "regex": r"\Aa"}


def test_the_committed_modules_say_what_the_contract_says(contract: dict[str, Any]) -> None:
    """The emitted modules of this checkout hold the pair, the options and the limits."""
    published = body_of(contract)["properties"]
    assert committed_constraints.PROMPT == "prompt"
    assert committed_constraints.VIDEO == "init_video"
    assert committed_constraints.WIRE_NAMES == {}
    body = committed_constraints.ALEPH_REQUEST
    assert body["properties"]["prompt"] == {"type": "string", "maxLength": 1000}
    assert body["properties"]["seed"] == {"type": "number", "minimum": 0, "maximum": 4294967295}
    assert body["additionalProperties"] is False
    options = typing.get_type_hints(committed_options.AlephOptions)
    assert {"init_image_url", "references", "ratio", "seed"} <= options.keys()
    assert options.keys() == published.keys() - {"prompt", "init_video"}
    assert set(typing.get_args(committed_options.AlephRatio)) == set(published["ratio"]["enum"])


def test_operations_are_data(contract: dict[str, Any], rules: Rules) -> None:
    """Each operation says method, path, statuses, and all that is known of its end."""
    aleph = "create_aleph_job"
    contract["paths"][ALEPH]["post"]["x-krea-deprecation"] = {"sunset_date": "2027-01-31"}
    operations = normalise(contract, rules).operations
    source = emit_operations(
        operations, retired={aleph: "2027-02-01"}, deprecated={aleph: "2026-12-01"}
    )
    audit_source(source.encode(), "options.py")
    names: dict[str, Any] = {"__name__": "emitted"}
    exec(compile(source, "emitted.py", "exec", dont_inherit=True), names)  # noqa: S102 - audited, and ours
    assert names["OPERATIONS"][aleph] == (
        aleph, "POST", ALEPH, (200,), (400, 401, 402, 429),
        "2026-12-01", "2027-02-01", "2027-01-31", None, None,
    )  # fmt: skip
    committed = committed_operations.OPERATIONS
    assert committed.keys() == rules.operations.keys()
    assert committed["delete_job"].path == "/jobs/{id}"


WORDS = [
    ({"description": "A look"}, "A look."),
    ({"maxLength": 5}, "At most 5 characters."),
    ({"minItems": 1, "maxItems": 1}, "Exactly 1 item."),
    ({"minimum": 0, "maximum": 9}, "0 to 9."),
    ({"exclusiveMinimum": 0, "maximum": 9}, "At most 9. Above 0."),
    ({"default": "a"}, "When it is left out, the server takes a."),
    ({"deprecated": True}, "Deprecated by Krea."),
    ({}, ""),
]


@pytest.mark.parametrize(("schema", "words"), WORDS)
def test_limits_and_defaults_in_words(schema: dict[str, Any], words: str) -> None:
    """A docstring says what an editor should show: meaning, limits, default."""
    assert describe(schema) == words


CLASHES: dict[str, tuple[str, dict[str, object]]] = {
    "a part and a list of words": (
        "emit",
        {
            "camera": {"type": "object", "properties": {"zoom": {"type": "number"}}},
            "camera_options": {"enum": ["a", "b"]},
        },
    ),
    "a list of words and the whole": ("emit", {"options": {"enum": ["a", "b"]}}),
    "names that differ in capitals": (
        "normalise",
        {
            "endUrl": {"type": "object", "properties": {"a": {"type": "string"}}},
            "endURL": {"type": "object", "properties": {"b": {"type": "string"}}},
        },
    ),
}


@pytest.mark.parametrize(("step", "properties"), CLASHES.values(), ids=CLASHES.keys())
def test_two_shapes_never_share_a_name(
    step: str, properties: dict[str, object], contract: dict[str, Any], rules: Rules
) -> None:
    """Where two things would be called alike, or share a file, a human names one of them."""
    body_of(contract)["properties"].update(properties)
    with pytest.raises(StepError, match=r"name it in rules\.toml|Name or unify") as caught:
        emitted(contract, rules)
    assert caught.value.step == step
