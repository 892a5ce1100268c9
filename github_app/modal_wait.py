"""How long a command waits for Modal at all; nothing of Modal's SDK is imported for that."""

import time


class FirstAnswer:
    """How long a command waits for Modal's first answer of all: without a network the SDK would try for minutes.

    What runs for good waits as long as each call may take.
    """

    def __init__(self) -> None:
        self._seconds: float | None = None
        self._until: float | None = None

    def within(self, seconds: float) -> None:
        """Wait no longer than this, from the first call on."""
        self._seconds = seconds

    def came(self) -> None:
        """There is a way to Modal."""
        self._seconds = None

    def left_s(self) -> float | None:
        """What is left to wait; None when it has come, or nobody is in a hurry."""
        if self._seconds is None:
            return None
        if self._until is None:
            self._until = time.monotonic() + self._seconds
        return max(0.0, self._until - time.monotonic())


first_answer = FirstAnswer()
