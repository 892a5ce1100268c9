"""A job as a person names it on the command line: by its id, or by the address of its page at GitHub."""

import re

from github_app.cli.source import connected, routing_settings
from github_app.errors import InputError
from github_app.model import JobEvent
from github_app.operations.lookup import job_at_github, recorded_job
from github_app.store import ModalDictStore

_PAGE = re.compile(r"https?://[^/]+/([^/]+/[^/]+)/actions/runs/\d+/job/(\d+)([?#].*)?")


def job_page(text: str) -> bool:
    """Tell whether a text is the address of a job's page."""
    return _PAGE.fullmatch(text) is not None


def job_id_of(text: str) -> int:
    """Read a job's id, or the address of its page.

    Raises:
        InputError: it is neither.
    """
    page = _PAGE.fullmatch(text)
    digits = page[2] if page else text
    if not digits.isascii() or not digits.isdigit() or len(digits) > 18:
        raise InputError(
            f"{text!r}: give a job's id, or its page: https://github.com/OWNER/REPO/actions/runs/RUN/job/JOB"
        )
    return int(digits)


def repository_of(text: str) -> str | None:
    """The repository that an address of a job's page names."""
    page = _PAGE.fullmatch(text)
    return page[1] if page else None


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
