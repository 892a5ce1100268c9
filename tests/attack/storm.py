"""A storm of jobs whose label is refused, and then one that is not."""

import asyncio
import itertools
import json
import math
import time
from contextlib import suppress

from github_app.simulator.github.state import Job
from tests.attack.scene import Scene
from tests.worlds.control_plane import until

# Figures.
SERVED_S = "good job's sandbox after s"
CHECKS = "check runs written"
ASKED = "check runs asked for"

_CHECK = "POST /repos/{owner}/{repo}/check-runs"
_PATIENCE_S = 10.0


async def refusals(scene: Scene) -> None:
    """Check runs, where the App may write them, come out of the same write limit as runners do."""
    plane = scene.plane
    stormy, calm = (plane.github.world.add_repository(plane.organization, name) for name in ("stormy", "calm"))
    asked = plane.github.calls[_CHECK]
    jobs = (scene.announced(stormy.full_name, "self-hosted", "modal", "gpu:h1000") for _ in itertools.repeat(0))
    many = scene.size(400, 250)
    await scene.flood(scene.signed(json.dumps(job).encode()) for job in itertools.islice(jobs, many))
    pushed = time.time()
    job = scene.push(calm, seconds=0.5)
    with suppress(TimeoutError):
        await until(lambda: _created(scene, job), within=_PATIENCE_S)
    scene.figures[SERVED_S] = _created(scene, job) - pushed if _created(scene, job) else math.inf
    await scene.quiet(within=scene.size(5, 2))
    await asyncio.wait_for(plane.github.webhooks.settle(), _PATIENCE_S)
    scene.figures[CHECKS] = len(plane.github.world.check_runs)
    scene.figures[ASKED] = plane.github.calls[_CHECK] - asked


def _created(scene: Scene, job: Job) -> float:
    """When the sandbox of a job's runner was created; 0 is not yet."""
    views = (view for view in scene.plane.modal.sandboxes() if view.name.startswith(f"modal-{job.id}-"))
    return next((view.created_at for view in views), 0.0)
