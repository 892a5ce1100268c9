"""A job's time as parts that follow one another."""

import msgspec

from github_app.model import JobState, Ran, Waited
from github_app.simulator.github.auth import ApiError
from github_app.store import HISTORY
from github_app.views.timeline import Part, timeline
from tests.worlds.records import job
from tests.worlds.universe import PLAIN, universe


def _told(parts: list[Part]) -> list[tuple[str, float, float]]:
    return [(part.name, part.begins, part.ends) for part in parts]


def test_what_put_a_launch_off_has_its_span_and_the_rest_is_whose_it_is() -> None:
    waited = (Waited("modal-capacity", 105.0, 125.0), Waited("github-limit", 140.0, 150.0))
    ran = Ran("modal-1-3", 1, "sb", 2.0, 2048, None, None, None, 1.0, 156.0, 160.0, admitted_at=155.0, waited=waited)
    times = {"started_at": 170.0, "completed_at": 200.0, "ran": ran, "conclusion": "success"}
    record = msgspec.structs.replace(job(JobState.DONE, 102.0, job_id=1, queued_at=100.0), **times)
    parts = timeline(record, None, 300.0)

    assert _told(parts) == [
        ("delivery", 0.0, 2.0),
        ("queue", 2.0, 5.0),
        ("held", 5.0, 25.0),
        ("queue", 25.0, 40.0),
        ("held", 40.0, 50.0),
        ("queue", 50.0, 55.0),
        ("ours", 55.0, 56.0),
        ("modal", 56.0, 60.0),
        ("runner", 60.0, 70.0),
        ("job", 70.0, 100.0),
    ]
    assert parts[2].what == "Put off: Modal had no room"


def test_a_job_that_waits_has_a_part_that_goes_on() -> None:
    record = job(JobState.QUEUED, 102.0, job_id=1, queued_at=100.0)
    parts = timeline(record, None, 130.0)

    assert _told(parts) == [("delivery", 0.0, 2.0), ("queue", 2.0, 30.0)]
    assert parts[-1].goes_on


async def test_why_a_launch_was_put_off_is_known_after_the_job() -> None:
    """The claims that say it are gone by then; it goes on from claim to claim, and into the job's record."""
    async with universe() as it:
        it.script.fail["POST /orgs/{org}/actions/runners/generate-jitconfig"] = [ApiError(404, "Not Found")]
        it.push({"job": (PLAIN, 5)})
        await it.until_done(sweeping=True)
        await it.github.webhooks.settle()
        [record] = (await it.store.all(HISTORY)).values()
        parts = timeline(record, None, it.clock.now())

    assert record.ran is not None
    assert [each.reason for each in record.ran.waited] == ["github-not-found"]
    assert [part.what for part in parts if part.name == "held"] == ["Put off: GitHub did not know the organisation"]
