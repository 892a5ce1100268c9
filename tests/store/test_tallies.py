"""What processes have counted, and how it outlives them."""

import asyncio
import contextlib
import random
from itertools import pairwise

import modal
import pytest
from grpclib import Status

from github_app.clock import Clock
from github_app.counts import Counted, Counts
from github_app.errors import StoreError
from github_app.simulator.modal import SimulatedModal
from github_app.store import TALLIES, ModalDictStore
from github_app.store.notes import Tally
from github_app.store.tallies import Tallies, in_all
from tests.worlds.clocks import HandClock
from tests.worlds.modal_workshop import FailsWith

_STARTED = "launches\tstarted"
_DAY_S = 86_400.0


class _World:
    """Processes over one store, and the time."""

    def __init__(self, client: modal.Client) -> None:
        self.store = ModalDictStore("modal-runner", client)
        self.hand = [_DAY_S]
        self.clock = HandClock(hand=self.hand)

    def process(self) -> Tallies:
        return Tallies(self.store, Counts(), self.clock)

    async def told(self) -> int:
        """How many launches `/metrics` tells of."""
        return in_all(await self.store.all(TALLIES), self.hand[0]).sums.get(_STARTED, 0)

    async def long_after(self) -> None:
        """Let time pass, with a sweep now and then, until every process of before is gone."""
        for _ in range(20):
            self.hand[0] += 300
            await self.process().add_up()


@pytest.fixture
def world(client: modal.Client) -> _World:
    return _World(client)


def _start(process: Tallies, count: int = 1) -> None:
    process.counts.add(Counted.LAUNCHES, "started", by=count)


async def test_what_is_counted_is_written_by_itself_and_seldom(client: modal.Client) -> None:
    store, clock = ModalDictStore("modal-runner", client), Clock(200.0, 0.0)
    process = Tallies(store, Counts(), clock)
    process.keep()
    seen: list[float] = []
    for _ in range(5):
        _start(process, 100)
        while sum(each.sums[_STARTED] for each in (await store.all(TALLIES)).values()) < 100 * (len(seen) + 1):
            await asyncio.sleep(0.01)
        seen += [each.at for each in (await store.all(TALLIES)).values()]

    assert len(seen) == 5
    assert all(later - before >= 59 for before, later in pairwise(seen))


async def test_processes_that_are_gone_are_added_up_into_one_record(world: _World) -> None:
    for _ in range(30):
        process = world.process()
        _start(process, 2)
        await process.flush()
    await world.long_after()

    assert list(await world.store.all(TALLIES)) == ["gone"]
    assert await world.told() == 60


async def test_a_process_that_was_silent_for_long_is_counted_once(world: _World) -> None:
    process = world.process()
    _start(process, 2)
    await process.flush()
    await world.long_after()
    _start(process, 3)
    await process.flush()

    assert await world.told() == 5


async def test_a_record_that_arrives_after_it_was_added_up_counts_no_more(world: _World) -> None:
    process = world.process()
    _start(process, 2)
    await process.flush()
    ((key, late),) = (await world.store.all(TALLIES)).items()
    await world.long_after()
    await world.store.put(TALLIES, key, Tally(late.at, {_STARTED: 7}))
    before = await world.told()
    await world.long_after()

    assert before == await world.told() == 2


async def test_what_could_not_be_written_is_written_the_next_time(
    world: _World, sleeping_modal: SimulatedModal
) -> None:
    process = world.process()
    _start(process, 2)
    sleeping_modal.interceptor = FailsWith("DictUpdate", Status.INVALID_ARGUMENT)
    await process.flush()
    sleeping_modal.interceptor = None
    _start(process)
    await process.flush()

    assert await world.told() == 3


async def test_a_sum_that_cannot_be_read_is_not_begun_anew(world: _World, client: modal.Client) -> None:
    process = world.process()
    _start(process, 2)
    await process.flush()
    await modal.Dict.from_name("modal-runner-tallies", client=client).put.aio("gone", b"{")
    await world.long_after()

    assert await modal.Dict.from_name("modal-runner-tallies", client=client).get.aio("gone") == b"{"
    assert await world.told() == 2


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_ends_when_no_count_is_told_twice_and_none_falls(
    seed: int, world: _World, sleeping_modal: SimulatedModal
) -> None:
    """Processes that count, write, fall silent and end, and sweeps that end half-way."""
    chance = random.Random(seed)  # noqa: S311 - for a test
    processes = [world.process() for _ in range(3)]
    written = counted = told = 0
    of: dict[Tallies, int] = {}

    async def sweep_that_ends_half_way() -> None:
        sleeping_modal.interceptor = FailsWith(chance.choice(["DictPop", "DictUpdate"]), Status.INVALID_ARGUMENT)
        with contextlib.suppress(StoreError):
            for _ in range(10):
                world.hand[0] += 300
                await world.process().add_up()
        sleeping_modal.interceptor = None

    for _ in range(60):
        process = chance.choice(processes)
        match chance.randrange(6):
            case 0 | 1:
                _start(process)
                counted, of[process] = counted + 1, of.get(process, 0) + 1
            case 2:
                await process.flush()
                written += of.pop(process, 0)
            case 3:
                processes[processes.index(process)] = world.process()
                of.pop(process, None)
            case 4:
                world.hand[0] += chance.choice([30, 400, 2000])
                await world.process().add_up()
            case _:
                await sweep_that_ends_half_way()
        before, told = told, await world.told()
        assert before <= told <= counted
        assert told == written
