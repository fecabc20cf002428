"""`rules.toml` as frozen values."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from krea_aleph.specdiff.errors import StepError, step

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Upstream:
    """Where the contract is published: the document, and a page that quotes it.

    Attributes:
        document: The address of the whole description.
        page: The address of a page that quotes the description of our main operation.
        ca: A file of certificates to trust instead of the usual ones, if any.
    """

    document: str
    page: str
    ca: str | None = None


@dataclass(frozen=True, slots=True)
class Expected:
    """What the document must say about itself."""

    openapi: str
    servers: tuple[str, ...]
    security: tuple[Mapping[str, Any], ...]
    schemes: Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class OperationRule:
    """One operation we use: where it is and what we call it."""

    method: str
    path: str
    tag: str


@dataclass(frozen=True, slots=True)
class ModelRule:
    """A model by the sites where it occurs; see the comments in `rules.toml`."""

    sites: tuple[str, ...] = ()
    about: str = ""
    children: str | None = None
    identity: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Responses:
    """How answers are read."""

    errors: str
    as_sent: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Media:
    """Which strings of a request body are media."""

    formats: tuple[str, ...]
    never: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Facade:
    """What the facade calls by its own names, and what a human has decided about requests.

    Attributes:
        operation: The id of the operation that starts a job.
        model: The model of its body.
        options: The class of the options that `submit` takes.
        constant: The name of the emitted constraints of the body.
        prompt: What the contract calls the prompt.
        video: What the contract calls the input video.
        reserved: Names that no option may have.
        accepted: What a request must hold beyond what the facade gives in every call: users give
            it as an option, and are refused without it.
    """

    operation: str
    model: str
    options: str
    constant: str
    prompt: str
    video: str
    reserved: tuple[str, ...]
    accepted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Notices:
    """Where an operation says that it is going to end. Of several keys the first one counts.

    Attributes:
        extensions: The extensions of an operation that say it, each an object.
        sunset: Their keys for the day on which it is switched off.
        replacement: Their keys for what to use instead.
        migration_url: Their keys for the address of a page about it.
    """

    extensions: tuple[str, ...]
    sunset: tuple[str, ...]
    replacement: tuple[str, ...]
    migration_url: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Correction:
    """Put `set` where upstream is expected to say `expect`; without `set`, take it away."""

    at: str
    expect: object
    because: str
    set: object = None


@dataclass(frozen=True, slots=True)
class Rules:
    """The whole of `rules.toml`."""

    package: str
    upstream: Upstream
    expected: Expected
    operations: Mapping[str, OperationRule]
    models: Mapping[str, ModelRule]
    words: Mapping[str, str]
    responses: Responses
    media: Media
    facade: Facade
    notices: Notices
    corrections: tuple[Correction, ...]


def load_rules(path: Path) -> Rules:
    """Read the rules.

    Raises:
        StepError: The file is missing, not TOML, or has a key that does not exist.
    """
    with step("rules"):
        return parse_rules(tomllib.loads(path.read_text(encoding="utf-8")))


def parse_rules(data: Mapping[str, Any]) -> Rules:
    """Turn parsed TOML into rules.

    Raises:
        StepError: A key is missing or unknown.
    """
    try:
        return Rules(
            package=data["package"],
            upstream=Upstream(**data["upstream"]),
            expected=Expected(**_tuples(data["expected"])),
            operations={k: OperationRule(**v) for k, v in data["operations"].items()},
            models={k: ModelRule(**_tuples(v)) for k, v in data["models"].items()},
            words=data["words"],
            responses=Responses(**_tuples(data["responses"])),
            media=Media(**_tuples(data["media"])),
            facade=Facade(**_tuples(data["facade"])),
            notices=Notices(**_tuples(data["notices"])),
            corrections=tuple(Correction(**c) for c in data["corrections"]),
        )
    except (KeyError, TypeError) as error:
        raise StepError("rules", f"rules.toml does not fit: {error}") from error


def _tuples(table: Mapping[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in table.items()}
