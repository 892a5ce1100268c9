"""What the stand-in runner speaks to: come online, wait for a job, send its log, report its end.

The real service behind actions/runner is not public; this one has its effects. Each request carries the runner's
secret from its JIT config.
"""

import asyncio
import io
import tarfile
from typing import Any

from github_app.simulator.github.auth import ApiError
from github_app.simulator.github.calls import As, Call, Endpoint, Reply
from github_app.simulator.github.state import Job, Runner

_LONG_POLL_S = 20.0
_NOTICED_AFTER_S = 2.0
_LOG_LINES_KEPT = 100_000


async def _come_online(call: Call) -> Reply:
    runner = _runner(call)
    if runner.online:
        raise ApiError(409, "A session for this runner already exists.")
    runner.online = True
    if runner.conduct == "ghost":
        call.github.actions.remove_runner(runner)
    elif runner.conduct is not None and runner.conduct.startswith("exit"):
        # It ends without a word, which GitHub notices.
        asyncio.get_running_loop().call_later(_NOTICED_AFTER_S, _goes_offline, runner)
    return Reply(status=204)


def _goes_offline(runner: Runner) -> None:
    runner.online = False


async def _next_job(call: Call) -> Reply:
    """Wait for a job; 204 when there is none yet, and the runner asks again. Only one that waits is given a job."""
    runner = _runner(call)
    runner.changed.clear()
    runner.waiting = True
    try:
        call.github.actions.assign()
        if runner.job is None:
            await _change_or_hangup(call, runner)
    finally:
        runner.waiting = False
    runner = _runner(call)
    return Reply(_message(runner.job)) if runner.job else Reply(status=204)


async def _change_or_hangup(call: Call, runner: Runner) -> None:
    """Wait until something is to be told; a runner whose connection ends meanwhile is offline."""
    changed = asyncio.ensure_future(runner.changed.wait())
    # The body has been read, so that the next message is that the client has gone.
    hangup = asyncio.ensure_future(call.request.receive())
    try:
        done, _ = await asyncio.wait({changed, hangup}, timeout=_LONG_POLL_S, return_when=asyncio.FIRST_COMPLETED)
        if hangup in done:
            runner.online = False
    finally:
        changed.cancel()
        hangup.cancel()


def _message(job: Job) -> dict[str, Any]:
    plan = job.run.plan
    if job.run.lengths is not None:
        return {
            "job_id": job.id,
            "name": job.instance.name,
            "github": job.run.context,
            "seconds": job.run.lengths[job.instance.name],
        }
    given = plan.given_to(job.instance.key)
    return {
        "job_id": job.id,
        "name": job.instance.name,
        "act_job": job.instance.job_id,
        "secrets": dict(given.secrets),
        "variables": dict(given.variables),
        "workflow": plan.standalone(job.instance.key),
        "github": job.run.context,
        "timeout_minutes": job.instance.timeout_minutes,
    }


async def _files(call: Call) -> Reply:
    """The repository's files and its `.git`, as one tar."""
    run = _job(call).run
    repository = run.repository
    url = f"{call.github.url}/{repository.full_name}"
    git = repository.commit.repository(str(run.context["ref"]), url)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in {**repository.files, **{f".git/{name}": text for name, text in git.items()}}.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o644 if name.startswith(".git/") else 0o755
            archive.addfile(entry, io.BytesIO(content))
    return Reply(content=packed.getvalue(), media_type="application/x-tar")


async def _progress(call: Call) -> Reply:
    """Take log lines, and tell whether the job is to stop."""
    job = _job(call)
    if job.runner is not None:
        job.runner.works = True
    job.log.extend(str(line) for line in call.body().get("lines", ()))
    if len(job.log) > _LOG_LINES_KEPT:
        del job.log[: -_LOG_LINES_KEPT + 1]
        job.log.insert(0, "(the lines before these are not kept)")
    return Reply({"cancel": job.cancel_asked})


async def _finish(call: Call) -> Reply:
    job = _job(call)
    body = call.body()
    conclusion = body.get("conclusion")
    if conclusion not in {"success", "failure", "cancelled"}:
        raise ApiError(422, "Invalid conclusion.")
    call.github.actions.finish(job, conclusion, body.get("outputs") or {})
    return Reply(status=204)


def _runner(call: Call) -> Runner:
    secret = call.request.headers.get("authorization", "").removeprefix("Bearer ")
    runner = call.github.world.all_runners.get(call.number("runner_id"))
    if runner is None or (runner.removed_at is not None and not _works_on(runner)):
        raise ApiError(404, "The runner no longer exists on the server.")
    if runner.secret != secret:
        raise ApiError(401, "Bad credentials")
    runner.heard_at = call.github.clock()
    return runner


def _works_on(runner: Runner) -> bool:
    return runner.job is not None and runner.job.status != "completed"


def _job(call: Call) -> Job:
    job = _runner(call).job
    if job is None:
        raise ApiError(409, "The runner has no job.")
    return job


_BASE = "/_runner/{runner_id}"
ENDPOINTS = (
    Endpoint("POST", f"{_BASE}/session", _come_online, As.ANYONE),
    Endpoint("GET", f"{_BASE}/job", _next_job, As.ANYONE),
    Endpoint("GET", f"{_BASE}/files", _files, As.ANYONE),
    Endpoint("POST", f"{_BASE}/progress", _progress, As.ANYONE),
    Endpoint("POST", f"{_BASE}/finish", _finish, As.ANYONE),
)
