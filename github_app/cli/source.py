"""Where a command finds the App's settings: in the environment when they stand there, else in its Modal Secret."""

import contextlib
import logging
import os
import sys
from collections.abc import AsyncIterator

from github_app import log
from github_app.clock import Clock
from github_app.compose import Parts, compose
from github_app.deployment import SettingsSecret
from github_app.deployment.deployed_file import FILE_VARIABLE, deployed_text
from github_app.deployment.rollout import configuration_file
from github_app.errors import ConfigError, DeploymentError, InputError, ModalRunnerError
from github_app.foreign_text import visible
from github_app.settings.load import (
    load_all,
    load_config,
    load_routing_settings,
    load_settings,
    parse_config,
    settings_of,
)
from github_app.settings.make_rules import secrets_of
from github_app.settings.toml_file import FILE, Config
from github_app.settings.variables import STORED, RoutingSettings, Settings
from github_app.views.sweeping import every_s

_CREDENTIALS = ("GITHUB_APP_ID", "GITHUB_PRIVATE_KEY", "GITHUB_PRIVATE_KEY_PATH", "WEBHOOK_SECRET")


def in_environment() -> bool:
    """Whether the environment says anything of the App's credentials."""
    return any(os.environ.get(name) for name in _CREDENTIALS)


def sweeps_every_s(settings: RoutingSettings) -> float | None:
    """How often a sweep is due: by the schedule on Modal, or by what `serve` reads; None: that is not known."""
    if in_environment():
        with contextlib.suppress(ConfigError):
            return load_settings().sweep_interval_seconds or None
    return every_s(settings.sweep_cron)


async def stored_settings(*, makes_app: bool = True) -> tuple[dict[str, str], Config]:
    """The variables in the Modal Secret, with the App's name, and the administrator's file as it is deployed.

    Of a deployment that an older version has made the file is not known: that of this folder is taken.

    Raises:
        ConfigError: the file, or the environment that decides about jobs, is not right.
        InputError: there is no such Secret.
        DeploymentError: Modal refused or did not answer.
    """
    stored = await stored_variables(makes_app=makes_app)
    text = deployed_text(stored)
    if text is not None:
        return stored, parse_config(text, f"{FILE} of the deployment")
    return stored, load_config(configuration_file(load_routing_settings().modal_runner_config))


async def stored_variables(*, makes_app: bool = True) -> dict[str, str]:
    """The variables in the Modal Secret, with the App's name, and the administrator's file as it is kept there.

    Raises:
        ConfigError: the environment that decides about jobs is not right.
        InputError: there is no such Secret.
        DeploymentError: Modal refused or did not answer.
    """
    routing = load_routing_settings()
    secret = SettingsSecret(routing.modal_app_name)
    stored = await secret.read([*STORED.values(), FILE_VARIABLE], makes_app=makes_app)
    if stored is None:
        raise InputError(
            f"there is no Modal Secret {secret.name}: run `modal-runner setup`, or set MODAL_APP_NAME if the App has "
            "another name"
        )
    return {**stored, "MODAL_APP_NAME": routing.modal_app_name}


async def deployed_settings(
    level: int = logging.INFO, read: tuple[RoutingSettings, Config] | None = None
) -> tuple[Settings, Config]:
    """The settings of the App, from the environment or from the Modal Secret, and the administrator's file.

    From then on the log shows what is of this `level`, and none of their secrets. `read` are those of the Secret, where
    they were just read: each time that takes a sandbox.

    Raises:
        ConfigError: what is there is not right.
        InputError: they are in neither place.
        DeploymentError: Modal refused or did not answer.
    """
    if in_environment():
        settings, config = load_all()
    elif read is not None and isinstance(read[0], Settings):
        settings, config = read[0], read[1]
    else:
        stored, config = await stored_settings()
        settings = settings_of(stored)
    log.configure(settings.secrets() + secrets_of(config), level)
    return settings, config


@contextlib.asynccontextmanager
async def connected(
    read: tuple[RoutingSettings, Config] | None = None,
) -> AsyncIterator[tuple[Parts | None, str | None]]:
    """A way to GitHub as the App, where its credentials can be had; else None, and why not. `read` as above."""
    try:
        settings, config = await deployed_settings(logging.CRITICAL, read)
    except ModalRunnerError as error:
        yield None, str(error)
        return
    parts = compose(settings, config, Clock())
    try:
        yield parts, None
    finally:
        await parts.connection.close()


async def routing_settings() -> tuple[RoutingSettings, Config]:
    """What decides about jobs: of the deployment where there is one that can be read, else of the environment.

    Raises:
        ConfigError: what is there is not right.
        DeploymentError: there is no way to Modal at all.
    """
    try:
        stored, config = await stored_settings(makes_app=False)
        return settings_of(stored), config
    except InputError:
        pass
    except DeploymentError as error:
        if error.no_way:
            raise
        told = visible(str(error))
        print(f"The deployment's settings cannot be read, so those of this shell are used: {told}", file=sys.stderr)  # noqa: T201
    settings = load_routing_settings()
    return settings, load_config(settings.modal_runner_config)
