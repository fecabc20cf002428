"""Test your own code against a local Krea: no network, no key, no cost, no waiting.

With the extra ``[emulator]`` installed, pytest finds the fixture ``krea_emulator`` by itself::

    def test_my_service(krea_emulator):
        aleph = krea_emulator.aleph(virtual_time=True)        # two hours pass in milliseconds
        video = aleph.upload("clip.mp4")
        krea_emulator.outcome(status="failed", error={"code": "nsfw", "message": "blocked"})
        with pytest.raises(JobRejectedError):
            my_service.restyle(aleph, video)
        assert krea_emulator.accepted == 1

    @pytest.mark.krea_emulator(concurrency=2, credits=5)      # options of Emulator
    def test_my_batch(krea_emulator): ...

Without pytest, `Emulator` is a context manager. What goes wrong on demand is a `Fault`::

    krea_emulator.fault(Fault(operation="get_job", nth=2, status=503, body="<html>busy</html>"))
    krea_emulator.fault(Fault(operation="create_aleph_job", drop="after"))

`VirtualClock` serves any client by itself: ``Aleph(clock=VirtualClock(), ...)``; it needs no extra.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from krea_aleph.emulator import Emulator, Fault, Outcome, VirtualClock

__all__ = ["Emulator", "Fault", "Outcome", "VirtualClock"]


if not TYPE_CHECKING:  # type checkers know the names from above

    def __getattr__(name: str) -> object:
        """Import a part when it is first used, so that importing this module costs nothing."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from krea_aleph import emulator  # noqa: PLC0415 - see above

        return getattr(emulator, name)
