"""`options.py`: the request body as keyword arguments.

A `TypedDict` of every body property that the facade does not name itself, nested ones beside it, so
that a new optional field upstream is typed and completed by editors without a handwritten edit.
"""

from __future__ import annotations

import keyword
import re
import textwrap
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from codegen.describe import describe
from codegen.hoist import reference_name
from codegen.media import is_media
from krea_aleph.specdiff.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from codegen.hoist import Hoisted
    from krea_aleph.specdiff.rules import Rules

Schema = dict[str, Any]

_NOT_WORD: Final = re.compile(r"[^A-Za-z0-9_]")
_SCALARS: Final = {
    "string": "str",
    "integer": "int",
    "number": "float",
    "boolean": "bool",
    "null": "None",
}
_HEAD: Final = '''"""What a request may say beside its video and prompt, as keyword arguments."""

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import BinaryIO, Literal, Protocol, Required, TypeAlias, TypedDict


class MediaAsset(Protocol):
    """An uploaded file."""

    @property
    def id(self) -> str:
        """The id that the upload returned."""

    @property
    def url(self) -> str:
        """The address to name in requests."""


Media: TypeAlias = str | PathLike[str] | BinaryIO | MediaAsset
"""A video or an image: an address, a path, an open binary file, or an uploaded file."""
'''


_WHOLE: Final = """What a request may say beside its video and prompt. What is left out is not sent.

    Attributes:"""


def body_schema(strict: Hoisted, rules: Rules) -> Schema:
    """Return the facade's request model, checked to hold the pair that the facade names itself.

    Raises:
        StepError: The prompt or the video is gone, renamed, or no longer a text.
    """
    model = strict.requests.get(rules.facade.model)
    properties = {} if model is None else model.get("properties", {})
    for name in (rules.facade.prompt, rules.facade.video):
        if not _may_be_text(properties.get(name, {})):
            problem = (
                f"{rules.facade.operation} has no text property {name!r}, which the facade gives"
                " a parameter of its own; a human must say in rules.toml what it is called now"
            )
            raise StepError("emit", problem)
    return model or {}


def _may_be_text(schema: Schema) -> bool:
    """Tell whether a text fits, whatever else may."""
    types = schema.get("type")
    named = "string" in (types if isinstance(types, list) else [types])
    return named or any(_may_be_text(part) for part in schema.get("anyOf", []))


def option_names(wire_names: Iterable[str], reserved: Iterable[str]) -> dict[str, str]:
    """Give every body property a keyword that Python and the facade's own parameters allow.

    Returns:
        Wire name by option name, in the order of the wire names.
    """
    taken = set(reserved)
    result: dict[str, str] = {}
    names = sorted(wire_names)
    plain = [name for name in names if _fits(name) and name not in taken]
    taken |= set(plain)
    for name in names:
        option = name if name in plain else _free(name, taken)
        taken.add(option)
        result[option] = name
    return result


def emit_options(strict: Hoisted, rules: Rules) -> str:
    """Write `options.py`.

    Raises:
        StepError: The facade's pair is gone, or two nested shapes want one name.
    """
    body = body_schema(strict, rules)
    pair = {rules.facade.prompt, rules.facade.video}
    names = option_names(body["properties"].keys() - pair, rules.facade.reserved)
    writer = _Writer(strict.requests, rules)
    fields = [
        writer.declared(option, wire, body["properties"][wire], wire in body.get("required", []))
        for option, wire in names.items()
    ]
    listed = [_listed(option, body["properties"][wire]) for option, wire in names.items()]
    whole = _class(rules.facade.options, "\n".join([_WHOLE, *listed, "    "]), fields)
    return "\n\n".join([_HEAD, *writer.blocks, whole])


def _listed(option: str, schema: Schema) -> str:
    """Say an option again in the docstring of the whole: `help` shows no others."""
    words = f"{option}: {describe(schema)}".removesuffix(": ")
    return textwrap.fill(words, 96, initial_indent=" " * 8, subsequent_indent=" " * 12)


def _fits(name: str) -> bool:
    return name.isidentifier() and not keyword.iskeyword(name) and not name.startswith("__")


def _free(name: str, taken: set[str]) -> str:
    word = _NOT_WORD.sub("_", name).lstrip("_") or "field"
    word = f"field_{word}" if word[0].isdigit() else word
    while word in taken or not _fits(word):
        word += "_"
    return word


@dataclass(slots=True)
class _Writer:
    """Turns schemas into type expressions, and the named ones into blocks of their own."""

    models: Mapping[str, Schema]
    rules: Rules
    blocks: list[str] = field(default_factory=list)
    _known: dict[str, str] = field(default_factory=dict)
    _written: set[str] = field(default_factory=set)

    def declared(self, option: str, wire: str, schema: Schema, required: bool) -> str:  # noqa: FBT001
        kind = self.type_of(schema, wire)
        kind = f"Required[{kind}]" if required else kind
        words = describe(schema)
        return f"    {option}: {kind}\n" + (f"    {_docstring(words)}\n" if words else "")

    def type_of(self, schema: Schema, name: str) -> str:
        model = reference_name(schema)
        if model is not None:
            return self._named(model)
        if "anyOf" in schema:
            return _either(self.type_of(part, name) for part in schema["anyOf"])
        values = [schema["const"]] if "const" in schema else schema.get("enum", [])
        if values and not any(isinstance(value, float) for value in values):
            return f"Literal[{', '.join(map(repr, values))}]"
        types = schema.get("type", "any")
        listed = types if isinstance(types, list) else [types]
        return _either(self._plain(kind, schema, name) for kind in listed)

    def _plain(self, kind: str, schema: Schema, name: str) -> str:
        if kind == "string" and is_media(schema, name, self.rules.media):
            return "Media"
        if kind == "array":
            return f"Sequence[{self.type_of(schema.get('items', {}), name)}]"
        if kind == "object":
            extra = schema.get("additionalProperties")
            value = self.type_of(extra, name) if isinstance(extra, dict) else "object"
            return f"Mapping[str, {value}]"
        return _SCALARS.get(kind, "object")

    def _named(self, name: str) -> str:
        model = self.models[name]
        if "enum" in model:
            return self._block(name, name, lambda: _alias(name, model["enum"]))
        options = f"{name}Options"
        return self._block(options, name, lambda: self._nested(options, name, model))

    def _block(self, name: str, model: str, write: Callable[[], str]) -> str:
        if name == self.rules.facade.options or self._known.setdefault(name, model) != model:
            problem = f"{model} would be called {name}, as another is: name it in rules.toml"
            raise StepError("emit", problem)
        if name not in self._written:
            self._written.add(name)
            self.blocks.append(write())
        return name

    def _nested(self, name: str, model_name: str, model: Schema) -> str:
        required = model.get("required", [])
        rule = self.rules.models.get(model_name)
        words = describe(model) or (rule.about if rule else "") or f"Part of {model_name}."
        properties = model["properties"]
        if all(_fits(key) for key in properties):
            fields = [
                self.declared(key, key, child, key in required) for key, child in properties.items()
            ]
            return _class(name, words, fields)
        return self._by_call(name, words, properties, required)

    def _by_call(
        self, name: str, words: str, properties: Mapping[str, Schema], required: list[str]
    ) -> str:
        """Write the form of a TypedDict whose keys need not be identifiers."""
        fields = []
        for key, child in properties.items():
            kind = self.type_of(child, key)
            fields.append(f"{key!r}: {f'Required[{kind}]' if key in required else kind}")
        call = f'{name} = TypedDict("{name}", {{{", ".join(fields)}}}, total=False)'
        return f"{call}\n{_docstring(words)}\n"


def _class(name: str, words: str, fields: list[str]) -> str:
    body = "\n".join(fields)
    return f"class {name}(TypedDict, total=False):\n    {_docstring(words)}\n\n{body}"


def _docstring(words: str) -> str:
    """Quote words so that nothing in them can end the quotes, wherever they came from."""
    plain = words.replace("\\", "/").replace('"', "'")
    return f'"""{plain}"""'


def _alias(name: str, words: list[str]) -> str:
    return f"{name}: TypeAlias = Literal[{', '.join(repr(word) for word in words)}]\n"


def _either(kinds: Iterable[str]) -> str:
    return " | ".join(dict.fromkeys(kinds))
