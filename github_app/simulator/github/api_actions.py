"""Runs and jobs (docs: "REST API endpoints for workflow runs", "... for workflow jobs")."""

from github_app.simulator.github.calls import Call, Endpoint, Reply, not_found
from github_app.simulator.github.state import WorkflowRun


async def _runs(call: Call) -> Reply:
    repository = call.repository()
    at, shapes = call.listed_at, call.github.shapes
    runs = [r for r in call.github.world.runs.values() if r.repository is repository and r.created_at <= at]
    if status := call.query("status"):
        runs = [run for run in runs if status in {run.status_at(at), run.conclusion}]
    found, link = call.page(runs[::-1])
    body = {"total_count": len(runs), "workflow_runs": [shapes.run(run, at) for run in found]}
    return Reply(body, headers=link)


async def _run(call: Call) -> Reply:
    return Reply(call.github.shapes.run(_own_run(call)))


async def _jobs(call: Call) -> Reply:
    """Of each job the newest attempt, which is the default of `filter`."""
    at = call.listed_at
    jobs = list({job.instance.key: job for job in _own_run(call).jobs if job.created_at <= at}.values())
    found, link = call.page(jobs)
    body = {"total_count": len(jobs), "jobs": [call.github.shapes.job(job, at) for job in found]}
    return Reply(body, headers=link)


async def _job(call: Call) -> Reply:
    repository = call.repository()
    job = call.github.world.jobs.get(call.number("job_id"))
    if job is None or job.run.repository is not repository:
        raise not_found()
    return Reply(call.github.shapes.job(job))


def _own_run(call: Call) -> WorkflowRun:
    repository = call.repository()
    run = call.github.world.runs.get(call.number("run_id"))
    if run is None or run.repository is not repository:
        raise not_found()
    return run


_READ = ("actions", "read")

ENDPOINTS = (
    Endpoint("GET", "/repos/{owner}/{repo}/actions/runs", _runs, needs=_READ),
    Endpoint("GET", "/repos/{owner}/{repo}/actions/runs/{run_id}", _run, needs=_READ),
    Endpoint("GET", "/repos/{owner}/{repo}/actions/runs/{run_id}/jobs", _jobs, needs=_READ),
    Endpoint("GET", "/repos/{owner}/{repo}/actions/jobs/{job_id}", _job, needs=_READ),
)
