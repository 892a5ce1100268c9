"""One real job, from the button at GitHub to its end. The person adds the workflow and presses the button."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from githubkit import GitHub, Response

from github_app.errors import GitHubError, InputError
from github_app.github import Connection
from github_app.github.tokens import permissions
from github_app.model import Gpu, RunnerRecord, runner_name
from github_app.probe.result import found, unknown
from github_app.routing.catalog import gpu_key
from github_app.store import HISTORY, JOBS, RUNNERS, ModalDictStore
from github_app.store.notes import ProbeResult

FILE = "modal-runner-probe.yml"
_READ = permissions({"actions": "read", "metadata": "read"})
_LOOK_EVERY_S = 3.0
_BUTTON_WITHIN_S = 900.0
_JOB_WITHIN_S = 1800.0
# What Modal's docs say a web function may take; a background task is said to outlive it.
_WEB_LIMIT_S = 150.0


def snippet(label: str, gpu: Gpu | None = None) -> str:
    """The workflow that a person adds. Its job changes nothing."""
    labels = f"self-hosted, {label}" + (f', "gpu:{gpu_key(gpu)}:{gpu.count}"' if gpu else "")
    return f"""name: modal-runner probe
on: workflow_dispatch
permissions: {{}}
jobs:
  probe:
    runs-on: [{labels}]
    timeout-minutes: 15
    steps:
      - run: |
          echo "user $(id -un), sudo $(sudo -n id -u || echo no), $(nproc) CPUs"
          sleep 20
"""


class _Installation(msgspec.Struct):
    id: int


class _Run(msgspec.Struct):
    id: int
    path: str = ""
    created_at: datetime | None = None


class _Runs(msgspec.Struct):
    workflow_runs: list[_Run]


class _Job(msgspec.Struct):
    id: int
    status: str = ""
    conclusion: str | None = None
    created_at: datetime | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    runner_name: str | None = None


class _Jobs(msgspec.Struct):
    jobs: list[_Job]


@dataclass
class Timeline:
    """When what happened to the job, in Unix seconds."""

    job_id: int
    conclusion: str | None
    runner: str | None
    moments: list[tuple[str, float]]

    def lines(self) -> list[str]:
        """A line a moment, with the seconds since the first."""
        first = self.moments[0][1]
        return [f"{moment - first:8.1f} s  {name}" for name, moment in self.moments]


class JobProbe:
    """Waits for the job, and puts together what GitHub and we know of it."""

    def __init__(self, connection: Connection, store: ModalDictStore, repository: str) -> None:
        self._connection = connection
        self._store = store
        self._owner, _, self._repo = repository.partition("/")
        self._installation = 0
        self._seen: dict[str, RunnerRecord] = {}

    async def run(self, told: Callable[[str], None]) -> tuple[Timeline, list[ProbeResult]]:
        """Wait until the person has started the workflow, and then for its end.

        Raises:
            InputError: the App is not installed there; nobody started the workflow; its job did not end.
            GitHubError, StoreError: GitHub or Modal did not answer.
        """
        began = time.time() - 60
        self._installation = await self._installed()
        run = await self._wait(lambda: self._newest(began), _BUTTON_WITHIN_S, "nobody has started the workflow")
        told(f"run {run.id} has begun")
        job = await self._wait(lambda: self._ended(run.id), _JOB_WITHIN_S, "its job did not end")
        return await self._timeline(job)

    async def _wait(self, look: Callable[[], Any], seconds: float, failure: str) -> Any:
        deadline = time.monotonic() + seconds
        while (seen := await look()) is None:
            if time.monotonic() > deadline:
                raise InputError(f"{failure} within {seconds / 60:.0f} minutes; run this again")
            await asyncio.sleep(_LOOK_EVERY_S)
        return seen

    async def _installed(self) -> int:
        async def call(github: GitHub[Any]) -> Response[Any, Any]:
            return await github.rest.apps.async_get_repo_installation(self._owner, self._repo)

        try:
            return (await self._connection.as_app("installation on the repository", call, _Installation)).id
        except GitHubError as error:
            if error.status != 404:
                raise
            raise InputError(f"--repo {self._owner}/{self._repo}: the App is not installed there") from error

    async def _newest(self, since: float) -> _Run | None:
        async def call(github: GitHub[Any]) -> Response[Any, Any]:
            return await github.rest.actions.async_list_workflow_runs_for_repo(
                self._owner, self._repo, event="workflow_dispatch", per_page=20
            )

        runs = (await self._ask("runs of the probe's workflow", call, _Runs)).workflow_runs
        ours = [each for each in runs if each.path.partition("@")[0].endswith(f"/{FILE}")]
        return next((each for each in ours if each.created_at and each.created_at.timestamp() >= since), None)

    async def _ended(self, run_id: int) -> _Job | None:
        async def call(github: GitHub[Any]) -> Response[Any, Any]:
            return await github.rest.actions.async_list_jobs_for_workflow_run(self._owner, self._repo, run_id)

        jobs = (await self._ask("job of the probe's workflow", call, _Jobs)).jobs
        # A runner's record goes when its sandbox has ended.
        self._seen |= await self._store.all(RUNNERS)
        return next((each for each in jobs if each.status == "completed"), None)

    async def _ask(self, name: str, call: Any, answer: Any) -> Any:
        return await self._connection.as_installation(
            name, call, answer, installation_id=self._installation, permissions=_READ
        )

    async def _timeline(self, job: _Job) -> tuple[Timeline, list[ProbeResult]]:
        key = str(job.id)
        record = await self._store.get(HISTORY, key) or await self._store.get(JOBS, key)
        runner = self._seen.get(job.runner_name or "")
        moments = [
            ("queued at GitHub", _seconds(job.created_at)),
            ("its delivery recorded", record.recorded_at if record else None),
            ("its runner registered", runner.started_at if runner else None),
            ("in progress at GitHub", _seconds(job.started_at)),
            ("completed", _seconds(job.completed_at)),
        ]
        made = [(name, moment) for name, moment in moments if moment is not None]
        timeline = Timeline(job.id, job.conclusion, job.runner_name, sorted(made, key=lambda each: each[1]))
        return timeline, [_long_launch(job)]


def _long_launch(job: _Job) -> ProbeResult:
    """What a job tells of launches that wait: one that was made anew by the sweep is a second attempt by its name."""
    queued, started = _seconds(job.created_at), _seconds(job.started_at)
    first = job.runner_name == runner_name(job.id, 1)
    if queued is None or started is None or not first:
        return unknown(8, "the job did not run on the runner of its own first launch: start it again")
    if started - queued < _WEB_LIMIT_S:
        return unknown(8, f"its launch took {started - queued:.0f} s: use a GPU that is scarce, so that it takes 150 s")
    return found(8, f"a job was served by its first launch, which took {started - queued:.0f} s", holds=True)


def _seconds(moment: datetime | None) -> float | None:
    return moment.timestamp() if moment else None
