"""Claims and slots between processes that cross."""

from typing import Any

import modal
import msgspec
import pytest

from github_app.clock import Clock
from github_app.model import (
    Action,
    Claim,
    Hold,
    JobEvent,
    JobRecord,
    JobState,
    Scope,
    Shape,
    Slot,
)
from github_app.runners.balance import CLAIM_IS_STALE_S, Demand, Start
from github_app.runners.capacity import release_slots
from github_app.runners.claims import Claims
from github_app.runners.records import finish_runner
from github_app.runners.second_looks import Suspicions
from github_app.runners.versions import RunnerVersion
from github_app.store import CLAIMS, RELEASES, RUNNERS, SLOTS, Kind, ModalDictStore
from github_app.store.notes import Release
from github_app.sweep.report import SweepReport
from github_app.sweep.upkeep import Upkeep
from tests.worlds.records import runner

_HOLDER = runner(name="modal-1-1", slots=("octo/repo/1",))


def _start(*, failures: int = 0, hold: Hold | None = None) -> Start:
    event = JobEvent(
        Action.QUEUED, 7, 1, 1, "job", ("modal",), "octo/repo", 1, private=True, scope=Scope("octo"), installation_id=1
    )
    job = JobRecord(event, JobState.QUEUED, 0.0)
    return Start(Demand(job, Shape((1, 1), (1, 1), 1)), 1, failures, hold)


@pytest.mark.parametrize(
    ("before", "least", "most"),
    [(Hold.GITHUB_NOT_FOUND, 3600, 3600), (Hold.MODAL_CAPACITY, 0, 30), (None, 0, 30)],
)
async def test_only_a_second_404_in_a_row_holds_a_job_for_an_hour(
    client: modal.Client, before: Hold | None, least: float, most: float
) -> None:
    store, clock = ModalDictStore("app", client), Clock()
    await Claims(store, clock).put_off(_start(failures=1, hold=before), Hold.GITHUB_NOT_FOUND, "404")
    claim = await store.get(CLAIMS, "7-1")

    assert claim is not None
    assert least - 5 <= (claim.not_before or 0) - clock.now() <= most


async def test_a_launch_lives_while_its_claim_is_fresh_and_not_put_off(client: modal.Client) -> None:
    claims = Claims(ModalDictStore("app", client), Clock())
    before = await claims.lives("modal-7-1")
    await claims.take(_start())
    during = await claims.lives("modal-7-1")
    await claims.put_off(_start(), Hold.MODAL_CAPACITY, "full")

    assert (before, during, await claims.lives("modal-7-1")) == (False, True, False)


async def test_a_claim_is_renewed_while_its_launch_takes_its_time(client: modal.Client) -> None:
    """A GPU is waited for up to half an hour; without the renewal the launch would be taken for crashed."""
    store, clock = ModalDictStore("app", client), Clock(scale=60.0)
    claims = Claims(store, clock)
    await claims.take(_start())
    async with claims.renewing(_start(), clock.now()) as lease:
        await clock.sleep(120)
        assert await claims.lives("modal-7-1")

    assert clock.now() - lease.renewed_at < CLAIM_IS_STALE_S


def _upkeep(store: ModalDictStore, clock: Clock) -> Upkeep:
    claims, suspicions = Claims(store, clock), Suspicions(store, clock)
    version = RunnerVersion(store, "1", clock)
    return Upkeep(store=store, claims=claims, suspicions=suspicions, version=version, clock=clock)


async def test_of_two_who_give_a_slot_back_the_second_does_not_take_its_next_holders(client: modal.Client) -> None:
    store, key = ModalDictStore("app", client), "octo/repo/1"

    class Crossing(ModalDictStore):
        """Between the look and the pop, another gives the slot back, and it has a new holder."""

        async def get(self, kind: Kind[Any], key: str) -> Any:
            seen = await super().get(kind, key)
            await release_slots(store, (key,), "modal-1-1", 10.0)
            assert await store.put_new(SLOTS, key, Slot("b", "modal-2-1", 2.0))
            return seen

    await store.put(SLOTS, key, Slot("a", "modal-1-1", 1.0))
    await release_slots(Crossing("app", client), (key,), "modal-1-1", 10.0)

    assert await store.get(SLOTS, key) == Slot("b", "modal-2-1", 2.0)


async def test_a_slot_that_was_not_given_back_for_a_crash_is_free_after_ten_minutes(client: modal.Client) -> None:
    """Its holder has ended, and who gave it back ended as well, right before the pop."""
    store, clock = ModalDictStore("app", client), Clock()
    upkeep = _upkeep(store, clock)
    ended = msgspec.structs.replace(_HOLDER, ended_at=clock.now() - 3600)
    await store.put(RUNNERS, ended.name, ended)
    await store.put(SLOTS, "octo/repo/1", Slot("a", ended.name, 1.0))
    left = []
    for seconds in (500, 700):
        await store.put(RELEASES, "a octo/repo/1", Release("crashed", clock.now() - seconds))
        for _sweep in range(2):
            await upkeep.release_slots(SweepReport())
            await upkeep.drop_what_is_over(SweepReport())
        left.append(list(await store.all(SLOTS)))

    assert left == [["octo/repo/1"], []]


async def test_who_tells_of_an_end_second_gives_no_slot_back(client: modal.Client) -> None:
    """Its slot has a new holder by then, and his look at it may be old."""
    store = ModalDictStore("app", client)
    await store.put(RUNNERS, "modal-1-1", _HOLDER)
    await store.put(SLOTS, "octo/repo/1", Slot("a", "modal-1-1", 1.0))
    await finish_runner(store, _HOLDER, 10.0)
    assert await store.all(SLOTS) == {}
    await store.put(SLOTS, "octo/repo/1", Slot("c", "modal-1-1", 1.0))  # as an old read would show it
    await finish_runner(store, _HOLDER, 11.0)

    assert await store.get(SLOTS, "octo/repo/1") == Slot("c", "modal-1-1", 1.0)


async def test_the_sweep_takes_a_slot_again_that_its_runner_has_lost(client: modal.Client) -> None:
    store, clock = ModalDictStore("app", client), Clock()
    upkeep = _upkeep(store, clock)
    await store.put(RUNNERS, "modal-1-1", _HOLDER)
    await upkeep.release_slots(SweepReport())
    held = await store.get(SLOTS, "octo/repo/1")
    await finish_runner(store, _HOLDER, clock.now() - 60)
    # Who recorded the end did not come to giving the slot back.
    await store.put(SLOTS, "octo/repo/1", Slot("a", "modal-1-1", 1.0))
    await upkeep.release_slots(SweepReport())

    assert held is not None
    assert held.runner == "modal-1-1"
    assert await store.all(SLOTS) == {}


async def test_a_slot_that_has_gone_to_another_is_not_given_back_by_its_first_owner(client: modal.Client) -> None:
    """Its launch stood still, the sweep gave the slot to another, and after ten minutes forgot that it had."""
    store, clock = ModalDictStore("app", client), Clock()
    thawed = msgspec.structs.replace(_HOLDER, slots_owner="a")
    others = Slot("b", "modal-2-1", clock.now())
    await store.put(RUNNERS, thawed.name, thawed)
    await store.put(SLOTS, "octo/repo/1", others)
    await _upkeep(store, clock).release_slots(SweepReport())
    current = await store.get(RUNNERS, thawed.name)
    assert current is not None
    await finish_runner(store, current, clock.now())

    assert await store.get(SLOTS, "octo/repo/1") == others


async def test_a_slot_stays_taken_whose_launch_ends_while_the_sweep_stands_still(client: modal.Client) -> None:
    """It had no runner when its runner was looked for, and its claim was old when that was read."""

    class StandsStill(ModalDictStore):
        async def get(self, kind: Kind[Any], key: str) -> Any:
            seen = await super().get(kind, key)
            if kind is RUNNERS:
                await self.put(RUNNERS, key, _HOLDER)
            return seen

    store, clock = StandsStill("app", client), Clock()
    await store.put(SLOTS, "octo/repo/1", Slot("a", _HOLDER.name, 1.0))
    await _upkeep(store, clock).release_slots(SweepReport())

    assert list(await store.all(SLOTS)) == ["octo/repo/1"]


async def test_a_claim_may_be_there_before_its_jobs_record_is(client: modal.Client) -> None:
    """Both go with one trip; a sweep in between took the claim for that of a job that is over."""
    store, clock = ModalDictStore("app", client), Clock()
    await Claims(store, clock).take(_start())
    old = Claim("a", clock.now() - 120, 0)
    await store.put(CLAIMS, "8-1", old)
    await _upkeep(store, clock).drop_what_is_over(SweepReport())

    assert list(await store.all(CLAIMS)) == [_start().key]


async def test_the_end_of_a_runner_is_not_that_of_a_later_one_of_its_name(client: modal.Client) -> None:
    """A job that was gone came back and began its attempts anew while the first runner was still being ended."""
    store = ModalDictStore("app", client)
    later = msgspec.structs.replace(_HOLDER, github_id=_HOLDER.github_id + 1)
    await store.put(RUNNERS, later.name, later)
    await store.put(SLOTS, "octo/repo/1", Slot("b", later.name, 2.0))
    await finish_runner(store, _HOLDER, 10.0)

    assert await store.get(RUNNERS, later.name) == later
    assert list(await store.all(SLOTS)) == ["octo/repo/1"]
