"""The clock, given to whatever needs the time or waits. A soak runs in compressed time by giving another scale."""

import asyncio
import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Clock:
    """Real time, or time that runs `scale` times as fast since `origin` (Unix seconds)."""

    scale: float = 1.0
    origin: float = 0.0

    def now(self) -> float:
        """Unix seconds."""
        return self.origin + (time.time() - self.origin) * self.scale

    async def sleep(self, seconds: float) -> None:
        """Wait for `seconds` of this clock."""
        await asyncio.sleep(seconds / self.scale)
