"""The loop of a simulation: time jumps, chance orders, containers freeze and die."""

import asyncio
import random
from collections.abc import Coroutine
from typing import Any

import pytest

from github_app.simulate.loop import SeededLoop, Stuck
from github_app.simulate.wire import in_container


def run(work: Coroutine[Any, Any, Any], seed: int = 1) -> SeededLoop:
    loop = SeededLoop(random.Random(seed), most_steps=10_000)  # noqa: S311 - chance, not a secret
    try:
        loop.run_until_complete(work)
    finally:
        loop.abandon()
    return loop


def test_time_jumps_to_the_next_timer() -> None:
    times = []

    async def work() -> None:
        await asyncio.sleep(3600)
        times.append(asyncio.get_running_loop().time())

    run(work())

    assert times == [3600.0]


def test_what_is_ready_at_once_runs_in_an_order_of_the_seed() -> None:
    def order(seed: int) -> list[int]:
        ran: list[int] = []

        async def one(number: int) -> None:
            ran.append(number)

        async def work() -> None:
            await asyncio.gather(*(one(number) for number in range(8)))

        run(work(), seed)
        return ran

    assert order(1) == order(1)
    assert len({tuple(order(seed)) for seed in range(20)}) > 10


def test_a_frozen_container_goes_on_where_it_stood() -> None:
    seen = []

    async def steps() -> None:
        for number in range(3):
            await asyncio.sleep(1)
            seen.append((number, asyncio.get_running_loop().time()))

    async def work() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SeededLoop)
        task = in_container("web", steps())
        await asyncio.sleep(1.5)
        loop.freeze("web")
        await asyncio.sleep(100)
        loop.thaw("web")
        await task

    run(work())

    assert seen == [(0, 1.0), (1, 101.5), (2, 102.5)]


def test_a_killed_container_takes_no_step_more_not_even_its_finally() -> None:
    seen = []

    async def steps() -> None:
        try:
            await asyncio.sleep(10)
        finally:
            seen.append("finally")

    async def work() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SeededLoop)
        in_container("web", steps())
        await asyncio.sleep(1)
        loop.kill("web")
        await asyncio.sleep(100)
        assert seen == []

    run(work())


def test_a_wait_without_an_end_and_a_run_without_one_are_told() -> None:
    async def waits() -> None:
        await asyncio.get_running_loop().create_future()

    async def spins() -> None:
        while True:
            await asyncio.sleep(0)

    with pytest.raises(Stuck, match="nothing is ready"):
        run(waits())
    with pytest.raises(Stuck, match="no end"):
        run(spins())
