"""More connections than the app has file descriptors."""

import asyncio
import json
import math
import time
from contextlib import AsyncExitStack, suppress
from pathlib import Path

from tests.attack import wire
from tests.attack.scene import Scene

# Figures.
LOG_KIB = "log KiB"
AFTER_S = "valid answered after s"
HEALTH_S = "healthz meanwhile after s"
UNOPENED = "connections not opened"

FILES = 256
_CONNECTIONS = 600
_SITE = f"import resource\n\nresource.setrlimit(resource.RLIMIT_NOFILE, ({FILES}, {FILES}))\n"


def limited(folder: Path) -> dict[str, str]:
    """The variables that start the app as after `ulimit -n 256`: Python runs a `sitecustomize` before all else."""
    (folder / "sitecustomize.py").write_text(_SITE)
    return {"PYTHONPATH": str(folder)}


async def exhaust(scene: Scene) -> None:
    """Open and hold connections that say nothing, let go of them, and knock."""
    plane = scene.plane
    limits = Path(f"/proc/{plane.process.pid}/limits").read_text()
    assert limits.partition("Max open files")[2].split()[0] == str(FILES), limits
    before = plane.log.stat().st_size
    async with AsyncExitStack() as held:
        opened = await asyncio.gather(*(_open(held, plane.url) for _ in range(_CONNECTIONS)))
        scene.figures[UNOPENED] = opened.count(False)
        began = time.monotonic()
        status = await scene.send(wire.head([("Host", "x")], line="GET /healthz HTTP/1.1"), patience=2.0)
        scene.figures[HEALTH_S] = time.monotonic() - began if status == 200 else math.inf
        await asyncio.sleep(scene.size(5, 3))
    began = time.monotonic()
    body = json.dumps(plane.queued("ubuntu-latest")).encode()
    status = await scene.send(scene.signed(body))
    scene.figures[AFTER_S] = time.monotonic() - began if status == 202 else math.inf
    scene.figures[LOG_KIB] = (plane.log.stat().st_size - before) / 1024


async def _open(held: AsyncExitStack, url: str) -> bool:
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(5):
            await held.enter_async_context(wire.connection(url))
            return True
    return False
