"""Run a plan until all is quiet, then count."""

import asyncio
import contextlib
import logging
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path

import modal

from github_app.clock import Clock
from github_app.demo.world import World, start_container, until_healthy, world
from github_app.simulator.github.state import Job
from github_app.simulator.image import light_stand_in_image
from github_app.simulator.modal import Limits
from github_app.soak.count import SoakReport, count, sweeps_of
from github_app.soak.faults import GitHubFaults, ModalFaults
from github_app.soak.pace import time_scale
from github_app.soak.plan import CAP_IN_ALL, CAP_PER_REPOSITORY, SoakPlan, make_plan

# GitHub ends the job of a runner that it has not heard of for ten minutes.
_LEASE_S = 600.0
# After the last job has ended: time for the sweeps to find and end what is left over.
_QUIET_S = 900.0
# As many sweeps at least: on a busy machine virtual time goes on while they wait for a processor.
_QUIET_SWEEPS = 30
# When nothing has moved for so long it is not waited any more: a slow machine is slow, and nothing is lost by that.
_STILL_S = 2 * 3600.0
_LOOK_EVERY_REAL_S = 0.5


async def soak(
    *,
    jobs: int,
    seed: int,
    faults: frozenset[str],
    containers: int,
    say: Callable[[str], None],
    keep_logs: Path | None = None,
) -> SoakReport:
    """Run `jobs` jobs with these faults, and count what became of them."""
    # A connection that is broken off on purpose is not worth a line each.
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    clock = Clock(time_scale(), time.time())
    say(f"{clock.scale:.1f} virtual seconds pass in a real one")
    plan = make_plan(jobs, seed, cancel="cancel" in faults, kill="kill" in faults)
    settings = {
        "MAX_CONCURRENT_PER_REPO": str(CAP_PER_REPOSITORY),
        "MAX_CONCURRENT": str(CAP_IN_ALL),
        "MODAL_MAX_THROTTLE_WAIT": "1",
    }
    limits = Limits(containers=len(plan.runs) * 10 + 100, gpus=8 if "modal-throttle" in faults else None)
    began = time.monotonic()
    async with world(
        containers=containers, clock=clock, image=light_stand_in_image(), limits=limits, settings=settings
    ) as running:
        github_faults = GitHubFaults(faults, seed, clock.scale)
        github_faults.tokens = running.github.world.tokens
        running.github.inject(github_faults)
        modal_faults = ModalFaults(faults, seed, clock.scale, running.modal)
        running.modal.interceptor = modal_faults
        async with (
            _background(_drive(running, plan, clock)),
            _background(_kill(running, plan, clock)),
            _background(_end_leases(running)),
        ):
            await _until_quiet(running, jobs, clock, say)
        modal_faults.close()
        running.modal.interceptor = None
        slots = await _slots_left(running)
        report = count(
            running,
            caps=(CAP_PER_REPOSITORY, CAP_IN_ALL),
            leaked_slots=slots,
            elapsed_s=time.monotonic() - began,
            clock=clock,
        )
        if keep_logs is None and not report.well:
            keep_logs = Path(tempfile.mkdtemp(prefix=f"modal-runner-soak-{seed}-"))
        if keep_logs is not None:
            say(f"logs, world and calls of this run are in {keep_logs}")
            for container in running.containers:
                (keep_logs / container.log.name).write_bytes(container.log.read_bytes())
            (keep_logs / "world.txt").write_text(_describe(running, clock))
            calls = [f"{number:6} {call}" for call, number in running.github.calls.most_common()]
            (keep_logs / "calls.txt").write_text("\n".join(calls))
        return report


@contextlib.asynccontextmanager
async def _background(work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _drive(running: World, plan: SoakPlan, clock: Clock) -> None:
    """Push each run at its time, and cancel what the plan cancels."""
    cancels: set[asyncio.Task[None]] = set()
    repositories = {}
    for run in plan.runs:
        await clock.sleep(max(0.0, clock.origin + run.at - clock.now()))
        if run.repository not in repositories:
            repositories[run.repository] = running.github.world.add_repository(running.organization, run.repository)
        path = ".github/workflows/soak.yml"
        lengths = {name: seconds / clock.scale for name, seconds in run.lengths.items()}
        pushed = running.github.actions.push(repositories[run.repository], {path: run.workflow.encode()}, path, lengths)
        for job in pushed.jobs:
            if job.instance.name in plan.cancels:
                cancels.add(asyncio.create_task(_cancel(running, job, plan.cancels[job.instance.name], clock)))
    await asyncio.gather(*cancels)


async def _cancel(running: World, job: Job, after: float, clock: Clock) -> None:
    await clock.sleep(after)
    if job.status != "completed":
        running.github.actions.cancel(job)


async def _kill(running: World, plan: SoakPlan, clock: Clock) -> None:
    """`kill -9` one container after the other, and start it again."""
    for number, at in enumerate(plan.kills):
        await clock.sleep(max(0.0, clock.origin + at - clock.now()))
        victim = running.containers[number % len(running.containers)]
        victim.process.kill()
        await victim.process.wait()
        port = int(victim.url.rsplit(":", 1)[1])
        running.containers[number % len(running.containers)] = again = await start_container(
            port, running.environment, victim.log, clock
        )
        await until_healthy(again)


async def _end_leases(running: World) -> None:
    while True:
        await asyncio.sleep(_LOOK_EVERY_REAL_S)
        running.github.actions.end_leases(_LEASE_S)


async def _until_quiet(running: World, jobs: int, clock: Clock, say: Callable[[str], None]) -> None:
    """Wait until every job has ended and nothing is left over, or for as long as that may take."""
    done_at: float | None = None
    swept = 0
    seen, moved_at = "", clock.now()
    while clock.now() - moved_at < _STILL_S:
        await asyncio.sleep(_LOOK_EVERY_REAL_S)
        known = running.github.jobs()
        done = sum(job.status == "completed" for job in known)
        now = _what_moves(running)
        if now != seen:
            seen, moved_at = now, clock.now()
        alive = sum(view.running for view in running.modal.sandboxes())
        say(f"{done}/{jobs} jobs done, {len(known) - done} open, {alive} sandboxes")
        if done < jobs:
            continue
        if done_at is None:
            done_at, swept = clock.now(), sweeps_of(running.github.calls)
        nothing_left = alive == 0 and not running.github.world.runners and await _slots_left(running) == 0
        had_time = clock.now() - done_at > _QUIET_S and sweeps_of(running.github.calls) - swept > _QUIET_SWEEPS
        if nothing_left or had_time:
            return


def _what_moves(running: World) -> str:
    """Whatever changes while jobs and runners get on."""
    jobs = [(job.id, job.status) for job in running.github.jobs()]
    runners = sorted(running.github.world.runners)
    return str((jobs, runners, [(view.id, view.running) for view in running.modal.sandboxes()]))


async def _slots_left(running: World) -> int:
    async with running.modal_client() as client:
        slots = modal.Dict.from_name("modal-runner-slots", create_if_missing=True, client=client)
        return await slots.len.aio()


def _describe(running: World, clock: Clock) -> str:
    """Every job and sandbox, for whoever looks into a failure."""
    lines = []
    for job in running.github.jobs():
        taken_by = job.runner.name if job.runner else None
        times = [job.created_at, job.started_at, job.completed_at]
        shown = [None if t is None else round(t - clock.origin, 1) for t in times]
        lines.append(f"job {job.id} {job.instance.name} {job.status} {job.conclusion} {taken_by} {shown}")
    for view in running.modal.sandboxes():
        ended = None if view.ended_at is None else round((view.ended_at - clock.origin) * clock.scale, 1)
        created = round((view.created_at - clock.origin) * clock.scale, 1)
        lines.append(f"sandbox {view.id} {view.name} {created}-{ended} {view.ended_by} {view.returncode}")
    for runner in running.github.world.all_runners.values():
        removed = None if runner.removed_at is None else round(runner.removed_at - clock.origin, 1)
        lines.append(f"runner {runner.name} {runner.conduct} online={runner.online} removed={removed}")
    return "\n".join(lines)
