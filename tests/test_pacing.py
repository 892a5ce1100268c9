"""GitHub's write limit, shared by several processes through the store."""

import modal

from github_app.errors import GitHubError
from github_app.pacing import WriteBudget
from github_app.store import BUDGET, ModalDictStore
from tests.clocks import standing_clock

_LIMIT_PER_MINUTE = 180


async def test_two_processes_never_make_more_writes_in_any_minute_than_github_allows(client: modal.Client) -> None:
    clock = standing_clock(1_000_003.0)
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
    budget = WriteBudget(ModalDictStore("app", client), standing_clock(1_000_003.0))
    while await budget.spend(1) is None:
        pass

    assert await budget.spend(2) is None


async def test_a_limit_that_github_told_of_closes_the_budget_until_then(client: modal.Client) -> None:
    clock = standing_clock(1_000_003.0)
    budget = WriteBudget(ModalDictStore("app", client), clock)
    budget.heed(1, GitHubError("slow down", retryable=True, retry_after=42))

    assert await budget.spend(1) == clock.now() + 42


async def test_the_write_budget_costs_two_calls_for_fifteen_writes(client: modal.Client) -> None:
    store = ModalDictStore("app", client)
    budget = WriteBudget(store, standing_clock(1_000_003.0))
    for _ in range(15):
        await budget.spend(1)

    assert len(await store.all(BUDGET)) == 1
