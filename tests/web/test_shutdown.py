"""SIGTERM: no new work, an answer to what is under way, gone within ten seconds; what it cut off is repaired."""

import asyncio
import signal
import time
from pathlib import Path

from github_app.simulator.modal import Limits
from github_app.store import TALLIES, ModalDictStore
from tests.worlds.control_plane import push, running
from tests.worlds.modal_workshop import connect


async def test_sigterm_while_a_gpu_is_waited_for_ends_the_app_within_ten_seconds(tmp_path: Path) -> None:
    async with running(tmp_path, limits=Limits(gpus=0)) as plane:
        repository = plane.github.world.add_repository(plane.organization, "app")
        push(plane, repository, "run: 'true'", labels="modal, 'gpu:h100'")
        async with asyncio.timeout(20):
            while not plane.modal.calls["SandboxGetTaskId"]:
                await asyncio.sleep(0.05)
        plane.process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        await asyncio.wait_for(plane.process.wait(), 15)

        assert time.monotonic() - began < 10


async def test_sigterm_loses_nothing_of_what_was_counted(tmp_path: Path) -> None:
    """uvicorn raises the signal anew when it has served to the end, which had ended the process right there."""
    async with running(tmp_path, settings={"SWEEP_INTERVAL_SECONDS": "0"}) as plane:
        await plane.send(b"{}", content_type="application/json")
        plane.process.send_signal(signal.SIGTERM)
        code = await asyncio.wait_for(plane.process.wait(), 15)
        async with connect(plane.modal) as client:
            (tally,) = (await ModalDictStore("modal-runner", client).all(TALLIES)).values()

    assert code == 128 + signal.SIGTERM
    assert tally.sums["deliveries\trejected\t401"] == 1
