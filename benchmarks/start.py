"""From a `queued` delivery to `SandboxCreate`, against one Dict call and one JIT config one after the other."""

import asyncio
import contextlib
import json
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import httpx
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from benchmarks.delays import SlowJit, SlowModal
from benchmarks.rows import Row, median, percentile
from github_app.github import Connection, Runners
from github_app.github.connection import SharedTransport
from github_app.model import Claim, JobState, Place, RunnerState, Scope, Slot
from github_app.store import CLAIMS, JOBS, RUNNERS, SLOTS, ModalDictStore
from tests.worlds.control_plane import ControlPlane, running, until
from tests.worlds.modal_workshop import connect
from tests.worlds.records import job, runner

_JOBS = 40
_WARM_UP = 3
_FLOORS = 20
_RUNNING = 500


async def starts(dict_ms: float, settings: Mapping[str, str], *, running_jobs: int = 0, name: str) -> list[Row]:
    """Start jobs one after the other, and tell the median and the 99th percentile against the floor of this run."""
    with tempfile.TemporaryDirectory() as folder:
        async with running(Path(folder), settings={"SWEEP_INTERVAL_SECONDS": "0", **settings}) as plane:
            await _fill(plane, running_jobs)
            slow = SlowModal(dict_ms / 1000)
            plane.modal.interceptor = slow
            plane.github.inject(SlowJit())
            floor = median([await _floor(plane, n) for n in range(_FLOORS)])
            took, calls, whole = await _measure(plane, slow)
    variant = f"{name}, {dict_ms:g} ms a Dict call"
    return [
        Row(f"queued → SandboxCreate, median ({variant})", median(took) * 1e3, "ms", floor * 1e3, "≤ 1.35 ×"),
        Row(f"queued → SandboxCreate, p99 ({variant})", percentile(took, 0.99) * 1e3, "ms", floor * 1e3, "≤ 1.6 ×"),
        Row(f"Dict calls a job ({variant})", calls, "calls", goal="≤ 14"),
        Row(f"whole Dicts read, a job ({variant})", whole, "reads", goal="0"),
    ]


async def _measure(plane: ControlPlane, slow: SlowModal) -> tuple[list[float], float, float]:
    took = []
    # One connection for all, as GitHub keeps it: to make a client takes longer than what is measured here.
    async with httpx.AsyncClient(trust_env=False, timeout=20) as client:
        for number in range(_WARM_UP + _JOBS):
            if number == _WARM_UP:
                before = await plane.quiet()
            took.append(await _one(plane, slow, client, job_id=10_000 + number))
    spent = await plane.quiet() - before
    made = [view.name for view in plane.modal.sandboxes()]
    if len(set(made)) != len(made) or len(made) != _WARM_UP + _JOBS:
        raise RuntimeError(f"a fast wrong answer: {len(made)} sandboxes for {_WARM_UP + _JOBS} jobs")
    whole = spent["DictContents"] / _JOBS
    return took[_WARM_UP:], sum(n for rpc, n in spent.items() if rpc.startswith("Dict")) / _JOBS, whole


async def _one(plane: ControlPlane, slow: SlowModal, client: httpx.AsyncClient, *, job_id: int) -> float:
    """The whole life of one job; return the seconds from its delivery to the call that creates its sandbox."""
    payload, name = plane.queued("self-hosted", "modal", job_id=job_id), f"modal-{job_id}-1"
    request = signed(plane, payload)
    began = time.perf_counter()
    answer = await client.send(request)
    if answer.json()["status"] != "accepted":
        raise RuntimeError(f"a delivery was answered {answer.text}")
    await until(lambda: any(view.name == name and view.started_at for view in plane.modal.sandboxes()))
    registered = next(each for each in plane.github.world.runners.values() if each.name == name)
    for action, conclusion in (("in_progress", None), ("completed", "success")):
        told: dict[str, Any] = {"status": action, "conclusion": conclusion, "runner_name": name}
        await client.send(signed(plane, _as(payload, action, told | {"runner_id": registered.id})))
    for view in plane.modal.sandboxes():
        if view.name == name:
            plane.modal.kill(view.id)
    await asyncio.sleep(0.3)
    return slow.created[name] - began


def signed(plane: ControlPlane, payload: dict[str, Any]) -> httpx.Request:
    """A delivery, as GitHub sends it."""
    body = json.dumps(payload).encode()
    headers = {
        "Content-Type": "application/json",
        "X-GitHub-Event": "workflow_job",
        "X-GitHub-Delivery": str(uuid.uuid4()),
        "X-Hub-Signature-256": plane.sign(body),
    }
    return httpx.Request("POST", f"{plane.url}/webhook", content=body, headers=headers)


def _as(payload: dict[str, Any], action: str, changed: dict[str, Any]) -> dict[str, Any]:
    return payload | {"action": action, "workflow_job": payload["workflow_job"] | changed}


async def _floor(plane: ControlPlane, number: int) -> float:
    """One call of a Dict and one JIT config, one after the other, with the same SDKs and no app in between."""
    async with _clients(plane) as (store, runners, place):
        await store.get(JOBS, "0")
        await runners.named(place, "no-such-runner")
        began = time.perf_counter()
        await store.get(JOBS, "0")
        await runners.create_jit_config(place, f"floor-{number}", ["self-hosted", "modal"], 1)
        return time.perf_counter() - began


@contextlib.asynccontextmanager
async def _clients(plane: ControlPlane) -> AsyncIterator[tuple[ModalDictStore, Runners, Place]]:
    key: Any = load_pem_private_key(plane.settings["GITHUB_PRIVATE_KEY"].encode(), None)
    connection = Connection(
        api_url=plane.github.url, app_id=plane.app.id, private_key=key, transport=SharedTransport(trust_env=False)
    )
    async with connect(plane.modal) as client:
        place = Place(Scope(plane.organization.login), plane.installation.id)
        yield ModalDictStore("modal-runner", client), Runners(connection, 1), place
    await connection.close()


async def _fill(plane: ControlPlane, count: int) -> None:
    """Write what is recorded of so many running jobs."""
    if not count:
        return
    async with _clients(plane) as (store, _, place):
        for number in range(1, count + 1):
            name, slot = f"modal-{number}-1", f"codertocat/hello-world/{number}"
            record = job(JobState.RUNNING, job_id=number)
            busy = runner(
                name=name, started_for=number, place=place, state=RunnerState.BUSY, runs_job=number, slots=(slot,)
            )
            await asyncio.gather(
                store.put(JOBS, str(number), record),
                store.put(RUNNERS, name, busy),
                store.put(CLAIMS, f"{number}-1", Claim("x", time.time())),
                store.put(SLOTS, slot, Slot("x", name, time.time())),
            )
