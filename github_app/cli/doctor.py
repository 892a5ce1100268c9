"""`modal-runner doctor`: what is right, what is not, and what mends it."""

import asyncio
import logging
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from github_app import log
from github_app.cli.source import in_environment
from github_app.deployment.rollout import configuration_file
from github_app.errors import ConfigError
from github_app.foreign_text import ascii_json, visible
from github_app.operations.doctor import Report, examine
from github_app.operations.doctor.check import failed
from github_app.settings.load import load_config, load_routing_settings, load_settings

_MARKS = {"ok": "[green]ok     [/]", "failed": "[red]failed [/]", "unknown": "[yellow]unknown[/]"}


def doctor(
    *, as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False
) -> None:
    """Check everything that a job needs, from Modal's token to the runner group. Changes nothing.

    Settings come from the environment when the App's credentials stand there, else from its Modal Secret.

    Exit code 0: all holds; 1: something does not, and its line says what mends it.

    Example: modal-runner doctor --json
    """
    log.configure(level=logging.CRITICAL)
    report = _examined()
    if as_json:
        typer.echo(ascii_json(report))
    else:
        _show(report)
    raise typer.Exit(0 if report.ok else 1)


def _examined() -> Report:
    try:
        routing = load_routing_settings()
        config = load_config(configuration_file(routing.modal_runner_config))
    except ConfigError as error:
        cure = "mend the variables of this shell (docs/settings.md) or modal-runner.toml (`modal-runner config check`)"
        return Report([failed("configuration", "; ".join(error.problems), cure)], [])
    return asyncio.run(examine(routing, config, load_settings if in_environment() else None))


def _show(report: Report) -> None:
    console = Console()
    for check in report.checks:
        console.print(
            f"{_MARKS[check.status]} {check.name:<15} {escape(visible(check.detail))}", soft_wrap=True, highlight=False
        )
        if check.cure and check.status != "ok":
            console.print(f"{'':<24}-> {visible(check.cure)}", soft_wrap=True, highlight=False, markup=False)
    for warning in report.warnings:
        console.print(f"warning: {visible(warning)}", soft_wrap=True, highlight=False, markup=False)
