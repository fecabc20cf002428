"""After generation: allow only what generated code needs.

The guard keeps hostile text out; this stands behind it and knows nothing of the document. It reads
the syntax tree of every module and accepts by allowlist: which modules are imported, which kinds of
statement there are, what may be called, and above all what may run on import. Code that got in
through a name, a description or a bug of the generator stops here, before it is ever imported.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from typing import TYPE_CHECKING, Final

from codegen.guard import guard_text
from krea_aleph.specdiff.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_IMPORTS: Final = {
    "__future__": {"annotations"},
    "attrs": {"define", "evolve", "field"},
    "collections.abc": {"Generator", "Mapping", "MutableMapping", "Sequence"},
    "datetime": set(),
    "enum": {"IntEnum", "StrEnum"},
    "http": {"HTTPStatus"},
    "httpx": set(),
    "io": {"BytesIO"},
    "json": set(),
    "os": {"PathLike"},
    "ssl": set(),
    "threading": {"Lock"},
    "typing": None,
    "urllib.parse": {"quote"},
    "uuid": {"UUID"},
}  # fmt: skip
"""What may be imported from where; None is anything, an empty set only the module itself."""

_FUNCTIONS: Final = frozenset(
    "BytesIO File Lock NamedTuple Operation Response TypeError TypeVar TypedDict UNSET UUID Unset"
    " ValueError _attrs_define _attrs_field bool cast cls define dict evolve field float int"
    " isinstance list path_segment quote set sorted str super tuple"
    " asyncio_detailed sync_detailed request_kwargs _build_response _parse_response".split()
)
_METHODS: Final = frozenset(
    "__aenter__ __aexit__ __enter__ __exit__ __init__ append decode encode extend format from_dict"
    " fromisoformat get_async_httpx_client get_httpx_client isoformat items json keys pop request"
    " to_dict to_multipart to_tuple update values".split()
)
_OF_MODULES: Final = {
    "httpx": {"AsyncClient", "Client", "Response", "Timeout"},
    "datetime": {"date", "datetime"},
    "json": {"dumps"},
    "ssl": {"SSLContext"},
    "errors": {"UnexpectedStatus"},
    "types": {"RequestFiles"},
}
_ON_IMPORT: Final = frozenset(
    "FieldAlias Lock Operation TypeVar TypedDict Unset _attrs_define _attrs_field define"
    " field".split()
)
_DUNDERS: Final = frozenset(
    "__all__ __init__ __bool__ __repr__ __str__ __copy__ __deepcopy__ __reduce__ __enter__ __exit__"
    " __aenter__ __aexit__ __getitem__ __setitem__ __delitem__ __contains__".split()
)
_NODES: Final = tuple(
    getattr(ast, name)
    for name in (
        "Module Expr Constant Name Load Store Del Attribute Subscript Slice Tuple List Dict Set"
        " Starred keyword arguments arg Call Import ImportFrom alias ClassDef FunctionDef"
        " AsyncFunctionDef Return Raise Assign AnnAssign Delete If IfExp For Try ExceptHandler"
        " With withitem Pass Continue BoolOp And Or BinOp BitOr UnaryOp Not USub Compare Eq NotEq"
        " Lt LtE Gt GtE Is IsNot In NotIn DictComp comprehension JoinedStr FormattedValue Await"
    ).split()
)
_AT_TOP: Final = (
    ast.Import, ast.ImportFrom, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef, ast.Assign,
    ast.AnnAssign, ast.Expr, ast.If,
)  # fmt: skip
_LOCAL_CALL: Final = re.compile(r"(_parse|check)_[a-z0-9_]+|[A-Z][A-Za-z0-9]*")
_URL: Final = re.compile(r"(/[A-Za-z0-9._~{}-]+)+")
_COMMENT: Final = re.compile(r"# (?!.*(coding|type:)).*", re.IGNORECASE)
_DATA: Final = frozenset(
    {"py.typed", "contract.json", "PROVENANCE.json", "rules.toml", "reads.toml"}
)


def audit_tree(package: Path) -> None:
    """Check every file of a generated package.

    Raises:
        StepError: A file does not belong there, or holds code that generated code does not need;
            the message names file, line and what was found.
    """
    for path in sorted(package.rglob("*")):
        name = path.relative_to(package).as_posix()
        if path.is_symlink():
            raise _refused(name, 0, "a symbolic link")
        if path.suffix == ".py":
            audit_source(path.read_bytes(), name)
        elif path.is_file() and name not in _DATA:
            raise _refused(name, 0, "a file that does not belong to the package")


def audit_source(data: bytes, name: str) -> None:
    """Check one module without running any of it.

    Raises:
        StepError: It does not parse, or something in it is not on the allowlist.
    """
    try:
        source = data.decode("utf-8")
        tree = ast.parse(source, name)
    except (ValueError, SyntaxError, RecursionError, MemoryError) as error:
        raise _refused(name, getattr(error, "lineno", 0) or 0, f"no Python: {error}") from error
    guard_text_of(source, name)
    _Auditor(name, _own_names(tree)).module(tree)


def guard_text_of(source: str, name: str) -> None:
    """Check what the syntax tree does not show: hidden characters and speaking comments.

    Raises:
        StepError: A line hides characters, or a comment steers Python or a checker.
    """
    for number, line in enumerate(source.splitlines(), start=1):
        try:
            guard_text(line, name)
        except StepError as error:
            raise _refused(name, number, error.problem) from error
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT and not _COMMENT.fullmatch(token.string):
            raise _refused(name, token.start[0], f"the comment {token.string[:80]!r}")


def _own_names(tree: ast.Module) -> frozenset[str]:
    """List what the module defines itself or imports from its own package."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.ImportFrom) and node.level:
            names |= {alias.asname or alias.name for alias in node.names}
    return frozenset(names)


class _Auditor:
    def __init__(self, name: str, own: frozenset[str]) -> None:
        self._name = name
        self._own = own

    def module(self, tree: ast.Module) -> None:
        for statement in tree.body:
            if not isinstance(statement, _AT_TOP):
                what = f"{type(statement).__name__} at module level"
                raise self._no(statement, what)
        for node in _run_on_import(tree):
            if isinstance(node, ast.Call):
                self._call_on_import(node)
        for node in ast.walk(tree):
            self._node(node)

    def _node(self, node: ast.AST) -> None:
        if not isinstance(node, _NODES):
            raise self._no(node, f"{type(node).__name__}")
        if isinstance(node, ast.Import | ast.ImportFrom):
            self._import(node)
        elif isinstance(node, ast.Call):
            self._call(node)
        elif isinstance(node, ast.Attribute):
            self._attribute(node)
        elif isinstance(node, ast.Name):
            self._identifier(node, node.id)
        elif isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            self._definition(node)
        elif isinstance(node, ast.Expr):
            self._expression(node)
        elif isinstance(node, ast.Dict):
            self._url(node)

    def _import(self, node: ast.Import | ast.ImportFrom) -> None:
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name not in _IMPORTS or alias.asname:
                    raise self._no(node, f"import {alias.name}")
            return
        for alias in node.names:
            self._import_from(node, alias)

    def _import_from(self, node: ast.ImportFrom, alias: ast.alias) -> None:
        module = node.module or ""
        allowed = _IMPORTS.get(module, set())
        if alias.name == "*":
            raise self._no(node, f"import * from {module}")
        if not node.level and allowed is not None and alias.name not in allowed:
            raise self._no(node, f"from {module} import {alias.name}")
        if alias.asname not in {None, f"_attrs_{alias.name}"}:
            raise self._no(node, f"import {alias.name} as {alias.asname}")
        self._identifier(node, alias.name)

    def _call(self, node: ast.Call) -> None:
        called = node.func
        if isinstance(called, ast.Name):
            local = called.id in self._own and _LOCAL_CALL.fullmatch(called.id)
            if called.id not in _FUNCTIONS and not local:
                raise self._no(node, f"a call of {called.id}()")
        elif isinstance(called, ast.Attribute):
            if not self._method(called):
                raise self._no(node, f"a call of {ast.unparse(called)[:80]}()")
        else:
            raise self._no(node, f"a call of {ast.unparse(called)[:80]}")

    def _method(self, called: ast.Attribute) -> bool:
        owner = called.value
        if isinstance(owner, ast.Name) and owner.id in _OF_MODULES:
            return called.attr in _OF_MODULES[owner.id]
        return called.attr in _METHODS

    def _call_on_import(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Name) and node.func.id in _ON_IMPORT:
            return
        if ast.unparse(node.func) != "httpx.Timeout":
            raise self._no(node, f"a call of {ast.unparse(node.func)[:80]}() on import")

    def _attribute(self, node: ast.Attribute) -> None:
        owner = node.value
        if isinstance(owner, ast.Name) and owner.id in _OF_MODULES:
            if node.attr not in _OF_MODULES[owner.id]:
                raise self._no(node, f"the attribute {owner.id}.{node.attr}")
        elif node.attr.startswith("__") and node.attr not in _METHODS:
            raise self._no(node, f"the attribute {node.attr}")

    def _definition(self, node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self._identifier(node, node.name)
        for decorator in node.decorator_list:
            name = decorator.func if isinstance(decorator, ast.Call) else decorator
            if ast.unparse(name) not in {
                "_attrs_define", "define", "property", "classmethod",
            }:  # fmt: skip
                raise self._no(node, f"the decorator {ast.unparse(name)[:80]}")
        if isinstance(node, ast.ClassDef) and node.keywords:
            for keyword in node.keywords:
                if keyword.arg != "total":
                    raise self._no(node, f"the class keyword {keyword.arg}")

    def _identifier(self, node: ast.AST, name: str) -> None:
        if name.startswith("__") and name not in _DUNDERS:
            raise self._no(node, f"the name {name}")

    def _expression(self, node: ast.Expr) -> None:
        value = node.value.value if isinstance(node.value, ast.Await) else node.value
        text = isinstance(value, ast.Constant) and isinstance(value.value, str)
        if not text and not isinstance(value, ast.Call):
            raise self._no(node, f"the bare expression {ast.unparse(value)[:80]}")

    def _url(self, node: ast.Dict) -> None:
        for key, value in zip(node.keys, node.values, strict=True):
            if isinstance(key, ast.Constant) and key.value == "url":
                template = _template(value)
                if template is not None and not _URL.fullmatch(template):
                    raise self._no(node, f"the address {template[:80]!r}")

    def _no(self, node: ast.AST, what: str) -> StepError:
        return _refused(self._name, getattr(node, "lineno", 0), what)


def _template(value: ast.expr) -> str | None:
    """Return the text of a request's path; `"...".format(...)` is the text in front."""
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute):
        value = value.func.value
    text = value.value if isinstance(value, ast.Constant) else None
    return text if isinstance(text, str) else None


def _run_on_import(node: ast.AST) -> Iterator[ast.AST]:
    """Walk what Python evaluates while it imports: everything but the bodies of functions."""
    yield node
    children = ast.iter_child_nodes(node)
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        children = iter(
            [*node.decorator_list, node.args, *([node.returns] if node.returns else [])]
        )
    for child in children:
        yield from _run_on_import(child)


def _refused(name: str, line: int, what: str) -> StepError:
    return StepError("audit", f"{name}:{line}: {what} is nothing that generated code needs")
