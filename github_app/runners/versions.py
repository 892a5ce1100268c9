"""Whether GitHub still takes the version of actions/runner in the image.

GitHub refuses versions that are too old; each runner of such a version ends at once, and starting more of them is a
storm. What one process is told, every process keeps to, until an image with another version is deployed.
"""

import structlog

from github_app.clock import Clock
from github_app.store import VERSIONS, ModalDictStore
from github_app.store.notes import VersionRefused

# actions/runner ends with 7 when GitHub refuses its version.
EXIT_CODE = 7
# How long what the store says of the version is good for.
_LOOK_AGAIN_S = 30.0

_log = structlog.get_logger(__name__)


class RunnerVersion:
    """The version in the image, and what GitHub said of it."""

    def __init__(self, store: ModalDictStore, version: str, clock: Clock) -> None:
        self._store = store
        self.version = version
        self._clock = clock
        self._refused: VersionRefused | None = None
        self._looked_at = float("-inf")

    async def refused(self) -> str | None:
        """Say that GitHub refuses the version, and what to do; None while it does not.

        Raises:
            StoreError: the store did not answer.
        """
        now = self._clock.now()
        if self._refused is None and now - self._looked_at > _LOOK_AGAIN_S:
            self._refused = await self._store.get(VERSIONS, self.version)
            self._looked_at = now
        if self._refused is None:
            return None
        return (
            f"no runner is started: GitHub refuses version {self.version} of actions/runner; "
            "set RUNNER_VERSION to a newer one and redeploy"
        )

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
