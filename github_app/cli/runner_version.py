"""`modal-runner runner-version`: which version of actions/runner GitHub offers now, and its checksum."""

import asyncio
from typing import Annotated

import typer

from github_app import log
from github_app.clock import Clock
from github_app.compose import compose
from github_app.config import Config, load_all, secrets_of
from github_app.errors import ModalRunnerError
from github_app.model import Place, RunnerRelease, Scope
from github_app.settings import Settings


def runner_version(
    org: Annotated[str | None, typer.Option(help="The organisation to ask for; else the first installation's.")] = None,
) -> None:
    """Print RUNNER_VERSION and RUNNER_SHA256 as GitHub has them now, to put into the settings before a deploy.

    GitHub refuses jobs to a runner whose version is more than 30 days behind. Needs the same settings as `serve`.

    Exit code 0: printed; 1: GitHub did not answer; 2: the settings are wrong.

    Example: modal-runner runner-version --org octo-org
    """
    settings, config = load_all()
    log.configure(settings.secrets() + secrets_of(config))
    found = asyncio.run(_ask(settings, config, org))
    typer.echo(f"RUNNER_VERSION={found.version}")
    if found.sha256:
        typer.echo(f"RUNNER_SHA256={found.sha256}")


async def _ask(settings: Settings, config: Config, org: str | None) -> RunnerRelease:
    parts = compose(settings, config, Clock())
    try:
        for installation in await parts.app.installations():
            account = installation.account
            if account and account.type == "Organization" and org in {None, account.login}:
                return await parts.runners.newest_release(Place(Scope(account.login), installation.id))
    finally:
        await parts.connection.close()
    raise ModalRunnerError(f"the App is not installed on {org or 'any organisation'}")
