"""What others do at the same time: on the account, or with the same store and the same wish."""

from __future__ import annotations

from weather.catalogue import kind
from weather.scene import Scene


@kind("two clients with the same wish at once", "Nothing: one job, and both get it.", group="twin")
def _twins(scene: Scene) -> bool | None:
    if scene.store is None:
        return None
    scene.twin = True
    return True


@kind("strangers' jobs at every moment", "Nothing; on a shared account more candidates.")
def _strangers(scene: Scene) -> bool | None:
    if scene.exclusive:
        return None  # the promise that there are none
    turns = {scene.dice.randint(1, 10) for _ in range(4)}
    came: list[int] = []

    def come(number: int) -> None:
        if number in turns:
            came.append(number)
            scene.emulator.foreign(1, seconds=1.0)

    scene.on_request.append(come)
    scene.only_if(lambda: bool(came))
    return True
