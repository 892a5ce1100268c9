"""Demand against supply: what is to be started, what waits, what is too much."""

from collections.abc import Mapping

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from github_app.model import (
    FIRST_SEAT,
    Claim,
    Gpu,
    Halt,
    Hold,
    JobState,
    Place,
    RunnerRecord,
    RunnerState,
    Scope,
    Waited,
    runner_name,
)
from github_app.runners.balance import CLAIM_IS_STALE_S, Demand, Plan, Start, Wait, fits, giving_way, plan
from tests.worlds.records import PLACE, SHAPE, job, runner

GPU_SHAPE = msgspec.structs.replace(SHAPE, gpu=Gpu("H100"))
NOW = 1000.0


def demand(job_id: int = 11, *, gpu: bool = False, state: JobState = JobState.QUEUED, at: float = 0.0) -> Demand:
    """A job that wants a machine."""
    return Demand(job(state, at, job_id=job_id, labels=_labels(gpu=gpu)), GPU_SHAPE if gpu else SHAPE)


def own(
    job_id: int = 11, attempt: int = 1, *, gpu: bool = False, state: RunnerState = RunnerState.STARTED
) -> RunnerRecord:
    """The runner that was started for a job."""
    shape = GPU_SHAPE if gpu else SHAPE
    name = runner_name(job_id, attempt)
    return runner(name=name, started_for=job_id, labels=_labels(gpu=gpu), shape=shape, state=state)


def planned(demands: list[Demand], runners: list[RunnerRecord], claims: Mapping[str, Claim] | None = None) -> Plan:
    """The plan for these, at a fixed time."""
    return plan(demands, {each.name: each for each in runners}, claims or {}, {}, NOW)


def _labels(*, gpu: bool) -> tuple[str, ...]:
    return ("self-hosted", "modal", "gpu:h100") if gpu else ("self-hosted", "modal")


def test_a_job_whose_runner_is_there_needs_nothing() -> None:
    assert planned([demand()], [own()]) == Plan((), (), ())


def test_a_job_without_a_runner_gets_its_first() -> None:
    [start] = planned([demand()], []).starts

    assert (start.demand.job_id, start.attempt) == (11, 1)


def test_missing_runners_are_started_for_the_oldest_job_first() -> None:
    starts = planned([demand(1, at=3), demand(2, at=1), demand(3, at=2)], []).starts

    assert [start.demand.job_id for start in starts] == [2, 3, 1]


def test_an_idle_runner_that_no_job_needs_is_too_much() -> None:
    assert planned([], [own()]).surplus == (own(),)


@pytest.mark.parametrize("state", [RunnerState.BUSY, RunnerState.FINISHED])
def test_a_runner_that_works_or_has_worked_is_never_too_much(state: RunnerState) -> None:
    assert planned([], [own(state=state)]).surplus == ()


def test_a_runner_that_a_jobs_record_names_is_not_idle_whatever_its_own_record_says() -> None:
    taken = Demand(msgspec.structs.replace(job(JobState.RUNNING, job_id=12), runner_name="modal-11-1"), SHAPE)
    plan_ = planned([demand(11), taken], [own(11)])

    assert plan_.surplus == ()
    assert [start.demand.job_id for start in plan_.starts] == [11]


def test_a_job_whose_runner_was_taken_gets_the_takers_own() -> None:
    assert planned([demand(11)], [own(11, state=RunnerState.BUSY), own(12)]) == Plan((), (), ())


def test_a_gpu_job_whose_runner_was_taken_by_a_plain_one_gets_another_and_the_plain_one_is_too_much() -> None:
    plan_ = planned([demand(11, gpu=True)], [own(11, gpu=True, state=RunnerState.BUSY), own(12)])

    assert [(start.demand.job_id, start.attempt) for start in plan_.starts] == [(11, 1)]
    assert [each.name for each in plan_.surplus] == ["modal-12-1"]


@pytest.mark.parametrize(
    "changes",
    [
        {"place": Place(Scope("other-org"), 44)},
        {"place": Place(PLACE.scope, 45)},
        {"shape": GPU_SHAPE},
        {"labels": ("self-hosted",)},
    ],
    ids=["scope", "installation", "machine", "labels"],
)
def test_a_runner_of_another_kind_does_not_fit(changes: dict[str, object]) -> None:
    assert fits(own(), demand())
    assert not fits(runner(**changes), demand())


def test_labels_fit_without_regard_to_case() -> None:
    assert fits(runner(labels=("Self-Hosted", "MODAL")), demand())


def test_a_launch_that_lives_is_waited_for_and_one_that_has_crashed_is_followed_by_another() -> None:
    [wait] = planned([demand()], [], {"11-1": Claim("a", NOW - CLAIM_IS_STALE_S + 1)}).waits
    [start] = planned([demand()], [], {"11-1": Claim("a", NOW - CLAIM_IS_STALE_S - 1)}).starts

    assert (wait.demand.job_id, wait.until) == (11, None)
    assert start.attempt == 2


def test_a_launch_that_was_put_off_waits_for_its_time_and_then_starts_as_the_next_attempt() -> None:
    def put_off(until: float) -> dict[str, Claim]:
        return {"11-3": Claim("a", 0.0, failures=3, hold=Hold.MODAL_CAPACITY, reason="no GPU", not_before=until)}

    [wait] = planned([demand()], [], put_off(NOW + 1)).waits
    [start] = planned([demand()], [], put_off(NOW - 1)).starts

    assert (wait.reason, wait.until) == ("no GPU", NOW + 1)
    assert (start.attempt, start.failures) == (4, 3)


@pytest.mark.parametrize(
    ("claim", "decided"),
    [
        # Under way, up to the second at which a launch counts as crashed.
        (Claim("a", NOW - CLAIM_IS_STALE_S + 0.1), Wait(demand(), "its launch is under way")),
        (
            Claim("a", NOW - CLAIM_IS_STALE_S, 2, last_hold=Hold.MODAL_CAPACITY, unused=1, cost_usd=0.5),
            Start(demand(), 4, 2, Hold.MODAL_CAPACITY, 1, 0.5),
        ),
        # Put off, up to the second that was named.
        (Claim("a", 0.0, hold=Hold.MODAL_CAPACITY, not_before=NOW + 1), Wait(demand(), "modal-capacity", NOW + 1)),
        (
            Claim("a", 5.0, 2, Hold.RUNNER_DIED, "gone", NOW, unused=1, cost_usd=0.5),
            Start(demand(), 4, 2, Hold.RUNNER_DIED, 1, 0.5, (Waited("runner-died", 5.0, NOW),)),
        ),
        # Urged since: what failed before counts for nothing but its cost.
        (
            Claim("a", -1.0, 2, Hold.RUNNER_DIED, "gone", NOW + 99, unused=1, cost_usd=0.5),
            Start(demand(), 4, cost_usd=0.5, waited=(Waited("runner-died", -1.0, NOW),)),
        ),
    ],
)
def test_what_the_last_attempt_left_decides_about_the_next(claim: Claim, decided: Start | Wait) -> None:
    made = planned([demand()], [], {"11-2": Claim("a", NOW), "11-3": claim, "12-9": Claim("a", NOW)})

    assert (*made.starts, *made.waits) == (decided,)


def test_a_runner_of_an_attempt_under_way_was_taken_by_another_job() -> None:
    taken = msgspec.structs.replace(own(attempt=1, state=RunnerState.BUSY), runs_job=12)
    made = planned([demand()], [taken], {"11-1": Claim("a", NOW)})

    assert [(start.attempt, start.passed_by) for start in made.starts] == [(2, True)]


@pytest.mark.parametrize(("runs_job", "unused"), [(None, 0), (11, 0), (12, 1)])
def test_a_job_was_passed_by_only_where_another_job_has_its_runner_and_all_before_were_used(
    runs_job: int | None, unused: int
) -> None:
    ended = msgspec.structs.replace(own(attempt=1, state=RunnerState.FINISHED), runs_job=runs_job)
    made = planned([demand()], [ended], {"11-1": Claim("a", NOW, unused=unused)})

    assert [(start.attempt, start.passed_by) for start in made.starts] == [(2, False)]


@pytest.mark.parametrize(
    ("claim", "state", "launching"),
    [
        (Claim("a", NOW - CLAIM_IS_STALE_S + 0.1), RunnerState.STARTING, True),
        (Claim("a", NOW - CLAIM_IS_STALE_S), RunnerState.STARTING, False),
        (Claim("a", NOW), RunnerState.STARTED, False),
        (Claim("a", NOW, hold=Hold.MODAL_CAPACITY, not_before=NOW + 9), RunnerState.STARTING, False),
        (None, RunnerState.STARTING, False),
    ],
)
def test_a_runner_too_much_is_not_ended_while_its_launch_lives(
    claim: Claim | None, state: RunnerState, *, launching: bool
) -> None:
    runner = own(state=state)
    made = planned([], [runner], {} if claim is None else {"11-1": claim})

    assert (made.starting, made.surplus) == (((runner,), ()) if launching else ((), (runner,)))


@pytest.mark.parametrize(("at", "halted"), [(7.0, True), (6.9, False)])
def test_a_halted_job_waits_until_something_has_changed(at: float, *, halted: bool) -> None:
    urged = msgspec.structs.replace(demand().job, urged_at=7.0)
    held, other = Demand(urged, SHAPE), demand(12)
    made = plan([held, other], {}, {}, {"11": Halt(at, "no group admits it")}, NOW)

    assert made.waits == ((Wait(held, "no group admits it", halted=True),) if halted else ())
    assert [start.demand.job_id for start in made.starts] == ([12] if halted else [11, 12])


def test_a_job_keeps_its_own_runner_though_another_would_do() -> None:
    plain = demand(12)
    rich = msgspec.structs.replace(own(11), labels=(*_labels(gpu=False), "x"))
    made = planned([demand(11), plain], [rich, own(12)])

    assert made == Plan((), (), ())


def test_the_job_with_most_labels_chooses_first() -> None:
    narrow = Demand(job(JobState.QUEUED, 1.0, job_id=1, labels=("self-hosted", "modal", "x")), SHAPE)
    wide = demand(2)
    wanted = msgspec.structs.replace(own(8), labels=("self-hosted", "modal", "x", "y"))
    made = planned([wide, narrow], [wanted])

    assert [start.demand.job_id for start in made.starts] == [2]
    assert made.surplus == ()


_demands = st.lists(
    st.builds(
        demand, st.integers(1, 6), gpu=st.booleans(), state=st.sampled_from(JobState), at=st.integers(0, 5).map(float)
    ),
    unique_by=lambda each: each.job_id,
)
_runners = st.lists(
    st.builds(own, st.integers(1, 6), st.integers(1, 2), gpu=st.booleans(), state=st.sampled_from(RunnerState)),
    unique_by=lambda each: each.name,
)


@given(_demands, _runners)
def test_after_the_plan_was_carried_out_there_is_nothing_more_to_do(
    demands: list[Demand], runners: list[RunnerRecord]
) -> None:
    first = planned(demands, runners)
    started = [own(start.demand.job_id, 9, gpu=start.demand.shape.gpu is not None) for start in first.starts]
    left = [each for each in runners if each not in first.surplus]

    assert planned(demands, [*left, *started]) == Plan((), (), ())
    assert all(each.idle for each in first.surplus)


@pytest.mark.parametrize(("age", "left"), [(0.0, True), (9.9, True), (10.1, False), (-5.0, True)])
def test_a_young_runner_whose_job_and_claim_are_not_seen_yet_is_left(age: float, *, left: bool) -> None:
    """Another process had written all three; a read showed the runner, the two others lagged, and it was ended."""
    young = msgspec.structs.replace(own(state=RunnerState.STARTING), started_at=NOW - age)
    made = planned([], [young])

    assert (made.starting, made.surplus) == (((young,), ()) if left else ((), (young,)))


def _seat(number: int = 0) -> int:
    return FIRST_SEAT + number


def test_seats_come_after_jobs_and_take_no_runner_from_them() -> None:
    waits = own(_seat())
    served = planned([demand(11, at=NOW), demand(_seat())], [waits])

    assert [start.demand.job_id for start in served.starts] == [_seat()]
    assert served.surplus == ()
    # The runner of a job that is over is none that waits: its sandbox does not live for that.
    assert planned([demand(_seat())], [own(11)]).surplus == (own(11),)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_seat_without_a_runner_does_not_take_anothers_own(order: tuple[int, int]) -> None:
    """Of two seats one was being launched elsewhere; the other took its runner, and it got a second one."""
    made = planned([demand(_seat(n)) for n in order], [own(_seat(1))], {f"{_seat(1)}-1": Claim("a", NOW)})

    assert [start.key for start in made.starts] == [f"{_seat(0)}-1"]


def test_a_runner_that_waits_too_long_or_was_made_by_another_deployment_is_replaced() -> None:
    old = msgspec.structs.replace(own(_seat()), started_at=NOW - 12 * 3600)
    other = msgspec.structs.replace(own(_seat()), release="other")

    for each in (old, other):
        plan_ = planned([demand(_seat())], [each])
        assert plan_.surplus == (each,)
        assert [start.attempt for start in plan_.starts] == [1]


def test_a_job_that_waits_for_long_is_not_left_to_a_runner_that_waits() -> None:
    assert planned([demand(11, at=NOW - 80)], [own(_seat())]).starts == ()
    assert [start.demand.job_id for start in planned([demand(11, at=NOW - 100)], [own(_seat())]).starts] == [11]


def test_who_gives_way_holds_the_slot_that_is_missing_and_is_no_longer_being_launched() -> None:
    seats = [demand(_seat(n)) for n in range(3)]
    idle = [
        msgspec.structs.replace(own(_seat(n)), slots=(f"profile:{profile}/1", f"*/{n}"))
        for n, profile in enumerate(("a", "b"))
    ]
    starting = msgspec.structs.replace(own(_seat(2)), state=RunnerState.STARTING, slots=("profile:c/1",))
    claims = {f"{_seat(2)}-1": Claim("x", NOW - 1)}
    seated = planned(seats, [*idle, starting], claims).seated

    assert set(seated) == set(idle)
    assert giving_way(["profile:b"], seated, {}) == [("profile:b", idle[1])]
    assert giving_way(["profile:c"], seated, {}) == []
    assert giving_way(["*", "*", "*"], seated, {idle[0].name: "*"}) == [("*", idle[1])]
    # What is on its way for another cap does not count.
    assert giving_way(["*"], seated, {"modal-9-1": "profile:b"}) == [("*", idle[0])]
