"""Comparing two trees, byte for byte and name for name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

_CACHES: Final = frozenset({"__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache"})


def differences(wanted: Path, found: Path) -> list[str]:
    """Say for each file that is missing, stray or different what is the matter with it.

    Caches of Python and its tools are no part of a tree.
    """
    ours, theirs = read_tree(wanted), read_tree(found)
    lines = [f"missing: {name}" for name in ours.keys() - theirs.keys()]
    lines += [f"stray: {name}" for name in theirs.keys() - ours.keys()]
    lines += [
        f"differs: {name}" for name in ours.keys() & theirs.keys() if ours[name] != theirs[name]
    ]
    return sorted(lines, key=lambda line: line.partition(": ")[2])


def read_tree(root: Path) -> dict[str, bytes]:
    """Read every file below a folder, by its path with forward slashes.

    A symbolic link is what it points to, spelled so that it equals no file.
    """
    return {
        path.relative_to(root).as_posix(): _content(path)
        for path in root.rglob("*")
        if (path.is_symlink() or not path.is_dir()) and not _CACHES & set(path.parts)
    }


def _content(path: Path) -> bytes:
    return b"-> " + bytes(path.readlink()) if path.is_symlink() else path.read_bytes()
