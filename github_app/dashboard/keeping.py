"""The last answer of something that many ask: read once for all, and no more often than is worth it."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")
# What takes long to read is read more seldom: this many times as long passes in between.
_SELDOM = 10.0


class Kept(Generic[T]):
    """Keeps it for so many seconds, and shows it for as long again while the next one is read."""

    def __init__(self, read: Callable[[], Awaitable[T]], good_for_s: float, *, shows_old: bool = False) -> None:
        self._read = read
        self._good_for_s = good_for_s
        self._shows_old = shows_old
        self._found: tuple[float, float, T] | None = None
        self._reading: asyncio.Task[T] | None = None

    async def get(self) -> T:
        """The answer. Raises what `read` does, unless an older one is shown."""
        age, good_for_s = float("inf"), self._good_for_s
        if self._found is not None:
            age, good_for_s = time.monotonic() - self._found[0], max(good_for_s, _SELDOM * self._found[1])
            if age < good_for_s:
                return self._found[2]
        if self._reading is None:
            self._reading = asyncio.create_task(self._read_anew())
            self._reading.add_done_callback(self._is_over)
        if self._found is not None and self._shows_old and age < 2 * good_for_s:
            return self._found[2]
        return await asyncio.shield(self._reading)

    async def _read_anew(self) -> T:
        began = time.monotonic()
        found = await self._read()
        now = time.monotonic()
        # One that was begun before something was changed here is not kept.
        if self._reading is asyncio.current_task():
            self._found = (now, now - began, found)
        return found

    def _is_over(self, reading: "asyncio.Task[T]") -> None:
        if self._reading is reading:
            self._reading = None
        # Those who waited for it were told; nobody may have.
        if not reading.cancelled():
            reading.exception()

    def forget(self) -> None:
        """Read anew the next time."""
        self._found = self._reading = None
