"""The production app as a process of its own, between a simulated GitHub and a simulated Modal."""

import asyncio
import contextlib
import hashlib
import hmac
import json
import os
import sys
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from github_app.demo.world import register
from github_app.simulator.github import SimulatedGitHub
from github_app.simulator.github.state import Account, App, Installation, Job, Repository
from github_app.simulator.image import stand_in_image
from github_app.simulator.modal import Limits, SimulatedModal

_START_LIMIT_S = 30.0
_STOP_LIMIT_S = 15.0
PATH = ".github/workflows/ci.yml"
PAYLOADS = Path(__file__).parents[1] / "contract" / "payloads"


@dataclass
class ControlPlane:
    """What runs, and a way to knock on its door as GitHub does."""

    github: SimulatedGitHub
    modal: SimulatedModal
    organization: Account
    app: App
    installation: Installation
    settings: Mapping[str, str]
    url: str
    process: asyncio.subprocess.Process
    log: Path
    # By time.perf_counter(), when its process was started.
    spawned_at: float

    async def send(self, body: bytes, **headers: str) -> httpx.Response:
        """POST `body` with exactly these headers; underscores stand for dashes."""
        raw = {name.replace("_", "-"): value for name, value in headers.items()}
        async with httpx.AsyncClient(trust_env=False, timeout=20) as client:
            return await client.post(f"{self.url}/webhook", content=body, headers=raw)

    async def deliver(self, payload: object, *, event: str = "workflow_job", guid: str | None = None) -> httpx.Response:
        """Send `payload` as GitHub does: signed, with a GUID."""
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        return await self.send(
            body,
            content_type="application/json",
            x_github_event=event,
            x_github_delivery=guid or str(uuid.uuid4()),
            x_hub_signature_256=self.sign(body),
        )

    def sign(self, body: bytes) -> str:
        """Sign with the App's webhook secret."""
        return "sha256=" + hmac.new(self.app.webhook_secret.encode(), body, hashlib.sha256).hexdigest()

    def queued(self, *labels: str, job_id: int | None = None) -> dict[str, Any]:
        """GitHub's recorded `queued` delivery, as if from the organisation of this control plane."""
        payload: dict[str, Any] = json.loads((PAYLOADS / "workflow_job_5_queued.json").read_bytes())
        number = job_id or uuid.uuid4().int % 10**11 + 1
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        payload["workflow_job"] |= {"id": number, "run_id": number, "labels": list(labels), "created_at": now}
        payload["repository"]["owner"] |= {"login": self.organization.login, "type": "Organization"}
        payload["installation"] = {"id": self.installation.id}
        payload["repository"]["private"] = True
        return payload

    async def quiet(self) -> Counter[str]:
        """Wait until nothing is called any more, and return what was called until then."""
        before, calls = None, self.github.calls + self.modal.calls
        while calls != before:
            await asyncio.sleep(0.3)
            before, calls = calls, self.github.calls + self.modal.calls
        return calls

    def resident_mib(self) -> float:
        """How much memory the app's process holds now."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024

    def kill(self) -> None:
        """End the app at once, whatever it waits for."""
        self.process.kill()


@contextlib.asynccontextmanager
async def running(
    folder: Path, *, limits: Limits | None = None, settings: Mapping[str, str] | None = None
) -> AsyncIterator[ControlPlane]:
    """Start both simulators and `modal-runner serve`, registered and installed on one organisation."""
    async with contextlib.AsyncExitStack() as stack:
        github = await stack.enter_async_context(SimulatedGitHub())
        modal = await stack.enter_async_context(SimulatedModal(image=stand_in_image(), limits=limits or Limits()))
        organization = github.world.add_account("octo-org")
        app, registered = await register(github, organization, "http://127.0.0.1:9")
        log = folder / "app.log"
        spawned_at = time.perf_counter()
        process = await stack.enter_async_context(serve({**registered, **modal.env, **(settings or {})}, log))
        url = await _url(process, log)
        app.hook_url = f"{url}/webhook"
        installation = github.install(app, organization)
        yield ControlPlane(github, modal, organization, app, installation, registered, url, process, log, spawned_at)


@contextlib.asynccontextmanager
async def serve(settings: Mapping[str, str], log: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run `modal-runner serve` on a free port, with these settings and nothing else."""
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "github_app", "serve", "--port", "0"),
            env={**inherited, **settings},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), _STOP_LIMIT_S)
        except TimeoutError:
            process.kill()
            await process.wait()


async def _url(process: asyncio.subprocess.Process, log: Path) -> str:
    """Where the app says that it listens, once it answers there."""
    async with httpx.AsyncClient(trust_env=False) as client, asyncio.timeout(_START_LIMIT_S):
        while process.returncode is None:
            for line in log.read_text().splitlines():
                with contextlib.suppress(ValueError, httpx.TransportError):
                    event = json.loads(line)
                    if event.get("event") == "serving":
                        url = f"http://127.0.0.1:{event['port']}"
                        (await client.get(f"{url}/healthz")).raise_for_status()
                        return url
            await asyncio.sleep(0.05)
    raise AssertionError(f"the app did not start:\n{log.read_text()}")


async def until(holds: Callable[[], object], *, within: float = 20.0) -> None:
    """Wait for something that only other processes bring about."""
    async with asyncio.timeout(within):
        while not holds():
            await asyncio.sleep(0.02)


def push(plane: ControlPlane, repository: Repository, *steps: str, labels: str = "modal") -> Job:
    """Push a workflow of one job with these steps."""
    lines = "\n".join(f"      - {step}" for step in steps)
    text = f"on: push\njobs:\n  build:\n    runs-on: [self-hosted, {labels}]\n    steps:\n{lines}\n"
    return plane.github.actions.push(repository, {PATH: text.encode()}, PATH).jobs[0]
