"""`modal-runner config`: the administrator's file and the settings, checked and shown."""

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from pydantic import SecretStr

from github_app.cli.source import stored_settings
from github_app.errors import InputError
from github_app.routing.rules import Rules
from github_app.routing.warm import seats_of, usd_a_month
from github_app.settings.load import load_config, load_routing_settings, settings_of
from github_app.settings.make_rules import make_rules, refuse_unsound, warnings
from github_app.settings.toml_file import FILE
from github_app.settings.variables import Settings

_MASK = "********"
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
    refuse_unsound(settings, loaded)
    for warning in warnings(settings, loaded):
        typer.echo(f"warning: {warning}")
    for line in _waiting(make_rules(settings, loaded)):
        typer.echo(line)
    typer.echo(f"{found or 'no modal-runner.toml; the defaults hold'}: ok")


def _waiting(rules: Rules) -> Iterator[str]:
    """What runners that wait for jobs cost, a line for each place in the file."""
    by_source: dict[tuple[str, str], list[float]] = {}
    for seat in seats_of(rules):
        by_source.setdefault((seat.source, seat.scope), []).append(usd_a_month(seat, rules))
    for (source, scope), costs in by_source.items():
        count = f"{len(costs)} runner{'s wait' if len(costs) > 1 else ' waits'}"
        yield f"{source}: {count} for jobs of {scope}, which costs about ${sum(costs):,.0f} a month at list prices"
    total = sum(sum(costs) for costs in by_source.values())
    if len(by_source) > 1:
        yield f"runners that wait: about ${total:,.0f} a month together"


@config.command()
def show(
    *,
    deployed: Annotated[
        bool, typer.Option("--deployed", help="What the deployment's Modal Secret says, not the environment.")
    ] = False,
) -> None:
    """Print the effective settings and the file; secrets are masked.

    Example: modal-runner config show --deployed
    """
    if deployed:
        stored, loaded = asyncio.run(stored_settings())
        effective = dict(settings_of(stored))
    else:
        settings = load_routing_settings()
        effective, loaded = {**_given(), **dict(settings)}, load_config(settings.modal_runner_config)
    for name in Settings.model_fields:
        typer.echo(f"{name.upper()}={_shown(effective[name])}")
    for key, value in _flat(loaded.model_dump(mode="json", exclude_defaults=True, by_alias=True)):
        typer.echo(f"{key} = {_MASK if '.env.' in key or '.secret_env.' in key else json.dumps(value)}")


def _given() -> dict[str, object]:
    """The settings with credentials as the environment has them, right or not; secrets as such."""
    found: dict[str, object] = {}
    for name, field in Settings.model_fields.items():
        value = os.environ.get(name.upper()) or field.get_default(call_default_factory=True)
        is_secret = "SecretStr" in str(field.annotation)
        found[name] = SecretStr(value) if is_secret and isinstance(value, str) else value
    return found


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if value is None or value in ((), {}) or "Undefined" in type(value).__name__:
        return ""
    if isinstance(value, dict):
        return " ".join(f"{name}={_MASK}" for name in value)
    if isinstance(value, SecretStr):
        return _MASK if value.get_secret_value() else ""
    return ",".join(value) if isinstance(value, tuple) else str(value)


def _flat(value: object, key: str = "") -> Iterator[tuple[str, object]]:
    """Every value of the file under its full key."""
    if isinstance(value, dict):
        for name, each in value.items():
            yield from _flat(each, f"{key}.{name}" if key else name)
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for number, each in enumerate(value):
            yield from _flat(each, f"{key}[{number}]")
    else:
        yield key, value
