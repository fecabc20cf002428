"""Docstrings are the reference: public classes have examples, and those that can run are true."""

from __future__ import annotations

import doctest
import warnings
from importlib import import_module
from pathlib import Path

import pytest

import krea_aleph
from krea_aleph import manifest, webhooks

MODULES = (
    "contract models outcomes policies store webhooks webhooks.delivery webhooks.judge".split()
)
PUBLIC = [
    thing
    for module in (krea_aleph, manifest, webhooks)
    for name in module.__all__
    if isinstance(thing := getattr(module, name), type) and not issubclass(thing, BaseException)
]
# Protocols, which users write instead of calling; and options, which the guides show.
WITHOUT = {"AlephOptions", "ClientOptions", "Clock", "Record", "Store"}


@pytest.mark.parametrize("module", MODULES)
def test_the_examples_are_true(module: str) -> None:
    """What a reader types in gives what stands there."""
    found = import_module(f"krea_aleph.{module}")
    with warnings.catch_warnings():
        result = doctest.testmod(found, extraglobs={"Path": Path})
    assert result.attempted
    assert not result.failed


@pytest.mark.parametrize("kind", PUBLIC, ids=lambda kind: kind.__name__)
def test_public_classes_have_examples(kind: type) -> None:
    """Nobody has to guess what one is good for."""
    assert kind.__name__ in WITHOUT or ">>> " in (kind.__doc__ or "")
