"""GitHub's own runners, for those jobs of a workflow that do not ask for us: the stand-in runner on this machine."""

import asyncio
import contextlib
import os
import signal
import sys
import tempfile

from github_app.simulator.github import SimulatedGitHub
from github_app.simulator.github.api_runners import encode_jit_config
from github_app.simulator.github.state import Job
from github_app.simulator.runner import JIT_CONFIG


class HostedRunners:
    """Starts one process for each job of GitHub's own runners, and ends what is left at the end."""

    def __init__(self, github: SimulatedGitHub) -> None:
        self._github = github
        self._runs: dict[int, asyncio.Task[None]] = {}

    def serve(self, jobs: list[Job]) -> None:
        """Start a runner for each of `jobs` that has none yet."""
        for job in jobs:
            if job.id not in self._runs:
                self._runs[job.id] = asyncio.create_task(self._run(job))

    async def close(self) -> None:
        """End every runner."""
        for task in self._runs.values():
            task.cancel()
        await asyncio.gather(*self._runs.values(), return_exceptions=True)

    async def _run(self, job: Job) -> None:
        world = self._github.world
        owner = job.run.repository.owner
        group = world.groups[owner.login.lower()][0]
        runner = world.add_runner(f"GitHub Actions {job.id}", job.instance.labels, job.run.repository, group)
        with tempfile.TemporaryDirectory(prefix="modal-runner-hosted-", ignore_cleanup_errors=True) as folder:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-m", "github_app.simulator.runner"),
                cwd=folder,
                env={"PATH": os.defpath, "HOME": folder, JIT_CONFIG: encode_jit_config(runner, self._github.url)},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
                start_new_session=True,
            )
            try:
                await process.wait()
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
