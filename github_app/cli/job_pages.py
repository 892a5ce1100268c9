"""A job that a person names by its page at GitHub, found in the records or at GitHub."""

from github_app.cli.pages import job_id_of, repository_of
from github_app.cli.source import connected, routing_settings
from github_app.errors import InputError
from github_app.model import JobEvent
from github_app.operations.lookup import job_at_github, recorded_job
from github_app.store import ModalDictStore


async def job_at(page: str) -> JobEvent:
    """The job at an address: as it was delivered, else as GitHub has it.

    Raises:
        InputError: neither knows it, or the App's credentials are not here.
        StoreError, GitHubError: who was asked did not answer.
    """
    job_id, repository = job_id_of(page), repository_of(page) or ""
    settings, _ = await routing_settings()
    record = await recorded_job(ModalDictStore(settings.modal_app_name, create=False), job_id)
    if record is not None:
        return record.event
    async with connected() as (parts, without):
        if parts is None:
            raise InputError(f"job {job_id} is not recorded, and GitHub cannot be asked: {without}")
        found = await job_at_github(parts, repository, job_id)
    if found is None:
        raise InputError(f"GitHub knows no job {job_id} in {repository}")
    return found
