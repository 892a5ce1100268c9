"""A launch whose answers are lost, or that another has overtaken."""

import asyncio
import contextvars
from typing import Any

import modal.exception
import pytest

from github_app.simulate.dicts import StoreInProcess
from github_app.simulate.loop import CONTAINER, SeededLoop
from github_app.simulate.outcome import Outcomes
from github_app.simulate.run import simulate
from github_app.store import RUNNERS, Kind
from tests.worlds.simulated import plan_of, pushed


def test_a_sandbox_whose_answer_was_lost_is_the_launchs_own(monkeypatch: pytest.MonkeyPatch) -> None:
    after_create, lost = Outcomes.after_create, list[str]()

    async def loses(self: Outcomes, sandbox_id: str) -> None:
        await after_create(self, sandbox_id)
        if not lost:
            lost.append(sandbox_id)
            raise modal.exception.InternalError("the answer is lost")

    monkeypatch.setattr(Outcomes, "after_create", loses)
    ran = simulate(plan_of(pushed(0, "octo-org/alpha", 30)))

    assert ran.violations == []
    assert [line.split()[-1] for line in ran.trace if "runner_started" in line] == [f"sandbox={lost[0]}"]
    assert not any("launch_put_off" in line for line in ran.trace)


async def _stand_still(seconds: float) -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SeededLoop)
    loop.freeze("web0.1")
    loop.call_later(seconds, loop.thaw, "web0.1", context=contextvars.Context())
    await asyncio.sleep(0)


def test_a_launch_that_was_overtaken_gives_its_runner_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its container stood still while it recorded its runner, for longer than a claim is good for."""
    put, stood_still = StoreInProcess.put, list[str]()

    async def stands_still(self: StoreInProcess, kind: Kind[Any], key: str, record: Any) -> None:
        await put(self, kind, key, record)
        if kind is RUNNERS and not stood_still:
            stood_still.append(key)
            await _stand_still(130)

    monkeypatch.setattr(StoreInProcess, "put", stands_still)
    ran = simulate(plan_of(pushed(0, "octo-org/alpha", 300), containers=1))

    assert ran.violations == []
    assert len([line for line in ran.trace if "runner_started" in line]) == 1
    assert any("superseded" in line for line in ran.trace)


def test_what_a_round_read_before_it_stood_still_is_no_sign_of_a_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its container read the runners, stood still, and then read a claim that was old by then.

    Another container had started the job's runner meanwhile, so that the launch seemed to have crashed without one.
    """
    read, pause, stood_still = StoreInProcess.all, Outcomes.pause, list[str]()

    async def stands_still(self: StoreInProcess, kind: Kind[Any]) -> dict[str, Any]:
        found = await read(self, kind)
        if kind is RUNNERS and CONTAINER.get() == "web0.1" and not stood_still:
            stood_still.append(kind.name)
            await _stand_still(45)
        return found

    async def late(self: Outcomes, kind: str, least: float, most: float) -> None:
        await pause(self, kind, *((60, 60) if kind == "online" else (least, most)))

    monkeypatch.setattr(StoreInProcess, "all", stands_still)
    monkeypatch.setattr(Outcomes, "pause", late)
    ran = simulate(plan_of(pushed(0, "octo-org/alpha", *[30.0] * 6)))

    assert stood_still
    assert ran.violations == []
    assert len([line for line in ran.trace if "runner_started" in line]) == 6
