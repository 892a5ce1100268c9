"""A job that a person names by its page at GitHub, found in the records or at GitHub."""

from dataclasses import dataclass

import msgspec

from github_app.cli.pages import job_id_of, repository_of
from github_app.cli.source import connected, routing_settings, stored_settings
from github_app.compose import Parts
from github_app.errors import GitHubError, InputError
from github_app.github.jobs import Jobs
from github_app.model import JobEvent
from github_app.operations.lookup import job_at_github, recorded_job
from github_app.routing.route import needs_run
from github_app.settings.load import settings_of
from github_app.settings.make_rules import make_rules
from github_app.settings.toml_file import Config
from github_app.settings.variables import RoutingSettings
from github_app.store import ModalDictStore

Decisive = tuple[RoutingSettings, Config]


@dataclass(frozen=True)
class JobAt:
    """A job, what decides about it, and what of its run could not be found out, though that decides too."""

    event: JobEvent
    decisive: Decisive
    unknown: str | None = None


async def job_at(page: str, by: Decisive | None) -> JobAt:
    """The job at an address: as it was delivered, else as GitHub has it. Without `by` the deployment decides.

    Raises:
        InputError: neither knows it, or the App's credentials are not here.
        StoreError, GitHubError: who was asked did not answer.
    """
    job_id, repository = job_id_of(page), repository_of(page) or ""
    read = await (_deployed() if by is None else routing_settings())
    by = by or read
    record = await recorded_job(ModalDictStore(read[0].modal_app_name, create=False), job_id)
    event = record.event if record else None
    if event is not None and (event.run is not None or not needs_run(event, make_rules(*by))):
        return JobAt(event, by)
    async with connected(read) as (parts, without):
        if event is not None:
            return await _with_its_run(event, by, parts, without)
        if parts is None:
            raise InputError(f"job {job_id} is not recorded, and GitHub cannot be asked: {without}")
        event = await job_at_github(parts, repository, job_id)
    if event is None:
        raise InputError(f"GitHub knows no job {job_id} in {repository}")
    return JobAt(event, by)


async def _with_its_run(event: JobEvent, by: Decisive, parts: Parts | None, without: str | None) -> JobAt:
    """Fill in what only GitHub's record of the run tells: what started it, its file, and whether it is a fork's."""
    if parts is None:
        return JobAt(event, by, without)
    try:
        return JobAt(msgspec.structs.replace(event, run=await Jobs(parts.connection).run_of(event)), by)
    except GitHubError as error:
        return JobAt(event, by, str(error))


async def _deployed() -> Decisive:
    stored, config = await stored_settings(makes_app=False)
    return settings_of(stored), config
