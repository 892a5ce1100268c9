"""`modal-runner jobs` and `modal-runner cost`: where time and money went."""

import json
import math

import modal
import msgspec
import pytest

from github_app.model import JobRecord, JobState, Ran
from github_app.routing.catalog import GPUS
from github_app.store import HISTORY, RUNNERS, SUMS, ModalDictStore
from github_app.views.cost import summed
from github_app.views.jobs import line_of, read_jobs, wanted
from tests.worlds.records import job
from tests.worlds.steps import command
from tests.worlds.universe import GPU, PLAIN, universe

_RAN = Ran("modal-11-1", 11, "sb-1", 2.0, 2048, "H100", None, "train", 4.0, 1003.0, 1005.0)


async def test_each_phase_of_a_job_is_kept_with_what_it_ran_on_and_one_that_runs_has_its_cost_so_far() -> None:
    async with universe() as it:
        it.push({"short": (GPU, 30), "long": (PLAIN, 3600), "never": (("modal", "gpu:nope"), 1)})
        await it.until_done("short")
        await it.until(lambda: it.job("long").status == "in_progress")
        await it.github.webhooks.settle()
        lines = {line.name: line for line in await read_jobs(it.store, it.clock.now())}
        short, long = lines["short"], lines["long"]

        assert set(lines) == {"short", "long"}
        assert list(short.phases) == ["received", "jit_issued", "sandbox_created", "in_progress", "completed"]
        # Of GitHub's times only whole seconds are told.
        assert sorted(short.phases.values()) == pytest.approx(list(short.phases.values()), abs=1.01)
        assert (short.state, short.conclusion) == ("done", "success")
        assert short.machine == "H100, 2 vCPU, 2g"
        assert short.sandbox == next(view.id for view in it.sandboxes() if view.name == short.runner)
        assert (short.ran_s or 0) >= 29
        assert (short.usd or 0) > GPUS["h100"].usd_per_s * 29
        assert (long.state, long.machine, long.completed_at) == ("running", "2 vCPU, 2g", None)
        assert (long.usd or 0) > 0

        code, output, errors = await command(it, "jobs", "--json", "--since", "7d")
        assert code == 0, errors
        known = await read_jobs(it.store, it.clock.now())
        assert [each["name"] for each in json.loads(output)] == [line.name for line in known]
        shown = await command(it, "jobs", "--since", "7d", "--state", "success", COLUMNS="80")
        assert "short" in shown[1]
        assert "long" not in shown[1]
        # For each minute that has begun, on its runner of 2 vCPU and 8 GiB; it has none with an H100.
        told = {each["name"]: each["github_usd"] for each in json.loads(output)}
        assert told["short"] is None
        assert told["long"] == pytest.approx(0.006 * math.ceil((long.ran_s or 0) / 60), abs=0.013)
        csv = await command(it, "cost", "--since", "7d", "--by", "shape", "--csv")
        assert csv[1].splitlines()[0] == "key,jobs,failures,minutes,usd,github_usd,compared_usd"
        assert '"H100, 2 vCPU, 2g",1,0,' in csv[1]
        assert (await command(it, "jobs", "--state", "nonsense"))[0] == 2
        assert (await command(it, "cost", "--since", "soon"))[0] == 2


async def test_a_job_that_is_over_is_forgotten_after_seven_days_by_whoever_reads_of_it(client: modal.Client) -> None:
    """Modal forgets what nobody reads, and `jobs` and `status` read it as the dashboard does."""
    store, now = ModalDictStore("app", client), 1e9
    for number, days in ((1, 6.9), (2, 7.1), (3, 300)):
        ended = msgspec.structs.replace(job(JobState.DONE, job_id=number), completed_at=now - days * 86400)
        await store.put(HISTORY, str(number), ended)

    assert [line.id for line in await read_jobs(store, now)] == [1]
    assert set(await store.all(HISTORY)) == {"1"}


async def test_a_job_whose_runner_died_keeps_its_machine_and_costs_no_more_than_its_sandbox_did() -> None:
    async with universe(scale=150.0) as it:
        it.push({"dies": (GPU, 36000)})
        await it.until(lambda: it.job("dies").status == "in_progress")
        job, began_at = it.job("dies"), it.clock.now()
        # Until its sandbox is recorded.
        await it.clock.sleep(60)
        it.modal.kill(it.sandboxes()[0].id)
        lived_s = it.clock.now() - began_at
        for _ in range(5):
            await it.sweep()
            await it.clock.sleep(60)
        (held,) = await read_jobs(it.store, it.clock.now())
        retried = await command(it, "retry", str(job.id))
        it.github.actions.end_leases(60)
        await it.github.webhooks.settle()
        (over,) = await read_jobs(it.store, it.clock.now())
        await it.clock.sleep(60)
        await it.sweep()
        (kept,) = await read_jobs(it.store, it.clock.now())
        sums = await it.store.all(SUMS)

        assert (held.state, over.state, over.conclusion) == ("running", "done", "failure")
        assert held.machine == over.machine == "H100, 2 vCPU, 2g"
        # Until the sweep that has seen its end, and not for the minutes in which GitHub went on to hold it for running.
        most = GPUS["h100"].usd_per_s * 1.1 * (lived_s + 120)
        assert 0 < (held.usd or 0) < most
        assert 0 < (over.usd or 0) < most
        assert kept == over
        assert not await it.store.all(RUNNERS)
        assert [(row.jobs, row.failures) for day in sums.values() for row in day.rows] == [(1, 1)]
        assert retried[0] == 1
        assert f"its runner {held.runner} is gone" in retried[2]
        assert "cancel it and run it again" in retried[2]


def test_a_months_cost_is_the_sum_made_by_hand() -> None:
    def ran(number: int, repository: str, seconds: float, conclusion: str) -> JobRecord:
        record = job(JobState.DONE, 1000.0, job_id=number, repository=repository, queued_at=1000.0, workflow="ci")
        ended = {"started_at": 1010.0, "completed_at": 1005.0 + seconds, "conclusion": conclusion}
        return msgspec.structs.replace(record, ran=_RAN, **ended)

    records = [
        ran(1, "octo-org/a", 3600, "success"),
        ran(2, "octo-org/a", 1800, "failure"),
        ran(3, "octo-org/b", 900, "success"),
    ]
    lines = [line_of(record, {}, 1e9) for record in records]
    unknown = line_of(job(JobState.DONE, 1000.0, queued_at=1000.0), {}, 1e9)
    found = summed([*lines, unknown], "repo", 0.0)

    # Four dollars an hour from the sandbox's creation on: an hour, a half and a quarter.
    assert [(one.key, one.jobs, one.failures, one.usd) for one in found.sums] == [
        ("octo-org/a", 2, 1, 6.0),
        ("octo-org/b", 1, 0, 1.0),
    ]
    assert (found.github_usd, found.compared_usd) == (None, 0.0)
    assert (found.usd, found.unpriced) == (7.0, 0)
    assert wanted(lines, state="failure", repository="octo-org/*") == [lines[1]]
