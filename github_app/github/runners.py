"""Runners at GitHub: just-in-time configs, for an organisation or for one repository of a personal account."""

import asyncio
import re
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import msgspec
import structlog
from githubkit import GitHub, Response
from pydantic import SecretStr

from github_app.errors import GitHubError
from github_app.github.connection import Call, Connection, T, request
from github_app.github.groups import RunnerGroups
from github_app.github.tokens import permissions
from github_app.model import JitConfig, Place, RunnerRelease, RunnerStatus, Scope

# What each scope's calls need (docs: "Permissions required for GitHub Apps").
_ORG = permissions({"organization_self_hosted_runners": "write"})
_REPOSITORY = permissions({"administration": "write"})
# Repositories have only the group "Default", and its id is 1; so is an organisation's until someone changes it.
_FIRST_GROUP = 1

_log = structlog.get_logger(__name__)


_PAGE = 100
_MOST_PAGES = 100
_ARCHIVE = re.compile(r"actions-runner-linux-x64-(\d+\.\d+\.\d+)\.tar\.gz")


class _RunnerPage(msgspec.Struct):
    total_count: int
    runners: list[RunnerStatus]


class _Runner(msgspec.Struct):
    id: int


class _JitAnswer(msgspec.Struct):
    runner: _Runner
    encoded_jit_config: str


class _Application(msgspec.Struct):
    os: str
    architecture: str
    filename: str
    sha256_checksum: str | None = None


class Runners:
    """The runners of every scope that the App is installed on."""

    def __init__(self, connection: Connection, group_id: int | None) -> None:
        self._connection = connection
        self._group_id = group_id
        self._default_groups: dict[Scope, int] = {}
        self._asking: defaultdict[Scope, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def create_jit_config(
        self, place: Place, name: str, labels: Sequence[str], group: int | None = None
    ) -> JitConfig:
        """Register a runner of `name` with exactly these `labels` (docs: "Create configuration for a just-in-time
        runner"), in `group`, else the group of the settings. GitHub removes one that never connects after a day.

        Raises:
            GitHubError: 409 when a runner of that name exists.
        """
        group = group or await self.group_of(place)
        scope, wanted = place.scope, {"name": name, "runner_group_id": group, "labels": [*labels]}
        if scope.repo is None:
            call = request("POST", f"/orgs/{scope.owner}/actions/runners/generate-jitconfig", json=wanted)
        else:
            call = request("POST", f"/repos/{scope.owner}/{scope.repo}/actions/runners/generate-jitconfig", json=wanted)
        answer = await self._ask("JIT config", place, call, _JitAnswer)
        return JitConfig(answer.runner.id, SecretStr(answer.encoded_jit_config))

    async def remove(self, place: Place, runner_id: int) -> None:
        """Deregister a runner (docs: "Delete a self-hosted runner").

        Raises:
            GitHubError: 422 when it runs a job, 404 when it is unknown.
        """
        scope = place.scope

        async def call(github: GitHub[Any]) -> Response[Any, Any]:
            actions = github.rest.actions
            if scope.repo is None:
                return await actions.async_delete_self_hosted_runner_from_org(scope.owner, runner_id)
            return await actions.async_delete_self_hosted_runner_from_repo(scope.owner, scope.repo, runner_id)

        await self._ask("removal of a runner", place, call, object)

    async def named(self, place: Place, name: str) -> list[RunnerStatus]:
        """Those of a name: one, or for a moment two, where GitHub's list still shows one that is gone.

        Raises:
            GitHubError: GitHub refused or did not answer.
        """
        found = await self._page(place, page=1, name=name)
        return [runner for runner in found.runners if runner.name == name]

    async def list(self, place: Place) -> list[RunnerStatus]:
        """Every runner of a scope, also those that are not ours.

        Raises:
            GitHubError: GitHub refused or did not answer; then nothing is known, not nothing there.
        """
        runners: list[RunnerStatus] = []
        for page in range(1, _MOST_PAGES + 1):
            found = await self._page(place, page=page)
            runners += found.runners
            if len(found.runners) < _PAGE or len(runners) >= found.total_count:
                break
        return runners

    async def newest_release(self, place: Place) -> RunnerRelease:
        """The version of actions/runner that GitHub offers an organisation now (docs: "List runner applications").

        Raises:
            GitHubError: GitHub refused, did not answer, or offers none for Linux on x64.
        """
        offered = await self._ask(
            "runner downloads",
            place,
            lambda github: github.rest.actions.async_list_runner_applications_for_org(place.scope.owner),
            list[_Application],
        )
        for each in offered:
            found = _ARCHIVE.fullmatch(each.filename)
            if found and (each.os, each.architecture) == ("linux", "x64"):
                return RunnerRelease(found[1], each.sha256_checksum)
        raise GitHubError("runner downloads: none for Linux on x64", retryable=False)

    async def _page(self, place: Place, *, page: int, name: str | None = None) -> _RunnerPage:
        scope = place.scope
        wanted: dict[str, Any] = {"per_page": _PAGE, "page": page} | ({"name": name} if name else {})

        async def call(github: GitHub[Any]) -> Response[Any, Any]:
            actions = github.rest.actions
            if scope.repo is None:
                return await actions.async_list_self_hosted_runners_for_org(scope.owner, **wanted)
            return await actions.async_list_self_hosted_runners_for_repo(scope.owner, scope.repo, **wanted)

        return await self._ask("list of runners", place, call, _RunnerPage)

    async def _ask(self, name: str, place: Place, call: Call, answer: type[T]) -> T:
        """Make a call with the permission that the scope's runners need."""
        personal = place.scope.repo is not None
        return await self._connection.as_installation(
            name,
            call,
            answer,
            installation_id=place.installation_id,
            permissions=_REPOSITORY if personal else _ORG,
            repository_id=place.repository_id if personal else None,
        )

    async def group_of(self, place: Place) -> int:
        """The group from the settings, else the scope's default group, asked for once; where it cannot be read, 1."""
        if self._group_id is not None:
            return self._group_id
        if place.scope.repo is not None:
            return _FIRST_GROUP
        async with self._asking[place.scope]:
            known = self._default_groups.get(place.scope)
            if known is None and (known := await self._ask_default_group(place)) is not None:
                self._default_groups[place.scope] = known
            return known or _FIRST_GROUP

    async def _ask_default_group(self, place: Place) -> int | None:
        try:
            groups = await RunnerGroups(self._connection).every(place)
        except GitHubError as error:
            if error.retry_after:
                raise
            _log.warning("runner_groups_unreadable", scope=str(place.scope), error=str(error), group=_FIRST_GROUP)
            return None
        # None is not kept: that no group is listed as the default one may pass.
        return next((int(group.id) for group in groups if group.default), None)
