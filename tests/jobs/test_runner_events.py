"""What events say of runners: what is recorded of them, and when all records are looked at."""

import asyncio
import time
from typing import Any

import modal
import pytest

from github_app.clock import Clock
from github_app.jobs.runner_events import RunnerEvents
from github_app.model import Action, RunnerRecord, RunnerState, runner_name
from github_app.runners.newborns import Newborns
from github_app.store import RUNNERS, Kind, ModalDictStore
from tests.worlds.clocks import standing_clock
from tests.worlds.records import event, runner


class Balancing:
    """Counts the rounds."""

    def __init__(self) -> None:
        self.rounds = 0

    async def reconcile(self) -> None:
        """Make one."""
        self.rounds += 1


def own(job_id: int, runs: int | None = None) -> RunnerRecord:
    """The runner of a job, which runs one."""
    state = RunnerState.STARTED if runs is None else RunnerState.BUSY
    return runner(name=runner_name(job_id, 1), started_for=job_id, runs_job=runs, state=state)


def events_of(store: ModalDictStore, balancing: Any) -> RunnerEvents:
    """Handles them, at a clock that stands still."""
    clock = standing_clock(1000.0)
    return RunnerEvents(store=store, newborns=Newborns(store, clock), reconciler=balancing, clock=clock)


async def rounds_after(store: ModalDictStore, runners: list[RunnerRecord], job_id: int, taken: int) -> int:
    """How many rounds follow when a job takes the runner of another."""
    for each in runners:
        await store.put(RUNNERS, each.name, each)
    balancing = Balancing()
    events = events_of(store, balancing)
    taking = event(action=Action.IN_PROGRESS, job_id=job_id, runner_name=runner_name(taken, 1), runner_id=7)
    known = await events.runner_of(taking)
    again = events.afterwards(taking, known, unbalanced=await events.note(taking, known))
    if again is not None:
        await again()
    return balancing.rounds


@pytest.mark.parametrize(
    ("runners", "rounds"),
    [
        pytest.param([own(1), own(2)], 0, id="its own waits instead"),
        pytest.param([own(1, runs=3), own(2), own(3)], 0, id="its own runs a job whose own waits"),
        pytest.param([own(1, runs=2), own(2)], 0, id="they have changed places"),
        pytest.param([own(2)], 1, id="it has none"),
        pytest.param([own(1, runs=3), own(2)], 1, id="its own runs a job that had none"),
        pytest.param([own(1, runs=1), own(2)], 1, id="it has left its own"),
        pytest.param(
            [runner(name=runner_name(1, 1), started_for=1, labels=("self-hosted", "modal", "gpu:h100")), own(2)],
            1,
            id="its own is another machine",
        ),
    ],
)
async def test_all_records_are_looked_at_only_where_a_job_may_be_left_without_a_runner(
    client: modal.Client, runners: list[RunnerRecord], rounds: int
) -> None:
    assert await rounds_after(ModalDictStore("app", client), runners, 1, taken=2) == rounds


async def test_a_sandbox_that_is_born_while_its_runner_is_written_is_recorded_a_little_later(
    client: modal.Client,
) -> None:
    """`in_progress` came before the answer to the creation, and was written without the sandbox."""
    clock = Clock(20.0, time.time())

    class BornMeanwhile(ModalDictStore):
        async def put(self, kind: Kind[Any], key: str, value: Any) -> None:
            newborns.born(own(1), "sb-new")
            await super().put(kind, key, value)

    plain = ModalDictStore("app", client)
    await plain.put(RUNNERS, "modal-1-1", runner(name="modal-1-1", started_for=1, sandbox_id=None))
    newborns = Newborns(plain, clock)
    events = RunnerEvents(store=BornMeanwhile("app", client), newborns=newborns, reconciler=Balancing(), clock=clock)  # type: ignore[arg-type]
    taking = event(action=Action.IN_PROGRESS, job_id=1, runner_name="modal-1-1", runner_id=7)
    await events.note(taking, await events.runner_of(taking))
    for _second in range(50):
        await asyncio.sleep(0.1)
        known = await plain.get(RUNNERS, "modal-1-1")
        if known is not None and known.sandbox_id is not None:
            break

    assert known is not None
    assert (known.sandbox_id, known.state) == ("sb-new", RunnerState.BUSY)
