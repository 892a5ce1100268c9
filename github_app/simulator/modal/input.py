"""What is written to a process: bytes in their order, each once, held back while it does not read."""

import asyncio
import os
from typing import IO


class Input:
    """The writing end of a process's standard input, a pipe or a terminal."""

    def __init__(self, end: IO[bytes]) -> None:
        os.set_blocking(end.fileno(), False)
        self._end = end
        self._written = 0
        self._lock = asyncio.Lock()
        self._waiting: asyncio.Future[None] | None = None

    async def write(self, data: bytes, offset: int, *, eof: bool) -> None:
        """Write what follows `offset` of the whole, as far as it is not there yet; then close it if `eof`.

        Raises:
            OSError: nobody reads it any more.
            ValueError: what lies before the offset has never come.
        """
        async with self._lock:
            if offset > self._written:
                raise ValueError(f"{self._written} bytes have come, and not {offset}")
            rest = data[self._written - offset :]
            while rest:
                if self._end.closed:
                    raise BrokenPipeError
                try:
                    count = os.write(self._end.fileno(), rest)
                except BlockingIOError:
                    await self._room()
                    continue
                self._written += count
                rest = rest[count:]
            if eof:
                self.close()

    def close(self) -> None:
        """Close it; who waits for room is told."""
        if not self._end.closed:
            asyncio.get_running_loop().remove_writer(self._end.fileno())
            self._end.close()
        self._wake()

    async def _room(self) -> None:
        loop = asyncio.get_running_loop()
        self._waiting = loop.create_future()
        loop.add_writer(self._end.fileno(), self._wake)
        try:
            await self._waiting
        finally:
            if not self._end.closed:
                loop.remove_writer(self._end.fileno())

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)
