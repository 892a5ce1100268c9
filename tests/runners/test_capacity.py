"""The concurrency caps, shared by several processes through the store."""

import asyncio

import modal
from hypothesis import given
from hypothesis import strategies as st

from github_app.clock import Clock
from github_app.model import Slot
from github_app.runners.capacity import Caps, Full, Slots, Taken, free_numbers
from github_app.store import SLOTS, ModalDictStore


async def test_of_many_that_want_the_last_slot_one_gets_it(client: modal.Client) -> None:
    store = ModalDictStore("app", client)
    everyone = [Slots(store, Caps(per_repository=3), Clock()) for _ in range(4)]
    taken = await asyncio.gather(*(everyone[n % 4].take("octo/repo", f"modal-{n}-1") for n in range(20)))

    assert sum(not isinstance(slots, Full) for slots in taken) == 3


async def test_a_slot_is_not_kept_when_the_other_cap_is_reached(client: modal.Client) -> None:
    store = ModalDictStore("app", client)
    slots = Slots(store, Caps(per_repository=5, in_all=1), Clock())
    first, second = await slots.take("octo/a", "modal-1-1"), await slots.take("octo/b", "modal-2-1")

    assert isinstance(first, Taken)
    assert first.keys == ("octo/a/1", "*/1")
    assert second == Full("*")
    assert set(await store.all(SLOTS)) == {"octo/a/1", "*/1"}


async def test_a_lowered_cap_counts_the_slots_that_are_held_beyond_it(client: modal.Client) -> None:
    store = ModalDictStore("app", client)
    before, after = (Slots(store, Caps(per_repository=cap), Clock()) for cap in (3, 1))
    for number in range(3):
        await before.take("octo/repo", f"modal-{number}-1")
    await store.take(SLOTS, "octo/repo/1")

    assert await after.take("octo/repo", "modal-9-1") == Full("octo/repo")


async def test_many_at_once_keep_a_lowered_cap(client: modal.Client) -> None:
    """All read the same slots and take at once. Each counted those beyond the cap and none of the others'."""
    store = ModalDictStore("app", client)
    before, after = (Slots(store, Caps(per_repository=cap), Clock()) for cap in (8, 5))
    for number in range(8):
        await before.take("octo/repo", f"modal-{number}-1")
    for number in range(1, 6):
        await store.take(SLOTS, f"octo/repo/{number}")

    taken = await asyncio.gather(*(after.take("octo/repo", f"modal-{n}-1") for n in range(10, 20)))

    assert sum(not isinstance(slots, Full) for slots in taken) == 2
    assert len(await store.all(SLOTS)) == 5


async def test_what_another_process_holds_counts_although_it_was_tried_here(client: modal.Client) -> None:
    """A number that was tried in vain was taken for one's own, and not counted against a lowered cap."""
    store = ModalDictStore("app", client)
    for number in (3, 6, 7, 8):
        await store.put(SLOTS, f"octo/repo/{number}", Slot("another's", f"modal-{number}-1", 1.0))
    after = Slots(store, Caps(per_repository=5), Clock())
    await asyncio.gather(*(after.take("octo/repo", f"modal-{n}-1") for n in range(10, 13)))

    assert len(await store.all(SLOTS)) == 5


async def test_what_is_tried_in_vain_beside_a_launch_counts_against_it(client: modal.Client) -> None:
    """Seed 53: five are held under a cap that was lowered to five, one of which another launch tries just now."""
    store = ModalDictStore("app", client)
    for number in (1, 2, 4, 5, 6):
        await store.put(SLOTS, f"octo/repo/{number}", Slot("another's", "modal-1-1", 0.0))
    slots, clock = Slots(store, Caps(per_repository=5), Clock()), Clock()
    # Under way, and to be answered with no.
    slots._taken |= {"octo/repo/1", "octo/repo/2", "octo/repo/4"}
    slots._own["octo/repo/4"] = clock.now() + 60

    assert await slots.take("octo/repo", "modal-9-1") == Full("octo/repo")


@given(st.sets(st.integers(1, 12)), st.integers(1, 8))
def test_a_number_is_free_exactly_while_the_cap_is_not_reached(held: set[int], cap: int) -> None:
    taken = {f"octo/repo/{number}" for number in held} | {"*/1"}

    free = list(free_numbers("octo/repo", cap, taken))

    assert bool(free) == (len(held) < cap)
    assert free == [n for n in range(1, cap + 1) if n not in held and n + sum(other > n for other in held) <= cap]


async def test_a_profiles_cap_holds_over_repositories_and_leaves_other_jobs_alone(client: modal.Client) -> None:
    slots = Slots(ModalDictStore("app", client), Caps(per_profile={"train": 1}), Clock())
    first = await slots.take("octo/a", "modal-1-1", "train")

    assert isinstance(first, Taken)
    assert first.keys == ("profile:train/1",)
    assert await slots.take("octo/b", "modal-2-1", "train") == Full("profile:train")
    assert await slots.take("octo/b", "modal-3-1") == Taken()
