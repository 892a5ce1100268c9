"""What the tests of the simulated GitHub start from: a clock, an App that is installed, runners, a receiver."""

import asyncio
import base64
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from github_app.simulator.github.state import Account, App, Installation, Job, Repository, Runner, WorkflowRun
from tests.worlds.github_checked import CheckedGitHub

PERMISSIONS = {"organization_self_hosted_runners": "write", "administration": "write", "actions": "read"}
# Nobody listens on this port of loopback.
NOWHERE = "http://127.0.0.1:9/webhook"
LABELS = ["self-hosted", "modal"]


class Clock:
    """A clock that stands until it is set on."""

    def __init__(self) -> None:
        self.now = float(int(time.time()))

    def __call__(self) -> float:
        return self.now


class Receiver:
    """Takes deliveries over HTTP, and answers as it is told to."""

    def __init__(self) -> None:
        self.status = 202
        self.answers = asyncio.Event()
        self.answers.set()
        self.url = ""
        self.received: list[tuple[Mapping[str, str], bytes]] = []

    @property
    def events(self) -> list[tuple[str, str]]:
        """Action and job name of each `workflow_job` received."""
        payloads = [json.loads(body) for headers, body in self.received if headers["x-github-event"] == "workflow_job"]
        return [(payload["action"], payload["workflow_job"]["name"]) for payload in payloads]

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator["Receiver"]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/webhook"
        try:
            yield self
        finally:
            self.answers.set()
            server.close()
            await server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()[1:-1]
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head)}
        self.received.append((headers, await reader.readexactly(int(headers["content-length"]))))
        await self.answers.wait()
        writer.write(f"HTTP/1.1 {self.status} -\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        writer.close()
        with contextlib.suppress(ConnectionError):  # the sender has given up waiting
            await writer.wait_closed()


@dataclass
class StandIn:
    """A runner that speaks the runner's protocol and does no work."""

    client: httpx.AsyncClient
    registered: Runner
    secret: str
    _poll: "asyncio.Task[httpx.Response] | None" = None

    @property
    def id(self) -> int:
        return self.registered.id

    async def call(self, method: str, path: str, body: object = None) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.secret}"}
        return await self.client.request(method, f"/_runner/{self.id}/{path}", json=body, headers=headers)

    async def online(self) -> "StandIn":
        """Come online, and wait for a job as a runner does."""
        assert (await self.call("POST", "session")).status_code == 204
        self._poll = asyncio.create_task(self.call("GET", "job"))
        await until(lambda: self.registered.waiting or self.registered.job is not None)
        return self

    async def told(self) -> httpx.Response:
        """The answer to its waiting."""
        assert self._poll is not None
        return await self._poll

    async def gone(self) -> None:
        """Stop waiting, as a process that is killed."""
        if self._poll is not None:
            self._poll.cancel()
            await asyncio.gather(self._poll, return_exceptions=True)

    async def finish(self, conclusion: str = "success", **outputs: str) -> None:
        answer = await self.call("POST", "finish", {"conclusion": conclusion, "outputs": outputs})
        assert answer.status_code == 204, answer.text


@dataclass
class Hub:
    """A checked GitHub with an App that is installed on an organisation and delivers to a receiver."""

    github: CheckedGitHub
    clock: Clock
    client: httpx.AsyncClient
    receiver: Receiver
    organization: Account
    repository: Repository
    app: App
    key: RSAPrivateKey
    installation: Installation
    headers: dict[str, str] = field(default_factory=dict)
    runners: list[StandIn] = field(default_factory=list)

    def jwt(
        self, claims: Mapping[str, Any] | None = None, *, key: RSAPrivateKey | None = None, algorithm: str = "RS256"
    ) -> str:
        """A JWT as the App makes it; a claim of None is left out."""
        now = int(self.clock())
        merged = {"iat": now - 60, "exp": now + 540, "iss": str(self.app.id), **(claims or {})}
        given = {name: value for name, value in merged.items() if value is not None}
        # Encoded in its parts, for the library refuses to make some of the claims that must be refused.
        return jwt.api_jws.encode(json.dumps(given).encode(), key or self.key, algorithm)

    async def as_app(self, method: str, path: str, body: object = None, **options: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.jwt()}"}
        return await self.client.request(method, path, json=body, headers=headers, **options)

    async def mint(self, installation: Installation | None = None, **body: Any) -> httpx.Response:
        """Ask for an installation token."""
        number = (installation or self.installation).id
        return await self.as_app("POST", f"/app/installations/{number}/access_tokens", body or None)

    async def token(self, installation: Installation | None = None, **body: Any) -> str:
        return str((await self.mint(installation, **body)).json()["token"])

    async def call(self, method: str, path: str, body: object = None, *, token: str = "") -> httpx.Response:
        """Call as an installation: with `token`, or with one that is made once and may do everything."""
        if not token and not self.headers:
            self.headers["Authorization"] = f"token {await self.token()}"
        headers = {"Authorization": f"token {token}"} if token else self.headers
        return await self.client.request(method, path, json=body, headers=headers)

    async def jit(self, name: str = "modal-1-1", *, at: str = "/orgs/octo-org", **body: Any) -> httpx.Response:
        """Ask for a JIT config."""
        merged = {"name": name, "runner_group_id": 1, "labels": LABELS} | body
        given = {key: value for key, value in merged.items() if value is not None}
        return await self.call("POST", f"{at}/actions/runners/generate-jitconfig", given)

    async def runner(self, name: str = "modal-1-1", **body: Any) -> StandIn:
        """A runner that is registered and has not come online."""
        answer = await self.jit(name, **body)
        assert answer.status_code == 201, answer.text
        secret = jit_files(answer.json()["encoded_jit_config"])[".credentials_rsaparams"]["d"]
        made = StandIn(self.client, self.github.world.runners[answer.json()["runner"]["id"]], secret)
        self.runners.append(made)
        return made

    def push(self, jobs: str, repository: Repository | None = None) -> WorkflowRun:
        """Run a workflow of these jobs."""
        files = {"ci.yml": f"name: CI\non: push\njobs:\n{jobs}".encode()}
        return self.github.actions.push(repository or self.repository, files, "ci.yml")

    def push_job(self, name: str = "build", runs_on: str = "[self-hosted, modal]", **at: Repository) -> Job:
        """Run a workflow of one job."""
        return self.push(job(name, runs_on), **at).jobs[0]


def job(name: str, runs_on: str = "[self-hosted, modal]", **more: str) -> str:
    """A job of a workflow file."""
    lines = [f"    {key.replace('_', '-')}: {value}\n" for key, value in {"runs_on": runs_on, **more}.items()]
    return f"  {name}:\n{''.join(lines)}    steps: [run: 'true']\n"


def jit_files(encoded: str) -> dict[str, Any]:
    """The files in a JIT config."""
    return {name: json.loads(base64.b64decode(text)) for name, text in json.loads(base64.b64decode(encoded)).items()}


async def post_manifest(client: httpx.AsyncClient, login: str, state: str = "s", **changes: Any) -> httpx.Response:
    """Post a manifest, as a page's form does, to an organisation or (no login) to the user who is signed in.

    A change of None leaves a key out.
    """
    merged = {
        "name": "modal-runner",
        "url": "https://example.com",
        "redirect_url": "https://app.example.com/registered",
        "hook_attributes": {"url": NOWHERE},
        "default_permissions": PERMISSIONS,
        "default_events": ["workflow_job"],
        **changes,
    }
    manifest = {name: value for name, value in merged.items() if value is not None}
    page = f"/organizations/{login}/settings/apps" if login else "/settings/apps"
    return await client.post(page, params={"state": state}, data={"manifest": json.dumps(manifest)})


def code_of(answer: httpx.Response) -> str:
    """The code in the redirect that answers a posted manifest."""
    return parse_qs(urlsplit(answer.headers["location"]).query)["code"][0]


@contextlib.asynccontextmanager
async def open_hub() -> AsyncIterator[Hub]:
    """Start a GitHub, make an App by its manifest, and install it."""
    clock = Clock()
    async with (
        Receiver().listening() as receiver,
        CheckedGitHub(clock=clock) as github,
        httpx.AsyncClient(base_url=github.url, trust_env=False, timeout=10) as client,
    ):
        organization = github.world.add_account("octo-org")
        repository = github.world.add_repository(organization, "demo")
        answer = await post_manifest(client, "octo-org", hook_attributes={"url": receiver.url})
        made = (await client.post(f"/app-manifests/{code_of(answer)}/conversions")).json()
        app, key = github.world.apps[made["id"]], load_pem_private_key(made["pem"].encode(), None)
        assert isinstance(key, RSAPrivateKey)
        installation = github.install(app, organization)
        hub = Hub(github, clock, client, receiver, organization, repository, app, key, installation)
        try:
            yield hub
        finally:
            for runner in hub.runners:
                await runner.gone()


async def until(holds: Callable[[], bool]) -> None:
    """Wait for what happens in another task or process."""
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.01)
