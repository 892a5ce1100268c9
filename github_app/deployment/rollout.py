"""Bringing a deployment up to date: the version of the runner, its images, the functions, the webhook's address.

`setup` does it once the App is registered, `redeploy` at any time, and `rotate-secret` the last parts of it.
"""

import contextlib
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from pydantic import SecretStr

from github_app.compose import images_of
from github_app.deployment import Functions, SettingsSecret, Workspace
from github_app.deployment.deployed_file import FILE_VARIABLE, packed
from github_app.deployment.functions import application_file
from github_app.errors import ConfigError, DeploymentError, GitHubError, InputError
from github_app.github import AppWebhook, Installation, Runners, newest_public_release
from github_app.model import Place, RunnerRelease, Scope
from github_app.sandboxes import ModalSandboxes
from github_app.sandboxes.image import checksum
from github_app.sandboxes.trial import Trials
from github_app.settings.github_host import Host
from github_app.settings.toml_file import FILE, Config
from github_app.settings.variables import RoutingSettings
from github_app.store import SWEEPS, ModalDictStore
from github_app.store.notes import Swept


def configuration_file(given: Path | None) -> Path | None:
    """The administrator's file that is to be deployed: the one `given`, else that of this folder, else that beside
    modal_app.py, if there is one.

    Raises:
        ConfigError: the one that is given is not there.
    """
    if given is not None:
        if not given.exists():
            raise ConfigError([f"MODAL_RUNNER_CONFIG: there is no file {given}"])
        return given
    places = [Path()]
    with contextlib.suppress(InputError):
        places.append(application_file().parent)
    return next((file for folder in places if (file := folder / FILE).exists()), None)


def version_variables(release: RunnerRelease) -> dict[str, str]:
    """A release of actions/runner as settings; without a checksum none of another version may stay."""
    return {"RUNNER_VERSION": release.version, "RUNNER_SHA256": release.sha256 or checksum(release.version) or ""}


async def public_release(host: Host, enterprise_domain: str | None) -> RunnerRelease | None:
    """The newest release that anyone can read on GitHub.com; None elsewhere, and when it cannot be read."""
    if enterprise_domain is not None:
        return None
    try:
        return await newest_public_release(host)
    except GitHubError:
        return None


async def offered_release(runners: Runners, installations: list[Installation]) -> RunnerRelease | None:
    """The release that GitHub offers an organisation (docs: "List runner applications for an organization"); None when
    none is told.
    """
    for each in installations:
        if each.account and each.account.type == "Organization":
            with contextlib.suppress(GitHubError):
                return await runners.newest_release(Place(Scope(each.account.login), each.id))
    return None


async def build_images(settings: RoutingSettings, config: Config) -> str:
    """Build and publish the runner images that are missing, before anything is deployed that needs them.

    Also where none is missing the builder's version is tried, for `modal deploy` builds by it next. Returns what there
    is to say of that, which is nothing as a rule.

    Raises:
        InputError: the runner's archive could not be checked.
        SandboxError: Modal refused, did not answer, or could not build one.
    """
    if (settings.runner_sha256 or checksum(settings.runner_version)) is None:
        raise InputError(
            f"RUNNER_SHA256: the checksum of actions/runner {settings.runner_version} is not known; set it along with "
            "the version, as its release notes have it for linux-x64"
        )
    images = images_of(settings, config)
    refused = await Trials(settings.modal_app_name, images["default"]).builder()
    await ModalSandboxes(settings.modal_app_name, images).prepare()
    return f"Modal refuses this version of its image builder, so its environment's builds: {refused}" if refused else ""


async def deploy(settings: RoutingSettings, workspace: Workspace, text: str) -> str:
    """Deploy the functions and return the address for the webhook: read back, else as Modal makes it.

    `text` is the administrator's file; it is deployed too, and kept in the Secret.

    Raises:
        InputError: modal_app.py is not here.
        DeploymentError: Modal's command failed, or the web function is not there afterwards.
    """
    functions = Functions(settings.modal_app_name)
    with tempfile.TemporaryDirectory(prefix="modal-runner-") as folder:
        file = Path(folder) / FILE
        file.write_text(text, encoding="utf-8")
        await functions.deploy(_deploy_variables(settings, file))
    # Only now: what is kept is what runs.
    await SettingsSecret(settings.modal_app_name).store({FILE_VARIABLE: packed(text)})
    # So that the doctor knows that the first sweep is not overdue.
    await ModalDictStore(settings.modal_app_name).put(SWEEPS, "deployed", Swept(time.time(), 0))
    url = await functions.web_url() or workspace.web_url(settings.modal_app_name, "web")
    if url is None:
        raise DeploymentError("the address of the web function cannot be told after the deploy", retryable=True)
    return f"{url}/webhook"


def _deploy_variables(settings: RoutingSettings, file: Path) -> Mapping[str, str]:
    """What modal_app.py reads while it is deployed."""
    release = RunnerRelease(settings.runner_version, settings.runner_sha256)
    return {
        **version_variables(release),
        "KEEP_WARM": str(settings.keep_warm),
        "SWEEP_CRON": settings.sweep_cron,
        "WITH_OTEL": "1" if settings.traces_to else "",
        "MODAL_RUNNER_CONFIG": str(file.resolve()),
    }


async def point_webhook(webhook: AppWebhook, url: str, secret: SecretStr) -> bool:
    """Let GitHub deliver to `url`, unless it does; tell whether that was changed.

    Raises:
        GitHubError: GitHub refused or did not answer.
    """
    config = await webhook.config()
    if config.url == url and config.is_right:
        return False
    await webhook.point_at(url, secret)
    return True
