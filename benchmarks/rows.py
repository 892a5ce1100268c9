"""One figure of the benchmark, and what it is held against."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """`value` in `unit`; `floor` is what it is a ratio of, where it is; `goal` as the project states it."""

    name: str
    value: float
    unit: str
    floor: float | None = None
    goal: str = ""
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """The value in floors."""
        return None if not self.floor else self.value / self.floor


def percentile(values: Iterable[float], share: float) -> float:
    """The value below which `share` of them lie (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(share * (len(ordered) - 1)))]


def median(values: Sequence[float]) -> float:
    """The middle one."""
    return statistics.median(values)
