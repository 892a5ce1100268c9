"""`modal-runner setup` as a process, both services simulated, and a person who does by script what a browser does."""

import asyncio
import contextlib
import html
import json
import os
import re
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from github_app.simulator.github import SimulatedGitHub
from github_app.simulator.github.state import Account
from github_app.simulator.image import light_stand_in_image
from github_app.simulator.modal import SimulatedModal

IMAGE = light_stand_in_image()
_WAIT_S = 60.0
PATH = ".github/workflows/ci.yml"
WORKFLOW = {"on": "push", "jobs": {"job": {"runs-on": ["modal"], "steps": [{"run": "true"}]}}}
OCTO = ("setup", "--org", "octo-org", "--no-browser", "--no-probe")


@dataclass
class Command:
    """A command under way, and what it has printed."""

    process: asyncio.subprocess.Process
    text: str = ""

    async def until(self, pattern: str) -> re.Match[str]:
        """Wait until it has printed something; its end before that fails the test."""
        async with asyncio.timeout(_WAIT_S):
            while (found := re.search(pattern, self.text)) is None:
                await self._read()
        return found

    async def _read(self) -> None:
        assert self.process.stdout is not None
        chunk = await self.process.stdout.read(4096)

        assert chunk, f"it ended:\n{self.text}"
        self.text += chunk.decode()

    async def say(self, line: str) -> None:
        """Type a line."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n".encode())
        await self.process.stdin.drain()

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        self.process.send_signal(2)

    async def end(self) -> int:
        """Wait for the end."""
        assert self.process.stdout is not None
        async with asyncio.timeout(_WAIT_S):
            self.text += (await self.process.stdout.read()).decode()
            return await self.process.wait()


@dataclass
class Site:
    """Everything around the command. `ahead_s`: how far GitHub's clock has been set forward."""

    github: SimulatedGitHub
    modal: SimulatedModal
    organization: Account
    folder: Path
    person: httpx.AsyncClient
    ahead_s: list[float]
    environment: dict[str, str]
    commands: list[Command] = field(default_factory=list)

    async def start(self, *arguments: str, environment: Mapping[str, str] | None = None) -> Command:
        """Start a command of ours in an empty folder."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "github_app", *arguments),
            cwd=self.folder,
            env=dict(environment if environment is not None else self.environment),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        self.commands.append(Command(process))
        return self.commands[-1]

    async def run(self, *arguments: str, environment: Mapping[str, str] | None = None) -> tuple[int, str]:
        """Run a command to its end: exit code, and what it printed."""
        command = await self.start(*arguments, environment=environment)
        assert command.process.stdin is not None
        command.process.stdin.close()
        return await command.end(), command.text

    async def page_of(self, setup: Command) -> "Page":
        """Open the page that setup prints the address of."""
        address = (await setup.until(r"open (http://127\.0\.0\.1:\d+/\S+) and"))[1]
        answer = await self.person.get(address, follow_redirects=True)
        return Page(address.rpartition("/")[0], *form_of(answer.text))

    async def press(
        self, page: "Page", *, name: str | None = None, prefix: str = "https://github.com"
    ) -> httpx.Response:
        """Press the button, and then GitHub's own; GitHub's answer leads back with the code."""
        data = {"manifest": page.manifest, **({"name": name} if name else {})}
        at_github = page.action.replace(prefix, self.github.url).replace("/settings/apps/new?", "/settings/apps?")
        return await self.person.post(at_github, data=data)

    async def registers(self, setup: Command) -> httpx.Response:
        """Do all that a person does to register, and return the page that this ends on."""
        answer = await self.press(await self.page_of(setup))
        return await self.person.get(answer.headers["location"])

    async def installs(self, setup: Command) -> None:
        """Press GitHub's button that installs the App."""
        await setup.until(r"open http\S+/installations/new")
        [app] = self.github.world.apps.values()
        await self.person.post(f"{self.github.url}/apps/{app.slug}/installations")

    async def set_up(self) -> None:
        """The whole of it, without a hitch."""
        setup = await self.start(*OCTO)
        await self.registers(setup)
        await self.installs(setup)

        assert await setup.end() == 0, setup.text

    async def job_runs(self) -> None:
        """Push a job for a runner of ours, and wait until it has come to its good end."""
        repository = self.github.world.repositories["octo-org/octo-repo"]
        self.github.actions.push(repository, {PATH: json.dumps(WORKFLOW).encode()}, PATH, {"job": 0.2})
        job = self.github.jobs()[-1]
        deadline = time.monotonic() + 30
        while job.status != "completed":
            assert time.monotonic() < deadline, self.modal.container_log[-3000:]
            await asyncio.sleep(0.05)

        assert job.conclusion == "success"

    @property
    def secret(self) -> dict[str, str]:
        """What the Modal Secret holds."""
        return self.modal.secret("modal-runner-settings") or {}


@dataclass(frozen=True)
class Page:
    """The page with the button."""

    address: str
    action: str
    manifest: str


def form_of(page: str) -> tuple[str, str]:
    """Where the button posts, and the manifest that it posts."""
    found: Sequence[str] = [
        html.unescape(re.findall(pattern, page)[0])
        for pattern in (r'<form method="post" action="([^"]+)"', r'name="manifest" value="([^"]+)"')
    ]
    return found[0], found[1]


@contextlib.asynccontextmanager
async def site(folder: Path, *, enterprise: bool = False) -> AsyncIterator[Site]:
    """Start both services, with one organisation and one repository."""
    ahead = [0.0]
    home = folder / "home"
    home.mkdir()
    async with contextlib.AsyncExitStack() as stack:
        github = await stack.enter_async_context(
            SimulatedGitHub(lambda: time.time() + ahead[0], time.time, enterprise=enterprise)
        )
        modal = await stack.enter_async_context(SimulatedModal(image=IMAGE, hosting=True))
        person = await stack.enter_async_context(httpx.AsyncClient(trust_env=False, timeout=30))
        organization = github.world.add_account("octo-org")
        github.world.add_repository(organization, "octo-repo")
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
        environment = {
            **kept,
            **modal.env,
            "HOME": str(home),
            "GITHUB_API_URL": github.api_url,
            "PYTHONUNBUFFERED": "1",
            "COLUMNS": "200",
            "BROWSER": "true",
        }
        made = Site(github, modal, organization, folder, person, ahead, environment)
        try:
            yield made
        finally:
            for command in made.commands:
                if command.process.returncode is None:
                    command.process.kill()
                    await command.process.communicate()
