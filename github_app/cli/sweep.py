"""`modal-runner sweep`: one sweep by hand."""

import asyncio
from typing import Annotated

import msgspec
import typer

from github_app.cli.source import deployed_settings
from github_app.clock import Clock
from github_app.compose import compose
from github_app.foreign_text import ascii_json, visible
from github_app.sweep import SweepReport


def sweep(
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Compare jobs, runners and sandboxes once, and repair what differs. Safe beside a running App.

    Settings come from the environment as for `serve`, else from the App's Modal Secret.

    Exit code 0: every part of the sweep was done; 1: one was not.

    Example: modal-runner sweep --dry-run
    """
    report = asyncio.run(_sweep(dry_run=dry_run))
    if as_json:
        typer.echo(ascii_json(report))
    else:
        for name, value in msgspec.structs.asdict(report).items():
            lines = ([str(each) for each in value] or ["none"]) if isinstance(value, list) else [str(value)]
            for number, line in enumerate(lines):
                typer.echo(f"{'' if number else name.replace('_', ' '):<20} {visible(line)}")
    raise typer.Exit(1 if report.problems else 0)


async def _sweep(*, dry_run: bool) -> SweepReport:
    settings, config = await deployed_settings()
    parts = compose(settings, config, Clock())
    try:
        await (parts.sandboxes.look_up() if dry_run else parts.prepare())
        return await parts.sweep.run(dry_run=dry_run)
    finally:
        await parts.connection.close()
