"""Check runs: how the person who wrote a workflow is told that a job is not served (docs: "Check runs")."""

import time

import structlog

from github_app.errors import GitHubError
from github_app.github.connection import Connection
from github_app.github.tokens import permissions
from github_app.model import JobEvent

_WRITE = permissions({"checks": "write"})
_NAME = "modal-runner"
# After an installation was found to lack the permission: when to try again.
_ASK_AGAIN_S = 600.0

_log = structlog.get_logger(__name__)


class Checks:
    """Writes check runs, where the installation has the optional permission."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._without_until: dict[int, float] = {}

    async def refused(self, job: JobEvent, sentence: str) -> None:
        """Tell on the job's commit why it is not served. Never raises: the log has said it already."""
        await self._tell(job, sentence, "It stays queued until it is cancelled; change `runs-on` and run it again.")

    async def halted(self, job: JobEvent, sentence: str) -> None:
        """Tell there why no more runners are started for a job. Never raises."""
        await self._tell(job, sentence, "")

    async def _tell(self, job: JobEvent, sentence: str, advice: str) -> None:
        if job.sha is None or self._without_until.get(job.installation_id, 0.0) > time.monotonic():
            return
        owner, repo = job.repository.split("/")
        body = {
            "name": _NAME,
            "head_sha": job.sha,
            "status": "completed",
            "conclusion": "failure",
            "external_id": str(job.job_id),
            "output": {
                "title": f"{job.job_name[:100]}: not served",
                "summary": f"{sentence}\n\nThe job asked for: `{', '.join(job.labels)}`. {advice}".rstrip(),
            },
        }
        try:
            await self._connection.as_installation(
                "check run",
                lambda github: github.rest.checks.async_create(owner, repo, data=body),  # type: ignore[call-overload]
                object,
                installation_id=job.installation_id,
                permissions=_WRITE,
            )
        except GitHubError as error:
            if error.status in {403, 422} and not error.retry_after:
                self._without_until[job.installation_id] = time.monotonic() + _ASK_AGAIN_S
            _log.info("check_run_not_written", job=job.job_id, reason=str(error))
