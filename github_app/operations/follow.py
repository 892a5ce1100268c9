"""A job's consoles, one after the other: its runner may die, and another take its place."""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping

from github_app.errors import SandboxError
from github_app.model import RunnerRecord
from github_app.sandboxes import Console, ModalSandboxes
from github_app.store import JOBS, RUNNERS, ModalDictStore

_LOOK_EVERY_S = 2.0

Tell = Callable[[str, str], None]


def serving(runners: Iterable[RunnerRecord], job_id: int) -> list[RunnerRecord]:
    """The runners that run a job, or were started for it and run no other; oldest first."""
    theirs = [each for each in runners if (each.runs_job or each.started_for) == job_id]
    return sorted(theirs, key=lambda each: each.started_at)


def elsewhere(runners: Mapping[str, RunnerRecord], followed: Collection[str], job_id: int) -> list[str]:
    """Those of the followed that are known to run another job."""
    return [name for name in followed if name in runners and runners[name].runs_job not in {None, job_id}]


async def follow_job(
    store: ModalDictStore,
    sandboxes: ModalSandboxes,
    job_id: int,
    *,
    seen: Collection[str],
    lines: int,
    tell: Tell,
    waits: Callable[[], None],
) -> bool:
    """Hand over `tell(runner, line)` until the job is over and its sandboxes have ended.

    `seen` are runners of which all is told already; of one that has ended before it is looked at come the last `lines`.
    `waits` is called when the job is not over and has no sandbox. False: there was nothing to follow.

    Raises:
        SandboxError: Modal did not answer.
        StoreError: the store did not answer.
    """
    followed: dict[str, asyncio.Task[bool]] = {}
    waiting = False
    try:
        while True:
            runners = await store.all(RUNNERS)
            for name in elsewhere(runners, followed, job_id):
                followed[name].cancel()
            for each in serving(runners.values(), job_id):
                if each.sandbox_id and each.name not in {*seen, *followed}:
                    followed[each.name] = asyncio.create_task(
                        follow_runner(sandboxes, each.name, each.sandbox_id, lines=lines, tell=tell)
                    )
            going = {each for each in followed.values() if not each.done()}
            if not going and await _is_over(store, job_id):
                return bool(followed)
            if not going and not waiting:
                waits()
            waiting = not going
            await _pause(going)
    finally:
        for task in followed.values():
            task.cancel()


async def follow_runner(
    sandboxes: ModalSandboxes, name: str, sandbox_id: str | None, *, lines: int, tell: Tell
) -> bool:
    """Hand over `tell(name, line)` until a runner's sandbox ends; of one that has ended, the last `lines`.

    False: Modal knows no sandbox of it.

    Raises:
        SandboxError: Modal did not answer.
    """
    sandbox_id = sandbox_id or await sandboxes.find(name)
    told = False

    def _tell(line: str) -> None:
        nonlocal told
        told = True
        tell(name, line)

    if sandbox_id and (console := await Console.of(name, sandbox_id)):
        try:
            await console.follow(_tell)
        except SandboxError:
            # What is read from the sandbox's machine may break off when that goes.
            if await Console.of(name, sandbox_id):
                raise
    output = None if told else await sandboxes.output(name, sandbox_id, lines)
    for line in (output or "").splitlines():
        tell(name, line)
    return told or output is not None


async def _pause(going: Collection[asyncio.Task[bool]]) -> None:
    """Wait for the next look; what one of them raises is raised."""
    if not going:
        await asyncio.sleep(_LOOK_EVERY_S)
        return
    done, _ = await asyncio.wait(going, timeout=_LOOK_EVERY_S)
    for task in done:
        if not task.cancelled():
            task.result()


async def _is_over(store: ModalDictStore, job_id: int) -> bool:
    """Tell whether a job needs no runner any more; one that is not among those that are served does not."""
    job = await store.get(JOBS, str(job_id))
    return job is None or job.state.over
