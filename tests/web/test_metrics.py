"""`/metrics`, as Prometheus reads it."""

import httpx
from prometheus_client.parser import text_string_to_metric_families

from github_app.model import Slot
from github_app.store import RUNNERS
from github_app.store.notes import Refusal, Totals
from github_app.web.metrics import Records, cap_of, families
from tests.worlds.records import job, runner
from tests.worlds.universe import GPU, PLAIN, Universe, universe

_TOKEN = "canary-metrics-token"
Samples = dict[tuple[str, ...], float]


async def _scrape(it: Universe, path: str = "/metrics", **headers: str) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False) as client:
        return await client.get(str(it.app.hook_url).replace("/webhook", path), headers=headers)


def _samples(text: str) -> Samples:
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def _seen(it: Universe) -> Samples:
    return _samples((await _scrape(it, Authorization=f"Bearer {_TOKEN}")).text)


async def test_there_is_no_such_page_without_a_token_and_none_for_who_does_not_have_it() -> None:
    async with universe() as it:
        assert (await _scrape(it)).status_code == 404
    async with universe(settings={"metrics_token": _TOKEN}) as it:
        wrong = [
            await _scrape(it),
            await _scrape(it, Authorization="Bearer x"),
            await _scrape(it, Authorization="Basic x"),
        ]
        right = await _scrape(it, Authorization=f"Bearer {_TOKEN}")
        opened = await _scrape(it, Authorization=f"Bearer {_TOKEN}", Accept="application/openmetrics-text")

    assert [each.status_code for each in wrong] == [401] * 3
    assert _TOKEN not in "".join(each.text for each in wrong)
    assert right.headers["content-type"].startswith("text/plain; version=")
    assert opened.headers["content-type"].startswith("application/openmetrics-text")
    assert opened.text.endswith("# EOF\n")


async def test_what_it_says_is_what_was_seen_also_in_another_process() -> None:
    async with universe(settings={"metrics_token": _TOKEN, "max_concurrent": 5}) as it:
        it.push({"short": (PLAIN, 5), "gpu": (GPU, 5), "fails": (("modal", "gpu:nope"), 5)})
        await it.until_done("short", "gpu")
        while await it.store.all(RUNNERS):
            await it.clock.sleep(31)
            await it.sweep()
        it.push({"long": (GPU, 3600)})
        await it.until(lambda: it.job("long").status == "in_progress")
        await it.github.webhooks.settle()
        seen = await _seen(it)
        async with it.another_process() as other:
            elsewhere = {each.name: each for each in await other.metrics._collected()}

    assert seen["modal_runner_jobs_finished_total", "success"] == 2
    assert seen["modal_runner_start_seconds_count", "all"] == 2
    assert seen["modal_runner_start_seconds_bucket", "+Inf", "all"] == 2
    assert seen["modal_runner_jobs", "running"] == 1
    assert seen["modal_runner_runners", "H100", "busy"] == 1
    assert seen["modal_runner_slots_taken", "all"] == 1
    assert seen["modal_runner_jobs_refused", "gpu"] == 1
    assert seen["modal_runner_cost_dollars_total",] > 0
    assert seen["modal_runner_last_sweep_timestamp_seconds",] > 0
    assert [sample.value for sample in elsewhere["modal_runner_jobs_finished"].samples] == [2]


def _series(repositories: int) -> int:
    jobs = {str(n): job(job_id=n, repository=f"octo-org/r{n}", job_name=f"<b>{n}</b>") for n in range(repositories)}
    refused = {str(n): Refusal("x", f"octo-org/r{n}", "gpu", "No.", 1.0) for n in range(repositories)}
    slots = {f"octo-org/r{n}/1": Slot("x", "modal-1-1", 0.0) for n in range(repositories)}
    runners = {f"modal-{n}-1": runner(name=f"modal-{n}-1", started_for=n) for n in range(repositories)}
    seen = Records(jobs, {}, {}, runners, slots, refused, 3, Totals(), None, None)
    return sum(len(each.samples) for each in families(seen, 1.0))


def test_five_thousand_repositories_make_no_more_series_than_one() -> None:
    assert _series(5000) == _series(1)


def test_the_cap_of_each_repository_is_told_as_one() -> None:
    assert [cap_of(key) for key in ("octo-org/app/3", "*/1", "profile:train/2")] == [
        "repositories",
        "all",
        "profile:train",
    ]
