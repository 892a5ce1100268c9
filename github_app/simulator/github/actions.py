"""GitHub Actions itself: queues the jobs of a run, gives them to runners, and tells the App of each change.

A queued job goes to any online runner that has all of its labels, oldest job first: which runner was made for which
job plays no part (docs: "Using self-hosted runners in a workflow").
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from github_app.simulator.github.commit import commit_of
from github_app.simulator.github.concurrency import Groups
from github_app.simulator.github.events import EVENTS, Commit, Event, context_of
from github_app.simulator.github.shapes import Shapes, iso
from github_app.simulator.github.state import Job, Repository, Runner, WorkflowRun, World
from github_app.simulator.github.webhooks import Webhooks
from github_app.simulator.workflow import Given, JobInstance, Run, Workflow, library, load
from github_app.simulator.workflow.model import Group, Result
from github_app.simulator.workflow.values import ExpressionError, to_text

PUSH = EVENTS["push"]
NOTHING = Given()


class Actions:
    """Runs, jobs and their way to a runner."""

    def __init__(
        self, world: World, webhooks: Webhooks, shapes: Shapes, clock: Callable[[], float] = time.time
    ) -> None:
        self._world = world
        self._webhooks = webhooks
        self._shapes = shapes
        self._clock = clock
        # Real seconds until the API tells that a runner is busy.
        self.busy_lag_s = 0.0
        # Real seconds until a job that waits for its environment is approved; None: not by itself.
        self.approved_after_s: float | None = 0.3
        self._groups = Groups()

    def push(
        self,
        repository: Repository,
        files: Mapping[str, bytes],
        workflow_path: str,
        lengths: Mapping[str, float] | None = None,
        gated: frozenset[str] = frozenset(),
        *,
        event: Event = PUSH,
        given: Given = NOTHING,
    ) -> WorkflowRun:
        """Push one commit and run one workflow file of it; with `lengths` jobs only take their time.

        Jobs of the names in `gated` wait until they are approved. `event` says what starts the run, whatever the
        file's filters say; `given` holds secrets and variables.

        Raises:
            WorkflowError: the file is broken, or uses what is not known here.
        """
        workflow = load(files[workflow_path].decode("utf-8", "replace"), workflow_path)
        run_id = self._world.new_id()
        if repository.files is not files:
            message = f"Push {run_id}"
            repository.files = files
            repository.commit = commit_of(files, message, repository.owner.login, int(self._clock()))
        context = self._context(repository, run_id, workflow, event)
        run = WorkflowRun(
            id=run_id,
            number=int(context["run_number"]),
            repository=repository,
            plan=Run(workflow, context, replace(given, library=library(workflow, files))),
            context=context,
            path=workflow_path,
            name=workflow.name or workflow_path,
            sha=repository.commit.sha,
            created_at=self._clock(),
            updated_at=self._clock(),
            lengths=lengths,
            gated=gated,
            event=event.name,
            head_branch=context["head_ref"] or context["ref_name"],
        )
        self._world.runs[run_id] = run
        self._begin(run)
        return run

    def _begin(self, run: WorkflowRun) -> None:
        """Start a run, unless its concurrency group has it wait."""
        try:
            group = run.plan.concurrency
        except ExpressionError:
            group = None
        if group is not None:
            self._enter(group, run)
        if group is None or self._groups.holds(run):
            self._advance(run)
        elif run.status == "queued":
            run.status = "pending"

    def _enter(self, group: Group, member: Job | WorkflowRun) -> None:
        repository = member.repository if isinstance(member, WorkflowRun) else member.run.repository
        for other in self._groups.enter(repository.id, group, member):
            reason = f"Canceling since a higher priority waiting request for {group.name} exists"
            if isinstance(other, WorkflowRun):
                other.note = reason
                self.cancel_run(other)
            else:
                other.log.append(reason)
                self.cancel(other)

    def _leave(self, member: Job | WorkflowRun) -> None:
        for other in self._groups.leave(member):
            if isinstance(other, WorkflowRun):
                other.status = "queued"
                self._advance(other)
            else:
                self._queue(other)

    def _context(self, repository: Repository, run_id: int, workflow: Workflow, event: Event) -> dict[str, Any]:
        """The `github` context of a run."""
        number = 1 + sum(run.repository is repository for run in self._world.runs.values())
        inputs = {name: to_text(each.default) for name, each in workflow.dispatch.items()}
        happened = replace(event, inputs={**inputs, **event.inputs})
        commit = Commit(repository.commit.sha, f"Push {run_id}", iso(self._clock()))
        shown = self._shapes.repository(repository), self._shapes.account(repository.owner)
        return {
            **context_of(happened, *shown, commit),
            "run_id": str(run_id),
            "run_number": str(number),
            "run_attempt": "1",
            "workflow": workflow.name,
            "workflow_ref": f"{repository.full_name}/{workflow.path}@{event.ref}",
            "workflow_sha": repository.commit.sha,
        }

    def finish(self, job: Job, conclusion: Result, outputs: Mapping[str, str]) -> None:
        """End a job; its runner, which was there for one job, is gone with it."""
        if job.status == "completed":
            return
        if job.runner is not None:
            self.remove_runner(job.runner)
        self._complete(job, conclusion)
        job.run.plan.finish(job.instance.key, conclusion, outputs)
        self._advance(job.run)

    def approve(self, job: Job) -> None:
        """Let a job go that waits for its environment."""
        if job.status == "waiting":
            job.status = "queued"
            self._tell("queued", job)
            self.assign()

    def rerun(self, job: Job) -> Job | None:
        """Run one job of a run that is over once more, under a new id (docs: "Re-running workflows and jobs")."""
        run = job.run
        if run.status != "completed":
            return None
        run.attempt += 1
        run.status, run.conclusion, run.updated_at = "queued", None, self._clock()
        run.plan.reopen(job.instance.key)
        again = self._add_job(run, job.instance)
        self.assign()
        return again

    def cancel(self, job: Job) -> None:
        """Cancel one job: at once while it is queued; its runner is asked to stop when it runs."""
        if job.status in {"queued", "waiting", "pending"}:
            self.finish(job, "cancelled", {})
        else:
            job.cancel_asked = True

    def cancel_run(self, run: WorkflowRun) -> None:
        """Cancel a whole run, as a person does on its page."""
        # What goes on all the same, like a job with always(), is the plan's to say.
        run.plan.cancel()
        if run.status == "pending":
            # It has no jobs yet, and gets none.
            run.status, run.conclusion, run.updated_at = "completed", "cancelled", self._clock()
            self._leave(run)
        else:
            self._advance(run)

    def remove_runner(self, runner: Runner) -> None:
        """Forget a runner; one that still polls is told so."""
        self._world.runners.pop(runner.id, None)
        runner.removed_at = runner.removed_at or self._clock()
        runner.changed.set()

    def end_leases(self, seconds: float) -> None:
        """Fail the jobs of runners that were not heard of for so long, as GitHub does ("lost communication")."""
        for job in list(self._world.jobs.values()):
            if job.status == "in_progress" and job.runner and self._clock() - job.runner.heard_at > seconds:
                job.log.append("The self-hosted runner lost communication with the server.")
                self.finish(job, "failure", {})

    def assign(self) -> None:
        """Give queued jobs, oldest first, to idle online runners."""
        idle = [r for r in self._world.runners.values() if r.waiting and r.job is None]
        if not idle:
            return
        for job in self._world.jobs.values():
            # A run may be over while one of its jobs still reads as queued, which no runner is then given.
            if job.status != "queued" or job.run.status == "completed":
                continue
            runner = next((r for r in idle if _fits(r, job)), None)
            if runner is not None:
                idle.remove(runner)
                self._start(job, runner)
                if not idle:
                    return

    def _start(self, job: Job, runner: Runner) -> None:
        job.status, job.started_at, job.runner = "in_progress", self._clock(), runner
        job.run.status = "in_progress"
        runner.job = job
        runner.heard_at = self._clock()
        asyncio.get_running_loop().call_later(self.busy_lag_s, _tell_busy, runner)
        runner.changed.set()
        self._tell("in_progress", job)

    def _advance(self, run: WorkflowRun) -> None:
        """Queue what has become ready, cancel what fail-fast cancels, end the run when all is done."""
        while instances := run.plan.ready():
            for instance in instances:
                self._add_job(run, instance)
        for key in run.plan.to_cancel():
            self.cancel(next(job for job in reversed(run.jobs) if job.instance.key == key))
        run.updated_at = self._clock()
        if run.plan.done and run.status != "completed":
            run.status, run.conclusion = "completed", run.plan.conclusion
            self._leave(run)
        self.assign()

    def _add_job(self, run: WorkflowRun, instance: JobInstance) -> Job:
        job = Job(self._world.new_id(), run, instance, self._clock(), run.attempt)
        run.jobs.append(job)
        self._world.jobs[job.id] = job
        if instance.skipped:
            self._complete(job, "cancelled" if instance.cancelled else "skipped")
        elif instance.error:
            job.log.extend(instance.error.splitlines())
            self._complete(job, "failure")
        elif instance.concurrency is not None:
            self._queue_in_group(job, instance.concurrency)
        else:
            self._queue(job)
        return job

    def _queue_in_group(self, job: Job, group: Group) -> None:
        if self._groups.holder(job.run.repository.id, group) is job.run:
            job.log.append(f"Canceling since a deadlock was detected for concurrency group: '{group.name}'")
            self.finish(job, "cancelled", {})
            return
        job.status = "pending"
        self._enter(group, job)
        if job.status == "pending" and self._groups.holds(job):
            self._queue(job)

    def _queue(self, job: Job) -> None:
        """Tell of a job that is to be given to a runner, now or when its environment lets it go."""
        job.status = "queued"
        self._tell("queued", job)
        if job.instance.name in job.run.gated or job.instance.environment:
            # A gated job was seen to send `queued`, then `waiting`, and `queued` when it is let go.
            job.status = "waiting"
            self._tell("waiting", job)
            if job.instance.environment and self.approved_after_s is not None:
                asyncio.get_running_loop().call_later(self.approved_after_s, self.approve, job)

    def _complete(self, job: Job, conclusion: str) -> None:
        job.status, job.conclusion, job.completed_at = "completed", conclusion, self._clock()
        self._tell("completed", job)
        self._leave(job)

    def _tell(self, action: str, job: Job) -> None:
        repository = job.run.repository
        for installation in self._world.installations_for(repository):
            if "workflow_job" in installation.app.events:
                payload = self._shapes.job_event(action, job, installation)
                self._webhooks.send(installation, "workflow_job", payload, repository.id)


def _fits(runner: Runner, job: Job) -> bool:
    repository = job.run.repository
    if runner.home is not repository and runner.home is not repository.owner:
        return False
    if runner.home is repository.owner and not repository.private and not runner.group.allows_public_repositories:
        return False
    if runner.group.workflows is not None and job.run.context["workflow_ref"] not in runner.group.workflows:
        return False
    if job.instance.group is not None and job.instance.group != runner.group.name:
        return False
    return {label.lower() for label in job.instance.labels} <= {label.lower() for label in runner.labels}


def _tell_busy(runner: Runner) -> None:
    runner.busy = True
