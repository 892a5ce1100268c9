"""`modal-runner setup`: register the App, deploy it, install it."""

import asyncio
import logging
import os
import re
import signal
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from github_app import log
from github_app.cli.add_sign_in import add_sign_in as add_sign_in_to_it
from github_app.deployment.functions import application_file
from github_app.deployment.rollout import configuration_file
from github_app.errors import InputError
from github_app.github.manifest import LONGEST_NAME
from github_app.settings import pasted
from github_app.settings.load import load_config, load_routing_settings
from github_app.setup.progress import Progress
from github_app.setup.register import Wish, can_open_browser
from github_app.setup.setup import Setup

_LOGIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,38})")
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::\d+)?")


def setup(
    org: Annotated[str | None, typer.Option(help="The organisation whose jobs are to run on Modal.")] = None,
    host: Annotated[
        str | None, typer.Option(help="A GitHub Enterprise Server, or SUBDOMAIN.ghe.com; else github.com.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="The App's name at GitHub, where no two Apps share one. Else modal-runner-ORG.")
    ] = None,
    env_file: Annotated[
        Path | None, typer.Option(help="Write the settings to this new file too, readable for you alone.")
    ] = None,
    port: Annotated[int, typer.Option(help="Port of the page on this machine; 0 takes any.", min=0, max=65535)] = 0,
    *,
    personal: Annotated[
        bool, typer.Option("--personal", help="Your own account instead: needs the wide permission `administration`.")
    ] = False,
    login: Annotated[
        str | None, typer.Option(help="With --personal: your account's name, so that no other's App is taken.")
    ] = None,
    no_browser: Annotated[
        bool,
        typer.Option(
            "--no-browser",
            help="Open no browser: print the address, write a file, take a pasted code. So it is without a screen.",
        ),
    ] = False,
    add_sign_in: Annotated[
        bool,
        typer.Option(
            "--add-sign-in",
            help="Of an App that stands already: say what to click for the sign-in, take its secret.",
        ),
    ] = False,
    no_probe: Annotated[
        bool, typer.Option("--no-probe", help="Do not end with a look at what is assumed of GitHub and Modal.")
    ] = False,
) -> None:
    """Register the GitHub App with one button, deploy it on Modal, and install it.

    It says each step before it does it, and can be stopped and run again at any point: what is done stays done, and no
    second App is made. The App's key goes into a Modal Secret and nowhere else. Needs Modal's token (`modal setup`). It
    ends with `modal-runner probe`, which costs some cents.

    Exit code 0: a delivery of GitHub's has reached the App; 1: a step did not come true; 2: the command or the
    settings are wrong.

    Examples:

    modal-runner setup --org octo-org

    modal-runner setup --org octo-org --host ghes.example.com --no-browser
    """
    if add_sign_in:
        application_file()
        asyncio.run(add_sign_in_to_it(Console()))
        return
    if personal and org is not None:
        raise InputError(f"--org {org} and --personal were both given: the App goes to one of them")
    if not personal and org is None:
        raise InputError("say where: --org ORGANISATION, or --personal for your own account")
    if login is not None and not (personal and _LOGIN.fullmatch(login)):
        raise InputError(f"--login {login!r}: give your account's name, with --personal")
    if org is not None and not _LOGIN.fullmatch(org):
        raise InputError(f"--org {org!r}: this is no name of an organisation; give it as in github.com/NAME")
    if host is not None and not _HOST.fullmatch(host):
        raise InputError(f"--host {host!r}: give the name of the host alone, like ghes.example.com")
    if name is not None and not 1 <= len(name) <= LONGEST_NAME:
        raise InputError(f"--name: GitHub takes names of 1 to {LONGEST_NAME} characters")
    if env_file is not None and not os.access(env_file.parent, os.W_OK):
        raise InputError(f"--env-file {env_file}: nothing can be written in {env_file.parent}")
    routing = load_routing_settings()
    if host is not None:
        domain = None if host.lower() == "github.com" else _enterprise(host)
        routing = routing.model_copy(update={"github_enterprise_domain": domain})
    file = configuration_file(routing.modal_runner_config)
    config = load_config(file)
    application_file()
    log.configure(level=logging.WARNING)
    console = Console()
    wish = Wish(
        owner=org,
        name=name,
        host=routing.host,
        opens_browser=not no_browser and can_open_browser(),
        app_name=routing.modal_app_name,
        login=login,
    )
    run = Setup(
        wish,
        routing=routing,
        config=config,
        file=file,
        progress=Progress(console),
        port=port,
        env_file=env_file,
        probes=not no_probe,
    )
    try:
        asyncio.run(_until_told_to_stop(run))
    except (KeyboardInterrupt, asyncio.CancelledError):
        console.print("\nStopped. Run the same command again: it goes on from here.")
        raise KeyboardInterrupt from None


async def _until_told_to_stop(run: Setup) -> None:
    """Ctrl-C, a connection that breaks off and a `kill` all end it in order, however often they come."""
    task = asyncio.current_task()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel if task else lambda: None)
    await run.run()


def _enterprise(host: str) -> str:
    try:
        return str(pasted.enterprise_domain(host)).lower()
    except ValueError as error:
        raise InputError(f"--host {host!r}: {error}") from None
