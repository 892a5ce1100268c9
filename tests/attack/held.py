"""Large bodies of strangers: declared and one byte short, or in chunks without an end."""

import asyncio
from contextlib import suppress

from tests.attack import wire
from tests.attack.scene import Scene

# Figures.
READ_ON = "not refused at the head"
TAKEN = "MiB taken of one"

_MIB = 1024 * 1024
_PIECE = b"x" * 65536
_CHUNK = b"10000\r\n" + _PIECE + b"\r\n"
# What GitHub caps payloads at.
_DECLARED = 25_000_000
# No chunked body goes on for longer than this: the machine is everyone's.
_ENDLESS = 40 * _MIB
_HEAD_S = 2.0


def _signatures(scene: Scene) -> list[str | None]:
    """One for each body: every other one has a signature, which only the whole body could prove wrong."""
    return [None, "sha256=" + "0" * 64] * scene.size(30, 15)


async def declared(scene: Scene) -> None:
    """Bodies whose last byte never comes; they are sent where the head alone was not refused."""
    read_on: list[int] = []
    hold = float(scene.size(5, 2))
    await asyncio.gather(*(_hold(scene, each, read_on, hold) for each in _signatures(scene)))
    scene.figures[READ_ON] = len(read_on)


async def _hold(scene: Scene, signature: str | None, read_on: list[int], hold: float) -> None:
    status = None
    head = wire.head([*wire.headers(signature), ("Content-Length", str(_DECLARED))])
    with suppress(OSError, TimeoutError):
        async with wire.connection(scene.plane.url) as (reader, writer):
            writer.write(head)
            with suppress(TimeoutError):
                status = await asyncio.wait_for(wire.status(reader), _HEAD_S)
            if status is None or not 400 <= status < 500:
                read_on.append(1)
            if status is None:
                async with asyncio.timeout(hold + 10):
                    whole, rest = divmod(_DECLARED - 1, len(_PIECE))
                    await wire.pour(writer, [_PIECE] * whole + [_PIECE[:rest]], [])
                async with asyncio.timeout(hold):
                    status = await wire.status(reader)
    scene.count(status)


async def under_the_cap(scene: Scene) -> None:
    """Bodies that the app takes, one byte short, more of them than it reads at a time."""
    size = _MIB - 1
    await asyncio.gather(*(_keep(scene, each, size, float(scene.size(12, 5))) for each in _signatures(scene) * 2))


async def _keep(scene: Scene, signature: str | None, size: int, hold: float) -> None:
    status = None
    with suppress(OSError, TimeoutError):
        async with wire.connection(scene.plane.url) as (reader, writer):
            writer.write(wire.head([*wire.headers(signature), ("Content-Length", str(size))]) + b"x" * (size - 1))
            async with asyncio.timeout(hold):
                status = await wire.status(reader)
    scene.count(status)


async def chunked(scene: Scene) -> None:
    """Chunks for ever, of a body that declares no size; until it is refused, or as far as we go."""
    taken = await asyncio.gather(*(_pour(scene, each) for each in _signatures(scene)))
    scene.figures[TAKEN] = max(taken) / _MIB


async def _pour(scene: Scene, signature: str | None) -> int:
    sent: list[int] = []
    status = None
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(20), wire.connection(scene.plane.url) as (reader, writer):
            writer.write(wire.head([*wire.headers(signature), ("Transfer-Encoding", "chunked")]))
            pouring = asyncio.create_task(wire.pour(writer, [_CHUNK] * (_ENDLESS // len(_CHUNK)), sent))
            try:
                status = await wire.status(reader)
            finally:
                pouring.cancel()
    scene.count(status)
    return sum(sent)
