"""After generation: allow only what generated code needs.

The guard keeps hostile text out; this stands behind it and knows nothing of the document. Every
file must be one that belongs there, every line must show all that is in it, and every module is
accepted by allowlist, by what its kind needs. Code that got in through a name, a description or a
bug of the generator stops here, before it is ever imported.
"""

from __future__ import annotations

import ast
import io
import stat
import tokenize
from typing import TYPE_CHECKING, Final

from codegen.audit_code import audit_module, refused
from codegen.audit_requests import audit_request
from codegen.audit_rules import COMMENTS, allowed_in, is_operation
from krea_aleph.specdiff.errors import StepError
from krea_aleph.specdiff.texts import guard_visible

if TYPE_CHECKING:
    from pathlib import Path

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
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            raise refused(name, 0, "a symbolic link")
        if stat.S_ISDIR(mode):
            continue
        if not stat.S_ISREG(mode):
            raise refused(name, 0, "a file of this kind")
        if name not in _DATA:
            audit_source(path.read_bytes(), name)


def audit_source(data: bytes, name: str) -> None:
    """Check one module without running any of it.

    Args:
        data: The bytes of its file.
        name: Its path below the package, with forward slashes.

    Raises:
        StepError: It does not belong there, does not parse, or something in it is not on the
            allowlist.
    """
    allowed = allowed_in(name)
    if allowed is None:
        raise refused(name, 0, "a file of this name")
    try:
        source = data.decode("utf-8")
        tree = ast.parse(source, name)
        _audit_text(source, name)
        audit_module(tree, name, allowed)
    except (ValueError, SyntaxError, RecursionError, MemoryError, tokenize.TokenError) as error:
        line = getattr(error, "lineno", 0) or 0
        raise refused(name, line, f"what is no Python ({error!s:.100})") from error
    if is_operation(allowed):
        audit_request(tree, name)


def _audit_text(source: str, name: str) -> None:
    """Check what the syntax tree does not show: hidden characters, comments, look-alike names.

    Raises:
        StepError: A line hides characters, or a comment could steer Python or its tools.
    """
    for number, line in enumerate(source.split("\n"), start=1):
        if "\r" in line:
            raise refused(name, number, "a carriage return")
        try:
            guard_visible(line, name)
        except StepError as error:
            raise refused(name, number, error.problem) from error
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT and token.string not in COMMENTS:
            raise refused(name, token.start[0], f"the comment {token.string[:80]!a}")
        if token.type == tokenize.NAME and not token.string.isascii():
            raise refused(name, token.start[0], f"the name {token.string[:80]!a}")
