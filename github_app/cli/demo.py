"""`modal-runner demo`: the main job, end to end, with no account."""

import asyncio
import contextlib
import signal
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console

from github_app.errors import InputError

T = TypeVar("T")


def demo(
    workflow: Annotated[Path | None, typer.Option(help="Run this workflow file.")] = None,
    repo: Annotated[Path | None, typer.Option(help="Run the workflows of this directory that a push runs.")] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
    serve: Annotated[bool, typer.Option("--serve", help="Stay up afterwards, until Ctrl-C.")] = False,
) -> None:
    """Run a workflow through the production app, a simulated GitHub and a simulated Modal, on this machine.

    Without options it runs a workflow that ships with the project. Exit code 0: every job that should have run ran
    (a failing job is a job that ran); 1: one was lost or something was left behind; 2: bad input.

    Example: modal-runner demo --workflow .github/workflows/ci.yml
    """
    if workflow and repo:
        raise InputError("--workflow and --repo: give one of them")
    try:
        from github_app.demo import run, source
    except ImportError as error:
        raise InputError(f"the demo needs {error.name}; install it with: pip install 'modal-runner[demo]'") from None
    chosen = source.from_workflow(workflow) if workflow else source.from_repository(repo) if repo else source.sample()
    for warning in chosen.warnings:
        typer.echo(f"warning: {warning}", err=True)
    console = Console(file=sys.stderr, quiet=True) if as_json else Console()
    report = asyncio.run(until_told_to_end(run.run_demo(chosen, console, stay=serve)))
    if as_json:
        typer.echo(report.as_json())
    raise typer.Exit(0 if report.well else 1)


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
    raise typer.Exit(128 + told[0] if told else 1)
