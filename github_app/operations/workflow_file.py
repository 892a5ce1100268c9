"""What becomes of every job of a workflow's file: what `modal-runner explain --workflow` prints."""

import math

import msgspec

from github_app.model import JobEvent
from github_app.operations.explain import Explanation, explain
from github_app.routing.machine import LONGEST_JOB_S
from github_app.routing.rules import Rules
from github_app.routing.units import as_time


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


def explained(
    event: JobEvent,
    group: str | None,
    undecided: str | None,
    rules: Rules,
    *,
    timeout_minutes: float | None = None,
    needs_docker: bool = False,
) -> JobOfFile:
    """Explain one that asks for a runner `group`; `undecided`: only its run tells its labels, and why.

    `timeout_minutes` is the job's own, after which GitHub ends it. `needs_docker`: it has services: or container:.
    """
    if undecided is not None:
        return JobOfFile(event.job_name, event.labels, group, None, undecided)
    found = explain(event, rules, group=group)
    if needs_docker and found.sandbox is not None and found.sandbox["runtime"] != "vm":
        why = "add the label docker" if found.sandbox["gpu"] is None else "which do not work beside a GPU"
        note = f"it has services: or container:, {why}"
        found = msgspec.structs.replace(found, notes=(*found.notes, note))
    return JobOfFile(event.job_name, event.labels, group, _ended_by_github(found, timeout_minutes, rules))


def _ended_by_github(found: Explanation, minutes: float | None, rules: Rules) -> Explanation:
    """What a job costs at most that GitHub ends before its sandbox's time-out does, or what ends it before GitHub."""
    box = found.sandbox
    if box is None or minutes is None or found.most_usd is None or minutes * 60 == box["job_timeout_s"]:
        return found
    if minutes * 60 > box["job_timeout_s"]:
        longest = min(rules.limits.timeout, LONGEST_JOB_S - box["debug_s"])
        asked = min(longest, math.ceil(minutes) * 60)
        label = f"timeout:{asked // 3600}h" if asked % 3600 == 0 else f"timeout:{asked // 60}m"
        more = f"ask for more with the label {label}"
        if asked < minutes * 60:
            more += ", the most that may be asked for"
        if asked <= box["job_timeout_s"]:
            more = "no label may ask for more"
        has = as_time(box["job_timeout_s"])
        note = f"timeout-minutes: {minutes:g} is more than the {has} that its sandbox has; {more}"
        return msgspec.structs.replace(found, notes=(*found.notes, note))
    around_s = box["timeout_s"] - box["job_timeout_s"]
    most = round(found.most_usd * (minutes * 60 + around_s) / box["timeout_s"], 2)
    note = f"timeout-minutes: {minutes:g} ends it first, which the most that it can cost goes by"
    return msgspec.structs.replace(found, most_usd=most, notes=(*found.notes, note))


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
