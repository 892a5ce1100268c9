"""The store, through the real SDK against the simulated Modal."""

import asyncio

import modal
import msgspec
import pytest
from grpclib import Status

from github_app.errors import StoreError
from github_app.model import Claim
from github_app.simulator.modal import SimulatedModal
from github_app.store import CLAIMS, ModalDictStore
from tests.worlds.modal_workshop import FailsWith, LosesOneAnswer


@pytest.fixture
def store(client: modal.Client) -> ModalDictStore:
    return ModalDictStore("modal-runner", client)


async def test_a_put_if_absent_of_fifty_has_one_winner(store: ModalDictStore) -> None:
    claims = [Claim(f"owner-{number}", 0.0) for number in range(50)]
    won = await asyncio.gather(*(store.put_new(CLAIMS, "11-1", claim) for claim in claims))

    assert won.count(True) == 1
    assert await store.get(CLAIMS, "11-1") == claims[won.index(True)]


async def test_a_put_if_absent_whose_answer_is_lost_is_still_its_owners(
    store: ModalDictStore, sleeping_modal: SimulatedModal
) -> None:
    await store.get(CLAIMS, "warm")
    sleeping_modal.interceptor = LosesOneAnswer("DictUpdate")

    assert await store.put_new(CLAIMS, "11-1", Claim("me", 0.0))
    assert not await store.put_new(CLAIMS, "11-1", Claim("someone else", 0.0))


async def test_a_record_is_taken_by_one_of_twenty(store: ModalDictStore) -> None:
    claim = Claim("me", 0.0)
    await store.put(CLAIMS, "11-1", claim)
    taken = await asyncio.gather(*(store.take(CLAIMS, "11-1") for _ in range(20)))

    assert [found for found in taken if found] == [claim]
    assert await store.get(CLAIMS, "11-1") is None


async def test_records_of_a_kind_are_listed_with_their_keys(store: ModalDictStore) -> None:
    claims = {f"{number}-1": Claim(str(number), 0.0) for number in range(5)}
    for key, claim in claims.items():
        await store.put(CLAIMS, key, claim)

    assert await store.all(CLAIMS) == claims


async def test_a_record_of_a_newer_version_is_read_without_what_is_new(
    store: ModalDictStore, client: modal.Client
) -> None:
    raw = modal.Dict.from_name("modal-runner-claims", create_if_missing=True, client=client)
    claim = Claim("me", 1.5)
    await raw.put.aio("11-1", msgspec.json.encode(msgspec.to_builtins(claim) | {"new": [1]}))

    assert await store.get(CLAIMS, "11-1") == claim


async def test_a_store_that_refuses_is_a_store_error(store: ModalDictStore, sleeping_modal: SimulatedModal) -> None:
    await store.get(CLAIMS, "warm")
    sleeping_modal.interceptor = FailsWith("DictGet", Status.PERMISSION_DENIED)
    with pytest.raises(StoreError) as caught:
        await store.get(CLAIMS, "11-1")

    assert not caught.value.retryable
