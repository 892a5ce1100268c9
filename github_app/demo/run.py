"""Push, watch every job to its end, and report."""

import asyncio
import time
from collections.abc import Mapping

from rich.console import Console

from github_app.demo.hosted import HostedRunners, is_hosted
from github_app.demo.report import Report, is_ours, refusals, report, report_job, sandboxes_by_name
from github_app.demo.show import Show, show_failures, show_refusals, show_summary, showing, state_of
from github_app.demo.source import Source
from github_app.demo.world import World, world
from github_app.errors import ModalRunnerError
from github_app.simulator.github.state import Job

# A job that waits this long for a runner, on one machine, will not get one.
_LOST_AFTER_S = 90.0
# What has ended needs a moment to be gone: a sandbox ends by itself, after its job.
_SETTLE_S = 10.0
_LOOK_EVERY_S = 0.1


async def run_demo(source: Source, console: Console, *, stay: bool) -> Report:
    """Run everything once; with `stay`, serve until cancelled.

    Raises:
        ModalRunnerError: the app did not start, or ended on its own.
    """
    async with world() as running:
        hosted = HostedRunners(running.github)
        try:
            repository = running.github.world.add_repository(running.organization, source.name)
            for workflow in source.workflows:
                running.github.actions.push(repository, source.files, workflow)
            with showing(console) as show:
                await _watch(running, hosted, show)
            await _settle(running)
            result = report(running)
            show_failures(console, running.github.jobs(), source.expected_failures)
            show_refusals(console, running.github.jobs(), refusals(running))
            show_summary(console, result)
            if stay:
                await _stay(running, console)
            return result
        finally:
            await hosted.close()


async def _watch(running: World, hosted: HostedRunners, show: Show) -> None:
    """Show the jobs until nothing moves any more."""
    while True:
        jobs = running.github.jobs()
        by_name = sandboxes_by_name(running)
        show([(state_of(job), report_job(job, by_name)) for job in jobs])
        hosted.serve([job for job in jobs if job.status == "queued" and is_hosted(job)])
        if running.app.process.returncode is not None:
            raise ModalRunnerError(f"the app ended on its own:\n{running.app.log.read_text()[-4000:]}")
        oldest_wait = time.time() - _LOST_AFTER_S
        refused = refusals(running)
        moving = [
            job
            for job in jobs
            if job.status == "in_progress" or (_may_run(job, refused) and job.created_at > oldest_wait)
        ]
        if not moving:
            return
        await asyncio.sleep(_LOOK_EVERY_S)


def _may_run(job: Job, refused: Mapping[int, str]) -> bool:
    return job.status == "queued" and (is_ours(job) or is_hosted(job)) and job.id not in refused


async def _settle(running: World) -> None:
    """Give deliveries and sandboxes the moment that they need to end."""
    deadline = time.monotonic() + _SETTLE_S
    await running.github.webhooks.settle()
    while time.monotonic() < deadline and not report(running).well:
        await asyncio.sleep(_LOOK_EVERY_S)


async def _stay(running: World, console: Console) -> None:
    console.print(f"\napp              {running.app.url}", highlight=False)
    console.print(f"simulated GitHub {running.github.url}", highlight=False)
    console.print(f"simulated Modal  {running.modal.url}", highlight=False)
    console.print(f"app's log        {running.app.log}\nCtrl-C ends all of it.", highlight=False)
    await running.app.process.wait()
