"""The library's layers: who may import whom."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import krea_aleph

PACKAGE = Path(krea_aleph.__file__).parent
CORE = """
    _version
    _signals
    models
    errors
    policies
    _plan
    contract
    clocks
    _locks
    owed
    store
    notes
    _telemetry
    _notices
    _hosts
    _files
    _uploads
    _secrets
    _board
    _config
    _steps
    _checks
    _drift
    _digests
    _hashing
    _renaming
    _parts
    _saving
    _placing
    _stills
    preview
    _buckets
    _objects
    _wire
    outcomes
    _cells
    _columns
    _tables
    manifest
    pages
    _cards
    notebook
    _exchange
    _progress
    _paging
    _assets
    _jobs
    _hooks
    _marks
    _intents
    _submit
    _recovery
    _crowd
    _looks
    _fleet
    _waiting
    _many
    _journal
    _results
    _limits
    _gate
    _items
    _batch_run
    _batch_item
    _batch
    _addresses
    _line
    _transport
    _drivers
    _background
    client
    __init__
""".split()
OUTER = """
    specdiff webhooks tracing durable batch storage emulator testing pytest_plugin cli __main__
""".split()
ROWS = [*CORE, *OUTER]
MODULES = {path.relative_to(PACKAGE): path for path in sorted(PACKAGE.rglob("*.py"))}


def _row(path: Path) -> str:
    return path.parts[0].removesuffix(".py")


def _imported(path: Path) -> Iterator[str]:
    """Name, in full, what a module imports when it is imported or type-checked."""
    waiting: list[ast.AST] = [ast.parse(path.read_text())]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            waiting.extend(ast.iter_child_nodes(node))


def _rows_imported(path: Path) -> set[str]:
    ours = [name.split(".") for name in _imported(path) if name.startswith("krea_aleph.")]
    return {parts[1] if parts[1] in ROWS else "__init__" for parts in ours}


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_a_module_imports_only_from_the_rows_above_it(module: Path) -> None:
    """Imports point one way, so that every module can be understood with the ones above it."""
    row = _row(module)
    assert row in ROWS, f"{module} is new: say in ROWS where it belongs"
    allowed = {*ROWS[: ROWS.index(row)], row}
    assert _rows_imported(MODULES[module]) <= allowed


@pytest.mark.parametrize("module", [path for path in MODULES if _row(path) in OUTER], ids=str)
def test_everything_around_the_core_uses_its_public_names(module: Path) -> None:
    """The emulator and its like need nothing that users could not use themselves."""
    private = {row for row in _rows_imported(MODULES[module]) if row.startswith("_")}
    assert private <= {"__init__"}


def test_one_module_knows_the_generated_client() -> None:
    """Only `_wire` imports krea_aleph_api: regenerating it can break one module at most."""
    importers = {
        str(module)
        for module, path in MODULES.items()
        if any(name.partition(".")[0] == "krea_aleph_api" for name in _imported(path))
    }
    assert importers == {"_wire.py"}
