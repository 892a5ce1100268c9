"""Keeping what a registration bought: GitHub gives an App's key out once, so it must not get lost on its way."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_delay, wait_exponential

from github_app.deployment import SettingsSecret
from github_app.errors import DeploymentError, InputError, SetupError
from github_app.setup.progress import Progress

_FOR_S = 600.0


def rescue_file(app_name: str) -> Path:
    """Where the settings go, readable for this user alone, while Modal cannot be reached; the next run stores them.

    Raises:
        SetupError: nothing can be written at home nor here.
    """
    for folder in (Path.home(), Path.cwd()):
        if os.access(folder, os.W_OK):
            return folder / f".{app_name}-settings.rescue"
    raise SetupError(
        f"Nothing can be written in {Path.home()} nor here. Run this where it can: should Modal be out of reach when "
        "GitHub hands out the App's key, it has to be kept somewhere"
    )


def rescued(app_name: str) -> dict[str, str]:
    """What an earlier run had to leave in the rescue file."""
    file = rescue_file(app_name)
    if not file.exists():
        return {}
    try:
        found = json.loads(file.read_text())
    except (OSError, ValueError):
        raise SetupError(f"{file} cannot be read; it holds the App's settings from an earlier run") from None
    return {str(name): str(value) for name, value in found.items()}


async def keep(secret: SettingsSecret, app_name: str, variables: Mapping[str, str], progress: Progress) -> None:
    """Store settings as the Secret, for ten minutes if need be; else leave them in the rescue file.

    Raises:
        SetupError: Modal could not be reached; the settings are in the rescue file.
    """

    def say(state: RetryCallState) -> None:
        # From now on also for the case that this process is killed.
        rescue(app_name, variables)
        error = state.outcome.exception() if state.outcome else None
        progress.tell(f"{error}; trying again. Until then they are in {rescue_file(app_name)}, readable for you alone")

    try:
        async for attempt in AsyncRetrying(
            retry=retry_if_exception(lambda error: isinstance(error, DeploymentError) and error.retryable),
            wait=wait_exponential(multiplier=2, max=30),
            stop=stop_after_delay(_FOR_S),
            before_sleep=say,
            reraise=True,
        ):
            with attempt:
                await secret.store(variables)
    except DeploymentError as error:
        rescue(app_name, variables)
        raise SetupError(
            f"{error}\nThe App's settings are in {rescue_file(app_name)} (readable for you alone). Run `modal-runner "
            "setup` again: it stores them on Modal and deletes the file"
        ) from error
    except BaseException:
        # Ctrl-C, or a stop: the key would be lost, and with it the App.
        rescue(app_name, variables)
        progress.tell(f"the settings are in {rescue_file(app_name)} until the next run")
        raise
    rescue_file(app_name).unlink(missing_ok=True)


def rescue(app_name: str, variables: Mapping[str, str]) -> None:
    """Leave settings in the rescue file, for the next run to store."""
    file = rescue_file(app_name)
    new = file.with_suffix(".new")
    new.unlink(missing_ok=True)
    _write_private(new, json.dumps(dict(variables)))
    # At each moment there is one that is whole.
    new.replace(file)


def write_env_file(path: Path, variables: Mapping[str, str]) -> None:
    """Write the settings as a file of variables, readable for this user alone; one of the same App may be there.

    Raises:
        InputError: there is another file, or it cannot be written.
    """
    text = "".join(f"{name}={json.dumps(value)}\n" for name, value in sorted(variables.items()) if value)
    try:
        if path.exists() and f"GITHUB_APP_ID={json.dumps(variables.get('GITHUB_APP_ID'))}\n" in path.read_text():
            path.unlink()
        _write_private(path, text)
    except OSError as error:
        raise InputError(f"--env-file {path}: {error.strerror or error}") from None


def _write_private(path: Path, text: str) -> None:
    # Made with its mode, so that it is never readable for others; a link or a file that is there is not followed.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
