"""What becomes of jobs and runners, whatever the order in which one hears of them."""

from itertools import permutations, product
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from github_app.lifecycle import (
    ANNOUNCED_ANEW_S,
    JOBS,
    MISSING,
    READING_LAGS_S,
    RUNNERS,
    Nothing,
    Step,
    decide,
    diagram,
    may_become,
    missing,
    urged,
)
from github_app.model import Action, JobRecord, JobState, RunnerState, Scope
from tests.worlds.records import event, job

ORDER = [None, JobState.QUEUED, JobState.RUNNING, JobState.DONE]


def after(*actions: Action) -> tuple[JobRecord | None, int]:
    """What is recorded after these events, and how often a runner was to be started."""
    known, launches = None, 0
    for now, action in enumerate(actions):
        step = decide(known, event(action=action), float(now))
        if isinstance(step, Step):
            known, launches = step.record, launches + step.launch
    return known, launches


def test_every_state_has_a_row_and_the_final_one_leads_nowhere() -> None:
    assert JOBS.keys() == {None, *JobState}
    assert RUNNERS.keys() == set(RunnerState)
    assert JOBS[JobState.DONE] == {}
    assert RUNNERS[RunnerState.FINISHED] == frozenset()


def test_a_state_only_moves_forward() -> None:
    heard = {now: row for now, row in JOBS.items() if now is not JobState.GONE}
    assert all(ORDER.index(then) > ORDER.index(now) for now, row in heard.items() for then in row.values())


@pytest.mark.parametrize("reading", [True, False])
def test_an_absence_is_never_final(*, reading: bool) -> None:
    for state in MISSING:
        gone = missing(job(state), 50.0)
        assert isinstance(gone, Step)
        again = decide(gone.record, event(action=Action.QUEUED, installation_id=99), 60.0, reading=reading)

        assert isinstance(again, Step)
        assert again.launch
        assert (again.record.state, again.record.urged_at) == (JobState.QUEUED, 60.0)
        # An App that was installed anew has another installation.
        assert again.record.event.installation_id == 99


def test_a_job_that_is_over_is_not_missed() -> None:
    assert isinstance(missing(job(JobState.DONE), 0.0), Nothing)


def test_what_was_just_read_says_where_a_job_is_and_a_late_delivery_does_not() -> None:
    known = job(JobState.QUEUED, labels=("modal", "gpu:t4"))
    moved = event(action=Action.QUEUED, scope=Scope("renamed"), repository="renamed/app", labels=("modal",))
    read, told = (decide(known, moved, 1.0, reading=reading) for reading in (True, False))

    assert isinstance(read, Step)
    assert (read.record.event.scope, read.record.event.labels) == (Scope("renamed"), ("modal", "gpu:t4"))
    assert read.record.urged_at == 1.0
    assert isinstance(told, Nothing)


def test_a_job_that_is_announced_long_after_is_queued_anew() -> None:
    known = job(JobState.QUEUED)
    soon, late = (decide(known, event(action=Action.QUEUED), at) for at in (1.0, ANNOUNCED_ANEW_S + 1))

    assert isinstance(soon, Nothing)
    assert isinstance(late, Step)
    assert late.record.queued_since == late.record.urged_at == ANNOUNCED_ANEW_S + 1


def test_an_announcement_at_the_very_end_of_the_span_is_the_old_one() -> None:
    known = msgspec.structs.replace(job(JobState.QUEUED), queued_since=1000.0)
    step = decide(known, event(action=Action.QUEUED), 1000.0 + ANNOUNCED_ANEW_S)

    assert step == Nothing("the job is queued; queued changes nothing")


def test_a_moved_job_keeps_since_when_it_waits() -> None:
    known = msgspec.structs.replace(job(JobState.QUEUED, recorded_at=1.0), queued_since=2.0, urged_at=3.0)
    moved = event(action=Action.QUEUED, scope=Scope("renamed"), repository="renamed/app", repository_id=99)
    step = decide(known, moved, 9.0, reading=True)

    assert isinstance(step, Step)
    assert step.launch
    assert step.record == msgspec.structs.replace(known, event=moved, urged_at=9.0)


def test_a_record_says_when_and_how_its_job_has_changed() -> None:
    first = decide(None, event(action=Action.QUEUED), 1.0)
    assert isinstance(first, Step)
    queued = JobRecord(event(action=Action.QUEUED), JobState.QUEUED, 1.0, 1.0, queued_since=1.0)
    assert first.record == queued
    urged_since = urged(queued, 2.0)
    assert urged_since == msgspec.structs.replace(queued, urged_at=2.0)

    over = decide(urged_since, event(action=Action.COMPLETED, conclusion="failure", runner_name="modal-11-1"), 5.0)
    assert isinstance(over, Step)
    assert over.record == msgspec.structs.replace(
        urged_since, state=JobState.DONE, changed_at=5.0, conclusion="failure", runner_name="modal-11-1"
    )
    assert not over.launch


def test_a_job_that_is_missing_keeps_everything_but_its_state() -> None:
    known = msgspec.structs.replace(job(JobState.QUEUED, recorded_at=1.0), urged_at=3.0)
    step = missing(known, 9.0)

    assert step == Step(msgspec.structs.replace(known, state=JobState.GONE, changed_at=9.0))
    assert missing(job(JobState.DONE), 9.0) == Nothing("the job is done")


@pytest.mark.parametrize(
    ("state", "action", "name", "taken"),
    [
        (JobState.RUNNING, Action.IN_PROGRESS, "modal-2-1", True),
        (JobState.RUNNING, Action.IN_PROGRESS, "modal-1-1", False),
        (JobState.RUNNING, Action.IN_PROGRESS, None, False),
        (JobState.RUNNING, Action.WAITING, "modal-2-1", False),
        (JobState.DONE, Action.IN_PROGRESS, "modal-2-1", False),
    ],
)
def test_a_running_job_may_change_its_runner(state: JobState, action: Action, name: str | None, *, taken: bool) -> None:
    known = msgspec.structs.replace(job(state), runner_name="modal-1-1")
    step = decide(known, event(action=action, runner_name=name), 5.0)

    assert isinstance(step, Step) == taken
    if isinstance(step, Step):
        assert (step.record.state, step.record.runner_name, step.launch) == (JobState.RUNNING, name, False)


def test_a_job_that_was_served_in_between_forgets_what_failed_before() -> None:
    running = job(state=JobState.RUNNING, changed_at=100.0)
    step = decide(running, event(action=Action.QUEUED), 200.0, reading=True)

    assert isinstance(step, Step)
    assert step.record.urged_at == 200.0


def test_another_name_of_a_repository_forgets_no_failure() -> None:
    known = job(JobState.QUEUED)
    step = decide(known, event(action=Action.QUEUED, repository="octo-org/renamed", private=False), 1.0, reading=True)

    assert isinstance(step, Step)
    assert (step.record.event.repository, step.record.event.private) == ("octo-org/renamed", False)
    assert step.record.urged_at == known.urged_at


def test_a_gone_job_of_an_older_version_comes_back_too() -> None:
    old = msgspec.structs.replace(job(JobState.DONE), conclusion="gone")
    step = decide(old, event(action=Action.QUEUED), 1.0)

    assert isinstance(step, Step)
    assert step.record.state is JobState.QUEUED


def test_a_queued_job_is_to_get_a_runner_once() -> None:
    known, launches = after(Action.QUEUED, Action.QUEUED, Action.QUEUED)

    assert known is not None
    assert (known.state, launches) == (JobState.QUEUED, 1)


@pytest.mark.parametrize("order", list(permutations([Action.QUEUED, Action.IN_PROGRESS, Action.COMPLETED])))
def test_a_jobs_events_lead_to_its_end_in_whatever_order_they_come(order: tuple[Action, ...]) -> None:
    known, launches = after(*order)

    assert known is not None
    assert known.state is JobState.DONE
    assert launches == (order[0] is Action.QUEUED)


def test_a_late_waiting_undoes_nothing_and_an_early_one_starts_nothing() -> None:
    assert after(Action.WAITING) == (None, 0)
    known, launches = after(Action.WAITING, Action.QUEUED, Action.WAITING)
    assert known is not None
    assert (known.state, launches) == (JobState.QUEUED, 1)


@given(st.lists(st.sampled_from(Action), max_size=8))
def test_repeating_each_event_changes_nothing(actions: list[Action]) -> None:
    once, launches = after(*actions)
    twice, again = after(*(action for action in actions for _ in range(2)))

    assert (once and once.state, launches) == (twice and twice.state, again)


def test_the_event_that_announced_a_job_stays_and_so_does_its_time() -> None:
    known = job(JobState.QUEUED, recorded_at=5.0, labels=("modal", "gpu:t4"))
    step = decide(known, event(action=Action.IN_PROGRESS, labels=(), runner_name="modal-1-1"), 9.0)

    assert isinstance(step, Step)
    assert (step.record.event, step.record.recorded_at) == (known.event, 5.0)
    assert step.record.runner_name == "modal-1-1"


def test_an_event_that_changes_nothing_says_why() -> None:
    step = decide(job(JobState.DONE), event(action=Action.QUEUED), 0.0)

    assert isinstance(step, Nothing)
    assert "done" in step.reason


@pytest.mark.parametrize(("now", "then"), list(product(RunnerState, RunnerState)))
def test_a_runners_state_never_goes_back(now: RunnerState, then: RunnerState) -> None:
    states = list(RunnerState)
    if states.index(then) < states.index(now):
        assert not may_become(now, then)
    if now is then:
        assert may_become(now, then)


@pytest.mark.parametrize(
    ("reading", "after_s", "served"),
    [(True, READING_LAGS_S + 0.1, True), (True, READING_LAGS_S, False), (False, READING_LAGS_S + 1, False)],
    ids=["read long after", "read soon, which may lag", "a late event"],
)
def test_only_a_reading_puts_a_running_job_back_into_the_queue(*, reading: bool, after_s: float, served: bool) -> None:
    running = job(state=JobState.RUNNING, changed_at=100.0)
    step = decide(running, event(action=Action.QUEUED), 100.0 + after_s, reading=reading)

    assert (isinstance(step, Step) and step.launch) == served


def test_the_diagram_in_the_docs_is_that_of_the_tables() -> None:
    shown = Path(__file__).parent.parent.joinpath("docs", "lifecycle.md").read_text(encoding="utf-8")

    assert diagram() in shown, "run: python -c 'from github_app.lifecycle import diagram; print(diagram())'"
