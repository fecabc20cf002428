"""A program: exchange two states again and again, and be killed at every touch of the disk.

Arguments: an empty folder. Prints, for each point, what was found at once and after the next run.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[2] / part) for part in ("scripts", ".")]

from codegen.swap import COMMIT, clear_leftovers, finish, swap_in  # noqa: E402 - after the path

TOUCHES = ("open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.chmod", "os.utime")
FILES = ("openapi.json", "data/lock.json", "generated/package/a.py", "generated/package/sub/b.py")


def write(root: Path, state: str) -> None:
    """Put every file into a state."""
    for name in FILES:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{state} {name}", encoding="utf-8")


def exchange(root: Path, state: str) -> None:
    """Exchange all of it, as an update does."""
    changes = {root / name: f"{state} {name}".encode() for name in FILES[:2]}
    built = root.parent / "built"
    write(built, state)
    swap_in(
        {root / "generated/package": built / "generated/package", **changes},
        root / "generated",
        root,
    )


def found(root: Path) -> str:
    """Say in which state the files are: old, new, mixed."""
    states = {
        (root / name).read_text("utf-8").partition(" ")[0] if (root / name).exists() else "gone"
        for name in FILES
    }
    return states.pop() if len(states) == 1 else "mixed"


def killed_at(point: int, root: Path) -> bool:
    """Exchange in a child that is killed at a point; say whether it came so far."""
    child = os.fork()
    if child == 0:
        left = [point]

        def count(event: str, _: object) -> None:
            if event in TOUCHES:
                left[0] -= 1
                if left[0] < 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)
        exchange(root, "new")
        os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def main(folder: Path) -> None:
    """Kill at one point after the other until none is left."""
    seen = []
    for point in range(10_000):
        root = folder / str(point) / "checkout"
        write(root, "old")
        killed = killed_at(point, root)
        at_once, pending = found(root), (root / "generated" / COMMIT).exists()
        finish(root / "generated", root)
        clear_leftovers(root / "generated")
        rest = sorted(path.name for path in (root / "generated").iterdir())
        seen.append([at_once, pending, found(root), rest])
        if not killed:
            break
    sys.stdout.write(json.dumps(seen))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
