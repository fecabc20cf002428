"""Reading one generated module without running it, and accepting only what it needs.

The walk follows Python's own scopes, so that it knows what each name stands for: a builtin of the
allowlist, an import of the allowlist, something that the module defines itself, or a variable.
Values can come from nowhere else, which leaves nothing dangerous to reach: no name that is not
bound or listed, no attribute that is neither listed nor declared in the module, no call of what a
variable holds. What runs on import, which is all that is not inside of a function, may call less.
"""

from __future__ import annotations

import ast
import math
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from codegen.audit_rules import BUILTINS, INSIDES, Allowed
from codegen.audit_scopes import (
    Function,
    bound_in_class,
    declared,
    is_class_method,
    is_named_tuple,
    is_text,
    names_in,
    parameters,
    targets_of,
    variables,
    within,
)
from krea_aleph.specdiff.errors import StepError
from krea_aleph.specdiff.texts import guard_text

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

_CLASS_NAME: Final = re.compile(r"[A-Z][A-Za-z0-9]*")
_CHECK: Final = re.compile(r"check_[A-Za-z0-9_]+")
_PARSER: Final = re.compile(r"_parse_[A-Za-z0-9_]+")
_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_DECORATORS: Final = frozenset({"_attrs_define", "define", "property", "classmethod"})
_CONTAINERS: Final = (
    ast.Tuple, ast.List, ast.Set, ast.Dict, ast.BoolOp, ast.And, ast.Or, ast.Compare, ast.Eq,
    ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Is, ast.IsNot, ast.In, ast.NotIn, ast.IfExp,
    ast.UnaryOp, ast.Not, ast.USub, ast.BinOp, ast.BitOr, ast.JoinedStr, ast.FormattedValue,
    ast.Subscript, ast.Slice, ast.Starred, ast.DictComp, ast.comprehension, ast.Await, ast.keyword,
    ast.expr_context,
)  # fmt: skip


def audit_module(tree: ast.Module, name: str, allowed: Allowed) -> None:
    """Check a module.

    Args:
        tree: What Python makes of its source.
        name: Its path below the package, with forward slashes.
        allowed: What a module of its kind may do.

    Raises:
        StepError: Something in it is not on the allowlist; the message says where.
    """
    _Auditor(name, allowed, tree).module(tree)


def refused(name: str, line: int, what: str) -> StepError:
    """Return the refusal of what stands in a line of a file."""
    problem = f"{name}:{line}: {what} is nothing that generated code needs"
    return StepError("audit", problem.encode("ascii", "backslashreplace").decode())


class _Auditor:
    """One module's walk.

    Attributes:
        _known: What the module's own names stand for: an import, a class, a function, a value.
        _tuples: The classes that are data alone, so that making one on import runs no code.
        declared: The attributes that the module's own classes declare.
        _scopes: The variables of each function that the walk is inside of.
        _callable: What of these may be called: functions within, and `cls`.
    """

    def __init__(self, name: str, allowed: Allowed, tree: ast.Module) -> None:
        self._name = name
        self._allowed = allowed
        self._known: dict[str, str] = {}
        self._tuples = {
            node.name
            for node in tree.body
            if isinstance(node, ast.ClassDef) and is_named_tuple(node)
        }
        self._declared = {field for field in declared(tree) if field not in INSIDES}
        self._scopes: list[set[str]] = []
        self._callable: list[set[str]] = []

    # --- what there may be at the top, and in a class ---

    def module(self, tree: ast.Module) -> None:
        for statement in tree.body:
            self._bind_top(statement)
        for statement in tree.body:
            self._top(statement)
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                self._constant(node)  # a docstring is no expression that was looked at

    def _bind_top(self, node: ast.stmt) -> None:
        if isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                self._bind(node, alias.asname or alias.name, "import")
        elif isinstance(node, ast.If):
            for child in node.body:
                self._bind_top(child)
        elif isinstance(node, ast.ClassDef | Function):
            self._bind(node, node.name, "class" if isinstance(node, ast.ClassDef) else "function")
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            for target in targets_of(node):
                self._bind(target, target.id if isinstance(target, ast.Name) else "", "value")

    def _bind(self, node: ast.AST, name: str, kind: str) -> None:
        """Let a name of the module stand for one thing, and a builtin for itself."""
        self._plain(node, name)
        if name in BUILTINS or name in self._known:
            raise self._no(node, f"another {name}")
        self._known[name] = kind

    def _top(self, node: ast.stmt) -> None:
        if isinstance(node, ast.If):
            self._type_checking(node)
        elif isinstance(node, ast.ClassDef):
            self._class(node)
        elif isinstance(node, Function):
            self._function(node)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            self._assignment(node)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            self._import(node)
        elif not is_text(node):
            raise self._no(node, f"{type(node).__name__} at module level")

    def _type_checking(self, node: ast.If) -> None:
        named = isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        imports = all(isinstance(child, ast.ImportFrom) for child in node.body)
        if not (named and imports and self._known.get("TYPE_CHECKING") == "import") or node.orelse:
            raise self._no(node, "a condition at module level")
        for child in node.body:
            self._top(child)

    def _class(self, node: ast.ClassDef) -> None:
        for decorator in node.decorator_list:
            self._decorator(decorator)
        for base in node.bases:
            self._type(base)
        for keyword in node.keywords:
            if keyword.arg != "total" or not _is_flag(keyword.value):
                raise self._no(node, f"the class keyword {keyword.arg}")
        self._unambiguous(node)
        for child in node.body:
            if isinstance(child, Function):
                self._function(child)
            elif isinstance(child, ast.Assign | ast.AnnAssign):
                self._assignment(child)
            elif not is_text(child):
                raise self._no(child, f"{type(child).__name__} in a class")

    def _unambiguous(self, node: ast.ClassDef) -> None:
        """Let no name of a class hide what the expressions of the class mean."""
        values = [
            child.value for child in node.body if isinstance(child, ast.AnnAssign | ast.Assign)
        ]
        read = {name.id for value in values if value for name in names_in(value)}
        read |= {name.id for child in node.body if isinstance(child, Function)
                 for decorator in child.decorator_list for name in names_in(decorator)}  # fmt: skip
        for name in read & set(bound_in_class(node)):
            raise self._no(node, f"another {name}")

    def _decorator(self, node: ast.expr) -> None:
        name = node.func if isinstance(node, ast.Call) else node
        if not isinstance(name, ast.Name) or name.id not in _DECORATORS:
            raise self._no(node, f"the decorator {ast.unparse(name):.80}")
        self._load(name)
        if isinstance(node, ast.Call) and (
            node.args or not all(_is_flag(word.value) for word in node.keywords)
        ):
            raise self._no(node, f"the decorator {ast.unparse(node):.80}")

    # --- functions ---

    def _function(self, node: Function) -> None:
        self._plain(node, node.name)
        for decorator in node.decorator_list:
            self._decorator(decorator)
        arguments = node.args
        for default in [*arguments.defaults, *arguments.kw_defaults]:
            if not (default is None or isinstance(default, ast.Constant | ast.Name)):
                raise self._no(default, f"the default {ast.unparse(default):.60}")
            if default is not None:
                self._expression(default)
        if node.returns is not None:
            self._type(node.returns)
        with self._inside(node):
            self._body(node)

    @contextmanager
    def _inside(self, node: Function) -> Generator[None]:
        arguments = list(parameters(node))
        for argument in arguments:
            self._plain(argument, argument.arg)
            if argument.annotation is not None:
                self._type(argument.annotation)
        first = [argument.arg for argument in arguments[:1] if is_class_method(node)]
        functions = [child.name for child in within(node) if isinstance(child, Function)]
        self._scopes.append({argument.arg for argument in arguments} | set(variables(node)))
        self._callable.append({*functions, *first})
        yield
        self._scopes.pop()
        self._callable.pop()

    def _body(self, node: Function) -> None:
        if self._allowed.functions_do_nothing and not all(is_text(child) for child in node.body):
            raise self._no(node, f"code in {node.name}()")
        bound = [*(argument.arg for argument in parameters(node)), *variables(node)]
        for name in self._callable[-1]:
            if bound.count(name) > 1:
                raise self._no(node, f"another {name}")
        for child in node.body:
            self._statement(child)

    def _statement(self, node: ast.stmt) -> None:  # noqa: C901 - one case a statement
        if isinstance(node, Function):
            if not _PARSER.fullmatch(node.name):
                raise self._no(node, f"the function {node.name} in a function")
            self._function(node)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            self._assignment(node)
        elif isinstance(node, ast.ImportFrom) and node.level:
            self._import(node)
        elif isinstance(node, ast.Return | ast.Expr):
            self._result(node)
        elif isinstance(node, ast.Raise) and node.exc is not None and node.cause is None:
            self._expression(node.exc)
        elif isinstance(node, ast.Delete):
            self._deletion(node)
        elif isinstance(node, ast.If):
            self._expression(node.test)
            self._statements([*node.body, *node.orelse])
        elif isinstance(node, ast.For) and not node.orelse:
            self._targets([node.target])
            self._expression(node.iter)
            self._statements(node.body)
        elif isinstance(node, ast.With):
            self._with(node)
        elif isinstance(node, ast.Try):
            self._try(node)
        elif not isinstance(node, ast.Pass | ast.Continue):
            raise self._no(node, type(node).__name__)

    def _statements(self, nodes: Iterable[ast.stmt]) -> None:
        for node in nodes:
            self._statement(node)

    def _result(self, node: ast.Return | ast.Expr) -> None:
        value = node.value
        if isinstance(node, ast.Expr):
            called = value.value if isinstance(value, ast.Await) else value
            if not (is_text(node) or isinstance(called, ast.Call)):
                raise self._no(node, f"the bare expression {ast.unparse(node):.80}")
        if value is not None:
            self._expression(value)

    def _deletion(self, node: ast.Delete) -> None:
        for target in node.targets:
            if not isinstance(target, ast.Subscript):
                raise self._no(node, ast.unparse(node)[:80])
            self._expression(target)

    def _with(self, node: ast.With) -> None:
        for item in node.items:
            if item.optional_vars is not None or not isinstance(item.context_expr, ast.Name):
                raise self._no(node, f"with {ast.unparse(item):.60}")
            self._load(item.context_expr)
        self._statements(node.body)

    def _try(self, node: ast.Try) -> None:
        self._statements([*node.body, *node.orelse, *node.finalbody])
        for handler in node.handlers:
            if handler.name is not None or handler.type is None:
                raise self._no(handler, "a handler of this kind")
            self._expression(handler.type)
            self._statements(handler.body)

    # --- names ---

    def _import(self, node: ast.Import | ast.ImportFrom) -> None:
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.asname or self._allowed.imports.get(alias.name) != frozenset():
                    raise self._no(node, f"import {alias.name}")
            return
        for alias in node.names:
            if alias.asname not in {None, f"_attrs_{alias.name}"} or not self._importable(
                node, alias.name
            ):
                source = "." * node.level + (node.module or "")
                raise self._no(node, f"from {source} import {alias.name} as {alias.asname}")

    def _importable(self, node: ast.ImportFrom, name: str) -> bool:
        """Tell whether a name may be taken from a module, which may be one of the package."""
        if not node.level:
            return name in self._allowed.imports.get(node.module or "", ())
        above = self._name.count("/") - (node.level - 1)
        parts = self._name.split("/")[:above] + (node.module.split(".") if node.module else [])
        if above < 0:
            return False
        place = ".".join(["", *parts]) or "."
        if place in self._allowed.imports:
            return name in self._allowed.imports[place]
        model = parts[:1] == ["models"] and len(parts) == 2  # noqa: PLR2004 - models.job
        return model and bool(_CLASS_NAME.fullmatch(name) or _CHECK.fullmatch(name))

    def _plain(self, node: ast.AST, name: str) -> None:
        special = name.startswith("__") and name not in self._allowed.dunders
        if special or not _IDENTIFIER.fullmatch(name):
            raise self._no(node, f"the name {name!a:.80}")

    def _load(self, node: ast.Name) -> None:
        self._plain(node, node.id)
        if not (self._is_variable(node.id) or node.id in self._known or node.id in BUILTINS):
            raise self._no(node, f"the name {node.id}")

    def _is_variable(self, name: str) -> bool:
        return any(name in scope for scope in self._scopes)

    # --- assignments ---

    def _assignment(self, node: ast.Assign | ast.AnnAssign) -> None:
        if isinstance(node, ast.AnnAssign):
            self._type(node.annotation)
        self._targets(targets_of(node))
        if node.value is not None:
            self._expression(node.value)

    def _targets(self, targets: Iterable[ast.expr]) -> None:
        for target in targets:
            if isinstance(target, ast.Name):
                self._plain(target, target.id)
            elif isinstance(target, ast.Tuple):
                self._targets(target.elts)
            elif isinstance(target, ast.Subscript):
                self._expression(target)
            elif not self._is_own(target):
                raise self._no(target, f"an assignment to {ast.unparse(target):.60}")
            else:
                self._expression(target)

    def _is_own(self, target: ast.expr) -> bool:
        return (
            isinstance(target, ast.Attribute)
            and isinstance(target.value, ast.Name)
            and target.value.id in {"self", "_built"}
            and target.attr in self._declared | self._allowed.sets
            and self._is_variable(target.value.id)
        )

    # --- expressions ---

    def _expression(self, node: ast.AST) -> None:
        if isinstance(node, ast.Name):
            self._load(node)
        elif isinstance(node, ast.Constant):
            self._constant(node)
        elif isinstance(node, ast.Call):
            self._call(node)
        elif isinstance(node, ast.Attribute):
            self._attribute(node)
        elif isinstance(node, _CONTAINERS):
            for child in ast.iter_child_nodes(node):
                self._expression(child)
        else:
            raise self._no(node, type(node).__name__)

    def _constant(self, node: ast.Constant) -> None:
        value = node.value
        if isinstance(value, str):
            try:
                guard_text(value, "text")
            except StepError as error:
                raise self._no(node, error.problem) from error
        elif not (value is None or isinstance(value, int | float)) or (
            isinstance(value, float) and not math.isfinite(value)
        ):
            raise self._no(node, f"the constant {value!a:.60}")

    def _attribute(self, node: ast.Attribute) -> None:
        owner = node.value
        if isinstance(owner, ast.Name) and self._is_module(owner.id):
            if node.attr not in self._allowed.of_modules.get(owner.id, ()):
                raise self._no(node, f"the attribute {owner.id}.{node.attr}")
        elif node.attr not in self._allowed.attributes | self._allowed.dunders | self._declared:
            raise self._no(node, f"the attribute {node.attr}")
        self._expression(owner)

    def _is_module(self, name: str) -> bool:
        imported = self._known.get(name) == "import" and name in self._allowed.of_modules
        return imported and not self._is_variable(name)

    def _call(self, node: ast.Call) -> None:
        called = node.func
        if isinstance(called, ast.Attribute):
            word = called.attr
        elif isinstance(called, ast.Name) and self._may_call(called.id):
            word = called.id
        else:
            raise self._no(node, f"a call of {ast.unparse(called):.80}()")
        if not self._scopes and word not in self._allowed.on_import | self._tuples:
            raise self._no(node, f"a call of {ast.unparse(called):.80}() on import")
        self._expression(called)
        self._arguments(node, word)

    def _may_call(self, name: str) -> bool:
        if self._is_variable(name):
            return any(name in names for names in self._callable)
        kind = self._known.get(name)
        own = kind == "class" or (kind == "import" and _is_ours(name))
        return kind != "value" and (own or name in self._allowed.functions)

    def _arguments(self, node: ast.Call, word: str) -> None:
        if word == "TypeVar":
            self._type_variable(node)
        elif word == "TypedDict":
            self._typed_dict(node)
        else:
            for argument in [*node.args, *node.keywords]:
                self._expression(argument)

    def _type_variable(self, node: ast.Call) -> None:
        """A bound is text that is run when somebody asks for the types."""
        for argument in [*node.args, *(keyword.value for keyword in node.keywords)]:
            text = argument.value if isinstance(argument, ast.Constant) else None
            if not isinstance(text, str) or not _IDENTIFIER.fullmatch(text):
                raise self._no(node, ast.unparse(node)[:80])

    def _typed_dict(self, node: ast.Call) -> None:
        for argument in node.args:
            if isinstance(argument, ast.Dict):
                for key, kind in zip(argument.keys, argument.values, strict=True):
                    self._expression(key or argument)
                    self._type(kind)
            else:
                self._expression(argument)
        for keyword in node.keywords:
            if keyword.arg != "total" or not _is_flag(keyword.value):
                raise self._no(node, f"the keyword {keyword.arg}")

    # --- types ---

    def _type(self, node: ast.expr) -> None:
        """Accept what names a type; text among it is a type that is read later."""
        if isinstance(node, ast.Name):
            self._load(node)
        elif isinstance(node, ast.Attribute):
            self._attribute(node)
        elif isinstance(node, ast.Constant):
            self._type_in_words(node)
        elif isinstance(node, ast.Subscript):
            self._type(node.value)
            literal = isinstance(node.value, ast.Name) and node.value.id == "Literal"
            (self._expression if literal else self._type)(node.slice)
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            self._type(node.left)
            self._type(node.right)
        elif isinstance(node, ast.Tuple | ast.List):
            for child in node.elts:
                self._type(child)
        else:
            raise self._no(node, f"the type {ast.unparse(node):.80}")

    def _type_in_words(self, node: ast.Constant) -> None:
        if isinstance(node.value, str):
            if not _IDENTIFIER.fullmatch(node.value) or node.value.startswith("__"):
                raise self._no(node, f"the type {node.value!a:.80}")
        elif not (node.value is None or node.value is ...):
            raise self._no(node, f"the type {node.value!a:.80}")

    def _no(self, node: ast.AST, what: str) -> StepError:
        return refused(self._name, getattr(node, "lineno", 0), what)


def _is_flag(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, bool)


def _is_ours(name: str) -> bool:
    return bool(_CLASS_NAME.fullmatch(name) or _CHECK.fullmatch(name))
