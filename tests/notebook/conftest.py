"""Notebooks, run in kernels of their own as Jupyter runs them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

Outputs = list[list[dict[str, Any]]]
Run = Callable[[Sequence[str]], Outputs]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to run notebooks in."""
    return tmp_path_factory.mktemp("notebook")


@pytest.fixture(scope="module")
def run(folder: Path) -> Run:
    """Run the sources of cells, one after the other, and return what each has given."""

    def run(sources: Sequence[str]) -> Outputs:
        cells = [nbformat.v4.new_code_cell(source) for source in sources]
        notebook = nbformat.v4.new_notebook(cells=cells)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("IPYTHONDIR", str(folder / "ipython"))
            patch.setenv("JUPYTER_PLATFORM_DIRS", "1")
            resources = {"metadata": {"path": folder}}
            NotebookClient(notebook, kernel_name="python3", resources=resources).execute()
        return [cell.outputs for cell in notebook.cells]

    return run
