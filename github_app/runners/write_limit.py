"""GitHub's limit of each minute, kept to by every process together."""

import asyncio
from collections import deque
from functools import partial
from typing import Protocol

from github_app.clock import Clock
from github_app.errors import GitHubError
from github_app.model import Place, RunnerStatus
from github_app.runners import retry
from github_app.runners.lanes import LANES, PERIOD_S, POINTS, READ, SENT_WITHIN_S, WRITE, Lanes, TakenLane
from github_app.store import ModalDictStore

# A store that takes longer than this with one lane is asked for another beside it, twice; and whoever waits for a lane
# sees one of them fail.
_SLOW_S = 2.0
_MOST_AT_ONCE = 3
_MOST_FAILURES = 1
# After a store that takes longer with a lane than the lane is good for.
_AFTER_A_SLOW_ONE_S = 5.0
# For reading, the last lanes are tried, which launches come to last; to try all of them would take long.
_TRIED_TO_READ = 3
# What is written with the App's own JWT has a budget of its own.
THE_APP = 0


class Paid:
    """The right to one write."""

    def __init__(self, lane: TakenLane) -> None:
        self._lane, self._is_over = lane, False
        lane.left -= WRITE
        lane.under_way += 1

    def is_good(self, now: float) -> bool:
        """Tell whether it may be used now (Unix time)."""
        return now <= self._lane.taken_at + SENT_WITHIN_S

    def answered(self, now: float) -> None:
        """Take note that GitHub has answered to what was written: it is in none of its minutes that begin later."""
        self._close(now)

    def give_back(self) -> None:
        """Take note that nothing was written, nor will be."""
        self._lane.left += 0 if self._is_over else WRITE
        self._close(0.0)

    def _close(self, at: float) -> None:
        if not self._is_over:
            self._is_over = True
            self._lane.under_way -= 1
            self._lane.used_at = max(self._lane.used_at, at)


class WriteBudget:
    """The limit of each installation, of which lanes are taken as they are needed."""

    def __init__(
        self, store: ModalDictStore, clock: Clock, *, lanes: int = LANES, points: int = POINTS, prefix: str = ""
    ) -> None:
        """`lanes` of it with `points` each, under keys that begin with `prefix`."""
        self._clock = clock
        self._lanes = Lanes(store, clock, points, prefix)
        self._numbers = range(lanes)
        # By installation: lanes that pay still, those that are being taken and since when, when what was read is not
        # paid for, until when there is no lane, and until when GitHub has told us to wait.
        self._open: dict[int, list[TakenLane]] = {}
        self._taking: dict[int, dict[asyncio.Task[None], float]] = {}
        self._reads: dict[int, deque[float]] = {}
        self._exhausted: dict[int, float] = {}
        self._closed: dict[int, float] = {}

    async def spend(self, installation_id: int) -> Paid | float:
        """Pay for one write that is made now, or return the Unix time at which to ask again.

        Raises:
            StoreError: the store did not answer.
        """
        failures = 0
        while True:
            now = self._clock.now()
            if (until := self._closed.get(installation_id, 0.0)) > now:
                return until
            # What pays nothing more may be given back to.
            lanes = [each for each in self._open.get(installation_id, []) if each.pays(0, now)]
            self._open[installation_id] = lanes
            if paying := next((each for each in lanes if each.pays(WRITE, now)), None):
                return Paid(paying)
            if (until := self._exhausted.get(installation_id, 0.0)) > now:
                return until
            if (error := await self._one_more(installation_id)) is not None:
                failures += 1
                if failures > _MOST_FAILURES:
                    raise error

    async def wait(self, installation_id: int, patience_s: float = retry.PATIENCE_S) -> Paid | float:
        """Pay for one write, and wait a little for it; return the time to ask again when it takes longer.

        Raises:
            StoreError: the store did not answer.
        """
        patience = self._clock.now() + patience_s
        while isinstance(paid := await self.spend(installation_id), float):
            if paid > patience:
                return paid
            await self._clock.sleep(paid - self._clock.now())
        return paid

    def read(self, installation_id: int) -> None:
        """Count a read that a launch has needed: the next lanes have that much less for writes."""
        self._reads.setdefault(installation_id, deque(maxlen=LANES * POINTS)).append(self._clock.now())

    async def reserve_reads(self, installation_id: int) -> tuple[int, float]:
        """Take a lane to read with, and return how many reads that are, and until when; 0 where none is free.

        Raises:
            StoreError: the store did not answer.
        """
        taken = await self._lanes.take(installation_id, self._numbers[: -_TRIED_TO_READ - 1 : -1])
        if isinstance(taken, float):
            return 0, 0.0
        # When they were made, nobody tells.
        taken.under_way += 1
        return POINTS, taken.taken_at + SENT_WITHIN_S

    def heed(self, installation_id: int, error: GitHubError) -> None:
        """Stop spending until GitHub's limit is over, when it has told us so."""
        if error.retry_after:
            until = self._clock.now() + error.retry_after
            self._closed[installation_id] = max(until, self._closed.get(installation_id, 0.0))

    def is_closed(self, installation_id: int) -> bool:
        """Tell whether nothing may be written now, by what is known without asking."""
        until = max(each.get(installation_id, 0.0) for each in (self._closed, self._exhausted))
        return until > self._clock.now()

    async def _one_more(self, installation_id: int) -> BaseException | None:
        """Wait for a lane that is being taken, and say what failed; one call that hangs holds up nobody who writes."""
        taking = self._taking.setdefault(installation_id, {})
        # Of the loop: a clock of another scale makes no call slower.
        now = asyncio.get_running_loop().time()
        if not taking or (len(taking) < _MOST_AT_ONCE and now >= max(taking.values()) + _SLOW_S):
            task = asyncio.create_task(self._take(installation_id))
            taking[task] = now
            task.add_done_callback(partial(_ended, taking))
        slow = _SLOW_S if len(taking) < _MOST_AT_ONCE else None
        done, _ = await asyncio.wait(list(taking), timeout=slow, return_when=asyncio.FIRST_COMPLETED)
        return next((error for each in done if (error := each.exception()) is not None), None)

    async def _take(self, installation_id: int) -> None:
        taken = await self._lanes.take(installation_id, self._numbers)
        if isinstance(taken, float):
            self._exhausted[installation_id] = taken
            return
        if not taken.pays(WRITE, now := self._clock.now()):
            self._exhausted[installation_id] = now + _AFTER_A_SLOW_ONE_S
        reads = self._reads.get(installation_id, deque())
        while reads and (reads[0] <= taken.taken_at - PERIOD_S or taken.left >= READ):
            taken.left -= 0 if reads.popleft() <= taken.taken_at - PERIOD_S else READ
        self._open.setdefault(installation_id, []).append(taken)


def _ended(taking: dict[asyncio.Task[None], float], task: asyncio.Task[None]) -> None:
    del taking[task]
    if not task.cancelled():
        # Nobody may wait for it any more.
        task.exception()


class Deregistration(Protocol):
    """Has GitHub forget runners."""

    async def remove(self, place: Place, runner_id: int) -> None:
        """Deregister a runner, at once; a `GitHubError` 422 means busy, 404 unknown."""


class RunnersAtGitHub(Deregistration, Protocol):
    """Has GitHub forget runners, and looks them up."""

    async def named(self, place: Place, name: str) -> list[RunnerStatus]:
        """Look runners up by name."""
        ...


class PacedRunners:
    """Deregisters runners within the write limit."""

    def __init__(self, runners: RunnersAtGitHub, budget: WriteBudget, clock: Clock) -> None:
        self._runners = runners
        self._budget = budget
        self._clock = clock

    async def pay(self, place: Place) -> None:
        """Wait for the right to one removal.

        Raises:
            GitHubError: the write limit leaves no room in the next half minute.
            StoreError: the store did not answer.
        """
        paid = await self._budget.wait(place.installation_id)
        if isinstance(paid, float):
            raise GitHubError(
                "removal of a runner: GitHub's write limit is reached",
                retryable=True,
                retry_after=paid - self._clock.now(),
            )

    async def listed(self, place: Place, name: str, runner_id: int) -> RunnerStatus | None:
        """What GitHub's list says of this runner, and not of another of its name; it costs no write.

        Raises:
            GitHubError: GitHub refused or did not answer.
        """
        return next((found for found in await self._runners.named(place, name) if found.id == runner_id), None)

    async def remove(self, place: Place, runner_id: int) -> None:
        """Deregister a runner, after `pay`.

        Raises:
            GitHubError: as `Deregistration.remove`.
        """
        try:
            await self._runners.remove(place, runner_id)
        except GitHubError as error:
            self._budget.heed(place.installation_id, error)
            raise
