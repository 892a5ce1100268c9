"""What a process costs: memory with many jobs known, and the way from its start to the first sandbox."""

import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx

from benchmarks.delays import SlowModal
from benchmarks.rows import Row, median
from benchmarks.start import signed
from tests.worlds.control_plane import ControlPlane, running, until

_IMPORTS = "import modal, githubkit, starlette.applications"
_KNOWN = 10_000
_AT_ONCE = 16


async def memory() -> list[Row]:
    """The web process with many jobs known, all of them over, against none."""
    with tempfile.TemporaryDirectory() as folder:
        settings = {"SWEEP_INTERVAL_SECONDS": "0", "MODAL_RUNNER_CONFIG": ""}
        async with running(Path(folder), settings=settings) as plane:
            await plane.deliver(plane.queued("self-hosted", "modal", job_id=1))
            await until(plane.modal.sandboxes)
            before = plane.resident_mib()
            numbers = iter(range(2, _KNOWN + 2))
            async with httpx.AsyncClient(trust_env=False, timeout=20) as client:
                await asyncio.gather(*(_tell_of(numbers, plane, client) for _ in range(_AT_ONCE)))
            after = plane.resident_mib()
    return [Row(f"memory of the web process for {_KNOWN:,} jobs known", after - before, "MiB", goal="≤ 60")]


async def _tell_of(numbers: Iterator[int], plane: ControlPlane, client: httpx.AsyncClient) -> None:
    """Deliver that these jobs are over, one after the other."""
    for number in numbers:
        payload = plane.queued("self-hosted", "modal", job_id=number)
        payload["action"] = "completed"
        payload["workflow_job"] |= {
            "status": "completed",
            "conclusion": "success",
            "runner_name": "",
            "runner_id": 0,
        }
        answer = await client.send(signed(plane, payload))
        if answer.json()["status"] != "accepted":
            raise RuntimeError(f"a delivery was answered {answer.text}")


async def cold_start() -> list[Row]:
    """From the start of the process to its first `SandboxCreate`, against importing what it cannot do without."""
    imports = median([_imports() for _ in range(5)])
    times = []
    for _ in range(5):
        with tempfile.TemporaryDirectory() as folder:
            # httpcore imports trio where it is installed, which it is for the tests alone.
            Path(folder, "trio.py").write_text("raise ImportError\n")
            settings = {"SWEEP_INTERVAL_SECONDS": "0", "PYTHONPATH": folder}
            async with running(Path(folder), settings=settings) as plane:
                plane.modal.interceptor = slow = SlowModal(0.0)
                started = time.perf_counter()
                await plane.deliver(plane.queued("self-hosted", "modal", job_id=1))
                await until(slow.created.__len__)
                times.append((started - plane.spawned_at, slow.created["modal-1-1"] - started))
    whole = median([ready + first for ready, first in times])
    return [Row("process start to the first SandboxCreate", whole, "s", imports, "≤ 1.25 ×")]


def _imports() -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", _IMPORTS], check=True)
    return time.perf_counter() - began
