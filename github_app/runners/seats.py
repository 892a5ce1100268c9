"""The seats of runners that wait for jobs, as demand: it stands behind that of every job."""

from collections.abc import Iterable, Mapping

from github_app.clock import Clock
from github_app.model import JobEvent, JobRecord, JobState, Place, RunnerRecord
from github_app.routing.route import route
from github_app.routing.rules import Admit, Rules
from github_app.routing.warm import Seat, seats_of
from github_app.runners.balance import Demand
from github_app.store import PLACES, ModalDictStore

_READ_GOOD_FOR_S = 60.0


class Seats:
    """Knows which seats there are, and where their runners are registered."""

    def __init__(self, *, store: ModalDictStore, rules: Rules, release: str, clock: Clock) -> None:
        self._store = store
        self._rules = rules
        self._release = release
        self._clock = clock
        self._seats = seats_of(rules)
        self._places: Mapping[str, Place] = {}
        self._read_at = -_READ_GOOD_FOR_S

    def serve(self, event: JobEvent) -> bool:
        """Tell whether a runner may be waiting that a job can have: then what is missing is another's question."""
        return any(
            seat.covers(event.labels) and seat.owner.lower() == event.scope.owner.lower() for seat in self._seats
        )

    async def demands(self, runners: Iterable[RunnerRecord]) -> list[Demand]:
        """What is asked for now by the seats whose place is known.

        Raises:
            StoreError: the store did not answer.
        """
        now = self._clock.now()
        opened = [seat for seat in self._seats if seat.is_open(now)]
        if not opened:
            return []
        if now - self._read_at >= _READ_GOOD_FOR_S:
            self._places, self._read_at = await self._store.all(PLACES), now
        own = {runner.started_for: runner.place for runner in runners}
        found = [self._demand(seat, place, now) for seat in opened if (place := self._place_of(seat, own)) is not None]
        return [demand for demand in found if demand is not None]

    async def note(self, places: Iterable[Place]) -> None:
        """Keep where the seats' runners are registered, by what the sweep has found.

        Raises:
            StoreError: the store did not answer.
        """
        wanted = {each for seat in self._seats for each in (seat.scope.lower(), seat.owner.lower())}
        found = {str(place.scope).lower(): place for place in places}
        if not wanted & found.keys():
            return
        known = await self._store.all(PLACES)
        for scope in sorted(wanted & found.keys()):
            if known.get(scope) != found[scope]:
                await self._store.put(PLACES, scope, found[scope])

    def _place_of(self, seat: Seat, own: Mapping[int, Place]) -> Place | None:
        # A repository's own runners are there on personal accounts alone.
        return self._places.get(seat.scope.lower()) or self._places.get(seat.owner.lower()) or own.get(seat.id)

    def _demand(self, seat: Seat, place: Place, now: float) -> Demand | None:
        event = seat.event(place)
        routed = route(event, self._rules)
        if not isinstance(routed, Admit):
            return None
        return Demand(JobRecord(event, JobState.QUEUED, recorded_at=now), routed.shape, self._release)
