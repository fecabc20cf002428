"""Giving a file its final name without taking another file's away."""

from __future__ import annotations

import errno
import os
import sys
from functools import cache
from typing import Any, Final

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

_AT_CWD: Final = -2 if sys.platform == "darwin" else -100


def rename_new(part: Path, final: Path) -> None:
    """Rename a file unless the new name is taken, which is seen and done at once.

    Where the system can do neither that nor hard links, another program could still slip in.

    Raises:
        FileExistsError: The name is taken.
        OSError: It cannot have that name.
    """
    if sys.platform == "win32":  # pragma: no cover - another system
        part.rename(final)  # there, it never replaces
    elif not _renamed_at_once(part, final) and not _linked(part, final):
        part.replace(final)


def _renamed_at_once(part: Path, final: Path) -> bool:
    """Rename in one step; say no where the system or the file system has no such step."""
    function, flags = _rename_without_replacing()
    if function is None:
        return False
    if function(_AT_CWD, os.fsencode(part), _AT_CWD, os.fsencode(final), flags) == 0:
        return True
    _refuse_taken(final)
    return False


def _linked(part: Path, final: Path) -> bool:
    """Give it the second name first; say no where the system has no hard links."""
    try:
        os.link(part, final)
    except OSError:
        _refuse_taken(final)
        return False
    part.unlink()
    return True


def _refuse_taken(final: Path) -> None:
    if os.path.lexists(final):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(final))


@cache
def _rename_without_replacing() -> tuple[Any, int]:
    """Return the system's function for it, and its flag; Python has no name for either."""
    import ctypes  # noqa: PLC0415 - only what saves files pays for it

    library = ctypes.CDLL(None)
    names = {"linux": ("renameat2", 1), "darwin": ("renameatx_np", 4)}
    name, flag = names.get(sys.platform, ("", 0))
    return getattr(library, name, None) if name else None, flag
