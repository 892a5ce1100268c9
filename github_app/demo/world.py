"""A GitHub, a Modal and the production app on this machine, the App registered as a person would register it."""

import asyncio
import contextlib
import json
import os
import secrets
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
from githubkit import UnauthAuthStrategy
from modal import Client
from modal_proto import api_pb2

from github_app.clock import Clock
from github_app.errors import ModalRunnerError
from github_app.github.connection import SharedTransport, connect
from github_app.github.manifest import load_manifest
from github_app.github.people import CALLBACK
from github_app.routing.catalog import RUNNER_VERSION
from github_app.simulator.github import SimulatedGitHub
from github_app.simulator.github.state import Account, App
from github_app.simulator.image import stand_in_image
from github_app.simulator.modal import Limits, RunnerImage, SimulatedModal

_START_LIMIT_S = 60.0
_STOP_LIMIT_S = 12.0
ORGANIZATION = "octo-org"
DEVELOPER = "octo-dev"


@dataclass
class Container:
    """One process of the app. `log` is the file that its log goes to."""

    url: str
    process: asyncio.subprocess.Process
    log: Path


@dataclass
class World:
    """What runs. `environment` is what each container of the app was started with, `labels` what selects it."""

    github: SimulatedGitHub
    modal: SimulatedModal
    organization: Account
    containers: list[Container]
    environment: Mapping[str, str]
    labels: tuple[str, ...] = ("modal",)

    def modal_client(self) -> Client:
        """A client of the simulated Modal; it is to be entered."""
        token = (self.modal.env["MODAL_TOKEN_ID"], self.modal.env["MODAL_TOKEN_SECRET"])
        return Client(self.modal.url, api_pb2.CLIENT_TYPE_CLIENT, token)

    @property
    def app(self) -> Container:
        """The first container."""
        return self.containers[0]


@contextlib.asynccontextmanager
async def world(
    *,
    containers: int = 1,
    clock: Clock = Clock(),  # noqa: B008 - it is frozen
    image: RunnerImage | None = None,
    limits: Limits = Limits(),  # noqa: B008 - the same
    settings: Mapping[str, str] | None = None,
    labels: tuple[str, ...] = ("modal",),
) -> AsyncIterator[World]:
    """Start everything, and leave nothing behind."""
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="modal-runner-")))
        github = await stack.enter_async_context(SimulatedGitHub(clock.now, time.time))
        # What the app has without settings: `doctor` finds nothing to mend.
        github.newest_runner = RUNNER_VERSION
        on_modal = await stack.enter_async_context(SimulatedModal(image=image or stand_in_image(), limits=limits))
        organization = github.world.add_account(ORGANIZATION)
        _add_people(github)
        ports = [_free_port() for _ in range(containers)]
        app, variables = await register(github, organization, f"http://127.0.0.1:{ports[0]}")
        environment = {**_clean_environment(), **variables, **on_modal.env, **(settings or {})}
        running = World(github, on_modal, organization, [], environment, labels)
        stack.push_async_callback(_stop_all, running)
        for port in ports:
            running.containers.append(await start_container(port, environment, folder / f"app-{port}.log", clock))
        for container in running.containers:
            await until_healthy(container)
        github.webhooks.targets = [f"{container.url}/webhook" for container in running.containers]
        github.install(app, organization)
        yield running


def _add_people(github: SimulatedGitHub) -> None:
    """Who may sign in: an owner of the organisation, a member, who sees no private repository yet, and a stranger."""
    github.add_person("octo-owner", roles={ORGANIZATION: "admin"})
    github.add_person(DEVELOPER, roles={ORGANIZATION: "member"})
    github.add_person("octo-guest")


async def _stop_all(running: World) -> None:
    await asyncio.gather(*(_stop(container.process) for container in running.containers))


async def register(github: SimulatedGitHub, owner: Account, app_url: str) -> tuple[App, dict[str, str]]:
    """Register the App through its manifest, and return it with the variables that `serve` needs."""
    manifest = load_manifest() | {
        "hook_attributes": {"url": f"{app_url}/webhook"},
        "redirect_url": f"{app_url}/registered",
        "callback_urls": [app_url + CALLBACK],
    }
    # What an administrator may grant beside: GitHub then tells the dashboard who owns the organisation.
    manifest["default_permissions"]["members"] = "read"
    state = secrets.token_urlsafe(16)
    async with httpx.AsyncClient(trust_env=False) as browser:
        page = f"{github.url}/organizations/{owner.login}/settings/apps?state={state}"
        answer = await browser.post(page, data={"manifest": json.dumps(manifest)})
    back = parse_qs(urlsplit(answer.headers["location"]).query)
    if back["state"] != [state]:
        raise ModalRunnerError("the registration came back with another state")
    transport = SharedTransport(github.rest_version, trust_env=False)
    client = connect(UnauthAuthStrategy(), github.api_url, transport)
    converted = (await client.rest.apps.async_create_from_manifest(back["code"][0])).json()
    await transport.really_close()
    variables = {
        "GITHUB_API_URL": github.api_url,
        "GITHUB_WEB_URL": github.url,
        "GITHUB_APP_ID": str(converted["id"]),
        "GITHUB_CLIENT_ID": str(converted["client_id"]),
        "GITHUB_CLIENT_SECRET": str(converted["client_secret"]),
        "GITHUB_PRIVATE_KEY": str(converted["pem"]),
        "WEBHOOK_SECRET": str(converted["webhook_secret"]),
    }
    return github.world.apps[int(converted["id"])], variables


async def start_container(port: int, environment: Mapping[str, str], log: Path, clock: Clock) -> Container:
    """Run `modal-runner serve` as anyone would: a process, and its environment."""
    with log.open("ab") as stderr:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-m", "github_app", "serve", "--port", str(port)),
            *("--time-scale", str(clock.scale), "--time-origin", str(clock.origin)),
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=stderr,
            stderr=stderr,
            # Ctrl-C at a terminal goes to a whole group; this process is ended by us, in its turn.
            start_new_session=True,
        )
    return Container(f"http://127.0.0.1:{port}", process, log)


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        await asyncio.wait_for(process.wait(), _STOP_LIMIT_S)
    except (TimeoutError, asyncio.CancelledError):
        process.kill()
        await process.wait()


async def until_healthy(container: Container) -> None:
    """Wait until a container answers.

    Raises:
        ModalRunnerError: it ended instead; with the end of its log.
    """
    async with httpx.AsyncClient(trust_env=False, timeout=_START_LIMIT_S) as client, asyncio.timeout(_START_LIMIT_S):
        while container.process.returncode is None:
            with contextlib.suppress(httpx.TransportError):
                if (await client.get(f"{container.url}/healthz")).status_code == 200:
                    return
            await asyncio.sleep(0.05)
    raise ModalRunnerError(f"the app did not start:\n{container.log.read_text()[-4000:]}")


def _clean_environment() -> dict[str, str]:
    """What the app inherits: nothing that would point it at a real GitHub or Modal, or at a proxy."""
    kept = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR")
    return {name: os.environ[name] for name in kept if name in os.environ}


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port
