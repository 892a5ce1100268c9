"""`modal-runner rotate-secret`: a new webhook secret, or a new private key, without losing a delivery."""

import asyncio
import logging
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from github_app import log
from github_app.cli.source import stored_variables
from github_app.clock import Clock
from github_app.compose import compose
from github_app.deployment import SettingsSecret, look_up_workspace, rollout
from github_app.deployment.deployed_file import deployed_text, text_of
from github_app.deployment.functions import application_file
from github_app.errors import GitHubError, InputError
from github_app.github import AppWebhook
from github_app.settings import pasted
from github_app.settings.load import load_routing_settings, parse_config, settings_of
from github_app.settings.make_rules import refuse_unsound
from github_app.settings.toml_file import Config
from github_app.setup.progress import Progress

# GitHub waits ten seconds for an answer: so long one that it signed before may still be under way.
_UNDER_WAY_S = 12.0


def rotate_secret(
    private_key: Annotated[
        Path | None,
        typer.Option(help="Store this new private key instead: a PEM file from the App's settings page."),
    ] = None,
) -> None:
    """Change the webhook's secret, or the App's private key, in the Modal Secret and at GitHub.

    For a moment the App takes deliveries signed with either secret, so none is lost. Stopped half-way, it goes on when
    it is run again. A private key is made on the App's settings page; then delete the old one there, and the file.

    Exit code 0: changed; 1: a step failed, run it again; 2: the command or the settings are wrong.

    Examples:

    modal-runner rotate-secret

    modal-runner rotate-secret --private-key ~/Downloads/new.pem
    """
    application_file()
    console = Console()
    if private_key is None:
        asyncio.run(_webhook_secret(Progress(console)))
        console.print("\nThe webhook's secret is a new one.")
    else:
        asyncio.run(_private_key(Progress(console), private_key))
        console.print("\nThe new key is in use: delete the old one on the App's settings page, and the file here.")


async def _webhook_secret(progress: Progress) -> None:
    progress.begin("Modal: store a new secret beside the old one, and let the App take both")
    stored = await stored_variables()
    text = _as_deployed(stored)
    secret = SettingsSecret(stored["MODAL_APP_NAME"])
    if "WEBHOOK_SECRET_OLD" not in stored:
        # Else an earlier run was stopped after this, and GitHub may still sign with the old one.
        stored |= {"WEBHOOK_SECRET_OLD": stored["WEBHOOK_SECRET"], "WEBHOOK_SECRET": secrets.token_hex(32)}
        await secret.store({name: stored[name] for name in ("WEBHOOK_SECRET", "WEBHOOK_SECRET_OLD")})
    settings = settings_of(stored)
    log.configure(settings.secrets(), logging.WARNING)
    workspace = await look_up_workspace()
    url = await rollout.deploy(settings, workspace, text)
    progress.done()
    progress.begin("GitHub: sign with the new one from now on")
    parts = compose(settings, Config(), Clock())
    try:
        await AppWebhook(parts.connection).point_at(url, settings.webhook_secret)
    finally:
        await parts.connection.close()
    progress.done()
    progress.begin("Modal: forget the old one")
    await asyncio.sleep(_UNDER_WAY_S)
    await secret.store({"WEBHOOK_SECRET_OLD": ""})
    # Someone may have deployed another file meanwhile.
    await rollout.deploy(settings, workspace, _as_deployed(await stored_variables()))
    progress.done()


async def _private_key(progress: Progress, pem_file: Path) -> None:
    try:
        pem = pem_file.expanduser().read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--private-key {pem_file}: it cannot be read ({type(error).__name__})") from None
    try:
        pasted.private_key(pem)
    except ValueError as error:
        raise InputError(f"--private-key {pem_file}: {error}") from None
    progress.begin("GitHub: see that the new key is one of the App's")
    stored = await stored_variables()
    text = _as_deployed(stored)
    settings = settings_of(stored | {"GITHUB_PRIVATE_KEY": pem})
    log.configure(settings.secrets(), logging.WARNING)
    parts = compose(settings, Config(), Clock())
    try:
        record = await AppWebhook(parts.connection).app()
    except GitHubError as error:
        if error.status != 401:
            raise
        raise InputError(f"--private-key {pem_file}: it is none of App {settings.github_app_id}") from error
    finally:
        await parts.connection.close()
    progress.done(record.name)
    progress.begin("Modal: store it, and let the App use it")
    await SettingsSecret(stored["MODAL_APP_NAME"]).store({"GITHUB_PRIVATE_KEY": pem})
    await rollout.deploy(settings, await look_up_workspace(), text)
    progress.done()


def _as_deployed(stored: Mapping[str, str]) -> str:
    """The administrator's file stays as it is deployed; where that is not known, the one here is meant."""
    known = deployed_text(stored)
    if known is not None:
        return known
    text = text_of(rollout.configuration_file(load_routing_settings().modal_runner_config))
    refuse_unsound(settings_of(stored), parse_config(text) if text else Config())
    return text
