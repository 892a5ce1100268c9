"""What becomes of every job of a workflow's file: what `modal-runner explain --workflow` prints."""

import msgspec

from github_app.model import JobEvent
from github_app.operations.explain import Explanation, explain
from github_app.routing.rules import Rules


class JobOfFile(msgspec.Struct, frozen=True):
    """One job, or one combination of its matrix. `explanation` is None where only the run decides; `why` says so."""

    job: str
    labels: tuple[str, ...]
    group: str | None
    explanation: Explanation | None
    why: str | None = None


class FileExplained(msgspec.Struct, frozen=True):
    """The fields are what `--json` prints. `warnings`: what GitHub would not take, with file and line."""

    file: str
    jobs: list[JobOfFile]
    warnings: tuple[str, ...]


def explained(event: JobEvent, group: str | None, undecided: str | None, rules: Rules) -> JobOfFile:
    """Explain one that asks for a runner `group`; `undecided`: only its run tells its labels, and why."""
    if undecided is not None:
        return JobOfFile(event.job_name, event.labels, group, None, undecided)
    return JobOfFile(event.job_name, event.labels, group, explain(event, rules, group=group))


def context(base: JobEvent) -> dict[str, object]:
    """The `github` context of such a run, as far as it is known (docs: "Contexts reference")."""
    branch = base.branch or "main"
    return {
        "event_name": base.run.event if base.run else "push",
        "ref": f"refs/heads/{branch}",
        "ref_name": branch,
        "ref_type": "branch",
        "repository": base.repository,
        "repository_owner": base.repository.partition("/")[0],
        "event": {},
    }
