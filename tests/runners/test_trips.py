"""How many trips and calls a job costs: what makes a start slow and a burst dear. Counted, not timed."""

import pytest

from tests.worlds.simulated import plan_of, pushed
from tests.worlds.trips import count_trips

# One after the other; the first finds a process that knows nothing, the last the steady state.
_STEADY = 720
_JOBS = [pushed(at, "octo-org/alpha", 30) for at in (0, 240, 480, _STEADY)]


@pytest.mark.parametrize(
    ("caps", "calls", "whole_reads"),
    [({"max_concurrent_per_repo": None, "max_concurrent": None}, 21, 0), ({}, 34, 1)],
    ids=["no-caps", "caps"],
)
def test_the_trips_and_calls_of_a_job_are_few(
    caps: dict[str, None], calls: int, whole_reads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With caps, which slots are taken is read again when that is older than some seconds, beside the first guess."""
    trips = count_trips(plan_of(*_JOBS, containers=1, calm_at=1000), monkeypatch, steady_from=_STEADY, **caps)

    assert trips.launches[-1] <= 3
    assert {action: most[-1] for action, most in trips.answers.items()} == dict.fromkeys(trips.answers, 2)
    assert sum(trips.calls.values()) <= calls
    assert trips.whole_reads <= whole_reads
