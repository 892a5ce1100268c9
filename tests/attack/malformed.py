"""Requests that are wrong, each in its own way. What is wrong with a payload is signed: else nobody would read it."""

from tests.attack.malformed_http import http
from tests.attack.malformed_json import payloads
from tests.attack.scene import Scene

# Figures.
KINDS = "kinds"

# Some of them are never complete, and are not answered.
_PATIENCE_S = 3.0


async def send_all(scene: Scene) -> None:
    """Send every kind, over and over."""
    sign = scene.plane.sign
    kinds = http(sign) | payloads(scene.plane.queued("self-hosted", "modal"), sign)
    scene.figures[KINDS] = len(kinds)
    await scene.flood([each for _ in range(scene.size(10, 2)) for each in kinds.values()], patience=_PATIENCE_S)
