"""Runs and jobs (docs: "REST API endpoints for workflow runs", "... for workflow jobs")."""

from github_app.simulator.github.calls import Call, Endpoint, Reply, not_found
from github_app.simulator.github.state import WorkflowRun


async def _runs(call: Call) -> Reply:
    repository = call.repository()
    runs = [run for run in call.github.world.runs.values() if run.repository is repository]
    if status := call.query("status"):
        runs = [run for run in runs if status in {run.status, run.conclusion}]
    found, link = call.page(runs[::-1])
    body = {"total_count": len(runs), "workflow_runs": [call.github.shapes.run(run) for run in found]}
    return Reply(body, headers=link)


async def _run(call: Call) -> Reply:
    return Reply(call.github.shapes.run(_own_run(call)))


async def _jobs(call: Call) -> Reply:
    jobs = _own_run(call).jobs
    found, link = call.page(jobs)
    body = {"total_count": len(jobs), "jobs": [call.github.shapes.job(job) for job in found]}
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
