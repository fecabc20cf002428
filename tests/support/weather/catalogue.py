"""The catalogue of bad weather: each kind with what the user sees of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from weather.scene import Scene

Arm = Callable[[Scene], bool | None]


@dataclass(frozen=True)
class Kind:
    """A kind of weather.

    Attributes:
        name: What goes wrong.
        sees: What the user sees of it.
        arm: Lets it happen in a run; says whether the first call must succeed all the same, or
            None where the run gives it no occasion.
        group: Of kinds of one group only one happens in a run.
        colours: The colours of client that can meet it.
    """

    name: str
    sees: str
    arm: Arm
    group: str = ""
    colours: tuple[str, ...] = ("sync", "asyncio", "trio")


KINDS: Final[dict[str, Kind]] = {}


def kind(
    name: str, sees: str, *, group: str = "", colours: tuple[str, ...] | None = None
) -> Callable[[Arm], Arm]:
    """Enter a kind of weather into the catalogue."""

    def enter(arm: Arm) -> Arm:
        KINDS[name] = Kind(name, sees, arm, group, colours or ("sync", "asyncio", "trio"))
        return arm

    return enter
