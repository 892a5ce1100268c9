"""After a runner's job: what a process that ends between the job's end and its sandbox's leaves behind."""

import msgspec

from github_app.model import JobEvent, RunnerState
from github_app.store import HISTORY, RUNNERS, SLOTS
from github_app.web.delivery import decode
from tests.worlds.universe import PLAIN, Universe, universe


async def test_a_process_that_ends_between_a_jobs_end_and_its_sandboxs_leaves_its_slot_to_the_sweep() -> None:
    """With a cap that the job is over is recorded of its runner a little later; the process ends before."""
    async with universe(settings={"max_concurrent": 1}) as it:
        await _run(it, seconds=5)
        event = _completed(it)
        answer = await it.parts.service.apply(event)
        (runner,) = (await it.store.all(RUNNERS)).values()

        assert answer.news
        assert await it.store.get(HISTORY, str(event.job_id)) is not None
        assert (runner.state, runner.runs_job) == (RunnerState.BUSY, event.job_id)

        await it.until(lambda: not it.sandboxes(running=True))
        await it.sweep()

        assert not await it.store.all(SLOTS)
        assert await it.records() == {runner.name: "finished"}


async def test_an_end_that_a_sweep_reads_is_recorded_at_once() -> None:
    async with universe(settings={"max_concurrent": 1}) as it:
        await _run(it, seconds=5)
        await it.parts.service.apply(_completed(it), reading=True)

        assert {*(await it.records()).values()} == {"finished"}


async def test_with_the_end_of_the_sandbox_goes_what_is_recorded_of_the_job_and_the_slot() -> None:
    async with universe(scale=1.0, settings={"max_concurrent": 1}) as it:
        await _run(it, seconds=1)
        answer = await it.parts.service.apply(_completed(it))
        assert answer.afterwards is not None
        before = it.modal.calls["DictUpdate"]
        await answer.afterwards()
        (runner,) = (await it.store.all(RUNNERS)).values()

        # That its runner and its sandbox are over, in one, and the right to give the slot back.
        assert it.modal.calls["DictUpdate"] - before == 2
        assert runner.state is RunnerState.FINISHED
        assert (runner.finished_at or 0.0) <= (runner.ended_at or 0.0)
        assert not await it.store.all(SLOTS)


async def _run(it: Universe, *, seconds: float) -> None:
    """Run a job of which all is heard but its end."""
    it.push({"first": (PLAIN, seconds)})
    await it.until(lambda: it.job("first").status == "in_progress")
    await it.github.webhooks.settle()
    it.script.lose_deliveries = True
    await it.until_done("first")


def _completed(it: Universe) -> JobEvent:
    """The lost delivery."""
    payload = it.github.shapes.job_event("completed", it.job("first"), it.installation)
    event = decode({"x-github-event": "workflow_job", "x-github-delivery": "x"}, msgspec.json.encode(payload))
    assert isinstance(event, JobEvent)
    return event
