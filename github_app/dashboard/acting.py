"""What an owner may do on the dashboard: end a runner that idles, stop launching and let it go on. Nothing else."""

from typing import Protocol

import structlog

from github_app.dashboard.sight import Sight
from github_app.model import RunnerRecord
from github_app.runners.ending import Endings
from github_app.runners.versions import RunnerVersion
from github_app.store.notes import Paused

_log = structlog.get_logger(__name__)


class Home(Protocol):
    """Knows whose the App is."""

    async def home(self) -> str | None:
        """The account that owns the App; None where GitHub does not tell."""


class Acts:
    """Does it, for those who may."""

    def __init__(self, endings: Endings, version: RunnerVersion, app: Home) -> None:
        self._endings = endings
        self._version = version
        self._app = app

    async def may_stop(self, sight: Sight) -> bool:
        """Whether a person owns the account that the App belongs to: launching is one for all its installations.

        Raises:
            GitHubError: GitHub did not answer.
        """
        home = await self._app.home() if sight.owned else None
        return home is not None and sight.owns(home)

    async def end(self, runner: RunnerRecord, sight: Sight) -> bool:
        """End a runner unless anything says that it works; tell whether it has ended.

        Raises:
            GitHubError, SandboxError, StoreError: someone did not answer.
        """
        ended = await self._endings.end(runner)
        if ended:
            _log.info("runner_ended_by_hand", runner=runner.name, person=sight.login)
        return ended

    async def paused(self) -> Paused | None:
        """Who has stopped launching last, or let it go on, and when; None: nobody has.

        Raises:
            StoreError: the store did not answer.
        """
        return await self._version.paused()

    async def stop(self, sight: Sight, *, go_on: bool) -> None:
        """Stop launching, or let it go on.

        Raises:
            StoreError: the store did not answer.
        """
        await self._version.pause(sight.login, go_on=go_on)
