"""`modal-runner logs`: what a runner's sandbox printed."""

import asyncio
from functools import partial
from typing import Annotated

import typer

from github_app.cli.pages import job_or_runner
from github_app.foreign_text import coloured
from github_app.model import RunnerRecord, runner_name
from github_app.operations.follow import follow_job, follow_runner
from github_app.operations.lookup import recorded_job
from github_app.sandboxes import ModalSandboxes
from github_app.settings.load import load_routing_settings
from github_app.store import RUNNERS, ModalDictStore

# Attempts of a job whose runners are looked for by name, once their records are gone.
_MOST_ATTEMPTS = 10


class _Printer:
    """Prints lines of runners, with the name of one wherever another begins; as they came if `raw`."""

    def __init__(self, *, raw: bool) -> None:
        self._raw = raw
        self._last: str | None = None

    def __call__(self, name: str, line: str) -> None:
        if name != self._last:
            typer.echo(f"== {name}")
            self._last = name
        typer.echo(line if self._raw else coloured(line), color=True if self._raw else None)


def logs(
    which: Annotated[
        str,
        typer.Argument(
            help="A job's id or page, or a runner's name (modal-<job>-<attempt>).", metavar="JOB|URL|RUNNER"
        ),
    ],
    lines: Annotated[
        int, typer.Option(help="How many lines from the end, of a sandbox that has ended.", min=1, max=10_000)
    ] = 200,
    *,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until the job is over, also with the runners to come.")
    ] = False,
    raw: Annotated[bool, typer.Option("--raw", help="As it was printed, with whatever it does to a terminal.")] = False,
) -> None:
    """Print the end of what a runner printed on its console, also after it has ended. Needs Modal's token alone.

    Of what a job may have printed to steer a terminal only colours are left, unless --raw is given.

    The job's own log is at GitHub; this is the runner's, which says why one did not start or died.

    Exit code 0: printed; 1: there is no such runner on Modal (any more); 2: not the form of an id or a name.

    Example: modal-runner logs --follow modal-41230001-1
    """
    which = job_or_runner(which)
    found = asyncio.run((_follow if follow else _print)(which, lines, _Printer(raw=raw)))
    if not found:
        typer.echo(
            f"Modal knows no sandbox of {which}: it has none yet, or its output was forgotten, after a day or more.",
            err=True,
        )
    raise typer.Exit(0 if found else 1)


async def _print(which: str, lines: int, tell: _Printer) -> bool:
    """Print what there is; tell whether Modal knows any sandbox that is meant."""
    settings = load_routing_settings()
    store = ModalDictStore(settings.modal_app_name, create=False)
    sandboxes = ModalSandboxes(settings.modal_app_name, {})
    found = False
    for name, sandbox_id in (await _runners(store, which)).items():
        output = await sandboxes.output(name, sandbox_id, lines)
        if output is not None:
            found = True
            tell(name, output)
    return found


async def _follow(which: str, lines: int, tell: _Printer) -> bool:
    """The same, and go on with what is still to come."""
    settings = load_routing_settings()
    store = ModalDictStore(settings.modal_app_name, create=False)
    sandboxes = ModalSandboxes(settings.modal_app_name, {})
    meant = await _runners(store, which)
    if not which.isdigit():
        return await follow_runner(sandboxes, which, meant[which], lines=lines, tell=tell)
    ended = set()
    for name, sandbox_id in meant.items():
        running = await sandboxes.find(name)
        output = None if running else await sandboxes.output(name, sandbox_id, lines)
        if output is not None:
            ended.add(name)
            tell(name, output)
    followed = await follow_job(
        store, sandboxes, int(which), seen=ended, lines=lines, tell=tell, waits=partial(_say_that_it_waits, which)
    )
    return followed or bool(ended)


def _say_that_it_waits(job: str) -> None:
    typer.echo(f"Job {job} has no sandbox now; `modal-runner why {job}` says what it waits for.", err=True)


async def _runners(store: ModalDictStore, which: str) -> dict[str, str | None]:
    """The names of the runners that are meant, with the ids of their sandboxes where these are recorded."""
    recorded = (await store.all(RUNNERS)).values()
    if not which.isdigit():
        named = next((runner for runner in recorded if runner.name == which), None)
        return {which: named.sandbox_id if named else None}
    job_id = int(which)
    # GitHub may have given the job another's runner: where it is known on which it ran, that one alone is meant.
    record = await recorded_job(store, job_id)
    if record is not None and record.ran is not None:
        return {record.ran.runner: record.ran.sandbox_id}
    ran: dict[str, str | None] = {each.name: each.sandbox_id for each in recorded if _is_of(each, job_id)}
    by_name: dict[str, str | None] = {runner_name(job_id, attempt): None for attempt in range(1, _MOST_ATTEMPTS + 1)}
    return by_name | ran


def _is_of(runner: RunnerRecord, job_id: int) -> bool:
    return job_id in {runner.runs_job, runner.started_for}
