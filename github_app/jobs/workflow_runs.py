"""What only GitHub's record of a job's run tells: the event that started it, and whose code it is. Asked once a run."""

import asyncio
from collections import OrderedDict

import msgspec

from github_app.clock import Clock
from github_app.errors import GitHubError
from github_app.jobs.intake import Intake, LeftToSweep
from github_app.model import Action, JobEvent, RunFacts
from github_app.runners.halts import RunLookup

_MOST_RUNS = 1000
_GONE_FOR_S = 60.0
_NO_RUN = "GitHub does not find the job's run; the sweep reads the queue"
# So many runs may be asked after at once.
_LOCKS = 32


class Runs:
    """The runs that were asked after of late."""

    def __init__(self, lookup: RunLookup, intake: Intake, patience_s: float, clock: Clock) -> None:
        """GitHub is waiting for our answer while we ask it something: not longer than `patience_s`."""
        self._lookup = lookup
        self._intake = intake
        self._patience_s = patience_s
        self._clock = clock
        self._known: OrderedDict[int, RunFacts] = OrderedDict()
        # Until when a run that GitHub did not find is not asked after again.
        self._gone: OrderedDict[int, float] = OrderedDict()
        self._asking = [asyncio.Lock() for _ in range(_LOCKS)]

    async def fill_in(self, event: JobEvent, *, reading: bool) -> JobEvent:
        """Ask for what a delivery does not say of a job's run; once a run. `reading`: the sweep wants to know.

        Raises:
            LeftToSweep: a delivery, of a run of which GitHub says nothing.
            StoreError, GitHubError: store or GitHub did not answer; repeating is safe.
        """
        if event.run is not None or event.action is Action.COMPLETED:
            return event
        try:
            # The jobs of one run come all at once: one of them asks.
            async with asyncio.timeout(self._patience_s), self._asking[event.run_id % len(self._asking)]:
                facts = self._known.get(event.run_id) or await self._ask(event, reading=reading)
        except TimeoutError as error:
            raise GitHubError("run: GitHub did not answer in time", retryable=True) from error
        self._known[event.run_id] = facts
        while len(self._known) > _MOST_RUNS:
            self._known.popitem(last=False)
        return msgspec.structs.replace(event, run=facts)

    async def _ask(self, event: JobEvent, *, reading: bool) -> RunFacts:
        if reading:
            return await self._lookup.run_of(event)
        if self._gone.get(event.run_id, 0.0) > self._clock.now():
            raise LeftToSweep(_NO_RUN, surely=True)
        await self._intake.pay_for_run(event)
        try:
            return await self._lookup.run_of(event)
        except GitHubError as error:
            if error.status != 404:
                raise
            self._gone[event.run_id] = self._clock.now() + _GONE_FOR_S
            while len(self._gone) > _MOST_RUNS:
                self._gone.popitem(last=False)
            raise LeftToSweep(_NO_RUN, surely=True) from error
