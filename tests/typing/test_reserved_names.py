"""Names of ours and names of upstream share a call; the regeneration must know ours."""

import inspect
import tomllib
from pathlib import Path

from krea_aleph import Aleph

RULES = Path(__file__).parents[2] / "scripts" / "codegen" / "rules.toml"
# Ours already by agreement, for what is to come: a field upstream may not take them meanwhile.
PROMISED = {"intent"}


def test_the_reserved_names_are_the_parameters_of_the_calls_that_take_options() -> None:
    """A field upstream with one of these names gets another; no other field needs one."""
    reserved = set(tomllib.loads(RULES.read_text())["facade"]["reserved"])
    ours = {
        name
        for verb in (Aleph.check, Aleph.submit, Aleph.transform)
        for name, parameter in inspect.signature(verb).parameters.items()
        if parameter.kind is not parameter.VAR_KEYWORD
    }
    assert reserved == ours | PROMISED
