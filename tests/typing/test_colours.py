"""`Aleph` and `AsyncAleph` promise the same in the same words."""

import inspect
from typing import Any

import pytest

from krea_aleph import Aleph, AsyncAleph

VERBS = sorted(name for name in vars(Aleph) if not name.startswith("_"))


def _promise(client: Any, verb: str) -> tuple[str, str]:
    method = inspect.unwrap(getattr(client, verb))
    signature = str(inspect.signature(method)).replace("AsyncGenerator", "Generator")
    signature = signature.replace(
        " | AsyncIterable[Item | BadItem]", ""
    )  # what only tasks can read
    return signature, inspect.getdoc(method) or ""


def test_the_colours_have_the_same_verbs() -> None:
    """Whoever knows one knows the other; only `aclose` is there for those who look for it."""
    asynchronous = {name for name in vars(AsyncAleph) if not name.startswith("_")}
    assert asynchronous - {"aclose"} == set(VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_is_the_same_in_both_colours(verb: str) -> None:
    """Parameters, defaults, types and documentation agree to the letter."""
    assert _promise(Aleph, verb) == _promise(AsyncAleph, verb)
