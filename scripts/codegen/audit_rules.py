"""What each kind of generated module needs, and nothing more: the allowlists of the audit.

Everything here is closed: a module can reach only the names listed for its kind, only through the
attributes listed for it, and on import it can call only what is listed for that.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from types import (
    AsyncGeneratorType,
    CodeType,
    CoroutineType,
    FrameType,
    FunctionType,
    GeneratorType,
    MethodType,
    TracebackType,
)
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

Names: TypeAlias = frozenset[str]


@dataclass(frozen=True, slots=True)
class Allowed:
    """What one kind of module may do.

    Attributes:
        imports: Names by module; none is the module itself.
        functions: What may be called by its name.
        on_import: What of that may be called while the module is imported.
        attributes: What may be read from, or called on, any value.
        sets: Attributes that may be set beside those that the module declares.
        of_modules: What may be read from an imported module.
        dunders: Special names that may be defined or used.
        functions_do_nothing: Whether functions hold no more than their docstring.
    """

    imports: Mapping[str, Names]
    functions: Names = frozenset()
    on_import: Names = frozenset()
    attributes: Names = frozenset()
    sets: Names = frozenset()
    of_modules: Mapping[str, Names] = field(default_factory=dict)
    dunders: Names = frozenset()
    functions_do_nothing: bool = False


def _words(text: str) -> Names:
    return frozenset(text.split())


BUILTINS: Final = _words(
    "None True False bool bytes dict float int list object property classmethod set str super tuple"
    " type isinstance Exception AttributeError KeyError TypeError ValueError"
)
"""Builtins that may be named; of these, a module calls what is among its functions."""

_FUTURE: Final = {"__future__": _words("annotations")}
_TYPING: Final = _words(
    "Any BinaryIO Final Generator Generic IO Literal NamedTuple Protocol Required Self"
    " TYPE_CHECKING TextIO TypeAlias TypeVar TypedDict cast"
)
_ABC: Final = _words("Generator Mapping MutableMapping Sequence")
_FROM_TYPES: Final = _words("UNSET File FileTypes RequestFiles Response Unset path_segment")
_CLIENTS: Final = _words("AuthenticatedClient Client")

_MODEL: Final = Allowed(
    imports={
        **_FUTURE,
        "attrs": _words("define field"),
        "collections.abc": _ABC,
        "datetime": frozenset(),
        "io": _words("BytesIO"),
        "json": frozenset(),
        "typing": _TYPING,
        "uuid": _words("UUID"),
        ".": _words("types"),
        ".types": _FROM_TYPES,
    },
    functions=_words(
        "BytesIO File TypeError TypeVar UUID ValueError _attrs_define _attrs_field cast dict"
        " isinstance list set str"
    ),
    on_import=_words("TypeVar _attrs_define _attrs_field"),
    attributes=_words(
        "additional_properties append encode from_dict fromisoformat isoformat items keys pop"
        " to_dict to_multipart to_tuple update"
    ),
    of_modules={
        "datetime": _words("date datetime"),
        "json": _words("dumps"),
        "types": _words("RequestFiles"),
    },
    dunders=_words("__getitem__ __setitem__ __delitem__ __contains__ __str__"),
)
_OPERATION: Final = Allowed(
    imports={
        "datetime": frozenset(),
        "httpx": frozenset(),
        "io": _words("BytesIO"),
        "typing": _TYPING,
        "uuid": _words("UUID"),
        ".": _words("errors"),
        ".client": _CLIENTS,
        ".types": _FROM_TYPES,
    },
    functions=_words(
        "BytesIO File Response TypeError UUID ValueError _build_response _parse_response"
        " asyncio_detailed cast isinstance path_segment request_kwargs str sync_detailed"
    ),
    attributes=_words(
        "append content format from_dict fromisoformat get_async_httpx_client get_httpx_client"
        " headers isoformat items json parsed payload raise_on_unexpected_status request"
        " status_code text to_dict to_multipart to_tuple update"
    ),
    of_modules={
        "datetime": _words("date datetime"),
        "errors": _words("UnexpectedStatus"),
        "httpx": _words("Response"),
    },
)
_DATA: Final = Allowed(
    imports={
        **_FUTURE,
        "collections.abc": _ABC,
        "os": _words("PathLike"),
        "typing": _TYPING,
    },
    functions=_words("TypedDict"),
    on_import=_words("TypedDict"),
    functions_do_nothing=True,
)
_ONLY_IMPORTS: Final = Allowed(
    imports={".client": _CLIENTS}, dunders=_words("__all__"), functions_do_nothing=True
)
_CLIENT: Final = Allowed(
    imports={
        "attrs": _words("define evolve field"),
        "httpx": frozenset(),
        "ssl": frozenset(),
        "threading": _words("Lock"),
        "typing": _TYPING,
    },
    functions=_words("Lock define evolve field"),
    on_import=_words("Lock define field Timeout"),
    of_modules={
        "httpx": _words("AsyncClient Client Timeout"),
        "ssl": _words("SSLContext"),
    },
    dunders=_words("__enter__ __exit__ __aenter__ __aexit__"),
)
_ERRORS: Final = Allowed(
    imports={},
    functions=_words("super"),
    attributes=_words("decode status_code content"),
    sets=_words("status_code content"),
    dunders=_words("__all__ __init__"),
)
_TYPES: Final = Allowed(
    imports={
        "attrs": _words("define"),
        "collections.abc": _ABC,
        "typing": _TYPING,
        "urllib.parse": _words("quote"),
    },
    functions=_words("TypeVar Unset ValueError quote str"),
    on_import=_words("TypeVar Unset"),
    dunders=_words("__all__ __bool__ __copy__ __deepcopy__ __reduce__ __repr__"),
)

_KINDS: Final = {
    r"client\.py": _CLIENT,
    r"errors\.py": _ERRORS,
    r"types\.py": _TYPES,
    r"(answers|constraints|operations|options)\.py": _DATA,
    r"((models|api|api/[a-z][a-z0-9_]*)/)?__init__\.py": _ONLY_IMPORTS,
    r"models/[a-z][a-z0-9_]*\.py": _MODEL,
    r"api/[a-z][a-z0-9_]*/[a-z][a-z0-9_]*\.py": _OPERATION,
}
_RUN_BY_OTHERS: Final = re.compile(r"(conftest|sitecustomize|usercustomize|setup|test_\w*)\.py")


def allowed_in(name: str) -> Allowed | None:
    """Return what a file of the package may do, or None where no module belongs.

    Args:
        name: Its path below the package, with forward slashes.
    """
    if _RUN_BY_OTHERS.fullmatch(name.rpartition("/")[2]):
        return None
    return next((rule for place, rule in _KINDS.items() if re.fullmatch(place, name)), None)


def is_operation(allowed: Allowed) -> bool:
    """Tell whether a module sends requests."""
    return allowed is _OPERATION


INSIDES: Final = frozenset(
    name
    for kind in (
        AsyncGeneratorType, CodeType, CoroutineType, FrameType, FunctionType, GeneratorType,
        MethodType, TracebackType,
    )
    for name in dir(kind)
    if "_" in name.strip("_")
)  # fmt: skip
"""Attributes that lead from a value to the interpreter: frames, code, globals."""

COMMENTS: Final = frozenset(
    {
        "# Generated by scripts/regenerate from openapi.json. Do not edit.",
        "# noqa: PLC0415",
        "# The types that `httpx.Client(files=)` can accept, copied from that library.",
        "# (filename, file (or bytes), content_type)",
        "# (filename, file (or bytes), content_type, headers)",
    }
)
"""Comments can steer Python and its tools, so only those are let pass that are always there."""
