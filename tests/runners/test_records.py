"""Runners' records: what two looks apart in time are needed for."""

import modal

from github_app.runners.records import absent_twice
from github_app.runners.second_looks import SECOND_LOOK_S
from github_app.store import RUNNERS, ModalDictStore
from tests.worlds.records import runner


async def test_one_absence_proves_nothing_and_a_second_one_soon_after_neither(client: modal.Client) -> None:
    store = ModalDictStore("app", client)
    await store.put(RUNNERS, "modal-11-1", runner())
    seen = []
    for now in (100.0, 101.0, 100.0 + SECOND_LOOK_S, 100.1 + SECOND_LOOK_S):
        known = await store.get(RUNNERS, "modal-11-1")
        assert known is not None
        seen.append(await absent_twice(store, known, "missing_since", now))

    assert seen == [False, False, False, True]
