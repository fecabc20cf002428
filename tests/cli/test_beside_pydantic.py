"""The framework of the command line validates with pydantic, where a program has imported that."""

from typing import Any

import pydantic
import pytest

from krea_aleph.cli.commands import COMMANDS


@pytest.mark.parametrize("command", [command.name for command in COMMANDS])
def test_a_program_that_uses_pydantic_may_embed_the_command(command: str, krea: Any) -> None:
    """Options that are not given are no mistakes there, either."""
    assert pydantic.VERSION
    words = {"run": ("in.mp4", "snow", "-o", "out.mp4"), "submit": ("in.mp4", "snow")}
    job = ("550e8400-e29b-41d4-a716-446655440000",)
    words |= {"download": (*job, "-o", "out.mp4"), "batch": ("none.csv", "--out", "out")}
    words |= dict.fromkeys(("wait", "watch", "get", "cancel"), job) | {"upload": ("in.mp4",)}
    words |= {"emulator": ("--list-quirks",), "completion": ("bash",)}
    done = krea(command, *words.get(command, ()))
    assert "pydantic" not in done.err
    assert "validation" not in done.err
