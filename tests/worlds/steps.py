"""What tests do in a universe, and GitHub's calls by name."""

import asyncio
import os
import sys
import uuid
from typing import Any

from github_app.simulator.github.state import Job
from tests.worlds.universe import Universe

JIT = "POST /orgs/{org}/actions/runners/generate-jitconfig"
JOB = "GET /repos/{owner}/{repo}/actions/jobs/{job_id}"
RUN = "GET /repos/{owner}/{repo}/actions/runs/{run_id}"


def unborn(it: Universe) -> Job:
    """A job that GitHub tells of and does not have."""
    run = it.push({f"unborn-{uuid.uuid4().hex[:6]}": (("self-hosted", "elsewhere"), 1)})
    return run.jobs[0]


async def send(it: Universe, payload: dict[str, Any], *, times: int = 1, event: str = "workflow_job") -> list[str]:
    """Hand a payload over under fresh GUIDs, and return what was answered to these."""
    known = set(it.github.world.deliveries)
    for _ in range(times):
        it.github.webhooks.send(it.installation, event, payload, it.repository.id)
    await it.github.webhooks.settle()
    later = [each for each in it.github.world.deliveries.values() if each.id not in known]
    sent = [each for each in later if each.payload == payload]
    return [f"{each.status_code} {each.response}" for each in sent]


async def command(it: Universe, *arguments: str, **more: str) -> tuple[int | None, str, str]:
    """Run `modal-runner` with Modal's token and nothing of GitHub's."""
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", **it.modal.env, **more}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "github_app", *arguments),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await asyncio.wait_for(process.communicate(), 30)
    return process.returncode, output.decode(), errors.decode()
