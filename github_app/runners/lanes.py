"""Shares of GitHub's limit of each minute, that many processes take from one store: keys taken by put-if-absent."""

import asyncio
import math
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from github_app.clock import Clock
from github_app.store import BUDGET, ModalDictStore
from github_app.store.notes import Lane

# GitHub allows an installation 900 points a minute; a write costs five, a read one (docs: "Rate limits for the REST
# API"). They are taken in lanes of a few points, so that processes which write side by side leave few unused; more
# lanes would be more trips to take them. Beside these there are ten points for notices (runners/notices.py), and
# thirty for what sweeps read in any case (sweep/read_budget.py), of which a minute may see two, and processes once.
LANES = 43
POINTS = 20
WRITE = 5
READ = 1
# A lane's points are spent within so many seconds of taking it, and what they are spent on is sent within so many, or
# paid for again. So no minute, wherever it begins, sees more than all lanes' points, if a lane is left for that long,
# for the time that a request is on its way, and a minute; whoever has taken it himself, and has an answer to each
# write, knows when its minute begins.
GOOD_FOR_S = 8.0
SENT_WITHIN_S = 10.0
_ON_ITS_WAY_S = 5.0
PERIOD_S = 60.0
HELD_S = PERIOD_S + SENT_WITHIN_S + _ON_ITS_WAY_S
# What is taken in the last seconds of a period is taken in the next one, too: whoever takes the same lane then must not
# miss it, where the clocks of two processes, or a call's way, lie between.
_EDGE_S = 3.0
_TAKEN_BACK_WITHIN_S = 1.0
# A clock that stands must not make a caller spin.
_LEAST_WAIT_S = 0.1


@dataclass(eq=False)
class TakenLane:
    """A lane of this process; times are Unix times."""

    owner: str
    taken_at: float
    left: int
    # Writes that were paid for and have no answer yet, and when the last one had its.
    under_way: int = 0
    used_at: float = 0.0

    def pays(self, points: int, now: float) -> bool:
        """Tell whether so many points may be spent of it now."""
        return self.left >= points and now < self.taken_at + GOOD_FOR_S

    @property
    def free_at(self) -> float:
        """When it may be taken again: by its last answer, or, while one is missing, by what is certain without."""
        return (self.taken_at + HELD_S) if self.under_way else max(self.taken_at, self.used_at) + PERIOD_S


class Lanes:
    """The lanes of each installation, each taken once in a period of the clock, and not while another has it still."""

    def __init__(self, store: ModalDictStore, clock: Clock, points: int, prefix: str) -> None:
        """Each of so many points, under keys that begin with `prefix`."""
        self._store = store
        self._clock = clock
        self._points = points
        self._prefix = prefix
        # By installation and lane: what this process has taken, which of them it is about to take, until when others
        # have the rest, and in which period one was found taken last.
        self._own: dict[tuple[int, int], TakenLane] = {}
        self._trying: set[tuple[int, int]] = set()
        self._others: dict[tuple[int, int], float] = {}
        self._found_taken: dict[tuple[int, int], int] = {}

    async def take(self, installation_id: int, lanes: Sequence[int]) -> TakenLane | float:
        """Take the first of these lanes that is free, or return the Unix time at which one may be.

        Raises:
            StoreError: the store did not answer.
        """
        now = self._clock.now()
        reopens, contended = math.inf, False
        for lane in lanes:
            each = installation_id, lane
            free_at = max(self._own[each].free_at if each in self._own else 0.0, self._others.get(each, 0.0))
            if each in self._trying or free_at > now:
                reopens = min(reopens, max(free_at, now + _TAKEN_BACK_WITHIN_S))
                continue
            self._trying.add(each)
            try:
                taken = await self._try(each, looks_first=contended)
            finally:
                self._trying.discard(each)
            if isinstance(taken, TakenLane):
                self._own[each] = taken
                return taken
            self._others[each] = taken
            reopens, contended = min(reopens, taken), True
        return max(reopens, now + _LEAST_WAIT_S)

    async def _try(self, lane: tuple[int, int], *, looks_first: bool) -> TakenLane | float:
        """Take a lane; return until when another has it, if so.

        Whoever `looks_first` is not in the way of others meanwhile, and needs two trips.
        """
        now, known = self._clock.now(), self._own.get(lane)
        period = math.floor(now / PERIOD_S)
        ends_at = (period + 1) * PERIOD_S
        taken = TakenLane(uuid.uuid4().hex, now, self._points)
        keys = [self._key(lane, each) for each in (period, period + 1) if each == period or now > ends_at - _EDGE_S]
        if looks_first and (held_until := await self._look(lane, period, known)) > now:
            return held_until
        puts, held_until = await asyncio.gather(
            asyncio.gather(*(self._store.put_new(BUDGET, key, Lane(taken.owner, now)) for key in keys)),
            _known(0.0) if looks_first else self._look(lane, period, known),
        )
        if all(puts) and held_until <= now:
            # Where that took long, another may have looked meanwhile and seen nothing: then the lane is nobody's.
            is_late = len(keys) == 1 and self._clock.now() >= ends_at
            return taken.taken_at + HELD_S if is_late else taken
        # It is free for whoever comes after that. What another has just put will be taken back too.
        await asyncio.gather(*(self._store.take(BUDGET, key) for key, won in zip(keys, puts, strict=True) if won))
        if held_until > now:
            return held_until
        # Another has it, for this period at least; or he is just finding out that he may not, and takes it back.
        is_sure = self._found_taken.get(lane) == period
        self._found_taken[lane] = period
        return ends_at if is_sure else now + _TAKEN_BACK_WITHIN_S

    async def _look(self, lane: tuple[int, int], period: int, known: TakenLane | None) -> float:
        """Until when another has a lane, by the records of the periods before; of our own we know better than they."""
        if known is not None and math.floor(known.taken_at / PERIOD_S) == period - 1:
            return 0.0
        # Whoever took it in the last period may hold it still; he of the period before that, for some seconds more.
        is_late = self._clock.now() - period * PERIOD_S >= HELD_S - PERIOD_S
        before = [period - 1] if is_late else [period - 1, period - 2]
        records = await asyncio.gather(*(self._store.get(BUDGET, self._key(lane, each)) for each in before))
        foreign = [each for each in records if each is not None and (known is None or each.owner != known.owner)]
        return max((each.taken_at + HELD_S for each in foreign), default=0.0)

    def _key(self, lane: tuple[int, int], period: int) -> str:
        installation_id, number = lane
        return f"{self._prefix}{installation_id}/{period}/{number}"


async def _known(until: float) -> float:
    """What was found out before, in the place of a question."""
    return until
