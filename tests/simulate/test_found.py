"""What the simulation has found: each race on its own, in a plan of a few jobs."""

from collections.abc import Sequence

import pytest

from github_app.simulate.outcome import Outcomes
from github_app.simulate.plan import Blow
from github_app.simulate.run import simulate
from github_app.simulator.github.auth import ApiError
from github_app.simulator.github.state import Delivery
from tests.worlds.simulated import plan_of, pushed

_STRANGE, _OWN, _PERSONAL = "octo-org/strange", "octo-org/alpha", "mona/epsilon"


def test_a_runner_that_a_strange_job_has_taken_is_no_supply() -> None:
    """A job of a repository where the App is not installed takes the runner, and no event tells of it.

    The runner's record said that it was idle, so that the job it was started for waited until the other was over.
    """
    ran = simulate(plan_of(pushed(0, _STRANGE, 6000), pushed(5, _OWN, 30), faults="strange-jobs"))

    assert ran.violations == []
    assert len(ran.starts) == 1
    assert ran.starts[0] < 300


def test_a_runner_that_ran_a_strange_job_has_not_died() -> None:
    """Short jobs of others take one runner after the other, between two sweeps.

    Each was held for a death before the job, and after five of these the job waited for an hour.
    """
    ran = simulate(plan_of(pushed(0, _STRANGE, *[6.0] * 8), pushed(5, _OWN, 30), faults="strange-jobs"))

    assert ran.violations == []
    # Eight runners came to nothing, and the delay grew to five minutes.
    assert ran.starts[0] < 3000
    assert not any("again_in_s=3600" in line for line in ran.trace)


def test_a_registration_whose_answer_was_lost_is_removed_from_a_repository_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """GitHub registers the runner, its answer is lost, and the look for what is left fails as well.

    On an organisation the sweep finds it; a repository was read only while a record named one of its runners.
    """
    after, before = Outcomes.after, Outcomes.before
    lost: list[str] = []

    async def loses(self: Outcomes, call: str) -> None:
        await after(self, call)
        if call == "POST /repos/{owner}/{repo}/actions/runners/generate-jitconfig" and not lost:
            lost.append(call)
            raise ApiError(502, "Server Error")

    async def fails(self: Outcomes, call: str) -> None:
        await before(self, call)
        if call == "GET /repos/{owner}/{repo}/actions/runners" and lost and self._now() < 400:
            raise ApiError(403, "Forbidden")

    monkeypatch.setattr(Outcomes, "after", loses)
    monkeypatch.setattr(Outcomes, "before", fails)
    ran = simulate(plan_of(pushed(0, _PERSONAL, 5)))

    assert lost
    assert ran.violations == []


def test_a_transferred_repository_is_read_where_it_is() -> None:
    """The installation that it has left answers 404 for its name.

    It was asked each minute for a week, out of the share of the rate limit that finds lost jobs.
    """
    blows = (Blow("transfer", 100, of=_OWN),)
    ran = simulate(plan_of(pushed(0, _OWN, 30), pushed(200, _OWN, 30), faults="transfer", blows=blows, calm_at=2000))
    unreadable = [line for line in ran.trace if "demand_unreadable" in line]

    assert ran.violations == []
    assert len(ran.starts) == 2
    assert unreadable
    assert _seconds(unreadable[-1]) < 400


def test_repositories_with_more_open_runs_than_may_be_read_leave_no_other_unread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What had jobs of ours came first in each sweep and cost more than a minute's share: the others had no turn.

    A repository that was cut off before its first run began anew each minute, too.
    """
    hand_over = Outcomes.hand_over

    def loses(self: Outcomes, delivery: Delivery) -> Sequence[float]:
        return [] if self._now() >= 1000 else hand_over(self, delivery)

    monkeypatch.setattr(Outcomes, "hand_over", loses)
    busy = [pushed(at, repository, 6500) for at in range(0, 300, 50) for repository in (_OWN, "octo-org/beta")]
    ran = simulate(plan_of(*busy, pushed(1500, "octo-org/gamma", 30)))

    assert ran.violations == []
    assert len(ran.starts) == len(busy) + 1
    assert max(ran.starts) < 1800


def _seconds(line: str) -> float:
    return float(line.split()[0])


@pytest.mark.parametrize("lag", [0.0, 2.0])
def test_caps_hold_while_a_redeploy_lowers_them(lag: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Old and new containers start runners side by side; what the old ones have taken counts beyond the new cap."""
    monkeypatch.setattr(Outcomes, "read_lag", lambda _self: lag)
    blows = (Blow("redeploy", 30, 40),)
    runs = [pushed(at, _OWN, *[60.0] * 5) for at in range(0, 120, 15)]
    ran = simulate(plan_of(*runs, faults="redeploy", blows=blows))

    assert ran.violations == []
    assert len(ran.starts) == 40


@pytest.fixture
def hung(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let the first sandbox whose job ends hang for a day; what it holds then is not empty."""
    after_job, hung = Outcomes.after_job, list[str]()

    async def hangs(self: Outcomes) -> None:
        await after_job(self)
        if not hung:
            hung.append("once")
            await self.pause("hang", 86400, 86400)

    monkeypatch.setattr(Outcomes, "after_job", hangs)
    return hung


def test_a_sandbox_that_hangs_after_its_job_is_gone_from_github_is_ended(hung: list[str]) -> None:
    """An installation is suspended while a job runs: twice GitHub does not know it, and of its end no event comes.

    Its runner's record stayed busy with a job that nobody looked for again, and its sandbox held its slot for a day.
    """
    blows = (Blow("suspend", 60, 300, _OWN.partition("/")[0]),)
    ran = simulate(plan_of(pushed(0, _OWN, 100), faults="suspend", blows=blows))

    assert hung
    assert ran.violations == []
    assert any("job_gone" in line for line in ran.trace)
    assert ran.virtual_s < 1500


def test_a_sandbox_that_hangs_after_a_strange_job_is_ended(hung: list[str]) -> None:
    """GitHub forgets the runner with its job, and nobody tells which job that was.

    Its record named no job, so that neither the look for ghosts nor that for lingering sandboxes was meant for it.
    """
    ran = simulate(plan_of(pushed(0, _STRANGE, 200), pushed(5, _OWN, 300), faults="strange-jobs", calm_at=60.0))

    assert hung
    assert ran.violations == []
    assert any("runner_taken" in line for line in ran.trace)
    assert ran.virtual_s < 1500
