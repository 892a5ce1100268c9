"""Deliveries that are signed, but not meant: replayed, under another event's name, or made up by a thief."""

import asyncio
import json
import uuid

from github_app.simulator.github.state import Job
from github_app.store import DELIVERIES, HISTORY, JOBS, PARKED
from tests.attack.scene import Scene
from tests.worlds.control_plane import until

# Figures.
BEYOND = "sandboxes beyond the job's"
RUNNING, OVER, FORGOTTEN = "calls while it runs", "calls when it is over", "calls when it is forgotten"
REPLAYED = "calls for all replays"
RECORDS = "records parked"

_OLD_S = 3600.0
_LONGER_THAN_THE_ATTACK_S = 300.0


async def replays(scene: Scene) -> None:
    """One `queued` of an hour ago, again and again: while its job runs, when it is over, and when it is forgotten."""
    plane = scene.plane
    before = len(plane.modal.sandboxes())
    repository = plane.github.world.add_repository(plane.organization, "replayed")
    job = scene.push(repository, seconds=_LONGER_THAN_THE_ATTACK_S, age=_OLD_S)
    guid, body = scene.recorded("workflow_job")
    await until(lambda: job.status == "in_progress")
    await plane.github.webhooks.settle()
    scene.figures[RUNNING] = await _replay(scene, guid, body)

    plane.github.actions.cancel(job)
    await until(lambda: job.status == "completed" and not any(view.running for view in plane.modal.sandboxes()))
    await plane.github.webhooks.settle()
    scene.figures[OVER] = await _replay(scene, guid, body)

    await _forget(scene, job)
    scene.figures[FORGOTTEN] = await _replay(scene, guid, body)
    scene.figures[REPLAYED] = sum(scene.figures[each] for each in (RUNNING, OVER, FORGOTTEN))
    scene.figures[BEYOND] = len(plane.modal.sandboxes()) - before - 1


async def _replay(scene: Scene, guid: str, body: bytes) -> int:
    """Send a delivery many times under new GUIDs and under its own; return how often GitHub was called for that."""
    await scene.quiet()
    before, many = scene.calls(), scene.size(200, 40)
    await scene.flood(scene.signed(body, guid=str(uuid.uuid4())) for _ in range(many))
    await scene.flood(scene.signed(body, guid=guid) for _ in range(many))
    await scene.quiet()
    return scene.calls() - before


async def _forget(scene: Scene, job: Job) -> None:
    """Take away what Modal forgets seven days after it was last looked at."""
    async with scene.store() as store:
        await store.take(JOBS, str(job.id))
        await store.take(HISTORY, str(job.id))
        # By whatever key the app knows a delivery.
        for key in await store.all(DELIVERIES):
            await store.take(DELIVERIES, key)


async def wrong_event(scene: Scene) -> None:
    """An `installation` delivery whose event header, which no signature covers, says `workflow_job`."""
    _, body = scene.recorded("installation")
    await scene.flood(scene.signed(body, guid=str(uuid.uuid4())) for _ in range(scene.size(500, 250)))
    async with scene.store() as store:
        scene.figures[RECORDS] = len(await store.all(PARKED))


async def forged(scene: Scene) -> None:
    """Jobs for eight GPUs each that GitHub has never heard of, said to be queued now."""
    plane = scene.plane
    repository = plane.github.world.add_repository(plane.organization, "victim")
    jobs = [scene.announced(repository.full_name, "self-hosted", "modal", "gpu:h100:8") for _ in range(60)]
    await scene.flood(scene.signed(json.dumps(job).encode()) for job in jobs)
    await scene.quiet()
    # Quiet may also be someone who waits before a second look.
    await asyncio.sleep(scene.size(3, 1))
    await scene.quiet()
