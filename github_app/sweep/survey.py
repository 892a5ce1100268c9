"""Where a sweep looks: the installations that GitHub lists, and the runners that it lists in each of their places."""

import math
from collections import Counter
from dataclasses import dataclass, field

from github_app.clock import Clock
from github_app.errors import GitHubError, ModalRunnerError
from github_app.github import AppOnGitHub, Installation, Jobs, Runners
from github_app.model import RUNNER_NAME, Place, RunnerRecord, Scope
from github_app.runners.lanes import POINTS
from github_app.runners.write_limit import WriteBudget
from github_app.store import JOBS, SEEN, ModalDictStore
from github_app.sweep.found import Listed, key_of, record_of
from github_app.sweep.read_budget import ReadBudget
from github_app.sweep.report import SweepReport

_PER_PAGE = 100
_TWO_DAYS_S = 2 * 86400.0
_MINUTE_S = 60.0


@dataclass
class Reach:
    """Where this sweep looks: `whole` when GitHub has listed all installations."""

    budgets: dict[int, ReadBudget] = field(default_factory=dict)
    places: set[Place] = field(default_factory=set)
    whole: bool = False


class Survey:
    """Asks GitHub what there is, within each installation's share of reading."""

    def __init__(
        self,
        *,
        store: ModalDictStore,
        app: AppOnGitHub,
        jobs: Jobs,
        runners: Runners,
        budget: WriteBudget,
        clock: Clock,
    ) -> None:
        self._store = store
        self._budget = budget
        self._app = app
        self._jobs = jobs
        self._runners = runners
        self._clock = clock

    async def find_reach(self, reach: Reach, report: SweepReport) -> None:
        """The installations; where GitHub does not list them, those that our records name."""
        try:
            installations = await self._app.installations()
        except GitHubError as error:
            report.problems.append(f"installations: {error}")
            ids = {job.event.installation_id for job in (await self._store.all(JOBS)).values()}
        else:
            ids = {installation.id for installation in installations if installation.has_repositories}
            reach.places |= {place for place in map(_of_installation, installations) if place}
            reach.whole = True
        for installation_id in sorted(ids):
            quota_left = self._jobs.quota_left(installation_id)
            reserve = _reserve_nothing if report.dry_run else self._budget.reserve_reads
            budget = ReadBudget(self._store, installation_id, quota_left, reserve, self._clock)
            await budget.open()
            reach.budgets[installation_id] = budget

    async def list_runners(
        self, runners: list[RunnerRecord], reach: Reach, report: SweepReport
    ) -> tuple[dict[str, Listed], frozenset[Place], bool]:
        """GitHub's list of our runners, for every organisation and for each repository with a record.

        And of one repository more, in turn: an answer of GitHub's that was lost leaves a runner that no record names,
        which it would keep for a day.
        """
        places = reach.places | {runner.place for runner in runners}
        in_turn = await self._in_turn(reach)
        by_name = {runner.name: runner for runner in runners}
        listed: dict[str, Listed] = {}
        read: set[Place] = set()
        costs: Counter[int] = Counter()
        # In an order that is the same in every process, so that what a sweep does can be repeated.
        for place in sorted({*places, *in_turn}, key=str):
            budget = reach.budgets.get(place.installation_id)
            if budget is not None and not budget.may_list:
                continue
            try:
                statuses = await self._runners.list(place)
            except ModalRunnerError as error:
                report.problems.append(f"runners of {place.scope}: {error}")
                continue
            read.add(place)
            if place in places:
                costs[place.installation_id] += max(1, math.ceil(len(statuses) / _PER_PAGE))
            for status in statuses:
                if RUNNER_NAME.fullmatch(status.name):
                    listed[key_of(status, by_name.get(status.name))] = Listed(status, record_of(place, status))
        for installation_id, calls in costs.items():
            if installation_id in reach.budgets:
                reach.budgets[installation_id].charge_listing(calls)
        return listed, frozenset(read), reach.whole and read >= places

    async def _in_turn(self, reach: Reach) -> list[Place]:
        """One of the repositories that have runners of their own and had a job within two days."""
        now = self._clock.now()
        lately = [each.event for each in (await self._store.all(SEEN)).values() if now - each.at < _TWO_DAYS_S]
        own = {event.place for event in lately if event and event.place.repository_id}
        places = sorted((place for place in own if place.installation_id in reach.budgets), key=str)
        return [places[int(now / _MINUTE_S) % len(places)]] if places else []


def _of_installation(installation: Installation) -> Place | None:
    """Where the runners of an organisation are; personal accounts have no runners of their own."""
    organization = installation.organization
    return Place(Scope(organization), installation.id) if organization else None


async def _reserve_nothing(_installation_id: int) -> tuple[int, float]:
    """Of whom nothing is to be left behind, nothing is taken."""
    return POINTS, math.inf
