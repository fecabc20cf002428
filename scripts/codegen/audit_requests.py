"""Where the requests of a generated operation go: to a plain path below the client's own server.

An operation module builds the arguments of its request in one dictionary and hands it on untouched.
A path, a host or a header that came in by another way could take the user's key elsewhere.
"""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING, Final

from codegen.audit_code import refused
from codegen.guard import OUR_HEADERS

if TYPE_CHECKING:
    from collections.abc import Iterator

_PATH: Final = re.compile(r"(/([A-Za-z0-9_~-][A-Za-z0-9._~-]*|\{[A-Za-z_][A-Za-z0-9_]*\}))+")
_HEADER: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]*")
_WATCHED: Final = frozenset({"_kwargs", "headers", "kwargs"})
_METHODS: Final = frozenset("delete get head options patch post put trace".split())
_GIVEN: Final = frozenset({"method", "url", "params", "cookies"})
_ADDED: Final = frozenset({"json", "data", "files", "content", "headers"})
_CLIENTS: Final = frozenset({"get_httpx_client", "get_async_httpx_client"})


def audit_request(tree: ast.Module, name: str) -> None:
    """Check how an operation module builds and sends its requests.

    Raises:
        StepError: A request could go elsewhere, or with something else.
    """
    fine = {id(node) for statement in ast.walk(tree) for node in _fine(statement)}
    for node in ast.walk(tree):
        if _is_about_requests(node) and id(node) not in fine:
            raise refused(
                name, getattr(node, "lineno", 0), f"{ast.unparse(node)[:80]} in such a place"
            )


def _is_about_requests(node: ast.AST) -> bool:
    if isinstance(node, ast.Attribute):
        return node.attr in {"request", "format"}
    return isinstance(node, ast.Name) and node.id in _WATCHED


def _fine(node: ast.AST) -> Iterator[ast.AST]:
    """List what is in its place in a statement or a call."""
    if isinstance(node, ast.AnnAssign):
        yield from _first_values(node)
    elif isinstance(node, ast.Assign):
        yield from _later_values(node)
    elif isinstance(node, ast.Return) and node.value is not None:
        yield from (part for part in [node.value] if _is_name(part, "_kwargs"))
    elif isinstance(node, ast.Call) and _is_sending(node):
        yield node.func
        yield node.keywords[0].value


def _first_values(node: ast.AnnAssign) -> Iterator[ast.AST]:
    """`_kwargs: ... = {"method": ..., "url": ...}` and `headers: ... = {}`."""
    if not isinstance(node.value, ast.Dict):
        return
    if _is_name(node.target, "headers") and not node.value.keys:
        yield node.target
    given = {_text(key): value for key, value in zip(node.value.keys, node.value.values)}  # noqa: B905 - a dict has as many
    plain = given.keys() <= _GIVEN and _text(given.get("method")) in _METHODS
    formats = _address(given.get("url"))
    if _is_name(node.target, "_kwargs") and plain and formats is not None:
        yield node.target
        yield from formats


def _address(value: ast.expr | None) -> list[ast.AST] | None:
    """Return the calls in a plain address, or None: `"/jobs/{id}".format(id=path_segment(id))`."""
    calls: list[ast.AST] = []
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute):
        if value.args or not all(_is_call(word.value, "path_segment") for word in value.keywords):
            return None
        calls, value = [value.func], value.func.value
    return calls if _PATH.fullmatch(_text(value)) else None


def _later_values(node: ast.Assign) -> Iterator[ast.AST]:
    """`_kwargs["json"] = ...`, `headers["X"] = ...` and `kwargs = request_kwargs(...)`."""
    target = node.targets[0]
    if _is_call(node.value, "request_kwargs") and _is_name(target, "kwargs"):
        yield target
    if not isinstance(target, ast.Subscript):
        return
    key = _text(target.slice)
    if _is_name(target.value, "_kwargs") and key in _ADDED:
        yield target.value
        if key == "headers" and _is_name(node.value, "headers"):
            yield node.value
    ours = key.lower() in OUR_HEADERS - {"content-type"}
    if _is_name(target.value, "headers") and _HEADER.fullmatch(key) and not ours:
        yield target.value


def _is_sending(node: ast.Call) -> bool:
    """`client.get_httpx_client().request(**kwargs)`."""
    called = node.func
    words = node.keywords
    return (
        isinstance(called, ast.Attribute)
        and called.attr == "request"
        and isinstance(called.value, ast.Call)
        and isinstance(called.value.func, ast.Attribute)
        and called.value.func.attr in _CLIENTS
        and _is_name(called.value.func.value, "client")
        and not node.args
        and [word.arg for word in words] == [None]
        and _is_name(words[0].value, "kwargs")
    )


def _is_name(node: ast.AST | None, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _is_call(node: ast.AST | None, name: str) -> bool:
    return isinstance(node, ast.Call) and _is_name(node.func, name)


def _text(node: ast.AST | None) -> str:
    text = node.value if isinstance(node, ast.Constant) else None
    return text if isinstance(text, str) else ""
