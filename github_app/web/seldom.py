"""What happens very often, and is told of now and then."""

import time

_EVERY_S = 60.0


class Seldom:
    """Has the first of a kind told, and then one a minute with how many there were."""

    def __init__(self) -> None:
        self._next, self._count = float("-inf"), 0

    def due(self) -> int:
        """Count one; return how many have not been told of if that is to be done now, else 0."""
        self._count += 1
        if (now := time.monotonic()) < self._next:
            return 0
        count, self._count, self._next = self._count, 0, now + _EVERY_S
        return count
