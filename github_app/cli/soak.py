"""`modal-runner soak`: many jobs, many faults, in compressed time."""

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from github_app.cli.demo import until_told_to_end
from github_app.cli.extras import needs_demo
from github_app.errors import InputError
from github_app.foreign_text import ascii_json


def soak(
    jobs: Annotated[int, typer.Option(help="How many jobs.", min=1)] = 500,
    seed: Annotated[int, typer.Option(help="Fixes the plan: the jobs, the faults, the kills.")] = 1,
    faults: Annotated[str, typer.Option(help="all, none, or names of faults with commas between.")] = "all",
    containers: Annotated[int, typer.Option(help="How many processes of the app share the work.", min=1)] = 1,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
    logs: Annotated[Path | None, typer.Option(help="Keep the app's logs in this directory.")] = None,
) -> None:
    """Run the production app against simulators in which things go wrong, and count what became of each job.

    Exit code 0: nothing is lost, killed, doubled, over a cap or left behind; 1: something is; 2: bad input.

    Example: modal-runner soak --jobs 500 --seed 1 --containers 2
    """
    needs_demo("soak")
    from github_app.soak.faults import ALL
    from github_app.soak.run import soak as run

    chosen = {"all": ALL, "none": frozenset[str]()}.get(faults) or frozenset(faults.split(",")) - {"none"}
    if unknown := chosen - ALL:
        raise InputError(f"--faults: unknown {', '.join(sorted(unknown))}; there are {', '.join(sorted(ALL))}")
    work = run(jobs=jobs, seed=seed, faults=chosen, containers=containers, say=_Progress(), keep_logs=logs)
    report = asyncio.run(until_told_to_end(work))
    if as_json:
        typer.echo(ascii_json(report))
    else:
        for name, value in msgspec.structs.asdict(report).items():
            typer.echo(f"{name.replace('_', ' '):<22} {value}")
    raise typer.Exit(0 if report.well else 1)


class _Progress:
    """Prints what has changed, to stderr: one line on a terminal, one in ten elsewhere."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._calls = 0
        self._last = ""

    def __call__(self, line: str) -> None:
        self._calls += 1
        if line == self._last or (not self._live and self._calls % 10):
            return
        self._last = line
        print(line, end="\r" if self._live else "\n", file=sys.stderr, flush=True)  # noqa: T201
