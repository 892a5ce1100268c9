"""`modal-runner setup --add-sign-in`: what an App that is registered already needs for the dashboard's sign-in."""

import logging
import sys

import typer
from pydantic import SecretStr
from rich.console import Console

from github_app import log
from github_app.cli.source import stored_variables
from github_app.clock import Clock
from github_app.compose import compose
from github_app.deployment import Functions, SettingsSecret, look_up_workspace, rollout
from github_app.deployment.deployed_file import deployed_text, text_of
from github_app.deployment.rollout import configuration_file
from github_app.errors import InputError
from github_app.github import AppRecord, AppWebhook
from github_app.github.connection import SharedTransport
from github_app.github.people import CALLBACK, People
from github_app.settings.load import load_routing_settings, settings_of
from github_app.settings.toml_file import Config
from github_app.settings.variables import Settings


async def add_sign_in(console: Console) -> None:
    """Say what to click, take the client secret where there is none that is good, store it, and deploy.

    Raises:
        InputError: there is no deployment, or the secret is none of the App's.
        GitHubError, DeploymentError: GitHub or Modal refused, or did not answer.
    """
    stored = await stored_variables()
    settings = settings_of(stored)
    log.configure(settings.secrets(), logging.WARNING)
    record = await _app(settings)
    url = await Functions(settings.modal_app_name).web_url()
    if url is None:
        raise InputError(f"App {settings.modal_app_name} has no web function on Modal: run `modal-runner redeploy`")
    page = settings.host.app_settings_page(record.slug, None if record.owner.type == "User" else record.owner.login)
    console.print(
        f"On {page}\n  add the callback URL {url}{CALLBACK}\n  and save.", highlight=False, markup=False, soft_wrap=True
    )
    client_id = settings.github_client_id or record.client_id
    if (
        client_id
        and settings.github_client_secret
        and await _is_good(settings, client_id, settings.github_client_secret)
    ):
        console.print(f"The client secret is known already. Then open {url}", highlight=False, soft_wrap=True)
        return
    console.print('  There too: "Generate a new client secret".', highlight=False)
    client_id = client_id or _asked("The App's client ID", hidden=False)
    secret = SecretStr(_asked("The client secret", hidden=True))
    if not await _is_good(settings, client_id, secret):
        raise InputError(f"GitHub does not take this for the client secret of {record.name}: generate a new one")
    text = deployed_text(stored)
    if text is None:
        text = text_of(configuration_file(load_routing_settings().modal_runner_config))
    added = {"GITHUB_CLIENT_ID": client_id, "GITHUB_CLIENT_SECRET": secret.get_secret_value()}
    await SettingsSecret(settings.modal_app_name).store(added)
    await rollout.deploy(settings_of(stored | added), await look_up_workspace(), text)
    console.print(f"Stored and deployed. Once the callback URL is saved, open {url}", highlight=False, soft_wrap=True)


async def _app(settings: Settings) -> AppRecord:
    parts = compose(settings, Config(), Clock())
    try:
        return await AppWebhook(parts.connection).app()
    finally:
        await parts.connection.close()


async def _is_good(settings: Settings, client_id: str, secret: SecretStr) -> bool:
    transport = SharedTransport(settings.host.rest_version)
    try:
        return await People(settings.host, client_id, secret, transport).is_known()
    finally:
        await transport.really_close()


def _asked(what: str, *, hidden: bool) -> str:
    """A secret is never an argument; without a terminal it is a line of the standard input."""
    given = str(typer.prompt(what, hide_input=hidden)) if sys.stdin.isatty() else sys.stdin.readline()
    if not given.strip():
        raise InputError(f"{what} is wanted: paste it, or give it as a line of the standard input")
    return given.strip()
