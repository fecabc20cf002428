"""Locks on open files that the system gives back by itself when a process dies."""

from __future__ import annotations

import sys
from typing import IO, Any

if sys.platform == "win32":  # pragma: no cover - another system
    import msvcrt

    def try_lock(file: IO[Any]) -> bool:
        """Lock a file unless somebody else has; the lock ends when the file is closed."""
        file.seek(0)
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def try_lock(file: IO[Any]) -> bool:
        """Lock a file unless somebody else has; the lock ends when the file is closed."""
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True
