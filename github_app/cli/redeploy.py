"""`modal-runner redeploy`: the newest runner, changed settings, the code as it lies here."""

import asyncio
import logging
import sys
from collections.abc import Mapping
from typing import Annotated

import typer
from rich.console import Console

from github_app import log
from github_app.cli.source import stored_variables
from github_app.clock import Clock
from github_app.compose import compose
from github_app.deployment import SettingsSecret, look_up_workspace, rollout
from github_app.deployment.deployed_file import deployed_text, difference, refuse_to_drop, text_of
from github_app.deployment.functions import application_file
from github_app.errors import ConfigError, InputError
from github_app.foreign_text import visible
from github_app.github import AppWebhook
from github_app.settings.load import load_routing_settings, parse_config, problems_of, settings_of
from github_app.settings.make_rules import refuse_unsound, secrets_of
from github_app.settings.toml_file import Config
from github_app.settings.variables import STORED, RoutingSettings
from github_app.setup.progress import Progress

# What may stand in a command line, where other users of the machine see it.
_SETTABLE = sorted(
    STORED[name] for name in RoutingSettings.model_fields if name in STORED and name != "sandbox_extra_env"
)


def redeploy(
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="NAME=VALUE", help="Change a setting in the Modal Secret; an empty value unsets it."
        ),
    ] = None,
    *,
    keep_version: Annotated[
        bool, typer.Option("--keep-version", help="Keep the version of actions/runner instead of taking the newest.")
    ] = False,
    no_config: Annotated[
        bool, typer.Option("--no-config", help="Deploy without modal-runner.toml, also where one is deployed.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Show what changes, and do not ask.")] = False,
) -> None:
    """Deploy again: with GitHub's newest actions/runner, its checksum, changed settings, and the code that lies here.

    Says first what changes in settings, version and modal-runner.toml, and asks where there is a terminal. Builds the
    images before it replaces anything; running jobs are not touched. Needs Modal's token alone.

    Exit code 0: deployed; 1: a step failed, and what was deployed before still runs, or the answer was no; 2: the
    command or the settings are wrong.

    Examples:

    modal-runner redeploy

    modal-runner redeploy --set MAX_CONCURRENT=50 --set "ALLOWED_REPOS=octo-org/*"
    """
    changes = dict(_change(each) for each in set_ or [])
    _check(changes)
    application_file()
    routing = load_routing_settings()
    text = "" if no_config else text_of(rollout.configuration_file(routing.modal_runner_config))
    config = parse_config(text) if text else Config()
    console = Console()
    asks = sys.stdin.isatty() and not yes
    asyncio.run(
        _redeploy(Progress(console), changes, text, config, keep_version=keep_version, drops=no_config, asks=asks)
    )
    console.print("\nDeployed. `modal-runner doctor` looks at it.")


def _change(text: str) -> tuple[str, str]:
    name, given, value = text.partition("=")
    if name not in _SETTABLE:
        what = "is a secret: change it in Modal's dashboard" if name in STORED.values() else "is no setting"
        raise InputError(f"--set {name}: it {what}. What can be set: {', '.join(_SETTABLE)}")
    if not given:
        raise InputError(f"--set {name}: give NAME=VALUE; an empty value unsets it")
    return name, value


def _check(changes: dict[str, str]) -> None:
    """Look at the values before anyone is asked: each has to be right by itself."""
    known = {name: field for field, name in STORED.items()}
    given = {known[name]: value for name, value in changes.items() if value}
    if problems := problems_of(given):
        raise ConfigError([f"--set {each}" for each in problems])


def _show(console: Console, stored: Mapping[str, str], changes: Mapping[str, str], text: str) -> None:
    """Say what will be another than it is."""
    differing = {name: value for name, value in changes.items() if (stored.get(name) or "") != value}
    for name, value in sorted(differing.items()):
        console.print(
            visible(f"   {name}: {stored.get(name) or '(unset)'} -> {value or '(unset)'}"),
            markup=False,
            highlight=False,
        )
    for line in difference(deployed_text(stored), text):
        console.print(visible(f"   {line}"), markup=False, highlight=False, soft_wrap=True)
    if not differing and not difference(deployed_text(stored), text):
        console.print("   neither settings nor modal-runner.toml change; the code is deployed as it lies here")


async def _redeploy(
    progress: Progress,
    changes: dict[str, str],
    text: str,
    config: Config,
    *,
    keep_version: bool,
    drops: bool,
    asks: bool,
) -> None:
    # A version that is named is meant.
    if "RUNNER_VERSION" in changes:
        keep_version = True
        # The checksum is of one version.
        changes.setdefault("RUNNER_SHA256", "")
    progress.begin("Modal: read the settings")
    stored = await stored_variables()
    if not drops:
        refuse_to_drop(stored, text)
    name = stored["MODAL_APP_NAME"]
    settings = settings_of(stored | changes)
    refuse_unsound(settings, config)
    log.configure(settings.secrets() + secrets_of(config), logging.WARNING)
    progress.done(f"Secret {SettingsSecret(name).name}")
    parts = compose(settings, config, Clock())
    try:
        if not keep_version:
            progress.begin("GitHub: ask for the newest actions/runner")
            release = await rollout.offered_release(parts.runners, await parts.app.installations())
            release = release or await rollout.public_release(settings.host, settings.github_enterprise_domain)
            if release is not None and release.sha256 is None:
                progress.tell(f"{release.version} comes without a checksum, and is not taken")
                release = None
            changes |= rollout.version_variables(release) if release else {}
            progress.done(release.version if release else f"it tells none; {settings.runner_version} stays")
        settings = settings_of(stored | changes)
        _show(progress.console, stored, changes, text)
        if asks and not typer.confirm("Deploy this?"):
            raise typer.Exit(1)
        progress.begin("Modal: build the runner's images (minutes, when something changed)")
        progress.done(await rollout.build_images(settings, config))
        if changes:
            progress.begin("Modal: store what changed")
            await SettingsSecret(name).store(changes)
            progress.done(", ".join(sorted(changes)))
        progress.begin("Modal: deploy the web function and the sweep")
        url = await rollout.deploy(settings, await look_up_workspace(), text)
        progress.done(url)
        progress.begin("GitHub: see that events are delivered there")
        changed = await rollout.point_webhook(AppWebhook(parts.connection), url, settings.webhook_secret)
        progress.done("now they are" if changed else "they are")
    finally:
        await parts.connection.close()
