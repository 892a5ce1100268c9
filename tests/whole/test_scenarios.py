"""Every job gets exactly one runner, whatever happens: the cases that hurt users of other runners, one by one.

The table at the end names each case and the test that covers it, or why it cannot reach us.
"""

import asyncio
from collections import Counter

import msgspec
import pytest
from grpclib import GRPCError, Status

from github_app.model import RunnerState
from github_app.runners import admission_queue
from github_app.simulator.github.auth import ApiError
from github_app.simulator.github.faults import Hangup
from github_app.simulator.modal import Limits
from github_app.store import JOBS, RUNNERS
from tests.worlds.records import job
from tests.worlds.steps import JIT, unborn
from tests.worlds.universe import GPU, PLAIN, Script, Universe, universe

LIST = "GET /orgs/{org}/actions/runners"
DELETE = "DELETE /orgs/{org}/actions/runners/{runner_id}"


class CreateFails:
    """Fails the next creations of sandboxes, before or after they took effect."""

    def __init__(self, status: Status, times: int, *, after: bool = False) -> None:
        self._status, self._left, self._after = status, times, after

    def _fail(self, rpc: str) -> None:
        if rpc.startswith("SandboxCreate") and self._left:
            self._left -= 1
            raise GRPCError(self._status, "injected")

    async def before(self, rpc: str, _request: object) -> None:
        if not self._after:
            self._fail(rpc)

    async def after(self, rpc: str, _request: object, _response: object) -> None:
        if self._after:
            self._fail(rpc)


async def _all_went_well(it: Universe, *, sweeping: bool = False) -> None:
    await it.until_done(sweeping=sweeping)
    await it.until_nothing_is_left(sweeping=sweeping)

    assert all(job.conclusion == "success" for job in it.github.jobs()), it.describe()


async def test_a_gpu_job_whose_runner_a_plain_job_took_gets_another_and_the_surplus_is_ended() -> None:
    async with universe() as it:
        it.push({"train": (GPU, 30)})
        await it.until(lambda: bool(it.sandboxes()))
        # The plain job comes while only the GPU runner is there, which fits it.
        it.push({"test": (PLAIN, 60)})
        await _all_went_well(it)

        assert it.job("train").runner is not it.job("test").runner


async def test_equal_jobs_that_swap_runners_cost_no_extra_sandbox() -> None:
    async with universe() as it:
        it.push({f"job-{n}": (PLAIN, 20) for n in range(6)})
        await _all_went_well(it)

        assert len(it.sandboxes()) == 6


async def test_a_job_survives_modal_failing_to_create_its_sandbox() -> None:
    async with universe() as it:
        it.modal.interceptor = CreateFails(Status.INTERNAL, times=2)
        it.push({"job": (PLAIN, 5)})
        await _all_went_well(it, sweeping=True)


async def test_a_sandbox_whose_creation_was_answered_with_an_error_is_found_and_used() -> None:
    async with universe() as it:
        it.modal.interceptor = CreateFails(Status.INTERNAL, times=1, after=True)
        it.push({"job": (PLAIN, 120)})
        await _all_went_well(it)

        assert len(it.sandboxes()) == 1


async def test_a_throttled_creation_waits_and_is_tried_again() -> None:
    async with universe() as it:
        it.modal.interceptor = CreateFails(Status.RESOURCE_EXHAUSTED, times=2)
        it.push({"job": (PLAIN, 5)})
        await _all_went_well(it, sweeping=True)


async def test_one_wrong_404_of_github_costs_a_wait_and_not_the_job() -> None:
    async with universe() as it:
        it.script.fail[JIT] = [ApiError(404, "Not Found")]
        it.push({"job": (PLAIN, 5)})
        await _all_went_well(it, sweeping=True)


async def test_a_job_is_retried_for_as_long_as_github_answers_errors() -> None:
    async with universe() as it:
        it.script.fail[JIT] = [ApiError(502, "Server Error") for _ in range(9)]
        it.push({"job": (PLAIN, 5)})
        await _all_went_well(it, sweeping=True)


async def test_a_lost_answer_to_the_jit_request_leaves_no_runner_behind() -> None:
    async with universe() as it:
        it.script.fail_after[JIT] = [Hangup()]
        it.push({"job": (PLAIN, 5)})
        await _all_went_well(it, sweeping=True)

        assert it.job("job").runner is not None
        assert len(it.sandboxes()) == 1


async def test_a_runner_that_never_comes_online_is_ended_and_replaced() -> None:
    async with universe() as it:
        it.script.conducts = ["never-online"]
        it.push({"job": (PLAIN, 5)})
        await _all_went_well(it, sweeping=True)

        assert [view.ended_by for view in it.sandboxes()] == ["terminated", "exit"]


async def test_a_runner_that_ends_without_a_job_is_replaced() -> None:
    async with universe() as it:
        it.script.conducts = ["exit-0"]
        it.push({"job": (PLAIN, 5)})
        await _all_went_well(it, sweeping=True)

        assert len(it.sandboxes()) == 2


async def test_a_ghost_that_github_has_forgotten_is_ended_and_its_job_served() -> None:
    async with universe() as it:
        it.script.conducts = ["ghost"]
        it.push({"job": (PLAIN, 5)})
        await _all_went_well(it, sweeping=True)


async def test_a_sandbox_that_dies_before_its_job_is_replaced() -> None:
    async with universe() as it:
        it.script.conducts = ["never-online"]
        it.push({"job": (PLAIN, 5)})
        await it.until(lambda: bool(it.sandboxes()))
        it.modal.kill(it.sandboxes()[0].id)
        await _all_went_well(it, sweeping=True)


async def test_the_slot_of_a_sandbox_that_died_during_its_job_is_freed() -> None:
    async with universe(settings={"max_concurrent_per_repo": 1}) as it:
        it.push({"dies": (PLAIN, 600)})
        await it.until(lambda: it.job("dies").status == "in_progress")
        it.push({"next": (PLAIN, 5)})
        it.modal.kill(it.sandboxes()[0].id)
        await it.until_done("next", sweeping=True)

        assert it.job("next").conclusion == "success"


async def test_over_the_cap_jobs_wait_and_start_oldest_first() -> None:
    async with universe(settings={"max_concurrent_per_repo": 2}) as it:
        for n in range(5):
            it.push({f"job-{n}": (PLAIN, 30)})
            await it.github.webhooks.settle()
        most = 0

        def done() -> bool:
            nonlocal most
            most = max(most, sum(job.status == "in_progress" for job in it.github.jobs()))
            return all(job.status == "completed" for job in it.github.jobs())

        await it.until(done)
        started = sorted(it.github.jobs(), key=lambda job: job.started_at or 0)

        assert most == 2
        assert [job.instance.name for job in started][2:] == ["job-2", "job-3", "job-4"]


async def test_many_capped_jobs_of_one_repository_do_not_hide_another_repository(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(admission_queue, "MOST_STARTS", 3)
    async with universe(settings={"max_concurrent_per_repo": 1}) as it:
        other = it.github.world.add_repository(it.organization, "other")
        it.push({f"crowd-{n}": (PLAIN, 7200) for n in range(8)})
        await it.github.webhooks.settle()
        it.push({"other": (PLAIN, 5)}, other)
        await it.until(lambda: it.job("other").status == "completed" or len(it.sandboxes()) >= 2)

        assert {view.tags["repo"] for view in it.sandboxes()} == {"octo-org.octo-repo", "octo-org.other"}


async def test_the_global_cap_holds_over_repositories() -> None:
    async with universe(settings={"max_concurrent": 1}) as it:
        other = it.github.world.add_repository(it.organization, "other")
        it.push({"one": (PLAIN, 20)})
        it.push({"two": (PLAIN, 20)}, other)
        await _all_went_well(it)
        first, second = sorted(it.github.jobs(), key=lambda job: job.started_at or 0)

        assert (second.started_at or 0) >= (first.completed_at or 0)


async def test_a_runner_that_came_online_just_now_is_not_ended_for_having_been_started_long_ago() -> None:
    async with universe() as it:
        it.push({"elsewhere": (("self-hosted", "other"), 5)})
        # A job that we know of and that GitHub gives to nobody: its runner idles.
        waits = job(labels=PLAIN, installation_id=it.installation.id, repository=it.repository.full_name)
        now = it.clock.now()
        await it.store.put(JOBS, "11", msgspec.structs.replace(waits, recorded_at=now, changed_at=now))
        await it.parts.reconciler.reconcile()
        await it.until(lambda: any(runner.online for runner in it.runners()))
        record = await it.store.get(RUNNERS, "modal-11-1")
        assert record is not None
        long_ago = msgspec.structs.replace(record, started_at=now - 3600)
        await it.store.put(RUNNERS, "modal-11-1", long_ago)
        report = await it.sweep()

        assert report.runners_ended == 0
        assert len(it.sandboxes(running=True)) == 1


async def test_a_working_runner_of_whose_job_we_were_never_told_is_not_ended_at_its_deadline() -> None:
    async with universe(script=Script(busy_lag_s=60)) as it:
        it.push({"job": (PLAIN, 300)})
        await it.until(lambda: bool(it.sandboxes()))
        it.script.lose_deliveries = True
        await it.until(lambda: it.job("job").status == "in_progress")
        (name,) = await it.records()
        record = await it.store.get(RUNNERS, name)
        assert record is not None
        idle = msgspec.structs.replace(
            record, state=RunnerState.STARTED, online_since=it.clock.now() - 3600, runs_job=None
        )
        await it.store.put(RUNNERS, name, idle)
        await it.sweep()
        await it.until_done()

        assert it.job("job").conclusion == "success"


async def test_the_idle_runner_of_a_cancelled_job_is_deregistered_before_its_sandbox_is_terminated() -> None:
    async with universe() as it:
        it.script.conducts = ["never-online"]
        it.push({"job": (PLAIN, 5)})
        await it.until(lambda: bool(it.sandboxes()))
        await it.github.webhooks.settle()
        it.github.actions.cancel(it.job("job"))
        await it.until_nothing_is_left(sweeping=True)
        runner = next(iter(it.github.world.all_runners.values()))
        (view,) = it.sandboxes()

        assert view.ended_by == "terminated"
        assert runner.removed_at is not None
        assert it.github.calls[DELETE] >= 1


async def test_a_runner_that_took_another_job_survives_the_cancellation_of_the_one_it_was_made_for() -> None:
    """GitHub's `busy` lags, so that its DELETE goes through: only the witness knows."""
    async with universe(script=Script(busy_lag_s=60)) as it:
        it.push({"first": (PLAIN, 5)})
        await it.until(lambda: bool(it.sandboxes()))
        it.push({"thief": (PLAIN, 90)})
        await it.until(lambda: any(job.status == "in_progress" for job in it.github.jobs()))
        waiting = [job for job in it.github.jobs() if job.status == "queued"]
        for job in waiting:
            it.github.actions.cancel(job)
        await it.until_done(sweeping=True)

        assert all(job.conclusion == "success" for job in it.github.jobs() if job not in waiting), it.describe()


async def test_jobs_whose_webhooks_were_lost_without_a_trace_are_found_by_the_sweep() -> None:
    async with universe() as it:
        it.script.lose_deliveries = True
        it.push({"job": (PLAIN, 5)})
        await _all_went_well(it, sweeping=True)


async def test_deliveries_that_github_failed_to_hand_over_are_asked_for_again_once() -> None:
    async with universe() as it:
        it.script.break_deliveries = True
        it.push({"job": (PLAIN, 5)})
        await it.github.webhooks.settle()
        it.script.break_deliveries = False
        first, second = await it.sweep(), await it.sweep()
        await it.until_done()

        assert (first.redelivered, second.redelivered) == (1, 0)


async def test_a_delivery_that_fails_for_ever_is_asked_for_once_by_however_many_sweeps() -> None:
    async with universe() as it:
        it.script.break_deliveries = True
        it.push({"job": (PLAIN, 5)})
        await it.github.webhooks.settle()
        for _ in range(4):
            await asyncio.gather(it.sweep(), it.sweep())
            await it.github.webhooks.settle()
        again = Counter(each.guid for each in it.github.world.deliveries.values() if each.redelivery)

        assert again
        assert set(again.values()) == {1}


async def test_another_deployments_online_runner_of_the_same_form_of_name_is_left_alone() -> None:
    async with universe() as it:
        group = it.github.world.groups["octo-org"][0]
        foreign = it.github.world.add_runner("modal-77-1", PLAIN, it.organization, group)
        foreign.online = True
        for _ in range(3):
            await it.sweep()
            await it.clock.sleep(60)

        assert it.runners() == [foreign]


async def test_a_runner_whose_sandbox_was_never_recorded_is_not_ended_while_it_works() -> None:
    """The app was killed between SandboxCreate and its record, and GitHub's `busy` lags."""
    async with universe(script=Script(busy_lag_s=60)) as it:
        it.push({"job": (PLAIN, 240)})
        await it.until(lambda: it.job("job").status == "in_progress")
        await it.github.webhooks.settle()
        (name,) = await it.records()
        runner = await it.store.get(RUNNERS, name)
        assert runner is not None
        await it.clock.sleep(5)
        forgotten = msgspec.structs.replace(runner, sandbox_id=None, state=RunnerState.STARTING)
        ended = await it.parts.endings.end(forgotten)
        await it.until_done(sweeping=True)

        assert not ended
        assert it.github.deregistered_at_work == 0
        assert it.job("job").conclusion == "success"


async def test_a_delivery_that_comes_days_late_starts_nothing_for_a_job_that_is_over() -> None:
    async with universe() as it:
        it.script.lose_deliveries = True
        it.push({"job": (PLAIN, 5)})
        it.github.actions.cancel(it.job("job"))
        it.script.lose_deliveries = False
        job = it.job("job")
        payload = it.github.shapes.job_event("queued", job, it.installation)
        payload["workflow_job"] |= {"status": "queued", "conclusion": None, "created_at": "2026-01-01T00:00:00Z"}
        it.github.webhooks.send(it.installation, "workflow_job", payload, it.repository.id)
        await it.github.webhooks.settle()
        await it.clock.sleep(30)

        assert not it.sandboxes()
        assert it.github.calls[JIT] == 0


async def test_two_sweeps_at_once_start_one_runner() -> None:
    async with universe() as it:
        it.script.lose_deliveries = True
        it.push({"job": (PLAIN, 5)})
        await asyncio.gather(it.sweep(), it.sweep(), it.sweep())
        await it.until_done()

        assert len(it.sandboxes()) == 1


async def test_a_dry_run_changes_nothing() -> None:
    async with universe() as it:
        it.script.lose_deliveries = True
        it.push({"job": (PLAIN, 5)})
        await it.github.webhooks.settle()
        before = it.modal.calls["DictUpdate"]
        report = await it.parts.sweep.run(dry_run=True)

        assert report.jobs_read == 1
        assert not it.sandboxes()
        assert it.modal.calls["DictUpdate"] == before


async def test_runners_and_sandboxes_that_are_not_ours_are_left_alone() -> None:
    async with universe() as it:
        group = it.github.world.groups["octo-org"][0]
        foreign = it.github.world.add_runner("build-box-7", ("self-hosted",), it.organization, group)
        for _ in range(3):
            await it.sweep()
            await it.clock.sleep(60)

        assert it.runners() == [foreign]


async def test_an_orphan_at_github_is_removed_only_after_a_second_look() -> None:
    async with universe(scale=2000) as it:
        group = it.github.world.groups["octo-org"][0]
        it.github.world.add_runner("modal-42-1", PLAIN, it.organization, group)
        await it.sweep()
        after_first = len(it.runners())
        await it.clock.sleep(2500)
        await it.sweep()

        assert (after_first, len(it.runners())) == (1, 0)


async def test_a_runner_missing_from_one_listing_is_not_ended() -> None:
    async with universe() as it:
        it.script.conducts = ["never-online"]
        it.push({"job": (PLAIN, 5)})
        await it.until(lambda: bool(it.sandboxes()))
        await it.github.webhooks.settle()
        (runner,) = it.runners()
        del it.github.world.runners[runner.id]
        await it.sweep()
        it.github.world.runners[runner.id] = runner
        await it.sweep()

        assert len(it.sandboxes(running=True)) == 1


async def test_an_outdated_runner_stops_launches_instead_of_storming() -> None:
    async with universe() as it:
        it.script.conducts = ["exit-7"]
        it.push({"job": (PLAIN, 5)})
        for _ in range(4):
            await it.sweep()
            await it.clock.sleep(60)

        assert len(it.sandboxes()) == 1


async def test_a_foreign_job_that_takes_a_runner_is_replaced_for() -> None:
    """A repository of the organisation whose jobs we are never told of."""
    async with universe() as it:
        it.script.lose_deliveries = True
        outside = it.github.world.add_repository(it.organization, "outside")
        it.push({"foreign": (PLAIN, 60)}, outside)
        it.script.lose_deliveries = False
        it.push({"ours": (PLAIN, 5)})
        await it.until_done(sweeping=True)

        assert it.job("ours").conclusion == "success"


async def test_an_event_that_makes_no_sense_does_not_hold_up_the_next() -> None:
    async with universe() as it:
        broken = it.github.shapes.job_event("queued", unborn(it), it.installation)
        broken["workflow_job"]["labels"] = [None]
        it.github.webhooks.send(it.installation, "workflow_job", broken, it.repository.id)
        it.push({"job": (PLAIN, 5)})
        await it.until_done("job")

        assert it.job("job").conclusion == "success"


async def test_deliveries_of_an_unknown_installation_are_refused() -> None:
    async with universe() as it:
        payload = it.github.shapes.job_event("queued", unborn(it), it.installation)
        payload["installation"]["id"] = 666
        payload["workflow_job"]["labels"] = ["modal"]
        it.github.webhooks.send(it.installation, "workflow_job", payload, it.repository.id)
        await it.github.webhooks.settle()

        assert '"refused"' in list(it.github.world.deliveries.values())[-1].response
        assert not it.sandboxes()


async def test_a_job_announced_twice_under_two_guids_gets_one_runner() -> None:
    async with universe() as it:
        it.push({"job": (PLAIN, 5)})
        payload = it.github.shapes.job_event("queued", it.job("job"), it.installation)
        it.github.webhooks.send(it.installation, "workflow_job", payload, it.repository.id)
        await _all_went_well(it)

        assert len(it.sandboxes()) == 1


@pytest.mark.parametrize("late", ["queued", "waiting", "in_progress"])
async def test_a_late_event_of_a_finished_job_starts_nothing(late: str) -> None:
    async with universe() as it:
        it.push({"job": (PLAIN, 5)})
        await it.until_done()
        await it.github.webhooks.settle()
        payload = it.github.shapes.job_event(late, it.job("job"), it.installation)
        it.github.webhooks.send(it.installation, "workflow_job", payload, it.repository.id)
        await it.github.webhooks.settle()
        await it.sweep()

        assert len(it.sandboxes()) == 1


async def test_a_delivery_that_could_not_be_recorded_works_when_it_is_redelivered() -> None:
    class DictIsDown:
        async def before(self, rpc: str, _request: object) -> None:
            if rpc == "DictUpdate":
                raise GRPCError(Status.INTERNAL, "injected")

        async def after(self, rpc: str, request: object, response: object) -> None:
            pass

    async with universe() as it:
        it.modal.interceptor = DictIsDown()
        it.push({"job": (PLAIN, 5)})
        await it.github.webhooks.settle()
        it.modal.interceptor = None
        report = await it.sweep()
        await it.until_done()

        assert report.redelivered == 1


async def test_a_busy_week_of_gpus_does_not_delay_a_plain_job() -> None:
    async with universe(limits=Limits(gpus=1)) as it:
        it.push({f"gpu-{n}": (GPU, 40) for n in range(3)} | {"plain": (PLAIN, 5)})
        await it.until_done("plain")
        waiting = sum(job.status == "queued" for job in it.github.jobs())
        await it.until_done(sweeping=True)

        assert waiting >= 1


async def test_a_refused_job_that_takes_a_runner_fails_in_the_sandbox_and_is_replaced_for() -> None:
    """A public repository that nobody named, in the same organisation: GitHub may give it any runner."""
    async with universe(settings={"allowed_repos": ("octo-org/*", "octo-org/named")}) as it:
        public = it.github.world.add_repository(it.organization, "octo-public", private=False)
        named = it.github.world.add_repository(it.organization, "named", private=False)
        it.github.world.groups["octo-org"][0].allows_public_repositories = True
        it.push({"stranger": (PLAIN, 5)}, public)
        it.push({"friend": (PLAIN, 5)}, named)
        await it.until_done("friend", "stranger", sweeping=True)
        await it.github.webhooks.settle()
        answers = [each.response for each in it.github.world.deliveries.values()]

        assert (it.job("friend").conclusion, it.job("stranger").conclusion) == ("success", "failure")
        assert any('"refused"' in answer and "ALLOWED_REPOS" in answer for answer in answers)


async def test_a_waiting_job_is_reported_with_its_reason() -> None:
    async with universe() as it:
        it.script.fail[JIT] = [ApiError(422, "Invalid runner group id.")]
        it.push({"job": (PLAIN, 5)})
        await it.until(lambda: it.github.calls[JIT] == 1)
        await it.clock.sleep(5)
        report = await it.sweep()

        assert "Invalid runner group id." in report.waits[0]


async def test_reading_what_has_not_changed_is_free() -> None:
    async with universe() as it:
        it.push({"elsewhere": (("self-hosted", "other"), 5)})
        await it.sweep()
        used = _used(it)
        await it.sweep()

        # Two lists of runners and repositories; runs and jobs come back as 304.
        assert _used(it) - used <= 2


def _used(it: Universe) -> int:
    return it.github.limits.used(f"installation {it.installation.id}")


async def test_a_quiet_job_costs_github_three_calls() -> None:
    """The token, the default group and the JIT config; the first two once for many jobs."""
    async with universe() as it:
        it.push({"first": (PLAIN, 5)})
        await it.until_done()
        before = sum(it.github.calls.values())
        it.push({"second": (PLAIN, 5)})
        await it.until_done()

        assert sum(it.github.calls.values()) - before == 1


# peers.md numbers the cases; here is what covers each.
CASES = {
    1: test_a_gpu_job_whose_runner_a_plain_job_took_gets_another_and_the_surplus_is_ended,
    2: test_a_job_survives_modal_failing_to_create_its_sandbox,
    3: test_one_wrong_404_of_github_costs_a_wait_and_not_the_job,
    4: test_a_job_is_retried_for_as_long_as_github_answers_errors,
    5: test_a_runner_that_took_another_job_survives_the_cancellation_of_the_one_it_was_made_for,
    6: test_a_runner_that_never_comes_online_is_ended_and_replaced,
    7: test_over_the_cap_jobs_wait_and_start_oldest_first,
    8: test_a_late_event_of_a_finished_job_starts_nothing,
    9: test_jobs_whose_webhooks_were_lost_without_a_trace_are_found_by_the_sweep,
    10: test_runners_and_sandboxes_that_are_not_ours_are_left_alone,
    11: test_a_runner_that_came_online_just_now_is_not_ended_for_having_been_started_long_ago,
    12: test_a_ghost_that_github_has_forgotten_is_ended_and_its_job_served,
    13: test_the_slot_of_a_sandbox_that_died_during_its_job_is_freed,
    14: test_an_outdated_runner_stops_launches_instead_of_storming,
    15: "no metrics are kept for each job",
    16: "covered by tests/github/test_adapter.py: labels go to GitHub exactly as the job wrote them",
    17: "containers in jobs are not offered yet",
    18: test_a_working_runner_of_whose_job_we_were_never_told_is_not_ended_at_its_deadline,
    19: test_a_runner_missing_from_one_listing_is_not_ended,
    20: test_an_event_that_makes_no_sense_does_not_hold_up_the_next,
    21: test_a_lost_answer_to_the_jit_request_leaves_no_runner_behind,
    22: test_a_quiet_job_costs_github_three_calls,
    23: test_deliveries_of_an_unknown_installation_are_refused,
    24: test_a_foreign_job_that_takes_a_runner_is_replaced_for,
    25: test_the_idle_runner_of_a_cancelled_job_is_deregistered_before_its_sandbox_is_terminated,
    26: "GitHub offers no way to bind a runner to a job; what follows from that is case 1",
}


def test_each_of_the_26_cases_is_covered_or_explained() -> None:
    assert list(CASES) == list(range(1, 27))
