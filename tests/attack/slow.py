"""Connections that take their time: heads and bodies of which a byte comes every other second."""

import asyncio
import math

from tests.attack import wire
from tests.attack.scene import Scene

# Figures.
OPEN = "still open"
CLOSED_S = "closed after s"

DEADLINE_S = 20.0
# Answers are written before anyone is found not to read them.
LONGEST_S = 30.0
_EVERY_S = 2.0
_LINE = b"POST /webhook HTTP/1.1\r\n"
_WRONG = "sha256=" + "0" * 64


async def heads(scene: Scene) -> None:
    """Heads that never end: from their first byte on, in the middle of a header, and after a whole request."""
    first = wire.head([("Host", "x")], line="GET /healthz HTTP/1.1")
    await _dribble(scene, [(b"", _LINE), (_LINE + b"Host: x\r\nX-Slow: ", b""), (first, _LINE)])


async def bodies(scene: Scene) -> None:
    """Bodies that never end: without a signature, with a wrong one, and in chunks."""
    declared, chunked = ("Content-Length", "100000"), ("Transfer-Encoding", "chunked")
    kinds = [
        wire.head([*wire.headers(None), declared]),
        wire.head([*wire.headers(_WRONG), declared]),
        wire.head([*wire.headers(None), chunked]) + b"10000\r\n",
        wire.head([*wire.headers(_WRONG), chunked]) + b"10000\r\n",
    ]
    await _dribble(scene, [(kind, b"{") for kind in kinds])


async def readers(scene: Scene) -> None:
    """Many requests at once on a connection whose answers nobody reads."""
    asked = wire.head([("Host", "x")], line="GET /healthz HTTP/1.1") * 20_000
    ended = await asyncio.gather(
        *(wire.deaf(scene.plane.url, asked, limit=LONGEST_S) for _ in range(scene.size(40, 15)))
    )
    closed = [after for after in ended if math.isfinite(after)]
    scene.figures[OPEN] = len(ended) - len(closed)
    scene.figures[CLOSED_S] = max(closed, default=math.inf)


async def _dribble(scene: Scene, kinds: list[tuple[bytes, bytes]]) -> None:
    every = scene.size(300, 120) // len(kinds)
    ended = await asyncio.gather(
        *(
            wire.dribble(scene.plane.url, first, rest, every=_EVERY_S, limit=DEADLINE_S)
            for first, rest in kinds
            for _ in range(every)
        )
    )
    for status, _ in ended:
        scene.count(status)
    closed = [after for _, after in ended if math.isfinite(after)]
    scene.figures[OPEN] = len(ended) - len(closed)
    scene.figures[CLOSED_S] = max(closed, default=math.inf)
