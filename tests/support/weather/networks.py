"""What goes wrong on the way to Krea: names, certificates, handshakes and proxies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from krea_aleph import RetryPolicy
from weather.catalogue import Arm, kind
from weather.kinds import NOWHERE
from weather.scene import ANY, Scene


@kind("no address for Krea's name", "APIConnectionError; nothing was sent.", group="place")
def _no_name(scene: Scene) -> bool:
    scene.options |= {"base_url": f"http://{NOWHERE}", "trusted_hosts": (NOWHERE,)}
    return False


@kind("nobody listens at Krea's address", "APIConnectionError; nothing was sent.", group="place")
def _nobody(scene: Scene) -> bool:
    scene.options |= {"base_url": f"http://127.0.0.1:{scene.stage.closed_port}"}
    return False


def _never_trusted(fate: str) -> Arm:
    def arm(scene: Scene) -> bool:
        gateway = scene.stage.gateway
        trusting = {} if fate == "unknown" else {"ssl_context": gateway.trusting}
        scene.options |= {"base_url": gateway.url, "retry": RetryPolicy(attempts=2), **trusting}
        gateway.always = "" if fate == "unknown" else fate
        gateway.met.clear()
        scene.only_if(lambda: bool(gateway.met))
        return False

    return arm


_UNTRUSTED = "APIConnectionError with the reason; nothing was sent."
kind("certificate of an unknown authority", _UNTRUSTED, group="place")(_never_trusted("unknown"))
kind("certificate of another host", _UNTRUSTED, group="place")(_never_trusted("another host"))
kind("certificate that has expired", _UNTRUSTED, group="place")(_never_trusted("expired"))


def _through(scene: Scene, fates: Sequence[str], **more: Any) -> Iterator[str]:
    """Go through the gateway on many connections, and draw for each whether and how it fails."""
    gateway, dice = scene.stage.gateway, scene.dice
    scene.options |= {"base_url": gateway.url, "ssl_context": gateway.trusting, **more}
    scene.fault(operation=ANY, times=None, nth=1, every=dice.randint(1, 3), close=True)
    gateway.met.clear()
    gateway.proxy.met.clear()
    scene.only_if(lambda: bool({*gateway.met, *gateway.proxy.met} & {*fates}))
    return (dice.choice(fates) if dice.random() < 0.3 else "" for _ in range(12))


_DELAYED = "Nothing but a delay; APIConnectionError when it lasts."


@kind("TLS handshakes that fail", _DELAYED, group="place")
def _handshakes(scene: Scene) -> bool:
    scene.stage.gateway.fates.extend(_through(scene, ("no TLS", "expired", "another host")))
    return False


@kind("TLS handshakes that are cut", _DELAYED, group="place")
def _cut_handshakes(scene: Scene) -> bool:
    scene.stage.gateway.fates.extend(_through(scene, ("cut", "cut in the middle")))
    return False


@kind("proxy that nobody runs", "APIConnectionError; nothing was sent.", group="place")
def _no_proxy(scene: Scene) -> bool:
    proxy = f"http://127.0.0.1:{scene.stage.closed_port}"
    list(_through(scene, ("",), proxy=proxy))
    scene.only_if(lambda: True)
    return False


def _proxy(*fates: str) -> Arm:
    def arm(scene: Scene) -> bool:
        proxy = scene.stage.gateway.proxy
        proxy.fates.extend(_through(scene, fates, proxy=proxy.url))
        return False

    return arm


kind("proxy that asks for a password", _DELAYED, group="place")(_proxy("407"))
kind("proxy that reaches nobody (502, 504)", _DELAYED, group="place")(_proxy("502", "504"))
kind("proxy that hangs up on CONNECT", _DELAYED, group="place")(_proxy("silent"))
kind("proxy that dies in the middle", "A delay; at the paid request, SubmitUncertainError.",
     group="place")(_proxy("dies"))  # fmt: skip
