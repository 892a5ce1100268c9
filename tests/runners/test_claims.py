"""Claims and slots between processes that cross."""

from typing import Any

import modal
import pytest

from github_app.clock import Clock
from github_app.model import Action, Hold, JobEvent, JobRecord, JobState, Scope, Shape, Slot
from github_app.runners.balance import Demand, Start
from github_app.runners.capacity import release_slots
from github_app.runners.claims import Claims
from github_app.store import CLAIMS, SLOTS, Kind, ModalDictStore


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


async def test_a_slot_that_has_a_new_holder_survives_its_old_ones_return(client: modal.Client) -> None:
    class Crossing(ModalDictStore):
        """Between the look and the pop, the slot changes hands."""

        async def get(self, kind: Kind[Any], key: str) -> Any:
            seen = await super().get(kind, key)
            await super().put(kind, key, Slot("b", "modal-2-1", 2.0))
            return seen

    store = ModalDictStore("app", client)
    await store.put(SLOTS, "octo/repo/1", Slot("a", "modal-1-1", 1.0))
    await release_slots(Crossing("app", client), ("octo/repo/1",), "modal-1-1")
    left = await store.get(SLOTS, "octo/repo/1")

    assert left is not None
    assert left.runner == "modal-2-1"
