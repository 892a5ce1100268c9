"""GitHub's limits for one installation, user or App (docs: "Rate limits for the REST API"), and their headers."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from github_app.simulator.github.auth import ApiError

PER_HOUR = 5000
POINTS_PER_MINUTE = 900
_POINTS = {"GET": 1, "HEAD": 1, "OPTIONS": 1}
_WRITE_POINTS = 5


@dataclass
class _Usage:
    window_began: float
    used: int = 0
    spent: deque[tuple[float, int]] = field(default_factory=deque)


class RateLimits:
    """Counts each caller's requests, and refuses those over a limit."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._usage: dict[str, _Usage] = {}
        self.secondary_hits = 0

    def spend(self, caller: str, method: str) -> dict[str, str]:
        """Count one request and return the rate-limit headers.

        Raises:
            ApiError: 403 over the primary limit, 429 with `retry-after` over the secondary one.
        """
        now = self._clock()
        usage = self._usage.setdefault(caller, _Usage(now))
        if now - usage.window_began >= 3600:
            usage.window_began, usage.used = now, 0
        usage.used += 1
        headers = self._headers(usage)
        if usage.used > PER_HOUR:
            raise ApiError(403, f"API rate limit exceeded for {caller.replace(' ', ' ID ')}.", headers=headers)
        self._spend_points(usage, now, _POINTS.get(method, _WRITE_POINTS), headers)
        return headers

    def refund(self, caller: str) -> None:
        """Take a request back: an answer 304 does not count against the primary limit."""
        self._usage[caller].used -= 1

    def used(self, caller: str) -> int:
        """How many requests of this hour count."""
        return self._usage[caller].used if caller in self._usage else 0

    def _spend_points(self, usage: _Usage, now: float, points: int, headers: dict[str, str]) -> None:
        while usage.spent and usage.spent[0][0] <= now - 60:
            usage.spent.popleft()
        if sum(spent for _, spent in usage.spent) + points > POINTS_PER_MINUTE:
            self.secondary_hits += 1
            wait = int(usage.spent[0][0] + 60 - now) + 1
            raise ApiError(
                429, "You have exceeded a secondary rate limit.", headers={**headers, "Retry-After": str(wait)}
            )
        usage.spent.append((now, points))

    def _headers(self, usage: _Usage) -> dict[str, str]:
        return {
            "X-RateLimit-Limit": str(PER_HOUR),
            "X-RateLimit-Remaining": str(max(0, PER_HOUR - usage.used)),
            "X-RateLimit-Used": str(usage.used),
            "X-RateLimit-Reset": str(int(usage.window_began + 3600)),
            "X-RateLimit-Resource": "core",
        }
