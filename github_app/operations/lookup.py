"""One job, found by its number: in the records, else at GitHub."""

import msgspec

from github_app.compose import Parts
from github_app.errors import GitHubError
from github_app.github.jobs import Jobs, Unmetered
from github_app.github.wire import Repository
from github_app.model import JobEvent, JobRecord
from github_app.store import HISTORY, JOBS, ModalDictStore

_MOST_PAGES = 100


async def recorded_job(store: ModalDictStore, job_id: int) -> JobRecord | None:
    """What is recorded of a job, also after its end; None for one that is not known (any more).

    Raises:
        StoreError: the store did not answer.
    """
    return await store.get(JOBS, str(job_id)) or await store.get(HISTORY, str(job_id))


async def job_at_github(parts: Parts, repository: str, job_id: int) -> JobEvent | None:
    """A job as GitHub has it, in a repository that the App reaches; None where it does not know it.

    Raises:
        GitHubError: GitHub refused or did not answer, or the App does not reach the repository.
    """
    found, installation_id = await _reached(parts, repository)
    jobs = Jobs(parts.connection)
    try:
        event = await jobs.job_in(found, installation_id, job_id)
        return event and msgspec.structs.replace(event, run=await jobs.run_of(event))
    except GitHubError as error:
        if error.status == 404:
            return None
        raise


async def _reached(parts: Parts, repository: str) -> tuple[Repository, int]:
    owner = repository.partition("/")[0].lower()
    jobs = Jobs(parts.connection)
    for each in await parts.app.installations():
        if each.account is None or each.account.login.lower() != owner:
            continue
        for page in range(1, _MOST_PAGES + 1):
            batch, more = await jobs.repositories(each.id, page, Unmetered())
            for found in batch:
                if found.full_name.lower() == repository.lower():
                    return found, each.id
            if not more:
                break
    raise GitHubError(
        f"the App does not reach {repository}: it is not installed on {owner}, or not for that repository",
        retryable=False,
    )
