"""The OpenAPI document as the emulator reads it: the operations and what they declare."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from attrs import Factory, field, frozen

from krea_aleph.contract import document as packaged
from krea_aleph.emulator import moments
from krea_aleph.errors import ConfigError
from krea_aleph.specdiff.errors import StepError
from krea_aleph.specdiff.read_any import read_file
from krea_aleph.specdiff.shape import check_shape

if TYPE_CHECKING:
    from os import PathLike

METHODS: Final = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
SUBMIT_PREFIX: Final = "/generate/"
JSON: Final = "application/json"
MULTIPART: Final = "multipart/form-data"
ALIASES: Final = "x-krea-deprecated-field-aliases"

_NAMES: Final = {
    ("get", "/jobs"): "list_jobs",
    ("get", "/jobs/{id}"): "get_job",
    ("delete", "/jobs/{id}"): "delete_job",
    ("post", "/assets"): "upload_asset",
    ("get", "/assets"): "list_assets",
    ("get", "/assets/{id}"): "get_asset",
    ("delete", "/assets/{id}"): "delete_asset",
}


@frozen
class Operation:
    """One operation of the contract, references inlined.

    Attributes:
        id: The name by which faults and records know it, such as ``get_job``.
        method: In lower case.
        path: The template, such as ``/jobs/{id}``.
        parameters: Those of the path item and of the operation.
        bodies: The schema of the request body by media type.
        body_required: Whether a request must have a body.
        responses: The schema by declared status, None where no body is declared.
        secured: Whether a key is needed.
        deprecated: Whether the contract says so.
        aliases: Old names of the body's fields: the new name, and until when, in Unix seconds.
    """

    id: str
    method: str
    path: str
    parameters: tuple[Mapping[str, Any], ...]
    bodies: Mapping[str, Mapping[str, Any]]
    body_required: bool
    responses: Mapping[str, Mapping[str, Any] | None]
    secured: bool
    deprecated: bool
    aliases: Mapping[str, tuple[str, float]]
    pattern: re.Pattern[str] = field(
        init=False, default=Factory(lambda self: self.compiled(), takes_self=True)
    )

    def compiled(self) -> re.Pattern[str]:
        """Return the expression that matches its paths."""
        pieces = re.split(r"\{([^}]+)\}", self.path)
        text = "".join(
            f"(?P<p{index // 2}>[^/]+)" if index % 2 else re.escape(piece)
            for index, piece in enumerate(pieces)
        )
        return re.compile(text)

    @property
    def submits(self) -> bool:
        """Whether it starts a paid job."""
        return self.method == "post" and self.path.startswith(SUBMIT_PREFIX)

    @property
    def ours(self) -> bool:
        """Whether it is more to the emulator than a schema of answers to make up."""
        return self.submits or _key(self.method, self.path) in _NAMES

    @property
    def success(self) -> int:
        """The first declared status that means success."""
        declared = sorted(
            int(status) for status in self.responses if re.fullmatch(r"2\d\d", status)
        )
        return declared[0] if declared else 200

    def declares(self, status: int) -> bool:
        """Say whether the contract allows this status, ranges such as ``4XX`` included."""
        return bool({str(status), f"{status // 100}XX", "default"} & self.responses.keys())

    def schema(self, status: int) -> Mapping[str, Any] | None:
        """Return the schema of the answer with this status, None if no body is declared."""
        for key in (str(status), f"{status // 100}XX", "default"):
            if key in self.responses:
                return self.responses[key]
        return None

    def path_values(self, path: str) -> dict[str, str]:
        """Return the path's parameters by name."""
        names = re.findall(r"\{([^}]+)\}", self.path)
        match = self.pattern.fullmatch(path)
        return dict(zip(names, match.groups(), strict=True)) if match else {}


class Contract:
    """All operations of a document."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        try:
            check_shape(document)
            self.operations = tuple(_operations(document))
        except StepError as error:
            raise _unusable(error.problem) from error
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise _unusable(f"{type(error).__name__}: {error}") from error
        if not any(operation.ours for operation in self.operations):
            raise _unusable("it has no operation of Krea's that this emulator knows")

    @classmethod
    def load(cls, source: str | PathLike[str] | Mapping[str, Any] | None) -> Contract:
        """Read a contract from a file, or take a document; None is the packaged one.

        Raises:
            ConfigError: If there is no such file, or it is no OpenAPI document of Krea's.
        """
        if isinstance(source, Mapping):
            return cls(source)
        try:
            return cls(read_file(packaged() if source is None else Path(source)))
        except StepError as error:
            raise _unusable(error.problem) from error

    def find(self, method: str, path: str) -> Operation | None:
        """Return the operation that answers this request; a literal path wins over a template."""
        found = [op for op in self.at(path) if op.method == method.lower()]
        return min(found, key=lambda op: op.path.count("{"), default=None)

    def at(self, path: str) -> list[Operation]:
        """Return every operation on this path, whatever its method."""
        return [op for op in self.operations if op.pattern.fullmatch(path)]


def _unusable(problem: str) -> ConfigError:
    return ConfigError(
        f"the contract cannot be used: {problem}.",
        hint="Give an OpenAPI 3 description of Krea's API, JSON or YAML (or the path of one).",
    )


def _operations(document: Mapping[str, Any]) -> list[Operation]:
    items = {path: _inlined(item, document, ()) for path, item in document["paths"].items()}
    return [
        _operation(document, path, item, method)
        for path, item in items.items()
        for method in METHODS
        if method in item
    ]


def _operation(
    document: Mapping[str, Any], path: str, item: Mapping[str, Any], method: str
) -> Operation:
    raw = item[method]
    body = raw.get("requestBody", {})
    security = raw.get("security", document.get("security", []))
    return Operation(
        id=_name(method, path),
        method=method,
        path=path,
        parameters=(*item.get("parameters", ()), *raw.get("parameters", ())),
        bodies={kind: media.get("schema", {}) for kind, media in body.get("content", {}).items()},
        body_required=body.get("required", False),
        responses={str(code): _schema(answer) for code, answer in raw["responses"].items()},
        secured=bool(security) and {} not in security,
        deprecated=raw.get("deprecated", False),
        aliases={alias["from"]: (alias["to"], _end(alias)) for alias in raw.get(ALIASES, ())},
    )


def _end(alias: Mapping[str, str]) -> float:
    """Return until when an old name is taken, in Unix seconds."""
    day = alias.get("sunset_date")
    return math.inf if day is None else moments.parse(day) / 1_000_000


def _key(method: str, path: str) -> tuple[str, str]:
    """Name an operation by what is sent: what a placeholder is called is not."""
    return method, re.sub(r"\{[^}]+\}", "{id}", path)


def _name(method: str, path: str) -> str:
    if _key(method, path) in _NAMES:
        return _NAMES[_key(method, path)]
    last = re.sub(r"\W+", "_", path.rstrip("/").rpartition("/")[2]).strip("_").lower()
    if method == "post" and path.startswith(SUBMIT_PREFIX):
        return f"create_{last}_job"
    return f"{method}_{last}"


def _schema(answer: Mapping[str, Any]) -> Mapping[str, Any] | None:
    media = answer.get("content", {})
    chosen = media.get(JSON) or next(iter(media.values()), None)
    return None if chosen is None else chosen.get("schema", {})


def _inlined(node: Any, document: Mapping[str, Any], trail: tuple[str, ...]) -> Any:
    """Replace references by what they refer to; one that contains itself accepts anything."""
    if isinstance(node, list):
        return [_inlined(item, document, trail) for item in node]
    if not isinstance(node, dict):
        return node
    target = node.get("$ref")
    if not isinstance(target, str):
        return {key: _inlined(value, document, trail) for key, value in node.items()}
    if target in trail:
        return {}
    return _inlined(_resolve(document, target), document, (*trail, target))


def _resolve(document: Mapping[str, Any], target: str) -> Any:
    if not target.startswith("#/"):
        raise ValueError(f"{target} is not within the document")
    node: Any = document
    for step in target[2:].split("/"):
        node = node[step.replace("~1", "/").replace("~0", "~")]
    return node
