"""Budgets that are spent one by one and fill again with time. Pure."""


class Bucket:
    """Holds `most`, and gains some each second."""

    def __init__(self, most: float, per_second: float, now: float) -> None:
        self._most, self._per_second, self._left, self._at = most, per_second, most, now

    def holds_one(self, now: float) -> bool:
        """Tell whether there is one left to take."""
        self._left = min(self._most, self._left + (now - self._at) * self._per_second)
        self._at = now
        return self._left >= 1

    def take(self) -> None:
        """Take one, whether it is there or not."""
        self._left = max(0.0, self._left - 1)
