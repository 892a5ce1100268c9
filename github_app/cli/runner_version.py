"""`modal-runner runner-version`: which version of actions/runner GitHub offers now, and its checksum."""

import asyncio
from typing import Annotated

import typer

from github_app.cli.source import deployed_settings
from github_app.clock import Clock
from github_app.compose import compose
from github_app.errors import ModalRunnerError
from github_app.model import Place, RunnerRelease, Scope


def runner_version(
    org: Annotated[str | None, typer.Option(help="The organisation to ask for; else the first installation's.")] = None,
) -> None:
    """Print RUNNER_VERSION and RUNNER_SHA256 as GitHub has them now, to put into the settings before a deploy.

    GitHub refuses jobs to a runner whose version is more than 30 days behind. Settings as for `sweep`.

    Exit code 0: printed; 1: GitHub did not answer; 2: the settings are wrong.

    Example: modal-runner runner-version --org octo-org
    """
    found = asyncio.run(_ask(org))
    typer.echo(f"RUNNER_VERSION={found.version}")
    if found.sha256:
        typer.echo(f"RUNNER_SHA256={found.sha256}")


async def _ask(org: str | None) -> RunnerRelease:
    settings, config = await deployed_settings()
    parts = compose(settings, config, Clock())
    try:
        for installation in await parts.app.installations():
            found = installation.organization
            if found and org in {None, found}:
                return await parts.runners.newest_release(Place(Scope(found), installation.id))
    finally:
        await parts.connection.close()
    raise ModalRunnerError(f"the App is not installed on {org or 'any organisation'}")
