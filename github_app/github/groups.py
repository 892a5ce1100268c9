"""Runner groups of an organisation, and how long GitHub takes a version of the runner."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

import msgspec
from githubkit import GitHub, Response

from github_app.errors import GitHubError
from github_app.github.connection import Connection, T, request
from github_app.github.tokens import permissions
from github_app.model import JobEvent, Place

_PAGE = 100
_MOST_PAGES = 100
_ORG = permissions({"organization_self_hosted_runners": "write"})


class RunnerGroup(msgspec.Struct):
    """A runner group; `visibility` is all, selected or private (docs: "REST API endpoints for runner groups")."""

    # GitHub's description calls it a number, and it may come as 1.0.
    id: int | float
    name: str = ""
    default: bool = False
    visibility: str = "all"
    allows_public_repositories: bool = False
    restricted_to_workflows: bool = False
    selected_workflows: list[str] = []

    def is_meant(self, wanted: int | None) -> bool:
        """Whether it is the group of this id; None means the default one."""
        return self.default if wanted is None else int(self.id) == wanted


class _Groups(msgspec.Struct):
    runner_groups: list[RunnerGroup]


class _Repository(msgspec.Struct):
    full_name: str


class _Repositories(msgspec.Struct):
    repositories: list[_Repository]


class _EndOfLife(msgspec.Struct):
    registration_deprecates_at: datetime | None = None
    runtime_deprecates_at: datetime | None = None


class RunnerGroups:
    """Reads what an organisation says of its runners."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def every(self, place: Place) -> list[RunnerGroup]:
        """The groups, as far as a page goes.

        Raises:
            GitHubError: GitHub refused or did not answer.
        """
        call = request("GET", f"/orgs/{place.scope.owner}/actions/runner-groups", params={"per_page": _PAGE})
        return (await self._ask("runner groups", place, call, _Groups)).runner_groups

    async def admitted(self, place: Place, group_id: int) -> set[str]:
        """The full names of the repositories that a group of chosen ones admits.

        Raises:
            GitHubError: GitHub refused or did not answer.
        """
        found: set[str] = set()
        for page in range(1, _MOST_PAGES + 1):

            async def call(github: GitHub[Any], page: int = page) -> Response[Any, Any]:
                return await github.rest.actions.async_list_repo_access_to_self_hosted_runner_group_in_org(
                    place.scope.owner, group_id, per_page=_PAGE, page=page
                )

            batch = await self._ask("repositories of the runner group", place, call, _Repositories)
            found |= {each.full_name for each in batch.repositories}
            if len(batch.repositories) < _PAGE:
                break
        return found

    async def barriers(self, place: Place, group: int | None, job: JobEvent, path: str | None) -> list[str]:
        """What keeps the runners of a group (None: the default one) from a job of a workflow's file at `path`.

        Raises:
            GitHubError: GitHub refused or did not answer.
        """
        if place.scope.repo is not None:
            return []
        found = next((each for each in await self.every(place) if each.is_meant(group)), None)
        if found is None:
            return [f"{place.scope} has no runner group {group or 'that is the default one'} any more"]
        chosen = await self.admitted(place, int(found.id)) if found.visibility == "selected" else None
        return barriers(found, job.repository, private=job.private, chosen=chosen, path=path)

    async def end_of_life(self, place: Place, version: str) -> datetime | None:
        """When GitHub stops to take a version of actions/runner; None where it does not tell.

        Docs: "Get runner version deprecation for an organization", which not every GitHub knows.

        Raises:
            GitHubError: GitHub refused or did not answer.
        """

        async def call(github: GitHub[Any]) -> Response[Any, Any]:
            return await github.rest.actions.async_get_runner_version_deprecation_for_org(place.scope.owner, version)

        try:
            found = await self._ask("end of life of the runner's version", place, call, _EndOfLife)
        except GitHubError as error:
            if error.status in {404, 501}:
                return None
            raise
        dates = [each for each in (found.registration_deprecates_at, found.runtime_deprecates_at) if each]
        return min(dates, default=None)

    async def _ask(
        self,
        name: str,
        place: Place,
        call: Callable[[GitHub[Any]], Awaitable[Response[Any, Any]]],
        answer: type[T],
    ) -> T:
        return await self._connection.as_installation(
            name, call, answer, installation_id=place.installation_id, permissions=_ORG
        )


def barriers(
    group: RunnerGroup, repository: str, *, private: bool, chosen: set[str] | None, path: str | None = None
) -> list[str]:
    """What keeps a group's runners from a repository's jobs, each with the page that changes it.

    `chosen` are the repositories that it admits, where these are chosen; `path` is the workflow's file, None for any of
    the repository's.
    Docs: "Managing access to self-hosted runners using groups".
    """
    where = f"(organisation settings > Actions > Runner groups > {group.name})"
    found = []
    if chosen is not None and repository.lower() not in {name.lower() for name in chosen}:
        found.append(f"the runner group {group.name} does not admit {repository} {where}")
    if not private and not group.allows_public_repositories:
        found.append(f"the runner group {group.name} does not admit public repositories, such as {repository} {where}")
    if group.restricted_to_workflows:
        # A file as `owner/repo/path@ref`; GitHub writes a run's path with and without the first and the last part.
        files = [each.partition("@")[0].lower() for each in group.selected_workflows]
        own = [each for each in files if each.startswith(f"{repository.lower()}/")]
        if not any(path is None or each.endswith(f"/{path.partition('@')[0].lower()}") for each in own):
            listed = ", ".join(group.selected_workflows) or "none"
            found.append(f"the runner group {group.name} is restricted to the workflows {listed} {where}")
    return found
