"""Which names the parts of a syntax tree bind and read, by Python's own rules of scope."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef


def declared(tree: ast.Module) -> Iterator[str]:
    """List the attributes that the classes of a module declare."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            for child in node.body:
                if isinstance(child, Function):
                    yield child.name
                elif isinstance(child, ast.Assign | ast.AnnAssign):
                    yield from _bound_by(targets_of(child))


def bound_in_class(node: ast.ClassDef) -> Iterator[str]:
    """List the names that get a value in a class."""
    for child in node.body:
        if isinstance(child, Function):
            yield child.name
        elif isinstance(child, ast.Assign) or (isinstance(child, ast.AnnAssign) and child.value):
            yield from _bound_by(targets_of(child))


def is_named_tuple(node: ast.ClassDef) -> bool:
    """Tell whether a class is data alone, so that making one runs no code."""
    bases = [base.id for base in node.bases if isinstance(base, ast.Name)]
    plain = all(isinstance(child, ast.AnnAssign) or is_text(child) for child in node.body)
    return bases == ["NamedTuple"] and len(node.bases) == 1 and plain


def is_class_method(node: Function) -> bool:
    """Tell whether the first parameter of a function is the class."""
    names = (name for name in node.decorator_list if isinstance(name, ast.Name))
    return any(name.id == "classmethod" for name in names)


def parameters(node: Function) -> Iterator[ast.arg]:
    """List the parameters of a function, the first one first."""
    arguments = node.args
    yield from [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    yield from (extra for extra in (arguments.vararg, arguments.kwarg) if extra is not None)


def variables(node: Function) -> Iterator[str]:
    """List the names that a function binds, once for each time; its parameters are not among."""
    for child in within(node):
        if isinstance(child, Function):
            yield child.name
        elif isinstance(child, ast.Name) and isinstance(child.ctx, ast.Store):
            yield child.id
        elif isinstance(child, ast.ImportFrom):
            yield from (alias.asname or alias.name for alias in child.names)


def within(node: ast.AST) -> Iterator[ast.AST]:
    """Walk the body of a function; of the functions in it, only that they are there."""
    for child in node.body if isinstance(node, Function) else ast.iter_child_nodes(node):
        yield child
        if not isinstance(child, Function):
            yield from within(child)


def targets_of(node: ast.Assign | ast.AnnAssign) -> list[ast.expr]:
    """List what is assigned to."""
    return node.targets if isinstance(node, ast.Assign) else [node.target]


def _bound_by(targets: Iterable[ast.expr]) -> Iterator[str]:
    return (target.id for target in targets if isinstance(target, ast.Name))


def names_in(node: ast.expr) -> Iterator[ast.Name]:
    """List the names in an expression."""
    return (child for child in ast.walk(node) if isinstance(child, ast.Name))


def is_text(node: ast.stmt) -> bool:
    """Tell whether a statement is a text, such as a docstring."""
    value = node.value if isinstance(node, ast.Expr) else None
    return isinstance(value, ast.Constant) and isinstance(value.value, str)
