"""Until when GitHub takes the version of actions/runner in the image: asked twice a day, for /metrics."""

from collections.abc import Iterable

import structlog

from github_app.clock import Clock
from github_app.errors import GitHubError
from github_app.github import RunnerGroups, Runners
from github_app.model import Place
from github_app.store.notes import VersionTaken

_EVERY_S = 12 * 3600.0
_AGAIN_S = 3600.0
# GitHub takes a version for so long after the release of the next one (docs: "Self-hosted runners reference").
_AT_LEAST_S = 30 * 24 * 3600.0

_log = structlog.get_logger(__name__)


class VersionAge:
    """Asks GitHub, as one of the organisations."""

    def __init__(self, runners: Runners, groups: RunnerGroups, version: str, clock: Clock) -> None:
        self._runners = runners
        self._groups = groups
        self._version = version
        self._clock = clock

    async def look(self, places: Iterable[Place], known: VersionTaken | None) -> VersionTaken | None:
        """What is known now, after what the last sweep has known; None where no organisation can be asked."""
        now = self._clock.now()
        known = known if known is not None and known.version == self._version else None
        place = min((each for each in places if each.scope.repo is None), key=str, default=None)
        if place is None or (known is not None and now - known.asked_at < _EVERY_S):
            return known
        try:
            until = await self._until(place, now)
        except GitHubError as error:
            _log.warning("runner_version_age_unknown", reason=str(error))
            return VersionTaken(self._version, known.until if known else None, now - _EVERY_S + _AGAIN_S)
        # Where GitHub names no day, a version that was the newest when it was asked is good for its time from then on.
        return VersionTaken(self._version, until or (known.until if known else None), now)

    async def _until(self, place: Place, now: float) -> float | None:
        """The day that GitHub names; else one of which it is sure; else None."""
        if ends := await self._groups.end_of_life(place, self._version):
            return ends.timestamp()
        newest = await self._runners.newest_release(place)
        return now + _AT_LEAST_S if newest.version == self._version else None
