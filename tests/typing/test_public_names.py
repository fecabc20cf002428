"""What `krea_aleph` offers, and what importing it brings along."""

import json
import re
import subprocess
import sys

import pytest

import krea_aleph

_LOADED = "import json, sys, krea_aleph; print(json.dumps(sorted(sys.modules)))"
_LOADED_BY_USE = _LOADED.replace(", krea_aleph;", "; from krea_aleph import Aleph;")


def test_every_promised_name_is_there() -> None:
    """`__all__` names what there is, and `dir` shows it (the linter keeps it sorted)."""
    assert set(krea_aleph.__all__) <= set(dir(krea_aleph))
    assert all(getattr(krea_aleph, name) is not None for name in krea_aleph.__all__)
    with pytest.raises(AttributeError, match="nonsense"):
        krea_aleph.nonsense  # noqa: B018 - asking is the test


def test_a_bare_import_costs_nothing() -> None:
    """Plugins and command lines import the package long before anybody needs HTTP."""
    printed = subprocess.check_output([sys.executable, "-c", _LOADED], text=True)
    loaded = set(json.loads(printed))
    assert not {"httpx", "attr", "typing"} & loaded
    ours = {name for name in loaded if name.startswith("krea_aleph")}
    assert ours == {"krea_aleph", "krea_aleph._version"}


def test_every_public_thing_has_a_docstring() -> None:
    """Help is there for each class and function of `__all__`."""
    callables = [name for name in krea_aleph.__all__ if callable(getattr(krea_aleph, name))]
    assert [name for name in callables if not getattr(krea_aleph, name).__doc__] == []


def test_help_lists_the_options_of_a_client() -> None:
    """Who asks for help in a terminal sees each option, as editors show it."""
    options = krea_aleph.ClientOptions
    named = re.findall(r"^        (\w+): ", options.__doc__ or "", re.MULTILINE)
    assert named == list(options.__annotations__)


def test_importing_the_library_loads_the_core_alone() -> None:
    """No emulator, no web server, no picture or video library comes with the clients."""
    printed = subprocess.check_output([sys.executable, "-c", _LOADED_BY_USE], text=True)
    loaded = set(json.loads(printed))
    heavy = {"krea_aleph.emulator", "krea_aleph.testing", "starlette", "uvicorn", "av", "PIL"}
    heavy |= {"krea_aleph.webhooks", "krea_aleph.store", "sqlite3"}
    heavy |= {"krea_aleph.storage", "krea_aleph._objects", "krea_aleph._buckets", "obstore"}
    heavy |= {"krea_aleph._cards", "krea_aleph.notebook", "krea_aleph.pages", "krea_aleph.preview"}
    assert loaded & heavy == set()
