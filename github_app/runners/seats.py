"""The seats of runners that wait for jobs, as demand: it stands behind that of every job."""

from collections.abc import Iterable, Mapping

from github_app.clock import Clock
from github_app.model import JobEvent, JobRecord, JobState, Place
from github_app.routing.route import route
from github_app.routing.rules import Admit, Rules
from github_app.routing.warm import Seat, seats_of
from github_app.runners.balance import Demand
from github_app.store import PLACES, SEEN, ModalDictStore

_READ_GOOD_FOR_S = 60.0
# As many names as find room in a variable of a sandbox, together with the rules.
_MOST_PRIVATE = 200


class Seats:
    """Knows which seats there are, and where their runners are registered."""

    def __init__(self, *, store: ModalDictStore, rules: Rules, release: str, clock: Clock) -> None:
        self._store = store
        self._rules = rules
        self._release = release
        self._clock = clock
        self._seats = seats_of(rules)
        self._places: Mapping[str, Place] = {}
        # By repository, whether it is private, as GitHub has said lately.
        self._private: Mapping[str, bool] = {}
        self._read_at = -_READ_GOOD_FOR_S

    def serve(self, event: JobEvent) -> bool:
        """Tell whether a runner may be waiting that a job can have: then what is missing is another's question."""
        return any(
            seat.covers(event.labels) and seat.owner.lower() == event.scope.owner.lower() for seat in self._seats
        )

    async def demands(self) -> list[Demand]:
        """What is asked for now by the seats whose place is known.

        Raises:
            StoreError: the store did not answer.
        """
        now = self._clock.now()
        opened = [seat for seat in self._seats if seat.is_open(now)]
        if opened and now - self._read_at >= _READ_GOOD_FOR_S:
            self._places, seen = await self._store.all(PLACES), await self._store.all(SEEN)
            latest = sorted(seen.values(), key=lambda each: -each.at)[:_MOST_PRIVATE]
            self._private = {each.event.repository.lower(): each.event.private for each in latest if each.event}
            self._read_at = now
        found = [self._demand(seat, place, now) for seat in opened if (place := self._place_of(seat)) is not None]
        return [demand for demand in found if demand is not None]

    async def note(self, places: Iterable[Place], *, whole: bool) -> None:
        """Keep where the seats' runners are registered, by what the sweep has found; `whole`: there is nothing else.

        Raises:
            StoreError: the store did not answer.
        """
        if not self._seats:
            return
        wanted = {each for seat in self._seats for each in (seat.scope.lower(), seat.owner.lower())}
        found = {scope: place for place in places if (scope := str(place.scope).lower()) in wanted}
        known = await self._store.all(PLACES)
        for scope, place in sorted(found.items()):
            if known.get(scope) != place:
                await self._store.put(PLACES, scope, place)
        for scope in sorted(known.keys() - found.keys()) if whole else ():
            await self._store.take(PLACES, scope)

    def _place_of(self, seat: Seat) -> Place | None:
        # A repository's own runners are there on personal accounts alone.
        return self._places.get(seat.scope.lower()) or self._places.get(seat.owner.lower())

    def _demand(self, seat: Seat, place: Place, now: float) -> Demand | None:
        scope = seat.scope.lower()
        event = seat.event(place, private=self._private.get(scope, True))
        routed = route(event, self._rules)
        if not isinstance(routed, Admit):
            return None
        # Some events do not tell of their repository whether it is private: what GitHub has said of it counts then.
        own = [name for name, is_private in self._private.items() if is_private]
        known_private = [name for name in own if name == scope or name.startswith(f"{scope}/")]
        job = JobRecord(event, JobState.QUEUED, recorded_at=now)
        return Demand(job, routed.shape, self._release, tuple(sorted(known_private)))
