"""`modal-runner demo`: the main job, end to end, with no account."""

import asyncio
import contextlib
import getpass
import os
import signal
import sys
from collections.abc import Coroutine
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import typer
from rich.console import Console

from github_app.cli.extras import needs_demo
from github_app.errors import InputError
from github_app.foreign_text import visible

T = TypeVar("T")
# What a shell reports of a program whose reader has gone.
_BROKEN_PIPE = 128 + signal.SIGPIPE


class EventName(StrEnum):
    """What starts the workflows."""

    push = "push"
    tag = "tag"
    pull_request = "pull_request"
    workflow_dispatch = "workflow_dispatch"
    schedule = "schedule"


def demo(
    workflow: Annotated[Path | None, typer.Option(help="Run this workflow file.")] = None,
    repo: Annotated[
        Path | None, typer.Option(help="Run the workflows of this directory that the event starts.")
    ] = None,
    *,
    event: Annotated[EventName | None, typer.Option(help="What starts them. Unset: a push to the branch.")] = None,
    branch: Annotated[str, typer.Option(help="The branch that is pushed, or that a pull request is for.")] = "main",
    secret_file: Annotated[Path | None, typer.Option(help="NAME=VALUE lines for `secrets`; others are empty.")] = None,
    var_file: Annotated[Path | None, typer.Option(help="NAME=VALUE lines for `vars`.")] = None,
    hold_environments: Annotated[
        bool, typer.Option("--hold-environments", help="Approve no environment: show jobs that wait for it.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before the steps of --repo run here.")] = False,
    wide: Annotated[bool, typer.Option("--wide", help="On a terminal: lines with sandbox ids, no table.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
    serve: Annotated[bool, typer.Option("--serve", help="Stay up afterwards, until Ctrl-C.")] = False,
) -> None:
    """Run a workflow through the production app, a simulated GitHub and a simulated Modal, on this machine.

    Without options it runs a workflow that ships with the project. Exit code 0: every job that should have run ran
    (a failing job is a job that ran); 1: one was lost or refused, or something was left behind; 2: bad input.

    Example: modal-runner demo --workflow .github/workflows/ci.yml
    """
    if workflow and repo:
        raise InputError("--workflow and --repo: give one of them")
    if (event or branch != "main") and not (workflow or repo):
        raise InputError("--event, --branch: give --workflow or --repo with them; the sample runs on a push to main")
    needs_demo("the demo")
    from github_app.demo import given, run, source
    from github_app.demo.report import Report
    from github_app.simulator.workflow import Given

    honoured = given.policy()
    secrets, variables = given.pairs(secret_file, "--secret-file"), given.pairs(var_file, "--var-file")
    if workflow:
        chosen = source.from_workflow(workflow, event, branch)
    else:
        chosen = source.from_repository(repo, event, branch) if repo else source.sample()
    for line in (*(f"warning: {each}" for each in chosen.warnings), *chosen.notes, *honoured.said):
        typer.echo(visible(line), err=True)
    if repo:
        _say_whose_machine(repo, ask=not (yes or as_json))
    wishes = run.Wishes(
        Given(secrets=secrets, variables=variables, docker=given.docker_answers()),
        honoured.settings,
        honoured.labels,
        hold_environments=hold_environments,
        stay=serve,
        wide=wide,
    )
    console = _Console(file=sys.stderr, quiet=True) if as_json else _Console()
    notes = Console(stderr=True) if as_json else console

    def reported(report: Report) -> None:
        if as_json:
            typer.echo(report.as_json())

    try:
        report = asyncio.run(until_told_to_end(run.run_demo(chosen, console, notes, wishes, reported)))
    except BrokenPipeError:
        _end_for_want_of_a_reader()
    raise typer.Exit(0 if report.well else 1)


class _Console(Console):
    """One that lets a closed pipe be known, so that all is put away first."""

    def on_broken_pipe(self) -> NoReturn:
        self.quiet = True
        raise BrokenPipeError


def _end_for_want_of_a_reader() -> NoReturn:
    # What is still buffered for the reader would raise once more when Python ends.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    raise typer.Exit(_BROKEN_PIPE)


def _say_whose_machine(repo: Path, *, ask: bool) -> None:
    """Say whose rights the steps have, and on a terminal let the person stop."""
    line = f"The steps of {repo} run on this machine as {getpass.getuser()}, with all that this user may do."
    asked = ask and sys.stdin.isatty() and sys.stderr.isatty()
    typer.echo(visible(line), err=True)
    if asked:
        typer.confirm("Go on?", abort=True, err=True)


async def until_told_to_end(work: Coroutine[Any, Any, T]) -> T:
    """Run `work` so that SIGTERM and SIGINT cancel it once, and it cleans up undisturbed."""
    task = asyncio.ensure_future(work)
    told: list[int] = []

    def end(number: int) -> None:
        if not told:
            told.append(number)
            task.cancel()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, end, number)
    with contextlib.suppress(asyncio.CancelledError):
        return await task
    if told:
        typer.echo("stopped; nothing left", err=True)
    raise typer.Exit(128 + told[0] if told else 1)
