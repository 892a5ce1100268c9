"""`modal-runner redeploy`: the newest runner, changed settings, the code as it lies here."""

import asyncio
import logging
from typing import Annotated

import typer
from rich.console import Console

from github_app import log
from github_app.cli.source import stored_settings
from github_app.clock import Clock
from github_app.compose import compose
from github_app.deployment import SettingsSecret, look_up_workspace, rollout
from github_app.deployment.functions import application_file
from github_app.errors import InputError
from github_app.github import AppWebhook
from github_app.settings.load import load_routing_settings, settings_of
from github_app.settings.make_rules import refuse_unsound, secrets_of
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
) -> None:
    """Deploy again: with GitHub's newest actions/runner, its checksum, changed settings, and the code that lies here.

    Builds the images before it replaces anything; running jobs are not touched. Needs Modal's token alone.

    Exit code 0: deployed; 1: a step failed, and what was deployed before still runs; 2: the command or the settings
    are wrong.

    Examples:

    modal-runner redeploy

    modal-runner redeploy --set MAX_CONCURRENT=50 --set "ALLOWED_REPOS=octo-org/*"
    """
    changes = dict(_change(each) for each in set_ or [])
    application_file()
    console = Console()
    asyncio.run(_redeploy(Progress(console), changes, keep_version=keep_version))
    console.print("\nDeployed. `modal-runner doctor` looks at it.")


def _change(text: str) -> tuple[str, str]:
    name, given, value = text.partition("=")
    if name not in _SETTABLE:
        what = "is a secret: change it in Modal's dashboard" if name in STORED.values() else "is no setting"
        raise InputError(f"--set {name}: it {what}. What can be set: {', '.join(_SETTABLE)}")
    if not given:
        raise InputError(f"--set {name}: give NAME=VALUE; an empty value unsets it")
    return name, value


async def _redeploy(progress: Progress, changes: dict[str, str], *, keep_version: bool) -> None:
    # A version that is named is meant.
    if "RUNNER_VERSION" in changes:
        keep_version = True
        # The checksum is of one version.
        changes.setdefault("RUNNER_SHA256", "")
    file = rollout.configuration_file(load_routing_settings().modal_runner_config)
    progress.begin("Modal: read the settings")
    stored, config = await stored_settings()
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
        progress.begin("Modal: build the runner's images (minutes, when something changed)")
        progress.done(await rollout.build_images(settings, config))
        if changes:
            progress.begin("Modal: store what changed")
            await SettingsSecret(name).store(changes)
            progress.done(", ".join(sorted(changes)))
        progress.begin("Modal: deploy the web function and the sweep")
        url = await rollout.deploy(settings, await look_up_workspace(), file)
        progress.done(url)
        progress.begin("GitHub: see that events are delivered there")
        changed = await rollout.point_webhook(AppWebhook(parts.connection), url, settings.webhook_secret)
        progress.done("now they are" if changed else "they are")
    finally:
        await parts.connection.close()
