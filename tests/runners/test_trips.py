"""How many trips and calls a job costs: what makes a start slow and a burst dear. Counted, not timed."""

import asyncio

import pytest

from github_app.runners.capacity import Slots
from github_app.runners.lanes import LANES, PERIOD_S, POINTS, WRITE
from github_app.simulate import containers
from github_app.simulate.deployment import Version
from github_app.simulate.run import simulate
from tests.worlds.simulated import plan_of, pushed
from tests.worlds.trips import count_trips

# The first finds a process that knows nothing; those that are counted come at a steady pace.
_STEADY, _COUNTED = 600, 30
_JOBS = [pushed(at, "octo-org/alpha", 30) for at in (0, 300, *range(_STEADY, _STEADY + _COUNTED * 10, 10))]
# Trips before the answer. What is queued is nearly always new, and its record says so itself.
_ANSWERED_AFTER = {"queued": 1, "in_progress": 2, "completed": 2}
_NO_CAPS: dict[str, None] = {"max_concurrent_per_repo": None, "max_concurrent": None}


@pytest.mark.parametrize(
    ("caps", "calls"), [(_NO_CAPS, 16.5), ({"max_concurrent": None}, 19.5)], ids=["no-caps", "a-cap"]
)
def test_the_trips_and_calls_of_a_job_are_few_and_hardly_a_dict_is_read_whole(
    caps: dict[str, None], calls: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 12 calls and 15: half of the runners are online after more than 20 s, which costs two, and most jobs find
    another's runner first, which costs one; each takes a lane of the write budget of its own, which costs one.
    What is counted for /metrics is no job's: it is written once a minute, however many jobs there are.
    """
    monkeypatch.setattr(containers, "VERSIONS", (Version(1000, 1000, None),))
    trips = count_trips(plan_of(*_JOBS, containers=1, calm_at=1200), monkeypatch, steady_from=_STEADY, **caps)

    written = trips.calls.pop(("put", "tallies"))

    # Whether runners are started at all is looked at every half minute.
    stopped = [trips.calls.pop(("get", kind)) for kind in ("versions", "pauses")]

    assert written <= (1200 - _STEADY) / 60
    assert max(stopped) <= (1200 - _STEADY) / 30
    assert sorted(trips.launches[-_COUNTED:])[-2] <= 2
    assert {action: max(most[-_COUNTED:]) for action, most in trips.answers.items()} == _ANSWERED_AFTER
    assert sum(trips.calls.values()) / _COUNTED <= calls
    # One round, of four Dicts.
    assert trips.whole_reads <= 4


def test_a_burst_is_started_at_the_pace_that_githubs_limit_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Web process and sweeps drained one queue and kept coming to the same jobs, each admitting one after the other:
    600 jobs took 380 seconds, where GitHub's 180 writes a minute allow 200.
    """
    monkeypatch.setattr(containers, "VERSIONS", (Version(1000, 1000, None),))
    ran = simulate(plan_of(*[pushed(n / 10, "octo-org/alpha", *[20.0] * 10) for n in range(60)], containers=1))

    assert ran.violations == []
    assert len(ran.starts) == 600
    # Our share for launches, and GitHub hands a job over within half a minute.
    assert max(ran.starts) < 600 / (LANES * POINTS / WRITE / PERIOD_S) + 40


def test_many_jobs_over_a_full_cap_read_the_slots_hardly_more_often_than_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight launches that were admitted at once each read all slots to find that the cap is reached."""
    reads: list[float] = []
    monkeypatch.setattr(containers, "VERSIONS", (Version(1000, 5, None),))
    read = Slots._read

    async def counted(self: Slots) -> None:
        reads.append(asyncio.get_running_loop().time())
        await read(self)

    monkeypatch.setattr(Slots, "_read", counted)
    ran = simulate(plan_of(pushed(0, "octo-org/alpha", *[600.0] * 40), calm_at=60.0, containers=1))
    quiet = [at for at in reads if 120 <= at < 480]

    assert ran.violations == []
    # A round at least every fifteen seconds, with two readings: that of a young process, and that of a full cap.
    assert len(quiet) <= 2 * (480 - 120) / 15
