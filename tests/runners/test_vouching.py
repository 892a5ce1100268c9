"""Forged events: a thief of the webhook secret can sign whatever he likes, and a GPU costs real money."""

from github_app.simulator.github.auth import ApiError
from tests.worlds.steps import JOB, send
from tests.worlds.universe import GPU, PLAIN, Universe, universe


def forged(it: Universe, number: int, *labels: str) -> dict[str, object]:
    """A `queued` that nobody but its sender knows of."""
    if not it.github.jobs():
        it.script.lose_deliveries = True
        it.push({"any": (("self-hosted", "elsewhere"), 5)})
        it.script.lose_deliveries = False
    payload: dict[str, object] = it.github.shapes.job_event("queued", it.job("any"), it.installation)
    job = payload["workflow_job"]
    assert isinstance(job, dict)
    job |= {"id": number, "labels": list(labels)}
    return payload


async def test_a_forged_job_with_a_gpu_starts_no_sandbox_and_costs_few_calls() -> None:
    async with universe() as it:
        for number in range(80):
            await send(it, forged(it, 5_000_000 + number, "modal", "gpu:h100:8"))
        await it.until(lambda: it.github.calls[JOB] >= 40)
        await it.clock.sleep(60)

        assert not it.sandboxes()
        assert it.github.calls[JOB] <= 70


async def test_a_real_jobs_event_with_forged_labels_starts_no_gpu() -> None:
    async with universe() as it:
        it.script.lose_deliveries = True
        it.push({"plain": (PLAIN, 5)})
        it.script.lose_deliveries = False
        payload = it.github.shapes.job_event("queued", it.job("plain"), it.installation)
        payload["workflow_job"]["labels"] = ["self-hosted", "modal", "gpu:h100:8"]
        await send(it, payload)
        await it.until(lambda: it.github.calls[JOB] >= 1)
        await it.clock.sleep(30)

        assert not it.sandboxes()


async def test_a_real_job_with_a_gpu_is_asked_after_once_and_one_without_never() -> None:
    async with universe() as it:
        it.push({"cpu": (PLAIN, 5)})
        await it.until_done("cpu")
        before = it.github.calls[JOB]
        it.push({"gpu": (GPU, 5)})
        await it.until_done("gpu")

        assert (before, it.github.calls[JOB]) == (0, 1)


async def test_while_github_does_not_answer_a_gpu_job_waits_and_runs_then() -> None:
    async with universe() as it:
        it.script.fail[JOB] = [ApiError(502, "Bad Gateway")]
        it.push({"gpu": (GPU, 5)})
        await it.until_done("gpu", sweeping=True)

        assert it.job("gpu").conclusion == "success"
