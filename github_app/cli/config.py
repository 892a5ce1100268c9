"""`modal-runner config`: the administrator's file and the settings, checked and shown."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from pydantic import SecretStr

from github_app.errors import ConfigError, InputError
from github_app.foreign_text import visible
from github_app.routing.rules import Rules
from github_app.routing.units import number_of
from github_app.routing.warm import seats_of, usd_a_month
from github_app.settings.load import (
    file_text,
    load_config,
    load_routing_settings,
    named_file,
    read_config,
    settings_of,
)
from github_app.settings.make_rules import make_rules, unbounded, unfit, warnings
from github_app.settings.masked import MASK, CannotMaskError, masked
from github_app.settings.toml_file import FILE
from github_app.settings.toml_mistakes import in_order, placed
from github_app.settings.variables import STORED, RoutingSettings, Settings

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
    settings, problems = _settings()
    found = path or named_file() or (Path(FILE) if Path(FILE).exists() else None)
    if path is not None and not path.exists():
        raise InputError(f"{path}: there is no such file")
    name, text = str(found), file_text(found) if found else ""
    loaded, wrong = read_config(text, name)
    bare = [] if problems else unbounded(settings, loaded)
    if not (problems or wrong):
        problems = unfit(settings, loaded)
        for warning in warnings(settings, loaded):
            # What is refused need not be warned of.
            if not warning.startswith(tuple(bare)):
                typer.echo(f"warning: {warning}")
    if wrong or problems or bare:
        raise ConfigError(in_order(name, wrong + placed(name, text, problems + bare)))
    for line in _waiting(make_rules(settings, loaded)):
        typer.echo(line)
    typer.echo(f"{found or 'no modal-runner.toml; the defaults hold'}: ok")


def _settings() -> tuple[RoutingSettings, list[str]]:
    """The settings that decide about jobs, or the defaults, and what is wrong with them."""
    try:
        return load_routing_settings(), []
    except ConfigError as error:
        return RoutingSettings.model_construct(), list(error.problems)


def _waiting(rules: Rules) -> Iterator[str]:
    """What runners that wait for jobs cost, a line for each place in the file."""
    by_source: dict[tuple[str, str], list[float]] = {}
    for seat in seats_of(rules):
        by_source.setdefault((seat.source, seat.scope), []).append(usd_a_month(seat, rules))
    for (source, scope), costs in by_source.items():
        count = f"{number_of(len(costs), 'runner')} {'wait' if len(costs) > 1 else 'waits'}"
        yield f"{source}: {count} for jobs of {scope}, which costs about ${sum(costs):,.0f} a month at list prices"
    total = sum(sum(costs) for costs in by_source.values())
    if len(by_source) > 1:
        yield f"runners that wait: about ${total:,.0f} a month together"


@config.command()
def show(
    *,
    deployed: Annotated[
        bool, typer.Option("--deployed", help="What is deployed, and not the environment and the file of this folder.")
    ] = False,
    file: Annotated[bool, typer.Option("--file", help="Print modal-runner.toml itself, and nothing else.")] = False,
    unmasked: Annotated[
        bool, typer.Option("--unmasked", help="With --file: with the values of env and secret_env.")
    ] = False,
) -> None:
    """Print each setting and each value of the file, and where it comes from; secrets are masked.

    Exit code 0: printed; 1: with --file: there is none; 2: something is not right.

    Examples:

    modal-runner config show --deployed

    modal-runner config show --deployed --file --unmasked > modal-runner.toml
    """
    # `check` needs none of these, and not the second that they take.
    import asyncio

    from github_app.cli.source import stored_settings
    from github_app.deployment.deployed_file import deployed_text

    if unmasked and not file:
        raise InputError("--unmasked goes with --file")
    if file:
        _print_file(deployed=deployed, unmasked=unmasked)
    if deployed:
        stored, loaded = asyncio.run(stored_settings())
        effective = dict(settings_of(stored))
        given, place = {name for name, variable in STORED.items() if stored.get(variable)}, "Secret"
        of_file = (
            "deployed file"
            if deployed_text(stored) is not None
            else "file of this folder, for the deployed one is not known"
        )
    else:
        settings = load_routing_settings()
        effective, loaded = {**_given(), **dict(settings)}, load_config(settings.modal_runner_config)
        given, place = {name for name in Settings.model_fields if os.environ.get(name.upper())}, "environment"
        of_file = str(settings.modal_runner_config or FILE)
    for name in Settings.model_fields:
        typer.echo(f"{name.upper()}={_shown(effective[name])}  # {place if name in given else 'default'}")
    for key, value in _flat(loaded.model_dump(mode="json", exclude_defaults=True, by_alias=True)):
        said = json.dumps(MASK if ".env." in key or ".secret_env." in key else value)
        typer.echo(visible(f"{key} = {said}  # {of_file}"))


def _print_file(*, deployed: bool, unmasked: bool) -> None:
    import asyncio

    from github_app.cli.source import stored_variables
    from github_app.deployment import rollout
    from github_app.deployment.deployed_file import deployed_text, text_of

    if deployed:
        text = deployed_text(asyncio.run(stored_variables()))
    else:
        found = rollout.configuration_file(load_routing_settings().modal_runner_config)
        text = text_of(found) if found else None
    if not text:
        where = "deployed, as far as it is known" if deployed else "here"
        typer.echo(f"no {FILE} is {where}", err=True)
        raise typer.Exit(1)
    try:
        typer.echo(text if unmasked else visible(masked(text), lines=True), nl=False)
    except CannotMaskError:
        raise InputError(
            f"{FILE} is written so that its variables cannot be masked: --unmasked shows all of it"
        ) from None
    raise typer.Exit


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
        return " ".join(f"{name}={MASK}" for name in value)
    if isinstance(value, SecretStr):
        return MASK if value.get_secret_value() else ""
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
