"""`/metrics`, as Prometheus reads it."""

from typing import Any

import httpx
import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from github_app.counts import Counted, Counts
from github_app.github.counting import route_of
from github_app.model import Slot
from github_app.store import RUNNERS
from github_app.store.notes import Quota, Refusal, Swept, Tally, Totals, VersionTaken
from github_app.views.status import Records
from github_app.web.families import COUNTED, Seen, cap_of, families
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
    jit = "POST /orgs/{org}/actions/runners/generate-jitconfig"
    async with universe(settings={"metrics_token": _TOKEN, "max_concurrent": 5}) as it:
        it.github.newest_runner = it.settings.runner_version
        it.push({"short": (PLAIN, 5), "gpu": (GPU, 5), "fails": (("modal", "gpu:nope"), 5)})
        await it.until_done("short", "gpu")
        while await it.store.all(RUNNERS):
            await it.clock.sleep(31)
            await it.sweep()
        it.push({"long": (GPU, 3600)})
        await it.until(lambda: it.job("long").status == "in_progress")
        await it.github.webhooks.settle()
        await it.parts.tallies.flush()
        made = len(it.sandboxes())
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
    assert seen["modal_runner_sandboxes", "H100, 2 vCPU, 2g"] == 1
    assert seen["modal_runner_launches_total", "started"] == made
    assert seen["modal_runner_refusals_total", "gpu"] == 1
    assert seen["modal_runner_deliveries_total", "202", "refused"] == 1
    assert seen["modal_runner_github_requests_total", jit, "2xx"] >= made
    assert 0 < seen["modal_runner_github_quota_left_ratio", str(it.installation.id)] < 1
    assert 29 < seen["modal_runner_runner_version_days_left",] <= 30
    assert [sample.value for sample in elsewhere["modal_runner_jobs_finished"].samples] == [2]


def _read(**given: Any) -> Seen:
    kinds = ("jobs", "claims", "halts", "runners", "slots", "refused", "places")
    records: dict[str, Any] = {name: given.pop(name, {}) for name in kinds} | {"parked": given.pop("parked", 0)}
    rest = {"totals": Totals(), "tally": Tally(0.0), "swept": None, "stopped": None}
    return Seen(Records(**records), **(rest | given))


def _told(**given: Any) -> Samples:
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in families(_read(**given), 1.0)
        for sample in family.samples
    }


def _of_repositories(count: int, name: str = "octo-org/r") -> Samples:
    """What is told of jobs of so many repositories of as many installations, each on a machine of its own."""
    numbers = range(count)
    shapes = [msgspec.structs.replace(runner().shape, memory_mib=(512 + n, 512 + n)) for n in numbers]
    names = [f"modal-{n}-1" for n in numbers]
    return _told(
        jobs={str(n): job(job_id=n, repository=f"{name}{n}", job_name=name, workflow=name) for n in numbers},
        refused={str(n): Refusal("x", f"{name}{n}", "gpu", name, 1.0) for n in numbers},
        slots={f"{name}{n}/1": Slot("x", "modal-1-1", 0.0) for n in numbers},
        runners={
            names[n]: runner(name=names[n], started_for=n, shape=shapes[n], sandbox_id=f"sb-{n}") for n in numbers
        },
        parked=3,
        tally=Tally(1.0, {}, {str(n): Quota(n / count, 1.0) for n in numbers}),
    )


def test_five_thousand_repositories_make_hardly_more_series_than_one() -> None:
    one, many = _of_repositories(1), _of_repositories(5000)

    # The shapes that are had most, and the rest; the installations that have the least left.
    assert len(many) - len(one) == 50 + (100 - 1)
    assert many["modal_runner_sandboxes", "other"] == 5000 - 50
    assert max(left for (name, *_), left in many.items() if name == "modal_runner_github_quota_left_ratio") < 0.02


@pytest.mark.parametrize("name", ['a"b', "a\nb", "<script>", "\x1b[31m", "x" * 10_000])
def test_what_strangers_have_named_is_no_label(name: str) -> None:
    told = _of_repositories(3, name) | _told(totals=Totals({name: 2}))

    assert not any(name in value for labels in told for value in labels)
    assert told["modal_runner_jobs_finished_total", "other"] == 2


def test_a_request_is_counted_by_its_route_whatever_its_path_names() -> None:
    asked = [
        ("GET", "/repos/octo-org/<b>/actions/jobs/7"),
        ("GET", "/api/v3/orgs/octo-org/actions/runners/downloads"),
        ("DELETE", "/orgs/octo-org/actions/runners/12"),
        ("GET", "/x" * 5000),
    ]

    assert [route_of(*each) for each in asked] == [
        "GET /repos/{owner}/{repo}/actions/jobs/{job_id}",
        "GET /orgs/{org}/actions/runners/downloads",
        "DELETE /orgs/{org}/actions/runners/{runner_id}",
        "other",
    ]


def test_what_another_version_has_counted_otherwise_is_left_out() -> None:
    counts = Counts()
    counts.add(Counted.LAUNCHES, "started", by=2)
    old = counts.sums | {"launches\tstarted\tplain": 3, "gone\tstarted": 4}

    told = _told(tally=Tally(1.0, dict(old)))

    assert told["modal_runner_launches_total", "started"] == 2
    assert set(COUNTED) == set(Counted)
    assert not any("gone" in labels[0] for labels in told)


def test_how_long_a_version_is_taken_is_told_where_github_has_said_it() -> None:
    known = Swept(1.0, 0, VersionTaken("2.336.0", 1.0 + 6.5 * 86_400, 0.0))

    assert _told(swept=known)["modal_runner_runner_version_days_left",] == 6.5
    assert ("modal_runner_runner_version_days_left",) not in _told(swept=Swept(1.0, 0))


def test_the_cap_of_each_repository_is_told_as_one() -> None:
    assert [cap_of(key) for key in ("octo-org/app/3", "*/1", "profile:train/2")] == [
        "repositories",
        "all",
        "profile:train",
    ]
