"""What is measured of the app while it is attacked: its memory, and how it answers valid deliveries meanwhile."""

import asyncio
import contextlib
import json
import math
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from tests.attack import knock, wire
from tests.worlds.control_plane import ControlPlane

_LOOK_S = 0.01
_ROOT = Path(__file__).parents[2]


@dataclass
class Knocks:
    """The valid deliveries of one attack: milliseconds and status of each, once all are answered."""

    took: list[tuple[float, int]] = field(default_factory=list)

    @property
    def p99_ms(self) -> float:
        """What 99 in a hundred took at most."""
        times = sorted(ms for ms, _ in self.took)
        return times[math.ceil(0.99 * len(times)) - 1] if times else math.inf

    @property
    def failed(self) -> int:
        """How many were not answered 2xx."""
        return sum(not 200 <= status < 300 for _, status in self.took)


@contextlib.asynccontextmanager
async def knocking(plane: ControlPlane) -> AsyncIterator[Knocks]:
    """Send valid deliveries for a label that is not ours, until the block ends."""
    knocks = Knocks()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.attack.knock"),
        cwd=_ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        address = urlsplit(plane.url)
        told = {"host": address.hostname, "port": address.port, "request": _request(plane).decode("latin-1")}
        assert process.stdin is not None
        process.stdin.write(json.dumps(told).encode() + b"\n")
        yield knocks
        process.stdin.close()
        async with asyncio.timeout(knock.LIMIT_S + 5):
            output, _ = await process.communicate()
        knocks.took = [(ms, status) for ms, status in json.loads(output)]
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def _request(plane: ControlPlane) -> bytes:
    body = json.dumps(plane.queued("ubuntu-latest")).encode()
    return wire.post(body, wire.headers(plane.sign(body), guid=knock.GUID))


@dataclass
class Memory:
    """Resident MiB at the beginning, and the most since."""

    before: float
    peak: float


@contextlib.asynccontextmanager
async def memory(plane: ControlPlane) -> AsyncIterator[Memory]:
    """Watch the app's memory until the block ends."""
    now = plane.resident_mib()
    seen = Memory(now, now)

    async def look() -> None:
        # A process that has ended has no memory to tell of.
        with contextlib.suppress(OSError, IndexError):
            while True:
                seen.peak = max(seen.peak, plane.resident_mib())
                await asyncio.sleep(_LOOK_S)

    looking = asyncio.create_task(look())
    try:
        yield seen
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
