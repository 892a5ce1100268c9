"""`modal-runner shell`: a terminal in the running sandbox of a job."""

import asyncio
from typing import Annotated

import typer

from github_app.cli import terminal
from github_app.cli.pages import job_or_runner
from github_app.foreign_text import visible
from github_app.model import JobRecord
from github_app.operations.shell import held, running
from github_app.sandboxes import ModalSandboxes, RemoteShell
from github_app.settings.load import load_routing_settings
from github_app.store import HISTORY, JOBS, RUNNERS, ModalDictStore

_TERMINATED = 143


def shell(
    which: Annotated[
        str,
        typer.Argument(
            help="A job's id or page, or a runner's name (modal-<job>-<attempt>).", metavar="JOB|URL|RUNNER"
        ),
    ],
    command: Annotated[str, typer.Option("--command", "-c", help="Run this, and no shell to type into.")] = "",
) -> None:
    """Open a shell in the running sandbox of a job, as its user and in its folder. Needs Modal's token alone.

    It stands beside the job, which goes on. What a profile gives to jobs, such as secrets, is not in its environment.
    While it is open no sweep ends the sandbox; with its job the sandbox ends by itself, and the shell too.

    Without a terminal it runs the command given, or the commands that come on the standard input.

    Exit code: that of the command or shell; 1: there is no such sandbox (any more); 2: not the form of an id or a name.

    Examples:

    modal-runner shell 41230001

    modal-runner shell modal-41230001-1 --command "df -h; nvidia-smi"
    """
    try:
        code = asyncio.run(_open(job_or_runner(which), command))
    except asyncio.CancelledError:
        # The terminal is gone, or the machine stops.
        code = _TERMINATED
    raise typer.Exit(code)


async def _open(which: str, command: str) -> int:
    settings = load_routing_settings()
    store = ModalDictStore(settings.modal_app_name, create=False)
    runners = await store.all(RUNNERS)
    runner = running(int(which), await _job(store, int(which)), runners) if which.isdigit() else runners.get(which)
    if isinstance(runner, str):
        return _none(runner)
    name = runner.name if runner else which
    sandbox_id = (runner and runner.sandbox_id) or await ModalSandboxes(settings.modal_app_name, {}).find(name)
    if sandbox_id is None:
        return _none(f"No sandbox of {name} runs; `modal-runner logs {which}` shows what it printed.")
    job = await _job(store, runner.runs_job) if runner and runner.runs_job else None
    repository = job.event.repository.rpartition("/")[2] if job else ""
    with_terminal = terminal.is_there()
    async with held(store, name):
        opened = await RemoteShell.open(sandbox_id, repository=repository, command=command, terminal=with_terminal)
        if opened is None:
            return _none(f"The sandbox of {name} has ended; `modal-runner logs {which}` shows what it printed.")
        user, folder = opened.greeting.user, opened.greeting.folder
        what = f"job {job.event.job_id} ({job.event.job_name}) of {job.event.repository}" if job else "no job yet"
        typer.echo(visible(f"Sandbox {sandbox_id} of {name}, {what}: as {user} in {folder}"), err=True)
        code = await terminal.join(opened, terminal=with_terminal)
    if code is None:
        return _none("\nThe job is over and its sandbox has ended.")
    return code


async def _job(store: ModalDictStore, job_id: int) -> JobRecord | None:
    return await store.get(JOBS, str(job_id)) or await store.get(HISTORY, str(job_id))


def _none(sentence: str) -> int:
    typer.echo(visible(sentence, lines=True), err=True)
    return 1
