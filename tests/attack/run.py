"""Carrying the attacks out, each visit on an app of its own, and measuring."""

import asyncio
import tempfile
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from github_app.errors import ModalRunnerError
from tests.attack import bounds, descriptors, watch
from tests.attack.bounds import Attack, Row, Visit
from tests.attack.plan import BUSY, IDLE
from tests.attack.scene import Scene
from tests.worlds.control_plane import ControlPlane, running

_LIMIT_S = 60.0
# What a sweep calls would be counted as an attack's doing.
_SETTINGS = {"SWEEP_INTERVAL_SECONDS": "0"}
Lane = Sequence[Visit]
Say = Callable[[str], None]


async def attack(names: Collection[str], *, short: bool, say: Say) -> list[Row]:
    """Carry out the attacks of these names, all of them when there are none; return the rows in their order."""

    async def one_after_another(lanes: Iterable[Lane]) -> list[Row]:
        rows = []
        for visit in (visit for lane in lanes for visit in lane):
            rows += await _visit(visit, names, short=short, say=say)
        return rows

    # The short form uses every core, and takes what that does to its times.
    ways = [[lane] for lane in (*BUSY, *IDLE)] if short else [BUSY, *([lane] for lane in IDLE)]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one_after_another(lanes)) for lanes in ways]
    return [row for task in tasks for row in task.result()]


async def _visit(visit: Visit, names: Collection[str], *, short: bool, say: Say) -> list[Row]:
    chosen = [each for each in visit.attacks if not names or each.name in names]
    if not chosen:
        return []
    with tempfile.TemporaryDirectory(prefix="modal-runner-attack-") as name:
        folder = Path(name)
        limited = descriptors.limited(folder) if visit.files else {}
        async with running(folder, settings={**_SETTINGS, **limited}) as plane:
            if visit.checks:
                plane.app.permissions["checks"] = "write"
            await _warm_up(plane)
            rows = []
            for each in chosen:
                say(f"{each.name} ...")
                rows.append(await _measure(each, plane, short=short))
            # An end in order would wait for what is still held open.
            plane.kill()
        return rows


async def _warm_up(plane: ControlPlane) -> None:
    """Have the app load what it loads for its first job of ours, which is no attack's doing."""
    payload = plane.queued("self-hosted", "modal")
    payload["action"] = "completed"
    payload["workflow_job"] |= {"status": "completed", "conclusion": "success"}
    (await plane.deliver(payload)).raise_for_status()
    await plane.github.webhooks.settle()
    await plane.quiet()


async def _measure(each: Attack, plane: ControlPlane, *, short: bool) -> Row:
    scene = Scene(plane, short)
    sandboxes, calls, began = len(plane.modal.sandboxes()), scene.calls(), time.monotonic()
    problem, knocks = None, None
    async with AsyncExitStack() as stack:
        memory = await stack.enter_async_context(watch.memory(plane))
        if each.knocked:
            knocks = await stack.enter_async_context(watch.knocking(plane))
        try:
            async with asyncio.timeout(_LIMIT_S):
                await each.carry_out(scene)
        except (OSError, TimeoutError, ModalRunnerError) as error:
            problem = f"{type(error).__name__}: {error}"
    if plane.process.returncode is not None:
        problem = f"the app ended with {plane.process.returncode}"
    figures = {
        bounds.SENT: scene.answers.total(),
        **{name: scene.answers[name] for name in bounds.CLASSES},
        bounds.BEFORE: memory.before,
        bounds.PEAK: memory.peak,
        bounds.GROWTH: memory.peak - memory.before,
        bounds.SANDBOXES: len(plane.modal.sandboxes()) - sandboxes,
        bounds.CALLS: scene.calls() - calls,
        bounds.UNFINISHED: float(problem is not None),
        **scene.figures,
    }
    if knocks is not None:
        figures |= {bounds.VALID: len(knocks.took), bounds.P99: knocks.p99_ms, bounds.FAILED: knocks.failed}
    return Row(each, figures, problem, time.monotonic() - began)
