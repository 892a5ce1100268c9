"""GitHub's write limit and the concurrency caps, shared by several processes through the store."""

import asyncio
from dataclasses import dataclass

import modal

from github_app.capacity import Caps, Slots, WriteBudget
from github_app.clock import Clock
from github_app.store import BUDGET, SLOTS, ModalDictStore

_LIMIT_PER_MINUTE = 180


@dataclass(frozen=True)
class HandClock(Clock):
    """A clock that stands until it is moved."""

    hand: list[float] | None = None

    def now(self) -> float:
        return (self.hand or [0.0])[0]


def _clock(at: float) -> HandClock:
    return HandClock(hand=[at])


async def test_two_processes_never_make_more_writes_in_any_minute_than_github_allows(client: modal.Client) -> None:
    clock = _clock(1_000_003.0)
    assert clock.hand is not None
    store = ModalDictStore("app", client)
    budgets = [WriteBudget(store, clock), WriteBudget(store, clock)]
    writes: list[float] = []
    while len(writes) < 600:
        again = await budgets[len(writes) % 2].spend(7)
        if again is None:
            writes.append(clock.now())
        else:
            assert again > clock.now()
            clock.hand[0] = again

    assert max(sum(t <= other < t + 60 for other in writes) for t in writes) <= _LIMIT_PER_MINUTE
    # The limit is used, too: 600 writes in less than five minutes.
    assert writes[-1] - writes[0] < 300


async def test_each_installation_has_a_budget_of_its_own(client: modal.Client) -> None:
    budget = WriteBudget(ModalDictStore("app", client), _clock(1_000_003.0))
    while await budget.spend(1) is None:
        pass

    assert await budget.spend(2) is None


async def test_a_limit_that_github_told_of_closes_the_budget_until_then(client: modal.Client) -> None:
    clock = _clock(1_000_003.0)
    budget = WriteBudget(ModalDictStore("app", client), clock)
    budget.close(1, clock.now() + 42)

    assert await budget.spend(1) == clock.now() + 42


async def test_the_write_budget_costs_two_calls_for_fifteen_writes(client: modal.Client) -> None:
    store = ModalDictStore("app", client)
    budget = WriteBudget(store, _clock(1_000_003.0))
    for _ in range(15):
        await budget.spend(1)

    assert len([key async for key, _ in store.items(BUDGET)]) == 1


async def test_of_many_that_want_the_last_slot_one_gets_it(client: modal.Client) -> None:
    store = ModalDictStore("app", client)
    everyone = [Slots(store, Caps(per_repository=3), Clock()) for _ in range(4)]
    taken = await asyncio.gather(*(everyone[n % 4].take("octo/repo", f"modal-{n}-1") for n in range(20)))

    assert sum(slots is not None for slots in taken) == 3


async def test_a_slot_is_not_kept_when_the_other_cap_is_reached(client: modal.Client) -> None:
    store = ModalDictStore("app", client)
    slots = Slots(store, Caps(per_repository=5, in_all=1), Clock())
    first, second = await slots.take("octo/a", "modal-1-1"), await slots.take("octo/b", "modal-2-1")

    assert first == ("octo/a/1", "*/1")
    assert second is None
    assert {key async for key, _ in store.items(SLOTS)} == {"octo/a/1", "*/1"}
