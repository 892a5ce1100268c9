"""`modal-runner config`: the administrator's file and the settings, checked and shown."""

import os
import tomllib
from pathlib import Path
from typing import Annotated

import typer
from pydantic import SecretStr

from github_app.config import FILE, load_config, make_rules, warnings
from github_app.errors import InputError
from github_app.settings import Settings, load_routing_settings

config = typer.Typer(
    help="Check and show modal-runner.toml and the settings.\n\nExample: modal-runner config check",
    no_args_is_help=True,
)


@config.command()
def check(path: Annotated[Path | None, typer.Argument(help="The file; else as the App finds it.")] = None) -> None:
    """Validate the file, with line numbers, and the settings that decide about jobs.

    Exit code 0: nothing is wrong (warnings are printed); 2: something is.

    Example: modal-runner config check modal-runner.toml
    """
    settings = load_routing_settings()
    found = path or settings.modal_runner_config or (Path(FILE) if Path(FILE).exists() else None)
    if path is not None and not path.exists():
        raise InputError(f"{path}: there is no such file")
    loaded = load_config(found)
    make_rules(settings, loaded)
    for warning in warnings(settings, loaded):
        typer.echo(f"warning: {warning}")
    typer.echo(f"{found or 'no modal-runner.toml; the defaults hold'}: ok")


@config.command()
def show() -> None:
    """Print the effective settings and the file; secrets are masked.

    Example: modal-runner config show
    """
    settings = load_routing_settings()
    effective = dict(settings)
    for name in Settings.model_fields:
        variable = name.upper()
        if name not in effective:
            secret = Settings.model_fields[name].annotation is SecretStr or "secret" in name
            value = os.environ.get(variable)
            effective[name] = value if not value or not secret else "********"
        typer.echo(f"{variable}={_shown(effective[name])}")
    path = settings.modal_runner_config or Path(FILE)
    load_config(settings.modal_runner_config)
    if path.exists():
        typer.echo(f"# {path}")
        typer.echo(_masked(path.read_text(encoding="utf-8")))


def _shown(value: object) -> str:
    if value is None or value in ((), {}):
        return ""
    if isinstance(value, dict):
        return " ".join(f"{name}=********" for name in value)
    return ",".join(value) if isinstance(value, tuple) else str(value)


def _masked(text: str) -> str:
    """The file with the values of its `env` tables hidden."""
    document = tomllib.loads(text)
    tables = [document.get("defaults", {}), *document.get("profiles", {}).values()]
    values = {str(value) for table in tables for value in table.get("env", {}).values()}
    for value in sorted(values, key=len, reverse=True):
        text = text.replace(value, "********") if value else text
    return text.rstrip()
