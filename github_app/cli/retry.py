"""`modal-runner retry`: a job is tried again, whatever failed before."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import msgspec
import typer

from github_app.cli.pages import job_id_of
from github_app.clock import Clock
from github_app.foreign_text import visible
from github_app.lifecycle import GATED
from github_app.model import JobRecord, JobState, RunnerRecord
from github_app.operations.lookup import recorded_job
from github_app.runners.claims import Claims
from github_app.settings.load import load_routing_settings
from github_app.store import JOBS, RUNNERS, ModalDictStore
from github_app.views.waits import APPROVAL, gone


@dataclass(frozen=True)
class Urged:
    """A job that is known: it is tried again, or why that is not to be."""

    repository: str
    why_not: str | None = None


def retry(
    job: Annotated[str, typer.Argument(help="A job's id, or the address of its page at GitHub.", metavar="JOB|URL")],
) -> None:
    """Start runners for a queued job again, whatever failed before. Needs Modal's token alone.

    For a job that was halted because GitHub gave it to no runner, or that waits out an hour after a failure. The next
    sweep, within a minute, starts its runner.

    Exit code 0: it will be tried again; 1: no such job is waiting; 2: not the form of an id or an address.

    Example: modal-runner retry 41230001
    """
    job_id = job_id_of(job)
    found = asyncio.run(_urge(job_id))
    if found is None:
        typer.echo(f"No job {job_id} is known; what waits is listed by `modal-runner status`.", err=True)
        raise typer.Exit(1)
    if found.why_not is not None:
        typer.echo(visible(found.why_not), err=True)
        raise typer.Exit(1)
    typer.echo(f"Job {job_id} of {visible(found.repository)} is tried again by the next sweep, within a minute.")


async def _urge(job_id: int) -> Urged | None:
    """Have a job tried again; None: nothing is known of it."""
    store = ModalDictStore(load_routing_settings().modal_app_name, create=False)
    known = await recorded_job(store, job_id)
    if known is None:
        return None
    if known.state is JobState.GONE and known.conclusion != GATED:
        known = msgspec.structs.replace(known, state=JobState.QUEUED)
    if known.state is not JobState.QUEUED:
        return Urged(known.event.repository, _why_not(known, await store.all(RUNNERS)))
    # The day after which a job is given up begins anew.
    await store.put(JOBS, str(job_id), msgspec.structs.replace(known, queued_since=time.time()))
    await Claims(store, Clock()).lift(job_id)
    return Urged(known.event.repository)


def _why_not(job: JobRecord, runners: Mapping[str, RunnerRecord]) -> str:
    """Say why no runner is started for a job, and what is to be done instead."""
    number = job.event.job_id
    if job.conclusion == GATED:
        return f"Job {number} waits for {APPROVAL}: approve it there."
    if (lost := gone(job, runners)) is not None:
        return (
            f"Job {number} runs by what GitHub has told: {lost}. GitHub gives a job that runs to no other runner. "
            "The sweep asks after it every minute, and starts a runner if GitHub has queued it again."
        )
    if job.state is JobState.RUNNING:
        on = f" on {job.runner_name}" if job.runner_name else ""
        return f"Job {number} is running{on}: it waits for no runner. Whether all is well: `modal-runner why {number}`"
    return f"Job {number} is {job.state.value} ({job.conclusion}): it waits for no runner. Run it again at GitHub."
