"""Why no runner is started at all: GitHub refuses the version of actions/runner in the image, or somebody said so.

GitHub refuses versions that are too old; each runner of such a version ends at once, and starting more of them is a
storm. What one process is told, every process keeps to, until an image with another version is deployed.
"""

import asyncio

import structlog

from github_app.clock import Clock
from github_app.store import PAUSES, VERSIONS, ModalDictStore
from github_app.store.notes import Paused, VersionRefused

# actions/runner ends with 7 when GitHub refuses its version.
EXIT_CODE = 7
# How long what the store says of the version is good for.
_LOOK_AGAIN_S = 30.0

_LAUNCHES = "launches"
# Whoever asks whether the app is up is told this too, so it names nobody.
_STOPPED = (
    "no runner is started: somebody has stopped launching; `modal-runner launching go-on`, or the dashboard's Health"
)

_log = structlog.get_logger(__name__)


class RunnerVersion:
    """The version in the image, what GitHub said of it, and whether somebody has stopped launching."""

    def __init__(self, store: ModalDictStore, version: str, clock: Clock) -> None:
        self._store = store
        self.version = version
        self._clock = clock
        self._refused: VersionRefused | None = None
        self._paused: Paused | None = None
        self._looked_at = float("-inf")

    async def refused(self) -> str | None:
        """Say why no runner is started at all, and what to do; None while some are.

        Raises:
            StoreError: the store did not answer.
        """
        now = self._clock.now()
        if self._refused is None and now - self._looked_at > _LOOK_AGAIN_S:
            self._refused, self._paused = await asyncio.gather(
                self._store.get(VERSIONS, self.version), self._store.get(PAUSES, _LAUNCHES)
            )
            self._looked_at = now
        if self._refused is None:
            return _STOPPED if self._paused is not None and not self._paused.on else None
        return (
            f"no runner is started: GitHub refuses version {self.version} of actions/runner; "
            "set RUNNER_VERSION to a newer one and redeploy"
        )

    async def paused(self) -> Paused | None:
        """Who has stopped launching last, or let it go on, as it is at this moment; None: nobody has.

        Raises:
            StoreError: the store did not answer.
        """
        self._paused = await self._store.get(PAUSES, _LAUNCHES)
        return self._paused

    async def pause(self, by: str, *, go_on: bool = False) -> None:
        """Have no runner started, in any process within half a minute; or let it go on.

        Raises:
            StoreError: the store did not answer.
        """
        paused = Paused(by, self._clock.now(), on=go_on)
        await self._store.put(PAUSES, _LAUNCHES, paused)
        self._paused = paused
        if go_on:
            _log.warning("launching_goes_on", person=by)
        else:
            _log.warning("launching_stopped", person=by)

    async def refuse(self, runner: str) -> None:
        """Take note that GitHub refused the version to a runner.

        Raises:
            StoreError: the store did not answer; this process keeps to it all the same.
        """
        self._refused = VersionRefused(runner, self._clock.now())
        _log.critical(
            "runner_version_refused", runner=runner, version=self.version, cure="set RUNNER_VERSION, redeploy"
        )
        await self._store.put(VERSIONS, self.version, self._refused)
