"""Clocks for tests."""

from dataclasses import dataclass

from github_app.clock import Clock


@dataclass(frozen=True)
class HandClock(Clock):
    """A clock that stands until it is moved."""

    hand: list[float] | None = None

    def now(self) -> float:
        return (self.hand or [0.0])[0]


def standing_clock(at: float) -> HandClock:
    return HandClock(hand=[at])
