"""What the sweep does when parts of the world fail, and how far it reads."""

import asyncio
import contextlib

import httpx
import modal
import msgspec
from grpclib import GRPCError, Status

from github_app.model import Action, JobEvent, JobRecord, JobState, Scope
from github_app.runners.admitting import GPU_CREATES_AT_ONCE
from github_app.runners.write_limit import WriteBudget
from github_app.simulator.github.auth import ApiError
from github_app.simulator.github.state import Repository
from github_app.store import ALLOWANCES, JOBS, RUNNERS, SEEN, SLOTS
from github_app.store.notes import Allowance, ReadingPosition
from github_app.sweep.read_budget import ReadBudget, Spent
from tests.worlds.clocks import standing_clock
from tests.worlds.steps import JIT, JOB, unborn
from tests.worlds.universe import GPU, PLAIN, Script, Universe, universe

RUNS = "GET /repos/{owner}/{repo}/actions/runs"
INSTALLATIONS = "GET /app/installations"


def _used(it: Universe) -> int:
    return it.github.limits.used(f"installation {it.installation.id}")


def _push_unheard(it: Universe, name: str, repository: Repository | None = None) -> None:
    """A job whose delivery is lost without a trace."""
    it.script.lose_deliveries = True
    it.push({name: (PLAIN, 5)}, repository)
    it.script.lose_deliveries = False


def _record(it: Universe, name: str, state: JobState, runner: str | None = None) -> JobRecord:
    """What we would believe of a job, of long ago."""
    job = it.job(name)
    long_ago = it.clock.now() - 3600
    event = JobEvent(
        action=Action.QUEUED,
        job_id=job.id,
        run_id=job.run.id,
        run_attempt=1,
        job_name=name,
        labels=PLAIN,
        repository=it.repository.full_name,
        repository_id=it.repository.id,
        private=True,
        scope=Scope(it.organization.login),
        installation_id=it.installation.id,
    )
    return JobRecord(event, state, long_ago, long_ago, runner)


async def test_a_repository_that_cannot_be_read_does_not_keep_others_from_being_read() -> None:
    async with universe() as it:
        other = it.github.world.add_repository(it.organization, "other")
        _push_unheard(it, "here")
        _push_unheard(it, "there", other)
        it.script.fail[RUNS] = [ApiError(500, "Server Error")]
        first = await it.sweep()
        await it.until(lambda: len(it.sandboxes()) == 1)
        await it.sweep()
        await it.until_done()

        assert any("runs of octo-org/" in problem for problem in first.problems)
        assert {job.conclusion for job in it.github.jobs()} == {"success"}


async def test_without_a_list_of_installations_what_is_recorded_is_still_swept() -> None:
    async with universe() as it:
        _push_unheard(it, "job")
        await it.store.put(JOBS, str(it.job("job").id), _record(it, "job", JobState.QUEUED))
        it.script.fail[INSTALLATIONS] = [ApiError(501, "Not Implemented")]
        report = await it.sweep()
        await it.until_done()

        assert any("installations" in problem for problem in report.problems)


async def test_a_job_that_github_does_not_know_twice_is_waited_for_no_longer() -> None:
    async with universe() as it:
        _push_unheard(it, "job")
        job = it.job("job")
        await it.store.put(JOBS, str(job.id), _record(it, "job", JobState.RUNNING, "modal-1-1"))
        del it.github.world.jobs[job.id]
        job.run.jobs.remove(job)
        await it.sweep()
        once = await it.store.get(JOBS, str(job.id))
        await it.clock.sleep(60)
        await it.sweep()

        assert once is not None
        assert await it.store.get(JOBS, str(job.id)) is None


async def test_one_404_for_a_job_changes_nothing() -> None:
    async with universe() as it:
        _push_unheard(it, "job")
        await it.store.put(JOBS, str(it.job("job").id), _record(it, "job", JobState.QUEUED))
        it.script.fail[JOB] = [ApiError(404, "Not Found")]
        await it.sweep()
        await it.until_done()

        assert it.job("job").conclusion == "success"


async def test_a_job_that_github_has_put_back_into_the_queue_is_served() -> None:
    async with universe() as it:
        _push_unheard(it, "job")
        await it.store.put(JOBS, str(it.job("job").id), _record(it, "job", JobState.RUNNING, "modal-1-1"))
        await it.sweep()
        await it.until_done()

        assert it.job("job").conclusion == "success"


async def test_a_job_on_a_runner_that_is_gone_is_shown_as_stuck_at_github() -> None:
    async with universe() as it:
        it.push({"job": (PLAIN, 7200)})
        await it.until(lambda: it.job("job").status == "in_progress")
        await it.github.webhooks.settle()
        it.modal.kill(it.sandboxes()[0].id)
        await it.until(lambda: not it.sandboxes(running=True))
        first, second = await it.sweep(), await it.sweep()

        assert first.died_during_job == 1
        assert str(it.job("job").id) in first.deaths[0]
        assert "cancel it and run it again" in second.stuck[0]


async def test_a_record_that_cannot_be_read_is_told_of_and_holds_nothing_up() -> None:
    async with universe() as it:
        for kind in ("runners", "jobs", "claims"):
            records = modal.Dict.from_name(f"modal-runner-{kind}", create_if_missing=True, client=it.client)
            await records.put.aio("7-1", b'{"state": "of a newer version"}')
        _push_unheard(it, "job")
        report = await it.sweep()
        await it.until_done()

        assert "unreadable record: runners/7-1" in report.problems


async def test_a_version_that_github_refuses_is_known_to_every_process_until_another_is_deployed() -> None:
    async with universe() as it:
        it.script.conducts = ["exit-7"]
        it.push({"job": (PLAIN, 5)})
        await it.until(lambda: bool(it.sandboxes()) and not it.sandboxes(running=True))
        await it.sweep()
        async with it.another_process() as second, it.another_process(runner_version="99.0.0") as redeployed:
            await second.sandboxes.prepare()
            stopped, again = await second.sweep.run(), await redeployed.service.stopped()
        # Which sweep was told it first depends on when the launch was recorded; the others ask the store by then.
        await it.clock.sleep(31)
        async with httpx.AsyncClient() as client:
            health = (await client.get(str(it.app.hook_url).replace("/webhook", "/healthz"))).json()

        assert "set RUNNER_VERSION" in (stopped.stopped or "")
        assert again is None
        assert health["status"] == "stopped"
        assert len(it.sandboxes()) == 1


async def test_a_launch_that_was_put_off_is_tried_again_in_time_with_no_sweep_at_all() -> None:
    async with universe() as it:
        it.script.fail[JIT] = [ApiError(500, "Server Error")] * 6
        it.push({"job": (PLAIN, 5)})
        await it.until_done()

        assert it.job("job").conclusion == "success"


async def test_the_store_failing_at_admission_costs_a_wait_with_no_sweep_at_all() -> None:
    async with universe() as it:
        await it.store.all(JOBS)

        class LosesClaims:
            left = 3

            async def before(self, rpc: str, request: object) -> None:
                # A claim is what is put with the time of its renewal.
                if rpc == "DictUpdate" and b"renewed_at" in request.updates[0].value and self.left:  # type: ignore[attr-defined]
                    self.left -= 1
                    raise GRPCError(Status.PERMISSION_DENIED, "injected")

            async def after(self, *_: object) -> None: ...

        it.modal.interceptor = LosesClaims()
        it.push({"job": (PLAIN, 5)})
        await it.until_done()

        assert it.job("job").conclusion == "success"


async def test_an_event_that_makes_no_sense_is_parked_and_reported_and_not_asked_for_again() -> None:
    async with universe() as it:
        broken = it.github.shapes.job_event("queued", unborn(it), it.installation)
        broken["workflow_job"]["labels"] = [None]
        it.github.webhooks.send(it.installation, "workflow_job", broken, it.repository.id)
        await it.github.webhooks.settle()
        report = await it.sweep()

        assert (report.parked, report.redelivered) == (1, 0)


async def test_jobs_over_a_cap_are_reported_with_that_reason() -> None:
    async with universe(settings={"max_concurrent": 1}) as it:
        it.push({"first": (PLAIN, 1800)})
        await it.until(lambda: it.job("first").status == "in_progress")
        it.push({"second": (PLAIN, 5)})
        await it.github.webhooks.settle()
        report = await it.sweep()

        assert (report.started, report.waiting) == (0, 1)
        assert "the cap of all runners is reached (MAX_CONCURRENT)" in report.waits[0]


async def test_a_dry_run_says_how_many_would_start_and_how_many_which_cap_holds() -> None:
    async with universe(settings={"max_concurrent_per_repo": 1}) as it:
        it.push({"first": (PLAIN, 36000)})
        await it.until(lambda: it.job("first").status == "in_progress")
        it.push({"second": (PLAIN, 5), "third": (PLAIN, 5), "fourth": (PLAIN, 5)})
        await it.github.webhooks.settle()
        async with it.another_process(max_concurrent_per_repo=3) as raised:
            found = await raised.sweep.run(dry_run=True)

        assert (found.started, found.held_by_caps, found.waiting) == (2, 1, 1)
        assert f"job {it.job('fourth').id} of" in found.waits[0]
        assert "(3 of 3, MAX_CONCURRENT_PER_REPO)" in found.waits[0]
        assert len(it.sandboxes()) == 1


async def test_of_many_repositories_each_has_its_turn_within_a_tenth_of_githubs_limit() -> None:
    async with universe() as it:
        for number in range(50):
            it.github.world.add_repository(it.organization, f"quiet-{number:02}")
        _push_unheard(it, "job", it.github.world.add_repository(it.organization, "zz-last"))
        began, before, sweeps = it.clock.now(), _used(it), 0
        while not it.sandboxes():
            await it.sweep()
            sweeps += 1
            await it.clock.sleep(60)
            assert sweeps < 20
        minutes = (it.clock.now() - began) / 60

        # Not in the first sweep: 52 repositories cost two calls each, and 60 may be made at once.
        assert sweeps > 1
        # The token's exchange, the group and the JIT config are not the sweep's.
        assert _used(it) - before <= 60 + 8.4 * minutes + 5


async def test_repositories_that_had_jobs_of_ours_are_read_before_all_others() -> None:
    async with universe() as it:
        for number in range(40):
            it.github.world.add_repository(it.organization, f"quiet-{number:02}")
        active = it.github.world.add_repository(it.organization, "zz-active")
        it.push({"heard": (PLAIN, 5)}, active)
        await it.until_done()
        _push_unheard(it, "unheard", active)
        await it.sweep()
        await it.until_done()

        assert it.job("unheard").conclusion == "success"


async def test_a_delivery_that_github_lists_late_is_still_asked_for() -> None:
    async with universe() as it:
        it.script.break_deliveries = True
        it.push({"late": (PLAIN, 5)})
        it.push({"timely": (PLAIN, 5)})
        await it.github.webhooks.settle()
        it.script.break_deliveries = False
        deliveries = it.github.world.deliveries
        late = min(number for number, each in deliveries.items() if each.event == "workflow_job")
        kept = deliveries.pop(late)
        await it.sweep()
        deliveries[late] = kept
        before = len(deliveries)
        await it.sweep()
        await it.github.webhooks.settle()

        assert [each.guid for each in list(deliveries.values())[before:] if each.redelivery] == [kept.guid]


async def test_jobs_that_are_not_ours_are_read_and_leave_no_record() -> None:
    async with universe() as it:
        it.push({"theirs": (("ubuntu-latest",), 5)})
        report = await it.sweep()

        assert report.jobs_read == 1
        assert await it.store.all(JOBS) == {}
        assert await it.store.all(SEEN) == {}


async def test_no_more_gpu_creations_than_allowed_are_under_way_at_once() -> None:
    async with universe() as it:
        at_once = most = 0

        class Counts:
            async def before(self, rpc: str, _request: object) -> None:
                nonlocal at_once, most
                if rpc.startswith("SandboxCreate"):
                    at_once += 1
                    most = max(most, at_once)
                    await asyncio.sleep(0.2)

            async def after(self, rpc: str, *_: object) -> None:
                nonlocal at_once
                at_once -= rpc.startswith("SandboxCreate")

        it.modal.interceptor = Counts()
        it.push({f"train-{number}": (GPU, 5) for number in range(12)})
        await it.until_done()

        assert most == GPU_CREATES_AT_ONCE


async def test_a_delivery_cut_off_after_its_record_works_again_when_it_is_redelivered() -> None:
    async with universe() as it:
        _push_unheard(it, "job")
        await it.store.put(JOBS, str(it.job("job").id), _record(it, "job", JobState.QUEUED))
        payload = it.github.shapes.job_event("queued", it.job("job"), it.installation)
        it.github.webhooks.send(it.installation, "workflow_job", payload, it.repository.id)
        await it.until_done()

        assert it.job("job").conclusion == "success"


async def test_github_failing_after_each_registration_is_no_storm() -> None:
    async with universe() as it:
        it.script.fail_after[JIT] = [ApiError(502, "Server Error")] * 1000
        it.push({"job": (PLAIN, 5)})
        await it.clock.sleep(300)

        assert it.github.calls[JIT] < 40


async def test_a_runner_that_may_still_get_its_sandbox_keeps_its_slot() -> None:
    """The answer to SandboxCreate is lost, and the lookup that follows finds nothing yet; then the job runs."""
    async with universe(settings={"max_concurrent": 1}, script=Script(busy_lag_s=60)) as it:

        class AnswersLost:
            finds = 0

            async def before(self, rpc: str, _request: object) -> None:
                if rpc.startswith("SandboxGetFromName") and self.finds < 4:
                    self.finds += 1
                    raise GRPCError(Status.NOT_FOUND, "not yet")

            async def after(self, rpc: str, *_: object) -> None:
                if rpc.startswith("SandboxCreate"):
                    raise GRPCError(Status.INTERNAL, "injected")

        it.modal.interceptor = AnswersLost()
        it.push({"job": (PLAIN, 240)})
        await it.until(lambda: it.job("job").status == "in_progress")
        held = await it.store.all(SLOTS)
        await it.until_done(sweeping=True)

        assert len(held) == 1
        assert it.github.deregistered_at_work == 0
        assert it.job("job").conclusion == "success"


async def test_a_busy_runner_without_a_sandbox_gives_its_slot_back() -> None:
    async with universe(settings={"max_concurrent": 1}) as it:
        it.push({"job": (PLAIN, 7200)})
        await it.until(lambda: it.job("job").status == "in_progress")
        await it.github.webhooks.settle()
        (name,) = await it.records()
        record = await it.store.get(RUNNERS, name)
        assert record is not None
        it.modal.kill(it.sandboxes()[0].id)
        await it.until(lambda: not it.sandboxes(running=True))
        await it.store.put(RUNNERS, name, msgspec.structs.replace(record, sandbox_id=None))
        for _ in range(3):
            await it.sweep()
            await it.clock.sleep(60)

        assert await it.store.all(SLOTS) == {}


async def test_jobs_of_an_installation_that_is_gone_are_waited_for_no_longer() -> None:
    async with universe() as it:
        _push_unheard(it, "job")
        gone = msgspec.structs.replace(_record(it, "job", JobState.QUEUED).event, installation_id=4242, job_id=7)
        await it.store.put(JOBS, "7", JobRecord(gone, JobState.QUEUED, it.clock.now()))
        await it.sweep()
        await it.clock.sleep(60)
        await it.sweep()

        assert await it.store.get(JOBS, "7") is None


async def test_reading_many_repositories_goes_on_at_the_page_where_it_ended() -> None:
    async with universe() as it:
        for number in range(230):
            it.github.world.add_repository(it.organization, f"quiet-{number:03}")
        _push_unheard(it, "job", it.github.world.add_repository(it.organization, "zz-last"))
        # As after some sweeps: of 231 repositories the first 200 have had their turn.
        ended = Allowance(0.0, it.clock.now() - 600, ReadingPosition(repositories=3, other="octo-org/quiet-195"))
        await it.store.put(ALLOWANCES, str(it.installation.id), ended)
        sweeps = 0
        while not it.sandboxes():
            await it.sweep()
            sweeps += 1
            await it.clock.sleep(60)
            assert sweeps < 5

        assert sweeps > 1


async def test_a_long_list_of_runners_is_read_though_the_queues_leave_nothing() -> None:
    async with universe() as it:
        minutes, clock = [], standing_clock(it.clock.now())
        await it.store.put(ALLOWANCES, "1", Allowance(0.0, clock.now(), listing=10, listed_at=clock.now()))
        for minute in range(12):
            assert clock.hand is not None
            clock.hand[0] += 60
            budget = ReadBudget(it.store, 1, 1.0, WriteBudget(it.store, clock).reserve_reads, clock)
            await budget.open()
            if budget.may_list:
                budget.charge_listing(10)
                minutes.append(minute)
            with contextlib.suppress(Spent):
                while True:
                    await budget.spend()
            await budget.close()

        # Half of the 7.3 calls that come in a minute pay for ten calls each third minute.
        assert len(minutes) in {3, 4}
