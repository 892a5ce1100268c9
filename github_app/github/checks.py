"""Check runs: how the person who wrote a workflow is told that a job is not served (docs: "Check runs")."""

from github_app.foreign_text import code, fenced, visible
from github_app.github.connection import Connection
from github_app.github.tokens import permissions
from github_app.model import JobEvent

_WRITE = permissions({"checks": "write"})
_NAME = "modal-runner"
_ADVICE = (
    "It stays queued until it is cancelled; change `runs-on` and run it again. Other jobs of this commit that are not "
    "served are not told of one by one."
)


class Checks:
    """Writes check runs, where the installation has the optional permission."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def refused(self, job: JobEvent, sentence: str) -> None:
        """Tell on the job's commit why it is not served.

        Raises:
            GitHubError: GitHub refused or did not answer.
        """
        await self._tell(job, sentence, _ADVICE)

    async def halted(self, job: JobEvent, sentence: str) -> None:
        """Tell there why no more runners are started for a job.

        Raises:
            GitHubError: GitHub refused or did not answer.
        """
        await self._tell(job, sentence, "")

    async def _tell(self, job: JobEvent, sentence: str, advice: str) -> None:
        owner, repo = job.repository.split("/")
        body = {
            "name": _NAME,
            "head_sha": job.sha,
            "status": "completed",
            "conclusion": "failure",
            "external_id": str(job.job_id),
            "output": {
                "title": f"{visible(job.job_name[:100])}: not served",
                "summary": f"{fenced(sentence)}\n\nThe job asked for: {code(', '.join(job.labels))}. {advice}".rstrip(),
            },
        }
        await self._connection.as_installation(
            "check run",
            lambda github: github.rest.checks.async_create(owner, repo, data=body),  # type: ignore[call-overload]
            object,
            installation_id=job.installation_id,
            permissions=_WRITE,
        )
