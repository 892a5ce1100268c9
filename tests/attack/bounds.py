"""What an attack is, what is measured of it, and within which bounds that must stay."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from tests.attack.scene import Scene

# Figures that are taken of every attack. Those of one attack alone are named where they are taken.
SENT = "requests"
CLASSES = ("2xx", "3xx", "4xx", "5xx", "none")
BEFORE, PEAK, GROWTH = "MiB before", "MiB peak", "MiB grown"
P99, VALID, FAILED = "valid p99 ms", "valid sent", "valid not 2xx"
SANDBOXES = "sandboxes"
CALLS = "calls to GitHub"
# 1 when the attack could not be carried through, or the app has ended.
UNFINISHED = "unfinished"


@dataclass(frozen=True)
class Bound:
    """A figure must not be more than this. One that was not taken has broken its bound."""

    figure: str
    most: float

    def broken(self, figures: Mapping[str, float]) -> bool:
        """Tell whether the figure is over the bound."""
        return not figures.get(self.figure, float("inf")) <= self.most


@dataclass(frozen=True)
class Attack:
    """One attack. `knocked`: valid deliveries are sent beside it, which must go on to be answered."""

    name: str
    carry_out: Callable[[Scene], Awaitable[None]]
    bounds: tuple[Bound, ...]
    knocked: bool = True


@dataclass(frozen=True)
class Visit:
    """Attacks on one app, one after another; `files` is how many descriptors it may have.

    `checks`: it may write check runs.
    """

    attacks: tuple[Attack, ...]
    files: int | None = None
    checks: bool = False


@dataclass(frozen=True)
class Row:
    """What one attack has come to."""

    attack: Attack
    figures: Mapping[str, float]
    problem: str | None = None
    seconds: float = 0.0

    @property
    def broken(self) -> list[Bound]:
        """The bounds that were not kept."""
        return [bound for bound in self.attack.bounds if bound.broken(self.figures)]
