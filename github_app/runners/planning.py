"""What is missing, what waits and what is too much, by the records as they are now."""

from dataclasses import replace

from github_app.clock import Clock
from github_app.routing.route import route
from github_app.routing.rules import Admit, Rules
from github_app.runners.balance import Demand, Plan, is_young, plan
from github_app.runners.newborns import Newborns
from github_app.runners.seats import Seats
from github_app.store import CLAIMS, HALTS, JOBS, RUNNERS, ModalDictStore


class Planner:
    """Reads the records, and plans."""

    def __init__(self, *, store: ModalDictStore, newborns: Newborns, seats: Seats, rules: Rules, clock: Clock) -> None:
        self._store = store
        self._newborns = newborns
        self._seats = seats
        self._rules = rules
        self._clock = clock

    async def plan(self) -> Plan:
        """Read the records and say what is missing, what waits, and what is too much.

        Raises:
            StoreError: the store did not answer.
        """
        # In the reverse of the order in which they are put: a runner is never seen without its claim and its job,
        # which would make it one too many. And as of before the first: a claim that is old by the time when it is read,
        # as where the process stood still, says nothing of runners that were read before.
        now = self._clock.now()
        runners = await self._store.all(RUNNERS)
        claims = await self._store.all(CLAIMS)
        demands = []
        for job in (await self._store.all(JOBS)).values():
            routed = route(job.event, self._rules)
            if isinstance(routed, Admit):
                demands.append(Demand(job, routed.shape))
        demands += await self._seats.demands()
        halts = await self._store.all(HALTS)
        found = plan(demands, runners, claims, halts, now)
        # This process knows of some that there is something to end.
        born = tuple(r for r in found.starting if self._newborns.known(r).sandbox_id and not is_young(r, now))
        starting = tuple(runner for runner in found.starting if runner not in born)
        return replace(found, surplus=found.surplus + born, starting=starting)
