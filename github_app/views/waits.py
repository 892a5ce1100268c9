"""What each queued job waits for, in a sentence: its launch, a cap, its sandbox, its runner, or GitHub. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping

from github_app.model import Claim, JobRecord, JobState, RunnerRecord
from github_app.routing.units import as_span
from github_app.runners.balance import Demand, Plan, Start, failed_before, fits
from github_app.runners.capacity import Caps
from github_app.sweep.questions import lost_its_runner
from github_app.sweep.rehearsal import reached

# A sentence, and until when (Unix seconds), where that is known.
Waits = dict[int, tuple[str, float | None]]
APPROVAL = "an approval at GitHub; once it has that, it gets its runner"


def waits_of(
    demands: Iterable[Demand],
    planned: Plan,
    *,
    runners: Mapping[str, RunnerRecord],
    claims: Mapping[str, Claim],
    slots: Iterable[str],
    caps: Caps,
    now: float,
) -> Waits:
    """By job: a launch that was put off or waits for a cap, else the idle runner that the job is to get."""
    taken = Counter(key.rpartition("/")[0] for key in slots)
    found: Waits = {wait.demand.job_id: (wait.reason, wait.until) for wait in planned.waits}
    for start in planned.starts:
        again = _failed(failed_before(claims, start.demand.job_id))
        found[start.demand.job_id] = (_before_its_launch(start, taken, caps) + again, None)
    own = {runner.started_for: runner for runner in runners.values() if runner.idle}
    for demand in demands:
        if demand.job.state is JobState.QUEUED and demand.job_id not in found:
            fitting = own.get(demand.job_id) or next((r for r in own.values() if fits(r, demand)), None)
            if fitting is not None:
                failed = failed_before(claims, demand.job_id)
                found[demand.job_id] = (_awaited(fitting, demand.job_id, failed, now), None)
    return found


def gone(job: JobRecord, runners: Mapping[str, RunnerRecord]) -> str | None:
    """Say that a job is held for running on a runner of ours that is gone."""
    if not lost_its_runner(job, runners):
        return None
    return (
        f"its runner {job.runner_name} is gone, and nobody has told of the job's end; if GitHub still shows it as "
        f"running, cancel it and run it again: `modal-runner why {job.event.job_id}`"
    )


def _before_its_launch(start: Start, taken: Mapping[str, int], caps: Caps) -> str:
    event = start.demand.job.event
    for group, most in caps.over(event.repository, start.demand.shape.profile):
        if taken.get(group, 0) >= most:
            return reached(group, taken[group], most)
    return "its launch, with the next event or sweep"


def _failed(reason: str | None) -> str:
    return f"; the one before came to nothing: {reason}" if reason else ""


def _awaited(runner: RunnerRecord, job_id: int, failed: str | None, now: float) -> str:
    """What a job waits for whose runner is made; `failed`: why the one before did."""
    again = _failed(failed)
    if runner.sandbox_id is None:
        return f"Modal to give runner {runner.name} its sandbox, for {as_span(now - runner.started_at)}{again}"
    if runner.online_since is None:
        return f"runner {runner.name} to come online, for {as_span(now - runner.started_at)}{again}"
    return (
        f"runner {runner.name} is online, and GitHub has not given it the job for "
        f"{as_span(now - runner.online_since)}: `modal-runner why {job_id}`"
    )
