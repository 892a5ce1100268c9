"""Budgets that are spent one by one and fill again with time."""

from github_app.clock import Clock
from github_app.store import ALLOWANCES, ModalDictStore
from github_app.store.notes import Allowance


class Bucket:
    """Of this process alone: holds `most`, and gains some each second."""

    def __init__(self, most: float, per_second: float, now: float) -> None:
        self._most, self._per_second, self._left, self._at = most, per_second, most, now

    def take(self, now: float) -> bool:
        """Take one, if there is one left."""
        self._left = min(self._most, self._left + (now - self._at) * self._per_second)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class SharedBucket:
    """The same for all processes, on Modal one a minute; two that take at the same moment may count as one."""

    def __init__(self, store: ModalDictStore, name: str, most: float, per_second: float, clock: Clock) -> None:
        self._store = store
        self._name = name
        self._most, self._per_second = most, per_second
        self._clock = clock

    async def left(self) -> float:
        """How many there are.

        Raises:
            StoreError: the store did not answer.
        """
        known = await self._store.get(ALLOWANCES, self._name)
        if known is None:
            return self._most
        return min(self._most, known.left + (self._clock.now() - known.at) * self._per_second)

    async def take(self) -> bool:
        """Take one, if there is one left.

        Raises:
            StoreError: the store did not answer.
        """
        left = await self.left()
        if left < 1:
            return False
        await self._store.put(ALLOWANCES, self._name, Allowance(left - 1, self._clock.now()))
        return True
