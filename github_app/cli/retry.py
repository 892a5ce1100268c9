"""`modal-runner retry`: a job is tried again, whatever failed before."""

import asyncio
import time
from typing import Annotated

import msgspec
import typer

from github_app.cli.pages import job_id_of
from github_app.clock import Clock
from github_app.model import JobRecord, JobState
from github_app.runners.claims import Claims
from github_app.settings.load import load_routing_settings
from github_app.store import HISTORY, JOBS, ModalDictStore


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
    if found.state is not JobState.QUEUED:
        typer.echo(f"Job {job_id} is {found.state.value}: it waits for no runner.", err=True)
        raise typer.Exit(1)
    typer.echo(f"Job {job_id} of {found.event.repository} is tried again by the next sweep, within a minute.")


async def _urge(job_id: int) -> JobRecord | None:
    """Have a job tried again; return what is recorded of it."""
    store = ModalDictStore(load_routing_settings().modal_app_name, create=False)
    known = await store.get(JOBS, str(job_id))
    if known is None:
        known = await store.get(HISTORY, str(job_id))
        if known is None or known.state is not JobState.GONE:
            return known
        known = msgspec.structs.replace(known, state=JobState.QUEUED)
        await store.put(JOBS, str(job_id), known)
    if known.state is JobState.QUEUED:
        # The day after which a job is given up begins anew.
        await store.put(JOBS, str(job_id), msgspec.structs.replace(known, queued_since=time.time()))
        await Claims(store, Clock()).lift(job_id)
    return known
