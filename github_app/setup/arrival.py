"""The last steps of the setup: the App is installed, and GitHub's word of it arrives."""

import asyncio
import contextlib
import time
import webbrowser
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx

from github_app.errors import SetupError
from github_app.github import AppOnGitHub, AppRecord, AppWebhook, Delivery, Installation
from github_app.setup.progress import Progress

_POLL_S = 2.0
_INSTALL_WITHIN_S = 3600.0
_ARRIVE_WITHIN_S = 300.0
# A container that starts may need longer than the ten seconds that GitHub waits.
_REDELIVER_AFTER_S = 10.0
_WARM_S = 60.0


@dataclass(frozen=True)
class Found:
    """Where the App is installed, and whether that came about in this run."""

    installations: list[Installation]
    is_new: bool


async def installed(app: AppOnGitHub, record: AppRecord, progress: Progress, *, opens_browser: bool) -> Found:
    """Send the person to the page that installs the App, and wait until it is.

    Raises:
        SetupError: it was not within an hour.
        GitHubError: GitHub refused or did not answer.
    """
    progress.begin(f"GitHub: install the App on {record.owner.login}")
    page = f"{record.html_url}/installations/new"
    deadline = time.monotonic() + _INSTALL_WITHIN_S
    found = await app.installations()
    is_new = not found
    if not found:
        progress.install_url = page
        progress.tell(f"open {page}, choose the repositories, and confirm")
        if opens_browser:
            webbrowser.open(page)
    while not found:
        if time.monotonic() > deadline:
            raise SetupError(f"The App was not installed within an hour. Install it at {page} and run this again")
        await asyncio.sleep(_POLL_S)
        found = await app.installations()
    progress.install_url = None
    progress.done(", ".join(each.account.login or "an enterprise" for each in found if each.account))
    return Found(found, is_new)


async def delivered(webhook: AppWebhook, app: AppOnGitHub, found: Found, progress: Progress) -> None:
    """Wait until GitHub's word of the installation has arrived, and ask for it again when it did not.

    Raises:
        SetupError: it did not arrive.
        GitHubError: GitHub refused or did not answer.
    """
    progress.begin("GitHub: wait until its word of the installation has reached the App")
    ids = {each.id for each in found.installations}
    deadline, asked_at = time.monotonic() + _ARRIVE_WITHIN_S, float("-inf")
    told = "GitHub lists no delivery yet"
    while time.monotonic() < deadline:
        over = [each for each in await webhook.deliveries() if each.event != "ping" and each.is_over]
        own = [each for each in over if each.event == "installation" and each.installation_id in ids]
        # The newest tells how it is now. Of an older installation GitHub has forgotten the word; then any other tells.
        last = next(iter(own or ([] if found.is_new else over)), None)
        if last is not None and last.arrived:
            progress.done()
            return
        if last is None and not found.is_new:
            progress.done("GitHub lists no delivery of late; the next job will show")
            return
        if last is not None and time.monotonic() - asked_at > _REDELIVER_AFTER_S:
            told = f"the last try ended with {_outcome(last)}"
            progress.tell(f"{told}; asking GitHub to deliver it again")
            asked_at = time.monotonic()
            await app.redeliver(last.id)
        await asyncio.sleep(_POLL_S)
    raise SetupError(f"No delivery has reached the App: {told}. `modal-runner doctor` says what is wrong")


@contextlib.asynccontextmanager
async def warming(url: str) -> AsyncIterator[None]:
    """Let the first container start while the person is busy, so that GitHub need not wait for it."""

    async def ask() -> None:
        with contextlib.suppress(httpx.HTTPError):
            async with httpx.AsyncClient(timeout=_WARM_S) as client:
                await client.get(url.replace("/webhook", "/healthz"))

    task = asyncio.create_task(ask())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _outcome(delivery: Delivery) -> str:
    return f"{delivery.status_code} {delivery.status}".removeprefix("0 ")
