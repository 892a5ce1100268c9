"""A GitHub, a Modal and the production app on this machine, the App registered as a person would register it."""

import asyncio
import contextlib
import json
import os
import secrets
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
from githubkit import GitHub, UnauthAuthStrategy

from github_app.errors import ModalRunnerError
from github_app.manifest import load_manifest
from github_app.simulator.github import SimulatedGitHub
from github_app.simulator.github.state import Account, App
from github_app.simulator.modal import RunnerImage, SimulatedModal

_START_LIMIT_S = 60.0
_STOP_LIMIT_S = 12.0
ORGANIZATION = "octo-org"


@dataclass
class World:
    """What runs. `log` is the file that the app's log goes to."""

    github: SimulatedGitHub
    modal: SimulatedModal
    organization: Account
    app_url: str
    app_process: asyncio.subprocess.Process
    log: Path


def stand_in_image() -> RunnerImage:
    """The image of every simulated sandbox: the stand-in runner where the start script looks for run.sh."""
    run = f'#!/bin/sh\nexec "{sys.executable}" -I -m github_app.simulator.runner\n'
    return RunnerImage(env={"RUNNER_HOME": "{root}/runner"}, files={"runner/run.sh": run})


@contextlib.asynccontextmanager
async def world() -> AsyncIterator[World]:
    """Start everything, and leave nothing behind."""
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="modal-runner-demo-")))
        github = await stack.enter_async_context(SimulatedGitHub())
        modal = await stack.enter_async_context(SimulatedModal(image=stand_in_image()))
        organization = github.world.add_account(ORGANIZATION)
        port = _free_port()
        app_url = f"http://127.0.0.1:{port}"
        app, variables = await register(github, organization, app_url)
        log = folder / "app.log"
        environment = {**_clean_environment(), **variables, **modal.env}
        process = await stack.enter_async_context(_serve(port, environment, log))
        await _until_healthy(app_url, process, log)
        github.install(app, organization)
        yield World(github, modal, organization, app_url, process, log)


async def register(github: SimulatedGitHub, owner: Account, app_url: str) -> tuple[App, dict[str, str]]:
    """Register the App through its manifest, and return it with the variables that `serve` needs."""
    manifest = load_manifest() | {
        "hook_attributes": {"url": f"{app_url}/webhook"},
        "redirect_url": f"{app_url}/registered",
    }
    state = secrets.token_urlsafe(16)
    async with httpx.AsyncClient(trust_env=False) as browser:
        page = f"{github.url}/organizations/{owner.login}/settings/apps/new?state={state}"
        answer = await browser.post(page, data={"manifest": json.dumps(manifest)})
    back = parse_qs(urlsplit(answer.headers["location"]).query)
    if back["state"] != [state]:
        raise ModalRunnerError("the registration came back with another state")
    client = GitHub(UnauthAuthStrategy(), base_url=github.url, http_cache=False, timeout=10.0, trust_env=False)
    converted = (await client.rest.apps.async_create_from_manifest(back["code"][0])).json()
    variables = {
        "GITHUB_API_URL": github.url,
        "GITHUB_APP_ID": str(converted["id"]),
        "GITHUB_CLIENT_ID": str(converted["client_id"]),
        "GITHUB_CLIENT_SECRET": str(converted["client_secret"]),
        "GITHUB_PRIVATE_KEY": str(converted["pem"]),
        "WEBHOOK_SECRET": str(converted["webhook_secret"]),
    }
    return github.world.apps[int(converted["id"])], variables


@contextlib.asynccontextmanager
async def _serve(port: int, environment: Mapping[str, str], log: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run `modal-runner serve` as anyone would: a process, and its environment."""
    with log.open("wb") as stderr:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-m", "github_app", "serve", "--port", str(port)),
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=stderr,
            stderr=stderr,
            # Ctrl-C at a terminal goes to a whole group; this process is ended by us, in its turn.
            start_new_session=True,
        )
    try:
        yield process
    finally:
        await _stop(process)


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        await asyncio.wait_for(process.wait(), _STOP_LIMIT_S)
    except (TimeoutError, asyncio.CancelledError):
        process.kill()
        await process.wait()


async def _until_healthy(app_url: str, process: asyncio.subprocess.Process, log: Path) -> None:
    async with httpx.AsyncClient(trust_env=False, timeout=_START_LIMIT_S) as client, asyncio.timeout(_START_LIMIT_S):
        while process.returncode is None:
            with contextlib.suppress(httpx.TransportError):
                if (await client.get(f"{app_url}/healthz")).status_code == 200:
                    return
            await asyncio.sleep(0.05)
    raise ModalRunnerError(f"the app did not start:\n{log.read_text()[-4000:]}")


def _clean_environment() -> dict[str, str]:
    """What the app inherits: nothing that would point it at a real GitHub or Modal, or at a proxy."""
    kept = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR")
    return {name: os.environ[name] for name in kept if name in os.environ}


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port
