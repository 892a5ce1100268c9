"""Runners at GitHub: just-in-time configs, for an organisation or for one repository of a personal account."""

import msgspec
import structlog
from pydantic import SecretStr

from github_app.errors import GitHubError
from github_app.github.connection import Connection
from github_app.github.tokens import permissions
from github_app.model import JitConfig, RunnerRecord, Scope

# What each scope's calls need (docs: "Permissions required for GitHub Apps").
_ORG = permissions({"organization_self_hosted_runners": "write"})
_REPOSITORY = permissions({"administration": "write"})
# Repositories have only the group "Default", and its id is 1; so is an organisation's until someone changes it.
_FIRST_GROUP = 1

_log = structlog.get_logger(__name__)


class _Runner(msgspec.Struct):
    id: int


class _JitAnswer(msgspec.Struct):
    runner: _Runner
    encoded_jit_config: str


class _Group(msgspec.Struct):
    id: int
    default: bool = False


class _Groups(msgspec.Struct):
    runner_groups: list[_Group]


class Runners:
    """The runners of every scope that the App is installed on."""

    def __init__(self, connection: Connection, group_id: int | None) -> None:
        self._connection = connection
        self._group_id = group_id
        self._default_groups: dict[Scope, int] = {}

    async def create_jit_config(
        self, scope: Scope, *, installation_id: int, repository_id: int, name: str, labels: list[str]
    ) -> JitConfig:
        """Register a runner of `name` with exactly these `labels` (docs: "Create configuration for a just-in-time
        runner"). A runner that never connects is removed by GitHub after a day.

        Raises:
            GitHubError: 409 when a runner of that name exists.
        """
        group = await self._group(scope, installation_id)
        if scope.repo is None:
            answer = await self._connection.as_installation(
                "JIT config",
                lambda github: github.rest.actions.async_generate_runner_jitconfig_for_org(
                    scope.owner, name=name, runner_group_id=group, labels=labels
                ),
                _JitAnswer,
                installation_id=installation_id,
                permissions=_ORG,
            )
        else:
            repo = scope.repo
            answer = await self._connection.as_installation(
                "JIT config",
                lambda github: github.rest.actions.async_generate_runner_jitconfig_for_repo(
                    scope.owner, repo, name=name, runner_group_id=group, labels=labels
                ),
                _JitAnswer,
                installation_id=installation_id,
                permissions=_REPOSITORY,
                repository_id=repository_id,
            )
        return JitConfig(answer.runner.id, SecretStr(answer.encoded_jit_config))

    async def remove(self, runner: RunnerRecord) -> None:
        """Deregister a runner (docs: "Delete a self-hosted runner").

        Raises:
            GitHubError: 422 when it runs a job, 404 when it is unknown.
        """
        scope, runner_id = runner.scope, runner.github_id
        if scope.repo is None:
            await self._connection.as_installation(
                "removal of a runner",
                lambda github: github.rest.actions.async_delete_self_hosted_runner_from_org(scope.owner, runner_id),
                object,
                installation_id=runner.installation_id,
                permissions=_ORG,
            )
        else:
            repo = scope.repo
            await self._connection.as_installation(
                "removal of a runner",
                lambda github: github.rest.actions.async_delete_self_hosted_runner_from_repo(
                    scope.owner, repo, runner_id
                ),
                object,
                installation_id=runner.installation_id,
                permissions=_REPOSITORY,
                repository_id=runner.repository_id,
            )

    async def _group(self, scope: Scope, installation_id: int) -> int:
        """The group from the settings, else the scope's default group, asked for once."""
        if self._group_id is not None:
            return self._group_id
        if scope.repo is not None:
            return _FIRST_GROUP
        if scope not in self._default_groups:
            self._default_groups[scope] = await self._ask_default_group(scope, installation_id)
        return self._default_groups[scope]

    async def _ask_default_group(self, scope: Scope, installation_id: int) -> int:
        try:
            answer = await self._connection.as_installation(
                "runner groups",
                lambda github: github.rest.actions.async_list_self_hosted_runner_groups_for_org(scope.owner),
                _Groups,
                installation_id=installation_id,
                permissions=_ORG,
            )
        except GitHubError as error:
            if error.retryable:
                raise
            _log.warning("runner_groups_unreadable", scope=str(scope), error=str(error), group=_FIRST_GROUP)
            return _FIRST_GROUP
        return next((group.id for group in answer.runner_groups if group.default), _FIRST_GROUP)
