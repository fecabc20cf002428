"""Faults and quirks that people switch on by hand: a few of the many that programs can set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from attrs import asdict, frozen

from krea_aleph.emulator.face.guard import Refusal
from krea_aleph.emulator.outcomes import MARKERS
from krea_aleph.emulator.quirks import QUIRKS
from krea_aleph.emulator.values import ANY, DOWNLOAD, WEBHOOK, Fault

if TYPE_CHECKING:
    from collections.abc import Mapping

    from krea_aleph.emulator.app import App

_BUSY_PAGE: Final = "<html><head><title>503 Service Unavailable</title></head></html>"


@frozen
class Preset:
    """One thing that can go wrong.

    Attributes:
        words: What happens.
        fault: What a `Fault` needs for that.
        only: The one kind of call that it can happen to, if there is one.
    """

    words: str
    fault: Mapping[str, Any]
    only: str | None = None


PRESETS: Final = {
    "lost": Preset("The call is carried out, its answer is lost", {"drop": "after"}),
    "unheard": Preset("The connection breaks before the call is heard", {"drop": "before"}),
    "error_500": Preset("500: an internal error", {"status": 500, "body": {"error": "oops"}}),
    "error_503": Preset("503: a page in HTML", {"status": 503, "body": _BUSY_PAGE}),
    "error_429": Preset(
        "429: too many requests, for 3 seconds",
        {"status": 429, "body": {"error": "slow down"}, "headers": {"retry-after": "3"}},
    ),
    "error_402": Preset("402: the balance is empty", {"status": 402, "body": {"error": "empty"}}),
    "error_401": Preset("401: the key is refused", {"status": 401, "body": {"error": "key"}}),
    "garbage": Preset("200 with an answer that is no JSON", {"status": 200, "body": "<<<"}),
    "slow": Preset("Five seconds of silence, then the answer", {"stall": 5.0}),
    "silent": Preset("No answer at all", {"stall": float("inf")}),
    "cut": Preset("The file breaks off after 20,000 bytes", {"cut": 20_000}, DOWNLOAD),
    "short": Preset("The file is sent as if 20,000 bytes were all", {"truncate": 20_000}, DOWNLOAD),
    "drip": Preset("The file comes 1,000 bytes at a time", {"pace": 1000}, DOWNLOAD),
    "twice": Preset("A webhook is delivered twice", {"duplicates": 1}, WEBHOOK),
    "late": Preset("A webhook comes 30 seconds late", {"delay": 30.0}, WEBHOOK),
}


class Presets:
    """What can be switched, in one emulator."""

    def __init__(self, app: App) -> None:
        self._app = app

    def menu(self) -> dict[str, Any]:
        """Return what there is to choose from."""
        operations = [op.id for op in self._app.contract.operations if op.ours]
        return {
            "presets": [
                {"id": name, "words": preset.words, "only": preset.only}
                for name, preset in PRESETS.items()
            ],
            "operations": [*operations, DOWNLOAD, WEBHOOK, ANY],
            "quirks": [{"name": name, "words": quirk.sentence} for name, quirk in QUIRKS.items()],
            "markers": list(MARKERS),
        }

    def switch_on(self, wanted: Mapping[str, Any]) -> None:
        """Let something go wrong from now on.

        Raises:
            Refusal: There is no such thing, or it cannot happen to that call.
        """
        preset = PRESETS.get(str(wanted.get("preset")))
        if preset is None:
            raise Refusal(400, "There is no such fault")
        operation = preset.only or str(wanted.get("operation"))
        if operation not in self.menu()["operations"]:
            raise Refusal(400, "There is no such call")
        times = _count(wanted, "times")
        every = _count(wanted, "every")
        self._app.faults.add(Fault(operation=operation, times=times, every=every, **preset.fault))

    def switch_off(self, wanted: Mapping[str, Any]) -> None:
        """Forget one fault, or all of them."""
        number = wanted.get("number")
        if number is None:
            self._app.faults.clear()
        else:
            self._app.faults.remove(number)

    def switch_quirk(self, wanted: Mapping[str, Any]) -> None:
        """Switch a quirk on or off.

        Raises:
            ConfigError: There is none of this name.
        """
        self._app.service.switches.switch(str(wanted.get("name")), on=wanted.get("on") is True)


def words_of(fault: Fault) -> str:
    """Return what a fault does: as its preset says, else by its settings."""
    for preset in PRESETS.values():
        operation = preset.only or fault.operation
        same = Fault(operation=operation, times=fault.times, every=fault.every, **preset.fault)
        if fault == same:
            return preset.words
    usual = Fault(operation=fault.operation, times=fault.times)
    told = [
        f"{name}={value!r}"
        for name, value in asdict(fault, recurse=False).items()
        if value != getattr(usual, name)
    ]
    return ", ".join(told)[:200]


def _count(wanted: Mapping[str, Any], name: str) -> int | None:
    """Return a number of calls; None for any."""
    value = wanted.get(name)
    if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
        raise Refusal(400, f"{name} is no whole number")
    return value
