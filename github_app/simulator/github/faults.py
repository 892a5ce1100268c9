"""What can go wrong at GitHub. The default is that nothing does."""

from collections.abc import Sequence
from typing import Protocol

from github_app.simulator.github.state import Delivery


class Hangup(Exception):  # noqa: N818 - what happens on the wire
    """The connection breaks off in the middle of an answer."""


class Faults(Protocol):
    """Decides what goes wrong. `before` and `after` may sleep, or raise `ApiError` or `Hangup`."""

    busy_lag_s: float

    async def before(self, call: str) -> None:
        """Run before a call of the REST API takes effect."""

    async def after(self, call: str) -> None:
        """Run after its effect and before its answer."""

    def hand_over(self, delivery: Delivery) -> Sequence[float]:
        """After how many seconds each to hand a delivery over; nothing for one that is lost without a trace."""
        ...

    def breaks_connection(self) -> bool:
        """Whether the next delivery fails to connect."""
        ...

    def conduct(self) -> str | None:
        """How the next runner misbehaves: `never-online`, `ghost`, `exit-0`, `exit-7`, or not at all."""
        ...


class NoFaults:
    """Nothing goes wrong."""

    busy_lag_s = 0.0

    async def before(self, call: str) -> None:
        """Go on."""

    async def after(self, call: str) -> None:
        """Go on."""

    def hand_over(self, delivery: Delivery) -> Sequence[float]:
        """Once, at once."""
        del delivery
        return (0.0,)

    def breaks_connection(self) -> bool:
        """No."""
        return False

    def conduct(self) -> str | None:
        """Well."""
        return None
