"""What the sweep may read from GitHub: a tenth of the hourly limit, kept in the store between sweeps."""

from collections.abc import Awaitable, Callable

from github_app.clock import Clock
from github_app.store import ALLOWANCES, ModalDictStore
from github_app.store.notes import Allowance, ReadingPosition

# A tenth of the 5,000 calls an hour that an installation has: 60 at once, and 7.3 a minute after that.
_BURST = 60.0
_PER_MINUTE = 7.3
# Of the limit of each minute a sweep has so much in any case; for more it takes what launches leave
# (runners/write_limit.py).
_IN_ANY_CASE = 6
# As many calls as each sweep may make for a list of runners.
_CHEAP = 2


class Spent(Exception):  # noqa: N818 - the end of reading, not an error
    """Nothing is left to spend in this sweep."""


class ReadBudget:
    """What is left for one installation, and where the last sweep's reading ended."""

    def __init__(
        self,
        store: ModalDictStore,
        installation_id: int,
        quota_left: float,
        reserve: Callable[[int], Awaitable[tuple[int, float]]],
        clock: Clock,
    ) -> None:
        """`reserve` takes of an installation's limit of this minute, and tells how many reads that are, until when."""
        self._store = store
        self._installation_id = installation_id
        self._quota_left = quota_left
        self._reserve = reserve
        self._in_any_case = _IN_ANY_CASE
        self._reserved, self._reserved_until = 0, 0.0
        self._key = str(installation_id)
        self._clock = clock
        self._left = 0.0
        self._listing = 0
        self._listed_at = 0.0
        self._may_overdraw = False
        self.position = ReadingPosition()

    async def open(self) -> None:
        """Add what has come in since the last sweep: less as GitHub's quota falls, nothing under a tenth of it.

        Raises:
            StoreError: the store did not answer.
        """
        now = self._clock.now()
        known = await self._store.get(ALLOWANCES, self._key)
        self._left = _BURST if known is None else min(_BURST, known.left + (now - known.at) / 60 * self._per_minute)
        self.position = known.turn if known else ReadingPosition()
        self._listing, self._listed_at = (known.listing, known.listed_at) if known else (0, 0.0)

    @property
    def _per_minute(self) -> float:
        if self._quota_left < 0.1:
            return 0.0
        return _PER_MINUTE if self._quota_left > 0.5 else _PER_MINUTE / 3

    async def close(self) -> None:
        """Keep what is left, and where the next sweep goes on.

        Raises:
            StoreError: the store did not answer.
        """
        left = max(self._left, -_BURST)
        kept = Allowance(left, self._clock.now(), self.position, self._listing, self._listed_at)
        await self._store.put(ALLOWANCES, self._key, kept)

    @property
    def half(self) -> int:
        """Half of the calls that are left."""
        return max(0, int(self._left / 2))

    @property
    def may_list(self) -> bool:
        """Runners are listed in every sweep while that is cheap; else when half of what is left, or came in, pays it.

        What is left alone would not do: the reading of queued jobs may leave nothing, in every sweep.
        """
        came_in = (self._clock.now() - self._listed_at) / 60 * self._per_minute
        return self._listing <= _CHEAP or max(self._left, came_in) >= 2 * self._listing

    def charge_listing(self, calls: int) -> None:
        """Count what it cost to list the runners."""
        self._listing, self._listed_at = calls, self._clock.now()
        self._left -= calls
        self._in_any_case -= calls

    @property
    def is_spent(self) -> bool:
        """Tell whether nothing is left."""
        return self._left < 1

    def begin_step(self) -> None:
        """Let one step be made to its end, on credit if need be: one that is cut off each time is never made.

        Raises:
            Spent: nothing is left to begin with.
        """
        if self.is_spent:
            raise Spent
        self._may_overdraw = True

    def end_step(self) -> None:
        """From here on, only what is left is spent."""
        self._may_overdraw = False

    async def spend(self) -> None:
        """Pay for one call.

        Raises:
            Spent: nothing is left.
            StoreError: the store did not answer.
        """
        if self.is_spent and not self._may_overdraw:
            raise Spent
        if self._in_any_case >= 1:
            self._in_any_case -= 1
        elif await self._has_reserved() or self._may_overdraw:
            self._reserved -= 1
        else:
            raise Spent
        self._left -= 1

    async def _has_reserved(self) -> bool:
        if self._reserved < 1 or self._clock.now() > self._reserved_until:
            self._reserved, self._reserved_until = await self._reserve(self._installation_id)
        return self._reserved >= 1

    def refund(self) -> None:
        """Take one payment back, of the hour: a minute's limit has no free answers."""
        self._left += 1
