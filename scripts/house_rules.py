"""Rules of this house that no linter knows, and the size of the core."""

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

from bootstrap import ROOT

_CORE_FILES = """
import sys
from krea_aleph import Aleph
ours = [module for name, module in sys.modules.items() if name.split(".")[0] == "krea_aleph"]
print(*(module.__file__ for module in ours), sep="\\n")
"""
_FORBIDDEN = {
    r"(?<![\w.:/~])/(?:home|root|work|Users)/\w": "a path of somebody's machine",
    r"\b(?:pypi\.org|pythonhosted\.org|registry\.npmjs|deb\.debian\.org)": "a registry's address",
    "\N{EM DASH}": "an em dash; a comma, a colon or a full stop says it plainer",
    r"^(?:<{7}|>{7}) ": "a merge conflict",
}
_ANYTHING_GOES = {"openapi.json", "generated/krea_aleph_api/contract.json"}  # Krea's own words
_BLANK = {
    tokenize.COMMENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
    tokenize.INDENT,
    tokenize.NEWLINE,
    tokenize.NL,
}


def violations() -> Iterator[str]:
    """Name each place of a committed file that breaks a rule: file, line, reason."""
    for path in _committed_files():
        for number, line in enumerate(_lines(ROOT / path), start=1):
            for pattern, reason in _FORBIDDEN.items():
                if re.search(pattern, line):
                    yield f"{path}:{number}: {reason}"


def core_lines() -> int:
    """Count the lines of code that a client loads, the generated client left out."""
    listing = subprocess.check_output([sys.executable, "-c", _CORE_FILES], text=True)
    return sum(code_lines(Path(file).read_text()) for file in listing.splitlines())


def code_lines(source: str) -> int:
    """Count a module's lines without the blank ones, comments and docstrings."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    code: set[int] = set()
    for token in tokens:
        if token.type not in _BLANK:
            code.update(range(token.start[0], token.end[0] + 1))
    return len(code - _docstring_lines(source))


def _docstring_lines(source: str) -> set[int]:
    owners = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    lines: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, owners) and ast.get_docstring(node) is not None:
            docstring = node.body[0]
            lines.update(range(docstring.lineno, (docstring.end_lineno or 0) + 1))
    return lines


def _committed_files() -> list[str]:
    listing = subprocess.check_output(["git", "ls-files"], cwd=ROOT, text=True)
    return [path for path in listing.splitlines() if path not in _ANYTHING_GOES]


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):  # deleted but not yet committed, or a picture
        return []
