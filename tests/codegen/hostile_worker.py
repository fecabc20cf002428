"""Put one document after the other through the whole pipeline: a program of its own.

`hostile_worker.py CHECKOUT MARK [--unguarded]` reads a document a line from its input, in base64,
and writes a line of JSON for each: how the run ended, what it said, whether the tree is what it
was, and whether anything hostile has run. A tree that was made is used before it is put back.

With `--unguarded` the guard does nothing: only its functions are gone, later steps are as they are.
"""

# ruff: noqa: T201 - it talks to a test

import base64
import contextlib
import io
import json
import shutil
import subprocess
import sys
import tempfile
import typing
from pathlib import Path

ROOT, MARK = Path(sys.argv[1]), Path(sys.argv[2])
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT)]

from codegen import normalise, notices, pipeline, slice_schema  # noqa: E402 - the copied ones
from codegen.cli import main  # noqa: E402
from krea_aleph.specdiff.errors import StepError  # noqa: E402

USER = Path(__file__).with_name("use_package.py")
KEPT = ("generated", "openapi.json", "scripts/codegen/contract.lock.json")


def guarded(data: bytes) -> dict[str, typing.Any]:
    """Follow a document as `scripts/regenerate --from` does."""
    file = ROOT / "hostile.json"
    file.write_bytes(data)
    before, said = tree(), io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = main(["--from", str(file)], ROOT)
    changed = tree() != before
    used = use(ROOT / "generated") if code == 0 and changed else 0
    if changed:
        put_back()
    return {"code": code, "said": said.getvalue(), "changed": changed, "used": used}


def unguarded(data: bytes) -> dict[str, typing.Any]:
    """Build from a document as it is, and use what the audit lets pass."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            source = pipeline.Source(data, pipeline.committed(PROJECT).lock, "x", frozenset())
            built = pipeline.build(PROJECT, Path(folder), source)
        except StepError as error:
            return {"code": error.exit_code, "said": str(error), "changed": False, "used": 0}
        except Exception as error:  # noqa: BLE001 - without a guard anything may break
            return {"code": 1, "said": repr(error), "changed": False, "used": 0}
        return {"code": 0, "said": "", "changed": True, "used": use(built.package.parent)}


def use(folder: Path) -> int:
    """Import and use the package of a folder, and return the exit code."""
    command = [sys.executable, "-I", str(USER), str(folder)]
    return subprocess.run(command, check=False, capture_output=True, cwd=ROOT).returncode


def tree() -> dict[str, bytes]:
    """Read everything below the checkout that is no cache."""
    files = (path for path in ROOT.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {str(path): path.read_bytes() for path in files}


def put_back() -> None:
    """Put back what a run that went well has changed."""
    for name in KEPT:
        saved, place = SAVED / name, ROOT / name
        if saved.is_dir():
            shutil.rmtree(place)
            shutil.copytree(saved, place)
        else:
            shutil.copy(saved, place)


def leave_guard_out() -> None:
    """Make every function of the guard do nothing."""

    def nothing(*_: object, **__: object) -> None: ...

    for module in (normalise, notices, pipeline, slice_schema):
        for name in vars(module).keys() & {
            "guard_document", "guard_references", "guard_slice", "guard_text", "guard_texts",
            "check_shape", "matches", "stop_for_human", "validate",
        }:  # fmt: skip
            setattr(module, name, nothing)
    slice_schema.clean = str
    pipeline.read_document = json.loads


PROJECT = pipeline.Project(ROOT)
SAVED = Path(tempfile.mkdtemp())
for kept in KEPT:
    (SAVED / kept).parent.mkdir(parents=True, exist_ok=True)
    copy = shutil.copytree if (ROOT / kept).is_dir() else shutil.copy
    copy(ROOT / kept, SAVED / kept)
follow = guarded
if "--unguarded" in sys.argv:
    leave_guard_out()
    follow = unguarded
for line in sys.stdin:
    done = follow(base64.b64decode(line))
    print(json.dumps({**done, "ran": MARK.exists()}), flush=True)
shutil.rmtree(SAVED)
