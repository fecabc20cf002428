"""What `krea_aleph` offers, and what importing it brings along."""

import json
import subprocess
import sys
from types import ModuleType

import krea_aleph

_LAZY = {"AlephOptions"}  # comes from the generated client, when it is first asked for
_LOADED = "import json, sys, krea_aleph; print(json.dumps(sorted(sys.modules)))"


def test_the_public_names_are_exactly_the_promised_ones() -> None:
    """`__all__` names everything public in the package, once (the linter keeps it sorted)."""
    public = [
        name
        for name, value in vars(krea_aleph).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    ]
    promised = [name for name in krea_aleph.__all__ if not name.startswith("__")]
    assert sorted(promised) == sorted({*public, *_LAZY} - {"TYPE_CHECKING"})


def test_every_public_thing_has_a_docstring() -> None:
    """Help is there for each class and function of `__all__`."""
    callables = [name for name in krea_aleph.__all__ if callable(getattr(krea_aleph, name))]
    assert [name for name in callables if not getattr(krea_aleph, name).__doc__] == []


def test_importing_the_library_loads_the_core_alone() -> None:
    """No emulator, no web server, no picture or video library comes with `import krea_aleph`."""
    printed = subprocess.check_output([sys.executable, "-c", _LOADED], text=True)
    loaded = set(json.loads(printed))
    heavy = {"krea_aleph.emulator", "krea_aleph.testing", "starlette", "uvicorn", "av", "PIL"}
    assert loaded & heavy == set()
