"""What a process printed: two bounded streams that can be followed, and their entries in order of time."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field

STDOUT, STDERR = 1, 2


@dataclass(frozen=True)
class Entry:
    """One piece of output as it was read."""

    at: float
    file_descriptor: int
    data: bytes


@dataclass
class _Stream:
    data: bytearray = field(default_factory=bytearray)
    start: int = 0


class Output:
    """The last `limit` bytes, or more by a quarter, of a process's stdout and stderr together."""

    def __init__(self, limit: int = 1 << 20) -> None:
        self._limit = limit
        self._streams = {STDOUT: _Stream(), STDERR: _Stream()}
        self._marks: deque[tuple[float, int, int]] = deque()
        self._size = 0
        self._changed = asyncio.Event()
        self._closed = False

    def append(self, file_descriptor: int, data: bytes) -> None:
        """Add what was read from a process."""
        self._streams[file_descriptor].data += data
        self._marks.append((time.time(), file_descriptor, len(data)))
        self._size += len(data)
        if self._size > self._limit * 5 // 4:
            self._trim()
        self._wake()

    def close(self) -> None:
        """Say that nothing will follow."""
        self._closed = True
        self._wake()

    async def follow(self, file_descriptor: int, offset: int = 0) -> AsyncIterator[tuple[int, bytes]]:
        """Yield each further piece with the offset of its end, until the output is closed."""
        stream = self._streams[file_descriptor]
        while True:
            changed = self._changed
            offset = max(offset, stream.start)
            if data := bytes(stream.data[offset - stream.start :]):
                offset += len(data)
                yield offset, data
            elif self._closed:
                return
            else:
                await changed.wait()

    def entries(self) -> Iterator[Entry]:
        """Yield what is kept, in the order in which it was read."""
        position = {STDOUT: 0, STDERR: 0}
        for at, file_descriptor, length in self._marks:
            start = position[file_descriptor]
            position[file_descriptor] = start + length
            data = self._streams[file_descriptor].data[start : start + length]
            yield Entry(at, file_descriptor, bytes(data))

    @property
    def text(self) -> str:
        """All that is kept, decoded."""
        return b"".join(entry.data for entry in self.entries()).decode(errors="replace")

    def _trim(self) -> None:
        while self._size > self._limit:
            _, file_descriptor, length = self._marks.popleft()
            stream = self._streams[file_descriptor]
            del stream.data[:length]
            stream.start += length
            self._size -= length

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
