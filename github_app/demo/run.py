"""Push, watch every job to its end, and report."""

import asyncio
import os
import shlex
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from github_app.demo import history
from github_app.demo.hosted import HostedRunners
from github_app.demo.report import (
    OUR_LABEL,
    Reasons,
    Report,
    is_hosted,
    is_ours,
    reasons_now,
    report,
    report_job,
    sandboxes_by_name,
)
from github_app.demo.show import Show, show_failures, show_reasons, show_summary, showing, state_of
from github_app.demo.source import Source
from github_app.demo.world import DEVELOPER, World, world
from github_app.errors import ModalRunnerError
from github_app.foreign_text import visible
from github_app.simulator.github.state import Job, Repository
from github_app.simulator.workflow import Given
from github_app.store import ModalDictStore

# When nothing has changed for so long, on one machine, nothing will.
_LOST_AFTER_S = 90.0
# What has ended needs a moment to be gone: a sandbox ends by itself, after its job; a runner that is one too many is
# ended ten seconds after its start.
_SETTLE_S = 25.0
_LOOK_EVERY_S = 0.1
_AGAIN_S = 60.0
_CAPPED = {"MAX_CONCURRENT_PER_REPO": "3"}


@dataclass(frozen=True)
class Wishes:
    """How a demo is to be run. `settings` are variables of the app, `labels` those that select it."""

    given: Given = field(default_factory=Given)
    settings: Mapping[str, str] = field(default_factory=dict)
    labels: tuple[str, ...] = (OUR_LABEL,)
    hold_environments: bool = False
    stay: bool = False
    wide: bool = False


async def run_demo(
    source: Source, console: Console, notes: Console, wishes: Wishes, reported: Callable[[Report], None]
) -> Report:
    """Run everything once and tell `reported`; with `stay`, serve until cancelled. `notes` shows where everything is.

    Raises:
        ModalRunnerError: the app did not start, or ended on its own.
    """
    # So that the dashboard shows jobs that wait.
    settings = {**(_CAPPED if wishes.stay and source.again else {}), **wishes.settings}
    async with world(settings=settings, labels=wishes.labels) as running:
        hosted = HostedRunners(running.github)
        if wishes.hold_environments:
            running.github.actions.approved_after_s = None
        if wishes.stay:
            await asyncio.to_thread(_show_places, running, notes, settings)
        try:
            repository = running.github.world.add_repository(running.organization, source.name)
            running.github.add_person(DEVELOPER, sees={repository.full_name})
            if wishes.stay:
                await _make_up_a_past(running)
            for start in source.starts:
                running.github.actions.push(repository, source.files, start.path, event=start.event, given=wishes.given)
            with showing(console, wide=wishes.wide) as show:
                reasons = await _watch(running, hosted, show, console)
            _cancel_unserved(running, reasons)
            await _settle(running, reasons)
            held = _runs_without_jobs(running)
            result = report(running, reasons, (*source.notes, *held))
            show_failures(console, running.github.jobs(), reasons, source.expected_failures)
            for line in held:
                console.print(visible(line), markup=False, highlight=False, soft_wrap=True)
            show_summary(console, result)
            reported(result)
            if wishes.stay:
                notes.print("Ctrl-C ends all of it.", highlight=False)
                await _stay(running, hosted, source, repository)
            return result
        finally:
            await hosted.close()


async def _make_up_a_past(running: World) -> None:
    for name in history.REPOSITORIES:
        repository = running.github.world.add_repository(running.organization, name)
        if name == "api":
            # The developer does not see the others.
            running.github.add_person(DEVELOPER, sees={repository.full_name})
    [installation] = running.github.world.installations.values()
    async with running.modal_client() as client:
        store = ModalDictStore("modal-runner", client)
        await history.write_history(store, running.organization.login, installation.id)


async def _stay(running: World, hosted: HostedRunners, source: Source, repository: Repository) -> None:
    """Until the app ends: of the sample, one workflow is started again and again, so that there is something to see."""
    if source.once:
        running.github.actions.push(repository, source.files, source.once.path, event=source.once.event)
    started = float("-inf")
    while running.app.process.returncode is None:
        if source.again and time.monotonic() - started > _AGAIN_S:
            started = time.monotonic()
            again = source.again
            running.github.actions.push(repository, source.files, again.path, event=again.event)
        hosted.serve([job for job in running.github.jobs() if job.status == "queued" and is_hosted(job)])
        await asyncio.sleep(_LOOK_EVERY_S)


async def _watch(running: World, hosted: HostedRunners, show: Show, console: Console) -> Reasons:
    """Show the jobs until nothing moves any more; why those do not run that do not."""
    told: set[int] = set()
    states: list[str] = []
    changed = time.monotonic()
    while True:
        jobs = running.github.jobs()
        reasons = reasons_now(running)
        new = [job for job in jobs if reasons.of(job) and job.id not in told]
        told |= {job.id for job in new}
        by_name = sandboxes_by_name(running)
        rows = [(state_of(job, reasons), report_job(job, by_name, reasons)) for job in jobs]
        show(rows)
        show_reasons(console, new, reasons)
        hosted.serve([job for job in jobs if job.status == "queued" and is_hosted(job)])
        if running.app.process.returncode is not None:
            raise ModalRunnerError(f"the app ended on its own:\n{running.app.log.read_text()[-4000:]}")
        if states != [state for state, _ in rows]:
            states, changed = [state for state, _ in rows], time.monotonic()
        moving = [job for job in jobs if not reasons.of(job) and _moves(job, running)]
        if not moving or (time.monotonic() - changed > _LOST_AFTER_S and not _at_work(moving)):
            return reasons
        await asyncio.sleep(_LOOK_EVERY_S)


def _moves(job: Job, running: World) -> bool:
    if job.status == "queued":
        return is_ours(job, running.labels) or is_hosted(job)
    return job.status == "in_progress" or (
        job.status == "waiting" and running.github.actions.approved_after_s is not None
    )


def _at_work(jobs: list[Job]) -> bool:
    return any(job.status == "in_progress" for job in jobs)


def _runs_without_jobs(running: World) -> list[str]:
    """What became of runs that their concurrency group has cancelled, or still holds."""
    runs = running.github.world.runs.values()
    cancelled = [f"{run.name}: cancelled: {run.note}" for run in runs if run.note]
    return cancelled + [f"{run.name}: waits for its concurrency group" for run in runs if run.status == "pending"]


def _cancel_unserved(running: World, reasons: Reasons) -> None:
    """Cancel what no runner can take, as its author would: the app may have started one for it."""
    for job in running.github.jobs():
        if job.id in reasons.unserved:
            running.github.actions.cancel(job)


async def _settle(running: World, reasons: Reasons) -> None:
    """Give deliveries and sandboxes the moment that they need to end."""
    deadline = time.monotonic() + _SETTLE_S
    await running.github.webhooks.settle()
    while time.monotonic() < deadline and not _ended(report(running, reasons)):
        await asyncio.sleep(_LOOK_EVERY_S)


def _ended(result: Report) -> bool:
    return not (result.lost or result.leaked_sandboxes or result.leaked_runners)


def _show_places(running: World, notes: Console, policy: Mapping[str, str]) -> None:
    """Say where everything is, and what points a command at it, before anything else is shown."""
    key = running.app.log.parent / "app.pem"
    key.touch(0o600)
    key.write_text(running.environment["GITHUB_PRIVATE_KEY"], encoding="utf-8")
    names = (
        "GITHUB_API_URL",
        "GITHUB_WEB_URL",
        "GITHUB_APP_ID",
        "WEBHOOK_SECRET",
        "MODAL_SERVER_URL",
        "MODAL_TOKEN_ID",
    )
    variables = {name: running.environment[name] for name in (*names, "MODAL_TOKEN_SECRET", "MODAL_CONFIG_PATH")}
    lines = [
        f"dashboard        {running.app.url}    sign in as octo-owner, octo-dev or octo-guest, and see less",
        f"simulated GitHub {running.github.url}    runs, jobs, logs and runners, for a browser",
        f"simulated Modal  {running.modal.url}",
        f"app's log        {running.app.log}",
        "For `modal-runner status`, `logs`, `doctor` and `why`, in another shell; all of it is simulated:",
        *(f"export {name}={shlex.quote(value)}" for name, value in {**variables, **_path(key), **policy}.items()),
    ]
    for line in lines:
        notes.print(line, markup=False, highlight=False, soft_wrap=True)


def _path(key: Path) -> Mapping[str, str]:
    return {"GITHUB_PRIVATE_KEY_PATH": os.fspath(key)}
