"""What this process has counted, in memory: an event pays nothing for it. `store/tallies.py` writes it down."""

from collections import Counter
from collections.abc import Callable
from enum import StrEnum


class Counted(StrEnum):
    """What is counted. The labels behind each are words of ours and of GitHub's documentation, never a stranger's."""

    # How a delivery was answered, and the HTTP status.
    DELIVERIES = "deliveries"
    # The template of the route, and the class of the answer's status.
    GITHUB_REQUESTS = "github_requests"
    # What became of the launch of a runner.
    LAUNCHES = "launches"
    # Why an attempt came to nothing, after which another is made.
    RETRIES = "launch_retries"
    # The code of a refusal.
    REFUSALS = "refusals"
    # What a sweep has found or done.
    FINDINGS = "sweep_findings"


_BETWEEN = "\t"


class Counts:
    """Sums since the process began, and how much of GitHub's hourly limit each installation has left."""

    def __init__(self) -> None:
        self.sums: Counter[str] = Counter()
        # By installation: the share that is left (0 to 1), and the Unix time at which GitHub said so.
        self.quotas: dict[int, tuple[float, float]] = {}
        # Called at each count.
        self.changed: Callable[[], None] = _nobody_asks

    def add(self, what: Counted, *labels: str, by: int = 1) -> None:
        """Count, under these labels."""
        self.sums[_BETWEEN.join((what.value, *labels))] += by
        self.changed()

    def quota(self, installation_id: int, left: float, at: float) -> None:
        """Take note of what an installation has left."""
        self.quotas[installation_id] = (left, at)


def labels_of(key: str) -> tuple[str, ...]:
    """The name of what was counted, and its labels, of a key of the sums."""
    return tuple(key.split(_BETWEEN))


def _nobody_asks() -> None:
    """In the place of whoever writes the counts down."""
