"""Valid deliveries, sent steadily while something else goes on: a process of its own, which measures nothing but them.

Reads one line of JSON (`host`, `port`, `request`) and sends the request over and over, each over a connection of its
own and without waiting for the one before, until its stdin is closed. It then prints what became of each.
"""

import asyncio
import json
import sys
import time
import uuid
from typing import Any

A_SECOND = 20
# As long as GitHub waits.
LIMIT_S = 10.0
GUID = "@GUID@"


async def _main() -> None:
    told: dict[str, Any] = json.loads(sys.stdin.readline())
    ended = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
    took: list[tuple[float, int]] = []
    under_way = set()
    began = time.monotonic()
    while not ended.done():
        task = asyncio.create_task(_knock(told, took))
        under_way.add(task)
        task.add_done_callback(under_way.discard)
        began += 1 / A_SECOND
        await asyncio.sleep(max(0.0, began - time.monotonic()))
    await asyncio.gather(*under_way)
    json.dump(took, sys.stdout)


async def _knock(told: dict[str, Any], took: list[tuple[float, int]]) -> None:
    """Send one delivery and keep how many milliseconds its answer took, and its status; 0 is none."""
    request = told["request"].replace(GUID, str(uuid.uuid4())).encode("latin-1")
    began, status = time.monotonic(), 0
    try:
        async with asyncio.timeout(LIMIT_S):
            reader, writer = await asyncio.open_connection(told["host"], told["port"])
            try:
                writer.write(request)
                status = int((await reader.readuntil(b"\r\n\r\n")).split()[1])
            finally:
                writer.close()
    except (OSError, TimeoutError, EOFError, ValueError, IndexError):
        pass
    took.append(((time.monotonic() - began) * 1000, status))


if __name__ == "__main__":
    asyncio.run(_main())
