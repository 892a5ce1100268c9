"""What a soak comes to, read from the simulators and not from our own records."""

from collections import Counter, defaultdict

import msgspec

from github_app.clock import Clock
from github_app.demo.world import World
from github_app.model import RUNNER_NAME
from github_app.simulator.github.state import Job, Runner
from github_app.simulator.modal import SandboxView

# Both times are of one machine, and a moment lies between an effect and its time being taken.
_OVERLAP_S = 0.5


class SoakReport(msgspec.Struct, frozen=True):
    """The fields are what `--json` prints. Times of start are virtual milliseconds, `elapsed_s` is real."""

    jobs: int
    completed: int
    cancelled: int
    lost: int
    killed_while_running: int
    duplicate_runners: int
    cap_violations: int
    leaked_sandboxes: int
    leaked_runners: int
    leaked_slots: int
    sandboxes_started: int
    github_calls: int
    github_calls_per_job: float
    secondary_limit_hits: int
    p50_start_ms: int
    p99_start_ms: int
    sweeps: int
    redelivered: int
    elapsed_s: float
    # The two that `killed_while_running` is the sum of.
    terminated_at_work: int
    deregistered_at_work: int

    @property
    def well(self) -> bool:
        """Nothing is lost, killed, doubled, over a cap, or left."""
        return not (
            self.lost
            or self.killed_while_running
            or self.duplicate_runners
            or self.cap_violations
            or self.leaked_sandboxes
            or self.leaked_runners
            or self.leaked_slots
        )


def count(running: World, *, caps: tuple[int, int], leaked_slots: int, elapsed_s: float, clock: Clock) -> SoakReport:
    """Count everything; `caps` are those of a repository and of all."""
    jobs = running.github.jobs()
    views = running.modal.sandboxes()
    runners = {runner.name: runner for runner in running.github.world.all_runners.values()}
    starts = sorted((job.started_at - job.created_at) * 1000 for job in jobs if job.started_at is not None)
    calls = running.github.calls
    total = sum(calls.values())
    times = _Times(clock)
    terminated, deregistered = _terminated(views, runners, jobs, times), running.github.deregistered_at_work
    return SoakReport(
        jobs=len(jobs),
        completed=sum(job.status == "completed" and job.conclusion != "cancelled" for job in jobs),
        cancelled=sum(job.conclusion == "cancelled" for job in jobs),
        lost=sum(job.status != "completed" for job in jobs),
        killed_while_running=terminated + deregistered,
        duplicate_runners=_duplicates(views, runners, times),
        cap_violations=_violations(views, jobs, caps, times),
        leaked_sandboxes=sum(view.running for view in views),
        leaked_runners=sum(bool(RUNNER_NAME.fullmatch(r.name)) for r in running.github.world.runners.values()),
        leaked_slots=leaked_slots,
        sandboxes_started=len(views),
        github_calls=total,
        github_calls_per_job=round(total / max(1, len(jobs)), 2),
        secondary_limit_hits=running.github.limits.secondary_hits,
        p50_start_ms=_percentile(starts, 0.50),
        p99_start_ms=_percentile(starts, 0.99),
        sweeps=sweeps_of(calls),
        redelivered=calls["POST /app/hook/deliveries/{delivery_id}/attempts"],
        elapsed_s=round(elapsed_s, 1),
        terminated_at_work=terminated,
        deregistered_at_work=deregistered,
    )


def sweeps_of(calls: Counter[str]) -> int:
    """How many sweeps there were, by what each asks of GitHub first."""
    return calls["GET /app/hook/deliveries"]


class _Times:
    """A sandbox's times, which the simulated Modal keeps in real seconds, on the clock of everything else."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def created(self, view: SandboxView) -> float:
        return self._virtual(view.created_at)

    def ended(self, view: SandboxView) -> float:
        return float("inf") if view.ended_at is None else self._virtual(view.ended_at)

    def _virtual(self, real: float) -> float:
        return self._clock.origin + (real - self._clock.origin) * self._clock.scale


def _terminated(views: list[SandboxView], runners: dict[str, Runner], jobs: list[Job], times: _Times) -> int:
    """Sandboxes that were terminated while their runner's job ran."""
    by_runner = {job.runner.name: job for job in jobs if job.runner is not None}
    killed = 0
    for view in views:
        job = by_runner.get(view.name)
        if view.ended_by != "terminated" or job is None or job.started_at is None or view.name not in runners:
            continue
        end = times.ended(view)
        # A moment is allowed for the runner to report and for its sandbox to be seen to end.
        killed += job.started_at < end and (job.completed_at is None or end < job.completed_at)
    return killed


def _duplicates(views: list[SandboxView], runners: dict[str, Runner], times: _Times) -> int:
    """Runners that were started for a job while another one for it was registered, alive and without a job."""
    by_job: defaultdict[str, list[SandboxView]] = defaultdict(list)
    for view in views:
        by_job[view.tags.get("job", "")].append(view)
    doubled = 0
    for group in by_job.values():
        for n, later in enumerate(group):
            moment = times.created(later)
            doubled += any(_still_waits(runners.get(e.name), e, moment, times) for e in group[:n])
    return doubled


def _still_waits(runner: Runner | None, view: SandboxView, moment: float, times: _Times) -> bool:
    if runner is None:
        return False
    over = [times.ended(view), runner.removed_at or float("inf")]
    if runner.job is not None and runner.job.started_at is not None:
        over.append(runner.job.started_at)
    return min(over) > moment + _OVERLAP_S


def _violations(views: list[SandboxView], jobs: list[Job], caps: tuple[int, int], times: _Times) -> int:
    """Sandboxes that were started while their repository, or all, had the cap of runners in use."""
    done = {job.runner.name: job.completed_at for job in jobs if job.runner is not None}
    spans = [
        (view.tags.get("repo"), times.created(view), min(times.ended(view), done.get(view.name) or float("inf")))
        for view in views
    ]
    violations = 0
    for repo, start, _ in spans:
        alive = [other for other, began, ended in spans if began <= start < ended]
        violations += alive.count(repo) > caps[0] or len(alive) > caps[1]
    return violations


def _percentile(ordered: list[float], share: float) -> int:
    return round(ordered[min(len(ordered) - 1, int(len(ordered) * share))]) if ordered else 0
