"""Which sandbox a shell is opened in, and that it is not ended meanwhile."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress

from github_app.errors import StoreError
from github_app.model import RUNNER_NAME, JobRecord, JobState, RunnerRecord
from github_app.runners.records import change_runner
from github_app.store import ModalDictStore

_HELD_S = 180.0
_RENEWED_S = 60.0


def running(job_id: int, job: JobRecord | None, runners: Mapping[str, RunnerRecord]) -> RunnerRecord | str:
    """The runner that runs a job; or why none is known to, and what to do, in a sentence."""
    theirs = [each for each in runners.values() if each.runs_job == job_id]
    if theirs:
        return max(theirs, key=lambda each: each.started_at)
    if job is None:
        return f"Nothing is known of job {job_id}; `modal-runner status` lists what runs."
    if job.state.over:
        return f"Job {job_id} is over; `modal-runner logs {job_id}` shows what its runner printed."
    if job.state is JobState.RUNNING and RUNNER_NAME.fullmatch(job.runner_name or ""):
        return f"The sandbox of job {job_id} has ended; `modal-runner why {job_id}` says what to do."
    if job.state is JobState.RUNNING:
        return f"Job {job_id} runs on {job.runner_name or 'a runner'}, which is none of ours."
    sentence = f"Job {job_id} waits; `modal-runner why {job_id}` says what for."
    idle = [each.name for each in runners.values() if each.started_for == job_id and each.idle]
    return f"{sentence} `modal-runner shell {idle[-1]}` opens the sandbox that waits for it." if idle else sentence


@asynccontextmanager
async def held(store: ModalDictStore, name: str) -> AsyncIterator[None]:
    """Have nobody end a runner's sandbox within the block, though its job be over; renewed, lest it outlive us.

    Raises:
        StoreError: the store did not answer at the beginning.
    """
    await change_runner(store, name, held_until=time.time() + _HELD_S)
    renewing = asyncio.create_task(_renew(store, name))
    try:
        yield
    finally:
        renewing.cancel()
        # Another's shell that is open there takes it again within a minute.
        with suppress(StoreError):
            await change_runner(store, name, held_until=None)


async def _renew(store: ModalDictStore, name: str) -> None:
    while True:
        await asyncio.sleep(_RENEWED_S)
        with suppress(StoreError):
            await change_runner(store, name, held_until=time.time() + _HELD_S)
