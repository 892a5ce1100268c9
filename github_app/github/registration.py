"""An App that was just made from a manifest, and the newest release of actions/runner: both asked for by nobody."""

import re
from typing import Any

import msgspec
from githubkit import GitHub
from pydantic import SecretStr

from github_app.errors import GitHubError
from github_app.github.connection import SharedTransport, ask_anonymously
from github_app.model import RunnerRelease
from github_app.settings.github_host import Host

_CODE = re.compile(r"[A-Za-z0-9_-]{1,100}")
_TAG = re.compile(r"v(\d+\.\d+\.\d+)")
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")


class _Owner(msgspec.Struct):
    login: str = ""
    type: str = ""


class NewApp(msgspec.Struct, frozen=True):
    """An App with its secrets, as GitHub gives them out once. `html_url` is its public page."""

    id: int
    slug: str
    name: str
    owner: str
    html_url: str
    client_id: str
    client_secret: SecretStr
    pem: SecretStr
    webhook_secret: SecretStr | None
    owner_type: str = "User"


class _Answer(msgspec.Struct):
    id: int
    name: str
    owner: _Owner
    html_url: str
    client_id: str
    client_secret: str
    pem: str
    slug: str = ""
    webhook_secret: str | None = None


class _Asset(msgspec.Struct):
    name: str
    digest: str | None = None


class _Release(msgspec.Struct):
    tag_name: str
    assets: list[_Asset] = []


async def convert(code: str, host: Host) -> NewApp:
    """Trade the code of a registration for the App's secrets (docs: "Registering a GitHub App from a manifest").

    A code is good once, for an hour.

    Raises:
        GitHubError: 404 when the code is none or no longer good; GitHub refused or did not answer.
    """
    if not _CODE.fullmatch(code):
        # githubkit does not escape what it puts into a path.
        raise GitHubError("registration: this is no code of GitHub's", retryable=False, status=404)

    async def call(github: GitHub[Any]) -> Any:
        return await github.rest.apps.async_create_from_manifest(code)

    answer = await _ask("registration", call, _Answer, host)
    return NewApp(
        id=answer.id,
        slug=answer.slug or answer.html_url.rpartition("/")[2],
        name=answer.name,
        owner=answer.owner.login,
        owner_type=answer.owner.type or "User",
        html_url=answer.html_url,
        client_id=answer.client_id,
        client_secret=SecretStr(answer.client_secret),
        pem=SecretStr(answer.pem),
        webhook_secret=SecretStr(answer.webhook_secret) if answer.webhook_secret else None,
    )


async def newest_public_release(host: Host) -> RunnerRelease:
    """The newest release of actions/runner that anyone can read (docs: "Get the latest release").

    Raises:
        GitHubError: this GitHub has no such repository, or did not answer.
    """

    async def call(github: GitHub[Any]) -> Any:
        return await github.rest.repos.async_get_latest_release("actions", "runner")

    release = await _ask("newest release of actions/runner", call, _Release, host)
    version = _TAG.fullmatch(release.tag_name)
    if version is None:
        raise GitHubError("newest release of actions/runner: its tag is no version", retryable=False)
    archive = f"actions-runner-linux-x64-{version[1]}.tar.gz"
    digest = next((_DIGEST.fullmatch(each.digest or "") for each in release.assets if each.name == archive), None)
    return RunnerRelease(version[1], digest[1] if digest else None)


async def _ask(name: str, call: Any, answer: Any, host: Host) -> Any:
    transport = SharedTransport(host.rest_version)
    try:
        return await ask_anonymously(name, call, answer, api_url=host.api_url, transport=transport)
    finally:
        await transport.really_close()
