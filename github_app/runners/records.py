"""Writing a runner's record: the one place where its state changes, checked against the table."""

from typing import Any, Literal

import msgspec
import structlog

from github_app import lifecycle
from github_app.model import RunnerRecord, RunnerState
from github_app.runners.capacity import release_slots
from github_app.runners.second_looks import SECOND_LOOK_S
from github_app.store import RUNNERS, ModalDictStore

_log = structlog.get_logger(__name__)


async def change_runner(
    store: ModalDictStore, name: str, state: RunnerState | None = None, **changes: Any
) -> RunnerRecord | None:
    """Change the record of a runner, if there is one and the table allows the state; return what is there then."""
    known = await store.get(RUNNERS, name)
    return None if known is None else await change_known(store, known, state, **changes)


async def change_known(
    store: ModalDictStore, known: RunnerRecord, state: RunnerState | None, **changes: Any
) -> RunnerRecord:
    """Change a record that was just read."""
    if state is not None and not lifecycle.may_become(known.state, state):
        # Two writers may cross; who is later in the table stays.
        _log.info("runner_state_kept", runner=known.name, state=known.state.value, refused=state.value)
        state = None
    after = msgspec.structs.replace(known, state=state or known.state, **changes)
    if after != known:
        await store.put(RUNNERS, known.name, after)
    return after


async def absent_twice(
    store: ModalDictStore, runner: RunnerRecord, since: Literal["missing_since", "vanished_since"], now: float
) -> bool:
    """Note that a runner (`missing_since`) or its sandbox (`vanished_since`) is not to be seen.

    Tell whether this is the second time, later than the first: one absence proves nothing.
    """
    first: float | None = getattr(runner, since)
    if first is None:
        noted: dict[str, Any] = {since: now}
        await change_runner(store, runner.name, **noted)
        return False
    return now - first > SECOND_LOOK_S


async def leave_runner(store: ModalDictStore, name: str, now: float, **changes: Any) -> None:
    """Record that a runner's job is over. Its slots stay taken, for its sandbox may go on."""
    known = await store.get(RUNNERS, name)
    if known is not None:
        await leave_known(store, known, now, **changes)


async def leave_known(store: ModalDictStore, known: RunnerRecord, now: float, **changes: Any) -> None:
    """The same of a record that was just read."""
    await change_known(store, known, RunnerState.FINISHED, finished_at=now, missing_since=None, **changes)


async def end_known(store: ModalDictStore, known: RunnerRecord, finished_at: float, now: float) -> None:
    """Record that a runner's job is over, and the proven end of its sandbox, and give its slots back.

    `known` was read before its job was over, some seconds ago. What others may have noted of it since counts for
    nothing after its end; and where one of them has given the slots back, they are not given back again.
    """
    await leave_known(store, known, finished_at, ended_at=now)
    await release_slots(store, known.slots, known.name, now, owner=known.slots_owner)


async def finish_runner(store: ModalDictStore, runner: RunnerRecord, now: float) -> None:
    """Record the proven end of a runner's sandbox, or that it never had one, and give its slots back."""
    known = await store.get(RUNNERS, runner.name)
    if known is not None and known.github_id != runner.github_id:
        # A job that was gone from GitHub has come back, and a new runner has the name: its slots are its own.
        return
    if known is not None and known.ended_at is not None:
        # Whoever told of it first gives them back. If he did not come to it, the sweep does.
        return
    if known is not None:
        finished_at = runner.finished_at or now
        await change_known(store, known, RunnerState.FINISHED, finished_at=finished_at, ended_at=now)
    await release_slots(store, runner.slots, runner.name, now, owner=runner.slots_owner)
