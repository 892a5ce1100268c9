"""`modal-runner uninstall`: functions, records, Secret and sandboxes go from Modal, and the runners from GitHub."""

import asyncio
import logging
import sys
import time
from collections.abc import Awaitable
from typing import Annotated

import typer
from rich.console import Console

from github_app import log
from github_app.cli.source import stored_variables
from github_app.clock import Clock
from github_app.compose import Parts, compose
from github_app.deployment import SettingsSecret, stop_app
from github_app.errors import ConfigError, DeploymentError, GitHubError, InputError, ModalRunnerError, SandboxError
from github_app.github import AppWebhook
from github_app.model import RunnerRecord
from github_app.routing.units import number_of
from github_app.sandboxes import ModalSandboxes
from github_app.settings.load import load_routing_settings, settings_of
from github_app.settings.toml_file import Config
from github_app.setup.credentials import rescue_file
from github_app.setup.progress import Progress
from github_app.store import RUNNERS, ModalDictStore

# So long GitHub may take to notice that a runner does not answer any more; it may take minutes, too.
_BUSY_S, _BUSY_AGAIN_S = 20.0, 5.0


def uninstall(
    *, yes: Annotated[bool, typer.Option("--yes", help="Do not ask; jobs that run are ended too.")] = False
) -> None:
    """End every sandbox, deregister the runners, and remove what stands on Modal: functions, records, Secret.

    It says what it found, and asks. Stopped half-way, it goes on when it is run again. The App at GitHub has no button
    for programs: the link to delete it is printed at the end. Caches (Modal Volumes) and the runner's image stay.

    Each step says whether it was done, skipped (there was nothing to do) or failed.

    Exit code 0: all is gone; 1: a step failed, or the answer was no; 2: the command is wrong.

    Example: modal-runner uninstall
    """
    log.configure(level=logging.CRITICAL)
    console = Console()
    name = load_routing_settings().modal_app_name
    running, runners = asyncio.run(_found(name))
    console.print(
        f"Of App {name} on Modal, as far as it is there: the web function, the sweep, the records, the Secret "
        f"{SettingsSecret(name).name}; "
        f"running: {number_of(running, 'sandbox')}; recorded: {number_of(len(runners), 'runner')}.",
        soft_wrap=True,
    )
    if not yes:
        if not sys.stdin.isatty():
            raise InputError("nobody is there to ask: give --yes to remove all this")
        if not typer.confirm("Remove all this, and end the jobs that run?"):
            raise typer.Exit(1)
    if not asyncio.run(_remove(name, Progress(console))):
        console.print("\nNot all is gone: mend what failed above, and run this again.")
        raise typer.Exit(1)
    console.print("\nRemoved. Caches stay: `modal volume list` shows them.")


async def _found(name: str) -> tuple[int, list[RunnerRecord]]:
    runners = list((await ModalDictStore(name, create=False).all(RUNNERS)).values())
    sandboxes = ModalSandboxes(name, {})
    try:
        await sandboxes.look_up()
    except SandboxError as error:
        if error.retryable:
            raise
        # There is no such App any more.
        return 0, runners
    return len(await sandboxes.running()), runners


async def _remove(name: str, progress: Progress) -> bool:
    """Do each step, whatever came of the one before; tell whether all is gone."""
    progress.begin("Modal: stop the functions, so that nothing new starts, and end the sandboxes")
    parts, page, without = await _credentials(name)
    try:
        stopped = await _step(progress, _stop(name))
        progress.begin("GitHub: deregister the runners")
        gone = await _step(progress, _deregistered(name, parts, without)) and stopped
    finally:
        if parts is not None:
            await parts.connection.close()
    if not stopped:
        progress.begin("Modal: delete the records and the Secret")
        progress.skipped("what still runs needs them")
        return False
    progress.begin("Modal: delete the records")
    gone &= await _step(progress, ModalDictStore(name).delete_everything())
    progress.begin("Modal: delete the Secret")
    gone &= await _step(progress, _delete_secret(name))
    rescue_file(name).unlink(missing_ok=True)
    progress.begin("GitHub: what is left to you")
    progress.skipped(f"delete the App at {page}" if page else "delete the App on its settings page, if it is there")
    return gone


async def _step(progress: Progress, work: Awaitable[str | None]) -> bool:
    """Say what came of a step: it is done, with what it returns, or was not to be done, or failed."""
    try:
        progress.done(await work or "")
    except _Nothing as nothing:
        progress.skipped(str(nothing))
    except ModalRunnerError as error:
        progress.failed(str(error))
        return False
    return True


class _Nothing(Exception):  # noqa: N818 - a step that has nothing to do
    """There was nothing to do, and why."""


async def _stop(name: str) -> None:
    if not (await stop_app(name) | await stop_app(f"{name}-sandboxes")):
        raise _Nothing(f"no App {name} runs on Modal")


async def _deregistered(name: str, parts: Parts | None, without: str) -> str:
    # Now that nothing starts any more, these are all.
    runners = list((await ModalDictStore(name, create=False).all(RUNNERS)).values())
    if not runners:
        raise _Nothing("none is recorded")
    if parts is None:
        raise InputError(
            f"recorded: {number_of(len(runners), 'runner')}, and GitHub cannot be asked, for {without}; GitHub removes "
            "them by itself within a day, and they are listed in the organisation's settings > Actions > Runners"
        )
    return await _deregister(parts, runners)


async def _delete_secret(name: str) -> None:
    secret = SettingsSecret(name)
    if not await secret.holds():
        raise _Nothing(f"there is no Secret {secret.name}")
    await secret.delete()


async def _credentials(name: str) -> tuple[Parts | None, str | None, str]:
    """The App's credentials in use, the page on which it is deleted, and why there are none."""
    try:
        stored = await stored_variables()
    except InputError:
        return None, None, f"there is no Secret {SettingsSecret(name).name}"
    except DeploymentError as error:
        if error.no_way:
            raise
        return None, None, f"the Secret cannot be read ({error})"
    try:
        settings = settings_of(stored)
    except ConfigError:
        return None, None, f"what the Secret {SettingsSecret(name).name} holds is not right"
    parts = compose(settings, Config(), Clock())
    try:
        record = await AppWebhook(parts.connection).app()
    except GitHubError:
        return parts, None, ""
    page = settings.host.app_settings_page(record.slug, None if record.owner.type == "User" else record.owner.login)
    return parts, f"{page}/advanced", ""


async def _deregister(parts: Parts, runners: list[RunnerRecord]) -> str:
    """Remove the runners; one whose job was just ended is busy until GitHub has noticed."""
    deadline = time.monotonic() + _BUSY_S
    left = await _removed_but(parts, runners)
    while left and time.monotonic() < deadline:
        await asyncio.sleep(_BUSY_AGAIN_S)
        left = await _removed_but(parts, left)
    if not left:
        return f"gone: {number_of(len(runners), 'runner')}"
    names = ", ".join(each.name for each in left)
    busy = number_of(len(left), "runner")
    return f"{busy} still busy for GitHub, which fails their jobs and removes them by itself: {names}"


async def _removed_but(parts: Parts, runners: list[RunnerRecord]) -> list[RunnerRecord]:
    left = []
    for runner in runners:
        try:
            for listed in await parts.runners.named(runner.place, runner.name):
                await parts.runners.remove(runner.place, listed.id)
        except GitHubError:
            left.append(runner)
    return left
